//! Full text, by FTS5 or tsvector.

use super::{Lower, Row, Source};
use crate::search::query::Term;

impl Lower<'_> {
    pub(super) fn text_probe(&mut self, narrative: bool, any: &[Vec<Term>], row: &Row) -> String {
        let column = if narrative { "narrative" } else { "content" };
        let found = self.sql.bind_words(column, fts5(column, any), tsquery(any));
        format!("{}.id IN ({found})", row.alias)
    }

    pub(super) fn text_source(&mut self, narrative: bool, any: &[Vec<Term>], row: &Row) -> Source {
        Source {
            table: "resource".into(),
            conditions: vec![self.text_probe(narrative, any, row)],
            repeats: false,
        }
    }
}

/// `{content} : (("heart" AND "blood pressure") NOT "low") OR …`
fn fts5(column: &str, any: &[Vec<Term>]) -> String {
    let groups: Vec<String> = any
        .iter()
        .map(|group| {
            let phrase = |term: &Term| {
                let prefix = if term.is_prefix { " *" } else { "" };
                format!("\"{}\"{prefix}", term.words.join(" "))
            };
            let wanted: Vec<String> = group.iter().filter(|t| !t.not).map(phrase).collect();
            group
                .iter()
                .filter(|term| term.not)
                .fold(format!("({})", wanted.join(" AND ")), |all, term| {
                    format!("({all} NOT {})", phrase(term))
                })
        })
        .collect();
    format!("{{{column}}} : ({})", groups.join(" OR "))
}

/// `('heart' & ('blood' <-> 'pressure') & !('low')) | …`
fn tsquery(any: &[Vec<Term>]) -> String {
    let groups: Vec<String> = any
        .iter()
        .map(|group| {
            let terms: Vec<String> = group
                .iter()
                .map(|term| {
                    let last = term.words.len().saturating_sub(1);
                    let words: Vec<String> = term
                        .words
                        .iter()
                        .enumerate()
                        .map(|(at, word)| {
                            let prefix = if term.is_prefix && at == last {
                                ":*"
                            } else {
                                ""
                            };
                            format!("'{word}'{prefix}")
                        })
                        .collect();
                    let not = if term.not { "!" } else { "" };
                    format!("{not}({})", words.join(" <-> "))
                })
                .collect();
            format!("({})", terms.join(" & "))
        })
        .collect();
    groups.join(" | ")
}
