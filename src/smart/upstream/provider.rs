//! The provider's side: its configuration (OpenID Connect Discovery 1.0), its keys, its answers.
//!
//! The operator names the providers, so their addresses are not a stranger's; they are called without
//! redirects all the same, in five seconds and up to 256 kB.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::future::Cache;
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse};
use oauth2::basic::{BasicTokenIntrospectionResponse, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
    TokenUrl,
};
use reqwest::redirect::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::super::{SECOND, SmartState};
use super::Freshness;
use crate::clock::Millis;
use crate::config::Provider;

const MOST_BYTES: usize = 256 * 1024;
/// How far the provider's clock may be off.
const SKEW: Millis = 60 * 1000;
/// Never `none`, and never a MAC, which a public key could be taken for the secret of.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why nobody is signed in. For the log: the page says less.
#[derive(Debug, Error)]
pub enum UpstreamError {
    #[error("no such provider is configured")]
    Unknown,
    #[error("the browser did not set out from here, came back too late, or came back twice")]
    Journey,
    #[error("the provider said {0}")]
    Refused(String),
    #[error("the provider cannot be used: {0}")]
    Provider(String),
    #[error("the id_token proves nothing: {0}")]
    Token(&'static str),
    #[error("a new sign-in was asked for, and auth_time does not show one")]
    NotFresh,
    #[error("nobody or more than one person here fits what the provider said")]
    NoMatch,
    #[error("whoever the provider knows is under age")]
    Minor,
    #[error("the account was closed")]
    Disabled,
}

/// What is used of a provider's configuration.
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Tokens = StandardTokenResponse<IdToken, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What a provider says of somebody.
pub(in crate::smart) type Claims = Map<String, Value>;

/// Talks to the providers, and remembers what they publish for ten minutes.
#[derive(Clone)]
pub(in crate::smart) struct Providers {
    http: reqwest::Client,
    metadata: Cache<String, Arc<Metadata>>,
    keys: Cache<String, Arc<JwkSet>>,
    /// Key sets that were fetched again because a kid was unknown, for half a minute.
    again: Cache<String, ()>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Providers")
    }
}

fn remembering<T: Clone + Send + Sync + 'static>(seconds: u64) -> Cache<String, T> {
    Cache::builder()
        .time_to_live(Duration::from_secs(seconds))
        .max_capacity(100)
        .build()
}

fn broken(error: &impl ToString) -> UpstreamError {
    UpstreamError::Provider(error.to_string())
}

