//! `POST /logout` and `/signed-out`.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::sessions::{self, Look};
use super::{MINUTE, SmartState, gate, here, kiosk};

#[derive(Template)]
#[template(path = "smart/signed_out.html")]
struct SignedOutPage {
    frame: Frame,
    /// Whether nobody used the page for too long.
    idle: bool,
    minutes: i64,
    is_kiosk: bool,
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
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(see_other(&state.path("/signed-out")));
    };
    session.form(headers, body)?;
    let jar = sessions::end(state, jar).await?;
    tracing::info!(account = session.account.id, "signed out");
    Ok((jar, away(state, "/signed-out", session.is_kiosk)).into_response())
}

/// Leads to the page that says so. At a shared terminal nothing is left of whoever was there.
fn away(state: &SmartState, path: &str, is_kiosk: bool) -> Response {
    if !is_kiosk {
        return see_other(&state.path(path));
    }
    let mut response = see_other(&state.path(&kiosk::with_parameter(path)));
    kiosk::forget(&mut response, true);
    response
}

/// Leads somebody there whose browser was idle for too long, with the page to go on at. At a shared terminal
/// the next may be somebody else, who has no business there.
pub(super) fn idle(state: &SmartState, page: Option<&str>, is_kiosk: bool) -> Response {
    let path = "/signed-out?r=idle";
    match page.filter(|_| !is_kiosk) {
        Some(page) => see_other(&state.path(&gate::with_next(path, page))),
        None => away(state, path, is_kiosk),
    }
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
    jar: CookieJar,
) -> Response {
    if here::session().is_some() {
        // Another tab was used meanwhile: nobody is told that they are out who is in.
        return see_other(&state.path("/idle"));
    }
    // A script leads here without asking the server first.
    let is_left = match sessions::look(&state, &jar).await {
        Ok(look) => matches!(look, Look::Idle { is_kiosk: true }),
        Err(error) => return PageError::from(error).page(&state),
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let is_kiosk = is_left || here::is_kiosk();
    let again = if is_kiosk {
        kiosk::START.to_owned()
    } else {
        again(params.first("next").and_then(gate::own_page))
    };
    let template = SignedOutPage {
        frame: Frame::new(&state, None),
        idle: params.first("r") == Some("idle"),
        minutes: kiosk::idle(&state, is_kiosk) / MINUTE,
        is_kiosk,
        again: state.path(&again),
    };
    let mut response = page(&state, StatusCode::OK, Forms::Own, &template);
    // What the browser kept of pages with a record on them goes as well.
    kiosk::forget(&mut response, is_left);
    response
}
