//! One decision in the making: the facts, and what the rules have claimed so far.

use std::collections::BTreeSet;

use serde_json::Value;

use super::decision::{Audience, Decision, Effect, HoldSpan, LedgerNote, Mode, NoteKind};
use super::facts::{Facts, Input};
use super::merge;
use super::policy::PolicyContext;
use super::resource::{is_final, is_settled, local, patients_of, text, type_of};
use super::rules::Rule;
use super::time::{Edge, millis};
use crate::clock::Millis;

/// What one rule wants for one stretch of time, before the mode and the rule's id are put in.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) exempt: Option<String>,
    pub(crate) starts: Millis,
    pub(crate) ends: Millis,
    pub(crate) effect: Effect,
}

impl Claim {
    /// Withheld from everybody in the audience, from the beginning until `ends`.
    pub(crate) fn withhold(ends: Millis) -> Self {
        Self {
            exempt: None,
            starts: 0,
            ends,
            effect: Effect::Withhold,
        }
    }
}

pub(crate) struct Case<'a> {
    pub(crate) facts: Facts<'a>,
    pub(crate) now: Millis,
    pub(crate) type_name: &'a str,
    /// `Patient/x`, whom the target is about; none where it only hangs on something that is.
    pub(crate) patients: Vec<&'a str>,
    pub(crate) finalized: Option<Millis>,
    claims: Vec<HoldSpan>,
    entries: BTreeSet<LedgerNote>,
    depends_on: BTreeSet<String>,
    dependents: BTreeSet<String>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(facts: &Facts<'a>, now: Millis) -> Self {
        let facts = *facts;
        Self {
            now,
            type_name: type_of(facts.target),
            patients: if type_of(facts.target) == "Patient" {
                vec![facts.target_ref]
            } else {
                patients_of(facts.target)
            },
            finalized: finalized(facts.target, facts.first_final, now, &facts),
            claims: Vec::new(),
            entries: BTreeSet::new(),
            depends_on: BTreeSet::new(),
            dependents: BTreeSet::new(),
            facts,
        }
    }

    /// Whether the target is about this patient (`Patient/x`).
    pub(crate) fn is_about(&self, patient: Option<&str>) -> bool {
        patient.is_some_and(|patient| self.patients.contains(&patient))
    }

    /// The instant of a FHIR time in the policy's zone.
    pub(crate) fn time(&self, text: Option<&str>, edge: Edge) -> Option<Millis> {
        millis(text?, self.facts.context.zone(), edge)
    }

    /// The resource a Reference points at: contained in `from`, an input, or gathered. What was
    /// looked for becomes a dependency, found or not.
    pub(crate) fn resolve(&mut self, from: &'a Value, reference: &str) -> Option<&'a Value> {
        if let Some(id) = reference.strip_prefix('#') {
            let mut contained = from.get("contained")?.as_array()?.iter();
            return contained.find(|one| text(one, "id") == Some(id));
        }
        let bare = local(reference)?;
        self.depend(bare);
        self.facts
            .linked
            .resource(bare)
            .or_else(|| self.input(bare).map(|input| input.resource))
    }

    /// The same without a dependency, for what the caller records itself.
    pub(crate) fn input(&self, reference: &str) -> Option<&'a Input<'a>> {
        self.facts
            .inputs
            .iter()
            .find(|input| input.reference == reference)
    }

    /// Re-decide the target when `reference` is written.
    pub(crate) fn depend(&mut self, reference: &str) {
        if !self.depends_on.contains(reference) {
            self.depends_on.insert(reference.to_owned());
        }
    }

    /// Re-decide `reference` after the target was.
    pub(crate) fn pass_on(&mut self, reference: &str) {
        self.dependents.insert(reference.to_owned());
    }

    /// Records what a rule wants from one audience, with the ledger's note. A claim whose time is
    /// over is nothing.
    pub(crate) fn claim(
        &mut self,
        rule: &Rule,
        audience: &Audience,
        claim: Claim,
        evidence: &[&str],
    ) {
        if claim.ends <= self.now {
            return;
        }
        self.note(NoteKind::Applied, rule, evidence, "");
        // Only the patient's side gets a notice: to everybody else, withheld is not there.
        let of = audience.told();
        let patient_side = match of.as_ref().unwrap_or(audience) {
            Audience::PatientSide | Audience::Patient | Audience::Representatives => true,
            Audience::One(who) => who.starts_with("RelatedPerson/") || who.starts_with("Patient/"),
            _ => false,
        };
        let mode = if patient_side {
            rule.mode
        } else {
            Mode::Conceal
        };
        self.claim_as(mode, vec![rule.id.clone()], audience, claim);
    }

    /// Records a claim that carries another decision's rules on.
    pub(crate) fn claim_as(
        &mut self,
        mode: Mode,
        rules: Vec<String>,
        audience: &Audience,
        claim: Claim,
    ) {
        let Claim {
            exempt,
            starts,
            ends,
            effect,
        } = claim;
        if ends > self.now {
            let audience = audience.clone();
            self.claims.push(HoldSpan {
                audience,
                exempt,
                starts,
                ends,
                effect,
                mode,
                rules,
            });
        }
    }

    /// Writes a note for the ledger.
    pub(crate) fn note(&mut self, kind: NoteKind, rule: &Rule, evidence: &[&str], detail: &str) {
        self.entries.insert(LedgerNote {
            kind,
            rule: rule.id.clone(),
            basis: rule.cite.clone(),
            ib_path: rule.ib_path.clone(),
            evidence: evidence.iter().map(|&one| one.to_owned()).collect(),
            detail: detail.to_owned(),
        });
    }

    /// A note about a law (its rule's id and citation) that no rule of this engine is.
    pub(crate) fn note_of_law(&mut self, kind: NoteKind, (id, cite): (&str, &str), detail: &str) {
        self.entries.insert(LedgerNote {
            kind,
            rule: id.to_owned(),
            basis: cite.to_owned(),
            ib_path: "none".to_owned(),
            evidence: Vec::new(),
            detail: detail.to_owned(),
        });
    }

    /// Everything merged.
    pub(crate) fn decision(mut self) -> Decision {
        self.depends_on.remove(self.facts.target_ref);
        self.dependents.remove(self.facts.target_ref);
        Decision {
            holds: merge::merge(self.claims, self.facts.target),
            entries: self.entries.into_iter().collect(),
            depends_on: self.depends_on.into_iter().collect(),
            dependents: self.dependents.into_iter().collect(),
            finalized_at: self.finalized,
        }
    }
}

