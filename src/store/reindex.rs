//! Building the index while the server answers and writes: jobs that go through all resources of some
//! types in batches. The place a job came to is committed with the rows of the batch, so that it goes
//! on where it was after any end of the process; a lease sees to it that one process works.
//!
//! Three kinds: the rows of new search parameters (`search_params`), everything again on request, and
//! the whole index from nothing when it was written by a release that extracts differently
//! (docs/adr/0003). While the last runs nothing may be searched or written: every process that has
//! the database open refuses from the moment its epoch is gone.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use serde_json::Value;
use uuid::Uuid;

use super::connection::{EPOCH, INDEX_EPOCH, WriteTx};
use super::search_params::{self, BUILDING, GONE, READY, RETIRED, TO_BUILD};
use super::{Store, StoreError, lease, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{ParamId, TypeId, definitions};
use crate::search::extract::IndexRows;
use crate::sql::Sql;

/// The lease of whoever works.
const LEASE: &str = "reindex";
/// Resources of one transaction.
const BATCH: usize = 256;
/// How long rows may stay locked by others before it is an error.
const PATIENCE: u32 = 100;
/// Between two looks at what others hold.
const PAUSE: Duration = Duration::from_millis(50);
/// Finished jobs that are remembered.
const REMEMBERED: i64 = 50;
/// What stands for the epoch while the index is built from nothing.
const NO_EPOCH: &str = "none: it is being built";

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// The rows of all parameters again, beside those that are there.
    Everything,
    /// The rows of new parameters.
    Parameters,
    /// The whole index from nothing.
    Rebuild,
}

/// A job and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub kind: JobKind,
    pub types: Vec<TypeId>,
    pub params: Vec<ParamId>,
    /// What is behind us.
    at: (TypeId, i64),
    /// Resources (and renditions of resources) behind us, and how many there were at the beginning.
    pub done: i64,
    pub total: i64,
    pub created: Millis,
    pub changed: Millis,
    /// None while it is not.
    pub finished: Option<Millis>,
}

/// What one step of [`Reindexer`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do.
    Idle,
    /// Another process works.
    Elsewhere,
    Worked,
}

impl Job {
    fn read(row: &QueryResult) -> Result<Self, StoreError> {
        fn list<T: serde::de::DeserializeOwned>(
            row: &QueryResult,
            at: usize,
        ) -> Result<T, StoreError> {
            let text: String = row.try_get_by_index(at)?;
            serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("reindex_job"))
        }
        let kind: i16 = row.try_get_by_index(1)?;
        let finished: Millis = row.try_get_by_index(10)?;
        Ok(Self {
            id: row.try_get_by_index(0)?,
            kind: match kind {
                1 => JobKind::Everything,
                2 => JobKind::Parameters,
                _ => JobKind::Rebuild,
            },
            types: list(row, 2)?,
            params: list(row, 3)?,
            at: (row.try_get_by_index(4)?, row.try_get_by_index(5)?),
            done: row.try_get_by_index(6)?,
            total: row.try_get_by_index(7)?,
            created: row.try_get_by_index(8)?,
            changed: row.try_get_by_index(9)?,
            finished: (finished != 0).then_some(finished),
        })
    }
}

/// Columns that [`Job::read`] reads, in its order.
const JOB: &str = "id, kind, types, params, type, doc, done, total, created, changed, finished";

