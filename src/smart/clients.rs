//! OAuth clients: registration, and how a request finds and matches one (RFC 6749 section 2).

mod address;
mod change;

use std::fmt;

use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use super::entities::client;
use super::facts::{Facts, FactsError};
use super::jwks::{JwksError, KeySet};
use super::registrations::{self, Origin};
use super::scopes::{ACTIVATION_CODES, ScopeList, catalogue};
use super::secret;
use super::shown::{is_same_name, is_shown};
use super::signing::SigningAlg;
use crate::clock::Millis;
use crate::store::{Store, StoreError};
use crate::visibility::ViewerClass;

pub use address::is_allowed_redirect_uri;
pub(super) use address::is_loopback;
use address::{is_launch_uri, is_plain, is_same_but_for_port};
pub(super) use change::{Credentials, Edit, edit, remove, set_credentials};
pub use change::{rotate_secret, set_approved, set_disabled, set_facts, set_introspects};

/// More than any app has installations of.
const MOST_REDIRECT_URIS: usize = 20;

/// How a client can keep a secret (RFC 6749 section 2.1), and whether people use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// An app on a device or in a browser: no secret, PKCE alone.
    Public,
    /// An app with a server: secret or private key.
    Confidential,
    /// A system without people (SMART Backend Services): private key.
    Backend,
}

impl ClientKind {
    /// The word on the command line and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Confidential => "confidential",
            Self::Backend => "backend",
        }
    }

    /// The kind with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Public, Self::Confidential, Self::Backend]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Where a client's public keys are.
#[derive(Clone, Debug)]
pub enum ClientKeys {
    /// A JWK Set as JSON.
    Value(String),
    /// Its address, `https`, or `http` on loopback.
    Url(String),
}

/// What `candor client add` knows.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Chosen by the server when absent.
    pub client_id: Option<String>,
    /// Shown to people on the consent page.
    pub name: String,
    pub kind: ClientKind,
    pub redirect_uris: Vec<String>,
    pub keys: Option<ClientKeys>,
    /// All that it may ever ask for, space-separated.
    pub scope: String,
    /// Viewer class of the tokens that it gets for itself.
    pub class: ViewerClass,
    /// Reference that such tokens speak for, `Organization/x` of a payer.
    pub person: Option<String>,
    pub options: ClientOptions,
}

/// What few clients choose (OpenID Connect Dynamic Client Registration 1.0, section 2).
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// `id_token_signed_response_alg`.
    pub id_token_alg: SigningAlg,
    /// Where people may be sent after the client signed them out.
    pub post_logout_redirect_uris: Vec<String>,
    /// What people are told of it.
    pub facts: Facts,
    /// Where an EHR opens it.
    pub launch_uri: Option<String>,
    /// Whether it is a resource server, which may introspect tokens of every client.
    pub introspects: bool,
    /// What the server calls itself on its pages (`smart.brand`): no app bears that name.
    pub brand: Option<String>,
    pub origin: Origin,
    /// When its makers asked; now when absent. Milliseconds.
    pub received: Option<Millis>,
}

/// What to print, once: the secret is not kept.
#[derive(Clone, Serialize)]
pub struct RegisteredClient {
    pub client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    pub client_name: String,
    pub token_endpoint_auth_method: &'static str,
    pub grant_types: Vec<&'static str>,
    pub redirect_uris: Vec<String>,
    pub scope: String,
}

