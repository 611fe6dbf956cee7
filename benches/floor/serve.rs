//! The routes: `/static`, and reads and a search under `/sqlite` (rusqlite on a thread),
//! `/sqlx` (the same file through the driver that Candor uses) and `/postgres`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sea_orm::sqlx::postgres::{PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sea_orm::sqlx::{self, Row as _};

use super::sqlite::{self, Thread};
use super::{Lookup, READ, SEARCH, SECRET};

/// Candor's default.
const CONNECTIONS: u32 = 8;
/// Bodies on a page.
const PAGE: usize = 20;
/// As long as a sealed cursor of Candor's.
const CURSOR: [u8; 68] = [b'A'; 68];
/// As long as Candor's base.
const BASE: &str = "http://127.0.0.1:18080/fhir/r4";

#[derive(Clone, Debug)]
struct Floor {
    file: Thread,
    sqlite: SqlitePool,
    sqlite_lookup: Lookup,
    postgres: PgPool,
    postgres_lookup: Lookup,
}

pub async fn serve(sqlite: &Path, postgres: &str, bind: SocketAddr) -> anyhow::Result<()> {
    let sqlite = &sqlite::plain(sqlite)?;
    let file = Thread::start(sqlite)?;
    let sqlite = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        .connect_with(
            SqliteConnectOptions::new()
                .filename(sqlite)
                .pragma("cache_size", "-65536")
                .pragma("mmap_size", "268435456"),
        )
        .await?;
    let postgres = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .connect(postgres)
        .await?;
    let sqlite_secret: String = sqlx::query(SECRET).fetch_one(&sqlite).await?.get(0);
    let postgres_secret: String = sqlx::query(SECRET).fetch_one(&postgres).await?.get(0);
    let state = Floor {
        file,
        sqlite_lookup: Lookup::new(&sqlite_secret)?,
        sqlite,
        postgres_lookup: Lookup::new(&postgres_secret)?,
        postgres,
    };
    let router = Router::new()
        .route("/static", get(fixed))
        .route("/sqlite/read/{type}/{id}", get(read_sqlite))
        .route("/sqlite/search/{patient}", get(search_sqlite))
        .route("/sqlx/read/{type}/{id}", get(read_sqlx))
        .route("/sqlx/search/{patient}", get(search_sqlx))
        .route("/postgres/read/{type}/{id}", get(read_postgres))
        .route("/postgres/search/{patient}", get(search_postgres))
        .with_state(state);
    let listener = tokio::net::TcpListener::bind(bind).await?;
    Ok(axum::serve(listener, router).await?)
}

async fn fixed() -> Response {
    static BODY: [u8; 1700] = [b'x'; 1700];
    ([(header::CONTENT_TYPE, "application/fhir+json")], &BODY[..]).into_response()
}

fn json(body: Option<Vec<u8>>) -> Response {
    match body {
        Some(body) => ([(header::CONTENT_TYPE, "application/fhir+json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn read_sqlite(
    State(floor): State<Floor>,
    Segments((type_name, id)): Segments<(String, String)>,
) -> Response {
    json(floor.file.read(type_name, id).await)
}

async fn search_sqlite(
    State(floor): State<Floor>,
    Segments(patient): Segments<String>,
) -> Response {
    json(floor.file.search(patient).await)
}

/// A read and a search through sqlx, the same for both databases.
macro_rules! through_sqlx {
    ($read:ident, $search:ident, $pool:ident, $lookup:ident) => {
        async fn $read(
            State(floor): State<Floor>,
            Segments((type_name, id)): Segments<(String, String)>,
        ) -> Response {
            let found = sqlx::query(READ)
                .bind(floor.$lookup.key(&type_name, &id))
                .bind(id)
                .fetch_optional(&floor.$pool)
                .await;
            json(found.ok().flatten().map(|row| row.get(0)))
        }

        async fn $search(
            State(floor): State<Floor>,
            Segments(patient): Segments<String>,
        ) -> Response {
            let lookup = floor.$lookup;
            let found = sqlx::query(SEARCH)
                .bind(lookup.key("Patient", &patient))
                .bind(lookup.observation)
                .bind(lookup.category)
                .bind(lookup.laboratory())
                .fetch_all(&floor.$pool)
                .await;
            json(found.ok().map(|rows| {
                let mut page = Page::default();
                for found in &rows {
                    row(&mut page, found.get(0), found.get(1));
                }
                page.finish(&patient)
            }))
        }
    };
}

through_sqlx!(read_sqlx, search_sqlx, sqlite, sqlite_lookup);
through_sqlx!(read_postgres, search_postgres, postgres, postgres_lookup);

/// A searchset of as many bytes as Candor's.
#[derive(Debug, Default)]
pub struct Page {
    entries: Vec<u8>,
    count: usize,
}

/// One more row of the answer.
pub fn row(page: &mut Page, id: &str, body: &[u8]) {
    page.count += 1;
    if page.count > PAGE {
        return;
    }
    let out = &mut page.entries;
    out.extend_from_slice(if page.count == 1 { b"" } else { b"," });
    out.extend_from_slice(b"{\"fullUrl\":\"");
    out.extend_from_slice(BASE.as_bytes());
    out.extend_from_slice(b"/Observation/");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\",\"resource\":");
    out.extend_from_slice(body);
    out.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
}

impl Page {
    pub fn finish(self, patient: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() + 1024);
        let link = |out: &mut Vec<u8>, relation: &str, cursor: &[u8]| {
            out.extend_from_slice(b"{\"relation\":\"");
            out.extend_from_slice(relation.as_bytes());
            out.extend_from_slice(b"\",\"url\":\"");
            out.extend_from_slice(BASE.as_bytes());
            out.extend_from_slice(b"/Observation?patient=");
            out.extend_from_slice(patient.as_bytes());
            out.extend_from_slice(b"&category=laboratory");
            out.extend_from_slice(cursor);
            out.extend_from_slice(b"\"}");
        };
        out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"link\":[");
        link(&mut out, "self", b"");
        if self.count > PAGE {
            out.push(b',');
            link(&mut out, "next", &CURSOR);
        }
        out.extend_from_slice(b"],\"entry\":[");
        out.extend_from_slice(&self.entries);
        out.extend_from_slice(b"]}");
        out
    }
}
