//! When each app asked to be registered, was verified and was enabled: what 45 CFR 170.404(b)(1) gives
//! ten and five business days for, as data for whoever reports it.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use serde::Serialize;

use super::clients;
use super::entities::{client, registration};
use crate::clock::Millis;
use crate::store::{Store, StoreError};

/// Business days from a request to a verified developer (45 CFR 170.404(b)(1)(i)).
const VERIFY_DAYS: u32 = 10;
/// Business days from there to an app that works (45 CFR 170.404(b)(1)(ii)).
const ENABLE_DAYS: u32 = 5;

/// Who registered a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Somebody at the command line, who knows whom they enable.
    #[default]
    Operator,
    /// The app itself, where registration is open: nobody verified it.
    Open,
    /// The app itself, with a statement that somebody we trust signed (RFC 7591 section 2.3).
    Statement { issuer: String },
    /// A developer on our pages.
    Developer {
        /// Id of the account.
        account: String,
        /// Whether somebody has to look at it before it works.
        waits: bool,
    },
}

impl Origin {
    /// The word in the database.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Open => "open",
            Self::Statement { .. } => "statement",
            Self::Developer { .. } => "developer",
        }
    }

    /// Whether the client works only after an operator enabled it.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Developer { waits: true, .. })
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
    /// Whether it may introspect tokens of every client.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub introspects: bool,
    /// None: registered before this was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Who signed its software statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Millis>,
    /// When it was approved for the hospital's staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<Millis>,
    /// When its developer took it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Millis>,
    /// The end of the day by which it has to be verified, while it is not and waits to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_by: Option<Millis>,
    /// The end of the day by which it has to work, while it is verified and does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_by: Option<Millis>,
}

/// Starts the clock of a client, in the transaction that registers it.
pub(super) async fn record(
    connection: &impl ConnectionTrait,
    client_id: &str,
    origin: &Origin,
    received: Option<Millis>,
    now: Millis,
) -> Result<(), DbErr> {
    let is_verified = matches!(origin, Origin::Operator | Origin::Statement { .. });
    registration::Entity::insert(registration::ActiveModel {
        client_id: Set(client_id.to_owned()),
        origin: Set(origin.name().to_owned()),
        received: Set(received.unwrap_or(now)),
        verified: Set(is_verified.then_some(now)),
        enabled: Set((!origin.waits()).then_some(now)),
        owner: Set(match origin {
            Origin::Developer { account, .. } => Some(account.clone()),
            _ => None,
        }),
        issuer: Set(match origin {
            Origin::Statement { issuer } => Some(issuer.clone()),
            _ => None,
        }),
        removed: Set(None),
    })
    .exec_without_returning(connection)
    .await?;
    Ok(())
}

/// Notes that whoever made a client was verified. False: there is no such client.
pub async fn set_verified(store: &Store, client_id: &str) -> Result<bool, StoreError> {
    let now = store.clock().now();
    let tx = store.begin().await?;
    let found = registration::Entity::find_by_id(client_id.to_owned())
        .one(tx.connection())
        .await?;
    registration::Entity::update_many()
        .col_expr(registration::Column::Verified, Expr::value(now))
        .filter(registration::Column::ClientId.eq(client_id))
        .filter(registration::Column::Verified.is_null())
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(found.is_some())
}

/// Notes that an operator let a client work that waited; whoever does that has verified it.
pub(super) async fn enabled(
    connection: &impl ConnectionTrait,
    client_id: &str,
    now: Millis,
) -> Result<(), DbErr> {
    registration::Entity::update_many()
        .col_expr(registration::Column::Verified, Expr::value(now))
        .filter(registration::Column::ClientId.eq(client_id))
        .filter(registration::Column::Enabled.is_null())
        .filter(registration::Column::Verified.is_null())
        .exec(connection)
        .await?;
    registration::Entity::update_many()
        .col_expr(registration::Column::Enabled, Expr::value(now))
        .filter(registration::Column::ClientId.eq(client_id))
        .filter(registration::Column::Enabled.is_null())
        .exec(connection)
        .await?;
    Ok(())
}

/// Takes back that whoever made a client was verified: it calls itself something else now.
pub(super) async fn set_unverified(
    connection: &impl ConnectionTrait,
    client_id: &str,
) -> Result<(), DbErr> {
    let nothing: Option<Millis> = None;
    registration::Entity::update_many()
        .col_expr(registration::Column::Verified, Expr::value(nothing))
        .filter(registration::Column::ClientId.eq(client_id))
        .exec(connection)
        .await?;
    Ok(())
}

/// Notes that its developer took a client away.
pub(super) async fn set_removed(
    connection: &impl ConnectionTrait,
    client_id: &str,
    now: Millis,
) -> Result<(), DbErr> {
    registration::Entity::update_many()
        .col_expr(registration::Column::Removed, Expr::value(now))
        .filter(registration::Column::ClientId.eq(client_id))
        .exec(connection)
        .await?;
    Ok(())
}

