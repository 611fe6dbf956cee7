//! `GET` and `POST /auth/end-session` (OpenID Connect RP-Initiated Logout 1.0): an app sends somebody
//! here to be signed out.
//!
//! Who comes with an id_token of the very person signed in is signed out at once; everybody else is
//! asked, because a link is easily sent. Back to the app goes only who came with a registered URI.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use serde_json::Value;
use url::Url;

use super::entities::client;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::sessions::Session;
use super::{SmartState, clients, kiosk, sessions};

const HINT: &str = "id_token_hint";
const CLIENT: &str = "client_id";
const BACK: &str = "post_logout_redirect_uri";
const STATE: &str = "state";

#[derive(Template)]
#[template(path = "smart/end_session.html")]
struct EndSessionPage {
    frame: Frame,
    form: String,
    app: String,
    /// The app's parameters, which the answer brings back.
    kept: Vec<(&'static str, String)>,
}

/// Who asks, and where to go afterwards.
struct Asked {
    /// Claims of an id_token that this server made.
    hint: Option<Value>,
    client: Option<client::Model>,
    target: String,
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar, parts: Parts) -> Response {
    let params = Params::parse(parts.uri.query().unwrap_or_default().as_bytes());
    ask(&state, jar, &params)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    let Ok(params) = Params::from_form(&parts.headers, &body) else {
        return PageError::Foreign.page(&state);
    };
    let Some(form) = params.first("form") else {
        // An app's own form: its browser sends our cookies along only when it comes as a link.
        let query = encoded(&kept(&params));
        return see_other(&state.path(&format!("/auth/end-session?{query}")));
    };
    let answered = async {
        let asked = asked(&state, &params).await?;
        match sessions::load(&state, &jar).await? {
            Some(session) if !session.posted(&parts.headers, Some(form)) => Err(PageError::Foreign),
            Some(session) => sign_out(&state, jar.clone(), &session, &asked.target).await,
            None => Ok(see_other(&asked.target)),
        }
    };
    answered.await.unwrap_or_else(|error| error.page(&state))
}

async fn ask(state: &SmartState, jar: CookieJar, params: &Params) -> Result<Response, PageError> {
    let asked = asked(state, params).await?;
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(see_other(&asked.target));
    };
    let hinted = asked.hint.as_ref().and_then(|claims| claims.get("sub"));
    if hinted.and_then(Value::as_str) == Some(&session.account.id) {
        return sign_out(state, jar, &session, &asked.target).await;
    }
    let template = EndSessionPage {
        frame: Frame::new(state, Some(&session)),
        form: session.form_token(),
        app: asked.client.map(|client| client.name).unwrap_or_default(),
        kept: kept(params),
    };
    Ok(page(state, StatusCode::OK, Forms::LeadAway, &template))
}

async fn sign_out(
    state: &SmartState,
    jar: CookieJar,
    session: &Session,
    target: &str,
) -> Result<Response, PageError> {
    let jar = sessions::end(state, jar).await?;
    tracing::info!(account = session.account.id, "signed out, as an app asked");
    let mut response = (jar, see_other(target)).into_response();
    // What the browser kept of pages with a record on them goes as well.
    kiosk::forget(&mut response, session.is_kiosk);
    Ok(response)
}

async fn asked(state: &SmartState, params: &Params) -> Result<Asked, PageError> {
    let hint = match params.first(HINT).filter(|token| !token.is_empty()) {
        Some(token) => state
            .signing()
            .await?
            .verify(token)
            .filter(|claims| claims.get("iss").and_then(Value::as_str) == Some(state.issuer())),
        None => None,
    };
    let audience = hint
        .as_ref()
        .and_then(|claims| claims.get("aud"))
        .and_then(Value::as_str);
    let named = params.first(CLIENT).filter(|id| !id.is_empty());
    // A hint that was made for another client says nothing of who asks: it neither signs out nor leads back.
    let (hint, client_id) = match (audience, named) {
        (Some(audience), Some(named)) if audience != named => (None, None),
        (audience, named) => (hint.clone(), audience.or(named)),
    };
    let client = match client_id {
        Some(id) => clients::find(state.store().reader(), id)
            .await?
            .filter(|client| client.disabled.is_none()),
        None => None,
    };
    let own = state.path("/signed-out");
    let target = client
        .as_ref()
        .zip(params.first(BACK))
        .filter(|(client, uri)| client.allows_logout_uri(uri))
        .and_then(|(_, uri)| with_state(uri, params.first(STATE)))
        .unwrap_or(own);
    Ok(Asked {
        hint,
        client,
        target,
    })
}

fn with_state(uri: &str, state: Option<&str>) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    let Some(state) = state else {
        return Some(uri.to_owned());
    };
    url.query_pairs_mut().append_pair(STATE, state);
    Some(url.into())
}

fn kept(params: &Params) -> Vec<(&'static str, String)> {
    [HINT, CLIENT, BACK, STATE]
        .into_iter()
        .filter_map(|name| Some((name, params.first(name)?.to_owned())))
        .collect()
}

fn encoded(pairs: &[(&'static str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}
