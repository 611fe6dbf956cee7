//! Value sets as codes: `expansion` where there is one, else `compose` (R4 ValueSet, "Composition
//! Rules").

use std::collections::BTreeSet;

use serde_json::Value;

use super::{MAX_CODES, SearchError, Shelf, refused, test, tree};
use crate::search::extract::fold;
use crate::search::query::{SystemTest, TokenTest};

/// How deep value sets may stand in each other.
const DEPTH: usize = 8;

/// Codes of a set, folded. Whole systems stand for all of their codes, known here or not.
#[derive(Clone, Debug, Default)]
struct Codes {
    codes: BTreeSet<(String, String)>,
    whole: BTreeSet<String>,
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What must be at hand to expand a set.
pub(super) fn needs(set: &Value, sets: &mut Vec<String>, systems: &mut Vec<String>) {
    if set.get("expansion").is_some() {
        return;
    }
    let compose = set.get("compose").unwrap_or(&Value::Null);
    let parts: Vec<&Value> = items(compose, "include").collect();
    let excluded: Vec<&Value> = items(compose, "exclude").collect();
    for part in parts.iter().chain(&excluded) {
        sets.extend(
            items(part, "valueSet")
                .filter_map(Value::as_str)
                .map(str::to_owned),
        );
        let is_whole = part.get("concept").is_none();
        let is_filtered = part.get("filter").is_some();
        let system = text(part, "system");
        // A whole system is asked for as such, unless something is taken away from it.
        if !system.is_empty() && is_whole && (is_filtered || !excluded.is_empty()) {
            systems.push(system.to_owned());
        }
    }
}

/// The tests of a token that say "in this set".
pub(super) fn tests(shelf: &Shelf, name: &str) -> Result<Vec<TokenTest>, SearchError> {
    let codes = set(shelf, name, 0)?;
    if codes.codes.len() > MAX_CODES {
        return Err(refused(
            "too-costly",
            format!("a value set has more than {MAX_CODES} codes"),
        ));
    }
    let whole = codes.whole.iter().map(|system| TokenTest {
        system: SystemTest::Is(system.clone()),
        code: None,
    });
    let one = codes.codes.iter().map(|(system, code)| test(system, code));
    Ok(whole.chain(one).collect())
}

fn set(shelf: &Shelf, name: &str, depth: usize) -> Result<Codes, SearchError> {
    let Some(Some(set)) = shelf.sets.get(name) else {
        return Err(refused(
            "not-found",
            "a value set of ':in' or ':not-in' is not stored here: give the URL or the id of one \
             that is",
        ));
    };
    if depth > DEPTH {
        return Err(refused(
            "too-costly",
            "value sets stand too deep in each other",
        ));
    }
    let mut codes = Codes::default();
    if let Some(expansion) = set.get("expansion") {
        expanded(expansion, &mut codes.codes, 0);
        return Ok(codes);
    }
    let compose = set.get("compose").unwrap_or(&Value::Null);
    for include in items(compose, "include") {
        let own = part(shelf, include, depth)?;
        codes.codes.extend(own.codes);
        codes.whole.extend(own.whole);
    }
    for exclude in items(compose, "exclude") {
        let gone = part(shelf, exclude, depth)?;
        let touched: BTreeSet<&String> = gone.codes.iter().map(|(system, _)| system).collect();
        for system in touched {
            if codes.whole.remove(system) {
                let all = all_of(shelf, system)?;
                codes
                    .codes
                    .extend(all.into_iter().map(|code| (system.clone(), code)));
            }
        }
        codes
            .codes
            .retain(|own| !gone.codes.contains(own) && !gone.whole.contains(&own.0));
        codes.whole.retain(|system| !gone.whole.contains(system));
    }
    Ok(codes)
}

fn expanded(value: &Value, codes: &mut BTreeSet<(String, String)>, depth: usize) {
    for contains in items(value, "contains") {
        let code = text(contains, "code");
        let is_abstract = contains.get("abstract") == Some(&Value::Bool(true));
        if !code.is_empty() && !is_abstract {
            codes.insert((text(contains, "system").to_owned(), fold(code).into_owned()));
        }
        if depth < 64 {
            expanded(contains, codes, depth + 1);
        }
    }
}

/// One include or exclude: the codes of a system, and of all its value sets together.
fn part(shelf: &Shelf, part: &Value, depth: usize) -> Result<Codes, SearchError> {
    let system = text(part, "system");
    let mut codes: Option<Codes> = None;
    if !system.is_empty() {
        let mut own = Codes::default();
        if part.get("concept").is_some() {
            let list = items(part, "concept").map(|one| fold(text(one, "code")).into_owned());
            own.codes = list.map(|code| (system.to_owned(), code)).collect();
        } else if part.get("filter").is_some() {
            let list = filtered(shelf, system, part)?;
            own.codes = list
                .into_iter()
                .map(|code| (system.to_owned(), code))
                .collect();
        } else {
            own.whole.insert(system.to_owned());
        }
        codes = Some(own);
    }
    for name in items(part, "valueSet").filter_map(Value::as_str) {
        let other = set(shelf, name, depth + 1)?;
        codes = Some(match codes {
            None => other,
            Some(own) => both(&own, &other),
        });
    }
    Ok(codes.unwrap_or_default())
}

fn both(a: &Codes, b: &Codes) -> Codes {
    let in_other = |other: &Codes, one: &(String, String)| {
        other.codes.contains(one) || other.whole.contains(&one.0)
    };
    let of_a = a.codes.iter().filter(|one| in_other(b, one));
    let of_b = b.codes.iter().filter(|one| in_other(a, one));
    Codes {
        codes: of_a.chain(of_b).cloned().collect(),
        whole: a.whole.intersection(&b.whole).cloned().collect(),
    }
}

fn stored<'s>(shelf: &'s Shelf, system: &str) -> Result<&'s Value, SearchError> {
    match shelf.systems.get(system) {
        Some(Some(stored)) => Ok(stored),
        _ => Err(refused(
            "not-found",
            "the value set chooses from a code system that is not stored here",
        )),
    }
}

