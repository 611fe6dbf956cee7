//! Two records of one patient: one with everything that the law keeps back, one without.

use candor::rest::Limits;
use candor::store::{Reindexer, Step};
use serde_json::{Value, json};

use crate::rest_support::Api;
use crate::search_parameter::parameter;
use crate::support::Database;

const CB: &str = "https://candor.example/fhir";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// Two servers, alike but for what is withheld from Patient/p.
pub struct Twins {
    pub with: Api,
    pub without: Api,
    /// Everything that the first server holds.
    pub resources: Vec<Value>,
}

impl Twins {
    pub async fn load(database: Database) -> Self {
        let limits = || Limits {
            provenance: true,
            ..Limits::default()
        };
        let with = Api::with(database, limits()).await;
        let without = Api::with(database, limits()).await;
        let record = record();
        for (withheld, resource) in &record {
            put(&with, resource).await;
            if !withheld {
                put(&without, &without_references(resource)).await;
            }
            with.pass(1000);
            without.pass(1000);
        }
        for api in [&with, &without] {
            for resource in parameters() {
                put(api, &resource).await;
            }
            let mut hands = Reindexer::new(api.store.clone());
            while hands.step().await.unwrap() != Step::Idle {}
            api.store.learn().await.unwrap();
        }
        let resources = record.into_iter().map(|(_, resource)| resource).collect();
        Self {
            with,
            without,
            resources,
        }
    }

    pub async fn stop(self) {
        self.with.stop().await;
        self.without.stop().await;
    }
}

/// Search parameters of the servers' own, one of each kind that the record has values for.
fn parameters() -> [Value; 4] {
    let bases = ["Observation", "DiagnosticReport", "DocumentReference"];
    [
        parameter(
            "own-code",
            "own-code",
            "token",
            &bases,
            "Observation.code | DiagnosticReport.code | DocumentReference.type",
        ),
        parameter(
            "own-date",
            "own-date",
            "date",
            &bases,
            "Observation.issued | DiagnosticReport.issued | DocumentReference.date",
        ),
        parameter(
            "own-text",
            "own-text",
            "string",
            &bases,
            "Observation.code.text | DiagnosticReport.conclusion | DocumentReference.description",
        ),
        parameter(
            "own-link",
            "own-link",
            "reference",
            &bases,
            "Observation.hasMember | DiagnosticReport.result | DocumentReference.author",
        ),
    ]
}

async fn put(api: &Api, resource: &Value) {
    let answer = api.put(super::FEED, resource).await;
    assert!(
        answer.status.is_success(),
        "{} {}\n{resource}",
        answer.status,
        answer.text()
    );
}

/// What the resource would be if the withheld ones had never existed: its references to them are
/// not there.
fn without_references(resource: &Value) -> Value {
    match resource {
        Value::Object(map) => {
            let kept = map
                .iter()
                .map(|(name, value)| (name.clone(), without_references(value)))
                .filter(|(_, value)| *value != json!([]) && *value != Value::Null);
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .filter(|item| !refers_to_withheld(item))
                .map(without_references)
                .collect(),
        ),
        other => other.clone(),
    }
}

fn refers_to_withheld(item: &Value) -> bool {
    ["/reference", "/item/reference"]
        .iter()
        .filter_map(|place| item.pointer(place)?.as_str())
        .any(|text| text.contains("/k-"))
}

fn subject() -> Value {
    json!({"reference": "Patient/p"})
}

fn observation(id: &str, loinc: &str, value: f64, day: u32) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc, "display": format!("Test {loinc}")}], "text": format!("Test {loinc}")},
        "subject": subject(), "encounter": {"reference": "Encounter/e"},
        "performer": [{"reference": "Practitioner/md"}],
        "effectiveDateTime": format!("2026-11-{day:02}T14:00:00Z"), "issued": format!("2026-11-{day:02}T15:00:00Z"),
        "valueQuantity": {"value": value, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
        "identifier": [{"system": "urn:lab", "value": format!("L-{id}")}],
    })
}

