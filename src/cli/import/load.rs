//! The loader: batches into transactions, each with how far its files came.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use super::bundle::{self, Condition};
use super::condition::{self, Unanswered};
use super::read::{Prepared, Progress, Unit};
use super::report::{Bar, Refusal, Report};
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::store::{Indexed, Indexer, Method, Op, Origin, Store, StoreError};

/// Resources in one transaction.
const BATCH: usize = 400;
/// How often a batch that met another writer is tried again.
const TRIES: u32 = 5;

/// One entry on its way into a transaction.
#[derive(Debug)]
struct Item {
    file: Arc<str>,
    source: Arc<str>,
    number: u64,
    what: What,
    last: bool,
}

#[derive(Debug)]
enum What {
    Write(Box<Write>),
    Refused(String),
    /// An entry that needs nothing (there already, a blank line), or the mere end of a file.
    Nothing,
}

/// A write, which may have to be tried again.
#[derive(Debug)]
struct Write {
    /// For the first try; none of it is copied.
    op: Option<Op>,
    /// For the next one. None of a deletion.
    indexed: Option<Indexed>,
    type_id: TypeId,
    id: String,
}

impl Write {
    fn new(mut prepared: Prepared, indexer: &Indexer) -> Self {
        let indexed = prepared.indexed.take().or_else(|| {
            let resource = prepared.resource.as_mut()?;
            Some(indexer.index(prepared.type_id, &prepared.id, resource))
        });
        Self {
            indexed,
            type_id: prepared.type_id,
            id: prepared.id.clone(),
            op: Some(op(prepared.type_id, prepared.id, prepared.resource)),
        }
    }

    fn take(&mut self) -> Result<(Op, Option<Indexed>), StoreError> {
        let own = match self.op.take() {
            Some(own) => own,
            None => {
                let resource = self.indexed.as_ref().map(Indexed::resource).transpose()?;
                op(self.type_id, self.id.clone(), resource)
            }
        };
        Ok((own, self.indexed.clone()))
    }
}

/// Writes what the readers give. Make one for each import.
pub(super) struct Loader<'s> {
    store: &'s Store,
    report: Report,
    bar: Bar,
    pending: Vec<Item>,
    /// Resources in `pending`; one transaction writes each once.
    places: HashSet<(TypeId, String)>,
    /// Conditional references that were answered.
    answers: HashMap<String, String>,
}

impl<'s> Loader<'s> {
    pub(super) fn new(store: &'s Store, report: Report, bar: Bar) -> Self {
        Self {
            store,
            report,
            bar,
            pending: Vec::with_capacity(BATCH),
            places: HashSet::new(),
            answers: HashMap::new(),
        }
    }

    /// What readers compute index rows with.
    pub(super) fn indexer(&self) -> Indexer {
        self.store.indexer()
    }

    /// How far every file came in earlier runs.
    pub(super) async fn progress(&self) -> anyhow::Result<HashMap<String, Progress>> {
        let sql = Sql::new("SELECT file, done, finished FROM import_file");
        let rows = self
            .store
            .reader()
            .query_all_raw(sql.statement(self.store.backend()))
            .await?;
        let mut progress = HashMap::new();
        for row in rows {
            let (done, finished): (i64, i64) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            progress.insert(
                row.try_get_by_index(0)?,
                Progress {
                    done: done.unsigned_abs(),
                    finished: finished != 0,
                },
            );
        }
        Ok(progress)
    }

