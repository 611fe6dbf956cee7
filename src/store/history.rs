//! History of an instance, a type or the whole system, newest first.

use bytes::Bytes;
use sea_orm::{ConnectionTrait, QueryResult};

use super::{Method, Narrow, Store, StoreError, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::visibility::{Access, Branch, Visibility, access_log, record_types};

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
    /// Whether the version before is a deletion.
    pub follows_deletion: bool,
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
        if matches!(query.scope, HistoryScope::System) && query.types.is_empty() {
            let noted = Method::Noted.number();
            limits.push_str(&format!(" AND r.method <> {noted}"));
        }
        let ways = self.ways(visibility, narrow, query.scope, &types, row, &mut sql)?;
        if ways.is_empty() {
            return Ok(HistoryPage {
                entries: Vec::new(),
                more: false,
            });
        }
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        let open = visibility.old_version_predicate(&mut sql, "v", "r");
        // For whom that deletion does not exist this is no new beginning either.
        let deletion = visibility.old_version_predicate(&mut sql, "b", "d");
        let deletion = format!(
            "CASE WHEN EXISTS (SELECT 1 FROM history b WHERE b.doc = x.id AND b.version = x.version - 1 \
             AND b.method = {} AND {deletion}) THEN 1 ELSE 0 END",
            Method::Delete.number()
        );
        sql.text = if let Some((low, high)) = query.at {
            let any = |ways: Vec<&[String]>| ways.concat().join(" OR ");
            let whole = match any(ways.iter().map(|way| way.whole.as_slice()).collect()) {
                none if none.is_empty() => "1 = 0".to_owned(),
                whole => whole,
            };
            let ways = any(ways.iter().map(|way| way.now.as_slice()).collect());
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
                "SELECT x.type, x.fhir_id, x.version, x.updated, x.method, x.body, x.id, x.packed, {deletion} FROM (\
                 SELECT r.type, r.fhir_id, r.version, r.updated, r.method, r.body, r.id, 0 AS packed, \
                 CAST(NULL AS BIGINT) AS until FROM resource r WHERE ({ways}) AND {holds}{limits} \
                 UNION ALL \
                 SELECT r.type, r.fhir_id, v.version, v.updated, v.method, v.body, r.id, 1 AS packed, \
                 CAST({until} AS BIGINT) AS until FROM resource r JOIN history v ON v.doc = r.id \
                 WHERE r.rendition = 0 AND ({whole}) AND {holds} AND {open}{limits}) x \
                 JOIN resource d ON d.id = x.id WHERE x.updated < {high} AND (x.until IS NULL OR x.until > {low}){window} \
                 ORDER BY x.updated DESC, x.id DESC, x.version DESC LIMIT {count}"
            )
        } else {
            // Each part by itself, along its index, as far as the page reaches; then the bodies.
            let now = window(&mut sql, query, "r.updated", "r.id", "r.version");
            let old = window(&mut sql, query, "v.updated", "v.doc", "v.version");
            let count = sql.bind(i64::from(query.count) + 1);
            let mut parts = Vec::new();
            for (at, way) in ways.iter().enumerate() {
                let (r_limit, v_limit) = way.along.limits();
                // What has few versions is found first and sorted; else the versions lead.
                let (plus, versions) = match way.along {
                    Along::Record => ("+", "resource r CROSS JOIN history v"),
                    Along::Type(_) | Along::Changes => ("", "history v CROSS JOIN resource r"),
                };
                parts.push(format!(
                    "SELECT * FROM (SELECT r.id, r.version, r.updated, r.method, 0 AS packed \
                     FROM resource r WHERE ({}) AND {holds}{limits}{r_limit}{now} \
                     ORDER BY {plus}r.updated DESC, r.id DESC LIMIT {count}) c{at}",
                    way.now.join(" OR ")
                ));
                if way.whole.is_empty() {
                    continue;
                }
                parts.push(format!(
                    "SELECT * FROM (SELECT r.id, v.version, v.updated, v.method, 1 AS packed \
                     FROM {versions} WHERE v.doc = r.id AND r.rendition = 0{v_limit} \
                     AND ({}) AND {holds} AND {open}{limits}{old} \
                     ORDER BY {plus}v.updated DESC, v.doc DESC, v.version DESC LIMIT {count}) o{at}",
                    way.whole.join(" OR ")
                ));
            }
            format!(
                "SELECT d.type, d.fhir_id, x.version, x.updated, x.method, \
                 CASE x.packed WHEN 0 THEN d.body ELSE (SELECT p.body FROM history p \
                 WHERE p.doc = x.id AND p.version = x.version) END, x.id, x.packed, {deletion} \
                 FROM (SELECT * FROM ({}) y ORDER BY y.updated DESC, y.id DESC, y.version DESC LIMIT {count}) x \
                 CROSS JOIN resource d WHERE d.id = x.id \
                 ORDER BY x.updated DESC, x.id DESC, x.version DESC",
                parts.join(" UNION ALL ")
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

    /// What the viewer may see of these types, by the index that leads to it. `row`: what stands before the
    /// columns of the resource.
    fn ways(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        scope: HistoryScope<'_>,
        types: &[TypeId],
        row: &str,
        sql: &mut Sql,
    ) -> Result<Vec<Way>, StoreError> {
        let branches: Vec<(TypeId, Vec<Branch>)> = types
            .iter()
            .map(|type_id| (*type_id, visibility.branches(*type_id, access(scope))))
            .collect();
        // By its type, so that no resource is in two parts.
        let is_record = |branches: &[Branch]| {
            matches!(scope, HistoryScope::Instance(..))
                || branches.iter().all(|branch| branch.patient.is_some())
        };
        let others = branches.iter().filter(|(_, own)| !is_record(own)).count();
        let log = access_log();
        // The same predicate for every type unless scopes differ: one OR over groups of types.
        let mut groups: Vec<(Branch, Along, Vec<TypeId>)> = Vec::new();
        for (type_id, branches) in branches {
            let along = if is_record(&branches) {
                Along::Record
            } else if others <= FEW_TYPES || type_id == log {
                Along::Type(type_id)
            } else {
                Along::Changes
            };
            for branch in branches {
                let same = groups.iter_mut().find(|(own, its, _)| {
                    *own == branch && *its == along && branch.narrowing.is_none()
                });
                match same {
                    Some((_, _, members)) => members.push(type_id),
                    None => groups.push((branch, along, vec![type_id])),
                }
            }
        }
        let mut ways: Vec<Way> = Vec::new();
        for (branch, along, members) in &groups {
            let list: Vec<String> = members.iter().map(ToString::to_string).collect();
            let mut test = format!("{row}.type IN ({})", list.join(", "));
            if let Some(patient) = Visibility::patient_predicate(branch, sql, row) {
                test.push_str(&format!(" AND {patient}"));
            }
            if let (Some(narrowing), Some(type_id)) = (&branch.narrowing, members.first()) {
                let narrowed = narrow(self.keys(), *type_id, narrowing, sql, "r")?;
                test.push_str(&format!(" AND ({narrowed})"));
            }
            let test = format!("({test})");
            let at = match ways.iter().position(|way| way.along == *along) {
                Some(at) => at,
                None => {
                    ways.push(Way::along(*along));
                    ways.len() - 1
                }
            };
            if let Some(way) = ways.get_mut(at) {
                if branch.narrowing.is_none() {
                    way.whole.push(test.clone());
                }
                way.now.push(test);
            }
        }
        Ok(ways)
    }
}

/// SMART App Launch 2.2, scopes: `r` opens the history of an instance, `s` that of a type.
fn access(scope: HistoryScope<'_>) -> Access {
    match scope {
        HistoryScope::Instance(..) => Access::Read,
        HistoryScope::Type(_) | HistoryScope::System => Access::Search,
    }
}

/// So many types are each looked through by themselves: what changed last may be of none of them.
const FEW_TYPES: usize = 16;

/// What leads to versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// One resource, or one patient's: all of them, sorted.
    Record,
    /// The order of change of one type.
    Type(TypeId),
    /// That of all but the log of accesses, which may be most of what there is.
    Changes,
}

impl Along {
    /// What its index asks of the row of the resource, and of that of the version.
    fn limits(self) -> (String, String) {
        match self {
            Self::Record => (String::new(), String::new()),
            Self::Type(type_id) => (String::new(), format!(" AND v.type = {type_id}")),
            Self::Changes => (format!(" AND r.type <> {}", access_log()), String::new()),
        }
    }
}

/// Predicates on `r`, one of which must hold.
struct Way {
    along: Along,
    /// For what stands now.
    now: Vec<String>,
    /// Through these older versions are seen too: what a granular scope lets through says nothing of what
    /// the resource was before.
    whole: Vec<String>,
}

impl Way {
    fn along(along: Along) -> Self {
        Self {
            along,
            now: Vec::new(),
            whole: Vec::new(),
        }
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
    let follows_deletion: i32 = row.try_get_by_index(8)?;
    Ok(HistoryEntry {
        type_id: row.try_get_by_index(0)?,
        id: row.try_get_by_index(1)?,
        version: row.try_get_by_index(2)?,
        updated: row.try_get_by_index(3)?,
        method: Method::from_number(method),
        follows_deletion: follows_deletion == 1,
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
