//! Structural validation on write, from the element tables alone: names, JSON shapes, cardinality,
//! choices, primitive formats, required codes, extensions, contained resources, narrative.
//!
//! Not here: profiles, other invariants, whether references lead anywhere. What is checked and where
//! the specification says so is listed at each rule; `docs/official-examples.md` explains which of
//! HL7's own examples these rules refuse.

mod binding;
#[cfg(test)]
mod corpus;
mod primitive;
pub mod references;
#[cfg(test)]
mod tests;
mod xhtml;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Element, Elements, Kind, Primitive, Property, Type};
use crate::fhir::outcome::Issue;

/// Problems listed for one body; a hostile body has as many as it likes.
const MAX_ISSUES: usize = 100;
/// Objects inside each other. The JSON reader refuses more than 64 levels before this is reached;
/// the bound here keeps the stack safe for callers with other sources.
const MAX_DEPTH: usize = 100;
/// Characters of the sender's text that a message may repeat.
const MAX_ECHO: usize = 40;

/// Everything structurally wrong with a resource, each with its FHIRPath location
/// (`Bundle.entry[3].resource.name[0].given[1]`). Empty when nothing is; warnings do not forbid the
/// write. Issue codes: `structure`, `required`, `value`, `code-invalid`, `invariant`.
#[must_use]
pub fn validate(resource: &Value) -> Vec<Issue> {
    let mut run = Run {
        elements: definitions().elements(),
        issues: Vec::new(),
        more: 0,
    };
    let name = resource
        .get("resourceType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // A type that is none is reported by its place, not by what it calls itself.
    let known = run
        .elements
        .by_name(name)
        .is_some_and(|(_, one)| one.kind == Kind::Resource);
    let root = Path {
        parent: None,
        name: if known { name } else { "Resource" },
        index: None,
    };
    run.resource(resource, &root, Place::Outside, 0);
    if run.more > 0 {
        let text = format!("{} more problems are not listed", run.more);
        run.issues
            .push(Issue::error("structure", text).at(root.name));
    }
    run.issues
}

/// Whether none of the issues forbids the write.
#[must_use]
pub fn is_acceptable(issues: &[Issue]) -> bool {
    issues
        .iter()
        .all(|issue| matches!(issue.severity, "warning" | "information"))
}

/// Where a resource stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On its own, or in a Bundle entry or a parameter.
    Outside,
    /// In `contained`.
    Contained,
}

/// A location, rendered only when there is something to say about it.
#[derive(Clone, Copy)]
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    fn child<'b>(&'b self, name: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            parent: Some(self),
            name,
            index: None,
        }
    }

    fn at(self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }

    fn render(&self) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(step) = at {
            steps.push(step);
            at = step.parent;
        }
        let mut out = String::new();
        for step in steps.into_iter().rev() {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(step.name);
            if let Some(index) = step.index {
                let _ = write!(out, "[{index}]");
            }
        }
        out
    }
}

/// One validation.
struct Run {
    elements: &'static Elements,
    issues: Vec<Issue>,
    /// Problems beyond the limit.
    more: usize,
}

