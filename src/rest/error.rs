//! What can go wrong over the FHIR API, and what each of it is in HTTP: status, headers and an
//! OperationOutcome. The one place where an error becomes an answer.
//!
//! Texts are constant or speak of the request; none holds a value from the record. A resource that
//! is withheld, somebody else's or unknown gives the same bytes.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use thiserror::Error;

use crate::fhir::definitions::definitions;
use crate::fhir::outcome::Issue;
use crate::search::SearchError;
use crate::store::StoreError;

/// The error of every interaction.
#[derive(Debug, Error)]
pub enum RestError {
    /// 400: the request cannot be understood, or the resource breaks FHIR's base rules.
    #[error("the request is malformed")]
    BadRequest(Vec<Issue>),
    /// 401: no token (`invalid` false) or one that is unknown, expired or revoked.
    #[error("the request carries no valid token")]
    Unauthenticated { invalid: bool },
    /// 403: the token or the kind of viewer does not allow this at all, whatever the record holds.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 404: no such resource for this viewer.
    #[error("the resource does not exist")]
    NotFound,
    /// 404: the URL names a type, an operation or a path that is not part of this API.
    #[error("unknown address: {0}")]
    UnknownAddress(String),
    /// 405: the address exists, the method does not. `allow` goes into the `Allow` header.
    #[error("method not allowed: {text}")]
    MethodNotAllowed { allow: &'static str, text: String },
    /// 406: no representation that the client accepts.
    #[error("not acceptable: {0}")]
    NotAcceptable(String),
    /// 409: another write came first.
    #[error("conflict")]
    Conflict,
    /// 410: deleted, and the viewer may know it.
    #[error("the resource was deleted")]
    Gone,
    /// 412: a condition of the request does not hold.
    #[error("precondition failed: {0}")]
    PreconditionFailed(String),
    /// 412: a conditional interaction is about one resource, and its criteria match several.
    #[error("the criteria match several resources")]
    MultipleMatches,
    /// 413: the body is larger than this server takes.
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// 415: the body is in a format this server does not read.
    #[error("unsupported media type: {0}")]
    UnsupportedMediaType(String),
    /// The store refused with this status (400, 409, 422, …): well-formed, and against the record
    /// or the rules of this server.
    #[error("the request was refused with {status}")]
    Refused {
        status: StatusCode,
        issues: Vec<Issue>,
    },
    /// 429: come back after so many seconds.
    #[error("too many requests")]
    TooManyRequests { seconds: u32 },
    /// 501: FHIR defines it, this server does not do it.
    #[error("not implemented: {0}")]
    NotImplemented(String),
    /// 503: the database failed; nothing is known about the resource.
    #[error("the database is unavailable")]
    Unavailable,
    /// 500: a defect of this server.
    #[error("internal error")]
    Internal,
    /// Any of the above, in an entry of a bundle.
    #[error("in Bundle.entry[{index}]")]
    Entry {
        index: usize,
        #[source]
        error: Box<RestError>,
    },
}

impl RestError {
    /// A 400 with one issue.
    #[must_use]
    pub fn bad_request(code: &'static str, text: impl Into<String>) -> Self {
        Self::BadRequest(vec![Issue::error(code, text)])
    }

    /// The same error, of an entry of a bundle.
    #[must_use]
    pub fn in_entry(self, index: usize) -> Self {
        match self {
            named @ Self::Entry { .. } => named,
            error => Self::Entry {
                index,
                error: Box::new(error),
            },
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownAddress(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed(_) | Self::MultipleMatches => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused { status, .. } => *status,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Entry { error, .. } => match error.status() {
                // 405 would speak of the bundle's own address.
                StatusCode::METHOD_NOT_ALLOWED => StatusCode::FORBIDDEN,
                status => status,
            },
        }
    }

    /// The issues of the OperationOutcome.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        let one = |code: &'static str, text: &str| vec![Issue::error(code, text)];
        match self {
            Self::BadRequest(issues) | Self::Refused { issues, .. } => issues.clone(),
            Self::Unauthenticated { invalid: false } => one(
                "login",
                "Send an access token in the Authorization header; \
                 .well-known/smart-configuration tells where to get one.",
            ),
            Self::Unauthenticated { invalid: true } => {
                one("login", "The access token is unknown, expired or revoked.")
            }
            Self::Forbidden(text) => one("forbidden", text),
            Self::NotFound => one("not-found", "No such resource."),
            Self::UnknownAddress(text) => one("not-found", text),
            Self::MethodNotAllowed { text, .. } | Self::NotAcceptable(text) => {
                one("not-supported", text)
            }
            Self::Conflict => one(
                "conflict",
                "Another write to the same resource came first. Read it again, then retry.",
            ),
            Self::Gone => one("deleted", "The resource was deleted."),
            Self::PreconditionFailed(text) => one("conflict", text),
            Self::MultipleMatches => one(
                "multiple-matches",
                "The criteria match more than one resource.",
            ),
            Self::TooLarge { limit } => one(
                "too-long",
                &format!("The body is larger than this server takes ({limit} bytes)."),
            ),
            Self::UnsupportedMediaType(text) | Self::NotImplemented(text) => {
                one("not-supported", text)
            }
            Self::TooManyRequests { seconds } => one(
                "throttled",
                &format!("Too many requests. Try again in {seconds} seconds."),
            ),
            Self::Unavailable => one(
                "transient",
                "The record cannot be reached right now. Try again later.",
            ),
            Self::Internal => one("exception", "The server failed on this request."),
            Self::Entry { index, error } => error
                .issues()
                .into_iter()
                .map(|issue| in_entry(issue, *index))
                .collect(),
        }
    }

