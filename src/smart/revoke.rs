//! `POST /auth/revoke` (RFC 7009): a client gives a token back. A refresh token ends the whole grant,
//! an access token only itself. What is unknown, or another client's, is answered the same: 200.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use sea_orm::EntityTrait as _;
use thiserror::Error;

use super::client_auth::{self, ClientAuthError};
use super::entities::token;
use super::params::{Params, ParamsError};
use super::token::{NO_STORE, client_error, oauth_error, unavailable};
use super::{SmartState, generation, grants, secret};
use crate::store::StoreError;

/// Why nothing was revoked.
#[derive(Debug, Error)]
enum RouteError {
    #[error(transparent)]
    Client(#[from] ClientAuthError),
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
        match &self {
            Self::Client(error) => client_error(error),
            Self::Params(_) | Self::Missing => oauth_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                &self.to_string(),
            ),
            Self::Store(_) => unavailable(&self),
        }
    }
}

pub(super) async fn post(State(state): State<SmartState>, parts: Parts, body: Bytes) -> Response {
    match revoke(&state, &parts, &body).await {
        Ok(()) => (StatusCode::OK, NO_STORE).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn revoke(state: &SmartState, parts: &Parts, body: &[u8]) -> Result<(), RouteError> {
    let params = Params::from_form(&parts.headers, body)?;
    let caller = state.caller(parts);
    let client = client_auth::authenticate(state, &parts.headers, &params, caller)
        .await?
        .client;
    let presented = params.get("token")?.ok_or(RouteError::Missing)?;
    let hash = secret::hash(presented);
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    let Some(token) = token::Entity::find_by_id(hash.clone())
        .one(connection)
        .await?
    else {
        return Ok(());
    };
    let Some(grant) = grants::find_standing(connection, &token.grant_id)
        .await?
        .filter(|grant| grant.client_id == client.client_id)
    else {
        return Ok(());
    };
    if token.kind == token::REFRESH {
        grants::revoke(connection, &grant.id, state.now()).await?;
    } else {
        token::Entity::delete_by_id(hash).exec(connection).await?;
        generation::raise(connection).await?;
    }
    tx.commit().await?;
    tracing::info!(
        client_id = client.client_id,
        grant = grant.id,
        "token revoked by its client"
    );
    Ok(())
}
