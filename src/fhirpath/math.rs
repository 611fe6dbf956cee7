//! Mathematics (N1 section 5.7). What is not exact in decimals goes through floating point.

use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};

use super::EvalError;
use super::eval::{Found, Items, integer, single};
use super::function::Function;
use super::node::Node;
use super::quantity::Quantity;

pub(crate) fn negate<'a>(items: &[Node<'a>]) -> Found<'a> {
    Ok(match single(items, "-")?.map(Node::system) {
        None => Vec::new(),
        Some(Node::Integer(value)) => value.checked_neg().map(Node::Integer).into_iter().collect(),
        Some(Node::Decimal(value)) => vec![Node::Decimal(-value)],
        Some(Node::Quantity(quantity)) => {
            vec![Node::Quantity(Quantity {
                value: -quantity.value,
                ..quantity
            })]
        }
        Some(_) => return Err(EvalError::WrongType("-")),
    })
}

pub(crate) fn positive(items: Items<'_>) -> Found<'_> {
    match single(&items, "+")?.map(Node::system) {
        None | Some(Node::Integer(_) | Node::Decimal(_) | Node::Quantity(_)) => Ok(items),
        Some(_) => Err(EvalError::WrongType("+")),
    }
}

pub(crate) fn call<'a>(function: Function, input: &[Node<'a>], argument: &[Node<'a>]) -> Found<'a> {
    let who = function.name();
    let Some(item) = single(input, who)? else {
        return Ok(Vec::new());
    };
    let item = item.system();
    let found = match (function, &item) {
        (Function::Abs, Node::Integer(value)) => value.checked_abs().map(Node::Integer),
        (Function::Abs, Node::Quantity(quantity)) => Some(Node::Quantity(Quantity {
            value: quantity.value.abs(),
            unit: quantity.unit.clone(),
        })),
        (
            Function::Ceiling | Function::Floor | Function::Truncate | Function::Round,
            Node::Integer(_),
        ) => Some(item),
        _ => {
            let Some(value) = decimal(&item) else {
                return Err(EvalError::WrongType(who));
            };
            let other = match single(argument, who)?.map(Node::system) {
                None => None,
                Some(other) => Some(decimal(&other).ok_or(EvalError::WrongType(who))?),
            };
            match function {
                Function::Abs => Some(Node::Decimal(value.abs())),
                Function::Ceiling => value.ceil().to_i64().map(Node::Integer),
                Function::Floor => value.floor().to_i64().map(Node::Integer),
                Function::Truncate => value.trunc().to_i64().map(Node::Integer),
                Function::Round => {
                    let places = integer(argument, who)?.unwrap_or(0);
                    let places = u32::try_from(places).map_err(|_| EvalError::WrongType(who))?;
                    let half_up = RoundingStrategy::MidpointAwayFromZero;
                    Some(Node::Decimal(
                        value.round_dp_with_strategy(places.min(28), half_up),
                    ))
                }
                Function::Power => power(&item, value, argument, other),
                Function::Log => match other {
                    Some(base) => float(value)
                        .zip(float(base))
                        .and_then(|(v, b)| real(v.log(b))),
                    None => None,
                },
                Function::Sqrt => float(value).and_then(|value| real(value.sqrt())),
                Function::Exp => float(value).and_then(|value| real(value.exp())),
                _ => float(value).and_then(|value| real(value.ln())),
            }
        }
    };
    Ok(found.into_iter().collect())
}

fn power<'a>(
    item: &Node<'a>,
    base: Decimal,
    argument: &[Node<'a>],
    exponent: Option<Decimal>,
) -> Option<Node<'a>> {
    if let (Node::Integer(base), [argument]) = (item, argument)
        && let Node::Integer(exponent) = argument.system()
        && let Ok(exponent) = u32::try_from(exponent)
    {
        return base.checked_pow(exponent).map(Node::Integer);
    }
    real(float(base)?.powf(float(exponent?)?))
}

fn decimal(node: &Node<'_>) -> Option<Decimal> {
    match node {
        Node::Integer(value) => Some(Decimal::from(*value)),
        Node::Decimal(value) => Some(*value),
        _ => None,
    }
}

fn float(value: Decimal) -> Option<f64> {
    value.to_f64()
}

/// None for what is not a number or too large.
fn real<'a>(value: f64) -> Option<Node<'a>> {
    if value.is_finite() {
        Decimal::from_f64(value).map(Node::Decimal)
    } else {
        None
    }
}
