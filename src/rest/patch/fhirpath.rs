//! FHIRPath Patch (<http://hl7.org/fhir/R4/fhirpatch.html>): a Parameters resource of operations.

use serde_json::Value;

use super::element::{build, named, property, type_at};
use super::place::{Place, extent};
use super::{MOST_OPERATIONS, malformed, misfit, too_many};
use crate::fhir::json::MAX_DEPTH;
use crate::fhirpath::{self, Context, Expr};
use crate::rest::RestError;

/// One operation.
#[derive(Clone, Debug)]
pub(in crate::rest) struct Operation {
    path: Expr,
    kind: Kind,
}

impl Operation {
    /// Whether its path only names elements.
    pub(super) fn is_blind(&self) -> bool {
        self.path.is_plain_path()
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Add { name: String, value: New },
    Insert { index: usize, value: New },
    Delete,
    Replace { value: New },
    Move { from: usize, to: usize },
}

/// A value to put in: JSON, or parts of an anonymous element.
#[derive(Clone, Debug, Default)]
pub(in crate::rest) struct New {
    /// `HumanName` of `valueHumanName`; none for parts.
    pub(super) type_name: Option<String>,
    pub(super) value: Value,
    /// `_valueString`: what stands beside a primitive.
    pub(super) beside: Option<Value>,
    pub(super) parts: Vec<(String, New)>,
}

/// Reads the operations.
pub(super) fn parse(parameters: &Value) -> Result<Vec<Operation>, RestError> {
    let list = parameters["parameter"].as_array();
    let list = list.map(Vec::as_slice).unwrap_or_default();
    if list.len() > MOST_OPERATIONS {
        return Err(too_many());
    }
    list.iter()
        .enumerate()
        .map(|(at, one)| operation(at, one))
        .collect()
}

fn operation(at: usize, one: &Value) -> Result<Operation, RestError> {
    if one["name"] != "operation" {
        return Err(malformed(at, "each parameter is named `operation`."));
    }
    let parts = one["part"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for part in parts {
        let known = [
            "type",
            "path",
            "name",
            "value",
            "index",
            "source",
            "destination",
        ];
        if !known.iter().any(|name| part["name"] == *name) {
            return Err(malformed(
                at,
                "its parts are type, path, name, value, index, source and destination.",
            ));
        }
    }
    let part = |name: &str| parts.iter().find(|part| part["name"] == name);
    let text = |name: &str| {
        let part = part(name)?;
        ["valueCode", "valueString"]
            .iter()
            .find_map(|key| part[*key].as_str())
    };
    let needs = |name: &str| malformed(at, &format!("it needs a part named `{name}`."));
    let number = |name: &str| {
        let number = part(name).and_then(|part| {
            ["valueInteger", "valueUnsignedInt", "valuePositiveInt"]
                .iter()
                .find_map(|key| part[*key].as_u64())
        });
        number
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| needs(name))
    };
    let value = || part("value").and_then(new).ok_or_else(|| needs("value"));
    let kind = match text("type") {
        Some("add") => Kind::Add {
            name: text("name").ok_or_else(|| needs("name"))?.to_owned(),
            value: value()?,
        },
        Some("insert") => Kind::Insert {
            index: number("index")?,
            value: value()?,
        },
        Some("delete") => Kind::Delete,
        Some("replace") => Kind::Replace { value: value()? },
        Some("move") => Kind::Move {
            from: number("source")?,
            to: number("destination")?,
        },
        _ => {
            return Err(malformed(
                at,
                "its part `type` is one of add, insert, delete, replace and move.",
            ));
        }
    };
    let path = text("path").ok_or_else(|| needs("path"))?;
    let path = fhirpath::parse(path)
        .map_err(|error| malformed(at, &format!("its path is no FHIRPath: {error}.")))?;
    Ok(Operation { path, kind })
}

/// The value of a part.
fn new(part: &Value) -> Option<New> {
    let object = part.as_object()?;
    if let Some(parts) = part["part"].as_array() {
        let parts = parts
            .iter()
            .map(|part| Some((part["name"].as_str()?.to_owned(), new(part)?)))
            .collect::<Option<Vec<_>>>()?;
        return Some(New {
            parts,
            ..New::default()
        });
    }
    if let Some(resource) = object.get("resource") {
        return Some(New {
            value: resource.clone(),
            ..New::default()
        });
    }
    let mut new = New::default();
    for (key, value) in object {
        if let Some(type_name) = key.strip_prefix("value") {
            new.type_name = Some(type_name.to_owned());
            new.value = value.clone();
        } else if let Some(type_name) = key.strip_prefix("_value") {
            new.type_name = Some(type_name.to_owned());
            new.beside = Some(value.clone());
        }
    }
    new.type_name.is_some().then_some(new)
}

/// Applies the operations one after another.
pub(super) fn apply(operations: &[Operation], resource: &mut Value) -> Result<(), RestError> {
    for (at, operation) in operations.iter().enumerate() {
        step(operation, resource).map_err(|text| misfit(at, text))?;
    }
    Ok(())
}

const NO_ELEMENT: &str = "this element does not exist there.";
const NOT_ONE: &str = "the path must find one element.";
const NO_FIT: &str = "the value's parts do not fit its type.";

/// Refuses what would make a resource deeper than one that could be sent.
fn within(pointer: &str, value: &Value) -> Result<(), &'static str> {
    if pointer.matches('/').count() + 3 + extent(value).1 > MAX_DEPTH {
        return Err("the resource becomes too deep.");
    }
    Ok(())
}

