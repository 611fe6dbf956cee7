//! One number in the database that everything that takes access away raises, in its own transaction.
//! Whoever remembers who holds a token compares it first, so that what any process took away is gone
//! with the next request in every process.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::clock;
use crate::store::{Store, StoreError};

/// When the write-ahead log was last written to, and how long it was then.
type Stamp = (SystemTime, u64);

/// The number as it was last read, with what shows that nothing was committed since: on SQLite every
/// commit writes to the log, and looking at that file costs far less than a statement.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<(Stamp, i64)>>);

/// File systems tell times apart only so finely: what was written to more recently than this (ms) may
/// be written to again without a later time.
const SETTLED: i64 = 100;

impl Watch {
    /// The number as it stands.
    pub(super) async fn read(&self, store: &Store) -> Result<i64, StoreError> {
        // Before the statement: what is committed in between changes the stamp.
        let stamp = store.write_ahead_log().and_then(stamp);
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(now), Some((then, value))) = (stamp, known)
            && now == then
        {
            return Ok(value);
        }
        let value = read(store).await?;
        let settled = stamp.filter(|(at, _)| {
            let at = at
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let at = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
            clock::machine_now().saturating_sub(at) > SETTLED
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            settled.map(|stamp| (stamp, value));
        Ok(value)
    }
}

fn stamp(log: &std::path::Path) -> Option<Stamp> {
    let found = fs::metadata(log).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// The number as it stands, from the database.
pub(super) async fn read(store: &Store) -> Result<i64, StoreError> {
    let select = Statement::from_string(
        store.backend(),
        "SELECT value FROM auth_generation WHERE id = 1",
    );
    let row = store.reader().query_one_raw(select).await?;
    let row = row.ok_or(StoreError::Corrupt("auth_generation"))?;
    Ok(row.try_get_by_index(0)?)
}

/// Says that access ended, in the transaction that ends it.
pub(super) async fn raise(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    let update = Statement::from_string(
        connection.get_database_backend(),
        "UPDATE auth_generation SET value = value + 1 WHERE id = 1",
    );
    connection.execute_raw(update).await?;
    Ok(())
}