    /// Takes entries; writes when there are enough.
    pub(super) async fn take(&mut self, mut unit: Unit) -> anyhow::Result<()> {
        if unit.hash.is_empty() {
            // Not even its bytes could be read.
            for entry in unit.entries {
                if let Err(reason) = entry.outcome {
                    self.report.refuse_file(&unit.source, &reason);
                }
            }
            return Ok(());
        }
        if unit.first {
            if unit.afresh {
                self.forget(&unit.hash).await?;
            }
            match (unit.earlier, unit.continued) {
                (true, _) => self.report.earlier += 1,
                (false, false) => self.report.files += 1,
                (false, true) => {}
            }
            if !unit.continued {
                self.recall_refusals(&unit).await?;
            }
        }
        if unit.earlier {
            return Ok(());
        }
        if unit.conditional {
            // Conditions are asked of the database, so it must have all that came before.
            self.flush().await?;
            self.answer(&mut unit).await?;
        }
        let (source, hash, last) = (unit.source, unit.hash, unit.last);
        // Number 0 is the file as a whole.
        unit.entries
            .retain(|entry| entry.number == 0 || entry.number > unit.done);
        let count = unit.entries.len();
        let indexer = self.indexer();
        if last && count == 0 {
            // A file without entries, or whose last ones were taken by an earlier run.
            self.pending.push(Item {
                file: hash.clone(),
                source: source.clone(),
                number: 0,
                what: What::Nothing,
                last: true,
            });
        }
        for (at, entry) in unit.entries.into_iter().enumerate() {
            let blank = entry.is_blank();
            let what = match entry.outcome {
                _ if blank => What::Nothing,
                Err(reason) => What::Refused(reason),
                Ok(prepared) if prepared.id.is_empty() => {
                    self.report.present += 1;
                    What::Nothing
                }
                Ok(prepared) => {
                    let place = (prepared.type_id, prepared.id.clone());
                    if !self.places.insert(place.clone()) {
                        self.flush().await?;
                        self.places.insert(place);
                    }
                    What::Write(Box::new(Write::new(prepared, &indexer)))
                }
            };
            self.pending.push(Item {
                file: hash.clone(),
                source: source.clone(),
                number: entry.number,
                what,
                last: last && at + 1 == count,
            });
            if self.pending.len() >= BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes all that is pending.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        self.places.clear();
        let mut parts = vec![std::mem::take(&mut self.pending)];
        // A batch that is refused is halved until the entry that is at fault stands alone.
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let mut tries = 0;
            let result = loop {
                match self.write(&mut part).await {
                    Err(StoreError::Race) if tries < TRIES => tries += 1,
                    result => break result,
                }
            };
            match result {
                Ok(()) => self.account(part),
                Err(error @ (StoreError::Database(_) | StoreError::Corrupt(_))) => {
                    return Err(error).context(
                        "The import stopped; what is loaded stays, and the same command goes on from there",
                    );
                }
                Err(error) if part.len() == 1 => {
                    if let Some(item) = part.first_mut() {
                        item.what = What::Refused(words(&error));
                    }
                    parts.push(part);
                }
                Err(_) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
            }
        }
        Ok(())
    }

    /// The report of the whole import.
    pub(super) fn finish(mut self) -> Report {
        self.report.took(self.bar.elapsed());
        self.report
    }

