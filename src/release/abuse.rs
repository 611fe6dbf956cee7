//! R19: someone reasonably believed to abuse, neglect or endanger the patient is not treated as
//! representative (45 CFR 164.502(g)(5)). It is about the relationship, so everything is concealed.

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, NoteKind};
use super::resource::{extension, patient_of, text, type_of};
use super::rules::Rule;
use super::vocabulary::REPRESENTATIVE_SUSPENDED;
use crate::clock::FOREVER;

fn gaps(related_person: &Value) -> Vec<&'static str> {
    let Some(suspension) = extension(related_person, REPRESENTATIVE_SUSPENDED) else {
        return vec!["representative-suspended"];
    };
    let part = |name| extension(suspension, name);
    let mut gaps = Vec::new();
    let decider = part("decider")
        .and_then(|one| one.get("valueReference"))
        .is_some_and(|who| text(who, "reference").is_some() || who.get("identifier").is_some());
    if !decider {
        gaps.push("decider");
    }
    if part("belief")
        .and_then(|one| text(one, "valueString"))
        .is_none_or(|it| it.trim().is_empty())
    {
        gaps.push("belief");
    }
    if part("decidedAt")
        .and_then(|one| text(one, "valueDateTime"))
        .is_none()
    {
        gaps.push("decidedAt");
    }
    gaps
}

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    for input in case.facts.inputs {
        let person = input.resource;
        if type_of(person) != "RelatedPerson"
            || extension(person, REPRESENTATIVE_SUSPENDED).is_none()
            || !case.is_about(patient_of(person))
        {
            continue;
        }
        let gaps = gaps(person);
        if gaps.is_empty() {
            let audience = Audience::One(input.reference.to_owned());
            case.claim(
                rule,
                &audience,
                Claim::withhold(FOREVER),
                &[input.reference],
            );
        } else {
            let detail = format!("missing: {}", gaps.join(", "));
            case.note(NoteKind::EvidenceGap, rule, &[input.reference], &detail);
        }
    }
}
