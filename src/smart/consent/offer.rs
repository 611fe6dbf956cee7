//! Scopes as tick-boxes, and tick-boxes as scopes.

use std::collections::HashSet;

use crate::fhir::definitions::definitions;
use crate::smart::scopes::{Entry, Permissions, ResourceScope, ScopeList, catalogue};
use crate::texts::Texts;
use crate::visibility::level::Level;

/// Beside a subject in the value of a box that allows adding and changing.
const WRITE: &str = "!write";

/// A heading with its boxes.
pub(in crate::smart) struct GroupView {
    pub(in crate::smart) title: String,
    pub(in crate::smart) lines: Vec<LineView>,
}

/// A box.
pub(in crate::smart) struct LineView {
    pub(in crate::smart) value: String,
    pub(in crate::smart) label: String,
    pub(in crate::smart) detail: String,
    /// The query of a part that nobody has words for; empty for all else.
    pub(in crate::smart) codes: String,
    pub(in crate::smart) is_ticked: bool,
    /// The app cannot work without it: shown, not un-tickable.
    pub(in crate::smart) is_needed: bool,
    /// Parts that can be given instead of the whole.
    pub(in crate::smart) parts: Vec<PartView>,
}

/// A part of a type.
pub(in crate::smart) struct PartView {
    pub(in crate::smart) value: String,
    pub(in crate::smart) label: String,
    pub(in crate::smart) is_ticked: bool,
}

/// Who gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smart) enum Giver {
    PatientSide,
    Staff,
    /// Staff who launched the app from a patient's chart.
    StaffWithPatient,
}

/// What the same person was asked for the same app and record before, and what they allowed.
#[derive(Clone, Debug)]
pub(in crate::smart) struct Before {
    pub(in crate::smart) asked: ScopeList,
    pub(in crate::smart) granted: ScopeList,
}

/// What an app asked for and this person can give.
pub(in crate::smart) struct Offer {
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
    /// `level`: how far the giver's authority reaches; what lies beyond does not exist for them.
    pub(in crate::smart) fn new(asked: &str, giver: Giver, level: Level) -> Self {
        let asked = ScopeList::parse(asked);
        let mut scopes = match giver {
            Giver::PatientSide => asked.for_patient_side(),
            Giver::Staff => asked.for_staff(false),
            Giver::StaffWithPatient => asked.for_staff(true),
        };
        if giver == Giver::PatientSide {
            scopes.resources.retain(|scope| {
                definitions()
                    .type_id(&scope.resource)
                    .is_some_and(|type_id| level.reaches(type_id))
            });
        }
        Self { scopes, giver }
    }

    /// What was granted, to be narrowed.
    pub(in crate::smart) fn of_granted(granted: ScopeList, giver: Giver) -> Self {
        Self {
            scopes: granted,
            giver,
        }
    }

    /// All of it, as text.
    pub(in crate::smart) fn text(&self) -> String {
        self.scopes.to_string()
    }

    pub(in crate::smart) fn is_empty(&self) -> bool {
        self.scopes.resources.is_empty() && !self.scopes.has("openid")
    }

    pub(in crate::smart) fn offers_identity(&self) -> bool {
        ["openid", "fhirUser", "profile"]
            .iter()
            .any(|scope| self.scopes.has(scope))
    }

    pub(in crate::smart) fn offers_long(&self) -> bool {
        self.scopes.has("offline_access")
    }

    /// Everything that reads; what writes is never ticked beforehand. Where the same was asked before, what
    /// was allowed then.
    pub(in crate::smart) fn ticked_at_first(&self, before: Option<&Before>) -> HashSet<String> {
        let mut ticked = HashSet::new();
        for subject in self.subjects().into_iter().filter(|one| one.reads) {
            let Some(before) = before.filter(|before| !self.is_new(&subject.name, Some(before)))
            else {
                ticked.insert(subject.name);
                continue;
            };
            let same = before
                .granted
                .resources
                .iter()
                .filter(|scope| scope.resource == subject.resource || scope.resource == "*");
            for scope in same {
                let is_whole =
                    scope.narrowing.is_none() || scope.narrowing.as_deref() == subject.narrowing;
                if is_whole {
                    ticked.insert(subject.name.clone());
                } else if subject.narrowing.is_none() {
                    ticked.insert(scope.subject());
                }
            }
        }
        ticked
    }

