//! How a client proves itself at the token, introspection and revocation endpoints: a secret by Basic
//! or in the body, a signed assertion, or, for public clients, nothing but its name.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::assertion::{self, ASSERTION_TYPE, AssertionError};
use super::clients::{self, ClientKind};
use super::entities::client;
use super::params::{Params, ParamsError};
use super::throttle::Kind;
use super::{SECOND, SmartState};
use crate::store::StoreError;

/// How a client proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    None,
    Secret,
    PrivateKey,
}

/// A client and its proof.
#[derive(Clone, Debug)]
pub(super) struct Authenticated {
    pub(super) client: client::Model,
    pub(super) method: Method,
}

/// Why a client is not believed.
#[derive(Debug, Error)]
pub(super) enum ClientAuthError {
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error("the request authenticates the client in more than one way")]
    SeveralWays,
    #[error("client_assertion_type must be {ASSERTION_TYPE}")]
    AssertionType,
    #[error("the request names no client")]
    Missing,
    /// One text for an unknown client, a wrong secret and a way that the client does not have.
    #[error("the client is unknown, or the authentication is not the one it registered")]
    Refused,
    #[error(transparent)]
    Assertion(AssertionError),
    #[error("too many failures: wait {0} seconds")]
    Throttled(i64),
    #[error(transparent)]
    Store(StoreError),
}

impl From<AssertionError> for ClientAuthError {
    fn from(error: AssertionError) -> Self {
        match error {
            AssertionError::Store(error) => Self::Store(error),
            error => Self::Assertion(error),
        }
    }
}

/// Authenticates the client of a request, slowed down after failures.
pub(super) async fn authenticate(
    state: &SmartState,
    headers: &HeaderMap,
    params: &Params,
    caller: Option<IpAddr>,
) -> Result<Authenticated, ClientAuthError> {
    let basic = basic(headers)?;
    let name = named(basic.as_ref(), params)?.unwrap_or_default();
    let throttle = state.throttle();
    if let Some(wait) = throttle.wait(Kind::Client, &name, caller, state.pace()) {
        return Err(ClientAuthError::Throttled((wait + SECOND - 1) / SECOND));
    }
    let outcome = prove(state, basic, params).await;
    match &outcome {
        Ok(found) if found.method != Method::None => {
            throttle.succeeded(Kind::Client, &name, caller, state.pace());
        }
        // What cannot be a guess at a secret or key is no failure: a client with a wrong clock, or one
        // that sends an assertion twice, slows nobody down.
        Err(
            ClientAuthError::Refused
            | ClientAuthError::Assertion(AssertionError::Signature | AssertionError::Client),
        ) => throttle.failed(Kind::Client, &name, caller, state.pace()),
        _ => {}
    }
    outcome
}

/// The client that a request says it is from, proven or not.
pub(super) fn claimed(headers: &HeaderMap, params: &Params) -> Option<String> {
    let basic = basic(headers).ok()?;
    named(basic.as_ref(), params).ok()?
}

fn named(basic: Option<&(String, String)>, params: &Params) -> Result<Option<String>, ParamsError> {
    Ok(match (basic, params.get("client_assertion")?) {
        (Some((id, _)), _) => Some(id.clone()),
        (None, Some(assertion)) => assertion::claimed_client(assertion),
        (None, None) => params.get("client_id")?.map(str::to_owned),
    })
}

async fn prove(
    state: &SmartState,
    basic: Option<(String, String)>,
    params: &Params,
) -> Result<Authenticated, ClientAuthError> {
    let in_body = params.get("client_secret")?;
    let assertion = params.get("client_assertion")?;
    let assertion_type = params.get("client_assertion_type")?;
    let named = params.get("client_id")?;
    let ways = [basic.is_some(), in_body.is_some(), assertion.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(ClientAuthError::SeveralWays);
    }
    if assertion.is_some() != assertion_type.is_some()
        || assertion_type.is_some_and(|kind| kind != ASSERTION_TYPE)
    {
        return Err(ClientAuthError::AssertionType);
    }
    if let Some(assertion) = assertion {
        let client = assertion::verify(state, assertion, named).await?;
        return Ok(Authenticated {
            client,
            method: Method::PrivateKey,
        });
    }
    let (client_id, secret) = match (&basic, named, in_body) {
        (Some((id, secret)), named, _) => {
            if named.is_some_and(|named| named != id) {
                return Err(ClientAuthError::SeveralWays);
            }
            (id.as_str(), Some(secret.as_str()))
        }
        (None, Some(id), secret) => (id, secret),
        (None, None, _) => return Err(ClientAuthError::Missing),
    };
    let client = clients::find(state.store().reader(), client_id)
        .await
        .map_err(|error| ClientAuthError::Store(error.into()))?
        .filter(|client| client.disabled.is_none())
        .ok_or(ClientAuthError::Refused)?;
    let method = match (client.client_kind(), secret) {
        (Some(ClientKind::Public), None) => Method::None,
        // Some libraries send an empty secret for public clients.
        (Some(ClientKind::Public), Some("")) => Method::None,
        (Some(ClientKind::Confidential), Some(secret)) if client.has_secret(secret) => {
            Method::Secret
        }
        _ => return Err(ClientAuthError::Refused),
    };
    Ok(Authenticated { client, method })
}

/// Id and secret of a Basic header, each form-decoded (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, ClientAuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let Some((scheme, encoded)) = value.to_str().ok().and_then(|value| value.split_once(' '))
    else {
        return Err(ClientAuthError::Refused);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((id, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        return Err(ClientAuthError::Refused);
    };
    Ok(Some((form_decoded(id), form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode("my%3Aapp:a+b%2F"));
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        let (id, secret) = basic(&headers).unwrap().unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("my:app", "a b/"));
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(basic(&headers).unwrap().is_none());
        headers.insert(AUTHORIZATION, "Basic !".parse().unwrap());
        assert!(basic(&headers).is_err());
    }
}
