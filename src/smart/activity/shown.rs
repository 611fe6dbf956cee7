//! What a developer reads of an app.

use sea_orm::{ConnectionTrait, DbErr};

use super::REMEMBERED_DAYS;
use crate::clock::Millis;
use crate::smart::{DAY, SmartState};
use crate::sql::Sql;

/// Fewer people than these are not told apart: of one app's few users each is somebody.
const FEWEST: i64 = 5;

/// What an app did, and met.
#[derive(Debug)]
pub(in crate::smart) struct Seen {
    /// Days with use, newest first.
    pub(in crate::smart) days: Vec<DayOfUse>,
    /// Accounts that the app can read through now; none: fewer than five.
    pub(in crate::smart) people: Option<i64>,
    /// Newest first.
    pub(in crate::smart) errors: Vec<ErrorMet>,
}

/// The use of one day.
#[derive(Debug)]
pub(in crate::smart) struct DayOfUse {
    /// `2026-11-26`.
    pub(in crate::smart) day: String,
    pub(in crate::smart) tokens: i64,
    pub(in crate::smart) requests: i64,
}

/// One error.
#[derive(Debug)]
pub(in crate::smart) struct ErrorMet {
    pub(in crate::smart) at: Millis,
    pub(in crate::smart) endpoint: String,
    pub(in crate::smart) status: i16,
    pub(in crate::smart) code: String,
    pub(in crate::smart) words: String,
    pub(in crate::smart) reference: String,
}

/// What was written down of an app.
pub(in crate::smart) async fn seen(state: &SmartState, client: &str) -> Result<Seen, DbErr> {
    let connection = state.store().reader();
    let since = state.now() - (REMEMBERED_DAYS - 1) * DAY;
    Ok(Seen {
        days: days(connection, client, &state.calendar_day(since)).await?,
        people: people(state, client)
            .await
            .map(|people| (people >= FEWEST).then_some(people))?,
        errors: errors(connection, client, state.now() - REMEMBERED_DAYS * DAY).await?,
    })
}

async fn days(
    connection: &impl ConnectionTrait,
    client: &str,
    since: &str,
) -> Result<Vec<DayOfUse>, DbErr> {
    let mut sql = Sql::default();
    let (client, since) = (sql.bind(client), sql.bind(since));
    sql.push(&format!(
        "SELECT day, tokens, requests FROM app_usage \
         WHERE client_id = {client} AND day >= {since} ORDER BY day DESC"
    ));
    let backend = connection.get_database_backend();
    let rows = connection.query_all_raw(sql.statement(backend)).await?;
    rows.iter()
        .map(|row| {
            Ok(DayOfUse {
                day: row.try_get_by_index(0)?,
                tokens: row.try_get_by_index(1)?,
                requests: row.try_get_by_index(2)?,
            })
        })
        .collect()
}

/// How many accounts gave an app access that lasts still.
async fn people(state: &SmartState, client: &str) -> Result<i64, DbErr> {
    let (config, now) = (state.config(), state.now());
    let mut sql = Sql::default();
    let client = sql.bind(client);
    let (long, short) = (
        sql.bind(now - config.refresh_token_life),
        sql.bind(now - config.access_token_life),
    );
    let now = sql.bind(now);
    sql.push(&format!(
        "SELECT COUNT(DISTINCT account) FROM auth_grant \
         WHERE client_id = {client} AND account IS NOT NULL AND revoked IS NULL \
         AND (ends IS NULL OR ends > {now}) \
         AND (used > {short} OR used > {long} AND scope LIKE '%offline_access%')"
    ));
    let connection = state.store().reader();
    let backend = connection.get_database_backend();
    let row = connection.query_one_raw(sql.statement(backend)).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

async fn errors(
    connection: &impl ConnectionTrait,
    client: &str,
    since: Millis,
) -> Result<Vec<ErrorMet>, DbErr> {
    let mut sql = Sql::default();
    let (client, since) = (sql.bind(client), sql.bind(since));
    sql.push(&format!(
        "SELECT at, endpoint, status, code, words, reference FROM app_error \
         WHERE client_id = {client} AND at >= {since} ORDER BY at DESC, id LIMIT {}",
        super::MOST_KEPT
    ));
    let backend = connection.get_database_backend();
    let rows = connection.query_all_raw(sql.statement(backend)).await?;
    rows.iter()
        .map(|row| {
            let reference: Option<String> = row.try_get_by_index(5)?;
            Ok(ErrorMet {
                at: row.try_get_by_index(0)?,
                endpoint: row.try_get_by_index(1)?,
                status: row.try_get_by_index(2)?,
                code: row.try_get_by_index(3)?,
                words: row.try_get_by_index(4)?,
                reference: reference.unwrap_or_default(),
            })
        })
        .collect()
}
