//! The addresses of the FHIR API: a path below the base, taken apart.

use super::search::Place;
use crate::fhir::definitions::{TypeId, definitions};

/// What a path names. Text borrowed from the path; ids are checked for FHIR's id syntax only where
/// an interaction needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    /// The base itself: batch, transaction, system search.
    System,
    Metadata,
    SystemSearch,
    SystemHistory,
    SystemOperation(&'p str),
    Type(TypeId),
    TypeSearch(TypeId),
    TypeHistory(TypeId),
    TypeOperation(TypeId, &'p str),
    Instance(TypeId, &'p str),
    InstanceHistory(TypeId, &'p str),
    Version(TypeId, &'p str, &'p str),
    InstanceOperation(TypeId, &'p str, &'p str),
    /// Type, id, version, name.
    VersionOperation(TypeId, &'p str, &'p str, &'p str),
    /// `Patient/1/Observation`; None for `Patient/1/*`.
    Compartment(TypeId, &'p str, Option<TypeId>),
    CompartmentSearch(TypeId, &'p str, Option<TypeId>),
    /// A path of the API's form with a type that FHIR R4 does not have.
    UnknownType,
    Unknown,
}

impl<'p> Route<'p> {
    /// Takes a path apart; `path` starts below the base, with or without slashes around it.
    pub(super) fn parse(path: &'p str) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        let (first, rest) = (parts.next().unwrap_or(""), [(); 4].map(|()| parts.next()));
        if parts.next().is_some() {
            return Self::Unknown;
        }
        match first {
            "" => return Self::System,
            "metadata" if rest[0].is_none() => return Self::Metadata,
            "_search" if rest[0].is_none() => return Self::SystemSearch,
            "_history" if rest[0].is_none() => return Self::SystemHistory,
            name if name.starts_with('$') && rest[0].is_none() => {
                return Self::SystemOperation(name);
            }
            _ => {}
        }
        let Some(type_id) = definitions().type_id(first) else {
            let is_type_like = first.starts_with(|c: char| c.is_ascii_uppercase());
            return if is_type_like {
                Self::UnknownType
            } else {
                Self::Unknown
            };
        };
        let compartment = |name: &str| match name {
            "*" => Some(None),
            name => definitions().type_id(name).map(Some),
        };
        match rest {
            [None, ..] => Self::Type(type_id),
            [Some("_search"), None, ..] => Self::TypeSearch(type_id),
            [Some("_history"), None, ..] => Self::TypeHistory(type_id),
            [Some(name), None, ..] if name.starts_with('$') => Self::TypeOperation(type_id, name),
            [Some(id), None, ..] => Self::Instance(type_id, id),
            [Some(id), Some("_history"), None, _] => Self::InstanceHistory(type_id, id),
            [Some(id), Some("_history"), Some(version), None] => {
                Self::Version(type_id, id, version)
            }
            [Some(id), Some("_history"), Some(version), Some(name)] if name.starts_with('$') => {
                Self::VersionOperation(type_id, id, version, name)
            }
            [Some(id), Some(name), None, _] if name.starts_with('$') => {
                Self::InstanceOperation(type_id, id, name)
            }
            [Some(id), Some(name), None, _] => match compartment(name) {
                Some(wanted) if is_compartment(type_id) => Self::Compartment(type_id, id, wanted),
                Some(_) => Self::Unknown,
                None => Self::UnknownType,
            },
            [Some(id), Some(name), Some("_search"), None] => match compartment(name) {
                Some(wanted) if is_compartment(type_id) => {
                    Self::CompartmentSearch(type_id, id, wanted)
                }
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }

    /// What a POST to this address searches, if it is one of `_search`.
    pub(super) fn searched(&self) -> Option<Place<'p>> {
        let (type_id, compartment) = match *self {
            Self::SystemSearch => (None, None),
            Self::TypeSearch(type_id) => (Some(type_id), None),
            Self::CompartmentSearch(type_id, id, wanted) => (wanted, Some((type_id, id))),
            _ => return None,
        };
        Some(Place {
            type_id,
            compartment,
        })
    }

    /// The methods that this address answers to, for `Allow`.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::System => "GET, HEAD, POST, OPTIONS",
            Self::Type(_) => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            Self::Instance(..) => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
            Self::SystemSearch | Self::TypeSearch(_) | Self::CompartmentSearch(..) => {
                "POST, OPTIONS"
            }
            Self::SystemOperation(name)
            | Self::TypeOperation(_, name)
            | Self::InstanceOperation(_, _, name) => match (self, *name) {
                (_, "$meta-add" | "$meta-delete" | "$convert" | "$verify-ledger")
                | (Self::TypeOperation(..), "$validate") => "POST, OPTIONS",
                (_, "$release-policy" | "$release-ledger" | "$release-decision") => {
                    "GET, HEAD, OPTIONS"
                }
                _ => "GET, HEAD, POST, OPTIONS",
            },
            Self::VersionOperation(_, _, _, "$meta-add" | "$meta-delete") => "OPTIONS",
            Self::VersionOperation(..) => "GET, HEAD, POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// The five compartments of R4.
fn is_compartment(type_id: TypeId) -> bool {
    matches!(
        definitions().type_name(type_id),
        "Patient" | "Encounter" | "Practitioner" | "RelatedPerson" | "Device"
    )
}

/// Whether a text has the form of a FHIR id: `[A-Za-z0-9\-\.]{1,64}`.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_interactions() {
        let patient = definitions().type_id("Patient").unwrap_or_default();
        let observation = definitions().type_id("Observation").unwrap_or_default();
        for (path, route) in [
            ("", Route::System),
            ("/", Route::System),
            ("/metadata", Route::Metadata),
            ("/_history", Route::SystemHistory),
            (
                "/$release-policy",
                Route::SystemOperation("$release-policy"),
            ),
            ("/Patient", Route::Type(patient)),
            ("/Patient/", Route::Type(patient)),
            ("/Patient/_search", Route::TypeSearch(patient)),
            ("/Patient/1", Route::Instance(patient, "1")),
            ("/Patient/1/_history", Route::InstanceHistory(patient, "1")),
            ("/Patient/1/_history/2", Route::Version(patient, "1", "2")),
            (
                "/Patient/1/Observation",
                Route::Compartment(patient, "1", Some(observation)),
            ),
            ("/Patient/1/*", Route::Compartment(patient, "1", None)),
            (
                "/Patient/1/$everything",
                Route::InstanceOperation(patient, "1", "$everything"),
            ),
            (
                "/Patient/1/_history/2/$meta",
                Route::VersionOperation(patient, "1", "2", "$meta"),
            ),
            ("/Pateint/1", Route::UnknownType),
            ("/Patient/1/Nothing", Route::UnknownType),
            ("/Observation/1/Patient", Route::Unknown),
            ("/Patient/1/_history/2/3", Route::Unknown),
            ("/a/b/c/d/e/f/g", Route::Unknown),
            ("/.well-known/x", Route::Unknown),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }
}
