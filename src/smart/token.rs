//! `POST /auth/token` (RFC 6749 section 3.2; SMART App Launch 2.2, "Obtain access token").

mod authorization_code;
mod client_credentials;
mod refresh_token;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};
use thiserror::Error;

use super::activity::{Endpoint, Reference, Refusal, Whose};
use super::client_auth::{self, ClientAuthError};
use super::entities::{client, grant, token};
use super::json::Json;
use super::params::{Params, ParamsError};
use super::scopes::ScopeList;
use super::signing::{SigningError, SigningKeys};
use super::{SECOND, SmartState, assurance, grants, secret};
use crate::clock::Millis;
use crate::store::StoreError;

/// Why no token is issued.
#[derive(Debug, Error)]
enum RouteError {
    #[error(transparent)]
    Client(ClientAuthError),
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("grant_type must be authorization_code, refresh_token or client_credentials")]
    GrantType,
    #[error("this client is not registered for this grant_type")]
    NotForClient,
    /// One text for all: whoever holds something stolen learns nothing from it.
    #[error("the code or token is unknown, expired, used, revoked, or belongs to another request")]
    Grant,
    #[error("the scope is unknown, or goes beyond what was granted or registered")]
    Scope,
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ClientAuthError> for RouteError {
    fn from(error: ClientAuthError) -> Self {
        match error {
            ClientAuthError::Store(error) => Self::Store(error),
            error => Self::Client(error),
        }
    }
}

impl From<DbErr> for RouteError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Client(error) => return client_error(error),
            Self::Params(_) | Self::Missing(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::NotForClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::Grant => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::Signing(_) | Self::Store(_) => {
                return unavailable(&self);
            }
        };
        oauth_error(status, code, &self.to_string())
    }
}

/// The answer to a client that is not believed, at this and the neighbouring endpoints.
pub(super) fn client_error(error: &ClientAuthError) -> Response {
    let description = error.to_string();
    match error {
        ClientAuthError::Params(_)
        | ClientAuthError::SeveralWays
        | ClientAuthError::AssertionType => {
            oauth_error(StatusCode::BAD_REQUEST, "invalid_request", &description)
        }
        ClientAuthError::Throttled(seconds) => {
            let mut response =
                oauth_error(StatusCode::TOO_MANY_REQUESTS, "slow_down", &description);
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            response
        }
        ClientAuthError::Missing | ClientAuthError::Refused | ClientAuthError::Assertion(_) => {
            oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", &description)
        }
        ClientAuthError::Store(_) => unavailable(error),
    }
}

/// 503: never a refusal that the client would take for final.
pub(super) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Response {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(%error, cause, "authorization endpoint failed");
    oauth_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "the server cannot answer right now",
    )
}

/// An OAuth error answer (RFC 6749 section 5.2). A 401 names a way to authenticate (RFC 9110 section 11.6.1):
/// the one that every client with a secret has.
pub(super) fn oauth_error(status: StatusCode, code: &str, description: &str) -> Response {
    if !status.is_server_error() {
        tracing::info!(error = code, description, "token request refused");
    }
    let body = json!({ "error": code, "error_description": description });
    let mut response = (status, NO_STORE, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"candor\""),
        );
    }
    response.extensions_mut().insert(Refused {
        code: code.to_owned(),
        description: description.to_owned(),
    });
    response
}

/// What an error answer says, in its extensions: for the log of the app's developer.
#[derive(Clone, Debug)]
struct Refused {
    code: String,
    description: String,
}

/// An OAuth error answer to whoever came with a bearer token, or without one (RFC 6750 section 3).
pub(super) fn bearer_error(
    status: StatusCode,
    code: &str,
    description: &str,
    challenge: &'static str,
) -> Response {
    let mut response = oauth_error(status, code, description);
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    );
    response
}

/// Headers of every answer that may hold a token (RFC 6749 section 5.1).
pub(super) const NO_STORE: [(header::HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::PRAGMA, "no-cache"),
];

pub(super) async fn post(State(state): State<SmartState>, parts: Parts, body: Bytes) -> Response {
    let params = match Params::from_form(&parts.headers, &body) {
        Ok(params) => params,
        Err(error) => return RouteError::from(error).into_response(),
    };
    let response = match exchange(&state, &parts, &params).await {
        Ok(answer) => (StatusCode::OK, NO_STORE, Json(answer)).into_response(),
        Err(error) => error.into_response(),
    };
    note(&state, &parts, &params, &response);
    response
}

