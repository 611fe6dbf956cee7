//! Merging what several rules want: for each audience a timeline of spans that do not overlap.
//!
//! Within a span withhold beats redact beats release; redactions unite; the rules are listed
//! together; a delay lasts to the latest of the valid instants because the timelines unite.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::decision::{Audience, Effect, HoldSpan, Redaction};
use super::redact::redact;

/// Merges claims (one span for each rule) into the spans of a decision about `target`.
pub(crate) fn merge(claims: Vec<HoldSpan>, target: &Value) -> Vec<HoldSpan> {
    let mut by_audience: BTreeMap<Audience, Vec<HoldSpan>> = BTreeMap::new();
    for claim in claims {
        if claim.starts < claim.ends {
            by_audience
                .entry(claim.audience.clone())
                .or_default()
                .push(claim);
        }
    }
    let mut merged = Vec::new();
    for (audience, own) in &by_audience {
        let joint: Vec<&HoldSpan> = by_audience
            .iter()
            .filter(|(other, _)| may_share_a_viewer(audience, other))
            .flat_map(|(_, claims)| claims)
            .filter(|claim| matches!(claim.effect, Effect::Redact(_)))
            .collect();
        merged.extend(timeline(audience, own, &joint, target));
    }
    // Redactions that may meet in one viewer are nested (see `timeline`): the larger comes later.
    merged.sort_by_cached_key(|span| match &span.effect {
        Effect::Withhold => (0, span.audience.clone(), span.starts),
        Effect::Redact(parts) => (
            1 + parts.pointers.len() + parts.references.len(),
            span.audience.clone(),
            span.starts,
        ),
    });
    merged
}

/// The spans of one audience. `joint` are redactions for other audiences of which a viewer of this
/// one may also be: they are united in, so that such a viewer can be shown one rendition.
fn timeline(
    audience: &Audience,
    own: &[HoldSpan],
    joint: &[&HoldSpan],
    target: &Value,
) -> Vec<HoldSpan> {
    let edges: BTreeSet<i64> = own
        .iter()
        .chain(joint.iter().copied())
        .flat_map(|span| [span.starts, span.ends])
        .collect();
    let edges: Vec<i64> = edges.into_iter().collect();
    let mut spans: Vec<HoldSpan> = Vec::new();
    for pair in edges.windows(2) {
        let &[starts, ends] = pair else { continue };
        let Some(span) = segment(audience, own, joint, starts, ends, target) else {
            continue;
        };
        match spans.last_mut() {
            Some(last) if last.ends == starts && same(last, &span) => last.ends = ends,
            _ => spans.push(span),
        }
    }
    spans
}

/// What holds between two neighbouring edges.
fn segment(
    audience: &Audience,
    own: &[HoldSpan],
    joint: &[&HoldSpan],
    starts: i64,
    ends: i64,
    target: &Value,
) -> Option<HoldSpan> {
    let runs = |span: &&HoldSpan| span.starts <= starts && ends <= span.ends;
    let mut active: Vec<&HoldSpan> = own.iter().filter(runs).collect();
    let mode = active.iter().map(|span| span.mode).max()?;
    let effect = if active.iter().any(|span| span.effect == Effect::Withhold) {
        Effect::Withhold
    } else {
        active.extend(joint.iter().copied().filter(runs));
        let mut parts = Redaction::default();
        for span in &active {
            if let Effect::Redact(more) = &span.effect {
                parts.extend(more);
            }
        }
        // What cannot stand without the parts is withheld as a whole.
        if redact(target, &parts).is_some() {
            Effect::Redact(parts)
        } else {
            Effect::Withhold
        }
    };
    let mode = active.iter().map(|span| span.mode).fold(mode, Ord::max);
    let first = active.first()?.exempt.clone();
    // Exempt from all of it, or not exempt.
    let exempt = first.filter(|who| active.iter().all(|span| span.exempt.as_ref() == Some(who)));
    let rules: BTreeSet<&String> = active.iter().flat_map(|span| &span.rules).collect();
    let rules = rules.into_iter().cloned().collect();
    Some(HoldSpan {
        audience: audience.clone(),
        exempt,
        starts,
        ends,
        effect,
        mode,
        rules,
    })
}

fn same(a: &HoldSpan, b: &HoldSpan) -> bool {
    a.exempt == b.exempt && a.effect == b.effect && a.mode == b.mode && a.rules == b.rules
}

/// Whether one viewer may belong to both audiences, `other` being a group or another kind of party.
fn may_share_a_viewer(one: &Audience, other: &Audience) -> bool {
    use Audience::{
        Clinicians, One, Patient, PatientSide, Payers, Representatives, Researchers, ThirdParties,
    };
    let kind = |who: &str| who.split('/').next().unwrap_or_default().to_owned();
    match (one, other) {
        (Patient | Representatives, PatientSide) => true,
        (One(a), One(b)) => kind(a) != kind(b),
        (One(who), group) => match kind(who).as_str() {
            "RelatedPerson" => matches!(group, PatientSide | Representatives),
            "Patient" => matches!(group, PatientSide | Patient),
            "Record" => matches!(group, PatientSide | Patient | Representatives),
            "Practitioner" | "PractitionerRole" => matches!(group, Clinicians),
            "Organization" => matches!(group, Clinicians | Payers | Researchers | ThirdParties),
            // An app serves any of them.
            _ => true,
        },
        _ => false,
    }
}
