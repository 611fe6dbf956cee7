//! Queries made from the values that stand in the record, with what each of them means.

use std::collections::BTreeSet;

use serde_json::Value;

use super::params::{Kind, PARAMS, Param};
use super::values::{
    at, fold, moment, number_fits, span, span_fits, strings, target, text, tokens,
};
use super::{World, address};

pub type Test = Box<dyn Fn(&World, &Value) -> bool>;

/// A query and its meaning.
pub struct Query {
    pub type_name: &'static str,
    pub path: String,
    /// For the tally.
    pub what: &'static str,
    pub matches: Test,
    pub order: Option<Order>,
}

type KeyOf = Box<dyn Fn(&World, &Value) -> Option<Key>>;

pub struct Order {
    pub descending: bool,
    pub key: KeyOf,
}

#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Key {
    Number(f64),
    Text(String),
}

pub fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A value as FHIR search escapes it, then percent-encoded.
pub fn value(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if matches!(letter, ',' | '$' | '|' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escape(&escaped)
}

pub fn query(
    type_name: &'static str,
    what: &'static str,
    rest: String,
    matches: impl Fn(&World, &Value) -> bool + 'static,
) -> Query {
    Query {
        type_name,
        path: format!("{type_name}?{rest}"),
        what,
        matches: Box::new(matches),
        order: None,
    }
}

/// Up to three different ones: the first, one in the middle, the last.
pub fn some<T: Ord + Clone>(all: BTreeSet<T>) -> Vec<T> {
    let all: Vec<T> = all.into_iter().collect();
    let mut picked: Vec<T> = [0, all.len() / 2, all.len().saturating_sub(1)]
        .iter()
        .filter_map(|at| all.get(*at).cloned())
        .collect();
    picked.dedup();
    picked
}

pub fn values_of<'w>(world: &'w World, param: &Param) -> Vec<&'w Value> {
    let (type_name, paths) = (param.type_name, param.paths);
    world
        .of(type_name)
        .flat_map(|resource| at(resource, paths))
        .collect()
}

pub fn all(world: &World) -> Vec<Query> {
    let mut all = Vec::new();
    for param in PARAMS {
        match param.kind {
            Kind::Token => token(world, *param, &mut all),
            Kind::String => string(world, *param, &mut all),
            Kind::Date => date(world, *param, &mut all),
            Kind::Number | Kind::Quantity => number(world, *param, &mut all),
            Kind::Reference => reference(world, *param, &mut all),
            Kind::Uri => uri(world, *param, &mut all),
        }
        missing(*param, &mut all);
        sorted(*param, &mut all);
    }
    combined(world, &mut all);
    super::more::filters(world, &mut all);
    super::more::words(world, &mut all);
    super::measured::in_units(&mut all);
    super::measured::near(&mut all);
    all
}

pub fn has_token(resource: &Value, paths: &str, system: Option<&str>, code: &str) -> bool {
    at(resource, paths)
        .into_iter()
        .flat_map(tokens)
        .any(|(own, stored)| {
            stored.to_lowercase() == code.to_lowercase()
                && system.is_none_or(|system| own.as_deref() == Some(system))
        })
}

fn token(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    let found: BTreeSet<(Option<String>, String)> = values_of(world, &param)
        .into_iter()
        .flat_map(tokens)
        .filter(|(_, code)| !code.is_empty())
        .collect();
    let picked = some(found);
    for (system, own) in &picked {
        let wanted = own.clone();
        all.push(query(
            type_name,
            "token",
            format!("{code}={}", value(own)),
            move |_, one| has_token(one, paths, None, &wanted),
        ));
        let wanted = own.clone();
        all.push(query(
            type_name,
            "token :not",
            format!("{code}:not={}", value(own)),
            move |_, one| !has_token(one, paths, None, &wanted),
        ));
        if let Some(system) = system {
            let (wanted, of) = (own.clone(), system.clone());
            all.push(query(
                type_name,
                "token with system",
                format!("{code}={}%7C{}", value(system), value(own)),
                move |_, one| has_token(one, paths, Some(&of), &wanted),
            ));
            if !system.is_empty() {
                let of = system.clone();
                all.push(query(
                    type_name,
                    "token of system",
                    format!("{code}={}%7C", value(system)),
                    move |_, one| {
                        at(one, paths)
                            .into_iter()
                            .flat_map(tokens)
                            .any(|(own, _)| own.as_ref() == Some(&of))
                    },
                ));
            }
        }
    }
    if let [(_, a), .., (_, b)] = picked.as_slice() {
        let (first, second) = (a.clone(), b.clone());
        all.push(query(
            type_name,
            "token list",
            format!("{code}={},{}", value(a), value(b)),
            move |_, one| {
                has_token(one, paths, None, &first) || has_token(one, paths, None, &second)
            },
        ));
    }
}

