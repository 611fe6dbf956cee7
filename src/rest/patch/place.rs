//! Places in a resource: an element and, where it is a primitive, the property with an underscore
//! beside it that has its id and extensions.

use serde_json::{Map, Value};

/// Where an element stands: the object it is in, its property, and its number if that is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// JSON pointer of the object.
    pub(super) parent: String,
    pub(super) key: String,
    pub(super) index: Option<usize>,
}

impl Place {
    /// Reads a pointer as [`Expr::locate`](crate::fhirpath::Expr::locate) writes it; None for the
    /// resource itself.
    pub(super) fn of(pointer: &str) -> Option<Self> {
        let (parent, last) = pointer.rsplit_once('/')?;
        let (parent, key, index) = match last.parse::<usize>() {
            Ok(index) => {
                let (parent, key) = parent.rsplit_once('/')?;
                (parent, key, Some(index))
            }
            Err(_) => (parent, last, None),
        };
        Some(Self {
            parent: parent.to_owned(),
            key: key.strip_prefix('_').unwrap_or(key).to_owned(),
            index,
        })
    }

    /// The object it is in.
    pub(super) fn object<'v>(&self, resource: &'v mut Value) -> Option<&'v mut Map<String, Value>> {
        resource.pointer_mut(&self.parent)?.as_object_mut()
    }

    /// The element's own object: itself, or what stands beside a primitive, made if need be.
    pub(super) fn inner<'v>(&self, resource: &'v mut Value) -> Option<&'v mut Map<String, Value>> {
        let object = self.object(resource)?;
        let is_object = match (object.get(&self.key), self.index) {
            (Some(Value::Array(list)), Some(index)) => {
                list.get(index).is_some_and(Value::is_object)
            }
            (Some(value), None) => value.is_object(),
            _ => false,
        };
        let key = if is_object {
            self.key.clone()
        } else {
            sibling(&self.key)
        };
        let slot = match self.index {
            None => object.entry(key).or_insert(Value::Null),
            Some(index) => {
                let list = object
                    .entry(key)
                    .or_insert_with(|| Value::Array(Vec::new()));
                let list = list.as_array_mut()?;
                while list.len() <= index {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
        };
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        slot.as_object_mut()
    }

    /// Takes the element away, with what stands beside it.
    pub(super) fn remove(&self, resource: &mut Value) -> Option<(Value, Option<Value>)> {
        let object = self.object(resource)?;
        let beside = sibling(&self.key);
        match self.index {
            None => {
                let value = object.shift_remove(&self.key);
                let other = object.shift_remove(&beside);
                if value.is_none() && other.is_none() {
                    return None;
                }
                Some((value.unwrap_or(Value::Null), other))
            }
            Some(index) => {
                let mut take = |key: &str| {
                    let list = object.get_mut(key)?.as_array_mut()?;
                    (index < list.len()).then(|| list.remove(index))
                };
                let value = take(&self.key);
                let other = take(&beside).filter(|other| !other.is_null());
                if value.is_none() && other.is_none() {
                    return None;
                }
                Some((value.unwrap_or(Value::Null), other))
            }
        }
    }

    /// Puts an element here: a property, or into a list before what has this number.
    pub(super) fn put(
        &self,
        resource: &mut Value,
        value: Value,
        other: Option<Value>,
    ) -> Option<()> {
        let object = self.object(resource)?;
        let beside = sibling(&self.key);
        let Some(index) = self.index else {
            if value.is_null() {
                object.shift_remove(&self.key);
            } else {
                object.insert(self.key.clone(), value);
            }
            match other {
                Some(other) => object.insert(beside, other),
                None => object.shift_remove(&beside),
            };
            return Some(());
        };
        let list = object
            .entry(self.key.clone())
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()?;
        if index > list.len() {
            return None;
        }
        list.insert(index, value);
        let length = list.len();
        if other.is_none() && !object.contains_key(&beside) {
            return Some(());
        }
        let list = object
            .entry(beside)
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()?;
        while list.len() < length - 1 {
            list.push(Value::Null);
        }
        list.insert(index, other.unwrap_or(Value::Null));
        Some(())
    }
}

/// The property with the id and extensions of a primitive.
fn sibling(key: &str) -> String {
    format!("_{key}")
}

/// Takes away empty lists and objects, which FHIR does not have: what is left where the last of
/// something was taken away.
pub(super) fn prune(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for value in object.values_mut() {
                prune(value);
            }
            object.retain(|_, value| !is_empty(value));
        }
        Value::Array(list) => {
            for value in list.iter_mut() {
                prune(value);
            }
            let has_null = list.iter().any(Value::is_null);
            // Lists beside each other keep their numbers.
            if has_null {
                for value in list.iter_mut().filter(|value| is_empty(value)) {
                    *value = Value::Null;
                }
            } else {
                list.retain(|value| !is_empty(value));
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_empty(),
        Value::Array(list) => list.iter().all(Value::is_null),
        _ => false,
    }
}

/// How many values a value holds and how deep they are inside each other, itself counted.
pub(super) fn extent(value: &Value) -> (usize, usize) {
    let (mut size, mut depth) = (1, 0);
    let mut add = |value: &Value| {
        let (inner, below) = extent(value);
        size += inner;
        depth = depth.max(below);
    };
    match value {
        Value::Object(object) => object.values().for_each(&mut add),
        Value::Array(list) => list.iter().for_each(&mut add),
        _ => {}
    }
    (size, depth + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_beside_a_primitive_goes_with_it() {
        let mut resource = json!({"given": ["a", "b"], "_given": [null, {"id": "x"}]});
        let place = Place::of("/given/1").unwrap();
        let (value, other) = place.remove(&mut resource).unwrap();
        assert_eq!(
            (value.clone(), other.clone()),
            (json!("b"), Some(json!({"id": "x"})))
        );
        let first = Place::of("/given/0").unwrap();
        first.put(&mut resource, value, other).unwrap();
        assert_eq!(
            resource,
            json!({"given": ["b", "a"], "_given": [{"id": "x"}, null]})
        );
        Place::of("/given/0")
            .unwrap()
            .remove(&mut resource)
            .unwrap();
        prune(&mut resource);
        assert_eq!(resource, json!({"given": ["a"]}));
    }

    #[test]
    fn extensions_of_a_primitive_have_an_object() {
        let mut resource = json!({"birthDate": "2000", "given": ["a", "b"]});
        let inner = Place::of("/given/1").unwrap();
        inner
            .inner(&mut resource)
            .unwrap()
            .insert("id".to_owned(), json!("x"));
        let inner = Place::of("/birthDate").unwrap();
        inner
            .inner(&mut resource)
            .unwrap()
            .insert("id".to_owned(), json!("y"));
        assert_eq!(resource["_given"], json!([null, {"id": "x"}]));
        assert_eq!(resource["_birthDate"], json!({"id": "y"}));
    }

    #[test]
    fn extent_counts_values_and_depth() {
        assert_eq!(extent(&json!(1)), (1, 1));
        assert_eq!(extent(&json!({"a": [1, {"b": []}], "c": 2})), (6, 4));
    }
}
