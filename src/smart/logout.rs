//! `POST /logout` and `/signed-out`.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::{MINUTE, SmartState, gate, sessions};

#[derive(Template)]
#[template(path = "smart/signed_out.html")]
struct SignedOutPage {
    frame: Frame,
    /// Whether nobody used the page for too long.
    idle: bool,
    minutes: i64,
    /// Where to sign in again.
    again: String,
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    sign_out(&state, jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn sign_out(
    state: &SmartState,
    jar: CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let away = see_other(&state.path("/signed-out"));
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(away);
    };
    session.form(headers, body)?;
    let jar = sessions::end(state, jar).await?;
    tracing::info!(account = session.account.id, "signed out");
    Ok((jar, away).into_response())
}

/// Leads somebody there whose browser was idle for too long, with the page to go on at.
pub(super) fn idle(state: &SmartState, page: Option<&str>) -> Response {
    let to = match page {
        Some(page) => gate::with_next("/signed-out?r=idle", page),
        None => "/signed-out?r=idle".to_owned(),
    };
    see_other(&state.path(&to))
}

/// Where somebody signs in to go on at a page.
fn again(next: Option<String>) -> String {
    let Some(next) = next else {
        return "/login".to_owned();
    };
    match next.split_once("?request=") {
        Some((_, id)) => format!("/login?request={id}"),
        None => gate::with_next("/login", &next),
    }
}

pub(super) async fn signed_out(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let template = SignedOutPage {
        frame: Frame::new(&state, None),
        idle: params.first("r") == Some("idle"),
        minutes: state.config().session_idle / MINUTE,
        again: state.path(&again(params.first("next").and_then(gate::own_page))),
    };
    let mut response = page(&state, StatusCode::OK, Forms::Own, &template);
    // What the browser kept of pages with a record on them goes as well.
    response.headers_mut().insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cache\", \"storage\""),
    );
    response
}
