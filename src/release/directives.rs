//! R12 and R13: what the patient asked for (45 CFR 171.202(e)). A directive counts if the patient
//! gave it, it is dated, and it attests that nobody induced it.

mod scope;

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, NoteKind};
use super::resource::{each, extension, has_code, local, reference, references, text, type_of};
use super::results::parts;
use super::rules::Rule;
use super::third_parties::is_self_pay;
use super::time::Edge;
use super::vocabulary::{CLIENT_ID, CONSENT_SCOPE, NO_INDUCEMENT};
use crate::clock::{FOREVER, Millis};
use scope::Subject;

/// One "no" that survived its exceptions.
pub(crate) struct Denial<'a> {
    /// `provision.actor.reference`; none for a denial that names nobody.
    pub(crate) actor: Option<&'a Value>,
    pub(crate) starts: Millis,
    pub(crate) ends: Option<Millis>,
    narrowed: usize,
}

impl Denial<'_> {
    /// Of everything, by everybody, for good.
    pub(crate) fn of_all() -> Self {
        Self {
            actor: None,
            starts: 0,
            ends: None,
            narrowed: 0,
        }
    }
}

/// Whether the target is within what a provision is narrowed to.
pub(crate) fn is_within(case: &Case<'_>, provision: &Value) -> bool {
    Subject::of(case, true).narrowing(provision).is_some()
}

/// The audience of an app known by its client id, whether or not a Device stands for it.
#[must_use]
pub fn app_audience(client_id: &str) -> Audience {
    Audience::One(format!("Device/client:{client_id}"))
}

/// R12: not to be shared with those it names.
pub(crate) fn not_share(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    if case.type_name == "Consent" {
        // Who is held off does not see the directive that does it.
        conceal_itself(case, rule);
    }
    for input in facts.inputs {
        let consent = input.resource;
        if !is_directive(case, consent) || is_self_pay(consent) {
            continue;
        }
        for denial in denials(case, consent, false) {
            let Some(actor) = denial.actor else { continue };
            if reference_of(actor) == reference(consent, "patient") {
                continue;
            }
            if let Some(gap) = gap(case, consent) {
                case.note(NoteKind::DirectiveNotApplied, rule, &[input.reference], gap);
                break;
            }
            if permitted_later(case, consent, actor, denial.narrowed) {
                continue;
            }
            let audiences = audiences(case, consent, actor);
            if audiences.is_empty() {
                let detail = "the actor is no RelatedPerson, Organization, Practitioner or app";
                case.note(
                    NoteKind::DirectiveNotApplied,
                    rule,
                    &[input.reference],
                    detail,
                );
            }
            for audience in audiences {
                let mut claim = Claim::withhold(denial.ends.unwrap_or(FOREVER));
                claim.starts = denial.starts;
                case.claim(rule, &audience, claim, &[input.reference]);
            }
        }
    }
}

/// R13: the patient's own results, later.
pub(crate) fn delay(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    for input in facts.inputs {
        let consent = input.resource;
        if !is_directive(case, consent) || is_self_pay(consent) {
            continue;
        }
        for denial in denials(case, consent, true) {
            let to_self = denial
                .actor
                .is_none_or(|actor| reference_of(actor) == reference(consent, "patient"));
            if !to_self || (denial.narrowed == 0 && !scope::is_result(facts.target)) {
                continue;
            }
            let fault = match (gap(case, consent), denial.ends) {
                (Some(gap), _) => gap,
                (None, None) => "a delay needs provision.period.end",
                (None, Some(ends)) => {
                    for audience in &rule.audiences {
                        let mut claim = Claim::withhold(ends);
                        claim.starts = denial.starts;
                        case.claim(rule, audience, claim, &[input.reference]);
                    }
                    // What it is made of may have come before it.
                    for part in parts(facts.target) {
                        case.pass_on(part);
                    }
                    continue;
                }
            };
            case.note(
                NoteKind::DirectiveNotApplied,
                rule,
                &[input.reference],
                fault,
            );
        }
    }
}

fn conceal_itself(case: &mut Case<'_>, rule: &Rule) {
    let consent = case.facts.target;
    if !is_directive(case, consent) || gap(case, consent).is_some() {
        return;
    }
    let mut open: Vec<&Value> = consent.get("provision").into_iter().collect();
    while let Some(provision) = open.pop() {
        open.extend(each(provision, "provision"));
        if text(provision, "type") != Some("deny") {
            continue;
        }
        for actor in each(provision, "actor").filter_map(|actor| actor.get("reference")) {
            if reference_of(actor) == reference(consent, "patient") {
                continue;
            }
            for audience in audiences(case, consent, actor) {
                case.claim(
                    rule,
                    &audience,
                    Claim::withhold(FOREVER),
                    &[case.facts.target_ref],
                );
            }
        }
    }
}

pub(crate) fn is_directive(case: &Case<'_>, consent: &Value) -> bool {
    type_of(consent) == "Consent"
        && case.is_about(reference(consent, "patient"))
        && text(consent, "status") == Some("active")
        && has_code(consent, "scope", CONSENT_SCOPE, "patient-privacy")
}

