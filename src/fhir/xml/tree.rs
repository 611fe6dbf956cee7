//! FHIR JSON to fhirbolt's `Element` and back.
//!
//! fhirbolt has a JSON side of its own, which wraps integers round, wants `resourceType` first and
//! takes scalars for arrays; this replaces it. `Element` holds what XML holds: a primitive is an
//! element with `value`, `id` and `extension`, repeated elements are a sequence.

use fhirbolt::FhirReleases;
use fhirbolt::element::{Primitive, Value as Node};
use fhirbolt_shared::path::ElementPath;
use serde_json::{Map, Number, Value};

use super::{
    KEPT_ID, MAX_DEPTH, PLACEHOLDER, PLACEHOLDER_END, R4, integer, is_decimal, is_xml_char,
    narrative, unexpected,
};
use crate::fhir::json;
use crate::fhir::outcome::Issue;

type R4Node = Node<{ FhirReleases::R4 }>;

/// The JSON of what fhirbolt read, narratives put back by the number in their placeholder.
pub(super) fn to_json(element: R4, narratives: Vec<String>) -> Result<Value, Issue> {
    Writer {
        path: ElementPath::new(FhirReleases::R4),
        narratives,
        depth: 0,
    }
    .object(element)
}

/// The `Element` of a resource, with placeholders for its narratives.
pub(super) fn from_json(resource: &Value) -> Result<(R4, Vec<String>), Issue> {
    let mut reader = Reader {
        path: ElementPath::new(FhirReleases::R4),
        place: Vec::new(),
        narratives: Vec::new(),
    };
    let element = reader.resource(resource)?;
    Ok((element, reader.narratives))
}

struct Writer {
    path: ElementPath,
    narratives: Vec<String>,
    depth: usize,
}

impl Writer {
    /// A resource or a complex element, its properties in the order of the specification.
    fn object(&mut self, element: R4) -> Result<Value, Issue> {
        self.deeper(1)?;
        let mut resource = false;
        if let Some(Node::Primitive(Primitive::String(name))) = element.get("resourceType") {
            self.path.push(name);
            resource = true;
        }
        let mut fields: Vec<(String, R4Node)> = element.into_iter().collect();
        fields.sort_by_key(|(name, _)| self.path.position_of_child(name));
        let mut object = Map::with_capacity(fields.len());
        for (name, node) in fields {
            match node {
                // `resourceType`, an element's `id`, an extension's `url`.
                Node::Primitive(primitive) => {
                    object.insert(name, scalar(primitive)?);
                }
                node => {
                    self.path.push(&name);
                    if self.path.current_element_is_primitive() {
                        self.primitive(&mut object, name, node)?;
                    } else {
                        let value = match node {
                            Node::Element(element) => self.object(element)?,
                            Node::Sequence(elements) => self.array(elements)?,
                            Node::Primitive(_) => return Err(unexpected()),
                        };
                        object.insert(name, value);
                    }
                    self.path.pop();
                }
            }
        }
        if resource {
            self.path.pop();
        }
        self.depth -= 1;
        Ok(Value::Object(object))
    }

    fn array(&mut self, elements: Vec<R4>) -> Result<Value, Issue> {
        self.deeper(1)?;
        let items: Result<Vec<Value>, Issue> = elements
            .into_iter()
            .map(|element| self.object(element))
            .collect();
        self.depth -= 1;
        Ok(Value::Array(items?))
    }

    /// Writes `name` and, where there is an id or an extension, `_name`.
    fn primitive(
        &mut self,
        object: &mut Map<String, Value>,
        name: String,
        node: R4Node,
    ) -> Result<(), Issue> {
        let (value, extra) = match node {
            Node::Primitive(_) => return Err(unexpected()),
            Node::Element(element) => {
                let (mut value, extra) = self.parts(element)?;
                if name == "div" {
                    value = Some(self.narrative(value.as_ref())?);
                }
                (value, extra)
            }
            Node::Sequence(elements) => {
                self.deeper(1)?;
                let (mut values, mut extras) = (Vec::new(), Vec::new());
                for element in elements {
                    let (value, extra) = self.parts(element)?;
                    values.push(value.unwrap_or_default());
                    extras.push(extra.unwrap_or_default());
                }
                self.depth -= 1;
                let all = |items: Vec<Value>| {
                    (!items.iter().all(Value::is_null)).then_some(Value::Array(items))
                };
                (all(values), all(extras))
            }
        };
        if let Some(extra) = extra {
            if let Some(value) = value {
                object.insert(name.clone(), value);
            }
            object.insert(format!("_{name}"), extra);
        } else if let Some(value) = value {
            object.insert(name, value);
        }
        Ok(())
    }

