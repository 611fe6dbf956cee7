//! What to index of a resource type, compiled once: a tree of JSON keys for all parameters whose
//! expressions are paths (nearly all), the interpreter for the rest.
//!
//! A resource is then walked once; each of its properties is looked up in the tree once, however
//! many parameters look at it.

use std::collections::HashSet;

use super::composite::Composite;
use super::single;
use super::values::Shape;
use crate::fhir::definitions::elements::{FastMap, Kind, Type};
use crate::fhir::definitions::{Definitions, ParamId, ParamKind, SearchParam};
use crate::fhirpath::{
    Ast, Context, EvalError, Expr, Function, Literal, Operator, TypeSpec, parse, specialises,
};

/// What happens with a value that was reached.
#[derive(Debug)]
pub(super) enum Action {
    Row {
        param: ParamId,
        kind: ParamKind,
        shape: Shape,
    },
    Composite(Box<Composite>),
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// `where(resolve() is Type)`.
    Target(String),
    /// `where(key = 'text')`.
    Equals(&'static str, String),
}

/// A step to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Edge {
    Key(&'static str),
    Guard(Guard),
}

/// A place in the tree: what to do with the value, and where to go on.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) actions: Vec<Action>,
    pub(super) guards: Vec<(Guard, Tree)>,
    pub(super) children: FastMap<&'static str, Tree>,
}

impl Tree {
    fn add(&mut self, edges: &[Edge], action: Action) {
        let mut at = self;
        for edge in edges {
            at = match edge {
                Edge::Key(key) => at.children.entry(key).or_default(),
                Edge::Guard(guard) => {
                    let place = match at.guards.iter().position(|(known, _)| known == guard) {
                        Some(place) => place,
                        None => {
                            at.guards.push((guard.clone(), Self::default()));
                            at.guards.len() - 1
                        }
                    };
                    &mut at.guards[place].1
                }
            };
        }
        at.actions.push(action);
    }
}

/// All that is indexed of a resource type.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tree: Tree,
    /// Parameters that need the interpreter.
    pub(super) interpreted: Vec<(ParamId, ParamKind, Expr)>,
    /// Parameters whose expression cannot be used at all.
    pub(super) broken: Vec<ParamId>,
    /// The parameter that says whose the resource is.
    pub(super) patient: Option<ParamId>,
    /// Patient: a resource that is about itself.
    pub(super) is_patient: bool,
    /// Token parameters whose codes are told apart by case: identifiers and URIs.
    pub(super) exact: HashSet<ParamId>,
    /// Token parameters that find identifiers.
    pub(super) identifiers: HashSet<ParamId>,
    /// Reference parameters that find canonical URLs.
    pub(super) canonicals: HashSet<ParamId>,
    /// Token parameters of which every resource has one code, and of those that lack it.
    pub(super) required: Vec<(ParamId, ParamId)>,
}

/// Why a parameter finds nothing in a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its path names no element.
    Nothing,
    /// What it finds is not of its kind.
    Kind,
    /// The base of a composite is no path.
    NoPath,
    Evaluation(EvalError),
    /// A component, by its place.
    Component(usize),
}

impl Plan {
    /// Compiles the parameters of a type. `direct` false leaves all to the interpreter, which tests
    /// compare with.
    pub(super) fn compile(
        definitions: &'static Definitions,
        type_name: &str,
        params: &[SearchParam],
        patient: Option<ParamId>,
        direct: bool,
    ) -> Self {
        let mut plan = Self {
            patient,
            is_patient: type_name == "Patient",
            ..Self::default()
        };
        let Some(start) = Cursor::start(definitions, type_name) else {
            return plan;
        };
        for param in params.iter().filter(|param| !param.expression.is_empty()) {
            if single::is_required(definitions, type_name, param) {
                plan.required.push((param.id, single::lacking(param)));
            }
            let Ok(expression) = parse(&param.expression) else {
                plan.broken.push(param.id);
                continue;
            };
            let lowering = Lowering {
                definitions,
                start: start.clone(),
                root: start.clone(),
            };
            let cursors = lowering.lower(expression.ast());
            match (param.kind, cursors) {
                (ParamKind::Composite, Some(cursors)) => {
                    for cursor in cursors {
                        match composite(definitions, param, &start, &cursor) {
                            Some(composite) => {
                                let action = Action::Composite(Box::new(composite));
                                plan.tree.add(&cursor.edges, action);
                            }
                            None => plan.broken.push(param.id),
                        }
                        if let Some(more) = sampled(definitions, param, &start, &cursor) {
                            let action = Action::Composite(Box::new(more));
                            plan.tree.add(&cursor.edges, action);
                        }
                    }
                }
                (ParamKind::Composite, None) => plan.broken.push(param.id),
                (kind, cursors) if !direct || cursors.is_none() => {
                    if let Some(cursors) = &cursors {
                        plan.note(param.id, kind, cursors);
                    } else if kind == ParamKind::Token {
                        plan.exact.insert(param.id);
                    }
                    plan.interpreted.push((param.id, kind, expression));
                }
                (kind, Some(cursors)) => {
                    plan.note(param.id, kind, &cursors);
                    rows(&mut plan.tree, param.id, kind, &cursors);
                }
                (_, None) => {}
            }
        }
        plan.broken.dedup();
        plan
    }

