//! Signed-in browsers: a cookie with 256 random bits, its hash in the database, 15 idle minutes.
//!
//! Forms carry a token made from a cookie ([`secret::form_token`]); before sign-in that is a cookie of
//! its own. `SameSite=Lax` and `Sec-Fetch-Site` stand beside it.

use axum::http::HeaderMap;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::entities::{account, session};
use super::{DAY, SECOND, SmartState, secret, users};
use crate::clock::Millis;
use crate::store::StoreError;

/// How long a browser is known in which nobody signs in; browsers keep no cookie for longer.
pub(super) const DEVICE_LIFE: Millis = 400 * DAY;
/// How exact `seen` is: a page costs a write at most this often.
const SEEN_STEP: Millis = 30 * SECOND;

/// A signed-in browser and its account.
#[derive(Clone, Debug)]
pub struct Session {
    pub account: account::Model,
    /// When the password was typed.
    pub signed_in: Millis,
    cookie: String,
}

impl Session {
    /// The token that its forms carry.
    #[must_use]
    pub fn form_token(&self) -> String {
        secret::form_token(&self.cookie)
    }

    /// Whether a posted form is one of this browser's own.
    #[must_use]
    pub fn posted(&self, headers: &HeaderMap, token: Option<&str>) -> bool {
        is_same_origin(headers)
            && token.is_some_and(|token| secret::is_form_token(&self.cookie, token))
    }
}

/// The session of a request, if one is alive; this counts as activity.
pub async fn load(state: &SmartState, jar: &CookieJar) -> Result<Option<Session>, StoreError> {
    let Some(cookie) = jar.get(session_cookie_name(state)).map(Cookie::value) else {
        return Ok(None);
    };
    let store = state.store();
    let now = state.now();
    let hash = secret::hash(cookie);
    let Some(row) = session::Entity::find_by_id(hash.clone())
        .one(store.reader())
        .await?
    else {
        return Ok(None);
    };
    let config = state.config();
    if now - row.seen > config.session_idle || now - row.created > config.session_life {
        return Ok(None);
    }
    let Some(account) = users::find_enabled(store.reader(), &row.account).await? else {
        return Ok(None);
    };
    if now - row.seen >= SEEN_STEP {
        let tx = store.begin().await?;
        session::Entity::update_many()
            .col_expr(session::Column::Seen, Expr::value(now))
            .filter(session::Column::Hash.eq(hash))
            .exec(tx.connection())
            .await?;
        tx.commit().await?;
    }
    Ok(Some(Session {
        account,
        signed_in: row.created,
        cookie: cookie.to_owned(),
    }))
}

/// Signs a browser in. Whatever session it had ends, so that nobody plants one.
pub async fn start(
    state: &SmartState,
    jar: CookieJar,
    account: &str,
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
        account: Set(account.to_owned()),
        created: Set(now),
        seen: Set(now),
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
    kept.make_permanent();
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