fn step(operation: &Operation, resource: &mut Value) -> Result<(), &'static str> {
    let context = Context {
        budget: 100_000,
        ..Context::default()
    };
    let places = operation
        .path
        .locate(resource, &context)
        .map_err(|_| "the path cannot be evaluated on this resource, or computes a value.")?;
    match &operation.kind {
        Kind::Add { name, value } => {
            let mut pointers = places;
            // A primitive with extensions stands in two places.
            pointers.dedup_by(|second, first| Place::of(second) == Place::of(first));
            let [pointer] = pointers.as_slice() else {
                return Err(NOT_ONE);
            };
            add(resource, pointer, name, value)
        }
        Kind::Delete => match elements(&places).as_slice() {
            [] => Ok(()),
            [place] => place.remove(resource).map(|_| ()).ok_or(NO_ELEMENT),
            _ => Err("the path finds several elements; a deletion takes one."),
        },
        Kind::Replace { value } => {
            let [place] = &elements(&places)[..] else {
                return Err(NOT_ONE);
            };
            replace(resource, place, value)
        }
        Kind::Insert { index, value } => {
            let mut place = list(&places)?;
            let own = type_at(resource, &place.parent).ok_or(NO_ELEMENT)?;
            let element = named(own, &place.key).ok_or(NO_ELEMENT)?;
            let (value, beside) = build(element, value).ok_or(NO_FIT)?;
            within(&place.parent, &value)?;
            place.index = Some(*index);
            place
                .put(resource, value, beside)
                .ok_or("the index lies beyond the list.")
        }
        Kind::Move { from, to } => {
            let mut place = list(&places)?;
            let length = elements(&places).len();
            if *from >= length || *to >= length {
                return Err("source and destination must be numbers of the list.");
            }
            place.index = Some(*from);
            let (value, beside) = place.remove(resource).ok_or(NO_ELEMENT)?;
            place.index = Some(*to);
            place.put(resource, value, beside).ok_or(NO_ELEMENT)
        }
    }
}

