//! Hold rows and renditions: what a decision leaves in the database.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, QueryResult};
use serde_json::{Value, json};

use super::apply::resource_insert;
use super::current::{Current, in_list};
use super::indexed::Indexer;
use super::rows::{Insert, Kind};
use super::{StoreError, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::json;
use crate::keys::Keys;
use crate::release::{Audience, Effect, HoldSpan, Mode, Redaction, redact};
use crate::sql::Sql;
use crate::visibility::access_log;

/// A hold row, with the resource that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HoldRow {
    pub(super) doc: i64,
    pub(super) audience: Audience,
    pub(super) exempt: Option<String>,
    pub(super) starts: Millis,
    pub(super) ends: Millis,
    /// The rendition seen instead; 0 for none.
    pub(super) shown: i16,
    pub(super) mode: Mode,
    pub(super) rules: Vec<String>,
    /// `Type/id`.
    pub(super) reference: String,
    pub(super) key: i64,
}

/// All hold rows of these patients' resources but the log of accesses, which has any number of them and nothing
/// depends on; and of these resources (surrogate ids, and keys), which may be about nobody.
pub(super) async fn load(
    on: &impl ConnectionTrait,
    patients: &[i64],
    docs: &[i64],
    keys: &[i64],
) -> Result<Vec<HoldRow>, StoreError> {
    let mut found: Vec<HoldRow> = Vec::new();
    // A resource that one way led to has all its rows by it.
    let mut known: HashSet<i64> = HashSet::new();
    let log = access_log();
    let (before, after) = (
        format!(" AND h.type < {log}"),
        format!(" AND h.type > {log}"),
    );
    let ways = [
        ("h.patient", patients, vec![before.as_str(), after.as_str()]),
        ("h.doc", docs, vec![""]),
        ("r.key", keys, vec![""]),
    ];
    for (column, values, ranges) in ways {
        if values.is_empty() {
            continue;
        }
        let mut sql = Sql::default();
        let list = in_list(&mut sql, on.get_database_backend(), values);
        let selects: Vec<String> = ranges
            .into_iter()
            .map(|range| {
                format!(
                    "SELECT h.doc, h.audience, h.starts, h.ends, h.shown, h.mode, h.detail, \
                     r.type, r.fhir_id, r.key FROM hold h JOIN resource r ON r.id = h.doc \
                     WHERE {column} {list}{range}"
                )
            })
            .collect();
        sql.text = selects.join(" UNION ALL ");
        let before = found.len();
        for row in on
            .query_all_raw(sql.statement(on.get_database_backend()))
            .await?
        {
            let row = hold_row(&row)?;
            if !known.contains(&row.doc) {
                found.push(row);
            }
        }
        known.extend(found.iter().skip(before).map(|row| row.doc));
    }
    Ok(found)
}

/// The audience of a row: a group by its number, one person as the detail says.
pub(super) fn audience(number: i64, detail: &Value) -> Result<Audience, StoreError> {
    let mut groups = Audience::GROUPS.into_iter();
    if let Some(group) = groups.find(|group| group.number() == Some(number)) {
        return Ok(group);
    }
    let one = detail.get("audience").and_then(Value::as_str);
    let one = one.ok_or(StoreError::Corrupt("hold.detail"))?;
    Ok(Audience::One(one.to_owned()))
}

