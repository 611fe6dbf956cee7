//! Writing and unwriting the index rows of a resource (or of a rendition of one).

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use super::current::in_list;
use super::rows::{Insert, Kind};
use super::units::{self, Units};
use crate::fhir::definitions::{ParamId, TypeId};
use crate::search::extract::{IndexRows, TextRow, UnitRow};
use crate::sql::Sql;

/// The tables with a column `param`.
pub(super) const TABLES: [&str; 8] = [
    "idx_token",
    "idx_string",
    "idx_date",
    "idx_number",
    "idx_quantity",
    "idx_uri",
    "idx_reference",
    "idx_composite",
];

/// Those in which nothing keeps a row from standing twice.
const REPEATING: [&str; 3] = ["idx_string", "idx_uri", "idx_composite"];

/// Removes all rows of all resources.
pub(super) async fn empty(on: &impl ConnectionTrait) -> Result<(), DbErr> {
    let backend = on.get_database_backend();
    for table in TABLES {
        let text = match backend {
            DbBackend::Postgres => format!("TRUNCATE {table}"),
            _ => format!("DELETE FROM {table}"),
        };
        on.execute_raw(Sql::new(text).statement(backend)).await?;
    }
    let text = match backend {
        DbBackend::Postgres => "TRUNCATE idx_text",
        _ => "INSERT INTO idx_text (idx_text) VALUES ('delete-all')",
    };
    on.execute_raw(Sql::new(text).statement(backend)).await?;
    Ok(())
}

/// Index rows that one transaction adds and removes.
#[derive(Debug)]
pub(super) struct IndexWriter {
    /// Of resources that this transaction makes: nothing of theirs can be there.
    fresh: Rows,
    /// Of the others. A process of an older or newer release may have left a row behind: conflicts
    /// are equal rows.
    known: Rows,
    removals: Vec<Sql>,
    units: BTreeSet<UnitRow>,
    /// Those that need not be written.
    known_units: Arc<Units>,
}

/// Rows on their way into the tables.
#[derive(Debug)]
struct Rows {
    tokens: Insert,
    strings: Insert,
    dates: Insert,
    numbers: Insert,
    quantities: Insert,
    uris: Insert,
    references: Insert,
    composites: Insert,
    texts: Vec<(i64, TextRow)>,
}

