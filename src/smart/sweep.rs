//! Deletes what has expired. Nothing depends on it: every reader compares times by itself.

use sea_orm::{ColumnTrait as _, Condition};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QueryFilter as _};

use super::entities::{code, grant, request, session, token};
use super::{
    DAY, SmartState, activation, activity, attempts, authorize, contact, digest, drafts, factors,
    launch,
};
use crate::sql::Sql;
use crate::store::StoreError;

/// Deletes expired sessions, requests, codes, tokens and assertions, and returns how many rows went.
/// A used code or refresh token stays until a day after it expired: until then its reuse is noticed.
/// Grants stay, but for those whose code was never exchanged: they are what a person's list of apps
/// and every look back is made of.
pub async fn sweep(state: &SmartState) -> Result<u64, StoreError> {
    let now = state.now();
    let config = state.config();
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    let sessions = session::Entity::delete_many()
        .filter(
            Condition::any()
                // A day longer than they last, so that whoever comes back is told why.
                .add(session::Column::Seen.lt(now - config.session_idle - DAY))
                .add(session::Column::Created.lt(now - config.session_life - DAY)),
        )
        .exec(connection)
        .await?;
    let requests = request::Entity::delete_many()
        .filter(request::Column::Expires.lte(now - authorize::LATE))
        .exec(connection)
        .await?;
    let codes = code::Entity::delete_many()
        .filter(code::Column::Expires.lt(now - DAY))
        .exec(connection)
        .await?;
    let tokens = token::Entity::delete_many()
        .filter(token::Column::Expires.lt(now - DAY))
        .exec(connection)
        .await?;
    let unfetched = grant::Entity::delete_many()
        .filter(grant::Column::Used.is_null())
        .filter(grant::Column::Created.lt(now - DAY))
        .exec(connection)
        .await?;
    let mut delete = Sql::default();
    let at = delete.bind(now);
    delete.push(&format!("DELETE FROM used_assertion WHERE expires < {at}"));
    let assertions = connection
        .execute_raw(delete.statement(state.store().backend()))
        .await?;
    let attempts = attempts::sweep(connection, now).await?;
    let launches = launch::sweep(connection, now).await?;
    let codes_typed = activation::sweep(connection, now).await?;
    let links = contact::sweep(connection, now).await?;
    let steps = factors::sweep(connection, now).await?;
    let typed = drafts::sweep(connection, now).await?;
    let digests = digest::sweep(connection, now).await?;
    let of_apps = activity::sweep(state, connection, now).await?;
    tx.commit().await?;
    Ok(attempts
        + launches
        + codes_typed
        + links
        + steps
        + typed
        + digests
        + of_apps
        + sessions.rows_affected
        + requests.rows_affected
        + codes.rows_affected
        + tokens.rows_affected
        + unfetched.rows_affected
        + assertions.rows_affected())
}
