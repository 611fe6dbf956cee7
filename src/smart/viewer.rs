//! Who holds an access token: the one question that the FHIR API asks here, with every request.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use moka::future::Cache;
use sea_orm::ConnectionTrait as _;
use thiserror::Error;

use super::entities::token::ACCESS;
use super::launch::{self, LaunchContext};
use super::scopes::{ScopeList, catalogue};
use super::{SmartState, representative, secret};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::{StoreError, Witness};
use crate::visibility::level::Level;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass};

/// Why a request has no viewer.
#[derive(Debug, Error)]
pub enum AuthError {
    /// 401 with `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750 section 3.1): unknown,
    /// expired or revoked, or its client or account was disabled.
    #[error("the access token is not valid, or no longer")]
    InvalidToken,
    /// 503.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A live access token with what it stands for.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) client_id: String,
    pub(super) account: Option<String>,
    pub(super) class: String,
    pub(super) person: Option<String>,
    pub(super) patient: Option<String>,
    pub(super) scope: String,
    pub(super) created: Millis,
    pub(super) expires: Millis,
    pub(super) launch: Option<LaunchContext>,
    /// How far a representative's authority reaches.
    pub(super) level: Level,
}

/// The token of an `Authorization: Bearer` header. Of two headers none counts: whoever stands before this
/// server may have believed the other one.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => bearer_of(only),
        _ => None,
    }
}

/// The token, of the header's value alone.
#[must_use]
pub fn bearer_of(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// Viewers of tokens seen a moment ago, so that a request costs a point lookup and not a join of four
/// tables. An entry of an older [generation](super::generation) counts for nothing, whichever process raised it.
#[derive(Clone)]
pub(super) struct ViewerCache {
    viewers: Cache<Vec<u8>, Arc<Remembered>>,
}

struct Remembered {
    viewer: Arc<Viewer>,
    expires: Millis,
    generation: i64,
}

impl ViewerCache {
    /// A cache whose entries live for `life` of real time; none are kept when that is zero.
    pub(super) fn new(life: Duration) -> Self {
        let entries = if life.is_zero() { 0 } else { 50_000 };
        Self {
            viewers: Cache::builder()
                .max_capacity(entries)
                .time_to_live(life)
                .build(),
        }
    }
}

impl std::fmt::Debug for ViewerCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ViewerCache")
    }
}

/// The viewer who held an access token a moment ago, if that is remembered. To be answered only where
/// the witness [`holds`](Witness::holds) after everything was read; else [`authenticate`] decides.
pub async fn recall(state: &SmartState, bearer: &str) -> Option<(Arc<Viewer>, Witness)> {
    let known = state
        .viewer_cache()
        .viewers
        .get(&secret::hash(bearer))
        .await?;
    (known.expires > state.now()).then(|| (known.viewer.clone(), Witness::new(known.generation)))
}

/// The viewer who holds an access token. What this server revoked a moment ago, and what an app got
/// from somebody who may no longer open the record, is refused now.
pub async fn authenticate(state: &SmartState, bearer: &str) -> Result<Viewer, AuthError> {
    let cache = state.viewer_cache();
    // Read before the token: an entry made from what is revoked meanwhile is of an old generation.
    let generation = state.store().auth_generation().await?;
    let key = secret::hash(bearer);
    if let Some(known) = cache.viewers.get(&key).await
        && known.generation == generation
        && known.expires > state.now()
    {
        return Ok(Viewer::clone(&known.viewer));
    }
    let live = find_live(state, bearer)
        .await?
        .ok_or(AuthError::InvalidToken)?;
    let expires = live.expires;
    let viewer = viewer(live)?;
    if viewer.class == ViewerClass::Representative {
        // Their authority ends with a write to the record, which raises no generation.
        return Ok(viewer);
    }
    let entry = Remembered {
        viewer: Arc::new(viewer.clone()),
        expires,
        generation,
    };
    cache.viewers.insert(key, Arc::new(entry)).await;
    Ok(viewer)
}

fn viewer(live: Live) -> Result<Viewer, AuthError> {
    // A class that this version does not know opens nothing.
    let class = ViewerClass::from_name(&live.class).ok_or(AuthError::InvalidToken)?;
    Ok(Viewer {
        class,
        person: live.person,
        patient: live.patient,
        client_device: Some(live.client_id.clone()),
        client_id: live.client_id,
        scopes: Scopes::parse(&live.scope),
        level: live.level,
    })
}

/// The live access token with this text. Not live: what was got from somebody who may no longer open
/// the record.
pub(super) async fn find_live(state: &SmartState, plain: &str) -> Result<Option<Live>, StoreError> {
    // Longer than any of ours: not worth hashing.
    if plain.len() > 200 {
        return Ok(None);
    }
    let mut select = Sql::default();
    let hash = select.bind(secret::hash(plain));
    let kind = select.bind(ACCESS);
    let now = select.bind(state.now());
    select.push(&format!(
        "SELECT g.client_id, g.account, g.class, g.person, g.patient, t.scope, t.created, t.expires, \
         g.context, g.catalogue, g.scope \
         FROM auth_token t \
         JOIN auth_grant g ON g.id = t.grant_id \
         JOIN oauth_client c ON c.client_id = g.client_id \
         LEFT JOIN account a ON a.id = g.account \
         WHERE t.hash = {hash} AND t.kind = {kind} AND t.expires > {now} \
         AND g.revoked IS NULL AND (g.ends IS NULL OR g.ends > {now}) AND c.disabled IS NULL \
         AND (g.account IS NULL OR (a.id IS NOT NULL AND a.disabled IS NULL)) \
         AND (g.account IS NULL OR g.patient IS NULL \
         OR g.class NOT IN ('patient', 'representative') OR EXISTS (SELECT 1 FROM account_record r \
         WHERE r.account = g.account AND r.patient = g.patient))"
    ));
    let store = state.store();
    let Some(row) = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?
    else {
        return Ok(None);
    };
    let context: Option<String> = row.try_get_by_index(8)?;
    let scope: String = row.try_get_by_index(5)?;
    let day: Option<String> = row.try_get_by_index(9)?;
    let granted: String = row.try_get_by_index(10)?;
    // A person may have made it less since the token was issued.
    let scope = if scope == granted {
        scope
    } else {
        let granted = ScopeList::parse(&granted);
        ScopeList::parse(&scope).within(&granted).to_string()
    };
    let live = Live {
        client_id: row.try_get_by_index(0)?,
        account: row.try_get_by_index(1)?,
        class: row.try_get_by_index(2)?,
        person: row.try_get_by_index(3)?,
        patient: row.try_get_by_index(4)?,
        scope: catalogue().frozen(&scope, day.as_deref()).into_owned(),
        created: row.try_get_by_index(6)?,
        expires: row.try_get_by_index(7)?,
        launch: launch::of_text(context.as_deref()),
        level: Level::Full,
    };
    let (person, patient) = (live.person.as_deref(), live.patient.as_deref());
    let reader = store.reader();
    let reach = representative::authority(state, reader, &live.class, person, patient).await?;
    Ok(reach.map(|level| Live { level, ..live }))
}
