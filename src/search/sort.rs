//! `_sort`: the keys of a match as SQL, and the rows after a cursor.

use super::cursor::SortValue;
use super::query::{Sort, SortBy};
use super::sql::Lower;
use super::sql::select::Selection;
use crate::fhir::definitions::ParamKind;
use sea_orm::{QueryResult, Value};

/// A sort key: an expression over candidate `c` and the join it needs.
#[derive(Clone, Debug)]
pub struct Key {
    pub expression: String,
    pub join: Option<String>,
    pub kind: KeyKind,
    pub descending: bool,
}

/// The SQL type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Int,
    Float,
    Text,
}

impl KeyKind {
    /// What stands for a missing value: sorts last either way.
    #[must_use]
    pub fn missing(self, descending: bool) -> &'static str {
        match (self, descending) {
            (Self::Int, false) => "9223372036854775807",
            (Self::Int, true) => "-9223372036854775807",
            (Self::Float, false) => "1e308",
            (Self::Float, true) => "-1e308",
            (Self::Text, false) => "'\u{10ffff}'",
            (Self::Text, true) => "''",
        }
    }

    /// Reads a key of a row.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn read(self, row: &QueryResult, at: usize) -> Result<SortValue, sea_orm::DbErr> {
        Ok(match self {
            Self::Int => SortValue::Int(row.try_get_by_index(at)?),
            Self::Float => SortValue::Float(row.try_get_by_index(at)?),
            Self::Text => SortValue::Text(row.try_get_by_index(at)?),
        })
    }
}

impl SortValue {
    /// For binding.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        }
    }

    /// Whether this can be a key of the kind.
    #[must_use]
    pub fn is(&self, kind: KeyKind) -> bool {
        matches!(
            (self, kind),
            (Self::Int(_), KeyKind::Int)
                | (Self::Float(_), KeyKind::Float)
                | (Self::Text(_), KeyKind::Text)
        )
    }
}

/// The key of one `_sort` entry over candidates `c` (`id`, `patient`) of a selection; `number`
/// makes its aliases its own. A resource with several values sorts by the lowest, descending by
/// the highest.
#[must_use]
pub fn key(sort: &Sort, selection: &Selection, rank: u32, number: usize) -> Key {
    let descending = sort.descending;
    let best = if descending { "MAX" } else { "MIN" };
    let alias = format!("s{number}");
    let with = |expression, join, kind| Key {
        expression,
        join,
        kind,
        descending,
    };
    let param = match sort.by {
        SortBy::Id | SortBy::LastUpdated => {
            let (column, kind) = if sort.by == SortBy::Id {
                ("fhir_id", KeyKind::Text)
            } else {
                ("updated", KeyKind::Int)
            };
            let join = format!(" JOIN resource {alias} ON {alias}.id = c.id");
            return with(format!("{alias}.{column}"), Some(join), kind);
        }
        SortBy::Param(param) => param,
    };
    let (table, column, kind) = match param.kind {
        ParamKind::String => ("idx_string", "norm", KeyKind::Text),
        ParamKind::Uri => ("idx_uri", "value", KeyKind::Text),
        ParamKind::Reference => ("idx_reference", "target", KeyKind::Int),
        ParamKind::Date => ("idx_date", "low", KeyKind::Int),
        ParamKind::Number => ("idx_number", "low", KeyKind::Float),
        ParamKind::Quantity => ("idx_quantity", "low", KeyKind::Float),
        ParamKind::Token | ParamKind::Composite | ParamKind::Special => {
            ("idx_token", "code", KeyKind::Int)
        }
    };
    let missing = kind.missing(descending);
    let by_id = matches!(table, "idx_string" | "idx_uri" | "idx_reference");
    // Without an index by id: all values of the type (of the known patient), joined; for a few
    // candidates the rows of each one's own patient.
    let by_patient = selection.row.pin.is_none()
        && rank >= super::plan::driver::SELECTIVE
        && table != "idx_number";
    if by_id || by_patient {
        let reach = if by_id {
            String::new()
        } else {
            format!(
                "{alias}.patient = c.patient AND {} AND ",
                selection.row.any_type(&alias)
            )
        };
        let expression = format!(
            "COALESCE((SELECT {best}({alias}.{column}) FROM {table} {alias} WHERE {reach}\
             {alias}.id = c.id AND {alias}.param = {}), {missing})",
            param.id
        );
        return with(expression, None, kind);
    }
    let join = format!(
        " LEFT JOIN (SELECT {alias}.id AS id, {best}({alias}.{column}) AS v FROM {table} {alias} \
         WHERE {} AND {alias}.param = {}{} GROUP BY {alias}.id) j{number} ON j{number}.id = c.id",
        selection.row.any_type(&alias),
        param.id,
        selection.row.and_pin(&alias),
    );
    with(
        format!("COALESCE(j{number}.v, {missing})"),
        Some(join),
        kind,
    )
}

/// `k1 DESC, k2, id` over alias `x`.
#[must_use]
pub fn order(keys: &[Key], alias: &str) -> String {
    let mut order = String::new();
    for (at, key) in keys.iter().enumerate() {
        let direction = if key.descending { " DESC" } else { "" };
        order.push_str(&format!("{alias}.k{at}{direction}, "));
    }
    let direction = if is_descending(keys) { " DESC" } else { "" };
    order.push_str(&format!("{alias}.id{direction}"));
    order
}

/// Ids go the way of the last key, as they do in an index.
fn is_descending(keys: &[Key]) -> bool {
    keys.last().is_some_and(|key| key.descending)
}

/// The rows after a cursor: `k0 > $1 OR (k0 = $1 AND (…))`.
pub fn after(lower: &mut Lower<'_>, keys: &[Key], values: &[SortValue], id: i64) -> String {
    let id = lower.sql.bind(id);
    let beyond = if is_descending(keys) { '<' } else { '>' };
    let mut test = format!("x.id {beyond} {id}");
    for (at, (key, value)) in keys.iter().zip(values).enumerate().rev() {
        let value = lower.sql.bind(value.to_value());
        let beyond = if key.descending { '<' } else { '>' };
        test = format!("(x.k{at} {beyond} {value} OR (x.k{at} = {value} AND {test}))");
    }
    test
}
