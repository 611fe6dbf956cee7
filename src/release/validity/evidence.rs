//! The conditions of 45 CFR 171.201, one function each: who determined, on what relationship, by
//! which standard of harm, on what facts, and how it is documented.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Groups, Moment, Resolve, input_text, inputs, missing, missing_input, person_of, value, wrong,
};
use crate::clock::Millis;
use crate::fhir::outcome::Issue;
use crate::release::resource::{each, patient_of, reference, text, type_of, words_of};
use crate::release::rules::Rule;
use crate::release::time::{Edge, millis};
use crate::release::words::{asserts, mentions};

/// Fewer characters do not state facts, nor do fewer different ones ("aaaa", "bad news, bad news").
const SHORTEST_FACTS: usize = 40;
const FEWEST_LETTERS: usize = 10;

/// (c)(1): a licensed health care professional.
pub(super) fn professional<'a>(
    who: Option<&'a str>,
    at: &str,
    rule: &Rule,
    when: &Moment<'_>,
    resolve: Resolve<'_, 'a>,
    gaps: &mut Vec<Issue>,
) {
    let Some(who) = who else { return };
    let Some(resource) = resolve(who) else {
        return gaps.push(wrong(at, "this professional is not known here"));
    };
    let qualified = |resource: &Value| {
        each(resource, "qualification").any(|one| {
            when.is_within(one.get("period"))
                && rule
                    .qualification
                    .is_in(one, "code", &rule.words.unlicensed)
        })
    };
    let is_idle = |one: &Value| one.get("active") == Some(&Value::Bool(false));
    if is_idle(resource) {
        return gaps.push(wrong(at, "this professional is not active"));
    }
    let practitioner = match type_of(resource) {
        "PractitionerRole" => {
            if mentions(&words_of(resource, "code"), &rule.words.unlicensed, &[]) {
                return gaps.push(wrong(at, "this role is not a licensed professional's"));
            }
            if !when.is_within(resource.get("period")) {
                return gaps.push(wrong(at, "this role was not in force"));
            }
            reference(resource, "practitioner").and_then(resolve)
        }
        _ => Some(resource),
    };
    if practitioner.is_some_and(is_idle) {
        gaps.push(wrong(at, "this professional is not active"));
    } else if !practitioner.is_some_and(qualified) {
        gaps.push(wrong(
            at,
            "no qualification of a licensed health care professional, in force then, is known \
             (45 CFR 171.201(c)(1))",
        ));
    }
}

/// (c)(1): a current or prior clinician-patient relationship, shown by an Encounter or a CareTeam of
/// the patient in which the determiner takes part.
pub(super) fn related<'a>(
    task: &'a Value,
    requester: Option<&'a str>,
    patient: Option<&str>,
    when: &Moment<'_>,
    resolve: Resolve<'_, 'a>,
    gaps: &mut Vec<Issue>,
) {
    let shown = inputs(task, "relationship").find_map(|one| reference(one, "valueReference"));
    let Some(shown) = shown else {
        return gaps.push(missing_input("relationship"));
    };
    let Some(evidence) = resolve(shown) else {
        return gaps.push(wrong("Task.input", "relationship: is not known here"));
    };
    let status = text(evidence, "status").unwrap_or_default();
    let (key, dead): (&str, &[&str]) = match type_of(evidence) {
        "Encounter" => ("individual", &["planned", "cancelled", "entered-in-error"]),
        "CareTeam" => ("member", &["proposed", "entered-in-error"]),
        _ => {
            return gaps.push(wrong(
                "Task.input",
                "relationship: is no Encounter and no CareTeam",
            ));
        }
    };
    if patient_of(evidence) != patient || dead.contains(&status) {
        return gaps.push(wrong(
            "Task.input",
            "relationship: is not about this patient, or never took place",
        ));
    }
    if !when.has_begun(evidence.get("period")) {
        return gaps.push(wrong(
            "Task.input",
            "relationship: began only after this was determined",
        ));
    }
    let Some(requester) = requester else { return };
    let determiner = person_of(requester, resolve);
    let members: Vec<&str> = each(evidence, "participant")
        .filter(|one| when.has_begun(one.get("period")))
        .filter_map(|one| reference(one, key))
        .collect();
    let takes_part = members
        .iter()
        .any(|member| *member == requester || person_of(member, resolve) == determiner);
    if !takes_part {
        let words = "relationship: does not show the requester with this patient";
        gaps.push(wrong("Task.input", words));
    }
}

