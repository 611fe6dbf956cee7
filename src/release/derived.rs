//! What a withheld resource leaves behind elsewhere: references to it go, and what cannot be told
//! apart from it goes too (R28, 45 CFR 171.204(a)(2)). A Binary follows what it is attached to.

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, Effect, Mode, NoteKind, Redaction};
use super::facts::Referrer;
use super::holds::locate;
use super::links::{attachments, binaries};
use super::needs::task_code;
use super::redact::redact;
use super::resource::{codings, each, local, patient_of, reference, text, type_of};
use super::results::results;
use super::rules::Rule;
use super::vocabulary::HOLD_INPUT;
use crate::clock::FOREVER;

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    if case.type_name == "Binary" {
        return inherit(case);
    }
    let attached: Vec<&str> = attachments(facts.target)
        .into_iter()
        .filter_map(local)
        .collect();
    for binary in &attached {
        case.pass_on(binary);
    }
    if facts.withheld_targets.is_empty() || is_own_refusal(facts.target) {
        return;
    }
    for withheld in facts.withheld_targets {
        // A Binary is withheld because of its documents: were they cut because of it in turn, each
        // would keep the other hidden when the reason has gone. What only tells of it (a Provenance)
        // is no document of it.
        if attached.contains(&withheld.reference.as_str()) && !is_held(case, &withheld.reference) {
            continue;
        }
        let is_result = case.type_name == "DiagnosticReport"
            && results(facts.target).any(|result| result == withheld.reference);
        let mut parts = Redaction::default();
        if !withheld.partial {
            parts.references.insert(withheld.reference.clone());
        } else if is_result {
            // What was cut from the result may be told again in the words about it.
            parts.pointers = words(facts.target);
        }
        let left = redact(facts.target, &parts);
        if left.as_ref() == Some(facts.target) {
            continue;
        }
        if is_result && !words(facts.target).is_empty() {
            let detail = "conclusion and attachments speak of all results together";
            case.note(NoteKind::Segmentation, rule, &[], detail);
        }
        // A Task that steers the release of something withheld would tell of it; the patient's own
        // request for a review stays, without its focus.
        let steering = !withheld.partial
            && case.type_name == "Task"
            && reference(facts.target, "focus") == Some(&withheld.reference)
            && task_code(facts.target)
                .is_some_and(|code| code != "access-review" || withheld.mode == Mode::Conceal);
        // Of an access to something withheld the rest would tell too, and nobody waits for it.
        let is_access = case.type_name == "AuditEvent";
        let claim = Claim {
            exempt: withheld.exempt.clone(),
            starts: withheld.starts,
            ends: withheld.ends,
            effect: if steering || (is_access && !withheld.partial) {
                Effect::Withhold
            } else {
                Effect::Redact(parts)
            },
        };
        case.claim_as(
            if is_access {
                Mode::Conceal
            } else {
                withheld.mode
            },
            withheld.rules.clone(),
            &withheld.audience,
            claim,
        );
    }
}

/// Whether this tells of an access that the patient tried and was refused: what they asked for, which is
/// the same whether it is withheld or was never there, and must look the same.
fn is_own_refusal(target: &Value) -> bool {
    let Some(patient) = patient_of(target).filter(|_| type_of(target) == "AuditEvent") else {
        return false;
    };
    matches!(text(target, "outcome"), Some("4" | "8" | "12"))
        && each(target, "agent")
            .any(|agent| agent["requestor"] == true && reference(agent, "who") == Some(patient))
}

/// What is about several patients is shown in each one's record without the others: their data is no
/// part of it (45 CFR 164.524(a)(1) speaks of protected health information *about the individual*).
/// No rule can switch this on or off, and no notice speaks of it.
pub(crate) fn apart(case: &mut Case<'_>) {
    for record in case.facts.records {
        let mut claim = Claim::withhold(FOREVER);
        claim.effect = Effect::Redact(Redaction {
            references: record.foreign.clone(),
            ..Redaction::default()
        });
        let audience = Audience::record(&record.patient);
        case.claim_as(Mode::Conceal, Vec::new(), &audience, claim);
    }
}

/// The parts of a report that are written about all its results.
pub(crate) fn words(report: &Value) -> std::collections::BTreeSet<String> {
    ["conclusion", "conclusionCode", "presentedForm"]
        .iter()
        .filter(|key| report.get(**key).is_some())
        .map(|key| format!("/{key}"))
        .collect()
}

/// Whether a hold names the resource itself.
fn is_held(case: &Case<'_>, held: &str) -> bool {
    holds_on(case, held).next().is_some()
}

fn holds_on<'a>(case: &Case<'a>, held: &str) -> impl Iterator<Item = &'a Value> {
    let tasks = case.facts.inputs.iter().map(|input| input.resource);
    tasks.filter(move |task| {
        task_code(task) == Some("release-hold") && reference(task, "focus") == Some(held)
    })
}

/// A Binary is withheld wherever one of its documents is, or is shown without the part that names
/// it.
fn inherit(case: &mut Case<'_>) {
    let facts = case.facts;
    for referrer in facts.referrers {
        case.depend(referrer.reference);
    }
    for withheld in facts.withheld_targets {
        let referrer = facts
            .referrers
            .iter()
            .find(|referrer| referrer.reference == withheld.reference);
        if withheld.partial
            && referrer.is_none_or(|referrer| still_names(case, referrer, facts.target_ref))
        {
            continue;
        }
        let mut claim = Claim::withhold(withheld.ends);
        claim.starts = withheld.starts;
        claim.exempt.clone_from(&withheld.exempt);
        case.claim_as(
            withheld.mode,
            withheld.rules.clone(),
            &withheld.audience,
            claim,
        );
    }
}

/// Whether the part of a document that is shown names a Binary.
fn still_names(case: &Case<'_>, document: &Referrer<'_>, binary: &str) -> bool {
    if type_of(document.resource) == "DiagnosticReport" {
        // Attachments tell of all results together and go with any of them.
        return false;
    }
    let mut parts = Redaction::default();
    for task in holds_on(case, document.reference) {
        let paths = each(task, "input")
            .filter(|input| codings(input, "type").any(|coding| coding == (HOLD_INPUT, "path")))
            .filter_map(|input| text(input, "valueString"));
        for path in paths {
            parts
                .pointers
                .extend(locate(document.resource, path).unwrap_or_default());
        }
    }
    redact(document.resource, &parts)
        .is_some_and(|left| binaries(&left).iter().any(|one| one == binary))
}