/// Notes what came of a request, for the developer of whichever app it says it is from.
fn note(state: &SmartState, parts: &Parts, params: &Params, response: &Response) {
    let claimed = client_auth::claimed(&parts.headers, params);
    let refresh = || params.get("refresh_token").ok().flatten();
    let whose = match claimed {
        Some(client) => Whose::Client(client),
        None => match refresh() {
            Some(token) => Whose::Token(secret::hash(token)),
            None => return,
        },
    };
    let status = response.status();
    match response.extensions().get::<Refused>() {
        _ if status.is_server_error() => {}
        Some(refused) => state.activity().refused(
            state.now(),
            whose,
            Refusal {
                endpoint: Endpoint::Token,
                status: status.as_u16(),
                code: &refused.code,
                words: &refused.description,
                reference: Reference::of_request(&parts.headers),
            },
        ),
        None => state.activity().answered_with_tokens(state.now(), whose),
    }
}

async fn exchange(state: &SmartState, parts: &Parts, params: &Params) -> Result<Value, RouteError> {
    let grant_type = params
        .get("grant_type")?
        .ok_or(RouteError::Missing("grant_type"))?;
    if !["authorization_code", "refresh_token", "client_credentials"].contains(&grant_type) {
        return Err(RouteError::GrantType);
    }
    let caller = state.caller(parts);
    let authenticated = match client_auth::authenticate(state, &parts.headers, params, caller).await
    {
        // SMART's refresh request has no client_id, and a public client has nothing to prove.
        Err(ClientAuthError::Missing) if grant_type == "refresh_token" => {
            refresh_token::public_holder(state, params).await?
        }
        other => other?,
    };
    match grant_type {
        "authorization_code" => {
            authorization_code::exchange(state, &authenticated.client, params).await
        }
        "refresh_token" => refresh_token::exchange(state, &authenticated.client, params).await,
        _ => client_credentials::exchange(state, &authenticated, params).await,
    }
}

/// Issues the tokens of a person's grant, inside the caller's transaction, and writes the answer.
///
/// `scope`: of the access token, within the grant's. The refresh token always carries the grant's.
async fn issue(
    state: &SmartState,
    signing: &SigningKeys,
    connection: &impl ConnectionTrait,
    client: &client::Model,
    grant: &grant::Model,
    scope: &ScopeList,
    nonce: Option<&str>,
) -> Result<Value, RouteError> {
    let now = state.now();
    let config = state.config();
    // Nothing outlives the grant.
    let until = |expires: Millis| grant.ends.map_or(expires, |ends| ends.min(expires));
    let expires = until(now + config.access_token_life);
    let scope_text = scope.to_string();
    let access = grants::issue_token(
        connection,
        &grant.id,
        token::ACCESS,
        &scope_text,
        now,
        expires,
    )
    .await?;
    let mut answer = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": (expires - now) / SECOND,
        "scope": scope_text,
    });
    if grant.scopes().has("offline_access") {
        let refresh = grants::issue_token(
            connection,
            &grant.id,
            token::REFRESH,
            &grant.scope,
            now,
            until(now + config.refresh_token_life),
        )
        .await?;
        answer["refresh_token"] = json!(refresh);
    }
    if let Some(patient) = &grant.patient {
        answer["patient"] = json!(patient);
        // The app runs outside any chart: it has to say itself whose record it shows.
        answer["need_patient_banner"] = json!(true);
    }
    if let Some(launch) = grant.launch() {
        launch.describe(&mut answer);
    }
    answer["smart_style_url"] = json!(state.url("/assets/smart-style.json"));
    if scope.has("openid") {
        let claims = id_token_claims(state, client, grant, scope, nonce, expires);
        answer["id_token"] = json!(signing.sign(&client.id_token_alg, &claims)?);
    }
    grants::touch(connection, &grant.id, now).await?;
    Ok(answer)
}

fn id_token_claims(
    state: &SmartState,
    client: &client::Model,
    grant: &grant::Model,
    scope: &ScopeList,
    nonce: Option<&str>,
    expires: Millis,
) -> Value {
    let mut claims = json!({
        "iss": state.issuer(),
        "sub": grant.account,
        "aud": client.client_id,
        "exp": expires / SECOND,
        "iat": state.now() / SECOND,
        "auth_time": grant.auth_time / SECOND,
    });
    if let Some(acr) = assurance::acr(grant.ial, &grant.methods) {
        claims["acr"] = json!(acr);
    }
    if !grant.methods.is_empty() {
        claims["amr"] = grant.methods.split(' ').collect();
    }
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    if let Some(user) = fhir_user(state, scope, grant.person.as_deref()) {
        claims["fhirUser"] = json!(user);
    }
    claims
}

/// The `fhirUser` claim: absolute, and only when asked for (SMART, "Scopes for requesting identity
/// data").
pub(super) fn fhir_user(
    state: &SmartState,
    scope: &ScopeList,
    person: Option<&str>,
) -> Option<String> {
    let asked = scope.has("fhirUser") || scope.has("profile");
    person
        .filter(|_| asked && scope.has("openid"))
        .map(|person| format!("{}/{person}", state.fhir_base()))
}
