//! Fresh databases: a file of SQLite, or a clone of a migrated PostgreSQL template.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use candor::clock::Clock;
use candor::store::{Store, StoreOptions};
use sea_orm::{ConnectionTrait as _, Database as Connect, DatabaseConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A database of one test, gone with it.
#[derive(Debug)]
pub struct TestDatabase {
    /// As `CANDOR_DATABASE_URL` takes it.
    pub url: String,
    postgres: Option<String>,
    directory: TempDir,
}

/// Serialises what tests do to the cluster itself, across processes.
const LOCK: i64 = 0x0043_414e_444f_5221;

impl Database {
    /// Whether tests can run on it. PostgreSQL is named by `CANDOR_TEST_POSTGRES`, a URL whose
    /// user may create databases; `./test` starts one. CI must not do without.
    pub fn is_there(self) -> bool {
        if self == Self::Sqlite || postgres_url().is_some() {
            return true;
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "CANDOR_TEST_POSTGRES must name a PostgreSQL in CI; run ./test"
        );
        super::skipped("CANDOR_TEST_POSTGRES is not set; ./test starts a PostgreSQL");
        false
    }
}

impl TestDatabase {
    /// A new database with nothing in it but the schema.
    pub async fn create(database: Database) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if database == Database::Sqlite {
            return Self {
                url: format!("sqlite://{}/candor.db", directory.path().display()),
                postgres: None,
                directory,
            };
        }
        let admin = admin().await;
        let template = template(&admin).await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        Self {
            url: url_of(&name),
            postgres: Some(name),
            directory,
        }
    }

    /// A folder that goes with the database.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A store on it, without a server.
    pub async fn store(&self, clock: Clock) -> Store {
        Store::open(&StoreOptions {
            url: self.url.clone(),
            base: "http://127.0.0.1:8080/fhir/r4".to_owned(),
            clock,
            connections: 2,
        })
        .await
        .unwrap()
    }

    /// Drops a PostgreSQL database; a file goes by itself.
    pub async fn drop(self) {
        if let Some(name) = &self.postgres {
            let admin = admin().await;
            admin
                .execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)"))
                .await
                .unwrap();
            admin.close().await.unwrap();
        }
    }
}

fn postgres_url() -> Option<String> {
    std::env::var("CANDOR_TEST_POSTGRES")
        .ok()
        .filter(|url| !url.is_empty())
}

async fn admin() -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(postgres_url().unwrap());
    options.max_connections(1).sqlx_logging(false);
    Connect::connect(options).await.unwrap()
}

fn url_of(name: &str) -> String {
    let mut url = url::Url::parse(&postgres_url().unwrap()).unwrap();
    url.set_path(name);
    url.to_string()
}

/// The migrated template, made by whoever comes first. Its name changes with the schema, and with the
/// number that says what the index holds: a store takes no other.
async fn template(admin: &DatabaseConnection) -> String {
    let mut hasher = DefaultHasher::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    let connection = include_str!("../../../src/store/connection.rs");
    let epoch = connection
        .lines()
        .find(|line| line.contains("const INDEX_EPOCH"));
    epoch.unwrap().hash(&mut hasher);
    let name = format!("template_{:016x}", hasher.finish());
    admin
        .execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})"))
        .await
        .unwrap();
    let there = admin
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            format!("SELECT 1 FROM pg_database WHERE datname = '{name}'"),
        ))
        .await
        .unwrap();
    if there.is_none() {
        // Under another name until it is whole: a test run may be killed.
        let draft = format!("draft_{}", Uuid::new_v4().simple());
        admin
            .execute_unprepared(&format!("CREATE DATABASE {draft}"))
            .await
            .unwrap();
        let store = Store::open(&StoreOptions {
            url: url_of(&draft),
            base: "http://127.0.0.1:8080/fhir/r4".to_owned(),
            clock: Clock::test(super::T0),
            connections: 1,
        })
        .await
        .unwrap();
        store.close().await.unwrap();
        admin
            .execute_unprepared(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await
            .unwrap();
    }
    admin
        .execute_unprepared(&format!("SELECT pg_advisory_unlock({LOCK})"))
        .await
        .unwrap();
    name
}
