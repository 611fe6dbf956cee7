use serde_json::{Value, json};

use super::kit::{
    DAY, T0, World, active, has_note, hold, hold_input, observation, policy, practitioner,
    psychotherapy_note, ref_of, report, task, with_input, without_input,
};
use crate::release::{Audience, Effect, Mode, NoteKind, check_hold, check_input, redact};

fn visit() -> Value {
    json!({
        "resourceType": "Encounter", "id": "visit", "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p"},
        "participant": [{"individual": {"reference": "Practitioner/dr"}}],
    })
}

fn world(task: Value) -> World {
    World::federal(report("r", &[]))
        .link(practitioner("dr", "Doctor of Medicine"))
        .link(visit())
        .input(task)
}

/// What REST would say of the hold, joined.
fn refusal(task: &Value) -> String {
    let world = world(task.clone());
    let mut known = world.linked.clone();
    known.insert("DiagnosticReport/r".to_owned(), world.target.clone());
    match check_hold(task, &known, &world.policy, T0) {
        Ok(()) => String::new(),
        Err(issues) => issues
            .into_iter()
            .map(|issue| issue.diagnostics)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn case_26_a_hold_with_its_evidence_withholds_with_notice() {
    let world = world(hold("harm-self"));
    assert_eq!(refusal(&hold("harm-self")), "");
    let decision = world.decide(T0);
    assert_eq!(decision.holds.len(), 1);
    let span = &decision.holds[0];
    assert_eq!(
        (&span.audience, span.mode),
        (&Audience::PatientSide, Mode::Notice)
    );
    assert_eq!(span.rules, ["R08-HARM-SELF"]);
    assert!(decision.entries[0].basis.contains("171.201(d)(3)"));
    assert!(decision.depends_on.contains(&"Encounter/visit".to_owned()));
    assert!(world.sees(&Audience::Clinicians, T0));
    let notice = policy("US", "UTC")
        .notice("R08-HARM-SELF")
        .unwrap()
        .to_owned();
    assert!(
        notice.contains("reviewed") && notice.contains("complain"),
        "{notice}"
    );
}

#[test]
fn case_27_emotional_distress_is_no_ground() {
    let upset = "The patient may be upset and anxious after reading this result alone at home.";
    let task = with_input(
        hold("harm-self"),
        hold_input("facts", "valueString", json!(upset)),
    );
    assert!(refusal(&task).contains("emotional distress"));
    let denied = "No suicidal thoughts are known; she may be very upset and anxious about it.";
    let task = with_input(
        hold("harm-self"),
        hold_input("facts", "valueString", json!(denied)),
    );
    assert!(refusal(&task).contains("emotional distress"));
    assert!(has_note(&world(task).decide(T0), NoteKind::EvidenceGap));
}

#[test]
fn case_28_neither_a_clerk_nor_a_stranger_determines_anything() {
    let clerk = world(hold("harm-self")).link(practitioner("dr", "Billing clerk"));
    assert!(clerk.sees(&Audience::Patient, T0));
    assert!(has_note(&clerk.decide(T0), NoteKind::EvidenceGap));
    let nobody = world(hold("harm-self"))
        .link(json!({"resourceType": "Practitioner", "id": "dr", "name": [{"family": "X"}]}));
    assert!(nobody.sees(&Audience::Patient, T0));
    let mut stranger = visit();
    stranger["participant"][0]["individual"]["reference"] = json!("Practitioner/other");
    let stranger = world(hold("harm-self")).link(stranger);
    assert!(stranger.sees(&Audience::Patient, T0));
    let mut elsewhere = visit();
    elsewhere["subject"]["reference"] = json!("Patient/q");
    assert!(
        world(hold("harm-self"))
            .link(elsewhere)
            .sees(&Audience::Patient, T0)
    );
}

#[test]
fn a_care_team_shows_the_relationship_through_a_role() {
    let team = json!({
        "resourceType": "CareTeam", "id": "team", "status": "active",
        "subject": {"reference": "Patient/p"},
        "participant": [{"member": {"reference": "PractitionerRole/dr-role"}}],
    });
    let role = json!({
        "resourceType": "PractitionerRole", "id": "dr-role",
        "practitioner": {"reference": "Practitioner/dr"},
    });
    let by_team = hold_input(
        "relationship",
        "valueReference",
        json!({"reference": "CareTeam/team"}),
    );
    let world = world(with_input(hold("harm-self"), by_team))
        .link(team)
        .link(role);
    assert!(world.hidden(&Audience::Patient, T0));
}

#[test]
fn each_missing_part_is_named_and_does_not_hold() {
    for part in [
        "harm-standard",
        "facts",
        "less-restrictive-considered",
        "relationship",
        "reassess-at",
    ] {
        let task = without_input(hold("harm-self"), part);
        assert!(refusal(&task).contains(part), "{part}: {}", refusal(&task));
        assert!(world(task).sees(&Audience::Patient, T0), "{part}");
    }
    let task = without_input(hold("harm-self"), "case-by-case");
    assert!(refusal(&task).contains("case-by-case"));
    let policy = hold_input("policy", "valueString", json!("PH-12@3"));
    assert_eq!(refusal(&with_input(task, policy)), "");
    for part in [
        "focus",
        "for",
        "requester",
        "authoredOn",
        "reasonCode",
        "restriction",
    ] {
        let mut task = hold("harm-self");
        task.as_object_mut().unwrap().remove(part);
        assert_ne!(refusal(&task), "", "{part}");
    }
    let mut long = hold("harm-self");
    long["restriction"]["period"]["end"] = json!("2027-02-08T15:00:01Z");
    assert!(refusal(&long).contains("90 days"));
    long["restriction"]["period"]["end"] = json!("2027-02-08T15:00:00Z");
    assert_eq!(refusal(&long), "");
    let short = hold_input("facts", "valueString", json!("Overdose risk."));
    assert!(refusal(&with_input(hold("harm-self"), short)).contains("40 characters"));
    let mut several = without_input(hold("harm-self"), "facts");
    several.as_object_mut().unwrap().remove("authoredOn");
    assert!(refusal(&several).lines().count() >= 2);
}

#[test]
fn case_30_an_expired_hold_is_nothing() {
    let world = world(hold("harm-self"));
    let end = T0 + 21 * DAY;
    assert!(world.hidden(&Audience::Patient, end - 1000));
    assert!(world.sees(&Audience::Patient, end));
    assert!(world.decide(end + 1000).holds.is_empty());
    assert!(has_note(&world.decide(end + 1000), NoteKind::Expired));
}

#[test]
fn a_cancelled_or_completed_hold_ends_at_once() {
    for status in ["cancelled", "completed", "draft", "entered-in-error"] {
        let mut task = hold("harm-self");
        task["status"] = json!(status);
        assert!(world(task).decide(T0).holds.is_empty(), "{status}");
    }
}

#[test]
fn case_31_the_determiner_reviews_no_own_decision() {
    let world = world(hold("harm-self")).link(practitioner("second", "Doctor of Medicine"));
    let mut known = world.linked.clone();
    known.insert("Task/hold".to_owned(), hold("harm-self"));
    let mut review = task("review", "access-review", "Task/hold");
    review["owner"] = json!({"reference": "Practitioner/dr"});
    let refused = check_input(&review, &known, &world.policy, T0).unwrap_err();
    assert_eq!(refused[0].expression, "Task.owner");
    review["owner"] = json!({"reference": "Practitioner/second"});
    check_input(&review, &known, &world.policy, T0).unwrap();
    review["output"] = json!([{"type": {"text": "outcome"}, "valueCode": "upheld"}]);
    assert!(
        world
            .clone()
            .input(review.clone())
            .hidden(&Audience::Patient, T0)
    );
    review["output"] = json!([{"type": {"text": "outcome"}, "valueCode": "reversed"}]);
    let reversed = world.input(review);
    assert!(reversed.sees(&Audience::Patient, T0));
    assert!(has_note(&reversed.decide(T0), NoteKind::Overridden));
}

#[test]
fn only_a_licensed_professional_reverses_and_only_when_done() {
    let world = world(hold("harm-self"))
        .link(practitioner("second", "Doctor of Medicine"))
        .link(practitioner("clerk", "Billing clerk"))
        .link(json!({"resourceType": "PractitionerRole", "id": "own",
            "practitioner": {"reference": "Practitioner/dr"}}))
        .link(json!({"resourceType": "PractitionerRole", "id": "other",
            "practitioner": {"reference": "Practitioner/second"}}));
    let mut known = world.linked.clone();
    known.insert("Task/hold".to_owned(), hold("harm-self"));
    let mut review = task("review", "access-review", "Task/hold");
    review["output"] = json!([{"type": {"text": "outcome"}, "valueCode": "reversed"}]);
    for owner in [
        "Practitioner/clerk",
        "Practitioner/dr",
        "Practitioner/unknown",
        "PractitionerRole/own",
        "Patient/p",
        "RelatedPerson/x",
        "Organization/o",
        "Device/d",
    ] {
        review["owner"] = json!({"reference": owner});
        assert!(
            check_input(&review, &known, &world.policy, T0).is_err(),
            "{owner}"
        );
        let reviewed = world.clone().input(review.clone());
        assert!(reviewed.hidden(&Audience::Patient, T0), "{owner}");
        let decision = reviewed.decide(T0);
        assert!(has_note(&decision, NoteKind::EvidenceGap), "{owner}");
    }
    review["owner"] = json!({"reference": "PractitionerRole/other"});
    for status in ["requested", "on-hold", "in-progress"] {
        review["status"] = json!(status);
        let refused = check_input(&review, &known, &world.policy, T0).unwrap_err();
        assert_eq!(refused[0].expression, "Task.status");
        let reviewed = world.clone().input(review.clone());
        assert!(reviewed.hidden(&Audience::Patient, T0), "{status}");
    }
    review["status"] = json!("completed");
    check_input(&review, &known, &world.policy, T0).unwrap();
    assert!(world.input(review).sees(&Audience::Patient, T0));
}

#[test]
fn a_time_in_the_future_lengthens_no_hold() {
    let mut task = hold("harm-self");
    task["authoredOn"] = json!("2027-10-01T15:00:00Z");
    task["restriction"]["period"]["end"] = json!("2027-12-30T15:00:00Z");
    task = with_input(
        task,
        hold_input(
            "reassess-at",
            "valueDateTime",
            json!("2027-10-20T15:00:00Z"),
        ),
    );
    let refused = refusal(&task);
    assert!(
        refused.contains("future") && refused.contains("90 days"),
        "{refused}"
    );
    let world = world(task);
    assert!(world.sees(&Audience::Patient, T0));
    assert!(has_note(&world.decide(T0), NoteKind::EvidenceGap));
    // That day comes, and it is no more valid.
    assert!(world.sees(&Audience::Patient, T0 + 330 * DAY));
    // Clocks may be a few seconds apart.
    let mut near = hold("harm-self");
    near["authoredOn"] = json!("2026-11-10T15:00:30Z");
    assert_eq!(refusal(&near), "");
}

#[test]
fn the_professional_and_the_relationship_are_of_the_time_of_the_determination() {
    let with = |practitioner: Value, visit: Value| {
        let world = World::federal(report("r", &[]));
        let world = world.link(practitioner).link(visit);
        world
            .input(hold("harm-self"))
            .hidden(&Audience::Patient, T0)
    };
    let doctor = practitioner("dr", "Doctor of Medicine");
    assert!(with(doctor.clone(), visit()));
    for (period, counts) in [
        (json!({"end": "2020-01-01"}), false),
        (json!({"start": "2026-11-11"}), false),
        (json!({"start": "2010-01-01", "end": "2026-11-30"}), true),
    ] {
        let mut one = doctor.clone();
        one["qualification"][0]["period"] = period.clone();
        assert_eq!(with(one, visit()), counts, "{period}");
    }
    let mut idle = doctor.clone();
    idle["active"] = json!(false);
    assert!(!with(idle, visit()));
    for (start, counts) in [
        ("2026-12-01T09:00:00Z", false),
        ("2026-11-10T09:00:00Z", true),
        ("2026-11-10", true),
    ] {
        let mut later = visit();
        later["period"] = json!({"start": start});
        assert_eq!(with(doctor.clone(), later), counts, "{start}");
        let mut joined = visit();
        joined["participant"][0]["period"] = json!({"start": start});
        assert_eq!(with(doctor.clone(), joined), counts, "{start}");
    }
}

#[test]
fn a_hold_is_looked_at_again_in_time() {
    for (at, words) in [
        ("2026-12-11T15:00:01Z", "720 hours"),
        ("2026-11-09T15:00:00Z", "not after"),
        ("2026-12-02T15:00:00Z", ""),
        ("2026-11-30T15:00:00Z", ""),
        ("2026-11-10", ""),
    ] {
        let input = hold_input("reassess-at", "valueDateTime", json!(at));
        let task = with_input(hold("harm-self"), input);
        let refused = refusal(&task);
        assert!(refused.contains(words), "{at}: {refused}");
        assert_eq!(refused.is_empty(), words.is_empty(), "{at}: {refused}");
        assert_eq!(world(task).sees(&Audience::Patient, T0), !words.is_empty());
    }
    let mut old = hold("harm-self");
    old["authoredOn"] = json!("2026-11-01T15:00:00Z");
    let input = hold_input(
        "reassess-at",
        "valueDateTime",
        json!("2026-11-05T15:00:00Z"),
    );
    let old = with_input(old, input);
    assert!(refusal(&old).contains("in the past"));
    // One that stands goes on to its end.
    assert!(world(old).hidden(&Audience::Patient, T0));
}

#[test]
fn case_33_a_whole_chart_is_refused_and_a_path_narrows() {
    let mut chart = hold("harm-self");
    chart["focus"]["reference"] = json!("Patient/p");
    assert!(refusal(&chart).contains("whole chart"));
    let path = hold_input("path", "valueString", json!("DiagnosticReport.conclusion"));
    let mut world = world(with_input(hold("harm-self"), path));
    world.target["conclusion"] = json!("One paragraph.");
    world.target["presentedForm"] = json!([{"url": "Binary/pdf"}]);
    let decision = world.decide(T0);
    let [span] = active(&decision, &Audience::Patient, T0)[..] else {
        panic!()
    };
    let Effect::Redact(parts) = &span.effect else {
        panic!()
    };
    let shown = redact(&world.target, parts).unwrap();
    assert_eq!(shown, report("r", &[]));
    let wrong = hold_input("path", "valueString", json!("DiagnosticReport.("));
    assert!(refusal(&with_input(hold("harm-self"), wrong)).contains("path"));
    let nothing = hold_input("path", "valueString", json!("DiagnosticReport.media"));
    assert!(refusal(&with_input(hold("harm-self"), nothing)).contains("finds nothing"));
}

#[test]
fn case_35_what_holds_off_a_representative_does_not_hold_off_the_patient() {
    let substantial = hold_input("harm-standard", "valueCode", json!("substantial-harm"));
    let task = with_input(hold("harm-representative"), substantial.clone());
    assert_eq!(refusal(&task), "");
    let world = world(task.clone());
    assert!(world.hidden(&Audience::Representatives, T0));
    assert!(world.sees(&Audience::Patient, T0));
    let own = with_input(hold("harm-self"), substantial);
    assert!(refusal(&own).contains("life or physical safety"));
    let mut at_patient = task;
    at_patient["restriction"]["recipient"] = json!([{"reference": "Patient/p"}]);
    assert!(refusal(&at_patient).contains("no ground against the patient"));
}

#[test]
fn case_36_only_the_paths_about_the_daughter_go() {
    let substantial = hold_input("harm-standard", "valueCode", json!("substantial-harm"));
    let threat = "The daughter disclosed abuse in confidence; her father threatens retaliation.";
    let path = hold_input("path", "valueString", json!("note[1]"));
    let task = with_input(
        with_input(
            with_input(hold("harm-third-party"), substantial),
            hold_input("facts", "valueString", json!(threat)),
        ),
        path,
    );
    // The whole is held only with a word about it.
    let whole = world(without_input(task.clone(), "path"));
    assert!(whole.hidden(&Audience::Patient, T0));
    assert!(has_note(&whole.decide(T0), NoteKind::Segmentation));
    let mut world = world(task);
    world.target = observation("r");
    world.target["note"] = json!([
        {"authorReference": {"reference": "Practitioner/dr"}, "text": "Seen today."},
        {"text": "Daughter says ..."},
    ]);
    world.inputs[0].0["focus"]["reference"] = json!("Observation/r");
    let decision = world.decide(T0);
    let Effect::Redact(parts) = &decision.holds[0].effect else {
        panic!()
    };
    let shown = redact(&world.target, parts).unwrap();
    assert_eq!(shown["note"].as_array().unwrap().len(), 1);
    assert_eq!(
        shown["note"][0]["authorReference"]["reference"],
        "Practitioner/dr"
    );
}

#[test]
fn named_recipients_alone_are_held_off() {
    let mut task = hold("harm-self");
    task["restriction"]["recipient"] = json!([{"reference": "RelatedPerson/x"}]);
    let world = world(task);
    assert!(world.hidden(&Audience::One("RelatedPerson/x".into()), T0));
    assert!(world.sees(&Audience::One("RelatedPerson/y".into()), T0));
    assert!(world.sees(&Audience::Patient, T0));
}

#[test]
fn a_data_defect_needs_no_relationship_but_says_what_is_wrong() {
    let facts = "Specimen label carries the name and birth date of a different person.";
    let mut task = without_input(
        without_input(hold("data-defect"), "relationship"),
        "harm-standard",
    );
    task = with_input(task, hold_input("facts", "valueString", json!(facts)));
    assert!(refusal(&task).contains("72 hours"));
    let soon = json!("2026-11-13T15:00:00Z");
    task = with_input(task, hold_input("reassess-at", "valueDateTime", soon));
    assert!(refusal(&task).contains("defect-type"));
    let wrong = with_input(
        task.clone(),
        hold_input("defect-type", "valueCode", json!("wrong-patient")),
    );
    assert_eq!(refusal(&wrong), "");
    assert_eq!(world(wrong).decide(T0).holds[0].rules, ["R11-DATADEFECT"]);
    let corrupt = with_input(
        task,
        hold_input("defect-type", "valueString", json!("corrupt transfer")),
    );
    assert!(refusal(&corrupt).contains("harm-standard"));
}

#[test]
fn litigation_needs_its_matter_and_unbuilt_reasons_are_refused() {
    let mut task = hold("litigation");
    task["input"] = json!([]);
    assert!(refusal(&task).contains("matter"));
    let task = with_input(
        task,
        hold_input("matter", "valueString", json!("2026-CV-0042")),
    );
    assert_eq!(refusal(&task), "");
    assert_eq!(world(task).decide(T0).holds[0].rules, ["R03-LITIG"]);
    assert!(refusal(&hold("confidential-source")).contains("no rule in force"));
}

#[test]
fn the_hold_itself_is_not_shown_to_whom_it_holds_off() {
    let mut world = world(hold("harm-self"));
    world.target = hold("harm-self");
    assert_eq!(ref_of(&world.target), "Task/hold");
    assert!(world.hidden(&Audience::Patient, T0));
    assert!(world.sees(&Audience::Clinicians, T0));
    assert!(world.sees(&Audience::Patient, T0 + 21 * DAY));
}

#[test]
fn a_hold_for_another_patient_holds_nothing() {
    let mut task = hold("harm-self");
    task["for"]["reference"] = json!("Patient/q");
    assert!(refusal(&task).contains("patient"));
    assert!(world(task).decide(T0).holds.is_empty());
}

#[test]
fn a_hold_that_begins_later_holds_from_then() {
    let mut task = hold("harm-self");
    task["restriction"]["period"]["start"] = json!("2026-11-12T15:00:00Z");
    assert_eq!(refusal(&task), "");
    let world = world(task.clone());
    let day = |days: i64| T0 + days * DAY;
    assert_eq!(world.decide(T0).holds[0].starts, day(2));
    assert!(world.sees(&Audience::Patient, day(1)));
    assert!(!world.sees(&Audience::Patient, day(2)));
    // One that began is as one that does not say so.
    task["restriction"]["period"]["start"] = json!("2026-11-01");
    assert!(!self::world(task.clone()).sees(&Audience::Patient, T0));
    for (start, says) in [("2027-11-12", "not before"), ("soon", "no dateTime")] {
        task["restriction"]["period"]["start"] = json!(start);
        assert!(refusal(&task).contains(says), "{start}");
    }
}

#[test]
fn what_steers_says_what_to_decide_again() {
    use crate::release::{Affects, steers};
    let steering = steers(&hold("harm-self"));
    assert_eq!(steering.input_of.as_deref(), Some("Patient/p"));
    assert_eq!(
        steering.affects,
        Affects::Targets(vec!["DiagnosticReport/r".to_owned()])
    );
    let review = task("review", "access-review", "Task/hold");
    assert_eq!(steers(&review).affects, Affects::Record);
    let specimen = json!({"resourceType": "Specimen", "id": "s"});
    assert_eq!(steers(&specimen).affects, Affects::Nothing);
    assert_eq!(steers(&observation("o")).affects, Affects::DependentsOnly);
    assert_eq!(steers(&observation("o")).input_of, None);
    assert_eq!(
        steers(&psychotherapy_note()).affects,
        Affects::DependentsOnly
    );
}