impl Store {
    /// Asks for the rows of these types to be written again (all types when there are none). A job
    /// that was asked for and is not begun is the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_reindex(&self, types: &[TypeId]) -> Result<i64, StoreError> {
        let types = if types.is_empty() {
            definitions().types().map(|(type_id, _)| type_id).collect()
        } else {
            let mut types = types.to_vec();
            types.sort_unstable();
            types.dedup();
            types
        };
        let tx = self.begin().await?;
        let on = tx.connection();
        self.settle(on).await?;
        super::apply::lock_all(on, vec![self.keys().text(LEASE)]).await?;
        let waiting = jobs(on, "finished = 0 AND kind = 1 AND done = 0").await?;
        let id = match waiting.iter().find(|job| job.types == types) {
            Some(job) => job.id,
            None => self.add_job(on, JobKind::Everything, &types, &[]).await?,
        };
        tx.commit().await?;
        self.wake.notify_one();
        Ok(id)
    }

    /// The newest jobs, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reindex_jobs(&self) -> Result<Vec<Job>, StoreError> {
        let mut all = jobs(self.reader(), "id > 0").await?;
        all.reverse();
        Ok(all)
    }

    /// Waits for word that there may be work.
    pub async fn reindex_wanted(&self) {
        self.wake.notified().await;
    }

    /// Whether the index was written by another release, or is being built from nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_index_old(&self) -> Result<bool, StoreError> {
        Ok(self.index_epoch().await? != INDEX_EPOCH)
    }

    async fn has_work(&self) -> Result<bool, StoreError> {
        let select = Sql::new(format!(
            "SELECT 1 FROM reindex_job WHERE finished = 0 \
             UNION ALL SELECT 1 FROM search_param WHERE state IN ({TO_BUILD}, {BUILDING}, {RETIRED}) LIMIT 1"
        ));
        let found = self
            .reader()
            .query_one_raw(select.statement(self.backend()));
        Ok(found.await?.is_some())
    }

    async fn add_job(
        &self,
        on: &impl ConnectionTrait,
        kind: JobKind,
        types: &[TypeId],
        params: &[ParamId],
    ) -> Result<i64, StoreError> {
        let backend = self.backend();
        let select = Sql::new("SELECT MAX(id) FROM reindex_job");
        let row = on.query_one_raw(select.statement(backend)).await?;
        let last: Option<i64> = match row {
            Some(row) => row.try_get_by_index(0)?,
            None => None,
        };
        let id = last.unwrap_or(0) + 1;
        let mut sql = Sql::default();
        let list = sql.bind_list(types.iter().copied());
        sql.text = format!("SELECT COUNT(*) FROM resource WHERE type IN {list}");
        let row = on.query_one_raw(sql.statement(backend)).await?;
        let total: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        let number: i16 = match kind {
            JobKind::Everything => 1,
            JobKind::Parameters => 2,
            JobKind::Rebuild => 3,
        };
        let now = self.clock().now();
        let mut sql = Sql::default();
        let values = [
            sql.bind(id),
            sql.bind(number),
            sql.bind(Value::from(types.to_vec()).to_string()),
            sql.bind(Value::from(params.to_vec()).to_string()),
            sql.bind(total),
            sql.bind(now),
        ];
        let [id_at, kind, types, params, total, now] = values;
        sql.text = format!(
            "INSERT INTO reindex_job ({JOB}) VALUES \
             ({id_at}, {kind}, {types}, {params}, 0, 0, 0, {total}, {now}, {now}, 0)"
        );
        on.execute_raw(sql.statement(backend)).await?;
        let sql = Sql::new(format!(
            "DELETE FROM reindex_job WHERE finished > 0 AND id <= {}",
            id - REMEMBERED
        ));
        on.execute_raw(sql.statement(backend)).await?;
        Ok(id)
    }
}

async fn jobs(on: &impl ConnectionTrait, which: &str) -> Result<Vec<Job>, StoreError> {
    let select = Sql::new(format!(
        "SELECT {JOB} FROM reindex_job WHERE {which} ORDER BY id"
    ));
    let rows = on
        .query_all_raw(select.statement(on.get_database_backend()))
        .await?;
    rows.iter().map(Job::read).collect()
}

/// One process's hands on the index.
#[derive(Debug)]
pub struct Reindexer {
    store: Store,
    holder: String,
    /// What is only done once every write that began before it is over: a job, or the parameters to be
    /// removed (as 0).
    settled: Option<i64>,
}

