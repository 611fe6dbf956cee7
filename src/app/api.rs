//! The FHIR API, wired to the authorization server whose tokens open it.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;

use super::App;
use crate::config;
use crate::rest::auth::Recalled;
use crate::rest::{
    self, AuditLog, AuthError, AuthFuture, Authenticator, ConditionalDelete, Interaction, Limits,
    OauthUris, RestState,
};
use crate::smart::{self, SmartState};

/// Tokens as the authorization server knows them.
#[derive(Debug)]
struct Tokens(SmartState);

impl Authenticator for Tokens {
    fn authenticate<'a>(&'a self, bearer: &'a str) -> AuthFuture<'a> {
        Box::pin(async move {
            smart::authenticate(&self.0, bearer)
                .await
                .map_err(|error| match error {
                    smart::AuthError::InvalidToken => AuthError::Invalid,
                    smart::AuthError::Store(error) => {
                        tracing::error!(%error, "tokens cannot be looked up");
                        AuthError::Unavailable
                    }
                })
        })
    }

    fn recall<'a>(
        &'a self,
        bearer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Recalled> + Send + 'a>> {
        Box::pin(smart::recall(&self.0, bearer))
    }
}

/// Everything under [`FHIR_PATH`](super::FHIR_PATH) but what the authorization server answers there itself.
pub(super) type Api = BoxCloneSyncService<Request, Response, Infallible>;

/// What the API needs.
pub(super) fn state(
    app: &App,
    smart: &SmartState,
    body_limit: usize,
    audit: AuditLog,
) -> RestState {
    let at = |path: &str| format!("{}{path}", app.public_url);
    let oauth = OauthUris {
        authorize: at("/auth/authorize"),
        token: at("/auth/token"),
        introspect: at("/auth/introspect"),
        revoke: at("/auth/revoke"),
    };
    let limits = Limits {
        body_bytes: body_limit,
        conditional_delete: match app.config.fhir.conditional_delete {
            config::ConditionalDelete::Single => ConditionalDelete::Single,
            config::ConditionalDelete::Multiple => ConditionalDelete::Multiple,
        },
        provenance: app.config.fhir.provenance,
        check_references: app.config.fhir.check_references,
        ..Limits::default()
    };
    let tokens = std::sync::Arc::new(Tokens(smart.clone()));
    RestState::new(app.store.clone(), tokens, limits, oauth).with_audit(audit)
}

/// The API as a service of paths that begin with `base`. What the holder of a token read is noted, for
/// the page on which people look at their apps.
pub(super) fn service(state: RestState, smart: SmartState, base: &'static str) -> Api {
    // Compressed here and not around the pages: a secret that is compressed beside a stranger's text
    // can be guessed from the length (BREACH).
    let api = CompressionLayer::new().layer(rest::service(state, base));
    BoxCloneSyncService::new(tower::service_fn(move |request: Request| {
        let path = request.uri().path();
        let is_read =
            matches!(*request.method(), Method::GET | Method::HEAD) || path.ends_with("/_search");
        let bearer = request.headers().get(header::AUTHORIZATION);
        let noted = bearer
            .filter(|_| is_read)
            .map(|bearer| (smart.clone(), bearer.clone(), request.uri().clone()));
        let answer = api.clone().oneshot(request);
        async move {
            let response = answer.await?;
            if let Some((smart, bearer, uri)) = noted
                && response.status().is_success()
                && response
                    .extensions()
                    .get::<Interaction>()
                    .is_some_and(|own| own.is_app)
                && let Some(bearer) = smart::bearer_of(&bearer)
            {
                let path = uri.path().strip_prefix(base).unwrap_or(uri.path());
                smart::note_read(&smart, bearer, path);
            }
            Ok(response.map(Body::new))
        }
    }))
}
