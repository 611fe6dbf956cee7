//! `DocumentReference/$docref` (US Core 6.1): the documents of a patient, by care dates and type.
//! What is there is found; nothing is generated, and who asks for that is told so.

use crate::fhir::definitions::definitions;
use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::negotiate::Prefer;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::Reply;
use crate::rest::search::{self, Place};
use crate::rest::session::Session;

/// The references.
pub(super) async fn docref(session: &Session, pairs: &Pairs) -> Result<Reply, RestError> {
    query::only(
        pairs,
        &[
            "patient",
            "start",
            "end",
            "type",
            "on-demand",
            "profile",
            "_count",
            "_cursor",
        ],
    )?;
    let type_id = definitions()
        .type_id("DocumentReference")
        .ok_or(RestError::Internal)?;
    let patient = super::lastn::patient(session, pairs)?;
    let mut search: Pairs = vec![
        ("patient".to_owned(), patient),
        ("status".to_owned(), "current".to_owned()),
    ];
    let mut issues = Vec::new();
    if query::single(pairs, "on-demand")? == Some("true") {
        issues.push(
            Issue::error(
                "not-supported",
                "Documents are not generated on demand; these are those that there are.",
            )
            .information(),
        );
    }
    for (name, own, prefix) in [("start", "period", "ge"), ("end", "period", "le")] {
        if let Some(value) = query::single(pairs, name)? {
            search.push((own.to_owned(), format!("{prefix}{value}")));
        }
    }
    for (name, value) in pairs {
        match &**name {
            "type" => search.push((name.clone(), value.clone())),
            "profile" => search.push(("_profile".to_owned(), value.clone())),
            "_count" | "_cursor" | "_format" | "_pretty" | "_summary" | "_elements" => {
                search.push((name.clone(), value.clone()));
            }
            _ => {}
        }
    }
    let has_dates = search.iter().any(|(name, _)| name == "period");
    if !has_dates {
        search.push(("_sort".to_owned(), "-date".to_owned()));
    }
    let place = Place {
        type_id: Some(type_id),
        compartment: None,
    };
    search::search_with(session, place, &search, Prefer::default(), issues).await
}
