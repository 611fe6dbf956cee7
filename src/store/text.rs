//! Full text rows: what [`IndexRows::text`](crate::search::extract::IndexRows) holds, for the
//! database's own engine (FTS5, tsvector).

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use crate::search::extract::TextRow;
use crate::sql::Sql;

/// Rows in one statement.
const CHUNK: usize = 32;
/// The last position that a tsvector can tell.
const LAST: usize = 16_383;

pub(super) async fn insert(
    on: &impl ConnectionTrait,
    rows: Vec<(i64, TextRow)>,
) -> Result<(), DbErr> {
    let backend = on.get_database_backend();
    let is_postgres = backend == DbBackend::Postgres;
    for chunk in rows.chunks(CHUNK) {
        let mut sql = Sql::default();
        let values: Vec<String> = chunk
            .iter()
            .map(|(id, row)| {
                let id = sql.bind(*id);
                if is_postgres {
                    let narrative = sql.bind(vector(&row.narrative));
                    let content = sql.bind(vector(&row.content));
                    format!(
                        "({id}, CAST({narrative} AS TEXT)::tsvector, CAST({content} AS TEXT)::tsvector)"
                    )
                } else {
                    let narrative = sql.bind(row.narrative.as_str());
                    let content = sql.bind(row.content.as_str());
                    format!("({id}, {narrative}, {content})")
                }
            })
            .collect();
        sql.text = format!(
            "INSERT INTO idx_text ({}, narrative, content) VALUES {}",
            Sql::TEXT_ID,
            values.join(", ")
        );
        on.execute_raw(sql.statement(backend)).await?;
    }
    Ok(())
}

/// Words as a tsvector, without PostgreSQL's own parser, whose words depend on the locale.
fn vector(words: &str) -> String {
    let mut vector = String::with_capacity(words.len() * 2);
    for (at, word) in (1..).zip(words.split(' ').filter(|word| !word.is_empty())) {
        // Words are letters and digits: there is nothing to escape.
        let _ = write!(vector, "'{word}':{} ", LAST.min(at));
    }
    vector
}
