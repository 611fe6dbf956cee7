//! What an expression finds: elements of a resource, borrowed, and computed values.

use std::borrow::Cow;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::ast::{Name, TypeSpec};
use super::quantity::Quantity;
use super::temporal::Time;
use super::types;
use crate::fhir::date::PartialDate;

/// An element of a resource, or the resource.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Its JSON; none for a primitive that has only an id or extensions.
    pub value: Option<&'a Value>,
    /// A primitive's `_name` object with its id and extensions.
    pub sibling: Option<&'a Value>,
    /// Its FHIR type where that is known: `Patient`, `Quantity`, `dateTime`.
    pub type_name: Option<&'a str>,
}

/// One item of a FHIRPath collection.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    Element(Element<'a>),
    /// The target of a reference that is not at hand; all that is known is its type.
    Target(Option<&'a str>),
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    String(Cow<'a, str>),
    Date(PartialDate),
    DateTime(PartialDate),
    Time(Time),
    Quantity(Quantity<'a>),
    /// What `type()` returns.
    Type {
        namespace: &'static str,
        name: Cow<'a, str>,
    },
}

impl<'a> Node<'a> {
    /// A resource or element; its type is read from `resourceType` where there is one.
    #[must_use]
    pub fn of(value: &'a Value) -> Self {
        let type_name = value.get("resourceType").and_then(Value::as_str);
        Self::Element(Element {
            value: Some(value),
            sibling: None,
            type_name,
        })
    }

    /// The JSON of an element; none for a computed value.
    #[must_use]
    pub fn value(&self) -> Option<&'a Value> {
        match self {
            Self::Element(element) => element.value,
            _ => None,
        }
    }

    /// The name of its type where that is known: FHIR's for an element, `Boolean`, `Integer`, ... of
    /// FHIRPath for a computed value.
    #[must_use]
    pub fn type_name(&self) -> Option<&str> {
        match self {
            Self::Element(element) => element.type_name,
            Self::Target(type_name) => *type_name,
            Self::Type { .. } => Some("ClassInfo"),
            _ => self.system_type(),
        }
    }

    fn system_type(&self) -> Option<&'static str> {
        Some(match self {
            Self::Boolean(_) => "Boolean",
            Self::Integer(_) => "Integer",
            Self::Decimal(_) => "Decimal",
            Self::String(_) => "String",
            Self::Date(_) => "Date",
            Self::DateTime(_) => "DateTime",
            Self::Time(_) => "Time",
            Self::Quantity(_) => "Quantity",
            Self::Element(_) | Self::Target(_) | Self::Type { .. } => return None,
        })
    }

    /// A primitive element as the FHIRPath value it converts to implicitly; anything else as it is.
    #[must_use]
    pub fn system(&self) -> Self {
        let Self::Element(Element {
            value: Some(value),
            type_name,
            ..
        }) = self
        else {
            return self.clone();
        };
        match value {
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => {
                let text = number.as_str();
                match i64::from_str(text) {
                    Ok(integer) if *type_name != Some("decimal") => Self::Integer(integer),
                    _ => decimal(text).map_or_else(|| self.clone(), Self::Decimal),
                }
            }
            Value::String(text) => {
                let string = || Self::String(Cow::Borrowed(text));
                match *type_name {
                    Some("date") => PartialDate::parse_date(text).map_or_else(string, Self::Date),
                    Some("dateTime" | "instant") => {
                        PartialDate::parse_search(text).map_or_else(string, Self::DateTime)
                    }
                    Some("time") => Time::parse(text).map_or_else(string, Self::Time),
                    _ => string(),
                }
            }
            _ => self.clone(),
        }
    }

    /// A quantity: computed, or an element that has a `value`, or a plain number (unit `1`).
    pub(crate) fn quantity(&self) -> Option<Quantity<'a>> {
        match self.system() {
            Self::Quantity(quantity) => Some(quantity),
            Self::Integer(value) => Some(Quantity {
                value: value.into(),
                unit: "1".into(),
            }),
            Self::Decimal(value) => Some(Quantity {
                value,
                unit: "1".into(),
            }),
            Self::Element(Element {
                value: Some(Value::Object(object)),
                ..
            }) => {
                let Some(Value::Number(number)) = object.get("value") else {
                    return None;
                };
                let text = |key: &str| object.get(key).and_then(Value::as_str);
                let unit = text("code").or_else(|| text("unit")).unwrap_or("1");
                Some(Quantity {
                    value: decimal(number.as_str())?,
                    unit: unit.into(),
                })
            }
            _ => None,
        }
    }

    /// The text of a string, uri, code, ... element or of a computed string.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Element(Element {
                value: Some(Value::String(text)),
                ..
            }) => Some(Cow::Borrowed(text)),
            Self::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(
            self,
            Self::Element(Element {
                value: Some(Value::Object(_)),
                ..
            })
        )
    }

    /// Appends the child elements called `name`, choices and primitives' extensions included.
    pub(crate) fn member(&self, name: &'a Name, found: &mut Vec<Self>) {
        let element = match self {
            Self::Element(element) => element,
            Self::Type {
                namespace,
                name: type_name,
            } => {
                match name.plain.as_str() {
                    "namespace" => found.push(Self::String(Cow::Borrowed(namespace))),
                    "name" => found.push(Self::String(type_name.clone())),
                    _ => {}
                }
                return;
            }
            // A computed quantity has parts too.
            Self::Quantity(quantity) => {
                match name.plain.as_str() {
                    "value" => found.push(Self::Decimal(quantity.value)),
                    "unit" | "code" => found.push(Self::String(quantity.unit.clone())),
                    _ => {}
                }
                return;
            }
            _ => return,
        };
        let Some(Value::Object(object)) = element.value else {
            // id and extension of a primitive live in its sibling.
            if let Some(Value::Object(sibling)) = element.sibling {
                let type_name = types::of_child(Some("Element"), &name.plain);
                append(sibling.get(&name.plain), None, type_name, found);
            }
            return;
        };
        let (value, sibling) = (object.get(&name.plain), object.get(&name.sibling));
        if value.is_some() || sibling.is_some() {
            let type_name = types::of_child(element.type_name, &name.plain);
            append(value, sibling, type_name, found);
        } else if types::is_choice(&name.plain) {
            for (key, value) in object {
                let plain = key.strip_prefix('_').unwrap_or(key);
                let Some(type_name) = types::choice_type(&name.plain, plain) else {
                    continue;
                };
                if plain.len() == key.len() {
                    append(Some(value), pair(object, plain), Some(type_name), found);
                } else if !object.contains_key(plain) {
                    append(None, Some(value), Some(type_name), found);
                }
            }
        }
    }

    /// Appends all child elements, in the order of the JSON.
    pub(crate) fn children(&self, found: &mut Vec<Self>) {
        let Self::Element(element) = self else { return };
        let Some(Value::Object(object)) = element.value else {
            if let Some(Value::Object(sibling)) = element.sibling {
                for (key, value) in sibling {
                    append(
                        Some(value),
                        None,
                        types::of_child(Some("Element"), key),
                        found,
                    );
                }
            }
            return;
        };
        for (key, value) in object {
            match key.strip_prefix('_') {
                Some(plain) if object.contains_key(plain) => {}
                Some(plain) => {
                    append(
                        None,
                        Some(value),
                        types::of_child(element.type_name, plain),
                        found,
                    );
                }
                None if key == "resourceType" => {}
                None => {
                    let type_name = types::of_child(element.type_name, key);
                    append(Some(value), pair(object, key), type_name, found);
                }
            }
        }
    }

    /// Whether it is of this type, as `is` asks. An element whose type is unknown is of every type
    /// that its JSON could be.
    pub(crate) fn is(&self, spec: &TypeSpec) -> bool {
        let namespace = spec.namespace.as_deref();
        match self {
            Self::Element(_) | Self::Target(_) if namespace == Some("System") => false,
            Self::Element(Element {
                type_name: Some(name),
                ..
            })
            | Self::Target(Some(name)) => types::specialises(name, &spec.name),
            Self::Element(element) => element.value.is_some_and(|value| fits(value, &spec.name)),
            Self::Target(None) | Self::Type { .. } => false,
            _ => namespace != Some("FHIR") && self.system_type() == Some(spec.name.as_str()),
        }
    }

    /// Whether `as` and `ofType` keep it. R4's own expressions write `as(DateTime)` for `dateTime`,
    /// so a primitive element passes for the FHIRPath type it converts to.
    pub(crate) fn passes_as(&self, spec: &TypeSpec) -> bool {
        self.is(spec)
            || matches!(
                (self, spec.name.as_str()),
                (
                    Self::Element(Element {
                        type_name: Some("dateTime" | "instant"),
                        ..
                    }),
                    "DateTime"
                ) | (
                    Self::Element(Element {
                        type_name: Some("date"),
                        ..
                    }),
                    "Date"
                ) | (
                    Self::Element(Element {
                        type_name: Some("string"),
                        ..
                    }),
                    "String"
                ) | (
                    Self::Element(Element {
                        type_name: Some("boolean"),
                        ..
                    }),
                    "Boolean"
                )
            )
    }

    /// What `type()` returns.
    pub(crate) fn type_info(&self) -> Self {
        if let Some(name) = self.system_type() {
            return Self::Type {
                namespace: "System",
                name: name.into(),
            };
        }
        let name = match self {
            Self::Element(Element {
                type_name: Some(name),
                ..
            })
            | Self::Target(Some(name)) => name,
            Self::Element(Element {
                value: Some(Value::Bool(_)),
                ..
            }) => "boolean",
            Self::Element(Element {
                value: Some(Value::String(_)),
                ..
            }) => "string",
            Self::Type { .. } => "ClassInfo",
            _ => "Element",
        };
        Self::Type {
            namespace: "FHIR",
            name: Cow::Borrowed(name),
        }
    }

    /// The same item of the resource: the same place in memory.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        let (Self::Element(left), Self::Element(right)) = (self, other) else {
            return false;
        };
        match (left.value, right.value, left.sibling, right.sibling) {
            (Some(left), Some(right), _, _) | (None, None, Some(left), Some(right)) => {
                std::ptr::eq(left, right)
            }
            _ => false,
        }
    }
}

