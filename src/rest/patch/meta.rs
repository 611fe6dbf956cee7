//! Profiles, tags and labels, added and taken away.

use serde_json::{Value, json};

/// The lists of `meta` that these changes are about.
const LISTS: [&str; 3] = ["profile", "security", "tag"];

/// Adds what is not there yet.
pub(super) fn add(resource: &mut Value, meta: &Value) {
    for list in LISTS {
        let Some(new) = meta[list].as_array() else {
            continue;
        };
        let own = &mut resource["meta"][list];
        if !own.is_array() {
            *own = json!([]);
        }
        let Value::Array(own) = own else { continue };
        for one in new {
            if !own.iter().any(|other| is_same(other, one)) {
                own.push(one.clone());
            }
        }
    }
}

/// Takes away what is there.
pub(super) fn delete(resource: &mut Value, meta: &Value) {
    for list in LISTS {
        let gone = meta[list].as_array();
        let Some(Value::Array(own)) = resource.get_mut("meta").and_then(|meta| meta.get_mut(list))
        else {
            continue;
        };
        for one in gone.into_iter().flatten() {
            own.retain(|other| !is_same(other, one));
        }
    }
}

/// A profile by its URL, a coding by system and code (R4 `$meta-delete`).
fn is_same(one: &Value, other: &Value) -> bool {
    if one.is_object() && other.is_object() {
        one["system"] == other["system"] && one["code"] == other["code"]
    } else {
        one == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared_by_system_and_code() {
        let mut resource = json!({"resourceType": "Patient", "meta": {
            "tag": [{"system": "urn:x", "code": "a", "display": "A"}]}});
        let new = json!({"profile": ["http://p"], "tag": [
            {"system": "urn:x", "code": "a"}, {"system": "urn:y", "code": "a"}]});
        add(&mut resource, &new);
        assert_eq!(resource["meta"]["tag"].as_array().map(Vec::len), Some(2));
        assert_eq!(resource["meta"]["tag"][0]["display"], "A");
        delete(&mut resource, &new);
        assert_eq!(resource["meta"]["tag"], json!([]));
        assert_eq!(resource["meta"]["profile"], json!([]));
    }
}
