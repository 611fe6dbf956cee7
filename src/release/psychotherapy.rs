//! R01: psychotherapy notes are not EHI (45 CFR 171.102, 164.501).
//!
//! A note is one only if its author is a mental-health professional who attested that it analyses
//! the conversation of a session, and it is stored apart (release-contract.md, "Psychotherapy
//! note"). No label, code or specialty proves it; whatever lacks a part is an ordinary note.
//! Only notes can match, which is R02: times, medication, diagnoses, plans and test results of
//! therapy visits are other types, and never withheld here.

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, Effect, NoteKind, Redaction};
use super::resource::{copies, each, extension, labels, local, reference, text, type_of, words_of};
use super::rules::Rule;
use super::time::Edge;
use super::vocabulary::{ACT_CODE, PSYCHOTHERAPY_ATTESTATION};
use super::words::mentions;
use crate::clock::{FOREVER, Millis};

/// The author of a complete attestation, as far as it is known.
enum Author {
    Professional { person: Option<String> },
    Unknown { person: Option<String> },
}

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let target = case.facts.target;
    if rule.types.iter().any(|one| one == case.type_name) {
        note(case, rule, target, None);
    }
    // A copy inside another resource tells what the note tells (release-policy.md 4.4).
    for (place, inside) in copies(target) {
        if rule.types.iter().any(|one| one == type_of(inside)) {
            note(case, rule, inside, Some(place));
        }
    }
}

/// A note that may be one, at `place` in the target; none for the target itself.
fn note(case: &mut Case<'_>, rule: &Rule, target: &Value, place: Option<String>) {
    let labelled = labels(target).any(|label| label == (ACT_CODE, "PSYTHPN"));
    let attestation = extension(target, PSYCHOTHERAPY_ATTESTATION);
    if !labelled && attestation.is_none() {
        return;
    }
    let author = match claim(case, rule, labelled, attestation) {
        Ok(author) => author,
        Err(missing) => {
            let detail = format!("released: {}", missing.join(", "));
            case.note(NoteKind::PsyClaimUnsupported, rule, &[], &detail);
            return;
        }
    };
    let person = match author {
        Author::Professional { person } => person,
        Author::Unknown { person } => {
            let evidence: Vec<&str> = person.as_deref().into_iter().collect();
            case.note(
                NoteKind::AuthorUnresolved,
                rule,
                &evidence,
                "withheld: fails closed",
            );
            person
        }
    };
    let evidence: Vec<&str> = person.as_deref().into_iter().collect();
    for audience in &rule.audiences {
        let mut claim = Claim::withhold(FOREVER);
        if let Some(place) = place.as_ref().filter(|place| !place.is_empty()) {
            claim.effect = Effect::Redact(Redaction {
                pointers: std::iter::once(place.clone()).collect(),
                ..Redaction::default()
            });
        }
        if *audience == Audience::Clinicians {
            claim.exempt.clone_from(&person);
        }
        case.claim(rule, audience, claim, &evidence);
    }
}

/// Checks the attestation; the error lists what is missing.
fn claim(
    case: &mut Case<'_>,
    rule: &Rule,
    labelled: bool,
    attestation: Option<&Value>,
) -> Result<Author, Vec<&'static str>> {
    let target = case.facts.target;
    let Some(attestation) = attestation else {
        return Err(vec!["no attestation"]);
    };
    let part = |name, key| extension(attestation, name)?.get(key);
    let mut missing = Vec::new();
    if !labelled {
        missing.push("no PSYTHPN label");
    }
    let is_true = |name| part(name, "valueBoolean").and_then(Value::as_bool) == Some(true);
    if !is_true("sessionAnalysis") {
        missing.push("sessionAnalysis is not attested");
    }
    if !is_true("separatelyStored") {
        missing.push("separatelyStored is not attested");
    }
    let at = case.time(
        part("attestedAt", "valueDateTime").and_then(Value::as_str),
        Edge::Start,
    );
    if at.is_none() {
        missing.push("attestedAt is missing");
    }
    let author = part("author", "valueReference").and_then(|author| text(author, "reference"));
    let (Some(author), Some(at), true) = (author, at, missing.is_empty()) else {
        if author.is_none() {
            missing.push("author is missing");
        }
        return Err(missing);
    };
    let bare = local(author);
    let person = bare
        .filter(|bare| bare.starts_with("Practitioner/"))
        .map(str::to_owned);
    let Some(resource) = case.resolve(target, author) else {
        return Ok(Author::Unknown { person });
    };
    match type_of(resource) {
        "Practitioner" if qualified(resource, rule, Some(at), case) => {
            Ok(Author::Professional { person })
        }
        "PractitionerRole" => {
            let practitioner = reference(resource, "practitioner");
            let person = practitioner.map(str::to_owned);
            if role_of(resource, rule) {
                return Ok(Author::Professional { person });
            }
            match practitioner.map(|one| case.resolve(resource, one)) {
                Some(None) => Ok(Author::Unknown { person }),
                Some(Some(one)) if qualified(one, rule, Some(at), case) => {
                    Ok(Author::Professional { person })
                }
                _ => Err(vec![
                    "the author is not known as a mental-health professional",
                ]),
            }
        }
        _ => Err(vec![
            "the author is not known as a mental-health professional",
        ]),
    }
}

/// Whether a Practitioner holds a qualification of the kind, in force at `at`.
fn qualified(practitioner: &Value, rule: &Rule, at: Option<Millis>, case: &Case<'_>) -> bool {
    each(practitioner, "qualification").any(|qualification| {
        let period = qualification.get("period").unwrap_or(&Value::Null);
        let from = case.time(text(period, "start"), Edge::Start);
        let to = case.time(text(period, "end"), Edge::End);
        let in_force =
            at.is_none_or(|at| from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to));
        in_force
            && rule
                .qualification
                .is_in(qualification, "code", &rule.words.unlicensed)
    })
}

/// Whether a PractitionerRole is of the kind by its specialty or code. A clerk in psychiatry is none.
fn role_of(role: &Value, rule: &Rule) -> bool {
    let denied = &rule.words.unlicensed;
    !mentions(&words_of(role, "code"), denied, &[])
        && ["specialty", "code"]
            .iter()
            .any(|key| rule.qualification.is_in(role, key, denied))
}
