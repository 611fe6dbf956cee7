//! What the store must gather before a decision, and what must be decided again after a write.

use std::collections::BTreeMap;

use serde_json::Value;

use super::links;
use super::policy::PolicyContext;
use super::resource::{
    codings, copies, each, extension, labels, local, patient_of, reference, references, text,
    type_of,
};
use super::vocabulary::{
    CONSENT_SCOPE, HOLD_INPUT, MINOR_CONSENTED_SERVICE, PSYCHOTHERAPY_ATTESTATION, RELEASE_TASK,
    REPRESENTATIVE_SUSPENDED, RESEARCH_STUDY,
};

/// Whether resources that refer to the target matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    #[default]
    No,
    /// Only if the patient has inputs.
    WithInputs,
    Yes,
}

/// What deciding a target takes. All empty for nearly every resource about no patient; for one
/// about a patient without inputs, usually just `inputs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Resources to fetch, `Type/id`; each fetched one may need more, see [`evidence`].
    pub references: Vec<String>,
    /// Whether the inputs of the target's patient matter.
    pub inputs: bool,
    pub referrers: Links,
}

/// What must be fetched to decide `target`. Cheap: a few looks at the top of the resource.
#[must_use]
pub fn needs(target: &Value, context: &PolicyContext) -> Needs {
    let type_name = type_of(target);
    let inputs = type_name == "Patient" || patient_of(target).is_some();
    let mut needs = Needs {
        inputs,
        ..Needs::default()
    };
    match type_name {
        "Binary" => {
            needs.referrers = Links::Yes;
            return needs;
        }
        "DocumentReference" | "Composition" | "DiagnosticReport" | "ClinicalImpression" => {
            if let Some(author) = attested_author(target) {
                needs.references.push(author.to_owned());
            }
        }
        "ResearchSubject" | "Task" | "Consent" => {
            needs.references.extend(evidence(target));
        }
        _ => {}
    }
    if is_result(type_name) {
        needs.referrers = Links::WithInputs;
        if context.looks_at_orders() {
            needs.references.extend(orders(target).map(str::to_owned));
            // Results that it contains name orders of their own.
            for one in each(target, "contained") {
                needs.references.extend(orders(one).map(str::to_owned));
            }
            needs.referrers = Links::Yes;
        }
        if type_name == "DiagnosticReport" {
            needs.referrers = Links::No;
        }
    }
    let authors = copies(target).into_iter();
    let authors = authors.filter_map(|(_, copy)| attested_author(copy));
    needs.references.extend(authors.map(str::to_owned));
    if target.get("extension").is_some() {
        needs.references.extend(studies(target).map(str::to_owned));
    }
    needs
}

/// Further references that the engine may follow from a resource it was given: an input, or one
/// fetched because [`needs`] or an earlier `evidence` named it. Two rounds reach everything.
#[must_use]
pub fn evidence(resource: &Value) -> Vec<String> {
    if type_of(resource) == "Consent" {
        // An app is known by the client id of its Device.
        let mut devices = links::references(resource);
        devices.retain(|one| one.starts_with("Device/"));
        return devices;
    }
    let named: Vec<&str> = match type_of(resource) {
        "Task" if task_code(resource).is_some() => {
            let inputs = each(resource, "input").filter(|input| {
                codings(input, "type").any(|coding| coding == (HOLD_INPUT, "relationship"))
            });
            reference(resource, "requester")
                .into_iter()
                .chain(reference(resource, "owner"))
                .chain(reference(resource, "focus").filter(|focus| focus.starts_with("Task/")))
                .chain(inputs.filter_map(|input| reference(input, "valueReference")))
                .collect()
        }
        "PractitionerRole" => reference(resource, "practitioner").into_iter().collect(),
        "ResearchSubject" => reference(resource, "study")
            .into_iter()
            .chain(reference(resource, "consent"))
            .collect(),
        "Encounter" => each(resource, "participant")
            .filter_map(|one| reference(one, "individual"))
            .filter(|who| who.starts_with("PractitionerRole/"))
            .collect(),
        "CareTeam" => each(resource, "participant")
            .filter_map(|one| reference(one, "member"))
            .filter(|who| who.starts_with("PractitionerRole/"))
            .collect(),
        "DiagnosticReport" | "Observation" => orders(resource).collect(),
        _ => Vec::new(),
    };
    named.into_iter().map(str::to_owned).collect()
}

/// What a write of a resource sets off beyond its own decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// The patient (`Patient/id`) whose input it is; it belongs in `release_input`.
    pub input_of: Option<String>,
    /// Where it names no patient: the resource (`Type/id`) whose patient it is about.
    pub about: Option<String>,
    pub affects: Affects,
}

/// Which other decisions a write may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affects {
    /// None, not even through `depends_on`: nothing ever depends on this type.
    #[default]
    Nothing,
    /// Those that named it in [`crate::release::Decision::depends_on`].
    DependentsOnly,
    /// Those, and these.
    Targets(Vec<String>),
    /// The record of `input_of`. The log of accesses follows what it tells of.
    Record,
    /// The record and the log of accesses: it may be about everything there is.
    WholePatient,
}