impl fmt::Debug for RegisteredClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegisteredClient")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Why a client cannot be registered; the words say what to change.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "the client needs a name that can be seen, at most 100 characters long, without control characters, marks \
         of direction and blanks of no width"
    )]
    Name,
    #[error("{0} is this server's own name: people would take the app for it")]
    OwnName(String),
    #[error("a client id has 1 to 100 letters, digits, '-', '.', '_' or '~'")]
    ClientId,
    #[error("a client with the id {0} exists already")]
    Exists(String),
    #[error("a {0} client needs at least one redirect URI")]
    NoRedirectUri(&'static str),
    #[error("a backend client has no redirect URI")]
    BackendRedirectUri,
    #[error(
        "{0} cannot be a redirect URI: use https://, http:// on 127.0.0.1, [::1] or localhost, or a scheme \
         of your own with a dot in it (com.example.app:/done), in the characters of RFC 3986 alone, without \
         fragment, username and *"
    )]
    RedirectUri(String),
    #[error("a client has at most {MOST_REDIRECT_URIS} redirect URIs")]
    TooManyRedirectUris,
    #[error("a public client cannot keep a key: leave the JWKS out, or make it confidential")]
    PublicKeys,
    #[error("a backend client authenticates with a private key: give its JWKS, a file or a URL")]
    NoKeys,
    #[error("the JWKS cannot be used: {0}")]
    Keys(#[source] JwksError),
    #[error("the JWKS URL must be https, or http on loopback")]
    KeysUrl,
    #[error("no scope of this server: {0}")]
    UnknownScope(String),
    #[error("the client needs at least one scope")]
    NoScope,
    #[error(
        "a backend client is granted system scopes, launch and __activation-codes only, other clients \
         patient and user scopes"
    )]
    ScopeKind,
    #[error("a client acts for a system, payer, researcher, other, staff, auditor or admin")]
    Class,
    #[error("the reference {0} is not of the form Organization/id")]
    Person(String),
    #[error(
        "the launch URI must be https, or http on loopback, without a fragment, and the app needs the \
         scope launch"
    )]
    LaunchUri,
    #[error("a public client cannot prove who it is, so it introspects no tokens of others")]
    Introspects,
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for ClientError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// Registers a client.
pub async fn add(store: &Store, new: NewClient) -> Result<RegisteredClient, ClientError> {
    check(&new)?;
    let client_id = new.client_id.clone().unwrap_or_else(secret::random_id);
    let needs_secret = new.kind == ClientKind::Confidential && new.keys.is_none();
    let client_secret = needs_secret.then(secret::random_token);
    let (jwks, jwks_uri) = match &new.keys {
        Some(ClientKeys::Value(json)) => (Some(json.clone()), None),
        Some(ClientKeys::Url(url)) => (None, Some(url.clone())),
        None => (None, None),
    };
    let scope = new
        .scope
        .split_ascii_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let row = client::ActiveModel {
        client_id: Set(client_id.clone()),
        name: Set(new.name.trim().to_owned()),
        kind: Set(new.kind.name().to_owned()),
        class: Set(new.class.name().to_owned()),
        person: Set(new.person.clone()),
        secret: Set(client_secret.as_deref().map(secret::hash)),
        jwks: Set(jwks),
        jwks_uri: Set(jwks_uri),
        redirect_uris: Set(Value::from(new.redirect_uris.clone()).to_string()),
        scope: Set(scope.clone()),
        id_token_alg: Set(new.options.id_token_alg.name().to_owned()),
        created: Set(store.clock().now()),
        disabled: Set(new.options.origin.waits().then(|| store.clock().now())),
        post_logout_redirect_uris: Set(list(&new.options.post_logout_redirect_uris)),
        facts: Set((new.options.facts != Facts::default()).then(|| new.options.facts.to_text())),
        launch_uri: Set(new.options.launch_uri.clone()),
        catalogue: Set(Some(catalogue().version.clone())),
        approved: Set(None),
        introspects: Set(new.options.introspects.then_some(1)),
        logo: Set(None),
    };
    let tx = store.begin().await?;
    if find(tx.connection(), &client_id).await?.is_some() {
        return Err(ClientError::Exists(client_id));
    }
    client::Entity::insert(row)
        .exec_without_returning(tx.connection())
        .await?;
    let now = store.clock().now();
    let (origin, received) = (&new.options.origin, new.options.received);
    registrations::record(tx.connection(), &client_id, origin, received, now).await?;
    tx.commit().await?;
    tracing::info!(client_id, kind = new.kind.name(), "client registered");
    Ok(RegisteredClient {
        client_id,
        token_endpoint_auth_method: match (new.kind, &client_secret) {
            (ClientKind::Public, _) => "none",
            (_, Some(_)) => "client_secret_basic",
            (_, None) => "private_key_jwt",
        },
        client_secret,
        client_name: new.name.trim().to_owned(),
        grant_types: match new.kind {
            ClientKind::Backend => vec!["client_credentials"],
            _ => vec!["authorization_code", "refresh_token"],
        },
        redirect_uris: new.redirect_uris,
        scope,
    })
}

