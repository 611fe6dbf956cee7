//! The evaluator: a tree walk over borrowed collections, with a budget.

use std::borrow::Cow;
use std::cell::Cell;

use rust_decimal::Decimal;
use serde_json::Value;

use super::ast::{Ast, Literal, Operator};
use super::function::Function;
use super::node::{Element, Node};
use super::quantity::Quantity;
use super::temporal::Time;
use super::types::specialises;
use super::{Context, EvalError, convert, math, operators, reference, strings};
use crate::fhir::date::PartialDate;

pub(crate) type Items<'a> = Vec<Node<'a>>;
pub(crate) type Found<'a> = Result<Items<'a>, EvalError>;

pub(crate) fn evaluate<'a>(
    ast: &'a Ast,
    focus: Node<'a>,
    resource: &'a Value,
    context: &Context,
) -> Found<'a> {
    evaluate_within(ast, focus, (resource, resource), context).0
}

/// The same within a resource and the resource that contains it, and what is left of the budget.
pub(crate) fn evaluate_within<'a>(
    ast: &'a Ast,
    focus: Node<'a>,
    (resource, root): (&'a Value, &'a Value),
    context: &Context,
) -> (Found<'a>, u32) {
    let evaluator = Evaluator {
        resource,
        root,
        focus: focus.clone(),
        now: context
            .now
            .and_then(|now| PartialDate::from_millis(now, context.offset)),
        left: Cell::new(context.budget),
    };
    let this = [focus];
    let found = evaluator.eval(
        ast,
        Scope {
            this: &this,
            index: None,
            total: None,
        },
    );
    (found, evaluator.left.get())
}

/// A collection as a condition: none when empty, true for a single item that is no boolean.
pub(crate) fn truth(items: &[Node<'_>], who: &'static str) -> Result<Option<bool>, EvalError> {
    match items {
        [] => Ok(None),
        [item] => match item.system() {
            Node::Boolean(value) => Ok(Some(value)),
            _ => Ok(Some(true)),
        },
        _ => Err(EvalError::NotSingle(who)),
    }
}

/// The one item, none when empty.
pub(crate) fn single<'n, 'a>(
    items: &'n [Node<'a>],
    who: &'static str,
) -> Result<Option<&'n Node<'a>>, EvalError> {
    match items {
        [] => Ok(None),
        [item] => Ok(Some(item)),
        _ => Err(EvalError::NotSingle(who)),
    }
}

/// What `$this`, `$index` and `$total` mean, and what names at the start of an expression are of.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s, 'a> {
    pub(crate) this: &'s [Node<'a>],
    index: Option<usize>,
    total: Option<&'s [Node<'a>]>,
}

pub(crate) struct Evaluator<'a> {
    resource: &'a Value,
    /// What contains the resource, or the resource itself.
    root: &'a Value,
    focus: Node<'a>,
    now: Option<PartialDate>,
    left: Cell<u32>,
}

impl<'a> Evaluator<'a> {
    /// Pays for work done or items made.
    pub(crate) fn charge(&self, work: usize) -> Result<(), EvalError> {
        let work = u32::try_from(work).unwrap_or(u32::MAX);
        let left = self
            .left
            .get()
            .checked_sub(work)
            .ok_or(EvalError::TooMuchWork)?;
        self.left.set(left);
        Ok(())
    }

