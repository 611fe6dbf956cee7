//! Full text rows: what [`IndexRows::text`](crate::search::extract::IndexRows) holds, for the
//! database's own engine (FTS5, tsvector).

use std::fmt::Write as _;

use sea_orm::DbBackend;

use super::rows::{Insert, Kind};
use crate::search::extract::TextRow;

/// The last position that a tsvector can tell.
const LAST: usize = 16_383;

/// The insert into `idx_text`.
pub(super) fn insert(backend: DbBackend, rows: Vec<(i64, TextRow)>) -> Insert {
    let is_postgres = backend == DbBackend::Postgres;
    let columns: &[_] = if is_postgres {
        &[
            ("id", Kind::Big),
            ("narrative", Kind::Words),
            ("content", Kind::Words),
        ]
    } else {
        &[
            ("rowid", Kind::Big),
            ("narrative", Kind::Words),
            ("content", Kind::Words),
        ]
    };
    let mut insert = Insert::new("idx_text", columns, "");
    for (id, row) in rows {
        let texts = if is_postgres {
            [vector(&row.narrative), vector(&row.content)]
        } else {
            [row.narrative, row.content]
        };
        let [narrative, content] = texts;
        insert.push([id.into(), narrative.into(), content.into()]);
    }
    insert
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
