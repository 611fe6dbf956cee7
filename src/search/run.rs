//! One page: parse, plan, one statement for the matches, one for each round of includes, and one
//! for the total only when it is asked for and not known already.

use super::cursor::{Cursor, SortValue};
use super::parse::limit;
use super::plan::driver::SELECTIVE;
use super::plan::{Forbidden, Plan, Sounding, plan};
use super::query::{Condition, Query, SortBy, Types};
use super::sort::{self, KeyKind};
use super::sql::Lower;
use super::sql::select::Selection;
use super::walk::{self, Walk};
use super::{Mode, SearchError};
use crate::clock::Millis;
use crate::fhir::definitions::TypeId;
use crate::keys::Keys;
use crate::store::packed::unpack;
use crate::store::{Select, Selected, StoreError};
use crate::visibility::{Access, Visibility};
use bytes::Bytes;

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
    pub(super) fn read(row: &Selected, mode: Mode) -> Result<Self, SearchError> {
        Ok(Self {
            id: row.get(0)?,
            key: row.get(1)?,
            type_id: row.get(2)?,
            fhir_id: row.get(3)?,
            version: row.get(4)?,
            updated: row.get(5)?,
            body: unpack(row.bytes(6)?.ok_or(StoreError::Corrupt("a body"))?)?,
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
    pub(super) async fn page<C: Select>(
        &self,
        connection: &C,
        plan: &Plan,
        query: &Query,
        cursor: Option<&Cursor>,
    ) -> Result<Page, SearchError> {
        let count = query.count.unwrap_or(limit::DEFAULT_COUNT);
        let limit = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let (mut rows, kinds) = match walk::of(plan, query) {
            Some(walk) => (
                self.walked(connection, &walk, query, cursor, limit).await?,
                walk.kinds(),
            ),
            None => self.sorted(connection, plan, query, cursor, limit).await?,
        };
        let count = limit - 1;
        let more = rows.len() > count;
        rows.truncate(count);
        let next = match rows.last() {
            Some(last) if more => {
                let values = kinds
                    .iter()
                    .enumerate()
                    .map(|(at, kind)| kind.read(last, COLUMNS + at))
                    .collect::<Result<_, _>>()?;
                Some((last.get(0)?, values))
            }
            _ => None,
        };
        let matches = rows
            .iter()
            .map(|row| Found::read(row, Mode::Match))
            .collect::<Result<_, _>>()?;
        Ok(Page { matches, next })
    }

    /// The rows of a page in one statement, sorted by the database.
    async fn sorted<C: Select>(
        &self,
        connection: &C,
        plan: &Plan,
        query: &Query,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<Selected>, Vec<KeyKind>), SearchError> {
        let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
        let (text, kinds) = page_sql(&mut lower, plan, query, cursor, limit)?;
        lower.sql.text = text;
        let rows = connection.select_seen(lower.sql).await?;
        Ok((rows, kinds))
    }

    /// The rows of a page along an index; what has no value comes last, in a second statement
    /// that most searches never need.
    async fn walked<C: Select>(
        &self,
        connection: &C,
        walk: &Walk,
        query: &Query,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<Selected>, SearchError> {
        let is_past = walk.is_past(cursor);
        let mut rows = Vec::new();
        if !is_past {
            let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
            lower.sql.text = walk.sql(&mut lower, cursor, limit)?;
            rows = connection.select_seen(lower.sql).await?;
        }
        if rows.len() < limit && walk.has_rest() {
            let cursor = cursor.filter(|_| is_past);
            let mut lower = Lower::new(self.keys, self.visibility, Access::Search);
            lower.sql.text = walk.rest_sql(&mut lower, query, cursor, limit - rows.len())?;
            rows.extend(connection.select(lower.sql).await?);
        }
        Ok(rows)
    }

    /// The number of matches.
    pub(super) async fn count<C: Select>(
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
        let row = connection.select_one(lower.sql).await?;
        let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("COUNT".to_owned()))?;
        Ok(row.get(0)?)
    }

    /// FHIR ids and surrogate ids of the first matches.
    pub(super) async fn first<C: Select>(
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
        let rows = connection.select(lower.sql).await?;
        rows.iter()
            .map(|row| {
                let id: i64 = row.get(1)?;
                Ok((row.get(0)?, id & !15))
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

/// The statement of a page of `limit` matches; one more than are shown tells that there is a next page.
pub(super) fn page_sql(
    lower: &mut Lower<'_>,
    plan: &Plan,
    query: &Query,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(String, Vec<KeyKind>), SearchError> {
    let mut selection = lower.select(plan)?;
    let by_id_alone = query.sort.is_empty();
    if by_id_alone {
        if let Some(cursor) = cursor {
            let id = lower.sql.bind(cursor.id);
            selection
                .conditions
                .push(format!("{}.id > {id}", selection.row.alias));
        }
        let text = format!(
            "SELECT {} FROM ({} ORDER BY 1 LIMIT {limit}) p CROSS JOIN resource r \
             WHERE r.id = p.id ORDER BY p.id",
            columns("r"),
            ids(&selection, ""),
        );
        return Ok((text, Vec::new()));
    }
    let rank = match plan.sounding {
        Sounding::Few => SELECTIVE,
        Sounding::None | Sounding::Many => plan.rank,
    };
    let keys: Vec<sort::Key> = query
        .sort
        .iter()
        .enumerate()
        .map(|(at, one)| sort::key(lower, one, &selection.row, rank, at))
        .collect::<Result<_, _>>()?;
    let candidates = ids(
        &selection,
        &format!(", {}.patient AS patient", selection.row.alias),
    );
    let text = sort::page(lower, &candidates, &keys, cursor, limit);
    Ok((text, keys.iter().map(|key| key.kind).collect()))
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
