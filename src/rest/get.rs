//! Every interaction that reads, by its address: what GET does over HTTP and in a bundle's entry.

use super::negotiate::Prefer;
use super::query::Pairs;
use super::read::{self, Freshness};
use super::reply::Reply;
use super::route::Route;
use super::search::{self, Place};
use super::session::Session;
use super::{RestError, audit, capability, history, operation};
use crate::store::HistoryScope;
use crate::visibility::Access;

/// A request to read something.
#[derive(Clone, Debug)]
pub(super) struct GetRequest {
    /// Below the base.
    pub(super) path: String,
    pub(super) pairs: Pairs,
    pub(super) freshness: Freshness,
    pub(super) prefer: Prefer,
    pub(super) is_head: bool,
}

/// What can be told without looking: whether there is such an address, and whether the scopes open
/// it. A transaction checks this before it writes.
pub(super) fn check(session: &Session, request: &GetRequest) -> Result<(), RestError> {
    let route = Route::parse(&request.path);
    match route {
        Route::Unknown | Route::UnknownType => Err(unknown(route)),
        Route::Instance(type_id, _)
        | Route::Version(type_id, ..)
        | Route::InstanceHistory(type_id, _) => session.require(type_id, Access::Read),
        Route::Type(type_id)
        | Route::TypeHistory(type_id)
        | Route::Compartment(_, _, Some(type_id)) => session.require(type_id, Access::Search),
        Route::SystemSearch | Route::TypeSearch(_) | Route::CompartmentSearch(..) => {
            Err(post_only(route))
        }
        _ => Ok(()),
    }
}

/// The answer.
pub(super) async fn get(session: &Session, request: &GetRequest) -> Result<Reply, RestError> {
    let route = Route::parse(&request.path);
    let pairs = &request.pairs;
    let freshness = &request.freshness;
    let searched = |type_id, compartment| {
        // All but reads in boxes, so that this future is small.
        Box::pin(search::search(
            session,
            Place {
                type_id,
                compartment,
            },
            pairs,
            request.prefer,
        ))
    };
    let past = |scope| Box::pin(history::history(session, scope, pairs));
    // Whoever knows the id of an AuditEvent got it from one that is made.
    if !matches!(
        route,
        Route::Instance(..) | Route::Version(..) | Route::InstanceHistory(..)
    ) {
        audit::settle(session, &request.path, pairs).await?;
    }
    let mut reply = match route {
        Route::Metadata => Ok(capability::reply(
            session.store.base(),
            None,
            &session.limits,
            &session.store.custom(),
        )),
        Route::Instance(type_id, id) => read::read(session, type_id, id, pairs, freshness).await,
        Route::Version(type_id, id, version) => {
            Box::pin(read::vread(session, type_id, id, version, pairs, freshness)).await
        }
        Route::InstanceHistory(type_id, id) => past(HistoryScope::Instance(type_id, id)).await,
        Route::TypeHistory(type_id) => past(HistoryScope::Type(type_id)).await,
        Route::SystemHistory => past(HistoryScope::System).await,
        Route::System => searched(None, None).await,
        Route::Type(type_id) => searched(Some(type_id), None).await,
        Route::Compartment(type_id, id, wanted) => searched(wanted, Some((type_id, id))).await,
        Route::SystemOperation(_)
        | Route::TypeOperation(..)
        | Route::InstanceOperation(..)
        | Route::VersionOperation(..) => Box::pin(operation::get(session, route, pairs)).await,
        Route::SystemSearch | Route::TypeSearch(_) | Route::CompartmentSearch(..) => {
            Err(post_only(route))
        }
        Route::Unknown | Route::UnknownType => Err(unknown(route)),
    }?;
    if request.is_head {
        reply.content = super::reply::Content::Empty;
    }
    Ok(reply)
}

fn post_only(route: Route<'_>) -> RestError {
    RestError::MethodNotAllowed {
        allow: route.allow(),
        text: "_search takes POST; a GET search leaves _search out.".to_owned(),
    }
}

/// 404 for an address that this API does not have, whoever asks.
pub(super) fn unknown(route: Route<'_>) -> RestError {
    RestError::UnknownAddress(match route {
        Route::UnknownType => {
            "FHIR R4 has no such resource type. GET metadata lists what this server has.".to_owned()
        }
        _ => "This API has no such address. GET metadata lists what this server has.".to_owned(),
    })
}
