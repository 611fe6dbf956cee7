use serde_json::{Value, json};

use super::kit::{T0, World, has_note, observation, report};
use crate::clock::FOREVER;
use crate::release::{Audience, Effect, Mode, NoteKind, Redaction, Withheld, redact};

fn without(resource: &Value, gone: &[&str]) -> Option<Value> {
    let references = gone.iter().map(|&one| one.to_owned()).collect();
    redact(
        resource,
        &Redaction {
            references,
            ..Redaction::default()
        },
    )
}

fn withheld(reference: &str, audience: Audience) -> Withheld {
    Withheld {
        reference: reference.to_owned(),
        audience,
        exempt: None,
        starts: 0,
        ends: FOREVER,
        mode: Mode::Notice,
        rules: vec!["R08-HARM-SELF".to_owned()],
        partial: false,
    }
}

#[test]
fn case_56_a_report_is_shown_as_if_the_result_had_never_been_in_it() {
    let mut whole = report("r", &[]);
    whole["text"] = json!({"status": "generated", "div": "<div>K is 7.1</div>"});
    whole["result"] = json!([{"reference": "Observation/a"}, {"reference": "Observation/k"}]);
    whole["conclusion"] = json!("K is 7.1");
    whole["presentedForm"] = json!([{"url": "Binary/pdf"}]);
    let mut world = World::federal(whole.clone());
    world
        .withheld
        .push(withheld("Observation/k", Audience::PatientSide));
    let decision = world.decide(T0);
    assert!(has_note(&decision, NoteKind::Segmentation));
    let Effect::Redact(parts) = &decision.holds[0].effect else {
        panic!()
    };
    let shown = redact(&whole, parts).unwrap();
    let mut never = report("r", &[]);
    never["result"] = json!([{"reference": "Observation/a"}]);
    assert_eq!(shown.to_string(), never.to_string());
    whole["result"] = json!([{"reference": "Observation/k"}]);
    assert_eq!(
        without(&whole, &["Observation/k"]).unwrap().to_string(),
        report("r", &[]).to_string()
    );
}

#[test]
fn a_result_shown_in_part_takes_the_words_about_it() {
    let mut whole = report("r", &[]);
    whole["result"] = json!([{"reference": "Observation/k"}]);
    whole["conclusion"] = json!("K is 7.1");
    let mut world = World::federal(whole.clone());
    let mut partly = withheld("Observation/k", Audience::PatientSide);
    partly.partial = true;
    world.withheld.push(partly);
    let decision = world.decide(T0);
    let Effect::Redact(parts) = &decision.holds[0].effect else {
        panic!()
    };
    let shown = redact(&whole, parts).unwrap();
    assert_eq!(shown.get("conclusion"), None);
    assert_eq!(shown["result"], whole["result"]);
}

#[test]
fn the_smallest_valid_element_goes() {
    let encounter = json!({
        "resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"},
        "diagnosis": [{"condition": {"reference": "Condition/a"}},
                      {"condition": {"reference": "Condition/hiv"}, "rank": 2}],
        "reasonReference": [{"reference": "Condition/hiv"}],
    });
    let shown = without(&encounter, &["Condition/hiv"]).unwrap();
    assert_eq!(
        shown["diagnosis"],
        json!([{"condition": {"reference": "Condition/a"}}])
    );
    assert_eq!(shown.get("reasonReference"), None);

    let list = json!({
        "resourceType": "List", "status": "current", "mode": "working",
        "entry": [{"flag": {"text": "x"}, "item": {"reference": "Condition/hiv"}}],
    });
    assert_eq!(
        without(&list, &["Condition/hiv"]).unwrap().get("entry"),
        None
    );

    let panel = json!({
        "resourceType": "Observation", "status": "final", "code": {"text": "panel"},
        "hasMember": [{"reference": "Observation/k"}, {"reference": "Observation/a"}],
        "derivedFrom": [{"reference": "http://here/fhir/r4/Observation/k/_history/2"}],
    });
    let shown = without(&panel, &["Observation/k"]).unwrap();
    assert_eq!(shown["hasMember"], json!([{"reference": "Observation/a"}]));
    assert_eq!(shown.get("derivedFrom"), None);

    let composition = json!({
        "resourceType": "Composition", "status": "final", "type": {"text": "t"},
        "date": "2026", "author": [{"reference": "Practitioner/a"}], "title": "t",
        "section": [{"title": "Labs", "text": {"status": "generated", "div": "<div>K</div>"},
                     "entry": [{"reference": "Observation/k"}, {"reference": "Observation/a"}]}],
    });
    let shown = without(&composition, &["Observation/k"]).unwrap();
    assert_eq!(shown["section"][0].get("text"), None);
    assert_eq!(
        shown["section"][0]["entry"],
        json!([{"reference": "Observation/a"}])
    );
}