/// When a resource became final (release-contract.md, "Finalised at"), by its first final version;
/// an amendment that moves `issued` to a later time does not restart a clock. None while it is not
/// final and never was.
pub(crate) fn finalized(
    resource: &Value,
    first_final: Option<Millis>,
    now: Millis,
    facts: &Facts<'_>,
) -> Option<Millis> {
    if !is_final(resource)? && !is_settled(resource) && first_final.is_none() {
        return None;
    }
    let Some(first) = first_final else {
        return Some(became_final(resource, now, facts.context));
    };
    Some(became_final(resource, first, facts.context).min(first))
}

/// When a final version became final: what it says itself, else the instant `stored` at which this
/// server stored it. A time more than a day ahead of the storing is a broken clock, not a time.
#[must_use]
pub fn became_final(resource: &Value, stored: Millis, context: &PolicyContext) -> Millis {
    const AHEAD: Millis = 86_400_000;
    let said = match type_of(resource) {
        "DiagnosticReport" | "Observation" | "Media" => text(resource, "issued"),
        "DocumentReference" | "Composition" => text(resource, "date"),
        _ => None,
    };
    said.and_then(|said| millis(said, context.zone(), Edge::Start))
        .filter(|said| *said <= stored.saturating_add(AHEAD))
        .unwrap_or(stored)
}
