//! `grant_type=client_credentials`: SMART Backend Services. A signed assertion, system scopes within
//! the registration, a token of five minutes, no refresh.

use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;
use sea_orm::sea_query::OnConflict;
use serde_json::{Value, json};

use super::RouteError;
use crate::smart::client_auth::{Authenticated, Method};
use crate::smart::clients::ClientKind;
use crate::smart::entities::{grant, token};
use crate::smart::params::Params;
use crate::smart::scopes::ScopeList;
use crate::smart::{SECOND, SmartState, grants};

pub(super) async fn exchange(
    state: &SmartState,
    authenticated: &Authenticated,
    params: &Params,
) -> Result<Value, RouteError> {
    let client = &authenticated.client;
    if client.client_kind() != Some(ClientKind::Backend)
        || authenticated.method != Method::PrivateKey
    {
        return Err(RouteError::NotForClient);
    }
    let asked = params.get("scope")?.ok_or(RouteError::Missing("scope"))?;
    let scope = ScopeList::parse(asked)
        .for_system()
        .within(&client.scopes());
    if scope.is_empty() {
        return Err(RouteError::Scope);
    }
    let now = state.now();
    let life = state.config().backend_token_life;
    // One standing grant carries all tokens of a backend.
    let grant_id = format!("backend:{}", client.client_id);
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    grant::Entity::insert(grant::ActiveModel {
        id: Set(grant_id.clone()),
        client_id: Set(client.client_id.clone()),
        account: Set(None),
        class: Set(client.class.clone()),
        person: Set(client.person.clone()),
        patient: Set(None),
        scope: Set(client.scope.clone()),
        auth_time: Set(now),
        created: Set(now),
        used: Set(None),
        revoked: Set(None),
        catalogue: Set(client.catalogue.clone()),
        methods: Set(String::new()),
        ial: Set(0),
        ..Default::default()
    })
    .on_conflict(
        OnConflict::column(grant::Column::Id)
            .update_columns([
                grant::Column::Class,
                grant::Column::Person,
                grant::Column::Scope,
                grant::Column::Catalogue,
            ])
            .to_owned(),
    )
    .exec_without_returning(connection)
    .await?;
    let scope = scope.to_string();
    let access = grants::issue_token(
        connection,
        &grant_id,
        token::ACCESS,
        &scope,
        now,
        now + life,
    )
    .await?;
    grants::touch(connection, &grant_id, now).await?;
    tx.commit().await?;
    Ok(json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": life / SECOND,
        "scope": scope,
    }))
}
