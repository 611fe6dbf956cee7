//! Ids and references of what a file holds.
//!
//! Ids are deterministic, so that importing a file again replaces and never duplicates: the one
//! that the resource has; else the one in `fullUrl` (`urn:uuid:…` without its prefix); else a hash
//! of the file and the entry's number.

use std::collections::HashMap;

use aws_lc_rs::digest;
use serde_json::Value;

use super::read::{Entry, Prepared, hex};
use crate::fhir::definitions::definitions;
use crate::fhir::outcome::Issue;
use crate::fhir::validate;

/// A query that the database must answer before an entry can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// `ifNoneExist`: write only if nothing matches.
    IfNoneExist(String),
    /// `PUT Type?query`: write what matches, or a new one.
    Update(String),
}

/// What an entry of a bundle asks for.
enum Request {
    Write(Option<Condition>),
    Delete { type_name: String, id: String },
}

/// The entries of a transaction, batch or collection bundle; any other resource is one entry.
/// `file` is the hash of the content.
pub(super) fn entries(mut resource: Value, file: &str) -> Vec<Entry> {
    let unpack = resource.get("resourceType").and_then(Value::as_str) == Some("Bundle")
        && matches!(
            resource.get("type").and_then(Value::as_str),
            Some("transaction" | "batch" | "collection")
        );
    if !unpack {
        return vec![single(resource, 1, file)];
    }
    let Some(Value::Array(rows)) = resource.get_mut("entry").map(Value::take) else {
        return Vec::new();
    };
    // First all ids, then the references to them.
    let mut places = HashMap::new();
    let mut drafts = Vec::with_capacity(rows.len());
    for (number, mut row) in (1_u64..).zip(rows) {
        let draft = draft(&mut row, number, file);
        if let Ok(prepared) = &draft
            && let Some(full_url) = row.get("fullUrl").and_then(Value::as_str)
        {
            let place = format!(
                "{}/{}",
                definitions().type_name(prepared.type_id),
                prepared.id
            );
            places.insert(full_url.to_owned(), place);
        }
        drafts.push((number, draft));
    }
    drafts
        .into_iter()
        .map(|(number, draft)| Entry {
            number,
            outcome: draft.and_then(|mut prepared| {
                if let Some(resource) = &mut prepared.resource {
                    rewrite(resource, &|reference| places.get(reference).cloned());
                }
                finish(prepared)
            }),
        })
        .collect()
}

/// One resource by itself.
pub(super) fn single(resource: Value, number: u64, file: &str) -> Entry {
    Entry {
        number,
        outcome: prepare(resource, None, None, number, file).and_then(finish),
    }
}

/// Whether a reference is a query (`Practitioner?identifier=…`).
pub(super) fn has_conditional_reference(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| {
            (key == "reference" && value.as_str().is_some_and(is_conditional))
                || has_conditional_reference(value)
        }),
        Value::Array(items) => items.iter().any(has_conditional_reference),
        _ => false,
    }
}

/// Calls `change` with every conditional reference and puts its answer in place.
pub(super) fn each_conditional_reference<E>(
    value: &mut Value,
    change: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<(), E> {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::String(text) if key == "reference" && is_conditional(text) => {
                        *text = change(text)?;
                    }
                    Value::Object(_) | Value::Array(_) => {
                        each_conditional_reference(value, change)?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| each_conditional_reference(item, change)),
        _ => Ok(()),
    }
}

/// Replaces what points at `fullUrl`s of the bundle: `Reference.reference` and elements of type uri
/// and url (FHIR R4, http.html#trules). Identifiers keep their values.
pub(super) fn rewrite(value: &mut Value, place_of: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::String(text) => {
                        if matches!(
                            key.as_str(),
                            "reference" | "url" | "uri" | "valueUri" | "valueUrl"
                        ) && let Some(place) = place_of(text)
                        {
                            *text = place;
                        }
                    }
                    other => rewrite(other, place_of),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                rewrite(item, place_of);
            }
        }
        _ => {}
    }
}

fn is_conditional(reference: &str) -> bool {
    reference
        .split_once('?')
        .is_some_and(|(type_name, _)| definitions().type_id(type_name).is_some())
}

