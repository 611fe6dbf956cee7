//! Access tokens without a browser, for `candor demo` (its curl lines must work as pasted) and for
//! tests. They are ordinary tokens under an ordinary grant: introspected, revoked and refused as
//! any other. No endpoint leads here.

use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;

use super::entities::{grant, token};
use super::scopes::catalogue;
use super::{SmartState, grants, secret};
use crate::clock::Millis;
use crate::store::StoreError;
use crate::visibility::ViewerClass;

/// What a token is for.
#[derive(Clone, Debug)]
pub struct DirectGrant<'a> {
    /// A registered client.
    pub client_id: &'a str,
    /// Username of the account that would have granted it; none for a backend.
    pub username: Option<&'a str>,
    pub class: ViewerClass,
    /// `Patient/x`, `RelatedPerson/x`, `Practitioner/x`.
    pub person: Option<&'a str>,
    /// Id of the patient in context.
    pub patient: Option<&'a str>,
    pub scope: &'a str,
    /// Milliseconds.
    pub life: Millis,
}

/// Issues a token. [`authenticate`](super::authenticate) makes a viewer of it with these properties.
///
/// # Errors
/// [`StoreError::NotFound`] when the username is unknown.
pub async fn issue(state: &SmartState, new: &DirectGrant<'_>) -> Result<String, StoreError> {
    let account = match new.username {
        Some(username) => Some(account_id(state, username).await?),
        None => None,
    };
    let now = state.now();
    let id = secret::random_id();
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    grant::Entity::insert(grant::ActiveModel {
        id: Set(id.clone()),
        client_id: Set(new.client_id.to_owned()),
        account: Set(account),
        class: Set(new.class.name().to_owned()),
        person: Set(new.person.map(ToOwned::to_owned)),
        patient: Set(new.patient.map(ToOwned::to_owned)),
        scope: Set(new.scope.to_owned()),
        auth_time: Set(now),
        created: Set(now),
        used: Set(None),
        revoked: Set(None),
        catalogue: Set(Some(catalogue().version.clone())),
        methods: Set(String::new()),
        ial: Set(0),
        ..Default::default()
    })
    .exec_without_returning(connection)
    .await?;
    let expires = now.saturating_add(new.life);
    let plain =
        grants::issue_token(connection, &id, token::ACCESS, new.scope, now, expires).await?;
    tx.commit().await?;
    Ok(plain)
}

async fn account_id(state: &SmartState, username: &str) -> Result<String, StoreError> {
    let found = super::users::find_by_username(state.store().reader(), username).await?;
    Ok(found.ok_or(StoreError::NotFound)?.id)
}
