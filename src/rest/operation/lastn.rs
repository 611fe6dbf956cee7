//! `Observation/$lastn`: a patient's latest observations of each code (R4 Observation-lastn).
//!
//! `patient` (or `subject`) says whose; `max` how many of each code, 1 unless it is given; any other
//! search parameter of Observation but chains narrows what is ranked. Codings of one observation
//! mean the same; one without a coding is grouped by its text. Newest first, in pages, with what
//! `_include` and `_revinclude` ask for.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::everything;
use crate::fhir::definitions::{TypeId, definitions};
use crate::rest::bundle::writer::BundleWriter;
use crate::rest::cursor::Cursor;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::route;
use crate::rest::session::Session;
use crate::rest::{RestError, search};
use crate::search::{Mode, SearchRequest, parse};
use crate::store::{LastnQuery, RecordEntry};
use crate::visibility::Access;

/// The observations.
pub(super) async fn lastn(session: &Session, pairs: &Pairs) -> Result<Reply, RestError> {
    let type_id = definitions()
        .type_id("Observation")
        .ok_or(RestError::Internal)?;
    session.require(type_id, Access::Search)?;
    let patient = patient(session, pairs)?;
    let max = match query::single(pairs, "max")? {
        None => 1,
        Some(text) => text
            .parse::<u32>()
            .ok()
            .filter(|max| *max > 0)
            .ok_or_else(|| RestError::bad_request("value", "max must be a number above 0."))?,
    };
    // Encoded for the one reader of conditions, which takes a query.
    let filter: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| {
            !query::is_general(name)
                && !is_patient(name)
                && !is_include(name)
                && !matches!(&**name, "max" | "_count" | "_cursor")
        })
        .map(|(name, value)| {
            let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            format!("{}={}", encode(name), encode(value))
        })
        .collect();
    let filter = filter.join("&");
    if !filter.is_empty() {
        parse::narrowing(type_id, &filter).map_err(|_| {
            RestError::bad_request(
                "not-supported",
                "$lastn takes patient, max, and the search parameters of Observation without \
                 chains; one of these it cannot read.",
            )
        })?;
    }
    let count = match query::single(pairs, "_count")? {
        None => session.limits.max_page,
        Some(_) => query::count(pairs, &session.limits)?,
    };
    let includes: Vec<(String, String)> = pairs
        .iter()
        .filter(|(name, _)| is_include(name))
        .cloned()
        .collect();
    let count = match includes.is_empty() {
        true => count,
        // As many ids as one search takes.
        false => count.min(MOST_WITH_INCLUDES),
    };
    let asked: Vec<String> = includes
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    let own = [
        format!("patient={patient}"),
        format!("max={max}"),
        filter.clone(),
        asked.join("&"),
        match query::single(pairs, "_count")? {
            Some(_) => format!("_count={count}"),
            None => String::new(),
        },
    ];
    let own: Vec<String> = own.into_iter().filter(|part| !part.is_empty()).collect();
    let what = format!("Observation/$lastn?{}", own.join("&"));
    let token = query::single(pairs, "_cursor")?;
    let cursor = token
        .map(|text| Cursor::open(session, &what, text))
        .transpose()?;
    let visibility = session.visibility_on_page(cursor.map(|cursor| cursor.instant));
    let mut found = session
        .store
        .lastn(
            &visibility,
            search::NARROW,
            &LastnQuery {
                patient: &patient,
                filter: (!filter.is_empty()).then_some(&*filter),
                max,
                count: count.saturating_add(1),
                after: cursor.map(|cursor| (cursor.after.0, cursor.after.1)),
            },
        )
        .await?;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let is_cut = found.len() > wanted;
    found.truncate(wanted);
    session.touch(found.iter().map(|(_, entry)| (entry.type_id, &*entry.id)));
    let base = session.store.base();
    let mut bundle = BundleWriter::new("searchset");
    if !is_cut && cursor.is_none() {
        bundle.total(i64::try_from(found.len()).unwrap_or(i64::MAX));
    }
    let shape = search::shape(pairs, false);
    let link = |token: Option<&str>| {
        let token = token.map(|token| format!("&_cursor={token}"));
        format!("{base}/{what}{shape}{}", token.unwrap_or_default())
    };
    bundle.link("self", &link(token));
    if is_cut && let Some((low, last)) = found.last() {
        let place = Cursor {
            instant: visibility.instant(),
            after: (*low, last.doc, 0),
        };
        bundle.link("next", &link(Some(&place.seal(session, &what)?)));
    }
    let found: Vec<RecordEntry> = found.into_iter().map(|(_, entry)| entry).collect();
    let included = included(session, type_id, includes, &found).await?;
    let view = query::view(pairs)?;
    everything::write(&mut bundle, base, &view, "match", found)?;
    everything::write(&mut bundle, base, &view, "include", included)?;
    Ok(Reply::ok(Content::Json(bundle.finish())))
}

/// Observations of a page with `_include`: a search takes no more ids.
const MOST_WITH_INCLUDES: u32 = 500;

/// Whether a parameter says whose observations.
fn is_patient(name: &str) -> bool {
    matches!(
        name,
        "patient" | "subject" | "patient:Patient" | "subject:Patient"
    )
}

fn is_include(name: &str) -> bool {
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    matches!(name, "_include" | "_revinclude")
}

/// What comes along with the observations of a page: a search for them finds it.
async fn included(
    session: &Session,
    type_id: TypeId,
    includes: Vec<(String, String)>,
    found: &[RecordEntry],
) -> Result<Vec<RecordEntry>, RestError> {
    if includes.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = found.iter().map(|entry| &*entry.id).collect();
    // Of nothing, only whether it is understood.
    let (ids, count) = match ids.is_empty() {
        true => ("none".to_owned(), 0),
        false => (ids.join(","), ids.len()),
    };
    let mut pairs = includes;
    pairs.push(("_id".to_owned(), ids));
    pairs.push(("_count".to_owned(), count.to_string()));
    let request = SearchRequest {
        type_id: Some(type_id),
        pairs: &pairs,
        compartment: None,
        strict: true,
    };
    let result = crate::search::search(&session.store, &session.viewer, &request).await?;
    let included = result.entries.into_iter();
    let included: Vec<RecordEntry> = included
        .filter(|entry| entry.mode == Mode::Include)
        .map(|entry| RecordEntry {
            type_id: entry.type_id,
            id: entry.fhir_id,
            doc: 0,
            body: entry.body,
        })
        .collect();
    session.touch(included.iter().map(|entry| (entry.type_id, &*entry.id)));
    Ok(included)
}

/// The id of the patient that is asked about: named, or the one in context.
pub(super) fn patient(session: &Session, pairs: &Pairs) -> Result<String, RestError> {
    let mut named = None;
    for name in ["patient", "subject", "patient:Patient", "subject:Patient"] {
        let own = query::single(pairs, name)?;
        named = named.or(own);
    }
    let base = session.store.base();
    let id = match named {
        Some(text) => {
            let local = text
                .strip_prefix(base)
                .map_or(text, |rest| rest.trim_start_matches('/'));
            local.strip_prefix("Patient/").unwrap_or(local)
        }
        None => session.visibility.patient_id().ok_or_else(|| {
            RestError::bad_request("required", "Say whose with patient=, the id of a Patient.")
        })?,
    };
    if route::is_id(id) {
        Ok(id.to_owned())
    } else {
        Err(RestError::bad_request(
            "value",
            "patient must be the id of one Patient of this server.",
        ))
    }
}
