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
        let joint = joint(&by_audience, audience);
        merged.extend(timeline(audience, own, &joint, target));
    }
    for (app, denied) in by_audience.iter().filter(|(one, _)| one.is_app()) {
        for user in users(&by_audience) {
            merged.extend(in_app(&by_audience, (app, denied), &user, target));
        }
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

/// Redactions for others of whom a viewer of this audience may also be.
fn joint<'c>(
    claims: &'c BTreeMap<Audience, Vec<HoldSpan>>,
    audience: &Audience,
) -> Vec<&'c HoldSpan> {
    claims
        .iter()
        .filter(|(other, _)| may_share_a_viewer(audience, other))
        .flat_map(|(_, claims)| claims)
        .filter(|claim| matches!(claim.effect, Effect::Redact(_)))
        .collect()
}

/// Classes and persons who are shown a rendition of their own.
fn users(claims: &BTreeMap<Audience, Vec<HoldSpan>>) -> BTreeSet<Audience> {
    let mut users = BTreeSet::new();
    for audience in claims.keys() {
        match audience {
            Audience::PatientSide => {
                users.extend([Audience::Patient, Audience::Representatives]);
            }
            Audience::One(who) if !is_person(who) => {}
            _ => {
                users.insert(audience.clone());
            }
        }
    }
    users
}

/// What a user is shown in an app where parts are denied to either: neither has these. An app serves many,
/// and what is denied to one of its users is not denied to the others, nor to the same user elsewhere.
fn in_app(
    claims: &BTreeMap<Audience, Vec<HoldSpan>>,
    (app, denied): (&Audience, &[HoldSpan]),
    user: &Audience,
    target: &Value,
) -> Vec<HoldSpan> {
    let Audience::One(name) = app else {
        return Vec::new();
    };
    let none = Vec::new();
    let own = claims.get(user).unwrap_or(&none).iter();
    let own: Vec<&HoldSpan> = own.chain(joint(claims, user)).collect();
    let runs = |span: &HoldSpan, from: i64| span.starts <= from && from < span.ends;
    let both = user.both(name);
    let all: Vec<HoldSpan> = denied.iter().chain(own.iter().copied()).cloned().collect();
    timeline(&both, &all, &[], target)
        .into_iter()
        .filter(|span| {
            denied.iter().any(|one| runs(one, span.starts))
                && own.iter().any(|one| runs(one, span.starts))
        })
        .collect()
}

/// Whether this names a person or an organisation, not an app, a record, or two at once.
fn is_person(who: &str) -> bool {
    !["Device/", "Record/", "Both/"]
        .iter()
        .any(|prefix| who.starts_with(prefix))
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

/// Whether one viewer may belong to both audiences, `other` being a group or another kind of party. Who
/// uses an app has a rendition for the two together (see [`in_app`]).
fn may_share_a_viewer(one: &Audience, other: &Audience) -> bool {
    use Audience::{
        Clinicians, One, Patient, PatientSide, Payers, Representatives, Researchers, ThirdParties,
    };
    let kind = |who: &str| who.split('/').next().unwrap_or_default().to_owned();
    if let Some((of, record)) = one.parts() {
        return of == *other
            || other.is_app()
            || matches!(other, One(who) if who == record)
            || may_share_a_viewer(&of, other);
    }
    match (one, other) {
        (Patient | Representatives, PatientSide) => true,
        // A viewer is one person, and looks at one record.
        (One(a), One(b)) => {
            let meets =
                |who: &str| matches!(kind(who).as_str(), "Patient" | "RelatedPerson" | "Device");
            (kind(a) == "Record" && meets(b))
                || (kind(b) == "Record" && meets(a))
                || (kind(a) == "Device" && other.of_record().is_some())
        }
        (One(who), group) => match kind(who).as_str() {
            "RelatedPerson" => matches!(group, PatientSide | Representatives),
            "Patient" => matches!(group, PatientSide | Patient),
            "Record" => matches!(group, PatientSide | Patient | Representatives),
            "Practitioner" | "PractitionerRole" => matches!(group, Clinicians),
            "Organization" => matches!(group, Clinicians | Payers | Researchers | ThirdParties),
            _ => false,
        },
        _ => false,
    }
}
