//! Index rows of a stored body: what search finds, and the links that only the store follows.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::current::local_key;
use crate::fhir::definitions::{ParamId, TypeId, definitions};
use crate::keys::Keys;
use crate::release;
use crate::search::extract::custom::Custom;
use crate::search::extract::{self, IndexRows, ReferenceRow};

/// The number under which `idx_reference` keeps attachment links: no search parameter has it.
pub(super) const ATTACHMENT: ParamId = -1;

/// The number of references that no search parameter finds: only decisions follow them.
pub(super) const LINK: ParamId = -2;

/// Index rows that were computed ahead of a write.
#[derive(Clone, Debug)]
pub struct Indexed {
    rows: IndexRows,
    /// [`Custom::generation`] of the parameters that found them.
    generation: i64,
}

impl Indexed {
    /// The rows, if they are of these parameters.
    pub(super) fn under(self, custom: &Custom) -> Option<IndexRows> {
        (self.generation == custom.generation).then_some(self.rows)
    }
}

/// Computes [`Indexed`] without the database: on other threads, while it works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Indexer {
    keys: Keys,
    base: Arc<str>,
    custom: Arc<Custom>,
}

impl Indexer {
    pub(super) fn new(keys: Keys, base: Arc<str>, custom: Arc<Custom>) -> Self {
        Self { keys, base, custom }
    }

    /// The rows of a resource that has the id under which it will be written.
    #[must_use]
    pub fn index(&self, type_id: TypeId, resource: &Value) -> Indexed {
        Indexed {
            rows: self.rows(type_id, resource),
            generation: self.custom.generation,
        }
    }

    /// All index rows of a resource as stored.
    pub(super) fn rows(&self, type_id: TypeId, resource: &Value) -> IndexRows {
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
    for url in attachment_urls(definitions().type_name(type_id), resource) {
        if let Some(target) = local_key(keys, base, url)
            && url.contains("Binary/")
        {
            rows.references.push(ReferenceRow {
                param: ATTACHMENT,
                target,
                target_type: binary,
                text: String::new(),
            });
        }
    }
    // Elements without a search parameter refer too: `MedicationRequest.reasonReference`, a Binary's
    // `securityContext`, extensions.
    let found: HashSet<i64> = rows.references.iter().map(|row| row.target).collect();
    for reference in release::references(&release::relative(resource, base)) {
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

/// `Attachment.url`s by which a Binary inherits the decision and the patient of what names it.
pub(super) fn attachment_urls<'v>(type_name: &str, resource: &'v Value) -> Vec<&'v str> {
    let list = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let url = |attachment: &'v Value| attachment.get("url").and_then(Value::as_str);
    match type_name {
        "DocumentReference" => list("content")
            .filter_map(|content| content.get("attachment").and_then(url))
            .collect(),
        "DiagnosticReport" => list("presentedForm").filter_map(url).collect(),
        "Media" => resource.get("content").and_then(url).into_iter().collect(),
        "Communication" => list("payload")
            .filter_map(|payload| payload.get("contentAttachment").and_then(url))
            .collect(),
        "Consent" => resource
            .get("sourceAttachment")
            .and_then(url)
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}
