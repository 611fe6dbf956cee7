//! Rows of references, and whose a resource is by them.

use super::*;

#[test]
fn references() {
    let found = rows(&json!({
        "resourceType": "Observation",
        "contained": [{"resourceType": "Device", "id": "d"}],
        "subject": {"reference": "https://here.example/fhir/r4/Patient/1/_history/4"},
        "performer": [
            {"reference": "Practitioner/2"},
            {"reference": "https://there.example/Practitioner/3"},
            {"reference": "urn:uuid:9", "type": "Organization"},
            {"identifier": {"system": "http://npi", "value": "77"}},
            {"display": "somebody"}
        ],
        "device": {"reference": "#d"}
    }));
    let row = |code, target, name: &str| ReferenceRow {
        param: param("Observation", code),
        target,
        target_type: definitions().type_id(name).unwrap(),
        text: String::new(),
    };
    let elsewhere = |uri: &str, name: &str| ReferenceRow {
        text: uri.to_owned(),
        ..row("performer", keys().text(uri), name)
    };
    let mut wanted = vec![
        row("subject", keys().reference("Patient", "1"), "Patient"),
        row("patient", keys().reference("Patient", "1"), "Patient"),
        row(
            "performer",
            keys().reference("Practitioner", "2"),
            "Practitioner",
        ),
        elsewhere("https://there.example/Practitioner/3", "Practitioner"),
        elsewhere("urn:uuid:9", "Organization"),
    ];
    wanted.sort_unstable();
    assert_eq!(found.references, wanted);
    // Of what is only displayed or contained there is nothing but its presence.
    let is_there = |code| TokenRow {
        param: param("Observation", code),
        code: present(&keys()),
        system: 0,
        text: String::new(),
    };
    let mut wanted = vec![
        token("Observation", "performer", "http://npi", "77"),
        is_there("performer"),
        is_there("device"),
        // Its status is missing.
        TokenRow {
            param: -param("Observation", "status"),
            code: 0,
            system: 0,
            text: String::new(),
        },
    ];
    wanted.sort_unstable();
    assert_eq!(found.tokens, wanted);
    assert_eq!(found.patients, ["1"]);
}

#[test]
fn subjects_that_are_no_patients() {
    let about = |subject: Value| {
        rows(&json!({
            "resourceType": "Observation",
            "contained": [{"resourceType": "Patient", "id": "in"}],
            "subject": subject
        }))
        .patients
    };
    assert_eq!(about(json!({"reference": "Patient/1"})), ["1"]);
    assert_eq!(about(json!({"reference": "Group/1"})), Vec::<String>::new());
    assert_eq!(about(json!({"reference": "#in"})), Vec::<String>::new());
    assert_eq!(
        about(json!({"reference": "https://there.example/Patient/1"})),
        Vec::<String>::new()
    );
    let adverse = json!({"resourceType": "AdverseEvent", "subject": {"reference": "Patient/2"}});
    assert_eq!(rows(&adverse).patients, ["2"]);
    let both = json!({"resourceType": "Appointment", "participant": [
        {"actor": {"reference": "Practitioner/9"}},
        {"actor": {"reference": "Patient/2"}},
        {"actor": {"reference": "Patient/1"}},
        {"actor": {"reference": "Patient/2"}}
    ]});
    assert_eq!(rows(&both).patients, ["2", "1"]);
}
