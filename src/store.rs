//! The record at rest: connections, transactions, versions, index writing, holds, the ledger.
//!
//! Reads go through a [`Visibility`](crate::visibility::Visibility); writes decide release and
//! write the index in the same transaction (design.md section 3).

mod apply;
mod asks;
mod between;
pub mod connection;
mod current;
mod decide;
mod ended;
pub mod error;
pub mod everything;
mod gather;
pub mod history;
mod holds;
mod index;
mod indexed;
pub mod journal;
pub mod labels;
pub mod lastn;
mod lease;
pub mod ledger;
mod lite;
pub mod packed;
pub mod policy;
pub mod read;
pub mod reader;
mod record;
mod records;
pub mod reindex;
mod rows;
pub mod search_params;
pub mod select;
pub mod standing;
mod statistics;
pub mod subjects;
mod surrogate;
#[cfg(test)]
mod tests;
mod text;
mod turn;
mod units;
mod versions;
pub mod witness;
pub mod write;

pub use connection::{Store, StoreOptions};
pub use error::StoreError;
pub use everything::{EverythingOf, EverythingQuery, RecordEntry};
pub use history::{HistoryEntry, HistoryPage, HistoryQuery, HistoryScope};
pub use indexed::{Indexed, Indexer};
pub use journal::JournalRow;
pub use labels::Label;
pub use lastn::LastnQuery;
pub use ledger::{LedgerCheck, LedgerEntry};
pub use policy::{AdoptError, PolicySettings};
pub use read::{Narrow, Stored};
pub use reader::Reader;
pub use reindex::{Job, JobKind, Reindexer, Step};
pub use search_params::ParamState;
pub use select::{Select, Selected};
pub use standing::Standing;
pub use witness::Witness;
pub use write::{IfMatch, Method, Op, Origin, Outcome, Writer};
