//! `POST /auth/introspect` (RFC 7662; SMART App Launch 2.2, "Token introspection").
//!
//! A client sees the tokens that were issued to it. Those of every client are seen by resource servers alone:
//! clients that an operator registered for it ([`may_introspect_all`]), by their own secret or key, or with a
//! token that they got for themselves. Whose token it is, and of which class, makes no difference: a person's
//! token is in the hands of an app. To everybody else, and for everything that is not alive, the answer is
//! `{"active":false}` and not a word more.
//!
//! [`may_introspect_all`]: super::entities::client::Model::may_introspect_all

use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use thiserror::Error;

use super::client_auth::{self, ClientAuthError, Method};
use super::entities::{grant, token};
use super::json::Json;
use super::launch::LaunchContext;
use super::params::{Params, ParamsError};
use super::scopes::ScopeList;
use super::token::{NO_STORE, client_error, fhir_user, oauth_error, unavailable};
use super::viewer;
use super::{SECOND, SmartState, bearer, clients, grants, representative, secret};
use crate::clock::Millis;
use crate::store::StoreError;

/// Why nothing is said.
#[derive(Debug, Error)]
enum RouteError {
    #[error(transparent)]
    Client(#[from] ClientAuthError),
    #[error("this endpoint needs a client with a secret or key, or a bearer token")]
    Anonymous,
    #[error("the bearer token is not valid")]
    Bearer,
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error("the parameter token is missing")]
    Missing,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sea_orm::DbErr> for RouteError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let description = self.to_string();
        match &self {
            Self::Client(error) => client_error(error),
            Self::Anonymous => {
                oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", &description)
            }
            Self::Bearer => {
                let mut response =
                    oauth_error(StatusCode::UNAUTHORIZED, "invalid_token", &description);
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer error=\"invalid_token\""),
                );
                response
            }
            Self::Params(_) | Self::Missing => {
                oauth_error(StatusCode::BAD_REQUEST, "invalid_request", &description)
            }
            Self::Store(_) => unavailable(&self),
        }
    }
}

/// Whose tokens the caller may look at.
enum Reach {
    All,
    Client(String),
}

pub(super) async fn post(State(state): State<SmartState>, parts: Parts, body: Bytes) -> Response {
    match introspect(&state, &parts, &body).await {
        Ok(answer) => (StatusCode::OK, NO_STORE, Json(answer)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn introspect(state: &SmartState, parts: &Parts, body: &[u8]) -> Result<Value, RouteError> {
    let params = Params::from_form(&parts.headers, body)?;
    let reach = reach(state, parts, &params).await?;
    let presented = params.get("token")?.ok_or(RouteError::Missing)?;
    let Some(found) = find(state, presented).await? else {
        return Ok(json!({ "active": false }));
    };
    if let Reach::Client(client_id) = &reach
        && found.client_id != *client_id
    {
        return Ok(json!({ "active": false }));
    }
    let scopes = ScopeList::parse(&found.scope);
    let subject = found.account.as_ref().unwrap_or(&found.client_id);
    let mut answer = json!({
        "active": true,
        "scope": found.scope,
        "client_id": found.client_id,
        "token_type": found.kind,
        "exp": found.expires / SECOND,
        "iat": found.created / SECOND,
        "iss": state.issuer(),
        "sub": subject,
        "aud": state.fhir_base(),
    });
    if let Some(patient) = &found.patient {
        answer["patient"] = json!(patient);
    }
    if let Some(launch) = &found.launch {
        launch.describe(&mut answer);
    }
    if let Some(user) = fhir_user(state, &scopes, found.person.as_deref()) {
        answer["fhirUser"] = json!(user);
    }
    Ok(answer)
}

async fn reach(state: &SmartState, parts: &Parts, params: &Params) -> Result<Reach, RouteError> {
    let (client, is_itself) = if let Some(plain) = bearer(&parts.headers) {
        let live = viewer::find_live(state, plain).await?;
        let live = live.ok_or(RouteError::Bearer)?;
        let found = clients::find(state.store().reader(), &live.client_id).await?;
        (found.ok_or(RouteError::Bearer)?, live.account.is_none())
    } else {
        let caller = state.caller(parts);
        let found = client_auth::authenticate(state, &parts.headers, params, caller).await?;
        if found.method == Method::None {
            return Err(RouteError::Anonymous);
        }
        (found.client, true)
    };
    Ok(if is_itself && client.may_introspect_all() {
        Reach::All
    } else {
        Reach::Client(client.client_id)
    })
}

struct Found {
    client_id: String,
    account: Option<String>,
    person: Option<String>,
    patient: Option<String>,
    scope: String,
    created: Millis,
    expires: Millis,
    launch: Option<LaunchContext>,
    kind: &'static str,
}

/// A live access or refresh token.
async fn find(state: &SmartState, presented: &str) -> Result<Option<Found>, RouteError> {
    if let Some(live) = viewer::find_live(state, presented).await? {
        return Ok(Some(Found {
            client_id: live.client_id,
            account: live.account,
            person: live.person,
            patient: live.patient,
            scope: live.scope,
            created: live.created,
            expires: live.expires,
            launch: live.launch,
            kind: "Bearer",
        }));
    }
    let reader = state.store().reader();
    let Some(token) = token::Entity::find_by_id(secret::hash(presented))
        .one(reader)
        .await?
        .filter(|token| token.kind == token::REFRESH && token.used.is_none())
        .filter(|token| token.expires > state.now())
    else {
        return Ok(None);
    };
    let Some(grant) = grant::Entity::find_by_id(token.grant_id)
        .one(reader)
        .await?
        .filter(|grant| grant.revoked.is_none() && !grant.is_over(state.now()))
    else {
        return Ok(None);
    };
    let is_client_in = clients::find(reader, &grant.client_id)
        .await?
        .is_some_and(|client| client.disabled.is_none());
    let gives = is_client_in
        && grants::find_giver(reader, &grant).await?.is_some()
        && representative::may_give(state, reader, &grant).await?;
    // A person may have made it less since the token was issued.
    let scope = ScopeList::parse(&token.scope).within(&grant.scopes());
    Ok(gives.then(|| Found {
        launch: grant.launch(),
        client_id: grant.client_id,
        account: grant.account,
        person: grant.person,
        patient: grant.patient,
        scope: scope.to_string(),
        created: token.created,
        expires: token.expires,
        kind: "refresh_token",
    }))
}