fn draft(row: &mut Value, number: u64, file: &str) -> Result<Prepared, String> {
    let request = request(row)?;
    let resource = row.get_mut("resource").map(Value::take);
    let full_url = row
        .get("fullUrl")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned);
    match (request, resource) {
        (Request::Delete { type_name, id }, _) => {
            let type_id = definitions()
                .type_id(&type_name)
                .ok_or_else(|| unknown_type(&type_name))?;
            Ok(Prepared {
                type_id,
                id,
                resource: None,
                condition: None,
                indexed: None,
            })
        }
        (Request::Write(condition), Some(resource)) => {
            prepare(resource, full_url.as_deref(), condition, number, file)
        }
        (Request::Write(_), None) => Err("the entry has no resource".to_owned()),
    }
}

/// What the entry's `request` asks for; an entry without one is a write.
fn request(row: &mut Value) -> Result<Request, String> {
    let Some(request) = row.get("request") else {
        return Ok(Request::Write(None));
    };
    let text = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    let url = text("url").unwrap_or_default();
    let none_exist = text("ifNoneExist");
    match text("method").as_deref() {
        None | Some("POST") => Ok(Request::Write(none_exist.map(Condition::IfNoneExist))),
        Some("PUT") => {
            if let Some((_, query)) = url.split_once('?') {
                return Ok(Request::Write(Some(Condition::Update(query.to_owned()))));
            }
            // The id of an update is the one in its URL.
            if let Some((_, id)) = url.rsplit_once('/')
                && let Some(resource) = row.get_mut("resource").and_then(Value::as_object_mut)
            {
                match resource.get("id").and_then(Value::as_str) {
                    Some(own) if own != id => {
                        return Err("request.url and the resource name different ids".to_owned());
                    }
                    Some(_) => {}
                    None => {
                        resource.insert("id".to_owned(), Value::from(id));
                    }
                }
            }
            Ok(Request::Write(None))
        }
        Some("DELETE") => match url.split_once('/') {
            Some((type_name, id)) if is_id(id) => Ok(Request::Delete {
                type_name: type_name.to_owned(),
                id: id.to_owned(),
            }),
            _ => Err("a deletion must name one resource, as in Observation/123".to_owned()),
        },
        Some(method) => Err(format!(
            "request.method {:.10} cannot be imported; POST, PUT and DELETE can",
            method
        )),
    }
}

fn prepare(
    resource: Value,
    full_url: Option<&str>,
    condition: Option<Condition>,
    number: u64,
    file: &str,
) -> Result<Prepared, String> {
    let Some(type_name) = resource.get("resourceType").and_then(Value::as_str) else {
        return Err("the resource has no resourceType".to_owned());
    };
    let type_id = definitions()
        .type_id(type_name)
        .ok_or_else(|| unknown_type(type_name))?;
    let id = match resource.get("id") {
        Some(Value::String(id)) if is_id(id) => id.clone(),
        Some(_) => {
            return Err(format!(
                "{type_name}.id: must be 1 to 64 letters, digits, hyphens and dots"
            ));
        }
        None => full_url
            .and_then(|url| id_in_full_url(url, type_name))
            .unwrap_or_else(|| derived_id(file, number)),
    };
    Ok(Prepared {
        type_id,
        id,
        resource: Some(resource),
        condition,
        indexed: None,
    })
}

/// Checks a resource that is otherwise ready.
fn finish(prepared: Prepared) -> Result<Prepared, String> {
    let Some(resource) = &prepared.resource else {
        return Ok(prepared);
    };
    let issues = validate::validate(resource);
    if validate::is_acceptable(&issues) {
        return Ok(prepared);
    }
    let name = definitions().type_name(prepared.type_id);
    Err(format!("{name}/{}: {}", prepared.id, describe(&issues)))
}

/// Errors in one line, each with its place.
pub(super) fn describe(issues: &[Issue]) -> String {
    let errors: Vec<String> = issues
        .iter()
        .filter(|issue| matches!(issue.severity, "fatal" | "error"))
        .map(|issue| {
            if issue.expression.is_empty() {
                issue.diagnostics.clone()
            } else {
                format!("{}: {}", issue.expression, issue.diagnostics)
            }
        })
        .collect();
    errors.join("; ")
}

