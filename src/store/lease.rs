//! Work that one process does for all: whoever holds the lease. It ends by the database's clock, so
//! that a process that was killed is succeeded, and what it commits is committed only while it holds it.

use sea_orm::{ConnectionTrait, DbBackend};

use super::StoreError;
use crate::sql::Sql;

/// How long a lease lasts without being renewed (ms).
const LIFE: i64 = 5_000;

/// Takes or renews a lease in an open transaction; false while another holds it.
pub(super) async fn take(
    on: &impl ConnectionTrait,
    name: &str,
    holder: &str,
) -> Result<bool, StoreError> {
    let backend = on.get_database_backend();
    // The database's clock: processes may be on machines that disagree, a test's clock stands still.
    let now = if backend == DbBackend::Postgres {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    } else {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    let mut sql = Sql::default();
    let (own, wanted) = (sql.bind(holder), sql.bind(name));
    sql.text = format!(
        "UPDATE lease SET holder = {own}, ends = {now} + {LIFE} \
         WHERE name = {wanted} AND (holder = {own} OR ends < {now})"
    );
    let done = on.execute_raw(sql.statement(backend)).await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a lease back.
pub(super) async fn give_back(
    on: &impl ConnectionTrait,
    name: &str,
    holder: &str,
) -> Result<(), StoreError> {
    let mut sql = Sql::default();
    let (own, wanted) = (sql.bind(holder), sql.bind(name));
    sql.text = format!("UPDATE lease SET ends = 0 WHERE name = {wanted} AND holder = {own}");
    on.execute_raw(sql.statement(on.get_database_backend()))
        .await?;
    Ok(())
}
