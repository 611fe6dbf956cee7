//! `/staff/reset`: the help desk has a link sent to the address that the account holder confirmed. It never
//! sees, sets or speaks a password (portal.md A12).

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::sessions::Session;
use super::throttle::Kind;
use super::users::Role;
use super::{SECOND, SmartState, contact, forgot, gate, sessions, settings};

#[derive(Template)]
#[template(path = "smart/staff_reset.html")]
struct ResetPage {
    frame: Frame,
    form: String,
    sends_mail: bool,
    asked: bool,
}

/// Whether whoever is signed in works at the help desk.
fn is_helper(session: &Session) -> bool {
    Role::from_name(&session.account.role).is_some_and(settings::helps)
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match sessions::load(&state, &jar).await {
        Ok(Some(session)) if is_helper(&session) => {
            let template = ResetPage {
                frame: Frame::new(&state, Some(&session)),
                form: session.form_token(),
                sends_mail: state.outbox().is_there(),
                asked: params.first("done").is_some(),
            };
            page(&state, StatusCode::OK, Forms::Own, &template)
        }
        Ok(Some(_)) => PageError::Role.page(&state),
        Ok(None) => gate::to_login(&state, "/staff/reset"),
        Err(error) => PageError::from(error).page(&state),
    }
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    help(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn help(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(gate::to_login(state, "/staff/reset"));
    };
    let params = session.form(headers, body)?;
    if !is_helper(&session) {
        return Err(PageError::Role);
    }
    let helper = &session.account.id;
    let name = params.first("name").unwrap_or_default();
    let name = contact::folded(&name.chars().take(254).collect::<String>());
    let counted = state.throttle().reserve(
        Kind::Mail,
        &format!("{helper} {name}"),
        None,
        false,
        state.pace(),
    );
    if let Err(wait) = counted {
        return Err(PageError::Wait((wait + SECOND - 1) / SECOND));
    }
    // Also to the help desk the page says nothing of who has an account.
    forgot::send(state, &name, Some(helper)).await?;
    Ok(see_other(&state.path("/staff/reset?done=yes")))
}
