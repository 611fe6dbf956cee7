//! `/login`: username and password. The answer for an unknown name is the one for a wrong password, and
//! takes as long.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::attempts::{self, Refusal};
use super::entities::request;
use super::factors::FirstStep;
use super::pages::{Forms, Frame, PageError, page, see_other, traced};
use super::params::Params;
use super::sessions::{AnonymousPost, Session};
use super::{
    DAY, MINUTE, SECOND, SmartState, authorize, clients, factors, gate, here, kiosk, password,
    record, sessions, switch, upstream, users,
};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/login.html")]
struct LoginPage {
    frame: Frame,
    form: String,
    /// Id of the authorization request, empty when somebody came by themselves.
    request: String,
    /// Name of the app that sent the person, empty when none did.
    app: String,
    username: String,
    /// Whether somebody signed in has to type the password again.
    again: bool,
    problem: String,
    /// Name and address of providers to sign in with instead.
    providers: Vec<(String, String)>,
    idle_minutes: i64,
    /// The page to go on at, or empty.
    next: String,
    /// What happened just now, or empty.
    done: String,
    /// Whether this server has passkeys.
    has_passkeys: bool,
}

/// The path of the next page for somebody who answers a request.
pub(super) fn next(request: &request::Model, session: Option<&Session>) -> &'static str {
    match session {
        Some(session)
            if !is_meant(request, &session.account.id)
                || !is_expected(request, &session.account.username) =>
        {
            switch::PATH
        }
        Some(session) if session.signed_in >= request.fresh_after => "/auth/record",
        _ => "/login",
    }
}

/// Whether this is the username that the app expects, if it expects one.
fn is_expected(request: &request::Model, username: &str) -> bool {
    let hint = request.login_hint.as_deref();
    hint.and_then(users::normal_username)
        .is_none_or(|expected| expected == username)
}

/// Whether this account may answer: an EHR launches an app for one person.
pub(super) fn is_meant(request: &request::Model, account: &str) -> bool {
    request
        .launch()
        .is_none_or(|launch| launch.account == account)
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match show(&state, &params, jar).await {
        Ok(response) => response,
        Err(error) => error.page(&state),
    }
}

async fn show(state: &SmartState, params: &Params, jar: CookieJar) -> Result<Response, PageError> {
    let session = sessions::load(state, &jar).await?;
    let id = params.first("request").unwrap_or_default();
    // Somebody else may be signed in than the one for whom an EHR opened the app.
    let mut known = session.as_ref();
    let app = match id {
        "" if session.is_some() => {
            let next = params.first("next").and_then(gate::own_page);
            return Ok(see_other(&state.path(next.as_deref().unwrap_or("/apps"))));
        }
        "" => String::new(),
        id => {
            let request = authorize::find(state, Some(id)).await?;
            if here::is_kiosk() {
                return record::not_here(state, &request).await;
            }
            let step = next(&request, session.as_ref());
            if step != "/login" {
                return Ok(see_other(&state.path(&format!("{step}?request={id}"))));
            }
            known = known.filter(|session| is_meant(&request, &session.account.id));
            app_name(state, &request).await?
        }
    };
    let again = known.is_some();
    let username = known
        .map(|session| session.account.username.clone())
        .unwrap_or_default();
    let next = params
        .first("next")
        .and_then(gate::own_page)
        .unwrap_or_default();
    let (jar, form) = sessions::anonymous_form(state, jar);
    let template = LoginPage {
        frame: Frame::new(state, None),
        form,
        request: id.to_owned(),
        app,
        again,
        username,
        problem: String::new(),
        providers: upstream::offers(state, id, &next),
        idle_minutes: kiosk::idle(state, here::is_kiosk()) / MINUTE,
        next,
        done: match params.first("done") {
            Some("reset") => Texts::here().plain("login-reset", []),
            _ => String::new(),
        },
        has_passkeys: factors::are_passkeys_possible(state),
    };
    Ok((jar, page(state, StatusCode::OK, Forms::Own, &template)).into_response())
}

/// Where somebody who signed in goes on: at the step at which they were.
pub(super) fn target(
    request: Option<&request::Model>,
    next: Option<String>,
    account: &str,
) -> String {
    match request {
        Some(request) => {
            let is_chosen =
                request.account.as_deref() == Some(account) && request.patient.is_some();
            let step = if is_chosen { "consent" } else { "record" };
            format!("/auth/{step}?request={}", request.id)
        }
        None => next.unwrap_or_else(|| "/apps".to_owned()),
    }
}

