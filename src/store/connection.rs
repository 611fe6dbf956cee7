//! Connections: one file of SQLite, or PostgreSQL.

use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use migrations::{Migrator, MigratorTrait};
use rand::Rng as _;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, TransactionTrait,
};
use tokio::sync::Notify;

use super::StoreError;
use super::indexed::Indexer;
use super::lite::Lite;
use super::reader::Reader;
use super::turn::{Size, Turn, Turns};
use super::units::Units;
use crate::clock::Clock;
use crate::keys::Keys;
use crate::release::PolicyContext;
use crate::search::extract::UnitRow;
use crate::search::extract::custom::Custom;
use crate::sql::Sql;

/// Number of what extraction writes into the index. Raise it whenever the same resource would get
/// other rows (docs/adr/0003).
pub(super) const INDEX_EPOCH: &str = "5";

/// The entry of `meta` that says so.
pub(super) const EPOCH: &str = "index-epoch";

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite://path/file.db` (created if absent), `sqlite::memory:` is refused, or `postgres://…`.
    pub url: String,
    /// This server's FHIR base, `http://127.0.0.1:8080/fhir/r4`, without a slash at the end.
    pub base: String,
    pub clock: Clock,
    /// Connections for reading (and on PostgreSQL for writing).
    pub connections: u32,
}

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) reader: Reader,
    writer: DatabaseConnection,
    /// SQLite has one writer: waiting here is fair, waiting on its lock is not.
    pub(super) turns: Option<Turns>,
    backend: DbBackend,
    keys: Keys,
    base: Arc<str>,
    clock: Clock,
    policy: Arc<ArcSwap<PolicyContext>>,
    /// Search parameters of this server, as last read.
    pub(super) custom: Arc<ArcSwap<Custom>>,
    /// What the index has in `composite_unit`.
    units: Arc<Units>,
    /// Told when there may be work on the index.
    pub(super) wake: Arc<Notify>,
    /// The index is of another release, or being built from nothing.
    pub(super) closed: Arc<AtomicBool>,
}

/// An open write transaction. Dropped without [`WriteTx::commit`], it never happened.
#[derive(Debug)]
pub struct WriteTx(Arc<OpenWrite>);

/// The transaction of a write, and the turn that lasts as long as anybody reads from it.
#[derive(Debug)]
pub struct OpenWrite {
    // First: it must be gone when the turn is over.
    transaction: DatabaseTransaction,
    turn: Option<Turn>,
    /// Where units are remembered once they are committed; not of a transaction inside another, which
    /// may still be taken back.
    units: Option<Arc<Units>>,
    brought: Mutex<Vec<UnitRow>>,
}

impl Deref for OpenWrite {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl WriteTx {
    /// What to run statements on.
    #[must_use]
    pub fn connection(&self) -> &DatabaseTransaction {
        &self.0
    }