    pub(crate) fn eval(&self, ast: &'a Ast, scope: Scope<'_, 'a>) -> Found<'a> {
        self.charge(1)?;
        let found = match ast {
            Ast::Literal(literal) => literal_items(literal),
            Ast::This => scope.this.to_vec(),
            Ast::Index => scope
                .index
                .and_then(|index| i64::try_from(index).ok())
                .map_or_else(Vec::new, |index| vec![Node::Integer(index)]),
            Ast::Total => scope.total.map_or_else(Vec::new, <[_]>::to_vec),
            Ast::Variable(name) => self.variable(name)?,
            Ast::Start(name) => {
                let mut found = Vec::new();
                for item in scope.this {
                    let type_name = match item {
                        Node::Element(Element { type_name, .. }) => *type_name,
                        _ => None,
                    };
                    let capital = name.plain.starts_with(|c: char| c.is_ascii_uppercase());
                    if capital && type_name.is_some_and(|own| specialises(own, &name.plain)) {
                        found.push(item.clone());
                    } else {
                        item.member(name, &mut found);
                    }
                }
                found
            }
            Ast::Member(input, name) => {
                let mut found = Vec::new();
                for item in &self.eval(input, scope)? {
                    item.member(name, &mut found);
                }
                found
            }
            Ast::Call(input, function, arguments) => match input {
                Some(input) => {
                    let input = self.eval(input, scope)?;
                    self.call(*function, &input, arguments, scope)?
                }
                None => self.call(*function, scope.this, arguments, scope)?,
            },
            Ast::Is(input, spec) => {
                let input = self.eval(input, scope)?;
                single(&input, "is")?.map_or_else(Vec::new, |item| boolean(item.is(spec)))
            }
            Ast::As(input, spec) => {
                let mut found = self.eval(input, scope)?;
                found.retain(|item| item.passes_as(spec));
                found
            }
            Ast::At(input, index) => {
                let input = self.eval(input, scope)?;
                let index = self.eval(index, scope)?;
                match integer(&index, "an index")?.map(usize::try_from) {
                    Some(Ok(index)) => input.get(index).cloned().into_iter().collect(),
                    _ => Vec::new(),
                }
            }
            Ast::Negate(input) => math::negate(&self.eval(input, scope)?)?,
            Ast::Plus(input) => math::positive(self.eval(input, scope)?)?,
            Ast::Binary(operator, left, right) => self.binary(*operator, left, right, scope)?,
        };
        self.charge(found.len())?;
        Ok(found)
    }

    fn variable(&self, name: &str) -> Found<'a> {
        let text = |text: &str| Ok(vec![Node::String(Cow::Owned(text.to_owned()))]);
        match name {
            "resource" => Ok(vec![Node::of(self.resource)]),
            "rootResource" => Ok(vec![Node::of(self.root)]),
            "context" => Ok(vec![self.focus.clone()]),
            "ucum" => text("http://unitsofmeasure.org"),
            "sct" => text("http://snomed.info/sct"),
            "loinc" => text("http://loinc.org"),
            _ => {
                if let Some(id) = name.strip_prefix("vs-") {
                    text(&format!("http://hl7.org/fhir/ValueSet/{id}"))
                } else if let Some(id) = name.strip_prefix("ext-") {
                    text(&format!("http://hl7.org/fhir/StructureDefinition/{id}"))
                } else {
                    Err(EvalError::UnknownVariable)
                }
            }
        }
    }