    /// Whether a parameter can find anything in resources of a type.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn check(
        definitions: &'static Definitions,
        type_name: &str,
        param: &SearchParam,
    ) -> Result<(), Fault> {
        let start = Cursor::start(definitions, type_name).ok_or(Fault::Nothing)?;
        let expression = parse(&param.expression).map_err(|_| Fault::Nothing)?;
        let lowering = Lowering {
            definitions,
            start: start.clone(),
            root: start.clone(),
        };
        let Some(cursors) = lowering.lower(expression.ast()) else {
            if param.kind == ParamKind::Composite {
                return Err(Fault::NoPath);
            }
            // What more can be said shows on a resource.
            let least = serde_json::json!({"resourceType": type_name, "id": "x"});
            let found = expression.evaluate(&least, &Context::default());
            return found.map(|_| ()).map_err(Fault::Evaluation);
        };
        if cursors.is_empty() {
            return Err(Fault::Nothing);
        }
        let serves = |cursor: &Cursor, kind| {
            Shape::of(cursor.type_name, cursor.binding).is_some_and(|shape| shape.serves(kind))
        };
        if param.kind != ParamKind::Composite {
            let any = cursors.iter().any(|cursor| serves(cursor, param.kind));
            return if any { Ok(()) } else { Err(Fault::Kind) };
        }
        for (at, (component, text)) in param.components.iter().enumerate() {
            let found = cursors.iter().any(|base| {
                let lowering = Lowering {
                    definitions,
                    start: base.clone(),
                    root: start.clone(),
                };
                parse(text)
                    .ok()
                    .and_then(|expression| lowering.lower(expression.ast()))
                    .is_some_and(|found| found.iter().any(|cursor| serves(cursor, component.kind)))
            });
            if !found {
                return Err(Fault::Component(at));
            }
        }
        Ok(())
    }

    /// Notes what kind of values a parameter finds, where the search must know.
    fn note(&mut self, param: ParamId, kind: ParamKind, cursors: &[Cursor]) {
        let shapes = || {
            cursors
                .iter()
                .filter_map(|cursor| Shape::of(cursor.type_name, cursor.binding))
        };
        let by_case = |shape| {
            matches!(
                shape,
                Shape::Identifier | Shape::Reference | Shape::Text | Shape::Uri | Shape::Canonical
            )
        };
        if kind == ParamKind::Reference || (kind == ParamKind::Token && shapes().any(by_case)) {
            self.exact.insert(param);
        }
        if kind == ParamKind::Token && shapes().any(|shape| shape == Shape::Identifier) {
            self.identifiers.insert(param);
        }
        let by_url = |shape| matches!(shape, Shape::Uri | Shape::Canonical);
        if kind == ParamKind::Reference && shapes().any(by_url) {
            self.canonicals.insert(param);
        }
    }
}

/// Adds an action for each cursor whose type the kind of parameter indexes.
fn rows(tree: &mut Tree, param: ParamId, kind: ParamKind, cursors: &[Cursor]) {
    for cursor in cursors {
        let shape = Shape::of(cursor.type_name, cursor.binding);
        if let Some(shape) = shape.filter(|shape| shape.serves(kind)) {
            tree.add(&cursor.edges, Action::Row { param, kind, shape });
        }
    }
}

