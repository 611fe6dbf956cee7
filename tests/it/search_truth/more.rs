//! `_filter` and full text.

use std::collections::BTreeSet;

use serde_json::Value;

use super::World;
use super::params::{Kind, PARAMS, Param};
use super::queries::{Query, Test, escape, has_token, query, refers, some, values_of};
use super::values::{at, fold, moment, span, span_fits, target, tokens};

/// `_filter`, from the same values.
pub fn filters(world: &World, all: &mut Vec<Query>) {
    for param in PARAMS {
        let Param {
            type_name,
            code,
            kind,
            paths,
        } = *param;
        if !["Observation", "Condition", "Encounter", "Procedure"].contains(&type_name) {
            continue;
        }
        let mut filter = |text: String, matches: Test| {
            all.push(Query {
                type_name,
                path: format!("{type_name}?_filter={}", escape(&text)),
                what: "_filter",
                matches,
                order: None,
            });
        };
        filter(
            format!("{code} pr true and not ({code} pr false)"),
            Box::new(move |_, one| !at(one, paths).is_empty()),
        );
        let values = values_of(world, param);
        match kind {
            Kind::Token => {
                let Some((_, own)) = values.into_iter().flat_map(tokens).next() else {
                    continue;
                };
                let wanted = own.clone();
                filter(
                    format!("not ({code} eq \"{own}\") or {code} eq nothing"),
                    Box::new(move |_, one| !has_token(one, paths, None, &wanted)),
                );
            }
            Kind::Date => {
                let Some(own) = values.into_iter().filter_map(Value::as_str).next() else {
                    continue;
                };
                let Some(year) = own.get(..4).and_then(moment) else {
                    continue;
                };
                let own = own.get(..4).unwrap_or_default();
                filter(
                    format!("{code} po {own} and {code} ge {own}"),
                    Box::new(move |_, one| {
                        let spans = || at(one, paths).into_iter().filter_map(span);
                        spans().any(|(low, high)| low < year.1 && high > year.0)
                            && spans().any(|own| span_fits("ge", year, own))
                    }),
                );
            }
            Kind::Reference => {
                let Some(to) = values.into_iter().filter_map(target).next() else {
                    continue;
                };
                let own = to.to_owned();
                filter(
                    format!("{code} eq {to} or ({code} eq {to} and _id eq nothing)"),
                    Box::new(move |_, one| refers(one, paths, &own)),
                );
            }
            _ => {}
        }
    }
}

/// `_content`: words of the displays and texts of codes.
pub fn words(world: &World, all: &mut Vec<Query>) {
    for type_name in [
        "Observation",
        "Condition",
        "Procedure",
        "Encounter",
        "MedicationRequest",
    ] {
        let displays: BTreeSet<String> = world
            .of(type_name)
            .flat_map(|one| {
                at(
                    one,
                    "code.coding.display|type.coding.display|medicationCodeableConcept.text",
                )
            })
            .filter_map(Value::as_str)
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
            .filter(|word| word.len() > 3 && word.chars().all(char::is_alphabetic))
            .map(fold)
            .collect();
        for word in some(displays) {
            let wanted = word.clone();
            all.push(query(
                type_name,
                "_content",
                format!("_content={word}"),
                move |_, one| said(one).contains(&wanted),
            ));
        }
    }
}

/// Every word in every text of a resource, but for addresses and what has parameters of its own.
fn said(value: &Value) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                if ![
                    "id",
                    "meta",
                    "system",
                    "url",
                    "reference",
                    "resourceType",
                    "fullUrl",
                    "language",
                    "data",
                    "contentType",
                    "hash",
                ]
                .contains(&key.as_str())
                {
                    words.extend(said(inner));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| words.extend(said(item))),
        Value::String(text) if !text.contains("://") || text.contains(' ') => {
            // Tags of a narrative are no words; the words asked for are no names of tags.
            words.extend(
                fold(text)
                    .split(|c: char| !c.is_alphanumeric())
                    .map(str::to_owned),
            );
        }
        _ => {}
    }
    words
}
