//! Pages for people: the frame around them, their headers, and the one page for everything that went
//! wrong.

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use askama::filters::Safe;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::sessions::Session;
use super::upstream::UpstreamError;
use super::{SmartState, factors, gate, idle, secret};
use crate::store::StoreError;
use crate::texts::{self, Arg, Language, Texts};

const STYLESHEET: &str = include_str!("../../templates/assets/candor.css");
const SCRIPT: &str = include_str!("../../templates/assets/candor.js");

/// What every page shows around its content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) brand: String,
    pub(super) help: String,
    /// Path that every link of this server begins with, often empty.
    pub(super) root: String,
    pub(super) stylesheet: String,
    /// Path of the script that forms with passkeys need.
    pub(super) passkey_script: String,
    /// Name and form token of whoever is signed in.
    pub(super) signed_in: Option<(String, String)>,
    /// Tag, name and address of the same page in other languages.
    pub(super) languages: Vec<(&'static str, &'static str, String)>,
    /// What watches whether somebody is there, on pages of whoever is signed in.
    pub(super) watch: Option<Watch>,
    /// Our own script; no page needs it.
    pub(super) script: String,
    texts: Texts,
}

/// When the person is asked whether they are there still, and when they are signed out.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// Seconds without use.
    pub(super) warning: i64,
    /// Seconds from the warning.
    pub(super) left: i64,
    pub(super) minutes: i64,
    /// Where the person is asked without scripts.
    pub(super) address: String,
}

impl Frame {
    pub(super) fn new(state: &SmartState, session: Option<&Session>) -> Self {
        static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLESHEET));
        static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));
        let texts = Texts::here();
        Self {
            brand: state.config().brand.clone(),
            help: state.config().help(texts),
            root: state.path(""),
            passkey_script: factors::script_path(state),
            stylesheet: state.path(&format!("/assets/candor.css?v={}", *STYLE_VERSION)),
            script: state.path(&format!("/assets/candor.js?v={}", *SCRIPT_VERSION)),
            watch: session.map(|_| Watch::new(state)),
            signed_in: session.map(|session| (session.account.name.clone(), session.form_token())),
            languages: Language::ALL
                .into_iter()
                .filter(|language| *language != texts.language())
                .filter_map(|one| Some((one.tag(), one.own_name(), one.address_here()?)))
                .collect(),
            texts,
        }
    }

    /// A page on which the person is asked already.
    pub(super) fn without_watch(self) -> Self {
        Self {
            watch: None,
            ..self
        }
    }

    /// The language of the page, for `lang`.
    pub(super) fn language(&self) -> &'static str {
        self.texts.language().tag()
    }

    /// Whether somebody qualified reviewed the words of the page.
    pub(super) fn is_reviewed(&self) -> bool {
        self.texts.language().is_reviewed()
    }

    /// [`Texts::t`], for templates.
    pub(super) fn t(&self, name: &str) -> Safe<String> {
        self.texts.t(name)
    }

    /// [`Texts::with`], for templates.
    pub(super) fn with(&self, name: &str, key: &str, value: impl Into<Arg>) -> Safe<String> {
        self.texts.with(name, key, value)
    }

    /// [`Texts::html`], for templates.
    pub(super) fn html(&self, name: &str, args: &[(&str, Arg)]) -> Safe<String> {
        self.texts.html(name, args)
    }
}

impl Watch {
    fn new(state: &SmartState) -> Self {
        let (warning, left) = idle::seconds(state);
        let page = texts::page_here().and_then(|page| gate::page_of(&page));
        let address = page.map_or_else(
            || "/idle".to_owned(),
            |page| gate::with_next("/idle", &page),
        );
        Self {
            warning,
            left,
            minutes: ((left + 59) / 60).max(1),
            address: state.path(&address),
        }
    }
}

/// A short hash of a file: in the address of one that never changes, in the ETag of one that does.
pub(super) fn version(file: &str) -> String {
    let mut text = String::new();
    for byte in secret::hash(file).iter().take(6) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Which forms a page has, for its Content-Security-Policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    /// Forms that end on a page of ours.
    Own,
    /// The consent page: its answer is a redirect to the app, which `form-action` would stop.
    LeadAway,
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";
const POLICY_OWN_FORMS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Renders a page with the headers that every page has.
pub(super) fn page(
    state: &SmartState,
    status: StatusCode,
    forms: Forms,
    template: &impl Template,
) -> Response {
    let body = match template.render() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CACHE_CONTROL, "no-store");
    set(header::PRAGMA, "no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    // For browsers that do not know `frame-ancestors`.
    set(header::X_FRAME_OPTIONS, "DENY");
    let (policy, opener) = match forms {
        Forms::Own => (POLICY_OWN_FORMS, "same-origin"),
        Forms::LeadAway => (POLICY, "same-origin-allow-popups"),
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        opener,
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self)",
    );
    if state.is_https() {
        set(
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        );
    }
    (status, headers, body).into_response()
}

