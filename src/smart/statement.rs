//! Software statements (RFC 7591 section 2.3): what somebody we trust signed about an app. Its claims stand
//! above what the app says of itself. One statement may register many instances of an app.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use thiserror::Error;

use super::SmartState;
use super::assertion::{millis, signature_alone};
use super::jwks::{JwksError, KeySet};
use crate::clock::Millis;

/// How much an issuer's clock may be ahead.
const SKEW: Millis = 30 * 1000;
const MOST_BYTES: usize = 16 * 1024;
/// Claims that speak of the statement and not of the app.
const OWN_CLAIMS: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Why a statement counts for nothing (RFC 7591 section 3.2.2).
#[derive(Debug, Error)]
pub(super) enum StatementError {
    #[error("the software statement is no JWT signed with RS384 or ES384")]
    Malformed,
    #[error("the software statement's iss is nobody whose statements count here")]
    Issuer,
    #[error("the keys of the software statement's issuer cannot be had: {0}")]
    Keys(#[source] JwksError),
    #[error("no key of the issuer has this kid and verifies the software statement")]
    Signature,
    #[error("the software statement has expired, or does not hold yet")]
    Time,
    #[error("the software statement is meant for another server: its aud does not name this one")]
    Audience,
}

impl StatementError {
    /// The error code of the answer.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Issuer => "unapproved_software_statement",
            _ => "invalid_software_statement",
        }
    }
}

/// What a statement says of an app, and who said it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) issuer: String,
    pub(super) claims: Map<String, Value>,
}

/// Looks whether a statement counts.
pub(super) async fn verify(
    state: &SmartState,
    statement: &str,
) -> Result<Statement, StatementError> {
    if statement.len() > MOST_BYTES {
        return Err(StatementError::Malformed);
    }
    let header = jsonwebtoken::decode_header(statement).map_err(|_| StatementError::Malformed)?;
    if !matches!(header.alg, Algorithm::RS384 | Algorithm::ES384) || header.crit.is_some() {
        return Err(StatementError::Malformed);
    }
    // Decides whose keys are tried; nothing else is believed yet.
    let said: Value = jsonwebtoken::dangerous::insecure_decode_claims(statement)
        .map_err(|_| StatementError::Malformed)?;
    let said = said.get("iss").and_then(Value::as_str);
    let trusted = state.config().statement_issuers.iter();
    let issuer = trusted
        .into_iter()
        .find(|known| said == Some(&known.issuer))
        .ok_or(StatementError::Issuer)?;
    let kid = header.kid.as_deref();
    let (parsed, fetched);
    let keys: &KeySet = match (&issuer.jwks, &issuer.jwks_uri) {
        (Some(json), _) => {
            parsed = KeySet::parse(json.as_bytes()).map_err(StatementError::Keys)?;
            &parsed
        }
        (None, Some(url)) => {
            let found = state.key_fetcher().get(url, kid).await;
            fetched = found.map_err(StatementError::Keys)?;
            &fetched
        }
        (None, None) => return Err(StatementError::Issuer),
    };
    let validation = signature_alone(header.alg);
    let claims = keys
        .candidates(kid, header.alg)
        .find_map(|key| {
            let key = DecodingKey::from_jwk(key).ok()?;
            let decoded = jsonwebtoken::decode::<Value>(statement, &key, &validation);
            decoded.ok().map(|token| token.claims)
        })
        .ok_or(StatementError::Signature)?;
    let Value::Object(mut claims) = claims else {
        return Err(StatementError::Malformed);
    };
    check_times(&claims, state.now())?;
    if let Some(audience) = claims.get("aud") {
        let ours = [state.issuer().to_owned(), state.url("/auth/register")];
        let is_ours = |one: &Value| {
            one.as_str()
                .is_some_and(|one| ours.iter().any(|own| own == one))
        };
        let named = is_ours(audience)
            || audience
                .as_array()
                .is_some_and(|all| all.iter().any(is_ours));
        if !named {
            return Err(StatementError::Audience);
        }
    }
    for name in OWN_CLAIMS {
        claims.remove(*name);
    }
    Ok(Statement {
        issuer: issuer.issuer.clone(),
        claims,
    })
}

fn check_times(claims: &Map<String, Value>, now: Millis) -> Result<(), StatementError> {
    let at = |name: &str| match claims.get(name) {
        Some(value) => millis(Some(value)).map(Some).ok_or(StatementError::Time),
        None => Ok(None),
    };
    let has_expired = at("exp")?.is_some_and(|expires| expires <= now);
    let is_early = at("nbf")?.is_some_and(|begins| begins > now + SKEW)
        || at("iat")?.is_some_and(|made| made > now + SKEW);
    if has_expired || is_early {
        return Err(StatementError::Time);
    }
    Ok(())
}