/// Whether its developer took a client away.
pub(super) async fn is_removed(
    connection: &impl ConnectionTrait,
    client_id: &str,
) -> Result<bool, DbErr> {
    let found = registration::Entity::find_by_id(client_id.to_owned())
        .one(connection)
        .await?;
    Ok(found.is_some_and(|clock| clock.removed.is_some()))
}

/// A client, if this developer (account id) registered it and did not take it away.
pub(super) async fn owned(
    connection: &impl ConnectionTrait,
    owner: &str,
    client_id: &str,
) -> Result<Option<client::Model>, DbErr> {
    // PostgreSQL refuses NUL in text; `clients::find` knows that.
    let Some(client) = clients::find(connection, client_id).await? else {
        return Ok(None);
    };
    let clock = registration::Entity::find_by_id(client_id.to_owned())
        .filter(registration::Column::Owner.eq(owner))
        .filter(registration::Column::Removed.is_null())
        .one(connection)
        .await?;
    Ok(clock.map(|_| client))
}

/// Every client, oldest first. `zone`: where business days are counted.
pub async fn list(store: &Store, zone: &TimeZone) -> Result<Vec<Registration>, StoreError> {
    let clocks = registration::Entity::find().all(store.reader()).await?;
    let clients = client::Entity::find()
        .order_by_asc(client::Column::Created)
        .all(store.reader())
        .await?;
    Ok(joined(clients, clocks, zone))
}

/// The clients that a developer (account id) registered, oldest first.
pub(super) async fn of_owner(
    connection: &impl ConnectionTrait,
    owner: &str,
    zone: &TimeZone,
) -> Result<Vec<Registration>, DbErr> {
    let clocks = registration::Entity::find()
        .filter(registration::Column::Owner.eq(owner))
        .filter(registration::Column::Removed.is_null())
        .all(connection)
        .await?;
    let ids: Vec<&str> = clocks
        .iter()
        .map(|clock| clock.client_id.as_str())
        .collect();
    let clients = client::Entity::find()
        .filter(client::Column::ClientId.is_in(ids))
        .order_by_asc(client::Column::Created)
        .all(connection)
        .await?;
    Ok(joined(clients, clocks, zone))
}

fn joined(
    clients: Vec<client::Model>,
    clocks: Vec<registration::Model>,
    zone: &TimeZone,
) -> Vec<Registration> {
    let mut clocks: std::collections::HashMap<String, registration::Model> = clocks
        .into_iter()
        .map(|clock| (clock.client_id.clone(), clock))
        .collect();
    clients
        .into_iter()
        .map(|client| {
            let clock = clocks.remove(&client.client_id);
            let waiting = clock
                .as_ref()
                .filter(|clock| clock.enabled.is_none() && clock.removed.is_none());
            Registration {
                introspects: client.may_introspect_all(),
                client_name: client.name,
                kind: client.kind,
                is_enabled: client.disabled.is_none(),
                verify_by: waiting
                    .filter(|clock| clock.verified.is_none())
                    .and_then(|clock| business_days_after(clock.received, VERIFY_DAYS, zone)),
                enable_by: waiting
                    .and_then(|clock| business_days_after(clock.verified?, ENABLE_DAYS, zone)),
                origin: clock.as_ref().map(|clock| clock.origin.clone()),
                statement_issuer: clock.as_ref().and_then(|clock| clock.issuer.clone()),
                received: clock.as_ref().map(|clock| clock.received),
                verified: clock.as_ref().and_then(|clock| clock.verified),
                enabled: clock.as_ref().and_then(|clock| clock.enabled),
                approved: client.approved,
                removed: clock.as_ref().and_then(|clock| clock.removed),
                client_id: client.client_id,
            }
        })
        .collect()
}

/// The end of the n-th Monday to Friday after a day. Federal holidays count as business days here: whoever
/// keeps this day keeps the law's, which is the same or later.
fn business_days_after(at: Millis, days: u32, zone: &TimeZone) -> Option<Millis> {
    let at = Timestamp::from_millisecond(at).ok()?;
    let mut day = at.to_zoned(zone.clone()).date();
    let mut left = days;
    while left > 0 {
        day = day.tomorrow().ok()?;
        if !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    let end = day.checked_add(1.day()).ok()?.to_zoned(zone.clone()).ok()?;
    Some(end.timestamp().as_millisecond() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn business_days_leave_out_weekends_and_end_at_midnight() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at = |text: &str| {
            let local: jiff::civil::DateTime = text.parse().unwrap();
            let moment = local.to_zoned(zone.clone()).unwrap();
            moment.timestamp().as_millisecond()
        };
        // A Wednesday; the clocks went back on November 1.
        let asked = at("2026-10-28T23:30:00");
        let due = business_days_after(asked, VERIFY_DAYS, &zone).unwrap();
        assert_eq!(due, at("2026-11-12T00:00:00") - 1);
        // A Saturday.
        let due = business_days_after(at("2026-11-07T08:00:00"), ENABLE_DAYS, &zone).unwrap();
        assert_eq!(due, at("2026-11-14T00:00:00") - 1);
    }
}