    /// Headers that belong to the status: `WWW-Authenticate`, `Allow`, `Retry-After`.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Unauthenticated { invalid } => {
                let challenge = if *invalid {
                    "Bearer realm=\"fhir\", error=\"invalid_token\""
                } else {
                    "Bearer realm=\"fhir\""
                };
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                );
            }
            // RFC 6750 section 3.1.
            Self::Forbidden(_) => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"fhir\", error=\"insufficient_scope\""),
                );
            }
            Self::MethodNotAllowed { allow, .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Self::TooManyRequests { seconds } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(5_u16));
            }
            Self::Entry { error, .. } => {
                headers = error.headers();
                headers.remove(header::ALLOW);
            }
            _ => {}
        }
        headers
    }
}

/// Moves an issue's location from the entry's resource to the bundle: `Patient.name[0]` becomes
/// `Bundle.entry[3].resource.name[0]`.
fn in_entry(mut issue: Issue, index: usize) -> Issue {
    let entry = format!("Bundle.entry[{index}]");
    if issue.expression.is_empty() {
        issue.expression = entry;
    } else if !issue.expression.starts_with("Bundle.entry[") {
        let below = issue
            .expression
            .split_once('.')
            .map(|(_, below)| format!(".{below}"))
            .unwrap_or_default();
        issue.expression = format!("{entry}.resource{below}");
    }
    issue
}

impl From<StoreError> for RestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Gone => Self::Gone,
            StoreError::VersionConflict => Self::PreconditionFailed(
                "The resource has another version than the one named in If-Match.".to_owned(),
            ),
            StoreError::MultipleMatches => Self::MultipleMatches,
            StoreError::Race => Self::Conflict,
            StoreError::About { error, .. } => (*error).into(),
            StoreError::Refused { status, issues } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Self::Refused { status, issues }
            }
            // Logged here, once: past this line the cause is gone.
            StoreError::Database(error) => {
                tracing::error!(error = %error, "the database failed");
                Self::Unavailable
            }
            // Another process builds the index for another release.
            StoreError::IndexEpoch { .. } => Self::Unavailable,
            StoreError::Corrupt(what) => {
                tracing::error!(what, "a stored value is not what was written");
                Self::Unavailable
            }
        }
    }
}

impl From<SearchError> for RestError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Invalid(issues) => Self::BadRequest(issues),
            SearchError::Forbidden(type_id) => Self::Forbidden(format!(
                "The token's scopes do not allow to search {}.",
                definitions().type_name(type_id)
            )),
            SearchError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_requests_say_when_to_come_back() {
        let error = RestError::TooManyRequests { seconds: 30 };
        assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS);
        let headers = error.headers();
        let after = headers.get(header::RETRY_AFTER);
        assert_eq!(after.and_then(|after| after.to_str().ok()), Some("30"));
        assert_eq!(
            error.issues().first().map(|one| one.code),
            Some("throttled")
        );
    }

    #[test]
    fn an_entry_error_keeps_its_status_and_names_the_element() {
        let error = RestError::BadRequest(vec![
            Issue::error("required", "missing").at("Patient.name[0].given"),
            Issue::error("structure", "wrong").at("Patient"),
            Issue::error("invalid", "no place"),
        ])
        .in_entry(3)
        .in_entry(9);
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        let places: Vec<String> = error.issues().into_iter().map(|i| i.expression).collect();
        assert_eq!(
            places,
            [
                "Bundle.entry[3].resource.name[0].given",
                "Bundle.entry[3].resource",
                "Bundle.entry[3]"
            ]
        );
    }
}
