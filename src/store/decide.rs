//! Release decisions in the transaction of what changed them.
//!
//! A write changes what it wrote; what it wrote may steer decisions about other resources (a hold,
//! a directive, a study), be what they depend on (an author's qualification), or be referred to by
//! them (a result that is held takes its reference out of the report). All of that is decided again
//! here, before the transaction commits. For a resource that nothing of the kind touches, deciding
//! costs a few comparisons and no query of its own.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::{Value, json};

use super::between::Locked;
use super::current::{self, Current, in_list};
use super::gather::{Gathered, StoredInput};
use super::holds::{self, HoldRow};
use super::ledger::NewEntry;
use super::record::ledger_body;
use super::write::{Method, Origin};
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::release::{self, Affects, Decision, Facts, Links};
use crate::search::extract::IndexRows;
use crate::sql::Sql;
use crate::visibility::access_log;

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
    /// Its index rows, which know what it refers to.
    pub(super) rows: Arc<IndexRows>,
    pub(super) old: Option<Value>,
    /// None: deleted.
    pub(super) new: Option<Value>,
    pub(super) created: bool,
    pub(super) updated: Millis,
    pub(super) method: i16,
}

/// How often one resource may be decided again in one transaction: decisions follow references, and
/// references can go in circles.
const MOST_VISITS: u8 = 64;

/// The ledger tells what became of the record. One line for each access and each write would bury that, and
/// AuditEvents and this server's own Provenances say themselves what they are about.
fn is_log(current: &Current) -> bool {
    definitions().type_name(current.type_id) == "AuditEvent"
        || current.method == Method::Noted.number()
}

