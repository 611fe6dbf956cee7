//! The letter that says once a quarter how many apps can read a record while its holder is away (portal.md
//! 3.4; SMART App Launch 2.2, best practices: remind people of apps with offline access). It names no app, no
//! record and nobody.
//!
//! Whichever process writes the account's row for the quarter sends it. Where that process dies between the
//! two, there is none that quarter: rather none than two.

use std::collections::HashSet;

use jiff::civil::Date;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

use super::entities::{client, grant};
use super::mail::Letter;
use super::{DAY, SmartState, contact, representative};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;
use crate::texts::Language;

/// Name of the letter among those that somebody may refuse.
pub(super) const LETTER: &str = "digest";
/// Not before this hour of a quarter's first day: letters wake people.
const HOUR: i8 = 9;
/// Letters at once; the rest follow with the next call.
const MOST: usize = 200;
/// For how long it is known that a quarter was taken care of.
const KEPT: Millis = 400 * DAY;

/// A quarter of the hospital's calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Quarter {
    /// `2026-Q4`.
    name: String,
    /// When its letters begin to leave.
    begins: Millis,
}

impl Quarter {
    /// The one that a moment is in.
    fn of(state: &SmartState, now: Millis) -> Option<Self> {
        let today = state.local(now)?.date();
        let number = (today.month() - 1) / 3;
        let first = Date::new(today.year(), number * 3 + 1, 1).ok()?;
        let begins = first.at(HOUR, 0, 0, 0);
        let begins = begins.to_zoned(state.config().time_zone.clone()).ok()?;
        Some(Self {
            name: format!("{}-Q{}", today.year(), number + 1),
            begins: begins.timestamp().as_millisecond(),
        })
    }
}

/// Whom to write to.
struct Reader {
    account: String,
    address: String,
    language: Language,
}

/// Sends the letters of this quarter that have not left, some of them at once. Call it now and then.
///
/// # Errors
/// When the database fails.
pub async fn send_digests(state: &SmartState) -> Result<(), StoreError> {
    let now = state.now();
    // What waits to be sent is no more than half letters of this kind: somebody may need a new password.
    let room = (state.outbox().room() / 2).min(MOST);
    let Some(quarter) = Quarter::of(state, now).filter(|quarter| quarter.begins <= now) else {
        return Ok(());
    };
    if room == 0 {
        return Ok(());
    }
    let mut due = Vec::new();
    for reader in readers(state, &quarter, now, room).await? {
        let apps = apps(state, &reader.account, now).await?;
        due.push((reader, apps));
    }
    if due.is_empty() {
        return Ok(());
    }
    let tx = state.store().begin().await?;
    let mut own = Vec::new();
    for (reader, apps) in due {
        if claim(tx.connection(), &reader.account, &quarter, now).await? && apps > 0 {
            own.push((reader, apps));
        }
    }
    tx.commit().await?;
    for (reader, apps) in own {
        let letter = Letter::Apps {
            apps,
            link: state.url("/apps"),
        };
        contact::post(state, &reader.address, reader.language, &letter);
    }
    Ok(())
}

/// Accounts with an address and an app that they connected before the quarter began, which has access still.
async fn readers(
    state: &SmartState,
    quarter: &Quarter,
    now: Millis,
    most: usize,
) -> Result<Vec<Reader>, DbErr> {
    let mut sql = Sql::default();
    let (name, begins) = (sql.bind(quarter.name.as_str()), sql.bind(quarter.begins));
    let used = sql.bind(now - state.config().refresh_token_life);
    let (now, letter) = (sql.bind(now), sql.bind(LETTER));
    sql.push(&format!(
        "SELECT e.account, e.address, e.language FROM account_email e \
         JOIN account a ON a.id = e.account WHERE a.disabled IS NULL \
         AND EXISTS (SELECT 1 FROM auth_grant g WHERE g.account = e.account \
         AND g.class IN ('patient', 'representative') AND g.revoked IS NULL \
         AND g.created < {begins} AND g.used > {used} AND (g.ends IS NULL OR g.ends > {now}) \
         AND g.scope LIKE '%offline_access%') \
         AND NOT EXISTS (SELECT 1 FROM letter_refused r \
         WHERE r.account = e.account AND r.letter = {letter}) \
         AND NOT EXISTS (SELECT 1 FROM digest d \
         WHERE d.account = e.account AND d.quarter = {name}) \
         ORDER BY e.account LIMIT {most}"
    ));
    let connection = state.store().reader();
    let backend = connection.get_database_backend();
    let rows = connection.query_all_raw(sql.statement(backend)).await?;
    rows.iter()
        .map(|row| {
            let language: String = row.try_get_by_index(2)?;
            Ok(Reader {
                account: row.try_get_by_index(0)?,
                address: row.try_get_by_index(1)?,
                language: Language::from_tag(&language).unwrap_or_default(),
            })
        })
        .collect()
}

