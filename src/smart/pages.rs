//! Pages for people: the frame around them, their headers, and the one page for everything that went
//! wrong.

pub(super) mod problem;

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use askama::filters::Safe;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::sessions::Session;
use super::{SmartState, factors, gate, here, idle, kiosk, secret};
use crate::texts::{self, Arg, Language, Texts};

pub(super) use problem::{PageError, traced};

const STYLESHEET: &str = include_str!("../../templates/assets/candor.css");
const SCRIPT: &str = include_str!("../../templates/assets/candor.js");

/// What every page shows around its content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) brand: String,
    pub(super) help: String,
    /// Whether the operator wrote it, in English: no configuration has it in other languages.
    is_help_configured: bool,
    /// Path that every link of this server begins with, often empty.
    pub(super) root: String,
    pub(super) stylesheet: String,
    /// Path of the script that forms with passkeys need.
    pub(super) passkey_script: String,
    /// Name and form token of whoever is signed in.
    pub(super) signed_in: Option<(String, String)>,
    /// Whether the page is shown at a shared terminal.
    pub(super) is_kiosk: bool,
    /// Path of the page for whoever was signed out without being asked.
    pub(super) out: String,
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
    /// Around a page of this session, else of whoever was signed in when the request came.
    pub(super) fn new(state: &SmartState, session: Option<&Session>) -> Self {
        static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLESHEET));
        static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));
        let texts = Texts::here();
        let session = session.cloned().or_else(here::session);
        let is_kiosk = here::is_kiosk() || session.as_ref().is_some_and(|session| session.is_kiosk);
        let out = "/signed-out?r=idle";
        Self {
            is_kiosk,
            out: state.path(&if is_kiosk {
                kiosk::with_parameter(out)
            } else {
                out.to_owned()
            }),
            brand: state.config().brand.clone(),
            help: state.config().help(texts),
            is_help_configured: state.config().help.is_some(),
            root: state.path(""),
            passkey_script: factors::script_path(state),
            stylesheet: state.path(&format!("/assets/candor.css?v={}", *STYLE_VERSION)),
            script: state.path(&format!("/assets/candor.js?v={}", *SCRIPT_VERSION)),
            watch: session.as_ref().map(|_| Watch::new(state, is_kiosk)),
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

    /// What the address of a form has to end with that signs somebody in.
    pub(super) fn terminal(&self) -> &'static str {
        if self.is_kiosk { "?kiosk=1" } else { "" }
    }

    /// The language of the page, for `lang`.
    pub(super) fn language(&self) -> &'static str {
        self.texts.language().tag()
    }

    /// Whether the line of help is in English on a page that is not.
    pub(super) fn is_help_english(&self) -> bool {
        self.is_help_configured && self.texts.language() != Language::English
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

    /// [`Arg::isolated`], for templates.
    pub(super) fn bdi(&self, name: impl AsRef<str>) -> Arg {
        Arg::isolated(name.as_ref())
    }

    /// [`Texts::html`], for templates.
    pub(super) fn html(&self, name: &str, args: &[(&str, Arg)]) -> Safe<String> {
        self.texts.html(name, args)
    }
}

impl Watch {
    fn new(state: &SmartState, is_kiosk: bool) -> Self {
        let (warning, left) = idle::seconds(state, is_kiosk);
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
    /// Pages whose answer is a redirect to the app, which `form-action` would stop.
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
    /// Whether it is the last step of connecting an app.
    is_last: bool,
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
    /// That the app opens, which asked nobody.
    Opened,
    /// That the ten minutes are over.
    Late,
    /// That the launch from a chart is over.
    Chart,
    /// That nothing is connected at a shared terminal.
    Kiosk,
}

/// A page that leads back to the app. Between a form of ours and here there may have been nothing but
/// redirects, and Chromium's `form-action` stops a redirect from there to another origin without a
/// word; what starts on a page it does not stop.
pub(super) fn leave(state: &SmartState, leave: Leave, app: &str, address: &str) -> Response {
    let (status, title, words) = match leave {
        Leave::AtOnce => (StatusCode::OK, "leave-title", "leave-words"),
        Leave::Done => (StatusCode::OK, "leave-done", "leave-done-words"),
        Leave::Opened => (StatusCode::OK, "leave-title", "leave-opened-words"),
        Leave::Late => (StatusCode::BAD_REQUEST, "leave-late", "leave-late-words"),
        Leave::Chart => (StatusCode::BAD_REQUEST, "leave-chart", "leave-chart-words"),
        Leave::Kiosk => (StatusCode::FORBIDDEN, "leave-kiosk", "leave-kiosk-words"),
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
        is_automatic: matches!(leave, Leave::AtOnce | Leave::Done | Leave::Opened),
        is_last: leave == Leave::Done,
    };
    page(state, status, Forms::Own, &template)
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
