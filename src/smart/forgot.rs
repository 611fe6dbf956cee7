//! `/forgot`: a link for a new password, to the address that the account holder confirmed (portal.md A12).
//! Who asks learns nothing: the page is the same and is there before anything is looked up.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use tokio::sync::Semaphore;

use super::contact::{self, Email, Link, Purpose};
use super::events::{self, Event};
use super::mail::Letter;
use super::pages::{Forms, Frame, PageError, page};
use super::params::Params;
use super::throttle::Kind;
use super::{MINUTE, SECOND, SmartState, sessions, users};
use crate::clock::Millis;
use crate::store::{Origin, StoreError};

/// From the letter to the new password.
pub(super) const LIFE: Millis = 30 * MINUTE;
/// No second letter this soon: the first is on its way, and strangers fill no mailbox.
const NOT_AGAIN: Millis = 5 * MINUTE;
/// Accounts with one address that get a letter each.
const MOST_ACCOUNTS: usize = 5;

#[derive(Template)]
#[template(path = "smart/forgot.html")]
struct ForgotPage {
    frame: Frame,
    form: String,
    /// Whether somebody asked just now.
    asked: bool,
    sends_mail: bool,
    minutes: i64,
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    show(&state, jar, false)
}

fn show(state: &SmartState, jar: CookieJar, asked: bool) -> Response {
    let (jar, form) = sessions::anonymous_form(state, jar);
    let template = ForgotPage {
        frame: Frame::new(state, None),
        form,
        asked,
        sends_mail: state.outbox().is_there(),
        minutes: LIFE / MINUTE,
    };
    (jar, page(state, StatusCode::OK, Forms::Own, &template)).into_response()
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    ask(&state, jar, &parts, &body).unwrap_or_else(|error| error.page(&state))
}

fn ask(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(&parts.headers, body).map_err(|_| PageError::Foreign)?;
    sessions::require_own(state, &jar, &parts.headers, params.first("form"))?;
    let name = params.first("name").unwrap_or_default();
    let name = contact::folded(&name.chars().take(254).collect::<String>());
    let caller = state.caller(parts);
    // Each letter counts, whether or not one was sent.
    let counted = state
        .throttle()
        .reserve(Kind::Reset, &name, caller, false, state.pace());
    if let Err(wait) = counted {
        return Err(PageError::Wait((wait + SECOND - 1) / SECOND));
    }
    send_later(state, name);
    Ok(show(state, jar, true))
}

/// Looks accounts up and writes to them after the answer was given.
fn send_later(state: &SmartState, name: String) {
    static TURNS: LazyLock<std::sync::Arc<Semaphore>> =
        LazyLock::new(|| std::sync::Arc::new(Semaphore::new(64)));
    let Ok(turn) = TURNS.clone().try_acquire_owned() else {
        tracing::warn!("a reset was not looked at: too many at once");
        return;
    };
    let state = state.clone();
    tokio::spawn(async move {
        if let Err(error) = send(&state, &name, None).await {
            tracing::error!(%error, "a reset link could not be made");
        }
        drop(turn);
    });
}

/// Sends a link to everybody whom a username or an address names, if they have a confirmed address.
/// `helper`: the member of staff who has it sent. Returns how many letters left.
pub(super) async fn send(
    state: &SmartState,
    name: &str,
    helper: Option<&str>,
) -> Result<usize, StoreError> {
    let reader = state.store().reader();
    let found = if name.contains('@') {
        contact::with_address(reader, name).await?
    } else {
        match users::find_by_username(reader, name).await? {
            Some(account) => contact::of_account(reader, &account.id)
                .await?
                .into_iter()
                .collect(),
            None => Vec::new(),
        }
    };
    let mut sent = 0;
    for email in found.iter().take(MOST_ACCOUNTS) {
        if users::find_enabled(reader, &email.account).await?.is_some()
            && send_one(state, email, helper).await?
        {
            sent += 1;
        }
    }
    Ok(sent)
}

async fn send_one(
    state: &SmartState,
    email: &Email,
    helper: Option<&str>,
) -> Result<bool, StoreError> {
    let now = state.now();
    if now < email.resets_from {
        tracing::info!(account = email.account, "no reset yet: the address changed");
        return Ok(false);
    }
    let link = Link {
        account: email.account.clone(),
        address: email.address.clone(),
        language: email.language,
    };
    let mut writer = state.store().writer(Origin::Feed).await?;
    let connection = writer.connection();
    let since = now - NOT_AGAIN;
    if contact::has_link_since(connection, Purpose::Reset, &email.account, since).await? {
        return Ok(false);
    }
    let token = contact::make_link(connection, Purpose::Reset, &link, now, LIFE).await?;
    let event = match helper {
        Some(helper) => Event::by_account("reset-link-by-staff", helper),
        None => Event::by_nobody("reset-link"),
    };
    events::note(&mut writer, state, &event.to(&email.account)).await?;
    writer.commit().await?;
    let letter = Letter::Reset {
        link: state.url(&format!("/reset?token={token}")),
        life: LIFE,
    };
    contact::post(state, &email.address, email.language, &letter);
    tracing::info!(account = email.account, "reset link sent");
    Ok(true)
}
