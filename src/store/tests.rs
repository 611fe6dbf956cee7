//! The write path against SQLite, and against PostgreSQL where `CANDOR_TEST_POSTGRES` names one.

mod episode;
mod related;
mod upgrade;

use serde_json::{Value, json};

use super::{IfMatch, Method, Op, Origin, Store, StoreError, StoreOptions};
use crate::clock::{Clock, Millis};
use crate::fhir::definitions::definitions;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass, Visibility};

pub(super) const T0: Millis = 1_794_322_800_000;

pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) clock: Clock,
    options: StoreOptions,
    _dir: tempfile::TempDir,
}

#[expect(clippy::print_stderr, reason = "a test that ran only half says so")]
/// A fresh SQLite file, and a fresh database of the PostgreSQL that the test command started.
pub(super) async fn fixtures() -> Vec<Fixture> {
    let mut urls = vec![None];
    match std::env::var("CANDOR_TEST_POSTGRES") {
        Ok(url) => urls.push(Some(fresh_database(&url).await)),
        Err(_) if std::env::var("CI").is_ok() => panic!("CANDOR_TEST_POSTGRES is not set"),
        Err(_) => eprintln!("only SQLite: CANDOR_TEST_POSTGRES is not set"),
    }
    let mut fixtures = Vec::new();
    for url in urls {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::test(T0);
        let options = StoreOptions {
            url: url.unwrap_or_else(|| format!("sqlite://{}/candor.db", dir.path().display())),
            base: "http://localhost/fhir/r4".to_owned(),
            clock: clock.clone(),
            connections: 2,
        };
        let store = Store::open(&options).await.unwrap();
        fixtures.push(Fixture {
            store,
            clock,
            options,
            _dir: dir,
        });
    }
    fixtures
}

pub(super) async fn fresh_database(url: &str) -> String {
    use sea_orm::ConnectionTrait;
    let name = format!("store_{}", uuid::Uuid::new_v4().simple());
    let server = sea_orm::Database::connect(url).await.unwrap();
    server
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

pub(super) fn op(resource: Value) -> Op {
    let type_name = resource["resourceType"].as_str().unwrap();
    Op {
        type_id: definitions().type_id(type_name).unwrap(),
        id: resource["id"].as_str().unwrap().to_owned(),
        method: Method::Put,
        resource: Some(resource),
        if_match: None,
        must_be_new: false,
    }
}

pub(super) fn viewer(class: ViewerClass, patient: Option<&str>) -> Viewer {
    Viewer {
        class,
        person: patient.map(|id| format!("Patient/{id}")),
        patient: patient.map(str::to_owned),
        client_id: "test".to_owned(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse(if patient.is_some() {
            "patient/*.rs"
        } else {
            "system/*.cruds"
        }),
    }
}

impl Fixture {
    /// The same database through connections of its own, as another process has it.
    pub(super) async fn beside(&self) -> Store {
        Store::open(&self.options).await.unwrap()
    }

    pub(super) fn sees(&self, viewer: &Viewer) -> Visibility {
        let now = self.clock.now();
        Visibility::of(viewer, self.store.keys(), now, now)
    }

    pub(super) async fn read(&self, viewer: &Viewer, reference: &str) -> Result<Value, StoreError> {
        let (type_name, id) = reference.split_once('/').unwrap();
        let type_id = definitions().type_id(type_name).unwrap();
        let narrow = |_: &_, _, _: &str, _: &mut _, _: &str| Ok("1 = 1".to_owned());
        let stored = self
            .store
            .read(&self.sees(viewer), narrow, type_id, id)
            .await?;
        Ok(serde_json::from_slice(&stored.body).unwrap())
    }
}

#[tokio::test]
async fn a_resource_is_written_read_replaced_and_deleted() {
    for fixture in fixtures().await {
        let system = viewer(ViewerClass::System, None);
        let patient = json!({"resourceType": "Patient", "id": "p", "name": [{"family": "Ruiz"}]});
        let written = fixture
            .store
            .write(Origin::Api, vec![op(patient.clone())])
            .await
            .unwrap();
        assert!(written[0].created && written[0].version == 1);
        assert!(matches!(
            fixture.read(&system, "Patient/q").await,
            Err(StoreError::NotFound)
        ));
        let read = fixture.read(&system, "Patient/p").await.unwrap();
        assert_eq!(
            read["meta"],
            json!({"versionId": "1", "lastUpdated": "2026-11-10T15:00:00.000Z"})
        );

        let mut again = op(patient);
        again.if_match = Some(IfMatch::Version(7));
        let refused = fixture.store.write(Origin::Api, vec![again.clone()]).await;
        assert!(matches!(refused, Err(StoreError::VersionConflict)));
        again.if_match = Some(IfMatch::Version(1));
        assert_eq!(
            fixture
                .store
                .write(Origin::Api, vec![again.clone()])
                .await
                .unwrap()[0]
                .version,
            2
        );

        let delete = Op {
            resource: None,
            if_match: None,
            method: Method::Delete,
            ..again
        };
        assert_eq!(
            fixture
                .store
                .write(Origin::Api, vec![delete.clone()])
                .await
                .unwrap()[0]
                .version,
            3
        );
        assert!(matches!(
            fixture.read(&system, "Patient/p").await,
            Err(StoreError::Gone)
        ));
        // Deleting again changes nothing.
        assert_eq!(
            fixture
                .store
                .write(Origin::Api, vec![delete])
                .await
                .unwrap()[0]
                .version,
            3
        );
        let check = fixture.store.verify_ledger().await.unwrap();
        assert_eq!(check.broken_at, None);
    }
}

const CB: &str = "https://candor.example/fhir";

fn flagged_report(id: &str, result: &str) -> Value {
    json!({
        "resourceType": "DiagnosticReport", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "11526-1"}]},
        "subject": {"reference": "Patient/p"}, "issued": "2026-11-10T15:00:00Z",
        "result": [{"reference": result}],
        "extension": [{"url": format!("{CB}/StructureDefinition/release-flag"),
            "valueCoding": {"system": format!("{CB}/CodeSystem/release-flag"), "code": "malignancy-likely"}}],
    })
}