fn string(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    let found: BTreeSet<String> = values_of(world, &param)
        .into_iter()
        .flat_map(strings)
        .filter(|text| text.len() < 200)
        .collect();
    for own in some(found) {
        let any = move |one: &Value, test: &dyn Fn(&str) -> bool| {
            at(one, paths)
                .into_iter()
                .flat_map(strings)
                .any(|text| test(&text))
        };
        let start: String = own.chars().take(4).collect();
        let wanted = fold(&start);
        all.push(query(
            type_name,
            "string",
            format!("{code}={}", value(&start)),
            move |_, one| any(one, &|text| fold(text).starts_with(&wanted)),
        ));
        let exact = own.clone();
        all.push(query(
            type_name,
            "string :exact",
            format!("{code}:exact={}", value(&own)),
            move |_, one| any(one, &|text| text == exact),
        ));
        let inside: String = own.chars().skip(1).take(3).collect();
        if !inside.trim().is_empty() && !inside.contains(' ') {
            let wanted = fold(&inside);
            all.push(query(
                type_name,
                "string :contains",
                format!("{code}:contains={}", value(&inside)),
                move |_, one| any(one, &|text| fold(text).contains(&wanted)),
            ));
        }
    }
}

fn date(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    let found: BTreeSet<String> = values_of(world, &param)
        .into_iter()
        .filter_map(|one| one.as_str().or_else(|| one["start"].as_str()))
        .map(str::to_owned)
        .collect();
    let prefixes = ["", "ne", "gt", "lt", "ge", "le", "sa", "eb"];
    for (number, own) in some(found).into_iter().enumerate() {
        for (at_prefix, prefix) in prefixes.into_iter().enumerate() {
            // Every precision with some prefix, without all of them with all.
            let length = [4, 7, 10, own.len()][(number + at_prefix) % 4].min(own.len());
            let Some(asked) = own.get(..length) else {
                continue;
            };
            let Some(wanted) = moment(asked) else {
                continue;
            };
            all.push(query(
                type_name,
                "date",
                format!("{code}={prefix}{}", value(asked)),
                move |_, one| {
                    at(one, paths)
                        .into_iter()
                        .filter_map(span)
                        .any(|stored| span_fits(prefix, wanted, stored))
                },
            ));
        }
    }
}

pub fn numeric(value: &Value) -> Option<f64> {
    let number = if value.is_object() {
        &value["value"]
    } else {
        value
    };
    number.to_string().parse().ok()
}

fn number(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        kind,
        paths,
        ..
    } = param;
    let found: BTreeSet<String> = values_of(world, &param)
        .into_iter()
        .map(|one| if one.is_object() { &one["value"] } else { one })
        .filter(|number| number.is_number())
        .map(Value::to_string)
        .filter(|text| !text.contains(['e', 'E']))
        .collect();
    for own in some(found) {
        for prefix in ["", "ne", "gt", "lt", "ge", "le", "sa", "eb"] {
            let asked = own.clone();
            all.push(query(
                type_name,
                "number",
                format!("{code}={prefix}{own}"),
                move |_, one| {
                    at(one, paths)
                        .into_iter()
                        .filter_map(numeric)
                        .any(|stored| number_fits(prefix, &asked, stored))
                },
            ));
        }
        if kind == Kind::Quantity {
            let asked = own.clone();
            all.push(query(
                type_name,
                "quantity with unit",
                format!("{code}=ge{own}%7C%7Cmm%5BHg%5D"),
                move |_, one| {
                    at(one, paths).into_iter().any(|quantity| {
                        (text(quantity, "unit") == "mm[Hg]" || text(quantity, "code") == "mm[Hg]")
                            && numeric(quantity).is_some_and(|own| number_fits("ge", &asked, own))
                    })
                },
            ));
        }
    }
}

