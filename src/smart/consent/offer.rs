//! Scopes as tick-boxes, and tick-boxes as scopes.

use std::collections::HashSet;

use crate::smart::scopes::{Entry, Permissions, ResourceScope, ScopeList, catalogue};

/// Beside a subject in the value of a box that allows adding and changing.
const WRITE: &str = "!write";

/// A heading with its boxes.
pub(super) struct GroupView {
    pub(super) title: String,
    pub(super) lines: Vec<LineView>,
}

/// A box.
pub(super) struct LineView {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) detail: String,
    pub(super) is_ticked: bool,
    /// The app cannot work without it: shown, not un-tickable.
    pub(super) is_needed: bool,
    /// Parts that can be given instead of the whole.
    pub(super) parts: Vec<PartView>,
}

/// A part of a type.
pub(super) struct PartView {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_ticked: bool,
}

/// Who gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    PatientSide,
    Staff,
    /// Staff who launched the app from a patient's chart.
    StaffWithPatient,
}

/// What an app asked for and this person can give.
pub(super) struct Offer {
    scopes: ScopeList,
    giver: Giver,
}

/// One subject of the page: `Observation`, `Observation?category=…`, `*`.
struct Subject<'a> {
    name: String,
    resource: &'a str,
    narrowing: Option<&'a str>,
    reads: bool,
    writes: bool,
}

impl Offer {
    pub(super) fn new(asked: &str, giver: Giver) -> Self {
        let asked = ScopeList::parse(asked);
        let scopes = match giver {
            Giver::PatientSide => asked.for_patient_side(),
            Giver::Staff => asked.for_staff(false),
            Giver::StaffWithPatient => asked.for_staff(true),
        };
        Self { scopes, giver }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scopes.resources.is_empty() && !self.scopes.has("openid")
    }

    pub(super) fn offers_identity(&self) -> bool {
        ["openid", "fhirUser", "profile"]
            .iter()
            .any(|scope| self.scopes.has(scope))
    }

    pub(super) fn offers_long(&self) -> bool {
        self.scopes.has("offline_access")
    }

    /// Everything that reads; what writes is never ticked beforehand.
    pub(super) fn ticked_at_first(&self) -> HashSet<String> {
        self.subjects()
            .into_iter()
            .filter(|subject| subject.reads)
            .map(|subject| subject.name)
            .collect()
    }

    /// An app that opens a patient's record has to know whose it is.
    fn is_needed(&self, subject: &str) -> bool {
        subject == "Patient"
            && self.giver == Giver::PatientSide
            && (self.scopes.has("launch/patient") || self.scopes.has("launch"))
    }

    /// Each subject once. A part is left out where the same scope opens the whole.
    fn subjects(&self) -> Vec<Subject<'_>> {
        let mut subjects: Vec<Subject<'_>> = Vec::new();
        for scope in &self.scopes.resources {
            let is_covered = scope.narrowing.is_some()
                && self
                    .scopes
                    .resources
                    .iter()
                    .any(|other| other.narrowing.is_none() && other.covers(scope));
            if is_covered {
                continue;
            }
            let name = scope.subject();
            let reads = !scope.permissions.and(Permissions::READ).is_empty();
            let writes = !scope.permissions.and(Permissions::WRITE).is_empty();
            match subjects.iter_mut().find(|subject| subject.name == name) {
                Some(subject) => {
                    subject.reads |= reads;
                    subject.writes |= writes;
                }
                None => subjects.push(Subject {
                    name,
                    resource: &scope.resource,
                    narrowing: scope.narrowing.as_deref(),
                    reads,
                    writes,
                }),
            }
        }
        subjects
    }

    /// The page's boxes under their headings.
    pub(super) fn view(&self, ticked: &HashSet<String>) -> Vec<GroupView> {
        let subjects = self.subjects();
        let mut groups: Vec<GroupView> = catalogue()
            .groups
            .iter()
            .map(|group| GroupView {
                title: group.title.clone(),
                lines: group
                    .entries
                    .iter()
                    .flat_map(|entry| {
                        subjects
                            .iter()
                            .filter(|subject| subject.resource == entry.resource)
                            .flat_map(|subject| self.lines(subject, Some(entry), ticked))
                    })
                    .collect(),
            })
            .collect();
        groups.push(GroupView {
            title: "Other records".to_owned(),
            lines: subjects
                .iter()
                .filter(|subject| !catalogue().lists(subject.resource))
                .flat_map(|subject| self.lines(subject, None, ticked))
                .collect(),
        });
        groups.retain(|group| !group.lines.is_empty());
        groups
    }

    fn lines(
        &self,
        subject: &Subject<'_>,
        entry: Option<&Entry>,
        ticked: &HashSet<String>,
    ) -> Vec<LineView> {
        let (label, detail) = words(subject, entry);
        let mut lines = Vec::new();
        if subject.reads {
            let parts = match (entry, subject.narrowing) {
                (Some(entry), None) => parts(entry, ticked),
                _ => Vec::new(),
            };
            lines.push(LineView {
                is_ticked: ticked.contains(&subject.name),
                is_needed: self.is_needed(&subject.name),
                value: subject.name.clone(),
                label: label.clone(),
                detail,
                parts,
            });
        }
        if subject.writes {
            let value = format!("{}{WRITE}", subject.name);
            lines.push(LineView {
                is_ticked: ticked.contains(&value),
                is_needed: false,
                value,
                label: format!("Add to and change: {label}"),
                detail: "The app may write, not only read.".to_owned(),
                parts: Vec::new(),
            });
        }
        lines
    }

    /// The scopes that the ticked boxes stand for, each in the syntax it was asked in.
    pub(super) fn granted(
        &self,
        ticked: &HashSet<String>,
        identity: bool,
        long: bool,
    ) -> ScopeList {
        let mut resources: Vec<ResourceScope> = Vec::new();
        let mut add = |scope: ResourceScope| {
            if !resources.contains(&scope) {
                resources.push(scope);
            }
        };
        for scope in &self.scopes.resources {
            let subject = scope.subject();
            let reads = ticked.contains(&subject) || self.is_needed(&subject);
            if reads && let Some(part) = scope.limited_to(Permissions::READ) {
                let both = ticked.contains(&format!("{subject}{WRITE}"));
                add(if both { scope.clone() } else { part });
                continue;
            }
            if ticked.contains(&format!("{subject}{WRITE}"))
                && let Some(part) = scope.limited_to(Permissions::WRITE)
            {
                add(part);
            }
            // Parts given instead of the whole; v1 has no words for them.
            let entry = catalogue()
                .entries()
                .find(|entry| entry.resource == scope.resource);
            if let (None, Some(entry)) = (&scope.narrowing, entry) {
                for part in &entry.categories {
                    let value = format!("{}?{}", entry.resource, part.query);
                    if ticked.contains(&value)
                        && let Some(reading) = scope.limited_to(Permissions::READ)
                    {
                        add(ResourceScope {
                            is_v1: false,
                            narrowing: Some(part.query.clone()),
                            ..reading
                        });
                    }
                }
            }
        }
        ScopeList {
            identity: self
                .scopes
                .identity
                .iter()
                .copied()
                .filter(|scope| match *scope {
                    "openid" | "fhirUser" | "profile" => identity,
                    "offline_access" => long,
                    _ => true,
                })
                .collect(),
            resources,
        }
    }
}

