//! R17: a service that a minor lawfully consented to alone is not shared with representatives
//! (45 CFR 164.502(g)(3)). It is about a visit and everything of it, never about an age.

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::NoteKind;
use super::resource::{each, extension, patient_of, references, text, type_of};
use super::rules::Rule;
use super::vocabulary::MINOR_CONSENTED_SERVICE;
use crate::clock::FOREVER;

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    // The visit says so itself: a decision about it does not wait for it to be an input.
    if case.type_name == "Encounter" && extension(facts.target, MINOR_CONSENTED_SERVICE).is_some() {
        return one(case, rule, facts.target_ref, facts.target);
    }
    let visits = visits(facts.target);
    if visits.is_empty() {
        return;
    }
    for input in facts.inputs {
        if type_of(input.resource) == "Encounter"
            && visits.contains(&input.reference)
            && case.is_about(patient_of(input.resource))
        {
            one(case, rule, input.reference, input.resource);
        }
    }
}

fn one(case: &mut Case<'_>, rule: &Rule, visit_ref: &str, visit: &Value) {
    let Some(service) = extension(visit, MINOR_CONSENTED_SERVICE) else {
        return;
    };
    let part = |name| extension(service, name);
    let mut gaps = Vec::new();
    if part("law")
        .and_then(|law| text(law, "valueString"))
        .is_none_or(|law| law.trim().is_empty())
    {
        gaps.push("law");
    }
    let not_share = part("notShareWithRepresentative").and_then(|one| one.get("valueBoolean"));
    match not_share.and_then(Value::as_bool) {
        Some(true) => {}
        // The minor lets the representative know.
        Some(false) => return,
        None => gaps.push("notShareWithRepresentative"),
    }
    if !gaps.is_empty() {
        let detail = format!("missing: {}", gaps.join(", "));
        return case.note(NoteKind::EvidenceGap, rule, &[visit_ref], &detail);
    }
    for audience in &rule.audiences {
        case.claim(rule, audience, Claim::withhold(FOREVER), &[visit_ref]);
    }
}

/// The visits that a resource belongs to: `encounter`, `context`, a document's `context.encounter`,
/// the visit it is part of, and those a claim or an explanation of benefit lists.
fn visits(resource: &Value) -> Vec<&str> {
    let mut found: Vec<&str> = references(resource, "encounter")
        .chain(references(resource, "context"))
        .chain(references(resource, "partOf"))
        .collect();
    for key in ["context", "item"] {
        found.extend(each(resource, key).flat_map(|one| references(one, "encounter")));
    }
    found.retain(|one| one.starts_with("Encounter/"));
    found
}
