//! The steps of a write: load what stands, stamp and version, lock, keep the old, store the new,
//! index it, decide, enter it in the ledger.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::Value;

use super::current::{Current, in_list, inherits_from, load, local_key};
use super::decide::{Changed, Decider};
use super::index::IndexWriter;
use super::indexed::{Indexed, Indexer};
use super::rows::{Insert, Kind};
use super::search_params::Written;
use super::surrogate::Ids;
use super::write::{Method, Op, Outcome, Writer};
use super::{Store, StoreError, history, holds, ledger, packed, versions};
use crate::clock::{self, Millis};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::json;
use crate::fhir::outcome::Issue;
use crate::search::extract::IndexRows;
use crate::search::extract::custom::Custom;
use crate::sql::Sql;

/// A write whose place is known.
struct Plan {
    type_id: TypeId,
    id: String,
    key: i64,
    doc: i64,
    version: i32,
    method: Method,
    created: bool,
    old: Option<Current>,
    old_value: Option<Value>,
    new: Option<Value>,
    body: Option<Bytes>,
    rows: Arc<IndexRows>,
    patients: Vec<i64>,
    /// Nothing to do: a deletion of what is not there.
    idle: bool,
}

impl Plan {
    /// Key of the patient in whose record it stands, the first it is about; 0 for none.
    fn patient(&self) -> i64 {
        self.patients.first().copied().unwrap_or(0)
    }
}

