//! Surrogate ids: they grow, so that pages come in order of creation straight from an index. The low 4
//! bits are the rendition.
//!
//! SQLite stores small numbers in few bytes, and an id stands in some forty places for each resource:
//! there they are counted, each write going on after the last id of the table (it is the only
//! writer).
//!
//! PostgreSQL stores each in eight bytes: 41 bits of milliseconds, 18 bits that count up from a random
//! start in each process (two processes that write in the same millisecond almost never meet; if
//! they do, the primary key says so and the write is tried again), so that nobody waits for a
//! number.

use std::sync::Mutex;

use rand::Rng as _;
use sea_orm::{ConnectionTrait, DbBackend};

use super::StoreError;
use crate::clock;
use crate::sql::Sql;
use crate::visibility::predicate::RENDITION_MASK;

const COUNTER_BITS: u32 = 18;
const RENDITION_BITS: u32 = 4;
/// 2020-01-01T00:00:00Z, in ms: 41 bits from here last until 2089.
const EPOCH: i64 = 1_577_836_800_000;

struct Mint {
    last: i64,
    counter: i64,
}

static MINT: Mutex<Option<Mint>> = Mutex::new(None);

/// Fresh surrogate ids for one write.
#[derive(Debug)]
pub(super) enum Ids {
    Minted,
    /// The last one that was given.
    Counted(i64),
}

impl Ids {
    /// For a write on this connection.
    pub(super) async fn on(on: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let backend = on.get_database_backend();
        if backend == DbBackend::Postgres {
            return Ok(Self::Minted);
        }
        // What is purged leaves its number to nobody: the ledger may still speak of it.
        let sql = Sql::new(
            "SELECT MAX((SELECT COALESCE(MAX(id), 0) FROM resource), \
             (SELECT COALESCE(MAX(subject), 0) FROM ledger))",
        );
        let row = on.query_one_raw(sql.statement(backend)).await?;
        let row = row.ok_or(StoreError::Corrupt("resource"))?;
        Ok(Self::Counted(base_of(row.try_get_by_index(0)?)))
    }

    /// The next, of a resource as written (rendition 0); they grow.
    pub(super) fn next(&mut self) -> i64 {
        match self {
            Self::Minted => mint(),
            Self::Counted(last) => {
                *last += 1 << RENDITION_BITS;
                *last
            }
        }
    }
}

/// A fresh surrogate id by the clock.
pub(super) fn mint() -> i64 {
    let mut guard = match MINT.lock() {
        Ok(guard) => guard,
        // A panic elsewhere cannot leave the two numbers inconsistent.
        Err(poisoned) => poisoned.into_inner(),
    };
    let mint = guard.get_or_insert_with(|| Mint {
        last: 0,
        counter: i64::from(rand::rng().next_u32()),
    });
    mint.counter = mint.counter.wrapping_add(1);
    let low = mint.counter & ((1 << COUNTER_BITS) - 1);
    // The machine's clock on purpose, also under a test clock: the order of creation is real.
    let at = ((clock::machine_now() - EPOCH) << COUNTER_BITS) | low;
    mint.last = at.max(mint.last + 1);
    mint.last << RENDITION_BITS
}

/// The surrogate id of a resource's base, whatever rendition `id` is.
#[must_use]
pub(super) fn base_of(id: i64) -> i64 {
    id & !RENDITION_MASK
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Origin;
    use crate::store::tests::{fixtures, op};

    #[test]
    fn ids_grow_and_leave_room_for_renditions() {
        let ids: Vec<i64> = (0..100_000).map(|_| mint()).collect();
        assert!(
            ids.windows(2)
                .all(|pair| pair[0] + RENDITION_MASK < pair[1])
        );
        assert!(
            ids.iter()
                .all(|id| base_of(*id) == *id && base_of(*id | 7) == *id)
        );
    }

    #[tokio::test]
    async fn surrogate_ids_grow_and_are_small_on_sqlite() {
        for fixture in fixtures().await {
            let mut last = 0;
            for round in 0..3 {
                let ops = (0..3).map(|one| {
                    op(json!({"resourceType": "Basic", "id": format!("b{round}{one}")}))
                });
                fixture
                    .store
                    .write(Origin::Api, ops.collect())
                    .await
                    .unwrap();
                let sql = crate::sql::Sql::new("SELECT id FROM resource ORDER BY fhir_id");
                let rows = fixture
                    .store
                    .reader()
                    .query_all_raw(sql.statement(fixture.store.backend()))
                    .await
                    .unwrap();
                let ids: Vec<i64> = rows
                    .iter()
                    .map(|row| row.try_get_by_index(0).unwrap())
                    .collect();
                assert!(
                    ids.is_sorted_by(|a, b| a < b) && ids.iter().all(|id| id % 16 == 0),
                    "{ids:?}"
                );
                assert!(ids.len() == (round + 1) * 3 && *ids.last().unwrap() > last);
                last = *ids.last().unwrap();
            }
            let is_small = last <= 9 * 16;
            assert_eq!(is_small, fixture.store.backend() == DbBackend::Sqlite);
            if !is_small {
                continue;
            }
            let write = fixture.store.begin().await.unwrap();
            let entry = "INSERT INTO ledger (seq, at, subject, kind, body, prev, hash) \
                 VALUES (9, 0, 4096, 'decision', '', '', '')";
            let on = write.connection();
            on.execute_unprepared(entry).await.unwrap();
            let next = Ids::on(on).await.unwrap().next();
            assert_eq!(next, 4096 + 16);
        }
    }
}
