//! `/auth/factor`: the second step of a sign-in.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::super::SmartState;
use super::super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::super::sessions;
use super::super::half::{self, Half};
use super::super::{CODE, Left, factors, finish, left};
use super::{Refused, offers_passkeys, try_code};

#[derive(Template)]
#[template(path = "smart/factor.html")]
struct StepPage {
    frame: Frame,
    form: String,
    /// Token of the form that signs in with a passkey, which is one of nobody in particular.
    passkey_form: String,
    /// Whether they are on the way to an app.
    connects: bool,
    has_totp: bool,
    has_passkey: bool,
    problem: String,
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let shown = async {
        match half::load(&state, &jar).await? {
            Some(half) => show(&state, jar, &half, None).await,
            None => Ok(see_other(&state.path("/login"))),
        }
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

async fn show(
    state: &SmartState,
    jar: CookieJar,
    half: &Half,
    refused: Option<Refused>,
) -> Result<Response, PageError> {
    if left(state, &half.account).await? == Left::Enrolment {
        return Ok(see_other(&state.path("/auth/factor/enrol")));
    }
    let own = factors(state.store().reader(), &half.account.id).await?;
    let (jar, passkey_form) = sessions::anonymous_form(state, jar);
    let template = StepPage {
        frame: Frame::new(state, None),
        form: half.form_token(),
        passkey_form,
        connects: half.connects(),
        has_totp: own.has_totp,
        has_passkey: own.passkeys > 0 && offers_passkeys(state),
        problem: refused
            .as_ref()
            .map(|one| one.words.clone())
            .unwrap_or_default(),
    };
    let status = refused.as_ref().map_or(StatusCode::OK, |one| one.status);
    let response = (jar, page(state, status, Forms::Own, &template)).into_response();
    Ok(match refused {
        Some(refused) => refused.on(response),
        None => response,
    })
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    answer(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn answer(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let half = half::load(state, &jar).await?.ok_or(PageError::HalfGone)?;
    let params = half.form(&parts.headers, body)?;
    // An account without a second factor has none to pass with.
    if left(state, &half.account).await? != Left::SecondStep {
        return Ok(see_other(&state.path("/login")));
    }
    let code = params.first("code").unwrap_or_default();
    let caller = state.caller(parts);
    match try_code(state, caller, &half.account, code).await? {
        Ok(()) => {
            let methods = half.methods(CODE);
            Ok(finish(state, jar, &half.first(&methods, parts)).await?)
        }
        Err(refused) => show(state, jar, &half, Some(refused)).await,
    }
}
