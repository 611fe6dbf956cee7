//! `/developers/apps`: a developer's own apps, where each stands, and a new secret for one.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::developer;
use crate::smart::pages::{Forms, Frame, PageError, page, see_other};
use crate::smart::params::Params;
use crate::smart::registrations::{self, Registration};
use crate::smart::sessions::Session;
use crate::smart::{SmartState, clients};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "developers/apps.html")]
struct AppsPage {
    frame: Frame,
    form: String,
    apps: Vec<AppView>,
    /// Name and secret of the app that just got a new one; shown once.
    fresh: Option<(String, String)>,
    /// Whether one was just taken away.
    removed: bool,
}

struct AppView {
    client_id: String,
    name: String,
    kind: String,
    redirects: Vec<String>,
    scope: String,
    has_secret: bool,
    received: String,
    verified: String,
    enabled: String,
    status: String,
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let removed = params.first("done") == Some("removed");
    list(&state, &session, None, removed)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn list(
    state: &SmartState,
    session: &Session,
    fresh: Option<(String, String)>,
    removed: bool,
) -> Result<Response, PageError> {
    let reader = state.store().reader();
    let zone = &state.config().time_zone;
    let mut apps = Vec::new();
    for own in registrations::of_owner(reader, &session.account.id, zone).await? {
        let Some(client) = clients::find(reader, &own.client_id).await? else {
            continue;
        };
        let day = |at: Option<i64>| at.map(|at| state.day(at)).unwrap_or_default();
        apps.push(AppView {
            status: status(state, &own),
            received: day(own.received),
            verified: day(own.verified),
            enabled: day(own.enabled),
            client_id: own.client_id,
            name: own.client_name,
            kind: own.kind,
            redirects: client.redirects(),
            scope: client.scope.clone(),
            has_secret: client.secret.is_some(),
        });
    }
    let template = AppsPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        apps,
        fresh,
        removed,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

/// Where an app stands, with the day that the law gives.
fn status(state: &SmartState, own: &Registration) -> String {
    let texts = Texts::here();
    match (own.is_enabled, own.verify_by, own.enable_by) {
        (true, ..) => texts.plain("dev-status-works", []),
        (false, Some(by), _) => texts.plain("dev-status-verify", [("day", state.day(by).into())]),
        (false, None, Some(by)) => {
            texts.plain("dev-status-enable", [("day", state.day(by).into())])
        }
        (false, None, None) => texts.plain("dev-status-off", []),
    }
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    rotate(&state, &session, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn rotate(
    state: &SmartState,
    session: &Session,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = session.form(headers, body)?;
    let wanted = params.first("client").unwrap_or_default();
    let reader = state.store().reader();
    // Only an app of this developer: any other does not exist.
    let Some(own) = registrations::owned(reader, &session.account.id, wanted).await? else {
        return Ok(see_other(&state.path("/developers/apps")));
    };
    let fresh = clients::rotate_secret(state.store(), &own.client_id).await?;
    let fresh = fresh.map(|secret| (own.name, secret));
    list(state, session, fresh, false).await
}
