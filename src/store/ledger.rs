//! The ledger: append-only, hash-chained, written in the transaction of what it records.
//!
//! `hash` = SHA-256 over `seq`, `at`, `subject`, `kind`, `body` and the previous entry's hash, each
//! followed by a line feed. The chain starts from the empty hash.

use aws_lc_rs::digest::{Context, SHA256};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use serde_json::Value;

use super::rows::{Insert, Kind};
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::sql::Sql;

/// An entry as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// 1, 2, 3, … without gaps.
    pub seq: i64,
    pub at: Millis,
    /// `decision`, `released`, `policy`, …
    pub kind: String,
    /// JSON.
    pub body: String,
    /// Hash of the entry before, hex; empty for the first.
    pub prev: String,
    /// Hash of this entry, hex.
    pub hash: String,
    pub subject: i64,
}

/// What [`Store::verify_ledger`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerCheck {
    /// Entries read.
    pub entries: i64,
    /// Hash of the last one.
    pub head: String,
    /// `seq` of the first entry that does not follow from the one before.
    pub broken_at: Option<i64>,
}

/// An entry on its way in.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) kind: &'static str,
    /// Surrogate id of the resource that the entry is about; 0 for several.
    pub(super) subject: i64,
    pub(super) body: Value,
}

/// Appends entries. The last statement of its transaction: on PostgreSQL it holds the chain's head
/// until the commit.
pub(super) async fn append(
    on: &impl ConnectionTrait,
    at: Millis,
    entries: Vec<NewEntry>,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let backend = on.get_database_backend();
    let lock = if backend == DbBackend::Postgres {
        " FOR UPDATE"
    } else {
        ""
    };
    let head = Sql::new(format!(
        "SELECT seq, hash FROM ledger_head WHERE one = 1{lock}"
    ));
    let head = on.query_one_raw(head.statement(backend)).await?;
    let head = head.ok_or(StoreError::Corrupt("ledger_head"))?;
    let mut seq: i64 = head.try_get_by_index(0)?;
    let mut prev: String = head.try_get_by_index(1)?;
    let mut rows = Insert::new(
        "ledger",
        &[
            ("seq", Kind::Big),
            ("at", Kind::Big),
            ("subject", Kind::Big),
            ("kind", Kind::Text),
            ("body", Kind::Text),
            ("prev", Kind::Text),
            ("hash", Kind::Text),
        ],
        "",
    );
    for entry in entries {
        seq += 1;
        let body = entry.body.to_string();
        let hash = hash(seq, at, entry.subject, entry.kind, &body, &prev);
        rows.push([
            seq.into(),
            at.into(),
            entry.subject.into(),
            entry.kind.into(),
            body.into(),
            prev.into(),
            hash.clone().into(),
        ]);
        prev = hash;
    }
    rows.run(on).await?;
    let mut update = Sql::default();
    let (seq, prev) = (update.bind(seq), update.bind(prev));
    update.text = format!("UPDATE ledger_head SET seq = {seq}, hash = {prev} WHERE one = 1");
    on.execute_raw(update.statement(backend)).await?;
    Ok(())
}

fn hash(seq: i64, at: Millis, subject: i64, kind: &str, body: &str, prev: &str) -> String {
    let mut context = Context::new(&SHA256);
    for part in [
        &seq.to_string(),
        &at.to_string(),
        &subject.to_string(),
        kind,
        body,
        prev,
    ] {
        context.update(part.as_bytes());
        context.update(b"\n");
    }
    context
        .finish()
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            text.push_str(&format!("{byte:02x}"));
            text
        })
}

const COLUMNS: &str = "seq, at, subject, kind, body, prev, hash";

impl Store {
    /// Entries from `since` on, oldest first, at most `count`, continuing after entry `after`.
    pub async fn ledger_page(
        &self,
        since: Option<Millis>,
        after: i64,
        count: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let mut sql = Sql::default();
        let since = sql.bind(since.unwrap_or(i64::MIN));
        let after = sql.bind(after);
        let count = sql.bind(i64::from(count));
        sql.text = format!(
            "SELECT {COLUMNS} FROM ledger WHERE at >= {since} AND seq > {after} \
             ORDER BY seq LIMIT {count}"
        );
        let rows = self
            .reader()
            .query_all_raw(sql.statement(self.backend()))
            .await?;
        rows.iter().map(entry).collect()
    }

    /// The latest entries about one resource (its surrogate id), newest first.
    pub(super) async fn ledger_about(
        &self,
        subject: i64,
        count: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let mut sql = Sql::default();
        let subject = sql.bind(subject);
        let count = sql.bind(i64::from(count));
        sql.text = format!(
            "SELECT {COLUMNS} FROM ledger WHERE subject = {subject} ORDER BY seq DESC LIMIT {count}"
        );
        let rows = self
            .reader()
            .query_all_raw(sql.statement(self.backend()))
            .await?;
        rows.iter().map(entry).collect()
    }

    /// Recomputes the whole chain.
    pub async fn verify_ledger(&self) -> Result<LedgerCheck, StoreError> {
        let mut check = LedgerCheck {
            entries: 0,
            head: String::new(),
            broken_at: None,
        };
        let mut last = 0;
        loop {
            let page = self.ledger_page(None, last, 1000).await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                let expected = hash(
                    last + 1,
                    entry.at,
                    entry.subject,
                    &entry.kind,
                    &entry.body,
                    &check.head,
                );
                last = entry.seq;
                check.entries += 1;
                let follows = entry.prev == check.head && entry.hash == expected;
                if !follows && check.broken_at.is_none() {
                    check.broken_at = Some(entry.seq);
                }
                check.head = entry.hash;
            }
        }
        // A chain cut off at its end is as broken as one changed in the middle.
        let head = Sql::new("SELECT seq, hash FROM ledger_head WHERE one = 1");
        let head = self
            .reader()
            .query_one_raw(head.statement(self.backend()))
            .await?;
        let head = head.ok_or(StoreError::Corrupt("ledger_head"))?;
        let (seq, hash): (i64, String) = (head.try_get_by_index(0)?, head.try_get_by_index(1)?);
        if check.broken_at.is_none() && (seq != last || hash != check.head) {
            // Unless entries were appended while we read.
            let grown = seq > last
                && self
                    .ledger_page(None, last, 1)
                    .await?
                    .first()
                    .is_some_and(|next| next.prev == check.head);
            if !grown {
                check.broken_at = Some(last + 1);
            }
        }
        Ok(check)
    }
}

fn entry(row: &QueryResult) -> Result<LedgerEntry, StoreError> {
    Ok(LedgerEntry {
        seq: row.try_get_by_index(0)?,
        at: row.try_get_by_index(1)?,
        subject: row.try_get_by_index(2)?,
        kind: row.try_get_by_index(3)?,
        body: row.try_get_by_index(4)?,
        prev: row.try_get_by_index(5)?,
        hash: row.try_get_by_index(6)?,
    })
}
