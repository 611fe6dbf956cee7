//! The units that stand in `composite_unit`, as far as this process knows: each is written once, by the
//! first write of any process that has it, and found there by every search. What is remembered was
//! committed; a write that was taken back takes its units with it, and the next one brings them again.

use std::collections::{BTreeSet, HashSet};
use std::sync::{PoisonError, RwLock};

use super::rows::{Insert, Kind};
use crate::search::extract::UnitRow;

/// Rows that are remembered; a hospital has some thousand. What is forgotten is written once more, which
/// changes nothing.
const MOST: usize = 100_000;

/// Rows that are committed.
#[derive(Debug, Default)]
pub(super) struct Units(RwLock<HashSet<UnitRow>>);

impl Units {
    /// Those that may have to be written, in one order everywhere: two writers of new ones wait for each
    /// other one way.
    pub(super) fn missing(&self, rows: BTreeSet<UnitRow>) -> Vec<UnitRow> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.into_iter()
            .filter(|row| !known.contains(row))
            .collect()
    }

    /// Remembers rows that are committed.
    pub(super) fn remember(&self, rows: Vec<UnitRow>) {
        if rows.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() + rows.len() > MOST {
            known.clear();
        }
        known.extend(rows);
    }
}

/// The insert of rows that another write may bring, too.
pub(super) fn insert(rows: &[UnitRow]) -> Insert {
    let mut insert = Insert::new(
        "composite_unit",
        &[("code", Kind::Big), ("unit", Kind::Text)],
        "ON CONFLICT DO NOTHING",
    );
    for row in rows {
        insert.push([row.code.into(), row.unit.as_str().into()]);
    }
    insert
}
