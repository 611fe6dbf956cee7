//! `/developers`: what the makers of apps need to know, for everybody; and their own apps, for those with an
//! account.

mod activity;
mod apps;
mod change;
mod changes;
mod filled;
mod logo;
mod register;
mod scopes;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page};
use super::sessions::Session;
use super::users::Role;
use super::{SmartState, brands, gate, sessions};
use crate::config::{Registration, SandboxPatient};

pub(super) use activity::get as get_activity;
pub(super) use apps::{get as get_apps, post as post_apps};
pub(super) use change::{get as get_change, post as post_change};
pub(super) use changes::get as get_changes;
pub(super) use logo::{MOST_BODY_BYTES as MOST_LOGO_BYTES, post as post_logo};
pub(super) use register::{get as get_new, post as post_new};
pub(super) use scopes::get as get_scopes;

/// Errors that come to an app, each with the name of a text that explains it.
const ERRORS: &[(&str, &str)] = &[
    ("invalid_request", "dev-error-request"),
    ("invalid_scope", "dev-error-scope"),
    ("access_denied", "dev-error-denied"),
    ("login_required, consent_required", "dev-error-prompt"),
    ("invalid_client", "dev-error-client"),
    ("invalid_grant", "dev-error-grant"),
    ("unauthorized_client", "dev-error-unauthorized"),
    ("slow_down", "dev-error-slow"),
    ("temporarily_unavailable", "dev-error-unavailable"),
    ("401 invalid_token", "dev-error-token"),
    ("403", "dev-error-forbidden"),
    ("404", "dev-error-not-found"),
    ("400", "dev-error-fhir"),
    ("409, 412", "dev-error-conflict"),
    ("422", "dev-error-refused"),
    ("429, 503", "dev-error-later"),
];

#[derive(Template)]
#[template(path = "developers/index.html")]
struct IndexPage {
    frame: Frame,
    /// Name of a text, and an address.
    endpoints: Vec<(&'static str, String)>,
    errors: &'static [(&'static str, &'static str)],
    registration: &'static str,
    patients: Vec<SandboxPatient>,
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let session = match sessions::load(&state, &jar).await {
        Ok(session) => session,
        Err(error) => return PageError::from(error).page(&state),
    };
    let fhir = state.fhir_base().to_owned();
    let mut endpoints = vec![
        ("dev-endpoint-fhir", fhir.clone()),
        (
            "dev-endpoint-configuration",
            format!("{fhir}/.well-known/smart-configuration"),
        ),
        ("dev-endpoint-metadata", format!("{fhir}/metadata")),
        ("dev-endpoint-authorize", state.url("/auth/authorize")),
        ("dev-endpoint-token", state.token_url()),
        ("dev-endpoint-introspect", state.url("/auth/introspect")),
        ("dev-endpoint-revoke", state.url("/auth/revoke")),
        ("dev-endpoint-launch", state.url("/auth/launch")),
        ("dev-endpoint-brands", state.url(brands::PATH)),
        ("dev-endpoint-policy", state.url("/policy/release.json")),
    ];
    let registration = match state.config().registration {
        Registration::Open => "dev-register-open",
        Registration::Statement => "dev-register-statement",
        Registration::Closed => "dev-register-closed",
    };
    if state.config().registration != Registration::Closed {
        endpoints.push(("dev-endpoint-register", state.url("/auth/register")));
    }
    let template = IndexPage {
        frame: Frame::new(&state, session.as_ref()),
        endpoints,
        errors: ERRORS,
        registration,
        patients: state.config().sandbox_patients.clone(),
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

/// Whoever is signed in as a developer; or the page to show instead.
async fn developer(state: &SmartState, jar: &CookieJar) -> Result<Session, Box<Response>> {
    let session = sessions::load(state, jar)
        .await
        .map_err(|error| Box::new(PageError::from(error).page(state)))?;
    match session {
        None => Err(Box::new(gate::to_login(state, "/developers/apps"))),
        Some(session) if Role::from_name(&session.account.role) == Some(Role::Developer) => {
            Ok(session)
        }
        Some(_) => Err(Box::new(PageError::Role.page(state))),
    }
}
