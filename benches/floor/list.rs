//! What the load asks for.

use std::path::Path;

use candor::fhir::definitions::{TypeId, definitions};
use sea_orm::sqlx::postgres::PgPool;
use sea_orm::sqlx::{self, Row as _};

use super::{Lookup, SECRET, print, sqlite};

/// Keys are hashes, so their order is a shuffle.
const RESOURCES: &str = "SELECT type, fhir_id FROM resource \
     WHERE rendition = 0 AND deleted = 0 ORDER BY key LIMIT $1";

/// Patients with more laboratory results than a page holds.
const PATIENTS: &str = "SELECT r.fhir_id FROM idx_token t CROSS JOIN resource r \
     WHERE t.type = $1 AND t.param = $2 AND t.code = $3 AND r.key = t.patient AND r.rendition = 0 \
     GROUP BY r.fhir_id HAVING COUNT(*) > 20 ORDER BY r.fhir_id";

pub fn of_sqlite(file: &Path, resources: u32) -> anyhow::Result<()> {
    let connection = sqlite::open(file)?;
    let lookup = Lookup::new(&sqlite::secret(&connection)?)?;
    let mut statement = connection.prepare(RESOURCES)?;
    let mut rows = statement.query([resources])?;
    while let Some(row) = rows.next()? {
        resource(row.get(0)?, row.get_ref(1)?.as_str()?)?;
    }
    let mut statement = connection.prepare(PATIENTS)?;
    let mut rows = statement.query(rusqlite::params![
        lookup.observation,
        lookup.category,
        lookup.laboratory()
    ])?;
    while let Some(row) = rows.next()? {
        patient(row.get_ref(0)?.as_str()?)?;
    }
    Ok(())
}

pub async fn of_postgres(url: &str, resources: u32) -> anyhow::Result<()> {
    let pool = PgPool::connect(url).await?;
    let secret: String = sqlx::query(SECRET).fetch_one(&pool).await?.get(0);
    let lookup = Lookup::new(&secret)?;
    let rows = sqlx::query(RESOURCES)
        .bind(i64::from(resources))
        .fetch_all(&pool)
        .await?;
    for row in rows {
        resource(row.get(0), row.get(1))?;
    }
    let rows = sqlx::query(PATIENTS)
        .bind(lookup.observation)
        .bind(lookup.category)
        .bind(lookup.laboratory())
        .fetch_all(&pool)
        .await?;
    for row in rows {
        patient(row.get(0))?;
    }
    Ok(())
}

fn resource(type_id: TypeId, id: &str) -> anyhow::Result<()> {
    print(&format!("read {}/{id}", definitions().type_name(type_id)))
}

fn patient(id: &str) -> anyhow::Result<()> {
    print(&format!("search {id}"))
}
