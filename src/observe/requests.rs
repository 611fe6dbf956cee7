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
use tracing::{Instrument as _, info, info_span};
use uuid::Uuid;

use super::metrics::{IN_FLIGHT, REQUESTS, SECONDS};
use crate::rest::Interaction;

/// Names a request in the log and in its answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id, for handlers that want to repeat it.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Middleware around every route.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers().get(REQUEST_ID));
    let method = method_name(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = info_span!("request", request_id = id, method, route = Empty);
    let answering = InFlight::begin();
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let elapsed = began.elapsed();
    drop(answering);
    let status = response.status().as_u16();
    // The FHIR API is one route; the interaction says what was asked of it.
    let route = match response.extensions().get::<Interaction>() {
        Some(Interaction(name)) => format!("fhir {name}"),
        None => route,
    };
    span.record("route", &route);
    span.in_scope(|| {
        info!(
            status,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
    });
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!(SECONDS, "method" => method, "route" => route).record(elapsed.as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
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
        .map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
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
