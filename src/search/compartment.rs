//! Compartments as conditions (R4 CompartmentDefinition; FHIR R4 http, "Variant searches").

use super::SearchError;
use super::parse::Reader;
use super::plan::patient;
use super::query::{Compartment, Condition, Types};
use crate::fhir::definitions::{ParamId, TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::keys::Keys;

/// Membership in the compartment `name/id`: the resource itself, and what refers to it through one
/// of the parameters that CompartmentDefinition names. The patient column stands for all of them
/// where they say no more than it does.
///
/// # Errors
/// [`SearchError::Invalid`] when there is no such compartment, or the type is not in it.
pub(super) fn condition(
    keys: &Keys,
    name: &str,
    id: &str,
    types: &Types,
) -> Result<Condition, SearchError> {
    let refused = |words: String| SearchError::invalid(Issue::error("not-supported", words));
    let Some(own) = definitions().type_id(name) else {
        return Err(refused("there is no such compartment".to_owned()));
    };
    let by_column = name == "Patient";
    let mut arms: Vec<(TypeId, Vec<ParamId>)> = Vec::new();
    for type_id in types.as_slice() {
        let params = params(own, name, *type_id, by_column);
        if !params.is_empty() {
            arms.push((*type_id, params));
        }
    }
    if let Types::One(type_id) = types {
        let codes = definitions().compartment(name, *type_id);
        if codes.is_empty() && *type_id != own && !by_column {
            return Err(refused(format!(
                "{} is not in the {name} compartment",
                definitions().type_name(*type_id)
            )));
        }
        if by_column && arms.is_empty() {
            return Ok(Condition::Patient(vec![keys.reference(name, id)]));
        }
    }
    Ok(Condition::Compartment(Compartment {
        own,
        id: id.to_owned(),
        by_column,
        arms,
    }))
}

/// The parameters that put resources of a type into a compartment, without those that the patient
/// column answers.
fn params(own: TypeId, name: &str, type_id: TypeId, by_column: bool) -> Vec<ParamId> {
    let mut params: Vec<ParamId> = definitions()
        .compartment(name, type_id)
        .iter()
        .filter_map(|code| definitions().search_param(type_id, code))
        .filter(|param| !(by_column && patient::is_column(type_id, param)))
        .filter(|param| {
            Reader::new("")
                .target_types(&[type_id], param)
                .contains(&own)
        })
        .map(|param| param.id)
        .collect();
    params.sort_unstable();
    params.dedup();
    params
}
