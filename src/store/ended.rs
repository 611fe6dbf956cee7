//! What the clock alone does, entered into the ledger: holds that are over (release-policy.md 8.3,
//! step 5), and results that wait too long for a conversation. Nobody's access waits for this: a hold
//! that is over is over, whatever runs.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::ledger::{self, NewEntry};
use super::record::audience_name;
use super::{Store, StoreError, apply, holds};
use crate::clock::{self, Millis};
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;

/// Rules that wait for a conversation; after how many hours somebody is told that it has not been had
/// (release-policy.md 3.2, California).
const WAITING: &str = "R26-CA-DISC";
const ALARMS: [i64; 2] = [24, 72];
/// Name in `meta` of the instant up to which ends are in the ledger.
const UNTIL: &str = "ended-until";

/// Holds on one resource that ended at one instant.
struct Ended {
    reference: String,
    /// From whom it was held back.
    audiences: BTreeSet<String>,
    rules: Vec<Value>,
}

impl Store {
    /// Enters into the ledger which holds ended since this was last asked; returns how many.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub async fn record_ended(&self) -> Result<usize, StoreError> {
        let now = self.clock().now();
        let until = self.ended_until().await?;
        // A test clock that was turned back begins again from there.
        if until.is_some_and(|until| until <= now)
            && !self.policy().has_rule(WAITING)
            && !self.any_ended(until, now).await?
        {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let on = tx.connection();
        // Two servers on one database must not enter the same.
        apply::lock_all(on, vec![self.keys().text(UNTIL)]).await?;
        let from = self.ended_until().await?.unwrap_or(now).min(now);
        let mut sql = Sql::default();
        let (low, high) = (sql.bind(from), sql.bind(now));
        // The ledger tells what became of the record, not of who looked at it.
        let log = crate::visibility::access_log();
        sql.text = format!(
            "SELECT h.doc, h.ends, r.type, r.fhir_id, r.version, h.detail, h.audience \
             FROM hold h JOIN resource r ON r.id = h.doc \
             WHERE h.ends > {low} AND h.ends <= {high} AND r.deleted = 0 AND r.type <> {log}"
        );
        let mut ended: BTreeMap<(Millis, i64), Ended> = BTreeMap::new();
        for row in on.query_all_raw(sql.statement(self.backend())).await? {
            let (doc, ends): (i64, Millis) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let type_id: TypeId = row.try_get_by_index(2)?;
            let id: String = row.try_get_by_index(3)?;
            let version: i32 = row.try_get_by_index(4)?;
            let detail: String = row.try_get_by_index(5)?;
            let detail: Value =
                serde_json::from_str(&detail).map_err(|_| StoreError::Corrupt("hold.detail"))?;
            let audience = holds::audience(row.try_get_by_index(6)?, &detail)?;
            let rules = detail.get("rules").and_then(Value::as_array);
            let named = || {
                let type_name = definitions().type_name(type_id);
                Ended {
                    reference: format!("{type_name}/{id}/_history/{version}"),
                    audiences: BTreeSet::new(),
                    rules: Vec::new(),
                }
            };
            let known = ended.entry((ends, doc)).or_insert_with(named);
            known.audiences.insert(audience_name(&audience));
            for rule in rules.into_iter().flatten() {
                if !known.rules.contains(rule) {
                    known.rules.push(rule.clone());
                }
            }
        }
        // The same may still be held back from one of them by another rule.
        let docs: Vec<i64> = ended.keys().map(|(_, doc)| *doc).collect();
        let standing = holds::load(on, &[], &docs, &[]).await?;
        let mut entries: Vec<NewEntry> = ended
            .into_iter()
            .filter_map(|((ends, doc), mut over)| {
                let still: BTreeSet<String> = standing
                    .iter()
                    .filter(|row| row.doc == doc && row.starts <= ends && row.ends > ends)
                    .filter_map(|row| row.audience.told())
                    .map(|audience| audience_name(&audience))
                    .collect();
                over.audiences.retain(|one| !still.contains(one));
                if over.audiences.is_empty() {
                    return None;
                }
                let mut body = json!({
                    "released": [over.reference],
                    "releasedAt": clock::instant(ends),
                    "by": "time",
                    "audiences": over.audiences,
                    "rules": over.rules,
                });
                if !still.is_empty() {
                    body["notYetTo"] = json!(still);
                }
                Some(NewEntry {
                    kind: "released",
                    subject: doc,
                    body,
                })
            })
            .collect();
        entries.extend(self.stalled(on, from, now).await?);
        let entered = entries.len();
        self.set_meta(on, UNTIL, &now.to_string()).await?;
        ledger::append(on, now, entries).await?;
        tx.commit().await?;
        Ok(entered)
    }

    /// A test clock was turned back to `now`: what ends from there on is yet to be entered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_ends_anew(&self, now: Millis) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let on = tx.connection();
        apply::lock_all(on, vec![self.keys().text(UNTIL)]).await?;
        self.set_meta(on, UNTIL, &now.to_string()).await?;
        tx.commit().await?;
        Ok(())
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

impl Store {
    /// What has waited for a conversation for so long, in the window of this sweep.
    async fn stalled(
        &self,
        on: &impl sea_orm::ConnectionTrait,
        from: Millis,
        now: Millis,
    ) -> Result<Vec<NewEntry>, StoreError> {
        let mut entries = Vec::new();
        if !self.policy().has_rule(WAITING) {
            return Ok(entries);
        }
        for hours in ALARMS {
            let ago = hours * 3_600_000;
            let mut sql = Sql::default();
            let values = [
                sql.bind(clock::FOREVER),
                sql.bind(from - ago),
                sql.bind(now - ago),
                sql.bind(format!("%\"{WAITING}\"%")),
            ];
            let [forever, low, high, rule] = &values;
            sql.text = format!(
                "SELECT DISTINCT h.doc, r.type, r.fhir_id, r.version FROM hold h \
                 JOIN resource r ON r.id = h.doc WHERE h.ends = {forever} \
                 AND r.updated > {low} AND r.updated <= {high} AND h.detail LIKE {rule}"
            );
            for row in on.query_all_raw(sql.statement(self.backend())).await? {
                let type_id: TypeId = row.try_get_by_index(1)?;
                let id: String = row.try_get_by_index(2)?;
                let version: i32 = row.try_get_by_index(3)?;
                let type_name = definitions().type_name(type_id);
                entries.push(NewEntry {
                    kind: "alarm",
                    subject: row.try_get_by_index(0)?,
                    body: json!({
                        "alarm": "not-discussed",
                        "hours": hours,
                        "target": format!("{type_name}/{id}/_history/{version}"),
                        "rule": WAITING,
                    }),
                });
            }
        }
        Ok(entries)
    }
}
