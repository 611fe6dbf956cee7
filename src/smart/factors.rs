//! The second step of a sign-in: a code of an authenticator app, a recovery code, or a passkey, which is
//! both steps at once (NIST SP 800-63B-4, AAL2).
//!
//! Whoever works for the hospital needs one ([`required_of`]); patients may have one. A right password
//! of an account that has or needs one makes no session but a half sign-in ([`half`]), and only its second
//! step makes the session. Everything else asks for sessions, so nothing has to know.

mod half;
mod pages;
mod passkey_routes;
mod passkeys;
mod recovery;
mod seal;
mod totp;

use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use sea_orm::{ConnectionTrait, DbErr};

use super::entities::account;
use super::events::Event;
use super::mail::Letter;
use super::pages::see_other;
use super::users::{Role, UserError};
use super::{SmartState, attempts, contact, events, sessions, users};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::{Origin, Store, StoreError};

pub(super) use pages::{enrol, security, step};
pub(super) use passkey_routes::{
    add_options, script, script_path, sign_in_options, sign_in_with_passkey,
};
pub(super) use passkeys::are_possible as are_passkeys_possible;

/// Authentication methods (RFC 8176) of a password.
pub(super) const PASSWORD: &str = "pwd";
/// Of a provider, whose methods are not known here.
pub(super) const PROVIDER: &str = "";
/// Of a passkey: a key that its holder unlocked.
const PASSKEY: &str = "pop user mfa";
/// Of a code, of an app or on paper, after another step.
const CODE: &str = "otp mfa";

/// A browser in which a password, or what stands for one, was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstStep<'a> {
    pub(super) account: &'a account::Model,
    /// The path of the page that the person was going to.
    pub(super) target: &'a str,
    /// When it was taken, where that was not now: at a provider. Milliseconds; 0 where it does not say.
    pub(super) signed_in: Option<Millis>,
    /// How it was taken: one of [`PASSWORD`], [`PROVIDER`], [`PASSKEY`] and what was added.
    pub(super) methods: &'a str,
    /// Whether it is a shared terminal.
    pub(super) is_kiosk: bool,
    /// Of the request that it took the step with.
    pub(super) parts: &'a Parts,
}

/// What is left to do after a right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A code, or a passkey.
    SecondStep,
    /// The account must have a second factor and has none yet.
    Enrolment,
}

/// What an account can do for a second step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Factors {
    has_totp: bool,
    passkeys: i64,
    recovery_codes: i64,
}

/// Whether this account has to have a second factor here: everybody who is not on the patient's side.
fn required_of(state: &SmartState, account: &account::Model) -> bool {
    let is_patient_side =
        Role::from_name(&account.role).is_some_and(|role| role.class().is_patient_side());
    state.config().staff_needs_second_factor && !is_patient_side
}

async fn factors(connection: &impl ConnectionTrait, account: &str) -> Result<Factors, DbErr> {
    let mut select = Sql::default();
    let of = select.bind(account);
    select.push(&format!(
        "SELECT (SELECT COUNT(*) FROM totp WHERE account = {of} AND confirmed IS NOT NULL), \
         (SELECT COUNT(*) FROM passkey WHERE account = {of}), \
         (SELECT COUNT(*) FROM recovery_code WHERE account = {of} AND used IS NULL)"
    ));
    let backend = connection.get_database_backend();
    let Some(row) = connection.query_one_raw(select.statement(backend)).await? else {
        return Ok(Factors::default());
    };
    Ok(Factors {
        has_totp: row.try_get_by_index::<i64>(0)? > 0,
        passkeys: row.try_get_by_index(1)?,
        recovery_codes: row.try_get_by_index(2)?,
    })
}

async fn left(state: &SmartState, account: &account::Model) -> Result<Left, StoreError> {
    let own = factors(state.store().reader(), &account.id).await?;
    let is_required = required_of(state, account);
    // Who has a passkey and need not have a second factor may still sign in with the password alone.
    Ok(if own.has_totp || (is_required && own.passkeys > 0) {
        Left::SecondStep
    } else if is_required {
        Left::Enrolment
    } else {
        Left::Nothing
    })
}

