//! Which scopes an app gets: what it asked for, within what it is registered for, within what the
//! person may give, less what the person refused (SMART App Launch 2.2, "Scopes and launch context").
//!
//! The visibility of a token is parsed elsewhere (`visibility::scope`); here scopes keep the syntax in
//! which they were asked for, because v1 asked means v1 answered.

mod catalogue;

use std::collections::HashSet;
use std::fmt;

use crate::fhir::definitions::definitions;
use crate::search;

pub use catalogue::{Catalogue, Category, Entry, Group, Other, catalogue};

/// Scopes that speak of no resource and that this server knows.
pub const IDENTITY: &[&str] = &[
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    LAUNCH_ENCOUNTER,
    "offline_access",
    ACTIVATION_CODES,
];

/// Beside `launch`: the app wants to hear which visit is open (SMART App Launch 2.2, "Scopes for requesting
/// context data").
pub const LAUNCH_ENCOUNTER: &str = "launch/encounter";

/// The scope of an EHR's backend that has activation codes printed: one of our own, hence the underscores.
pub const ACTIVATION_CODES: &str = "__activation-codes";

/// Permissions `cruds`, as a set of five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    const LETTERS: [char; 5] = ['c', 'r', 'u', 'd', 's'];
    /// Read and search.
    pub const READ: Self = Self(0b10010);
    /// Create, update and delete.
    pub const WRITE: Self = Self(0b01101);

    /// Parses an in-order subset of `cruds`, not empty.
    fn parse_v2(letters: &str) -> Option<Self> {
        let mut set = 0_u8;
        let mut next = 0;
        for letter in letters.chars() {
            let at = Self::LETTERS.iter().position(|own| *own == letter)?;
            if at < next {
                return None;
            }
            next = at + 1;
            set |= 1 << at;
        }
        (set != 0).then_some(Self(set))
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every permission of `other` is here.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn letters(self) -> String {
        Self::LETTERS
            .iter()
            .enumerate()
            .filter(|(at, _)| self.0 & (1 << at) != 0)
            .map(|(_, letter)| *letter)
            .collect()
    }
}

/// One resource scope in the syntax it came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceScope {
    /// `patient`, `user` or `system`.
    pub context: &'static str,
    /// A resource type, or `*`.
    pub resource: String,
    pub permissions: Permissions,
    /// Whether it was written `.read`, `.write` or `.*`.
    pub is_v1: bool,
    /// The query of a granular scope, as written.
    pub narrowing: Option<String>,
}

impl ResourceScope {
    /// Parses one scope; none when it is no resource scope, or names no resource type.
    #[must_use]
    pub fn parse(scope: &str) -> Option<Self> {
        let (context, rest) = scope.split_once('/')?;
        let context = ["patient", "user", "system"]
            .into_iter()
            .find(|own| *own == context)?;
        let (rest, narrowing) = match rest.split_once('?') {
            Some((rest, query)) if !query.is_empty() => (rest, Some(query.to_owned())),
            Some(_) => return None,
            None => (rest, None),
        };
        let (resource, permissions) = rest.rsplit_once('.')?;
        if resource != "*" && definitions().type_id(resource).is_none() {
            return None;
        }
        let (permissions, is_v1) = match permissions {
            "read" => (Permissions::READ, true),
            "write" => (Permissions::WRITE, true),
            "*" => (Permissions::READ.or(Permissions::WRITE), true),
            letters => (Permissions::parse_v2(letters)?, false),
        };
        if let Some(query) = &narrowing {
            // What cannot be searched for would open nothing and look as if it did.
            let type_id = definitions().type_id(resource)?;
            if is_v1 || !search::can_narrow(type_id, query) {
                return None;
            }
        }
        Some(Self {
            context,
            resource: resource.to_owned(),
            permissions,
            is_v1,
            narrowing,
        })
    }

    /// Whether everything that `other` opens is open by this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.context == other.context
            && (self.resource == "*" || self.resource == other.resource)
            && self.permissions.covers(other.permissions)
            && (self.narrowing.is_none() || self.narrowing == other.narrowing)
    }

    /// The same scope with fewer permissions; none when nothing is left.
    #[must_use]
    pub fn limited_to(&self, permissions: Permissions) -> Option<Self> {
        let permissions = self.permissions.and(permissions);
        (!permissions.is_empty()).then(|| Self {
            permissions,
            ..self.clone()
        })
    }

    /// The name of what it opens, without context and permissions: `Observation?category=…`.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.narrowing {
            Some(query) => format!("{}?{query}", self.resource),
            None => self.resource.clone(),
        }
    }
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Permissions::READ.or(Permissions::WRITE);
        let v1 = match self.permissions {
            Permissions::READ => Some("read"),
            Permissions::WRITE => Some("write"),
            permissions if permissions == all => Some("*"),
            _ => None,
        };
        let letters = self.permissions.letters();
        let permissions = match v1 {
            Some(word) if self.is_v1 => word,
            _ => &letters,
        };
        write!(
            formatter,
            "{}/{}.{permissions}",
            self.context, self.resource
        )?;
        if let Some(query) = &self.narrowing {
            write!(formatter, "?{query}")?;
        }
        Ok(())
    }
}

/// A list of scopes, parsed; unknown words are left out, repeated ones kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeList {
    /// Known scopes that speak of no resource, in the order asked for.
    pub identity: Vec<&'static str>,
    pub resources: Vec<ResourceScope>,
}

