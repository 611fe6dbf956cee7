//! Search: index rows from resources ([`extract`]), and queries from URLs.
//!
//! A query string is parsed into a typed [`query`], planned against the viewer's visibility
//! ([`plan`](mod@plan)) and written as one SQL statement ([`sql`]). What comes back are the bytes
//! as stored.

mod amounts;
mod compartment;
pub(crate) mod contained;
pub mod cursor;
pub mod error;
pub mod explain;
pub mod extract;
pub mod include;
pub mod parse;
pub mod plan;
pub mod query;
pub mod run;
pub mod sort;
mod sound;
pub mod sql;
mod terminology;
#[cfg(test)]
mod tests;
mod texts;
pub mod walk;

use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use error::SearchError;
pub use query::View;

use crate::clock::Millis;
use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;
use crate::keys::Keys;
use crate::sql::Sql;
use crate::store::{Select, Store, StoreError};
use crate::visibility::scope::Scopes;
use crate::visibility::{Access, Viewer, ViewerClass, Visibility};
use cursor::Cursor;
use extract::custom::Custom;
use query::{Condition, Contained, Query, Total, Types};
use run::{Context, Found};
use sql::{Lower, Row};

/// A search as the HTTP layer hands it over.
#[derive(Clone, Copy, Debug)]
pub struct SearchRequest<'a> {
    /// None: the whole system, or the types of `_type`.
    pub type_id: Option<TypeId>,
    /// Names and values, percent-decoded, in the order they came.
    pub pairs: &'a [(String, String)],
    /// `("Patient", id)` for a search in a compartment.
    pub compartment: Option<(&'a str, &'a str)>,
    /// `Prefer: handling=strict`: unknown parameters are refused.
    pub strict: bool,
}

/// A page of a searchset.
#[derive(Clone, Debug)]
pub struct SearchResult {
    /// Matches in order, then what is included.
    pub entries: Vec<Entry>,
    /// The number of matches, when asked for or known anyway.
    pub total: Option<i64>,
    /// The value of `_cursor` that fetches the next page; the next link is `self_query` with it.
    pub next: Option<String>,
    /// Parameters left out and other warnings, for an entry with mode `outcome`.
    pub issues: Vec<Issue>,
    /// The parameters that took part, percent-encoded, for the self link.
    pub self_query: String,
    /// How much of each resource to show.
    pub view: View,
}

/// A resource in a searchset.
#[derive(Clone, Debug)]
pub struct Entry {
    pub type_id: TypeId,
    pub fhir_id: String,
    pub version: i32,
    pub updated: Millis,
    /// Compact JSON as stored.
    pub body: Bytes,
    pub mode: Mode,
    /// Where the body is not the resource itself but what it contains: that one's id.
    pub within: Option<(TypeId, Arc<str>)>,
}

impl From<Found> for Entry {
    fn from(found: Found) -> Self {
        Self {
            type_id: found.type_id,
            fhir_id: found.fhir_id,
            version: found.version,
            updated: found.updated,
            body: found.body,
            mode: found.mode,
            within: None,
        }
    }
}

/// `Bundle.entry.search.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Match,
    Include,
}

impl Mode {
    /// The code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Include => "include",
        }
    }
}

/// Answers a search with one page.
///
/// # Errors
/// [`SearchError::Invalid`] (400) for what is not understood and for a cursor that is not of this
/// search, [`SearchError::Forbidden`] (403) for a type that no scope opens,
/// [`SearchError::Store`] (503) when the database fails.
pub async fn search(
    store: &Store,
    viewer: &Viewer,
    request: &SearchRequest<'_>,
) -> Result<SearchResult, SearchError> {
    loop {
        let prepared = prepare(store, request).await?;
        let custom = prepared.custom.clone();
        let result = search_prepared(store, viewer, request, prepared).await?;
        if still_stands(store, custom).await? {
            return Ok(result);
        }
    }
}

/// Whether the parameters of this server that a query used still stand: of one that was retired
/// meanwhile the rows may have gone while they were looked for.
async fn still_stands(store: &Store, custom: Option<Arc<Custom>>) -> Result<bool, StoreError> {
    match custom {
        None => Ok(true),
        Some(custom) if store.knows(&custom).await? => Ok(true),
        Some(_) => {
            store.learn().await?;
            Ok(false)
        }
    }
}

