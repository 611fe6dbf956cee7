//! Stand-ins, of the same shape, for search, which is being built.

use bytes::Bytes;

use crate::clock::Millis;
use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;
use crate::keys::Keys;
use crate::sql::Sql;
use crate::store::{Store, StoreError};
use crate::visibility::{Viewer, Visibility};

fn being_built() -> StoreError {
    StoreError::refused(501, Issue::error("not-supported", "Search is being built."))
}

pub(super) struct SearchRequest<'a> {
    pub(super) type_id: Option<TypeId>,
    pub(super) pairs: &'a [(String, String)],
    pub(super) compartment: Option<(&'a str, &'a str)>,
    pub(super) strict: bool,
}

pub(super) struct SearchResult {
    pub(super) entries: Vec<Entry>,
    pub(super) total: Option<i64>,
    pub(super) next: Option<String>,
    pub(super) issues: Vec<Issue>,
    pub(super) self_query: String,
    pub(super) view: View,
}

#[derive(Clone)]
pub(super) enum View {
    Full,
    Summary(Summary),
    Elements(Vec<String>),
    Count,
}

#[derive(Clone, Copy)]
pub(super) enum Summary {
    True,
    Text,
    Data,
}

pub(super) struct Entry {
    pub(super) type_id: TypeId,
    pub(super) fhir_id: String,
    pub(super) version: i32,
    pub(super) updated: Millis,
    pub(super) body: Bytes,
    pub(super) mode: Mode,
}

#[derive(Clone, Copy)]
pub(super) enum Mode {
    Match,
    Include,
}

impl Mode {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Include => "include",
        }
    }
}

pub(super) async fn search(
    _store: &Store,
    _viewer: &Viewer,
    _request: &SearchRequest<'_>,
) -> Result<SearchResult, StoreError> {
    Err(being_built())
}

pub(super) async fn find_ids<C>(
    _store: &Store,
    _on: &C,
    _visibility: &Visibility,
    _type_id: TypeId,
    _pairs: &[(String, String)],
) -> Result<Vec<(String, i64)>, StoreError> {
    Err(being_built())
}

pub(super) fn narrow(
    _keys: &Keys,
    _type_id: TypeId,
    _query: &str,
    _sql: &mut Sql,
    _row: &str,
) -> Result<String, StoreError> {
    Ok("1 = 0".to_owned())
}
