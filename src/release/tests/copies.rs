//! What a resource repeats of others, and what it is about besides the patient.

use serde_json::{Value, json};

use super::kit::{
    T0, World, active, hold, hold_input, practitioner, psychotherapy_note, with_input,
};
use crate::release::{Audience, Effect, needs, redact};

/// What is left of the target for the audience; none where nothing is.
fn left(world: &World, audience: &Audience) -> Option<Value> {
    let decision = world.decide(T0);
    match active(&decision, audience, T0)
        .last()
        .map(|span| &span.effect)
    {
        None => Some(world.target.clone()),
        Some(Effect::Withhold) => None,
        Some(Effect::Redact(parts)) => redact(&world.target, parts),
    }
}

fn bundle(kind: &str, resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .map(|one| json!({"fullUrl": "urn:uuid:1", "resource": one}))
        .collect();
    json!({"resourceType": "Bundle", "id": "b", "type": kind, "entry": entries})
}

#[test]
fn a_psychotherapy_note_is_cut_out_of_bundles_and_parameters() {
    let other = json!({"resourceType": "Basic", "id": "x", "code": {"text": "x"}});
    let audiences = [Audience::Payers, Audience::Patient, Audience::Clinicians];
    let collection = bundle("collection", &[other.clone(), psychotherapy_note()]);
    assert_eq!(
        needs(&collection, &World::federal(collection.clone()).policy).references,
        ["Practitioner/psych"]
    );
    let parameters = json!({"resourceType": "Parameters", "id": "p", "parameter": [
        {"name": "a", "part": [{"name": "b", "resource": bundle("collection", &[psychotherapy_note()])},
            {"name": "c", "valueString": "kept"}]}]});
    for target in [collection, parameters] {
        let world = World::federal(target).link(practitioner("psych", "Psychiatrist"));
        for audience in &audiences {
            let shown = left(&world, audience).unwrap();
            assert!(!shown.to_string().contains("psy-text"), "{shown}");
            let kept = shown.to_string();
            assert!(kept.contains("kept") || kept.contains("Basic"), "{shown}");
        }
    }
    // A document is what its first entry says.
    let mut note = psychotherapy_note();
    note["resourceType"] = json!("Composition");
    let document = World::federal(bundle("document", &[note, other]))
        .link(practitioner("psych", "Psychiatrist"));
    for audience in &audiences {
        assert_eq!(left(&document, audience), None);
    }
}

#[test]
fn part_2_records_are_cut_out_of_what_repeats_them() {
    let label = json!([{"code": "42CFRPart2",
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode"}]);
    let note = json!({"resourceType": "DocumentReference", "id": "d", "status": "current",
        "meta": {"security": label}, "content": [{"attachment": {"title": "methadone"}}]});
    let list = json!({"resourceType": "List", "id": "l", "status": "current", "mode": "working",
        "subject": {"reference": "Patient/p"}, "contained": [note.clone()],
        "entry": [{"item": {"reference": "#d"}}, {"item": {"reference": "Observation/a"}}]});
    for target in [list, bundle("collection", std::slice::from_ref(&note))] {
        let world = World::federal(target);
        for audience in [Audience::Payers, Audience::ThirdParties] {
            let shown = left(&world, &audience).map(|one| one.to_string());
            assert!(!shown.unwrap_or_default().contains("methadone"));
        }
        assert!(world.sees(&Audience::Patient, T0));
        assert!(world.sees(&Audience::Clinicians, T0));
    }
}

#[test]
fn a_hold_about_one_patient_leaves_the_others_their_own() {
    let appointment = json!({"resourceType": "Appointment", "id": "a", "status": "booked",
        "participant": [
            {"actor": {"reference": "Patient/p"}, "status": "accepted"},
            {"actor": {"reference": "Patient/q"}, "status": "accepted"}]});
    let mut task = hold("harm-self");
    task["focus"] = json!({"reference": "Appointment/a"});
    let visit = hold_input(
        "relationship",
        "valueReference",
        json!({"reference": "Encounter/visit"}),
    );
    let world = World::federal(appointment)
        .input(with_input(task, visit))
        .link(practitioner("dr", "MD"))
        .link(
            json!({"resourceType": "Encounter", "id": "visit", "status": "finished",
            "subject": {"reference": "Patient/p"},
            "participant": [{"individual": {"reference": "Practitioner/dr"}}]}),
        );
    let held: Vec<Audience> = world
        .decide(T0)
        .holds
        .into_iter()
        .map(|span| span.audience)
        .collect();
    let own = Audience::Patient.both("Record/p");
    assert!(held.contains(&own), "{held:?}");
    assert!(world.sees(&Audience::Patient, T0) && world.sees(&Audience::Representatives, T0));
}