async fn app_name(state: &SmartState, request: &request::Model) -> Result<String, PageError> {
    let client = clients::find(state.store().reader(), &request.client_id).await?;
    Ok(client.ok_or(PageError::UnknownClient)?.name)
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    match sign_in(&state, jar, &parts, &body).await {
        Ok(response) => response,
        Err(error) => error.page(&state),
    }
}

async fn sign_in(
    state: &SmartState,
    mut jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(&parts.headers, body).map_err(|_| PageError::Foreign)?;
    let form = params.first("form");
    match sessions::posted_anonymously(state, &jar, &parts.headers, form) {
        AnonymousPost::Own => {}
        AnonymousPost::NoCookie => return Err(PageError::NoCookie),
        AnonymousPost::Foreign => return Err(PageError::Foreign),
    }
    let id = params.first("request").unwrap_or_default();
    let next = params.first("next").and_then(gate::own_page);
    let (app, request) = if id.is_empty() {
        (String::new(), None)
    } else {
        let request = authorize::find(state, Some(id)).await?;
        (app_name(state, &request).await?, Some(request))
    };
    let username = params.first("username").unwrap_or_default().trim();
    let password = params.first("password").unwrap_or_default();
    let account = users::find_by_username(state.store().reader(), username)
        .await?
        .filter(|account| account.disabled.is_none());
    let caller = state.caller(parts);
    let begun = attempts::begin(state, &jar, caller, username, account.as_ref()).await?;
    let mut is_somebody_else = false;
    let refusal = match begun {
        Err(refusal) => Some(refusal),
        Ok(attempt) => {
            let hash = account.as_ref().map(|account| account.password.as_str());
            let is_right = password::verify(password, hash)
                .await
                .inspect_err(|_| attempt.undo(state))?;
            if let Some(account) = account.filter(|_| is_right) {
                if request
                    .as_ref()
                    .is_none_or(|request| is_meant(request, &account.id))
                {
                    let target = target(request.as_ref(), next, &account.id);
                    let first = FirstStep {
                        account: &account,
                        target: &target,
                        signed_in: None,
                        methods: factors::PASSWORD,
                        is_kiosk: here::is_kiosk(),
                        parts,
                    };
                    return Ok(factors::after_first_step(state, jar, &first).await?);
                }
                jar = attempt.succeeded(state, jar, here::is_kiosk()).await?;
                is_somebody_else = true;
            }
            None
        }
    };
    let texts = Texts::here();
    let (status, code, problem, retry_after) = match refusal {
        Some(Refusal::Blocked) => (
            StatusCode::TOO_MANY_REQUESTS,
            "sign-in-blocked",
            texts.plain("login-blocked", []),
            // Names that nobody has are forgotten after a day.
            Some(DAY / SECOND),
        ),
        Some(Refusal::Wait(wait)) => {
            let seconds = (wait + SECOND - 1) / SECOND;
            (
                StatusCode::TOO_MANY_REQUESTS,
                "sign-in-wait",
                texts.plain("login-wait", [("seconds", seconds.into())]),
                Some(seconds),
            )
        }
        None if is_somebody_else => (
            StatusCode::BAD_REQUEST,
            "sign-in-other",
            texts.plain("login-somebody-else", []),
            None,
        ),
        None => (
            StatusCode::BAD_REQUEST,
            "sign-in-wrong",
            texts.plain("login-wrong", []),
            None,
        ),
    };
    let problem = traced(&problem, code, None);
    let next = params
        .first("next")
        .and_then(gate::own_page)
        .unwrap_or_default();
    let (jar, form) = sessions::anonymous_form(state, jar);
    let template = LoginPage {
        frame: Frame::new(state, None),
        form,
        request: id.to_owned(),
        app,
        username: username.to_owned(),
        again: false,
        problem,
        providers: upstream::offers(state, id, &next),
        idle_minutes: kiosk::idle(state, here::is_kiosk()) / MINUTE,
        next,
        done: String::new(),
        has_passkeys: factors::are_passkeys_possible(state),
    };
    let mut response = (jar, page(state, status, Forms::Own, &template)).into_response();
    if let Some(seconds) = retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}