impl Rows {
    /// `once`: what follows the rows of tables whose keys tell rows apart. On PostgreSQL looking for
    /// conflicts costs a third of an insert.
    fn new(once: &'static str) -> Self {
        use Kind::{Big, Double, Int, Small, Text};
        Self {
            tokens: Insert::new(
                "idx_token",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("code", Big),
                    ("id", Big),
                    ("system", Int),
                    ("patient", Big),
                    ("text", Text),
                ],
                once,
            )
            .sorted_by(4)
            .all_or_nothing(),
            strings: Insert::new(
                "idx_string",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("norm", Text),
                    ("id", Big),
                    ("patient", Big),
                    ("exact", Text),
                    ("more", Text),
                ],
                "",
            )
            .sorted_by(4)
            .all_or_nothing(),
            dates: Insert::new(
                "idx_date",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("low", Big),
                    ("id", Big),
                    ("high", Big),
                    ("patient", Big),
                ],
                once,
            )
            .sorted_by(4)
            .all_or_nothing(),
            numbers: Insert::new(
                "idx_number",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("low", Double),
                    ("high", Double),
                    ("id", Big),
                    ("patient", Big),
                ],
                once,
            )
            .sorted_by(5)
            .all_or_nothing(),
            quantities: Insert::new(
                "idx_quantity",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("low", Double),
                    ("high", Double),
                    ("code", Big),
                    ("system", Int),
                    ("id", Big),
                    ("patient", Big),
                ],
                once,
            )
            .sorted_by(7)
            .all_or_nothing(),
            uris: Insert::new(
                "idx_uri",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("value", Text),
                    ("id", Big),
                    ("patient", Big),
                ],
                "",
            )
            .sorted_by(4)
            .all_or_nothing(),
            references: Insert::new(
                "idx_reference",
                &[
                    ("target", Big),
                    ("type", Small),
                    ("param", Small),
                    ("id", Big),
                    ("target_type", Small),
                    ("patient", Big),
                    ("text", Text),
                ],
                once,
            )
            .sorted_by(4)
            .all_or_nothing(),
            composites: Insert::new(
                "idx_composite",
                &[
                    ("type", Small),
                    ("param", Small),
                    ("code", Big),
                    ("id", Big),
                    ("system", Int),
                    ("code2", Big),
                    ("system2", Int),
                    ("low", Double),
                    ("high", Double),
                    ("text", Text),
                    ("patient", Big),
                ],
                "",
            )
            .sorted_by(4)
            .all_or_nothing(),
            texts: Vec::new(),
        }
    }

    fn add(&mut self, type_id: TypeId, id: i64, patient: i64, rows: &IndexRows) {
        self.texts.extend(rows.text.clone().map(|row| (id, row)));
        for row in &rows.tokens {
            self.add_token(type_id, id, patient, row);
        }
        for row in &rows.strings {
            self.strings.push([
                type_id.into(),
                row.param.into(),
                row.norm.as_str().into(),
                id.into(),
                patient.into(),
                row.exact.as_str().into(),
                row.more.as_str().into(),
            ]);
        }
        for row in &rows.dates {
            self.dates.push([
                type_id.into(),
                row.param.into(),
                row.low.into(),
                id.into(),
                row.high.into(),
                patient.into(),
            ]);
        }
        for row in &rows.numbers {
            self.numbers.push([
                type_id.into(),
                row.param.into(),
                row.low.into(),
                row.high.into(),
                id.into(),
                patient.into(),
            ]);
        }
        for row in &rows.quantities {
            self.quantities.push([
                type_id.into(),
                row.param.into(),
                row.low.into(),
                row.high.into(),
                row.code.into(),
                row.system.into(),
                id.into(),
                patient.into(),
            ]);
        }
        for row in &rows.uris {
            self.uris.push([
                type_id.into(),
                row.param.into(),
                row.value.as_str().into(),
                id.into(),
                patient.into(),
            ]);
        }
        for row in &rows.references {
            self.references.push([
                row.target.into(),
                type_id.into(),
                row.param.into(),
                id.into(),
                row.target_type.into(),
                patient.into(),
                row.text.as_str().into(),
            ]);
        }
        for row in &rows.composites {
            self.composites.push([
                type_id.into(),
                row.param.into(),
                row.code.into(),
                id.into(),
                row.system.into(),
                row.code2.into(),
                row.system2.into(),
                row.low.into(),
                row.high.into(),
                row.text.as_str().into(),
                patient.into(),
            ]);
        }
    }

    fn add_token(
        &mut self,
        type_id: TypeId,
        id: i64,
        patient: i64,
        row: &crate::search::extract::TokenRow,
    ) {
        self.tokens.push([
            type_id.into(),
            row.param.into(),
            row.code.into(),
            id.into(),
            row.system.into(),
            patient.into(),
            row.text.as_str().into(),
        ]);
    }

    async fn run(self, on: &impl ConnectionTrait) -> Result<(), DbErr> {
        let texts = super::text::insert(on.get_database_backend(), self.texts);
        let inserts = [
            self.tokens,
            self.strings,
            self.dates,
            self.numbers,
            self.quantities,
            self.uris,
            self.references,
            self.composites,
            texts,
        ];
        Insert::run_all(inserts, on).await
    }
}

impl IndexWriter {
    pub(super) fn new(known_units: Arc<Units>) -> Self {
        Self {
            fresh: Rows::new(""),
            known: Rows::new("ON CONFLICT DO NOTHING"),
            removals: Vec::new(),
            units: BTreeSet::new(),
            known_units,
        }
    }

    /// Adds all rows of a resource in the record of `patient`; 0 when it is about none.
    pub(super) fn add(&mut self, type_id: TypeId, id: i64, patient: i64, rows: &IndexRows) {
        self.units.extend(rows.units.iter().cloned());
        self.known.add(type_id, id, patient, rows);
    }

    /// [`IndexWriter::add`] of a resource that this transaction makes.
    pub(super) fn add_new(&mut self, type_id: TypeId, id: i64, patient: i64, rows: &IndexRows) {
        self.units.extend(rows.units.iter().cloned());
        self.fresh.add(type_id, id, patient, rows);
    }