async fn search_prepared(
    store: &Store,
    viewer: &Viewer,
    request: &SearchRequest<'_>,
    prepared: Prepared,
) -> Result<SearchResult, SearchError> {
    let keys = store.keys();
    let now = store.clock().now();
    let Prepared {
        types,
        mut query,
        compartment,
        ..
    } = prepared;
    let self_query = encode(&query.used);
    let binding = cursor::binding(viewer, &bound_query(request, &self_query));
    let cursor = match &query.cursor {
        None => None,
        Some(token) => {
            let cursor = Cursor::open(token, keys, &binding)?;
            let fits = run::fits(&cursor, &query) || contained::is_within(&query, &cursor);
            if !fits {
                return Err(SearchError::invalid(Issue::error(
                    "invalid",
                    "'_cursor' belongs to another order",
                )));
            }
            Some(cursor)
        }
    };
    let instant = cursor.as_ref().map_or(now, |cursor| cursor.instant);
    let visibility = Visibility::of(viewer, keys, now, instant);
    let context = Context {
        keys,
        visibility: &visibility,
    };
    let is_compartment = !compartment.is_empty();
    let mut conditions = compartment;
    conditions.append(&mut query.conditions);
    let reader = store.reader();
    terminology::resolve(&context, reader, &mut conditions).await?;
    let within = match query.contained {
        Contained::No => None,
        Contained::Only | Contained::Both => Some(contained::Search {
            context,
            store,
            type_id: contained::check(&types, &query, is_compartment, &conditions)?,
            conditions: conditions.clone(),
            shows_contained: query.shows_contained,
        }),
    };
    // What is contained brings units of its own.
    amounts::resolve(keys, reader, &mut conditions).await?;
    let plan = texts::plan(&context, reader, &types, conditions).await?;
    let mut result = SearchResult {
        entries: Vec::new(),
        total: None,
        next: None,
        issues: std::mem::take(&mut query.issues),
        self_query,
        view: query.view.clone(),
    };
    let total = async || -> Result<i64, SearchError> {
        let own = match query.contained {
            Contained::Only => 0,
            Contained::No | Contained::Both => context.count(reader, &plan).await?,
        };
        let within = match &within {
            None => 0,
            Some(within) => within.count().await?,
        };
        Ok(own + within)
    };
    if query.view == View::Count {
        result.total = Some(total().await?);
        return Ok(result);
    }
    if let Some(within) = &within {
        let page = within.page(&plan, &query, cursor.as_ref()).await?;
        result.total = if cursor.is_none() && page.next.is_none() {
            i64::try_from(page.entries.len()).ok()
        } else if query.total == Total::None {
            None
        } else {
            Some(total().await?)
        };
        result.entries = page.entries;
        if let Some((id, values)) = page.next {
            let next = Cursor {
                instant: visibility.instant(),
                id,
                keys: values,
            };
            result.next = Some(next.seal(keys, &binding)?);
        }
        return Ok(result);
    }
    let led = sound::sound(&context, reader, &plan, &query).await?;
    let led = led.as_ref().unwrap_or(&plan);
    let page = context.page(reader, led, &query, cursor.as_ref()).await?;
    if cursor.is_none() && page.next.is_none() {
        result.total = i64::try_from(page.matches.len()).ok();
    } else {
        result.total = match query.total {
            Total::None => None,
            Total::Estimate | Total::Accurate => Some(total().await?),
        };
    }
    if let Some((id, values)) = page.next {
        let next = Cursor {
            instant: visibility.instant(),
            id,
            keys: values,
        };
        result.next = Some(next.seal(keys, &binding)?);
    }
    let included = if query.includes.is_empty() || page.matches.is_empty() {
        Vec::new()
    } else {
        include::find(
            reader,
            keys,
            &visibility,
            &query.includes,
            &page.matches,
            &mut result.issues,
        )
        .await?
    };
    result.entries = page
        .matches
        .into_iter()
        .chain(included)
        .map(Entry::from)
        .collect();
    Ok(result)
}

/// The number of matches of a search, at this moment.
///
/// # Errors
/// As [`search`].
pub async fn count(
    store: &Store,
    viewer: &Viewer,
    request: &SearchRequest<'_>,
) -> Result<i64, SearchError> {
    let now = store.clock().now();
    let visibility = Visibility::of(viewer, store.keys(), now, now);
    let context = Context {
        keys: store.keys(),
        visibility: &visibility,
    };
    loop {
        let Prepared {
            types,
            query,
            compartment: mut conditions,
            custom,
        } = prepare(store, request).await?;
        conditions.extend(query.conditions);
        terminology::resolve(&context, store.reader(), &mut conditions).await?;
        amounts::resolve(store.keys(), store.reader(), &mut conditions).await?;
        let plan = texts::plan(&context, store.reader(), &types, conditions).await?;
        let count = context.count(store.reader(), &plan).await?;
        if still_stands(store, custom).await? {
            return Ok(count);
        }
    }
}