fn list(uris: &[String]) -> Option<String> {
    (!uris.is_empty()).then(|| Value::from(uris.to_vec()).to_string())
}

fn check_name(name: &str, brand: Option<&str>) -> Result<(), ClientError> {
    let name = name.trim();
    if name.chars().count() > 100 || !is_shown(name) {
        return Err(ClientError::Name);
    }
    match brand {
        Some(brand) if is_same_name(name, brand) => Err(ClientError::OwnName(name.to_owned())),
        _ => Ok(()),
    }
}

fn check_redirect_uris(kind: ClientKind, uris: &[String]) -> Result<(), ClientError> {
    match (kind, uris.is_empty()) {
        (ClientKind::Backend, false) => return Err(ClientError::BackendRedirectUri),
        (ClientKind::Public | ClientKind::Confidential, true) => {
            return Err(ClientError::NoRedirectUri(kind.name()));
        }
        _ => {}
    }
    if uris.len() > MOST_REDIRECT_URIS {
        return Err(ClientError::TooManyRedirectUris);
    }
    match uris.iter().find(|uri| !is_allowed_redirect_uri(uri)) {
        Some(uri) => Err(ClientError::RedirectUri(uri.clone())),
        None => Ok(()),
    }
}

fn check_keys(kind: ClientKind, keys: Option<&ClientKeys>) -> Result<(), ClientError> {
    match (kind, keys) {
        (ClientKind::Public, Some(_)) => Err(ClientError::PublicKeys),
        (ClientKind::Backend, None) => Err(ClientError::NoKeys),
        (_, Some(ClientKeys::Url(url))) => {
            let url = Url::parse(url).map_err(|_| ClientError::KeysUrl)?;
            let may = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
            may.then_some(()).ok_or(ClientError::KeysUrl)
        }
        (_, Some(ClientKeys::Value(json))) => KeySet::parse(json.as_bytes())
            .map(|_| ())
            .map_err(ClientError::Keys),
        (_, None) => Ok(()),
    }
}

fn check_launch_uri(scopes: &ScopeList, uri: Option<&str>) -> Result<(), ClientError> {
    match uri {
        Some(uri) if !(scopes.has("launch") && is_launch_uri(uri)) => Err(ClientError::LaunchUri),
        _ => Ok(()),
    }
}

fn check(new: &NewClient) -> Result<(), ClientError> {
    check_name(&new.name, new.options.brand.as_deref())?;
    if let Some(id) = &new.client_id
        && (id.is_empty()
            || id.len() > 100
            || !id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)))
    {
        return Err(ClientError::ClientId);
    }
    check_redirect_uris(new.kind, &new.redirect_uris)?;
    for uri in &new.options.post_logout_redirect_uris {
        if !is_allowed_redirect_uri(uri) {
            return Err(ClientError::RedirectUri(uri.clone()));
        }
    }
    check_keys(new.kind, new.keys.as_ref())?;
    if new.options.introspects && new.kind == ClientKind::Public {
        return Err(ClientError::Introspects);
    }
    new.options.facts.check()?;
    let unknown = ScopeList::unknown(&new.scope);
    if !unknown.is_empty() {
        return Err(ClientError::UnknownScope(unknown.join(" ")));
    }
    let scopes = ScopeList::parse(&new.scope);
    if scopes.is_empty() {
        return Err(ClientError::NoScope);
    }
    check_launch_uri(&scopes, new.options.launch_uri.as_deref())?;
    let is_backend = new.kind == ClientKind::Backend;
    // An EHR's backend makes launches and has activation codes printed; apps of people do not.
    let is_wrong = |scope: &&str| match *scope {
        "launch" => false,
        ACTIVATION_CODES => !is_backend,
        _ => is_backend,
    };
    if scopes.identity.iter().any(is_wrong)
        || scopes
            .resources
            .iter()
            .any(|scope| (scope.context == "system") != is_backend)
    {
        return Err(ClientError::ScopeKind);
    }
    if new.class.is_patient_side() || new.class == ViewerClass::Clinician {
        return Err(ClientError::Class);
    }
    if let Some(person) = &new.person
        && !person
            .split_once('/')
            .is_some_and(|(kind, id)| kind == "Organization" && super::is_fhir_id(id))
    {
        return Err(ClientError::Person(person.clone()));
    }
    Ok(())
}