    /// Removes all rows of a resource. The rows are those of its stored body: extraction is a pure
    /// function, so what was written is known and needs no index of its own to be found.
    pub(super) fn remove(&mut self, type_id: TypeId, id: i64, patient: i64, rows: &IndexRows) {
        self.remove_keyed(
            "idx_token",
            &["type", "param", "code", "id", "system", "patient"],
            rows.tokens.iter().map(|row| {
                vec![
                    type_id.into(),
                    row.param.into(),
                    row.code.into(),
                    id.into(),
                    row.system.into(),
                    patient.into(),
                ]
            }),
        );
        self.remove_keyed(
            "idx_date",
            &["type", "param", "low", "id", "high", "patient"],
            rows.dates.iter().map(|row| {
                vec![
                    type_id.into(),
                    row.param.into(),
                    row.low.into(),
                    id.into(),
                    row.high.into(),
                    patient.into(),
                ]
            }),
        );
        // Doubles come back as they went in, but equality on them is asked for as a span.
        for row in &rows.numbers {
            self.remove_span("idx_number", type_id, row.param, row.low, id);
        }
        for row in &rows.quantities {
            self.remove_span("idx_quantity", type_id, row.param, row.low, id);
        }
        for table in [
            "idx_string",
            "idx_uri",
            "idx_reference",
            "idx_composite",
            "idx_text",
        ] {
            let any = match table {
                "idx_string" => !rows.strings.is_empty(),
                "idx_uri" => !rows.uris.is_empty(),
                "idx_reference" => !rows.references.is_empty(),
                "idx_composite" => !rows.composites.is_empty(),
                _ => rows.text.is_some(),
            };
            if any {
                let mut sql = Sql::default();
                let id = sql.bind(id);
                let column = if table == "idx_text" {
                    Sql::TEXT_ID
                } else {
                    "id"
                };
                sql.text = format!("DELETE FROM {table} WHERE {column} = {id}");
                self.removals.push(sql);
            }
        }
    }

    /// Removes what would stand twice if it were added again: rows of these resources, of some
    /// parameters or of all.
    pub(super) fn forget(&mut self, backend: DbBackend, ids: &[i64], params: Option<&[ParamId]>) {
        for table in REPEATING {
            let mut sql = Sql::default();
            let list = in_list(&mut sql, backend, ids);
            sql.text = format!("DELETE FROM {table} WHERE id {list}");
            if let Some(params) = params {
                let list = sql.bind_list(params.iter().copied());
                sql.push(&format!(" AND param IN {list}"));
            }
            self.removals.push(sql);
        }
        if params.is_none() {
            let mut sql = Sql::default();
            let list = in_list(&mut sql, backend, ids);
            sql.text = format!("DELETE FROM idx_text WHERE {} {list}", Sql::TEXT_ID);
            self.removals.push(sql);
        }
    }

    /// Turns the rows `old` into `new`, touching only what differs where that is cheap to tell.
    pub(super) fn replace(
        &mut self,
        type_id: TypeId,
        id: i64,
        old: (i64, &IndexRows),
        new: (i64, &IndexRows),
    ) {
        if old.0 != new.0 {
            self.remove(type_id, id, old.0, old.1);
            self.add(type_id, id, new.0, new.1);
            return;
        }
        let mut gone = old.1.clone();
        let mut come = new.1.clone();
        let before: BTreeSet<_> = old.1.tokens.iter().collect();
        let after: BTreeSet<_> = new.1.tokens.iter().collect();
        gone.tokens.retain(|row| !after.contains(row));
        come.tokens.retain(|row| !before.contains(row));
        let before: BTreeSet<_> = old.1.dates.iter().collect();
        let after: BTreeSet<_> = new.1.dates.iter().collect();
        gone.dates.retain(|row| !after.contains(row));
        come.dates.retain(|row| !before.contains(row));
        macro_rules! whole {
            ($($list:ident),*) => {$(
                if gone.$list == come.$list {
                    gone.$list.clear();
                    come.$list.clear();
                }
            )*};
        }
        whole!(strings, numbers, quantities, uris, references, composites);
        if gone.text == come.text {
            gone.text = None;
            come.text = None;
        }
        self.remove(type_id, id, old.0, &gone);
        self.add(type_id, id, new.0, &come);
    }

    fn remove_keyed(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = Vec<Value>>,
    ) {
        for row in rows {
            let mut sql = Sql::default();
            let parts: Vec<String> = columns
                .iter()
                .zip(row)
                .map(|(column, value)| format!("{column} = {}", sql.bind(value)))
                .collect();
            sql.text = format!("DELETE FROM {table} WHERE {}", parts.join(" AND "));
            self.removals.push(sql);
        }
    }

    fn remove_span(&mut self, table: &str, type_id: TypeId, param: i16, low: f64, id: i64) {
        let mut sql = Sql::default();
        let low = sql.bind(low);
        let id = sql.bind(id);
        sql.text = format!(
            "DELETE FROM {table} WHERE type = {type_id} AND param = {param} AND low = {low} AND id = {id}"
        );
        self.removals.push(sql);
    }

    /// Removes, then adds. What of it is to be remembered when it is committed.
    pub(super) async fn run(self, on: &impl ConnectionTrait) -> Result<Vec<UnitRow>, DbErr> {
        let backend = on.get_database_backend();
        for removal in self.removals {
            on.execute_raw(removal.statement(backend)).await?;
        }
        let units = self.known_units.missing(self.units);
        units::insert(&units).run(on).await?;
        self.known.run(on).await?;
        self.fresh.run(on).await?;
        Ok(units)
    }
}
