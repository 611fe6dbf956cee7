//! What the page's script asks for passkeys, and the form that signs in with one. Without the script the
//! other ways are there.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::pages::{PageError, asset, version};
use super::super::params::Params;
use super::super::sessions::{self, AnonymousPost};
use super::super::{SmartState, authorize, gate, here, login};
use super::pages::enrol::Who;
use super::pages::try_both;
use super::{FirstStep, PASSKEY, finish, half, passkeys};
use crate::texts::Texts;

const SCRIPT: &str = include_str!("../../../templates/assets/passkey.js");

/// The script's path with its hash.
pub(in crate::smart) fn script_path(state: &SmartState) -> String {
    static VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));
    state.path(&format!("/assets/passkey.js?v={}", *VERSION))
}

/// `GET /assets/passkey.js`.
pub(in crate::smart) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn json(options: Option<String>) -> Response {
    match options {
        Some(options) => (
            [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            options,
        )
            .into_response(),
        None => StatusCode::CONFLICT.into_response(),
    }
}

fn is_own(state: &SmartState, jar: &CookieJar, headers: &HeaderMap, params: &Params) -> bool {
    sessions::posted_anonymously(state, jar, headers, params.first("form")) == AnonymousPost::Own
}

/// `POST /auth/passkey/options`: a challenge for whoever signs in.
pub(in crate::smart) async fn sign_in_options(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    let Ok(params) = Params::from_form(&parts.headers, &body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if !is_own(&state, &jar, &parts.headers, &params) {
        return StatusCode::FORBIDDEN.into_response();
    }
    // Each leaves a row for five minutes.
    if !state
        .throttle()
        .spend_request(state.caller(&parts), state.pace())
    {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    match passkeys::begin_signing_in(&state).await {
        Ok(options) => json(options),
        Err(error) => PageError::from(error).page(&state),
    }
}

/// `POST /auth/passkey`: what the authenticator answered; both steps of a sign-in.
pub(in crate::smart) async fn sign_in_with_passkey(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    let signed_in = async {
        let params = Params::from_form(&parts.headers, &body).map_err(|_| PageError::Foreign)?;
        if !is_own(&state, &jar, &parts.headers, &params) {
            return Err(PageError::Foreign);
        }
        let answer = params.first("credential").unwrap_or_default();
        let account = passkeys::sign_in(&state, answer).await?;
        let account = account.ok_or(PageError::Passkey)?;
        // Where the person was going: whoever typed a password first, or came for an app.
        let half = half::load(&state, &jar).await?;
        let half = half.filter(|half| half.account.id == account.id);
        let is_kiosk = here::is_kiosk() || half.as_ref().is_some_and(|half| half.is_kiosk);
        let request = params.first("request").unwrap_or_default();
        let target = match (half, request) {
            (Some(half), _) => half.target,
            (None, "") => {
                let next = params.first("next").and_then(gate::own_page);
                login::target(None, next, &account.id)
            }
            (None, id) => {
                let request = authorize::find(&state, Some(id)).await?;
                if !login::is_meant(&request, &account.id) {
                    return Err(PageError::OtherAccount);
                }
                login::target(Some(&request), None, &account.id)
            }
        };
        let first = FirstStep {
            account: &account,
            target: &target,
            signed_in: None,
            methods: PASSKEY,
            is_kiosk,
            parts: &parts,
        };
        Ok(finish(&state, jar, &first).await?)
    };
    signed_in
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

/// `POST /security/passkey/options`: a challenge for a new passkey of whoever is signed in and showed
/// password and second factor again, or who has to set a second step up before they are in.
pub(in crate::smart) async fn add_options(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    let begun = async {
        let who = Who::of(&state, &jar).await?.ok_or(PageError::Foreign)?;
        let params = who.form(&parts.headers, &body)?;
        if who.is_kiosk() {
            let words = Texts::here().plain("problem-kiosk-words", []);
            return Ok((StatusCode::FORBIDDEN, words).into_response());
        }
        if let Some(session) = who.session() {
            let caller = state.caller(&parts);
            if let Err(refused) = try_both(&state, &jar, caller, session, &params).await? {
                return Ok((refused.status, refused.words).into_response());
            }
        }
        Ok(json(passkeys::begin_adding(&state, who.account()).await?))
    };
    begun
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}