impl ScopeList {
    /// Parses a space-separated list.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for word in text.split_ascii_whitespace() {
            if let Some(known) = IDENTITY.iter().find(|known| **known == word) {
                if !list.identity.contains(known) {
                    list.identity.push(known);
                }
            } else if let Some(scope) = ResourceScope::parse(word)
                && !list.resources.contains(&scope)
            {
                list.resources.push(scope);
            }
        }
        list
    }

    /// Words of a list that are no scope of this server.
    #[must_use]
    pub fn unknown(text: &str) -> Vec<&str> {
        text.split_ascii_whitespace()
            .filter(|word| !IDENTITY.contains(word) && ResourceScope::parse(word).is_none())
            .collect()
    }

    /// Whether a scope without resource is in the list.
    #[must_use]
    pub fn has(&self, identity: &str) -> bool {
        self.identity.contains(&identity)
    }

    /// Whether nothing is in the list that opens anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identity.is_empty() && self.resources.is_empty()
    }

    /// Writes wildcards of the given contexts out as the catalogue's types.
    #[must_use]
    pub fn expanded(&self, contexts: &[&str]) -> Self {
        let mut resources: Vec<ResourceScope> = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |scope: ResourceScope| {
            if seen.insert(scope.clone()) {
                resources.push(scope);
            }
        };
        for scope in &self.resources {
            if scope.resource == "*" && contexts.contains(&scope.context) {
                for entry in catalogue().entries() {
                    add(ResourceScope {
                        resource: entry.resource.clone(),
                        ..scope.clone()
                    });
                }
            } else {
                add(scope.clone());
            }
        }
        Self {
            identity: self.identity.clone(),
            resources,
        }
    }

    /// What of this list lies within `allowed` (a client's registration, an earlier grant).
    /// A scope that lies within it by part keeps that part.
    #[must_use]
    pub fn within(&self, allowed: &Self) -> Self {
        let mut resources: Vec<ResourceScope> = Vec::new();
        for scope in &self.resources {
            if allowed.resources.iter().any(|own| own.covers(scope)) {
                resources.push(scope.clone());
                continue;
            }
            for own in &allowed.resources {
                if let Some(part) = common_part(own, scope)
                    && !resources.contains(&part)
                {
                    resources.push(part);
                }
            }
        }
        Self {
            identity: self
                .identity
                .iter()
                .copied()
                .filter(|scope| allowed.has(scope))
                .collect(),
            resources,
        }
    }

    /// Whether this list asks for nothing beyond `granted`.
    #[must_use]
    pub fn is_within(&self, granted: &Self) -> bool {
        self.identity.iter().all(|scope| granted.has(scope))
            && self
                .resources
                .iter()
                .all(|scope| granted.resources.iter().any(|own| own.covers(scope)))
    }

    /// What somebody of this kind can give to an app at all. Who sees a record as its patient or
    /// representative gives reading and searching of the catalogue's types, nothing else.
    #[must_use]
    pub fn for_patient_side(&self) -> Self {
        let resources = self
            .expanded(&["patient", "user"])
            .resources
            .iter()
            .filter(|scope| scope.context != "system" && catalogue().lists(&scope.resource))
            .filter_map(|scope| scope.limited_to(Permissions::READ))
            .collect();
        Self {
            identity: self.identity.clone(),
            resources,
        }
    }

    /// What a member of staff can give: `user/` scopes. Patient scopes need a patient in context,
    /// which an EHR launch may have and a standalone launch by staff has not; their wildcards are the catalogue's
    /// types, as the patient would give them.
    #[must_use]
    pub fn for_staff(&self, has_patient: bool) -> Self {
        Self {
            identity: self
                .identity
                .iter()
                .copied()
                .filter(|scope| *scope != "launch/patient" || has_patient)
                .collect(),
            resources: self
                .expanded(&["patient"])
                .resources
                .into_iter()
                .filter(|scope| {
                    scope.context == "user" || scope.context == "patient" && has_patient
                })
                .collect(),
        }
    }

    /// Only the scopes of the system context, and those of an EHR's backend that makes launches or has codes printed.
    #[must_use]
    pub fn for_system(&self) -> Self {
        Self {
            identity: self
                .identity
                .iter()
                .copied()
                .filter(|scope| matches!(*scope, "launch" | ACTIVATION_CODES))
                .collect(),
            resources: self
                .resources
                .iter()
                .filter(|scope| scope.context == "system")
                .cloned()
                .collect(),
        }
    }
}

/// What two scopes open both, in the syntax of `asked`.
fn common_part(allowed: &ResourceScope, asked: &ResourceScope) -> Option<ResourceScope> {
    if allowed.context != asked.context {
        return None;
    }
    let resource = match (allowed.resource.as_str(), asked.resource.as_str()) {
        ("*", other) | (other, "*") => other,
        (one, other) if one == other => one,
        _ => return None,
    };
    let narrowing = match (&allowed.narrowing, &asked.narrowing) {
        (None, other) | (other, None) => other.clone(),
        (Some(one), Some(other)) if one == other => Some(one.clone()),
        _ => return None,
    };
    let mut part = asked.limited_to(allowed.permissions)?;
    resource.clone_into(&mut part.resource);
    // v1 has no words for a narrowed scope.
    part.is_v1 &= narrowing.is_none();
    part.narrowing = narrowing;
    Some(part)
}

impl fmt::Display for ScopeList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in &self.identity {
            write!(formatter, "{separator}{scope}")?;
            separator = " ";
        }
        for scope in &self.resources {
            write!(formatter, "{separator}{scope}")?;
            separator = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