pub fn refers(resource: &Value, paths: &str, to: &str) -> bool {
    at(resource, paths)
        .into_iter()
        .filter_map(target)
        .any(|own| own == to)
}

fn reference(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    let found: BTreeSet<String> = values_of(world, &param)
        .into_iter()
        .filter_map(target)
        .filter(|own| own.matches('/').count() == 1)
        .map(str::to_owned)
        .collect();
    for own in some(found) {
        let to = own.clone();
        all.push(query(
            type_name,
            "reference",
            format!("{code}={own}"),
            move |_, one| refers(one, paths, &to),
        ));
        if let Some((kind, id)) = own.split_once('/') {
            let to = own.clone();
            all.push(query(
                type_name,
                "reference :Type",
                format!("{code}:{kind}={id}"),
                move |_, one| refers(one, paths, &to),
            ));
            let to = own.clone();
            all.push(query(
                type_name,
                "chain",
                format!("{code}:{kind}._id={id}"),
                move |world, one| world.get(&to).is_some() && refers(one, paths, &to),
            ));
        }
    }
}

fn uri(world: &World, param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    let found = values_of(world, &param)
        .into_iter()
        .filter_map(Value::as_str);
    for own in some(found.map(str::to_owned).collect::<BTreeSet<_>>()) {
        let wanted = own.clone();
        all.push(query(
            type_name,
            "uri",
            format!("{code}={}", value(&own)),
            move |_, one| at(one, paths).iter().any(|stored| **stored == wanted),
        ));
    }
}

fn missing(param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        paths,
        ..
    } = param;
    for missing in [true, false] {
        all.push(query(
            type_name,
            ":missing",
            format!("{code}:missing={missing}"),
            move |_, one| at(one, paths).is_empty() == missing,
        ));
    }
}

fn sorted(param: Param, all: &mut Vec<Query>) {
    let Param {
        type_name,
        code,
        kind,
        paths,
    } = param;
    if ![
        "Patient",
        "Observation",
        "Condition",
        "Encounter",
        "Location",
    ]
    .contains(&type_name)
    {
        return;
    }
    for descending in [false, true] {
        let key = move |world: &World, one: &Value| -> Option<Key> {
            let keys = at(one, paths).into_iter().flat_map(|value| match kind {
                Kind::Token => tokens(value)
                    .into_iter()
                    .map(|(_, code)| Key::Text(code.to_lowercase().chars().take(64).collect()))
                    .collect(),
                Kind::String => strings(value)
                    .iter()
                    .map(|text| Key::Text(fold(text)))
                    .collect(),
                #[expect(clippy::cast_precision_loss, reason = "times are exact")]
                Kind::Date => span(value)
                    .map(|span| Key::Number(span.0 as f64))
                    .into_iter()
                    .collect(),
                Kind::Number | Kind::Quantity => {
                    numeric(value).map(Key::Number).into_iter().collect()
                }
                Kind::Reference => target(value)
                    // What does not exist has no place in the order.
                    .filter(|own| world.get(own).is_some())
                    .and_then(|own| own.split('/').nth(1))
                    .map(|id| Key::Text(id.to_owned()))
                    .into_iter()
                    .collect(),
                Kind::Uri => value
                    .as_str()
                    .map(|uri| Key::Text(uri.to_owned()))
                    .into_iter()
                    .collect::<Vec<_>>(),
            });
            let less = |a: &Key, b: &Key| a.partial_cmp(b).unwrap();
            if descending {
                keys.max_by(less)
            } else {
                keys.min_by(less)
            }
        };
        // Names also sort by the whole name, which no list of parts has; dangling references and
        // words without a code have places of their own, which other tests look at.
        if kind == Kind::String && !code.contains('-') && code != "family" && code != "given" {
            continue;
        }
        let direction = if descending { "-" } else { "" };
        let mut sorted = query(
            type_name,
            "_sort",
            format!("_sort={direction}{code}"),
            |_, _| true,
        );
        sorted.order = Some(Order {
            descending,
            key: Box::new(key),
        });
        all.push(sorted);
    }
}

