//! `/settings`: what the holder of an account looks after themselves (portal.md 5.14).

pub(super) mod browsers;
pub(super) mod email;
pub(super) mod letters;
pub(super) mod password;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page};
use super::params::Params;
use super::password::PasswordError;
use super::users::{Role, UserError};
use super::{SmartState, contact, gate, sessions};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/settings.html")]
struct SettingsPage {
    frame: Frame,
    username: String,
    /// The confirmed address, or empty.
    email: String,
    /// Whether the person helps others to a new password.
    is_staff: bool,
    /// What was done just now, or empty.
    done: String,
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    show(&state, &jar, &params)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn show(state: &SmartState, jar: &CookieJar, params: &Params) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(gate::to_login(state, "/settings"));
    };
    let email = contact::of_account(state.store().reader(), &session.account.id).await?;
    let texts = Texts::here();
    let done = match params.first("done") {
        Some("activated") => texts.plain("settings-activated", []),
        Some("activated-mail") => texts.plain("settings-activated-mail", []),
        Some("password") => texts.plain("settings-password-done", []),
        _ => String::new(),
    };
    let template = SettingsPage {
        frame: Frame::new(state, Some(&session)),
        username: session.account.username.clone(),
        email: email.map(|email| email.address).unwrap_or_default(),
        is_staff: Role::from_name(&session.account.role).is_some_and(helps),
        done,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

/// Whether somebody of this role works at the help desk.
pub(super) fn helps(role: Role) -> bool {
    matches!(role, Role::Staff | Role::Admin)
}

/// What is wrong with a new password, in words.
pub(super) fn password_problem(error: PasswordError) -> Result<String, PageError> {
    let texts = Texts::here();
    Ok(match error {
        PasswordError::TooShort => {
            let shortest = super::password::SHORTEST;
            texts.plain("password-short", [("shortest", shortest.into())])
        }
        PasswordError::TooLong => texts.plain("password-long", []),
        PasswordError::Guessable => texts.plain("password-guessable", []),
        PasswordError::Failed => return Err(error.into()),
    })
}

/// What is wrong with a username that somebody chose, in words.
pub(super) fn user_problem(error: &UserError) -> String {
    let texts = Texts::here();
    match error {
        UserError::Taken(_) => texts.plain("username-taken", []),
        UserError::IsAddress => texts.plain("username-address", []),
        UserError::IsIdentifier => texts.plain("username-identifier", []),
        _ => texts.plain("username-wrong", []),
    }
}
