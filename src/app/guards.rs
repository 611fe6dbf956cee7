//! What stands around every handler: time limits, panics, and errors in FHIR's own words.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::FHIR_PATH;
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::smart::{self, SmartState};

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

/// Whether a request has the one `Host` that it needs: hyper asks for none, and takes several
/// (RFC 9112 section 3.2). Whoever stands before this server may have believed another one of them.
pub(super) fn names_its_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), request.version()) {
        (Some(host), None, _) => is_host(host.as_bytes()),
        // HTTP/2 has `:authority`.
        (None, None, version) => version != Version::HTTP_11,
        (_, Some(_), _) => false,
    }
}

/// Whether a value is `uri-host [ ":" port ]`. An empty one names no host, and http has none without
/// (RFC 9110 section 4.2.1).
fn is_host(value: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(value) else {
        return false;
    };
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| {
        port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The answer to one that has not.
pub(super) fn no_host(path: &str) -> Response {
    let words = "A request of HTTP/1.1 has one Host header, with the name of the host.";
    let mut refused = StatusCode::BAD_REQUEST.into_response();
    as_it_says(&mut refused);
    said(
        refused,
        Speech::at(path),
        ("invalid", words),
        ("invalid_request", words),
    )
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
    explained(next.run(request).await, Speech::at(uri.path()))
}

/// Around [`outcome_for_errors`]: a line of text becomes a page for whoever asks for pages (portal.md A11).
pub async fn page_for_people(
    State(smart): State<SmartState>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    if Speech::at(uri.path()) != Speech::Plain || !wants_a_page(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let asked = Request::from_parts(parts.clone(), Body::empty());
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    let is_text = has_type(response.headers(), "text/plain");
    if !(is_text && (status.is_client_error() || status.is_server_error())) {
        return response;
    }
    let mut page = smart::problem_page(&smart, asked, status).await;
    for name in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT);
    accepted.is_some_and(|value| {
        value
            .to_str()
            .is_ok_and(|kinds| kinds.contains("text/html"))
    })
}

fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    value.is_some_and(|value| value.to_str().is_ok_and(|own| own.starts_with(kind)))
}

/// In whose words an error is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// An OperationOutcome.
    Fhir,
    /// `error` and `error_description` (RFC 6749 section 5.2).
    OAuth,
    /// A line of text.
    Plain,
}

impl Speech {
    /// What is understood by who asks at this path.
    fn at(path: &str) -> Self {
        let is_fhir = path
            .strip_prefix(FHIR_PATH)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_fhir {
            Self::Fhir
        } else if smart::is_oauth_endpoint(path) {
            Self::OAuth
        } else {
            Self::Plain
        }
    }
}

/// Under the FHIR base, gives every error that has no OperationOutcome yet (the router's own, an
/// extractor's, a panic's) one, and at OAuth's endpoints a JSON object; elsewhere, a line of text to those
/// without a body.
pub(super) fn explained(mut response: Response, speech: Speech) -> Response {
    as_it_says(&mut response);
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || says_something(response.headers(), speech)
    {
        return response;
    }
    let words = match speech {
        Speech::Plain => plain_words(status),
        Speech::Fhir | Speech::OAuth => words(status),
    };
    said(response, speech, words, oauth_words(status))
}

/// No browser takes an answer for something else than it says it is.
fn as_it_says(response: &mut Response) {
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
}

/// An error with a body: an issue type and words, or an OAuth code and words.
fn said(
    response: Response,
    speech: Speech,
    (code, words): (&'static str, &str),
    (error, oauth_words): (&str, &str),
) -> Response {
    let (mut parts, _) = response.into_parts();
    let (content_type, body) = match speech {
        Speech::Fhir => (
            "application/fhir+json; charset=utf-8",
            operation_outcome(&[Issue::error(code, words)]).to_string(),
        ),
        Speech::OAuth => {
            parts.headers.insert(
                header::CACHE_CONTROL,
                header::HeaderValue::from_static("no-store"),
            );
            let body = json!({"error": error, "error_description": oauth_words});
            ("application/json", body.to_string())
        }
        Speech::Plain => ("text/plain; charset=utf-8", format!("{words}\n")),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    Response::from_parts(parts, Body::from(body))
}

/// Whether an error answer already speaks for itself.
fn says_something(headers: &HeaderMap, speech: Speech) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match speech {
        // axum's own rejections are plain text; ours are JSON or XML.
        Speech::Fhir | Speech::OAuth => {
            content_type.contains("json") || content_type.contains("xml")
        }
        Speech::Plain => !content_type.is_empty(),
    }
}

/// OAuth's code and what to do. What is wrong with the HTTP of a request is `invalid_request`.
fn oauth_words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => (
            "invalid_request",
            "this endpoint does not take this HTTP method",
        ),
        StatusCode::REQUEST_TIMEOUT => ("invalid_request", "the request took too long to arrive"),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "invalid_request",
            "the body is larger than this endpoint takes",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "invalid_request",
            "the body has a form or an encoding that this endpoint does not take",
        ),
        StatusCode::NOT_FOUND => ("invalid_request", "this server does not have this endpoint"),
        StatusCode::SERVICE_UNAVAILABLE => (
            "temporarily_unavailable",
            "the server cannot answer right now, or the request took too long to arrive",
        ),
        status if status.is_client_error() => ("invalid_request", "the request cannot be read"),
        _ => ("server_error", "the server failed"),
    }
}

/// [`words`] where nobody knows of FHIR.
fn plain_words(status: StatusCode) -> (&'static str, &'static str) {
    let (code, fhir) = words(status);
    let words = match status {
        StatusCode::NOT_FOUND => "There is nothing at this URL.",
        StatusCode::METHOD_NOT_ALLOWED => "This URL does not take this HTTP method.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is larger than this URL takes.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "The body has a form or an encoding that this URL does not take."
        }
        _ => fhir,
    };
    (code, words)
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
