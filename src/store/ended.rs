//! What became visible by the clock alone. Nobody's access waits for this: a hold that is over is over
//! whatever runs. The ledger gets an entry for each (release-policy.md 8.3, step 5).

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::ledger::{self, NewEntry};
use super::{Store, StoreError, apply};
use crate::clock::{self, Millis};
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;

/// Name in `meta` of the instant up to which ends are in the ledger.
const UNTIL: &str = "ended-until";

impl Store {
    /// Enters into the ledger which holds ended since this was last asked; returns how many.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub async fn record_ended(&self) -> Result<usize, StoreError> {
        let now = self.clock().now();
        let until = self.ended_until().await?;
        // A test clock that was turned back begins again from there.
        if until.is_some_and(|until| until <= now) && !self.any_ended(until, now).await? {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let on = tx.connection();
        // Two servers on one database must not enter the same.
        apply::lock_all(on, vec![self.keys().text(UNTIL)]).await?;
        let from = self.ended_until().await?.unwrap_or(now).min(now);
        let mut sql = Sql::default();
        let (low, high) = (sql.bind(from), sql.bind(now));
        sql.text = format!(
            "SELECT h.doc, h.ends, r.type, r.fhir_id, r.version, h.detail \
             FROM hold h JOIN resource r ON r.id = h.doc \
             WHERE h.ends > {low} AND h.ends <= {high} AND r.deleted = 0"
        );
        let mut ended: BTreeMap<(Millis, i64), (String, Vec<Value>)> = BTreeMap::new();
        for row in on.query_all_raw(sql.statement(self.backend())).await? {
            let (doc, ends): (i64, Millis) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let type_id: TypeId = row.try_get_by_index(2)?;
            let id: String = row.try_get_by_index(3)?;
            let version: i32 = row.try_get_by_index(4)?;
            let detail: String = row.try_get_by_index(5)?;
            let detail: Value =
                serde_json::from_str(&detail).map_err(|_| StoreError::Corrupt("hold.detail"))?;
            let rules = detail.get("rules").and_then(Value::as_array);
            let named = || {
                let type_name = definitions().type_name(type_id);
                (format!("{type_name}/{id}/_history/{version}"), Vec::new())
            };
            let (_, known) = ended.entry((ends, doc)).or_insert_with(named);
            for rule in rules.into_iter().flatten() {
                if !known.contains(rule) {
                    known.push(rule.clone());
                }
            }
        }
        let entries: Vec<NewEntry> = ended
            .into_iter()
            .map(|((ends, doc), (reference, rules))| NewEntry {
                kind: "released",
                subject: doc,
                body: json!({
                    "released": [reference],
                    "releasedAt": clock::instant(ends),
                    "by": "time",
                    "rules": rules,
                }),
            })
            .collect();
        let entered = entries.len();
        self.set_meta(on, UNTIL, &now.to_string()).await?;
        ledger::append(on, now, entries).await?;
        tx.commit().await?;
        Ok(entered)
    }

    async fn ended_until(&self) -> Result<Option<Millis>, StoreError> {
        Ok(self.meta(UNTIL).await?.and_then(|text| text.parse().ok()))
    }

    async fn any_ended(&self, until: Option<Millis>, now: Millis) -> Result<bool, StoreError> {
        let mut sql = Sql::default();
        let (low, high) = (sql.bind(until.unwrap_or(now)), sql.bind(now));
        sql.text = format!("SELECT 1 FROM hold WHERE ends > {low} AND ends <= {high} LIMIT 1");
        let row = self
            .reader()
            .query_one_raw(sql.statement(self.backend()))
            .await?;
        Ok(row.is_some())
    }
}