/// The first `most` visible matches of a condition (`ifNoneExist`, conditional update, a conditional
/// reference): FHIR id and surrogate id of the document. Runs where the caller says, so that a
/// write transaction sees its own state. Every parameter must be understood, and at least one
/// must choose resources.
///
/// # Errors
/// As [`search`].
pub async fn find_ids<C: Select>(
    store: &Store,
    connection: &C,
    visibility: &Visibility,
    type_id: TypeId,
    pairs: &[(String, String)],
    most: u32,
) -> Result<Vec<(String, i64)>, SearchError> {
    // The write that this is part of began with the parameters that stand.
    let custom = store.custom();
    let (types, mut query) = parse::parse(Some(type_id), pairs, true, store.base(), &custom)?;
    own_resources(pairs)?;
    if query.conditions.is_empty() {
        return Err(SearchError::invalid(Issue::error(
            "invalid",
            "a condition needs at least one search parameter",
        )));
    }
    let context = Context {
        keys: store.keys(),
        visibility,
    };
    terminology::resolve(&context, connection, &mut query.conditions).await?;
    amounts::resolve(store.keys(), connection, &mut query.conditions).await?;
    let plan = context.plan(&types, query.conditions)?;
    context.first(connection, &plan, most).await
}

/// Whether the narrowing query of a granular scope can be searched for on this type.
#[must_use]
pub fn can_narrow(type_id: TypeId, query: &str) -> bool {
    parse::narrowing(type_id, query).is_ok()
}

/// The narrowing query of a granular scope (`category=system|code`) as an SQL predicate over a row
/// alias with `id` and `patient`. What is not understood lets nothing through.
///
/// # Errors
/// None today; the signature is [`Narrow`](crate::store::read::Narrow)'s.
pub fn narrow(
    keys: &Keys,
    type_id: TypeId,
    query: &str,
    sql: &mut Sql,
    row: &str,
) -> Result<String, StoreError> {
    let Ok(conditions) = parse::narrowing(type_id, query) else {
        return Ok("1 = 0".to_owned());
    };
    // Narrowing has no chains, so nothing in it asks what a viewer may see.
    let nobody = Viewer {
        class: ViewerClass::Other,
        person: None,
        patient: None,
        client_id: String::new(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::default(),
    };
    let visibility = Visibility::of(&nobody, keys, 0, 0);
    let mut lower = Lower::new(keys, &visibility, Access::Read);
    std::mem::swap(&mut lower.sql, sql);
    let row = Row {
        alias: row.to_owned(),
        types: Types::One(type_id),
        is_resource: false,
        pin: None,
        is_link: false,
    };
    let tests: Result<Vec<String>, _> = conditions
        .iter()
        .map(|condition| lower.probe(condition, &row))
        .collect();
    std::mem::swap(&mut lower.sql, sql);
    Ok(tests.map_or_else(|_| "1 = 0".to_owned(), |tests| tests.join(" AND ")))
}

/// Refuses `_contained`, where what is found must be resources of their own.
///
/// # Errors
/// [`SearchError::Invalid`].
pub fn own_resources(pairs: &[(String, String)]) -> Result<(), SearchError> {
    let looks_within = |(name, value): &(String, String)| name == "_contained" && value != "false";
    if !pairs.iter().any(looks_within) {
        return Ok(());
    }
    let words = "'_contained' is for searches alone: a condition finds resources of their own";
    Err(SearchError::invalid(Issue::error("not-supported", words)))
}

struct Prepared {
    types: Types,
    query: Query,
    /// What the compartment says.
    compartment: Vec<Condition>,
    /// The parameters of this server, if the query used any.
    custom: Option<Arc<Custom>>,
}

async fn prepare(store: &Store, request: &SearchRequest<'_>) -> Result<Prepared, SearchError> {
    let read = |custom: &Custom| {
        let (base, strict) = (store.base(), request.strict);
        parse::parse(request.type_id, request.pairs, strict, base, custom)
    };
    let mut custom = store.custom();
    let mut parsed = read(&custom);
    // Another process may have built the index of what is not known here.
    let missed = match &parsed {
        Ok((_, query)) => query.missed,
        Err(_) => true,
    };
    if missed && store.learn().await? {
        custom = store.custom();
        parsed = read(&custom);
    }
    let (types, query) = parsed?;
    let compartment = match request.compartment {
        None => Vec::new(),
        Some((name, id)) => vec![compartment::condition(store.keys(), name, id, &types)?],
    };
    Ok(Prepared {
        custom: query.uses_custom.then_some(custom),
        types,
        query,
        compartment,
    })
}

/// Everything that a cursor belongs to but the viewer.
fn bound_query(request: &SearchRequest<'_>, self_query: &str) -> String {
    let (name, id) = request.compartment.unwrap_or_default();
    format!(
        "{}\0{name}\0{id}\0{self_query}",
        request.type_id.unwrap_or_default()
    )
}

/// Left as they are in a query: what RFC 3986 allows there and FHIR uses often.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':')
    .remove(b',')
    .remove(b'/')
    .remove(b'$')
    .remove(b'*');

fn encode(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| encode_pair(name, value))
        .collect::<Vec<_>>()
        .join("&")
}

/// A parameter as it stands in a link.
#[must_use]
pub fn encode_pair(name: &str, value: &str) -> String {
    format!(
        "{}={}",
        utf8_percent_encode(name, PLAIN),
        utf8_percent_encode(value, PLAIN)
    )
}
