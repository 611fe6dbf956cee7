//! SMART scopes, v1 (`patient/Observation.read`) and v2 (`patient/Observation.rs?category=…`),
//! after SMART App Launch 2.2, "Scopes for requesting FHIR Resources".

use std::sync::Arc;

use super::Access;
use crate::fhir::definitions::{TypeId, definitions};

/// Whose data a scope speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    Patient,
    User,
    System,
}

/// One resource scope, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub context: Context,
    /// None is `*`.
    pub type_id: Option<TypeId>,
    /// Of `cruds`, as written: which of create, read, update, delete, search are allowed.
    create: bool,
    read: bool,
    update: bool,
    delete: bool,
    search: bool,
    /// The query of a granular scope, still percent-encoded as it came.
    pub narrowing: Option<String>,
}

impl Grant {
    /// Parses one scope. None when it is no resource scope, or names an unknown type, or its
    /// permissions are not an in-order subset of `cruds` (SMART 2.2 scopes-v2) nor a v1 word.
    #[must_use]
    pub fn parse(scope: &str) -> Option<Self> {
        let (context, rest) = scope.split_once('/')?;
        let context = match context {
            "patient" => Context::Patient,
            "user" => Context::User,
            "system" => Context::System,
            _ => return None,
        };
        let (rest, narrowing) = match rest.split_once('?') {
            Some((rest, query)) if !query.is_empty() => (rest, Some(query.to_owned())),
            Some(_) => return None,
            None => (rest, None),
        };
        let (type_name, permissions) = rest.rsplit_once('.')?;
        let type_id = match type_name {
            "*" => None,
            name => Some(definitions().type_id(name)?),
        };
        let letters = match permissions {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            letters => letters,
        };
        if letters.is_empty() || (narrowing.is_some() && type_id.is_none()) {
            return None;
        }
        let mut order = "cruds".chars();
        if !letters
            .chars()
            .all(|letter| order.any(|next| next == letter))
        {
            return None;
        }
        let has = |letter| letters.contains(letter);
        Some(Self {
            context,
            type_id,
            create: has('c'),
            read: has('r'),
            update: has('u'),
            delete: has('d'),
            search: has('s'),
            narrowing,
        })
    }

    /// Whether the grant speaks of this type.
    #[must_use]
    pub fn covers(&self, type_id: TypeId) -> bool {
        self.type_id.is_none_or(|own| own == type_id)
    }

    /// Whether the grant allows this access.
    #[must_use]
    pub fn allows(&self, access: Access) -> bool {
        match access {
            Access::Create => self.create,
            Access::Read => self.read,
            Access::Update => self.update,
            Access::Delete => self.delete,
            Access::Search => self.search,
        }
    }
}

/// The scopes of a token. Cheap to clone: every request has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    text: Arc<str>,
    grants: Arc<[Grant]>,
}

impl Scopes {
    /// Parses a space-separated list. Scopes that speak of no resource (`openid`, `launch/patient`)
    /// stay in the text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self {
            text: text.into(),
            grants: text
                .split_ascii_whitespace()
                .filter_map(Grant::parse)
                .collect(),
        }
    }

    /// The resource scopes.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The list as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a scope is in the list, to the letter.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.text.split_ascii_whitespace().any(|own| own == scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_an_in_order_subset_of_cruds() {
        let scope = |text| Grant::parse(text);
        assert!(scope("patient/*.rs").is_some_and(|g| g.allows(Access::Read)));
        assert!(scope("patient/*.read").is_some_and(|g| g.allows(Access::Search)));
        assert!(scope("system/*.*").is_some_and(|g| g.allows(Access::Delete)));
        assert!(scope("user/*.write").is_some_and(|g| !g.allows(Access::Read)));
        for bad in [
            "patient/*.sr",
            "patient/*.",
            "patient/*",
            "patient/*.rr",
            "patient/*.x",
            "openid",
        ] {
            assert_eq!(scope(bad), None, "{bad}");
        }
    }
}
