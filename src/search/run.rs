//! One page: parse, plan, one statement for the matches, one for each round of includes, and one
//! for the total when it is asked for and not known already.

use bytes::Bytes;
use sea_orm::{ConnectionTrait, QueryResult};

use super::cursor::{Cursor, SortValue};
use super::parse::limit;
use super::plan::{Forbidden, Plan, plan};
use super::query::{Condition, Query, SortBy, Types};
use super::sort;
use super::sql::Lower;
use super::sql::select::Selection;
use super::{Mode, SearchError};
use crate::clock::Millis;
use crate::fhir::definitions::TypeId;
use crate::keys::Keys;
use crate::visibility::{Access, Visibility};

/// A resource that a statement found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Surrogate id, of the rendition that the viewer sees.
    pub id: i64,
    /// Key of the reference to it.
    pub key: i64,
    pub type_id: TypeId,
    pub fhir_id: String,
    pub version: i32,
    pub updated: Millis,
    pub body: Bytes,
    pub mode: Mode,
}

/// What [`Found::read`] reads.
pub(super) fn columns(alias: &str) -> String {
    ["id", "key", "type", "fhir_id", "version", "updated", "body"]
        .map(|column| format!("{alias}.{column}"))
        .join(", ")
}

const COLUMNS: usize = 7;

impl Found {
    pub(super) fn read(row: &QueryResult, mode: Mode) -> Result<Self, SearchError> {
        let body: Vec<u8> = row.try_get_by_index(6)?;
        Ok(Self {
            id: row.try_get_by_index(0)?,
            key: row.try_get_by_index(1)?,
            type_id: row.try_get_by_index(2)?,
            fhir_id: row.try_get_by_index(3)?,
            version: row.try_get_by_index(4)?,
            updated: row.try_get_by_index(5)?,
            body: body.into(),
            mode,
        })
    }
}

/// The matches of a page, and where it ended if there is more.
#[derive(Debug)]
pub(super) struct Page {
    pub matches: Vec<Found>,
    pub next: Option<(i64, Vec<SortValue>)>,
}

/// Everything that a statement is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub keys: &'a Keys,
    pub visibility: &'a Visibility,
}

impl From<Forbidden> for SearchError {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden.0)
    }
}

impl Context<'_> {
    pub(super) fn plan(
        &self,
        types: &Types,
        conditions: Vec<Condition>,
    ) -> Result<Plan, Forbidden> {
        plan(
            self.visibility,
            self.keys,
            Access::Search,
            types,
            conditions,
        )
    }

    /// One page.
    pub(super) async fn page<C: ConnectionTrait>(
        &self,
        connection: &C,
        plan: &Plan,
        query: &Query,
        cursor: Option<&Cursor>,
    ) -> Result<Page, SearchError> {
        let count = query.count.unwrap_or(limit::DEFAULT_COUNT);
        let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
        let (text, keys) = page_sql(&mut lower, plan, query, cursor, count)?;
        lower.sql.text = text;
        let statement = lower.sql.statement(connection.get_database_backend());
        let mut rows = connection.query_all_raw(statement).await?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let more = rows.len() > count;
        rows.truncate(count);
        let next = match rows.last() {
            Some(last) if more => {
                let values = keys
                    .iter()
                    .enumerate()
                    .map(|(at, key)| key.kind.read(last, COLUMNS + at))
                    .collect::<Result<_, _>>()?;
                Some((last.try_get_by_index(0)?, values))
            }
            _ => None,
        };
        let matches = rows
            .iter()
            .map(|row| Found::read(row, Mode::Match))
            .collect::<Result<_, _>>()?;
        Ok(Page { matches, next })
    }

    /// The number of matches.
    pub(super) async fn count<C: ConnectionTrait>(
        &self,
        connection: &C,
        plan: &Plan,
    ) -> Result<i64, SearchError> {
        let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
        let selection = lower.select(plan)?;
        let counted = if selection.repeats { "DISTINCT " } else { "" };
        lower.sql.text = format!(
            "SELECT COUNT({counted}{}.id){}",
            selection.row.alias,
            selection.from_where()
        );
        let statement = lower.sql.statement(connection.get_database_backend());
        let row = connection.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("COUNT".to_owned()))?;
        Ok(row.try_get_by_index(0)?)
    }

    /// FHIR ids and surrogate ids of the first matches.
    pub(super) async fn first<C: ConnectionTrait>(
        &self,
        connection: &C,
        plan: &Plan,
        limit: u32,
    ) -> Result<Vec<(String, i64)>, SearchError> {
        let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
        let selection = lower.select(plan)?;
        lower.sql.text = format!(
            "SELECT r.fhir_id, r.id FROM ({} ORDER BY 1 LIMIT {limit}) p CROSS JOIN resource r \
             WHERE r.id = p.id",
            ids(&selection, "")
        );
        let statement = lower.sql.statement(connection.get_database_backend());
        let rows = connection.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                let id: i64 = row.try_get_by_index(1)?;
                Ok((row.try_get_by_index(0)?, id & !15))
            })
            .collect()
    }
}

