//! `grant_type=authorization_code`: a code is good once, for the client, redirect URI and verifier it
//! was made for. Used a second time it is in two hands, and what it gave is taken back.

use sea_orm::EntityTrait as _;
use serde_json::Value;

use super::RouteError;
use crate::smart::entities::{client, code};
use crate::smart::params::Params;
use crate::smart::{SmartState, grants, representative, secret};

pub(super) async fn exchange(
    state: &SmartState,
    client: &client::Model,
    params: &Params,
) -> Result<Value, RouteError> {
    let presented = params.get("code")?.ok_or(RouteError::Missing("code"))?;
    let redirect_uri = params
        .get("redirect_uri")?
        .ok_or(RouteError::Missing("redirect_uri"))?;
    let verifier = params
        .get("code_verifier")?
        .ok_or(RouteError::Missing("code_verifier"))?;
    let now = state.now();
    let hash = secret::hash(presented);
    let signing = state.signing().await?;
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    let code = code::Entity::find_by_id(hash.clone())
        .one(connection)
        .await?
        .ok_or(RouteError::Grant)?;
    let grant = grants::find_standing(connection, &code.grant_id)
        .await?
        .ok_or(RouteError::Grant)?;
    if grant.client_id != client.client_id {
        // Not burnt: another client must not be able to spoil a code that it cannot use.
        return Err(RouteError::Grant);
    }
    if !grants::use_code(connection, &hash, now).await? {
        grants::revoke(connection, &grant.id, now).await?;
        tx.commit().await?;
        tracing::warn!(
            client_id = client.client_id,
            grant = grant.id,
            "authorization code used twice: grant revoked"
        );
        return Err(RouteError::Grant);
    }
    let is_right = code.expires > now
        && code.redirect_uri == redirect_uri
        && is_verifier(verifier)
        && secret::same(
            secret::s256(verifier).as_bytes(),
            code.code_challenge.as_bytes(),
        );
    let giver = grants::find_giver(connection, &grant).await?;
    let may_give = representative::may_give(state, connection, &grant).await?;
    if !is_right || giver.is_none() || !may_give {
        // The code stays burnt: a verifier cannot be guessed at leisure.
        grants::revoke(connection, &grant.id, now).await?;
        tx.commit().await?;
        return Err(RouteError::Grant);
    }
    let scope = grant.scopes();
    let nonce = code.nonce.as_deref();
    let answer = super::issue(state, &signing, connection, client, &grant, &scope, nonce).await?;
    tx.commit().await?;
    Ok(answer)
}

/// RFC 7636 section 4.1: 43 to 128 unreserved characters.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}
