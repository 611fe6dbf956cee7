//! What stands around every handler: time limits, panics, and errors in FHIR's own words.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::FHIR_PATH;
use crate::fhir::outcome::{Issue, operation_outcome};

/// Gives up on a request that takes too long, its body included: 503, to be tried again.
pub async fn time_limit(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_long(limit),
    }
}

/// The answer to a request that took longer than `limit`.
pub(super) fn too_long(limit: Duration) -> Response {
    tracing::warn!(limit_s = limit.as_secs(), "request took too long");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// The answer after a panic. The hook of `observe::logging` logged its place; its message may hold
/// part of a record, so it goes nowhere.
#[must_use]
pub fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Any path that no route knows.
pub async fn unknown_route() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

/// [`explained`], whatever the route.
pub async fn outcome_for_errors(
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    let is_fhir = uri
        .path()
        .strip_prefix(FHIR_PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    explained(next.run(request).await, is_fhir)
}

/// Under the FHIR base, gives every error that has no OperationOutcome yet (the router's own, an
/// extractor's, a panic's) one; elsewhere, a line of text to those without a body.
pub(super) fn explained(response: Response, is_fhir: bool) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || says_something(response.headers(), is_fhir)
    {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let (code, words) = words(status);
    let (content_type, body) = if is_fhir {
        (
            "application/fhir+json; charset=utf-8",
            operation_outcome(&[Issue::error(code, words)]).to_string(),
        )
    } else {
        ("text/plain; charset=utf-8", format!("{words}\n"))
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    Response::from_parts(parts, Body::from(body))
}

/// Whether an error answer already speaks for itself.
fn says_something(headers: &HeaderMap, is_fhir: bool) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if is_fhir {
        // axum's own rejections are plain text; ours are JSON or XML.
        content_type.contains("json") || content_type.contains("xml")
    } else {
        !content_type.is_empty()
    }
}

/// An issue type and what to do, for errors that nobody explained.
fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("invalid", "The request cannot be read."),
        StatusCode::UNAUTHORIZED => ("login", "This needs an access token."),
        StatusCode::FORBIDDEN => ("forbidden", "This is not allowed."),
        StatusCode::NOT_FOUND => (
            "not-found",
            "There is nothing at this URL. The CapabilityStatement at metadata lists what there is.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "not-supported",
            "This URL does not take this HTTP method. The CapabilityStatement at metadata lists what there is.",
        ),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "The request took too long to arrive."),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "too-costly",
            "The request body is larger than this server takes (limits.body_megabytes). Send it in parts.",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "not-supported",
            "Send application/fhir+json or application/fhir+xml, plain or with Content-Encoding: gzip.",
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            "transient",
            "The server cannot answer this now. Nothing was changed unless an earlier answer said so; try again.",
        ),
        status if status.is_client_error() => ("invalid", "The request was refused."),
        _ => (
            "exception",
            "The server failed. The operator finds the cause by the x-request-id of this answer.",
        ),
    }
}
