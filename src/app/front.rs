//! The way in: reads and searches of the FHIR API go straight to it, everything else through the router.
//!
//! The guards are the same on both ways (`guards`, `observe::requests`), but around a read they are
//! plain calls: a router's layers each copy the services below them for every request, which costs more
//! than a read from SQLite does.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, header};
use axum::response::Response;
use futures_util::FutureExt as _;
use tower::ServiceExt as _;

use super::api::Api;
use super::{FHIR_PATH, guards};
use crate::observe::requests::Observed;
use crate::store::Store;

/// Everything that this server answers.
pub(super) struct Front {
    /// Below the FHIR base, without guards; and the store, which says whether its index can be searched.
    /// None: everything goes through the router.
    pub(super) api: Option<(Api, Store)>,
    /// Everything, with its guards.
    pub(super) router: Router,
    /// How long a request may take.
    pub(super) limit: Duration,
}

impl Front {
    /// The answer to a request of `peer`.
    pub(super) async fn answer(
        self: Arc<Self>,
        mut request: Request,
        peer: SocketAddr,
    ) -> Response {
        if !guards::names_its_host(&request) {
            let observed = Observed::begin(&mut request, "unmatched");
            return observed.end(guards::no_host(request.uri().path()));
        }
        if let Some((api, store)) = &self.api
            && is_read(&request)
            && !store.is_index_closed()
        {
            return self.read(api.clone(), request).await;
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn read(&self, api: Api, mut request: Request) -> Response {
        let observed = Observed::begin(&mut request, "unmatched");
        let answer = async {
            let answer = AssertUnwindSafe(api.oneshot(request)).catch_unwind();
            match tokio::time::timeout(self.limit, answer).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(panic)) => guards::answer_panic(panic),
                Err(_) => guards::too_long(self.limit),
            }
        };
        let response = observed.within(answer).await;
        observed.end(guards::explained(response, guards::Speech::Fhir))
    }
}

/// Whether a request reads from the FHIR API and nothing in front of it has to know more than that:
/// what lies at `.well-known` belongs to the authorization server.
fn is_read(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().contains_key(header::CONTENT_ENCODING)
        && request
            .uri()
            .path()
            .strip_prefix(FHIR_PATH)
            .is_some_and(|rest| {
                rest.starts_with('/') && !rest.starts_with("/.") && !rest.starts_with("/%2")
            })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(path: &str, method: Method) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request
    }

    #[test]
    fn only_reads_of_the_api_go_straight_to_it() {
        for (path, method, expected) in [
            ("/fhir/r4/Patient/1", Method::GET, true),
            ("/fhir/r4/?_type=Patient", Method::HEAD, true),
            ("/fhir/r4/Patient", Method::POST, false),
            ("/fhir/r4", Method::GET, false),
            ("/fhir/r4x/Patient", Method::GET, false),
            (
                "/fhir/r4/.well-known/smart-configuration",
                Method::GET,
                false,
            ),
            (
                "/fhir/r4/%2Ewell-known/smart-configuration",
                Method::GET,
                false,
            ),
            ("/portal", Method::GET, false),
        ] {
            assert_eq!(is_read(&request(path, method)), expected, "{path}");
        }
    }
}
