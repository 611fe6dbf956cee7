//! Arguments: their values, and what they choose of a list (R4 GraphQL, "List Navigation").

use std::collections::HashMap;

use graphql_parser::query::{Field, Value as Ast};
use serde_json::{Map, Number, Value};

use super::{unsupported, wrong};
use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Kind, Type};
use crate::fhirpath::{self, Context, Element, Expr, Node};
use crate::rest::RestError;

/// What a FHIRPath argument may cost on one element.
const BUDGET: u32 = 20_000;

/// Arguments by their names.
pub(super) type Arguments = Vec<(String, Value)>;

/// A value without variables.
pub(super) fn constant(value: &Ast<'static, String>) -> Result<Value, RestError> {
    resolve(value, &HashMap::new())
}

/// A value with its variables put in.
pub(super) fn resolve(
    value: &Ast<'static, String>,
    variables: &HashMap<&str, Value>,
) -> Result<Value, RestError> {
    Ok(match value {
        Ast::Variable(name) => variables
            .get(name.as_str())
            .cloned()
            .ok_or_else(|| wrong(&format!("The variable `{name}` is not declared.")))?,
        Ast::Int(number) => number
            .as_i64()
            .map(Number::from)
            .map_or(Value::Null, Value::Number),
        Ast::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Ast::String(text) | Ast::Enum(text) => Value::String(text.clone()),
        Ast::Boolean(flag) => Value::Bool(*flag),
        Ast::Null => Value::Null,
        Ast::List(list) => list
            .iter()
            .map(|one| resolve(one, variables))
            .collect::<Result<_, _>>()?,
        Ast::Object(object) => Value::Object(
            object
                .iter()
                .map(|(name, one)| Ok((name.clone(), resolve(one, variables)?)))
                .collect::<Result<Map<_, _>, RestError>>()?,
        ),
    })
}

/// The arguments of a field; those that are null were not given.
pub(super) fn of(
    field: &Field<'static, String>,
    variables: &HashMap<&str, Value>,
) -> Result<Arguments, RestError> {
    let mut all = Arguments::new();
    for (name, value) in &field.arguments {
        if all.iter().any(|(own, _)| own == name) {
            return Err(wrong(&format!("The argument `{name}` is given twice.")));
        }
        let value = resolve(value, variables)?;
        if !value.is_null() {
            all.push((name.clone(), value));
        }
    }
    Ok(all)
}

/// The text of a scalar.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A FHIRPath expression that came as an argument.
pub(super) fn expression(value: &Value) -> Result<Expr, RestError> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong("A FHIRPath expression is a string."))?;
    fhirpath::parse(text).map_err(|_| wrong("An argument is no FHIRPath expression."))
}

fn context() -> Context {
    Context {
        budget: BUDGET,
        ..Context::default()
    }
}

fn node<'v>(own: &'static Type, value: &'v Value) -> Node<'v> {
    Node::Element(Element {
        value: Some(value),
        sibling: None,
        type_name: match own.kind {
            Kind::AnyResource => value["resourceType"].as_str(),
            _ => Some(own.name),
        },
    })
}

/// Whether an expression is true of an element.
pub(super) fn holds(
    expression: &Expr,
    own: &'static Type,
    value: &Value,
    root: &Value,
) -> Result<bool, RestError> {
    expression
        .holds_at(node(own, value), root, &context())
        .map_err(|_| wrong("A `fhirpath` argument cannot be evaluated there."))
}

/// The text that an expression gives on an element, for `@slice`.
pub(super) fn string(
    expression: &Expr,
    own: &'static Type,
    value: &Value,
    root: &Value,
) -> Result<String, RestError> {
    let context = context();
    let found = expression
        .evaluate_at(node(own, value), root, &context)
        .map_err(|_| wrong("The path of @slice cannot be evaluated there."))?;
    let mut text = String::new();
    for one in &found {
        match one.value().and_then(self::text) {
            Some(own) => text.push_str(&own),
            None => match one {
                Node::Integer(number) => text.push_str(&number.to_string()),
                Node::Boolean(flag) => text.push_str(&flag.to_string()),
                one => text.push_str(&one.text().unwrap_or_default()),
            },
        }
    }
    Ok(text)
}

/// The items of a list that the arguments choose: `fhirpath`, a property's value, `_offset`, `_count`.
pub(super) fn choose<'v>(
    arguments: &Arguments,
    own: &'static Type,
    mut items: Vec<&'v Value>,
    root: &Value,
) -> Result<Vec<&'v Value>, RestError> {
    let (mut offset, mut count) = (0, usize::MAX);
    for (name, value) in arguments {
        match &**name {
            "fhirpath" => {
                let expression = expression(value)?;
                let mut kept = Vec::new();
                for item in items {
                    if holds(&expression, own, item, root)? {
                        kept.push(item);
                    }
                }
                items = kept;
            }
            "_offset" => offset = number(name, value)?,
            "_count" => count = number(name, value)?,
            property => {
                let known = own
                    .properties
                    .get(property)
                    .and_then(|property| definitions().elements().get(property.type_index));
                if !known.is_some_and(|inner| matches!(inner.kind, Kind::Primitive(_))) {
                    return Err(unsupported(format!(
                        "`{}` has no primitive element `{property}` to filter by.",
                        own.name
                    )));
                }
                let wanted: Vec<String> = match value {
                    Value::Array(list) => list.iter().filter_map(text).collect(),
                    value => text(value).into_iter().collect(),
                };
                items.retain(|item| match item.get(property) {
                    Some(Value::Array(list)) => list
                        .iter()
                        .filter_map(text)
                        .any(|own| wanted.contains(&own)),
                    Some(value) => text(value).is_some_and(|own| wanted.contains(&own)),
                    None => false,
                });
            }
        }
    }
    Ok(items.into_iter().skip(offset).take(count).collect())
}

/// A whole number, not negative.
pub(super) fn number(name: &str, value: &Value) -> Result<usize, RestError> {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| wrong(&format!("`{name}` must be a whole number.")))
}
