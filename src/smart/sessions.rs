//! Signed-in browsers: a cookie with 256 random bits, its hash in the database, 15 idle minutes.
//!
//! Forms carry a token made from a cookie ([`secret::form_token`]); before sign-in that is a cookie of
//! its own. `SameSite=Lax` and `Sec-Fetch-Site` stand beside it.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

use super::entities::{account, session};
use super::factors::FirstStep;
use super::pages::PageError;
use super::params::Params;
use super::{DAY, SECOND, SmartState, agent, kiosk, secret, users};
use crate::clock::Millis;
use crate::store::StoreError;

/// How long a browser is known in which nobody signs in; browsers keep no cookie for longer.
pub(super) const DEVICE_LIFE: Millis = 400 * DAY;
/// How exact `seen` is: a page costs a write at most this often.
const SEEN_STEP: Millis = SECOND;

/// A signed-in browser and its account.
#[derive(Clone, Debug)]
pub struct Session {
    pub account: account::Model,
    /// When the password was typed.
    pub signed_in: Millis,
    /// How, as values of RFC 8176 between spaces.
    pub methods: String,
    /// Whether the browser is a shared terminal.
    pub is_kiosk: bool,
    cookie: String,
}

impl Session {
    /// What the database knows it by.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        secret::hash(&self.cookie)
    }

    /// The token that its forms carry.
    #[must_use]
    pub fn form_token(&self) -> String {
        secret::form_token(&self.cookie)
    }

    /// What was posted, if it came from a form of this browser's own.
    ///
    /// # Errors
    /// [`PageError::Foreign`] for anything else.
    pub(super) fn form(&self, headers: &HeaderMap, body: &[u8]) -> Result<Params, PageError> {
        own_form(&self.cookie, headers, body)
    }

    /// Whether a posted form is one of this browser's own.
    #[must_use]
    pub fn posted(&self, headers: &HeaderMap, token: Option<&str>) -> bool {
        is_own(&self.cookie, headers, token)
    }
}

/// What was posted, if it came from a form of the browser with this cookie.
///
/// # Errors
/// [`PageError::Foreign`] for anything else.
pub(super) fn own_form(
    cookie: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Params, PageError> {
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    if is_own(cookie, headers, params.first("form")) {
        Ok(params)
    } else {
        Err(PageError::Foreign)
    }
}

fn is_own(cookie: &str, headers: &HeaderMap, token: Option<&str>) -> bool {
    is_same_origin(headers) && token.is_some_and(|token| secret::is_form_token(cookie, token))
}

/// The session of a request, if one is alive; this counts as activity.
pub async fn load(state: &SmartState, jar: &CookieJar) -> Result<Option<Session>, StoreError> {
    let Some((session, left)) = peek(state, jar).await? else {
        return Ok(None);
    };
    if kiosk::idle(state, session.is_kiosk) - left >= SEEN_STEP {
        let store = state.store();
        let tx = store.begin().await?;
        session::Entity::update_many()
            .col_expr(session::Column::Seen, Expr::value(state.now()))
            .filter(session::Column::Hash.eq(session.hash()))
            .exec(tx.connection())
            .await?;
        tx.commit().await?;
    }
    Ok(Some(session))
}

/// The session of a request, if one is alive, and the time until it ends when nobody uses it. This is no
/// activity.
pub(super) async fn peek(
    state: &SmartState,
    jar: &CookieJar,
) -> Result<Option<(Session, Millis)>, StoreError> {
    let Some(row) = row(state, jar).await?.filter(|row| is_alive(state, row)) else {
        return Ok(None);
    };
    let left = idle(state, &row) - (state.now() - row.seen);
    let session = of_row(state, jar, row).await?;
    Ok(session.map(|session| (session, left)))
}

/// The session of a request, also when it ended for want of use. Whose it was may leave what they typed, and
/// nothing else.
pub(super) async fn alive_or_idle(
    state: &SmartState,
    jar: &CookieJar,
) -> Result<Option<Session>, StoreError> {
    match row(state, jar).await? {
        Some(row) => of_row(state, jar, row).await,
        None => Ok(None),
    }
}

/// The row of a browser, alive or not. It is gone where somebody signed it out.
async fn row(state: &SmartState, jar: &CookieJar) -> Result<Option<session::Model>, StoreError> {
    let Some(cookie) = cookie_of(state, jar) else {
        return Ok(None);
    };
    let found = session::Entity::find_by_id(secret::hash(cookie));
    Ok(found.one(state.store().reader()).await?)
}

fn cookie_of<'a>(state: &SmartState, jar: &'a CookieJar) -> Option<&'a str> {
    jar.get(session_cookie_name(state)).map(Cookie::value)
}

