//! The pages: the second step, setting one up, and the list of what an account has.

pub(in crate::smart) mod enrol;
pub(in crate::smart) mod security;
pub(in crate::smart) mod step;

use std::net::IpAddr;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::super::attempts::{self, Refusal};
use super::super::entities::account;
use super::super::mail::Letter;
use super::super::pages::{Forms, Frame, PageError, page, traced};
use super::super::params::Params;
use super::super::sessions::Session;
use super::super::{MINUTE, SECOND, SmartState, password};
use super::{Factors, changed, factors, passkeys, recovery, totp};
use crate::clock::Millis;
use crate::texts::Texts;

/// Ten codes, shown once.
#[derive(Template)]
#[template(path = "smart/recovery_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<String>,
    /// Where to go on.
    next: String,
}

fn codes_page(
    state: &SmartState,
    session: Option<&Session>,
    codes: Vec<String>,
    next: &str,
) -> Response {
    let template = CodesPage {
        frame: Frame::new(state, session),
        codes,
        next: state.path(next),
    };
    page(state, StatusCode::OK, Forms::Own, &template)
}

/// Why something typed is not taken, in the person's words, with a status and perhaps seconds to wait.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) words: String,
    pub(super) status: StatusCode,
    wait: Option<i64>,
}

impl Refused {
    fn new(name: &str) -> Self {
        Self {
            words: Texts::here().plain(name, []),
            status: StatusCode::BAD_REQUEST,
            wait: None,
        }
    }

    fn of(refusal: Refusal) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        match refusal {
            Refusal::Blocked => Self {
                status,
                ..Self::new("factor-blocked")
            },
            Refusal::Wait(wait) => {
                let seconds = (wait + SECOND - 1) / SECOND;
                Self {
                    words: Texts::here().plain("login-wait", [("seconds", seconds.into())]),
                    status,
                    wait: Some(seconds),
                }
            }
        }
    }

    /// The same with what the help desk asks for ([`traced`]).
    fn traced(self, code: &'static str, account: &account::Model) -> Self {
        Self {
            words: traced(&self.words, code, Some(&account.id)),
            ..self
        }
    }

    fn on(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.wait {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Tries a code of the authenticator app, or a recovery code. Tries are counted as those of passwords are,
/// under a name of their own, and no browser is outside the count: whoever is here knows the password.
async fn try_code(
    state: &SmartState,
    caller: Option<IpAddr>,
    account: &account::Model,
    code: &str,
) -> Result<Result<(), Refused>, PageError> {
    let name = format!("second factor {}", account.id);
    let nobody = CookieJar::new();
    let attempt = match attempts::begin(state, &nobody, caller, &name, Some(account)).await? {
        Ok(attempt) => attempt,
        Err(refusal) => {
            let refused = Refused::of(refusal);
            return Ok(Err(refused.traced("second-step-wait", account)));
        }
    };
    let is_right = totp::check(state, &account.id, code).await?;
    let is_spent = !is_right && recovery::spend(state, &account.id, code).await?;
    if is_spent {
        let letter = &Letter::RecoveryCodeUsed;
        changed(state, &account.id, "recovery-code-used", letter).await?;
    }
    if !is_right && !is_spent {
        let refused = Refused::new("factor-wrong");
        return Ok(Err(refused.traced("second-step-wrong", account)));
    }
    attempt.passed(state).await?;
    Ok(Ok(()))
}

/// Asks whoever is signed in for the password again, before something is changed with which they sign in.
async fn try_password(
    state: &SmartState,
    jar: &CookieJar,
    caller: Option<IpAddr>,
    account: &account::Model,
    typed: &str,
) -> Result<Result<(), Refused>, PageError> {
    let name = &account.username;
    let attempt = match attempts::begin(state, jar, caller, name, Some(account)).await? {
        Ok(attempt) => attempt,
        Err(refusal) => {
            let refused = Refused::of(refusal);
            return Ok(Err(refused.traced("password-wait", account)));
        }
    };
    let is_right = password::verify(typed, Some(&account.password))
        .await
        .inspect_err(|_| attempt.undo(state))?;
    if !is_right {
        let refused = Refused::new("factor-password-wrong");
        return Ok(Err(refused.traced("password-wrong", account)));
    }
    attempt.passed(state).await?;
    Ok(Ok(()))
}

/// How long a sign-in with a second factor stands for one, in milliseconds.
const FRESH_FOR: Millis = 5 * MINUTE;

/// Whether a change of factors needs a code beside the password: a stolen password and an unlocked computer
/// must not be enough to take the second factor away, or to add another.
fn asks_code(state: &SmartState, session: &Session, own: Factors) -> bool {
    let has_one = own.has_totp || own.passkeys > 0;
    let by_both = session.methods.split(' ').any(|method| method == "mfa");
    let is_fresh = by_both && state.now() - session.signed_in <= FRESH_FOR;
    has_one && !is_fresh
}

/// Asks whoever is signed in for password and second factor again, as the posted fields `password` and `code`.
pub(super) async fn try_both(
    state: &SmartState,
    jar: &CookieJar,
    caller: Option<IpAddr>,
    session: &Session,
    params: &Params,
) -> Result<Result<(), Refused>, PageError> {
    let account = &session.account;
    let typed = params.first("password").unwrap_or_default();
    // First: a code works once, and is not used up beside a wrong password.
    if let Err(refused) = try_password(state, jar, caller, account, typed).await? {
        return Ok(Err(refused));
    }
    let own = factors(state.store().reader(), &account.id).await?;
    if !asks_code(state, session, own) {
        return Ok(Ok(()));
    }
    match params.first("code").map(str::trim) {
        None | Some("") => Ok(Err(Refused::new("factor-code-missing"))),
        Some(code) => try_code(state, caller, account, code).await,
    }
}

/// Whether passkeys can be offered on a page.
fn offers_passkeys(state: &SmartState) -> bool {
    passkeys::are_possible(state)
}
