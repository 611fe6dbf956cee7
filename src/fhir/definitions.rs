//! What the official packages define, in derived form: resource types, search parameters,
//! compartments, element tables, required code sets. Loaded once, read by everything.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Number of a resource type in every table, stable across releases (`fhir-profiles/derived`).
pub type TypeId = i16;
/// Number of a search parameter in the index tables, stable across releases. One number for each
/// (resource type, code) pair is not needed: rows carry the type beside it.
pub type ParamId = i16;

/// `SearchParameter.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    /// `_text`, `_content`, `_list`, `near`, ...: no index rows of its own.
    Special,
}

/// A search parameter as it applies to one resource type.
#[derive(Clone, Debug)]
pub struct SearchParam {
    pub id: ParamId,
    /// The name in a query, `clinical-status`.
    pub code: String,
    pub kind: ParamKind,
    /// Canonical URL of the SearchParameter.
    pub url: String,
    /// FHIRPath, already cut to this resource type (`Patient.name | Person.name` is split).
    /// Empty for parameters that the store answers itself (`_id`, `_lastUpdated`).
    pub expression: String,
    /// Target types of a reference parameter; empty means any.
    pub targets: Vec<TypeId>,
    /// Components of a composite: (the component parameter's code on this type, the expression
    /// relative to the composite's own).
    pub components: Vec<(Component, String)>,
}

/// What a composite's component is searched as.
#[derive(Clone, Debug)]
pub struct Component {
    pub code: String,
    pub kind: ParamKind,
}

/// Everything derived. Get it with [`definitions`].
#[derive(Debug, Default)]
pub struct Definitions {
    pub(crate) types: Vec<String>,
    pub(crate) type_ids: HashMap<String, TypeId>,
    /// By type id: the parameters of that type, including those of Resource and DomainResource.
    pub(crate) params: Vec<Vec<SearchParam>>,
    /// By type id: code -> place in `params`.
    pub(crate) param_index: Vec<HashMap<String, usize>>,
}

impl Definitions {
    /// The number of a concrete resource type by its name.
    #[must_use]
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.type_ids.get(name).copied()
    }

    /// The name of a resource type; empty for a number that is none.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> &str {
        usize::try_from(id)
            .ok()
            .and_then(|at| self.types.get(at))
            .map_or("", String::as_str)
    }

    /// All concrete resource types with their numbers.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &str)> {
        (0..)
            .zip(self.types.iter().map(String::as_str))
            .filter(|(_, name)| !name.is_empty())
    }

    /// The search parameters of a type, those of every resource included.
    #[must_use]
    pub fn search_params(&self, type_id: TypeId) -> &[SearchParam] {
        usize::try_from(type_id)
            .ok()
            .and_then(|at| self.params.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// One search parameter of a type by its code.
    #[must_use]
    pub fn search_param(&self, type_id: TypeId, code: &str) -> Option<&SearchParam> {
        let at = usize::try_from(type_id).ok()?;
        let place = *self.param_index.get(at)?.get(code)?;
        self.params.get(at)?.get(place)
    }
}

/// The derived definitions, parsed on first use.
#[must_use]
pub fn definitions() -> &'static Definitions {
    static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(Definitions::default);
    &DEFINITIONS
}