impl Providers {
    /// Nothing is fetched before somebody wants to sign in.
    pub(in crate::smart) fn new() -> Result<Self, UpstreamError> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(5))
            .user_agent(concat!("candor/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| broken(&error))?;
        Ok(Self {
            http,
            metadata: remembering(600),
            keys: remembering(600),
            again: remembering(30),
        })
    }

    /// Where somebody is sent, with `prompt` and `max_age` when a new sign-in is wanted.
    pub(super) async fn authorize_url(
        &self,
        state: &SmartState,
        provider: &Provider,
        csrf: &str,
        nonce: &str,
        verifier: &str,
        freshness: Freshness,
    ) -> Result<String, UpstreamError> {
        let metadata = self.metadata(provider).await?;
        let client = client(state, provider, &metadata)?;
        let csrf = CsrfToken::new(csrf.to_owned());
        let verifier = PkceCodeVerifier::new(verifier.to_owned());
        let mut request = client
            .authorize_url(move || csrf)
            .add_scope(Scope::new("openid".to_owned()))
            .add_extra_param("nonce", nonce)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        for scope in provider.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let is_ours = |name: &str| match name {
            "prompt" => freshness.prompts,
            "max_age" => freshness.after.is_some(),
            _ => false,
        };
        for (name, value) in &provider.parameters {
            if !is_ours(name) {
                request = request.add_extra_param(name, value);
            }
        }
        if freshness.prompts {
            request = request.add_extra_param("prompt", "login");
        }
        if let Some(after) = freshness.after {
            let age = (state.now() - after).max(0) / SECOND;
            request = request.add_extra_param("max_age", age.to_string());
        }
        Ok(request.url().0.into())
    }

    /// What the provider says of whoever brought this code: the id_token's claims, and those of the
    /// userinfo endpoint where they are needed to find a record.
    pub(super) async fn claims(
        &self,
        state: &SmartState,
        provider: &Provider,
        iss: Option<&str>,
        code: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<Claims, UpstreamError> {
        let metadata = self.metadata(provider).await?;
        // RFC 9207: another provider's answer is not taken to this one's token endpoint.
        match iss {
            Some(iss) if iss != metadata.issuer => {
                return Err(UpstreamError::Token("the answer is another issuer's"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(UpstreamError::Token("the answer does not name its issuer"));
            }
            _ => {}
        }
        let http = self.http.clone();
        let tokens = client(state, provider, &metadata)?
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .request_async(&move |request| call(http.clone(), request))
            .await
            .map_err(|_| UpstreamError::Provider("the code was not exchanged".to_owned()))?;
        let token = tokens.extra_fields().id_token.as_deref();
        let token = token.ok_or(UpstreamError::Token("there is none"))?;
        let mut claims = self.verified(provider, &metadata, token).await?;
        check(&claims, provider, &metadata, nonce, state.now())?;
        if provider.proves_identity
            && let Some(address) = &metadata.userinfo_endpoint
        {
            let said = self
                .get(address, Some(tokens.access_token().secret()))
                .await?;
            let said: Claims = serde_json::from_slice(&said).map_err(|error| broken(&error))?;
            // OpenID Connect Core 5.3.2: another subject's claims must not be used.
            if said.get("sub") != claims.get("sub") {
                return Err(UpstreamError::Token("userinfo is about somebody else"));
            }
            for (name, value) in said {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(claims)
    }

    async fn metadata(&self, provider: &Provider) -> Result<Arc<Metadata>, UpstreamError> {
        if let Some(known) = self.metadata.get(&provider.issuer).await {
            return Ok(known);
        }
        let issuer = provider.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let found = self.get(&address, None).await?;
        let found: Metadata = serde_json::from_slice(&found).map_err(|error| broken(&error))?;
        if found.issuer.trim_end_matches('/') != issuer {
            return Err(broken(&"its configuration is another issuer's"));
        }
        let found = Arc::new(found);
        let key = provider.issuer.clone();
        self.metadata.insert(key, found.clone()).await;
        Ok(found)
    }

    async fn keys(&self, address: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, UpstreamError> {
        if let Some(known) = self.keys.get(address).await
            && (kid.is_none_or(|kid| known.find(kid).is_some()) || self.again.contains_key(address))
        {
            return Ok(known);
        }
        self.again.insert(address.to_owned(), ()).await;
        let found = self.get(address, None).await?;
        let found: JwkSet = serde_json::from_slice(&found).map_err(|error| broken(&error))?;
        let found = Arc::new(found);
        self.keys.insert(address.to_owned(), found.clone()).await;
        Ok(found)
    }

    /// The claims of an id_token whose signature is one of the provider's keys'.
    async fn verified(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        token: &str,
    ) -> Result<Claims, UpstreamError> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| UpstreamError::Token("it is no signed JWT"))?;
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(UpstreamError::Token("its algorithm is not taken"));
        }
        let kid = header.kid.as_deref();
        let keys = self.keys(&metadata.jwks_uri, kid).await?;
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        // The times and the audience are compared to this server's own clock and name, in `check`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let candidates = keys.keys.iter().filter(|key| {
            !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
                && (kid.is_none() || key.common.key_id.as_deref() == kid)
        });
        for key in candidates {
            let Ok(key) = DecodingKey::from_jwk(key) else {
                continue;
            };
            if let Ok(found) = jsonwebtoken::decode::<Claims>(token, &key, &validation) {
                return Ok(found.claims);
            }
        }
        tracing::warn!(
            provider = provider.id,
            "an id_token was signed by a key unknown there"
        );
        Err(UpstreamError::Token("no key of the provider signed it"))
    }

    async fn get(&self, address: &str, bearer: Option<&str>) -> Result<Vec<u8>, UpstreamError> {
        let failed = |error: reqwest::Error| broken(&error.without_url());
        let mut request = self.http.get(address);
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(broken(&format!("status {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(broken(&"its answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn client(
    state: &SmartState,
    provider: &Provider,
    metadata: &Metadata,
) -> Result<Client, UpstreamError> {
    let back = RedirectUrl::new(state.url(super::BACK)).map_err(|error| broken(&error))?;
    let authorize = AuthUrl::new(metadata.authorization_endpoint.clone());
    let token = TokenUrl::new(metadata.token_endpoint.clone());
    let methods = &metadata.token_endpoint_auth_methods_supported;
    // OpenID Connect Discovery 1.0: client_secret_basic where nothing is said.
    let takes_basic = methods.is_empty() || methods.iter().any(|one| one == "client_secret_basic");
    let mut client = oauth2::Client::new(ClientId::new(provider.client_id.clone()))
        .set_auth_type(if takes_basic {
            AuthType::BasicAuth
        } else {
            AuthType::RequestBody
        })
        .set_redirect_uri(back);
    if let Some(secret) = &provider.client_secret {
        client = client.set_client_secret(ClientSecret::new(secret.0.clone()));
    }
    Ok(client
        .set_auth_uri(authorize.map_err(|error| broken(&error))?)
        .set_token_uri(token.map_err(|error| broken(&error))?))
}

/// What the oauth2 crate sends, sent by this reqwest.
async fn call(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let response = http.execute(request.try_into()?).await?;
    let mut answer = axum::http::Response::new(Vec::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = response.bytes().await?.to_vec();
    Ok(answer)
}

/// When somebody signed in at the provider; none where it does not say. Milliseconds.
pub(super) fn auth_time(claims: &Claims) -> Option<Millis> {
    let then = claims.get("auth_time").and_then(Value::as_i64);
    then.and_then(|seconds| seconds.checked_mul(SECOND))
}

/// That somebody signed in at the provider at `earliest` or later, where that was asked for (OpenID Connect
/// Core 1.0 section 3.1.3.7, 13): a provider may have taken an old session all the same.
pub(super) fn check_auth_time(
    claims: &Claims,
    earliest: Millis,
    now: Millis,
) -> Result<(), UpstreamError> {
    let is_fresh =
        auth_time(claims).is_some_and(|then| then >= earliest - SKEW && then <= now + SKEW);
    is_fresh.then_some(()).ok_or(UpstreamError::NotFresh)
}

/// OpenID Connect Core 1.0 section 3.1.3.7.
fn check(
    claims: &Claims,
    provider: &Provider,
    metadata: &Metadata,
    nonce: &str,
    now: Millis,
) -> Result<(), UpstreamError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "a time of day, not an id")]
    let (now, skew) = (now as f64 / 1000.0, SKEW as f64 / 1000.0);
    let wrong = |what| Err(UpstreamError::Token(what));
    if text("iss") != Some(&metadata.issuer) {
        return wrong("iss is another");
    }
    let (is_ours, is_shared) = match claims.get("aud") {
        Some(Value::String(one)) => (*one == provider.client_id, false),
        Some(Value::Array(list)) => (
            list.iter()
                .any(|one| one.as_str() == Some(&provider.client_id)),
            list.len() > 1,
        ),
        _ => (false, false),
    };
    if !is_ours {
        return wrong("aud is another");
    }
    let party = text("azp");
    if (is_shared && party.is_none()) || party.is_some_and(|party| party != provider.client_id) {
        return wrong("azp is another");
    }
    if seconds("exp").is_none_or(|exp| exp <= now - skew) {
        return wrong("it expired");
    }
    if seconds("iat").is_none_or(|iat| iat > now + skew) {
        return wrong("it is not valid yet");
    }
    if text("nonce") != Some(nonce) {
        return wrong("nonce is another");
    }
    if text("sub").is_none_or(|sub| sub.is_empty() || sub.len() > 255) {
        return wrong("it names nobody");
    }
    let acr = text("acr").unwrap_or_default();
    if !provider.required_acr.is_empty() && !provider.required_acr.iter().any(|one| one == acr) {
        return wrong("acr is not what is required");
    }
    Ok(())
}
