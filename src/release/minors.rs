//! R17: a service that a minor lawfully consented to alone is not shared with representatives
//! (45 CFR 164.502(g)(3)). It is about a visit and everything of it, never about an age.

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::NoteKind;
use super::needs::orders;
use super::resource::{each, extension, patient_of, references, text, type_of};
use super::results::parts;
use super::rules::Rule;
use super::time::Edge;
use super::vocabulary::MINOR_CONSENTED_SERVICE;
use crate::clock::FOREVER;

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    // The visit says so itself: a decision about it does not wait for it to be an input.
    if case.type_name == "Encounter" && extension(facts.target, MINOR_CONSENTED_SERVICE).is_some() {
        return one(case, rule, facts.target_ref, facts.target);
    }
    let visits = visits(facts.target);
    for input in facts.inputs {
        let visit = input.resource;
        if type_of(visit) == "Encounter"
            && case.is_about(patient_of(visit))
            && (visits.contains(&input.reference) || is_of_visit(case, visit, input.reference))
        {
            one(case, rule, input.reference, visit);
        }
    }
    follow(case, rule);
}

/// What follows from something concealed, or is a part of it, is concealed with it: the whole episode
/// (release-policy.md 4.4).
fn follow(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    let causes = causes(facts.target);
    let mut concealed = false;
    for withheld in facts.withheld_targets {
        let is_concealed = !withheld.partial
            && withheld.rules.contains(&rule.id)
            && rule.audiences.contains(&withheld.audience);
        let follows = causes.contains(&withheld.reference.as_str())
            || facts.referrers.iter().any(|whole| {
                whole.reference == withheld.reference
                    && parts(whole.resource).contains(&facts.target_ref)
            });
        if is_concealed && follows {
            let mut claim = Claim::withhold(withheld.ends);
            claim.starts = withheld.starts;
            case.depend(&withheld.reference);
            case.claim(rule, &withheld.audience, claim, &[&withheld.reference]);
            concealed = true;
        }
    }
    if concealed {
        for part in parts(facts.target) {
            case.pass_on(part);
        }
    }
}

/// Whether a visit names the target as the appointment it was made by, or as a diagnosis or reason
/// that was not known before it, or as an episode of care or an account that began with it.
fn is_of_visit(case: &Case<'_>, visit: &Value, visit_ref: &str) -> bool {
    let facts = case.facts;
    let named = |key| references(visit, key).any(|one| one == facts.target_ref);
    match case.type_name {
        "Appointment" => named("appointment"),
        "Condition" | "Procedure" => {
            let diagnosed = each(visit, "diagnosis")
                .flat_map(|one| references(one, "condition"))
                .any(|one| one == facts.target_ref);
            (diagnosed || named("reasonReference")) && !is_older(case, visit, visit_ref)
        }
        "EpisodeOfCare" => named("episodeOfCare") && !is_older(case, visit, visit_ref),
        "Account" => named("account") && !is_older(case, visit, visit_ref),
        _ => false,
    }
}

/// Whether the target belongs to another visit, or was recorded before this one began: what
/// everybody knew is not of the episode.
fn is_older(case: &Case<'_>, visit: &Value, visit_ref: &str) -> bool {
    let target = case.facts.target;
    let elsewhere = references(target, "encounter").any(|one| one != visit_ref);
    let began = visit.get("period").and_then(|period| text(period, "start"));
    let began = case.time(began, Edge::Start);
    let since = ["period", "servicePeriod"]
        .iter()
        .find_map(|key| text(target.get(*key)?, "start"));
    let recorded = ["recordedDate", "performedDateTime"]
        .iter()
        .map(|key| text(target, key))
        .chain([since])
        .find_map(|time| case.time(time, Edge::End));
    elsewhere
        || recorded
            .zip(began)
            .is_some_and(|(recorded, began)| recorded < began)
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

/// What a resource was brought about by: its visit, its order, its prescription, what it bills. Each
/// leads back towards the visit, never to and fro.
fn causes(resource: &Value) -> Vec<&str> {
    const CAUSES: [&str; 5] = [
        "basedOn",
        "authorizingPrescription",
        "prescription",
        "partOf",
        "request",
    ];
    let mut found = visits(resource);
    found.extend(CAUSES.iter().flat_map(|key| references(resource, key)));
    found.extend(orders(resource));
    match type_of(resource) {
        "AppointmentResponse" => found.extend(references(resource, "appointment")),
        "ExplanationOfBenefit" => found.extend(references(resource, "claim")),
        "Invoice" => found.extend(
            each(resource, "lineItem").flat_map(|one| references(one, "chargeItemReference")),
        ),
        "ChargeItem" => found.extend(references(resource, "service")),
        "Task" => found.extend(references(resource, "focus")),
        // What was derived from it tells of it.
        "MedicationStatement" | "Observation" => found.extend(references(resource, "derivedFrom")),
        "DetectedIssue" => found.extend(references(resource, "implicated")),
        "Goal" => found.extend(references(resource, "addresses")),
        _ => {}
    }
    if matches!(type_of(resource), "Claim" | "ExplanationOfBenefit") {
        found.extend(
            each(resource, "procedure").flat_map(|one| references(one, "procedureReference")),
        );
    }
    found
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
