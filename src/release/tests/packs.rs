use serde_json::json;

use super::kit::{
    HOUR, T0, World, at, has_note, observation, policy, practitioner, ref_of, report, task,
};
use crate::clock::FOREVER;
use crate::release::{Audience, Mode, NoteKind, PackSwitch, PolicyContext, check_input};

fn kentucky(target: serde_json::Value) -> World {
    World::new(policy("US-KY", "America/New_York"), target)
}

#[test]
fn cases_1_to_3_the_federal_base_releases_everything_final() {
    let world = World::federal(report("path", &["malignancy-likely"]));
    let decision = world.decide(T0);
    assert!(decision.holds.is_empty() && decision.entries.is_empty());
    assert_eq!(decision.finalized_at, Some(T0));
    assert!(
        World::federal(observation("cbc"))
            .decide(T0)
            .holds
            .is_empty()
    );
}

#[test]
fn case_14_kentucky_delays_72_hours() {
    let world = kentucky(report("rad", &["malignancy-likely"]));
    let spans = world.decide(T0).holds;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].audience, Audience::PatientSide);
    assert_eq!((spans[0].starts, spans[0].ends), (0, T0 + 72 * HOUR));
    assert_eq!(spans[0].mode, Mode::Pending);
    assert_eq!(spans[0].rules, ["R21-KY"]);
    assert!(world.hidden(&Audience::Patient, T0 + 72 * HOUR - 60_000));
    assert!(world.sees(&Audience::Patient, T0 + 72 * HOUR));
    assert!(world.sees(&Audience::Clinicians, T0));
}

#[test]
fn case_15_the_ordering_provider_directs_the_release() {
    let mut early = task("now", "release-now", "DiagnosticReport/rad");
    early["authoredOn"] = json!("2026-11-11T01:00:00Z");
    let order = json!({"resourceType": "ServiceRequest", "id": "order",
        "subject": {"reference": "Patient/p"}, "requester": {"reference": "Practitioner/dr"}});
    let mut world = kentucky(report("rad", &["malignancy-likely"]))
        .link(order)
        .link(practitioner("dr", "MD"));
    world.inputs.push((early, T0 + 10 * HOUR, false));
    assert!(world.hidden(&Audience::Patient, T0 + 10 * HOUR - 1));
    assert!(world.sees(&Audience::Patient, T0 + 10 * HOUR));
    assert!(has_note(
        &world.decide(T0 + 10 * HOUR),
        NoteKind::Overridden
    ));
    for nobody in ["RelatedPerson/x", "Practitioner/stranger"] {
        world.inputs[0].0["requester"]["reference"] = json!(nobody);
        assert!(world.hidden(&Audience::Patient, T0 + 11 * HOUR), "{nobody}");
        assert!(has_note(
            &world.decide(T0 + 11 * HOUR),
            NoteKind::OverrideRefused
        ));
    }
}

#[test]
fn case_17_a_routine_panel_is_not_delayed() {
    assert!(kentucky(observation("ldl")).decide(T0).holds.is_empty());
    assert!(kentucky(report("lipid", &[])).decide(T0).holds.is_empty());
}

#[test]
fn a_flag_on_the_order_counts_and_a_missing_order_is_waited_for() {
    let mut path = report("path", &[]);
    path["basedOn"] = json!([{"reference": "ServiceRequest/o"}]);
    let order = json!({
        "resourceType": "ServiceRequest", "id": "o",
        "extension": [super::kit::flag("genetic-marker")],
    });
    let without = kentucky(path);
    assert!(without.decide(T0).holds.is_empty());
    assert_eq!(without.decide(T0).depends_on, ["ServiceRequest/o"]);
    assert!(without.link(order).hidden(&Audience::Patient, T0));
}

