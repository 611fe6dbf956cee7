//! One log line and one sample for each request, and the request's id.
//!
//! Paths and query strings name patients, so neither is logged: the route's template is.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, gauge, histogram};
use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span, info, info_span};
use uuid::Builder;

use super::metrics::{IN_FLIGHT, REQUESTS, SECONDS};
use crate::rest::Interaction;

/// Names a request in the log and in its answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware around every route.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let observed = Observed::begin(&mut request, route);
    let response = observed.within(next.run(request)).await;
    observed.end(response)
}

/// A request that is being answered. Dropped without [`Observed::end`], its client went away.
pub struct Observed {
    id: String,
    method: &'static str,
    route: String,
    span: Span,
    began: Instant,
    _answering: InFlight,
}

impl Observed {
    /// Begins with a request, of this route's template. Whoever answers finds the id among its headers.
    #[must_use]
    pub fn begin(request: &mut Request, route: &str) -> Self {
        let id = request_id(request.headers().get(REQUEST_ID));
        if let Ok(value) = HeaderValue::from_str(&id) {
            request.headers_mut().insert(REQUEST_ID, value);
        }
        let method = method_name(request.method());
        Self {
            span: info_span!("request", request_id = id, method, route = Empty),
            id,
            method,
            route: route.to_owned(),
            began: Instant::now(),
            _answering: InFlight::begin(),
        }
    }

    /// What logs in the course of this says which request it was.
    pub fn within<F: Future>(&self, answer: F) -> Instrumented<F> {
        answer.instrument(self.span.clone())
    }

    /// Ends with the answer: its log line, its samples, its id.
    #[must_use]
    pub fn end(self, mut response: Response) -> Response {
        let elapsed = self.began.elapsed();
        let status = response.status().as_u16();
        // The FHIR API is one route; the interaction says what was asked of it.
        let route = match response.extensions().get::<Interaction>() {
            Some(Interaction { name, .. }) => format!("fhir {name}"),
            None => self.route,
        };
        self.span.record("route", &route);
        self.span.in_scope(|| {
            info!(
                status,
                duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                "answered"
            );
        });
        let method = self.method;
        counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string())
            .increment(1);
        histogram!(SECONDS, "method" => method, "route" => route).record(elapsed.as_secs_f64());
        if let Ok(value) = HeaderValue::try_from(self.id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
}

/// Takes part in the in-flight gauge until dropped, also when the client goes away.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1.0);
    }
}

/// The sender's id when it is short and plain, so that a log line cannot be forged with it.
fn request_id(sent: Option<&HeaderValue>) -> String {
    sent.and_then(|value| value.to_str().ok())
        .filter(|text| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        })
        .map_or_else(random_id, ToOwned::to_owned)
}

/// A random UUID, from the thread's own generator: it names a request and guards nothing.
fn random_id() -> String {
    let id = Builder::from_random_bytes(rand::random()).into_uuid();
    id.to_string()
}

/// A client may invent methods; a label may not.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_request_id_is_replaced() {
        let plain = HeaderValue::from_static("a-1.B_2");
        assert_eq!(request_id(Some(&plain)), "a-1.B_2");
        for strange in ["", "a b", "x\ty", &"x".repeat(65)] {
            let value = HeaderValue::from_str(strange).unwrap();
            assert_ne!(request_id(Some(&value)), strange);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
