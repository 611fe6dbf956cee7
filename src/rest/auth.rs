//! From the `Authorization` header to a [`Viewer`], through whoever knows tokens.

use std::pin::Pin;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};

use super::RestError;
use crate::store::Witness;
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

/// What an [`Authenticator`] remembers of a token.
pub type Recalled = Option<(Arc<Viewer>, Witness)>;

/// Turns a bearer token into a viewer. `smart` is the product's; tests bring their own.
pub trait Authenticator: Send + Sync + std::fmt::Debug {
    fn authenticate<'a>(&'a self, bearer: &'a str) -> AuthFuture<'a>;

    /// Who held the token a moment ago. No answer leaves unless the witness holds after it was read.
    fn recall<'a>(
        &'a self,
        _bearer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Recalled> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }
}

/// Who sent a request, as remembered, with the witness of that.
pub(super) async fn recall(
    authenticator: &Arc<dyn Authenticator>,
    headers: &HeaderMap,
) -> Recalled {
    let value = only(headers).ok()??.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    authenticator.recall(token.trim()).await
}

/// The one `Authorization` of a request. Of two, whoever stands before us may have looked at the other
/// (RFC 9110 5.3: the field is not a list).
fn only(headers: &HeaderMap) -> Result<Option<&HeaderValue>, RestError> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (one, None) => Ok(one),
        _ => Err(RestError::Unauthenticated { invalid: true }),
    }
}

/// The viewer behind a request. A request without any token and one with a scheme other than
/// Bearer (RFC 6750 section 2.1) are the same: nobody.
pub(super) async fn viewer(
    authenticator: &Arc<dyn Authenticator>,
    headers: &HeaderMap,
) -> Result<Viewer, RestError> {
    let nobody = RestError::Unauthenticated { invalid: false };
    let Some(value) = only(headers)? else {
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