#[test]
fn nothing_points_at_a_diagnosis_that_is_gone() {
    for type_name in ["Claim", "ExplanationOfBenefit"] {
        let claim = json!({
            "resourceType": type_name, "id": "c", "status": "active",
            "diagnosis": [{"sequence": 1, "diagnosisReference": {"reference": "Condition/hiv"}},
                          {"sequence": 2, "diagnosisReference": {"reference": "Condition/a"}}],
            "item": [{"sequence": 1, "diagnosisSequence": [1, 2], "productOrService": {"text": "x"}},
                     {"sequence": 2, "diagnosisSequence": [1], "productOrService": {"text": "y"}}],
        });
        let shown = without(&claim, &["Condition/hiv"]).unwrap();
        assert_eq!(shown["diagnosis"].as_array().unwrap().len(), 1);
        assert_eq!(shown["item"][0]["diagnosisSequence"], json!([2]));
        assert_eq!(shown["item"][1].get("diagnosisSequence"), None);
    }
}

#[test]
fn a_reference_into_a_withheld_resource_goes_too() {
    let plan = json!({
        "resourceType": "CarePlan", "id": "c", "status": "active", "intent": "plan",
        "addresses": [{"reference": "Condition/hiv#a"}, {"reference": "Condition/b"}],
        "supportingInfo": [{"reference": "http://here/fhir/r4/Condition/hiv/_history/1#a"}],
    });
    assert_eq!(
        crate::release::references(&plan),
        ["Condition/b", "Condition/hiv"]
    );
    let shown = without(&plan, &["Condition/hiv"]).unwrap();
    assert_eq!(shown["addresses"], json!([{"reference": "Condition/b"}]));
    assert_eq!(shown.get("supportingInfo"), None);
}

#[test]
fn what_cannot_stand_is_withheld_whole() {
    let provenance = json!({
        "resourceType": "Provenance", "id": "v", "recorded": "2026-11-10T15:00:00Z",
        "target": [{"reference": "DocumentReference/psy"}],
        "agent": [{"who": {"reference": "Practitioner/a"}}],
    });
    assert_eq!(without(&provenance, &["DocumentReference/psy"]), None);
    let mut world = World::federal(provenance.clone());
    world
        .withheld
        .push(withheld("DocumentReference/psy", Audience::Clinicians));
    let decision = world.decide(T0);
    assert_eq!(decision.holds[0].effect, Effect::Withhold);
    assert_eq!(decision.holds[0].rules, ["R08-HARM-SELF"]);
    let mut two = provenance;
    two["target"] = json!([{"reference": "DocumentReference/psy"}, {"reference": "Observation/a"}]);
    let shown = without(&two, &["DocumentReference/psy"]).unwrap();
    assert_eq!(shown["target"], json!([{"reference": "Observation/a"}]));
}

#[test]
fn contained_resources_go_with_the_last_reference_to_them() {
    let whole = json!({
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "contained": [
            {"resourceType": "Provenance", "id": "why", "recorded": "2026-11-10T15:00:00Z",
             "target": [{"reference": "Observation/k"}],
             "agent": [{"who": {"reference": "#dr"}}]},
            {"resourceType": "Practitioner", "id": "dr"},
            {"resourceType": "Medication", "id": "med"},
        ],
        "medicationReference": {"reference": "#med"},
        "eventHistory": [{"reference": "#why"}],
        "subject": {"reference": "Patient/p"},
    });
    let shown = without(&whole, &["Observation/k"]).unwrap();
    assert_eq!(
        shown["contained"],
        json!([{"resourceType": "Medication", "id": "med"}])
    );
    assert_eq!(shown.get("eventHistory"), None);
}