    /// Every box, those that write too: what stands in a grant was ticked.
    pub(in crate::smart) fn everything(&self) -> HashSet<String> {
        let mut ticked = HashSet::new();
        for subject in self.subjects() {
            if subject.writes {
                ticked.insert(format!("{}{WRITE}", subject.name));
            }
            if subject.reads {
                ticked.insert(subject.name);
            }
        }
        ticked
    }

    /// Whether a subject of the page was not asked for before, wholly or in part.
    fn is_new(&self, subject: &str, before: Option<&Before>) -> bool {
        let Some(before) = before else { return false };
        self.scopes
            .resources
            .iter()
            .filter(|scope| scope.subject() == subject)
            .any(|scope| !before.asked.resources.iter().any(|own| own.covers(scope)))
    }

    /// Whether anything is asked that was not asked before.
    pub(in crate::smart) fn has_news(&self, before: &Before) -> bool {
        !self.scopes.is_within(&before.asked)
    }

    /// Whether who signed in was not asked for before.
    pub(in crate::smart) fn identity_is_new(&self, before: &Before) -> bool {
        self.offers_identity() && !before.asked.has("openid")
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

    /// The page's boxes under their headings: those of which `is_new` says yes or no, as `wanted`.
    pub(in crate::smart) fn view(
        &self,
        ticked: &HashSet<String>,
        before: Option<&Before>,
        wanted: bool,
    ) -> Vec<GroupView> {
        let mut subjects = self.subjects();
        subjects.retain(|subject| self.is_new(&subject.name, before) == wanted);
        let texts = Texts::here();
        let mut groups: Vec<GroupView> = catalogue()
            .groups
            .iter()
            .map(|group| GroupView {
                title: texts.plain(&group.title, []),
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
            title: texts.plain("consent-others", []),
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
        let Words {
            label,
            detail,
            codes,
        } = words(subject, entry);
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
                codes: codes.clone(),
                parts,
            });
        }
        if subject.writes {
            let value = format!("{}{WRITE}", subject.name);
            lines.push(LineView {
                is_ticked: ticked.contains(&value),
                is_needed: false,
                value,
                label: Texts::here().plain("consent-write", [("what", label.into())]),
                detail: Texts::here().plain("consent-write-more", []),
                codes: if subject.reads { String::new() } else { codes },
                parts: Vec::new(),
            });
        }
        lines
    }

    /// The scopes that the ticked boxes stand for, each in the syntax it was asked in.
    pub(in crate::smart) fn granted(
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
                label: Texts::here().plain(&part.label, []),
            }
        })
        .collect()
}

/// What a box says of a subject.
struct Words {
    label: String,
    detail: String,
    codes: String,
}

fn words(subject: &Subject<'_>, entry: Option<&Entry>) -> Words {
    let texts = Texts::here();
    let (label, detail) = match entry {
        Some(entry) => (
            texts.plain(&entry.label, []),
            texts.plain(&entry.detail, []),
        ),
        None if subject.resource == "*" => (
            texts.plain("consent-everything", []),
            texts.plain("consent-everything-more", []),
        ),
        None => (subject.resource.to_owned(), String::new()),
    };
    let codes = String::new();
    let Some(narrowing) = subject.narrowing else {
        return Words {
            label,
            detail,
            codes,
        };
    };
    let plain = percent_encoding::percent_decode_str(narrowing).decode_utf8_lossy();
    let known = entry.and_then(|entry| {
        entry
            .categories
            .iter()
            .find(|category| category.query == plain)
    });
    match known {
        Some(category) => Words {
            label: texts.plain(&category.label, []),
            detail: texts.plain("consent-part-of", [("whole", label.into())]),
            codes,
        },
        None => Words {
            label,
            detail: texts.plain("consent-only-codes", []),
            codes: plain.into_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
