//! Index rows of a stored body: what search finds, and the links that only the store follows.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::StoreError;
use super::current::local_key;
use super::index::IndexWriter;
use super::units::Units;
use super::write::Op;
use crate::fhir::definitions::{ParamId, TypeId, definitions};
use crate::fhir::json;
use crate::keys::Keys;
use crate::release;
use crate::search::extract::custom::Custom;
use crate::search::extract::{self, IndexRows, ReferenceRow};

/// The number under which `idx_reference` keeps attachment links: no search parameter has it.
pub(super) const ATTACHMENT: ParamId = -1;

/// The number of references that no search parameter finds: only decisions follow them.
pub(super) const LINK: ParamId = -2;

/// The most that can be known of a write before the database is asked: the resource, stamped as its
/// own first version at no time, as bytes and as index rows.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Indexed {
    pub(super) rows: Arc<IndexRows>,
    /// [`Custom::generation`] of the parameters that found them.
    generation: i64,
    body: Bytes,
    /// Where in `body` the time belongs; none where the resource is no object.
    time: Option<usize>,
}

/// Stands for the time until it is known; as long as [`crate::clock::instant`] writes it.
const NO_TIME: &str = "0000-00-00T00:00:00.000Z";
/// The version that most resources get.
const FIRST: i32 = 1;

impl Indexed {
    /// The resource once more, for another try.
    ///
    /// # Errors
    /// When the bytes that were just written cannot be read.
    pub fn resource(&self) -> Result<Value, StoreError> {
        json::parse(&self.body).map_err(|_| StoreError::Corrupt("a resource that was read"))
    }

    /// The rows, if they are of these parameters.
    pub(super) fn under(&self, custom: &Custom) -> Option<Arc<IndexRows>> {
        (self.generation == custom.generation).then(|| self.rows.clone())
    }

    /// The body at its time, if it is right for this version.
    pub(super) fn body(&self, version: i32, time: &str) -> Option<Bytes> {
        let at = self.time.filter(|_| version == FIRST)?;
        let mut body = self.body.to_vec();
        let place = body.get_mut(at..at + NO_TIME.len())?;
        if place.len() != time.len() {
            return None;
        }
        place.copy_from_slice(time.as_bytes());
        Some(body.into())
    }
}

/// Computes [`Indexed`] without the database: on other threads, while it works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Indexer {
    keys: Keys,
    base: Arc<str>,
    custom: Arc<Custom>,
    units: Arc<Units>,
}

impl Indexer {
    pub(super) fn new(keys: Keys, base: Arc<str>, custom: Arc<Custom>, units: Arc<Units>) -> Self {
        Self {
            keys,
            base,
            custom,
            units,
        }
    }

    /// A writer of index rows.
    pub(super) fn writer(&self) -> IndexWriter {
        IndexWriter::new(self.units.clone())
    }

    /// Stamps a resource with the id under which it will be written, and reads it.
    #[must_use]
    pub fn index(&self, type_id: TypeId, id: &str, resource: &mut Value) -> Indexed {
        json::stamp(resource, id, i64::from(FIRST), NO_TIME);
        let body = json::to_bytes(resource);
        // The stamp is near the start, and nothing of the resource stands before it.
        let time = body
            .windows(NO_TIME.len())
            .position(|part| part == NO_TIME.as_bytes())
            .filter(|_| resource.is_object());
        Indexed {
            rows: Arc::new(self.rows(type_id, resource)),
            generation: self.custom.generation,
            body: body.into(),
            time,
        }
    }

    /// [`Indexer::index`] for writes whose ids are known.
    #[must_use]
    pub fn prepare(&self, ops: impl IntoIterator<Item = Op>) -> Vec<(Op, Option<Indexed>)> {
        ops.into_iter()
            .map(|mut op| {
                let indexed = op
                    .resource
                    .as_mut()
                    .map(|resource| self.index(op.type_id, &op.id, resource));
                (op, indexed)
            })
            .collect()
    }

    /// All index rows of a resource as stored.
    pub(crate) fn rows(&self, type_id: TypeId, resource: &Value) -> IndexRows {
        let mut rows = index_rows(type_id, resource, &self.keys, &self.base);
        if let Some(own) = self.own_rows(type_id, resource) {
            rows.append(own);
        }
        rows
    }

    /// Those of this server's own parameters alone.
    pub(super) fn own_rows(&self, type_id: TypeId, resource: &Value) -> Option<IndexRows> {
        let (keys, base) = (&self.keys, &*self.base);
        self.custom.extract(type_id, resource, keys, base)
    }

    /// The hashes of this database.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }
}

/// What the specification's parameters find, and what only the store follows.
fn index_rows(type_id: TypeId, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    let mut rows = extract::extract(type_id, resource, keys, base);
    let binary = definitions().type_id("Binary").unwrap_or(-1);
    for url in release::attachments(resource) {
        if let Some(target) = local_key(keys, base, url) {
            rows.references.push(ReferenceRow {
                param: ATTACHMENT,
                target,
                target_type: binary,
                text: String::new(),
            });
        }
    }
    extract::contained::mark(resource, keys, &mut rows);
    // Elements without a search parameter refer too: `MedicationRequest.reasonReference`, a Binary's
    // `securityContext`, extensions.
    let found: HashSet<i64> = rows.references.iter().map(|row| row.target).collect();
    let relative = release::relative(resource, base);
    rows.has_own_address = matches!(relative, Cow::Owned(_));
    for reference in release::references(&relative) {
        if let Some(target) = local_key(keys, base, &reference)
            && !found.contains(&target)
        {
            let type_name = reference.split('/').next().unwrap_or_default();
            rows.references.push(ReferenceRow {
                param: LINK,
                target,
                target_type: definitions().type_id(type_name).unwrap_or(-1),
                text: String::new(),
            });
        }
    }
    rows.references.sort_unstable();
    rows.references.dedup();
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_ahead_is_what_is_stored() {
        let base = "http://localhost/fhir/r4".into();
        let indexer = Indexer::new(Keys::new([7; 16]), base, Arc::default(), Arc::default());
        let type_id = definitions().type_id("Patient").unwrap();
        let sent = json!({"active": true, "meta": {"tag": [{"code": "x"}], "lastUpdated": "sent"},
            "resourceType": "Patient", "name": [{"family": "0000-00-00T00:00:00.000Z"}]});
        let time = "2026-11-25T12:00:00.123Z";
        let mut ahead = sent.clone();
        let indexed = indexer.index(type_id, "p", &mut ahead);
        assert_eq!(indexed.rows.patients, ["p"]);
        // Another version than the first is written anew.
        assert_eq!(indexed.body(2, time), None);
        for version in [2, 1] {
            json::restamp(&mut ahead, version, time);
            let mut stamped = sent.clone();
            json::stamp(&mut stamped, "p", version, time);
            assert_eq!(ahead.to_string(), stamped.to_string());
        }
        assert_eq!(indexed.body(1, time), Some(json::to_bytes(&ahead).into()));
        let again = indexed.resource().unwrap();
        assert_eq!(again["name"], ahead["name"]);
    }
}
