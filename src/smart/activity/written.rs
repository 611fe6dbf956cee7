//! From memory into the tables of `migrations/sql/0095_app_activity.sql`.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

use super::{Counts, MOST_KEPT, Met, Noted, REMEMBERED_DAYS, TOGETHER, Whose};
use crate::clock::Millis;
use crate::smart::entities::{client, grant, token};
use crate::smart::{DAY, SmartState, secret};
use crate::sql::Sql;
use crate::store::StoreError;

/// Tokens or clients that are looked up at once.
const AT_ONCE: usize = 150;

/// Writes down what was noted of apps.
///
/// # Errors
/// When the database fails. What was noted is lost then.
pub async fn write_activity(state: &SmartState) -> Result<(), StoreError> {
    let noted = state.activity().take();
    if noted.is_empty() {
        return Ok(());
    }
    let clients = clients(state.store().reader(), &noted).await?;
    let tx = state.store().begin().await?;
    let mut counts: BTreeMap<(&str, String), Counts> = BTreeMap::new();
    let mut errors: BTreeMap<&str, Vec<&Met>> = BTreeMap::new();
    for (whose, noted) in &noted {
        let Some(client) = clients.get(whose) else {
            continue;
        };
        for (quarter, more) in &noted.counts {
            let day = state.calendar_day(quarter * TOGETHER);
            let sum = counts.entry((client, day)).or_default();
            sum.tokens = sum.tokens.saturating_add(more.tokens);
            sum.requests = sum.requests.saturating_add(more.requests);
        }
        if !noted.errors.is_empty() {
            errors.entry(client).or_default().extend(&noted.errors);
        }
    }
    for ((client, day), sum) in counts {
        add(tx.connection(), client, &day, sum).await?;
    }
    for (client, met) in errors {
        keep(tx.connection(), client, &met).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The client of each, where there is one.
async fn clients<'n>(
    connection: &impl ConnectionTrait,
    noted: &'n HashMap<Whose, Noted>,
) -> Result<HashMap<&'n Whose, String>, DbErr> {
    let mut found = HashMap::new();
    let all: Vec<&Whose> = noted.keys().collect();
    for some in all.chunks(AT_ONCE) {
        let hashes = some.iter().filter_map(|whose| match whose {
            Whose::Token(hash) => Some(hash.clone()),
            Whose::Client(_) => None,
        });
        let tokens = token::Entity::find()
            .filter(token::Column::Hash.is_in(hashes))
            .all(connection)
            .await?;
        let ids: Vec<&str> = tokens.iter().map(|token| token.grant_id.as_str()).collect();
        let grants: HashMap<String, String> = grant::Entity::find()
            .filter(grant::Column::Id.is_in(ids))
            .all(connection)
            .await?
            .into_iter()
            .map(|grant| (grant.id, grant.client_id))
            .collect();
        let of_tokens: HashMap<Vec<u8>, String> = tokens
            .into_iter()
            .filter_map(|token| Some((token.hash, grants.get(&token.grant_id)?.clone())))
            .collect();
        let names = some.iter().filter_map(|whose| match whose {
            // PostgreSQL refuses NUL in text; no client id has one.
            Whose::Client(id) if !id.contains('\0') => Some(id.as_str()),
            _ => None,
        });
        let known: Vec<String> = client::Entity::find()
            .filter(client::Column::ClientId.is_in(names))
            .all(connection)
            .await?
            .into_iter()
            .map(|client| client.client_id)
            .collect();
        for whose in some {
            let client = match whose {
                Whose::Token(hash) => of_tokens.get(hash),
                Whose::Client(id) => known.iter().find(|own| *own == id),
            };
            if let Some(client) = client {
                found.insert(*whose, client.clone());
            }
        }
    }
    Ok(found)
}

async fn add(
    connection: &impl ConnectionTrait,
    client: &str,
    day: &str,
    sum: Counts,
) -> Result<(), DbErr> {
    let mut sql = Sql::default();
    let (client, day) = (sql.bind(client), sql.bind(day));
    let (tokens, requests) = (
        sql.bind(i64::from(sum.tokens)),
        sql.bind(i64::from(sum.requests)),
    );
    sql.push(&format!(
        "INSERT INTO app_usage (client_id, day, tokens, requests) \
         VALUES ({client}, {day}, {tokens}, {requests}) \
         ON CONFLICT (client_id, day) DO UPDATE SET tokens = app_usage.tokens + excluded.tokens, \
         requests = app_usage.requests + excluded.requests"
    ));
    let backend = connection.get_database_backend();
    connection.execute_raw(sql.statement(backend)).await?;
    Ok(())
}

/// Keeps errors of an app, and of all of its errors the newest.
async fn keep(connection: &impl ConnectionTrait, client: &str, met: &[&Met]) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    for one in met {
        let mut sql = Sql::default();
        let values = [
            sql.bind(secret::random_id()),
            sql.bind(client),
            sql.bind(one.at),
            sql.bind(one.endpoint.name()),
            sql.bind(i16::try_from(one.status).unwrap_or_default()),
            sql.bind(one.code.as_str()),
            sql.bind(one.words.as_str()),
            sql.bind(one.reference.as_deref()),
        ];
        sql.push(&format!(
            "INSERT INTO app_error (id, client_id, at, endpoint, status, code, words, reference) \
             VALUES ({})",
            values.join(", ")
        ));
        connection.execute_raw(sql.statement(backend)).await?;
    }
    let mut trim = Sql::default();
    let of = trim.bind(client);
    trim.push(&format!(
        "DELETE FROM app_error WHERE client_id = {of} AND id NOT IN \
         (SELECT id FROM app_error WHERE client_id = {of} ORDER BY at DESC, id LIMIT {MOST_KEPT})"
    ));
    connection.execute_raw(trim.statement(backend)).await?;
    Ok(())
}

/// Deletes what is older than is shown. Returns how many rows.
pub(in crate::smart) async fn sweep(
    state: &SmartState,
    connection: &impl ConnectionTrait,
    now: Millis,
) -> Result<u64, DbErr> {
    let before = now - REMEMBERED_DAYS * DAY;
    let mut gone = 0;
    let mut errors = Sql::new("DELETE FROM app_error WHERE at < ");
    let bound = errors.bind(before);
    errors.push(&bound);
    let mut usage = Sql::new("DELETE FROM app_usage WHERE day < ");
    let bound = usage.bind(state.calendar_day(before));
    usage.push(&bound);
    let backend = connection.get_database_backend();
    for delete in [errors, usage] {
        let done = connection.execute_raw(delete.statement(backend)).await?;
        gone += done.rows_affected();
    }
    Ok(gone)
}
