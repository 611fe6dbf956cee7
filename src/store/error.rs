//! What can go wrong in the store.

use thiserror::Error;

use crate::fhir::outcome::Issue;

/// The store's one error type. `rest::error` maps it to HTTP once.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No such resource for this viewer: unknown, withheld, or about somebody else. 404.
    #[error("the resource does not exist")]
    NotFound,
    /// It was deleted, and this viewer may know that. 410.
    #[error("the resource was deleted")]
    Gone,
    /// `If-Match` named another version. 412.
    #[error("the resource has another version than the one named in If-Match")]
    VersionConflict,
    /// A conditional interaction matched more than one resource. 412.
    #[error("the condition matches more than one resource")]
    MultipleMatches,
    /// The request contradicts itself or the record; the issues say how. 400, 409 or 422.
    #[error("the request was refused")]
    Refused { status: u16, issues: Vec<Issue> },
    /// [`StoreError::VersionConflict`] or [`StoreError::Refused`], and which of several writes it
    /// is about.
    #[error("{type_name}/{id} was refused")]
    About {
        type_name: String,
        id: String,
        #[source]
        error: Box<StoreError>,
    },
    /// Two writers met; trying again will do. 409.
    #[error("another write to the same resource came first")]
    Race,
    /// The database failed. 503, never a 404.
    #[error("the database failed")]
    Database(#[source] sea_orm::DbErr),
    /// The index was written by a release that extracts differently (docs/adr/0003).
    #[error(
        "the index of this database has epoch {found}, this release writes {ours}: `candor serve` and \
         `candor reindex` build it anew"
    )]
    IndexEpoch { found: String, ours: String },
    /// What is stored cannot be what we stored. 503.
    #[error("a stored value is not what was written: {0}")]
    Corrupt(&'static str),
}

impl From<sea_orm::DbErr> for StoreError {
    /// Two transactions that waited for each other: PostgreSQL ended this one (40P01), and trying again
    /// will do.
    fn from(error: sea_orm::DbErr) -> Self {
        use sea_orm::{DbErr, RuntimeErr};
        let (DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))) = &error
        else {
            return Self::Database(error);
        };
        let code = cause.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some("40P01") => Self::Race,
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// A failed insert: a key that is there already means that another writer came first.
    pub(super) fn from_insert(error: sea_orm::DbErr) -> Self {
        match error.sql_err() {
            Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) => Self::Race,
            _ => Self::Database(error),
        }
    }

    /// The same error, about this resource; those that are about none stay as they are.
    pub(super) fn about(self, type_name: &str, id: &str) -> Self {
        match self {
            error @ (Self::VersionConflict | Self::Refused { .. }) => Self::About {
                type_name: type_name.to_owned(),
                id: id.to_owned(),
                error: Box::new(error),
            },
            error => error,
        }
    }

    /// The error itself, without what it is about.
    #[must_use]
    pub fn plain(self) -> Self {
        match self {
            Self::About { error, .. } => error.plain(),
            error => error,
        }
    }

    /// A refusal with one issue.
    #[must_use]
    pub fn refused(status: u16, issue: Issue) -> Self {
        Self::Refused {
            status,
            issues: vec![issue],
        }
    }
}
