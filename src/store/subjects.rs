//! Whose records resources are in, for the log of who looked at them. Nothing of a resource leaves
//! here but the id of its patient, and nobody asks but the log.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::current::in_list;
use super::{Store, StoreError};
use crate::sql::Sql;
use crate::visibility::audience;

/// Whose record a resource is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Id of the Patient.
    pub patient: String,
    /// Whether something of the resource is or will be held back from the patient or from who acts for them.
    pub is_held: bool,
}

impl Store {
    /// The subjects of resources (by key), deleted ones included; those about nobody are left out.
    pub async fn subjects(&self, keys: &[i64]) -> Result<HashMap<i64, Subject>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let mut sql = Sql::default();
        let list = in_list(&mut sql, self.backend(), keys);
        let now = sql.bind(self.clock().now());
        let record = sql.bind("%\"audience\":\"Record/%");
        // Not what is over, nor what concerns others alone, nor that what is about several patients is
        // shown to each in part.
        let others = [
            audience::CLINICIAN,
            audience::PAYER,
            audience::RESEARCHER,
            audience::OTHER,
        ]
        .map(|one| one.to_string())
        .join(", ");
        sql.text = format!(
            "SELECT r.key, p.fhir_id, CASE WHEN EXISTS (SELECT 1 FROM hold h WHERE h.doc = r.id \
             AND h.ends > {now} AND h.audience NOT IN ({others}) AND h.detail NOT LIKE {record}) \
             THEN 1 ELSE 0 END FROM resource r CROSS JOIN resource p \
             WHERE r.key {list} AND r.rendition = 0 AND p.key = r.patient AND p.rendition = 0"
        );
        let statement = sql.statement(self.backend());
        let rows = self.reader().query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                let is_held: i32 = row.try_get_by_index(2)?;
                let subject = Subject {
                    patient: row.try_get_by_index(1)?,
                    is_held: is_held != 0,
                };
                Ok((row.try_get_by_index(0)?, subject))
            })
            .collect()
    }
}