/// Decides what a transaction changed, and what depends on it.
pub(super) struct Decider<'t> {
    pub(super) store: &'t Store,
    pub(super) on: &'t DatabaseTransaction,
    origin: Origin,
    pub(super) now: Millis,
    pub(super) gathered: Gathered,
    pub(super) locked: Locked,
    work: VecDeque<i64>,
    visits: HashMap<i64, u8>,
    released: Vec<String>,
    entries: Vec<NewEntry>,
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
            gathered: Gathered::default(),
            locked: Locked::default(),
            work: VecDeque::new(),
            visits: HashMap::new(),
            released: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Patients whose records this transaction has locked.
    pub(super) fn with_locks(mut self, patients: &[i64]) -> Self {
        self.locked.add_patients(patients.iter().copied());
        self
    }

    /// Writes the holds that follow from `changed`; returns what the ledger must say.
    pub(super) async fn after(
        mut self,
        changed: Vec<Changed>,
    ) -> Result<Vec<NewEntry>, StoreError> {
        let mut patients: BTreeSet<i64> = BTreeSet::new();
        for one in &changed {
            patients.extend(one.patients.iter().copied());
        }
        self.locked.add_patients(patients.iter().copied());
        self.steer(&changed).await?;
        self.depends(&changed).await?;
        let docs: Vec<i64> = changed
            .iter()
            .filter(|one| !one.created)
            .map(|one| one.doc)
            .collect();
        let patients: Vec<i64> = patients.into_iter().collect();
        self.load_patients(&patients, &docs).await?;
        self.load_targets(&changed).await?;
        let created: Vec<i64> = changed
            .iter()
            .filter(|one| one.created)
            .map(|one| one.key)
            .collect();
        self.adopt(&created).await?;
        for one in changed {
            let deleted = one.new.is_none();
            let current = Current {
                doc: one.doc,
                key: one.key,
                type_id: one.type_id,
                patient: one.patients.first().copied().unwrap_or(0),
                version: one.version,
                updated: one.updated,
                method: one.method,
                deleted,
                body: None,
                id: one.id,
            };
            let Some(value) = one.new else {
                holds::delete_shown(self.on, &self.store.indexer(), &current).await?;
                continue;
            };
            self.work.push_back(current.doc);
            self.gathered.remember(current, value);
        }
        self.run().await
    }

    /// Decides these resources (surrogate ids) again: the policy changed.
    pub(super) async fn again(mut self, docs: Vec<i64>) -> Result<Vec<NewEntry>, StoreError> {
        self.work.extend(docs);
        self.run().await
    }

    /// What would be decided now; nothing is written.
    pub(super) async fn look(
        mut self,
        current: &Current,
        value: &Value,
        reference: &str,
    ) -> Result<Decision, StoreError> {
        self.load_patients(&[current.patient], &[current.doc])
            .await?;
        let first_final = self.first_final(current, value).await?;
        self.decision(current, value, reference, first_final).await
    }

    async fn run(mut self) -> Result<Vec<NewEntry>, StoreError> {
        while let Some(doc) = self.work.pop_front() {
            // What is asked for again further back is decided there, with what changed meanwhile.
            if self.visits.contains_key(&doc) && self.work.contains(&doc) {
                continue;
            }
            let visits = self.visits.entry(doc).or_insert(0);
            *visits += 1;
            if *visits > MOST_VISITS {
                // Better no write than one that leaves a stale decision behind.
                return Err(StoreError::Corrupt("decisions that go in circles"));
            }
            self.load_docs(&[doc]).await?;
            if let Some((current, value)) = self.gathered.take(doc) {
                let decided = self.decide(&current, &value).await;
                self.gathered.remember(current, value);
                decided?;
            }
        }
        if !self.released.is_empty() {
            let body = json!({"released": self.released});
            self.entries.push(NewEntry {
                kind: "released",
                subject: 0,
                body,
            });
        }
        Ok(self.entries)
    }

    /// Keeps `release_input`, refuses what cannot be valid, and finds what the changed inputs steer.
    async fn steer(&mut self, changed: &[Changed]) -> Result<(), StoreError> {
        for one in changed {
            let steers =
                |resource: &Value| release::steers(&release::relative(resource, self.store.base()));
            let old = one.old.as_ref().map(steers);
            let new = one.new.as_ref().map(|resource| {
                if one.rows.has_own_address {
                    steers(resource)
                } else {
                    release::steers(resource)
                }
            });
            let was = self.input_of(old.as_ref()).await?;
            let is = self.input_of(new.as_ref()).await?;
            // A Task without its patient steers nothing, and says so only when it is looked at.
            let is_task = definitions().type_name(one.type_id) == "Task";
            if let (Some(resource), true, Origin::Api) =
                (&one.new, is.is_some() || is_task, self.origin)
            {
                self.check(resource)
                    .await
                    .map_err(|error| error.about(definitions().type_name(one.type_id), &one.id))?;
            }
            if was.is_some() || (is_task && one.old.is_some()) {
                let mut sql = Sql::default();
                let doc = sql.bind(one.doc);
                sql.text = format!("DELETE FROM release_input WHERE doc = {doc}");
                self.execute(sql).await?;
            }
            if let Some(patient) = is {
                let fed = i16::from(self.origin == Origin::Feed);
                let mut sql = Sql::default();
                let values = [sql.bind(patient), sql.bind(one.doc), sql.bind(fed)];
                sql.text = format!(
                    "INSERT INTO release_input (patient, doc, fed) VALUES ({})",
                    values.join(", ")
                );
                self.execute(sql).await?;
            }
            for (steering, about) in [(old, was), (new, is)] {
                let Some(steering) = steering else { continue };
                match steering.affects {
                    // What named it in `depends_on` is found by `depends`.
                    Affects::Nothing | Affects::DependentsOnly => {}
                    Affects::Targets(references) => {
                        let keys: Vec<i64> = references
                            .iter()
                            .filter_map(|one| self.key_of(one))
                            .collect();
                        let found = current::load(self.on, &keys, false).await?;
                        self.work.extend(found.values().map(|current| current.doc));
                    }
                    Affects::Record => {
                        if let Some(patient) = about {
                            let log = access_log();
                            let ranges =
                                [format!(" AND type < {log}"), format!(" AND type > {log}")];
                            self.whole_patient(patient, &ranges).await?;
                        }
                    }
                    Affects::WholePatient => {
                        if let Some(patient) = about {
                            self.whole_patient(patient, &[String::new()]).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Key of the patient whose input something is: whom it names, else whom its focus is about (an
    /// early release and a review need not say).
    async fn input_of(
        &self,
        steering: Option<&release::Steering>,
    ) -> Result<Option<i64>, StoreError> {
        let Some(steering) = steering else {
            return Ok(None);
        };
        if let Some(patient) = &steering.input_of {
            return Ok(self.key_of(patient));
        }
        let Some(key) = steering.about.as_deref().and_then(|one| self.key_of(one)) else {
            return Ok(None);
        };
        let found = current::load(self.on, &[key], false).await?;
        let patient = found.get(&key).map(|focus| focus.patient);
        Ok(patient.filter(|patient| *patient != 0))
    }

    /// Refuses an input whose evidence cannot be valid: 422 with each missing or wrong part.
    async fn check(&mut self, resource: &Value) -> Result<(), StoreError> {
        let resource = release::relative(resource, self.store.base());
        let mut references = release::evidence(&resource);
        let focus = resource.pointer("/focus/reference").and_then(Value::as_str);
        references.extend(focus.map(str::to_owned));
        for _ in 0..2 {
            self.load_references(&references).await?;
            // Evidence of evidence: a PractitionerRole's practitioner.
            references = references
                .iter()
                .filter_map(|reference| self.gathered.value(reference))
                .flat_map(release::evidence)
                .collect();
        }
        release::check_input(&resource, &self.gathered, &self.store.policy(), self.now).map_err(
            |issues| StoreError::Refused {
                status: 422,
                issues,
            },
        )
    }

    /// Adds what was decided with a look at something that has changed.
    async fn depends(&mut self, changed: &[Changed]) -> Result<(), StoreError> {
        let keys: Vec<i64> = changed
            .iter()
            .filter(|one| match (&one.old, &one.new) {
                (Some(old), Some(new)) => !release::weighs_the_same(old, new),
                _ => true,
            })
            .map(|one| one.key)
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::default();
        let list = in_list(&mut sql, self.store.backend(), &keys);
        sql.text = format!("SELECT doc FROM release_dependency WHERE on_key {list}");
        for row in self
            .on
            .query_all_raw(sql.statement(self.store.backend()))
            .await?
        {
            self.work.push_back(row.try_get_by_index(0)?);
        }
        Ok(())
    }

    /// Adds resources that came before what they take their patient from.
    pub(super) async fn adopt(&mut self, created: &[i64]) -> Result<(), StoreError> {
        if created.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::default();
        let list = in_list(&mut sql, self.store.backend(), created);
        let provenance = definitions().type_id("Provenance").unwrap_or(-1);
        sql.text = format!(
            "SELECT id FROM idx_reference WHERE target {list} AND type = {provenance} AND patient = 0"
        );
        for row in self
            .on
            .query_all_raw(sql.statement(self.store.backend()))
            .await?
        {
            self.work.push_back(row.try_get_by_index(0)?);
        }
        Ok(())
    }

    /// Adds all of a patient's resources whose types are in one of the ranges.
    async fn whole_patient(&mut self, patient: i64, ranges: &[String]) -> Result<(), StoreError> {
        let mut sql = Sql::default();
        let patient = sql.bind(patient);
        let selects: Vec<String> = ranges
            .iter()
            .map(|range| {
                format!(
                    "SELECT id FROM resource WHERE patient = {patient}{range} AND rendition = 0 \
                     AND deleted = 0"
                )
            })
            .collect();
        sql.text = selects.join(" UNION ALL ");
        for row in self
            .on
            .query_all_raw(sql.statement(self.store.backend()))
            .await?
        {
            self.work.push_back(row.try_get_by_index(0)?);
        }
        Ok(())
    }

    /// Decides one resource and writes what follows.
    async fn decide(&mut self, current: &Current, value: &Value) -> Result<(), StoreError> {
        let mut current = current.clone();
        self.inherit(&mut current, value).await?;
        if current.patient != 0 {
            self.load_patients(&[current.patient], &[]).await?;
        }
        if current.type_id == access_log() {
            self.load_own(&current).await?;
        }
        let type_name = definitions().type_name(current.type_id);
        let reference = format!("{type_name}/{}", current.id);
        let own: Vec<HoldRow> = self.gathered.holds_of(current.key).to_vec();
        if self.visits.get(&current.doc) == Some(&1) {
            let attached = self.attachments(value);
            let attached = current::load(self.on, &attached, false).await?;
            self.work.extend(attached.values().map(|one| one.doc));
        }
        let first_final = self.first_final(&current, value).await?;
        let mut decision = self
            .decision(&current, value, &reference, first_final)
            .await?;
        if decision.holds.is_empty() && !own.is_empty() && self.is_orphan(&current).await? {
            return Ok(());
        }
        // Versions that were replaced in a record that nothing is held back from need no look.
        let plain = decision.holds.is_empty()
            && own.is_empty()
            && current.updated == self.now
            && !self.gathered.has_holds()
            && self.gathered.inputs_of(current.patient).is_empty();
        if current.version > 1 && !plain {
            let more = self
                .decide_versions(&current, &reference, first_final)
                .await?;
            decision.depends_on.extend(more);
        }
        let first_visit = self.visits.get(&current.doc) == Some(&1);
        let is_log = is_log(&current);
        if decision.holds.is_empty() && decision.entries.is_empty() && own.is_empty() {
            if first_visit && current.updated == self.now && !is_log {
                self.released
                    .push(format!("{reference}/_history/{}", current.version));
            }
            if !decision.depends_on.is_empty() {
                self.replace_dependencies(current.doc, &decision.depends_on)
                    .await?;
            }
            return self.pass_on(&decision, first_visit).await;
        }
        self.write(&current, &reference, value, &decision, &own, first_visit)
            .await
    }

    /// Whether this is a Binary that no document names any more. Its content is what the document
    /// held when it did: letting go of it releases nothing.
    async fn is_orphan(&mut self, current: &Current) -> Result<bool, StoreError> {
        Ok(definitions().type_name(current.type_id) == "Binary"
            && self.referrers(current).await?.is_empty())
    }

    /// Asks the engine about a resource, or an older version of one (`current` with that version's
    /// number and time). `first_final`: when the resource became final. For an ordinary resource nothing is gathered: a few comparisons, no query.
    pub(super) async fn decision(
        &mut self,
        current: &Current,
        value: &Value,
        reference: &str,
        first_final: Option<Millis>,
    ) -> Result<Decision, StoreError> {
        let store = self.store;
        let context = store.policy();
        let relative = if self.gathered.is_relative(current) {
            Cow::Borrowed(value)
        } else {
            release::relative(value, store.base())
        };
        let value = relative.as_ref();
        let needs = release::needs(value, &context);
        let (mut about, records) = self.records(current, value).await?;
        if about.is_empty() {
            about.push(current.patient);
        } else {
            self.load_patients(&about, &[]).await?;
        }
        let has_inputs = needs.inputs
            && about
                .iter()
                .any(|patient| !self.gathered.inputs_of(*patient).is_empty());
        self.load_targets_of(current, value).await?;
        let any_holds = self.gathered.has_holds();
        let links = match needs.referrers {
            Links::No => false,
            Links::WithInputs => has_inputs,
            Links::Yes => true,
        };
        let references: Vec<String> = if any_holds {
            release::references(value)
        } else {
            Vec::new()
        };
        let mut withheld = self.gathered.withheld(&references, |one| self.key_of(one));
        let referrers = if links {
            self.referrers(current).await?
        } else {
            Vec::new()
        };
        // Each round may name more: an input its evidence, a role its practitioner, a report that
        // names the target its order.
        let mut wanted: Vec<String> = needs.references.clone();
        for (.., referrer) in &referrers {
            wanted.extend(release::evidence(referrer));
        }
        let steering = about
            .iter()
            .flat_map(|patient| self.gathered.inputs_of(*patient));
        wanted.extend(steering.flat_map(|input| release::evidence(&input.value)));
        for _ in 0..3 {
            if wanted.is_empty() {
                break;
            }
            self.load_references(&wanted).await?;
            wanted = wanted
                .iter()
                .filter_map(|one| self.gathered.value(one))
                .flat_map(release::evidence)
                .filter(|one| !self.gathered.knows(one))
                .collect();
        }
        for referrer in &referrers {
            withheld.extend(
                self.gathered
                    .withheld(std::slice::from_ref(&referrer.0), |one| self.key_of(one)),
            );
        }
        let mut stored_referrers = Vec::new();
        for (one, current, value) in &referrers {
            let first_final = self.first_final(current, value).await?;
            stored_referrers.push(release::Referrer {
                reference: one,
                resource: value,
                first_final,
            });
        }
        if let Some(patient) = release::patient_of(value).filter(|_| has_inputs) {
            self.load_treating(current.patient, patient).await?;
        }
        let inputs: Vec<release::Input<'_>> = about
            .iter()
            .flat_map(|patient| self.gathered.inputs_of(*patient))
            .map(StoredInput::as_input)
            .collect();
        let facts = Facts {
            target: value,
            target_ref: reference,
            first_final,
            inputs: &inputs,
            linked: &self.gathered,
            referrers: &stored_referrers,
            withheld_targets: &withheld,
            records: &records,
            context: &context,
        };
        Ok(release::decide(&facts, self.now))
    }

    /// Writes holds, renditions, dependencies and the ledger's lines of one decision.
    async fn write(
        &mut self,
        current: &Current,
        reference: &str,
        value: &Value,
        decision: &Decision,
        own: &[HoldRow],
        first_visit: bool,
    ) -> Result<(), StoreError> {
        let keys = self.store.keys();
        let outcome = holds::outcome(
            current.doc,
            current.key,
            reference,
            value,
            &decision.holds,
            keys,
        );
        let same = outcome.rows == own;
        if !same {
            holds::replace_rows(self.on, keys, current.doc, current.patient, &outcome.rows).await?;
        }
        let had_renditions = own.iter().any(|row| row.shown != 0);
        if had_renditions || !outcome.renditions.is_empty() {
            let indexer = self.store.indexer();
            holds::replace_renditions(self.on, &indexer, current, &outcome.renditions).await?;
        }
        self.replace_dependencies(current.doc, &decision.depends_on)
            .await?;
        self.gathered.set_holds(current.key, outcome.rows);
        if (first_visit || !same) && !is_log(current) {
            let body = ledger_body(reference, current, decision, &self.store.policy());
            self.entries.push(NewEntry {
                kind: "decision",
                subject: current.doc,
                body,
            });
        }
        if !same {
            self.locked.take(self.on, current.key).await?;
            self.referring(current.key).await?;
            // What goes with it, and came back with it, may be decided by its holds.
            let relative = release::relative(value, self.store.base());
            let parts = release::parts(&relative)
                .into_iter()
                .filter_map(|one| self.key_of(one));
            let parts: Vec<i64> = parts.collect();
            let found = current::load(self.on, &parts, false).await?;
            self.work.extend(found.values().map(|part| part.doc));
        }
        self.pass_on(decision, first_visit || !same).await
    }

    /// Adds what follows this decision: a flagged report's results, a document's Binary.
    /// Once, and again whenever its holds changed: members may name each other.
    async fn pass_on(&mut self, decision: &Decision, afresh: bool) -> Result<(), StoreError> {
        if !afresh {
            return Ok(());
        }
        let keys: Vec<i64> = decision
            .dependents
            .iter()
            .filter_map(|one| self.key_of(one))
            .collect();
        let found = current::load(self.on, &keys, false).await?;
        for next in found.values() {
            self.work.push_back(next.doc);
        }
        Ok(())
    }

    /// Adds everything that refers to a resource whose holds changed.
    async fn referring(&mut self, key: i64) -> Result<(), StoreError> {
        self.work.extend(self.referred_before(key).await?);
        let mut sql = Sql::default();
        let key = sql.bind(key);
        sql.text = format!("SELECT DISTINCT id FROM idx_reference WHERE target = {key}");
        let mut seen = HashSet::new();
        for row in self
            .on
            .query_all_raw(sql.statement(self.store.backend()))
            .await?
        {
            let id: i64 = row.try_get_by_index(0)?;
            if seen.insert(super::surrogate::base_of(id)) {
                self.work.push_back(super::surrogate::base_of(id));
            }
        }
        Ok(())
    }

    async fn replace_dependencies(&self, doc: i64, on: &[String]) -> Result<(), StoreError> {
        let mut sql = Sql::default();
        let place = sql.bind(doc);
        sql.text = format!("DELETE FROM release_dependency WHERE doc = {place}");
        self.execute(sql).await?;
        let keys: BTreeSet<i64> = on.iter().filter_map(|one| self.key_of(one)).collect();
        for key in keys {
            let mut sql = Sql::default();
            let (key, doc) = (sql.bind(key), sql.bind(doc));
            sql.text =
                format!("INSERT INTO release_dependency (on_key, doc) VALUES ({key}, {doc})");
            self.execute(sql).await?;
        }
        Ok(())
    }

    pub(super) fn key_of(&self, reference: &str) -> Option<i64> {
        current::local_key(self.store.keys(), self.store.base(), reference)
    }

    pub(super) async fn execute(&self, sql: Sql) -> Result<(), StoreError> {
        self.on
            .execute_raw(sql.statement(self.store.backend()))
            .await?;
        Ok(())
    }
}
