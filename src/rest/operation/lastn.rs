//! `Observation/$lastn`: a patient's latest observations of each code (R4 Observation-lastn).
//!
//! `patient` (or `subject`) says whose; `max` how many of each code, 1 unless it is given; any other
//! search parameter of Observation but chains narrows what is ranked. Observations without a coding
//! are in no group.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::everything;
use crate::fhir::definitions::definitions;
use crate::fhir::json;
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::rest::bundle::writer::BundleWriter;
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
            !query::is_general(name) && !matches!(&**name, "patient" | "subject" | "max" | "_count")
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
    let mut found = session
        .store
        .lastn(
            &session.visibility,
            search::NARROW,
            &LastnQuery {
                patient: &patient,
                filter: (!filter.is_empty()).then_some(&*filter),
                max,
                count: count.saturating_add(1),
            },
        )
        .await?;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let is_cut = found.len() > wanted;
    found.truncate(wanted);
    session.touch(found.iter().map(|entry| (entry.type_id, &*entry.id)));
    let base = session.store.base();
    let mut bundle = BundleWriter::new("searchset");
    if !is_cut {
        bundle.total(i64::try_from(found.len()).unwrap_or(i64::MAX));
    }
    let own = [
        format!("patient={patient}"),
        format!("max={max}"),
        filter.clone(),
    ];
    let own: Vec<String> = own.into_iter().filter(|part| !part.is_empty()).collect();
    bundle.link(
        "self",
        &format!("{base}/Observation/$lastn?{}", own.join("&")),
    );
    everything::write(&mut bundle, base, &query::view(pairs)?, "match", found)?;
    if is_cut {
        let issue = Issue::error(
            "incomplete",
            "There are more: ask for fewer codes or a smaller max, or for a larger _count.",
        );
        let outcome = json::to_bytes(&operation_outcome(&[issue.warning()]));
        bundle.entry(|out| {
            out.raw("resource", &outcome);
            out.object("search", |out| out.text("mode", "outcome"));
        });
    }
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
