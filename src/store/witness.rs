//! Whether an answer was read while a number in the database was still what its reader believes: what
//! is remembered of a token holds for as long as nobody took any access away, in whatever process.
//! The number comes along with the rows, in the same statement and so of the same moment, and costs no
//! statement of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::select::Select as _;
use super::{Reader, Store, StoreError};
use crate::sql::Sql;

/// The number that everything raises that takes access away.
const GENERATION: &str = "SELECT value FROM auth_generation WHERE id = 1";

const UNSEEN: u8 = 0;
const SAME: u8 = 1;
const OTHER: u8 = 2;

/// Believes in one generation, and looks at what the rows say.
#[derive(Debug)]
pub struct Witness {
    generation: i64,
    seen: AtomicU8,
}

impl Witness {
    /// A witness who has seen nothing yet.
    #[must_use]
    pub fn new(generation: i64) -> Self {
        Self {
            generation,
            seen: AtomicU8::new(UNSEEN),
        }
    }

    /// Adds the number to a SELECT as its first column; false where nothing needs to be seen any more.
    pub(super) fn ask(&self, sql: &mut Sql) -> bool {
        if self.seen.load(Ordering::Relaxed) != UNSEEN {
            return false;
        }
        match sql.text.strip_prefix("SELECT ") {
            Some(rest) => {
                sql.text = format!("SELECT ({GENERATION}), {rest}");
                true
            }
            None => false,
        }
    }

    /// What the database says.
    pub(super) fn see(&self, generation: i64) {
        let seen = if generation == self.generation {
            SAME
        } else {
            OTHER
        };
        // What was once seen otherwise stays so.
        self.seen.fetch_max(seen, Ordering::Relaxed);
    }

    /// Whether what was read meanwhile may be answered with: the number was seen and is the same. Reads
    /// it where no row told.
    pub async fn holds(&self, store: &Store) -> Result<bool, StoreError> {
        if self.seen.load(Ordering::Relaxed) == UNSEEN {
            self.see(store.auth_generation().await?);
        }
        Ok(self.seen.load(Ordering::Relaxed) == SAME)
    }
}

impl Store {
    /// The same store, whose reads and searches tell this witness.
    #[must_use]
    pub fn witnessed(&self, own: Arc<Witness>) -> Self {
        let mut store = self.clone();
        if let Reader::Pool { witness, .. } = &mut store.reader {
            *witness = Some(own);
        }
        store
    }

    /// The number that everything raises that takes access away.
    pub async fn auth_generation(&self) -> Result<i64, StoreError> {
        let row = self.reader().select_one(Sql::new(GENERATION)).await?;
        let row = row.ok_or(StoreError::Corrupt("auth_generation"))?;
        Ok(row.get(0)?)
    }
}
