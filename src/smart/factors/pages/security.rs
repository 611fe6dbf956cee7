//! `/security`: with what an account signs in beside its password. Every change asks for the
//! password, and for the second factor where there is one.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::super::mail::Letter;
use super::super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::super::sessions::{self, Session};
use super::super::super::{SmartState, gate};
use super::super::{Factors, changed, factors, passkeys, recovery, required_of, totp};
use super::{Refused, asks_code, codes_page, offers_passkeys, try_both};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/security.html")]
struct SecurityPage {
    frame: Frame,
    form: String,
    own: Factors,
    passkeys: Vec<Passkey>,
    /// Whether the account must keep one factor.
    is_required: bool,
    offers_passkey: bool,
    /// Whether changes need a code beside the password.
    asks_code: bool,
    /// Token of the form that signs in again with a passkey, which is one of nobody in particular; empty
    /// where there is none.
    passkey_form: String,
    problem: String,
    done: String,
}

struct Passkey {
    id: String,
    name: String,
    added: String,
    used: String,
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) => show(&state, jar, &session, None, "").await,
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
    session: &Session,
    refused: Option<Refused>,
    done: &str,
) -> Result<Response, PageError> {
    let account = &session.account;
    let texts = Texts::here();
    let day = |at: i64| {
        jiff::Timestamp::from_millisecond(at)
            .map(|at| texts.day(at.to_zoned(jiff::tz::TimeZone::UTC).date()))
            .unwrap_or_default()
    };
    let passkeys = passkeys::list(state, &account.id).await?;
    let own = factors(state.store().reader(), &account.id).await?;
    let asks_code = asks_code(state, session, own);
    let (jar, passkey_form) = if asks_code && own.passkeys > 0 && offers_passkeys(state) {
        sessions::anonymous_form(state, jar)
    } else {
        (jar, String::new())
    };
    let template = SecurityPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        own,
        passkeys: passkeys
            .into_iter()
            .map(|one| Passkey {
                id: URL_SAFE_NO_PAD.encode(one.credential),
                name: one.name,
                added: day(one.created),
                used: one.used.map(day).unwrap_or_default(),
            })
            .collect(),
        is_required: required_of(state, account),
        offers_passkey: offers_passkeys(state) && !session.is_kiosk,
        asks_code,
        passkey_form,
        problem: refused
            .as_ref()
            .map(|one| one.words.clone())
            .unwrap_or_default(),
        done: match done {
            "" => String::new(),
            name => texts.plain(name, []),
        },
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
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(gate::to_login(state, "/security"));
    };
    let params = session.form(&parts.headers, body)?;
    let account = &session.account;
    let told = |what| changed(state, &account.id, what, &Letter::FactorsChanged);
    let action = params.first("action").unwrap_or_default();
    // What an authenticator answered to a challenge that password and code were given for.
    if action == "passkey-add" {
        if session.is_kiosk {
            return Err(PageError::Kiosk);
        }
        let name = params.first("name").unwrap_or_default();
        let credential = params.first("credential").unwrap_or_default();
        if !passkeys::add(state, account, name, credential).await? {
            let refused = Refused::new("passkey-not-added");
            return show(state, jar, &session, Some(refused), "").await;
        }
        told("passkey-added").await?;
        let own = factors(state.store().reader(), &account.id).await?;
        if own.recovery_codes == 0 {
            let codes = recovery::renew(state, &account.id).await?;
            return Ok(codes_page(state, Some(&session), codes, "/security"));
        }
        return show(state, jar, &session, None, "passkey-added").await;
    }
    let caller = state.caller(parts);
    if let Err(refused) = try_both(state, &jar, caller, &session, &params).await? {
        return show(state, jar, &session, Some(refused), "").await;
    }
    let own = factors(state.store().reader(), &account.id).await?;
    let is_last = |rest: bool| required_of(state, account) && !rest;
    match action {
        "totp-begin" => {
            totp::begin(state, &account.id).await?;
            Ok(see_other(&state.path("/auth/factor/enrol")))
        }
        "totp-remove" => {
            if is_last(own.passkeys > 0) {
                return show(state, jar, &session, Some(Refused::new("factor-last")), "").await;
            }
            totp::remove(state, &account.id).await?;
            told("authenticator-removed").await?;
            show(state, jar, &session, None, "factor-removed").await
        }
        "codes" => {
            if !own.has_totp && own.passkeys == 0 {
                return Err(PageError::Foreign);
            }
            let codes = recovery::renew(state, &account.id).await?;
            told("recovery-codes-made").await?;
            Ok(codes_page(state, Some(&session), codes, "/security"))
        }
        "passkey-remove" => {
            if is_last(own.has_totp || own.passkeys > 1) {
                return show(state, jar, &session, Some(Refused::new("factor-last")), "").await;
            }
            let id = params.first("passkey").unwrap_or_default();
            let id = URL_SAFE_NO_PAD.decode(id).unwrap_or_default();
            passkeys::remove(state, &account.id, &id).await?;
            told("passkey-removed").await?;
            show(state, jar, &session, None, "passkey-removed").await
        }
        _ => Err(PageError::Foreign),
    }
}
