//! Who somebody of a provider is here: an account that was linked, or a patient whom proven claims fit.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use serde_json::Value;
use uuid::Uuid;

use super::super::entities::{account, record, upstream_identity};
use super::super::pages::PageError;
use super::super::users::{self, Role, UserError};
use super::super::{SmartState, password, secret};
use super::matching;
use super::provider::{Claims, UpstreamError};
use crate::config::Provider;
use crate::store::Store;

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
    let linked =
        upstream_identity::Entity::find_by_id((provider.issuer.clone(), subject.to_owned()))
            .one(store.reader())
            .await?;
    // Who was sent to the desk has a row without an account: one Task is enough.
    let was_asked = linked
        .as_ref()
        .is_some_and(|linked| linked.account.is_empty());
    if let Some(linked) = linked.filter(|linked| !linked.account.is_empty()) {
        return match users::find_enabled(store.reader(), &linked.account).await? {
            Some(account) => Ok(account.id),
            None => Err(UpstreamError::Disabled.into()),
        };
    }
    if !provider.proves_identity {
        return Err(UpstreamError::NoMatch.into());
    }
    let Some(patient) = matching::patient(state, claims).await? else {
        if !was_asked {
            matching::ask_the_desk(state, provider).await?;
            let tx = store.begin().await?;
            insert(tx.connection(), &provider.issuer, subject, "", store).await?;
            tx.commit().await?;
        }
        return Err(UpstreamError::NoMatch.into());
    };
    // The patient's own accounts, not those of whoever acts for them.
    let own = record::Entity::find()
        .filter(record::Column::Patient.eq(&*patient))
        .filter(record::Column::RelatedPerson.is_null())
        .all(store.reader())
        .await?;
    let id = match &own[..] {
        [] => Uuid::new_v4().to_string(),
        [one] => match users::find_enabled(store.reader(), &one.account).await? {
            Some(account) => account.id,
            None => return Err(UpstreamError::Disabled.into()),
        },
        _ => return Err(UpstreamError::NoMatch.into()),
    };
    // Nobody knows it: this account signs in with its provider until it gets a password.
    let unknown = password::hash_new("", &secret::random_token()).await?;
    let tx = store.begin().await?;
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
        };
        account::Entity::insert(row)
            .exec_without_returning(tx.connection())
            .await?;
        record::Entity::insert(record::ActiveModel {
            account: Set(id.clone()),
            patient: Set(patient),
            related_person: Set(None),
            name: Set(String::new()),
        })
        .exec_without_returning(tx.connection())
        .await?;
    }
    insert(tx.connection(), &provider.issuer, subject, &id, store).await?;
    tx.commit().await?;
    tracing::info!(
        account = id,
        provider = provider.id,
        "linked by proven identity"
    );
    Ok(id)
}
