//! What starts a delay, whose it is, and who ends one early.

use serde_json::{Value, json};

use super::kit::{T0, World, flag, has_note, observation, policy, practitioner, report, task};
use crate::release::{Audience, NoteKind};

fn kentucky(target: Value) -> World {
    World::new(policy("US-KY", "America/New_York"), target)
}

fn visit() -> Value {
    json!({"resourceType": "Encounter", "id": "v", "status": "finished",
        "subject": {"reference": "Patient/p"},
        "participant": [{"individual": {"reference": "Practitioner/dr"}}]})
}

#[test]
fn who_is_named_in_a_visit_ends_no_delay_without_a_licence() {
    let early = task("now", "release-now", "DiagnosticReport/r");
    let mut talk = task("talk", "discussed-with-patient", "DiagnosticReport/r");
    talk["input"] = json!([{"type": {"text": "patient-requested"}, "valueBoolean": true}]);
    let mut nothing = practitioner("dr", "");
    nothing.as_object_mut().unwrap().remove("qualification");
    let mut lapsed = practitioner("dr", "MD");
    lapsed["qualification"][0]["period"] = json!({"end": "2020-01-01"});
    for (who, counts) in [
        (practitioner("dr", "Doctor of Medicine"), true),
        (practitioner("dr", "Billing clerk"), false),
        (practitioner("dr", "Volunteer"), false),
        (nothing, false),
        (lapsed, false),
    ] {
        let world = kentucky(report("r", &["malignancy-likely"]))
            .link(visit())
            .link(who.clone())
            .input(early.clone());
        assert_eq!(world.sees(&Audience::Patient, T0), counts, "{who}");
        let refused = has_note(&world.decide(T0), NoteKind::OverrideRefused);
        assert_eq!(refused, !counts, "{who}");
        let california = policy("US-CA", "America/Los_Angeles");
        let world = World::new(california, report("r", &["hiv"]))
            .link(visit())
            .link(who.clone())
            .input(talk.clone());
        assert_eq!(world.sees(&Audience::Patient, T0), counts, "{who}");
        // A licence that becomes known is looked at again.
        let decision = world.decide(T0);
        assert!(decision.depends_on.contains(&"Practitioner/dr".to_owned()));
    }
}

#[test]
fn a_flag_on_a_contained_order_or_result_counts() {
    let order = json!({"resourceType": "ServiceRequest", "id": "s", "status": "active",
        "intent": "order", "extension": [flag("malignancy-likely")]});
    let mut ordered = report("r", &[]);
    ordered["contained"] = json!([order]);
    ordered["basedOn"] = json!([{"reference": "#s"}]);
    assert!(kentucky(ordered.clone()).hidden(&Audience::Patient, T0));
    // What is contained and not named by the result is not its order.
    ordered.as_object_mut().unwrap().remove("basedOn");
    assert!(kentucky(ordered.clone()).sees(&Audience::Patient, T0));
    let mut inner = observation("o");
    inner["extension"] = json!([flag("genetic-marker")]);
    let mut whole = report("r", &[]);
    whole["contained"] = json!([inner]);
    whole["result"] = json!([{"reference": "#o"}]);
    for state in [("US-KY", "America/New_York"), ("US-TX", "America/Chicago")] {
        let world = World::new(policy(state.0, state.1), whole.clone());
        assert!(world.hidden(&Audience::Patient, T0), "{state:?}");
    }
    // A contained panel's member, by its contained order.
    let mut member = observation("m");
    member["basedOn"] = json!([{"reference": "#s"}]);
    let mut panel = observation("o");
    panel["hasMember"] = json!([{"reference": "#m"}]);
    whole["contained"] = json!([panel, member, order]);
    assert!(kentucky(whole.clone()).hidden(&Audience::Patient, T0));
    whole["contained"][2]["extension"] = json!([]);
    assert!(kentucky(whole).sees(&Audience::Patient, T0));
    let mut document = json!({"resourceType": "DocumentReference", "id": "d", "status": "current",
        "subject": {"reference": "Patient/p"}, "contained": [order],
        "context": {"related": [{"reference": "#s"}]}});
    assert!(kentucky(document.clone()).hidden(&Audience::Patient, T0));
    document["context"] = json!({});
    assert!(kentucky(document).sees(&Audience::Patient, T0));
}

#[test]
fn a_report_of_another_patient_delays_nothing() {
    let mut theirs = report("path", &["malignancy-likely"]);
    theirs["result"] = json!([{"reference": "Observation/o"}]);
    let mut world = kentucky(observation("o"));
    world.referrers.push((theirs.clone(), None));
    assert!(world.hidden(&Audience::Patient, T0));
    world.referrers[0].0["subject"]["reference"] = json!("Patient/q");
    assert!(world.sees(&Audience::Patient, T0));
    // Should it turn out to be this patient's, this is decided again.
    assert_eq!(world.decide(T0).depends_on, ["DiagnosticReport/path"]);
    let mut mine = report("r", &[]);
    mine["basedOn"] = json!([{"reference": "ServiceRequest/s"}]);
    let mut order = json!({"resourceType": "ServiceRequest", "id": "s",
        "subject": {"reference": "Patient/q"}, "extension": [flag("genetic-marker")]});
    let world = kentucky(mine);
    assert!(
        world
            .clone()
            .link(order.clone())
            .sees(&Audience::Patient, T0)
    );
    order["subject"]["reference"] = json!("Patient/p");
    assert!(world.link(order).hidden(&Audience::Patient, T0));
}

#[test]
fn pathology_is_known_by_more_codes_and_as_a_composition() {
    for loinc in ["11529-5", "60568-3", "10524-7"] {
        let mut one = report("r", &[]);
        one["category"] = json!([{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]);
        one["code"] = json!({"coding": [{"system": "http://loinc.org", "code": loinc}]});
        assert!(kentucky(one).hidden(&Audience::Patient, T0), "{loinc}");
    }
    let mut written = json!({"resourceType": "Composition", "id": "c", "status": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11526-1"}]},
        "subject": {"reference": "Patient/p"}, "date": "2026-11-10T15:00:00Z", "title": "Report"});
    let world = kentucky(written.clone());
    assert!(world.hidden(&Audience::Patient, T0));
    assert!(world.sees(&Audience::Patient, T0 + 72 * super::kit::HOUR));
    written["type"]["coding"][0]["code"] = json!("11488-4");
    assert!(kentucky(written).sees(&Audience::Patient, T0));
}

#[test]
fn montana_knows_the_tests_of_hiv_and_the_antigens_of_hepatitis() {
    let montana = policy("US-MT", "America/Denver");
    let coded = |loinc: &str| {
        let mut target = observation("o");
        target["code"] = json!({"coding": [{"system": "http://loinc.org", "code": loinc}]});
        target
    };
    for loinc in [
        "20447-9", "70241-5", "62469-2", "25836-8", "29539-4", "5018-7", "49580-4", "68961-2",
        "80387-4", "69668-2", "89365-1", "48346-1", "30361-0",
    ] {
        let mut target = coded(loinc);
        target["valueString"] = json!("Positive");
        let world = World::new(montana.clone(), target.clone());
        assert!(world.hidden(&Audience::Patient, T0), "{loinc}");
        target["valueString"] = json!("Not detected");
        let world = World::new(montana.clone(), target);
        assert!(world.sees(&Audience::Patient, T0), "{loinc}");
    }
    for loinc in ["58452-4", "65633-0", "10675-7"] {
        let world = World::new(montana.clone(), coded(loinc));
        assert!(world.hidden(&Audience::Patient, T0), "{loinc}");
    }
}
