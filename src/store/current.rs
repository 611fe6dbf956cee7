//! Resources as they stand, found by key, and the references that lead to them.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::Value;

use super::{StoreError, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::sql::Sql;

/// A resource as it stands, deleted ones included.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) doc: i64,
    pub(super) key: i64,
    pub(super) type_id: TypeId,
    pub(super) id: String,
    pub(super) patient: i64,
    pub(super) version: i32,
    pub(super) updated: Millis,
    pub(super) method: i16,
    pub(super) deleted: bool,
    pub(super) body: Option<Vec<u8>>,
}

/// `column IN (these)`, one statement text for any number of values.
pub(super) fn in_list(sql: &mut Sql, backend: DbBackend, values: &[i64]) -> String {
    use sea_orm::Value as Sea;
    use sea_orm::sea_query::ArrayType;
    if backend == DbBackend::Postgres {
        let list = values.iter().map(|value| Sea::from(*value)).collect();
        let place = sql.bind(Sea::Array(ArrayType::BigInt, Some(Box::new(list))));
        format!("= ANY({place})")
    } else {
        let list: Vec<String> = values.iter().map(ToString::to_string).collect();
        let place = sql.bind(format!("[{}]", list.join(",")));
        format!("IN (SELECT value FROM json_each({place}))")
    }
}

/// What stands under these keys, deleted resources included; `for_update` locks the rows.
pub(super) async fn load(
    on: &impl ConnectionTrait,
    keys: &[i64],
    for_update: bool,
) -> Result<HashMap<i64, Current>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let backend = on.get_database_backend();
    let mut sql = Sql::default();
    let list = in_list(&mut sql, backend, keys);
    let lock = if for_update && backend == DbBackend::Postgres {
        "ORDER BY key FOR UPDATE"
    } else {
        ""
    };
    sql.text = format!("SELECT {CURRENT} FROM resource WHERE key {list} AND rendition = 0 {lock}");
    let rows = on.query_all_raw(sql.statement(backend)).await?;
    rows.iter()
        .map(|row| current(row).map(|current| (current.key, current)))
        .collect()
}

/// Columns that [`current`] reads, in its order.
pub(super) const CURRENT: &str =
    "id, key, type, fhir_id, patient, version, updated, method, deleted, body";

pub(super) fn current(row: &sea_orm::QueryResult) -> Result<Current, StoreError> {
    let deleted: i16 = row.try_get_by_index(8)?;
    Ok(Current {
        doc: row.try_get_by_index(0)?,
        key: row.try_get_by_index(1)?,
        type_id: row.try_get_by_index(2)?,
        id: row.try_get_by_index(3)?,
        patient: row.try_get_by_index(4)?,
        version: row.try_get_by_index(5)?,
        updated: row.try_get_by_index(6)?,
        method: row.try_get_by_index(7)?,
        deleted: deleted != 0,
        body: packed::column(row, 9)?,
    })
}

impl Current {
    /// The body as a tree; None when deleted.
    pub(super) fn value(&self) -> Result<Option<Value>, StoreError> {
        self.body
            .as_deref()
            .map(|body| {
                serde_json::from_slice(body).map_err(|_| StoreError::Corrupt("resource body"))
            })
            .transpose()
    }
}

/// References from which a resource takes its patient when it names none itself.
pub(super) fn inherits_from<'v>(type_name: &str, resource: &'v Value) -> Vec<&'v str> {
    let text = |value: &'v Value| value.get("reference").and_then(Value::as_str);
    match type_name {
        "Provenance" => resource
            .get("target")
            .and_then(Value::as_array)
            .map(|targets| targets.iter().filter_map(text).collect())
            .unwrap_or_default(),
        "Binary" => resource
            .get("securityContext")
            .and_then(text)
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// The key of a reference to this server, versioned or absolute ones included.
pub(super) fn local_key(keys: &Keys, base: &str, reference: &str) -> Option<i64> {
    let local = reference
        .strip_prefix(base)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(reference);
    // A reference may point into a resource.
    let local = local.split('#').next().unwrap_or(local);
    let mut parts = local.split('/');
    let (type_name, id) = (parts.next()?, parts.next()?);
    definitions().type_id(type_name)?;
    match parts.next() {
        None | Some("_history") => Some(keys.reference(type_name, id)),
        Some(_) => None,
    }
}
