use serde_json::json;

use super::kit::observation;
use crate::release::merge::merge;
use crate::release::{Audience, Effect, HoldSpan, Mode, Redaction};

fn span(audience: Audience, starts: i64, ends: i64, effect: Effect, rule: &str) -> HoldSpan {
    let (mode, rules) = (Mode::Pending, vec![rule.to_owned()]);
    HoldSpan {
        audience,
        exempt: None,
        starts,
        ends,
        effect,
        mode,
        rules,
    }
}

fn cut(pointer: &str) -> Effect {
    let mut parts = Redaction::default();
    parts.pointers.insert(pointer.to_owned());
    Effect::Redact(parts)
}

fn short(spans: &[HoldSpan]) -> Vec<(i64, i64, &'static str, String)> {
    spans
        .iter()
        .map(|span| {
            let effect = match span.effect {
                Effect::Withhold => "withhold",
                Effect::Redact(_) => "redact",
            };
            (span.starts, span.ends, effect, span.rules.join("+"))
        })
        .collect()
}

#[test]
fn delays_unite_to_the_latest_instant() {
    let whole = || Effect::Withhold;
    let merged = merge(
        vec![
            span(Audience::Patient, 0, 72, whole(), "R21"),
            span(Audience::Patient, 0, 120, whole(), "R13"),
        ],
        &observation("o"),
    );
    let expected = [
        (0, 72, "withhold", "R13+R21".into()),
        (72, 120, "withhold", "R13".into()),
    ];
    assert_eq!(short(&merged), expected);
}

#[test]
fn withhold_beats_redact_and_redactions_unite() {
    let merged = merge(
        vec![
            span(Audience::Patient, 0, 30, cut("/note"), "A"),
            span(Audience::Patient, 10, 20, Effect::Withhold, "B"),
            span(Audience::Patient, 25, 40, cut("/issued"), "C"),
        ],
        &json!({"resourceType": "Observation", "note": [], "issued": "x", "status": "final", "code": {}}),
    );
    let expected = [
        (10, 20, "withhold", "A+B".to_owned()),
        (0, 10, "redact", "A".to_owned()),
        (20, 25, "redact", "A".to_owned()),
        (30, 40, "redact", "C".to_owned()),
        (25, 30, "redact", "A+C".to_owned()),
    ];
    assert_eq!(short(&merged), expected);
}

#[test]
fn a_gap_in_time_stays_a_gap_and_equal_neighbours_join() {
    let merged = merge(
        vec![
            span(Audience::Payers, 0, 10, Effect::Withhold, "A"),
            span(Audience::Payers, 10, 20, Effect::Withhold, "A"),
            span(Audience::Payers, 30, 40, Effect::Withhold, "A"),
        ],
        &observation("o"),
    );
    assert_eq!(
        merged
            .iter()
            .map(|span| (span.starts, span.ends))
            .collect::<Vec<_>>(),
        [(0, 20), (30, 40)]
    );
}

#[test]
fn conceal_only_if_a_rule_asks_and_exempt_only_if_all_agree() {
    let mut one = span(Audience::Clinicians, 0, 10, Effect::Withhold, "A");
    one.exempt = Some("Practitioner/a".to_owned());
    let mut other = span(Audience::Clinicians, 5, 10, Effect::Withhold, "B");
    other.mode = Mode::Conceal;
    let merged = merge(vec![one, other], &observation("o"));
    assert_eq!(merged[0].exempt.as_deref(), Some("Practitioner/a"));
    assert_eq!(merged[0].mode, Mode::Pending);
    assert_eq!(
        (merged[1].exempt.as_deref(), merged[1].mode),
        (None, Mode::Conceal)
    );
}

#[test]
fn a_viewer_of_two_audiences_gets_one_rendition_that_lacks_both() {
    let x = Audience::One("RelatedPerson/x".to_owned());
    let merged = merge(
        vec![
            span(Audience::PatientSide, 0, 10, cut("/issued"), "A"),
            span(x.clone(), 0, 10, cut("/note"), "B"),
        ],
        &observation("o"),
    );
    assert_eq!(merged[1].audience, x);
    let (Effect::Redact(smaller), Effect::Redact(larger)) = (&merged[0].effect, &merged[1].effect)
    else {
        panic!()
    };
    assert!(larger.covers(smaller) && larger.pointers.len() == 2);
}

#[test]
fn a_redaction_that_leaves_nothing_valid_withholds() {
    let merged = merge(
        vec![span(Audience::Patient, 0, 10, cut("/status"), "A")],
        &observation("o"),
    );
    assert_eq!(merged[0].effect, Effect::Withhold);
}

/// What somebody is shown who belongs to all of these: the last of the renditions that they meet.
fn shown(merged: &[HoldSpan], audiences: &[Audience]) -> Vec<String> {
    let mut met = merged
        .iter()
        .filter(|span| audiences.contains(&span.audience));
    match met.next_back().map(|span| &span.effect) {
        Some(Effect::Redact(parts)) => parts.pointers.iter().cloned().collect(),
        Some(Effect::Withhold) => vec![String::new()],
        None => Vec::new(),
    }
}

#[test]
fn what_is_denied_to_a_person_and_to_an_app_is_denied_to_nobody_else() {
    let (mom, app) = ("RelatedPerson/mom", "Device/client:app");
    let one = |who: &str| Audience::One(who.to_owned());
    let merged = merge(
        vec![
            span(one(mom), 0, 10, cut("/note"), "A"),
            span(one(app), 0, 10, cut("/issued"), "B"),
        ],
        &observation("o"),
    );
    let hers = [Audience::PatientSide, Audience::Representatives, one(mom)];
    let own = [Audience::PatientSide, Audience::Patient, one("Patient/p")];
    let in_app = |audiences: &[Audience]| {
        let mut all = audiences.to_vec();
        all.extend(audiences.iter().map(|audience| audience.both(app)));
        all.push(one(app));
        shown(&merged, &all)
    };
    assert_eq!(shown(&merged, &hers), ["/note"]);
    assert_eq!(shown(&merged, &own), [""; 0]);
    assert_eq!(in_app(&own), ["/issued"]);
    assert_eq!(in_app(&hers), ["/issued", "/note"]);
    // A ground against a person is none against the patient.
    let merged = merge(
        vec![
            span(one(mom), 0, 10, cut("/note"), "A"),
            span(one("Patient/p"), 0, 10, cut("/issued"), "B"),
        ],
        &observation("o"),
    );
    assert_eq!(shown(&merged, &own), ["/issued"]);
    assert_eq!(shown(&merged, &hers), ["/note"]);
}

#[test]
fn what_two_are_denied_together_is_told_once() {
    let both = Audience::Representatives.both("Record/p");
    assert_eq!(both.parts(), Some((Audience::Representatives, "Record/p")));
    assert_eq!(both.told(), Some(Audience::Representatives));
    assert_eq!(both.of_record().as_deref(), Some("Patient/p"));
    assert_eq!(Audience::Patient.both("Device/client:x").told(), None);
    assert_eq!(Audience::record("Patient/p").told(), None);
}
