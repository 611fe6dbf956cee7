//! `grant_type=refresh_token`: each one is good once and is replaced by the next. A second use means
//! that it is in two hands: the whole grant ends (RFC 9700 section 4.14.2).

use sea_orm::EntityTrait as _;
use serde_json::Value;

use super::RouteError;
use crate::smart::client_auth::{Authenticated, Method};
use crate::smart::clients::{self, ClientKind};
use crate::smart::entities::{client, token};
use crate::smart::params::Params;
use crate::smart::scopes::ScopeList;
use crate::smart::{SmartState, grants, representative, secret};

/// The public client that a refresh token was issued to, for a request that names no client (RFC 6749
/// section 6: only clients with credentials authenticate; fhirclient does so). Nobody learns here
/// whether a token exists that another kind of client holds.
pub(super) async fn public_holder(
    state: &SmartState,
    params: &Params,
) -> Result<Authenticated, RouteError> {
    let presented = params
        .get("refresh_token")?
        .ok_or(RouteError::Missing("refresh_token"))?;
    let reader = state.store().reader();
    let token = token::Entity::find_by_id(secret::hash(presented))
        .one(reader)
        .await?
        .filter(|token| token.kind == token::REFRESH);
    let grant = match token {
        Some(token) => grants::find_standing(reader, &token.grant_id).await?,
        None => None,
    };
    let client = match grant {
        Some(grant) => clients::find(reader, &grant.client_id).await?,
        None => None,
    };
    client
        .filter(|client| client.disabled.is_none())
        .filter(|client| client.client_kind() == Some(ClientKind::Public))
        .map(|client| Authenticated {
            client,
            method: Method::None,
        })
        .ok_or(RouteError::Grant)
}

pub(super) async fn exchange(
    state: &SmartState,
    client: &client::Model,
    params: &Params,
) -> Result<Value, RouteError> {
    let presented = params
        .get("refresh_token")?
        .ok_or(RouteError::Missing("refresh_token"))?;
    let now = state.now();
    let hash = secret::hash(presented);
    let signing = state.signing().await?;
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    let token = token::Entity::find_by_id(hash.clone())
        .one(connection)
        .await?
        .filter(|token| token.kind == token::REFRESH)
        .ok_or(RouteError::Grant)?;
    let grant = grants::find_standing(connection, &token.grant_id)
        .await?
        .filter(|grant| grant.client_id == client.client_id)
        .ok_or(RouteError::Grant)?;
    let giver = grants::find_giver(connection, &grant).await?;
    let may_give = representative::may_give(state, connection, &grant).await?;
    if token.expires <= now || grant.is_over(now) || giver.is_none() || !may_give {
        return Err(RouteError::Grant);
    }
    let granted = grant.scopes();
    if !granted.has("offline_access") {
        // The person took it back.
        return Err(RouteError::Grant);
    }
    let scope = match params.get("scope")? {
        // Looked at before the token is spent: a wrong word must not cost the grant.
        Some(asked) => {
            let scope = ScopeList::parse(asked);
            if !ScopeList::unknown(asked).is_empty() || !scope.is_within(&granted) {
                return Err(RouteError::Scope);
            }
            scope
        }
        None => granted,
    };
    if !grants::use_refresh_token(connection, &hash, now).await? {
        grants::revoke(connection, &grant.id, now).await?;
        tx.commit().await?;
        tracing::warn!(
            client_id = client.client_id,
            grant = grant.id,
            "refresh token used twice: grant revoked"
        );
        return Err(RouteError::Grant);
    }
    let answer = super::issue(state, &signing, connection, client, &grant, &scope, None).await?;
    tx.commit().await?;
    Ok(answer)
}
