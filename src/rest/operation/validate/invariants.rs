//! The invariants of R4's definitions ("constraint" of their elements), evaluated on a resource and
//! on everything inside it. Only where somebody asks for validation: no write is refused for one.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde_json::Value;

use crate::fhir::definitions::constraints::{Constraint, constraints};
use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Kind, Type};
use crate::fhir::outcome::Issue;
use crate::fhirpath::{self, Context, Element, EvalError, Expr, Node};

/// Steps that all expressions on one resource may take together: half a second or so.
const BUDGET: u32 = 5_000_000;
/// Steps of one expression.
const BUDGET_OF_ONE: u32 = 500_000;
/// Problems listed.
const MAX_ISSUES: usize = 100;

/// An invariant; without an expression where the engine does not know it.
#[derive(Debug)]
struct Invariant {
    constraint: Constraint,
    expression: Option<Expr>,
}

static INVARIANTS: LazyLock<HashMap<&'static str, Vec<Invariant>>> = LazyLock::new(|| {
    constraints()
        .iter()
        .map(|(path, all)| {
            let parsed = all.iter().map(|constraint| Invariant {
                constraint: *constraint,
                expression: fhirpath::parse(constraint.expression).ok(),
            });
            (*path, parsed.collect())
        })
        .collect()
});

/// Those that a resource breaks, each with its place, key and text; and in one issue those that could
/// not be evaluated. The resource is one that [structural validation](crate::fhir::validate) takes.
pub(super) fn broken(resource: &Value) -> Vec<Issue> {
    let mut run = Run {
        issues: Vec::new(),
        skipped: BTreeSet::new(),
        left: BUDGET,
    };
    let name = resource["resourceType"].as_str().unwrap_or_default();
    run.resource(resource, None, name);
    if run.left == 0 {
        let words = "The resource is so large that not all invariants were checked.";
        run.issues
            .push(Issue::error("incomplete", words).information());
    }
    if !run.skipped.is_empty() {
        let keys: Vec<&str> = run.skipped.into_iter().collect();
        let words = format!(
            "These invariants could not be evaluated on this resource: {}.",
            keys.join(", ")
        );
        run.issues
            .push(Issue::error("not-supported", words).information());
    }
    run.issues
}

struct Run {
    issues: Vec<Issue>,
    /// Keys of those that could not be evaluated.
    skipped: BTreeSet<&'static str>,
    left: u32,
}

/// `%resource` and `%rootResource`.
#[derive(Clone, Copy)]
struct Within<'r> {
    resource: &'r Value,
    root: &'r Value,
}

impl Run {
    /// `container`: what the resource is contained in.
    fn resource(&mut self, resource: &Value, container: Option<&Value>, path: &str) {
        let name = resource["resourceType"].as_str().unwrap_or_default();
        let Some((_, one)) = definitions().elements().by_name(name) else {
            return;
        };
        let within = Within {
            resource,
            root: container.unwrap_or(resource),
        };
        if one.properties.contains_key("contained") {
            let node = Node::of(resource);
            self.ask("DomainResource", &node, within, path);
        }
        self.object(one, resource, within, path);
    }

    /// A resource, datatype or backbone element with what is inside.
    fn object(&mut self, one: &'static Type, value: &Value, within: Within<'_>, path: &str) {
        let Value::Object(map) = value else {
            return;
        };
        let node = Node::Element(Element {
            value: Some(value),
            sibling: None,
            type_name: Some(one.name),
        });
        self.ask(one.name, &node, within, path);
        let elements = definitions().elements();
        for (key, value) in map {
            let Some(property) = one.properties.get(key.as_str()) else {
                continue;
            };
            let (Some(element), Some(target)) = (
                one.elements.get(usize::from(property.element)),
                elements.get(property.type_index),
            ) else {
                continue;
            };
            let own = format!("{}.{}", one.name, element.name);
            // A backbone element is a type of that name, which is asked for below.
            let own = Some(own.as_str()).filter(|own| *own != target.name);
            let stem = element.name.strip_suffix("[x]").unwrap_or(element.name);
            let list = match value {
                Value::Array(list) => list.as_slice(),
                one => std::slice::from_ref(one),
            };
            for (index, item) in list.iter().enumerate() {
                if self.left == 0 {
                    return;
                }
                if item.is_null() {
                    continue;
                }
                let here = match value {
                    Value::Array(_) => format!("{path}.{stem}[{index}]"),
                    _ => format!("{path}.{stem}"),
                };
                if let Some(own) = own {
                    let node = Node::Element(Element {
                        value: Some(item),
                        sibling: None,
                        type_name: Some(target.name),
                    });
                    self.ask(own, &node, within, &here);
                }
                match target.kind {
                    Kind::Complex => self.object(target, item, within, &here),
                    Kind::Resource | Kind::AnyResource => {
                        let container = (key == "contained").then_some(within.resource);
                        self.resource(item, container, &here);
                    }
                    Kind::Primitive(_) => {}
                }
            }
        }
    }

    /// Asks those that are about this path.
    fn ask(&mut self, about: &str, node: &Node<'_>, within: Within<'_>, path: &str) {
        for invariant in INVARIANTS.get(about).into_iter().flatten() {
            let Constraint {
                key,
                human,
                is_warning,
                ..
            } = invariant.constraint;
            // What is contained has its container's narrative (R4 "References", 2.3.0.2).
            let is_contained = !std::ptr::eq(within.resource, within.root);
            if key == "dom-6" && is_contained {
                continue;
            }
            let Some(expression) = &invariant.expression else {
                self.skipped.insert(key);
                continue;
            };
            let budget = self.left.min(BUDGET_OF_ONE);
            let context = Context {
                budget,
                ..Context::default()
            };
            let resources = (within.resource, within.root);
            let (keeps, left) = expression.keeps(node.clone(), resources, &context);
            self.left -= budget - left;
            match keeps {
                Ok(true) => {}
                Ok(false) if self.issues.len() < MAX_ISSUES => {
                    let issue = Issue::error("invariant", format!("{key}: {human}")).at(path);
                    self.issues
                        .push(if is_warning { issue.warning() } else { issue });
                }
                Ok(false) => {}
                Err(EvalError::TooMuchWork) if budget < BUDGET_OF_ONE => self.left = 0,
                Err(_) => {
                    self.skipped.insert(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