/// The elements at these pointers, each once; the resource itself is none.
fn elements(pointers: &[String]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for place in pointers.iter().filter_map(|pointer| Place::of(pointer)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The list that all of these are in.
fn list(pointers: &[String]) -> Result<Place, &'static str> {
    let places = elements(pointers);
    let Some(first) = places.first() else {
        return Err("the path finds no list.");
    };
    let is_one = places.iter().all(|place| {
        place.index.is_some() && place.parent == first.parent && place.key == first.key
    });
    if is_one {
        Ok(first.clone())
    } else {
        Err("the path must find the elements of one list.")
    }
}

fn add(resource: &mut Value, pointer: &str, name: &str, value: &New) -> Result<(), &'static str> {
    let own = type_at(resource, pointer).ok_or(NO_ELEMENT)?;
    let element = named(own, name).ok_or("the type has no element of this name.")?;
    let key = property(element, value).ok_or("the value needs a type.")?;
    let (value, beside) = build(element, value).ok_or(NO_FIT)?;
    within(pointer, &value)?;
    let object = match Place::of(pointer) {
        None => resource.as_object_mut(),
        Some(place) => place.inner(resource),
    };
    let object = object.ok_or(NO_ELEMENT)?;
    let inner = Place {
        parent: String::new(),
        key: key.clone(),
        index: None,
    };
    let mut held = Value::Object(std::mem::take(object));
    let done = if element.is_array() {
        let length = held[&key].as_array().map_or(0, Vec::len);
        let last = Place {
            index: Some(length),
            ..inner
        };
        last.put(&mut held, value, beside).ok_or(NO_ELEMENT)
    } else {
        let stem = element.name.strip_suffix("[x]");
        let is_there = held.as_object().is_some_and(|object| {
            object.keys().any(|own_key| match stem {
                None => *own_key == key,
                Some(_) => own
                    .properties
                    .get(own_key.as_str())
                    .is_some_and(|property| {
                        own.elements
                            .get(usize::from(property.element))
                            .is_some_and(|other| std::ptr::eq(other, element))
                    }),
            })
        });
        if is_there {
            Err("the element is there already; replace it.")
        } else {
            inner.put(&mut held, value, beside).ok_or(NO_ELEMENT)
        }
    };
    if let Value::Object(held) = held {
        *object = held;
    }
    done
}

