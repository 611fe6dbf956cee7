//! `:in`, `:not-in`, `:above` and `:below` of tokens: value sets and code systems that are stored
//! here and exist for the viewer, as lists of codes.

mod expand;
mod tree;

use std::collections::HashMap;

use serde_json::Value;

use super::SearchError;
use super::query::{CodeTest, Condition, Param, Query, SystemTest, TokenTest, Types, UriMode};
use super::run::Context;
use crate::fhir::definitions::definitions;
use crate::fhir::outcome::Issue;
use crate::store::Select;

/// Codes that one set may have.
const MAX_CODES: usize = 20_000;
/// Resources that one query may need.
const MAX_RESOURCES: usize = 50;

/// What was asked for and what was found: None where there is no such resource.
#[derive(Debug, Default)]
struct Shelf {
    sets: HashMap<String, Option<Value>>,
    systems: HashMap<String, Option<Value>>,
}

/// Replaces every condition on a value set or a hierarchy by one on codes.
///
/// # Errors
/// [`SearchError::Invalid`] for a set that does not exist for the viewer, or cannot be expanded.
pub(super) async fn resolve<C: Select>(
    context: &Context<'_>,
    connection: &C,
    conditions: &mut [Condition],
) -> Result<(), SearchError> {
    let (mut sets, mut systems) = (Vec::new(), Vec::new());
    for condition in conditions.iter() {
        needs(condition, &mut sets, &mut systems);
    }
    if sets.is_empty() && systems.is_empty() {
        return Ok(());
    }
    let mut shelf = Shelf::default();
    while !sets.is_empty() || !systems.is_empty() {
        if shelf.sets.len() + shelf.systems.len() > MAX_RESOURCES {
            return Err(refused(
                "too-costly",
                "the value set refers to too many others",
            ));
        }
        if let Some(name) = sets.pop() {
            if shelf.sets.contains_key(&name) {
                continue;
            }
            let set = fetch(context, connection, "ValueSet", &name).await?;
            if let Some(set) = &set {
                expand::needs(set, &mut sets, &mut systems);
            }
            shelf.sets.insert(name, set);
        } else if let Some(name) = systems.pop()
            && !shelf.systems.contains_key(&name)
        {
            let system = fetch(context, connection, "CodeSystem", &name).await?;
            shelf.systems.insert(name, system);
        }
    }
    for condition in conditions {
        replace(condition, &shelf)?;
    }
    Ok(())
}

fn refused(code: &'static str, words: impl Into<String>) -> SearchError {
    SearchError::invalid(Issue::error(code, words))
}

fn needs(condition: &Condition, sets: &mut Vec<String>, systems: &mut Vec<String>) {
    match condition {
        Condition::ValueSet { sets: own, .. } => sets.extend(own.iter().cloned()),
        Condition::Subsumed { values, .. } => {
            systems.extend(values.iter().map(|(system, _)| system.clone()));
        }
        Condition::Any(all) | Condition::All(all) => {
            all.iter().for_each(|one| needs(one, sets, systems));
        }
        Condition::Not(one) | Condition::PatientIs(one) => needs(one, sets, systems),
        Condition::Has { condition, .. } => needs(condition, sets, systems),
        Condition::Chain { links, .. } => {
            links.iter().for_each(|(_, one)| needs(one, sets, systems));
        }
        _ => {}
    }
}

fn replace(condition: &mut Condition, shelf: &Shelf) -> Result<(), SearchError> {
    let codes = match condition {
        Condition::ValueSet { param, sets, not } => {
            let mut values = Vec::new();
            for set in sets {
                values.extend(expand::tests(shelf, set)?);
            }
            Some((*param, values, *not))
        }
        Condition::Subsumed {
            param,
            values,
            is_up,
        } => {
            let mut all = Vec::new();
            for (system, code) in values {
                let Some(Some(stored)) = shelf.systems.get(system) else {
                    return Err(refused(
                        "not-found",
                        "the code system of ':above' or ':below' is not stored here, so its \
                         hierarchy is not known",
                    ));
                };
                let related = if *is_up {
                    tree::above(stored, code)
                } else {
                    tree::below(stored, code)
                };
                all.extend(related.into_iter().map(|code| test(system, &code)));
            }
            Some((*param, all, false))
        }
        _ => None,
    };
    if let Some((param, values, not)) = codes {
        *condition = token(param, values, not);
        return Ok(());
    }
    condition
        .inner_mut()
        .into_iter()
        .try_for_each(|one| replace(one, shelf))
}

fn token(param: Param, values: Vec<TokenTest>, not: bool) -> Condition {
    // Codes and whole systems are asked for in different ways.
    let (codes, whole): (Vec<_>, Vec<_>) = values.into_iter().partition(|one| one.code.is_some());
    let part = |values| Condition::Token {
        param,
        values,
        not: false,
    };
    let mut any: Vec<Condition> = [codes, whole]
        .into_iter()
        .filter(|values| !values.is_empty())
        .map(part)
        .collect();
    let one = match any.pop() {
        Some(one) if any.is_empty() => one,
        last => {
            any.extend(last);
            Condition::Any(any)
        }
    };
    if not {
        Condition::Not(Box::new(one))
    } else {
        one
    }
}

fn test(system: &str, code: &str) -> TokenTest {
    TokenTest {
        system: if system.is_empty() {
            SystemTest::Any
        } else {
            SystemTest::Is(system.to_owned())
        },
        code: Some(CodeTest::Is(code.to_owned())),
    }
}

/// A resource by its canonical URL (with `|version` that one, else the latest), `Type/id` or id.
async fn fetch<C: Select>(
    context: &Context<'_>,
    connection: &C,
    type_name: &str,
    name: &str,
) -> Result<Option<Value>, SearchError> {
    let Some(type_id) = definitions().type_id(type_name) else {
        return Ok(None);
    };
    let (url, version) = match name.split_once('|') {
        Some((url, version)) => (url, Some(version)),
        None => (name, None),
    };
    let condition = match (
        url.contains(':'),
        definitions().search_param(type_id, "url"),
    ) {
        (true, Some(param)) => Condition::Uri {
            param: Param(param),
            mode: UriMode::Exact,
            values: vec![url.to_owned()],
        },
        _ => {
            let id = url.strip_prefix(&format!("{type_name}/")).unwrap_or(url);
            Condition::Id(vec![id.to_owned()])
        }
    };
    // Whom no scope opens the type, for them there is none.
    let Ok(plan) = context.plan(&Types::One(type_id), vec![condition]) else {
        return Ok(None);
    };
    let query = Query {
        count: Some(100),
        ..Query::default()
    };
    let page = context.page(connection, &plan, &query, None).await?;
    let mut latest: Option<(Vec<u64>, i64, Value)> = None;
    for found in page.matches {
        let Ok(value) = serde_json::from_slice::<Value>(&found.body) else {
            continue;
        };
        let own = value.get("version").and_then(Value::as_str).unwrap_or("");
        if version.is_some_and(|version| version != own) {
            continue;
        }
        let order: Vec<u64> = own
            .split(['.', '-'])
            .map(|part| part.parse().unwrap_or(0))
            .collect();
        let is_later = latest
            .as_ref()
            .is_none_or(|(known, updated, _)| (&order, found.updated) > (known, *updated));
        if is_later {
            latest = Some((order, found.updated, value));
        }
    }
    Ok(latest.map(|(_, _, value)| value))
}