/// Signs a browser in in which the first step was right: at once, or by way of the second step.
pub(super) async fn after_first_step(
    state: &SmartState,
    jar: CookieJar,
    first: &FirstStep<'_>,
) -> Result<Response, StoreError> {
    let path = match left(state, first.account).await? {
        Left::Nothing => return finish(state, jar, first).await,
        Left::SecondStep => "/auth/factor",
        Left::Enrolment => "/auth/factor/enrol",
    };
    let jar = half::begin(state, jar, first).await?;
    Ok((jar, see_other(&state.path(path))).into_response())
}

/// Makes the session and leads on.
async fn finish(
    state: &SmartState,
    jar: CookieJar,
    first: &FirstStep<'_>,
) -> Result<Response, StoreError> {
    let jar = signed_in(state, jar, first).await?;
    Ok((jar, see_other(&state.path(first.target))).into_response())
}

async fn signed_in(
    state: &SmartState,
    jar: CookieJar,
    first: &FirstStep<'_>,
) -> Result<CookieJar, StoreError> {
    let account = &*first.account.id;
    tracing::info!(account, "signed in");
    let caller = state.caller(first.parts);
    let (jar, is_new_place) =
        attempts::arrived(state, jar, caller, first.account, first.is_kiosk).await?;
    let jar = half::end(state, jar).await?;
    let jar = sessions::start(state, jar, first).await?;
    if is_new_place {
        contact::tell(state, account, &Letter::NewSignIn).await?;
    }
    Ok(jar)
}

/// Notes that something with which an account signs in was added, used up or taken away, and tells its
/// holder (NIST SP 800-63B-4, section 4.6).
async fn changed(
    state: &SmartState,
    account: &str,
    what: &'static str,
    letter: &Letter,
) -> Result<(), StoreError> {
    let mut writer = state.store().writer(Origin::Feed).await?;
    let event = Event::by_account(what, account);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await?;
    tracing::info!(account, what, "how an account signs in changed");
    contact::tell(state, account, letter).await
}

/// Takes every second factor and passkey from an account, for whoever lost them, and signs it out
/// everywhere. An account that needs one sets a new one up at its next sign-in.
///
/// # Errors
/// When there is no such account, or the database fails.
pub async fn reset(store: &Store, username: &str) -> Result<(), UserError> {
    let tx = store.begin().await?;
    let account = users::find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    for table in [
        "totp",
        "recovery_code",
        "passkey",
        "passkey_challenge",
        "session",
    ] {
        run(
            tx.connection(),
            &format!("DELETE FROM {table} WHERE account = "),
            account.id.as_str(),
        )
        .await?;
    }
    attempts::forget(tx.connection(), &account.id).await?;
    attempts::end_halves(tx.connection(), &account.id).await?;
    contact::end_links(tx.connection(), &account.id).await?;
    tx.commit().await?;
    tracing::info!(account = account.id, "second factors reset");
    Ok(())
}

/// Deletes half sign-ins and challenges that expired. Returns how many rows went.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut gone = 0;
    for table in ["half_sign_in", "passkey_challenge"] {
        let text = format!("DELETE FROM {table} WHERE expires < ");
        gone += run(connection, &text, now).await?;
    }
    Ok(gone)
}

/// Runs a statement that ends with one value.
async fn run(
    connection: &impl ConnectionTrait,
    text: &str,
    value: impl Into<sea_orm::Value>,
) -> Result<u64, DbErr> {
    let mut sql = Sql::new(text);
    let value = sql.bind(value);
    sql.push(&value);
    execute(connection, sql).await
}

/// Runs a statement: how many rows it touched.
async fn execute(connection: &impl ConnectionTrait, sql: Sql) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let done = connection.execute_raw(sql.statement(backend)).await?;
    Ok(done.rows_affected())
}
