//! Whether references lead to types that their elements take, as far as their text tells. Writes do not ask:
//! what was stored before stays writable.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_ISSUES, Path, echo};
use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Element, Elements, Kind, Type};
use crate::fhir::outcome::Issue;

/// What `Reference.type` may begin with (R4 2.3.0.1).
const DEFINITION: &str = "http://hl7.org/fhir/StructureDefinition/";

/// References of a resource that lead to another type than the element takes or their `type` says.
#[must_use]
pub fn misdirected(resource: &Value) -> Vec<Issue> {
    let mut walk = Walk {
        elements: definitions().elements(),
        issues: Vec::new(),
    };
    let root = Path {
        parent: None,
        name: resource["resourceType"].as_str().unwrap_or_default(),
        index: None,
    };
    walk.resource(resource, None, &root, 0);
    walk.issues
}

struct Walk {
    elements: &'static Elements,
    issues: Vec<Issue>,
}

impl Walk {
    /// `container`: the resource that contains this one.
    fn resource(
        &mut self,
        value: &Value,
        container: Option<&Value>,
        path: &Path<'_>,
        depth: usize,
    ) {
        let name = value["resourceType"].as_str().unwrap_or_default();
        if let (Some((_, one)), Some(map)) = (self.elements.by_name(name), value.as_object()) {
            self.object(one, map, container.unwrap_or(value), path, depth);
        }
    }

    fn object(
        &mut self,
        one: &'static Type,
        map: &Map<String, Value>,
        container: &Value,
        path: &Path<'_>,
        depth: usize,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        for (key, value) in map {
            let Some(property) = one.properties.get(key.as_str()) else {
                continue;
            };
            let element = one.elements.get(usize::from(property.element));
            let target = self.elements.get(property.type_index);
            let (Some(element), Some(target)) = (element, target) else {
                continue;
            };
            let here = path.child(element.name.strip_suffix("[x]").unwrap_or(element.name));
            let items = match value {
                Value::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            for (index, item) in items.iter().enumerate() {
                let here = match value {
                    Value::Array(_) => here.at(index),
                    _ => here,
                };
                match (target.kind, item) {
                    (Kind::AnyResource, _) => {
                        let container = (element.name == "contained").then_some(container);
                        self.resource(item, container, &here, depth + 1);
                    }
                    (Kind::Complex, Value::Object(map)) => {
                        if target.name == "Reference" {
                            self.reference(element, map, container, &here);
                        }
                        self.object(target, map, container, &here, depth + 1);
                    }
                    _ => {}
                }
            }
        }
    }

    fn reference(
        &mut self,
        element: &Element,
        map: &Map<String, Value>,
        container: &Value,
        path: &Path<'_>,
    ) {
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let said = text("type").map(|name| name.strip_prefix(DEFINITION).unwrap_or(name));
        let found = text("reference").and_then(|to| self.led_to(to, container));
        if let (Some(said), Some(found)) = (said, found)
            && said != found
        {
            let words = format!("`type` says {}, the reference leads to {found}", echo(said));
            self.report(&path.child("type"), words);
        }
        let Some(to) = found.or_else(|| self.known(said?)) else {
            return;
        };
        let mut targets = element.targets().peekable();
        if targets.peek().is_some() && !targets.any(|one| one == to) {
            let all: Vec<&str> = element.targets().collect();
            let words = format!(
                "`{}` takes references to {}, not to {to}",
                element.name,
                all.join(", ")
            );
            self.report(path, words);
        }
    }

    /// The type of what a reference leads to, where its text tells.
    fn led_to(&self, reference: &str, container: &Value) -> Option<&'static str> {
        if let Some(id) = reference.strip_prefix('#') {
            let mut all = container["contained"].as_array().into_iter().flatten();
            let there = match id {
                "" => container,
                id => all.find(|one| one["id"] == id)?,
            };
            return self.known(there["resourceType"].as_str()?);
        }
        if let Some((of, _)) = reference.split_once('?') {
            return self.known(of.rsplit('/').next()?);
        }
        let current = reference.split("/_history/").next()?;
        self.known(current.rsplit('/').nth(1)?)
    }

    fn known(&self, name: &str) -> Option<&'static str> {
        let (_, one) = self.elements.by_name(name)?;
        (one.kind == Kind::Resource).then_some(one.name)
    }

    fn report(&mut self, path: &Path<'_>, words: String) {
        if self.issues.len() < MAX_ISSUES {
            self.issues
                .push(Issue::error("value", words).at(path.render()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_leads_to_what_its_element_takes() {
        let of = |reference: Value| {
            let patient = json!({
                "resourceType": "Patient",
                "contained": [{"resourceType": "Practitioner", "id": "doc"},
                    {"resourceType": "Organization", "id": "org", "partOf": {"reference": "#doc"}}],
                "managingOrganization": reference,
            });
            let all = misdirected(&patient).into_iter();
            all.map(|issue| issue.expression).collect::<Vec<_>>()
        };
        let part = "Patient.contained[1].partOf";
        let own = "Patient.managingOrganization";
        for right in [
            json!({"reference": "Organization/1"}),
            json!({"reference": "Organization/1/_history/2", "type": "Organization"}),
            json!({"reference": "http://a.example/fhir/Organization/1"}),
            json!({"reference": "Organization?identifier=urn:x|1"}),
            json!({"reference": "#org", "type": "http://hl7.org/fhir/StructureDefinition/Organization"}),
            json!({"reference": "urn:uuid:6f1d6a5e-0000-4000-8000-000000000000"}),
            json!({"reference": "http://a.example/whatever/1"}),
            json!({"display": "Ours"}),
        ] {
            assert_eq!(of(right.clone()), [part], "{right}");
        }
        for wrong in [
            json!({"reference": "Patient/1"}),
            json!({"reference": "https://a.example/Patient/1/_history/1"}),
            json!({"reference": "Patient?identifier=urn:x|1"}),
            json!({"reference": "#doc"}),
            json!({"reference": "#"}),
            json!({"type": "Patient", "identifier": {"value": "1"}}),
        ] {
            assert_eq!(of(wrong.clone()), [part, own], "{wrong}");
        }
        let both = json!({"reference": "Organization/1", "type": "Patient"});
        assert_eq!(of(both), [part, "Patient.managingOrganization.type"]);
        let any = json!({"resourceType": "List", "entry": [{"item": {"reference": "Patient/1"}}]});
        assert_eq!(misdirected(&any), []);
    }
}
