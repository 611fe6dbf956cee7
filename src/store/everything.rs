//! All of one patient's record, or of one encounter, in pages (`$everything`): one statement along
//! the patient column, one for what its resources refer to outside of it.

use std::collections::HashSet;

use bytes::Bytes;

use super::current::in_list;
use super::packed::unpack;
use super::select::{Select as _, Selected};
use super::{Method, Narrow, Store, StoreError};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::visibility::{Access, Visibility, access_log};

/// Resources that one page may bring along.
const MOST_REFERENCED: usize = 1_000;

/// Whose record.
#[derive(Clone, Copy, Debug)]
pub enum EverythingOf<'a> {
    Patient(&'a str),
    Encounter(&'a str),
    /// The records of all patients, type by type.
    Everybody,
}

/// A record is walked by type, and nothing in it grows like the log of accesses to it: where that is not
/// asked for, the types before it and those after it, so that nobody walks through it.
fn around_the_log<'t>(query: &EverythingQuery<'t>) -> impl Iterator<Item = &'t [TypeId]> + use<'t> {
    let types = query.types;
    let halves = match types.binary_search(&access_log()) {
        Err(place) if query.of.is_by_type() => types.split_at(place),
        _ => (types, &types[..0]),
    };
    let after = query.after.map_or(TypeId::MIN, |(type_id, _)| type_id);
    [halves.0, halves.1]
        .into_iter()
        .filter(move |half| half.last().is_some_and(|last| *last >= after))
}

impl<'a> EverythingOf<'a> {
    /// Whether it is read in the order of its types.
    fn is_by_type(self) -> bool {
        matches!(self, Self::Patient(_) | Self::Everybody)
    }

    /// Type and id of the resource that it is about, if it is about one.
    #[must_use]
    pub fn address(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Patient(id) => Some(("Patient", id)),
            Self::Encounter(id) => Some(("Encounter", id)),
            Self::Everybody => None,
        }
    }
}

/// What of it.
#[derive(Clone, Copy, Debug)]
pub struct EverythingQuery<'a> {
    pub of: EverythingOf<'a>,
    /// Types of the record to show, sorted; without the type of the resource it is about.
    pub types: &'a [TypeId],
    /// Whether the Provenances that this server made of writes are part of it.
    pub noted: bool,
    /// Types to bring along where the record refers to them.
    pub referenced: &'a [TypeId],
    /// Only what was written at or after this instant.
    pub since: Option<Millis>,
    /// Only what has dates of care from here (inclusive) to there (exclusive), or none at all. Of
    /// one patient or encounter only.
    pub care: Option<(Millis, Millis)>,
    pub count: u32,
    /// Continue after this type and surrogate id.
    pub after: Option<(TypeId, i64)>,
    /// Surrogate id of the resource itself where it is part of this page.
    pub head: Option<i64>,
}

/// A resource of the record.
#[derive(Clone, Debug)]
pub struct RecordEntry {
    pub type_id: TypeId,
    pub id: String,
    /// Surrogate id, of the rendition that the viewer sees.
    pub doc: i64,
    pub body: Bytes,
}

/// A page of the record.
#[derive(Clone, Debug)]
pub struct RecordPage {
    pub entries: Vec<RecordEntry>,
    /// What the entries refer to outside of the record.
    pub referenced: Vec<RecordEntry>,
    pub more: bool,
}

impl Store {
    /// One page. Whether the patient or encounter exists for the viewer is the caller's question.
    pub async fn everything(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        query: &EverythingQuery<'_>,
    ) -> Result<RecordPage, StoreError> {
        let wanted = usize::try_from(query.count).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        for types in around_the_log(query) {
            let left = wanted.saturating_sub(entries.len());
            let part = EverythingQuery {
                types,
                count: u32::try_from(left).unwrap_or(query.count),
                ..*query
            };
            if let Some(sql) = self.record_sql(visibility, narrow, &part)? {
                entries.extend(self.entries(sql).await?);
            }
            if entries.len() > wanted {
                break;
            }
        }
        let more = entries.len() > wanted;
        entries.truncate(wanted);
        let mut sources: Vec<i64> = query.head.into_iter().collect();
        sources.extend(entries.iter().map(|entry| entry.doc));
        let referenced = match self.referenced_sql(visibility, narrow, query, &sources)? {
            Some(sql) => self.entries(sql).await?,
            None => Vec::new(),
        };
        let seen: HashSet<i64> = sources.into_iter().collect();
        Ok(RecordPage {
            referenced: referenced
                .into_iter()
                .filter(|entry| !seen.contains(&entry.doc))
                .collect(),
            entries,
            more,
        })
    }

    async fn entries(&self, sql: Sql) -> Result<Vec<RecordEntry>, StoreError> {
        let rows = self.reader().select(sql).await?;
        rows.iter().map(entry).collect()
    }

