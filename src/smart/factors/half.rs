//! Half sign-ins: the password was right, the second step is still to come. A cookie with 256 random bits,
//! its hash in the database, ten minutes.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use sea_orm::ConnectionTrait as _;

use super::super::entities::account;
use super::super::pages::PageError;
use super::super::params::Params;
use super::super::{MINUTE, SmartState, secret, sessions, users};
use super::{FirstStep, execute, run};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

const LIFE: Millis = 10 * MINUTE;

/// Whoever is halfway in.
#[derive(Clone, Debug)]
pub(super) struct Half {
    pub(super) account: account::Model,
    /// The path of the page that they were going to.
    pub(super) target: String,
    methods: String,
    /// [`FirstStep::signed_in`].
    signed_in: Option<Millis>,
    /// [`FirstStep::is_kiosk`].
    pub(super) is_kiosk: bool,
    cookie: String,
}

impl Half {
    /// What the browser is let in by, once the second step was right.
    pub(super) fn first<'a>(&'a self, methods: &'a str, parts: &'a Parts) -> FirstStep<'a> {
        FirstStep {
            account: &self.account,
            target: &self.target,
            signed_in: self.signed_in,
            methods,
            is_kiosk: self.is_kiosk,
            parts,
        }
    }

    /// The methods of both steps.
    pub(super) fn methods(&self, second: &str) -> String {
        format!("{} {second}", self.methods).trim().to_owned()
    }

    /// Whether they are on the way to an app.
    pub(super) fn connects(&self) -> bool {
        self.target.starts_with("/auth/")
    }

    /// The token that its forms carry.
    pub(super) fn form_token(&self) -> String {
        secret::form_token(&self.cookie)
    }

    /// What was posted, if it came from a form of this browser's own.
    pub(super) fn form(&self, headers: &HeaderMap, body: &[u8]) -> Result<Params, PageError> {
        sessions::own_form(&self.cookie, headers, body)
    }
}

fn cookie_name(state: &SmartState) -> &'static str {
    if state.is_https() {
        "__Host-candor-half"
    } else {
        "candor-half"
    }
}

/// Begins one, in place of what the browser had.
pub(super) async fn begin(
    state: &SmartState,
    jar: CookieJar,
    first: &FirstStep<'_>,
) -> Result<CookieJar, StoreError> {
    let jar = end(state, jar).await?;
    let plain = secret::random_token();
    let mut insert = Sql::default();
    let (hash, account, target, methods, expires) = (
        insert.bind(secret::hash(&plain)),
        insert.bind(first.account.id.as_str()),
        insert.bind(first.target),
        insert.bind(first.methods),
        insert.bind(state.now() + LIFE),
    );
    let signed_in = insert.bind(first.signed_in);
    let kiosk = insert.bind(i16::from(first.is_kiosk));
    insert.push(&format!(
        "INSERT INTO half_sign_in (hash, account, target, methods, expires, signed_in, kiosk) \
         VALUES ({hash}, {account}, {target}, {methods}, {expires}, {signed_in}, {kiosk})"
    ));
    let tx = state.store().begin().await?;
    execute(tx.connection(), insert).await?;
    tx.commit().await?;
    Ok(jar.add(sessions::cookie(state, cookie_name(state), plain)))
}

/// The one of a browser, if it is alive and its account still may sign in.
pub(super) async fn load(state: &SmartState, jar: &CookieJar) -> Result<Option<Half>, StoreError> {
    let Some(cookie) = jar.get(cookie_name(state)).map(Cookie::value) else {
        return Ok(None);
    };
    let store = state.store();
    let mut select = Sql::new(
        "SELECT account, target, methods, signed_in, kiosk FROM half_sign_in WHERE hash = ",
    );
    let hash = select.bind(secret::hash(cookie));
    let now = select.bind(state.now());
    select.push(&format!("{hash} AND expires > {now}"));
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id: String = row.try_get_by_index(0)?;
    let target: String = row.try_get_by_index(1)?;
    let methods: String = row.try_get_by_index(2)?;
    let signed_in: Option<Millis> = row.try_get_by_index(3)?;
    let kiosk: i16 = row.try_get_by_index(4)?;
    let account = users::find_enabled(store.reader(), &id).await?;
    Ok(account.map(|account| Half {
        account,
        target,
        methods,
        signed_in,
        is_kiosk: kiosk != 0,
        cookie: cookie.to_owned(),
    }))
}

/// Ends the one of a browser, and takes the cookie.
pub(super) async fn end(state: &SmartState, jar: CookieJar) -> Result<CookieJar, StoreError> {
    let Some(own) = jar.get(cookie_name(state)) else {
        return Ok(jar);
    };
    let hash = secret::hash(own.value());
    let tx = state.store().begin().await?;
    run(
        tx.connection(),
        "DELETE FROM half_sign_in WHERE hash = ",
        hash,
    )
    .await?;
    tx.commit().await?;
    Ok(jar.remove(sessions::gone(state, cookie_name(state))))
}