    fn binary(
        &self,
        operator: Operator,
        left: &'a Ast,
        right: &'a Ast,
        scope: Scope<'_, 'a>,
    ) -> Found<'a> {
        let first = self.eval(left, scope)?;
        // The logical operators look at the right side only where it matters: `x.exists() and ...`
        // guards what follows.
        if let Operator::And | Operator::Or | Operator::Xor | Operator::Implies = operator {
            let first = truth(&first, "a logical operator")?;
            match (operator, first) {
                (Operator::And, Some(false)) => return Ok(boolean(false)),
                (Operator::Or, Some(true)) | (Operator::Implies, Some(false)) => {
                    return Ok(boolean(true));
                }
                _ => {}
            }
            let second = truth(&self.eval(right, scope)?, "a logical operator")?;
            return Ok(operators::logic(operator, first, second).map_or_else(Vec::new, boolean));
        }
        let second = self.eval(right, scope)?;
        operators::apply(self, operator, first, second)
    }

    /// An argument that is evaluated once, where the function itself stands.
    pub(crate) fn argument(&self, ast: Option<&'a Ast>, scope: Scope<'_, 'a>) -> Found<'a> {
        ast.map_or_else(|| Ok(Vec::new()), |ast| self.eval(ast, scope))
    }

    /// An argument that is evaluated for one item of the input.
    fn each(&self, ast: &'a Ast, item: &Node<'a>, index: usize, scope: Scope<'_, 'a>) -> Found<'a> {
        let this = std::slice::from_ref(item);
        self.eval(
            ast,
            Scope {
                this,
                index: Some(index),
                total: scope.total,
            },
        )
    }

    fn call(
        &self,
        function: Function,
        input: &[Node<'a>],
        arguments: &'a [Ast],
        scope: Scope<'_, 'a>,
    ) -> Found<'a> {
        use Function as F;
        let first = arguments.first();
        let bools = |wanted: bool| {
            input.iter().map(move |item| match item.system() {
                Node::Boolean(value) => Ok(value == wanted),
                _ => Err(EvalError::WrongType(function.name())),
            })
        };
        Ok(match function {
            F::Empty => boolean(input.is_empty()),
            F::Exists => match first {
                None => boolean(!input.is_empty()),
                Some(criterion) => boolean(!self.filter(input, criterion, scope)?.is_empty()),
            },
            F::All => {
                for (index, item) in input.iter().enumerate() {
                    let Some(criterion) = first else { break };
                    let found = self.each(criterion, item, index, scope)?;
                    if truth(&found, "all")? != Some(true) {
                        return Ok(boolean(false));
                    }
                }
                boolean(true)
            }
            F::AllTrue => boolean(!bools(false).collect::<Result<Vec<_>, _>>()?.contains(&true)),
            F::AnyTrue => boolean(bools(true).collect::<Result<Vec<_>, _>>()?.contains(&true)),
            F::AllFalse => boolean(!bools(true).collect::<Result<Vec<_>, _>>()?.contains(&true)),
            F::AnyFalse => boolean(bools(false).collect::<Result<Vec<_>, _>>()?.contains(&true)),
            F::Count => vec![Node::Integer(
                i64::try_from(input.len()).unwrap_or(i64::MAX),
            )],
            F::Where => match first {
                Some(criterion) => self.filter(input, criterion, scope)?,
                None => Vec::new(),
            },
            F::Select => {
                let mut found = Vec::new();
                for (index, item) in input.iter().enumerate() {
                    let Some(projection) = first else { break };
                    found.extend(self.each(projection, item, index, scope)?);
                }
                found
            }
            F::Repeat => self.repeat(input, first, scope)?,
            F::Single => single(input, "single")?.cloned().into_iter().collect(),
            F::First => input.first().cloned().into_iter().collect(),
            F::Last => input.last().cloned().into_iter().collect(),
            F::Tail => input.get(1..).unwrap_or_default().to_vec(),
            F::Skip | F::Take => {
                let count = self.argument(first, scope)?;
                let Some(count) = integer(&count, function.name())? else {
                    return Ok(Vec::new());
                };
                let at = usize::try_from(count.max(0))
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                let (head, tail) = input.split_at(at);
                if function == F::Take {
                    head.to_vec()
                } else {
                    tail.to_vec()
                }
            }
            F::Distinct => operators::distinct(self, input.to_vec())?,
            F::IsDistinct => {
                boolean(operators::distinct(self, input.to_vec())?.len() == input.len())
            }
            F::SubsetOf | F::SupersetOf | F::Intersect | F::Exclude | F::Union | F::Combine => {
                let other = self.argument(first, scope)?;
                operators::sets(self, function, input, other)?
            }
            F::Iif => {
                let scope = match input {
                    [_] => Scope {
                        this: input,
                        ..scope
                    },
                    _ => scope,
                };
                let condition = self.argument(first, scope)?;
                let chosen = match truth(&condition, "iif")? {
                    Some(true) => arguments.get(1),
                    _ => arguments.get(2),
                };
                self.argument(chosen, scope)?
            }
            F::Children => {
                let mut found = Vec::new();
                input.iter().for_each(|item| item.children(&mut found));
                found
            }
            F::Descendants => {
                let mut found = Vec::new();
                input.iter().for_each(|item| item.children(&mut found));
                let mut next = 0;
                while let Some(item) = found.get(next).cloned() {
                    self.charge(1)?;
                    item.children(&mut found);
                    next += 1;
                }
                found
            }
            // Traces would carry patients' data into logs.
            F::Trace => input.to_vec(),
            F::Now => vec![Node::DateTime(self.now.ok_or(EvalError::NoClock)?)],
            F::Today => vec![Node::Date(self.now.ok_or(EvalError::NoClock)?.date())],
            F::TimeOfDay => vec![Node::Time(Time::of(&self.now.ok_or(EvalError::NoClock)?))],
            F::Not => match single(input, "not")?.map(Node::system) {
                None => Vec::new(),
                Some(Node::Boolean(value)) => boolean(!value),
                Some(Node::Integer(value)) => boolean(value == 0),
                Some(_) => boolean(false),
            },
            F::Type => input.iter().map(Node::type_info).collect(),
            F::Aggregate => {
                let mut total = self.argument(arguments.get(1), scope)?;
                for (index, item) in input.iter().enumerate() {
                    let Some(aggregator) = first else { break };
                    let this = std::slice::from_ref(item);
                    let inner = Scope {
                        this,
                        index: Some(index),
                        total: Some(&total),
                    };
                    total = self.eval(aggregator, inner)?;
                }
                total
            }
            F::Extension | F::HasExtension => {
                let url = self.argument(first, scope)?;
                let url = single(&url, "extension")?.and_then(Node::text);
                let mut found = Vec::new();
                for item in input {
                    extensions(item, url.as_deref().unwrap_or(""), &mut found);
                }
                if function == F::HasExtension {
                    boolean(!found.is_empty())
                } else {
                    found
                }
            }
            F::HasValue => boolean(matches!(input, [item] if has_value(item))),
            F::GetValue => match input {
                [item] if has_value(item) => vec![item.system()],
                _ => Vec::new(),
            },
            F::Resolve => input.iter().filter_map(|item| self.resolve(item)).collect(),
            F::ToBoolean
            | F::ToInteger
            | F::ToDecimal
            | F::ToString
            | F::ToDate
            | F::ToDateTime
            | F::ToTime
            | F::ToQuantity
            | F::ConvertsToBoolean
            | F::ConvertsToInteger
            | F::ConvertsToDecimal
            | F::ConvertsToString
            | F::ConvertsToDate
            | F::ConvertsToDateTime
            | F::ConvertsToTime
            | F::ConvertsToQuantity => convert::call(function, input)?,
            F::Abs
            | F::Ceiling
            | F::Exp
            | F::Floor
            | F::Ln
            | F::Log
            | F::Power
            | F::Round
            | F::Sqrt
            | F::Truncate => math::call(function, input, &self.argument(first, scope)?)?,
            F::IndexOf
            | F::LastIndexOf
            | F::Substring
            | F::StartsWith
            | F::EndsWith
            | F::ContainsText
            | F::Upper
            | F::Lower
            | F::Replace
            | F::Matches
            | F::MatchesFull
            | F::ReplaceMatches
            | F::Length
            | F::ToChars
            | F::Trim
            | F::Escape
            | F::Unescape
            | F::Split
            | F::Join => {
                let one = self.argument(first, scope)?;
                let two = self.argument(arguments.get(1), scope)?;
                strings::call(self, function, input, [&one, &two])?
            }
        })
    }

    fn filter(&self, input: &[Node<'a>], criterion: &'a Ast, scope: Scope<'_, 'a>) -> Found<'a> {
        let mut found = Vec::new();
        for (index, item) in input.iter().enumerate() {
            if truth(&self.each(criterion, item, index, scope)?, "where")? == Some(true) {
                found.push(item.clone());
            }
        }
        Ok(found)
    }

    fn repeat(&self, input: &[Node<'a>], ast: Option<&'a Ast>, scope: Scope<'_, 'a>) -> Found<'a> {
        let Some(ast) = ast else {
            return Ok(Vec::new());
        };
        let mut found: Items<'a> = Vec::new();
        let mut queue: std::collections::VecDeque<Node<'a>> = input.iter().cloned().collect();
        while let Some(item) = queue.pop_front() {
            for next in self.each(ast, &item, 0, scope)? {
                // An element is new by its place; only computed values can come again and again.
                self.charge(found.len() / 16 + 1)?;
                let known = found.iter().any(|known| match (known, &next) {
                    (Node::Element(_), Node::Element(_)) => known.same_place(&next),
                    _ => operators::equal(known, &next) == Some(true),
                });
                if !known {
                    found.push(next.clone());
                    queue.push_back(next);
                }
            }
        }
        Ok(found)
    }

    fn resolve(&self, item: &Node<'a>) -> Option<Node<'a>> {
        let contained = |id: &str| reference::contained(self.resource, id);
        let Node::Element(Element {
            value: Some(value), ..
        }) = item
        else {
            return None;
        };
        let text = match value {
            Value::String(text) => Some(text.as_str()),
            value => value.get("reference").and_then(Value::as_str),
        };
        if let Some(id) = text.and_then(|text| text.strip_prefix('#')) {
            return contained(id).map(Node::of);
        }
        let type_name = match value {
            Value::String(text) => reference::text_type(text, contained),
            value => reference::target_type(value, contained),
        };
        (text.is_some() || type_name.is_some()).then_some(Node::Target(type_name))
    }
}