impl Writer<'_> {
    /// Applies all writes; each resource at most once. An error leaves nothing.
    pub async fn apply(&mut self, ops: Vec<Op>) -> Result<Vec<Outcome>, StoreError> {
        self.apply_indexed(ops.into_iter().map(|op| (op, None)).collect())
            .await
    }

    /// [`Writer::apply`] with what was computed ahead, for the resources that have some.
    pub async fn apply_indexed(
        &mut self,
        mut ops: Vec<(Op, Option<Indexed>)>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let now = self.store.clock().now();
        let asked_for = ops.len();
        self.ask_for_attestations(&mut ops, now).await?;
        let keys = *self.store.keys();
        let indexer = self.store.indexer();
        let mut wanted = Vec::with_capacity(ops.len());
        let mut seen = HashSet::new();
        for (op, _) in &ops {
            let key = keys.reference(definitions().type_name(op.type_id), &op.id);
            if !seen.insert(key) {
                let text = "The same resource is written twice in one transaction";
                return Err(StoreError::refused(400, Issue::error("invalid", text)));
            }
            wanted.push(key);
        }
        let mut currents = load(self.connection(), &wanted, true).await?;
        let mut ids = Ids::on(self.connection()).await?;
        let mut plans = Vec::with_capacity(ops.len());
        for ((op, indexed), key) in ops.into_iter().zip(wanted) {
            let (type_name, id) = (definitions().type_name(op.type_id), op.id.clone());
            let planned = plan(
                (op, indexed),
                key,
                currents.remove(&key),
                now,
                &indexer,
                &self.store.custom(),
                &mut ids,
            );
            plans.push(planned.map_err(|error| error.about(type_name, &id))?);
        }
        self.inherit_patients(&mut plans).await?;
        self.lock_patients(&plans).await?;
        self.keep_old(&plans).await?;
        // SQLite stores on a thread of its own; what goes into the index is put together meanwhile.
        let (stored, index) = tokio::join!(self.store_new(&plans, now), async {
            index_writer(&plans, &indexer)
        });
        stored?;
        self.tx.brings(index.run(self.connection()).await?);
        self.define(&plans).await?;

        let mut outcomes = Vec::with_capacity(plans.len());
        let mut changed = Vec::with_capacity(plans.len());
        for plan in plans {
            outcomes.push(Outcome {
                type_id: plan.type_id,
                id: plan.id.clone(),
                version: plan.version,
                updated: now,
                created: plan.created,
                changed: !plan.idle,
                patient: match (plan.patients.first(), &plan.old) {
                    (Some(patient), _) => *patient,
                    (None, Some(old)) if plan.new.is_none() => old.patient,
                    _ => 0,
                },
                body: plan.body,
            });
            if !plan.idle {
                changed.push(Changed {
                    doc: plan.doc,
                    key: plan.key,
                    type_id: plan.type_id,
                    id: plan.id,
                    version: plan.version,
                    patients: plan.patients,
                    rows: plan.rows,
                    old: plan.old_value,
                    new: plan.new,
                    created: plan.old.is_none(),
                    updated: now,
                    method: plan.method.number(),
                });
            }
        }
        let entries = Decider::new(self.store, self.connection(), self.origin, now)
            .after(changed)
            .await?;
        ledger::append(self.connection(), now, entries).await?;
        outcomes.truncate(asked_for);
        Ok(outcomes)
    }

    /// Provenance is about whom its targets are about, Binary about whom its security context is.
    async fn inherit_patients(&self, plans: &mut [Plan]) -> Result<(), StoreError> {
        let keys = self.store.keys();
        let mut asked: HashMap<usize, Vec<i64>> = HashMap::new();
        for (at, plan) in plans.iter().enumerate() {
            let Some(resource) = plan.new.as_ref().filter(|_| plan.patients.is_empty()) else {
                continue;
            };
            let targets: Vec<i64> = inherits_from(definitions().type_name(plan.type_id), resource)
                .into_iter()
                .filter_map(|reference| local_key(keys, self.store.base(), reference))
                .collect();
            if !targets.is_empty() {
                asked.insert(at, targets);
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let here: HashMap<i64, Vec<i64>> = plans
            .iter()
            .map(|plan| (plan.key, plan.patients.clone()))
            .collect();
        let outside: Vec<i64> = asked
            .values()
            .flatten()
            .copied()
            .filter(|key| !here.contains_key(key))
            .collect();
        let there = load(self.connection(), &outside, false).await?;
        for (at, targets) in asked {
            let mut patients = Vec::new();
            for target in targets {
                let found = here
                    .get(&target)
                    .cloned()
                    .or_else(|| there.get(&target).map(|current| vec![current.patient]));
                for patient in found.unwrap_or_default() {
                    if patient != 0 && !patients.contains(&patient) {
                        patients.push(patient);
                    }
                }
            }
            if let Some(plan) = plans.get_mut(at) {
                plan.patients = patients;
            }
        }
        Ok(())
    }

    /// Release decisions about one patient are made one transaction at a time: otherwise a hold
    /// and a new version of what it holds could pass each other unseen. The same goes for what
    /// decisions rest on without being about a patient.
    async fn lock_patients(&self, plans: &[Plan]) -> Result<(), StoreError> {
        const RESTS_ON: [&str; 3] = ["Practitioner", "PractitionerRole", "ResearchStudy"];
        let mut locks = Vec::new();
        for plan in plans {
            locks.extend(&plan.patients);
            locks.extend(plan.old.as_ref().map(|old| old.patient));
            if RESTS_ON.contains(&definitions().type_name(plan.type_id)) {
                locks.push(plan.key);
            }
        }
        lock_all(self.connection(), locks).await
    }

    /// Moves what is replaced into history, with what was held of it.
    async fn keep_old(&self, plans: &[Plan]) -> Result<(), StoreError> {
        let on = self.connection();
        let replaced: Vec<&Plan> = plans
            .iter()
            .filter(|plan| plan.old.is_some() && !plan.idle)
            .collect();
        if replaced.is_empty() {
            return Ok(());
        }
        let mut insert = Insert::new(
            "history",
            &[
                ("doc", Kind::Big),
                ("version", Kind::Int),
                ("type", Kind::Small),
                ("patient", Kind::Big),
                ("updated", Kind::Big),
                ("method", Kind::Small),
                // Unused since 0030_old_versions, and still without a default.
                ("hidden_until", Kind::Big),
                ("body", Kind::Blob),
            ],
            "",
        );
        for plan in &replaced {
            let Some(old) = &plan.old else { continue };
            let body = old.body.as_deref().map(history::pack).transpose()?;
            insert.push([
                old.doc.into(),
                old.version.into(),
                old.type_id.into(),
                old.patient.into(),
                old.updated.into(),
                old.method.into(),
                0_i64.into(),
                body.into(),
            ]);
        }
        insert.run(on).await?;
        let docs: Vec<i64> = replaced.iter().map(|plan| plan.doc).collect();
        versions::keep_holds(on, &docs).await?;
        let old = replaced
            .iter()
            .filter_map(|plan| Some((plan.doc, plan.old_value.as_ref()?)));
        versions::keep_references(on, self.store, old).await
    }

    async fn store_new(&self, plans: &[Plan], now: Millis) -> Result<(), StoreError> {
        let on = self.connection();
        let backend = on.get_database_backend();
        let mut insert = resource_insert();
        for plan in plans.iter().filter(|plan| !plan.idle) {
            let patient = plan.patient();
            let deleted = i16::from(plan.body.is_none());
            let body = plan.body.as_ref().map(|body| packed::pack(backend, body));
            if plan.old.is_some() {
                // A deletion keeps the patient: who may see the deletion is who could see the resource.
                let patient = match (&plan.old, &plan.body) {
                    (Some(old), None) => old.patient,
                    _ => patient,
                };
                let mut sql = Sql::default();
                let values = [
                    ("patient", sql.bind(patient)),
                    ("version", sql.bind(plan.version)),
                    ("updated", sql.bind(now)),
                    ("method", sql.bind(plan.method.number())),
                    ("deleted", sql.bind(deleted)),
                    ("body", sql.bind(body)),
                ];
                let sets: Vec<String> = values
                    .iter()
                    .map(|(name, place)| format!("{name} = {place}"))
                    .collect();
                let doc = sql.bind(plan.doc);
                sql.text = format!("UPDATE resource SET {} WHERE id = {doc}", sets.join(", "));
                on.execute_raw(sql.statement(backend)).await?;
                if plan.old.as_ref().is_some_and(|old| old.patient != patient) {
                    holds::move_rows(on, plan.doc, patient).await?;
                }
            } else {
                insert.push([
                    plan.doc.into(),
                    plan.type_id.into(),
                    0_i16.into(),
                    plan.key.into(),
                    patient.into(),
                    plan.version.into(),
                    now.into(),
                    plan.method.number().into(),
                    deleted.into(),
                    plan.id.as_str().into(),
                    body.into(),
                ]);
            }
        }
        insert.run(on).await.map_err(StoreError::from_insert)
    }

    /// A SearchParameter defines what is searched with.
    async fn define(&mut self, plans: &[Plan]) -> Result<(), StoreError> {
        let own = definitions().type_id("SearchParameter");
        let written: Vec<Written<'_>> = plans
            .iter()
            .filter(|plan| Some(plan.type_id) == own && !plan.idle)
            .map(|plan| Written {
                doc: plan.doc,
                id: &plan.id,
                resource: plan.new.as_ref(),
            })
            .collect();
        if written.is_empty() {
            return Ok(());
        }
        self.defines = true;
        let on = self.connection();
        self.store.sync_params(on, self.origin, &written).await
    }
}

/// The index rows that these writes add and remove.
fn index_writer(plans: &[Plan], indexer: &Indexer) -> IndexWriter {
    let mut writer = indexer.writer();
    let nothing = IndexRows::default();
    for plan in plans.iter().filter(|plan| !plan.idle) {
        match (&plan.old, &plan.old_value) {
            (Some(old), Some(value)) => {
                let rows = indexer.rows(old.type_id, value);
                let new: &IndexRows = if plan.new.is_some() {
                    &plan.rows
                } else {
                    &nothing
                };
                writer.replace(
                    plan.type_id,
                    plan.doc,
                    (old.patient, &rows),
                    (plan.patient(), new),
                );
            }
            _ if plan.old.is_none() => {
                writer.add_new(plan.type_id, plan.doc, plan.patient(), &plan.rows);
            }
            _ => writer.add(plan.type_id, plan.doc, plan.patient(), &plan.rows),
        }
    }
    writer
}

/// The insert into `resource`, for bases and renditions.
pub(super) fn resource_insert() -> Insert {
    Insert::new(
        "resource",
        &[
            ("id", Kind::Big),
            ("type", Kind::Small),
            ("rendition", Kind::Small),
            ("key", Kind::Big),
            ("patient", Kind::Big),
            ("version", Kind::Int),
            ("updated", Kind::Big),
            ("method", Kind::Small),
            ("deleted", Kind::Small),
            ("fhir_id", Kind::Text),
            ("body", Kind::Blob),
        ],
        "",
    )
    .all_or_nothing()
}

/// Waits until no other transaction decides about these keys (patients, what decisions rest on);
/// in one order everywhere. SQLite has one writer, nothing to wait for.
pub(super) async fn lock_all(
    on: &impl ConnectionTrait,
    mut keys: Vec<i64>,
) -> Result<(), StoreError> {
    keys.retain(|key| *key != 0);
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || on.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let mut sql = Sql::default();
    let list = in_list(&mut sql, DbBackend::Postgres, &keys);
    // OFFSET 0 keeps the order: the lock is taken row by row as the sorted list is read.
    sql.text = format!(
        "SELECT pg_advisory_xact_lock(k) FROM (SELECT k FROM UNNEST({}) AS k ORDER BY k OFFSET 0) AS sorted",
        list.trim_start_matches("= ANY(").trim_end_matches(')')
    );
    on.execute_raw(sql.statement(DbBackend::Postgres)).await?;
    Ok(())
}

/// Moves a resource that names no patient itself to the record of one.
pub(super) async fn move_to_patient(
    store: &Store,
    on: &impl ConnectionTrait,
    target: &Current,
    value: &Value,
    patient: i64,
) -> Result<(), StoreError> {
    let indexer = store.indexer();
    let rows = indexer.rows(target.type_id, value);
    let mut writer = indexer.writer();
    writer.remove(target.type_id, target.doc, 0, &rows);
    writer.add(target.type_id, target.doc, patient, &rows);
    writer.run(on).await?;
    let mut sql = Sql::default();
    let (place, doc) = (sql.bind(patient), sql.bind(target.doc));
    sql.text = format!("UPDATE resource SET patient = {place} WHERE id = {doc}");
    on.execute_raw(sql.statement(store.backend())).await?;
    holds::move_rows(on, target.doc, patient).await
}

fn plan(
    (op, indexed): (Op, Option<Indexed>),
    key: i64,
    old: Option<Current>,
    now: Millis,
    indexer: &Indexer,
    custom: &Custom,
    ids: &mut Ids,
) -> Result<Plan, StoreError> {
    let keys = indexer.keys();
    if let Some(current) = &old
        && (current.id != op.id || current.type_id != op.type_id)
    {
        // Two ids with one 64-bit key: refuse the newcomer rather than mix two resources up.
        let text = "This id cannot be used here; choose another";
        return Err(StoreError::refused(409, Issue::error("conflict", text)));
    }
    let stands = old.as_ref().is_some_and(|current| !current.deleted);
    if let Some(wanted) = op.if_match
        && !old
            .as_ref()
            .is_some_and(|current| !current.deleted && wanted.takes(current.version))
    {
        return Err(StoreError::VersionConflict);
    }
    if op.must_be_new && stands {
        return Err(StoreError::VersionConflict);
    }
    let idle = op.resource.is_none() && !stands;
    let old_value = old.as_ref().map(Current::value).transpose()?.flatten();
    let before = old.as_ref().map_or(0, |current| current.version);
    let version = if idle { before } else { before + 1 };
    let mut new = op.resource;
    let mut body = None;
    let mut rows = Arc::<IndexRows>::default();
    let mut patients = Vec::new();
    if let Some(resource) = &mut new {
        let time = clock::instant(now);
        let found = match indexed {
            Some(ahead) => {
                json::restamp(resource, i64::from(version), &time);
                let bytes = ahead.body(version, &time);
                body = Some(bytes.unwrap_or_else(|| json::to_bytes(resource).into()));
                ahead.under(custom)
            }
            None => {
                json::stamp(resource, &op.id, i64::from(version), &time);
                body = Some(json::to_bytes(resource).into());
                None
            }
        };
        rows = found.unwrap_or_else(|| indexer.rows(op.type_id, resource).into());
        for param in &rows.failed {
            tracing::warn!(
                resource_type = op.type_id,
                param,
                "a search parameter could not be evaluated"
            );
        }
        patients = rows
            .patients
            .iter()
            .map(|id| keys.reference("Patient", id))
            .collect();
    }
    Ok(Plan {
        type_id: op.type_id,
        key,
        doc: old
            .as_ref()
            .map_or_else(|| ids.next(), |current| current.doc),
        id: op.id,
        version,
        method: op.method,
        created: new.is_some() && !stands,
        old,
        old_value,
        new,
        body,
        rows,
        patients,
        idle,
    })
}
