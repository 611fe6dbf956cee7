//! `/reset`: a new password with a link that was mailed. It signs nobody in: what else the account asks for
//! at sign-in, it asks for then.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::contact::{self, Purpose};
use super::entities::account;
use super::events::{self, Event};
use super::mail::Letter;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::settings::password_problem;
use super::{SmartState, attempts, password, sessions, users};
use crate::store::Origin;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/reset.html")]
struct ResetPage {
    frame: Frame,
    form: String,
    token: String,
    username: String,
    shortest: usize,
    problem: String,
    /// Name of the field that the problem is about.
    field: &'static str,
}

#[derive(Template)]
#[template(path = "smart/link_gone.html")]
struct GonePage {
    frame: Frame,
    /// Where to ask for another link.
    to: &'static str,
}

/// The page for a link that is used, late or unknown: all look the same.
pub(super) fn gone(state: &SmartState, to: &'static str) -> Response {
    let template = GonePage {
        frame: Frame::new(state, None),
        to,
    };
    page(state, StatusCode::BAD_REQUEST, Forms::Own, &template)
}

/// Whose link it is.
async fn holder(state: &SmartState, token: &str) -> Result<Option<account::Model>, PageError> {
    let reader = state.store().reader();
    let link = contact::find_link(reader, Purpose::Reset, token, state.now()).await?;
    Ok(match link {
        Some(link) => users::find_enabled(reader, &link.account).await?,
        None => None,
    })
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let token = params.first("token").unwrap_or_default();
    match holder(&state, token).await {
        Ok(Some(account)) => show(&state, jar, token, &account, String::new()),
        Ok(None) => gone(&state, "/forgot"),
        Err(error) => error.page(&state),
    }
}

fn show(
    state: &SmartState,
    jar: CookieJar,
    token: &str,
    account: &account::Model,
    problem: String,
) -> Response {
    let (jar, form) = sessions::anonymous_form(state, jar);
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let template = ResetPage {
        frame: Frame::new(state, None),
        form,
        token: token.to_owned(),
        username: account.username.clone(),
        shortest: password::SHORTEST,
        problem,
        field: "password",
    };
    (jar, page(state, status, Forms::Own, &template)).into_response()
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    reset(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn reset(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(&parts.headers, body).map_err(|_| PageError::Foreign)?;
    sessions::require_own(state, &jar, &parts.headers, params.first("form"))?;
    let token = params.first("token").unwrap_or_default();
    let Some(account) = holder(state, token).await? else {
        return Ok(gone(state, "/forgot"));
    };
    let new = params.first("password").unwrap_or_default();
    if Some(new) != params.first("repeated") {
        let problem = Texts::here().plain("password-differ", []);
        return Ok(show(state, jar, token, &account, problem));
    }
    let hash = match password::hash_new(&state.guessed_first(&account.username), new).await {
        Ok(hash) => hash,
        Err(error) => {
            return Ok(show(state, jar, token, &account, password_problem(error)?));
        }
    };
    let mut writer = state.store().writer(Origin::Feed).await?;
    let connection = writer.connection();
    if !contact::spend_link(connection, Purpose::Reset, token, state.now()).await? {
        return Ok(gone(state, "/forgot"));
    }
    users::replace_password(connection, &account.id, hash, None).await?;
    // Whoever asks for a new password may have lost a browser that was known.
    attempts::forget(connection, &account.id).await?;
    let event = Event::by_nobody("password-reset").to(&account.id);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await.map_err(PageError::from)?;
    tracing::info!(account = account.id, "password reset");
    contact::tell(state, &account.id, &Letter::PasswordChanged).await?;
    let jar = sessions::end(state, jar).await?;
    Ok((jar, see_other(&state.path("/login?done=reset"))).into_response())
}
