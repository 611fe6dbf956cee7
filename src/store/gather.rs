//! Facts for the release engine: what it asks for, fetched once a transaction and kept in memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::StoreError;
use super::apply;
use super::current::{self, CURRENT, Current, in_list};
use super::decide::{Changed, Decider};
use super::history;
use super::holds::{self, HoldRow};
use super::indexed::{ATTACHMENT, LINK};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::release::{self, Input, Lookup, Withheld};
use crate::sql::Sql;
use crate::visibility;

/// A resource that steers decisions about its patient.
#[derive(Clone, Debug)]
pub(super) struct StoredInput {
    pub(super) reference: String,
    pub(super) value: Value,
    stored_at: Millis,
    fed: bool,
}

impl StoredInput {
    pub(super) fn as_input(&self) -> Input<'_> {
        Input {
            reference: &self.reference,
            resource: &self.value,
            stored_at: self.stored_at,
            fed: self.fed,
        }
    }
}

/// What a transaction knows so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    docs: HashMap<i64, (Current, Value)>,
    /// `Type/id` -> surrogate id; None: looked for and not there.
    references: HashMap<String, Option<i64>>,
    patients: HashSet<i64>,
    inputs: HashMap<i64, Vec<StoredInput>>,
    /// By key of the held resource.
    holds: HashMap<i64, Vec<HoldRow>>,
    /// Keys of resources whose holds were asked for one by one.
    asked: HashSet<i64>,
    /// Resources (surrogate id, version) the holds of whose targets are here.
    followed: HashSet<(i64, i32)>,
    /// Resources (the same) that name nothing by this server's address.
    relative: HashSet<(i64, i32)>,
    nothing: Vec<StoredInput>,
    /// Who treats whom or ordered for whom, `Practitioner/x` and `Patient/x`, as far as it was asked.
    treating: HashMap<(String, String), bool>,
}

impl Lookup for Gathered {
    fn resource(&self, reference: &str) -> Option<&Value> {
        self.value(reference)
    }

    fn treats(&self, who: &str, patient: &str) -> bool {
        let asked = (bare(who).to_owned(), patient.to_owned());
        self.treating.get(&asked).copied().unwrap_or(false)
    }
}

impl Gathered {
    pub(super) fn remember(&mut self, current: Current, value: Value) {
        let reference = format!(
            "{}/{}",
            definitions().type_name(current.type_id),
            current.id
        );
        self.references.insert(reference, Some(current.doc));
        self.docs.insert(current.doc, (current, value));
    }

    /// Takes a resource out, to decide it; give it back with [`Gathered::remember`].
    pub(super) fn take(&mut self, doc: i64) -> Option<(Current, Value)> {
        self.docs.remove(&doc)
    }

    pub(super) fn value(&self, reference: &str) -> Option<&Value> {
        let doc = (*self.references.get(bare(reference))?)?;
        self.docs.get(&doc).map(|(_, value)| value)
    }

    /// Whether it is known that a resource names nothing by this server's address.
    pub(super) fn is_relative(&self, one: &Current) -> bool {
        self.relative.contains(&(one.doc, one.version))
    }

    pub(super) fn knows(&self, reference: &str) -> bool {
        self.references.contains_key(bare(reference))
    }

    pub(super) fn inputs_of(&self, patient: i64) -> &[StoredInput] {
        self.inputs.get(&patient).unwrap_or(&self.nothing)
    }

    pub(super) fn has_holds(&self) -> bool {
        self.holds.values().any(|rows| !rows.is_empty())
    }