#[test]
fn anatomic_pathology_is_recognized_by_code() {
    let mut path = report("path", &[]);
    path["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "11526-1"}]});
    assert!(kentucky(path).hidden(&Audience::Patient, T0));
    let mut radiology = report("ct", &[]);
    radiology["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "24627-2"}]});
    assert!(kentucky(radiology).sees(&Audience::Patient, T0));
}

#[test]
fn results_of_a_flagged_report_wait_with_it() {
    let mut path = report("path", &["malignancy-likely"]);
    path["result"] = json!([{"reference": "Observation/o"}]);
    assert_eq!(
        kentucky(path.clone()).decide(T0).dependents,
        ["Observation/o"]
    );
    let mut world = kentucky(observation("o"));
    world.target["issued"] = json!("2026-11-10T03:00:00Z");
    world.referrers.push((path, None));
    assert_eq!(world.decide(T0).holds[0].ends, T0 + 72 * HOUR);
    assert_eq!(world.decide(T0).depends_on, ["DiagnosticReport/path"]);
}

#[test]
fn a_flagged_report_that_is_not_final_waits_for_its_clock_to_begin() {
    let mut early = report("path", &["malignancy-likely"]);
    early["status"] = json!("preliminary");
    assert_eq!(kentucky(early).decide(T0).holds[0].ends, FOREVER);
}

#[test]
fn what_will_never_be_final_is_not_hidden_for_ever() {
    for status in ["cancelled", "entered-in-error", "unknown"] {
        let mut gone = report("path", &["malignancy-likely"]);
        gone["status"] = json!(status);
        let world = kentucky(gone);
        assert!(world.hidden(&Audience::Patient, T0), "{status}");
        assert_eq!(world.decide(T0).holds[0].ends, T0 + 72 * HOUR, "{status}");
    }
    for status in ["registered", "partial", "preliminary"] {
        let mut early = report("path", &["malignancy-likely"]);
        early["status"] = json!(status);
        assert_eq!(
            kentucky(early).decide(T0).holds[0].ends,
            FOREVER,
            "{status}"
        );
    }
}

#[test]
fn case_11_and_12_texas_waits_for_the_third_day_not_the_72nd_hour() {
    let mut path = report("path", &["malignancy-likely"]);
    path["issued"] = json!("2026-11-10T10:00:00-06:00");
    let world = World::new(policy("US-TX", "America/Chicago"), path);
    assert!(world.hidden(&Audience::Patient, at("2026-11-12T23:59:59-06:00")));
    assert!(world.sees(&Audience::Patient, at("2026-11-13T00:00:00-06:00")));
    let early = task("now", "release-now", &ref_of(&world.target));
    let directed = world.input(early);
    assert!(directed.hidden(&Audience::Patient, at("2026-11-12T23:59:59-06:00")));
    assert!(has_note(
        &directed.decide(at("2026-11-11T00:00:00Z")),
        NoteKind::OverrideRefused
    ));
}

#[test]
fn texas_counts_local_days_across_clock_changes_and_leap_days() {
    let rows = [
        // Clocks go back on 2026-11-01, forward on 2027-03-14.
        ("2026-10-30T23:30:00-05:00", "2026-11-02T00:00:00-06:00"),
        ("2027-03-12T00:10:00-06:00", "2027-03-15T00:00:00-05:00"),
        ("2028-02-27T12:00:00-06:00", "2028-03-01T00:00:00-06:00"),
        ("2027-02-27T12:00:00-06:00", "2027-03-02T00:00:00-06:00"),
        // Late in the evening it is already the next day in UTC.
        ("2026-11-10T23:59:00-06:00", "2026-11-13T00:00:00-06:00"),
    ];
    for (issued, until) in rows {
        let mut path = report("path", &["genetic-marker"]);
        path["issued"] = json!(issued);
        let world = World::new(policy("US-TX", "America/Chicago"), path);
        assert_eq!(
            world.decide(at(issued)).holds[0].ends,
            at(until),
            "{issued}"
        );
    }
}

#[test]
fn case_72_an_amendment_does_not_restart_the_clock() {
    let mut amended = report("path", &["malignancy-likely"]);
    amended["status"] = json!("corrected");
    amended["issued"] = json!("2026-11-12T15:00:00Z");
    let mut world = kentucky(amended);
    world.first_final = Some(T0);
    assert_eq!(world.decide(T0 + 48 * HOUR).holds[0].ends, T0 + 72 * HOUR);
}

#[test]
fn case_19_montana_is_law_by_the_day_of_finalization() {
    let montana = policy("US-MT", "America/Denver");
    let mut hiv = report("hiv", &["hiv"]);
    hiv["issued"] = json!("2026-06-30T12:00:00-06:00");
    let before = World::new(montana.clone(), hiv);
    assert!(before.decide(at("2026-06-30T18:00:00Z")).holds.is_empty());
    let after = World::new(montana.clone(), report("hiv", &["hiv"]));
    assert_eq!(after.decide(T0).holds[0].ends, T0 + 72 * HOUR);
    let mut tested = observation("hiv");
    tested["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "31201-7"}]});
    tested["valueCodeableConcept"] = json!({"text": "Non-reactive"});
    assert!(
        World::new(montana.clone(), tested.clone())
            .decide(T0)
            .holds
            .is_empty()
    );
    tested["valueCodeableConcept"] = json!({"text": "Reactive"});
    assert!(World::new(montana, tested).hidden(&Audience::Patient, T0));
}

#[test]
fn montana_hears_positive_however_it_is_said() {
    let montana = policy("US-MT", "America/Denver");
    let delayed = |loinc: &str, with: serde_json::Value| {
        let mut target = if with
            .get("conclusion")
            .or(with.get("conclusionCode"))
            .is_some()
        {
            report("hiv", &[])
        } else {
            observation("hiv")
        };
        target["code"] = json!({"coding": [{"system": "http://loinc.org", "code": loinc}]});
        for (key, value) in with.as_object().unwrap() {
            target[key] = value.clone();
        }
        World::new(montana.clone(), target).hidden(&Audience::Patient, T0)
    };
    let answer = |system: &str, code: &str, display: &str| json!({"coding": [{"system": system, "code": code, "display": display}]});
    let sct = "http://snomed.info/sct";
    let v3 = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
    let component = |value: &str| {
        json!({"component": [
        {"code": {"text": "p24"}, "valueString": "Negative"},
        {"code": {"text": "HIV 1 Ab"}, "valueString": value}]})
    };
    for (loinc, with) in [
        (
            "5221-7",
            json!({"valueCodeableConcept": answer(sct, "165816005", "")}),
        ),
        (
            "5221-7",
            json!({"valueCodeableConcept": answer("urn:lab", "7", "Positive")}),
        ),
        ("5221-7", json!({"interpretation": [answer(v3, "A", "")]})),
        ("5221-7", json!({"interpretation": [answer(v3, "WR", "")]})),
        (
            "5221-7",
            json!({"valueString": "Positive. No prior result on file."}),
        ),
        (
            "5221-7",
            json!({"valueString": "HIV-1 reactive with no prior result"}),
        ),
        (
            "25835-0",
            json!({"valueQuantity": {"value": 4200, "unit": "copies/mL"}}),
        ),
        ("25835-0", json!({"valueQuantity": {"value": 3.6}})),
        ("56888-1", component("Positive")),
        (
            "75622-1",
            json!({"conclusionCode": [answer(sct, "165816005", "")]}),
        ),
        (
            "75622-1",
            json!({"conclusion": "HIV-1 antibodies POSITIVE"}),
        ),
        ("75666-8", json!({"valueString": "POS"})),
        ("75666-8", json!({"valueString": " r "})),
        ("75666-8", json!({"valueString": "(+)"})),
        ("75666-8", json!({"valueString": "++"})),
        ("75666-8", json!({"valueString": "HIV antibodies present"})),
        ("75666-8", json!({"valueBoolean": true})),
        (
            "75666-8",
            json!({"valueCodeableConcept": answer(sct, "52101004", "")}),
        ),
        (
            "75666-8",
            json!({"valueCodeableConcept": answer(sct, "91947003", "")}),
        ),
        (
            "75666-8",
            json!({"valueCodeableConcept": answer("http://loinc.org", "LA9633-4", "")}),
        ),
        (
            "29539-4",
            json!({"valueQuantity": {"value": 4.2, "unit": "log"}}),
        ),
        ("20447-9", json!({"valueString": "48,000 copies/mL"})),
        ("20447-9", json!({"valueString": ">10000000"})),
    ] {
        assert!(delayed(loinc, with.clone()), "{loinc} {with}");
    }
    for (loinc, with) in [
        (
            "5221-7",
            json!({"valueCodeableConcept": answer(sct, "260385009", "Negative")}),
        ),
        (
            "5221-7",
            json!({"valueCodeableConcept": answer("urn:lab", "8", "Not detected")}),
        ),
        (
            "5221-7",
            json!({"interpretation": [answer(v3, "N", "Normal")]}),
        ),
        (
            "5221-7",
            json!({"valueString": "Non-reactive. Prior result on file."}),
        ),
        (
            "5221-7",
            json!({"valueString": "No HIV antibodies detected"}),
        ),
        (
            "25835-0",
            json!({"valueQuantity": {"value": 0, "unit": "copies/mL"}}),
        ),
        (
            "25835-0",
            json!({"valueQuantity": {"value": 20, "comparator": "<"}}),
        ),
        (
            "5220-9",
            json!({"valueQuantity": {"value": 0.1, "unit": "S/CO"}}),
        ),
        ("56888-1", component("Negative")),
        (
            "75622-1",
            json!({"conclusion": "HIV-1 antibodies not detected"}),
        ),
        ("75666-8", json!({"valueString": "NEG"})),
        ("75666-8", json!({"valueString": "NR"})),
        ("75666-8", json!({"valueString": "-"})),
        (
            "75666-8",
            json!({"valueString": "HIV antibodies not present"}),
        ),
        (
            "75666-8",
            json!({"valueString": "Negative at present, repeat in 6 weeks"}),
        ),
        ("75666-8", json!({"valueBoolean": false})),
        ("20447-9", json!({"valueString": "<20 copies/mL"})),
    ] {
        assert!(!delayed(loinc, with.clone()), "{loinc} {with}");
    }
}

#[test]
fn california_hears_of_the_conversation_from_who_treats_and_when_it_was_had() {
    let california = policy("US-CA", "America/Los_Angeles");
    let mut talk = task("talk", "discussed-with-patient", "DiagnosticReport/hiv");
    talk["input"] = json!([{"type": {"text": "patient-requested"}, "valueBoolean": true}]);
    let visit = json!({"resourceType": "Encounter", "id": "v", "status": "finished",
        "subject": {"reference": "Patient/p"},
        "participant": [{"individual": {"reference": "Practitioner/dr"}}]});
    let world = World::new(california, report("hiv", &["hiv"]))
        .link(visit)
        .link(practitioner("dr", "MD"));
    assert!(
        world
            .clone()
            .input(talk.clone())
            .sees(&Audience::Patient, T0)
    );
    for (key, value) in [
        ("status", json!("requested")),
        ("status", json!("in-progress")),
        ("authoredOn", json!("2027-01-01T15:00:00Z")),
        ("requester", json!({"reference": "Practitioner/stranger"})),
        ("requester", json!({"reference": "Patient/p"})),
        ("input", json!([])),
    ] {
        let mut other = talk.clone();
        other[key] = value.clone();
        let world = world.clone().input(other);
        assert!(world.hidden(&Audience::Patient, T0), "{key} {value}");
        assert!(has_note(&world.decide(T0), NoteKind::EvidenceGap), "{key}");
    }
}

#[test]
fn california_waits_with_drug_screens_as_well() {
    let california = policy("US-CA", "America/Los_Angeles");
    let mut screen = observation("pcp");
    screen["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "19659-2"}]});
    assert!(World::new(california, screen.clone()).hidden(&Audience::Patient, T0));
    assert!(kentucky(screen).sees(&Audience::Patient, T0));
}

#[test]
fn virginia_lets_the_patient_ask_and_kentucky_does_not() {
    let on = [PackSwitch {
        id: "VA".to_owned(),
        on: true,
        signed_by: Some("General Counsel".to_owned()),
    }];
    let virginia = PolicyContext::new(Some("US-VA"), "America/New_York", &on, 2).unwrap();
    let mut asked = task("now", "release-now", "DiagnosticReport/rad");
    asked["requester"] = json!({"reference": "Patient/p"});
    let known = std::collections::HashMap::new();
    let rad = report("rad", &["malignancy-likely"]);
    let world = World::new(virginia, rad.clone()).input(asked.clone());
    check_input(&asked, &known, &world.policy, T0).unwrap();
    assert!(world.sees(&Audience::Patient, T0));
    let world = kentucky(rad).input(asked.clone());
    assert!(check_input(&asked, &known, &world.policy, T0).is_err());
    assert!(world.hidden(&Audience::Patient, T0));
    // Nobody else's wish counts.
    asked["requester"] = json!({"reference": "Patient/q"});
    assert!(check_input(&asked, &known, &world.policy, T0).is_err());
}

#[test]
fn colorado_is_alerted_to_from_its_first_day() {
    let colorado = policy("US-CO", "America/Denver");
    let mut order = json!({"resourceType": "ServiceRequest", "id": "o",
        "extension": [super::kit::flag("cancer-order")]});
    let mut result = report("r", &[]);
    result["basedOn"] = json!([{"reference": "ServiceRequest/o"}]);
    for (issued, alerted) in [
        ("2027-06-30T20:00:00Z", false),
        ("2027-07-01T20:00:00Z", true),
    ] {
        result["issued"] = json!(issued);
        let world = World::new(colorado.clone(), result.clone()).link(order.clone());
        let decision = world.decide(at(issued));
        assert!(decision.holds.is_empty());
        assert_eq!(
            has_note(&decision, NoteKind::LawNotBuilt),
            alerted,
            "{issued}"
        );
    }
    order["extension"] = json!([]);
    let world = World::new(colorado, result).link(order);
    assert!(world.decide(at("2027-07-02T20:00:00Z")).entries.is_empty());
}

#[test]
fn case_25_an_unknown_jurisdiction_releases_with_an_alert() {
    let policy = PolicyContext::new(None, "America/Chicago", &[], 1).unwrap();
    let world = World::new(policy, report("path", &["malignancy-likely"]));
    let decision = world.decide(T0);
    assert!(decision.holds.is_empty());
    assert!(has_note(&decision, NoteKind::JurisdictionUnknown));
}

#[test]
fn packs_are_switched_with_a_signature() {
    let switch = |id: &str, on, signed: Option<&str>| PackSwitch {
        id: id.to_owned(),
        on,
        signed_by: signed.map(str::to_owned),
    };
    let off = [switch("KY", false, Some("General Counsel"))];
    let policy = PolicyContext::new(Some("US-KY"), "America/New_York", &off, 2).unwrap();
    let world = World::new(policy, report("rad", &["malignancy-likely"]));
    assert!(world.decide(T0).holds.is_empty());
    let on = [switch("VA", true, Some("General Counsel"))];
    let policy = PolicyContext::new(Some("US-VA"), "America/New_York", &on, 2).unwrap();
    let world = World::new(policy, report("rad", &["malignancy-likely"]));
    assert!(world.hidden(&Audience::Patient, T0));
    let refused = |switches: &[PackSwitch]| {
        PolicyContext::new(Some("US"), "America/New_York", switches, 1)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[switch("TX", true, None)]).contains("signed"));
    assert!(refused(&[switch("ZZ", true, Some("x"))]).contains("known packs: US, KY, TX"));
    assert!(refused(&[switch("R16-SUDNOTE", true, Some("x"))]).contains("not implemented"));
    assert!(refused(&[switch("CO", true, Some("x"))]).contains("R25-CO"));
    assert!(PolicyContext::new(Some("Texas"), "UTC", &[], 1).is_err());
    assert!(PolicyContext::new(Some("US"), "Mars/Olympus", &[], 1).is_err());
}
