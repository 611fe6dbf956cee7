//! Equality, comparison, sets, arithmetic and logic (N1 section 6).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use rust_decimal::Decimal;
use serde_json::Value;

use super::EvalError;
use super::ast::Operator;
use super::eval::{Evaluator, Found, Items, boolean, single};
use super::function::Function;
use super::node::{Node, decimal};
use super::quantity::Quantity;
use super::temporal::{self, Time};
use crate::fhir::date::PartialDate;

/// Every operator but the logical ones.
pub(crate) fn apply<'a>(
    evaluator: &Evaluator<'a>,
    operator: Operator,
    left: Items<'a>,
    right: Items<'a>,
) -> Found<'a> {
    let maybe = |value: Option<bool>| value.map_or_else(Vec::new, boolean);
    Ok(match operator {
        Operator::Union => {
            let mut all = left;
            all.extend(right);
            distinct(evaluator, all)?
        }
        Operator::Equal => maybe(all_equal(&left, &right)),
        Operator::NotEqual => maybe(all_equal(&left, &right).map(|equal| !equal)),
        Operator::Equivalent => boolean(all_equivalent(evaluator, &left, &right)?),
        Operator::NotEquivalent => boolean(!all_equivalent(evaluator, &left, &right)?),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let (Some(left), Some(right)) = (
                single(&left, "a comparison")?,
                single(&right, "a comparison")?,
            ) else {
                return Ok(Vec::new());
            };
            maybe(compare(left, right)?.map(|order| match operator {
                Operator::Less => order == Ordering::Less,
                Operator::LessOrEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        Operator::In => match single(&left, "in")? {
            Some(item) => boolean(holds(evaluator, &right, item)?),
            None => Vec::new(),
        },
        Operator::Contains => match single(&right, "contains")? {
            Some(item) => boolean(holds(evaluator, &left, item)?),
            None => Vec::new(),
        },
        Operator::Concatenate => {
            let text = |items: &[Node<'a>]| match single(items, "&")? {
                None => Ok(String::new()),
                Some(item) => item
                    .text()
                    .map(Cow::into_owned)
                    .ok_or(EvalError::WrongType("&")),
            };
            let text = text(&left)? + &text(&right)?;
            evaluator.charge(text.len() / 64)?;
            vec![Node::String(Cow::Owned(text))]
        }
        Operator::Multiply
        | Operator::Divide
        | Operator::Div
        | Operator::Mod
        | Operator::Add
        | Operator::Subtract => {
            let (Some(left), Some(right)) =
                (single(&left, "arithmetic")?, single(&right, "arithmetic")?)
            else {
                return Ok(Vec::new());
            };
            let found = arithmetic(operator, left, right)?;
            if let Some(Node::String(text)) = &found {
                evaluator.charge(text.len() / 64)?;
            }
            found.into_iter().collect()
        }
        Operator::And | Operator::Or | Operator::Xor | Operator::Implies => Vec::new(),
    })
}

/// Three-valued logic.
pub(crate) fn logic(operator: Operator, left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (operator, left, right) {
        (Operator::And, Some(false), _) | (Operator::And, _, Some(false)) => Some(false),
        (Operator::And, Some(true), Some(true)) => Some(true),
        (Operator::Or, Some(true), _) | (Operator::Or, _, Some(true)) => Some(true),
        (Operator::Or, Some(false), Some(false)) => Some(false),
        (Operator::Xor, Some(left), Some(right)) => Some(left != right),
        (Operator::Implies, Some(false), _) | (Operator::Implies, _, Some(true)) => Some(true),
        (Operator::Implies, Some(true), right) => right,
        _ => None,
    }
}

/// Without what equals an earlier item.
pub(crate) fn distinct<'a>(evaluator: &Evaluator<'a>, mut items: Items<'a>) -> Found<'a> {
    // A value set has thousands of codes: plain strings go by hash, anything else one by one.
    let texts: Option<Vec<Cow<'a, str>>> = items
        .iter()
        .map(|item| match item.system() {
            Node::String(text) => Some(text),
            _ => None,
        })
        .collect();
    if let Some(texts) = texts {
        evaluator.charge(items.len())?;
        let mut seen = HashSet::with_capacity(items.len());
        let mut new = texts.into_iter().map(|text| seen.insert(text));
        items.retain(|_| new.next().unwrap_or(true));
        return Ok(items);
    }
    let mut found: Items<'a> = Vec::with_capacity(items.len());
    for item in items {
        if !holds(evaluator, &found, &item)? {
            found.push(item);
        }
    }
    Ok(found)
}

fn holds(
    evaluator: &Evaluator<'_>,
    items: &[Node<'_>],
    item: &Node<'_>,
) -> Result<bool, EvalError> {
    evaluator.charge(items.len() / 16)?;
    Ok(items
        .iter()
        .any(|other| other.same_place(item) || equal(other, item) == Some(true)))
}

pub(crate) fn sets<'a>(
    evaluator: &Evaluator<'a>,
    function: Function,
    input: &[Node<'a>],
    other: Items<'a>,
) -> Found<'a> {
    let within = |items: &[Node<'a>], all: &[Node<'a>]| -> Result<bool, EvalError> {
        for item in items {
            if !holds(evaluator, all, item)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match function {
        Function::SubsetOf => boolean(within(input, &other)?),
        Function::SupersetOf => boolean(within(&other, input)?),
        Function::Intersect | Function::Exclude => {
            let wanted = function == Function::Intersect;
            let mut kept = Vec::new();
            for item in input {
                if holds(evaluator, &other, item)? == wanted {
                    kept.push(item.clone());
                }
            }
            if wanted {
                distinct(evaluator, kept)?
            } else {
                kept
            }
        }
        _ => {
            let mut all = input.to_vec();
            all.extend(other);
            if function == Function::Union {
                distinct(evaluator, all)?
            } else {
                all
            }
        }
    })
}

/// Equality of collections: in order, item by item; empty (none) if either is.
fn all_equal(left: &[Node<'_>], right: &[Node<'_>]) -> Option<bool> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    if left.len() != right.len() {
        return Some(false);
    }
    let mut unknown = false;
    for (left, right) in left.iter().zip(right) {
        match equal(left, right) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => unknown = true,
        }
    }
    (!unknown).then_some(true)
}

/// A date or time that a string element may be, where its type is not known.
enum Moment {
    Date(PartialDate),
    Time(Time),
}

fn moment(node: &Node<'_>) -> Option<Moment> {
    match node {
        Node::Date(date) | Node::DateTime(date) => Some(Moment::Date(*date)),
        Node::Time(time) => Some(Moment::Time(*time)),
        Node::Element(_) => match node.system() {
            Node::Date(date) | Node::DateTime(date) => Some(Moment::Date(date)),
            Node::Time(time) => Some(Moment::Time(time)),
            Node::String(text) => PartialDate::parse_search(&text).map(Moment::Date),
            _ => None,
        },
        _ => None,
    }
}

/// Whether both are strings, so that no date is guessed.
fn both_strings(left: &Node<'_>, right: &Node<'_>) -> bool {
    matches!((left, right), (Node::String(_), Node::String(_)))
}

/// Equality of two items; none where it cannot be told.
pub(crate) fn equal(left: &Node<'_>, right: &Node<'_>) -> Option<bool> {
    let (a, b) = (left.system(), right.system());
    Some(match (&a, &b) {
        (Node::Boolean(a), Node::Boolean(b)) => a == b,
        (Node::Integer(a), Node::Integer(b)) => a == b,
        (Node::String(a), Node::String(b)) => a == b,
        (
            Node::Type {
                namespace: a,
                name: x,
            },
            Node::Type {
                namespace: b,
                name: y,
            },
        ) => a == b && x == y,
        (Node::Target(a), Node::Target(b)) => a.is_some() && a == b,
        _ => {
            if let (Some(a), Some(b)) = (number(&a), number(&b)) {
                return Some(a == b);
            }
            if !both_strings(&a, &b)
                && let (Some(a), Some(b)) = (moment(left), moment(right))
            {
                return match (a, b) {
                    (Moment::Date(a), Moment::Date(b)) => {
                        temporal::compare(&a, &b).map(Ordering::is_eq)
                    }
                    (Moment::Time(a), Moment::Time(b)) => a.compare(&b).map(Ordering::is_eq),
                    _ => Some(false),
                };
            }
            if let (Node::Element(x), Node::Element(y)) = (left, right) {
                return match (x.value, y.value) {
                    (Some(x), Some(y)) => Some(json_equal(x, y)),
                    _ => Some(left.same_place(right)),
                };
            }
            if matches!(a, Node::Quantity(_)) || matches!(b, Node::Quantity(_)) {
                let (Some(a), Some(b)) = (a.quantity(), b.quantity()) else {
                    return Some(false);
                };
                return match a.compare(&b) {
                    Some(order) => Some(order.is_eq()),
                    // Units that do not convert: different things, unless calendar meets UCUM.
                    None => unit_kinds_differ(&a, &b).then_some(false),
                };
            }
            false
        }
    })
}

/// False where a calendar year or month meets its UCUM namesake, whose equality is unknown.
fn unit_kinds_differ(left: &Quantity<'_>, right: &Quantity<'_>) -> bool {
    !matches!(
        (left.unit.as_ref(), right.unit.as_ref()),
        ("year", "a") | ("a", "year") | ("month", "mo") | ("mo", "month")
    )
}

fn number(node: &Node<'_>) -> Option<Decimal> {
    match node {
        Node::Integer(value) => Some(Decimal::from(*value)),
        Node::Decimal(value) => Some(*value),
        _ => None,
    }
}

/// Deep equality of JSON: order of properties does not matter, of items it does, and numbers are
/// equal by value.
fn json_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_str() == b.as_str()
                || matches!((decimal(a.as_str()), decimal(b.as_str())), (Some(a), Some(b)) if a == b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| json_equal(a, b)))
        }
        _ => left == right,
    }
}

