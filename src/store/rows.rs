//! Many rows in one round trip: arrays through UNNEST on PostgreSQL, multi-row prepared statements
//! on SQLite (design.md section 3, 5).

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Value};

use crate::sql::Sql;

/// Type of a column in an insert.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Small,
    Int,
    Big,
    Double,
    Text,
    Blob,
}

impl Kind {
    fn array(self) -> (ArrayType, &'static str) {
        match self {
            Self::Small => (ArrayType::SmallInt, "smallint"),
            Self::Int => (ArrayType::Int, "integer"),
            Self::Big => (ArrayType::BigInt, "bigint"),
            Self::Double => (ArrayType::Double, "double precision"),
            Self::Text => (ArrayType::String, "text"),
            Self::Blob => (ArrayType::Bytes, "bytea"),
        }
    }
}

/// Rows that wait to be inserted into one table.
#[derive(Debug)]
pub(super) struct Insert {
    table: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// What follows the rows, such as `ON CONFLICT DO NOTHING`.
    tail: &'static str,
    values: Vec<Value>,
}

/// Rows in one SQLite statement: two sizes, so that two statements for each table are prepared.
const SQLITE_CHUNK: usize = 64;

impl Insert {
    pub(super) fn new(
        table: &'static str,
        columns: &'static [(&'static str, Kind)],
        tail: &'static str,
    ) -> Self {
        Self {
            table,
            columns,
            tail,
            values: Vec::new(),
        }
    }

    /// Adds a row; as many values as columns, in their order.
    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "{}", self.table);
        self.values.extend(row);
    }

    pub(super) async fn run(self, on: &impl ConnectionTrait) -> Result<(), DbErr> {
        if self.values.is_empty() {
            return Ok(());
        }
        match on.get_database_backend() {
            DbBackend::Postgres => self.run_unnest(on).await,
            _ => self.run_values(on).await,
        }
    }

    fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({})", self.table, names.join(", "))
    }

    async fn run_unnest(self, on: &impl ConnectionTrait) -> Result<(), DbErr> {
        let width = self.columns.len();
        // An array of bytes has no NULL in the driver, so an empty one stands for it: a body that is
        // there is never empty.
        let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
        let selected: Vec<String> = self
            .columns
            .iter()
            .zip(&names)
            .map(|((_, kind), name)| match kind {
                Kind::Blob => format!("NULLIF({name}, ''::bytea)"),
                _ => name.clone(),
            })
            .collect();
        let mut text = format!(
            "{} SELECT {} FROM UNNEST(",
            self.head(),
            selected.join(", ")
        );
        let mut lists: Vec<Vec<Value>> = vec![Vec::new(); width];
        for (at, value) in self.values.into_iter().enumerate() {
            if let Some(list) = lists.get_mut(at % width) {
                list.push(match value {
                    Value::Bytes(None) => Value::Bytes(Some(Vec::new())),
                    value => value,
                });
            }
        }
        let mut sql = Sql::default();
        for (at, ((_, kind), list)) in self.columns.iter().zip(lists).enumerate() {
            let (array, name) = kind.array();
            let place = sql.bind(Value::Array(array, Some(Box::new(list))));
            let comma = if at == 0 { "" } else { ", " };
            text.push_str(&format!("{comma}{place}::{name}[]"));
        }
        sql.text = format!("{text}) AS u({}) {}", names.join(", "), self.tail);
        on.execute_raw(sql.statement(DbBackend::Postgres)).await?;
        Ok(())
    }

    async fn run_values(self, on: &impl ConnectionTrait) -> Result<(), DbErr> {
        let width = self.columns.len();
        let head = self.head();
        let mut values = self.values.into_iter();
        loop {
            let left = values.len() / width;
            let rows = match left {
                0 => return Ok(()),
                left if left >= SQLITE_CHUNK => SQLITE_CHUNK,
                left if left >= 8 => 8,
                _ => 1,
            };
            let mut sql = Sql::default();
            let mut text = format!("{head} VALUES ");
            for row in 0..rows {
                text.push_str(if row == 0 { "(" } else { ", (" });
                for (at, value) in values.by_ref().take(width).enumerate() {
                    if at > 0 {
                        text.push_str(", ");
                    }
                    let place = sql.bind(value);
                    text.push_str(&place);
                }
                text.push(')');
            }
            text.push(' ');
            text.push_str(self.tail);
            sql.text = text;
            on.execute_raw(sql.statement(DbBackend::Sqlite)).await?;
        }
    }
}
