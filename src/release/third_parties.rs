//! R14 and R15: what third parties may not have without more. Both fail closed, against them alone:
//! the patient's own access needs no consent (42 CFR 2.23).

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Audience, Effect, NoteKind, Redaction};
use super::directives::{Denial, audiences, denials, is_directive, is_within};
use super::resource::{codings, copies, each, labels, text};
use super::rules::Rule;
use super::time::Edge;
use crate::clock::FOREVER;

/// The policy by which a patient who paid in full restricts the plan (45 CFR 164.522(a)(1)(vi)).
const SELF_PAY: &str = "HIPAASelfPay";
/// The label of records of a Part 2 program.
const PART2: &str = "42CFRPart2";

/// Whether a Consent is a self-pay restriction.
pub(crate) fn is_self_pay(consent: &Value) -> bool {
    codings(consent, "policyRule").any(|(_, code)| code == SELF_PAY)
}

/// R14: restricted because the patient paid. An attestation that is missing, or a date, does not give
/// it to the plan: the plan must not have what was paid for.
pub(crate) fn self_pay(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    for input in facts.inputs {
        let consent = input.resource;
        if !is_directive(case, consent) || !is_self_pay(consent) {
            continue;
        }
        let mut found = denials(case, consent, true);
        let provision = consent.get("provision");
        let untyped = provision.is_none_or(|one| text(one, "type").is_none());
        // The restriction itself tells of what it restricts.
        let is_itself = facts.target_ref == input.reference;
        if is_itself || (untyped && provision.is_none_or(|one| is_within(case, one))) {
            found.push(Denial::of_all());
        }
        for denial in found {
            let mut held = rule.audiences.clone();
            if let Some(actor) = denial.actor {
                held.extend(audiences(case, consent, actor));
            }
            for audience in held {
                let mut claim = Claim::withhold(denial.ends.unwrap_or(FOREVER));
                claim.starts = denial.starts;
                case.claim(rule, &audience, claim, &[input.reference]);
            }
        }
    }
}

/// A permission to have Part 2 records.
struct Permit<'a> {
    reference: &'a str,
    starts: i64,
    ends: i64,
    /// Whom it names; none for "third parties".
    who: Option<Audience>,
    given: Option<i64>,
}

/// R15: records of a Part 2 program go to third parties with a consent that is about them.
pub(crate) fn part2(case: &mut Case<'_>, rule: &Rule) {
    let is_one = |resource| labels(resource).any(|(_, code)| code == PART2);
    let copies = copies(case.facts.target).into_iter();
    let copies: BTreeSet<String> = copies
        .filter(|(_, copy)| is_one(copy))
        .map(|(place, _)| place)
        .collect();
    let effect = if is_one(case.facts.target) || copies.contains("") {
        Effect::Withhold
    } else if copies.is_empty() {
        return;
    } else {
        Effect::Redact(Redaction {
            pointers: copies,
            ..Redaction::default()
        })
    };
    let permits = permits(case);
    let general: Vec<&Permit<'_>> = permits.iter().filter(|one| one.who.is_none()).collect();
    for permit in &permits {
        case.note(NoteKind::Overridden, rule, &[permit.reference], "consent");
    }
    // A row spares one recipient: of several that are named, the one named last.
    let named = permits
        .iter()
        .filter(|one| one.who.is_some())
        .max_by_key(|one| one.given);
    for audience in &rule.audiences {
        for (starts, ends) in gaps(&general) {
            for (starts, ends, exempt) in spared(starts, ends, named) {
                let mut claim = Claim::withhold(ends);
                claim.starts = starts;
                claim.exempt = exempt;
                claim.effect.clone_from(&effect);
                case.claim(rule, audience, claim, &[]);
            }
        }
    }
}

fn permits<'a>(case: &mut Case<'a>) -> Vec<Permit<'a>> {
    let facts = case.facts;
    let mut found = Vec::new();
    for input in facts.inputs {
        let consent = input.resource;
        let Some(provision) = consent.get("provision") else {
            continue;
        };
        if !is_directive(case, consent)
            || text(provision, "type") != Some("permit")
            || !is_within(case, provision)
        {
            continue;
        }
        let period = provision.get("period").unwrap_or(&Value::Null);
        let starts = case.time(text(period, "start"), Edge::Start).unwrap_or(0);
        let ends = case.time(text(period, "end"), Edge::End).unwrap_or(FOREVER);
        let given = case.time(text(consent, "dateTime"), Edge::Start);
        let permit = |who| Permit {
            reference: input.reference,
            starts,
            ends,
            who,
            given,
        };
        let actors: Vec<&Value> = each(provision, "actor")
            .filter_map(|actor| actor.get("reference"))
            .collect();
        // To "third parties" in general only what says that it is about these records.
        let says_so = codings(consent, "policyRule")
            .chain(codings(provision, "securityLabel"))
            .any(|(_, code)| code == PART2);
        if actors.is_empty() && says_so {
            found.push(permit(None));
        }
        for actor in actors {
            let who = audiences(case, consent, actor).into_iter();
            let who = who.filter(|who| match who {
                Audience::One(one) => {
                    one.starts_with("Organization/") || one.starts_with("Practitioner/")
                }
                _ => false,
            });
            found.extend(who.map(|who| permit(Some(who))));
        }
    }
    found
}

/// The times in which none of these is in force.
fn gaps(permits: &[&Permit<'_>]) -> Vec<(i64, i64)> {
    let mut open = vec![(0, FOREVER)];
    for permit in permits {
        open = open
            .into_iter()
            .flat_map(|(starts, ends)| {
                [
                    (starts, ends.min(permit.starts)),
                    (starts.max(permit.ends), ends),
                ]
            })
            .filter(|(starts, ends)| starts < ends)
            .collect();
    }
    open
}

/// A time in which all are held off, cut where one recipient is spared.
fn spared(starts: i64, ends: i64, named: Option<&Permit<'_>>) -> Vec<(i64, i64, Option<String>)> {
    let Some(Permit {
        starts: from,
        ends: to,
        who: Some(Audience::One(who)),
        ..
    }) = named
    else {
        return vec![(starts, ends, None)];
    };
    [
        (starts, ends.min(*from), None),
        (starts.max(*from), ends.min(*to), Some(who.clone())),
        (starts.max(*to), ends, None),
    ]
    .into_iter()
    .filter(|(starts, ends, _)| starts < ends)
    .collect()
}
