//! The one page for everything that went wrong, and what of it people read to the help desk.

use askama::Template;
use askama::filters::Safe;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use thiserror::Error;

use super::super::upstream::UpstreamError;
use super::super::{SmartState, password, secret, signing};
use super::{Forms, Frame, Leave, leave, page};
use crate::store::StoreError;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/problem.html")]
struct ProblemPage {
    frame: Frame,
    /// Name of a text.
    title: &'static str,
    words: Safe<String>,
    /// For the developer of the app, behind a disclosure.
    detail: String,
    code: &'static str,
    reference: String,
    /// Whether it has a way to where everybody begins.
    leads_on: bool,
}

/// What the help desk calls a problem: the name of its heading without what all have.
fn code_of(title: &'static str) -> &'static str {
    title.strip_prefix("problem-").unwrap_or(title)
}

/// What finds a problem in the log.
pub(in crate::smart) fn reference() -> String {
    secret::random_id().chars().take(10).collect()
}

/// Why somebody is not let in, with what they can read to the help desk: a code, and a reference that stands
/// in the log beside it. `account`: whose, where that is known.
pub(in crate::smart) fn traced(words: &str, code: &'static str, account: Option<&str>) -> String {
    let reference = reference();
    tracing::info!(code, reference, account, "sign-in refused");
    let trace = Texts::here().plain(
        "problem-trace",
        [("code", code.into()), ("reference", reference.into())],
    );
    format!("{words} {trace}")
}

/// What can go wrong on a page.
#[derive(Debug, Error)]
pub(in crate::smart) enum PageError {
    #[error("the client_id is not registered here, or was disabled")]
    UnknownClient,
    #[error("the redirect_uri is not one that this client registered")]
    RedirectUri,
    #[error("the parameter {0} is missing or came more than once")]
    Parameter(&'static str),
    #[error("the authorization request expired or was answered already")]
    RequestGone,
    /// The same, by somebody who may go back to the app with it.
    #[error("the authorization request expired")]
    Late { app: String, address: String },
    #[error("the second step of a sign-in came too late, or without its first")]
    HalfGone,
    #[error("a passkey was not known here, or its answer was wrong")]
    Passkey,
    #[error("the form did not come from this page in this browser")]
    Foreign,
    #[error("the browser sent no cookie")]
    NoCookie,
    #[error("too many requests of nobody in particular came from this address")]
    Busy,
    #[error("the page is for accounts with another role")]
    Role,
    #[error("not at a shared terminal")]
    Kiosk,
    #[error("too many tries in a row: {0} seconds to wait")]
    Wait(i64),
    #[error("the request belongs to another account")]
    OtherAccount,
    #[error("signing in with a provider failed: {0}")]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a password could not be checked")]
    Password(#[from] password::PasswordError),
    #[error("the signing keys could not be read")]
    Signing(#[from] signing::SigningError),
    /// What no page of ours answered.
    #[error("{0}")]
    Unanswered(StatusCode),
}

impl From<sea_orm::DbErr> for PageError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl PageError {
    /// Status, and the names of heading and words. The one place.
    fn answer(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownClient | Self::RedirectUri | Self::Parameter(_) => (
                StatusCode::BAD_REQUEST,
                "problem-link",
                "problem-link-words",
            ),
            Self::RequestGone | Self::Late { .. } => (
                StatusCode::BAD_REQUEST,
                "problem-gone",
                "problem-gone-words",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "problem-foreign",
                "problem-foreign-words",
            ),
            Self::NoCookie => (StatusCode::OK, "problem-cookie", "problem-cookie-words"),
            Self::Busy => (
                StatusCode::TOO_MANY_REQUESTS,
                "problem-busy",
                "problem-busy-words",
            ),
            Self::Role => (StatusCode::FORBIDDEN, "problem-role", "problem-role-words"),
            Self::Kiosk => (
                StatusCode::FORBIDDEN,
                "problem-kiosk",
                "problem-kiosk-words",
            ),
            Self::Wait(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "problem-wait",
                "problem-wait-words",
            ),
            Self::HalfGone => (
                StatusCode::BAD_REQUEST,
                "problem-half-gone",
                "problem-half-gone-words",
            ),
            Self::Passkey => (
                StatusCode::BAD_REQUEST,
                "problem-passkey",
                "problem-passkey-words",
            ),
            Self::OtherAccount => (
                StatusCode::FORBIDDEN,
                "problem-other-account",
                "problem-other-account-words",
            ),
            Self::Upstream(UpstreamError::NoMatch | UpstreamError::Disabled) => (
                StatusCode::FORBIDDEN,
                "problem-no-match",
                "problem-no-match-words",
            ),
            Self::Upstream(UpstreamError::Provider(_)) => (
                StatusCode::BAD_GATEWAY,
                "problem-provider",
                "problem-provider-words",
            ),
            Self::Upstream(UpstreamError::NotFresh) => (
                StatusCode::FORBIDDEN,
                "problem-not-fresh",
                "problem-not-fresh-words",
            ),
            Self::Upstream(_) => (
                StatusCode::BAD_REQUEST,
                "problem-upstream",
                "problem-upstream-words",
            ),
            Self::Store(_) | Self::Password(_) | Self::Signing(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "problem-ours",
                "problem-ours-words",
            ),
            Self::Unanswered(status) => {
                let (title, words) = match *status {
                    StatusCode::NOT_FOUND => ("problem-nowhere", "problem-nowhere-words"),
                    StatusCode::METHOD_NOT_ALLOWED => ("problem-method", "problem-method-words"),
                    StatusCode::PAYLOAD_TOO_LARGE => ("problem-large", "problem-large-words"),
                    status if status.is_client_error() => {
                        ("problem-unread", "problem-unread-words")
                    }
                    _ => ("problem-ours", "problem-ours-words"),
                };
                (*status, title, words)
            }
        }
    }

    /// Whether the app that sent the person made the mistake.
    pub(in crate::smart) fn is_of_the_app(&self) -> bool {
        matches!(
            self,
            Self::UnknownClient | Self::RedirectUri | Self::Parameter(_)
        )
    }

    /// The page. Logged once, with a reference that the person can read to the help desk.
    pub(in crate::smart) fn page(&self, state: &SmartState) -> Response {
        self.page_with(state, &reference())
    }

    /// The page with a reference that is known elsewhere too.
    pub(in crate::smart) fn page_with(&self, state: &SmartState, reference: &str) -> Response {
        if let Self::Late { app, address } = self {
            tracing::info!(error = %self, "page refused");
            return leave(state, Leave::Late, app, address);
        }
        let (status, title, words) = self.answer();
        let code = code_of(title);
        if status.is_server_error() {
            let cause = std::error::Error::source(self).map(ToString::to_string);
            tracing::error!(code, reference, error = %self, cause, "page failed");
        } else {
            tracing::info!(code, reference, error = %self, "page refused");
        }
        // What a provider said of somebody is nobody else's business.
        let is_unanswered = matches!(self, Self::Unanswered(_));
        let is_silent = is_unanswered || matches!(self, Self::Upstream(_));
        let detail = if status.is_server_error() || is_silent {
            String::new()
        } else {
            self.to_string()
        };
        let seconds = match self {
            Self::Wait(seconds) => Some(*seconds),
            Self::Busy => Some(60),
            _ => None,
        };
        let frame = Frame::new(state, None);
        let template = ProblemPage {
            words: frame.html(words, &[("seconds", seconds.unwrap_or_default().into())]),
            frame,
            title,
            detail,
            code,
            reference: reference.to_owned(),
            leads_on: is_unanswered,
        };
        let mut response = page(state, status, Forms::Own, &template);
        if let Some(seconds) = seconds {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
