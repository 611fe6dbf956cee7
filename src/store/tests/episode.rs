//! A minor's confidential visit is concealed from a representative with all that came of it, and
//! nothing else is.

use serde_json::{Value, json};

use super::{CB, Fixture, fixtures, observation, viewer};
use crate::visibility::{Viewer, ViewerClass};

fn mother() -> Viewer {
    Viewer {
        class: ViewerClass::Representative,
        person: Some("RelatedPerson/mother".to_owned()),
        ..viewer(ViewerClass::Patient, Some("p"))
    }
}

fn of(type_name: &str, id: &str, more: Value) -> Value {
    let mut resource = json!({"resourceType": type_name, "id": id});
    for (key, value) in more.as_object().unwrap() {
        resource[key] = value.clone();
    }
    resource
}

fn link(to: &str) -> Value {
    json!({"reference": to})
}

fn subject() -> Value {
    link("Patient/p")
}

fn visit(confidential: bool) -> Value {
    let mut visit = of(
        "Encounter",
        "ev",
        json!({"status": "finished", "class": {"code": "AMB"}, "subject": subject(),
            "period": {"start": "2026-11-09T15:00:00Z"},
            "appointment": [link("Appointment/a")],
            "episodeOfCare": [link("EpisodeOfCare/program"), link("EpisodeOfCare/asthma")],
            "account": [link("Account/bills")],
            "diagnosis": [{"condition": link("Condition/new")}, {"condition": link("Condition/old")}]}),
    );
    if confidential {
        visit["extension"] = json!([{"url": format!("{CB}/StructureDefinition/minor-consented-service"),
            "extension": [{"url": "law", "valueString": "Cal. Fam. Code 6926"},
                {"url": "notShareWithRepresentative", "valueBoolean": true}]}]);
    }
    visit
}

fn care(id: &str, since: &str) -> Value {
    of(
        "EpisodeOfCare",
        id,
        json!({"status": "active", "patient": subject(), "period": {"start": since}}),
    )
}

/// That somebody looked at something of the record.
fn access(id: &str, to: &str) -> Value {
    of(
        "AuditEvent",
        id,
        json!({"type": {"code": "rest"}, "recorded": "2026-11-10T15:00:00Z",
            "agent": [{"requestor": true}], "source": {"observer": {"display": "x"}},
            "entity": [{"what": link(to)}, {"what": subject()}]}),
    )
}

/// What came of the visit, without naming it.
fn episode() -> Vec<Value> {
    let money = || json!({"coding": [{"code": "x"}]});
    let mut report = of(
        "DiagnosticReport",
        "report",
        json!({"status": "final", "code": {"text": "STI"}, "subject": subject(),
            "encounter": link("Encounter/ev"), "result": [link("Observation/result")]}),
    );
    report["issued"] = json!("2026-11-10T15:00:00Z");
    let with = |id: &str, key: &str, value: Value| {
        let mut one = observation(id);
        one[key] = value;
        one
    };
    vec![
        observation("result"),
        report,
        of(
            "Encounter",
            "child",
            json!({"status": "finished", "class": {"code": "AMB"}, "subject": subject(),
                "partOf": link("Encounter/ev")}),
        ),
        with("of-child", "encounter", link("Encounter/child")),
        of(
            "ServiceRequest",
            "order",
            json!({"status": "active", "intent": "order", "subject": subject(),
                "encounter": link("Encounter/ev")}),
        ),
        with("ordered", "basedOn", json!([link("ServiceRequest/order")])),
        of(
            "Specimen",
            "swab",
            json!({"subject": subject(), "request": [link("ServiceRequest/order")]}),
        ),
        of(
            "MedicationRequest",
            "rx",
            json!({"status": "active", "intent": "order", "subject": subject(),
                "medicationCodeableConcept": {"text": "x"}, "encounter": link("Encounter/ev")}),
        ),
        of(
            "MedicationDispense",
            "dispense",
            json!({"status": "completed", "subject": subject(),
                "medicationCodeableConcept": {"text": "x"},
                "authorizingPrescription": [link("MedicationRequest/rx")]}),
        ),
        of(
            "ExplanationOfBenefit",
            "eob",
            json!({"status": "active", "type": money(), "use": "claim", "patient": subject(),
                "created": "2026-11-10", "insurer": {"display": "x"}, "outcome": "complete",
                "provider": {"display": "x"}, "prescription": link("MedicationRequest/rx"),
                "insurance": [{"focal": true, "coverage": {"display": "x"}}]}),
        ),
        of(
            "ChargeItem",
            "charge",
            json!({"status": "billed", "code": {"text": "x"}, "subject": subject(),
                "context": link("Encounter/ev")}),
        ),
        of(
            "Invoice",
            "bill",
            json!({"status": "issued", "subject": subject(),
                "lineItem": [{"chargeItemReference": link("ChargeItem/charge")}]}),
        ),
        of(
            "Appointment",
            "a",
            json!({"status": "fulfilled", "participant": [
                {"actor": subject(), "status": "accepted"}]}),
        ),
        of(
            "Condition",
            "new",
            json!({"subject": subject(), "recordedDate": "2026-11-09"}),
        ),
        care("program", "2026-11-09"),
        of(
            "Account",
            "bills",
            json!({"status": "active", "subject": [subject()], "servicePeriod": {"start": "2026-11-09"}}),
        ),
        access("of-visit", "Encounter/ev"),
        access("of-result", "Observation/result"),
    ]
}

async fn shown(fixture: &Fixture, who: &Viewer, resources: &[Value]) -> Vec<String> {
    let mut shown = Vec::new();
    for one in resources {
        let reference = format!(
            "{}/{}",
            one["resourceType"].as_str().unwrap(),
            one["id"].as_str().unwrap()
        );
        if fixture.is_there(who, &reference).await {
            shown.push(reference);
        }
    }
    shown
}

#[tokio::test]
async fn the_whole_episode_is_concealed_in_any_order_and_comes_back() {
    for (at, fixture) in fixtures().await.into_iter().enumerate() {
        let mut parts = episode();
        parts.push(visit(true));
        // What is not of the episode, though the visit or its order name it.
        let ordinary = [
            of(
                "Condition",
                "old",
                json!({"subject": subject(), "recordedDate": "2019-03-01"}),
            ),
            observation("ordinary"),
            of(
                "Encounter",
                "checkup",
                json!({"status": "finished", "class": {"code": "AMB"}, "subject": subject()}),
            ),
            access("of-ordinary", "Observation/ordinary"),
            care("asthma", "2019-03-01"),
        ];
        fixture
            .put(of("Patient", "p", json!({"birthDate": "2011-01-01"})))
            .await;
        fixture
            .put(of(
                "RelatedPerson",
                "mother",
                json!({"patient": subject(), "active": true}),
            ))
            .await;
        for one in &ordinary {
            fixture.put(one.clone()).await;
        }
        if at == 0 {
            parts.reverse();
        }
        for one in &parts {
            fixture.put(one.clone()).await;
        }
        let (mother, minor) = (mother(), viewer(ViewerClass::Patient, Some("p")));
        let none: [String; 0] = [];
        assert_eq!(shown(&fixture, &mother, &parts).await, none);
        assert_eq!(shown(&fixture, &minor, &parts).await.len(), parts.len());
        assert_eq!(shown(&fixture, &mother, &ordinary).await.len(), 5);
        // The minor lets her know after all.
        fixture.put(visit(false)).await;
        assert_eq!(shown(&fixture, &mother, &parts).await.len(), parts.len());
    }
}
