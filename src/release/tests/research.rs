use serde_json::{Value, json};

use super::kit::{T0, World, has_note, observation};
use crate::release::vocabulary::{
    ACCESS_SUSPENSION, BLINDED, CONSENT_SCOPE, INCLUDES_TREATMENT, RESEARCH_STUDY,
};
use crate::release::{Audience, Effect, NoteKind, redact};

fn study() -> Value {
    json!({
        "resourceType": "ResearchStudy", "id": "s", "status": "active",
        "extension": [{"url": INCLUDES_TREATMENT, "valueBoolean": true}],
    })
}

fn subject() -> Value {
    json!({
        "resourceType": "ResearchSubject", "id": "sub", "status": "on-study",
        "study": {"reference": "ResearchStudy/s"},
        "individual": {"reference": "Patient/p"},
        "consent": {"reference": "Consent/c"},
        "assignedArm": "verum",
    })
}

fn consent() -> Value {
    json!({
        "resourceType": "Consent", "id": "c", "status": "active",
        "scope": {"coding": [{"system": CONSENT_SCOPE, "code": "research"}]},
        "patient": {"reference": "Patient/p"},
        "extension": [{"url": ACCESS_SUSPENSION, "extension": [
            {"url": "agreed", "valueBoolean": true},
            {"url": "informedOfReinstatement", "valueBoolean": true},
        ]}],
    })
}

fn data() -> Value {
    let mut data = observation("o");
    data["extension"] = json!([{
        "url": RESEARCH_STUDY, "valueReference": {"reference": "ResearchStudy/s"},
    }]);
    data
}

#[test]
fn case_47_the_whole_tuple_suspends_access_while_the_study_runs() {
    let world = World::federal(data())
        .link(study())
        .input(subject())
        .input(consent());
    let decision = world.decide(T0);
    assert!(world.hidden(&Audience::Patient, T0));
    assert!(decision.entries[0].basis.contains("(a)(2)(iii)"));
    assert_eq!(decision.holds[0].rules, ["R04-RESEARCH"]);
    assert!(decision.depends_on.contains(&"ResearchStudy/s".to_owned()));
}

#[test]
fn case_48_any_part_missing_releases() {
    type Fault = dyn Fn(&mut Value, &mut Value, &mut Value);
    let faults: [&Fault; 10] = [
        &|study, _, _| study["status"] = json!("completed"),
        &|study, _, _| study["extension"] = json!([]),
        &|study, _, _| study["extension"][0]["valueBoolean"] = json!(false),
        &|study, _, _| study["period"] = json!({"end": "2026-11-01"}),
        &|_, subject, _| subject["status"] = json!("withdrawn"),
        &|_, subject, _| subject["individual"]["reference"] = json!("Patient/q"),
        &|_, subject, _| subject["consent"] = json!(null),
        &|_, _, consent| consent["status"] = json!("inactive"),
        &|_, _, consent| consent["extension"][0]["extension"][0]["valueBoolean"] = json!(false),
        &|_, _, consent| consent["extension"][0]["extension"] = json!([]),
    ];
    for (place, fault) in faults.iter().enumerate() {
        let (mut study, mut subject, mut consent) = (study(), subject(), consent());
        fault(&mut study, &mut subject, &mut consent);
        let world = World::federal(data())
            .link(study)
            .input(subject)
            .input(consent);
        assert!(world.decide(T0).holds.is_empty(), "{place}");
        assert!(
            has_note(&world.decide(T0), NoteKind::EvidenceGap),
            "{place}"
        );
    }
}

#[test]
fn case_50_ordinary_data_of_a_subject_is_released() {
    let world = World::federal(observation("ed"))
        .link(study())
        .input(subject())
        .input(consent());
    assert!(world.decide(T0).holds.is_empty() && world.decide(T0).entries.is_empty());
}

#[test]
fn the_arm_is_hidden_in_a_blinded_study_only() {
    let open = World::federal(subject())
        .link(study())
        .input(subject())
        .input(consent());
    assert!(open.decide(T0).holds.is_empty());
    let mut blind = study();
    blind["extension"]
        .as_array_mut()
        .unwrap()
        .push(json!({"url": BLINDED, "valueBoolean": true}));
    let world = open.link(blind);
    let Effect::Redact(parts) = &world.decide(T0).holds[0].effect.clone() else {
        panic!()
    };
    assert_eq!(
        redact(&world.target, parts).unwrap().get("assignedArm"),
        None
    );
}
