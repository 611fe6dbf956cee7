//! `_sort`: the keys of a match as SQL, and the rows after a cursor.

use super::cursor::{Cursor, SortValue};
use super::extract::units::Canonical;
use super::parse::Reader;
use super::plan::{self, Forbidden};
use super::query::{Param, Sort, SortBy, Types};
use super::run::columns;
use super::sql::{Lower, Row};
use crate::fhir::definitions::ParamKind;
use crate::store::Selected;
use sea_orm::Value;

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
    pub fn read(self, row: &Selected, at: usize) -> Result<SortValue, sea_orm::DbErr> {
        Ok(match self {
            Self::Int => SortValue::Int(row.get(at)?),
            Self::Float => SortValue::Float(row.get(at)?),
            Self::Text => SortValue::Text(row.get(at)?),
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

/// What the key of a `_sort` entry is.
#[must_use]
pub fn kind(by: SortBy) -> KeyKind {
    let param = match by {
        SortBy::Id => return KeyKind::Text,
        SortBy::LastUpdated => return KeyKind::Int,
        SortBy::Param(param) => param,
    };
    match param.kind {
        ParamKind::Date => KeyKind::Int,
        ParamKind::Number | ParamKind::Quantity => KeyKind::Float,
        ParamKind::String
        | ParamKind::Uri
        | ParamKind::Reference
        | ParamKind::Token
        | ParamKind::Composite
        | ParamKind::Special => KeyKind::Text,
    }
}

/// The key of one `_sort` entry over candidates `c` (`id`, `patient`) of rows like `row`; `number`
/// makes its aliases its own. A resource with several values sorts by the lowest, descending by
/// the highest. A token sorts by its code (folded), a reference by the id of what it refers to, if
/// that exists for the viewer, or by its URL.
///
/// # Errors
/// [`Forbidden`] as [`Lower::restrict`].
pub fn key(
    lower: &mut Lower<'_>,
    sort: &Sort,
    row: &Row,
    rank: u32,
    number: usize,
) -> Result<Key, Forbidden> {
    let descending = sort.descending;
    let best = if descending { "MAX" } else { "MIN" };
    let alias = format!("s{number}");
    let kind = kind(sort.by);
    let with = |expression, join| Key {
        expression,
        join,
        kind,
        descending,
    };
    let param = match sort.by {
        SortBy::Id | SortBy::LastUpdated => {
            let column = if sort.by == SortBy::Id {
                "fhir_id"
            } else {
                "updated"
            };
            let join = format!(" JOIN resource {alias} ON {alias}.id = c.id");
            return Ok(with(format!("{alias}.{column}"), Some(join)));
        }
        SortBy::Param(param) => param,
    };
    let (table, column) = match param.kind {
        ParamKind::String => ("idx_string", "norm"),
        ParamKind::Uri => ("idx_uri", "value"),
        ParamKind::Reference => {
            let value = target_text(lower, row, param, &alias)?;
            let expression = format!(
                "COALESCE((SELECT {best}({value}) FROM idx_reference {alias} \
                 WHERE {alias}.id = c.id AND {alias}.param = {}), {})",
                param.id,
                kind.missing(descending)
            );
            return Ok(with(expression, None));
        }
        ParamKind::Date => ("idx_date", "low"),
        ParamKind::Number => ("idx_number", "low"),
        ParamKind::Quantity => ("idx_quantity", "low"),
        ParamKind::Token | ParamKind::Composite | ParamKind::Special => ("idx_token", "text"),
    };
    let missing = kind.missing(descending);
    // Some rows are for other purposes.
    let its_own = match table {
        "idx_token" => format!(" AND {alias}.text <> ''"),
        "idx_quantity" => {
            let canonical = lower.sql.bind(Canonical::system(lower.keys));
            format!(" AND {alias}.system <> {canonical}")
        }
        _ => String::new(),
    };
    let is_log = row.is_log();
    let by_id = matches!(table, "idx_string" | "idx_uri") || (is_log && table == "idx_date");
    // Without an index by id: all values of the type (of the known patient), joined; for a few
    // candidates the rows of each one's own patient, which are few but for accesses.
    let by_patient = row.pin.is_none()
        && !is_log
        && rank >= super::plan::driver::SELECTIVE
        && table != "idx_number";
    if by_id || by_patient {
        let reach = match (by_id, is_log) {
            (true, true) => format!("{} AND ", row.any_type(&alias)),
            (true, false) => String::new(),
            (false, _) => format!(
                "{alias}.patient = c.patient AND {} AND ",
                row.any_type(&alias)
            ),
        };
        let expression = format!(
            "COALESCE((SELECT {best}({alias}.{column}) FROM {table} {alias} WHERE {reach}\
             {alias}.id = c.id AND {alias}.param = {}{its_own}), {missing})",
            param.id
        );
        return Ok(with(expression, None));
    }
    let join = format!(
        " LEFT JOIN (SELECT {alias}.id AS id, {best}({alias}.{column}) AS v FROM {table} {alias} \
         WHERE {} AND {alias}.param = {}{}{its_own} GROUP BY {alias}.id) j{number} ON j{number}.id = c.id",
        row.any_type(&alias),
        param.id,
        row.and_pin(&alias),
    );
    Ok(with(
        format!("COALESCE(j{number}.v, {missing})"),
        Some(join),
    ))
}

/// What row `alias` of `idx_reference` sorts by.
fn target_text(
    lower: &mut Lower<'_>,
    row: &Row,
    param: Param,
    alias: &str,
) -> Result<String, Forbidden> {
    let mut targets = Reader::new("").target_types(row.types.as_slice(), param.0);
    targets.sort_unstable();
    let types = match targets.as_slice() {
        [one] => Types::One(*one),
        _ => Types::Many(targets),
    };
    let k = format!("{alias}k");
    let id = match plan::open(lower.visibility, lower.access, &types) {
        Ok(plan) => {
            let row = Row {
                alias: k.clone(),
                types: plan.types.clone(),
                is_resource: true,
                pin: None,
                is_link: true,
            };
            let restricted = lower.restrict(&plan, &row)?;
            format!(
                "(SELECT {k}.fhir_id FROM resource {k} WHERE {k}.key = {alias}.target \
                 AND {restricted} LIMIT 1)"
            )
        }
        // What may not be searched has no order to tell.
        Err(Forbidden(_)) => "NULL".to_owned(),
    };
    Ok(format!(
        "CASE WHEN {alias}.text <> '' THEN {alias}.text ELSE {id} END"
    ))
}

/// The statement of a page: the first `limit` of `candidates` (`id`, `patient` and what the keys name)
/// after a cursor.
pub fn page(
    lower: &mut Lower<'_>,
    candidates: &str,
    keys: &[Key],
    cursor: Option<&Cursor>,
    limit: usize,
) -> String {
    let expressions: String = keys
        .iter()
        .enumerate()
        .map(|(at, key)| format!(", {} AS k{at}", key.expression))
        .collect();
    let joins: String = keys.iter().filter_map(|key| key.join.clone()).collect();
    let after = match cursor {
        Some(cursor) => {
            let test = after(lower, keys, &cursor.keys, cursor.id);
            format!(" WHERE {test}")
        }
        None => String::new(),
    };
    let names: String = (0..keys.len()).map(|at| format!(", p.k{at}")).collect();
    format!(
        "SELECT {}{names} FROM (SELECT x.* FROM \
         (SELECT c.id AS id{expressions} FROM ({candidates}) c{joins}) x{after} \
         ORDER BY {} LIMIT {limit}) p CROSS JOIN resource r WHERE r.id = p.id ORDER BY {}",
        columns("r"),
        order(keys, "x"),
        order(keys, "p"),
    )
}

/// `k1 DESC, k2, id` over alias `x`.
fn order(keys: &[Key], alias: &str) -> String {
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
fn after(lower: &mut Lower<'_>, keys: &[Key], values: &[SortValue], id: i64) -> String {
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