    /// The statement of the record's own resources; None when no scope opens any of them.
    pub(super) fn record_sql(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        query: &EverythingQuery<'_>,
    ) -> Result<Option<Sql>, StoreError> {
        let mut sql = Sql::default();
        let key = match query.of.address() {
            Some((type_name, id)) => sql.bind(self.keys().reference(type_name, id)),
            None => String::new(),
        };
        let mut from = "resource r".to_owned();
        let mut all = vec!["r.deleted = 0".to_owned()];
        match query.of {
            EverythingOf::Patient(_) => all.push(format!("r.patient = {key}")),
            // Along the types: no index of patients is in this order.
            EverythingOf::Everybody => all.push("+r.patient <> 0".to_owned()),
            // param >= 0: search parameters, not the links that only the store follows.
            EverythingOf::Encounter(_) => {
                from = format!(
                    "(SELECT DISTINCT x.id AS id FROM idx_reference x \
                     WHERE x.target = {key} AND x.param >= 0) p CROSS JOIN resource r"
                );
                all.push("r.id = p.id".to_owned());
            }
        }
        let Some(ways) = self.visible_types(
            visibility,
            narrow,
            query.types,
            Access::Search,
            &mut sql,
            "r",
        )?
        else {
            return Ok(None);
        };
        all.push(ways);
        if let ([first, .., last], true) = (query.types, query.of.is_by_type()) {
            all.push(format!("r.type BETWEEN {first} AND {last}"));
        }
        if !query.noted {
            all.push(format!("r.method <> {}", Method::Noted.number()));
        }
        if let Some((type_id, doc)) = query.after {
            let (type_id, doc) = (sql.bind(type_id), sql.bind(doc));
            all.push(format!("(r.type, r.id) > ({type_id}, {doc})"));
        }
        if let Some(since) = query.since {
            let since = sql.bind(since);
            all.push(format!("r.updated >= {since}"));
        }
        if let Some((start, end)) = query.care {
            // From the first date of care in a resource to its last. Birthdays are none.
            let (start, end) = (sql.bind(start), sql.bind(end));
            let birthdays: Vec<String> = ["Patient", "RelatedPerson", "Person"]
                .into_iter()
                .filter_map(|name| definitions().type_id(name))
                .map(|type_id| type_id.to_string())
                .collect();
            let whose = match query.of {
                EverythingOf::Patient(_) => format!("d.patient = {key}"),
                EverythingOf::Everybody => "d.patient <> 0".to_owned(),
                EverythingOf::Encounter(_) => format!(
                    "d.patient = (SELECT e.patient FROM resource e \
                     WHERE e.key = {key} AND e.rendition = 0)"
                ),
            };
            from.push_str(&format!(
                " LEFT JOIN (SELECT d.id AS id, MIN(d.low) AS low, MAX(d.high) AS high \
                 FROM idx_date d WHERE {whose} AND d.type NOT IN ({}) GROUP BY d.id) c \
                 ON c.id = r.id",
                birthdays.join(", ")
            ));
            all.push(format!(
                "(c.id IS NULL OR (c.low < {end} AND c.high > {start}))"
            ));
        }
        all.push(visibility.holds_predicate(&mut sql, "r.id", None));
        let limit = sql.bind(i64::from(query.count) + 1);
        sql.text = format!(
            "SELECT r.type, r.fhir_id, r.id, r.body FROM {from} WHERE {} \
             ORDER BY r.type, r.id LIMIT {limit}",
            all.join(" AND ")
        );
        Ok(Some(sql))
    }

    /// The statement of what these resources refer to.
    fn referenced_sql(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        query: &EverythingQuery<'_>,
        sources: &[i64],
    ) -> Result<Option<Sql>, StoreError> {
        if sources.is_empty() || query.referenced.is_empty() {
            return Ok(None);
        }
        let mut sql = Sql::default();
        let list = in_list(&mut sql, self.backend(), sources);
        let Some(ways) = self.visible_types(
            visibility,
            narrow,
            query.referenced,
            Access::Search,
            &mut sql,
            "+r",
        )?
        else {
            return Ok(None);
        };
        let types: Vec<String> = query.referenced.iter().map(ToString::to_string).collect();
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        // A patient's own resources come by themselves.
        let outside = match query.of {
            EverythingOf::Patient(id) => {
                let key = sql.bind(self.keys().reference("Patient", id));
                format!(" AND +r.patient <> {key}")
            }
            EverythingOf::Everybody => " AND +r.patient = 0".to_owned(),
            EverythingOf::Encounter(_) => String::new(),
        };
        sql.text = format!(
            "SELECT r.type, r.fhir_id, r.id, r.body FROM resource r \
             WHERE r.key IN (SELECT x.target FROM idx_reference x \
             WHERE x.id {list} AND x.param >= 0 AND x.target_type IN ({})) \
             AND r.deleted = 0{outside} AND {ways} AND {holds} \
             ORDER BY r.id LIMIT {MOST_REFERENCED}",
            types.join(", ")
        );
        Ok(Some(sql))
    }

