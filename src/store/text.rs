//! Full text rows: what [`IndexRows::text`](crate::search::extract::IndexRows) holds, for the
//! database's own engine (FTS5, tsvector).

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use crate::search::extract::TextRow;
use crate::sql::Sql;

/// Rows in one statement.
const CHUNK: usize = 32;

pub(super) async fn insert(
    on: &impl ConnectionTrait,
    rows: Vec<(i64, TextRow)>,
) -> Result<(), DbErr> {
    let backend = on.get_database_backend();
    let (id_column, vector) = match backend {
        DbBackend::Postgres => ("id", true),
        _ => ("rowid", false),
    };
    for chunk in rows.chunks(CHUNK) {
        let mut sql = Sql::default();
        let values: Vec<String> = chunk
            .iter()
            .map(|(id, row)| {
                let id = sql.bind(*id);
                let narrative = sql.bind(row.narrative.as_str());
                let content = sql.bind(row.content.as_str());
                if vector {
                    format!(
                        "({id}, to_tsvector('simple', {narrative}), to_tsvector('simple', {content}))"
                    )
                } else {
                    format!("({id}, {narrative}, {content})")
                }
            })
            .collect();
        sql.text = format!(
            "INSERT INTO idx_text ({id_column}, narrative, content) VALUES {}",
            values.join(", ")
        );
        on.execute_raw(sql.statement(backend)).await?;
    }
    Ok(())
}
