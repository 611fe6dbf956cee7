//! Tries to sign in: counted before the password is looked at, and limited for an account over all
//! addresses (NIST SP 800-63B-4 section 3.2.2: at most 100 failures in a row).
//!
//! A stranger who guesses must not lock the person out: a browser that signed in before, shown by a
//! cookie that outlives the session, and the address of the last success are outside the account's
//! count. Names that no account has are counted like the others, so that both look alike.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use axum_extra::extract::CookieJar;
use sea_orm::{ConnectionTrait, DbErr};

use super::SmartState;
use super::entities::account;
use super::throttle::{Kind, network};
use super::{here, secret, sessions, users};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

/// Failures in a row, from places where the person never was.
const MOST_FAILURES: i64 = 100;

/// Why a password is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Wait(Millis),
    /// Until the person signs in from where they are known, or gets a new password.
    Blocked,
}

/// A try, counted as a failure until it is something else.
pub(super) struct Try {
    name: String,
    caller: Option<IpAddr>,
    account: Option<String>,
}

/// The form in which a name is counted: as it is looked up, so that no spelling is a fresh start.
fn counted(username: &str) -> String {
    users::normal_username(username)
        .unwrap_or_else(|| username.chars().take(64).collect::<String>().to_lowercase())
}

/// Counts a try, or says why there is none.
pub(super) async fn begin(
    state: &SmartState,
    jar: &CookieJar,
    caller: Option<IpAddr>,
    username: &str,
    account: Option<&account::Model>,
) -> Result<Result<Try, Refusal>, StoreError> {
    let name = counted(username);
    let account = account.map(|account| account.id.clone());
    let throttle = state.throttle();
    let was_here = is_known(state, jar, caller, &name, account.as_deref()).await?;
    let is_known =
        was_here && i64::from(throttle.failures(Kind::Person, &name, caller)) < MOST_FAILURES;
    if let Err(wait) = throttle.reserve(Kind::Person, &name, caller, is_known, state.pace()) {
        return Ok(Err(Refusal::Wait(wait)));
    }
    let counted = Try {
        name,
        caller,
        account,
    };
    if !is_known && counted.count(state).await? > MOST_FAILURES {
        counted.undo(state);
        return Ok(Err(Refusal::Blocked));
    }
    Ok(Ok(counted))
}

/// Somebody is in, after every step there was: as [`Try::succeeded`]. Also returns whether neither this
/// browser nor this address was known of the person.
pub(super) async fn arrived(
    state: &SmartState,
    jar: CookieJar,
    caller: Option<IpAddr>,
    account: &account::Model,
    is_kiosk: bool,
) -> Result<(CookieJar, bool), StoreError> {
    let arrived = Try {
        name: counted(&account.username),
        caller,
        account: Some(account.id.clone()),
    };
    let was_here = is_known(state, &jar, caller, &arrived.name, Some(&account.id)).await?;
    let jar = arrived.succeeded(state, jar, is_kiosk).await?;
    Ok((jar, !was_here))
}

impl Try {
    /// Gives the try back: the server failed, not the person.
    pub(super) fn undo(&self, state: &SmartState) {
        state
            .throttle()
            .undone(Kind::Person, &self.name, self.caller, state.pace());
    }

    /// The password was right: failures are forgotten, the address and the browser are known from now
    /// on. The cookie comes with the jar. A shared terminal is nobody's own: there, neither is known.
    pub(super) async fn succeeded(
        self,
        state: &SmartState,
        jar: CookieJar,
        is_kiosk: bool,
    ) -> Result<CookieJar, StoreError> {
        if is_kiosk {
            self.passed_at(state, None).await?;
            return Ok(jar);
        }
        let Some(account) = &self.account else {
            return Ok(jar);
        };
        let now = state.now();
        let (jar, device) = sessions::known_device(state, jar);
        let mut know = Sql::default();
        let hash = know.bind(secret::hash(&device));
        let (of, at) = (know.bind(account.clone()), know.bind(now));
        know.push(&format!(
            "INSERT INTO known_device (hash, account, created) VALUES ({hash}, {of}, {at}) \
             ON CONFLICT (hash, account) DO UPDATE SET created = excluded.created"
        ));
        let tx = state.store().begin().await?;
        tx.connection()
            .execute_raw(know.statement(state.store().backend()))
            .await?;
        tx.commit().await?;
        self.passed(state).await?;
        Ok(jar)
    }

    /// What was typed was right: failures are forgotten, the address is known from now on. The browser is
    /// not.
    pub(super) async fn passed(self, state: &SmartState) -> Result<(), StoreError> {
        let known = self.caller.filter(|_| !here::is_kiosk());
        self.passed_at(state, known).await
    }