/// What must be decided again when `resource` is written or deleted. Ask for the version before as
/// well: what it steered is no longer steered.
#[must_use]
pub fn steers(resource: &Value) -> Steering {
    let input = |affects| Steering {
        input_of: patient_of(resource).map(str::to_owned),
        about: reference(resource, "focus").map(str::to_owned),
        affects,
    };
    match type_of(resource) {
        "Task" => match task_code(resource) {
            Some("release-hold" | "release-now" | "discussed-with-patient") => {
                let focus = reference(resource, "focus").map(str::to_owned);
                // An order's release reaches reports that are not named here.
                match focus {
                    Some(focus) if !focus.starts_with("ServiceRequest/") => {
                        input(Affects::Targets(vec![focus]))
                    }
                    _ => input(Affects::Record),
                }
            }
            Some("access-review") => input(Affects::Record),
            _ => Steering::default(),
        },
        "Consent" => {
            let steering = codings(resource, "scope").any(|(system, code)| {
                system == CONSENT_SCOPE && matches!(code, "patient-privacy" | "research")
            });
            if steering {
                input(Affects::WholePatient)
            } else {
                Steering::default()
            }
        }
        "ResearchSubject" => input(Affects::Record),
        "RelatedPerson" if extension(resource, REPRESENTATIVE_SUSPENDED).is_some() => {
            input(Affects::WholePatient)
        }
        "Encounter" if extension(resource, MINOR_CONSENTED_SERVICE).is_some() => {
            input(Affects::Record)
        }
        "Practitioner" | "PractitionerRole" | "ServiceRequest" | "ResearchStudy" | "Encounter"
        | "CareTeam" | "DiagnosticReport" | "Observation" | "DocumentReference"
        | "RelatedPerson" => Steering {
            affects: Affects::DependentsOnly,
            ..Steering::default()
        },
        _ => Steering::default(),
    }
}

/// Whether two versions of a practitioner, or of a role, weigh the same in every decision that looks at
/// them: they differ at most in what no rule reads. Feeds write people again whenever a telephone
/// number changes, or nothing at all, and thousands of decisions may rest on one.
#[must_use]
pub fn weighs_the_same(old: &Value, new: &Value) -> bool {
    // What tells how to reach somebody and when; an element that is not here counts.
    const IDLE: [&str; 13] = [
        "meta",
        "text",
        "name",
        "telecom",
        "address",
        "gender",
        "birthDate",
        "photo",
        "communication",
        "availableTime",
        "notAvailable",
        "availabilityExceptions",
        "endpoint",
    ];
    matches!(type_of(new), "Practitioner" | "PractitionerRole")
        && weighed(old, &IDLE) == weighed(new, &IDLE)
        && old.pointer("/meta/security") == new.pointer("/meta/security")
}

fn weighed<'r>(resource: &'r Value, idle: &[&str]) -> BTreeMap<&'r str, &'r Value> {
    let elements = resource.as_object().into_iter().flatten();
    elements
        .filter(|(name, _)| !idle.contains(&name.trim_start_matches('_')))
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// The release-task code of a Task.
pub(crate) fn task_code(task: &Value) -> Option<&str> {
    codings(task, "code")
        .find(|(system, _)| *system == RELEASE_TASK)
        .map(|(_, code)| code)
}

/// Who directed an early release (Task `release-now`) or discussed a result (`discussed-with-patient`),
/// as written; none for anything else.
#[must_use]
pub fn directed_by(task: &Value) -> Option<&str> {
    const CODES: [&str; 2] = ["release-now", "discussed-with-patient"];
    if type_of(task) != "Task" || !task_code(task).is_some_and(|code| CODES.contains(&code)) {
        return None;
    }
    reference(task, "requester")
}

/// Types that a sensitive-result law can be about, or related to.
pub(crate) fn is_result(type_name: &str) -> bool {
    matches!(
        type_name,
        "DiagnosticReport" | "Observation" | "DocumentReference" | "Media" | "ImagingStudy"
    )
}

/// The orders a result answers. DocumentReference has no `basedOn`; it names orders as related.
pub(crate) fn orders(resource: &Value) -> impl Iterator<Item = &str> {
    let context = resource.get("context").unwrap_or(&Value::Null);
    references(resource, "basedOn")
        .chain(references(context, "related"))
        .filter(|order| order.starts_with("ServiceRequest/"))
}

/// The studies a resource says it was made for.
pub(crate) fn studies(resource: &Value) -> impl Iterator<Item = &str> {
    each(resource, "extension")
        .filter(|one| text(one, "url") == Some(RESEARCH_STUDY))
        .filter_map(|one| reference(one, "valueReference"))
}

fn attested_author(target: &Value) -> Option<&str> {
    let attestation = extension(target, PSYCHOTHERAPY_ATTESTATION)?;
    labels(target).next()?;
    let author = extension(attestation, "author")?;
    local(text(author.get("valueReference")?, "reference")?)
}
