//! History of an instance, a type or the whole system, newest first.

use bytes::Bytes;
use sea_orm::{ConnectionTrait, QueryResult};

use super::{Method, Narrow, Store, StoreError, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::visibility::{Access, Visibility, record_types};

/// Whose history.
#[derive(Clone, Copy, Debug)]
pub enum HistoryScope<'a> {
    Instance(TypeId, &'a str),
    Type(TypeId),
    System,
}

/// What of it.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery<'a> {
    pub scope: HistoryScope<'a>,
    /// `_since`: only versions created at or after this instant.
    pub since: Option<Millis>,
    /// `_at`: only versions that were current at some time from here (inclusive) to there
    /// (exclusive).
    pub at: Option<(Millis, Millis)>,
    /// `_type` of the whole system's history; empty: every type.
    pub types: &'a [TypeId],
    /// At most this many entries.
    pub count: u32,
    /// Continue after this (updated, surrogate id, version).
    pub after: Option<(Millis, i64, i32)>,
}

/// One version.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    pub type_id: TypeId,
    pub id: String,
    pub version: i32,
    pub updated: Millis,
    pub method: Method,
    /// None for a deletion.
    pub body: Option<Bytes>,
    pub doc: i64,
}

/// A page of versions and whether there are more.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    pub entries: Vec<HistoryEntry>,
    pub more: bool,
}

impl Store {
    /// A page of history. For an instance of which nothing is visible: [`StoreError::NotFound`].
    pub async fn history(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        query: &HistoryQuery<'_>,
    ) -> Result<HistoryPage, StoreError> {
        // SMART App Launch 2.2, scopes: `r` opens the history of an instance, `s` that of a type.
        let access = match query.scope {
            HistoryScope::Instance(..) => Access::Read,
            HistoryScope::Type(_) | HistoryScope::System => Access::Search,
        };
        let types: Vec<TypeId> = match query.scope {
            HistoryScope::Instance(type_id, _) | HistoryScope::Type(type_id) => vec![type_id],
            HistoryScope::System => {
                let types: Vec<TypeId> = match query.types {
                    [] => record_types().collect(),
                    named => named.to_vec(),
                };
                let may = |one: &TypeId| visibility.allows(*one, Access::Search);
                types.into_iter().filter(may).collect()
            }
        };
        let mut sql = Sql::default();
        let mut limits = String::new();
        let mut row = "r";
        if let HistoryScope::Instance(type_id, id) = query.scope {
            // Found by its key: the indexes on type and patient must not compete.
            row = "+r";
            let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
            let fhir_id = sql.bind(id);
            limits.push_str(&format!(" AND r.key = {key} AND r.fhir_id = {fhir_id}"));
        }
        // The same predicate for every type unless scopes differ: one OR over groups of types.
        let mut groups: Vec<(Vec<crate::visibility::Branch>, Vec<TypeId>)> = Vec::new();
        for type_id in types {
            let branches = visibility.branches(type_id, access);
            match groups.iter_mut().find(|(own, _)| {
                *own == branches && branches.iter().all(|branch| branch.narrowing.is_none())
            }) {
                Some((_, members)) => members.push(type_id),
                None => groups.push((branches, vec![type_id])),
            }
        }
        if matches!(query.scope, HistoryScope::System) && query.types.is_empty() {
            let noted = Method::Noted.number();
            limits.push_str(&format!(" AND r.method <> {noted}"));
        }
        let mut ways = Vec::new();
        // Through these older versions are seen too: what a granular scope lets through says nothing
        // of what the resource was before.
        let mut whole = Vec::new();
        for (branches, members) in &groups {
            for branch in branches {
                let list: Vec<String> = members.iter().map(ToString::to_string).collect();
                let mut way = format!("{row}.type IN ({})", list.join(", "));
                if let Some(patient) = Visibility::patient_predicate(branch, &mut sql, row) {
                    way.push_str(&format!(" AND {patient}"));
                }
                if let (Some(narrowing), Some(type_id)) = (&branch.narrowing, members.first()) {
                    let narrowed = narrow(self.keys(), *type_id, narrowing, &mut sql, "r")?;
                    way.push_str(&format!(" AND ({narrowed})"));
                }
                let way = format!("({way})");
                if branch.narrowing.is_none() {
                    whole.push(way.clone());
                }
                ways.push(way);
            }
        }
        if ways.is_empty() {
            return Ok(HistoryPage {
                entries: Vec::new(),
                more: false,
            });
        }
        let ways = ways.join(" OR ");
        let whole = match whole.join(" OR ") {
            none if none.is_empty() => "1 = 0".to_owned(),
            whole => whole,
        };
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        let open = visibility.old_version_predicate(&mut sql, "v", "r");
        sql.text = if let Some((low, high)) = query.at {
            // Until the next version that exists for the viewer.
            let next = visibility.old_version_predicate(&mut sql, "n", "r");
            let until = format!(
                "COALESCE((SELECT MIN(n.updated) FROM history n WHERE n.doc = v.doc \
                 AND n.version > v.version AND {next}), r.updated)"
            );
            let (low, high) = (sql.bind(low), sql.bind(high));
            let window = window(&mut sql, query, "x.updated", "x.id", "x.version");
            let count = sql.bind(i64::from(query.count) + 1);
            format!(
                "SELECT x.type, x.fhir_id, x.version, x.updated, x.method, x.body, x.id, x.packed FROM (\
                 SELECT r.type, r.fhir_id, r.version, r.updated, r.method, r.body, r.id, 0 AS packed, \
                 CAST(NULL AS BIGINT) AS until FROM resource r WHERE ({ways}) AND {holds}{limits} \
                 UNION ALL \
                 SELECT r.type, r.fhir_id, v.version, v.updated, v.method, v.body, r.id, 1 AS packed, \
                 CAST({until} AS BIGINT) AS until FROM resource r JOIN history v ON v.doc = r.id \
                 WHERE r.rendition = 0 AND ({whole}) AND {holds} AND {open}{limits}) x \
                 WHERE x.updated < {high} AND (x.until IS NULL OR x.until > {low}){window} \
                 ORDER BY x.updated DESC, x.id DESC, x.version DESC LIMIT {count}"
            )
        } else {
            // Either half by itself, along its index of times, as far as the page reaches.
            let now = window(&mut sql, query, "r.updated", "r.id", "r.version");
            let old = window(&mut sql, query, "v.updated", "v.doc", "v.version");
            let count = sql.bind(i64::from(query.count) + 1);
            let of_type = match query.scope {
                HistoryScope::Type(type_id) => format!(" AND v.type = {type_id}"),
                HistoryScope::Instance(..) | HistoryScope::System => String::new(),
            };
            // An instance is found first and has few versions; else the versions lead.
            let versions = match query.scope {
                HistoryScope::Instance(..) => "resource r CROSS JOIN history v",
                HistoryScope::Type(_) | HistoryScope::System => "history v CROSS JOIN resource r",
            };
            format!(
                "SELECT x.type, x.fhir_id, x.version, x.updated, x.method, x.body, x.id, x.packed FROM (\
                 SELECT * FROM (SELECT r.type, r.fhir_id, r.version, r.updated, r.method, r.body, r.id, \
                 0 AS packed FROM resource r WHERE ({ways}) AND {holds}{limits}{now} \
                 ORDER BY r.updated DESC, r.id DESC LIMIT {count}) c \
                 UNION ALL \
                 SELECT * FROM (SELECT r.type, r.fhir_id, v.version, v.updated, v.method, v.body, r.id, \
                 1 AS packed FROM {versions} WHERE v.doc = r.id AND r.rendition = 0{of_type} \
                 AND ({whole}) AND {holds} AND {open}{limits}{old} \
                 ORDER BY v.updated DESC, v.doc DESC, v.version DESC LIMIT {count}) o) x \
                 ORDER BY x.updated DESC, x.id DESC, x.version DESC LIMIT {count}"
            )
        };
        let rows = self
            .reader()
            .query_all_raw(sql.statement(self.backend()))
            .await?;
        let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let is_instance = matches!(query.scope, HistoryScope::Instance(..));
        if entries.is_empty() && query.after.is_none() && is_instance {
            if query.since.is_none() && query.at.is_none() {
                return Err(StoreError::NotFound);
            }
            // Nothing at that time, or nothing at all?
            let any = HistoryQuery {
                since: None,
                at: None,
                count: 1,
                ..*query
            };
            Box::pin(self.history(visibility, narrow, &any)).await?;
        }
        let wanted = usize::try_from(query.count).unwrap_or(usize::MAX);
        let more = entries.len() > wanted;
        entries.truncate(wanted);
        Ok(HistoryPage { entries, more })
    }
}

