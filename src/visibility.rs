//! Who asks ([`Viewer`]) and what therefore exists for them ([`Visibility`]).
//!
//! Everything that narrows what a viewer sees lowers into [`Visibility`]: scopes, the patient
//! compartment, holds. It has one constructor, and no query over resources runs without one.
//! A withheld resource is absent: the predicate is part of the query, never a filter over results.

pub mod level;
pub mod predicate;
pub mod scope;

use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::release::joint;
use level::Level;
use scope::{Context, Scopes};

/// What kind of person or system asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerClass {
    /// The hospital's own systems (EHR feeds, backends): no holds apply.
    System,
    Patient,
    Representative,
    Clinician,
    Payer,
    Researcher,
    /// Any other third party.
    Other,
    /// Release staff of the hospital: see what is held, to work on it.
    Staff,
    Auditor,
    Admin,
}

impl ViewerClass {
    /// The name in tokens, the configuration and `$release-decision?viewer=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Patient => "patient",
            Self::Representative => "representative",
            Self::Clinician => "clinician",
            Self::Payer => "payer",
            Self::Researcher => "researcher",
            Self::Other => "other",
            Self::Staff => "staff",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The class with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::System,
            Self::Patient,
            Self::Representative,
            Self::Clinician,
            Self::Payer,
            Self::Researcher,
            Self::Other,
            Self::Staff,
            Self::Auditor,
            Self::Admin,
        ]
        .into_iter()
        .find(|class| class.name() == name)
    }

    /// Whether this viewer is the patient or acts for the patient.
    #[must_use]
    pub fn is_patient_side(self) -> bool {
        matches!(self, Self::Patient | Self::Representative)
    }
}

/// Audience numbers of hold rows; any other number is the key of one person, organization or app.
pub mod audience {
    /// The patient and everyone who acts for the patient.
    pub const PATIENT_SIDE: i64 = 1;
    /// The patient alone.
    pub const PATIENT: i64 = 2;
    /// Any representative.
    pub const REPRESENTATIVE: i64 = 3;
    pub const CLINICIAN: i64 = 4;
    pub const PAYER: i64 = 5;
    pub const RESEARCHER: i64 = 6;
    pub const OTHER: i64 = 7;
}

/// Who asks: built once for each request, from a token or a session.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub class: ViewerClass,
    /// `Patient/x`, `RelatedPerson/x`, `Practitioner/x`; none for systems.
    pub person: Option<String>,
    /// Id of the patient in context: the one whose record a patient or representative opened, or
    /// that an EHR launch named.
    pub patient: Option<String>,
    /// The OAuth client. Directives name it as `Device/{client_device}`.
    pub client_id: String,
    /// Id of the Device resource that stands for the client, where one does.
    pub client_device: Option<String>,
    pub scopes: Scopes,
    /// How far a representative's authority reaches; whole for everybody else.
    pub level: Level,
}

/// What exists for a viewer at an instant.
#[derive(Clone, Debug)]
pub struct Visibility {
    class: ViewerClass,
    /// Now: holds that began by now count.
    now: Millis,
    /// The instant that the first page of a search saw: holds that end after it count still.
    instant: Millis,
    /// None: this viewer is not subject to holds.
    audiences: Option<Vec<i64>>,
    /// Key of the person, for hold rows that exempt one; -1 for nobody.
    person: i64,
    /// Key of the patient in context.
    patient: Option<i64>,
    patient_id: Option<String>,
    scopes: Scopes,
    level: Level,
}

/// One way in which a viewer may see resources of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Only resources about this patient (key); none: about anyone.
    pub patient: Option<i64>,
    /// Search narrowing of a granular scope, a query string such as `category=system|code`.
    pub narrowing: Option<String>,
}

impl Visibility {
    /// The only constructor. `instant` is `now`, or the instant fixed by a page's cursor.
    #[must_use]
    pub fn of(viewer: &Viewer, keys: &Keys, now: Millis, instant: Millis) -> Self {
        let class = viewer.class;
        let mut audiences = match class {
            ViewerClass::System
            | ViewerClass::Staff
            | ViewerClass::Auditor
            | ViewerClass::Admin => None,
            ViewerClass::Patient => Some(vec![audience::PATIENT_SIDE, audience::PATIENT]),
            ViewerClass::Representative => {
                Some(vec![audience::PATIENT_SIDE, audience::REPRESENTATIVE])
            }
            ViewerClass::Clinician => Some(vec![audience::CLINICIAN]),
            ViewerClass::Payer => Some(vec![audience::PAYER]),
            ViewerClass::Researcher => Some(vec![audience::RESEARCHER]),
            ViewerClass::Other => Some(vec![audience::OTHER]),
        };
        let key_of = |reference: &str| {
            reference
                .split_once('/')
                .map(|(type_name, id)| keys.reference(type_name, id))
        };
        let person = viewer.person.as_deref().and_then(key_of);
        if let Some(list) = &mut audiences {
            // A class or a person, together with a record or an app: what is denied to both at once.
            let group = list.last().map(|number| format!("Group/{number}"));
            let own: Vec<String> = group.into_iter().chain(viewer.person.clone()).collect();
            let mut both = Vec::new();
            let mut with = |kind: &str, id: &str| {
                let other = format!("{kind}/{id}");
                let keys_of_both = own
                    .iter()
                    .map(|one| keys.reference("Both", &joint(one, &other)));
                both.extend(keys_of_both);
                keys.reference(kind, id)
            };
            list.extend(person);
            if let Some(patient) = viewer
                .patient
                .as_deref()
                .filter(|_| class.is_patient_side())
            {
                // Whose record it is: of what is about several patients each sees their own part.
                list.push(with("Record", patient));
            }
            // A directive names an app by its client id, or by the Device that stands for it.
            list.push(with("Device", &format!("client:{}", viewer.client_id)));
            list.extend(viewer.client_device.as_deref().map(|id| with("Device", id)));
            list.extend(both);
        }
        Self {
            class,
            now,
            instant: instant.min(now),
            audiences,
            person: person.unwrap_or(-1),
            patient: viewer
                .patient
                .as_deref()
                .map(|id| keys.reference("Patient", id)),
            patient_id: viewer.patient.clone(),
            scopes: viewer.scopes.clone(),
            level: viewer.level,
        }
    }