#[test]
fn labels_that_tell_are_stripped_and_nothing_is_added() {
    let mut whole = observation("o");
    whole["meta"] = json!({"versionId": "1", "security": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"},
    ]});
    whole["derivedFrom"] = json!([{"reference": "Observation/k"}]);
    let shown = without(&whole, &["Observation/k"]).unwrap();
    assert_eq!(shown["meta"], json!({"versionId": "1"}));
    assert_eq!(
        without(&observation("o"), &["Observation/k"]).unwrap(),
        observation("o")
    );
    assert_eq!(
        without(&whole, &["Observation/z"]).unwrap(),
        whole,
        "untouched keeps its labels"
    );
}

#[test]
fn extensions_attachments_and_primitives_with_shadows() {
    let whole = json!({
        "resourceType": "Patient", "id": "p",
        "extension": [{"url": "http://x/y", "valueReference": {"reference": "Observation/k"}}],
        "name": [{"given": ["A", "B"], "_given": [null, {"id": "b"}]}],
        "photo": [{"url": "Binary/k"}],
    });
    let mut parts = Redaction::default();
    parts
        .references
        .extend(["Observation/k".to_owned(), "Binary/k".to_owned()]);
    parts.pointers.insert("/name/0/given/1".to_owned());
    let shown = redact(&whole, &parts).unwrap();
    let expected = json!({
        "resourceType": "Patient", "id": "p", "name": [{"given": ["A"], "_given": [null]}],
    });
    assert_eq!(shown, expected);
}

#[test]
fn case_59_a_binary_follows_its_document() {
    let pdf = json!({"resourceType": "Binary", "id": "pdf", "contentType": "application/pdf"});
    let mut world = World::federal(pdf);
    let mut whole = report("r", &[]);
    whole["presentedForm"] = json!([{"url": "Binary/pdf"}]);
    world.referrers.push((whole, None));
    assert!(world.decide(T0).holds.is_empty());
    assert_eq!(world.decide(T0).depends_on, ["DiagnosticReport/r"]);
    world
        .withheld
        .push(withheld("DiagnosticReport/r", Audience::PatientSide));
    assert!(world.hidden(&Audience::Patient, T0));
    world.withheld[0].partial = true;
    assert!(
        world.hidden(&Audience::Patient, T0),
        "a report in part is shown without its attachments"
    );
    let mut note = json!({"resourceType": "DocumentReference", "id": "n", "status": "current",
        "content": [{"attachment": {"url": "Binary/pdf"}}, {"attachment": {"url": "Binary/x"}}]});
    note["subject"] = json!({"reference": "Patient/p"});
    world.referrers = vec![(note, None)];
    world.withheld[0].reference = "DocumentReference/n".to_owned();
    assert!(
        world.sees(&Audience::Patient, T0),
        "a rendition that still names it"
    );
}

#[test]
fn a_document_is_not_cut_because_of_its_own_binary() {
    let note = json!({"resourceType": "DocumentReference", "id": "n", "status": "current",
        "subject": {"reference": "Patient/p"},
        "content": [{"attachment": {"url": "Binary/pdf"}}]});
    let mut world = World::federal(note);
    world
        .withheld
        .push(withheld("Binary/pdf", Audience::PatientSide));
    assert!(world.decide(T0).holds.is_empty());
}

#[test]
fn a_task_about_something_withheld_is_withheld_but_not_the_patients_own_request() {
    let now = super::kit::task("now", "release-now", "DiagnosticReport/r");
    let mut world = World::federal(now);
    world
        .withheld
        .push(withheld("DiagnosticReport/r", Audience::PatientSide));
    assert!(world.hidden(&Audience::Patient, T0));
    world.target = super::kit::task("review", "access-review", "Task/hold");
    world.withheld[0].reference = "Task/hold".to_owned();
    assert!(!world.hidden(&Audience::Patient, T0) && !world.sees(&Audience::Patient, T0));
}