    pub(super) fn holds_of(&self, key: i64) -> &[HoldRow] {
        self.holds.get(&key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set_holds(&mut self, key: i64, rows: Vec<HoldRow>) {
        self.holds.insert(key, rows);
    }

    /// The hold rows of these references.
    pub(super) fn withheld(
        &self,
        references: &[String],
        key_of: impl Fn(&str) -> Option<i64>,
    ) -> Vec<Withheld> {
        let mut found = Vec::new();
        for key in references
            .iter()
            .filter_map(|one| key_of(one))
            .collect::<HashSet<_>>()
        {
            found.extend(self.holds_of(key).iter().map(|row| Withheld {
                reference: row.reference.clone(),
                audience: row.audience.clone(),
                exempt: row.exempt.clone(),
                starts: row.starts,
                ends: row.ends,
                mode: row.mode,
                rules: row.rules.clone(),
                partial: row.shown != 0,
            }));
        }
        found.sort_by(|a, b| (&a.reference, a.starts).cmp(&(&b.reference, b.starts)));
        found
    }
}

/// Whether something of this type may be held back: the hospital's directory and definitions are not.
fn may_be_held(type_id: TypeId) -> bool {
    type_id >= 0 && !visibility::is_about_nobody(type_id)
}

fn reference_of(one: &Current) -> String {
    format!("{}/{}", definitions().type_name(one.type_id), one.id)
}

/// `Type/id` of a reference that may carry a version.
fn bare(reference: &str) -> &str {
    let whole = reference.split('#').next().unwrap_or(reference);
    whole.split("/_history/").next().unwrap_or(whole)
}

impl Decider<'_> {
    /// Inputs and holds of patients, once each; and the holds of resources about nobody.
    pub(super) async fn load_patients(
        &mut self,
        patients: &[i64],
        docs: &[i64],
    ) -> Result<(), StoreError> {
        let fresh: Vec<i64> = patients
            .iter()
            .copied()
            .filter(|patient| *patient != 0 && self.gathered.patients.insert(*patient))
            .collect();
        for row in holds::load(self.on, &fresh, docs, &[]).await? {
            let rows = self.gathered.holds.entry(row.key).or_default();
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let backend = self.store.backend();
        let mut sql = Sql::default();
        let list = in_list(&mut sql, backend, &fresh);
        sql.text = format!(
            "SELECT patient, doc, fed FROM release_input WHERE patient {list} ORDER BY doc"
        );
        let mut wanted = Vec::new();
        for row in self.on.query_all_raw(sql.statement(backend)).await? {
            let (patient, doc): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let fed: i16 = row.try_get_by_index(2)?;
            wanted.push((patient, doc, fed != 0));
        }
        let docs: Vec<i64> = wanted.iter().map(|(_, doc, _)| *doc).collect();
        self.load_docs(&docs).await?;
        for (patient, doc, fed) in wanted {
            let Some((current, value)) = self.gathered.docs.get(&doc) else {
                continue;
            };
            let input = StoredInput {
                reference: format!(
                    "{}/{}",
                    definitions().type_name(current.type_id),
                    current.id
                ),
                value: value.clone(),
                stored_at: current.updated,
                fed,
            };
            self.gathered.inputs.entry(patient).or_default().push(input);
        }
        Ok(())
    }

    /// Holds of what these writes refer to: it may be about another patient, or about nobody.
    pub(super) async fn load_targets(&mut self, changed: &[Changed]) -> Result<(), StoreError> {
        // Their own are decided here.
        let own = changed.iter().map(|one| one.key);
        self.gathered.asked.extend(own);
        let mut keys = Vec::new();
        for one in changed.iter().filter(|one| one.new.is_some()) {
            let targets = one.rows.references.iter();
            keys.extend(
                targets
                    .filter(|row| may_be_held(row.target_type))
                    .map(|row| row.target),
            );
            self.gathered.followed.insert((one.doc, one.version));
            if !one.rows.has_own_address {
                self.gathered.relative.insert((one.doc, one.version));
            }
        }
        self.load_holds_of(keys).await
    }

    /// The same for one resource, which this transaction did not write.
    pub(super) async fn load_targets_of(
        &mut self,
        current: &Current,
        value: &Value,
    ) -> Result<(), StoreError> {
        if !self
            .gathered
            .followed
            .insert((current.doc, current.version))
        {
            return Ok(());
        }
        let type_of = |one: &str| definitions().type_id(one.split('/').next()?);
        let keys = release::references(value)
            .iter()
            .filter(|one| type_of(one).is_some_and(may_be_held))
            .filter_map(|one| self.key_of(one))
            .collect();
        self.load_holds_of(keys).await
    }

    async fn load_holds_of(&mut self, mut keys: Vec<i64>) -> Result<(), StoreError> {
        keys.retain(|key| self.gathered.asked.insert(*key));
        self.locked.share(self.on, &keys).await?;
        for row in holds::load(self.on, &[], &[], &keys).await? {
            let rows = self.gathered.holds.entry(row.key).or_default();
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        Ok(())
    }

    /// Holds of a resource that come with no patient, unless this transaction wrote it.
    pub(super) async fn load_own(&mut self, current: &Current) -> Result<(), StoreError> {
        if self.gathered.asked.insert(current.key) {
            let rows = holds::load(self.on, &[], &[current.doc], &[]).await?;
            self.gathered.holds.insert(current.key, rows);
        }
        Ok(())
    }

    /// Looks who of those that ordered an early release treats the patient or ordered for them.
    pub(super) async fn load_treating(
        &mut self,
        patient: i64,
        reference: &str,
    ) -> Result<(), StoreError> {
        let mut clinicians: Vec<String> = Vec::new();
        for input in self.gathered.inputs_of(patient) {
            if let Some(who) = release::directed_by(&input.value) {
                clinicians.push(bare(who).to_owned());
                let role = self.gathered.value(who);
                let person = role.and_then(|role| role.pointer("/practitioner/reference"));
                clinicians.extend(
                    person
                        .and_then(Value::as_str)
                        .map(|who| bare(who).to_owned()),
                );
            }
        }
        for who in clinicians {
            let asked = (who, reference.to_owned());
            if self.gathered.treating.contains_key(&asked) {
                continue;
            }
            let Some(key) = self.key_of(&asked.0) else {
                continue;
            };
            let backend = self.store.backend();
            let types: Vec<String> = release::SHOWS_TREATMENT
                .iter()
                .filter_map(|name| definitions().type_id(name))
                .map(|type_id| type_id.to_string())
                .collect();
            let role = definitions().type_id("PractitionerRole").unwrap_or(-1);
            let mut sql = Sql::default();
            let (patient, key) = (sql.bind(patient), sql.bind(key));
            // An order may name a role of who directs the release.
            sql.text = format!(
                "SELECT 1 FROM resource r JOIN idx_reference i ON i.id = r.id AND i.target IN \
                 (SELECT {key} UNION ALL SELECT p.key FROM idx_reference o JOIN resource p ON p.id = o.id \
                 WHERE o.target = {key} AND o.type = {role} AND p.deleted = 0) \
                 WHERE r.patient = {patient} AND r.type IN ({}) AND r.deleted = 0 LIMIT 1",
                types.join(", ")
            );
            let found = self.on.query_one_raw(sql.statement(backend)).await?;
            self.gathered.treating.insert(asked, found.is_some());
        }
        Ok(())
    }

    /// Loads resources by surrogate id, where they are not known yet.
    pub(super) async fn load_docs(&mut self, docs: &[i64]) -> Result<(), StoreError> {
        let missing: Vec<i64> = docs
            .iter()
            .copied()
            .filter(|doc| !self.gathered.docs.contains_key(doc))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let backend = self.store.backend();
        let mut sql = Sql::default();
        let list = in_list(&mut sql, backend, &missing);
        sql.text = format!("SELECT {CURRENT} FROM resource WHERE id {list} AND deleted = 0");
        for row in self.on.query_all_raw(sql.statement(backend)).await? {
            self.keep(current::current(&row)?)?;
        }
        Ok(())
    }

    /// Loads resources by reference, where they are not known yet. Rows are share-locked on
    /// PostgreSQL: what a decision rests on must not change under it unnoticed.
    pub(super) async fn load_references(
        &mut self,
        references: &[String],
    ) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        for reference in references {
            if !self.gathered.knows(reference)
                && let Some(key) = self.key_of(reference)
            {
                keys.push(key);
                self.gathered
                    .references
                    .insert(bare(reference).to_owned(), None);
            }
        }
        for (_, found) in current::load(self.on, &keys, false).await? {
            if !found.deleted {
                self.keep(found)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, current: Current) -> Result<(), StoreError> {
        if let Some(value) = current.value()? {
            // The engine compares relative references.
            let value = match release::relative(&value, self.store.base()) {
                Cow::Owned(relative) => relative,
                Cow::Borrowed(_) => value,
            };
            self.gathered.remember(current, value);
        }
        Ok(())
    }

    /// What a resource is part of: reports and panels that name it as result, media, study or member
    /// and what is made of those in turn; of a Binary, whatever it is attached to.
    pub(super) async fn referrers(
        &mut self,
        target: &Current,
    ) -> Result<Vec<(String, Current, Value)>, StoreError> {
        let mut found: Vec<(String, Current, Value)> = Vec::new();
        let mut parts = vec![(target.key, target.type_id, reference_of(target))];
        while let Some((key, type_id, part)) = parts.pop() {
            for (reference, current, value) in self.wholes(key, type_id, &part).await? {
                if current.doc == target.doc || found.iter().any(|one| one.1.doc == current.doc) {
                    continue;
                }
                if definitions().type_name(current.type_id) == "Observation" {
                    parts.push((current.key, current.type_id, reference.clone()));
                }
                found.push((reference, current, value));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        // The holds of what passes its decision on count, whoever they are about.
        let docs: Vec<i64> = found.iter().map(|(_, current, _)| current.doc).collect();
        let patients: Vec<i64> = found
            .iter()
            .map(|(_, current, _)| current.patient)
            .collect();
        self.load_patients(&patients, &docs).await?;
        Ok(found)
    }

    /// What a resource is directly part of.
    async fn wholes(
        &self,
        key: i64,
        type_id: TypeId,
        part: &str,
    ) -> Result<Vec<(String, Current, Value)>, StoreError> {
        let backend = self.store.backend();
        let number = |name: &&str| definitions().type_id(name).map(|id| id.to_string());
        let list = |names: &[&str]| {
            names
                .iter()
                .filter_map(number)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut sql = Sql::default();
        let key = sql.bind(key);
        let is_binary = definitions().type_name(type_id) == "Binary";
        // Which of those that are found by a link are made of it, their bodies tell.
        let condition = if is_binary {
            format!("param IN ({ATTACHMENT}, {LINK})")
        } else {
            format!(
                "(type IN ({}) OR type IN ({}) AND param <> {LINK})",
                list(&["DiagnosticReport", "Observation"]),
                list(&["DocumentReference", "Media", "Communication", "Consent"])
            )
        };
        sql.text = format!(
            "SELECT {CURRENT} FROM resource WHERE deleted = 0 AND rendition = 0 AND id IN \
             (SELECT id FROM idx_reference WHERE target = {key} AND {condition})"
        );
        let mut found = Vec::new();
        for row in self.on.query_all_raw(sql.statement(backend)).await? {
            let current = current::current(&row)?;
            let value = match self.gathered.docs.get(&current.doc) {
                Some((_, value)) => Some(value.clone()),
                None => current.value()?,
            };
            let Some(value) = value else { continue };
            let value = match release::relative(&value, self.store.base()) {
                Cow::Owned(relative) => relative,
                Cow::Borrowed(_) => value,
            };
            let by_body = is_binary
                || matches!(
                    definitions().type_name(current.type_id),
                    "DiagnosticReport" | "Observation"
                );
            if !by_body || release::is_made_of(&value, part) {
                found.push((reference_of(&current), current, value));
            }
        }
        Ok(found)
    }

    /// When the first final version of a resource became final: from its history, else from what
    /// stands.
    pub(super) async fn first_final(
        &self,
        current: &Current,
        value: &Value,
    ) -> Result<Option<Millis>, StoreError> {
        let policy = self.store.policy();
        // Since when it has been settled without being final; that counts only if it never was.
        let mut settled = None;
        if current.version > 1 {
            let mut sql = Sql::default();
            let doc = sql.bind(current.doc);
            sql.text = format!(
                "SELECT updated, body FROM history WHERE doc = {doc} AND body IS NOT NULL ORDER BY version"
            );
            for row in self
                .on
                .query_all_raw(sql.statement(self.store.backend()))
                .await?
            {
                let (updated, body): (Millis, Vec<u8>) =
                    (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                let body = history::expand(&body)?;
                let old: Value = serde_json::from_slice(&body)
                    .map_err(|_| StoreError::Corrupt("history body"))?;
                let since = || release::became_final(&old, updated, &policy);
                if release::is_final(&old) == Some(true) {
                    return Ok(Some(since()));
                }
                settled = if release::is_settled(&old) {
                    settled.or_else(|| Some(since()))
                } else {
                    None
                };
            }
        }
        let since = || release::became_final(value, current.updated, &policy);
        Ok(if release::is_final(value) == Some(true) {
            Some(since())
        } else if release::is_settled(value) {
            settled.or_else(|| Some(since()))
        } else {
            None
        })
    }

    /// Gives a resource that names no patient the one of what it hangs on.
    pub(super) async fn inherit(
        &mut self,
        target: &mut Current,
        value: &Value,
    ) -> Result<(), StoreError> {
        let type_name = definitions().type_name(target.type_id);
        if target.patient != 0 || !matches!(type_name, "Provenance" | "Binary") {
            return Ok(());
        }
        let mut keys: Vec<i64> = current::inherits_from(type_name, value)
            .into_iter()
            .filter_map(|reference| self.key_of(reference))
            .collect();
        if type_name == "Binary" {
            let part = reference_of(target);
            let wholes = self.wholes(target.key, target.type_id, &part).await?;
            keys.extend(wholes.iter().map(|(_, whole, _)| whole.key));
        }
        let found = current::load(self.on, &keys, false).await?;
        let patient = keys
            .iter()
            .filter_map(|key| found.get(key))
            .map(|one| one.patient)
            .find(|one| *one != 0);
        if let Some(patient) = patient {
            apply::move_to_patient(self.store, self.on, target, value, patient).await?;
            target.patient = patient;
            // Whoever wrote it down belongs to the record with it, withheld or not.
            self.adopt(&[target.key]).await?;
        }
        Ok(())
    }

    /// Binaries that a document names: they follow its decision.
    pub(super) fn attachments(&self, value: &Value) -> Vec<i64> {
        release::attachments(value)
            .into_iter()
            .filter_map(|url| self.key_of(url))
            .collect()
    }
}
