//! Between records. On PostgreSQL transactions wait for each other by patient; a reference leads from one
//! patient's record into another's. Whoever looks whether something in another record is held shares a
//! lock on it until it commits; whoever changes what is held of it has that lock alone before looking
//! who refers to it. So of a reference and a hold that are written at the same time, one sees the other.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbBackend};

use super::StoreError;
use super::current::in_list;
use crate::sql::Sql;

/// Locks that one transaction has at most, less one: resources are spread over them by their keys.
const BUCKETS: i64 = 0x3ff;
/// Tells these locks from those by patient, which have one number.
const SPACE: i32 = 17;

/// What a transaction has locked.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// Patients in whose records nobody else writes.
    patients: HashSet<i64>,
    alone: HashSet<i64>,
}

impl Locked {
    pub(super) fn add_patients(&mut self, patients: impl IntoIterator<Item = i64>) {
        self.patients
            .extend(patients.into_iter().filter(|key| *key != 0));
    }

    /// Before looking what is held of these resources.
    pub(super) async fn share(
        &self,
        on: &impl ConnectionTrait,
        keys: &[i64],
    ) -> Result<(), StoreError> {
        let backend = on.get_database_backend();
        if keys.is_empty() || backend != DbBackend::Postgres {
            return Ok(());
        }
        let mut sql = Sql::default();
        let patients: Vec<i64> = self.patients.iter().copied().collect();
        let keys = in_list(&mut sql, backend, keys);
        let patients = in_list(&mut sql, backend, &patients);
        // What is not there yet is left out: nearly always it will be in this record. In one order
        // everywhere: the lock is taken row by row as the sorted list is read, OFFSET 0 keeps it sorted.
        sql.text = format!(
            "SELECT pg_advisory_xact_lock_shared({SPACE}, b) FROM (\
             SELECT DISTINCT (k & {BUCKETS})::int AS b FROM UNNEST({}) AS k \
             JOIN resource r ON r.key = k AND r.rendition = 0 \
             WHERE NOT (r.patient {patients}) ORDER BY b OFFSET 0) AS sorted",
            keys.trim_start_matches("= ANY(").trim_end_matches(')')
        );
        on.execute_raw(sql.statement(backend)).await?;
        Ok(())
    }

    /// Before looking who refers to a resource whose holds changed.
    pub(super) async fn take(
        &mut self,
        on: &impl ConnectionTrait,
        key: i64,
    ) -> Result<(), StoreError> {
        let backend = on.get_database_backend();
        if backend != DbBackend::Postgres || !self.alone.insert(key & BUCKETS) {
            return Ok(());
        }
        let mut sql = Sql::default();
        let bucket = sql.bind(i32::try_from(key & BUCKETS).unwrap_or_default());
        sql.text = format!("SELECT pg_advisory_xact_lock({SPACE}, {bucket})");
        on.execute_raw(sql.statement(backend)).await?;
        Ok(())
    }
}
