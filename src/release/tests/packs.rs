use serde_json::json;

use super::kit::{HOUR, T0, World, at, has_note, observation, policy, ref_of, report, task};
use crate::clock::FOREVER;
use crate::release::{Audience, Mode, NoteKind, PackSwitch, PolicyContext};

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
    let mut world = kentucky(report("rad", &["malignancy-likely"])).link(order);
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