/// `SELECT t1.id AS id FROM …`
fn ids(selection: &Selection, more: &str) -> String {
    let distinct = if selection.repeats { "DISTINCT " } else { "" };
    format!(
        "SELECT {distinct}{}.id AS id{more}{}",
        selection.row.alias,
        selection.from_where()
    )
}

/// The statement of a page of `count` matches and one more, which tells that there is a next page.
pub(super) fn page_sql(
    lower: &mut Lower<'_>,
    plan: &Plan,
    query: &Query,
    cursor: Option<&Cursor>,
    count: u32,
) -> Result<(String, Vec<sort::Key>), SearchError> {
    let mut selection = lower.select(plan)?;
    let limit = u64::from(count) + 1;
    let columns = columns("r");
    let by_id_alone = query.sort.is_empty();
    if by_id_alone {
        if let Some(cursor) = cursor {
            let id = lower.sql.bind(cursor.id);
            selection
                .conditions
                .push(format!("{}.id > {id}", selection.row.alias));
        }
        let ids = ids(&selection, "");
        let text = format!(
            "SELECT {columns} FROM ({ids} ORDER BY 1 LIMIT {limit}) p CROSS JOIN resource r \
             WHERE r.id = p.id ORDER BY p.id"
        );
        return Ok((text, Vec::new()));
    }
    let keys: Vec<sort::Key> = query
        .sort
        .iter()
        .enumerate()
        .map(|(at, one)| sort::key(one, &selection, plan.rank, at))
        .collect();
    let candidates = ids(
        &selection,
        &format!(", {}.patient AS patient", selection.row.alias),
    );
    let expressions: String = keys
        .iter()
        .enumerate()
        .map(|(at, key)| format!(", {} AS k{at}", key.expression))
        .collect();
    let joins: String = keys.iter().filter_map(|key| key.join.clone()).collect();
    let after = match cursor {
        Some(cursor) => {
            let test = sort::after(lower, &keys, &cursor.keys, cursor.id);
            format!(" WHERE {test}")
        }
        None => String::new(),
    };
    let names: String = (0..keys.len()).map(|at| format!(", p.k{at}")).collect();
    let text = format!(
        "SELECT {columns}{names} FROM (SELECT x.* FROM \
         (SELECT c.id AS id{expressions} FROM ({candidates}) c{joins}) x{after} \
         ORDER BY {} LIMIT {limit}) p CROSS JOIN resource r WHERE r.id = p.id ORDER BY {}",
        sort::order(&keys, "x"),
        sort::order(&keys, "p"),
    );
    Ok((text, keys))
}

/// Whether a cursor's keys are those that the query sorts by.
pub(super) fn fits(cursor: &Cursor, query: &Query) -> bool {
    cursor.keys.len() == query.sort.len()
        && query
            .sort
            .iter()
            .zip(&cursor.keys)
            .all(|(sort, value)| match sort.by {
                SortBy::Id => matches!(value, SortValue::Text(_)),
                SortBy::LastUpdated => matches!(value, SortValue::Int(_)),
                SortBy::Param(_) => true,
            })
}