fn replace(resource: &mut Value, place: &Place, value: &New) -> Result<(), &'static str> {
    let own = type_at(resource, &place.parent).ok_or(NO_ELEMENT)?;
    let element = named(own, &place.key).ok_or(NO_ELEMENT)?;
    let key = property(element, value).ok_or("the value needs a type.")?;
    let (value, beside) = build(element, value).ok_or(NO_FIT)?;
    within(&place.parent, &value)?;
    if key == place.key && place.index.is_none() {
        return place.put(resource, value, beside).ok_or(NO_ELEMENT);
    }
    place.remove(resource).ok_or(NO_ELEMENT)?;
    let new = Place {
        key,
        ..place.clone()
    };
    new.put(resource, value, beside).ok_or(NO_ELEMENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of the specification's own test suite, in short.
    #[test]
    fn operations_do_what_the_specification_says() {
        let part = |name: &str, key: &str, value: Value| json!({"name": name, key: value});
        let operation = |kind: &str, path: &str, more: Vec<Value>| {
            let mut parts = vec![
                part("type", "valueCode", kind.into()),
                part("path", "valueString", path.into()),
            ];
            parts.extend(more);
            json!({"name": "operation", "part": parts})
        };
        let patient = json!({"resourceType": "Patient", "birthDate": "1920-01-01",
            "name": [{"given": ["a", "b"]}], "contact": [{"name": {"text": "a name"}}]});
        let cases = [
            (
                operation(
                    "add",
                    "Patient",
                    vec![
                        part("name", "valueString", "maritalStatus".into()),
                        part("value", "valueCodeableConcept", json!({"text": "married"})),
                    ],
                ),
                Ok(("/maritalStatus/text", json!("married"))),
            ),
            (
                operation(
                    "add",
                    "Patient",
                    vec![
                        part("name", "valueString", "birthDate".into()),
                        part("value", "valueDate", "1930-01-01".into()),
                    ],
                ),
                Err(()),
            ),
            (
                operation(
                    "add",
                    "Patient",
                    vec![
                        part("name", "valueString", "deceased".into()),
                        part("value", "valueBoolean", true.into()),
                    ],
                ),
                Ok(("/deceasedBoolean", json!(true))),
            ),
            (
                operation(
                    "add",
                    "Patient.birthDate",
                    vec![
                        part("name", "valueString", "extension".into()),
                        json!({"name": "value", "part": [
                        {"name": "url", "valueUri": "http://x"},
                        {"name": "value", "valueString": "v"}]}),
                    ],
                ),
                Ok((
                    "/_birthDate/extension",
                    json!([{"url": "http://x", "valueString": "v"}]),
                )),
            ),
            (
                operation(
                    "add",
                    "Patient",
                    vec![
                        part("name", "valueString", "contact".into()),
                        json!({"name": "value", "part": [{"name": "name",
                        "valueHumanName": {"text": "another"}}]}),
                    ],
                ),
                Ok(("/contact/1/name/text", json!("another"))),
            ),
            (
                operation(
                    "insert",
                    "Patient.name.given",
                    vec![
                        part("index", "valueInteger", 1.into()),
                        part("value", "valueString", "x".into()),
                    ],
                ),
                Ok(("/name/0/given", json!(["a", "x", "b"]))),
            ),
            (
                operation(
                    "move",
                    "Patient.name.given",
                    vec![
                        part("source", "valueInteger", 1.into()),
                        part("destination", "valueInteger", 0.into()),
                    ],
                ),
                Ok(("/name/0/given", json!(["b", "a"]))),
            ),
            (
                operation(
                    "replace",
                    "Patient.name.given[0]",
                    vec![part("value", "valueString", "x".into())],
                ),
                Ok(("/name/0/given", json!(["x", "b"]))),
            ),
            (
                operation(
                    "replace",
                    "Patient.contact[0]",
                    vec![json!({"name": "value", "part": [{"name": "name",
                        "valueHumanName": {"text": "the new"}}]})],
                ),
                Ok(("/contact/0/name/text", json!("the new"))),
            ),
            (
                operation("delete", "Patient.birthDate", vec![]),
                Ok(("/birthDate", Value::Null)),
            ),
            (
                operation("delete", "Patient.photo", vec![]),
                Ok(("/photo", Value::Null)),
            ),
            (operation("delete", "Patient.name.given", vec![]), Err(())),
            (
                operation("delete", "Patient.name.given[1]", vec![]),
                Ok(("/name/0/given", json!(["a"]))),
            ),
            (
                operation("delete", "Patient", vec![]),
                Ok(("/resourceType", json!("Patient"))),
            ),
        ];
        for (operation, expected) in cases {
            let parameters = json!({"resourceType": "Parameters", "parameter": [operation]});
            let operations = parse(&parameters).unwrap();
            let mut changed = patient.clone();
            match (apply(&operations, &mut changed), expected) {
                (Ok(()), Ok((pointer, value))) => {
                    let found = changed.pointer(pointer).cloned().unwrap_or(Value::Null);
                    assert_eq!(found, value, "{parameters}");
                }
                (Err(_), Err(())) => {}
                (result, _) => panic!("{parameters} {result:?} {changed}"),
            }
        }
    }

    #[test]
    fn a_choice_takes_the_name_of_its_new_type() {
        let mut observation = json!({"resourceType": "Observation", "valueString": "x"});
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "operation", "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Observation.value"},
                {"name": "value", "valueQuantity": {"value": 1.5}}]}]});
        apply(&parse(&parameters).unwrap(), &mut observation).unwrap();
        assert_eq!(
            observation,
            json!({"resourceType": "Observation", "valueQuantity": {"value": 1.5}})
        );
    }
}