/// A collection of one boolean.
pub(crate) fn boolean<'a>(value: bool) -> Items<'a> {
    vec![Node::Boolean(value)]
}

/// The one integer, none when empty.
pub(crate) fn integer(items: &[Node<'_>], who: &'static str) -> Result<Option<i64>, EvalError> {
    match single(items, who)?.map(Node::system) {
        None => Ok(None),
        Some(Node::Integer(value)) => Ok(Some(value)),
        Some(_) => Err(EvalError::WrongType(who)),
    }
}

fn has_value(item: &Node<'_>) -> bool {
    match item {
        Node::Element(element) => element
            .value
            .is_some_and(|value| !value.is_object() && !value.is_array()),
        Node::Target(_) | Node::Type { .. } => false,
        _ => true,
    }
}

fn extensions<'a>(item: &Node<'a>, url: &str, found: &mut Items<'a>) {
    let Node::Element(element) = item else { return };
    let holder = match element.value {
        Some(value @ Value::Object(_)) => Some(value),
        _ => element.sibling,
    };
    let Some(Value::Array(all)) = holder.and_then(|holder| holder.get("extension")) else {
        return;
    };
    found.extend(
        all.iter()
            .filter(|one| one.get("url").and_then(Value::as_str) == Some(url))
            .map(|one| {
                let type_name = Some("Extension");
                Node::Element(Element {
                    value: Some(one),
                    sibling: None,
                    type_name,
                })
            }),
    );
}

fn literal_items(literal: &Literal) -> Items<'_> {
    vec![match literal {
        Literal::Empty => return Vec::new(),
        Literal::Boolean(value) => Node::Boolean(*value),
        Literal::String(text) => Node::String(Cow::Borrowed(text)),
        Literal::Integer(value) => Node::Integer(*value),
        Literal::Decimal(value) => Node::Decimal(*value),
        Literal::Date(date) => Node::Date(*date),
        Literal::DateTime(date) => Node::DateTime(*date),
        Literal::Time(time) => Node::Time(*time),
        Literal::Quantity(value, unit) => quantity(*value, unit),
    }]
}

fn quantity(value: Decimal, unit: &str) -> Node<'_> {
    Node::Quantity(Quantity {
        value,
        unit: Cow::Borrowed(unit),
    })
}
