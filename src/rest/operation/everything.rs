//! `Patient/[id]/$everything` and `Encounter/[id]/$everything`: the record in pages, with the
//! people, places and medications that it refers to (R4 Patient-everything, Encounter-everything).
//! `Patient/$everything` is the record of the patient in context, else the records of all patients.

use std::fmt::Write as _;

use crate::clock::{Millis, instant};
use crate::fhir::date::PartialDate;
use crate::fhir::definitions::{TypeId, definitions};
use crate::rest::bundle::writer::BundleWriter;
use crate::rest::cursor::Cursor;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::view::View;
use crate::rest::{RestError, audit, read, search};
use crate::store::{EverythingOf, EverythingQuery, RecordEntry};
use crate::visibility::{Access, record_types};

/// Entries of a page of everybody's records unless `_count` says otherwise. One record comes as a
/// whole, as the definition's comments ask, up to the largest page there is.
const PAGE: u32 = 100;

/// What comes along where the record refers to it.
const REFERENCED: &[&str] = &[
    "Device",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Substance",
];

/// One page.
pub(super) async fn page(
    session: &Session,
    of: EverythingOf<'_>,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    query::only(
        pairs,
        &["start", "end", "_since", "_type", "_count", "_cursor"],
    )?;
    let own = definitions()
        .type_id(of.address().map_or("Patient", |(type_name, _)| type_name))
        .ok_or(RestError::Internal)?;
    session.require(own, Access::Read)?;
    let asked = Asked::read(session, of, pairs)?;
    if of.address().is_none() && asked.care.is_some() {
        return Err(RestError::bad_request(
            "not-supported",
            "Without an id, $everything takes _since, _type and _count; start and end are for one \
             patient.",
        ));
    }
    let path = match of.address() {
        Some((type_name, id)) => format!("{type_name}/{id}/$everything"),
        None => "Patient/$everything".to_owned(),
    };
    let what = format!("{path}?{}", asked.text);
    let cursor = query::single(pairs, "_cursor")?
        .map(|text| Cursor::open(session, &what, text))
        .transpose()?;
    let visibility = session.visibility_on_page(cursor.map(|cursor| cursor.instant));
    // On every page: what has been withheld meanwhile is gone.
    let within = Session {
        visibility: visibility.clone(),
        ..session.clone()
    };
    let head = match of.address() {
        Some((_, id)) => Some((id, read::fetch(&within, own, id, &Pairs::new()).await?)),
        None => None,
    };
    let is_first = cursor.is_none();
    let head = head.filter(|(_, head)| {
        is_first && asked.wants(own) && asked.since.is_none_or(|since| head.updated >= since)
    });
    // Of everybody, Patients are part of the record like all else.
    let apart = of.address().map(|_| own);
    let types = asked.record_types(apart);
    let referenced = asked.referenced_types(own);
    let query = EverythingQuery {
        of,
        types: &types,
        noted: asked.types.is_some(),
        referenced: &referenced,
        since: asked.since,
        care: asked.care,
        count: asked.count,
        after: cursor
            .map(|cursor| {
                let (type_id, doc, _) = cursor.after;
                TypeId::try_from(type_id).map(|type_id| (type_id, doc))
            })
            .transpose()
            .map_err(|_| RestError::bad_request("invalid", "The _cursor is damaged."))?,
        head: head.as_ref().map(|(_, head)| head.doc),
    };
    let found = session
        .store
        .everything(&visibility, search::NARROW, &query)
        .await?;

    let base = session.store.base();
    let mut bundle = BundleWriter::new("searchset");
    if is_first && !found.more {
        let total = found.entries.len() + usize::from(head.is_some());
        bundle.total(i64::try_from(total).unwrap_or(i64::MAX));
    }
    let link = |cursor: Option<String>| {
        let mut query = asked.text.clone();
        if let Some(cursor) = cursor {
            let _ = write!(query, "&_cursor={cursor}");
        }
        format!("{base}/{path}?{query}")
    };
    bundle.link("self", &link(None));
    if found.more
        && let Some(last) = found.entries.last()
    {
        let place = Cursor {
            instant: visibility.instant(),
            after: (last.type_id.into(), last.doc, 0),
        };
        bundle.link("next", &link(Some(place.seal(session, &what)?)));
    }
    let all = found.entries.iter().chain(&found.referenced);
    let first = head.as_ref().map_or(0, |(_, head)| head.body.len());
    bundle.reserve(first + all.map(|entry| entry.body.len() + 192).sum::<usize>());
    session.touch(
        found
            .entries
            .iter()
            .map(|entry| (entry.type_id, &*entry.id)),
    );
    let head = head.map(|(id, head)| RecordEntry {
        type_id: own,
        id: id.to_owned(),
        doc: head.doc,
        body: head.body,
    });
    let view = query::view(pairs)?;
    let matches = head.into_iter().chain(found.entries);
    write(&mut bundle, base, &view, "match", matches)?;
    write(&mut bundle, base, &view, "include", found.referenced)?;
    let incomplete = audit::incomplete_search(session, &path, pairs);
    search::tell(&mut bundle, incomplete.as_slice());
    Ok(Reply::ok(Content::Json(bundle.finish())))
}

