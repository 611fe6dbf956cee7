//! What hangs on something withheld goes with it, in whichever order it came.

use serde_json::{Value, json};

use super::super::PolicySettings;
use super::{CB, Fixture, fixtures, flagged_report, observation, viewer};
use crate::visibility::ViewerClass;

impl Fixture {
    pub(super) async fn govern(&self, jurisdiction: &str) {
        let settings = PolicySettings {
            jurisdiction: Some(jurisdiction.to_owned()),
            timezone: "America/New_York".to_owned(),
            switches: Vec::new(),
        };
        self.store.adopt_policy(&settings, &|_| {}).await.unwrap();
    }

    /// Whether the patient `p` sees each of these.
    async fn shown(&self, references: &[&str]) -> Vec<bool> {
        let me = viewer(ViewerClass::Patient, Some("p"));
        let mut shown = Vec::new();
        for one in references {
            shown.push(self.is_there(&me, one).await);
        }
        shown
    }
}

fn subject() -> Value {
    json!({"reference": "Patient/p"})
}

fn binary(id: &str) -> Value {
    json!({"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "Tm90ZQ=="})
}

fn provenance(id: &str, target: &str) -> Value {
    json!({"resourceType": "Provenance", "id": id, "target": [{"reference": target}],
        "recorded": "2026-11-10T15:00:00Z", "agent": [{"who": {"display": "Feed"}}]})
}

#[tokio::test]
async fn who_wrote_a_withheld_text_is_withheld_with_it() {
    for fixture in fixtures().await {
        let psychologist = json!({"resourceType": "Practitioner", "id": "psy",
            "qualification": [{"code": {"text": "Clinical Psychologist"}}]});
        let mut note = json!({
            "resourceType": "DocumentReference", "id": "n", "status": "current",
            "subject": subject(), "date": "2026-11-10T15:00:00Z",
            "content": [{"attachment": {"url": "Binary/k"}}],
        });
        let free = {
            let mut free = note.clone();
            free["id"] = json!("f");
            free["content"][0]["attachment"]["url"] = json!("Binary/free");
            free
        };
        note["meta"] = json!({"security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]});
        note["extension"] = json!([{
            "url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}]);
        for one in [
            json!({"resourceType": "Patient", "id": "p"}),
            psychologist,
            binary("k"),
            provenance("k1", "Binary/k"),
            binary("free"),
            provenance("f1", "Binary/free"),
            note,
            free,
            provenance("k2", "Binary/k"),
            provenance("f2", "Binary/free"),
        ] {
            fixture.put(one).await;
        }
        let shown = fixture
            .shown(&[
                "DocumentReference/n",
                "Binary/k",
                "Provenance/k1",
                "Provenance/k2",
            ])
            .await;
        assert_eq!(shown, [false; 4]);
        // As it is with what is not withheld: that a Provenance is there tells nothing.
        let shown = fixture
            .shown(&[
                "DocumentReference/f",
                "Binary/free",
                "Provenance/f1",
                "Provenance/f2",
            ])
            .await;
        assert_eq!(shown, [true; 4]);
    }
}

#[tokio::test]
async fn a_text_belongs_to_whatever_it_is_attached_to() {
    for fixture in fixtures().await {
        let attachment = |id: &str| json!({"url": format!("Binary/{id}")});
        for id in ["answer", "image", "claim", "form", "relative", "photo"] {
            fixture.put(binary(id)).await;
        }
        let code = || json!({"coding": [{"code": "x"}]});
        for one in [
            json!({"resourceType": "Patient", "id": "p", "photo": [attachment("photo")]}),
            json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
                "subject": subject(), "item": [{"linkId": "1", "item": [{"linkId": "2",
                    "answer": [{"valueAttachment": attachment("answer")}]}]}]}),
            json!({"resourceType": "BodyStructure", "id": "b", "patient": subject(),
                "image": [attachment("image")]}),
            json!({"resourceType": "Claim", "id": "c", "status": "active", "type": code(),
                "use": "claim", "patient": subject(), "created": "2026-11-10",
                "provider": {"display": "x"}, "priority": code(),
                "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "x"}}],
                "supportingInfo": [{"sequence": 1, "category": code(),
                    "valueAttachment": attachment("claim")}]}),
            json!({"resourceType": "ExplanationOfBenefit", "id": "e", "status": "active",
                "type": code(), "use": "claim", "patient": subject(), "created": "2026-11-10",
                "insurer": {"display": "x"}, "provider": {"display": "x"}, "outcome": "complete",
                "insurance": [{"focal": true, "coverage": {"display": "x"}}],
                "form": attachment("form")}),
            json!({"resourceType": "RelatedPerson", "id": "r", "patient": subject(),
                "photo": [attachment("relative")]}),
        ] {
            fixture.put(one).await;
        }
        for id in ["answer", "image", "claim", "form", "relative", "photo"] {
            let shown = fixture.shown(&[&format!("Binary/{id}")]).await;
            assert_eq!(shown, [true], "{id}");
        }
        let other = viewer(ViewerClass::Patient, Some("o"));
        assert!(!fixture.is_there(&other, "Binary/answer").await);
    }
}

fn study(id: &str) -> Value {
    json!({"resourceType": "ImagingStudy", "id": id, "status": "available", "subject": subject()})
}

/// A report that waits, without results.
fn waiting_report(id: &str) -> Value {
    let mut report = flagged_report(id, "Observation/none");
    report.as_object_mut().unwrap().remove("result");
    report
}

#[tokio::test]
async fn images_and_members_of_a_delayed_report_wait_with_it_in_any_order() {
    for fixture in fixtures().await {
        fixture.govern("US-KY").await;
        fixture
            .put(json!({"resourceType": "Patient", "id": "p"}))
            .await;
        let mut report = waiting_report("r");
        report["imagingStudy"] =
            json!([{"reference": "ImagingStudy/early"}, {"reference": "ImagingStudy/late"}]);
        report["result"] = json!([{"reference": "Observation/panel"}]);
        let mut panel = observation("panel");
        panel["hasMember"] =
            json!([{"reference": "Observation/early"}, {"reference": "Observation/late"}]);
        // A member may have members, and nothing may go in circles.
        let mut early = observation("early");
        early["hasMember"] =
            json!([{"reference": "Observation/deep"}, {"reference": "Observation/panel"}]);
        for one in [study("early"), observation("deep"), early, panel, report] {
            fixture.put(one).await;
        }
        fixture.put(study("late")).await;
        fixture.put(observation("late")).await;
        let all = [
            "DiagnosticReport/r",
            "ImagingStudy/early",
            "ImagingStudy/late",
            "Observation/panel",
            "Observation/early",
            "Observation/late",
            "Observation/deep",
        ];
        assert_eq!(fixture.shown(&all).await, [false; 7]);
        assert!(fixture.clock.set(super::T0 + 72 * 3_600_000));
        assert_eq!(fixture.shown(&all).await, [true; 7]);
    }
}

#[tokio::test]
async fn images_of_a_flagged_order_wait() {
    for fixture in fixtures().await {
        fixture.govern("US-KY").await;
        let mut order = json!({"resourceType": "ServiceRequest", "id": "o", "status": "active",
            "intent": "order", "subject": subject()});
        let mut images = study("im");
        images["basedOn"] = json!([{"reference": "ServiceRequest/o"}]);
        let media = json!({"resourceType": "Media", "id": "m", "status": "completed",
            "subject": subject(), "basedOn": [{"reference": "ServiceRequest/o"}],
            "content": {"data": "AA=="}});
        for one in [
            json!({"resourceType": "Patient", "id": "p"}),
            order.clone(),
            images,
            media,
        ] {
            fixture.put(one).await;
        }
        let all = ["ImagingStudy/im", "Media/m"];
        assert_eq!(fixture.shown(&all).await, [true; 2]);
        // The flag may come later.
        order["extension"] = waiting_report("r")["extension"].clone();
        fixture.put(order).await;
        assert_eq!(fixture.shown(&all).await, [false; 2]);
    }
}

#[tokio::test]
async fn images_of_a_report_that_the_patient_put_off_wait() {
    for fixture in fixtures().await {
        let consent = json!({
            "resourceType": "Consent", "id": "later", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": subject(), "performer": [subject()], "dateTime": "2026-11-01T14:00:00Z",
            "policyRule": {"coding": [{"code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/no-inducement"),
                "valueBoolean": true}],
            "provision": {"type": "deny", "period": {"end": "2026-12-01T00:00:00Z"},
                "data": [{"meaning": "related",
                    "reference": {"reference": "DiagnosticReport/r"}}]},
        });
        let mut report = waiting_report("r");
        report["imagingStudy"] = json!([{"reference": "ImagingStudy/im"}]);
        for one in [
            json!({"resourceType": "Patient", "id": "p"}),
            study("im"),
            study("free"),
            consent,
            report,
        ] {
            fixture.put(one).await;
        }
        let all = ["DiagnosticReport/r", "ImagingStudy/im", "ImagingStudy/free"];
        assert_eq!(fixture.shown(&all).await, [false, false, true]);
    }
}

#[tokio::test]
async fn a_directive_without_its_attestation_is_asked_about_once() {
    for fixture in fixtures().await {
        let consent = |attested: bool| {
            json!({
                "resourceType": "Consent", "id": "no", "status": "active",
                "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy"}]},
                "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
                "patient": subject(), "performer": [subject()],
                "dateTime": "2026-11-01T14:00:00Z", "policyRule": {"coding": [{"code": "OPTIN"}]},
                "extension": [{"url": format!("{CB}/StructureDefinition/no-inducement"),
                    "valueBoolean": attested}],
                "provision": {"type": "deny", "actor": [{"role": {"text": "x"},
                    "reference": {"reference": "RelatedPerson/x"}}]},
            })
        };
        let key = fixture.store.keys().reference("Consent", "no");
        let task = format!("Task/attest-{key:016x}");
        let staff = viewer(ViewerClass::System, None);
        fixture
            .put(json!({"resourceType": "Patient", "id": "p"}))
            .await;
        fixture.put(consent(true)).await;
        assert!(!fixture.is_there(&staff, &task).await);
        for _ in 0..2 {
            fixture.put(consent(false)).await;
            let asked = fixture.read(&staff, &task).await.unwrap();
            assert_eq!(asked["focus"]["reference"], "Consent/no");
            assert_eq!(asked["meta"]["versionId"], "1");
        }
        assert_eq!(fixture.shown(&[&task]).await, [false]);
    }
}

#[tokio::test]
async fn the_ledger_says_who_still_waits_when_a_delay_is_over() {
    for fixture in fixtures().await {
        fixture.govern("US-KY").await;
        let later = json!({
            "resourceType": "Consent", "id": "later", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": subject(), "performer": [subject()], "dateTime": "2026-11-01T14:00:00Z",
            "policyRule": {"coding": [{"code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/no-inducement"),
                "valueBoolean": true}],
            "provision": {"type": "deny", "period": {"end": "2026-11-15T15:00:00Z"}},
        });
        for one in [
            json!({"resourceType": "Patient", "id": "p"}),
            later,
            waiting_report("r"),
        ] {
            fixture.put(one).await;
        }
        fixture.store.record_ended().await.unwrap();
        let mut told = Vec::new();
        for hours in [72, 120] {
            assert!(fixture.clock.set(super::T0 + hours * 3_600_000));
            fixture.store.record_ended().await.unwrap();
            let page = fixture.store.ledger_page(None, 0, 100).await.unwrap();
            let last = page.iter().rfind(|entry| entry.kind == "released").unwrap();
            let body: Value = serde_json::from_str(&last.body).unwrap();
            told.push((body["audiences"].clone(), body["notYetTo"].clone()));
        }
        assert_eq!(
            told,
            [
                (json!(["patient-side"]), json!(["patient"])),
                (json!(["patient"]), Value::Null),
            ]
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_turned_back_enters_what_ends_from_there() {
    for fixture in fixtures().await {
        fixture.govern("US-KY").await;
        assert!(fixture.clock.set(super::T0 + 100 * 24 * 3_600_000));
        fixture.store.record_ended().await.unwrap();
        assert!(fixture.clock.set(super::T0));
        fixture.store.begin_ends_anew(super::T0).await.unwrap();
        fixture
            .put(json!({"resourceType": "Patient", "id": "p"}))
            .await;
        fixture.put(waiting_report("r")).await;
        assert!(fixture.clock.set(super::T0 + 73 * 3_600_000));
        assert_eq!(fixture.store.record_ended().await.unwrap(), 1);
    }
}
