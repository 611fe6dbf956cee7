//! `/idle`: two minutes before a browser is signed out its person is asked, and one key keeps them signed in
//! (WCAG 2.2, 2.2.1). Without scripts a page does that, with them a dialog on the page they are on.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use serde_json::json;

use super::json::Json;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::sessions::{self, Look};
use super::{MINUTE, SECOND, SmartState, gate, kiosk, logout};
use crate::clock::Millis;

/// How long before the end.
const WARNING: Millis = 2 * MINUTE;

/// Seconds without use until the warning, and from there to the end.
pub(super) fn seconds(state: &SmartState, is_kiosk: bool) -> (Millis, Millis) {
    let idle = kiosk::idle(state, is_kiosk);
    let warning = WARNING.min(idle / 2);
    ((idle - warning) / SECOND, warning / SECOND)
}

#[derive(Template)]
#[template(path = "smart/idle.html")]
struct IdlePage {
    frame: Frame,
    form: String,
    next: String,
    /// Seconds until the end.
    left: i64,
    minutes: i64,
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let next = params.first("next").and_then(gate::own_page);
    match sessions::peek(&state, &jar).await {
        Ok(Some((session, left))) => {
            let left = left / SECOND;
            let template = IdlePage {
                frame: Frame::new(&state, Some(&session)).without_watch(),
                form: session.form_token(),
                next: next.unwrap_or_default(),
                left,
                minutes: ((left + 59) / 60).max(1),
            };
            page(&state, StatusCode::OK, Forms::Own, &template)
        }
        Ok(None) => gone(&state, &jar, next.as_deref()).await,
        Err(error) => PageError::from(error).page(&state),
    }
}

/// It is too late.
async fn gone(state: &SmartState, jar: &CookieJar, next: Option<&str>) -> Response {
    match sessions::look(state, jar).await {
        Ok(look) => logout::idle(state, next, matches!(look, Look::Idle { is_kiosk: true })),
        Err(error) => PageError::from(error).page(state),
    }
}

/// `GET /idle/left`: how many seconds are left, for the script. Asking is no use of the page.
pub(super) async fn left(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let left = match sessions::peek(&state, &jar).await {
        Ok(found) => found.map_or(0, |(_, left)| left / SECOND),
        Err(error) => return PageError::from(error).page(&state),
    };
    (
        [(header::CACHE_CONTROL, "no-store")],
        Json(json!({"left": left})),
    )
        .into_response()
}

/// The person is there. A script asks with `quiet` and stays where it is.
pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let extended = async {
        let params = Params::from_form(&headers, &body).map_err(|_| PageError::Foreign)?;
        let next = params.first("next").and_then(gate::own_page);
        let is_quiet = params.first("quiet").is_some();
        // Loading it is what extends it.
        let Some(session) = sessions::load(&state, &jar).await? else {
            return Ok(if is_quiet {
                StatusCode::UNAUTHORIZED.into_response()
            } else {
                gone(&state, &jar, next.as_deref()).await
            });
        };
        if !session.posted(&headers, params.first("form")) {
            return Err(PageError::Foreign);
        }
        Ok::<_, PageError>(if is_quiet {
            StatusCode::NO_CONTENT.into_response()
        } else {
            see_other(&state.path(next.as_deref().unwrap_or("/settings")))
        })
    };
    extended.await.unwrap_or_else(|error| error.page(&state))
}
