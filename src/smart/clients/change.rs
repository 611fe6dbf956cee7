//! What changes of a client after its registration.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use serde_json::Value;

use super::super::entities::{client, code, grant, request};
use super::super::facts::Facts;
use super::super::{generation, registrations, secret};
use super::{
    ClientError, ClientKeys, ClientKind, check_keys, check_launch_uri, check_name,
    check_redirect_uris, find,
};
use crate::clock::Millis;
use crate::store::{Store, StoreError};

/// What the maker of an app may change of it without asking anybody. Never its scope.
#[derive(Clone, Debug)]
pub(in crate::smart) struct Edit {
    pub(in crate::smart) name: String,
    pub(in crate::smart) redirect_uris: Vec<String>,
    pub(in crate::smart) launch_uri: Option<String>,
    pub(in crate::smart) facts: Facts,
    /// As [`ClientOptions::brand`](super::ClientOptions::brand).
    pub(in crate::smart) brand: String,
}

/// Changes an app, held to what a registration is held to. What waits for an answer at an address that is no
/// longer its own ends.
pub(in crate::smart) async fn edit(
    connection: &impl ConnectionTrait,
    before: &client::Model,
    edit: Edit,
) -> Result<(), ClientError> {
    let kind = before.client_kind().unwrap_or(ClientKind::Backend);
    check_name(&edit.name, Some(&edit.brand))?;
    check_redirect_uris(kind, &edit.redirect_uris)?;
    check_launch_uri(&before.scopes(), edit.launch_uri.as_deref())?;
    edit.facts.check()?;
    let after = client::Model {
        name: edit.name.trim().to_owned(),
        redirect_uris: Value::from(edit.redirect_uris).to_string(),
        launch_uri: edit.launch_uri,
        facts: (edit.facts != Facts::default()).then(|| edit.facts.to_text()),
        ..before.clone()
    };
    client::Entity::update_many()
        .col_expr(client::Column::Name, Expr::value(after.name.as_str()))
        .col_expr(
            client::Column::RedirectUris,
            Expr::value(after.redirect_uris.as_str()),
        )
        .col_expr(
            client::Column::LaunchUri,
            Expr::value(after.launch_uri.clone()),
        )
        .col_expr(client::Column::Facts, Expr::value(after.facts.clone()))
        // What the hospital approved was another app.
        .col_expr(client::Column::Approved, Expr::value(Option::<i64>::None))
        .filter(client::Column::ClientId.eq(after.client_id.as_str()))
        .exec(connection)
        .await?;
    end_elsewhere(connection, &after).await?;
    Ok(())
}

/// Ends requests and codes of a client whose answer would go to an address that is not its own.
async fn end_elsewhere(
    connection: &impl ConnectionTrait,
    client: &client::Model,
) -> Result<(), DbErr> {
    let waiting = request::Entity::find()
        .filter(request::Column::ClientId.eq(client.client_id.as_str()))
        .all(connection)
        .await?;
    for one in waiting {
        if !client.allows_redirect_uri(&one.redirect_uri) {
            request::Entity::delete_by_id(one.id)
                .exec(connection)
                .await?;
        }
    }
    let grants = sea_orm::sea_query::Query::select()
        .column(grant::Column::Id)
        .from(grant::Entity)
        .and_where(grant::Column::ClientId.eq(client.client_id.as_str()))
        .to_owned();
    let codes = code::Entity::find()
        .filter(code::Column::GrantId.in_subquery(grants))
        .filter(code::Column::Used.is_null())
        .all(connection)
        .await?;
    for one in codes {
        if !client.allows_redirect_uri(&one.redirect_uri) {
            code::Entity::delete_by_id(one.hash)
                .exec(connection)
                .await?;
        }
    }
    Ok(())
}

/// By what a confidential app authenticates from now on.
#[derive(Clone, Debug)]
pub(in crate::smart) enum Credentials {
    Keys(ClientKeys),
    NewSecret,
}

/// Replaces whatever an app authenticates with; what it had is refused from now on. Returns a new secret, once.
pub(in crate::smart) async fn set_credentials(
    connection: &impl ConnectionTrait,
    client: &client::Model,
    credentials: Credentials,
) -> Result<Option<String>, ClientError> {
    let kind = client.client_kind().unwrap_or(ClientKind::Public);
    if kind == ClientKind::Public {
        return Err(ClientError::PublicKeys);
    }
    let (jwks, jwks_uri, plain) = match credentials {
        Credentials::Keys(keys) => {
            check_keys(kind, Some(&keys))?;
            match keys {
                ClientKeys::Value(set) => (Some(set), None, None),
                ClientKeys::Url(url) => (None, Some(url), None),
            }
        }
        Credentials::NewSecret if kind == ClientKind::Backend => return Err(ClientError::NoKeys),
        Credentials::NewSecret => (None, None, Some(secret::random_token())),
    };
    let hash = plain.as_deref().map(secret::hash);
    client::Entity::update_many()
        .col_expr(client::Column::Jwks, Expr::value(jwks))
        .col_expr(client::Column::JwksUri, Expr::value(jwks_uri))
        .col_expr(client::Column::Secret, Expr::value(hash))
        .col_expr(client::Column::Approved, Expr::value(Option::<i64>::None))
        .filter(client::Column::ClientId.eq(client.client_id.as_str()))
        .exec(connection)
        .await?;
    Ok(plain)
}

