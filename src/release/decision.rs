//! What the engine answers.

use std::collections::BTreeSet;

use crate::clock::Millis;

/// Who is held off. A viewer belongs to several: a representative is `PatientSide`,
/// `Representatives` and `One("RelatedPerson/…")` at once, and the app in use may be a `Device`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// The patient and everyone acting for the patient.
    PatientSide,
    /// The patient alone.
    Patient,
    /// Everyone acting for the patient, not the patient.
    Representatives,
    Clinicians,
    Payers,
    Researchers,
    /// Third parties that are none of the above.
    ThirdParties,
    /// One party, as a reference: `RelatedPerson/x`, `Organization/x`, `Device/x`, `Practitioner/x`.
    One(String),
}

const RECORD: &str = "Record/";
const BOTH: &str = "Both/";
const DEVICE: &str = "Device/";

impl Audience {
    /// The number of a group in hold rows; none for one party, whose key the store makes.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        Some(match self {
            Self::PatientSide => 1,
            Self::Patient => 2,
            Self::Representatives => 3,
            Self::Clinicians => 4,
            Self::Payers => 5,
            Self::Researchers => 6,
            Self::ThirdParties => 7,
            Self::One(_) => return None,
        })
    }

    /// Everyone who looks at one patient's record: the patient (`Patient/x`), and who acts for them.
    #[must_use]
    pub fn record(patient: &str) -> Self {
        let id = patient.strip_prefix("Patient/").unwrap_or(patient);
        Self::One(format!("{RECORD}{id}"))
    }

    /// Who belongs to both: to a class or a person, and to a record (`Record/x`) or an app (`Device/x`).
    #[must_use]
    pub fn both(&self, other: &str) -> Self {
        let one = match self {
            Self::One(who) => who.clone(),
            group => format!("Group/{}", group.number().unwrap_or(-1)),
        };
        Self::One(format!("{BOTH}{}", joint(&one, other)))
    }

    /// The two of [`Audience::both`].
    #[must_use]
    pub fn parts(&self) -> Option<(Self, &str)> {
        let Self::One(who) = self else { return None };
        let (one, other) = who.strip_prefix(BOTH)?.split_once(' ')?;
        let one = match one.strip_prefix("Group/") {
            Some(number) => Self::GROUPS
                .iter()
                .find(|group| group.number().is_some_and(|own| own.to_string() == number))?
                .clone(),
            None => Self::One(one.to_owned()),
        };
        Some((one, other))
    }

    /// The patient (`Patient/x`) in whose record alone this is, see [`Audience::record`].
    #[must_use]
    pub fn of_record(&self) -> Option<String> {
        let who = match (self.parts(), self) {
            (Some((_, other)), _) => other,
            (None, Self::One(who)) => who,
            _ => return None,
        };
        who.strip_prefix(RECORD).map(|id| format!("Patient/{id}"))
    }

    /// Whom the ledger names for it; none where it follows from other rows: whose part of a resource is
    /// whose is no hold, and what somebody sees in an app follows from what the two are denied.
    #[must_use]
    pub fn told(&self) -> Option<Self> {
        match (self.parts(), self) {
            (Some((_, other)), _) if other.starts_with(DEVICE) => None,
            (Some((one, _)), _) => Some(one),
            (None, Self::One(who)) if who.starts_with(RECORD) => None,
            _ => Some(self.clone()),
        }
    }

    /// Whether this is an app, whoever uses it.
    pub(crate) fn is_app(&self) -> bool {
        matches!(self, Self::One(who) if who.starts_with(DEVICE))
    }

    /// The groups.
    pub const GROUPS: [Self; 7] = [
        Self::PatientSide,
        Self::Patient,
        Self::Representatives,
        Self::Clinicians,
        Self::Payers,
        Self::Researchers,
        Self::ThirdParties,
    ];

    /// Whether a viewer of class `self` is held off by a row for `row`.
    #[must_use]
    pub fn is_within(&self, row: &Self) -> bool {
        self == row
            || match (self, row) {
                (Self::Patient | Self::Representatives, Self::PatientSide) => true,
                (Self::One(who), Self::PatientSide | Self::Representatives) => {
                    who.starts_with("RelatedPerson/")
                }
                (Self::One(who), Self::Clinicians) => who.starts_with("Practitioner"),
                _ => false,
            }
    }
}

/// The id of [`Audience::both`], as viewers have it among their audiences.
#[must_use]
pub fn joint(one: &str, other: &str) -> String {
    format!("{one} {other}")
}

