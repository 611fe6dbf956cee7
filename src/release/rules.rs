//! Rules as data: the shape of a rule file, and the loader that refuses what must not run.
//!
//! A file under `fhir-profiles/release` is one body of law (`federal.json`, `texas.json`, …) in the
//! rule schema of release-policy.md 8.2. What a rule matches is named by `match.predicate`; the
//! loader refuses a name it does not know, and refuses to activate one that is not built yet.

mod reject;
mod text;

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::decision::{Audience, Mode};
use super::time::Until;
pub(crate) use text::{Condition, Pack, Qualification, RuleText, WordLists};

/// A rule file or a setting that cannot be accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    #[error("release rules {file}: not a rule file: {fault}")]
    File { file: String, fault: String },
    #[error("release rule {rule} ({file}): {fault}")]
    Rule {
        file: String,
        rule: String,
        fault: String,
    },
    #[error(
        "release pack or rule `{id}` is not known; known packs: {known}. Check `[release] packs`"
    )]
    UnknownPack { id: String, known: String },
    #[error("release rule {rule} is not implemented yet and cannot be switched on")]
    NotImplemented { rule: String },
    #[error("release pack `{id}` needs the name of who signed off the change (`signed_by`)")]
    Unsigned { id: String },
    #[error("`{name}` is no IANA time zone, such as `America/Chicago`")]
    TimeZone { name: String },
    #[error("`{name}` is no jurisdiction: write `US`, or a state as `US-TX`")]
    Jurisdiction { name: String },
}

impl Predicate {
    /// Whether it is about results that a state's law keeps back for a time.
    pub(crate) fn is_about_results(self) -> bool {
        matches!(self, Self::SensitiveResult | Self::DiscussedFirst)
    }
}

/// What a rule looks for. Each name is one function of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predicate {
    Always,
    PsychotherapyNote,
    PsychotherapyAdjacent,
    SensitiveResult,
    NotShare,
    PatientDelay,
    ResearchSuspension,
    ResearchBlinding,
    /// A hold Task whose reason is the rule's `match.basis`.
    Hold,
    RepresentativeSuspended,
    /// As `SensitiveResult`, until the result was discussed and the patient asked for it.
    DiscussedFirst,
    MinorConsentedService,
    /// Kept where a representative's token becomes a viewer: it is about who asks, not about what.
    RepresentativeScope,
    Segmentation,
    /// Paid in full by the patient: not for the plan.
    SelfPay,
    /// Records of a Part 2 program, for third parties.
    Part2,
}

impl Predicate {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "always" => Self::Always,
            "psychotherapy-note" => Self::PsychotherapyNote,
            "psychotherapy-adjacent" => Self::PsychotherapyAdjacent,
            "sensitive-result" => Self::SensitiveResult,
            "not-share" => Self::NotShare,
            "patient-delay" => Self::PatientDelay,
            "research-suspension" => Self::ResearchSuspension,
            "research-blinding" => Self::ResearchBlinding,
            "hold" => Self::Hold,
            "representative-suspended" => Self::RepresentativeSuspended,
            "discussed-first" => Self::DiscussedFirst,
            "minor-consented-service" => Self::MinorConsentedService,
            "representative-scope" => Self::RepresentativeScope,
            "segmentation" => Self::Segmentation,
            "self-pay" => Self::SelfPay,
            "part2" => Self::Part2,
            _ => return None,
        })
    }
}

/// Predicates that rules in the files already name and the engine does not have yet.
const PLANNED: [&str; 7] = [
    "inmate-copy",
    "confidential-source",
    "sud-counseling-note",
    "minor-law-silent",
    "security-incident",
    "care-access",
    "business-days",
];

/// The stage a rule belongs to; later stages cannot loosen earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Scope,
    Mandatory,
    Directive,
    Exception,
    Operational,
}

/// `status` of a rule as shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Scheduled,
    Off,
}