/// A composite at one of its bases. None where a component's expression is no path.
fn composite(
    definitions: &'static Definitions,
    param: &SearchParam,
    root: &Cursor,
    base: &Cursor,
) -> Option<Composite> {
    let parts = param.components.iter();
    let parts = parts.map(|(component, expression)| (component.kind, expression.clone()));
    combined(definitions, (param.id, param.id), parts, root, base)
}

/// What a composite of a code and the one quantity leaves out, see [`single::sampled`].
fn sampled(
    definitions: &'static Definitions,
    param: &SearchParam,
    root: &Cursor,
    base: &Cursor,
) -> Option<Composite> {
    let [(code, code_path), (number, path)] = param.components.as_slice() else {
        return None;
    };
    let is_one = code.kind == ParamKind::Token
        && number.kind == ParamKind::Quantity
        && param.expression == root.type_name;
    if !is_one || !path.contains("Quantity") || param.rules.is_some() {
        return None;
    }
    let parts = [
        (code.kind, code_path.clone()),
        (number.kind, path.replace("Quantity", "SampledData")),
    ];
    let id = (param.id, single::sampled(param));
    combined(definitions, id, parts.into_iter(), root, base)
}

/// `ids`: the parameter, and what its rows bear.
fn combined(
    definitions: &'static Definitions,
    ids: (ParamId, ParamId),
    components: impl Iterator<Item = (ParamKind, String)>,
    root: &Cursor,
    base: &Cursor,
) -> Option<Composite> {
    let mut parts = Vec::new();
    for (kind, expression) in components {
        let start = Cursor {
            edges: Vec::new(),
            ..base.clone()
        };
        let lowering = Lowering {
            definitions,
            start,
            root: root.clone(),
        };
        let cursors = lowering.lower(parse(&expression).ok()?.ast())?;
        let (of_root, of_base): (Vec<_>, Vec<_>) =
            cursors.into_iter().partition(|cursor| cursor.of_root);
        let mut part = super::composite::Part::default();
        rows(&mut part.from_base, ids.0, kind, &of_base);
        rows(&mut part.from_root, ids.0, kind, &of_root);
        parts.push(part);
    }
    Some(Composite {
        param: ids.1,
        parts,
    })
}

/// Where a path has come to.
#[derive(Clone, Debug)]
struct Cursor {
    edges: Vec<Edge>,
    type_name: &'static str,
    /// Of the element, if bound to a value set.
    binding: Option<u16>,
    /// Started at `%resource`, not at the focus.
    of_root: bool,
    /// Stands on one type of a choice.
    chosen: bool,
}

impl Cursor {
    fn start(definitions: &'static Definitions, type_name: &str) -> Option<Self> {
        let (_, one) = definitions.elements().by_name(type_name)?;
        Some(Self {
            edges: Vec::new(),
            type_name: one.name,
            binding: None,
            of_root: false,
            chosen: false,
        })
    }

    fn then(&self, edge: Edge) -> Self {
        let mut next = self.clone();
        next.edges.push(edge);
        next
    }
}

struct Lowering {
    definitions: &'static Definitions,
    start: Cursor,
    root: Cursor,
}