/// `_since` and the end of the page before, over the columns that order a half.
fn window(
    sql: &mut Sql,
    query: &HistoryQuery<'_>,
    updated: &str,
    doc: &str,
    version: &str,
) -> String {
    let mut window = String::new();
    if let Some(since) = query.since {
        window.push_str(&format!(" AND {updated} >= {}", sql.bind(since)));
    }
    if let Some((before, last, past)) = query.after {
        let (before, last, past) = (sql.bind(before), sql.bind(last), sql.bind(past));
        // The first part is for the index, the second for the truth.
        window.push_str(&format!(
            " AND {updated} <= {before} AND ({updated} < {before} OR {doc} < {last} \
             OR ({doc} = {last} AND {version} < {past}))"
        ));
    }
    window
}

fn entry(row: &QueryResult) -> Result<HistoryEntry, StoreError> {
    let is_old: i32 = row.try_get_by_index(7)?;
    let body = if is_old == 1 {
        let packed: Option<Vec<u8>> = row.try_get_by_index(5)?;
        packed.as_deref().map(expand).transpose()?
    } else {
        packed::column(row, 5)?.map(Bytes::from)
    };
    let method: i16 = row.try_get_by_index(4)?;
    Ok(HistoryEntry {
        type_id: row.try_get_by_index(0)?,
        id: row.try_get_by_index(1)?,
        version: row.try_get_by_index(2)?,
        updated: row.try_get_by_index(3)?,
        method: Method::from_number(method),
        body,
        doc: row.try_get_by_index(6)?,
    })
}

/// The bytes of an old version as history keeps them.
pub(super) fn pack(body: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(body, 3).map_err(|_| StoreError::Corrupt("history body"))
}

/// The bytes of an old version as they left.
pub fn expand(packed: &[u8]) -> Result<Bytes, StoreError> {
    zstd::stream::decode_all(packed)
        .map(Bytes::from)
        .map_err(|_| StoreError::Corrupt("history body"))
}