    /// The ways in which resources of `type_id` may be read or searched; empty: not at all.
    /// Branches add up. A branch without limits stands alone.
    #[must_use]
    pub fn branches(&self, type_id: TypeId, access: Access) -> Vec<Branch> {
        let mut branches: Vec<Branch> = Vec::new();
        for grant in self.scopes.grants() {
            if !grant.covers(type_id) || !grant.allows(access) {
                continue;
            }
            let bound = match grant.context {
                Context::System => false,
                Context::Patient => true,
                Context::User => self.class.is_patient_side(),
            };
            let is_hidden_log = matches!(access, Access::Read | Access::Search)
                && !self.is_told_of_accesses()
                && definitions().type_name(type_id) == "AuditEvent";
            let patient = if !self.level.reaches(type_id) || is_hidden_log {
                // A type beyond the authority answers like one of which there is nothing.
                Some(NOBODY)
            } else if bound && !is_about_nobody(type_id) {
                // A patient scope without a patient in context opens nothing.
                let Some(patient) = self.patient else {
                    continue;
                };
                Some(patient)
            } else {
                None
            };
            let branch = Branch {
                patient,
                narrowing: grant.narrowing.clone(),
            };
            if branch.patient.is_none() && branch.narrowing.is_none() {
                return vec![branch];
            }
            if !branches.contains(&branch) {
                branches.push(branch);
            }
        }
        // A branch without narrowing swallows the narrowed ones of the same patient.
        let whole: Vec<Option<i64>> = branches
            .iter()
            .filter(|branch| branch.narrowing.is_none())
            .map(|branch| branch.patient)
            .collect();
        branches.retain(|branch| branch.narrowing.is_none() || !whole.contains(&branch.patient));
        branches
    }

    /// Whether this viewer is told who looked at what: auditors, the hospital, and the patient whose record
    /// was opened. To anyone else an access that was refused would tell what is there to be refused.
    #[must_use]
    pub fn is_told_of_accesses(&self) -> bool {
        self.audiences.is_none() || self.class.is_patient_side()
    }

    /// Whether any scope opens this access to the type at all; false is 403.
    #[must_use]
    pub fn allows(&self, type_id: TypeId, access: Access) -> bool {
        !self.branches(type_id, access).is_empty()
    }

    /// The viewer's class.
    #[must_use]
    pub fn class(&self) -> ViewerClass {
        self.class
    }

    /// Now, as this request sees it.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The instant that a cursor of this search fixes.
    #[must_use]
    pub fn instant(&self) -> Millis {
        self.instant
    }

    /// Id of the patient in context.
    #[must_use]
    pub fn patient_id(&self) -> Option<&str> {
        self.patient_id.as_deref()
    }

    /// Key of the patient in context.
    #[must_use]
    pub fn patient_key(&self) -> Option<i64> {
        self.patient
    }

    /// Whether holds apply to this viewer.
    #[must_use]
    pub fn is_subject_to_holds(&self) -> bool {
        self.audiences.is_some()
    }
}

/// The key of no patient.
const NOBODY: i64 = -1;

/// What a request wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Create,
    Read,
    Update,
    Delete,
    Search,
}

/// The types that a request over all types is about: the record. The log of who looked at it is found
/// by its name alone (`AuditEvent?…`, `_type=AuditEvent`): whoever polls `_history` would find nothing
/// but their own polls.
pub fn record_types() -> impl Iterator<Item = TypeId> {
    let log = access_log();
    definitions()
        .types()
        .map(|(type_id, _)| type_id)
        .filter(move |type_id| *type_id != log)
}

/// The type of the log of accesses, which may be most of what is stored: what asks for everything passes it
/// by. No type where the definitions have none.
#[must_use]
pub fn access_log() -> TypeId {
    definitions().type_id("AuditEvent").unwrap_or(-1)
}

/// Types whose resources are about nobody: definitions, terminology, the hospital's directory.
/// A patient's app may read them; every other type it sees only where it is about the patient.
#[must_use]
pub fn is_about_nobody(type_id: TypeId) -> bool {
    const NAMES: &[&str] = &[
        "ActivityDefinition",
        "CapabilityStatement",
        "ChargeItemDefinition",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "Endpoint",
        "EventDefinition",
        "GraphDefinition",
        "HealthcareService",
        "ImplementationGuide",
        "InsurancePlan",
        "Library",
        "Location",
        "Measure",
        "Medication",
        "MedicationKnowledge",
        "MessageDefinition",
        "NamingSystem",
        "ObservationDefinition",
        "OperationDefinition",
        "Organization",
        "OrganizationAffiliation",
        "PlanDefinition",
        "Practitioner",
        "PractitionerRole",
        "Questionnaire",
        "SearchParameter",
        "SpecimenDefinition",
        "StructureDefinition",
        "StructureMap",
        "Substance",
        "TerminologyCapabilities",
        "ValueSet",
    ];
    NAMES
        .binary_search(&definitions().type_name(type_id))
        .is_ok()
}