fn id_in_full_url(full_url: &str, type_name: &str) -> Option<String> {
    let id = match full_url
        .strip_prefix("urn:uuid:")
        .or_else(|| full_url.strip_prefix("urn:oid:"))
    {
        Some(id) => id,
        None => {
            let (rest, id) = full_url.rsplit_once('/')?;
            if rest.rsplit('/').next() != Some(type_name) {
                return None;
            }
            id
        }
    };
    is_id(id).then(|| id.to_owned())
}

/// The same for the same entry of the same file, whoever imports it when.
fn derived_id(file: &str, number: u64) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{file}/{number}").as_bytes());
    let mut id = hex(digest.as_ref());
    id.truncate(32);
    id
}

/// FHIR's type `id`.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn unknown_type(name: &str) -> String {
    format!("{name:.40} is no resource type of FHIR R4")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resources(bundle: Value) -> Vec<Result<Value, String>> {
        entries(bundle, "file")
            .into_iter()
            .map(|entry| {
                entry.outcome.map(|prepared| {
                    let mut resource = prepared.resource.unwrap_or_default();
                    resource["id"] = prepared.id.into();
                    resource
                })
            })
            .collect()
    }

    #[test]
    fn references_follow_their_targets() {
        let loaded = resources(
            json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"fullUrl": "urn:uuid:0b0a", "resource": {"resourceType": "Patient",
                    "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0b0a"}]}},
                {"fullUrl": "http://old.example/fhir/Encounter/e1", "resource": {"resourceType": "Encounter",
                    "status": "finished", "class": {"code": "AMB"},
                    "subject": {"reference": "urn:uuid:0b0a"}}},
                {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                    "subject": {"reference": "urn:uuid:0b0a"},
                    "encounter": {"reference": "http://old.example/fhir/Encounter/e1"},
                    "performer": [{"reference": "urn:uuid:elsewhere"}]}},
            ]}),
        );
        let loaded: Vec<Value> = loaded.into_iter().map(Result::unwrap).collect();
        assert_eq!(loaded[0]["id"], "0b0a");
        assert_eq!(loaded[0]["identifier"][0]["value"], "urn:uuid:0b0a");
        assert_eq!(loaded[1]["id"], "e1");
        assert_eq!(loaded[1]["subject"]["reference"], "Patient/0b0a");
        assert_eq!(loaded[2]["encounter"]["reference"], "Encounter/e1");
        assert_eq!(loaded[2]["performer"][0]["reference"], "urn:uuid:elsewhere");
        assert_eq!(loaded[2]["id"].as_str().unwrap().len(), 32);
    }

    #[test]
    fn an_entry_that_cannot_be_loaded_says_why() {
        let loaded = resources(json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "GET", "url": "Patient/p"}},
            {"request": {"method": "PUT", "url": "Patient/p"}},
            {"request": {"method": "PUT", "url": "Patient/p"}, "resource": {"resourceType": "Patient", "id": "q"}},
            {"resource": {"resourceType": "Patientt"}},
            {"resource": {"resourceType": "Patient", "id": "a b"}},
            {"request": {"method": "PUT", "url": "Patient/p"}, "resource": {"resourceType": "Patient"}},
        ]}));
        let reasons: Vec<&str> = loaded
            .iter()
            .filter_map(|one| one.as_ref().err().map(String::as_str))
            .collect();
        assert_eq!(reasons.len(), 5, "{reasons:?}");
        assert!(reasons[0].contains("GET") && reasons[1].contains("no resource"));
        assert!(reasons[2].contains("different ids") && reasons[3].contains("Patientt"));
        assert_eq!(loaded[5].as_ref().unwrap()["id"], "p");
    }

    #[test]
    fn a_stored_bundle_is_one_resource() {
        let document = json!({"resourceType": "Bundle", "id": "d", "type": "searchset"});
        assert_eq!(resources(document).len(), 1);
    }

    #[test]
    fn conditional_references_are_found_and_replaced() {
        let mut value = json!({"a": [{"reference": "Practitioner?identifier=s|1"}],
            "b": {"reference": "http://x/y?z"}});
        assert!(has_conditional_reference(&value));
        let result: Result<(), ()> = each_conditional_reference(&mut value, &mut |query| {
            assert_eq!(query, "Practitioner?identifier=s|1");
            Ok("Practitioner/p".to_owned())
        });
        assert!(result.is_ok() && !has_conditional_reference(&value));
        assert_eq!(value["b"]["reference"], "http://x/y?z");
    }
}
