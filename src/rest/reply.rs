//! What an interaction answers, before it is HTTP: a status, a version, a body. A bundle's entry
//! and an HTTP response are made from the same.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use serde_json::{Value, json as object};

use super::negotiate::Format;
use super::{IssueCode, RestError};
use crate::clock::Millis;
use crate::fhir::outcome::operation_outcome;
use crate::fhir::{json, xml};

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    Empty,
    /// A resource as compact JSON, ready to leave.
    Json(Bytes),
    /// A resource that was made for this answer.
    Resource(Value),
    /// JSON that is no resource: the answer of `$graphql`.
    Plain(Bytes),
    /// No resource: the content of a Binary. The media type is the resource's own.
    Raw {
        content_type: String,
        data: Bytes,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// `ETag: W/"n"`.
    pub version: Option<i32>,
    /// `Last-Modified`.
    pub updated: Option<Millis>,
    /// `Location`, below the base: `Patient/1/_history/2`.
    pub location: Option<String>,
    pub content: Content,
}

impl Reply {
    /// 200 with this content.
    #[must_use]
    pub fn ok(content: Content) -> Self {
        Self::status(StatusCode::OK, content)
    }

    /// This status with this content.
    #[must_use]
    pub fn status(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            version: None,
            updated: None,
            location: None,
            content,
        }
    }

    /// The content as compact JSON; None when it is empty or raw.
    #[must_use]
    pub fn json(&self) -> Option<Bytes> {
        match &self.content {
            Content::Json(bytes) => Some(bytes.clone()),
            Content::Resource(value) => Some(json::to_bytes(value).into()),
            // In a Bundle stand resources only: the Binary that the operation's definition says.
            Content::Plain(bytes) => {
                let binary = object!({
                    "resourceType": "Binary",
                    "contentType": "application/json",
                    "data": BASE64.encode(bytes),
                });
                Some(json::to_bytes(&binary).into())
            }
            Content::Empty | Content::Raw { .. } => None,
        }
    }

    /// The HTTP response. `base` is the FHIR base, for `Location`.
    pub(super) fn into_response(
        self,
        base: &str,
        shape: Shape,
        method: &Method,
    ) -> Result<Response<Body>, RestError> {
        let mut headers = HeaderMap::with_capacity(6);
        if let Some(version) = self.version
            && let Ok(etag) = HeaderValue::try_from(etag(version))
        {
            headers.insert(header::ETAG, etag);
        }
        if let Some(updated) = self.updated
            && let Some(date) = http_date(updated)
        {
            headers.insert(header::LAST_MODIFIED, date);
        }
        if let Some(location) = &self.location
            && let Ok(location) = HeaderValue::try_from(format!("{base}/{location}"))
        {
            // What was accepted is to be asked for there (R4 3.1.6.1).
            let name = if self.status == StatusCode::ACCEPTED {
                header::CONTENT_LOCATION
            } else {
                header::LOCATION
            };
            headers.insert(name, location);
        }
        let body = match self.content {
            Content::Empty => Bytes::new(),
            Content::Raw { content_type, data } => {
                raw_headers(&mut headers, &content_type);
                data
            }
            Content::Plain(bytes) => {
                headers.insert(header::CONTENT_TYPE, PLAIN_JSON);
                bytes
            }
            Content::Json(bytes) => {
                headers.insert(header::CONTENT_TYPE, shape.format.content_type());
                shape.render(bytes)?
            }
            Content::Resource(value) => {
                headers.insert(header::CONTENT_TYPE, shape.format.content_type());
                shape.render(json::to_bytes(&value).into())?
            }
        };
        Ok(finish(self.status, headers, body, method))
    }
}

/// How a resource is written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) pretty: bool,
}

