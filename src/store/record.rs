//! What the ledger says of a decision: who, what, until when, by which rule; no clinical content.

use serde_json::{Value, json};

use super::current::Current;
use crate::clock;
use crate::release::{self, Decision};

/// The body of a `decision` entry.
pub(super) fn ledger_body(
    reference: &str,
    current: &Current,
    decision: &Decision,
    context: &release::PolicyContext,
) -> Value {
    let holds: Vec<Value> = decision
        .holds
        .iter()
        .filter_map(|span| Some((span.audience.told()?, span)))
        .map(|(audience, span)| {
            let mut row = json!({
                "audience": audience_name(&audience),
                "effect": match span.effect {
                    release::Effect::Withhold => "withhold",
                    release::Effect::Redact(_) => "redact",
                },
                "visibility": match span.mode {
                    release::Mode::Pending => "pending",
                    release::Mode::Notice => "notice",
                    release::Mode::Conceal => "conceal",
                },
                "rules": span.rules,
            });
            if span.starts > 0 {
                row["from"] = json!(clock::instant(span.starts));
            }
            if span.ends != clock::FOREVER {
                row["until"] = json!(clock::instant(span.ends));
            }
            row
        })
        .collect();
    let notes: Vec<Value> = decision
        .entries
        .iter()
        .map(|note| {
            json!({
                "kind": note.kind.code(),
                "rule": note.rule,
                "basis": note.basis,
                "ibPath": note.ib_path,
                "evidence": note.evidence,
                "detail": note.detail,
            })
        })
        .collect();
    let mut body = json!({
        "target": reference,
        "version": current.version,
        "policyEpoch": context.epoch(),
        "outcome": if holds.is_empty() { "release" } else { "hold" },
        "holds": holds,
        "notes": notes,
    });
    if let Some(at) = decision.finalized_at {
        body["finalizedAt"] = json!(clock::instant(at));
    }
    body
}

pub(super) fn audience_name(audience: &release::Audience) -> String {
    use release::Audience as A;
    match audience {
        A::PatientSide => "patient-side".to_owned(),
        A::Patient => "patient".to_owned(),
        A::Representatives => "representative".to_owned(),
        A::Clinicians => "clinician".to_owned(),
        A::Payers => "payer".to_owned(),
        A::Researchers => "researcher".to_owned(),
        A::ThirdParties => "other".to_owned(),
        A::One(reference) => reference.clone(),
    }
}
