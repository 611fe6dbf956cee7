//! What the engine is told.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::decision::{Audience, Mode};
use super::links::references;
use super::policy::PolicyContext;
use super::resource::{patient_of, type_of};
use crate::clock::Millis;

/// A resource of the patient that steers decisions: a hold, a directive, a research subject.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `Task/abc`.
    pub reference: &'a str,
    pub resource: &'a Value,
    /// When this server stored this version of it.
    pub stored_at: Millis,
    /// Came from a feed that cannot be refused (batch import, HL7 v2).
    pub fed: bool,
}

/// A resource that the target is part of: a report naming it as result, media or imaging study, a
/// panel naming it as member, or a report of that panel; of a Binary, what it is attached to.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// `DiagnosticReport/abc`.
    pub reference: &'a str,
    pub resource: &'a Value,
    /// When the referrer's first final version became final ([`crate::release::became_final`]).
    pub first_final: Option<Millis>,
}

/// One hold row of a resource that the target refers to, or that refers to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// `Observation/abc`, the resource that is held.
    pub reference: String,
    pub audience: Audience,
    pub exempt: Option<String>,
    pub starts: Millis,
    pub ends: Millis,
    pub mode: Mode,
    pub rules: Vec<String>,
    /// True where the audience sees a redacted rendition instead of nothing.
    pub partial: bool,
}

/// One of several patients that a resource is about, and what of it is about the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `Patient/x`.
    pub patient: String,
    /// `Type/id` that the resource refers to and that are about another patient, or are one.
    pub foreign: BTreeSet<String>,
}

/// Resources by reference, as gathered before deciding.
pub trait Lookup {
    /// The resource `Type/id`; none if it does not exist or was deleted.
    fn resource(&self, reference: &str) -> Option<&Value>;

    /// Whether the record of a patient (`Patient/x`) shows that `who` (`Practitioner/x`, or a role)
    /// treats that patient or ordered for them: an Encounter, a CareTeam, an order, the Patient.
    fn treats(&self, who: &str, patient: &str) -> bool;
}

/// Types that show who treats a patient, or orders for one.
pub const SHOWS_TREATMENT: [&str; 4] = ["Encounter", "CareTeam", "ServiceRequest", "Patient"];

impl Lookup for HashMap<String, Value> {
    fn resource(&self, reference: &str) -> Option<&Value> {
        self.get(reference)
    }

    fn treats(&self, who: &str, patient: &str) -> bool {
        self.values().any(|one| {
            SHOWS_TREATMENT.contains(&type_of(one))
                && (patient_of(one) == Some(patient) || type_of(one) == "Patient")
                && references(one).iter().any(|named| named == who)
        })
    }
}

/// Everything a decision rests on.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The resource being decided, as stored (with id and meta).
    pub target: &'a Value,
    /// `DiagnosticReport/abc`.
    pub target_ref: &'a str,
    /// When its first final version became final ([`crate::release::became_final`]); none if none
    /// was, or this is it.
    pub first_final: Option<Millis>,
    /// Every input of the target's patient ([`crate::release::steers`] tells what is one).
    pub inputs: &'a [Input<'a>],
    /// What [`crate::release::needs`] and [`crate::release::evidence`] named.
    pub linked: &'a dyn Lookup,
    /// Resources that refer to the target, if [`crate::release::needs`] asked for them.
    pub referrers: &'a [Referrer<'a>],
    /// Hold rows of what the target refers to; for a Binary, those of its referrers, without rows
    /// that show a rendition which still names the Binary.
    pub withheld_targets: &'a [Withheld],
    /// Empty unless the target is about several patients.
    pub records: &'a [Record],
    pub context: &'a PolicyContext,
}