/// How many apps can read a record through an account now without its holder.
async fn apps(state: &SmartState, account: &str, now: Millis) -> Result<usize, StoreError> {
    let reader = state.store().reader();
    let records = representative::records(state, account).await?;
    let grants = grant::Entity::find()
        .filter(grant::Column::Account.eq(account))
        .filter(grant::Column::Revoked.is_null())
        .filter(grant::Column::Used.gt(now - state.config().refresh_token_life))
        .all(reader)
        .await?;
    let ids: HashSet<String> = grants
        .into_iter()
        .filter(|grant| !grant.is_over(now) && grant.scopes().has("offline_access"))
        .filter(|grant| {
            let mut open = records.iter();
            open.any(|record| grant.patient.as_ref() == Some(&record.patient))
        })
        .map(|grant| grant.client_id)
        .collect();
    let enabled = client::Entity::find()
        .filter(client::Column::ClientId.is_in(ids))
        .filter(client::Column::Disabled.is_null())
        .all(reader)
        .await?;
    Ok(enabled.len())
}

/// Takes an account's letter of a quarter upon this process. False: it was taken care of.
async fn claim(
    connection: &impl ConnectionTrait,
    account: &str,
    quarter: &Quarter,
    now: Millis,
) -> Result<bool, DbErr> {
    let mut sql = Sql::default();
    let (account, name) = (sql.bind(account), sql.bind(quarter.name.as_str()));
    let now = sql.bind(now);
    sql.push(&format!(
        "INSERT INTO digest (account, quarter, at) VALUES ({account}, {name}, {now}) \
         ON CONFLICT (account, quarter) DO NOTHING"
    ));
    let backend = connection.get_database_backend();
    let done = connection.execute_raw(sql.statement(backend)).await?;
    Ok(done.rows_affected() == 1)
}

/// Whether somebody does not want a letter.
pub(super) async fn is_refused(
    connection: &impl ConnectionTrait,
    account: &str,
) -> Result<bool, DbErr> {
    let mut sql = Sql::default();
    let (account, letter) = (sql.bind(account), sql.bind(LETTER));
    sql.push(&format!(
        "SELECT 1 FROM letter_refused WHERE account = {account} AND letter = {letter}"
    ));
    let backend = connection.get_database_backend();
    let row = connection.query_one_raw(sql.statement(backend)).await?;
    Ok(row.is_some())
}

/// Notes whether somebody wants it.
pub(super) async fn choose(
    connection: &impl ConnectionTrait,
    account: &str,
    wants: bool,
    now: Millis,
) -> Result<(), DbErr> {
    let mut sql = Sql::default();
    let (account, letter) = (sql.bind(account), sql.bind(LETTER));
    if wants {
        sql.push(&format!(
            "DELETE FROM letter_refused WHERE account = {account} AND letter = {letter}"
        ));
    } else {
        let now = sql.bind(now);
        sql.push(&format!(
            "INSERT INTO letter_refused (account, letter, since) VALUES ({account}, {letter}, {now}) \
             ON CONFLICT (account, letter) DO NOTHING"
        ));
    }
    let backend = connection.get_database_backend();
    connection.execute_raw(sql.statement(backend)).await?;
    Ok(())
}

/// Deletes what nobody asks any more. Returns how many rows.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut delete = Sql::new("DELETE FROM digest WHERE at < ");
    let before = delete.bind(now - KEPT);
    delete.push(&before);
    let backend = connection.get_database_backend();
    let gone = connection.execute_raw(delete.statement(backend)).await?;
    Ok(gone.rows_affected())
}
