//! The record at rest: connections, transactions, versions, index writing, holds, the ledger.
//!
//! Reads go through a [`Visibility`](crate::visibility::Visibility); writes decide release and
//! write the index in the same transaction (design.md section 3).

pub mod connection;
pub mod error;

pub use connection::{Store, StoreOptions};
pub use error::StoreError;