/// Why a directive does not count.
fn gap(case: &Case<'_>, consent: &Value) -> Option<&'static str> {
    if !by_the_patient(consent) {
        return Some("not given by the patient: performer");
    }
    if case.time(text(consent, "dateTime"), Edge::Start).is_none() {
        return Some("not dated: dateTime");
    }
    (!is_attested(consent)).then_some("no attestation that it was not induced: no-inducement")
}

/// Whether a directive does not apply for want of the attestation that nobody induced it; a self-pay
/// restriction applies without.
#[must_use]
pub fn lacks_attestation(consent: &Value) -> bool {
    type_of(consent) == "Consent"
        && text(consent, "status") == Some("active")
        && has_code(consent, "scope", CONSENT_SCOPE, "patient-privacy")
        && !is_self_pay(consent)
        && !is_attested(consent)
        && consent.get("provision").is_some_and(denies)
}

fn denies(provision: &Value) -> bool {
    text(provision, "type") == Some("deny") || each(provision, "provision").any(denies)
}

fn is_attested(consent: &Value) -> bool {
    let attested = extension(consent, NO_INDUCEMENT);
    attested.and_then(|one| one.get("valueBoolean")) == Some(&Value::Bool(true))
}

/// The denials of a consent that are about the target, exceptions taken out. `related`: what a
/// named report is made of goes with it.
pub(crate) fn denials<'a>(case: &Case<'a>, consent: &'a Value, related: bool) -> Vec<Denial<'a>> {
    let subject = Subject::of(case, related);
    let mut found = Vec::new();
    if let Some(provision) = consent.get("provision") {
        walk(case, &subject, provision, &[], 0, &mut found);
    }
    found
}

fn walk<'a>(
    case: &Case<'a>,
    subject: &Subject<'_>,
    provision: &'a Value,
    above: &[&'a Value],
    narrowed: usize,
    found: &mut Vec<Denial<'a>>,
) {
    let Some(own) = subject.narrowing(provision) else {
        return;
    };
    let narrowed = narrowed + own;
    let named: Vec<&Value> = each(provision, "actor")
        .filter_map(|actor| actor.get("reference"))
        .collect();
    let actors = if named.is_empty() { above } else { &named };
    let period = provision.get("period").unwrap_or(&Value::Null);
    let starts = case.time(text(period, "start"), Edge::Start);
    let ends = case.time(text(period, "end"), Edge::End);
    match text(provision, "type") {
        Some("deny") => {
            let denial = |actor| Denial {
                actor,
                starts: starts.unwrap_or(0),
                ends,
                narrowed,
            };
            if actors.is_empty() {
                found.push(denial(None));
            }
            found.extend(actors.iter().map(|actor| denial(Some(*actor))));
        }
        // An exception for a while only would hide again by itself: it is not one.
        Some("permit") if starts.is_none() && ends.is_none() => found.retain(|denial| {
            !actors.is_empty()
                && !actors
                    .iter()
                    .any(|actor| denial.actor.is_some_and(|who| same(who, actor)))
        }),
        _ => {}
    }
    // At the same depth a denial wins: exceptions first.
    let nested = |kind: &'static str| {
        each(provision, "provision").filter(move |one| text(one, "type") == Some(kind))
    };
    for one in nested("permit").chain(nested("deny")) {
        walk(case, subject, one, actors, narrowed, found);
    }
}

fn by_the_patient(consent: &Value) -> bool {
    let patient = reference(consent, "patient");
    references(consent, "performer").any(|who| Some(who) == patient)
}

fn same(one: &Value, other: &Value) -> bool {
    match (reference_of(one), reference_of(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            one.get("identifier").is_some() && one.get("identifier") == other.get("identifier")
        }
        _ => false,
    }
}

fn reference_of(reference: &Value) -> Option<&str> {
    local(text(reference, "reference")?)
}

/// Whether a permit that is more specific, or later and as specific, gave the actor the target
/// (release-policy.md 4.3).
fn permitted_later(case: &Case<'_>, denied: &Value, actor: &Value, narrowed: usize) -> bool {
    let subject = Subject::of(case, false);
    let given = |consent: &Value| case.time(text(consent, "dateTime"), Edge::Start);
    case.facts
        .inputs
        .iter()
        .map(|input| input.resource)
        .any(|consent| {
            let Some(provision) = consent.get("provision") else {
                return false;
            };
            is_directive(case, consent)
                && by_the_patient(consent)
                && text(provision, "type") == Some("permit")
                && provision.get("period").is_none()
                && each(provision, "actor")
                    .filter_map(|one| one.get("reference"))
                    .any(|one| same(one, actor))
                && subject.narrowing(provision).is_some_and(|own| {
                    own > narrowed || (own == narrowed && given(consent) > given(denied))
                })
        })
}

/// Whom an actor stands for: itself, and for an app its client id as well.
pub(crate) fn audiences<'a>(
    case: &mut Case<'a>,
    consent: &'a Value,
    actor: &'a Value,
) -> Vec<Audience> {
    let mut found = Vec::new();
    let named = text(actor, "reference");
    if let Some(bare) = named.and_then(local) {
        let kind = bare.split('/').next().unwrap_or_default();
        if matches!(
            kind,
            "RelatedPerson" | "Organization" | "Device" | "Practitioner"
        ) {
            found.push(Audience::One(bare.to_owned()));
        }
    }
    let device = named
        .filter(|one| one.starts_with("Device/") || one.starts_with('#'))
        .and_then(|one| case.resolve(consent, one));
    let clients = [Some(actor), device]
        .into_iter()
        .flatten()
        .flat_map(|one| each(one, "identifier"));
    for identifier in clients.filter(|one| text(one, "system") == Some(CLIENT_ID)) {
        found.extend(text(identifier, "value").map(app_audience));
    }
    found
}
