//! Contained resources that nothing refers to any more.

use std::collections::HashSet;

use serde_json::Value;

use crate::release::resource::{each, text};

/// Removes contained resources that `before` referred to and `after` does not. FHIR forbids a
/// contained resource without a reference to it, and it may repeat what was taken out.
pub(super) fn drop_unreached(before: &Value, after: &mut Value) {
    let (was, is) = (reached(before), reached(after));
    let Some(map) = after.as_object_mut() else {
        return;
    };
    let Some(Value::Array(contained)) = map.get_mut("contained") else {
        return;
    };
    contained.retain(|one| text(one, "id").is_none_or(|id| is.contains(id) || !was.contains(id)));
    if contained.is_empty() {
        map.shift_remove("contained");
    }
}

/// Ids of contained resources that are reached from the resource outside `contained`, directly or
/// through each other.
fn reached(resource: &Value) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut open = Vec::new();
    if let Some(map) = resource.as_object() {
        for (_, value) in map.iter().filter(|(key, _)| *key != "contained") {
            fragments(value, &mut open);
        }
    }
    while let Some(id) = open.pop() {
        if !found.contains(&id) {
            for one in each(resource, "contained").filter(|one| text(one, "id") == Some(&id)) {
                fragments(one, &mut open);
            }
            found.insert(id);
        }
    }
    found
}

fn fragments(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(id) = map
                .get("reference")
                .and_then(Value::as_str)
                .and_then(|x| x.strip_prefix('#'))
            {
                into.push(id.to_owned());
            }
            map.values().for_each(|one| fragments(one, into));
        }
        Value::Array(items) => items.iter().for_each(|one| fragments(one, into)),
        _ => {}
    }
}
