//! What the value of a reference parameter points to (FHIR R4 search, 3.1.1.4.12).

use super::Reader;
use crate::fhir::definitions::{SearchParam, TypeId, definitions};
use crate::search::query::Target;

impl Reader<'_> {
    /// The alternatives that one value stands for: `Type/id`, a bare `id` (once for each type
    /// that the parameter may point to), a URL below this server's base, any other URL. None when
    /// it is none of these. A version (`/_history/2`) does not narrow.
    pub fn targets(
        &self,
        types: &[TypeId],
        param: &SearchParam,
        only: Option<TypeId>,
        value: &str,
    ) -> Option<Vec<Target>> {
        let local = value
            .strip_prefix(self.base)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(value);
        let local = local.split_once("/_history/").map_or(local, |(id, _)| id);
        if let Some((type_name, id)) = local.split_once('/')
            && let Some(type_id) = definitions().type_id(type_name)
            && is_id(id)
        {
            let fits = only.is_none_or(|only| only == type_id);
            // `subject:Patient=Group/1` contradicts itself and finds nothing.
            return Some(if fits {
                vec![Target::Local(type_id, id.to_owned())]
            } else {
                Vec::new()
            });
        }
        if is_id(value) {
            if let Some(only) = only {
                return Some(vec![Target::Local(only, value.to_owned())]);
            }
            return Some(
                self.target_types(types, param)
                    .into_iter()
                    .map(|type_id| Target::Local(type_id, value.to_owned()))
                    .collect(),
            );
        }
        let is_url = value.contains(':') && !value.contains(char::is_whitespace);
        (is_url && value.len() <= super::limit::TEXT && only.is_none())
            .then(|| vec![Target::Url(value.to_owned())])
    }

    /// The types that a reference parameter may point to; all types when the definition does not
    /// say.
    pub fn target_types(&self, types: &[TypeId], param: &SearchParam) -> Vec<TypeId> {
        if param.rules.is_some() {
            return if param.targets.is_empty() {
                definitions().types().map(|(type_id, _)| type_id).collect()
            } else {
                param.targets.clone()
            };
        }
        let patient_only = param.code == "patient"
            || types
                .iter()
                .filter_map(|type_id| definitions().search_param(*type_id, &param.code))
                .all(|own| own.expression.ends_with("(resolve() is Patient)"));
        if patient_only && let Some(patient) = definitions().type_id("Patient") {
            return vec![patient];
        }
        if param.targets.is_empty() {
            return definitions().types().map(|(type_id, _)| type_id).collect();
        }
        param.targets.clone()
    }
}

/// FHIR R4 `id`: `[A-Za-z0-9\-\.]{1,64}`.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