/// The client with this id, disabled ones included.
pub async fn find(
    connection: &impl ConnectionTrait,
    client_id: &str,
) -> Result<Option<client::Model>, DbErr> {
    // PostgreSQL refuses NUL in text; nothing it could be asked for has one.
    if client_id.contains('\0') {
        return Ok(None);
    }
    client::Entity::find_by_id(client_id.to_owned())
        .one(connection)
        .await
}

impl client::Model {
    /// Its kind; none for a word this version does not know.
    #[must_use]
    pub fn client_kind(&self) -> Option<ClientKind> {
        ClientKind::from_name(&self.kind)
    }

    /// The redirect URIs that it registered.
    #[must_use]
    pub fn redirects(&self) -> Vec<String> {
        serde_json::from_str(&self.redirect_uris).unwrap_or_default()
    }

    /// Whether an authorization request may name this redirect URI: to the letter, but a public
    /// client on a loopback address may listen on any port (RFC 8252 section 7.3).
    #[must_use]
    pub fn allows_redirect_uri(&self, asked: &str) -> bool {
        // Nor one that an older version took, and that cannot stand in a header.
        is_plain(asked)
            && self.redirects().iter().any(|own| {
                own == asked
                    || (self.client_kind() == Some(ClientKind::Public)
                        && is_same_but_for_port(own, asked))
            })
    }

    /// Whether people may be sent here after it signed them out: to the letter.
    #[must_use]
    pub fn allows_logout_uri(&self, asked: &str) -> bool {
        is_plain(asked)
            && self
                .post_logout_redirect_uris
                .as_deref()
                .and_then(|json| serde_json::from_str::<Vec<String>>(json).ok())
                .is_some_and(|registered| registered.iter().any(|own| own == asked))
    }

    /// What it may ask for. Nobody is asked before a backend gets it, so that its wildcards mean what they
    /// meant when it was registered.
    #[must_use]
    pub fn scopes(&self) -> ScopeList {
        match self.client_kind() {
            Some(ClientKind::Backend) => {
                ScopeList::parse(&catalogue().frozen(&self.scope, self.catalogue.as_deref()))
            }
            _ => ScopeList::parse(&self.scope),
        }
    }

    /// Whether it may introspect tokens of every client. Whoever says that they are a public client has
    /// proven nothing.
    #[must_use]
    pub fn may_introspect_all(&self) -> bool {
        self.introspects == Some(1)
            && self
                .client_kind()
                .is_some_and(|kind| kind != ClientKind::Public)
    }

    /// What people are told of it.
    #[must_use]
    pub fn told(&self) -> Facts {
        Facts::of_text(self.facts.as_deref())
    }

    /// Whether it has a secret that equals this one.
    #[must_use]
    pub fn has_secret(&self, presented: &str) -> bool {
        self.secret
            .as_deref()
            .is_some_and(|own| secret::same(own, &secret::hash(presented)))
    }
}

#[cfg(test)]
mod tests;
