//! The journal of accesses: appended to in batches beside requests, taken away by the transaction that
//! makes AuditEvents of it. Its rows are opaque here.

use sea_orm::ConnectionTrait;

use super::rows::{Insert, Kind};
use super::surrogate;
use super::write::Writer;
use super::{Store, StoreError, history, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;

/// Some accesses, packed.
#[derive(Clone, Debug)]
pub struct JournalRow {
    /// When the first was.
    pub at: Millis,
    pub entries: i32,
    pub body: Vec<u8>,
}

impl JournalRow {
    /// Packs a text.
    ///
    /// # Errors
    /// When it cannot be packed, which no text does.
    pub fn pack(at: Millis, entries: i32, text: &[u8]) -> Result<Self, StoreError> {
        Ok(Self {
            at,
            entries,
            body: history::pack(text)?,
        })
    }
}

impl Store {
    /// Appends rows, durably.
    ///
    /// # Errors
    /// When the database fails; then none is there.
    pub async fn append_journal(&self, rows: Vec<JournalRow>) -> Result<(), StoreError> {
        let mut insert = Insert::new(
            "audit_journal",
            &[
                ("seq", Kind::Big),
                ("at", Kind::Big),
                ("entries", Kind::Int),
                ("body", Kind::Blob),
            ],
            "",
        );
        for row in rows {
            insert.push([
                surrogate::mint().into(),
                row.at.into(),
                row.entries.into(),
                row.body.into(),
            ]);
        }
        let tx = self.begin().await?;
        insert.run(tx.connection()).await?;
        Ok(tx.commit().await?)
    }

    /// Whether accesses wait in the journal.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_journal(&self) -> Result<bool, StoreError> {
        let select = Sql::new("SELECT 1 FROM audit_journal LIMIT 1").statement(self.backend());
        Ok(self.reader().query_one_raw(select).await?.is_some())
    }

    /// Removes what the journal and the AuditEvents tell of times before `before`: a few hundred
    /// resources at most, so that requests have their turn. Answers whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_accesses(&self, before: Millis) -> Result<bool, StoreError> {
        const MOST: i64 = 250;
        let Some(type_id) = definitions().type_id("AuditEvent") else {
            return Ok(false);
        };
        let backend = self.backend();
        // By when the access was, which may be long before the event was made.
        let Some(recorded) = definitions().search_param(type_id, "date") else {
            return Ok(false);
        };
        let of_before = format!(
            "FROM idx_date d JOIN resource r ON r.id = d.id AND r.rendition = 0 \
             WHERE d.type = {type_id} AND d.param = {}",
            recorded.id
        );
        // What was deleted has no index.
        let deleted = format!(
            "FROM resource r WHERE r.type = {type_id} AND r.deleted = 1 AND r.rendition = 0"
        );
        let mut sql = Sql::default();
        let at = sql.bind(before);
        sql.text = format!(
            "SELECT 1 FROM (SELECT 1 {of_before} AND d.low < {at} LIMIT 1) AS event \
             UNION ALL SELECT 1 FROM (SELECT 1 {deleted} AND r.updated < {at} LIMIT 1) AS gone \
             UNION ALL SELECT 1 FROM audit_journal WHERE at < {at} LIMIT 1"
        );
        let any = self.reader().query_one_raw(sql.statement(backend)).await?;
        if any.is_none() {
            return Ok(false);
        }
        let tx = self.begin().await?;
        let on = tx.connection();
        self.settle(on).await?;
        let mut sql = Sql::default();
        let at = sql.bind(before);
        sql.text = format!("DELETE FROM audit_journal WHERE at < {at}");
        on.execute_raw(sql.statement(backend)).await?;
        let mut sql = Sql::default();
        let at = sql.bind(before);
        sql.text = format!(
            "SELECT * FROM (SELECT r.id, r.patient, r.body {of_before} AND d.low < {at} \
             ORDER BY d.low LIMIT {MOST}) AS event UNION ALL SELECT * FROM (\
             SELECT r.id, r.patient, r.body {deleted} AND r.updated < {at} LIMIT {MOST}) AS gone \
             LIMIT {MOST}"
        );
        let rows = on.query_all_raw(sql.statement(backend)).await?;
        let ids = self.unindex(on, type_id, &rows).await?;
        let more = i64::try_from(ids.len()).unwrap_or(0) == MOST;
        for (table, column) in [
            ("resource", "id"),
            ("history", "doc"),
            ("hold", "doc"),
            ("history_hold", "doc"),
            ("history_reference", "doc"),
            ("release_dependency", "doc"),
        ] {
            let mut sql = Sql::default();
            let list = sql.bind_list(ids.iter().copied());
            sql.text = format!("DELETE FROM {table} WHERE {column} IN {list}");
            on.execute_raw(sql.statement(backend)).await?;
        }
        tx.commit().await?;
        Ok(more)
    }

    async fn unindex(
        &self,
        on: &impl ConnectionTrait,
        type_id: TypeId,
        rows: &[sea_orm::QueryResult],
    ) -> Result<Vec<i64>, StoreError> {
        let indexer = self.indexer();
        let mut index = indexer.writer();
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, patient): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            ids.push(id);
            if let Some(body) = packed::column(row, 2)? {
                let value = serde_json::from_slice(&body)
                    .map_err(|_| StoreError::Corrupt("resource body"))?;
                index.remove(type_id, id, patient, &indexer.rows(type_id, &value));
            }
        }
        index.run(on).await?;
        Ok(ids)
    }
}

impl Writer<'_> {
    /// Takes the oldest row of the journal away, in this write; its text. None when another process
    /// was faster, or there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_journal(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let delete = Sql::new(
            "DELETE FROM audit_journal WHERE seq = (SELECT MIN(seq) FROM audit_journal) RETURNING body",
        );
        let on = self.connection();
        let row = on
            .query_one_raw(delete.statement(on.get_database_backend()))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let body: Vec<u8> = row.try_get_by_index(0)?;
        Ok(Some(history::expand(&body)?.to_vec()))
    }
}
