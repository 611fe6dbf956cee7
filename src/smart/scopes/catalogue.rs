//! The catalogue of scopes.toml: what apps may be granted, and what a wildcard means on which day.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;

use super::ResourceScope;

/// The scopes.toml catalogue. Titles, labels and details are names of texts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The first day: what a grant means that says no day.
    pub first: String,
    /// The day the list took this form.
    pub version: String,
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// Types that only people who work here and systems are granted.
    #[serde(default, rename = "other")]
    pub others: Vec<Other>,
}

/// A heading of the consent page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub title: String,
    #[serde(rename = "entry")]
    pub entries: Vec<Entry>,
}

/// A resource type that an app may be granted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub resource: String,
    pub label: String,
    pub detail: String,
    /// The day it joined the list; the first when absent.
    pub since: Option<String>,
    #[serde(default, rename = "category")]
    pub categories: Vec<Category>,
}

/// A part of a type that can be granted by itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    pub label: String,
    /// The narrowing query, `category=system|code`.
    pub query: String,
}

/// Types that are in no group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    pub types: Vec<String>,
    /// The day they joined the list; the first when absent.
    pub since: Option<String>,
}

impl Catalogue {
    /// Parses the text of a catalogue.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Box<figment::Error>> {
        Figment::from(Toml::string(text))
            .extract()
            .map_err(Box::new)
    }

    /// Every entry, in the order of the page.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.groups.iter().flat_map(|group| group.entries.iter())
    }

    /// Whether a resource type may be granted to an app of a patient.
    #[must_use]
    pub fn lists(&self, resource: &str) -> bool {
        self.entries().any(|entry| entry.resource == resource)
    }

    /// Every type that `*` may mean, with the day it joined.
    fn types(&self) -> impl Iterator<Item = (&str, &str)> {
        let listed = self
            .entries()
            .map(|entry| (entry.resource.as_str(), entry.since.as_deref()));
        let others = self.others.iter().flat_map(|other| {
            let since = other.since.as_deref();
            other.types.iter().map(move |name| (name.as_str(), since))
        });
        listed
            .chain(others)
            .map(|(name, since)| (name, since.unwrap_or(&self.first)))
    }

    /// Scopes as they were meant on a day: where the list has grown since, wildcards are written out as
    /// the types it had then. `day`: the version when they were granted; none is the first.
    #[must_use]
    pub fn frozen<'a>(&self, scopes: &'a str, day: Option<&str>) -> Cow<'a, str> {
        let day = day.unwrap_or(&self.first);
        if !scopes.contains("/*.") || self.types().all(|(_, since)| since <= day) {
            return Cow::Borrowed(scopes);
        }
        let mut words: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |word: String| {
            if seen.insert(word.clone()) {
                words.push(word);
            }
        };
        for word in scopes.split_ascii_whitespace() {
            match ResourceScope::parse(word).filter(|scope| scope.resource == "*") {
                Some(scope) => {
                    self.types()
                        .filter(|(_, since)| *since <= day)
                        .for_each(|(name, _)| {
                            let resource = name.to_owned();
                            add(ResourceScope {
                                resource,
                                ..scope.clone()
                            }
                            .to_string());
                        })
                }
                None => add(word.to_owned()),
            }
        }
        Cow::Owned(words.join(" "))
    }
}

/// The catalogue, parsed on first use.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        // A unit test parses the file, so that this default is never served.
        Catalogue::parse(include_str!("../scopes.toml")).unwrap_or_default()
    });
    &CATALOGUE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::definitions;

    #[test]
    fn the_catalogue_names_every_resource_type_once() {
        let catalogue = Catalogue::parse(include_str!("../scopes.toml")).unwrap();
        let mut seen = HashSet::new();
        for (name, since) in catalogue.types() {
            assert!(definitions().type_id(name).is_some(), "{name}");
            assert!(seen.insert(name), "{name}");
            let days = catalogue.first.as_str()..=catalogue.version.as_str();
            assert!(days.contains(&since), "{name} since {since}");
        }
        for (_, name) in definitions().types() {
            assert!(seen.contains(name), "{name}");
        }
        // The types that a certified server grants to a patient's app (g10, US Core 6.1.0).
        for resource in "Patient AllergyIntolerance CarePlan CareTeam Condition DiagnosticReport \
            DocumentReference Goal Immunization MedicationRequest Observation Procedure Provenance \
            ServiceRequest Coverage MedicationDispense Specimen Device Encounter Location Medication \
            Organization Practitioner PractitionerRole QuestionnaireResponse RelatedPerson"
            .split_whitespace()
        {
            assert!(catalogue.lists(resource), "{resource}");
        }
    }

    #[test]
    fn a_wildcard_means_what_it_meant_when_it_was_granted() {
        let grown = Catalogue::parse(
            "first = '2026-01-01'\nversion = '2026-06-01'\n\
             [[group]]\ntitle = 'a'\n\
             [[group.entry]]\nresource = 'Patient'\nlabel = 'b'\ndetail = 'c'\n\
             [[group.entry]]\nresource = 'Goal'\nlabel = 'd'\ndetail = 'e'\nsince = '2026-06-01'\n\
             [[other]]\ntypes = ['Task']\n\
             [[other]]\ntypes = ['Slot']\nsince = '2026-03-01'\n",
        )
        .unwrap();
        let scopes = "openid user/*.cruds system/*.read user/Goal.rs";
        assert_eq!(
            grown.frozen(scopes, None),
            "openid user/Patient.cruds user/Task.cruds system/Patient.read system/Task.read \
             user/Goal.rs"
        );
        let later = grown.frozen(scopes, Some("2026-04-15"));
        assert!(later.contains("user/Slot.cruds"), "{later}");
        assert!(!later.contains("user/Goal.cruds"), "{later}");
        assert!(matches!(
            grown.frozen(scopes, Some("2026-06-01")),
            Cow::Borrowed(_)
        ));
        let none = grown.frozen("user/Goal.rs launch", Some("2025-01-01"));
        assert_eq!(none, "user/Goal.rs launch");
        assert_eq!(grown.frozen("system/*.rs", Some("2025-01-01")), "");
    }
}
