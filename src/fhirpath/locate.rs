//! From elements found back to their places, by their address in memory.
//!
//! The evaluator borrows from the resource, so an element's address is its identity; keeping a path
//! with every item would cost every evaluation for the few that ask.

use std::collections::HashSet;

use serde_json::Value;

use super::{Element, EvalError, Node};

/// JSON pointers of `found` in `resource`, in the order of the JSON.
pub(crate) fn locate(resource: &Value, found: &[Node<'_>]) -> Result<Vec<String>, EvalError> {
    let mut wanted: HashSet<*const Value> = HashSet::new();
    for node in found {
        let Node::Element(Element { value, sibling, .. }) = node else {
            return Err(EvalError::NotAnElement);
        };
        wanted.extend(
            [*value, *sibling]
                .into_iter()
                .flatten()
                .map(std::ptr::from_ref),
        );
    }
    let mut places = Vec::with_capacity(wanted.len());
    let mut path = String::new();
    walk(resource, &wanted, &mut path, &mut places);
    Ok(places)
}

fn walk(at: &Value, wanted: &HashSet<*const Value>, path: &mut String, places: &mut Vec<String>) {
    if places.len() == wanted.len() {
        return;
    }
    if wanted.contains(&std::ptr::from_ref(at)) {
        places.push(path.clone());
    }
    let length = path.len();
    match at {
        Value::Object(object) => {
            for (key, value) in object {
                path.push('/');
                path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                walk(value, wanted, path, places);
                path.truncate(length);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                path.push('/');
                path.push_str(&index.to_string());
                walk(value, wanted, path, places);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