fn observation(id: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": "Patient/p"}, "issued": "2026-11-10T15:00:00Z",
    })
}

impl Fixture {
    async fn put(&self, resource: Value) {
        self.store
            .write(Origin::Api, vec![op(resource)])
            .await
            .unwrap();
    }

    async fn is_there(&self, who: &Viewer, reference: &str) -> bool {
        self.read(who, reference).await.is_ok()
    }
}

#[tokio::test]
async fn a_flagged_report_and_its_results_wait_72_hours_in_kentucky_without_a_job() {
    for fixture in fixtures().await {
        let settings = super::PolicySettings {
            jurisdiction: Some("US-KY".to_owned()),
            timezone: "America/New_York".to_owned(),
            switches: Vec::new(),
        };
        assert!(
            fixture
                .store
                .adopt_policy(&settings, &|_| {})
                .await
                .unwrap()
        );
        assert!(
            !fixture
                .store
                .adopt_policy(&settings, &|_| {})
                .await
                .unwrap()
        );
        let me = viewer(ViewerClass::Patient, Some("p"));
        let other = viewer(ViewerClass::Patient, Some("q"));
        fixture
            .put(json!({"resourceType": "Patient", "id": "p"}))
            .await;
        fixture.put(observation("held")).await;
        fixture.put(observation("free")).await;
        assert!(fixture.is_there(&me, "Observation/held").await);
        assert!(!fixture.is_there(&other, "Observation/held").await);
        fixture.put(flagged_report("r", "Observation/held")).await;
        assert!(fixture.clock.set(T0 + 72 * 3_600_000 - 1));
        for reference in ["DiagnosticReport/r", "Observation/held"] {
            assert!(!fixture.is_there(&me, reference).await, "{reference}");
            assert!(
                fixture
                    .is_there(&viewer(ViewerClass::System, None), reference)
                    .await
            );
        }
        assert!(fixture.is_there(&me, "Observation/free").await);
        let report = definitions().type_id("DiagnosticReport").unwrap();
        let decision = fixture
            .store
            .release_decision(report, "r", "patient")
            .await
            .unwrap();
        assert!(
            decision.to_string().contains(r#""valueCode":"delay""#),
            "{decision}"
        );
        assert!(fixture.clock.set(T0 + 72 * 3_600_000));
        for reference in ["DiagnosticReport/r", "Observation/held"] {
            assert!(fixture.is_there(&me, reference).await, "{reference}");
        }
        assert_eq!(fixture.store.verify_ledger().await.unwrap().broken_at, None);
    }
}

#[tokio::test]
async fn a_change_of_policy_decides_again() {
    for fixture in fixtures().await {
        let me = viewer(ViewerClass::Patient, Some("p"));
        fixture.put(flagged_report("r", "Observation/o")).await;
        assert!(fixture.is_there(&me, "DiagnosticReport/r").await);
        let mut settings = super::PolicySettings {
            jurisdiction: Some("US-KY".to_owned()),
            timezone: "America/New_York".to_owned(),
            switches: Vec::new(),
        };
        fixture
            .store
            .adopt_policy(&settings, &|_| {})
            .await
            .unwrap();
        assert!(!fixture.is_there(&me, "DiagnosticReport/r").await);
        settings.jurisdiction = Some("US".to_owned());
        fixture
            .store
            .adopt_policy(&settings, &|_| {})
            .await
            .unwrap();
        assert!(fixture.is_there(&me, "DiagnosticReport/r").await);
    }
}

#[tokio::test]
async fn a_reference_to_something_withheld_is_gone_from_the_rendition() {
    for fixture in fixtures().await {
        let me = viewer(ViewerClass::Patient, Some("p"));
        fixture
            .put(
                json!({"resourceType": "Practitioner", "id": "psy", "qualification": [
            {"code": {"text": "Clinical Psychologist"}}]}),
            )
            .await;
        let note = json!({
            "resourceType": "DocumentReference", "id": "n", "status": "current",
            "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
            "subject": {"reference": "Patient/p"}, "date": "2026-11-10T15:00:00Z",
            "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
            "extension": [{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}],
        });
        let list = json!({
            "resourceType": "List", "id": "l", "status": "current", "mode": "working",
            "subject": {"reference": "Patient/p"},
            "entry": [{"item": {"reference": "DocumentReference/n"}}, {"item": {"reference": "Observation/o"}}],
        });
        // The list comes first: what it refers to is withheld only later.
        fixture.put(list).await;
        assert_eq!(
            fixture.read(&me, "List/l").await.unwrap()["entry"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        fixture.put(note.clone()).await;
        assert!(!fixture.is_there(&me, "DocumentReference/n").await);
        let seen = fixture.read(&me, "List/l").await.unwrap();
        assert_eq!(
            seen["entry"],
            json!([{"item": {"reference": "Observation/o"}}])
        );
        let system = viewer(ViewerClass::System, None);
        assert_eq!(
            fixture.read(&system, "List/l").await.unwrap()["entry"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        // Without its attestation it is an ordinary note: released, and the list is whole again. The
        // version that was withheld stays hidden.
        let mut plain = note;
        plain["extension"] = json!([{"url": "http://example.org/none", "valueBoolean": true}]);
        fixture.put(plain).await;
        assert!(fixture.is_there(&me, "DocumentReference/n").await);
        assert_eq!(
            fixture.read(&me, "List/l").await.unwrap()["entry"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let type_id = definitions().type_id("DocumentReference").unwrap();
        let narrow = |_: &_, _, _: &str, _: &mut _, _: &str| Ok("1 = 1".to_owned());
        let old = fixture
            .store
            .vread(&fixture.sees(&me), narrow, type_id, "n", 1)
            .await;
        assert!(matches!(old, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn what_was_filed_under_another_patient_stays_theirs() {
    for fixture in fixtures().await {
        let observation = |patient: &str| {
            json!({"resourceType": "Observation", "id": "o", "status": "final",
                "code": {"text": "c"}, "subject": {"reference": format!("Patient/{patient}")}})
        };
        for patient in ["a", "b", "b"] {
            fixture.put(observation(patient)).await;
        }
        let type_id = definitions().type_id("Observation").unwrap();
        let narrow = |_: &_, _, _: &str, _: &mut _, _: &str| Ok("1 = 1".to_owned());
        let sees = fixture.sees(&viewer(ViewerClass::Patient, Some("b")));
        let old = async |version| {
            fixture
                .store
                .vread(&sees, narrow, type_id, "o", version)
                .await
        };
        assert!(matches!(old(1).await, Err(StoreError::NotFound)));
        assert!(old(2).await.is_ok());
        let query = super::HistoryQuery {
            scope: super::HistoryScope::Instance(type_id, "o"),
            since: None,
            at: None,
            types: &[],
            count: 10,
            after: None,
        };
        let page = fixture.store.history(&sees, narrow, &query).await.unwrap();
        let versions: Vec<i32> = page.entries.iter().map(|entry| entry.version).collect();
        assert_eq!(versions, [3, 2]);
    }
}

#[tokio::test]
async fn references_without_a_search_parameter_go_and_deleted_renditions_too() {
    for fixture in fixtures().await {
        let me = viewer(ViewerClass::Patient, Some("p"));
        fixture
            .put(
                json!({"resourceType": "Practitioner", "id": "psy", "qualification": [
            {"code": {"text": "Clinical Psychologist"}}]}),
            )
            .await;
        fixture
            .put(
                json!({"resourceType": "MedicationRequest", "id": "m", "status": "active",
                "intent": "order", "medicationCodeableConcept": {"text": "m"},
                "subject": {"reference": "Patient/p"},
                "supportingInformation": [{"reference": "DocumentReference/n"}]}),
            )
            .await;
        fixture.put(json!({
            "resourceType": "DocumentReference", "id": "n", "status": "current",
            "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
            "subject": {"reference": "Patient/p"}, "date": "2026-11-10T15:00:00Z",
            "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
            "extension": [{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}],
        })).await;
        let seen = fixture.read(&me, "MedicationRequest/m").await.unwrap();
        assert_eq!(seen.get("supportingInformation"), None);
        let deletion = Op {
            method: Method::Delete,
            resource: None,
            ..op(json!({"resourceType": "MedicationRequest", "id": "m"}))
        };
        fixture
            .store
            .write(Origin::Api, vec![deletion])
            .await
            .unwrap();
        let gone = fixture.read(&me, "MedicationRequest/m").await;
        assert!(matches!(gone, Err(StoreError::Gone)));
    }
}

#[tokio::test]
async fn a_binary_that_its_note_lets_go_of_stays_withheld() {
    for fixture in fixtures().await {
        let me = viewer(ViewerClass::Patient, Some("p"));
        fixture
            .put(json!({"resourceType": "Patient", "id": "p"}))
            .await;
        fixture
            .put(
                json!({"resourceType": "Practitioner", "id": "psy", "qualification": [
                {"code": {"text": "Clinical Psychologist"}}]}),
            )
            .await;
        let binary = |id: &str| {
            json!({"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "Tm90ZQ==",
                "securityContext": {"reference": "Patient/p"}})
        };
        let note = |url: &str| {
            json!({
                "resourceType": "DocumentReference", "id": "n", "status": "current",
                "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
                "subject": {"reference": "Patient/p"}, "date": "2026-11-10T15:00:00Z",
                "content": [{"attachment": {"contentType": "text/plain", "url": url}}],
                "extension": [{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                    {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                    {"url": "sessionAnalysis", "valueBoolean": true},
                    {"url": "separatelyStored", "valueBoolean": true},
                    {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}],
            })
        };
        fixture.put(binary("b1")).await;
        fixture.put(binary("b2")).await;
        fixture.put(note("Binary/b1")).await;
        assert!(!fixture.is_there(&me, "Binary/b1").await);
        assert!(fixture.is_there(&me, "Binary/b2").await);
        fixture.put(note("Binary/b2")).await;
        assert!(!fixture.is_there(&me, "Binary/b1").await);
        assert!(!fixture.is_there(&me, "Binary/b2").await);
    }
}

#[tokio::test]
async fn who_writes_an_author_again_does_not_decide_all_their_notes_again() {
    for fixture in fixtures().await {
        let me = viewer(ViewerClass::Patient, Some("p"));
        let author = |qualification: &str, telephone: &str| {
            json!({"resourceType": "Practitioner", "id": "psy",
                "telecom": [{"system": "phone", "value": telephone}],
                "qualification": [{"code": {"text": qualification}}]})
        };
        fixture.put(author("Clinical Psychologist", "1")).await;
        fixture.put(json!({
            "resourceType": "DocumentReference", "id": "n", "status": "current",
            "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]},
            "subject": {"reference": "Patient/p"}, "date": "2026-11-10T15:00:00Z",
            "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
            "extension": [{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}],
        })).await;
        let decided = async || {
            let lines = fixture.store.ledger_page(None, 0, 100).await.unwrap();
            lines.iter().filter(|line| line.kind == "decision").count()
        };
        let before = decided().await;
        assert!(before > 0);
        fixture.put(author("Clinical Psychologist", "2")).await;
        assert_eq!(decided().await, before, "nothing to decide");
        assert!(!fixture.is_there(&me, "DocumentReference/n").await);
        fixture.put(author("Carpenter", "2")).await;
        assert!(decided().await > before);
        assert!(fixture.is_there(&me, "DocumentReference/n").await);
    }
}