/// A redirect that a browser follows with GET.
pub(super) fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (
            StatusCode::SEE_OTHER,
            [
                (header::LOCATION, location),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (
                    header::REFERRER_POLICY,
                    HeaderValue::from_static("no-referrer"),
                ),
            ],
        )
            .into_response(),
        // Locations are built from parsed URLs and encoded parameters.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Template)]
#[template(path = "smart/leave.html")]
struct LeavePage<'a> {
    frame: Frame,
    /// Names of texts, like `words`.
    title: &'static str,
    words: &'static str,
    app: &'a str,
    address: &'a str,
    is_automatic: bool,
}

/// What a page that leads back to an app says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing: the app explains.
    AtOnce,
    /// What the app cannot know; the person goes back when they have read it.
    NoRecord,
    /// The answer, to an app on the device.
    Done,
    /// That the ten minutes are over.
    Late,
    /// That the launch from a chart is over.
    Chart,
}

/// A page that leads back to the app. Between a form of ours and here there may have been nothing but
/// redirects, and Chromium's `form-action` stops a redirect from there to another origin without a
/// word; what starts on a page it does not stop.
pub(super) fn leave(state: &SmartState, leave: Leave, app: &str, address: &str) -> Response {
    let (status, title, words) = match leave {
        Leave::AtOnce => (StatusCode::OK, "leave-title", "leave-words"),
        Leave::Done => (StatusCode::OK, "leave-done", "leave-done-words"),
        Leave::Late => (StatusCode::BAD_REQUEST, "leave-late", "leave-late-words"),
        Leave::Chart => (StatusCode::BAD_REQUEST, "leave-chart", "leave-chart-words"),
        Leave::NoRecord => (
            StatusCode::FORBIDDEN,
            "leave-no-record",
            "leave-no-record-words",
        ),
    };
    let template = LeavePage {
        frame: Frame::new(state, None),
        title,
        words,
        app,
        address,
        is_automatic: matches!(leave, Leave::AtOnce | Leave::Done),
    };
    page(state, status, Forms::Own, &template)
}

#[derive(Template)]
#[template(path = "smart/problem.html")]
struct ProblemPage {
    frame: Frame,
    /// Name of a text.
    title: &'static str,
    words: Safe<String>,
    /// For the developer of the app, behind a disclosure.
    detail: String,
    reference: String,
}

/// What can go wrong on a page.
#[derive(Debug, Error)]
pub(super) enum PageError {
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
    #[error("too many tries in a row: {0} seconds to wait")]
    Wait(i64),
    #[error("the request belongs to another account")]
    OtherAccount,
    #[error("signing in with a provider failed: {0}")]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a password could not be checked")]
    Password(#[from] super::password::PasswordError),
    #[error("the signing keys could not be read")]
    Signing(#[from] super::signing::SigningError),
}

/// What a person reads to the help desk.
pub(super) fn reference() -> String {
    secret::random_id().chars().take(10).collect()
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
        }
    }

    /// Whether the app that sent the person made the mistake.
    pub(super) fn is_of_the_app(&self) -> bool {
        matches!(
            self,
            Self::UnknownClient | Self::RedirectUri | Self::Parameter(_)
        )
    }

    /// The page. Logged once, with a reference that the person can read to the help desk.
    pub(super) fn page(&self, state: &SmartState) -> Response {
        self.page_with(state, &reference())
    }

    /// The page with a reference that is known elsewhere too.
    pub(super) fn page_with(&self, state: &SmartState, reference: &str) -> Response {
        if let Self::Late { app, address } = self {
            tracing::info!(error = %self, "page refused");
            return leave(state, Leave::Late, app, address);
        }
        let (status, title, words) = self.answer();
        if status.is_server_error() {
            let cause = std::error::Error::source(self).map(ToString::to_string);
            tracing::error!(reference, error = %self, cause, "page failed");
        } else {
            tracing::info!(reference, error = %self, "page refused");
        }
        // What a provider said of somebody is nobody else's business.
        let detail = if status.is_server_error() || matches!(self, Self::Upstream(_)) {
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
            reference: reference.to_owned(),
        };
        let mut response = page(state, status, Forms::Own, &template);
        if let Some(seconds) = seconds {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `GET /assets/candor.css`: its URL holds its hash, so it never changes.
pub(super) async fn stylesheet() -> Response {
    asset("text/css; charset=utf-8", STYLESHEET)
}

/// `GET /assets/candor.js`: the same.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// A file whose address changes with it.
pub(super) fn asset(kind: &'static str, file: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        file,
    )
        .into_response()
}