    /// One transaction: the resources, and how far their files came.
    async fn write(&self, items: &mut [Item]) -> Result<(), StoreError> {
        let mut writer = self.store.writer_of(Origin::Feed, items.len()).await?;
        let ops = items
            .iter_mut()
            .filter_map(|item| match &mut item.what {
                What::Write(write) => Some(write.take()),
                _ => None,
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !ops.is_empty() {
            writer.apply_indexed(ops).await?;
        }
        let backend = self.store.backend();
        let now = self.store.clock().now();
        let mut files: Vec<(&str, u64, u64, bool)> = Vec::new();
        for item in &*items {
            let loaded = u64::from(matches!(item.what, What::Write(..)));
            match files.iter_mut().find(|(file, ..)| *file == &*item.file) {
                Some((_, done, sum, last)) => {
                    *done = item.number.max(*done);
                    *sum += loaded;
                    *last |= item.last;
                }
                None => files.push((&item.file, item.number, loaded, item.last)),
            }
            if let What::Refused(reason) = &item.what {
                let mut sql = Sql::default();
                let (file, entry, reason) = (
                    sql.bind(&*item.file),
                    sql.bind(item.number.cast_signed()),
                    sql.bind(reason.as_str()),
                );
                sql.text = format!(
                    "INSERT INTO import_refusal (file, entry, reason) VALUES ({file}, {entry}, {reason}) \
                     ON CONFLICT (file, entry) DO UPDATE SET reason = excluded.reason"
                );
                writer
                    .connection()
                    .execute_raw(sql.statement(backend))
                    .await?;
            }
        }
        for (file, done, loaded, last) in files {
            let mut sql = Sql::default();
            let (file, done, loaded, finished) = (
                sql.bind(file),
                sql.bind(done.cast_signed()),
                sql.bind(loaded.cast_signed()),
                sql.bind(if last { now } else { 0 }),
            );
            sql.text = format!(
                "INSERT INTO import_file (file, done, loaded, finished) \
                 VALUES ({file}, {done}, {loaded}, {finished}) \
                 ON CONFLICT (file) DO UPDATE SET loaded = import_file.loaded + excluded.loaded, \
                 done = CASE WHEN excluded.done > import_file.done THEN excluded.done ELSE import_file.done END, \
                 finished = excluded.finished"
            );
            writer
                .connection()
                .execute_raw(sql.statement(backend))
                .await?;
        }
        writer.commit().await
    }

    /// Counts what was committed.
    fn account(&mut self, items: Vec<Item>) {
        let mut loaded = 0;
        for item in items {
            match item.what {
                What::Write(write) => {
                    loaded += 1;
                    *self.report.loaded.entry(write.type_id).or_default() += 1;
                }
                What::Refused(reason) => self.report.refused.push(Refusal {
                    file: item.source.to_string(),
                    entry: item.number,
                    reason,
                }),
                What::Nothing => {}
            }
        }
        self.bar.loaded(loaded);
    }

    /// Forgets how far a file came.
    async fn forget(&self, file: &str) -> anyhow::Result<()> {
        let writer = self.store.writer(Origin::Feed).await?;
        for table in ["import_file", "import_refusal"] {
            let mut sql = Sql::default();
            let file = sql.bind(file);
            sql.text = format!("DELETE FROM {table} WHERE file = {file}");
            writer
                .connection()
                .execute_raw(sql.statement(self.store.backend()))
                .await?;
        }
        Ok(writer.commit().await?)
    }

    /// Names what an earlier run refused of this file.
    async fn recall_refusals(&mut self, unit: &Unit) -> anyhow::Result<()> {
        let mut sql = Sql::default();
        let file = sql.bind(&*unit.hash);
        // What this run takes it will name itself.
        let before = sql.bind(if unit.earlier {
            i64::MAX
        } else {
            unit.done.cast_signed()
        });
        sql.text = format!(
            "SELECT entry, reason FROM import_refusal \
             WHERE file = {file} AND entry <= {before} ORDER BY entry"
        );
        let rows = self
            .store
            .reader()
            .query_all_raw(sql.statement(self.store.backend()))
            .await?;
        for row in rows {
            let entry: i64 = row.try_get_by_index(0)?;
            self.report.refused.push(Refusal {
                file: unit.source.to_string(),
                entry: entry.unsigned_abs(),
                reason: row.try_get_by_index(1)?,
            });
        }
        Ok(())
    }

    /// Answers the conditions of a unit: first which entries are there already, then what the
    /// conditional references mean. An entry that is there gets an empty id.
    async fn answer(&mut self, unit: &mut Unit) -> anyhow::Result<()> {
        let mut moved: HashMap<String, String> = HashMap::new();
        for entry in &mut unit.entries {
            let Ok(prepared) = &mut entry.outcome else {
                continue;
            };
            let Some(asked) = prepared.condition.take() else {
                continue;
            };
            let (Condition::IfNoneExist(query) | Condition::Update(query)) = &asked;
            match condition::find(self.store, prepared.type_id, query).await {
                Ok(None) => {}
                Ok(Some(id)) => {
                    let name = definitions().type_name(prepared.type_id);
                    if id != prepared.id {
                        moved.insert(format!("{name}/{}", prepared.id), format!("{name}/{id}"));
                    }
                    prepared.id = match asked {
                        Condition::IfNoneExist(_) => String::new(),
                        Condition::Update(_) => id,
                    };
                }
                Err(Unanswered::Refused(reason)) => entry.outcome = Err(reason),
                Err(Unanswered::Database(error)) => return Err(error.into()),
            }
        }
        let mut asked = HashSet::new();
        for entry in &mut unit.entries {
            let resource = match &mut entry.outcome {
                Ok(Prepared {
                    resource: Some(resource),
                    ..
                }) => resource,
                _ => continue,
            };
            bundle::rewrite(resource, &|reference| moved.get(reference).cloned());
            let collected: Result<(), ()> =
                bundle::each_conditional_reference(resource, &mut |query| {
                    asked.insert(query.to_owned());
                    Ok(query.to_owned())
                });
            debug_assert!(collected.is_ok());
        }
        let mut failed: HashMap<String, String> = HashMap::new();
        for reference in asked {
            if self.answers.contains_key(&reference) {
                continue;
            }
            let Some((type_name, query)) = reference.split_once('?') else {
                continue;
            };
            let Some(type_id) = definitions().type_id(type_name) else {
                continue;
            };
            match condition::find(self.store, type_id, query).await {
                Ok(Some(id)) => {
                    let place = format!("{type_name}/{id}");
                    self.answers.insert(reference, place);
                }
                Ok(None) => {
                    let reason = format!("a conditional reference to {type_name} matches nothing");
                    failed.insert(reference, reason);
                }
                Err(Unanswered::Refused(reason)) => {
                    failed.insert(reference, reason);
                }
                Err(Unanswered::Database(error)) => return Err(error.into()),
            }
        }
        for entry in &mut unit.entries {
            let answered = match &mut entry.outcome {
                Ok(Prepared {
                    resource: Some(resource),
                    ..
                }) => bundle::each_conditional_reference(resource, &mut |reference| {
                    self.answers.get(reference).cloned().ok_or_else(|| {
                        failed
                            .get(reference)
                            .cloned()
                            .unwrap_or_else(|| "a conditional reference was not asked".to_owned())
                    })
                }),
                _ => continue,
            };
            if let Err(reason) = answered {
                entry.outcome = Err(reason);
            }
        }
        Ok(())
    }
}

fn op(type_id: TypeId, id: String, resource: Option<Value>) -> Op {
    Op {
        type_id,
        id,
        method: if resource.is_some() {
            Method::Put
        } else {
            Method::Delete
        },
        resource,
        if_match: None,
        must_be_new: false,
    }
}

/// A refusal of the store in words.
fn words(error: &StoreError) -> String {
    match error {
        StoreError::Refused { issues, .. } => bundle::describe(issues),
        StoreError::About { error, .. } => words(error),
        error => error.to_string(),
    }
}