/// Parts of a resource that one rendition leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redaction {
    /// JSON pointers (RFC 6901) to elements of the resource as stored.
    pub pointers: BTreeSet<String>,
    /// `Type/id` of withheld resources; every element that refers to one goes.
    pub references: BTreeSet<String>,
}

impl Redaction {
    /// Both what `self` and what `other` leaves out.
    pub fn extend(&mut self, other: &Self) {
        self.pointers.extend(other.pointers.iter().cloned());
        self.references.extend(other.references.iter().cloned());
    }

    /// Whether this leaves out at least what `other` does.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.pointers.is_superset(&other.pointers) && self.references.is_superset(&other.references)
    }
}

/// What a span does to the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does not exist for the audience.
    Withhold,
    /// It exists without these parts, see [`crate::release::redact`].
    Redact(Redaction),
}

/// What the audience may learn about the withholding (release-policy.md 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A delay: a banner without a count is allowed.
    Pending = 1,
    /// The patient is denied own data: an aggregate notice and a 164.524(d) letter.
    Notice = 2,
    /// Nothing at all.
    Conceal = 3,
}

/// One audience, held off for one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldSpan {
    pub audience: Audience,
    /// A person (reference) to whom this span does not apply: the author of a psychotherapy note.
    pub exempt: Option<String>,
    /// First instant of the span; 0 for "from the beginning".
    pub starts: Millis,
    /// First instant after it; [`crate::clock::FOREVER`] for "until decided again".
    pub ends: Millis,
    pub effect: Effect,
    pub mode: Mode,
    /// Ids of the rules in force during the span, sorted.
    pub rules: Vec<String>,
}

/// Why a ledger note was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// A rule holds the resource, or part of it, from someone.
    Applied,
    /// A rule matched, but evidence it needs is missing or invalid: it does not hold.
    EvidenceGap,
    /// A note claims to be a psychotherapy note without what makes it one: released.
    PsyClaimUnsupported,
    /// The attested author of a psychotherapy note is not known here: withheld (fail closed).
    AuthorUnresolved,
    /// A patient's directive does not apply, for the reason given.
    DirectiveNotApplied,
    /// A hold's time is over; nothing is held.
    Expired,
    /// A rule was ended early by someone entitled to.
    Overridden,
    /// Someone tried to override a rule that allows no override.
    OverrideRefused,
    /// A part could not be told apart from what is withheld (171.204(a)(2)).
    Segmentation,
    /// A state law may apply, but the jurisdiction is not configured: released, with an alert.
    JurisdictionUnknown,
    /// A state law may apply that this engine cannot reckon with: released, with an alert.
    LawNotBuilt,
}

impl NoteKind {
    /// The word in the ledger.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::EvidenceGap => "evidence_gap",
            Self::PsyClaimUnsupported => "psy_claim_unsupported",
            Self::AuthorUnresolved => "author_unresolved",
            Self::DirectiveNotApplied => "directive_not_applied",
            Self::Expired => "hold_expired",
            Self::Overridden => "overridden",
            Self::OverrideRefused => "override_refused",
            Self::Segmentation => "segmentation",
            Self::JurisdictionUnknown => "jurisdiction_unknown",
            Self::LawNotBuilt => "law_not_built",
        }
    }
}

/// What the ledger records about a decision. Holds no clinical content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerNote {
    pub kind: NoteKind,
    /// The rule's id, `R01-PSYNOTE`.
    pub rule: String,
    /// The law, `45 CFR 171.201(d)(3)`.
    pub basis: String,
    /// Where the rule stands under information blocking: `not_ehi`, `required_by_law`, `171.201`, …
    pub ib_path: String,
    /// References to the evidence used, or found wanting.
    pub evidence: Vec<String>,
    /// The reason in words; empty where the rule says it all.
    pub detail: String,
}

/// What is to be done with one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Exceptions to release; empty for nearly every resource. Merged: spans of one audience do not
    /// overlap. Where one viewer may belong to two audiences whose redactions differ, the later
    /// span in this list redacts at least what the earlier does.
    pub holds: Vec<HoldSpan>,
    pub entries: Vec<LedgerNote>,
    /// References (`Type/id`) that this decision looked at or for. When one of them is written,
    /// the resource must be decided again; it may not exist yet.
    pub depends_on: Vec<String>,
    /// References (`Type/id`) that must be decided after this resource was: what it passes its
    /// decision on to (a flagged report to its results, a document to its Binary).
    pub dependents: Vec<String>,
    /// When the resource became final, for release latency; none while it is not, or for a type
    /// that knows no final state.
    pub finalized_at: Option<Millis>,
}
