//! From the `Authorization` header to a [`Viewer`], through whoever knows tokens.

use std::pin::Pin;
use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::RestError;
use crate::visibility::Viewer;

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// Unknown, expired, revoked, malformed. 401.
    Invalid,
    /// The place where tokens are kept cannot be reached. 503, never 401.
    Unavailable,
}

/// What an [`Authenticator`] answers with.
pub type AuthFuture<'a> = Pin<Box<dyn Future<Output = Result<Viewer, AuthError>> + Send + 'a>>;

/// Turns a bearer token into a viewer. `smart` is the product's; tests bring their own.
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    fn authenticate<'a>(&'a self, bearer: &'a str) -> AuthFuture<'a>;
}

/// The viewer behind a request. A request without any token and one with a scheme other than
/// Bearer (RFC 6750 section 2.1) are the same: nobody.
pub(super) async fn viewer(
    authenticator: &Arc<dyn Authenticator>,
    headers: &HeaderMap,
) -> Result<Viewer, RestError> {
    let nobody = RestError::Unauthenticated { invalid: false };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(nobody);
    };
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(RestError::Unauthenticated { invalid: true });
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(nobody);
    }
    match authenticator.authenticate(token.trim()).await {
        Ok(viewer) => Ok(viewer),
        Err(AuthError::Invalid) => Err(RestError::Unauthenticated { invalid: true }),
        Err(AuthError::Unavailable) => Err(RestError::Unavailable),
    }
}