/// Several parameters, chains, `_has`, composites.
fn combined(world: &World, all: &mut Vec<Query>) {
    let patients: Vec<String> = world.of("Patient").map(address).collect();
    for patient in patients.iter().take(4) {
        let id = patient.split('/').nth(1).unwrap_or_default().to_owned();
        for (type_name, paths) in [
            ("Observation", "subject"),
            ("Condition", "subject"),
            ("Encounter", "subject"),
        ] {
            let to = patient.clone();
            all.push(query(
                type_name,
                "patient",
                format!("patient={id}"),
                move |_, one| refers(one, paths, &to),
            ));
        }
        let to = patient.clone();
        all.push(query(
            "Observation",
            "combined",
            format!("patient={id}&date=ge2015&status=final"),
            move |_, one| {
                refers(one, "subject", &to)
                    && text(one, "status") == "final"
                    && at(one, "effectiveDateTime|effectivePeriod|effectiveInstant")
                        .into_iter()
                        .filter_map(span)
                        .any(|own| span_fits("ge", moment("2015").unwrap(), own))
            },
        ));
    }
    for gender in ["female", "male", "other"] {
        all.push(query(
            "Observation",
            "chain",
            format!("subject:Patient.gender={gender}"),
            move |world, one| {
                at(one, "subject")
                    .into_iter()
                    .filter_map(target)
                    .filter_map(|to| world.get(to))
                    .any(|patient| {
                        patient["resourceType"] == "Patient" && text(patient, "gender") == gender
                    })
            },
        ));
        all.push(query(
            "Condition",
            "chain of two",
            format!("encounter.subject:Patient.gender={gender}"),
            move |world, one| {
                at(one, "encounter")
                    .into_iter()
                    .filter_map(target)
                    .filter_map(|to| world.get(to))
                    .flat_map(|encounter| at(encounter, "subject"))
                    .filter_map(target)
                    .filter_map(|to| world.get(to))
                    .any(|patient| text(patient, "gender") == gender)
            },
        ));
    }
    for code in [
        "urn:truth|C1",
        "urn:truth|C3",
        "http://loinc.org|8302-2",
        "http://loinc.org|nothing",
    ] {
        let (system, own) = code.split_once('|').unwrap_or_default();
        all.push(query(
            "Patient",
            "_has",
            format!("_has:Observation:patient:code={}", escape(code)),
            move |world, one| {
                let to = address(one);
                world.of("Observation").any(|from| {
                    refers(from, "subject", &to) && has_token(from, "code", Some(system), own)
                })
            },
        ));
    }
    for (param, base, code) in [
        ("code-value-quantity", "", "C1"),
        ("component-code-value-quantity", "component", "sys"),
        ("component-code-value-quantity", "component", "dia"),
        ("combo-code-value-quantity", "*", "dia"),
    ] {
        for asked in ["gt5", "58", "lt59", "ge102", "5.4"] {
            let (prefix, number) =
                asked.split_at(asked.find(|c: char| c.is_ascii_digit()).unwrap_or(0));
            all.push(query(
                "Observation",
                "composite",
                format!("{param}=urn:truth%7C{code}${asked}"),
                move |_, one| {
                    let mut places: Vec<&Value> = Vec::new();
                    if base != "component" {
                        places.push(one);
                    }
                    if !base.is_empty() {
                        places.extend(at(one, "component"));
                    }
                    places.into_iter().any(|place| {
                        has_token(place, "code", Some("urn:truth"), code)
                            && at(place, "valueQuantity")
                                .into_iter()
                                .filter_map(numeric)
                                .any(|own| number_fits(prefix, number, own))
                    })
                },
            ));
        }
    }
}