impl Reindexer {
    /// Hands that do nothing yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            holder: Uuid::new_v4().to_string(),
            settled: None,
        }
    }

    /// Does a little of what is to be done.
    ///
    /// # Errors
    /// When the database fails; what was committed stays.
    pub async fn step(&mut self) -> Result<Step, StoreError> {
        if !self.store.has_work().await? {
            return Ok(Step::Idle);
        }
        let mut tries = 0;
        loop {
            match self.try_step().await {
                // Others hold rows of this batch, which it does not wait for: two that wait for each
                // other would both fail.
                Err(StoreError::Database(error))
                    if self.store.backend() == DbBackend::Postgres && tries < PATIENCE =>
                {
                    tracing::debug!(%error, "a batch of the index is tried again");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Lets another process work at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rest(&self) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        lease::give_back(tx.connection(), LEASE, &self.holder).await?;
        Ok(tx.commit().await?)
    }

    async fn try_step(&mut self) -> Result<Step, StoreError> {
        let tx = self.store.begin().await?;
        let on = tx.connection();
        if !lease::take(on, LEASE, &self.holder).await? {
            return Ok(Step::Elsewhere);
        }
        let job = jobs(on, "finished = 0").await?.into_iter().next();
        if let Some(job) = job {
            if job.kind != JobKind::Rebuild {
                self.store.settle(on).await?;
            }
            if self.settled != Some(job.id) {
                tx.commit().await?;
                self.older_writes().await?;
                self.settled = Some(job.id);
                return Ok(Step::Worked);
            }
            return self.batch(tx, job).await;
        }
        self.store.settle(on).await?;
        let fresh = search_params::in_state(on, TO_BUILD).await?;
        if !fresh.is_empty() {
            let mut types: Vec<TypeId> = fresh.iter().flat_map(|(_, one)| one.types()).collect();
            types.sort_unstable();
            types.dedup();
            let numbers: Vec<ParamId> = fresh.iter().map(|(number, _)| *number).collect();
            let kind = JobKind::Parameters;
            self.store.add_job(on, kind, &types, &numbers).await?;
            search_params::set_state(on, &numbers, BUILDING).await?;
            tx.commit().await?;
            return Ok(Step::Worked);
        }
        if let Some((number, definition)) = search_params::in_state(on, RETIRED)
            .await?
            .into_iter()
            .next()
        {
            if self.settled != Some(0) {
                tx.commit().await?;
                self.older_writes().await?;
                self.settled = Some(0);
                return Ok(Step::Worked);
            }
            remove_rows(on, number, &definition.types()).await?;
            search_params::set_state(on, &[number], GONE).await?;
            tx.commit().await?;
            self.settled = None;
            return Ok(Step::Worked);
        }
        lease::give_back(on, LEASE, &self.holder).await?;
        tx.commit().await?;
        Ok(Step::Idle)
    }

    /// One batch of a job, or its end.
    async fn batch(&mut self, tx: WriteTx, mut job: Job) -> Result<Step, StoreError> {
        let on = tx.connection();
        let mut rows = Vec::new();
        for type_id in job.types.iter().copied() {
            if type_id < job.at.0 {
                continue;
            }
            let after = if type_id == job.at.0 { job.at.1 } else { 0 };
            rows = resources(on, type_id, after).await?;
            job.at = (type_id, after);
            if !rows.is_empty() {
                break;
            }
        }
        if rows.is_empty() {
            self.finish(on, &job).await?;
            tx.commit().await?;
            self.settled = None;
            self.store.wake.notify_one();
            return Ok(Step::Worked);
        }
        let indexer = self.store.indexer();
        let mut writer = indexer.writer();
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        match job.kind {
            JobKind::Everything => writer.forget(on.get_database_backend(), &ids, None),
            JobKind::Parameters => {
                writer.forget(on.get_database_backend(), &ids, Some(&job.params));
            }
            JobKind::Rebuild => {}
        }
        for row in &rows {
            let Some(body) = &row.body else { continue };
            let value: Value =
                serde_json::from_slice(body).map_err(|_| StoreError::Corrupt("resource body"))?;
            let found = match job.kind {
                JobKind::Parameters => {
                    let mut own = indexer.own_rows(job.at.0, &value).unwrap_or_default();
                    own.retain(|param| job.params.contains(&param));
                    own
                }
                JobKind::Everything | JobKind::Rebuild => indexer.rows(job.at.0, &value),
            };
            if found != IndexRows::default() {
                writer.add(job.at.0, row.id, row.patient, &found);
            }
        }
        tx.brings(writer.run(on).await?);
        let mut sql = Sql::default();
        let more = i64::try_from(rows.len()).unwrap_or(0);
        // What is written from now on brings its own rows: a type whose last batch was not full is done,
        // or a steady writer would be followed for ever.
        let last = match ids.last() {
            Some(last) if ids.len() == BATCH => *last,
            _ => i64::MAX,
        };
        let values = [
            sql.bind(job.at.0),
            sql.bind(last),
            sql.bind(job.done + more),
            sql.bind(self.store.clock().now()),
            sql.bind(job.id),
        ];
        let [type_id, doc, done, now, id] = values;
        sql.text = format!(
            "UPDATE reindex_job SET type = {type_id}, doc = {doc}, done = {done}, changed = {now} \
             WHERE id = {id}"
        );
        on.execute_raw(sql.statement(on.get_database_backend()))
            .await?;
        tx.commit().await?;
        Ok(Step::Worked)
    }

    async fn finish(&self, on: &impl ConnectionTrait, job: &Job) -> Result<(), StoreError> {
        let mut sql = Sql::default();
        let now = sql.bind(self.store.clock().now());
        let id = sql.bind(job.id);
        sql.text =
            format!("UPDATE reindex_job SET finished = {now}, changed = {now} WHERE id = {id}");
        on.execute_raw(sql.statement(on.get_database_backend()))
            .await?;
        if !job.params.is_empty() {
            let mut sql = Sql::default();
            let list = sql.bind_list(job.params.iter().copied());
            sql.text = format!(
                "UPDATE search_param SET state = {READY} WHERE state = {BUILDING} AND number IN {list}"
            );
            on.execute_raw(sql.statement(on.get_database_backend()))
                .await?;
            self.store.raise_params(on).await?;
        }
        if job.kind == JobKind::Rebuild {
            self.store.set_meta(on, EPOCH, INDEX_EPOCH).await?;
        }
        tracing::info!(job = job.id, kind = ?job.kind, resources = job.done, "the index is built");
        Ok(())
    }

    /// Waits until every write is over that began before now: it may not know of the parameters that a
    /// job is about. Those that begin later do ([`Store::settle`]). SQLite has one writer, and that is
    /// who waits.
    async fn older_writes(&self) -> Result<(), StoreError> {
        if self.store.backend() != DbBackend::Postgres {
            return Ok(());
        }
        // As CREATE INDEX CONCURRENTLY does: transactions of this database by their own locks.
        let select = Sql::new(
            "SELECT l.virtualtransaction FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock' \
             AND a.datname = current_database() AND l.pid <> pg_backend_pid()",
        );
        let mut first: Option<Vec<String>> = None;
        loop {
            let rows = self
                .store
                .reader()
                .query_all_raw(select.clone().statement(DbBackend::Postgres))
                .await?;
            let running: Vec<String> = rows
                .iter()
                .map(|row| row.try_get_by_index(0))
                .collect::<Result<_, _>>()?;
            let older = first.get_or_insert_with(|| running.clone());
            older.retain(|one| running.contains(one));
            if older.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Begins to build the index from nothing, if it is old and nobody has begun. Every process that
    /// has the database open refuses to search and to write once it has seen that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_rebuild(&mut self, grace: Duration) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        let on = tx.connection();
        if !lease::take(on, LEASE, &self.holder).await? {
            return Ok(());
        }
        let found = self.store.index_epoch_on(on).await?;
        let begun = jobs(on, "finished = 0 AND kind = 3").await?;
        if found == INDEX_EPOCH || !begun.is_empty() {
            tx.commit().await?;
            return Ok(());
        }
        self.store.set_meta(on, EPOCH, NO_EPOCH).await?;
        tx.commit().await?;
        // Others look once a second.
        tokio::time::sleep(grace).await;
        self.older_writes().await?;
        let tx = self.store.begin().await?;
        let on = tx.connection();
        if !lease::take(on, LEASE, &self.holder).await?
            || !jobs(on, "finished = 0 AND kind = 3").await?.is_empty()
        {
            return Ok(());
        }
        super::index::empty(on).await?;
        let backend = self.store.backend();
        let rest = Sql::new("DELETE FROM reindex_job WHERE finished = 0");
        on.execute_raw(rest.statement(backend)).await?;
        let gone = Sql::new(format!(
            "UPDATE search_param SET state = {GONE} WHERE state = {RETIRED}"
        ));
        on.execute_raw(gone.statement(backend)).await?;
        let build = Sql::new(format!(
            "UPDATE search_param SET state = {BUILDING} WHERE state IN ({TO_BUILD}, {READY})"
        ));
        on.execute_raw(build.statement(backend)).await?;
        let params = search_params::in_state(on, BUILDING).await?;
        let numbers: Vec<ParamId> = params.iter().map(|(number, _)| *number).collect();
        let types: Vec<TypeId> = definitions().types().map(|(type_id, _)| type_id).collect();
        self.store
            .add_job(on, JobKind::Rebuild, &types, &numbers)
            .await?;
        self.store.raise_params(on).await?;
        tx.commit().await?;
        self.store.learn().await?;
        Ok(())
    }
}

/// A resource or a rendition of one.
struct Row {
    id: i64,
    patient: i64,
    body: Option<Vec<u8>>,
}

/// The next resources of a type; on PostgreSQL locked, so that nobody writes them meanwhile.
async fn resources(
    on: &impl ConnectionTrait,
    type_id: TypeId,
    after: i64,
) -> Result<Vec<Row>, StoreError> {
    let backend = on.get_database_backend();
    let lock = if backend == DbBackend::Postgres {
        "FOR NO KEY UPDATE NOWAIT"
    } else {
        ""
    };
    let mut sql = Sql::default();
    let after = sql.bind(after);
    sql.text = format!(
        "SELECT id, patient, body FROM resource WHERE type = {type_id} AND id > {after} \
         ORDER BY id LIMIT {BATCH} {lock}"
    );
    let rows = on.query_all_raw(sql.statement(backend)).await?;
    rows.iter()
        .map(|row| {
            Ok(Row {
                id: row.try_get_by_index(0)?,
                patient: row.try_get_by_index(1)?,
                body: packed::column(row, 2)?,
            })
        })
        .collect()
}

/// Removes the rows of a parameter that is gone.
async fn remove_rows(
    on: &impl ConnectionTrait,
    param: ParamId,
    types: &[TypeId],
) -> Result<(), StoreError> {
    for table in super::index::TABLES {
        let mut sql = Sql::default();
        let list = sql.bind_list(types.iter().copied());
        sql.text = format!("DELETE FROM {table} WHERE type IN {list} AND param = {param}");
        on.execute_raw(sql.statement(on.get_database_backend()))
            .await?;
    }
    Ok(())
}
