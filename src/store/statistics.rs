//! What the database knows of its own tables, and how tightly it keeps their indexes.

use sea_orm::{ConnectionTrait, DbBackend};

use super::{Store, StoreError};
use crate::sql::Sql;

/// Fewer resources than this do not spread over many pages.
const FEW: u64 = 1_000;

impl Store {
    /// After `written` resources at once: PostgreSQL counts its tables anew, which it would otherwise do
    /// some minutes later, and plans again; and it notes which pages everybody sees, without which it
    /// reads the table beside an index that has everything. SQLite has the proportions of its migrations
    /// and needs nothing.
    ///
    /// If at least every other resource is new, it builds the indexes anew before. Rows that come in
    /// between others leave its pages half empty, and such an import is all rows between others; built
    /// in order they take a quarter less, for a second in 30,000 resources. Requests go on meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_in(&self, written: u64) -> Result<(), StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(());
        }
        if self.is_mostly(written).await?
            && let Err(error) = self.build_indexes_anew().await
        {
            // What was written stands, and is found; only the pages are not as full as they could be.
            tracing::warn!(%error, "the indexes were not built anew");
        }
        self.reader().execute_unprepared("VACUUM (ANALYZE)").await?;
        Ok(())
    }

    /// Whether what was written is at least half of what there is, and enough to make a difference.
    async fn is_mostly(&self, written: u64) -> Result<bool, StoreError> {
        if written < FEW {
            return Ok(false);
        }
        let count = Sql::new("SELECT COUNT(*) FROM resource WHERE rendition = 0");
        let row = self
            .reader()
            .query_one_raw(count.statement(self.backend()))
            .await?;
        let all: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        Ok(u64::try_from(all).unwrap_or(u64::MAX) <= written.saturating_mul(2))
    }

    async fn build_indexes_anew(&self) -> Result<(), StoreError> {
        // What a run that was ended halfway left behind costs each write and answers nothing.
        const LEFT: &str = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace \
             AND c.relname ~ '_ccnew[0-9]*$'";
        const TABLES: &str = "SELECT relname FROM pg_class WHERE relkind = 'r' \
             AND relnamespace = current_schema()::regnamespace \
             AND (relname = 'resource' OR relname ~ '^idx_')";
        let (on, backend) = (self.reader(), self.backend());
        for (names, what) in [
            (LEFT, "DROP INDEX CONCURRENTLY IF EXISTS"),
            (TABLES, "REINDEX TABLE CONCURRENTLY"),
        ] {
            let rows = on.query_all_raw(Sql::new(names).statement(backend)).await?;
            for row in rows {
                let name: String = row.try_get_by_index(0)?;
                // The migrations' own names: nothing in them needs more than quotes.
                on.execute_unprepared(&format!("{what} \"{name}\"")).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DbBackend};

    use super::FEW;
    use crate::sql::Sql;
    use crate::store::tests::fixtures;

    const INDEXES: &str = "SELECT c.relname || ' ' || c.relfilenode FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relname ~ '^(resource|idx)_' \
         ORDER BY 1";

    #[tokio::test]
    async fn after_a_great_import_indexes_are_built_anew_and_nothing_is_left_of_a_broken_run() {
        for fixture in fixtures().await {
            let store = &fixture.store;
            if store.backend() != DbBackend::Postgres {
                store.settle_in(FEW).await.unwrap();
                continue;
            }
            let on = store.reader();
            let indexes = async || -> Vec<String> {
                let all = Sql::new(INDEXES).statement(store.backend());
                let rows = on.query_all_raw(all).await.unwrap();
                rows.iter()
                    .map(|row| row.try_get_by_index(0).unwrap())
                    .collect()
            };
            let before = indexes().await;
            store.settle_in(FEW - 1).await.unwrap();
            assert_eq!(indexes().await, before, "not for a few");
            // Two rows alike: what a run that failed leaves behind.
            on.execute_unprepared("CREATE TABLE twice AS SELECT 1 AS one UNION ALL SELECT 1")
                .await
                .unwrap();
            on.execute_unprepared(
                "CREATE UNIQUE INDEX CONCURRENTLY idx_twice_ccnew ON twice (one)",
            )
            .await
            .unwrap_err();
            let broken = indexes().await;
            assert_eq!(broken.len(), before.len() + 1);

            store.settle_in(FEW).await.unwrap();
            let after = indexes().await;
            assert_eq!(after.len(), before.len());
            assert!(
                after.iter().zip(&before).all(|(new, old)| {
                    new.split(' ').next() == old.split(' ').next() && new != old
                }),
                "{before:?}\n{after:?}"
            );
        }
    }
}