/// With its account, which still must be open.
async fn of_row(
    state: &SmartState,
    jar: &CookieJar,
    row: session::Model,
) -> Result<Option<Session>, StoreError> {
    let account = users::find_enabled(state.store().reader(), &row.account).await?;
    Ok(account.map(|account| Session {
        account,
        signed_in: row.signed_in.unwrap_or(row.created),
        methods: row.methods,
        is_kiosk: row.kiosk != 0,
        cookie: cookie_of(state, jar).unwrap_or_default().to_owned(),
    }))
}

fn idle(state: &SmartState, row: &session::Model) -> Millis {
    kiosk::idle(state, row.kiosk != 0)
}

fn is_alive(state: &SmartState, row: &session::Model) -> bool {
    let now = state.now();
    now - row.seen <= idle(state, row) && now - row.created <= state.config().session_life
}

/// From now on the browser is a shared terminal.
pub(super) async fn make_kiosk(state: &SmartState, session: &Session) -> Result<(), StoreError> {
    let tx = state.store().begin().await?;
    session::Entity::update_many()
        .col_expr(session::Column::Kiosk, Expr::value(1_i16))
        .filter(session::Column::Hash.eq(session.hash()))
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(())
}

/// How a browser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Nobody,
    /// Signed in once, and too long ago.
    Idle {
        is_kiosk: bool,
    },
    Live {
        must_change: bool,
    },
}

/// Looks without counting as activity.
pub(super) async fn look(state: &SmartState, jar: &CookieJar) -> Result<Look, StoreError> {
    if let Some((session, _)) = peek(state, jar).await? {
        return Ok(Look::Live {
            must_change: session.account.must_change.is_some(),
        });
    }
    let left = row(state, jar).await?;
    Ok(left.map_or(Look::Nobody, |row| Look::Idle {
        is_kiosk: row.kiosk != 0,
    }))
}

/// The browsers in which an account is signed in, the last used first.
pub(super) async fn of_account(
    state: &SmartState,
    account: &str,
) -> Result<Vec<session::Model>, StoreError> {
    let mut rows = session::Entity::find()
        .filter(session::Column::Account.eq(account))
        .all(state.store().reader())
        .await?;
    rows.retain(|row| is_alive(state, row));
    rows.sort_by_key(|row| std::cmp::Reverse(row.seen));
    Ok(rows)
}

/// What a form calls a session: enough to tell an account's few apart, and no way back to the cookie.
pub(super) fn public_id(hash: &[u8]) -> String {
    let mut text = String::new();
    for byte in hash.iter().take(8) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Ends the sessions of an account, but for one (its hash).
pub(super) async fn end_others(
    connection: &impl ConnectionTrait,
    account: &str,
    kept: Option<&[u8]>,
) -> Result<(), DbErr> {
    let mut others = session::Entity::delete_many().filter(session::Column::Account.eq(account));
    if let Some(kept) = kept {
        others = others.filter(session::Column::Hash.ne(kept.to_vec()));
    }
    others.exec(connection).await?;
    Ok(())
}

/// Ends sessions by their hashes.
pub(super) async fn end_all(
    connection: &impl ConnectionTrait,
    hashes: &[Vec<u8>],
) -> Result<(), DbErr> {
    session::Entity::delete_many()
        .filter(session::Column::Hash.is_in(hashes.iter().cloned()))
        .exec(connection)
        .await?;
    Ok(())
}

/// Signs a browser in after its last step. Whatever session it had ends, so that nobody plants one.
pub(super) async fn start(
    state: &SmartState,
    jar: CookieJar,
    step: &FirstStep<'_>,
) -> Result<CookieJar, StoreError> {
    let plain = secret::random_token();
    let now = state.now();
    let tx = state.store().begin().await?;
    if let Some(old) = jar.get(session_cookie_name(state)) {
        session::Entity::delete_by_id(secret::hash(old.value()))
            .exec(tx.connection())
            .await?;
    }
    session::Entity::insert(session::ActiveModel {
        hash: Set(secret::hash(&plain)),
        account: Set(step.account.id.clone()),
        created: Set(now),
        seen: Set(now),
        agent: Set(agent::family(&step.parts.headers)),
        methods: Set(step.methods.to_owned()),
        signed_in: Set(step.signed_in),
        kiosk: Set(step.is_kiosk.into()),
    })
    .exec_without_returning(tx.connection())
    .await?;
    tx.commit().await?;
    Ok(jar.remove(gone(state, form_cookie_name(state))).add(cookie(
        state,
        session_cookie_name(state),
        plain,
    )))
}

/// Signs a browser out.
pub async fn end(state: &SmartState, jar: CookieJar) -> Result<CookieJar, StoreError> {
    if let Some(old) = jar.get(session_cookie_name(state)) {
        let tx = state.store().begin().await?;
        session::Entity::delete_by_id(secret::hash(old.value()))
            .exec(tx.connection())
            .await?;
        tx.commit().await?;
    }
    Ok(jar.remove(gone(state, session_cookie_name(state))))
}

/// The token for a form of somebody who is not signed in, with the cookie it belongs to.
pub fn anonymous_form(state: &SmartState, jar: CookieJar) -> (CookieJar, String) {
    let name = form_cookie_name(state);
    if let Some(own) = jar.get(name) {
        let token = secret::form_token(own.value());
        return (jar, token);
    }
    let plain = secret::random_token();
    let token = secret::form_token(&plain);
    (jar.add(cookie(state, name, plain)), token)
}

/// Keeps in a cookie what somebody set out with to a provider.
pub(super) fn keep_journey(state: &SmartState, jar: CookieJar, text: String) -> CookieJar {
    let value = URL_SAFE_NO_PAD.encode(text);
    jar.add(cookie(state, journey_cookie_name(state), value))
}

/// What this browser set out with.
pub(super) fn journey(state: &SmartState, jar: &CookieJar) -> Option<String> {
    let kept = jar.get(journey_cookie_name(state))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(kept.value()).ok()?).ok()
}