/// The matrix of requester class and risk (release-policy.md 1.2).
pub(super) fn harm_standard(task: &Value, basis: &str, groups: &Groups, gaps: &mut Vec<Issue>) {
    let Some(standard) = value(task, "harm-standard") else {
        return gaps.push(missing_input("harm-standard"));
    };
    let substantial = match standard {
        "life-or-physical-safety" => false,
        "substantial-harm" => true,
        _ => {
            return gaps.push(wrong(
                "Task.input",
                "harm-standard: is not a known standard",
            ));
        }
    };
    let fault = match basis {
        "harm-self" if substantial => {
            "a patient's own access is denied only where it endangers life or physical safety \
             (45 CFR 164.524(a)(3)(i))"
        }
        "harm-representative" if groups.patient => {
            "substantial harm by a representative's access is no ground against the patient"
        }
        _ if substantial && groups.other => {
            "against others than the patient and representatives only danger to life or physical \
             safety counts (45 CFR 171.201(d)(4))"
        }
        _ => return,
    };
    gaps.push(wrong("Task.input", format!("harm-standard: {fault}")));
}

pub(super) fn facts(task: &Value, rule: Option<&Rule>, gaps: &mut Vec<Issue>) {
    let Some(facts) = value(task, "facts") else {
        return gaps.push(missing_input("facts"));
    };
    if facts.trim().chars().count() < SHORTEST_FACTS {
        let words = format!("facts: states none in fewer than {SHORTEST_FACTS} characters");
        gaps.push(wrong("Task.input", words));
    }
    let letters = facts.chars().filter(|one| one.is_alphanumeric());
    let letters: HashSet<char> = letters.flat_map(char::to_lowercase).collect();
    if letters.len() < FEWEST_LETTERS {
        gaps.push(wrong("Task.input", "facts: repeats itself and states none"));
    }
    let Some(rule) = rule else { return };
    if asserts(facts, &rule.words.danger, &rule.words.except) {
        return;
    }
    if mentions(facts, &rule.words.emotional, &[]) {
        gaps.push(wrong(
            "Task.input",
            "facts: emotional distress alone is no ground to withhold \
             (harm standard, 45 CFR 164.524(a)(3))",
        ));
    } else if rule.words.danger_required || mentions(facts, &rule.words.no_ground, &[]) {
        gaps.push(wrong(
            "Task.input",
            "facts: name no danger of the kind the harm standard asks for; that a clinician or a \
             policy wants to go first is no ground (45 CFR 171.201(d), 85 FR 25842)",
        ));
    }
}

/// (f): a written policy, or a determination of this case that is looked at again, `within` the time
/// after it. One that ends before that day needs no look.
pub(super) fn documented(task: &Value, when: &Moment<'_>, within: Millis, gaps: &mut Vec<Issue>) {
    const AT: &str = "Task.input";
    let policy = value(task, "policy").is_some_and(|policy| !policy.trim().is_empty());
    let case_by_case = inputs(task, "case-by-case")
        .any(|one| one.get("valueBoolean").and_then(Value::as_bool) == Some(true));
    if !policy && !case_by_case {
        gaps.push(missing(
            AT,
            "policy, or case-by-case true (45 CFR 171.201(f))",
        ));
    }
    let written = value(task, "reassess-at");
    let instant = |edge| written.and_then(|at| millis(at, when.zone, edge));
    let (Some(first), Some(last)) = (instant(Edge::Start), instant(Edge::End)) else {
        return gaps.push(missing_input("reassess-at"));
    };
    if last <= when.at {
        gaps.push(wrong(AT, "reassess-at: is not after this was determined"));
    } else if first > when.at.saturating_add(within) {
        let hours = within / 3_600_000;
        let words = format!("reassess-at: is more than {hours} hours after this was determined");
        gaps.push(wrong(AT, words));
    }
}

/// (c)(2): what is wrong with the data. Another person's data needs no harm standard, it must not
/// be shown at all; anything else does (d)(3).
pub(super) fn defect(task: &Value, rule: Option<&Rule>, gaps: &mut Vec<Issue>) {
    let kind = inputs(task, "defect-type").next();
    let Some(kind) = kind.filter(|one| input_text(one).is_some_and(|it| !it.trim().is_empty()))
    else {
        return gaps.push(missing_input("defect-type"));
    };
    let described = format!(
        "{} {}",
        input_text(kind).unwrap_or_default(),
        words_of(kind, "valueCodeableConcept")
    );
    let mistaken = rule.is_some_and(|rule| mentions(&described, &rule.words.misidentified, &[]));
    match value(task, "harm-standard") {
        None if mistaken => {}
        Some("life-or-physical-safety") => {}
        None => gaps.push(missing_input("harm-standard")),
        Some(_) if mistaken => {}
        Some(_) => gaps.push(wrong(
            "Task.input",
            "harm-standard: a data defect is withheld only where it endangers life or physical \
             safety (45 CFR 171.201(d)(3))",
        )),
    }
}
