//! What the definitions say of a place in a resource: its type, and the element of a name in it.

use serde_json::{Map, Value};

use super::fhirpath::New;
use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Element, Kind, Type};

/// The type of what stands at a JSON pointer.
pub(super) fn type_at(resource: &Value, pointer: &str) -> Option<&'static Type> {
    let elements = definitions().elements();
    let mut at = resource;
    let mut own = elements.by_name(resource["resourceType"].as_str()?)?.1;
    for step in pointer.split('/').skip(1) {
        at = match at {
            Value::Array(list) => {
                let value = list.get(step.parse::<usize>().ok()?)?;
                if matches!(own.kind, Kind::AnyResource) {
                    own = elements.by_name(value["resourceType"].as_str()?)?.1;
                }
                value
            }
            value => {
                let property = own.properties.get(step.strip_prefix('_').unwrap_or(step))?;
                let inner = value.get(step)?;
                own = elements.get(property.type_index)?;
                if matches!(own.kind, Kind::AnyResource) && inner.is_object() {
                    own = elements.by_name(inner["resourceType"].as_str()?)?.1;
                }
                inner
            }
        };
    }
    Some(own)
}

/// The element of a type by the name that FHIRPath uses: `value` for `value[x]`; or by the JSON
/// property of a choice.
pub(super) fn named(own: &'static Type, name: &str) -> Option<&'static Element> {
    let name = name.strip_suffix("[x]").unwrap_or(name);
    own.elements
        .iter()
        .find(|element| element.name.strip_suffix("[x]").unwrap_or(element.name) == name)
        .or_else(|| {
            let property = own.properties.get(name)?;
            own.elements.get(usize::from(property.element))
        })
}

/// The JSON property under which a new value of an element stands: a choice's has the type.
pub(super) fn property(element: &Element, new: &New) -> Option<String> {
    match element.name.strip_suffix("[x]") {
        Some(stem) => Some(format!("{stem}{}", new.type_name.as_deref()?)),
        None => Some(element.name.to_owned()),
    }
}

/// A new value as JSON, with what stands beside a primitive; an anonymous one is put together from
/// its parts (FHIRPath Patch, "value").
pub(super) fn build(element: &Element, new: &New) -> Option<(Value, Option<Value>)> {
    if new.parts.is_empty() {
        return Some((new.value.clone(), new.beside.clone()));
    }
    let own = element
        .types
        .first()
        .and_then(|index| definitions().elements().get(*index))?;
    let mut object = Map::new();
    for (name, part) in &new.parts {
        let inner = named(own, name)?;
        let key = property(inner, part)?;
        let (value, beside) = build(inner, part)?;
        if inner.is_array() {
            let list = object
                .entry(key)
                .or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut()?.push(value);
        } else {
            if let Some(beside) = beside {
                object.insert(format!("_{key}"), beside);
            }
            if !value.is_null() && object.insert(key, value).is_some() {
                return None;
            }
        }
    }
    Some((Value::Object(object), None))
}
