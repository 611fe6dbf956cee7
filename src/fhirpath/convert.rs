//! Conversions `toX()` and `convertsToX()` (N1 section 5.5).

use std::borrow::Cow;
use std::str::FromStr;

use rust_decimal::Decimal;

use super::eval::{Found, boolean, single};
use super::function::Function;
use super::node::Node;
use super::quantity::{Quantity, calendar_unit};
use super::temporal::Time;
use crate::fhir::date::PartialDate;

pub(crate) fn call<'a>(function: Function, input: &[Node<'a>]) -> Found<'a> {
    use Function as F;
    let Some(item) = single(input, function.name())? else {
        return Ok(Vec::new());
    };
    let item = item.system();
    let (converted, asks) = match function {
        F::ToBoolean => (to_boolean(&item), false),
        F::ToInteger => (to_integer(&item), false),
        F::ToDecimal => (to_decimal(&item), false),
        F::ToString => (to_string(&item), false),
        F::ToDate => (to_date(&item), false),
        F::ToDateTime => (to_date_time(&item), false),
        F::ToTime => (to_time(&item), false),
        F::ToQuantity => (to_quantity(&item), false),
        F::ConvertsToBoolean => (to_boolean(&item), true),
        F::ConvertsToInteger => (to_integer(&item), true),
        F::ConvertsToDecimal => (to_decimal(&item), true),
        F::ConvertsToString => (to_string(&item), true),
        F::ConvertsToDate => (to_date(&item), true),
        F::ConvertsToDateTime => (to_date_time(&item), true),
        F::ConvertsToTime => (to_time(&item), true),
        _ => (to_quantity(&item), true),
    };
    Ok(if asks {
        boolean(converted.is_some())
    } else {
        converted.into_iter().collect()
    })
}

fn to_boolean<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    let value = match item {
        Node::Boolean(value) => *value,
        Node::Integer(0) => false,
        Node::Integer(1) => true,
        Node::Decimal(value) if value.is_zero() => false,
        Node::Decimal(value) if *value == Decimal::ONE => true,
        Node::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => true,
            "false" | "f" | "no" | "n" | "0" | "0.0" => false,
            _ => return None,
        },
        _ => return None,
    };
    Some(Node::Boolean(value))
}

fn to_integer<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    match item {
        Node::Integer(value) => Some(*value),
        Node::Boolean(value) => Some(i64::from(*value)),
        Node::String(text) => i64::from_str(text).ok(),
        _ => None,
    }
    .map(Node::Integer)
}

fn to_decimal<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    match item {
        Node::Integer(value) => Some(Decimal::from(*value)),
        Node::Decimal(value) => Some(*value),
        Node::Boolean(value) => Some(Decimal::from(i64::from(*value))),
        Node::String(text) => number(text),
        _ => None,
    }
    .map(Node::Decimal)
}

/// `[+-]digits[.digits]`, nothing else.
fn number(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if plain(whole) && plain(fraction) {
        Decimal::from_str(text).ok()
    } else {
        None
    }
}

fn to_string<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    let text = match item {
        Node::String(text) => return Some(Node::String(text.clone())),
        Node::Boolean(value) => value.to_string(),
        Node::Integer(value) => value.to_string(),
        Node::Decimal(value) => value.to_string(),
        Node::Date(date) | Node::DateTime(date) => date.to_string(),
        Node::Time(time) => time.to_string(),
        Node::Quantity(quantity) => quantity.to_string(),
        Node::Element(_) => item.quantity()?.to_string(),
        Node::Target(_) | Node::Type { .. } => return None,
    };
    Some(Node::String(Cow::Owned(text)))
}

fn to_date<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    match item {
        Node::Date(date) => Some(*date),
        Node::DateTime(date) => Some(date.date()),
        Node::String(text) => PartialDate::parse_fhirpath(text)
            .filter(|_| !text.ends_with('T'))
            .map(|d| d.date()),
        _ => None,
    }
    .map(Node::Date)
}

fn to_date_time<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    match item {
        Node::Date(date) | Node::DateTime(date) => Some(*date),
        Node::String(text) => PartialDate::parse_fhirpath(text),
        _ => None,
    }
    .map(Node::DateTime)
}

fn to_time<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    match item {
        Node::Time(time) => Some(*time),
        Node::String(text) => Time::parse(text),
        _ => None,
    }
    .map(Node::Time)
}

/// A string converts as `number`, `number 'ucum'` or `number calendar-word`.
fn to_quantity<'a>(item: &Node<'a>) -> Option<Node<'a>> {
    let quantity = match item {
        Node::Boolean(value) => Quantity {
            value: Decimal::from(i64::from(*value)),
            unit: "1".into(),
        },
        Node::String(text) => {
            let text = text.trim();
            let end = text
                .find(|c: char| c.is_whitespace() || c == '\'')
                .unwrap_or(text.len());
            let (value, unit) = text.split_at(end);
            let unit = match unit.trim() {
                "" => "1".to_owned(),
                unit => match unit
                    .strip_prefix('\'')
                    .and_then(|unit| unit.strip_suffix('\''))
                {
                    Some(code) => code.to_owned(),
                    None => calendar_unit(unit)?.to_owned(),
                },
            };
            Quantity {
                value: number(value)?,
                unit: unit.into(),
            }
        }
        item => item.quantity()?,
    };
    Some(Node::Quantity(quantity))
}