/// A rule that passed the loader.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) status: Status,
    /// First and last day in force, inclusive; judged by the day a result was finalised.
    pub(crate) effective: (Option<Date>, Option<Date>),
    pub(crate) cite: String,
    pub(crate) ib_path: String,
    pub(crate) class: Class,
    pub(crate) predicate: Predicate,
    pub(crate) audiences: Vec<Audience>,
    pub(crate) types: Vec<String>,
    pub(crate) any_of: Vec<Condition>,
    pub(crate) basis: Option<String>,
    pub(crate) qualification: Qualification,
    pub(crate) words: WordLists,
    pub(crate) until: Option<Until>,
    pub(crate) related: bool,
    pub(crate) overridable_by: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) notice: BTreeMap<String, String>,
    pub(crate) priority: u32,
}

impl Rule {
    /// Whether the patient may end it.
    pub(crate) fn ends_at_the_patients_wish(&self) -> bool {
        self.overridable_by.iter().any(|who| who == "patient")
    }
}

/// A rule as listed: its text, and the rule itself unless its predicate is only planned.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) text: RuleText,
    pub(crate) rule: Option<Rule>,
}

/// A pack with its rules, in file order.
#[derive(Clone, Debug)]
pub(crate) struct ListedPack {
    pub(crate) id: String,
    pub(crate) jurisdiction: String,
    pub(crate) on_by_default: bool,
    pub(crate) rules: Vec<Listed>,
}

/// All rule files, checked.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(crate) packs: Vec<ListedPack>,
}

const EMBEDDED: [(&str, &str); 7] = [
    (
        "federal.json",
        include_str!("../../fhir-profiles/release/federal.json"),
    ),
    (
        "kentucky.json",
        include_str!("../../fhir-profiles/release/kentucky.json"),
    ),
    (
        "texas.json",
        include_str!("../../fhir-profiles/release/texas.json"),
    ),
    (
        "montana.json",
        include_str!("../../fhir-profiles/release/montana.json"),
    ),
    (
        "virginia.json",
        include_str!("../../fhir-profiles/release/virginia.json"),
    ),
    (
        "colorado.json",
        include_str!("../../fhir-profiles/release/colorado.json"),
    ),
    (
        "california.json",
        include_str!("../../fhir-profiles/release/california.json"),
    ),
];

impl RuleSet {
    /// The rules that come with the server.
    ///
    /// # Errors
    /// A file that the loader refuses; a test sees to it that none is shipped.
    pub fn embedded() -> Result<Self, PolicyError> {
        Self::load(&EMBEDDED)
    }

    /// Reads rule files, `(name, JSON)`, and refuses what must not run (X-REJECT): a restricting
    /// rule without a legal path, an organisation's own timer, a block by age, label, specialty or
    /// fame alone, a name that is not known, a date that is none, an id twice.
    ///
    /// # Errors
    /// [`PolicyError`] naming the file, the rule and the fault.
    pub fn load(files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let mut packs = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (file, json) in files {
            let pack: Pack = serde_json::from_str(json).map_err(|error| PolicyError::File {
                file: (*file).to_owned(),
                fault: error.to_string(),
            })?;
            let mut rules = Vec::new();
            for mut text in pack.rules {
                let id = text.id.clone();
                let fail = |fault: String| PolicyError::Rule {
                    file: (*file).to_owned(),
                    rule: id.clone(),
                    fault,
                };
                if !seen.insert(text.id.clone()) {
                    return Err(fail("the id is used twice".to_owned()));
                }
                text.fill(&pack.tables).map_err(&fail)?;
                let rule = reject::compile(&text).map_err(&fail)?;
                rules.push(Listed { text, rule });
            }
            packs.push(ListedPack {
                id: pack.pack,
                jurisdiction: pack.jurisdiction,
                on_by_default: pack.on_by_default,
                rules,
            });
        }
        Ok(Self { packs })
    }

    /// Every implemented rule, active or not.
    pub(crate) fn implemented(&self) -> impl Iterator<Item = &Rule> {
        self.packs
            .iter()
            .flat_map(|pack| &pack.rules)
            .filter_map(|listed| listed.rule.as_ref())
    }
}