impl Shape {
    /// Compact JSON in, what leaves out. Compact JSON out is the same bytes, unread.
    fn render(self, body: Bytes) -> Result<Bytes, RestError> {
        match (self.format, self.pretty) {
            (Format::Json, false) => Ok(body),
            (Format::Json, true) => {
                let value: Value =
                    serde_json::from_slice(&body).map_err(|_| RestError::Internal)?;
                serde_json::to_vec_pretty(&value)
                    .map(Bytes::from)
                    .map_err(|_| RestError::Internal)
            }
            (Format::Xml, _) => {
                let value: Value =
                    serde_json::from_slice(&body).map_err(|_| RestError::Internal)?;
                xml::to_xml(&value).map(Bytes::from).map_err(|issue| {
                    tracing::error!(problem = %issue.diagnostics, "a resource could not be written as XML");
                    RestError::Internal
                })
            }
        }
    }
}

/// The response to an error: its status, its headers and an OperationOutcome.
pub(super) fn error_response(error: &RestError, shape: Shape, method: &Method) -> Response<Body> {
    let outcome = operation_outcome(&error.issues());
    let mut headers = error.headers();
    let body = Bytes::from(json::to_bytes(&outcome));
    let (format, body) = match shape.render(body.clone()) {
        Ok(rendered) => (shape.format, rendered),
        Err(_) => (Format::Json, body),
    };
    headers.insert(header::CONTENT_TYPE, format.content_type());
    coded(error, finish(error.status(), headers, body, method))
}

/// Says beside the answer which issue it tells of first.
fn coded(error: &RestError, mut response: Response<Body>) -> Response<Body> {
    if let Some(issue) = error.issues().first() {
        response.extensions_mut().insert(IssueCode(issue.code));
    }
    response
}

/// The same from `$graphql`, whose errors have a form of their own.
pub(super) fn graph_error_response(error: &RestError, method: &Method) -> Response<Body> {
    let mut headers = error.headers();
    headers.insert(header::CONTENT_TYPE, PLAIN_JSON);
    let body = super::operation::graphql::error_body(error);
    coded(error, finish(error.status(), headers, body, method))
}

const PLAIN_JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The last step of every answer. A HEAD keeps all headers and loses the body.
fn finish(
    status: StatusCode,
    mut headers: HeaderMap,
    body: Bytes,
    method: &Method,
) -> Response<Body> {
    let is_bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_bodiless {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    // Records of a person: no cache on the way keeps them, and no browser guesses their type.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let body = if is_bodiless || method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Headers of a Binary's content: it came from a stranger and must run nowhere.
fn raw_headers(headers: &mut HeaderMap, content_type: &str) {
    let media = HeaderValue::try_from(content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
}

/// `W/"3"`.
#[must_use]
pub fn etag(version: i32) -> String {
    format!("W/\"{version}\"")
}

/// The version in an entity tag, `W/"3"` or `"3"`; None when it is none of ours.
#[must_use]
pub fn version_of(etag: &str) -> Option<i32> {
    let tag = etag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// An HTTP date (RFC 9110 section 5.6.7), whole seconds.
fn http_date(at: Millis) -> Option<HeaderValue> {
    let timestamp = Timestamp::from_millisecond(at).ok()?;
    let text = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp)
        .ok()?;
    HeaderValue::try_from(text).ok()
}

/// The instant in an HTTP date, of the two obsolete forms too (RFC 9110 section 5.6.7); None when it is none.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Ok(at) = DateTimeParser::new().parse_timestamp(text) {
        return Some(at.as_millisecond());
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_and_dates_go_both_ways() {
        assert_eq!(version_of(&etag(17)), Some(17));
        assert_eq!(version_of("\"4\""), Some(4));
        for bad in [
            "W/4",
            "",
            "\"\"",
            "W/\"-1\"",
            "W/\"99999999999\"",
            "W/\"a\"",
        ] {
            assert_eq!(version_of(bad), None, "{bad}");
        }
        let at = 1_794_322_800_000;
        let text = http_date(at).and_then(|date| date.to_str().ok().map(str::to_owned));
        assert_eq!(text.as_deref(), Some("Tue, 10 Nov 2026 15:00:00 GMT"));
        assert_eq!(text.and_then(|text| parse_http_date(&text)), Some(at));
        for old in [
            "Tuesday, 10-Nov-26 15:00:00 GMT",
            "Tue Nov 10 15:00:00 2026",
        ] {
            assert_eq!(parse_http_date(old), Some(at), "{old}");
        }
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