/// Reads a JSON number without a detour through floating point.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()
    } else {
        Decimal::from_str(text).ok()
    }
}

/// Whether an element of unknown type can be of this one, by its JSON.
fn fits(value: &Value, type_name: &str) -> bool {
    match value {
        Value::Bool(_) => type_name == "boolean",
        Value::Number(number) => match type_name {
            "decimal" => true,
            "integer" | "positiveInt" | "unsignedInt" => i64::from_str(number.as_str()).is_ok(),
            _ => false,
        },
        Value::String(text) => match type_name {
            "string" | "code" | "id" | "markdown" | "uri" | "url" | "canonical" | "oid"
            | "uuid" | "base64Binary" => true,
            "date" => PartialDate::parse_date(text).is_some(),
            "dateTime" => PartialDate::parse_date_time(text).is_some(),
            "instant" => PartialDate::parse_instant(text).is_some(),
            "time" => Time::parse(text).is_some(),
            _ => false,
        },
        Value::Object(object) => {
            let has = |key: &str| object.contains_key(key);
            match type_name {
                "Element" | "BackboneElement" => true,
                "Reference" => has("reference"),
                "CodeableConcept" => has("coding") || has("text"),
                "Coding" => has("code") || has("display"),
                "Period" => has("start") || has("end"),
                "Quantity" => has("value") && !has("reference"),
                "Range" => has("low") || has("high"),
                _ => false,
            }
        }
        Value::Null | Value::Array(_) => false,
    }
}

