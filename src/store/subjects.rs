//! Whose records resources are in, for the log of who looked at them. Nothing of a resource leaves
//! here but the id of its patient, and nobody asks but the log.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend};

use super::StoreError;
use super::apply;
use super::current::in_list;
use super::write::Writer;
use crate::clock::Millis;
use crate::sql::Sql;
use crate::visibility::audience;

/// Resources that are looked up at once.
const AT_ONCE: usize = 5_000;
/// Whom a hold may concern without concerning the patient or who acts for them.
const OTHERS: [i64; 4] = [
    audience::CLINICIAN,
    audience::PAYER,
    audience::RESEARCHER,
    audience::OTHER,
];

/// Whose record a resource is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Id of the Patient.
    pub patient: String,
    /// Whether something of the resource is or will be held back from the patient or from who acts for them.
    pub is_held: bool,
    /// In whose records it was before.
    before: Vec<Before>,
}

/// The time in which a resource was in another record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Before {
    since: Millis,
    until: Millis,
    patient: String,
    is_held: bool,
}

impl Subject {
    /// In whose record it was at a time; None where it was held back from them then, or is from whom it is
    /// about now.
    #[must_use]
    pub fn patient_at(&self, at: Millis) -> Option<&str> {
        let mut before = self.before.iter();
        let then = before.find(|one| (one.since..one.until).contains(&at));
        let (patient, was_held) =
            then.map_or((&self.patient, false), |one| (&one.patient, one.is_held));
        (!self.is_held && !was_held).then_some(&**patient)
    }
}

impl Writer<'_> {
    /// The subjects of resources (by key), deleted ones included; those about nobody are left out.
    /// What is held of them stays as it is until this write ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subjects(&self, keys: &[i64]) -> Result<HashMap<i64, Subject>, StoreError> {
        let mut subjects = self.look_up(keys).await?;
        if self.store.backend() == DbBackend::Postgres && !subjects.is_empty() {
            // All at once: who locks in several turns may wait in a circle.
            let patients = subjects.values().flat_map(|one| {
                let before = one.before.iter().map(|before| &before.patient);
                before.chain([&one.patient])
            });
            let patients = patients.map(|id| self.store.keys().reference("Patient", id));
            apply::lock_all(self.connection(), patients.collect()).await?;
            subjects = self.look_up(keys).await?;
        }
        Ok(subjects)
    }

    async fn look_up(&self, keys: &[i64]) -> Result<HashMap<i64, Subject>, StoreError> {
        let mut subjects = HashMap::new();
        for some in keys.chunks(AT_ONCE) {
            subjects.extend(self.read_subjects(some).await?);
            self.read_moves(some, &mut subjects).await?;
        }
        Ok(subjects)
    }

    async fn read_subjects(&self, keys: &[i64]) -> Result<HashMap<i64, Subject>, StoreError> {
        let backend = self.store.backend();
        let mut sql = Sql::default();
        let list = in_list(&mut sql, backend, keys);
        let now = sql.bind(self.store.clock().now());
        let record = sql.bind("%\"audience\":\"Record/%");
        // Not what is over, nor what concerns others alone, nor that what is about several patients is
        // shown to each in part.
        let others = OTHERS.map(|one| one.to_string()).join(", ");
        sql.text = format!(
            "SELECT r.key, p.fhir_id, CASE WHEN EXISTS (SELECT 1 FROM hold h WHERE h.doc = r.id \
             AND h.ends > {now} AND h.audience NOT IN ({others}) AND h.detail NOT LIKE {record}) \
             THEN 1 ELSE 0 END FROM resource r CROSS JOIN resource p \
             WHERE r.key {list} AND r.rendition = 0 AND p.key = r.patient AND p.rendition = 0"
        );
        let rows = self
            .connection()
            .query_all_raw(sql.statement(backend))
            .await?;
        rows.iter()
            .map(|row| {
                let is_held: i32 = row.try_get_by_index(2)?;
                let subject = Subject {
                    patient: row.try_get_by_index(1)?,
                    is_held: is_held != 0,
                    before: Vec::new(),
                };
                Ok((row.try_get_by_index(0)?, subject))
            })
            .collect()
    }

    /// Versions that were about somebody else.
    async fn read_moves(
        &self,
        keys: &[i64],
        subjects: &mut HashMap<i64, Subject>,
    ) -> Result<(), StoreError> {
        let backend = self.store.backend();
        let mut sql = Sql::default();
        let list = in_list(&mut sql, backend, keys);
        let others = OTHERS.map(|one| one.to_string()).join(", ");
        // A version stands until the next one.
        sql.text = format!(
            "SELECT r.key, v.updated, p.fhir_id, CASE WHEN EXISTS (SELECT 1 FROM history_hold h \
             WHERE h.doc = v.doc AND h.version = v.version AND h.audience NOT IN ({others})) \
             THEN 1 ELSE 0 END, COALESCE((SELECT MIN(n.updated) FROM history n WHERE n.doc = v.doc \
             AND n.version > v.version), r.updated) \
             FROM resource r CROSS JOIN history v CROSS JOIN resource p \
             WHERE r.key {list} AND r.rendition = 0 AND v.doc = r.id AND v.patient <> r.patient \
             AND p.key = v.patient AND p.rendition = 0 ORDER BY v.doc, v.version"
        );
        let rows = self
            .connection()
            .query_all_raw(sql.statement(backend))
            .await?;
        for row in rows {
            if let Some(subject) = subjects.get_mut(&row.try_get_by_index(0)?) {
                let is_held: i32 = row.try_get_by_index(3)?;
                subject.before.push(Before {
                    since: row.try_get_by_index(1)?,
                    until: row.try_get_by_index(4)?,
                    patient: row.try_get_by_index(2)?,
                    is_held: is_held != 0,
                });
            }
        }
        Ok(())
    }
}
