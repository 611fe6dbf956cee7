//! R03 and R08 to R11: holds, each with its own evidence, which somebody answers for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, Effect, NoteKind, Redaction};
use super::derived::words;
use super::needs::task_code;
use super::resource::{patient_of, reference, text};
use super::rules::Rule;
use super::validity::{Hold, examine, outcome, review_gaps};
use crate::fhirpath;

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    for input in facts.inputs {
        if task_code(input.resource) == Some("release-hold")
            && reference(input.resource, "focus") == Some(facts.target_ref)
        {
            one(case, rule, input.reference, input.resource);
        }
    }
    // A hold tells what it holds and why: whoever is held off does not see it either.
    if case.type_name == "Task" && task_code(facts.target) == Some("release-hold") {
        one(case, rule, facts.target_ref, facts.target);
    }
}

fn one<'a>(case: &mut Case<'a>, rule: &Rule, task_ref: &'a str, task: &'a Value) {
    if text(task, "status") != Some("in-progress") {
        return;
    }
    let context = case.facts.context;
    let written = case.input(task_ref).map_or(case.now, |one| one.stored_at);
    let hold = examine(task, context, written, &mut |reference| {
        case.resolve(task, reference)
    });
    if hold.rule.is_none_or(|own| own.id != rule.id) {
        return;
    }
    // What names no patient has the inputs of whom it hangs on.
    if !case.patients.is_empty() && !case.is_about(patient_of(task)) {
        return gap(
            case,
            rule,
            task_ref,
            "`for` is not the patient of the held resource",
        );
    }
    if !hold.gaps.is_empty() {
        let parts: Vec<&str> = hold
            .gaps
            .iter()
            .map(|gap| gap.diagnostics.as_str())
            .collect();
        return gap(case, rule, task_ref, &parts.join("; "));
    }
    let Some(ends) = hold.ends else { return };
    if ends <= case.now {
        return case.note(NoteKind::Expired, rule, &[task_ref], "");
    }
    if let Some(review) = reversed(case, rule, task, task_ref) {
        let detail = "reversed on review";
        return case.note(NoteKind::Overridden, rule, &[task_ref, review], detail);
    }
    let Some(effect) = effect(case, rule, task_ref, task, &hold) else {
        return;
    };
    if effect == Effect::Withhold
        && rule.basis.as_deref() == Some("harm-third-party")
        && !std::ptr::eq(task, case.facts.target)
    {
        let detail = "the whole resource is held: no path says which part names the other person \
                      (45 CFR 171.201(b))";
        case.note(NoteKind::Segmentation, rule, &[task_ref], detail);
    }
    // What the Task itself says is held back as soon as it is there.
    let starts = match hold.starts {
        Some(starts) if !std::ptr::eq(task, case.facts.target) => starts,
        _ => 0,
    };
    for audience in within_record(case, patient_of(task), &hold.audiences) {
        let claim = Claim {
            effect: effect.clone(),
            starts,
            ..Claim::withhold(ends)
        };
        let evidence: Vec<&str> = [Some(task_ref), hold.determiner]
            .into_iter()
            .flatten()
            .collect();
        case.claim(rule, &audience, claim, &evidence);
    }
}

/// Against whom on the patient's side a hold is where the resource is about others too: they have it in
/// their own records.
fn within_record(case: &Case<'_>, patient: Option<&str>, audiences: &[Audience]) -> Vec<Audience> {
    let (Some(patient), true) = (patient, case.patients.len() > 1) else {
        return audiences.to_vec();
    };
    let Audience::One(record) = Audience::record(patient) else {
        return audiences.to_vec();
    };
    let mut found = Vec::new();
    for audience in audiences {
        match audience {
            Audience::PatientSide => found.extend([
                Audience::Patient.both(&record),
                Audience::Representatives.both(&record),
            ]),
            Audience::Patient | Audience::Representatives => found.push(audience.both(&record)),
            Audience::One(who) if who.starts_with("RelatedPerson/") => {
                found.push(audience.both(&record));
            }
            _ => found.push(audience.clone()),
        }
    }
    found
}

fn gap(case: &mut Case<'_>, rule: &Rule, task: &str, detail: &str) {
    case.note(NoteKind::EvidenceGap, rule, &[task], detail);
}

/// The whole resource, or the elements the hold is narrowed to; none if it finds none of them.
fn effect(
    case: &mut Case<'_>,
    rule: &Rule,
    task_ref: &str,
    task: &Value,
    hold: &Hold<'_>,
) -> Option<Effect> {
    let target = case.facts.target;
    if hold.paths.is_empty() || std::ptr::eq(task, target) {
        return Some(Effect::Withhold);
    }
    let mut pointers = BTreeSet::new();
    for path in &hold.paths {
        pointers.extend(locate(target, path).unwrap_or_default());
    }
    if pointers.is_empty() {
        gap(
            case,
            rule,
            task_ref,
            "path finds nothing in the resource as it is now",
        );
        return None;
    }
    if pointers.contains("") {
        return Some(Effect::Withhold);
    }
    if case.type_name == "DiagnosticReport" {
        // The attachment tells in its own words what was cut.
        pointers.extend(
            words(target)
                .into_iter()
                .filter(|one| one == "/presentedForm"),
        );
    }
    Some(Effect::Redact(Redaction {
        pointers,
        ..Redaction::default()
    }))
}

/// JSON pointers of what a FHIRPath finds in a resource; the error says why it finds none.
pub(crate) fn locate(resource: &Value, path: &str) -> Result<Vec<String>, String> {
    let expression = fhirpath::parse(path).map_err(|error| error.to_string())?;
    let context = fhirpath::Context::default();
    expression
        .locate(resource, &context)
        .map_err(|error| error.to_string())
}

/// The review that reversed a hold. One whose evidence has a gap reverses nothing, and the ledger says
/// so.
fn reversed<'a>(
    case: &mut Case<'a>,
    rule: &Rule,
    hold: &'a Value,
    hold_ref: &str,
) -> Option<&'a str> {
    let facts = case.facts;
    for input in facts.inputs {
        let task = input.resource;
        let status = text(task, "status").unwrap_or_default();
        let is_reversal = task_code(task) == Some("access-review")
            && reference(task, "focus") == Some(hold_ref)
            && !matches!(
                status,
                "draft" | "rejected" | "cancelled" | "failed" | "entered-in-error"
            )
            && outcome(task).any(|word| word == "reversed");
        if !is_reversal {
            continue;
        }
        let gaps = review_gaps(
            task,
            Some(hold),
            facts.context,
            input.stored_at,
            &mut |reference| case.resolve(task, reference),
        );
        if gaps.is_empty() {
            return Some(input.reference);
        }
        let words: Vec<&str> = gaps.iter().map(|gap| gap.diagnostics.as_str()).collect();
        gap(case, rule, input.reference, &words.join("; "));
    }
    None
}