    /// The predicate under which rows of several types may be looked at; None when no scope opens
    /// any. `row` may bear a `+` to keep its indexes out of the way. Holds are not in it.
    pub(super) fn visible_types(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        types: &[TypeId],
        access: Access,
        sql: &mut Sql,
        row: &str,
    ) -> Result<Option<String>, StoreError> {
        // The same predicate for every type unless scopes differ: one OR over groups of types.
        let mut groups: Vec<(Vec<crate::visibility::Branch>, Vec<TypeId>)> = Vec::new();
        for type_id in types {
            let branches = visibility.branches(*type_id, access);
            match groups.iter_mut().find(|(own, _)| {
                *own == branches && branches.iter().all(|branch| branch.narrowing.is_none())
            }) {
                Some((_, members)) => members.push(*type_id),
                None => groups.push((branches, vec![*type_id])),
            }
        }
        let alias = row.trim_start_matches('+');
        let mut ways = Vec::new();
        for (branches, members) in &groups {
            for branch in branches {
                let mut way = is_of(members, row);
                if let Some(patient) = Visibility::patient_predicate(branch, sql, row) {
                    way.push_str(&format!(" AND {patient}"));
                }
                if let (Some(narrowing), Some(type_id)) = (&branch.narrowing, members.first()) {
                    let narrowed = narrow(self.keys(), *type_id, narrowing, sql, alias)?;
                    way.push_str(&format!(" AND ({narrowed})"));
                }
                ways.push(format!("({way})"));
            }
        }
        Ok((!ways.is_empty()).then(|| format!("({})", ways.join(" OR "))))
    }
}

/// Whether a row is of these types. Of nearly all, those that are left out are named: no index is
/// sought for each of a hundred types then.
fn is_of(types: &[TypeId], row: &str) -> String {
    let list = |types: &[TypeId]| -> String {
        let list: Vec<String> = types.iter().map(ToString::to_string).collect();
        list.join(", ")
    };
    let others: Vec<TypeId> = definitions()
        .types()
        .map(|(type_id, _)| type_id)
        .filter(|type_id| !types.contains(type_id))
        .collect();
    if others.is_empty() {
        "1 = 1".to_owned()
    } else if others.len() < types.len() {
        format!("{row}.type NOT IN ({})", list(&others))
    } else {
        format!("{row}.type IN ({})", list(types))
    }
}

pub(super) fn entry(row: &Selected) -> Result<RecordEntry, StoreError> {
    Ok(RecordEntry {
        type_id: row.get(0)?,
        id: row.get(1)?,
        doc: row.get(2)?,
        body: unpack(row.bytes(3)?.ok_or(StoreError::Corrupt("resource body"))?)?,
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DbBackend};

    use super::{EverythingOf, EverythingQuery};
    use crate::fhir::definitions::{TypeId, definitions};
    use crate::store::Narrow;
    use crate::store::tests::{fixtures, viewer};
    use crate::visibility::{ViewerClass, Visibility};

    /// A page is walked along the patient's index, and stops when it is full.
    #[tokio::test]
    async fn a_page_is_read_in_the_order_of_the_index() {
        let narrow: Narrow = |_, _, _, _, _| Ok("1 = 1".to_owned());
        let types: Vec<TypeId> = definitions().types().map(|(type_id, _)| type_id).collect();
        for fixture in fixtures().await {
            let store = &fixture.store;
            if store.backend() != DbBackend::Sqlite {
                continue;
            }
            for viewer in [
                viewer(ViewerClass::System, None),
                viewer(ViewerClass::Patient, Some("1")),
            ] {
                let visibility = Visibility::of(&viewer, store.keys(), 0, 0);
                let query = EverythingQuery {
                    of: EverythingOf::Patient("1"),
                    types: &types,
                    noted: false,
                    referenced: &[],
                    since: None,
                    care: None,
                    count: 100,
                    after: Some((7, 9)),
                    head: None,
                };
                let page = store
                    .record_sql(&visibility, narrow, &query)
                    .unwrap()
                    .unwrap();
                let mut explain = page.clone();
                explain.text = format!("EXPLAIN QUERY PLAN {}", page.text);
                let steps = store
                    .reader()
                    .query_all_raw(explain.statement(store.backend()))
                    .await
                    .unwrap();
                let steps: Vec<String> = steps
                    .iter()
                    .map(|step| step.try_get("", "detail").unwrap())
                    .collect();
                assert!(
                    steps[0].starts_with("SEARCH r USING INDEX resource_patient (patient=?")
                        && !steps[0].contains("type=?"),
                    "{steps:?}"
                );
                assert!(
                    !steps.iter().any(|step| step.contains("TEMP B-TREE")),
                    "{steps:?}"
                );
            }
        }
    }
}
