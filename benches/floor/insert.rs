//! Bodies into a bare table with a key: what writing them costs without versions, index, decision
//! and ledger. A transaction takes as many as one of `candor import`, and is as durable.

use std::path::Path;
use std::time::Instant;

use candor::store::packed::unpack;
use rusqlite::{Connection, params_from_iter};
use sea_orm::sqlx::postgres::{PgConnection, PgPool, PgPoolCopyExt as _};
use sea_orm::sqlx::{self, Connection as _, Row as _};

use super::{print, sqlite};

/// Resources in a transaction of `candor import`.
const BATCH: usize = 400;
/// Rows of one INSERT.
const ROWS: usize = 100;

const SCHEMA: [&str; 2] = [
    "DROP TABLE IF EXISTS floor",
    "CREATE TABLE floor (id BIGINT NOT NULL PRIMARY KEY, fhir_id TEXT NOT NULL, body {blob} NOT NULL)",
];

#[derive(Debug)]
struct Resource {
    id: i64,
    fhir_id: String,
    body: Vec<u8>,
}

/// Prints for each round: what, resources, seconds, bytes of table and key.
pub async fn insert(from: &Path, to: &str, rounds: u32) -> anyhow::Result<()> {
    let all = read(from)?;
    let report = |what: &str, seconds: f64, bytes: u64| {
        print(&format!("{what} {} {seconds:.4} {bytes}", all.len()))
    };
    for round in 0..rounds {
        if !to.starts_with("postgres") {
            let file = format!("{to}.{round}");
            let connection = Connection::open(&file)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            for statement in SCHEMA {
                connection.execute_batch(&statement.replace("{blob}", "BLOB"))?;
            }
            let began = Instant::now();
            into_sqlite(connection, &all)?;
            let seconds = began.elapsed().as_secs_f64();
            report("insert", seconds, std::fs::metadata(&file)?.len())?;
            std::fs::remove_file(&file)?;
            continue;
        }
        let pool = PgPool::connect(to).await?;
        for what in ["unnest", "copy"] {
            for statement in SCHEMA {
                let statement = statement.replace("{blob}", "BYTEA");
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                    .execute(&pool)
                    .await?;
            }
            let began = Instant::now();
            if what == "copy" {
                copy(&pool, &all).await?;
            } else {
                unnest(&mut PgConnection::connect(to).await?, &all).await?;
            }
            let seconds = began.elapsed().as_secs_f64();
            let bytes: i64 = sqlx::query("SELECT pg_total_relation_size('floor')")
                .fetch_one(&pool)
                .await?
                .get(0);
            report(what, seconds, bytes.unsigned_abs())?;
        }
        sqlx::raw_sql("DROP TABLE floor").execute(&pool).await?;
        pool.close().await;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<Resource>> {
    let connection = sqlite::open(file)?;
    let mut statement = connection
        .prepare("SELECT id, fhir_id, body FROM resource WHERE body IS NOT NULL ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Resource {
            id: row.get(0)?,
            fhir_id: row.get(1)?,
            body: row.get(2)?,
        })
    })?;
    let mut all: Vec<Resource> = rows.collect::<Result<_, _>>()?;
    for resource in &mut all {
        let body = std::mem::take(&mut resource.body);
        resource.body = unpack(body.into())?.to_vec();
    }
    Ok(all)
}

/// Multi-row INSERTs; closing folds the write-ahead log into the file.
fn into_sqlite(mut connection: Connection, all: &[Resource]) -> anyhow::Result<()> {
    for batch in all.chunks(BATCH) {
        let transaction = connection.transaction()?;
        for rows in batch.chunks(ROWS) {
            let places = vec!["(?, ?, ?)"; rows.len()].join(", ");
            let mut statement = transaction.prepare(&format!(
                "INSERT INTO floor (id, fhir_id, body) VALUES {places}"
            ))?;
            statement.execute(params_from_iter(rows.iter().flat_map(|row| {
                let values: [&dyn rusqlite::ToSql; 3] = [&row.id, &row.fhir_id, &row.body];
                values
            })))?;
        }
        transaction.commit()?;
    }
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// INSERT … SELECT FROM UNNEST of arrays.
async fn unnest(connection: &mut PgConnection, all: &[Resource]) -> anyhow::Result<()> {
    for batch in all.chunks(BATCH) {
        let ids: Vec<i64> = batch.iter().map(|row| row.id).collect();
        let fhir_ids: Vec<&str> = batch.iter().map(|row| row.fhir_id.as_str()).collect();
        let bodies: Vec<&[u8]> = batch.iter().map(|row| row.body.as_slice()).collect();
        sqlx::query("INSERT INTO floor (id, fhir_id, body) SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::bytea[])")
            .bind(ids)
            .bind(fhir_ids)
            .bind(bodies)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// COPY in PostgreSQL's binary format, one for each transaction.
async fn copy(pool: &PgPool, all: &[Resource]) -> anyhow::Result<()> {
    for batch in all.chunks(BATCH) {
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in batch {
            data.extend_from_slice(&3_i16.to_be_bytes());
            field(&mut data, &row.id.to_be_bytes())?;
            field(&mut data, row.fhir_id.as_bytes())?;
            field(&mut data, &row.body)?;
        }
        data.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut copying = pool
            .copy_in_raw("COPY floor (id, fhir_id, body) FROM STDIN (FORMAT binary)")
            .await?;
        copying.send(data).await?;
        copying.finish().await?;
    }
    Ok(())
}

fn field(data: &mut Vec<u8>, value: &[u8]) -> anyhow::Result<()> {
    data.extend_from_slice(&i32::try_from(value.len())?.to_be_bytes());
    data.extend_from_slice(value);
    Ok(())
}