    /// One primitive's value and its id and extensions.
    fn parts(&mut self, mut element: R4) -> Result<(Option<Value>, Option<Value>), Issue> {
        let value = match element.remove("value") {
            None => None,
            Some(Node::Primitive(primitive)) => Some(scalar(primitive)?),
            Some(_) => return Err(unexpected()),
        };
        if let Some(id) = kept_id(&mut element) {
            element.insert("id".to_owned(), string(&id));
        }
        let extra = if element.is_empty() {
            None
        } else {
            Some(self.object(element)?)
        };
        Ok((value, extra))
    }

    fn narrative(&mut self, placeholder: Option<&Value>) -> Result<Value, Issue> {
        placeholder
            .and_then(Value::as_str)
            .and_then(|text| text.strip_prefix(PLACEHOLDER))
            .and_then(|text| text.strip_suffix(PLACEHOLDER_END))
            .and_then(|number| number.parse::<usize>().ok())
            .and_then(|number| self.narratives.get_mut(number))
            .map(|div| Value::String(std::mem::take(div)))
            .ok_or_else(unexpected)
    }

    /// JSON nests arrays as well, so that XML within its own limit can exceed that of JSON.
    fn deeper(&mut self, levels: usize) -> Result<(), Issue> {
        self.depth += levels;
        if self.depth > json::MAX_DEPTH {
            return Err(Issue::error(
                "too-costly",
                "The resource as JSON would nest objects and arrays more than 64 deep",
            ));
        }
        Ok(())
    }
}

/// Takes the id out of the extension that it was put into ([`KEPT_ID`]).
fn kept_id(element: &mut R4) -> Option<String> {
    let Some(Node::Sequence(extensions)) = element.get_mut("extension") else {
        return None;
    };
    let Some(Node::Primitive(Primitive::String(url))) = extensions.first()?.get("url") else {
        return None;
    };
    let id = url.strip_prefix(KEPT_ID)?.to_owned();
    extensions.remove(0);
    if extensions.is_empty() {
        element.remove("extension");
    }
    Some(id)
}

fn scalar(primitive: Primitive) -> Result<Value, Issue> {
    Ok(match primitive {
        Primitive::Bool(value) => Value::Bool(value),
        Primitive::Integer(value) => Value::Number(value.into()),
        Primitive::Integer64(value) => Value::Number(value.into()),
        Primitive::Decimal(text) => {
            Value::Number(text.parse::<Number>().map_err(|_| unexpected())?)
        }
        Primitive::String(text) => Value::String(text),
    })
}

struct Reader {
    path: ElementPath,
    /// FHIRPath steps to the current element.
    place: Vec<String>,
    narratives: Vec<String>,
}

impl Reader {
    fn resource(&mut self, value: &Value) -> Result<R4, Issue> {
        let object = self.object(value)?;
        let Some(Value::String(name)) = object.get("resourceType") else {
            return Err(self.refuse("A resource has no `resourceType`"));
        };
        let root = self.place.is_empty();
        if root {
            self.place.push(name.clone());
        }
        self.path.push(name);
        // Every resource has it, no datatype does.
        if !self
            .path
            .children()
            .is_some_and(|set| set.contains("implicitRules"))
        {
            return Err(self.refuse("`resourceType` is no R4 resource type"));
        }
        let mut element = R4::with_capacity(object.len());
        element.insert("resourceType".to_owned(), string(name));
        self.fields(object, true, &mut element)?;
        self.path.pop();
        if root {
            self.place.pop();
        }
        Ok(element)
    }