/// Writes entries of one mode.
pub(super) fn write(
    bundle: &mut BundleWriter,
    base: &str,
    view: &View,
    mode: &str,
    entries: impl IntoIterator<Item = RecordEntry>,
) -> Result<(), RestError> {
    for entry in entries {
        let type_name = definitions().type_name(entry.type_id);
        let body = view.apply(entry.type_id, entry.body)?;
        bundle.entry(|out| {
            out.text("fullUrl", &format!("{base}/{type_name}/{}", entry.id));
            out.raw("resource", &body);
            out.object("search", |out| out.text("mode", mode));
        });
    }
    Ok(())
}

/// The parameters, understood.
#[derive(Debug)]
struct Asked {
    types: Option<Vec<TypeId>>,
    since: Option<Millis>,
    care: Option<(Millis, Millis)>,
    count: u32,
    /// The query of the links, without a cursor.
    text: String,
}

impl Asked {
    fn read(session: &Session, of: EverythingOf<'_>, pairs: &Pairs) -> Result<Self, RestError> {
        let mut text = String::new();
        let day = |name: &str| -> Result<Option<(PartialDate, &str)>, RestError> {
            query::single(pairs, name)?
                .map(|value| {
                    let date = PartialDate::parse_search(value).ok_or_else(|| {
                        RestError::bad_request(
                            "value",
                            format!("{name} must be a date, such as 2026-11-10."),
                        )
                    })?;
                    Ok((date, value))
                })
                .transpose()
        };
        let (start, end) = (day("start")?, day("end")?);
        let care = match (&start, &end) {
            (None, None) => None,
            _ => Some((
                start
                    .as_ref()
                    .map_or(Millis::MIN, |(date, _)| date.range().0),
                end.as_ref().map_or(Millis::MAX, |(date, _)| date.range().1),
            )),
        };
        for (name, date) in [("start", &start), ("end", &end)] {
            if let Some((_, value)) = date {
                let _ = write!(text, "{name}={}&", value.replace(['+', ' '], "%2B"));
            }
        }
        let since = query::single(pairs, "_since")?
            .map(|value| {
                query::instant(value).ok_or_else(|| {
                    RestError::bad_request(
                        "value",
                        "_since must be an instant, such as 2026-11-10T15:00:00Z.",
                    )
                })
            })
            .transpose()?;
        if let Some(since) = since {
            let _ = write!(text, "_since={}&", instant(since));
        }
        let types = query::types(pairs)?;
        if !types.is_empty() {
            let names: Vec<&str> = types
                .iter()
                .map(|type_id| definitions().type_name(*type_id))
                .collect();
            let _ = write!(text, "_type={}&", names.join(","));
        }
        let count = match query::single(pairs, "_count")? {
            None if of.address().is_none() => PAGE.min(session.limits.max_page),
            None => session.limits.max_page,
            Some(_) => query::count(pairs, &session.limits)?,
        };
        let _ = write!(text, "_count={count}");
        Ok(Self {
            types: (!types.is_empty()).then_some(types),
            since,
            care,
            count,
            text,
        })
    }

    fn wants(&self, type_id: TypeId) -> bool {
        self.types
            .as_ref()
            .is_none_or(|types| types.binary_search(&type_id).is_ok())
    }

    /// Types of the record. Who looked at it is part of it only where that is asked for.
    fn record_types(&self, apart: Option<TypeId>) -> Vec<TypeId> {
        let mut types: Vec<TypeId> = match &self.types {
            Some(named) => named.clone(),
            None => record_types().collect(),
        };
        types.retain(|type_id| Some(*type_id) != apart);
        types
    }

    fn referenced_types(&self, own: TypeId) -> Vec<TypeId> {
        REFERENCED
            .iter()
            .filter_map(|name| definitions().type_id(name))
            .filter(|type_id| *type_id != own && self.wants(*type_id))
            .collect()
    }
}