    /// Makes it happen, durably. Nobody may read through [`Store::within`] any more.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Ok(open) = Arc::try_unwrap(self.0) else {
            return Err(DbErr::Custom(
                "a transaction is still read from and cannot be committed".to_owned(),
            ));
        };
        match open.turn {
            Some(turn) => turn.durable(open.transaction).await?,
            None => open.transaction.commit().await?,
        }
        if let Some(units) = open.units {
            let brought = open.brought.into_inner();
            units.remember(brought.unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    /// What this transaction wrote into `composite_unit`.
    pub(super) fn brings(&self, units: Vec<UnitRow>) {
        let brought = self.0.brought.lock();
        brought
            .unwrap_or_else(PoisonError::into_inner)
            .extend(units);
    }

    /// A transaction inside this one ([`WriteTx::undo`] takes it back alone).
    pub async fn nested(&self) -> Result<Self, DbErr> {
        Ok(Self(Arc::new(OpenWrite {
            transaction: self.0.begin().await?,
            turn: None,
            units: None,
            brought: Mutex::default(),
        })))
    }

    /// Takes back what was done.
    pub async fn undo(self) -> Result<(), DbErr> {
        match Arc::try_unwrap(self.0) {
            Ok(open) => open.transaction.rollback().await,
            Err(_) => Err(DbErr::Custom(
                "a transaction is still read from and cannot be taken back".to_owned(),
            )),
        }
    }
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, or its index was written by another release
    /// ([`StoreError::IndexEpoch`]).
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let store = Self::connect(options).await?;
        let found = store.index_epoch().await?;
        store.require_epoch(&found)?;
        store.learn().await?;
        Ok(store)
    }

    /// [`Store::open`] whatever release wrote the index: for those who build it anew.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub async fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        let is_sqlite = options.url.starts_with("sqlite:");
        let (reader, writer) = if is_sqlite {
            let writer = Database::connect(sqlite_options(&options.url, 1, "-65536")).await?;
            let reader =
                Database::connect(sqlite_options(&options.url, options.connections, "-4096"))
                    .await?;
            (reader, writer)
        } else {
            let mut connect = ConnectOptions::new(&options.url);
            connect
                .max_connections(options.connections)
                .acquire_timeout(Duration::from_secs(10))
                .test_before_acquire(false)
                .sqlx_logging(false)
                .map_sqlx_postgres_opts(|postgres| {
                    postgres.statement_cache_capacity(500).options([
                        // Types and parameters are literals, so a generic plan is as sharp as one
                        // for these values, and making that costs more than running it.
                        ("plan_cache_mode", "force_generic_plan"),
                        ("jit", "off"),
                        ("random_page_cost", "1.1"),
                        // Statements are short: beginning two processes for one takes longer than it
                        // does, and a page would have them for what a generic plan fears to find.
                        ("max_parallel_workers_per_gather", "0"),
                    ])
                });
            let pool = Database::connect(connect).await?;
            (pool.clone(), pool)
        };
        let backend = writer.get_database_backend();
        Migrator::up(&writer, None).await?;
        // The federal base until `adopt_policy` says otherwise.
        let policy = PolicyContext::new(Some("US"), "America/New_York", &[], 0)
            .map_err(|_| StoreError::Corrupt("release rules"))?;
        let secret = database_secret(&writer, backend).await?;
        let lite = sqlite_file(&options.url)
            .map(|file| Arc::new(Lite::new(file.into(), options.connections)));
        let store = Self {
            reader: Reader::Pool {
                pool: reader,
                lite,
                witness: None,
            },
            writer,
            turns: is_sqlite.then(Turns::default),
            backend,
            keys: Keys::new(secret),
            base: options.base.trim_end_matches('/').into(),
            clock: options.clock.clone(),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            custom: Arc::default(),
            units: Arc::default(),
            wake: Arc::default(),
            closed: Arc::default(),
        };
        Ok(store)
    }

    /// The number of the release that wrote the index; ours where there is none yet.
    pub(super) async fn index_epoch(&self) -> Result<String, StoreError> {
        match self.meta(EPOCH).await? {
            Some(found) => Ok(found),
            None => {
                self.set_meta(&self.writer, EPOCH, INDEX_EPOCH).await?;
                Ok(INDEX_EPOCH.to_owned())
            }
        }
    }

    /// [`Store::index_epoch`] as an open transaction sees it.
    pub(super) async fn index_epoch_on(
        &self,
        on: &impl ConnectionTrait,
    ) -> Result<String, StoreError> {
        let select = Sql::new(format!("SELECT value FROM meta WHERE name = '{EPOCH}'"));
        let row = on.query_one_raw(select.statement(self.backend)).await?;
        let found: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
        Ok(found.unwrap_or_else(|| INDEX_EPOCH.to_owned()))
    }

    /// Old index rows are removed by extracting them again, which only the release that wrote them
    /// can do.
    pub(super) fn require_epoch(&self, found: &str) -> Result<(), StoreError> {
        if found == INDEX_EPOCH {
            return Ok(());
        }
        Err(StoreError::IndexEpoch {
            found: found.to_owned(),
            ours: INDEX_EPOCH.to_owned(),
        })
    }

    /// Where to run queries.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The same store as it stands within an open write, for queries that must see what the write
    /// did. The write is not committed while such a store lives.
    #[must_use]
    pub fn within(&self, write: &WriteTx) -> Self {
        Self {
            reader: Reader::Within(write.0.clone()),
            ..self.clone()
        }
    }

    /// Begins a write transaction: on SQLite the only one, waiting for its turn.
    pub async fn begin(&self) -> Result<WriteTx, StoreError> {
        self.begin_of(Size::Small).await
    }

