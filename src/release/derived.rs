//! What a withheld resource leaves behind elsewhere: references to it go, and what cannot be told
//! apart from it goes too (R28, 45 CFR 171.204(a)(2)). A Binary follows what it is attached to.

use super::case::{Case, Claim};
use super::decision::{Effect, Mode, NoteKind, Redaction};
use super::links::binaries;
use super::needs::task_code;
use super::redact::redact;
use super::resource::reference;
use super::results::results;
use super::rules::Rule;

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    let facts = case.facts;
    if case.type_name == "Binary" {
        return inherit(case);
    }
    if matches!(
        case.type_name,
        "DocumentReference" | "DiagnosticReport" | "Media" | "Composition"
    ) {
        for binary in binaries(facts.target) {
            case.pass_on(&binary);
        }
    }
    for withheld in facts.withheld_targets {
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
        let claim = Claim {
            exempt: withheld.exempt.clone(),
            starts: withheld.starts,
            ends: withheld.ends,
            effect: if steering {
                Effect::Withhold
            } else {
                Effect::Redact(parts)
            },
        };
        case.claim_as(
            withheld.mode,
            withheld.rules.clone(),
            &withheld.audience,
            claim,
        );
    }
}

/// The parts of a report that are written about all its results.
pub(crate) fn words(report: &serde_json::Value) -> std::collections::BTreeSet<String> {
    ["conclusion", "conclusionCode", "presentedForm"]
        .iter()
        .filter(|key| report.get(**key).is_some())
        .map(|key| format!("/{key}"))
        .collect()
}

/// A Binary is withheld wherever one of its documents is, or is shown in part: the part that went
/// may be what names it.
fn inherit(case: &mut Case<'_>) {
    let facts = case.facts;
    for referrer in facts.referrers {
        case.depend(referrer.reference);
    }
    for withheld in facts
        .withheld_targets
        .iter()
        .filter(|withheld| !withheld.partial)
    {
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