/// The sibling of a primitive property; objects have none.
fn pair<'a>(object: &'a Map<String, Value>, plain: &str) -> Option<&'a Value> {
    let primitive = match object.get(plain)? {
        Value::Object(_) => false,
        Value::Array(values) => !values.first().is_some_and(Value::is_object),
        _ => true,
    };
    if primitive {
        object.get(&format!("_{plain}"))
    } else {
        None
    }
}

/// Appends the items of a property, its array taken apart.
fn append<'a>(
    value: Option<&'a Value>,
    sibling: Option<&'a Value>,
    type_name: Option<&'a str>,
    found: &mut Vec<Node<'a>>,
) {
    let mut push = |value: Option<&'a Value>, sibling: Option<&'a Value>| {
        let value = value.filter(|value| !value.is_null());
        let sibling = sibling.filter(|sibling| sibling.is_object());
        if value.is_none() && sibling.is_none() {
            return;
        }
        // A type by name is for primitives or for objects, and an object is no primitive.
        let named = type_name.filter(|name| match value {
            Some(Value::Object(_)) => name.starts_with(|c: char| c.is_ascii_uppercase()),
            Some(_) => name.starts_with(|c: char| c.is_ascii_lowercase()),
            None => true,
        });
        let resource = || value?.as_object()?.get("resourceType")?.as_str();
        let type_name = named.or_else(resource).or_else(|| match value? {
            Value::Bool(_) => Some("boolean"),
            _ => None,
        });
        found.push(Node::Element(Element {
            value,
            sibling,
            type_name,
        }));
    };
    match (value, sibling) {
        (Some(Value::Array(values)), Some(Value::Array(siblings))) => {
            for at in 0..values.len().max(siblings.len()) {
                push(values.get(at), siblings.get(at));
            }
        }
        (Some(Value::Array(values)), _) => values.iter().for_each(|value| push(Some(value), None)),
        (None, Some(Value::Array(siblings))) => {
            siblings
                .iter()
                .for_each(|sibling| push(None, Some(sibling)));
        }
        (value, sibling) => push(value, sibling),
    }
}
