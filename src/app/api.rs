//! The FHIR API, wired to the authorization server whose tokens open it.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;

use super::{App, FHIR_PATH};
use crate::config;
use crate::rest::{
    self, AuditLog, AuthError, AuthFuture, Authenticator, ConditionalDelete, Limits, OauthUris,
    RestState,
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
}

/// Notes what the holder of a token read, for the page on which people look at their apps.
async fn note_read(State(smart): State<SmartState>, request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD)
        || request.uri().path().ends_with("/_search");
    let noted = is_read
        .then(|| smart::bearer(request.headers()))
        .flatten()
        .map(|bearer| (bearer.to_owned(), request.uri().path().to_owned()));
    let response = next.run(request).await;
    if let Some((bearer, path)) = noted
        && response.status().is_success()
    {
        smart::note_read(&smart, &bearer, &path);
    }
    response
}

/// Everything under [`FHIR_PATH`] but what the authorization server answers there itself.
pub(super) fn router(app: &App, smart: &SmartState, body_limit: usize, audit: AuditLog) -> Router {
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
    let state = RestState::new(app.store.clone(), tokens, limits, oauth).with_audit(audit);
    // Compressed here and not around the pages: a secret that is compressed beside a stranger's text
    // can be guessed from the length (BREACH).
    let api = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(smart.clone(), note_read))
        .layer(CompressionLayer::new())
        .service(rest::router(state));
    Router::new().nest_service(FHIR_PATH, api)
}
