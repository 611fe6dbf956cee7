use serde_json::{Value, json};

use super::kit::{T0, World, active, has_note, practitioner, psychotherapy_note};
use crate::clock::FOREVER;
use crate::release::vocabulary::PSYCHOTHERAPY_ATTESTATION;
use crate::release::{Audience, Effect, NoteKind, needs, redact, weighs_the_same};

fn noted(author: Value) -> World {
    World::federal(psychotherapy_note()).link(author)
}

#[test]
fn case_6_and_7_an_attested_note_is_absent_for_everybody_but_its_author() {
    let world = noted(practitioner("psych", "Licensed clinical psychologist"));
    let decision = world.decide(T0);
    for group in [
        Audience::Patient,
        Audience::Representatives,
        Audience::Clinicians,
        Audience::Payers,
        Audience::Researchers,
        Audience::ThirdParties,
    ] {
        assert!(world.hidden(&group, T0), "{group:?}");
    }
    assert!(decision.holds.iter().all(|span| span.ends == FOREVER));
    let exempt: Vec<_> = decision
        .holds
        .iter()
        .filter_map(|span| span.exempt.as_deref())
        .collect();
    assert_eq!(exempt, ["Practitioner/psych"], "clinicians only");
    assert!(
        decision
            .entries
            .iter()
            .all(|note| note.ib_path == "not_ehi")
    );
    assert_eq!(decision.dependents, ["Binary/psy-text"]);
    assert_eq!(decision.depends_on, ["Practitioner/psych"]);
}

#[test]
fn case_8_a_social_worker_without_a_mental_health_qualification_makes_no_psychotherapy_note() {
    let world = noted(practitioner("psych", "Social worker"));
    assert!(world.decide(T0).holds.is_empty());
    assert!(has_note(&world.decide(T0), NoteKind::PsyClaimUnsupported));
}

#[test]
fn qualifications_are_read_from_codes_degrees_roles_and_words() {
    let nucc = json!([{"code": {"coding": [
        {"system": "http://nucc.org/provider-taxonomy", "code": "2084P0800X"}]}}]);
    let cases = [
        (practitioner("psych", "Psychiatrist"), true),
        (practitioner("psych", "LCSW"), true),
        (practitioner("psych", "Marriage and family therapist"), true),
        (practitioner("psych", "PMHNP-BC"), true),
        (practitioner("psych", "MD, dermatology"), false),
        (practitioner("psych", "Physical therapist"), false),
        (
            json!({"resourceType": "Practitioner", "id": "psych", "qualification": nucc}),
            true,
        ),
        (
            json!({"resourceType": "Practitioner", "id": "psych"}),
            false,
        ),
    ];
    for (author, held) in cases {
        let world = noted(author.clone());
        assert_eq!(world.hidden(&Audience::Patient, T0), held, "{author}");
    }
    let mut expired = practitioner("psych", "Psychiatrist");
    expired["qualification"][0]["period"] = json!({"end": "2020-01-01"});
    assert!(noted(expired).sees(&Audience::Patient, T0));
}

#[test]
fn a_role_speaks_for_its_practitioner() {
    let mut note = psychotherapy_note();
    note["extension"][0]["extension"][0]["valueReference"]["reference"] =
        json!("PractitionerRole/r");
    let role = json!({
        "resourceType": "PractitionerRole", "id": "r",
        "practitioner": {"reference": "Practitioner/psych"},
        "specialty": [{"text": "Psychiatry"}],
    });
    let world = World::federal(note.clone()).link(role.clone());
    assert!(world.hidden(&Audience::Patient, T0));
    let mut plain = role;
    plain["specialty"] = json!([{"text": "General practice"}]);
    let through = World::federal(note)
        .link(plain)
        .link(practitioner("psych", "Psychologist"));
    assert!(through.hidden(&Audience::Patient, T0));
    let exempt = through
        .decide(T0)
        .holds
        .iter()
        .find_map(|span| span.exempt.clone());
    assert_eq!(exempt.as_deref(), Some("Practitioner/psych"));
}

#[test]
fn an_unknown_author_fails_closed() {
    let world = World::federal(psychotherapy_note());
    assert!(world.hidden(&Audience::Patient, T0));
    assert!(has_note(&world.decide(T0), NoteKind::AuthorUnresolved));
    assert_eq!(world.decide(T0).depends_on, ["Practitioner/psych"]);
}

