//! Conditions that the database must answer: conditional references, `ifNoneExist`, conditional
//! updates. They are asked by identifier or `_id`, which is what feeds use.

use percent_encoding::percent_decode_str;
use sea_orm::ConnectionTrait as _;

use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::store::Store;

/// Why a condition has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// For the summary.
    Refused(String),
    Database(sea_orm::DbErr),
}

/// Id of the one resource that matches, None when nothing does.
pub(super) async fn find(
    store: &Store,
    type_id: TypeId,
    query: &str,
) -> Result<Option<String>, Unanswered> {
    let unsupported = || {
        Unanswered::Refused(format!(
            "{}?{:.60}: conditions in an import are asked by identifier or _id alone",
            definitions().type_name(type_id),
            query.split('=').next().unwrap_or_default()
        ))
    };
    // HL7's own example writes `Patient?identifier=…` where the query alone belongs.
    let query = query
        .strip_prefix(definitions().type_name(type_id))
        .and_then(|rest| rest.strip_prefix('?'))
        .unwrap_or(query);
    let (name, value) = query.split_once('=').ok_or_else(unsupported)?;
    if value.contains('&') || value.contains(',') {
        return Err(unsupported());
    }
    let value = percent_decode_str(value).decode_utf8_lossy();
    let keys = store.keys();
    let mut sql = Sql::default();
    match name {
        "_id" => {
            let key = sql.bind(keys.reference(definitions().type_name(type_id), &value));
            sql.text = format!(
                "SELECT fhir_id FROM resource WHERE key = {key} AND rendition = 0 AND deleted = 0"
            );
        }
        "identifier" => {
            let param = definitions()
                .search_param(type_id, "identifier")
                .ok_or_else(unsupported)?;
            let (system, code) = match value.split_once('|') {
                Some((system, code)) => (Some(system), code),
                None => (None, &*value),
            };
            let (type_place, param, code) = (
                sql.bind(type_id),
                sql.bind(param.id),
                sql.bind(keys.code(code)),
            );
            sql.text = format!(
                "SELECT DISTINCT r.fhir_id FROM idx_token t JOIN resource r ON r.id = t.id \
                 WHERE t.type = {type_place} AND t.param = {param} AND t.code = {code} \
                 AND r.rendition = 0 AND r.deleted = 0"
            );
            if let Some(system) = system {
                let system = sql.bind(keys.system(system));
                sql.push(&format!(" AND t.system = {system}"));
            }
            sql.push(" LIMIT 2");
        }
        _ => return Err(unsupported()),
    }
    let rows = store
        .reader()
        .query_all_raw(sql.statement(store.backend()))
        .await
        .map_err(Unanswered::Database)?;
    if rows.len() > 1 {
        return Err(Unanswered::Refused(format!(
            "a condition on {} matches more than one resource",
            definitions().type_name(type_id)
        )));
    }
    rows.first()
        .map(|row| row.try_get_by_index(0).map_err(Unanswered::Database))
        .transpose()
}