impl Lowering {
    /// The paths of an expression. None if it is more than paths.
    fn lower(&self, ast: &Ast) -> Option<Vec<Cursor>> {
        match ast {
            Ast::This => Some(vec![self.start.clone()]),
            Ast::Variable(name) if name == "resource" => Some(vec![Cursor {
                of_root: true,
                ..self.root.clone()
            }]),
            Ast::Start(name) => {
                let own = self.start.type_name;
                let capital = name.plain.starts_with(|c: char| c.is_ascii_uppercase());
                if capital && specialises(own, &name.plain) {
                    return Some(vec![self.start.clone()]);
                }
                self.member(&self.start, &name.plain)
            }
            Ast::Member(input, name) => {
                let mut found = Vec::new();
                for cursor in self.lower(input)? {
                    found.extend(self.member(&cursor, &name.plain)?);
                }
                Some(found)
            }
            Ast::As(input, spec) => {
                let mut found = self.lower(input)?;
                found.retain(|cursor| passes(cursor, spec));
                Some(found)
            }
            Ast::Binary(Operator::Union, left, right) => {
                let mut found = self.lower(left)?;
                found.extend(self.lower(right)?);
                Some(found)
            }
            Ast::Call(Some(input), Function::Where, arguments) => {
                let [criterion] = arguments.as_slice() else {
                    return None;
                };
                let found = self.lower(input)?;
                let guards = found.iter().map(|cursor| self.guard(cursor, criterion));
                let guards: Option<Vec<Guard>> = guards.collect();
                let pairs = found.iter().zip(guards?);
                Some(
                    pairs
                        .map(|(cursor, guard)| cursor.then(Edge::Guard(guard)))
                        .collect(),
                )
            }
            Ast::Call(Some(input), Function::Extension, arguments) => {
                let [Ast::Literal(Literal::String(url))] = arguments.as_slice() else {
                    return None;
                };
                let mut found = Vec::new();
                for cursor in self.lower(input)? {
                    // A primitive's extensions stand elsewhere; leave them to the interpreter.
                    if matches!(self.type_of(&cursor)?.kind, Kind::Primitive(_)) {
                        return None;
                    }
                    let guard = Edge::Guard(Guard::Equals("url", url.clone()));
                    let all = self.member(&cursor, "extension")?;
                    found.extend(all.iter().map(|cursor| cursor.then(guard.clone())));
                }
                Some(found)
            }
            _ => None,
        }
    }

    fn type_of(&self, cursor: &Cursor) -> Option<&'static Type> {
        Some(self.definitions.elements().by_name(cursor.type_name)?.1)
    }

    /// The child elements of this name; every type of a choice. None where the type is not known
    /// before the resource is seen.
    fn member(&self, cursor: &Cursor, name: &str) -> Option<Vec<Cursor>> {
        let one = self.type_of(cursor)?;
        if one.kind == Kind::AnyResource || matches!(one.kind, Kind::Primitive(_)) {
            return None;
        }
        let stem = |defined: &str| defined.strip_suffix("[x]") == Some(name);
        let exact = one.properties.contains_key(name);
        let mut found = Vec::new();
        for (key, property) in &one.properties {
            let element = one.elements.get(usize::from(property.element))?;
            if if exact {
                *key == name
            } else {
                stem(element.name)
            } {
                let of = self.definitions.elements().get(property.type_index)?;
                let mut next = cursor.then(Edge::Key(key));
                next.type_name = of.name;
                next.binding = element.binding;
                next.chosen = element.name.ends_with("[x]");
                found.push(next);
            }
        }
        // In the order of their names, so that a plan is the same in every process.
        found.sort_by(|a, b| a.type_name.cmp(b.type_name));
        Some(found)
    }

    fn guard(&self, cursor: &Cursor, criterion: &Ast) -> Option<Guard> {
        match criterion {
            Ast::Is(input, spec) if spec.namespace.as_deref() != Some("System") => {
                let resolves = matches!(input.as_ref(), Ast::Call(None, Function::Resolve, _));
                resolves.then(|| Guard::Target(spec.name.clone()))
            }
            Ast::Binary(Operator::Equal, left, right) => {
                let (Ast::Start(name), Ast::Literal(Literal::String(text))) =
                    (left.as_ref(), right.as_ref())
                else {
                    return None;
                };
                let one = self.type_of(cursor)?;
                let (key, property) = one.properties.get_key_value(name.plain.as_str())?;
                let of = self.definitions.elements().get(property.type_index)?;
                let single = !one.elements.get(usize::from(property.element))?.is_array();
                let primitive = matches!(of.kind, Kind::Primitive(_));
                (single && primitive).then(|| Guard::Equals(key, text.clone()))
            }
            _ => None,
        }
    }
}

/// `as` on a path: whether its type is the wanted one, or converts to it.
fn passes(cursor: &Cursor, spec: &TypeSpec) -> bool {
    specialises(cursor.type_name, &spec.name)
        || matches!(
            (cursor.type_name, spec.name.as_str()),
            ("dateTime" | "instant", "DateTime")
                | ("date", "Date")
                | ("string", "String")
                | ("boolean", "Boolean")
        )
}
