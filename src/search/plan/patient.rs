//! `patient=X` as a comparison of the patient column, which leads an index of every large table.
//!
//! Right only where a resource has at most one value of its primary patient parameter; then the
//! column and the reference index say the same.

use crate::fhir::definitions::{SearchParam, TypeId, definitions};
use crate::keys::Keys;
use crate::search::query::{Condition, Target};

/// Types that may be about several patients: the column holds the first one only.
const SEVERAL: &[&str] = &[
    "Account",
    "Appointment",
    "AuditEvent",
    "Contract",
    "Group",
    "Person",
    "Provenance",
    "Schedule",
];

/// The condition, on the patient column where it can be.
#[must_use]
pub fn rewrite(keys: &Keys, type_id: TypeId, conditions: Vec<Condition>) -> Vec<Condition> {
    let Some(patient) = definitions().type_id("Patient") else {
        return conditions;
    };
    conditions
        .into_iter()
        .map(|condition| match condition {
            Condition::Reference { param, values }
                if !values.is_empty()
                    && is_column(type_id, param.0)
                    && values
                        .iter()
                        .all(|v| matches!(v, Target::Local(t, _) if *t == patient)) =>
            {
                let keys = values
                    .iter()
                    .filter_map(|value| match value {
                        Target::Local(_, id) => Some(keys.reference("Patient", id)),
                        Target::Url(_) => None,
                    })
                    .collect();
                Condition::Patient(keys)
            }
            Condition::Chain { param, mut links }
                if links.len() == 1
                    && links.first().is_some_and(|(t, _)| *t == patient)
                    && is_column(type_id, param.0) =>
            {
                match links.pop() {
                    Some((_, condition)) => Condition::PatientIs(Box::new(condition)),
                    None => Condition::Chain { param, links },
                }
            }
            other => other,
        })
        .collect()
}

/// The same over several types, where it is right for each of them.
#[must_use]
pub fn rewrite_all(keys: &Keys, types: &[TypeId], conditions: Vec<Condition>) -> Vec<Condition> {
    let is_column_of_all = |code: &str| {
        types.iter().all(|type_id| {
            definitions()
                .search_param(*type_id, code)
                .is_some_and(|param| is_column(*type_id, param))
        })
    };
    let Some(first) = types.first() else {
        return conditions;
    };
    conditions
        .into_iter()
        .flat_map(|condition| match &condition {
            Condition::Reference { param, .. }
                if is_column_of_all(&param.code) && is_column(*first, param.0) =>
            {
                rewrite(keys, *first, vec![condition])
            }
            _ => vec![condition],
        })
        .collect()
}

/// Whether a parameter finds in resources of this type exactly what the patient column holds.
#[must_use]
pub fn is_column(type_id: TypeId, param: &SearchParam) -> bool {
    let Some(primary) = definitions().primary_patient_param(type_id) else {
        return false;
    };
    if SEVERAL.contains(&definitions().type_name(type_id)) {
        return false;
    }
    param.id == primary.id || element(&param.expression) == element(&primary.expression)
}

/// The element an expression names, `Observation.subject.where(resolve() is Patient)` without the
/// filter: values that are patients are the same with and without it.
fn element(expression: &str) -> &str {
    expression
        .strip_suffix(".where(resolve() is Patient)")
        .unwrap_or(expression)
}