#[test]
fn every_part_of_the_attestation_is_needed() {
    let author = practitioner("psych", "Psychiatrist");
    for place in 0..4 {
        let mut note = psychotherapy_note();
        note["extension"][0]["extension"]
            .as_array_mut()
            .unwrap()
            .remove(place);
        let world = World::federal(note).link(author.clone());
        assert!(world.sees(&Audience::Patient, T0), "part {place}");
        assert!(has_note(&world.decide(T0), NoteKind::PsyClaimUnsupported));
    }
    for place in 1..3 {
        let mut note = psychotherapy_note();
        note["extension"][0]["extension"][place]["valueBoolean"] = json!(false);
        assert!(
            World::federal(note)
                .link(author.clone())
                .sees(&Audience::Patient, T0)
        );
    }
    let mut unlabelled = psychotherapy_note();
    unlabelled["meta"] = json!({});
    assert!(
        World::federal(unlabelled)
            .link(author)
            .sees(&Audience::Patient, T0)
    );
}

#[test]
fn case_5_a_label_alone_releases() {
    let mut note = psychotherapy_note();
    note["extension"] = json!([]);
    let world = World::federal(note);
    assert!(world.decide(T0).holds.is_empty());
    assert!(has_note(&world.decide(T0), NoteKind::PsyClaimUnsupported));
}

#[test]
fn case_9_a_therapy_visit_is_released_whatever_it_claims() {
    let note = psychotherapy_note();
    let visit = json!({
        "resourceType": "Encounter", "id": "visit", "status": "finished",
        "meta": note["meta"], "extension": note["extension"],
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p"},
    });
    assert!(World::federal(visit).decide(T0).holds.is_empty());
    assert!(note["extension"][0]["url"] == json!(PSYCHOTHERAPY_ATTESTATION));
}

/// A feed writes people again all day; only what a rule reads of them is looked at again.
#[test]
fn a_new_telephone_number_of_the_author_weighs_nothing_and_a_lost_qualification_does() {
    let author = practitioner("psych", "Psychiatrist");
    let idle = json!({
        "meta": {"versionId": "7", "lastUpdated": "2026-11-10T15:00:00Z"},
        "name": [{"family": "Freud"}],
        "telecom": [{"system": "phone", "value": "555-0100"}],
        "address": [{"city": "Tulsa"}],
        "_birthDate": {"extension": [{"url": "http://example.org/x", "valueBoolean": true}]},
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">F</div>"},
    });
    for (name, value) in idle.as_object().unwrap() {
        let mut again = author.clone();
        again[name] = value.clone();
        assert!(weighs_the_same(&author, &again), "{name}");
        assert_eq!(
            noted(again).decide(T0).holds,
            noted(author.clone()).decide(T0).holds,
            "{name}"
        );
    }
    for (name, value) in [
        ("qualification", json!([])),
        ("active", json!(false)),
        ("identifier", json!([{"value": "1"}])),
        ("meta", json!({"security": [{"code": "R"}]})),
    ] {
        let mut other = author.clone();
        other[name] = value;
        assert!(!weighs_the_same(&author, &other), "{name}");
    }
    let order = json!({"resourceType": "ServiceRequest", "id": "o"});
    assert!(!weighs_the_same(&order, &order), "whose time may count");
}

#[test]
fn a_copy_inside_another_resource_is_cut() {
    let list = json!({
        "resourceType": "List", "id": "l", "status": "current", "mode": "working",
        "subject": {"reference": "Patient/p"},
        "contained": [psychotherapy_note()],
        "entry": [{"item": {"reference": "#psy"}}, {"item": {"reference": "Observation/a"}}],
    });
    let world = World::federal(list.clone()).link(practitioner("psych", "Psychiatrist"));
    assert_eq!(
        needs(&list, &world.policy).references,
        ["Practitioner/psych"]
    );
    let decision = world.decide(T0);
    let [span] = active(&decision, &Audience::Patient, T0)[..] else {
        panic!("{:?}", decision.holds)
    };
    let Effect::Redact(parts) = &span.effect else {
        panic!()
    };
    let shown = redact(&list, parts).unwrap();
    assert_eq!(shown.get("contained"), None);
    assert_eq!(shown["entry"].as_array().unwrap().len(), 1);
    // Without its attestation it is as ordinary there as elsewhere.
    let mut ordinary = list;
    ordinary["contained"][0]
        .as_object_mut()
        .unwrap()
        .remove("extension");
    let world = World::federal(ordinary).link(practitioner("psych", "Psychiatrist"));
    assert!(world.sees(&Audience::Patient, T0));
}
