//! `grant_type=refresh_token`: each one is good once and is replaced by the next. A second use means
//! that it is in two hands: the whole grant ends (RFC 9700 section 4.14.2).

use sea_orm::EntityTrait as _;
use serde_json::Value;

use super::RouteError;
use crate::smart::entities::{client, token};
use crate::smart::params::Params;
use crate::smart::scopes::ScopeList;
use crate::smart::{SmartState, grants, secret};

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
    if token.expires <= now || giver.is_none() {
        return Err(RouteError::Grant);
    }
    let granted = ScopeList::parse(&grant.scope);
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
        state.viewer_cache().forget();
        tracing::warn!(
            client_id = client.client_id,
            grant = grant.id,
            "refresh token used twice: grant revoked"
        );
        return Err(RouteError::Grant);
    }
    let answer = super::issue(state, connection, client, &grant, &scope, None).await?;
    tx.commit().await?;
    Ok(answer)
}
