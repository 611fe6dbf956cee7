//! `/settings/password`: another password. Other browsers are signed out, this one stays, apps keep their
//! access (portal.md A14). Who must choose another one gets nowhere else before.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::attempts::{self, Refusal};
use super::super::events::{self, Event};
use super::super::mail::Letter;
use super::super::pages::{Forms, Frame, PageError, page, see_other, traced};
use super::super::params::Params;
use super::super::sessions::Session;
use super::super::{SmartState, contact, gate, password, sessions, users};
use super::password_problem;
use crate::store::Origin;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/settings_password.html")]
struct PasswordPage {
    frame: Frame,
    form: String,
    username: String,
    shortest: usize,
    /// Whether nothing else is to be had before.
    must: bool,
    /// Where to go on, or empty.
    next: String,
    problem: String,
    /// Name of the field that the problem is about.
    field: &'static str,
}

/// Typed wrongly: what, and in which field.
type Problem = Option<(String, &'static str)>;

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match sessions::load(&state, &jar).await {
        Ok(Some(session)) => show(&state, &session, &params, None),
        Ok(None) => gate::to_login(&state, "/settings/password"),
        Err(error) => PageError::from(error).page(&state),
    }
}

fn show(state: &SmartState, session: &Session, params: &Params, problem: Problem) -> Response {
    let status = if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let (problem, field) = problem.unwrap_or_default();
    let template = PasswordPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        username: session.account.username.clone(),
        shortest: password::SHORTEST,
        must: session.account.must_change.is_some(),
        next: params
            .first("next")
            .and_then(gate::own_page)
            .unwrap_or_default(),
        problem,
        field,
    };
    page(state, status, Forms::Own, &template)
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    change(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

/// Whether the password typed is that of whoever is signed in; counted like a try to sign in. The words say
/// why not.
pub(super) async fn prove(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    session: &Session,
    typed: &str,
) -> Result<Result<CookieJar, String>, PageError> {
    let account = &session.account;
    // A form that was sent later comes without it: that is no guess.
    if typed.is_empty() {
        return Ok(Err(Texts::here().plain("password-current-wrong", [])));
    }
    let caller = state.caller(parts);
    let begun = attempts::begin(state, &jar, caller, &account.username, Some(account)).await?;
    let attempt = match begun {
        Ok(attempt) => attempt,
        Err(Refusal::Wait(wait)) => {
            return Err(PageError::Wait(
                (wait + super::super::SECOND - 1) / super::super::SECOND,
            ));
        }
        Err(Refusal::Blocked) => return Err(PageError::Wait(super::super::DAY / 1000)),
    };
    let is_right = password::verify(typed, Some(&account.password))
        .await
        .inspect_err(|_| attempt.undo(state))?;
    if !is_right {
        let words = Texts::here().plain("password-current-wrong", []);
        return Ok(Err(traced(&words, "password-wrong", Some(&account.id))));
    }
    Ok(Ok(attempt.succeeded(state, jar, session.is_kiosk).await?))
}

async fn change(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(gate::to_login(state, "/settings/password"));
    };
    let params = session.form(&parts.headers, body)?;
    let again = |problem: String, field| Ok(show(state, &session, &params, Some((problem, field))));
    let account = &session.account;
    let text = |name: &'static str| params.first(name).unwrap_or_default();
    let texts = Texts::here();
    let jar = match prove(state, jar, parts, &session, text("current")).await? {
        Ok(jar) => jar,
        Err(problem) => return again(problem, "current"),
    };
    if text("password") != text("repeated") {
        return again(texts.plain("password-differ", []), "repeated");
    }
    if text("password") == text("current") {
        return again(texts.plain("password-same", []), "password");
    }
    let hash =
        match password::hash_new(&state.guessed_first(&account.username), text("password")).await {
            Ok(hash) => hash,
            Err(error) => return again(password_problem(error)?, "password"),
        };
    let mut writer = state.store().writer(Origin::Feed).await?;
    let kept = session.hash();
    users::replace_password(writer.connection(), &account.id, hash, Some(&kept)).await?;
    let event = Event::by_account("password-changed", &account.id);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await.map_err(PageError::from)?;
    tracing::info!(account = account.id, "password changed");
    contact::tell(state, &account.id, &Letter::PasswordChanged).await?;
    let next = params.first("next").and_then(gate::own_page);
    let next = next.unwrap_or_else(|| "/settings?done=password".to_owned());
    Ok((jar, see_other(&state.path(&next))).into_response())
}