fn hold_row(row: &QueryResult) -> Result<HoldRow, StoreError> {
    let mode: i16 = row.try_get_by_index(5)?;
    let detail: String = row.try_get_by_index(6)?;
    let detail: Value =
        serde_json::from_str(&detail).map_err(|_| StoreError::Corrupt("hold.detail"))?;
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    let audience = audience(row.try_get_by_index(1)?, &detail)?;
    let type_id: TypeId = row.try_get_by_index(7)?;
    let id: String = row.try_get_by_index(8)?;
    Ok(HoldRow {
        doc: row.try_get_by_index(0)?,
        audience,
        exempt: text("exempt"),
        starts: row.try_get_by_index(2)?,
        ends: row.try_get_by_index(3)?,
        shown: row.try_get_by_index(4)?,
        mode: match mode {
            1 => Mode::Pending,
            2 => Mode::Notice,
            _ => Mode::Conceal,
        },
        rules: detail
            .get("rules")
            .and_then(Value::as_array)
            .map(|rules| {
                rules
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
        reference: format!("{}/{id}", definitions().type_name(type_id)),
        key: row.try_get_by_index(9)?,
    })
}

/// What a decision leaves: rows, and the bodies of the renditions they show (1, 2, … in order).
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rows: Vec<HoldRow>,
    pub(super) renditions: Vec<Rendition>,
}

/// A body that some see instead of what was written.
#[derive(Debug)]
pub(super) struct Rendition {
    body: Value,
    /// Of what is about several patients: the key of the one in whose record this stands.
    record: Option<i64>,
}

/// The largest number a rendition can have.
const MOST_RENDITIONS: usize = crate::visibility::predicate::RENDITION_MASK as usize;

/// Turns the spans of a decision about `target` into rows and renditions.
pub(super) fn outcome(
    doc: i64,
    key: i64,
    reference: &str,
    target: &Value,
    spans: &[HoldSpan],
    keys: &Keys,
) -> Outcome {
    let mut renditions: Vec<Rendition> = Vec::new();
    let mut numbers: HashMap<(&Redaction, Option<i64>), i16> = HashMap::new();
    let mut rows = Vec::with_capacity(spans.len());
    for span in spans {
        let record = span.audience.of_record();
        let record = record.map(|patient| key_of(keys, &patient));
        let shown = match &span.effect {
            Effect::Withhold => 0,
            Effect::Redact(redaction) => match numbers.get(&(redaction, record)) {
                Some(number) => *number,
                None => {
                    let body = redact(target, redaction);
                    // Two audiences together are shown what comes after what either is shown.
                    let known = match span.audience.parts() {
                        Some(_) => None,
                        None => renditions.iter().position(|own| {
                            Some(&own.body) == body.as_ref() && own.record == record
                        }),
                    };
                    let number = match (known, body) {
                        (Some(at), _) => at + 1,
                        // Nothing valid is left, or there are more different renditions than
                        // numbers: hold the whole back rather than show what may not be seen.
                        (None, None) => 0,
                        (None, Some(_)) if renditions.len() >= MOST_RENDITIONS => 0,
                        (None, Some(body)) => {
                            renditions.push(Rendition { body, record });
                            renditions.len()
                        }
                    };
                    let number = i16::try_from(number).unwrap_or(0);
                    numbers.insert((redaction, record), number);
                    number
                }
            },
        };
        rows.push(HoldRow {
            doc,
            audience: span.audience.clone(),
            exempt: span.exempt.clone(),
            starts: span.starts,
            ends: span.ends,
            shown,
            mode: span.mode,
            rules: span.rules.clone(),
            reference: reference.to_owned(),
            key,
        });
    }
    Outcome { rows, renditions }
}

/// The number of an audience in hold rows.
pub(super) fn audience_key(keys: &Keys, audience: &Audience) -> i64 {
    match audience {
        Audience::One(reference) => key_of(keys, reference),
        group => group.number().unwrap_or(-1),
    }
}

/// The number of an exempt person in hold rows; 0 for nobody.
pub(super) fn exempt_key(keys: &Keys, exempt: Option<&str>) -> i64 {
    exempt.map_or(0, |who| key_of(keys, who))
}

fn key_of(keys: &Keys, reference: &str) -> i64 {
    reference
        .split_once('/')
        .map_or(-1, |(type_name, id)| keys.reference(type_name, id))
}

/// Replaces the hold rows of a resource.
pub(super) async fn replace_rows(
    on: &impl ConnectionTrait,
    keys: &Keys,
    doc: i64,
    patient: i64,
    rows: &[HoldRow],
) -> Result<(), StoreError> {
    let mut sql = Sql::default();
    let place = sql.bind(doc);
    sql.text = format!("DELETE FROM hold WHERE doc = {place}");
    on.execute_raw(sql.statement(on.get_database_backend()))
        .await?;
    let mut insert = Insert::new(
        "hold",
        &[
            ("doc", Kind::Big),
            ("audience", Kind::Big),
            ("starts", Kind::Big),
            ("ends", Kind::Big),
            ("exempt", Kind::Big),
            ("shown", Kind::Small),
            ("mode", Kind::Small),
            ("patient", Kind::Big),
            ("detail", Kind::Text),
            ("type", Kind::Small),
        ],
        "",
    );
    for row in rows {
        let type_id = row.reference.split('/').next();
        let type_id = type_id.and_then(|name| definitions().type_id(name));
        let mut detail = json!({"rules": row.rules});
        if let Audience::One(reference) = &row.audience {
            detail["audience"] = json!(reference);
        }
        if let Some(exempt) = &row.exempt {
            detail["exempt"] = json!(exempt);
        }
        insert.push([
            doc.into(),
            audience_key(keys, &row.audience).into(),
            row.starts.into(),
            row.ends.into(),
            exempt_key(keys, row.exempt.as_deref()).into(),
            row.shown.into(),
            (row.mode as i16).into(),
            patient.into(),
            detail.to_string().into(),
            type_id.unwrap_or_default().into(),
        ]);
    }
    Ok(insert.run(on).await?)
}

/// The resource is in another record now. Searches in one record ask first whether that has holds at all.
pub(super) async fn move_rows(
    on: &impl ConnectionTrait,
    doc: i64,
    patient: i64,
) -> Result<(), StoreError> {
    let mut sql = Sql::default();
    let (patient, doc) = (sql.bind(patient), sql.bind(doc));
    sql.text = format!("UPDATE hold SET patient = {patient} WHERE doc = {doc}");
    on.execute_raw(sql.statement(on.get_database_backend()))
        .await?;
    Ok(())
}

/// Ends what was shown of a resource in part when the resource is deleted: the renditions, and the
/// rows that show one. Who saw a rendition finds the resource deleted, like everybody; from whom
/// the whole was held, the deletion is held too.
pub(super) async fn delete_shown(
    on: &impl ConnectionTrait,
    indexer: &Indexer,
    current: &Current,
) -> Result<(), StoreError> {
    let mut sql = Sql::default();
    let doc = sql.bind(current.doc);
    sql.text = format!("DELETE FROM hold WHERE doc = {doc} AND shown > 0");
    on.execute_raw(sql.statement(on.get_database_backend()))
        .await?;
    replace_renditions(on, indexer, current, &[]).await
}

/// Replaces the renditions of a resource, bodies and index rows.
pub(super) async fn replace_renditions(
    on: &impl ConnectionTrait,
    indexer: &Indexer,
    current: &Current,
    renditions: &[Rendition],
) -> Result<(), StoreError> {
    let backend = on.get_database_backend();
    let mut sql = Sql::default();
    let first = sql.bind(current.doc + 1);
    let last = sql.bind(current.doc | crate::visibility::predicate::RENDITION_MASK);
    sql.text =
        format!("SELECT id, body, patient FROM resource WHERE id BETWEEN {first} AND {last}");
    let old = on.query_all_raw(sql.statement(backend)).await?;
    let mut index = indexer.writer();
    for row in &old {
        let (id, patient): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(2)?);
        let body = packed::column(row, 1)?.ok_or(StoreError::Corrupt("rendition body"))?;
        let value: Value =
            serde_json::from_slice(&body).map_err(|_| StoreError::Corrupt("rendition body"))?;
        let rows = indexer.rows(current.type_id, &value);
        index.remove(current.type_id, id, patient, &rows);
    }
    if !old.is_empty() {
        let mut sql = Sql::default();
        let first = sql.bind(current.doc + 1);
        let last = sql.bind(current.doc | crate::visibility::predicate::RENDITION_MASK);
        sql.text = format!("DELETE FROM resource WHERE id BETWEEN {first} AND {last}");
        on.execute_raw(sql.statement(backend)).await?;
    }
    let mut insert = resource_insert();
    for (rendition, number) in renditions.iter().zip(1_i16..) {
        let id = current.doc + i64::from(number);
        let rows = indexer.rows(current.type_id, &rendition.body);
        // A rendition stays in the compartment of what it is a rendition of.
        let patient = rendition.record.unwrap_or(current.patient);
        index.add(current.type_id, id, patient, &rows);
        insert.push([
            id.into(),
            current.type_id.into(),
            number.into(),
            current.key.into(),
            patient.into(),
            current.version.into(),
            current.updated.into(),
            current.method.into(),
            0_i16.into(),
            current.id.as_str().into(),
            packed::pack(backend, &json::to_bytes(&rendition.body)).into(),
        ]);
    }
    insert.run(on).await?;
    // Its units are those of the resource itself, which remembers them.
    index.run(on).await?;
    Ok(())
}