fn parts(entry: &Entry, ticked: &HashSet<String>) -> Vec<PartView> {
    entry
        .categories
        .iter()
        .map(|part| {
            let value = format!("{}?{}", entry.resource, part.query);
            PartView {
                is_ticked: ticked.contains(&value),
                value,
                label: part.label.clone(),
            }
        })
        .collect()
}

fn words(subject: &Subject<'_>, entry: Option<&Entry>) -> (String, String) {
    let (label, detail) = match entry {
        Some(entry) => (entry.label.clone(), entry.detail.clone()),
        None if subject.resource == "*" => (
            "Everything you may see".to_owned(),
            "Every kind of record that your work lets you open.".to_owned(),
        ),
        None => (subject.resource.to_owned(), String::new()),
    };
    let Some(narrowing) = subject.narrowing else {
        return (label, detail);
    };
    let plain = percent_encoding::percent_decode_str(narrowing).decode_utf8_lossy();
    let known = entry.and_then(|entry| {
        entry
            .categories
            .iter()
            .find(|category| category.query == plain)
    });
    match known {
        Some(category) => (category.label.clone(), format!("Part of: {label}.")),
        None => (label, format!("Only those with {plain}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[&str]) -> HashSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn what_is_ticked_is_granted_and_nothing_else() {
        let offer = Offer::new(
            "launch/patient openid offline_access patient/*.rs",
            Giver::PatientSide,
        );
        let granted = offer.granted(&ticks(&["Condition"]), false, false);
        // The front page of the record is needed with launch/patient.
        assert_eq!(
            granted.to_string(),
            "launch/patient patient/Patient.rs patient/Condition.rs"
        );
        let all = offer.granted(&offer.ticked_at_first(), true, true);
        assert_eq!(all.resources.len(), catalogue().entries().count());
        assert!(all.has("openid") && all.has("offline_access"));
    }

    #[test]
    fn a_part_stands_in_for_the_whole() {
        let offer = Offer::new(
            "patient/Observation.read patient/Goal.read",
            Giver::PatientSide,
        );
        let laboratory = "Observation?category=http://terminology.hl7.org/CodeSystem/\
            observation-category|laboratory";
        assert_eq!(
            offer.granted(&ticks(&[laboratory]), true, true).to_string(),
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/\
             observation-category|laboratory"
        );
        let whole = offer.granted(&ticks(&["Observation", laboratory]), true, true);
        assert_eq!(whole.to_string(), "patient/Observation.read");
    }

    #[test]
    fn a_box_that_was_not_offered_grants_nothing() {
        let offer = Offer::new("patient/Goal.rs", Giver::PatientSide);
        let granted = offer.granted(
            &ticks(&["Condition", "*", "Goal!write", "Goal"]),
            true,
            true,
        );
        assert_eq!(granted.to_string(), "patient/Goal.rs");
    }

    #[test]
    fn writing_is_a_box_of_its_own() {
        let offer = Offer::new("user/Observation.cruds", Giver::Staff);
        assert_eq!(offer.ticked_at_first(), ticks(&["Observation"]));
        let reading = offer.granted(&ticks(&["Observation"]), true, true);
        assert_eq!(reading.to_string(), "user/Observation.rs");
        let both = offer.granted(&ticks(&["Observation", "Observation!write"]), true, true);
        assert_eq!(both.to_string(), "user/Observation.cruds");
    }
}