    /// [`Store::begin`] of a write that may be large.
    pub(super) async fn begin_of(&self, size: Size) -> Result<WriteTx, StoreError> {
        let (transaction, turn) = match &self.turns {
            Some(turns) => {
                let (transaction, turn) = turns.next(&self.writer, size).await?;
                (transaction, Some(turn))
            }
            None => (self.writer.begin().await?, None),
        };
        Ok(WriteTx(Arc::new(OpenWrite {
            transaction,
            turn,
            units: Some(self.units.clone()),
            brought: Mutex::default(),
        })))
    }

    /// Which of the two databases this is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The hashes of this database.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Reads resources ahead of a write ([`Writer::apply_indexed`](super::Writer::apply_indexed)).
    #[must_use]
    pub fn indexer(&self) -> Indexer {
        Indexer::new(
            self.keys,
            self.base.clone(),
            self.custom.load_full(),
            self.units.clone(),
        )
    }

    /// This server's FHIR base URL, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The server's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> PolicyContext {
        PolicyContext::clone(&self.policy.load())
    }

    pub(super) fn set_policy(&self, policy: PolicyContext) {
        self.policy.store(Arc::new(policy));
    }

    /// A value of the table `meta`.
    pub(super) async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut sql = Sql::default();
        let name = sql.bind(name);
        sql.text = format!("SELECT value FROM meta WHERE name = {name}");
        let row = self
            .reader
            .query_one_raw(sql.statement(self.backend))
            .await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
    }

    pub(super) async fn set_meta(
        &self,
        on: &impl ConnectionTrait,
        name: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        let mut sql = Sql::default();
        let (name, value) = (sql.bind(name), sql.bind(value));
        sql.text = format!(
            "INSERT INTO meta (name, value) VALUES ({name}, {value}) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        );
        on.execute_raw(sql.statement(self.backend)).await?;
        Ok(())
    }

    /// Closes the connections; on SQLite this folds the write-ahead log into the file.
    pub async fn close(self) -> Result<(), StoreError> {
        self.writer.close().await?;
        if let Reader::Pool { pool, lite, .. } = self.reader {
            // Before the pool: whoever closes last folds the log, and these only read.
            if let Some(lite) = lite {
                lite.close();
            }
            pool.close().await?;
        }
        Ok(())
    }
}

/// The file of a SQLite URL.
fn sqlite_file(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    path.split('?').next()
}

/// `cache`: of each connection, KiB as SQLite's pragma has it. They map nothing: what is mapped counts
/// once for each connection, and the reads that a map speeds up go through [`Lite`].
fn sqlite_options(url: &str, connections: u32, cache: &'static str) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // FULL: an acknowledged write survives a power cut, not only a killed process.
                .synchronous(SqliteSynchronous::Full)
                // `candor import` may hold the write lock of a running server for a while.
                .busy_timeout(Duration::from_secs(60))
                .foreign_keys(false)
                .statement_cache_capacity(500)
                // A page that many writes touch goes into the file once in 64 MB, not once in 4: that was a
                // quarter of what SQLite did under transactions.
                .pragma("wal_autocheckpoint", "16384")
                .pragma("cache_size", cache)
                .pragma("temp_store", "memory")
        });
    connect
}

/// The secret behind [`Keys`], made on first use.
async fn database_secret(
    connection: &DatabaseConnection,
    backend: DbBackend,
) -> Result<[u8; 16], StoreError> {
    let mut fresh = [0_u8; 16];
    rand::rng().fill_bytes(&mut fresh);
    let mut insert = Sql::default();
    let value = insert.bind(BASE64.encode(fresh));
    insert.push(&format!(
        "INSERT INTO meta (name, value) VALUES ('key-secret', {value}) ON CONFLICT (name) DO NOTHING"
    ));
    connection.execute_raw(insert.statement(backend)).await?;
    let select = Sql::new("SELECT value FROM meta WHERE name = 'key-secret'").statement(backend);
    let row = connection
        .query_one_raw(select)
        .await?
        .ok_or(StoreError::Corrupt("key-secret"))?;
    let text: String = row.try_get_by_index(0)?;
    BASE64
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(StoreError::Corrupt("key-secret"))
}
