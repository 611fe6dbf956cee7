//! Why a search was refused.

use thiserror::Error;

use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;
use crate::store::StoreError;

/// What can go wrong in a search. `rest::error` maps it to HTTP once.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The query is malformed, unsupported, or (strict) has unknown parameters. 400.
    #[error("the search was refused")]
    Invalid(Vec<Issue>),
    /// No scope opens this type to a search. 403.
    #[error("no scope allows a search of this type")]
    Forbidden(TypeId),
    /// The database failed. 503, never an empty answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SearchError {
    /// A refusal with one issue.
    #[must_use]
    pub fn invalid(issue: Issue) -> Self {
        Self::Invalid(vec![issue])
    }
}

impl From<sea_orm::DbErr> for SearchError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(StoreError::Database(error))
    }
}