    /// The same; the address is known where one is given.
    async fn passed_at(self, state: &SmartState, known: Option<IpAddr>) -> Result<(), StoreError> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        let now = state.now();
        let throttle = state.throttle();
        throttle.succeeded(Kind::Person, &self.name, self.caller, state.pace());
        let mut set = Sql::default();
        let (name, of) = (
            set.bind(keyed(state, &self.name)),
            set.bind(account.clone()),
        );
        let address = set.bind(known.map(|address| keyed_address(state, address)));
        let last = set.bind(now);
        set.push(&format!(
            "INSERT INTO sign_in (name, account, failures, address, last) \
             VALUES ({name}, {of}, 0, {address}, {last}) ON CONFLICT (name) DO UPDATE SET \
             account = excluded.account, failures = 0, address = excluded.address, \
             last = excluded.last"
        ));
        let tx = state.store().begin().await?;
        tx.connection()
            .execute_raw(set.statement(state.store().backend()))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Counts one more failure of the name from wherever, and returns how many there are.
    async fn count(&self, state: &SmartState) -> Result<i64, StoreError> {
        let mut count = Sql::default();
        let name = count.bind(keyed(state, &self.name));
        let account = count.bind(self.account.clone());
        let last = count.bind(state.now());
        let most = count.bind(MOST_FAILURES + 1);
        count.push(&format!(
            "INSERT INTO sign_in (name, account, failures, address, last) \
             VALUES ({name}, {account}, 1, NULL, {last}) ON CONFLICT (name) DO UPDATE SET \
             account = excluded.account, last = excluded.last, \
             failures = CASE WHEN sign_in.failures < {most} THEN sign_in.failures + 1 \
             ELSE sign_in.failures END RETURNING failures"
        ));
        let tx = state.store().begin().await?;
        let row = tx
            .connection()
            .query_one_raw(count.statement(state.store().backend()))
            .await?;
        tx.commit().await?;
        let row = row.ok_or(StoreError::Corrupt("sign_in"))?;
        Ok(row.try_get_by_index(0)?)
    }
}

/// Whether the person was at this address, or in this browser, when they last proved who they are.
async fn is_known(
    state: &SmartState,
    jar: &CookieJar,
    caller: Option<IpAddr>,
    name: &str,
    account: Option<&str>,
) -> Result<bool, StoreError> {
    let mut select = Sql::default();
    let name = select.bind(keyed(state, name));
    let address = select.bind(caller.map(|address| keyed_address(state, address)));
    let device = select.bind(sessions::device(state, jar).map(secret::hash));
    let account = select.bind(account.unwrap_or_default());
    select.push(&format!(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM sign_in WHERE name = {name} AND address = {address}) \
         OR EXISTS (SELECT 1 FROM known_device WHERE hash = {device} AND account = {account})"
    ));
    let store = state.store();
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    Ok(row.is_some())
}

/// Forgets failures, places and browsers of an account, as it gets a new password.
pub(super) async fn forget(connection: &impl ConnectionTrait, account: &str) -> Result<(), DbErr> {
    let texts = [
        "UPDATE sign_in SET failures = 0, address = NULL WHERE account = ",
        "DELETE FROM known_device WHERE account = ",
    ];
    run_all(connection, account, &texts).await
}

/// Ends sign-ins of an account that are between their steps.
pub(super) async fn end_halves(
    connection: &impl ConnectionTrait,
    account: &str,
) -> Result<(), DbErr> {
    let text = "DELETE FROM half_sign_in WHERE account = ";
    run_all(connection, account, &[text]).await
}

async fn run_all(
    connection: &impl ConnectionTrait,
    account: &str,
    texts: &[&str],
) -> Result<(), DbErr> {
    for text in texts {
        let mut sql = Sql::new(*text);
        let account = sql.bind(account);
        sql.push(&account);
        let backend = connection.get_database_backend();
        connection.execute_raw(sql.statement(backend)).await?;
    }
    Ok(())
}

/// Deletes what nobody needs: names without an account a day after the last try, browsers that did not
/// come back. Returns how many rows went.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut gone = 0;
    for (text, before) in [
        (
            "DELETE FROM sign_in WHERE account IS NULL AND last < ",
            now - super::DAY,
        ),
        (
            "DELETE FROM known_device WHERE created < ",
            now - sessions::DEVICE_LIFE,
        ),
    ] {
        let mut sql = Sql::new(text);
        let before = sql.bind(before);
        sql.push(&before);
        let backend = connection.get_database_backend();
        gone += connection
            .execute_raw(sql.statement(backend))
            .await?
            .rows_affected();
    }
    Ok(gone)
}

/// A name or address as it is kept: who has the table alone cannot try them all.
fn keyed(state: &SmartState, text: &str) -> Vec<u8> {
    let secret = state.store().keys().derive("sign-in");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn keyed_address(state: &SmartState, address: IpAddr) -> Vec<u8> {
    keyed(state, &format!("address {:x}", network(address)))
}
