//! The release engine: what of a record its patient, and anyone else, may see now.
//!
//! Pure: facts and the time go in, a [`Decision`] comes out; there is no I/O here. The store gathers
//! [`Facts`] (with [`needs`] and [`evidence`] saying which), turns the decision into hold rows and
//! stored renditions, and asks again when something that [`steers`] it changes.
//!
//! Release is the presumption. Rules are data (`fhir-profiles/release`, one file for each law);
//! what a rule's `match.predicate` names is code, one file for each family below.
//! `docs/release-engine.md` explains the whole.

mod abuse;
mod case;
mod codes;
mod decision;
mod derived;
mod directives;
mod facts;
mod holds;
mod links;
mod merge;
mod minors;
mod needs;
mod policy;
mod positive;
mod psychotherapy;
mod qualification;
mod redact;
mod research;
mod resource;
mod results;
mod rules;
mod third_parties;
mod time;
mod validity;
pub mod vocabulary;
mod words;

#[cfg(test)]
mod tests;

pub use case::became_final;
pub use decision::{
    Audience, Decision, Effect, HoldSpan, LedgerNote, Mode, NoteKind, Redaction, joint,
};
pub use directives::{app_audience, lacks_attestation};
pub use facts::{Facts, Input, Lookup, Record, Referrer, SHOWS_TREATMENT, Withheld};
pub use links::{attachments, references, relative};
pub use needs::{
    Affects, Links, Needs, Steering, directed_by, evidence, needs, steers, weighs_the_same,
};
pub use policy::{PackSwitch, PolicyContext, policy_summary};
pub use redact::redact;
pub use resource::{is_final, is_settled, patient_of, patients_of};
pub use results::{is_made_of, parts};
pub use rules::{PolicyError, RuleSet};
pub use validity::{check_hold, check_input};

use crate::clock::Millis;
use case::Case;
use rules::Predicate;

/// Decides who may see `facts.target`, and from when.
///
/// The stages of release-policy.md 8.3: every active rule looks at the facts in the order of its
/// class (not EHI, law, the patient's directives, exceptions), a rule without its evidence does not
/// hold, overrides remove only the rules that list them, and what remains is merged for each
/// audience (withhold over redact over release; delays to the latest of the valid instants).
#[must_use]
pub fn decide(facts: &Facts<'_>, now: Millis) -> Decision {
    let mut case = Case::new(facts, now);
    for rule in facts.context.active() {
        match rule.predicate {
            // R00 is the presumption itself; R02 is kept by the types R01 may match.
            // R20 is kept by the authorization server: who may not act is no viewer.
            Predicate::Always
            | Predicate::PsychotherapyAdjacent
            | Predicate::RepresentativeScope => {}
            Predicate::PsychotherapyNote => psychotherapy::apply(&mut case, rule),
            Predicate::SensitiveResult | Predicate::DiscussedFirst => {
                results::apply(&mut case, rule);
            }
            Predicate::NotShare => directives::not_share(&mut case, rule),
            Predicate::PatientDelay => directives::delay(&mut case, rule),
            Predicate::Hold => holds::apply(&mut case, rule),
            Predicate::ResearchSuspension => research::suspension(&mut case, rule),
            Predicate::ResearchBlinding => research::blinding(&mut case, rule),
            Predicate::RepresentativeSuspended => abuse::apply(&mut case, rule),
            Predicate::MinorConsentedService => minors::apply(&mut case, rule),
            Predicate::Segmentation => derived::apply(&mut case, rule),
            Predicate::SelfPay => third_parties::self_pay(&mut case, rule),
            Predicate::Part2 => third_parties::part2(&mut case, rule),
        }
    }
    derived::apart(&mut case);
    results::alert_without_jurisdiction(&mut case);
    case.decision()
}
