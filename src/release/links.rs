//! The references a resource holds.

use serde_json::Value;

use super::resource::local;

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

/// `Binary/id` that a resource's attachments name.
pub(crate) fn binaries(resource: &Value) -> Vec<String> {
    let mut found = references(resource);
    found.retain(|one| one.starts_with("Binary/"));
    found
}
