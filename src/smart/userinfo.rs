//! `GET` and `POST /auth/userinfo` (OpenID Connect Core 1.0 section 5.3): who granted this token.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use thiserror::Error;

use super::json::Json;
use super::scopes::ScopeList;
use super::token::{NO_STORE, bearer_error, fhir_user, unavailable};
use super::{SmartState, bearer, viewer};
use crate::store::StoreError;

/// Why nothing is said (RFC 6750 section 3).
#[derive(Debug, Error)]
enum RouteError {
    #[error("an access token is needed")]
    Anonymous,
    #[error("the access token is not valid, or no longer")]
    Token,
    #[error("the access token has no openid scope")]
    Scope,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let (status, code, challenge) = match &self {
            Self::Anonymous => (StatusCode::UNAUTHORIZED, "invalid_token", "Bearer"),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "Bearer error=\"invalid_token\"",
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "Bearer error=\"insufficient_scope\", scope=\"openid\"",
            ),
            Self::Store(_) => return unavailable(&self),
        };
        bearer_error(status, code, &self.to_string(), challenge)
    }
}

pub(super) async fn get(State(state): State<SmartState>, headers: HeaderMap) -> Response {
    match userinfo(&state, &headers).await {
        Ok(answer) => (StatusCode::OK, NO_STORE, Json(answer)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn userinfo(state: &SmartState, headers: &HeaderMap) -> Result<Value, RouteError> {
    let plain = bearer(headers).ok_or(RouteError::Anonymous)?;
    let live = viewer::find_live(state, plain)
        .await?
        .ok_or(RouteError::Token)?;
    let scopes = ScopeList::parse(&live.scope);
    let (true, Some(account)) = (scopes.has("openid"), &live.account) else {
        return Err(RouteError::Scope);
    };
    let mut answer = json!({ "sub": account });
    if let Some(user) = fhir_user(state, &scopes, live.person.as_deref()) {
        answer["fhirUser"] = json!(user);
    }
    Ok(answer)
}