impl Run {
    fn report(&mut self, code: &'static str, path: &Path<'_>, text: impl Into<String>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::error(code, text).at(path.render()));
        } else {
            self.more += 1;
        }
    }

    fn warn(&mut self, code: &'static str, path: &Path<'_>, text: impl Into<String>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues
                .push(Issue::error(code, text).at(path.render()).warning());
        }
    }

    fn resource(&mut self, value: &Value, path: &Path<'_>, place: Place, depth: usize) {
        let Some(map) = value.as_object() else {
            return self.report("structure", path, "A resource must be a JSON object");
        };
        let name = match map.get("resourceType") {
            Some(Value::String(name)) => name.as_str(),
            Some(_) => {
                return self.report(
                    "structure",
                    path,
                    "`resourceType` must be the name of a type",
                );
            }
            None => return self.report("required", path, "`resourceType` is missing"),
        };
        let known = self.elements.by_name(name).map(|(_, one)| one);
        let Some(one) = known.filter(|one| one.kind == Kind::Resource) else {
            let text = format!("`{}` is not a resource type of FHIR R4", echo(name));
            return self.report("structure", path, text);
        };
        if place == Place::Contained {
            // dom-2 and http://hl7.org/fhir/R4/references.html#contained
            if map.contains_key("contained") {
                let text = "A contained resource cannot contain resources itself";
                self.report("invariant", &path.child("contained"), text);
            }
            if !map.contains_key("id") {
                let text = "A contained resource needs an id, or nothing can refer to it";
                self.report("required", &path.child("id"), text);
            }
        }
        self.object(one, map, path, depth);
    }

    /// The properties of a resource, datatype or backbone element.
    fn object(
        &mut self,
        one: &'static Type,
        map: &Map<String, Value>,
        path: &Path<'_>,
        depth: usize,
    ) {
        if depth > MAX_DEPTH {
            return self.report("structure", path, "Elements are nested too deep");
        }
        let is_resource = one.kind == Kind::Resource;
        if map.is_empty() {
            // ele-1; http://hl7.org/fhir/R4/json.html: objects are never empty.
            return self.report("structure", path, "An object must have a property");
        }
        let mut seen = Seen::default();
        for (key, value) in map {
            let (name, sibling) = match key.strip_prefix('_') {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            let property = one.properties.get(name);
            let found = property.and_then(|property| {
                let element = one.elements.get(usize::from(property.element))?;
                let target = self.elements.get(property.type_index)?;
                // Only primitives have a `_name` beside them.
                let fits = !sibling || matches!(target.kind, Kind::Primitive(_));
                fits.then_some((property, element, target))
            });
            let Some((property, element, target)) = found else {
                if !(is_resource && key == "resourceType") {
                    self.unknown(one, key, path);
                }
                continue;
            };
            let stem = element.name.strip_suffix("[x]").unwrap_or(element.name);
            let here = path.child(stem);
            if !seen.add(*property, element.types.len() > 1) {
                let text = format!(
                    "Only one of the variants of `{}` may be present",
                    element.name
                );
                self.report("structure", &here, text);
            }
            let field = Field {
                element,
                target,
                key,
                name,
                map,
                depth,
            };
            if sibling {
                self.siblings(&field, value, &here);
            } else {
                self.values(&field, value, &here);
            }
        }
        for place in &one.mandatory {
            if !seen.has(*place)
                && let Some(element) = one.elements.get(usize::from(*place))
            {
                let stem = element.name.strip_suffix("[x]").unwrap_or(element.name);
                let text = format!("`{}` is missing: at least {}", element.name, element.min);
                self.report("required", &path.child(stem), text);
            }
        }
        if one.name == "Extension" {
            self.extension(map, path);
        }
    }

    fn unknown(&mut self, one: &Type, key: &str, path: &Path<'_>) {
        let text = format!("`{}` is not an element of {}", echo(key), one.name);
        let plain = key.len() <= MAX_ECHO && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if plain && !key.is_empty() {
            self.report("structure", &path.child(key), text);
        } else {
            self.report("structure", path, text);
        }
    }

    /// ext-1: a value or extensions, not both; neither says nothing.
    fn extension(&mut self, map: &Map<String, Value>, path: &Path<'_>) {
        let is_value = |key: &String| key.strip_prefix('_').unwrap_or(key).starts_with("value");
        match (map.keys().any(is_value), map.contains_key("extension")) {
            (true, true) => {
                self.report(
                    "invariant",
                    path,
                    "An extension has a value or extensions, not both",
                );
            }
            (false, false) => {
                self.report(
                    "invariant",
                    path,
                    "An extension needs a value or extensions",
                );
            }
            _ => {}
        }
    }

    /// The value of a property, or its values when it repeats.
    fn values(&mut self, field: &Field<'_>, value: &Value, path: &Path<'_>) {
        match (field.element.is_array(), value) {
            (true, Value::Array(items)) => {
                if items.is_empty() {
                    self.report("structure", path, "An array must not be empty");
                }
                self.too_many(field.element, items.len(), path);
                for (index, item) in items.iter().enumerate() {
                    let here = path.at(index);
                    if item.is_null() && matches!(field.target.kind, Kind::Primitive(_)) {
                        if !field.has_sibling(index) {
                            let text = "null stands for a value only where `_` has an extension";
                            self.report("structure", &here, text);
                        }
                    } else {
                        self.item(field, item, &here);
                    }
                }
            }
            (true, _) => {
                let text = format!("`{}` repeats: it must be an array", field.key);
                self.report("structure", path, text);
            }
            (false, Value::Array(_)) => {
                let text = format!("`{}` does not repeat: it must not be an array", field.key);
                self.report("structure", path, text);
            }
            (false, _) => self.item(field, value, path),
        }
    }

    fn too_many(&mut self, element: &Element, count: usize, path: &Path<'_>) {
        if let Some(max) = element.max
            && count > usize::from(max)
        {
            let text = format!("`{}` occurs {count} times: at most {max}", element.name);
            self.report("structure", path, text);
        }
    }

    fn item(&mut self, field: &Field<'_>, value: &Value, path: &Path<'_>) {
        match (field.target.kind, value) {
            (Kind::Primitive(Primitive::Xhtml), Value::String(text)) => self.narrative(text, path),
            (Kind::Primitive(primitive), _) => match primitive::check(primitive, value) {
                Err(problem) => self.report(problem.code, path, problem.text),
                Ok(()) => self.bound(field, value, path),
            },
            (Kind::Complex, Value::Object(map)) => {
                self.object(field.target, map, path, field.depth + 1);
                self.bound(field, value, path);
            }
            (Kind::AnyResource, _) => {
                let contained = field.element.name == "contained";
                let place = if contained {
                    Place::Contained
                } else {
                    Place::Outside
                };
                self.resource(value, path, place, field.depth + 1);
            }
            (Kind::Complex | Kind::Resource, _) => {
                let text = format!("`{}` must be an object", field.key);
                self.report("structure", path, text);
            }
        }
    }

    fn bound(&mut self, field: &Field<'_>, value: &Value, path: &Path<'_>) {
        let set = field
            .element
            .binding
            .and_then(|place| self.elements.binding(place));
        if let Some(set) = set
            && let Err(text) = binding::check(set, field.target.name, value)
        {
            self.report("code-invalid", path, text);
        }
    }

    fn narrative(&mut self, text: &str, path: &Path<'_>) {
        if !primitive::is_text(text) {
            return self.report(
                "value",
                path,
                "A narrative must not hold control characters",
            );
        }
        match xhtml::check(text) {
            Err(problem) => self.report("value", path, problem),
            Ok(Some(remark)) => self.warn("invariant", path, remark),
            Ok(None) => {}
        }
    }

    /// The `_name` beside a primitive: id and extensions
    /// (<http://hl7.org/fhir/R4/json.html#primitive>).
    fn siblings(&mut self, field: &Field<'_>, value: &Value, path: &Path<'_>) {
        let Some((_, element_type)) = self.elements.by_name("Element") else {
            return;
        };
        let own = field.map.get(field.name);
        match (field.element.is_array(), value) {
            (true, Value::Array(items)) => {
                if items.is_empty() {
                    self.report("structure", path, "An array must not be empty");
                }
                let values = own.and_then(Value::as_array);
                if values.is_some_and(|values| values.len() != items.len()) {
                    let text = format!("`{}` and `{}` must be as long", field.key, field.name);
                    self.report("structure", path, text);
                } else if values.is_none() {
                    self.too_many(field.element, items.len(), path);
                }
                for (index, item) in items.iter().enumerate() {
                    let value_at = values.and_then(|values| values.get(index));
                    match item {
                        Value::Object(map) => {
                            self.object(element_type, map, &path.at(index), field.depth + 1);
                        }
                        // Two nulls are reported where the value is.
                        Value::Null if value_at.is_some() => {}
                        _ => {
                            let text = format!("`{}` holds objects, or null for none", field.key);
                            self.report("structure", &path.at(index), text);
                        }
                    }
                }
            }
            (false, Value::Object(map)) => self.object(element_type, map, path, field.depth + 1),
            (repeats, _) => {
                let shape = if repeats { "an array" } else { "an object" };
                let text = format!("`{}` must be {shape}", field.key);
                self.report("structure", path, text);
            }
        }
    }
}

