//! `_summary` and `_elements`: a resource cut down to what was asked for (R4 "Search", 3.1.1.5.8
//! and 3.1.1.5.9). A view shortens; it never hides anything for release's sake.

use bytes::Bytes;
use serde_json::{Value, json};

use super::RestError;
use crate::fhir::definitions::elements::{Kind, Type};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::json;
use crate::search;
use crate::search::query::Summary;

/// What of a resource was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Whole,
    /// `_summary=true`.
    Summary,
    /// `_summary=text`: narrative, id, meta and what is mandatory.
    Text,
    /// `_summary=data`: all but the narrative.
    Data,
    /// `_elements=a,b`: these, and what is mandatory.
    Elements(Vec<String>),
}

impl View {
    /// The view that a search asked for.
    pub(super) fn of_search(view: &search::View) -> Self {
        match view {
            // A count has no entries to cut.
            search::View::Full | search::View::Count => Self::Whole,
            search::View::Summary(Summary::True) => Self::Summary,
            search::View::Summary(Summary::Text) => Self::Text,
            search::View::Summary(Summary::Data) => Self::Data,
            search::View::Elements(list) => Self::Elements(list.clone()),
        }
    }

    /// The body under this view; the same bytes for [`View::Whole`].
    pub(super) fn apply(&self, type_id: TypeId, body: Bytes) -> Result<Bytes, RestError> {
        if *self == Self::Whole {
            return Ok(body);
        }
        let mut value: Value = serde_json::from_slice(&body).map_err(|_| RestError::Internal)?;
        self.cut(type_id, &mut value);
        Ok(json::to_bytes(&value).into())
    }

    fn cut(&self, type_id: TypeId, value: &mut Value) {
        let Value::Object(object) = value else { return };
        let name = definitions().type_name(type_id);
        let mandatory = definitions().mandatory_elements(type_id);
        let always = |key: &str| matches!(key, "resourceType" | "id" | "meta");
        let keeps = |key: &str| {
            // `_birthDate` goes with `birthDate`.
            let key = key.strip_prefix('_').unwrap_or(key);
            always(key)
                || match self {
                    Self::Whole => true,
                    Self::Data => key != "text",
                    Self::Text => key == "text" || mandatory.iter().any(|own| own == key),
                    Self::Summary => definitions()
                        .summary_elements(type_id)
                        .iter()
                        .any(|own| own == key),
                    Self::Elements(list) => {
                        mandatory.iter().any(|own| own == key)
                            || list.iter().any(|wanted| names(wanted, name, key))
                    }
                }
        };
        object.retain(|key, _| keeps(key));
        if *self == Self::Summary
            && let Some((_, own)) = definitions().elements().by_name(name)
        {
            for (key, value) in object.iter_mut() {
                if let Some(inner) = type_of(own, key) {
                    summarise(inner, value);
                }
            }
        }
        let meta = object.entry("meta").or_insert_with(|| json!({}));
        if let Value::Object(meta) = meta {
            let tags = meta.entry("tag").or_insert_with(|| json!([]));
            if let Value::Array(tags) = tags {
                tags.push(json!({
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                    "code": "SUBSETTED",
                }));
            }
        }
    }
}

/// The type of a property, if it has parts of its own.
fn type_of(of: &'static Type, key: &str) -> Option<&'static Type> {
    let property = of.properties.get(key)?;
    let inner = definitions().elements().get(property.type_index)?;
    (inner.kind == Kind::Complex).then_some(inner)
}

/// Cuts the parts of an element that are not in a summary; what is nothing but such parts stays
/// whole, for an empty element is no element.
fn summarise(of: &'static Type, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| summarise(of, item)),
        Value::Object(object) => {
            let keeps = |key: &str| {
                let plain = key.strip_prefix('_').unwrap_or(key);
                of.properties
                    .get(plain)
                    .and_then(|property| of.elements.get(usize::from(property.element)))
                    .is_none_or(|element| element.is_summary || element.min > 0)
            };
            if object.keys().any(|key| keeps(key)) {
                object.retain(|key, _| keeps(key));
            }
            for (key, value) in object.iter_mut() {
                if let Some(inner) = type_of(of, key) {
                    summarise(inner, value);
                }
            }
        }
        _ => {}
    }
}

/// Whether `wanted` of `_elements` (`name`, `Patient.name`, `value` for a choice) names property
/// `key` of a resource of type `type_name`.
fn names(wanted: &str, type_name: &str, key: &str) -> bool {
    let wanted = wanted
        .strip_prefix(type_name)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(wanted);
    let top = wanted.split('.').next().unwrap_or(wanted);
    let top = top.strip_suffix("[x]").unwrap_or(top);
    key == top
        || key.strip_prefix(top).is_some_and(|rest| {
            is_choice(type_name, top) && rest.starts_with(|c: char| c.is_ascii_uppercase())
        })
}

/// Whether an element is a choice (`value[x]`) of the type.
fn is_choice(type_name: &str, element: &str) -> bool {
    definitions()
        .elements()
        .by_name(type_name)
        .is_some_and(|(_, one)| !one.properties.contains_key(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_what_it_names_and_says_that_it_cut() {
        let type_id = definitions().type_id("Observation").unwrap_or_default();
        let body = Bytes::from_static(
            br#"{"resourceType":"Observation","id":"o","meta":{"versionId":"1"},"text":{"status":"generated","div":"<div/>"},"status":"final","code":{"text":"c"},"valueString":"v","note":[{"text":"n"}]}"#,
        );
        let keys = |view: View| -> Vec<String> {
            let cut = view.apply(type_id, body.clone()).ok();
            let value: Value = serde_json::from_slice(&cut.unwrap_or_default()).unwrap_or_default();
            assert_eq!(value["meta"]["tag"][0]["code"], "SUBSETTED");
            value
                .as_object()
                .map(|object| object.keys().cloned().collect())
                .unwrap_or_default()
        };
        assert_eq!(
            keys(View::Elements(vec!["value".to_owned()])),
            [
                "resourceType",
                "id",
                "meta",
                "status",
                "code",
                "valueString"
            ]
        );
        assert_eq!(
            keys(View::Text),
            ["resourceType", "id", "meta", "text", "status", "code"]
        );
        assert_eq!(
            keys(View::Data),
            [
                "resourceType",
                "id",
                "meta",
                "status",
                "code",
                "valueString",
                "note"
            ]
        );
    }
}