fn all_of(shelf: &Shelf, system: &str) -> Result<BTreeSet<String>, SearchError> {
    Ok(tree::codes(stored(shelf, system)?))
}

/// The codes that all filters let through.
fn filtered(shelf: &Shelf, system: &str, part: &Value) -> Result<BTreeSet<String>, SearchError> {
    let stored = stored(shelf, system)?;
    let mut codes = tree::codes(stored);
    for filter in items(part, "filter") {
        let (property, op, value) = (
            text(filter, "property"),
            text(filter, "op"),
            text(filter, "value"),
        );
        let is_concept = matches!(property, "concept" | "code");
        let through: BTreeSet<String> = match (is_concept, op) {
            (true, "is-a") => tree::below(stored, value),
            (true, "descendent-of") => {
                let mut below = tree::below(stored, value);
                below.remove(fold(value).as_ref());
                below
            }
            (true, "generalizes") => tree::above(stored, value),
            (true, "is-not-a") => {
                let below = tree::below(stored, value);
                codes.difference(&below).cloned().collect()
            }
            (true, "=") => BTreeSet::from([fold(value).into_owned()]),
            (true, "in" | "not-in") => {
                let list: BTreeSet<String> = value
                    .split(',')
                    .map(|one| fold(one.trim()).into_owned())
                    .collect();
                if op == "in" {
                    list
                } else {
                    codes.difference(&list).cloned().collect()
                }
            }
            (false, "=" | "exists" | "in") => with_property(stored, property, op, value),
            _ => {
                return Err(refused(
                    "not-supported",
                    "the value set has a filter that this server cannot evaluate",
                ));
            }
        };
        codes.retain(|code| through.contains(code));
    }
    Ok(codes)
}

fn with_property(system: &Value, property: &str, op: &str, value: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    tree::concepts(system, &mut |_, concept| {
        let mut values = items(concept, "property")
            .filter(|one| text(one, "code") == property)
            .filter_map(|one| {
                let object = one.as_object()?;
                let (_, found) = object.iter().find(|(key, _)| key.starts_with("value"))?;
                Some(match found {
                    Value::String(text) => text.clone(),
                    Value::Object(coding) => {
                        let code = coding.get("code").and_then(Value::as_str);
                        code.unwrap_or_default().to_owned()
                    }
                    other => other.to_string(),
                })
            });
        let fits = match op {
            "exists" => (values.next().is_some()) == (value == "true"),
            "in" => values.any(|own| value.split(',').any(|one| one.trim() == own)),
            _ => values.any(|own| own == value),
        };
        if fits {
            codes.insert(fold(text(concept, "code")).into_owned());
        }
    });
    codes
}
