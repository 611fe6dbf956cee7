//! Who may not see older versions. Each is decided as it was, with what is known now: a hold that is
//! cancelled, a study that ends, a representative who is suspended change what may be seen of
//! yesterday's version as much as of today's.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::current::{Current, in_list, local_key};
use super::decide::Decider;
use super::holds;
use super::rows::{Insert, Kind};
use super::{Store, StoreError, history};
use crate::clock::Millis;
use crate::release;
use crate::sql::Sql;

/// Copies the hold rows of resources to the versions that are about to be replaced: what stands until
/// they are decided by themselves, and all there is for what was deleted.
pub(super) async fn keep_holds(on: &impl ConnectionTrait, docs: &[i64]) -> Result<(), StoreError> {
    let backend = on.get_database_backend();
    let mut sql = Sql::default();
    let list = in_list(&mut sql, backend, docs);
    sql.text = format!(
        "INSERT INTO history_hold (doc, version, audience, starts, ends, exempt) \
         SELECT h.doc, r.version, h.audience, h.starts, h.ends, h.exempt \
         FROM hold h JOIN resource r ON r.id = h.doc WHERE h.doc {list} ON CONFLICT DO NOTHING"
    );
    on.execute_raw(sql.statement(backend)).await?;
    Ok(())
}

/// Keeps what replaced versions (surrogate id, body) refer to.
pub(super) async fn keep_references<'v>(
    on: &impl ConnectionTrait,
    store: &Store,
    replaced: impl Iterator<Item = (i64, &'v Value)>,
) -> Result<(), StoreError> {
    let mut insert = Insert::new(
        "history_reference",
        &[("target", Kind::Big), ("doc", Kind::Big)],
        "ON CONFLICT DO NOTHING",
    );
    for (doc, body) in replaced {
        let targets: BTreeSet<i64> = release::references(&release::relative(body, store.base()))
            .iter()
            .filter_map(|one| local_key(store.keys(), store.base(), one))
            .collect();
        for target in targets {
            insert.push([target.into(), doc.into()]);
        }
    }
    Ok(insert.run(on).await?)
}

impl Decider<'_> {
    /// Resources (surrogate ids) of which an older version refers to what has this key.
    pub(super) async fn referred_before(&self, key: i64) -> Result<Vec<i64>, StoreError> {
        let mut sql = Sql::default();
        let key = sql.bind(key);
        sql.text = format!("SELECT doc FROM history_reference WHERE target = {key}");
        let rows = self
            .on
            .query_all_raw(sql.statement(self.store.backend()))
            .await?;
        let docs = rows.iter().map(|row| row.try_get_by_index(0));
        Ok(docs.collect::<Result<_, _>>()?)
    }

    /// Decides the older versions of a resource; returns what they depend on.
    pub(super) async fn decide_versions(
        &mut self,
        current: &Current,
        reference: &str,
        first_final: Option<Millis>,
    ) -> Result<Vec<String>, StoreError> {
        let backend = self.store.backend();
        let mut sql = Sql::default();
        let doc = sql.bind(current.doc);
        sql.text = format!(
            "SELECT version, updated, body FROM history WHERE doc = {doc} AND body IS NOT NULL"
        );
        let rows = self.on.query_all_raw(sql.statement(backend)).await?;
        let mut insert = Insert::new(
            "history_hold",
            &[
                ("doc", Kind::Big),
                ("version", Kind::Int),
                ("audience", Kind::Big),
                ("starts", Kind::Big),
                ("ends", Kind::Big),
                ("exempt", Kind::Big),
            ],
            "",
        );
        let mut depends_on = BTreeSet::new();
        for row in rows {
            let mut version = current.clone();
            version.version = row.try_get_by_index(0)?;
            version.updated = row.try_get_by_index(1)?;
            let body: Vec<u8> = row.try_get_by_index(2)?;
            let value: Value = serde_json::from_slice(&history::expand(&body)?)
                .map_err(|_| StoreError::Corrupt("history body"))?;
            let decision = self
                .decision(&version, &value, reference, first_final)
                .await?;
            depends_on.extend(decision.depends_on);
            let keys = self.store.keys();
            for span in decision.holds {
                insert.push([
                    current.doc.into(),
                    version.version.into(),
                    holds::audience_key(keys, &span.audience).into(),
                    span.starts.into(),
                    span.ends.into(),
                    holds::exempt_key(keys, span.exempt.as_deref()).into(),
                ]);
            }
        }
        let mut sql = Sql::default();
        let doc = sql.bind(current.doc);
        sql.text = format!("DELETE FROM history_hold WHERE doc = {doc}");
        self.execute(sql).await?;
        insert.run(self.on).await?;
        Ok(depends_on.into_iter().collect())
    }
}
