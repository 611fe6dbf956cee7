//! References by canonical URL (`QuestionnaireResponse.questionnaire`): the two rows of `idx_uri`
//! that meet, the reference's and the resource's own `url`.

use super::Row;
use crate::fhir::definitions::{SearchParam, TypeId, definitions};
use crate::search::extract::finds_canonicals;

/// Whether the row's types refer through this parameter by canonical URL.
pub(super) fn refers(row: &Row, param: &SearchParam) -> bool {
    row.types
        .as_slice()
        .iter()
        .any(|own| finds_canonicals(*own, param))
}

/// The parameter `url` of a type that has canonical URLs.
pub(in crate::search) fn url_of(type_id: TypeId) -> Option<&'static SearchParam> {
    definitions().search_param(type_id, "url")
}

/// `c` (a row of a reference) and `u` (a row of the `url` of a resource of type `target`) meet. A
/// canonical with a version has a row with it and one without; it means that version only.
pub(in crate::search) fn meets(c: &str, u: &str, target: TypeId, url: &SearchParam) -> String {
    let mut meets = format!(
        "{u}.value = {c}.value AND {u}.type = {target} AND {u}.param = {}",
        url.id
    );
    if let Some(version) = definitions().search_param(target, "version") {
        meets.push_str(&format!(
            " AND (NOT EXISTS (SELECT 1 FROM idx_uri v WHERE v.id = {c}.id AND v.param = {c}.param \
             AND v.value >= {c}.value || '|' AND v.value < {c}.value || '}}') \
             OR EXISTS (SELECT 1 FROM idx_uri v CROSS JOIN idx_token w WHERE v.id = {c}.id \
             AND v.param = {c}.param AND v.value >= {c}.value || '|' \
             AND v.value < {c}.value || '}}' AND w.type = {target} AND w.param = {} \
             AND w.id = {u}.id AND w.patient = {u}.patient \
             AND v.value = {c}.value || '|' || w.text))",
            version.id
        ));
    }
    meets
}
