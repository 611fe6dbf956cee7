//! `POST /logout` and `/signed-out`.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::{SmartState, sessions};

#[derive(Template)]
#[template(path = "smart/signed_out.html")]
struct SignedOutPage {
    frame: Frame,
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
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    let away = see_other(&state.path("/signed-out"));
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(away);
    };
    if !session.posted(headers, params.first("form")) {
        return Err(PageError::Foreign);
    }
    let jar = sessions::end(state, jar).await?;
    tracing::info!(account = session.account.id, "signed out");
    Ok((jar, away).into_response())
}

pub(super) async fn signed_out(State(state): State<SmartState>) -> Response {
    let template = SignedOutPage {
        frame: Frame::new(&state, None),
    };
    let mut response = page(&state, StatusCode::OK, Forms::Own, &template);
    // What the browser kept of pages with a record on them goes as well.
    response.headers_mut().insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cache\", \"storage\""),
    );
    response
}
