//! What the definitions promise of a parameter's values: at most one, exactly one.

use crate::fhir::definitions::elements::{Element, Kind, Primitive, Type};
use crate::fhir::definitions::{Definitions, ParamKind, SearchParam, TypeId, definitions};

/// Whether a resource has at most one value of a parameter: its expression names one element (or
/// the types of one choice), and nothing on the way to it repeats.
#[must_use]
pub fn is_single(type_id: TypeId, param: &SearchParam) -> bool {
    let all = definitions();
    !path(all, all.type_name(type_id), param).is_empty()
}

/// Whether a parameter finds the one code that every resource has: `Observation.status`. What stands
/// there instead of a code, in whatever got by the validation, has a row of its own ([`lacking`]).
#[must_use]
pub fn is_required_code(type_id: TypeId, param: &SearchParam) -> bool {
    let all = definitions();
    is_required(all, all.type_name(type_id), param)
}

/// The same by the name of the type.
pub(super) fn is_required(all: &'static Definitions, type_name: &str, param: &SearchParam) -> bool {
    let elements = all.elements();
    let is_code = |element: &Element| match element.types.as_slice() {
        [one] => elements
            .get(*one)
            .is_some_and(|own| own.kind == Kind::Primitive(Primitive::Code)),
        _ => false,
    };
    param.kind == ParamKind::Token
        && param.rules.is_none()
        && matches!(path(all, type_name, param).as_slice(),
            [element] if element.min == 1 && is_code(element))
}

/// [`TokenRow::param`](super::TokenRow::param) of the resources without the code that they must have.
#[must_use]
pub fn lacking(param: &SearchParam) -> i16 {
    -param.id
}

/// Of the one quantity of a resource: the composite of it and a code, and the parameter of that code.
/// `Observation`'s `value-quantity`: `code-value-quantity` and `code`.
#[must_use]
pub fn with_code(
    type_id: TypeId,
    quantity: &SearchParam,
) -> Option<(&'static SearchParam, &'static SearchParam)> {
    let all = definitions();
    if quantity.kind != ParamKind::Quantity || !is_single(type_id, quantity) {
        return None;
    }
    let pairs = all.search_params(type_id).iter();
    pairs
        .filter(|pair| {
            pair.kind == ParamKind::Composite && pair.expression == all.type_name(type_id)
        })
        .find_map(|pair| match pair.components.as_slice() {
            [(code, _), (number, _)]
                if code.kind == ParamKind::Token && number.code == quantity.code =>
            {
                Some((pair, all.search_param(type_id, &code.code)?))
            }
            _ => None,
        })
}

/// [`CompositeRow::param`](super::CompositeRow::param) of the values beside a code that the composite
/// leaves out and the quantity's own parameter does not: SampledData. With them the index of composites
/// has all resources of a code in the order of their values.
#[must_use]
pub fn sampled(pair: &SearchParam) -> i16 {
    -pair.id
}

/// The elements on the way from the resource to the one value of a parameter; empty if there may be
/// several.
fn path(all: &'static Definitions, type_name: &str, param: &SearchParam) -> Vec<&'static Element> {
    let mut paths = param.expression.split(" | ").map(element);
    let Some(first) = paths.next() else {
        return Vec::new();
    };
    if paths.any(|other| other != first) {
        return Vec::new();
    }
    let elements = all.elements();
    let mut at: Option<&'static Type> = elements.by_name(type_name).map(|(_, found)| found);
    let mut steps = first.split('.');
    if steps.next() != Some(type_name) {
        return Vec::new();
    }
    let mut path = Vec::new();
    for step in steps {
        let Some(element) = at.and_then(|at| {
            at.elements
                .iter()
                .find(|own| own.name.strip_suffix("[x]").unwrap_or(own.name) == step)
        }) else {
            return Vec::new();
        };
        if element.is_array() {
            return Vec::new();
        }
        at = element.types.first().and_then(|own| elements.get(*own));
        path.push(element);
    }
    path
}

/// `Goal.start` of `(Goal.start as date)` and of `Goal.start.as(date)`.
fn element(expression: &str) -> &str {
    let plain = expression
        .trim()
        .trim_start_matches('(')
        .trim_end_matches(')');
    let plain = plain.split(" as ").next().unwrap_or(plain);
    plain.split(".as(").next().unwrap_or(plain).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(test: impl Fn(TypeId, &SearchParam) -> bool, type_name: &str, code: &str) -> bool {
        let type_id = definitions().type_id(type_name).unwrap();
        test(type_id, definitions().search_param(type_id, code).unwrap())
    }

    #[test]
    fn single_parameters() {
        for (type_name, code) in [
            ("Observation", "date"),
            ("Condition", "onset-date"),
            ("Encounter", "date"),
            ("Goal", "start-date"),
            ("DocumentReference", "period"),
            ("Patient", "birthdate"),
            ("Patient", "death-date"),
        ] {
            assert!(of(is_single, type_name, code), "{type_name}.{code}");
        }
        for (type_name, code) in [
            ("AllergyIntolerance", "onset"),
            ("Condition", "asserted-date"),
            ("Encounter", "location-period"),
            ("Goal", "target-date"),
            ("MedicationRequest", "date"),
        ] {
            assert!(!of(is_single, type_name, code), "{type_name}.{code}");
        }
    }

    #[test]
    fn a_quantity_beside_a_code() {
        let observation = definitions().type_id("Observation").unwrap();
        let found = |code: &str| {
            let quantity = definitions().search_param(observation, code).unwrap();
            with_code(observation, quantity)
                .map(|(pair, token)| format!("{} {}", pair.code, token.code))
        };
        assert_eq!(found("value-quantity").unwrap(), "code-value-quantity code");
        for several in ["component-value-quantity", "combo-value-quantity", "code"] {
            assert_eq!(found(several), None, "{several}");
        }
    }

    #[test]
    fn required_codes() {
        for (type_name, code) in [
            ("Observation", "status"),
            ("Encounter", "status"),
            ("MedicationRequest", "intent"),
            ("Task", "status"),
        ] {
            assert!(of(is_required_code, type_name, code), "{type_name}.{code}");
        }
        for (type_name, code) in [
            ("Patient", "gender"),
            ("Observation", "code"),
            ("Observation", "category"),
            ("Condition", "clinical-status"),
            ("Encounter", "class"),
        ] {
            assert!(!of(is_required_code, type_name, code), "{type_name}.{code}");
        }
    }
}
