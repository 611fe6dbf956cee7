//! The FHIR API, wired to the authorization server whose tokens open it.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::Response;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;

use super::App;
use crate::config;
use crate::observe::requests::REQUEST_ID;
use crate::rest::auth::Recalled;
use crate::rest::{
    self, AuditLog, AuthError, AuthFuture, Authenticator, ConditionalDelete, Interaction,
    IssueCode, Limits, OauthUris, RestState,
};
use crate::smart::{self, Answer, SmartState};
use crate::visibility::ViewerClass;

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

/// What has to be kept of a request with a token until it is answered. Nothing of it is copied.
struct Asked {
    authorization: HeaderValue,
    uri: Uri,
    is_read: bool,
    id: Option<HeaderValue>,
}

impl Asked {
    fn of(request: &Request) -> Option<Self> {
        let authorization = request.headers().get(header::AUTHORIZATION)?.clone();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD)
            || request.uri().path().ends_with("/_search");
        Some(Self {
            authorization,
            uri: request.uri().clone(),
            is_read,
            id: request.headers().get(REQUEST_ID).cloned(),
        })
    }

    fn note(&self, smart: &SmartState, base: &str, response: &Response<impl Sized>) {
        let status = response.status();
        let extensions = response.extensions();
        let interaction = extensions.get::<Interaction>();
        let viewer = interaction.and_then(|own| own.viewer.as_deref());
        let bearer = || smart::bearer_of(&self.authorization);
        let answer = Answer {
            status: status.as_u16(),
            code: extensions.get::<IssueCode>().map(|code| code.0),
            interaction: interaction.map(|own| own.name),
            request_id: self.id.as_ref(),
        };
        smart::note_answer(smart, viewer, bearer, &answer);
        // What a system reads for itself stands on nobody's page.
        if let Some(viewer) = viewer
            && viewer.class != ViewerClass::System
            && self.is_read
            && status.is_success()
            && let Some(bearer) = bearer()
        {
            let path = self.uri.path();
            smart::note_read(smart, bearer, path.strip_prefix(base).unwrap_or(path));
        }
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
/// the page on which people look at their apps, and how it was answered, for the app's developer.
pub(super) fn service(state: RestState, smart: SmartState, base: &'static str) -> Api {
    // Compressed here and not around the pages: a secret that is compressed beside a stranger's text
    // can be guessed from the length (BREACH).
    let api = CompressionLayer::new().layer(rest::service(state, base));
    BoxCloneSyncService::new(tower::service_fn(move |request: Request| {
        let asked = Asked::of(&request).map(|asked| (smart.clone(), asked));
        let answer = api.clone().oneshot(request);
        async move {
            let response = answer.await?;
            if let Some((smart, asked)) = asked {
                asked.note(&smart, base, &response);
            }
            Ok(response.map(Body::new))
        }
    }))
}