fn note(id: &str, day: u32) -> Value {
    json!({
        "resourceType": "DocumentReference", "id": id, "status": "current", "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
        "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note"}]}],
        "subject": subject(), "date": format!("2026-11-{day:02}T15:00:00Z"),
        "author": [{"reference": "Practitioner/md"}], "description": format!("Note {id}"),
        "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
        "context": {"encounter": [{"reference": "Encounter/e"}]},
    })
}

/// (withheld, resource), in the order in which the feed sends them. Withheld ids begin with `k-`.
fn record() -> Vec<(bool, Value)> {
    let mut psychotherapy = note("k-psy", 3);
    psychotherapy["meta"] = json!({"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]});
    psychotherapy["extension"] = json!([{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
        {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
        {"url": "sessionAnalysis", "valueBoolean": true}, {"url": "separatelyStored", "valueBoolean": true},
        {"url": "attestedAt", "valueDateTime": "2026-11-03T15:00:00Z"}]}]);
    let attached = |mut document: Value, binary: &str| {
        document["content"] = json!([{"attachment": {"contentType": "text/plain",
            "url": format!("Binary/{binary}")}}]);
        document
    };
    let binary = |id: &str| {
        json!({"resourceType": "Binary", "id": id,
        "contentType": "text/plain", "data": "Tm90ZQ=="})
    };
    let mut attested = psychotherapy.clone();
    attested["id"] = json!("k-file");
    let attested = attached(attested, "k-text");
    let mut studied = observation("k-study", "2345-7", 99.5, 6);
    // A unit that nothing else has.
    studied["valueQuantity"]["code"] = "g/dL{study}".into();
    studied["extension"] = json!([{"url": "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy",
        "valueReference": {"reference": "ResearchStudy/s"}}]);
    let delayed = |id: &str| {
        let mut consent = json!({
            "resourceType": "Consent", "id": id, "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": subject(), "performer": [subject()], "dateTime": "2026-11-01T14:00:00Z",
            "policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/no-inducement"), "valueBoolean": true}],
        });
        consent["provision"] = json!({"type": "deny", "period": {"end": "2027-01-01T00:00:00Z"},
"code": [{"coding": [{"system": "http://loinc.org", "code": "11526-1"}]}]});
        consent
    };
    let input = |code: &str, name: &str, value: Value| {
        let mut one = json!({"type": {"coding": [{"system": format!("{CB}/CodeSystem/hold-input"), "code": code}]}});
        one[name] = value;
        one
    };
    let hold = json!({
        "resourceType": "Task", "id": "k-hold", "status": "in-progress", "intent": "order",
        "code": {"coding": [{"system": format!("{CB}/CodeSystem/release-task"), "code": "release-hold"}]},
        "focus": {"reference": "Observation/k-held"}, "for": subject(),
        "requester": {"reference": "Practitioner/md"}, "authoredOn": "2026-11-10T15:00:00Z",
        "reasonCode": {"coding": [{"system": format!("{CB}/CodeSystem/release-basis"), "code": "harm-self"}]},
        "restriction": {"period": {"end": "2026-12-20T15:00:00Z"}},
        "input": [
            input("harm-standard", "valueCode", json!("life-or-physical-safety")),
            input("facts", "valueString", json!("Documented suicide plan tied to this result; attempt on 2026-10-02.")),
            input("less-restrictive-considered", "valueString", json!("Same-day visit offered; safety plan in place.")),
            input("relationship", "valueReference", json!({"reference": "Encounter/e"})),
            input("case-by-case", "valueBoolean", json!(true)),
            input("reassess-at", "valueDateTime", json!("2026-11-25T15:00:00Z")),
        ],
    });
    let inside = |value: f64| {
        let mut one = observation("in", "718-7", value, 6);
        one.as_object_mut().unwrap().remove("issued");
        json!([one])
    };
    let biopsy = json!({
        "resourceType": "DiagnosticReport", "id": "k-biopsy", "status": "final", "contained": inside(9.1),
        "category": [{"coding": [{"system": "http://loinc.org", "code": "LP7839-6"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "11526-1"}]}, "subject": subject(),
        "effectiveDateTime": "2026-11-07T12:00:00Z", "issued": "2026-11-07T15:00:00Z",
    });
    let panel = json!({
        "resourceType": "DiagnosticReport", "id": "panel", "status": "final", "contained": inside(13.1),
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "58410-2"}]}, "subject": subject(),
        "encounter": {"reference": "Encounter/e"},
        "effectiveDateTime": "2026-11-08T12:00:00Z", "issued": "2026-11-08T15:00:00Z",
        "result": [{"reference": "Observation/a"}, {"reference": "Observation/k-held"}, {"reference": "Observation/b"}],
    });
    let list = json!({
        "resourceType": "List", "id": "l", "status": "current", "mode": "working", "subject": subject(),
        "entry": [{"item": {"reference": "DocumentReference/n1"}}, {"item": {"reference": "DocumentReference/k-psy"}},
            {"item": {"reference": "Observation/k-study"}}, {"item": {"reference": "Observation/a"}}],
    });
    let provenance = |id: &str, target: &str| {
        json!({"resourceType": "Provenance", "id": id, "target": [{"reference": target}],
            "recorded": "2026-11-09T15:00:00Z", "agent": [{"who": {"reference": "Practitioner/md"}}]})
    };
    vec![
        (
            false,
            json!({"resourceType": "Patient", "id": "p", "name": [{"family": "Ruiz", "given": ["Ana"]}], "gender": "female", "birthDate": "1984-02-29"}),
        ),
        (
            false,
            json!({"resourceType": "Patient", "id": "q", "name": [{"family": "Other"}], "gender": "male"}),
        ),
        (
            false,
            json!({"resourceType": "Practitioner", "id": "md", "name": [{"family": "Lee"}], "qualification": [{"code": {"text": "Doctor of Medicine"}}]}),
        ),
        (
            false,
            json!({"resourceType": "Practitioner", "id": "psy", "name": [{"family": "Freund"}], "qualification": [{"code": {"text": "Clinical Psychologist"}}]}),
        ),
        (
            false,
            json!({"resourceType": "Location", "id": "ward", "name": "Ward", "position": {"latitude": 42.2565, "longitude": -83.6948}}),
        ),
        (
            false,
            json!({"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"system": ACT_CODE, "code": "AMB"}, "subject": subject(),
            "location": [{"location": {"reference": "Location/ward"}}], "participant": [{"individual": {"reference": "Practitioner/md"}}], "period": {"start": "2026-11-01T15:00:00Z", "end": "2026-11-01T15:30:00Z"}}),
        ),
        // The research tuple is complete before the data comes.
        (
            false,
            json!({"resourceType": "ResearchStudy", "id": "s", "status": "active", "extension": [{"url": format!("{CB}/StructureDefinition/includes-treatment"), "valueBoolean": true}]}),
        ),
        (
            false,
            json!({"resourceType": "Consent", "id": "rc", "status": "active", "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}], "patient": subject(), "dateTime": "2026-10-01T14:00:00Z",
            "policyRule": {"coding": [{"system": ACT_CODE, "code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/access-suspension"), "extension": [{"url": "agreed", "valueBoolean": true}, {"url": "informedOfReinstatement", "valueBoolean": true}]}]}),
        ),
        (
            false,
            json!({"resourceType": "ResearchSubject", "id": "rs", "status": "on-study", "study": {"reference": "ResearchStudy/s"}, "individual": subject(), "consent": {"reference": "Consent/rc"}}),
        ),
        (false, observation("a", "718-7", 13.5, 2)),
        (true, psychotherapy),
        (false, note("n1", 2)),
        (true, observation("k-held", "718-7", 4.5, 4)),
        (false, observation("b", "4548-4", 6.1, 5)),
        (true, hold),
        (false, list),
        (true, studied),
        (true, provenance("k-prov", "Observation/k-held")),
        (false, provenance("prov", "Observation/a")),
        (false, delayed("delay")),
        (true, biopsy),
        (false, panel),
        (false, note("n2", 9)),
        // A text comes before the note that it belongs to, and so does who wrote it.
        (true, binary("k-text")),
        (true, provenance("k-by", "Binary/k-text")),
        (true, attested),
        (false, binary("text")),
        (false, provenance("by", "Binary/text")),
        (false, attached(note("n3", 9), "text")),
        (false, observation("c", "718-7", 12.9, 9)),
        (
            false,
            json!({"resourceType": "Observation", "id": "foreign", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/q"}}),
        ),
    ]
}
