//! Scopes as conditions: each branch of the viewer's [`Visibility`] on a type becomes a [`Way`].

use crate::fhir::definitions::TypeId;
use crate::search::parse;
use crate::search::query::Condition;
use crate::visibility::{Access, Visibility};

/// Types that are open in the same ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub types: Vec<TypeId>,
    pub ways: Vec<Way>,
}

/// One way in which resources of a type may be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// Only about this patient (key).
    pub patient: Option<i64>,
    /// The scope's search narrowing.
    pub conditions: Vec<Condition>,
}

impl Way {
    /// Whether it has no limit.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.patient.is_none() && self.conditions.is_empty()
    }
}

/// The ways into each type, types with the same ways together. A type that no scope opens is in
/// no group; a scope whose narrowing is not understood opens nothing.
#[must_use]
pub fn groups(visibility: &Visibility, access: Access, types: &[TypeId]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for type_id in types {
        let ways: Vec<Way> = visibility
            .branches(*type_id, access)
            .into_iter()
            .filter_map(|branch| {
                let conditions = match branch.narrowing {
                    None => Vec::new(),
                    Some(query) => parse::narrowing(*type_id, &query).ok()?,
                };
                Some(Way {
                    patient: branch.patient,
                    conditions,
                })
            })
            .collect();
        if ways.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|group| group.ways == ways) {
            Some(group) => group.types.push(*type_id),
            None => groups.push(Group {
                types: vec![*type_id],
                ways,
            }),
        }
    }
    groups
}