    fn complex(&mut self, value: &Value) -> Result<R4, Issue> {
        let object = self.object(value)?;
        let mut element = R4::with_capacity(object.len());
        self.fields(object, false, &mut element)?;
        Ok(element)
    }

    fn fields(
        &mut self,
        object: &Map<String, Value>,
        resource: bool,
        element: &mut R4,
    ) -> Result<(), Issue> {
        let extension = self.path.current_element_is_extension();
        for (key, value) in object {
            if resource && key == "resourceType" {
                continue;
            }
            let (name, underscored) = match key.strip_prefix('_') {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            if !self.path.children().is_some_and(|set| set.contains(name)) {
                return Err(self.refuse("An element that R4 does not have here"));
            }
            self.path.push(name);
            self.place.push(name.to_owned());
            let attribute = (name == "id" && !resource) || (name == "url" && extension);
            if attribute {
                let (false, Value::String(text)) = (underscored, value) else {
                    return Err(self.refuse("Must be a string without extensions"));
                };
                self.characters(text)?;
                element.insert(name.to_owned(), string(text));
            } else if self.path.current_element_is_primitive() {
                // Both halves at the first of them.
                let halves = if underscored {
                    object.get(name).is_none().then_some((None, Some(value)))
                } else {
                    Some((Some(value), object.get(&format!("_{name}"))))
                };
                if let Some((value, extra)) = halves {
                    let node = self.primitive(name, value, extra)?;
                    element.insert(name.to_owned(), node);
                }
            } else if underscored {
                return Err(self.refuse("Only primitive elements have a property with `_`"));
            } else {
                let node = if self.path.current_element_is_sequence() {
                    let Value::Array(items) = value else {
                        return Err(self.refuse("Must be an array"));
                    };
                    Node::Sequence(self.each(items, Self::nested)?)
                } else {
                    Node::Element(self.nested(value)?)
                };
                element.insert(name.to_owned(), node);
            }
            self.place.pop();
            self.path.pop();
        }
        Ok(())
    }

    /// A resource where one belongs, otherwise a complex element.
    fn nested(&mut self, value: &Value) -> Result<R4, Issue> {
        if self.path.current_element_is_resource() {
            self.resource(value)
        } else {
            self.complex(value)
        }
    }

    fn primitive(
        &mut self,
        name: &str,
        value: Option<&Value>,
        extra: Option<&Value>,
    ) -> Result<R4Node, Issue> {
        if !self.path.current_element_is_sequence() {
            return Ok(Node::Element(self.single(name, value, extra)?));
        }
        let values = self.items(value)?;
        let extras = self.items(extra)?;
        let count = values.len().max(extras.len());
        let places: Vec<usize> = (0..count).collect();
        Ok(Node::Sequence(self.each(&places, |reader, at| {
            let present = |item: &&Value| !item.is_null();
            let value = values.get(*at).filter(present);
            let extra = extras.get(*at).filter(present);
            reader.single(name, value, extra)
        })?))
    }

    /// The items of a repeating primitive; none where there is no property.
    fn items<'v>(&self, value: Option<&'v Value>) -> Result<&'v [Value], Issue> {
        match value {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.refuse("Must be an array")),
        }
    }

    /// One primitive element from `name` and `_name`.
    fn single(
        &mut self,
        name: &str,
        value: Option<&Value>,
        extra: Option<&Value>,
    ) -> Result<R4, Issue> {
        let mut element = match extra {
            None => R4::new(),
            Some(_) if name == "div" => {
                return Err(self.refuse("A narrative can have no id or extension of its own"));
            }
            Some(extra) => {
                let object = self.object(extra)?;
                let mut element = R4::with_capacity(object.len() + 1);
                for (key, value) in object {
                    match (key.as_str(), value) {
                        ("id", Value::String(text)) => {
                            self.characters(text)?;
                            element.insert("id".to_owned(), string(text));
                        }
                        ("extension", Value::Array(items)) => {
                            self.path.push("extension");
                            self.place.push("extension".to_owned());
                            let items = self.each(items, Self::complex)?;
                            self.place.pop();
                            self.path.pop();
                            element.insert("extension".to_owned(), Node::Sequence(items));
                        }
                        _ => {
                            return Err(self.refuse(
                                "A primitive element has only an `id` and an `extension` array",
                            ));
                        }
                    }
                }
                element
            }
        };
        if let Some(value) = value {
            let primitive = if name == "div" {
                self.narrative(value)?
            } else {
                self.typed(value)?
            };
            element.insert("value".to_owned(), Node::Primitive(primitive));
        } else if extra.is_none() {
            return Err(self.refuse("Has neither a value nor an extension"));
        }
        Ok(element)
    }

    /// A value of the type that the path says.
    fn typed(&self, value: &Value) -> Result<Primitive, Issue> {
        let path = &self.path;
        let boolean = path.current_element_is_boolean();
        let decimal = path.current_element_is_decimal();
        let whole = path.current_element_is_integer()
            || path.current_element_is_positive_integer()
            || path.current_element_is_unsigned_integer();
        match value {
            Value::Bool(value) if boolean => Ok(Primitive::Bool(*value)),
            Value::Number(number) if decimal => {
                let text = number.to_string();
                if !is_decimal(&text) {
                    return Err(self.refuse("Must be a decimal of at most 64 characters"));
                }
                Ok(Primitive::Decimal(text))
            }
            Value::Number(number) if whole => match integer(&number.to_string()) {
                Some(value) => Ok(Primitive::Integer(value)),
                None => Err(self.refuse("Must be a whole number of at most 32 bits")),
            },
            Value::String(text) if !boolean && !decimal && !whole => {
                self.characters(text)?;
                Ok(Primitive::String(text.clone()))
            }
            _ => Err(self.refuse("Is not the kind of JSON value that its type has")),
        }
    }

    fn narrative(&mut self, value: &Value) -> Result<Primitive, Issue> {
        let Value::String(text) = value else {
            return Err(self.refuse("A narrative must be a string"));
        };
        let text = narrative::without_html_entities(text);
        let div = narrative::checked(&text)
            .map_err(|(problem, _)| self.refuse(&format!("Cannot be written: {problem}")))?;
        let number = self.narratives.len();
        self.narratives.push(div.into_owned());
        Ok(Primitive::String(format!(
            "{PLACEHOLDER}{number}{PLACEHOLDER_END}"
        )))
    }

    /// Applies a step to each item, with its index in the FHIRPath.
    fn each<T>(
        &mut self,
        items: &[T],
        mut step: impl FnMut(&mut Self, &T) -> Result<R4, Issue>,
    ) -> Result<Vec<R4>, Issue> {
        if items.is_empty() {
            return Err(self.refuse("An array must not be empty"));
        }
        let name = self.place.pop().unwrap_or_default();
        let mut elements = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.place.push(format!("{name}[{index}]"));
            elements.push(step(self, item)?);
            self.place.pop();
        }
        self.place.push(name);
        Ok(elements)
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, Issue> {
        if self.place.len() >= MAX_DEPTH {
            return Err(Issue::error(
                "too-costly",
                "Elements are nested more than 64 deep",
            ));
        }
        match value {
            Value::Object(object) if object.is_empty() => {
                Err(self.refuse("An object must not be empty"))
            }
            Value::Object(object) => Ok(object),
            _ => Err(self.refuse("Must be an object")),
        }
    }

    fn characters(&self, text: &str) -> Result<(), Issue> {
        if text.is_empty() {
            return Err(self.refuse("A string must not be empty"));
        }
        if !text.chars().all(is_xml_char) {
            return Err(self.refuse("Holds a character that XML cannot"));
        }
        Ok(())
    }

    fn refuse(&self, text: &str) -> Issue {
        Issue::error("structure", text).at(self.place.join("."))
    }
}

fn string(text: &str) -> R4Node {
    Node::Primitive(Primitive::String(text.to_owned()))
}