/// Takes an app away: it is shut out for good, what people gave it ends, and what it authenticated with is
/// forgotten. Its name stays, for those who look at what they once allowed.
pub(in crate::smart) async fn remove(
    connection: &impl ConnectionTrait,
    client_id: &str,
    now: Millis,
) -> Result<(), DbErr> {
    let nothing: Option<String> = None;
    let no_secret: Option<Vec<u8>> = None;
    client::Entity::update_many()
        .col_expr(client::Column::Disabled, Expr::value(now))
        .col_expr(client::Column::Secret, Expr::value(no_secret))
        .col_expr(client::Column::Jwks, Expr::value(nothing.clone()))
        .col_expr(client::Column::JwksUri, Expr::value(nothing))
        .filter(client::Column::ClientId.eq(client_id))
        .exec(connection)
        .await?;
    registrations::set_removed(connection, client_id, now).await?;
    request::Entity::delete_many()
        .filter(request::Column::ClientId.eq(client_id))
        .exec(connection)
        .await?;
    grant::Entity::update_many()
        .col_expr(grant::Column::Revoked, Expr::value(now))
        .filter(grant::Column::ClientId.eq(client_id))
        .filter(grant::Column::Revoked.is_null())
        .exec(connection)
        .await?;
    generation::raise(connection).await
}

/// Says what people are to be told of a client from now on. False: there is no such client.
pub async fn set_facts(store: &Store, client_id: &str, facts: &Facts) -> Result<bool, ClientError> {
    facts.check()?;
    let tx = store.begin().await?;
    let updated = client::Entity::update_many()
        .col_expr(client::Column::Facts, Expr::value(facts.to_text()))
        .filter(client::Column::ClientId.eq(client_id))
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(updated.rows_affected == 1)
}

/// Gives a client with a secret a new one, returned once; the old one is refused from now on. None:
/// there is no such client, or it has no secret.
pub async fn rotate_secret(store: &Store, client_id: &str) -> Result<Option<String>, StoreError> {
    let plain = secret::random_token();
    let tx = store.begin().await?;
    let updated = client::Entity::update_many()
        .col_expr(client::Column::Secret, Expr::value(secret::hash(&plain)))
        .filter(client::Column::ClientId.eq(client_id))
        .filter(client::Column::Secret.is_not_null())
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    if updated.rows_affected == 1 {
        tracing::info!(client_id, "client secret replaced");
    }
    Ok((updated.rows_affected == 1).then_some(plain))
}

/// Shuts a client out or lets it in again. Shut out, it gets no token, and those it has are refused.
/// False: there is no such client, or its developer took it away.
pub async fn set_disabled(
    store: &Store,
    client_id: &str,
    is_disabled: bool,
) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    if !is_disabled && registrations::is_removed(tx.connection(), client_id).await? {
        return Ok(false);
    }
    let disabled = is_disabled.then(|| store.clock().now());
    let updated = client::Entity::update_many()
        .col_expr(client::Column::Disabled, Expr::value(disabled))
        .filter(client::Column::ClientId.eq(client_id))
        .exec(tx.connection())
        .await?;
    if !is_disabled {
        registrations::enabled(tx.connection(), client_id, store.clock().now()).await?;
    }
    generation::raise(tx.connection()).await?;
    tx.commit().await?;
    Ok(updated.rows_affected == 1)
}

/// Lets a client introspect the tokens of every client, or its own alone again. False: there is no such client.
///
/// # Errors
/// [`ClientError::Introspects`] for a public client.
pub async fn set_introspects(
    store: &Store,
    client_id: &str,
    introspects: bool,
) -> Result<bool, ClientError> {
    let tx = store.begin().await?;
    let Some(found) = find(tx.connection(), client_id).await? else {
        return Ok(false);
    };
    if introspects && found.client_kind() == Some(ClientKind::Public) {
        return Err(ClientError::Introspects);
    }
    client::Entity::update_many()
        .col_expr(
            client::Column::Introspects,
            Expr::value(i16::from(introspects)),
        )
        .filter(client::Column::ClientId.eq(client_id))
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    tracing::info!(client_id, introspects, "who may introspect changed");
    Ok(true)
}

/// Approves a client for the hospital's staff, or takes that back. When staff open it from the chart
/// they are not asked what it may see: it gets what it is registered for and they may give. False: there
/// is no such client that people use.
pub async fn set_approved(
    store: &Store,
    client_id: &str,
    is_approved: bool,
) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let approved = is_approved.then(|| store.clock().now());
    let updated = client::Entity::update_many()
        .col_expr(client::Column::Approved, Expr::value(approved))
        .filter(client::Column::ClientId.eq(client_id))
        .filter(client::Column::Kind.ne(ClientKind::Backend.name()))
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(updated.rows_affected == 1)
}
