//! `private_key_jwt`: a client proves itself with a short-lived, once-usable signed assertion
//! (SMART App Launch 2.2, "Client authentication: asymmetric"; RFC 7523).

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use thiserror::Error;

use super::SmartState;
use super::entities::client;
use super::jwks::{JwksError, KeySet};
use super::{clients, secret};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

/// The only `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion may live this long (SMART: "no more than five minutes in the future").
const LONGEST_LIFE: Millis = 5 * 60 * 1000;
/// How much a client's clock may be ahead.
const SKEW: Millis = 30 * 1000;

/// Why an assertion proves nothing. The words go to the developer of the client.
#[derive(Debug, Error)]
pub enum AssertionError {
    #[error("the client assertion is no JWT signed with RS384 or ES384")]
    Malformed,
    #[error("the client assertion's iss and sub must both be the client_id")]
    Subject,
    #[error("the client is unknown, disabled, or registered without a key")]
    Client,
    #[error("the client's keys cannot be had: {0}")]
    Keys(#[source] JwksError),
    #[error("the header's jku is not the address that the client registered")]
    Jku,
    #[error("no registered key has this kid and verifies the signature")]
    Signature,
    #[error("the client assertion's aud must be the token endpoint")]
    Audience,
    #[error("the client assertion needs an exp, not past and at most five minutes ahead")]
    Expiry,
    #[error("the client assertion needs a jti of 1 to 255 characters")]
    Jti,
    #[error("the client assertion was used before")]
    Replay,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The client that an assertion proves. `claimed`: the `client_id` parameter, if one came.
pub async fn verify(
    state: &SmartState,
    assertion: &str,
    claimed: Option<&str>,
) -> Result<client::Model, AssertionError> {
    // Also refuses every alg that jsonwebtoken does not know, `none` first of all.
    let header = jsonwebtoken::decode_header(assertion).map_err(|_| AssertionError::Malformed)?;
    if !matches!(header.alg, Algorithm::RS384 | Algorithm::ES384) || header.crit.is_some() {
        return Err(AssertionError::Malformed);
    }
    // Who it claims to be decides whose keys are tried; nothing else is believed yet.
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(assertion)
        .map_err(|_| AssertionError::Malformed)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let (Some(issuer), Some(subject)) = (text("iss"), text("sub")) else {
        return Err(AssertionError::Subject);
    };
    if issuer != subject || claimed.is_some_and(|claimed| claimed != issuer) {
        return Err(AssertionError::Subject);
    }
    let client = clients::find(state.store().reader(), issuer)
        .await
        .map_err(StoreError::from)?
        .filter(|client| client.disabled.is_none())
        .ok_or(AssertionError::Client)?;
    if let Some(jku) = &header.jku
        && client.jwks_uri.as_ref() != Some(jku)
    {
        return Err(AssertionError::Jku);
    }
    let kid = header.kid.as_deref();
    let fetched;
    let parsed;
    let keys: &KeySet = match (&client.jwks, &client.jwks_uri) {
        (Some(json), _) => {
            parsed = KeySet::parse(json.as_bytes()).map_err(AssertionError::Keys)?;
            &parsed
        }
        (None, Some(url)) => {
            fetched = state
                .key_fetcher()
                .get(url, kid)
                .await
                .map_err(AssertionError::Keys)?;
            &fetched
        }
        (None, None) => return Err(AssertionError::Client),
    };
    let claims = keys
        .candidates(kid, header.alg)
        .find_map(|key| {
            let key = DecodingKey::from_jwk(key).ok()?;
            let decoded =
                jsonwebtoken::decode::<Value>(assertion, &key, &signature_alone(header.alg));
            decoded.ok().map(|token| token.claims)
        })
        .ok_or(AssertionError::Signature)?;
    check_claims(state, &client.client_id, &claims).await?;
    Ok(client)
}

/// Whose assertion it says it is. Nothing is verified: this only counts failures.
pub(super) fn claimed_client(assertion: &str) -> Option<String> {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(assertion).ok()?;
    Some(claims.get("iss")?.as_str()?.chars().take(100).collect())
}

/// Claims are checked by [`check_claims`], against the server's own clock.
pub(super) fn signature_alone(alg: Algorithm) -> Validation {
    let mut validation = Validation::new(alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

async fn check_claims(
    state: &SmartState,
    client_id: &str,
    claims: &Value,
) -> Result<(), AssertionError> {
    let now = state.now();
    let token_url = state.token_url();
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == token_url,
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(&token_url)),
        _ => false,
    };
    if !is_for_us {
        return Err(AssertionError::Audience);
    }
    let expires = millis(claims.get("exp")).ok_or(AssertionError::Expiry)?;
    if expires <= now || expires > now + LONGEST_LIFE + SKEW {
        return Err(AssertionError::Expiry);
    }
    if let Some(begins) = claims.get("nbf")
        && millis(Some(begins)).is_none_or(|begins| begins > now + SKEW)
    {
        return Err(AssertionError::Expiry);
    }
    let jti = claims
        .get("jti")
        .and_then(Value::as_str)
        .filter(|jti| (1..=255).contains(&jti.len()))
        .ok_or(AssertionError::Jti)?;
    let mut insert = Sql::default();
    let hash = insert.bind(secret::hash(&format!("{client_id}\n{jti}")));
    let until = insert.bind(expires);
    insert.push(&format!(
        "INSERT INTO used_assertion (hash, expires) VALUES ({hash}, {until}) \
         ON CONFLICT (hash) DO NOTHING"
    ));
    let tx = state.store().begin().await?;
    let inserted = tx
        .connection()
        .execute_raw(insert.statement(state.store().backend()))
        .await
        .map_err(StoreError::from)?;
    tx.commit().await.map_err(StoreError::from)?;
    if inserted.rows_affected() == 0 {
        return Err(AssertionError::Replay);
    }
    Ok(())
}

/// A NumericDate (RFC 7519: seconds, perhaps with a fraction) in milliseconds.
pub(super) fn millis(value: Option<&Value>) -> Option<Millis> {
    let number = value?.as_number()?.to_string();
    let seconds: rust_decimal::Decimal = number.parse().ok()?;
    let millis = seconds.checked_mul(rust_decimal::Decimal::ONE_THOUSAND)?;
    i64::try_from(millis.trunc()).ok().filter(|at| *at >= 0)
}
