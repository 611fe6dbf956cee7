//! Who somebody of a provider is here: an account that was linked, or a patient whom proven claims fit.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use serde_json::Value;
use uuid::Uuid;

use super::super::assurance::Identity;
use super::super::entities::{account, record, upstream_identity};
use super::super::pages::PageError;
use super::super::users::{self, Role, UserError};
use super::super::{SmartState, password, secret};
use super::matching;
use super::provider::{Claims, UpstreamError};
use crate::config::Provider;
use crate::store::{Origin, Store};

/// Links whoever a provider (its issuer) calls `subject` to an account.
///
/// # Errors
/// [`UserError::Unknown`] for a username that nobody has.
pub async fn link(
    store: &Store,
    username: &str,
    issuer: &str,
    subject: &str,
) -> Result<(), UserError> {
    let tx = store.begin().await?;
    let account = users::find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    insert(tx.connection(), issuer, subject, &account.id, store).await?;
    tx.commit().await?;
    Ok(())
}

async fn insert(
    connection: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
    account: &str,
    store: &Store,
) -> Result<(), DbErr> {
    use upstream_identity::Column;
    let row = upstream_identity::ActiveModel {
        issuer: Set(issuer.to_owned()),
        subject: Set(subject.to_owned()),
        account: Set(account.to_owned()),
        created: Set(store.clock().now()),
    };
    upstream_identity::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::Issuer, Column::Subject])
                .update_column(Column::Account)
                .to_owned(),
        )
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Id of the account of whoever these claims are about.
pub(super) async fn account(
    state: &SmartState,
    provider: &Provider,
    claims: &Claims,
) -> Result<String, PageError> {
    let store = state.store();
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let linked = find(store.reader(), &provider.issuer, subject).await?;
    if let Some(linked) = linked.filter(|linked| !linked.account.is_empty()) {
        return enabled(store.reader(), &linked.account).await;
    }
    if !provider.proves_identity {
        return Err(UpstreamError::NoMatch.into());
    }
    match matching::patient(state, claims).await? {
        Some(patient) => first_time(state, provider, claims, subject, patient).await,
        None => {
            ask_once(state, provider, subject).await?;
            Err(UpstreamError::NoMatch.into())
        }
    }
}

async fn find(
    connection: &impl ConnectionTrait,
    issuer: &str,
    subject: &str,
) -> Result<Option<upstream_identity::Model>, DbErr> {
    upstream_identity::Entity::find_by_id((issuer.to_owned(), subject.to_owned()))
        .one(connection)
        .await
}

/// Id of an account that was not closed.
async fn enabled(connection: &impl ConnectionTrait, account: &str) -> Result<String, PageError> {
    match users::find_enabled(connection, account).await? {
        Some(account) => Ok(account.id),
        None => Err(UpstreamError::Disabled.into()),
    }
}

/// Name of the lock for whoever links this subject: two browsers may come back at one moment.
fn link_of(provider: &Provider, subject: &str) -> String {
    format!("link of {} {subject}", provider.issuer)
}

/// Tells the front desk of somebody whom nothing fits. Such a row has no account: one Task is enough.
async fn ask_once(state: &SmartState, provider: &Provider, subject: &str) -> Result<(), PageError> {
    let store = state.store();
    let mut writer = store.writer(Origin::Feed).await?;
    writer.lock_names(&[link_of(provider, subject)]).await?;
    if find(writer.connection(), &provider.issuer, subject)
        .await?
        .is_some()
    {
        return Ok(());
    }
    matching::ask_the_desk(state, &mut writer, provider).await?;
    let issuer = &provider.issuer;
    insert(writer.connection(), issuer, subject, "", store).await?;
    Ok(writer.commit().await?)
}

/// Links somebody to the account of the patient whom the claims fit, and makes it where there is none.
async fn first_time(
    state: &SmartState,
    provider: &Provider,
    claims: &Claims,
    subject: &str,
    patient: String,
) -> Result<String, PageError> {
    let store = state.store();
    // Nobody knows it: this account signs in with its provider until it gets a password.
    let unknown = password::hash_new(&[], &secret::random_token()).await?;
    let writer = store.writer(Origin::Feed).await?;
    let names = [link_of(provider, subject), users::own_account_of(&patient)];
    writer.lock_names(&names).await?;
    // Of two at once, the second finds what the first did.
    let linked = find(writer.connection(), &provider.issuer, subject).await?;
    if let Some(linked) = linked.filter(|linked| !linked.account.is_empty()) {
        let found = enabled(writer.connection(), &linked.account).await;
        // What the first did may be in the same commit, and is read outside of it next.
        writer.commit().await?;
        return found;
    }
    // The patient's own accounts, not those of whoever acts for them.
    let own = record::Entity::find()
        .filter(record::Column::Patient.eq(&*patient))
        .filter(record::Column::RelatedPerson.is_null())
        .all(writer.connection())
        .await?;
    let id = match &own[..] {
        [] => Uuid::new_v4().to_string(),
        [one] => enabled(writer.connection(), &one.account).await?,
        _ => return Err(UpstreamError::NoMatch.into()),
    };
    if own.is_empty() {
        let username = format!("{}-{}", provider.id, secret::random_id().to_lowercase());
        let name = matching::name(claims).unwrap_or_else(|| provider.name.clone());
        let row = account::ActiveModel {
            id: Set(id.clone()),
            username: Set(username.chars().take(64).collect()),
            name: Set(name),
            role: Set(Role::Patient.name().to_owned()),
            password: Set(unknown),
            practitioner: Set(None),
            created: Set(state.now()),
            disabled: Set(None),
            must_change: Set(None),
            ial: Set(Identity::Unsaid.level()),
        };
        account::Entity::insert(row)
            .exec_without_returning(writer.connection())
            .await?;
        record::Entity::insert(record::ActiveModel {
            account: Set(id.clone()),
            patient: Set(patient),
            related_person: Set(None),
            name: Set(String::new()),
        })
        .exec_without_returning(writer.connection())
        .await?;
    }
    let proven = Identity::Provider.level();
    account::Entity::update_many()
        .col_expr(account::Column::Ial, Expr::value(proven))
        .filter(account::Column::Id.eq(&*id))
        .exec(writer.connection())
        .await?;
    let issuer = &provider.issuer;
    insert(writer.connection(), issuer, subject, &id, store).await?;
    writer.commit().await?;
    tracing::info!(
        account = id,
        provider = provider.id,
        "linked by proven identity"
    );
    Ok(id)
}
