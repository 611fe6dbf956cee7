//! The write path: bodies, versions, index rows, release decisions and the ledger, in one
//! transaction. This file has its words; `apply` has its steps.

use bytes::Bytes;
use sea_orm::DatabaseTransaction;
use serde_json::Value;

use super::connection::WriteTx;
use super::turn::Size;
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::fhir::definitions::TypeId;

/// How a version came to be; `resource.method` and `history.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    Delete,
    Patch,
    /// This server's own Provenance of a write: stored like a POST, no part of what
    /// `$everything` tells unless Provenance is asked for.
    Noted,
}

impl Method {
    pub(crate) fn number(self) -> i16 {
        match self {
            Self::Post => 0,
            Self::Put => 1,
            Self::Delete => 2,
            Self::Patch => 3,
            Self::Noted => 4,
        }
    }

    pub(super) fn from_number(number: i16) -> Self {
        match number {
            0 => Self::Post,
            2 => Self::Delete,
            3 => Self::Patch,
            4 => Self::Noted,
            _ => Self::Put,
        }
    }

    /// The HTTP method, for `Bundle.entry.request.method`.
    #[must_use]
    pub fn http(self) -> &'static str {
        match self {
            Self::Post | Self::Noted => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }
}

/// Where a write comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The API: a hold without valid evidence is refused with 422.
    Api,
    /// A feed that cannot be refused (import, HL7 v2): the same hold is stored, does not hold, and
    /// the ledger says `evidence_gap`.
    Feed,
}

/// `If-Match`: what must stand now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any version, but the resource must exist.
    Any,
    /// This version.
    Version(i32),
}

impl IfMatch {
    /// Whether a version that stands will do.
    #[must_use]
    pub fn takes(self, version: i32) -> bool {
        match self {
            Self::Any => true,
            Self::Version(own) => own == version,
        }
    }
}

/// One write. The resource is structurally valid; `id` and `meta` are stamped here.
#[derive(Clone, Debug)]
pub struct Op {
    pub type_id: TypeId,
    pub id: String,
    pub method: Method,
    /// None for a deletion.
    pub resource: Option<Value>,
    /// `If-Match`.
    pub if_match: Option<IfMatch>,
    /// The resource must not exist yet (a server-assigned id, `If-None-Match: *`).
    pub must_be_new: bool,
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub type_id: TypeId,
    pub id: String,
    pub version: i32,
    pub updated: Millis,
    /// Whether the resource did not exist (or was deleted) before.
    pub created: bool,
    /// Whether anything was written: not where what was gone was deleted.
    pub changed: bool,
    /// Key of the patient whose record it is in, 0 for none.
    pub patient: i64,
    /// As stored; None for a deletion. A deletion of what never existed has version 0.
    pub body: Option<Bytes>,
}

/// An open write: conditions are searched on [`Writer::connection`], then all writes are applied
/// at once. Dropped before [`Writer::commit`], nothing happened.
#[derive(Debug)]
pub struct Writer<'s> {
    pub(super) store: &'s Store,
    pub(super) tx: WriteTx,
    pub(super) origin: Origin,
    /// A SearchParameter was written.
    pub(super) defines: bool,
}

impl Store {
    /// Begins a write of a few resources.
    pub async fn writer(&self, origin: Origin) -> Result<Writer<'_>, StoreError> {
        self.writer_of(origin, 1).await
    }

    /// Begins a write of about so many resources.
    pub async fn writer_of(
        &self,
        origin: Origin,
        resources: usize,
    ) -> Result<Writer<'_>, StoreError> {
        let tx = self.begin_of(Size::of(resources)).await?;
        self.settle(tx.connection()).await?;
        Ok(Writer {
            store: self,
            tx,
            origin,
            defines: false,
        })
    }

    /// One batch of writes, all or nothing. Two writers that meet are tried again, a few times.
    pub async fn write(&self, origin: Origin, ops: Vec<Op>) -> Result<Vec<Outcome>, StoreError> {
        for _ in 0..3 {
            match self.write_once(origin, ops.clone()).await {
                Err(StoreError::Race) => {}
                result => return result,
            }
        }
        self.write_once(origin, ops).await
    }

    async fn write_once(&self, origin: Origin, ops: Vec<Op>) -> Result<Vec<Outcome>, StoreError> {
        let mut writer = self.writer_of(origin, ops.len()).await?;
        let alone = ops.len() == 1;
        let outcomes = writer
            .apply(ops)
            .await
            .map_err(|error| if alone { error.plain() } else { error })?;
        writer.commit().await?;
        Ok(outcomes)
    }
}

impl Writer<'_> {
    /// What to run conditional searches on: they see what stands before [`Writer::apply`].
    #[must_use]
    pub fn connection(&self) -> &DatabaseTransaction {
        self.tx.connection()
    }

    /// The store as this write sees it, for reads before [`Writer::commit`].
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.within(&self.tx)
    }

    /// A write inside this one, to be taken back with [`Writer::undo`].
    pub async fn trial(&self) -> Result<Writer<'_>, StoreError> {
        Ok(Writer {
            store: self.store,
            tx: self.tx.nested().await?,
            origin: self.origin,
            defines: self.defines,
        })
    }

    /// Takes back what was done since the writer began.
    pub async fn undo(self) -> Result<(), StoreError> {
        Ok(self.tx.undo().await?)
    }

    /// Makes it happen, durably.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await?;
        if self.defines {
            self.store.wake.notify_one();
        }
        Ok(())
    }
}