/// Forgets it.
pub(super) fn forget_journey(state: &SmartState, jar: CookieJar) -> CookieJar {
    jar.remove(gone(state, journey_cookie_name(state)))
}

/// The cookie that tells a browser in which somebody signed in before.
pub(super) fn device<'a>(state: &SmartState, jar: &'a CookieJar) -> Option<&'a str> {
    jar.get(device_cookie_name(state)).map(Cookie::value)
}

/// The same for a browser in which somebody just signed in: what it has is kept, because several people
/// may use it, and its life begins anew.
pub(super) fn known_device(state: &SmartState, jar: CookieJar) -> (CookieJar, String) {
    let own = device(state, &jar).filter(|own| own.len() == 43);
    let value = own.map_or_else(secret::random_token, str::to_owned);
    let mut kept = cookie(state, device_cookie_name(state), value.clone());
    kept.set_max_age(time::Duration::milliseconds(DEVICE_LIFE));
    (jar.add(kept), value)
}

/// What a posted form of somebody who is not signed in shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousPost {
    Own,
    /// The browser sent no cookie back: it may have them switched off.
    NoCookie,
    Foreign,
}

/// Whether a form of somebody who is not signed in was ours.
#[must_use]
pub fn posted_anonymously(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    token: Option<&str>,
) -> AnonymousPost {
    if !is_same_origin(headers) {
        return AnonymousPost::Foreign;
    }
    let Some(own) = jar.get(form_cookie_name(state)) else {
        return AnonymousPost::NoCookie;
    };
    if token.is_some_and(|token| secret::is_form_token(own.value(), token)) {
        AnonymousPost::Own
    } else {
        AnonymousPost::Foreign
    }
}

/// Refuses a form of somebody who is not signed in that was not ours.
pub(super) fn require_own(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    token: Option<&str>,
) -> Result<(), PageError> {
    match posted_anonymously(state, jar, headers, token) {
        AnonymousPost::Own => Ok(()),
        AnonymousPost::NoCookie => Err(PageError::NoCookie),
        AnonymousPost::Foreign => Err(PageError::Foreign),
    }
}

/// Browsers that know `Sec-Fetch-Site` say where a form came from. `Origin` would not do: under our
/// `Referrer-Policy: no-referrer` it is `null` on our own forms.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_none_or(|site| site == "same-origin")
}

/// `__Host-` binds a cookie to this host and to https; plain http cannot have it.
fn session_cookie_name(state: &SmartState) -> &'static str {
    if state.is_https() {
        "__Host-candor"
    } else {
        "candor"
    }
}

fn form_cookie_name(state: &SmartState) -> &'static str {
    if state.is_https() {
        "__Host-candor-form"
    } else {
        "candor-form"
    }
}

fn journey_cookie_name(state: &SmartState) -> &'static str {
    if state.is_https() {
        "__Host-candor-journey"
    } else {
        "candor-journey"
    }
}

fn device_cookie_name(state: &SmartState) -> &'static str {
    if state.is_https() {
        "__Host-candor-device"
    } else {
        "candor-device"
    }
}

pub(super) fn cookie(state: &SmartState, name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .secure(state.is_https())
        .same_site(SameSite::Lax)
        .build()
}

/// What removes a cookie must look like it: browsers drop a `__Host-` cookie without Secure and Path.
pub(super) fn gone(state: &SmartState, name: &'static str) -> Cookie<'static> {
    cookie(state, name, String::new())
}
