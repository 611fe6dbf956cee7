//! `Observation/$lastn`: a patient's latest observations of each code (R4 Observation-lastn).
//!
//! `patient` (or `subject`) says whose; `max` how many of each code, 1 unless it is given; any other
//! search parameter of Observation but chains narrows what is ranked. Observations without a coding
//! are in no group. Newest first, in pages.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::everything;
use crate::fhir::definitions::definitions;
use crate::rest::bundle::writer::BundleWriter;
use crate::rest::cursor::Cursor;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::route;
use crate::rest::session::Session;
use crate::rest::{RestError, search};
use crate::search::parse;
use crate::store::LastnQuery;
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
                && !matches!(
                    &**name,
                    "patient" | "subject" | "max" | "_count" | "_cursor"
                )
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
    let own = [
        format!("patient={patient}"),
        format!("max={max}"),
        filter.clone(),
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
    let found = found.into_iter().map(|(_, entry)| entry);
    everything::write(&mut bundle, base, &query::view(pairs)?, "match", found)?;
    Ok(Reply::ok(Content::Json(bundle.finish())))
}

/// The id of the patient that is asked about: named, or the one in context.
pub(super) fn patient(session: &Session, pairs: &Pairs) -> Result<String, RestError> {
    let named = match query::single(pairs, "patient")? {
        Some(patient) => Some(patient),
        None => query::single(pairs, "subject")?,
    };
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
