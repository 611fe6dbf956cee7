//! `/auth/switch`: somebody is signed in, and the app or the EHR expected somebody else.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait as _, IntoActiveModel as _};

use super::entities::request;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::{SmartState, authorize, login, sessions};

/// The path of this page.
pub(super) const PATH: &str = "/auth/switch";

#[derive(Template)]
#[template(path = "smart/switch.html")]
struct SwitchPage {
    frame: Frame,
    form: String,
    request: String,
    /// Who is signed in.
    name: String,
    /// Whether they may answer all the same.
    may_stay: bool,
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        let request = authorize::find(&state, params.first("request")).await?;
        let session = sessions::load(&state, &jar).await?;
        let step = login::next(&request, session.as_ref());
        let Some(session) = session.filter(|_| step == PATH) else {
            return Ok(onwards(&state, step, &request));
        };
        let template = SwitchPage {
            frame: Frame::new(&state, Some(&session)),
            form: session.form_token(),
            request: request.id.clone(),
            name: session.account.name.clone(),
            may_stay: request.launch().is_none(),
        };
        Ok(page(&state, StatusCode::OK, Forms::Own, &template))
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

fn onwards(state: &SmartState, step: &str, request: &request::Model) -> Response {
    see_other(&state.path(&format!("{step}?request={}", request.id)))
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&state, jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn answer(
    state: &SmartState,
    jar: CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    let request = authorize::find(state, params.first("request")).await?;
    let session = sessions::load(state, &jar).await?;
    let step = login::next(&request, session.as_ref());
    let Some(session) = session.filter(|_| step == PATH) else {
        return Ok(onwards(state, step, &request));
    };
    if !session.posted(headers, params.first("form")) {
        return Err(PageError::Foreign);
    }
    if params.first("action") == Some("stay") && request.launch().is_none() {
        let id = request.id.clone();
        let mut row = request.into_active_model();
        row.login_hint = Set(None);
        let tx = state.store().begin().await?;
        request::Entity::update(row).exec(tx.connection()).await?;
        tx.commit().await?;
        return Ok(see_other(
            &state.path(&format!("/auth/record?request={id}")),
        ));
    }
    let jar = sessions::end(state, jar).await?;
    let to = onwards(state, "/login", &request);
    Ok((jar, to).into_response())
}
