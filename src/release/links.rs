//! The references a resource holds.

use std::borrow::Cow;

use serde_json::Value;

use super::resource::{local, text, type_of};

/// Every local `Type/id` that the resource refers to, by Reference or by an attachment's URL, at any
/// depth, each once. What the store needs to know which withheld resources a target refers to.
#[must_use]
pub fn references(resource: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(resource, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

/// The resource with references to this server (`{base}/Type/id`) made relative, as the engine
/// compares them. Borrowed where there are none, which is nearly always.
#[must_use]
pub fn relative<'a>(resource: &'a Value, base: &str) -> Cow<'a, Value> {
    let prefix = format!("{}/", base.trim_end_matches('/'));
    if !mentions_base(resource, &prefix) {
        return Cow::Borrowed(resource);
    }
    let mut own = resource.clone();
    strip_base(&mut own, &prefix);
    Cow::Owned(own)
}

fn mentions_base(value: &Value, prefix: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| match value {
            Value::String(text) => is_link(key) && text.starts_with(prefix),
            _ => mentions_base(value, prefix),
        }),
        Value::Array(items) => items.iter().any(|one| mentions_base(one, prefix)),
        _ => false,
    }
}

fn strip_base(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if is_link(key) => {
                        if let Some(rest) = text.strip_prefix(prefix)
                            && local(rest).is_some()
                        {
                            *text = rest.to_owned();
                        }
                    }
                    _ => strip_base(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|one| strip_base(one, prefix)),
        _ => {}
    }
}

fn is_link(key: &str) -> bool {
    key == "reference" || key == "url"
}

fn walk(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for key in ["reference", "url"] {
                if let Some(bare) = map.get(key).and_then(Value::as_str).and_then(local) {
                    found.push(bare.to_owned());
                }
            }
            map.values().for_each(|one| walk(one, found));
        }
        Value::Array(items) => items.iter().for_each(|one| walk(one, found)),
        _ => {}
    }
}

/// `Attachment.url`s of a resource that name a Binary, as written: a Binary inherits the decision and
/// the patient of what it is attached to. Of any type but those that only tell of other resources.
#[must_use]
pub fn attachments(resource: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    if !matches!(
        type_of(resource),
        "AuditEvent" | "Bundle" | "Parameters" | "Provenance"
    ) {
        attached(resource, &mut found);
    }
    found
}

fn attached<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(text(value, "url").filter(|url| url.contains("Binary/")));
            map.values().for_each(|one| attached(one, found));
        }
        Value::Array(items) => items.iter().for_each(|one| attached(one, found)),
        _ => {}
    }
}

/// `Binary/id` that a resource names, as attachment or otherwise.
pub(crate) fn binaries(resource: &Value) -> Vec<String> {
    let mut found = references(resource);
    found.retain(|one| one.starts_with("Binary/"));
    found
}
