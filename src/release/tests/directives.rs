use serde_json::{Value, json};

use super::kit::{DAY, HOUR, T0, World, directive, has_note, observation, policy, report};
use crate::release::{Audience, Mode, NoteKind, app_audience};

fn proxy() -> Audience {
    Audience::One("RelatedPerson/x".to_owned())
}

fn actor(reference: &str) -> Value {
    json!([{"role": {"text": "recipient"}, "reference": {"reference": reference}}])
}

fn labs() -> Value {
    json!({
        "type": "deny",
        "actor": actor("RelatedPerson/x"),
        "class": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory",
        }],
    })
}

#[test]
fn case_44_no_labs_for_my_proxy() {
    let lab = World::federal(observation("o")).input(directive(labs()));
    assert!(lab.hidden(&proxy(), T0));
    assert!(lab.sees(&Audience::Patient, T0));
    assert!(lab.sees(&Audience::One("RelatedPerson/y".into()), T0));
    assert_eq!(lab.decide(T0).holds[0].mode, Mode::Conceal);
    let mut cbc = report("r", &[]);
    cbc["category"] = json!([{"coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}]);
    assert!(
        World::federal(cbc)
            .input(directive(labs()))
            .hidden(&proxy(), T0)
    );
    assert!(
        World::federal(report("r", &[]))
            .input(directive(labs()))
            .sees(&proxy(), T0)
    );
    let consent = World::federal(directive(labs())).input(directive(labs()));
    assert!(
        consent.hidden(&proxy(), T0),
        "the directive tells of itself"
    );
    assert!(consent.sees(&Audience::Patient, T0));
}

#[test]
fn a_directive_needs_its_attestation_and_its_patient() {
    let world = |change: &dyn Fn(&mut Value)| {
        let mut consent = directive(labs());
        change(&mut consent);
        World::federal(observation("o")).input(consent)
    };
    let faults: [&dyn Fn(&mut Value); 4] = [
        &|consent| consent["extension"] = json!([]),
        &|consent| consent["extension"][0]["valueBoolean"] = json!(false),
        &|consent| consent["performer"] = json!([{"reference": "RelatedPerson/x"}]),
        &|consent| consent["dateTime"] = json!(null),
    ];
    for fault in faults {
        let world = world(fault);
        assert!(world.decide(T0).holds.is_empty());
        assert!(has_note(&world.decide(T0), NoteKind::DirectiveNotApplied));
    }
    for status in ["inactive", "rejected", "draft", "entered-in-error"] {
        let world = world(&|consent| consent["status"] = json!(status));
        assert!(world.decide(T0).holds.is_empty() && world.decide(T0).entries.is_empty());
    }
}

#[test]
fn narrowing_by_type_code_label_data_and_dates() {
    let deny = |facet: &str, value: Value| {
        let mut provision = json!({"type": "deny", "actor": actor("Organization/plan")});
        provision[facet] = value;
        World::federal(observation("o")).input(directive(provision))
    };
    let plan = Audience::One("Organization/plan".to_owned());
    let types = "http://hl7.org/fhir/resource-types";
    let loinc = |code: &str| json!([{"coding": [{"system": "http://loinc.org", "code": code}]}]);
    let rows = [
        (
            "class",
            json!([{"system": types, "code": "Observation"}]),
            true,
        ),
        (
            "class",
            json!([{"system": types, "code": "Condition"}]),
            false,
        ),
        ("code", loinc("2345-7"), true),
        ("code", loinc("718-7"), false),
        (
            "securityLabel",
            json!([{"system": "x", "code": "HIV"}]),
            false,
        ),
        (
            "data",
            json!([{"meaning": "instance", "reference": {"reference": "Observation/o"}}]),
            true,
        ),
        (
            "data",
            json!([{"meaning": "instance", "reference": {"reference": "Observation/z"}}]),
            false,
        ),
        (
            "dataPeriod",
            json!({"start": "2026-11-01", "end": "2026-11-30"}),
            true,
        ),
        ("dataPeriod", json!({"end": "2026-10-31"}), false),
    ];
    for (facet, value, held) in rows {
        assert_eq!(
            deny(facet, value.clone()).hidden(&plan, T0),
            held,
            "{facet} {value}"
        );
    }
}

#[test]
fn an_exception_within_a_directive_and_a_later_permit_give_back() {
    let mut all = json!({"type": "deny", "actor": actor("RelatedPerson/x")});
    all["provision"] = json!([{
        "type": "permit",
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}],
    }]);
    assert!(
        World::federal(observation("o"))
            .input(directive(all.clone()))
            .sees(&proxy(), T0)
    );
    assert!(
        World::federal(report("r", &[]))
            .input(directive(all))
            .hidden(&proxy(), T0)
    );

    let mut permit = directive(json!({"type": "permit", "actor": actor("RelatedPerson/x")}));
    permit["id"] = json!("yes");
    permit["extension"] = json!([]);
    let deny_all = directive(json!({"type": "deny", "actor": actor("RelatedPerson/x")}));
    let tie = World::federal(observation("o"))
        .input(deny_all.clone())
        .input(permit.clone());
    assert!(tie.hidden(&proxy(), T0), "a denial wins a tie");
    permit["dateTime"] = json!("2026-11-10T14:30:00Z");
    let later = World::federal(observation("o"))
        .input(deny_all)
        .input(permit.clone());
    assert!(later.sees(&proxy(), T0));
    let specific = World::federal(observation("o"))
        .input(directive(labs()))
        .input(permit);
    assert!(
        specific.hidden(&proxy(), T0),
        "the specific wins over the general"
    );
    // The same of permits, whenever they were given: to name the resource is more than to name its class.
    let mut named = directive(json!({"type": "permit", "actor": actor("RelatedPerson/x"),
        "data": [{"meaning": "instance", "reference": {"reference": "Observation/o"}}]}));
    named["id"] = json!("named");
    named["dateTime"] = json!("2026-11-10T13:00:00Z");
    for denied in [
        labs(),
        json!({"type": "deny", "actor": actor("RelatedPerson/x")}),
    ] {
        let world = |target| {
            World::federal(target)
                .input(directive(denied.clone()))
                .input(named.clone())
        };
        assert!(world(observation("o")).sees(&proxy(), T0), "{denied}");
        assert!(world(observation("other")).hidden(&proxy(), T0), "{denied}");
    }
}

#[test]
fn case_46_the_patient_delays_a_biopsy_and_cancels() {
    let provision = json!({
        "type": "deny",
        "period": {"end": "2026-11-13T15:00:00Z"},
        "data": [{"meaning": "instance", "reference": {"reference": "DiagnosticReport/biopsy"}}],
    });
    let mut world = World::federal(report("biopsy", &[])).input(directive(provision.clone()));
    assert!(world.hidden(&Audience::Patient, T0));
    assert!(world.sees(&Audience::Representatives, T0));
    assert!(world.sees(&Audience::Patient, T0 + 3 * DAY));
    assert_eq!(world.decide(T0).holds[0].mode, Mode::Pending);
    world.inputs[0].0["status"] = json!("inactive");
    assert!(world.sees(&Audience::Patient, T0 + HOUR));

    let mut part = World::federal(observation("o")).input(directive(provision));
    assert!(part.sees(&Audience::Patient, T0));
    let mut biopsy = report("biopsy", &[]);
    biopsy["result"] = json!([{"reference": "Observation/o"}]);
    part.referrers.push((biopsy, None));
    assert!(
        part.hidden(&Audience::Patient, T0),
        "its results wait with it"
    );
}

#[test]
fn an_unnarrowed_delay_is_about_results_and_needs_an_end() {
    let until = json!({"type": "deny", "period": {"end": "2026-11-13T15:00:00Z"}});
    assert!(
        World::federal(report("r", &[]))
            .input(directive(until.clone()))
            .hidden(&Audience::Patient, T0)
    );
    let mut pulse = observation("o");
    pulse["category"][0]["coding"][0]["code"] = json!("vital-signs");
    assert!(
        World::federal(pulse)
            .input(directive(until))
            .sees(&Audience::Patient, T0)
    );
    let endless = World::federal(report("r", &[])).input(directive(json!({"type": "deny"})));
    assert!(endless.sees(&Audience::Patient, T0));
    assert!(has_note(&endless.decide(T0), NoteKind::DirectiveNotApplied));
}

#[test]
fn case_74_two_delays_last_to_the_later_and_both_are_named() {
    let until = json!({"type": "deny", "period": {"end": "2026-11-15T15:00:00Z"}});
    let target = report("path", &["malignancy-likely"]);
    let world = World::new(policy("US-KY", "America/New_York"), target).input(directive(until));
    assert!(world.hidden(&Audience::Patient, T0 + 5 * DAY - 1));
    assert!(world.sees(&Audience::Patient, T0 + 5 * DAY));
    let decision = world.decide(T0);
    let mut rules: Vec<&String> = decision.holds.iter().flat_map(|span| &span.rules).collect();
    rules.sort();
    assert_eq!(rules, ["R13-PTDELAY", "R21-KY"]);
}

#[test]
fn an_app_is_named_by_its_device_or_its_client_id() {
    let client = json!({"system": crate::release::vocabulary::CLIENT_ID, "value": "app-1"});
    let device = json!({"resourceType": "Device", "id": "d", "identifier": [client.clone()]});
    let by_device = json!({"type": "deny", "actor": actor("Device/d")});
    let world = World::federal(observation("o"))
        .input(directive(by_device))
        .link(device);
    assert!(world.hidden(&app_audience("app-1"), T0));
    assert!(world.hidden(&Audience::One("Device/d".into()), T0));
    assert!(world.sees(&Audience::Patient, T0));
    let by_id =
        json!({"type": "deny", "actor": [{"role": {}, "reference": {"identifier": client}}]});
    assert!(
        World::federal(observation("o"))
            .input(directive(by_id))
            .hidden(&app_audience("app-1"), T0)
    );
}

#[test]
fn a_directive_for_a_time_begins_and_ends_by_itself() {
    let mut provision = labs();
    provision["period"] = json!({"start": "2026-11-12", "end": "2026-11-12"});
    let world = World::federal(observation("o")).input(directive(provision));
    let span = &world.decide(T0).holds[0];
    assert_eq!(span.ends - span.starts, DAY, "the last day counts");
    assert!(span.starts > T0);
}

fn part_2_note() -> Value {
    json!({"resourceType": "DocumentReference", "id": "d", "status": "current",
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "42CFRPart2"}]},
        "subject": {"reference": "Patient/p"}})
}

