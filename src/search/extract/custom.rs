//! The search parameters that SearchParameter resources of this server define: what they are
//! ([`Definition`]), and all that stand at a time, compiled ([`Custom`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Plan;
use super::{IndexRows, found};
use crate::fhir::definitions::{
    Component, ParamId, ParamKind, Rules, SearchParam, TypeId, definitions,
};
use crate::keys::Keys;

/// The first number of a parameter of this server; those of the specification are below.
pub const FIRST: ParamId = 10_000;

/// What a SearchParameter resource defines, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub url: String,
    pub code: String,
    /// `SearchParameter.type`.
    pub kind: String,
    /// Names of concrete types.
    pub bases: Vec<String>,
    pub expression: String,
    /// Names of concrete types; empty: any.
    pub targets: Vec<String>,
    pub comparators: Vec<String>,
    pub modifiers: Vec<String>,
    pub chains: Vec<String>,
    pub multiple_or: bool,
    pub multiple_and: bool,
    /// Of a composite: code and kind of the parameter, and where its values stand.
    pub components: Vec<(String, String, String)>,
}

impl Definition {
    /// Whether the same rows are found in the same resources.
    #[must_use]
    pub fn is_indexed_like(&self, other: &Self) -> bool {
        let place = |one: &Self| {
            (
                one.kind.clone(),
                one.bases.clone(),
                one.expression.clone(),
                one.components.clone(),
            )
        };
        place(self) == place(other)
    }

    /// The types it is for.
    #[must_use]
    pub fn types(&self) -> Vec<TypeId> {
        let types = self.bases.iter();
        types
            .filter_map(|name| definitions().type_id(name))
            .collect()
    }

    /// The parameter under this number, not yet compiled. None for a kind that is none.
    pub(super) fn param(&self, number: ParamId) -> Option<SearchParam> {
        let components = self.components.iter().map(|(code, kind, expression)| {
            let component = Component {
                code: code.clone(),
                kind: ParamKind::parse(kind)?,
            };
            Some((component, expression.clone()))
        });
        Some(SearchParam {
            id: number,
            code: self.code.clone(),
            kind: ParamKind::parse(&self.kind)?,
            url: self.url.clone(),
            expression: self.expression.clone(),
            targets: self
                .targets
                .iter()
                .filter_map(|name| definitions().type_id(name))
                .collect(),
            components: components.collect::<Option<_>>()?,
            rules: Some(Rules {
                comparators: self.comparators.clone(),
                modifiers: self.modifiers.clone(),
                chains: self.chains.clone(),
                multiple_or: self.multiple_or,
                multiple_and: self.multiple_and,
                ..Rules::default()
            }),
        })
    }
}

/// A parameter as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub number: ParamId,
    /// Surrogate id of the SearchParameter.
    pub doc: i64,
    /// All resources are indexed: it may be searched with.
    pub is_ready: bool,
    pub definition: Definition,
}

/// What a code stands for on a type.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Ready(&'static SearchParam),
    /// Its index is still being built.
    Building,
}

/// All parameters of this server at a time.
#[derive(Debug, Default)]
pub struct Custom {
    /// Number of the state that this is; the database's is raised with every change.
    pub generation: i64,
    standing: Vec<Standing>,
    params: HashMap<TypeId, BTreeMap<String, Found>>,
    plans: HashMap<TypeId, Plan>,
}

impl Custom {
    /// Compiles what stands.
    #[must_use]
    pub fn new(generation: i64, standing: Vec<Standing>) -> Self {
        let mut by_type: BTreeMap<TypeId, Vec<(SearchParam, bool)>> = BTreeMap::new();
        for one in &standing {
            let Some(param) = one.definition.param(one.number) else {
                continue;
            };
            for type_id in one.definition.types() {
                let list = by_type.entry(type_id).or_default();
                list.push((param.clone(), one.is_ready));
            }
        }
        let mut custom = Self {
            generation,
            standing,
            ..Self::default()
        };
        for (type_id, mut params) in by_type {
            let own: Vec<SearchParam> = params.iter().map(|(param, _)| param.clone()).collect();
            let all = definitions();
            let mut plan = Plan::compile(all, all.type_name(type_id), &own, None, true);
            // Whose a resource is, the specification's own parameters tell.
            plan.is_patient = false;
            for (param, is_ready) in &mut params {
                if let Some(rules) = &mut param.rules {
                    rules.is_exact = plan.exact.contains(&param.id);
                    rules.finds_identifiers = plan.identifiers.contains(&param.id);
                    rules.finds_canonicals = plan.canonicals.contains(&param.id);
                }
                let found = if *is_ready {
                    Found::Ready(kept(type_id, param))
                } else {
                    Found::Building
                };
                let codes = custom.params.entry(type_id).or_default();
                codes.insert(param.code.clone(), found);
            }
            custom.plans.insert(type_id, plan);
        }
        custom
    }

    /// What a code stands for on a type; None where it is no parameter of this server's.
    #[must_use]
    pub fn find(&self, type_id: TypeId, code: &str) -> Option<Found> {
        self.params.get(&type_id)?.get(code).copied()
    }

    /// The parameters of a type that may be searched with, by code.
    pub fn ready(&self, type_id: TypeId) -> impl Iterator<Item = &'static SearchParam> {
        let codes = self.params.get(&type_id).into_iter();
        codes
            .flat_map(BTreeMap::values)
            .filter_map(|found| match found {
                Found::Ready(param) => Some(*param),
                Found::Building => None,
            })
    }

    /// All that stand.
    #[must_use]
    pub fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// The rows that these parameters find in a resource.
    #[must_use]
    pub fn extract(
        &self,
        type_id: TypeId,
        resource: &Value,
        keys: &Keys,
        base: &str,
    ) -> Option<IndexRows> {
        let plan = self.plans.get(&type_id)?;
        let mut rows = found(plan, resource, keys, base);
        rows.tidy();
        Some(rows)
    }
}

/// A parameter for as long as the process lives, each once. Queries hold on to parameters without
/// counting who does; a definition that is changed leaves a few hundred bytes behind.
fn kept(type_id: TypeId, param: &SearchParam) -> &'static SearchParam {
    static KEPT: Mutex<Vec<(TypeId, &'static SearchParam)>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept
        .iter()
        .find(|(own, one)| *own == type_id && is_same(one, param));
    if let Some((_, one)) = known {
        return one;
    }
    let one: &'static SearchParam = Box::leak(Box::new(param.clone()));
    kept.push((type_id, one));
    one
}

fn is_same(a: &SearchParam, b: &SearchParam) -> bool {
    let parts = |one: &SearchParam| {
        let components: Vec<_> = one
            .components
            .iter()
            .map(|(component, text)| (component.code.clone(), component.kind, text.clone()))
            .collect();
        (
            one.id,
            one.code.clone(),
            one.kind,
            one.url.clone(),
            components,
        )
    };
    parts(a) == parts(b)
        && a.expression == b.expression
        && a.targets == b.targets
        && a.rules == b.rules
}