/// Equivalence of collections: order does not matter, both empty is true.
fn all_equivalent(
    evaluator: &Evaluator<'_>,
    left: &[Node<'_>],
    right: &[Node<'_>],
) -> Result<bool, EvalError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    let mut open: Vec<&Node<'_>> = right.iter().collect();
    for item in left {
        evaluator.charge(open.len() / 16)?;
        match open.iter().position(|other| equivalent(item, other)) {
            Some(at) => drop(open.swap_remove(at)),
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn equivalent(left: &Node<'_>, right: &Node<'_>) -> bool {
    let (a, b) = (left.system(), right.system());
    match (&a, &b) {
        (Node::String(a), Node::String(b)) => same_words(a, b),
        (Node::Integer(_) | Node::Decimal(_), Node::Integer(_) | Node::Decimal(_)) => {
            let (Some(a), Some(b)) = (number(&a), number(&b)) else {
                return false;
            };
            let places = a.scale().min(b.scale());
            a.round_dp(places) == b.round_dp(places)
        }
        (Node::Element(x), Node::Element(y)) if a.is_object() && b.is_object() => {
            matches!((x.value, y.value), (Some(x), Some(y)) if json_equivalent(x, y))
        }
        (Node::Quantity(_), _) | (_, Node::Quantity(_)) => {
            matches!((a.quantity(), b.quantity()), (Some(a), Some(b)) if a.equivalent(&b))
        }
        _ => equal(left, right) == Some(true),
    }
}

fn json_equivalent(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(a), Value::String(b)) => same_words(a, b),
        (Value::Array(a), Value::Array(b)) => {
            let mut open: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|item| {
                    open.iter()
                        .position(|other| json_equivalent(item, other))
                        .map(|at| open.swap_remove(at))
                        .is_some()
                })
        }
        (Value::Object(a), Value::Object(b)) => {
            let differs = |key: &String| key == "id";
            a.iter().filter(|(key, _)| !differs(key)).count()
                == b.iter().filter(|(key, _)| !differs(key)).count()
                && a.iter()
                    .filter(|(key, _)| !differs(key))
                    .all(|(key, a)| b.get(key).is_some_and(|b| json_equivalent(a, b)))
        }
        _ => json_equal(left, right),
    }
}

/// Strings are equivalent without regard to case and kinds of white space.
fn same_words(left: &str, right: &str) -> bool {
    let fold = |text: &str| {
        text.chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    left == right || fold(left) == fold(right)
}

/// Order of two items; none where precision, zones or units do not tell.
fn compare(left: &Node<'_>, right: &Node<'_>) -> Result<Option<Ordering>, EvalError> {
    let (a, b) = (left.system(), right.system());
    if let (Some(a), Some(b)) = (number(&a), number(&b)) {
        return Ok(Some(a.cmp(&b)));
    }
    match (&a, &b) {
        (Node::String(x), Node::String(y)) => return Ok(Some(x.cmp(y))),
        (Node::Quantity(_) | Node::Element(_), _) | (_, Node::Quantity(_) | Node::Element(_)) => {
            if let (Some(a), Some(b)) = (a.quantity(), b.quantity()) {
                return Ok(a.compare(&b));
            }
        }
        _ => {}
    }
    match (moment(left), moment(right)) {
        (Some(Moment::Date(a)), Some(Moment::Date(b))) => Ok(temporal::compare(&a, &b)),
        (Some(Moment::Time(a)), Some(Moment::Time(b))) => Ok(a.compare(&b)),
        _ => Err(EvalError::WrongType("a comparison")),
    }
}

/// None where the result does not exist: division by zero, overflow.
fn arithmetic<'a>(
    operator: Operator,
    left: &Node<'a>,
    right: &Node<'a>,
) -> Result<Option<Node<'a>>, EvalError> {
    let wrong = Err(EvalError::WrongType("arithmetic"));
    let (a, b) = (left.system(), right.system());
    if let (Node::Integer(a), Node::Integer(b)) = (&a, &b)
        && operator != Operator::Divide
    {
        return Ok(match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Div => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Node::Integer));
    }
    if let (Some(a), Some(b)) = (number(&a), number(&b)) {
        return Ok(match operator {
            Operator::Add => a.checked_add(b).map(Node::Decimal),
            Operator::Subtract => a.checked_sub(b).map(Node::Decimal),
            Operator::Multiply => a.checked_mul(b).map(Node::Decimal),
            // FHIRPath's decimals have steps of 1e-8.
            Operator::Divide => a
                .checked_div(b)
                .map(|value| Node::Decimal(value.round_dp(8))),
            Operator::Div => a
                .checked_div(b)
                .and_then(|value| i64::try_from(value.trunc()).ok())
                .map(Node::Integer),
            _ => a.checked_rem(b).map(Node::Decimal),
        });
    }
    if let (Node::String(a), Node::String(b), Operator::Add) = (&a, &b, operator) {
        return Ok(Some(Node::String(Cow::Owned(format!("{a}{b}")))));
    }
    let additive = matches!(operator, Operator::Add | Operator::Subtract);
    if let (true, Some(moment), Node::Quantity(by)) = (additive, moment(left), &b) {
        let amount: f64 = by.value.try_into().unwrap_or(f64::NAN);
        let amount = if operator == Operator::Subtract {
            -amount
        } else {
            amount
        };
        return match moment {
            Moment::Date(date) => {
                let wrap = |date| match a {
                    Node::Date(_) => Node::Date(date),
                    _ => Node::DateTime(date),
                };
                temporal::plus(&date, amount, &by.unit)
                    .map(|moved| moved.map(wrap))
                    .map_err(|()| EvalError::WrongType("arithmetic"))
            }
            Moment::Time(time) => {
                let Some(millis) = temporal::millis_of(&by.unit) else {
                    return wrong;
                };
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "a clock goes round; saturation does no harm"
                )]
                let millis = (amount * millis as f64) as i64;
                Ok(time.plus_millis(millis).map(Node::Time))
            }
        };
    }
    let (Some(x), Some(y)) = (a.quantity(), b.quantity()) else {
        return wrong;
    };
    Ok(match operator {
        Operator::Add => x.plus(&y, false),
        Operator::Subtract => x.plus(&y, true),
        Operator::Multiply => x.times(&y),
        Operator::Divide => x.over(&y),
        _ => return wrong,
    }
    .map(Node::Quantity))
}