/// A property on its way through the rules.
struct Field<'a> {
    element: &'static Element,
    /// The type that this property's name says.
    target: &'static Type,
    /// As written, with the `_` of a sibling.
    key: &'a str,
    /// Without it.
    name: &'a str,
    /// The object around it.
    map: &'a Map<String, Value>,
    depth: usize,
}

impl Field<'_> {
    /// Whether `_name` has something at this place of the array.
    fn has_sibling(&self, index: usize) -> bool {
        self.map
            .get(&format!("_{}", self.name))
            .and_then(|siblings| siblings.get(index))
            .is_some_and(Value::is_object)
    }
}

/// Which elements an object has had so far, and choices as what.
#[derive(Default)]
struct Seen {
    bits: u128,
    /// (element, type) of each choice. ElementDefinition has most choices, five.
    choices: [Option<(u16, u16)>; 6],
}

impl Seen {
    /// Notes an element; false for a choice that was there before as another type. `value` and
    /// `_value` are one.
    fn add(&mut self, property: Property, is_choice: bool) -> bool {
        let Property {
            element,
            type_index,
        } = property;
        self.bits |= 1_u128.checked_shl(u32::from(element)).unwrap_or(0);
        if is_choice {
            for slot in &mut self.choices {
                match slot {
                    Some((known, first)) if *known == element => return *first == type_index,
                    Some(_) => {}
                    None => {
                        *slot = Some((element, type_index));
                        return true;
                    }
                }
            }
        }
        true
    }

    fn has(&self, element: u16) -> bool {
        self.bits & 1_u128.checked_shl(u32::from(element)).unwrap_or(0) != 0
    }
}

/// At most [`MAX_ECHO`] characters of the sender's text, control characters replaced.
fn echo(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(MAX_ECHO)
        .map(|one| if one.is_control() { '\u{fffd}' } else { one })
        .collect();
    if text.chars().nth(MAX_ECHO).is_some() {
        out.push('…');
    }
    out
}
