//! AuditEvents of what the journal holds: in the transaction that takes it away, so that each access
//! becomes one event (for each patient), however many processes make them and whenever they end.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::event;
use super::record::{self, Record};
use crate::fhir::definitions::{TypeId, definitions};
use crate::store::{Method, Op, Origin, Store, StoreError, Writer};

/// Makes the events of the oldest row; false when there was none.
pub(super) async fn make(store: &Store) -> Result<bool, StoreError> {
    if !store.has_journal().await? {
        return Ok(false);
    }
    let Some(type_id) = definitions().type_id("AuditEvent") else {
        return Ok(false);
    };
    let mut writer = store.writer(Origin::Feed).await?;
    // Another process may have been faster, and there may be more.
    let Some(text) = writer.take_journal().await? else {
        return Ok(true);
    };
    let records = record::unpack(&text)?;
    let ops = ops(&writer, store.base(), type_id, &records).await?;
    writer.apply(ops).await?;
    writer.commit().await?;
    Ok(true)
}

async fn ops(
    writer: &Writer<'_>,
    base: &str,
    type_id: TypeId,
    records: &[Record],
) -> Result<Vec<Op>, StoreError> {
    let mut keys: Vec<i64> = records
        .iter()
        .flat_map(|one| one.touched.iter().copied())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let subjects = writer.subjects(&keys).await?;
    let mut ops = Vec::with_capacity(records.len());
    for record in records {
        let found = || record.touched.iter().filter_map(|key| subjects.get(key));
        // One of its own for each patient: an event is in one record.
        let mut patients: BTreeSet<Option<&str>> = found()
            .filter_map(|subject| subject.patient_at(record.at))
            .map(Some)
            .collect();
        if patients.is_empty() {
            patients.insert(None);
        }
        for patient in patients {
            ops.push(op(type_id, event::event(base, record, patient)));
        }
    }
    Ok(ops)
}

fn op(type_id: TypeId, resource: Value) -> Op {
    Op {
        type_id,
        id: Uuid::new_v4().to_string(),
        method: Method::Post,
        resource: Some(resource),
        if_match: None,
        must_be_new: true,
    }
}