#[test]
fn case_52_part_2_records_need_a_consent_for_third_parties_alone() {
    let third = [
        Audience::Payers,
        Audience::Researchers,
        Audience::ThirdParties,
    ];
    let alone = World::federal(part_2_note());
    for audience in &third {
        assert!(alone.hidden(audience, T0), "{audience:?}");
    }
    for audience in [
        Audience::Patient,
        Audience::Representatives,
        Audience::Clinicians,
    ] {
        assert!(alone.sees(&audience, T0), "{audience:?}");
    }
    let labels = json!([{"code": "42CFRPart2",
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode"}]);
    let consent = |provision: Value| World::federal(part_2_note()).input(directive(provision));
    let general = consent(json!({"type": "permit", "securityLabel": labels,
        "period": {"end": "2026-12-01T00:00:00Z"}}));
    for audience in &third {
        assert!(general.sees(audience, T0), "{audience:?}");
        assert!(general.hidden(audience, T0 + 30 * DAY), "{audience:?}");
    }
    // A permission that is not about these records, or is none any more, opens nothing.
    assert!(consent(json!({"type": "permit"})).hidden(&Audience::Payers, T0));
    let mut over = directive(json!({"type": "permit", "securityLabel": labels}));
    over["status"] = json!("inactive");
    assert!(
        World::federal(part_2_note())
            .input(over)
            .hidden(&Audience::Payers, T0)
    );
    let plan = json!([{"role": {}, "reference": {"reference": "Organization/plan"}}]);
    let named = consent(json!({"type": "permit", "actor": plan}));
    let spans = named.decide(T0).holds;
    assert_eq!(spans.len(), 3);
    assert!(
        spans
            .iter()
            .all(|span| span.exempt.as_deref() == Some("Organization/plan"))
    );
}

#[test]
fn a_self_pay_restriction_fails_closed_against_plans_alone() {
    let mut consent = directive(json!({"type": "deny",
        "actor": [{"role": {}, "reference": {"reference": "Organization/plan"}}]}));
    consent["policyRule"] = json!({"coding": [{"code": "HIPAASelfPay",
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode"}]});
    for part in ["extension", "performer", "dateTime", "provision"] {
        let mut consent = consent.clone();
        consent.as_object_mut().unwrap().remove(part);
        let world = World::federal(report("r", &[])).input(consent);
        assert!(world.hidden(&Audience::Payers, T0), "{part}");
        assert!(world.sees(&Audience::Patient, T0), "{part}");
        assert!(world.sees(&Audience::Clinicians, T0), "{part}");
    }
    let world = World::federal(report("r", &[])).input(consent.clone());
    assert!(world.hidden(&Audience::One("Organization/plan".into()), T0));
    // What it is narrowed to, and itself, and no more.
    consent["provision"]["data"] = json!([{"meaning": "instance",
        "reference": {"reference": "DiagnosticReport/r"}}]);
    let world = World::federal(report("r", &[])).input(consent.clone());
    assert!(world.hidden(&Audience::Payers, T0));
    let world = World::federal(report("other", &[])).input(consent.clone());
    assert!(world.sees(&Audience::Payers, T0));
    let world = World::federal(consent.clone()).input(consent);
    assert!(world.hidden(&Audience::Payers, T0));
}
