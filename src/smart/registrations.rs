//! When each app asked to be registered, was verified and was enabled: what 45 CFR 170.404(b)(1) gives
//! ten and five business days for, as data for whoever reports it.

use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _, QueryOrder as _};
use serde::Serialize;

use super::entities::{client, registration};
use crate::clock::Millis;
use crate::store::{Store, StoreError};

/// Who registered a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Somebody at the command line, who knows whom they enable.
    #[default]
    Operator,
    /// The app itself, where registration is open: nobody verified it.
    Open,
}

impl Origin {
    /// The word in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Open => "open",
        }
    }
}

/// A client with its clock, milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Registration {
    pub client_id: String,
    pub client_name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub is_enabled: bool,
    /// None: registered before this was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Millis>,
}

/// Starts the clock of a client, in the transaction that registers it.
pub(super) async fn record(
    connection: &impl ConnectionTrait,
    client_id: &str,
    origin: Origin,
    received: Option<Millis>,
    now: Millis,
) -> Result<(), DbErr> {
    registration::Entity::insert(registration::ActiveModel {
        client_id: Set(client_id.to_owned()),
        origin: Set(origin.name().to_owned()),
        received: Set(received.unwrap_or(now)),
        verified: Set((origin == Origin::Operator).then_some(now)),
        enabled: Set(Some(now)),
    })
    .exec_without_returning(connection)
    .await?;
    Ok(())
}

/// Every client, oldest first.
pub async fn list(store: &Store) -> Result<Vec<Registration>, StoreError> {
    let clients = client::Entity::find()
        .order_by_asc(client::Column::Created)
        .all(store.reader())
        .await?;
    let mut clocks: std::collections::HashMap<String, registration::Model> =
        registration::Entity::find()
            .all(store.reader())
            .await?
            .into_iter()
            .map(|clock| (clock.client_id.clone(), clock))
            .collect();
    Ok(clients
        .into_iter()
        .map(|client| {
            let clock = clocks.remove(&client.client_id);
            Registration {
                client_name: client.name,
                kind: client.kind,
                is_enabled: client.disabled.is_none(),
                origin: clock.as_ref().map(|clock| clock.origin.clone()),
                received: clock.as_ref().map(|clock| clock.received),
                verified: clock.as_ref().and_then(|clock| clock.verified),
                enabled: clock.as_ref().and_then(|clock| clock.enabled),
                client_id: client.client_id,
            }
        })
        .collect())
}
