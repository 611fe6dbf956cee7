//! What the database knows of its own tables.

use sea_orm::{ConnectionTrait, DbBackend};

use super::{Store, StoreError};

impl Store {
    /// After many writes at once: PostgreSQL counts its tables anew, which it would otherwise do some
    /// minutes later, and plans again; and it notes which pages everybody sees, without which it reads
    /// the table beside an index that has everything. SQLite has the proportions of its migrations and
    /// needs nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_anew(&self) -> Result<(), StoreError> {
        if self.backend() == DbBackend::Postgres {
            self.reader().execute_unprepared("VACUUM (ANALYZE)").await?;
        }
        Ok(())
    }
}
