//! The authorization server: SMART App Launch 2.2 on OAuth 2.0 and OpenID Connect.
//!
//! One file for each endpoint, each with its `RouteError` mapped to HTTP once. [`router`] is mounted at
//! the server's root; the FHIR API asks [`authenticate`] who holds a token; the command line makes
//! clients and accounts with [`clients::add`] and [`users::add`].
//!
//! ```text
//! app -> authorize -> login -> record -> consent -> (code) -> token -> (access token) -> authenticate
//! EHR -> activation::issue -> (paper) -> activation::page -> login
//! EHR -> launch -> app -> authorize -> the same
//! ```

pub mod clients;
pub mod direct;
pub mod entities;
pub mod factors;
pub mod facts;
pub mod jwks;
pub mod password;
pub mod registrations;
pub mod scopes;
pub mod secret;
pub mod sessions;
pub mod signing;
pub mod upstream;
pub mod users;

mod accesses;
mod activation;
mod activity;
mod agent;
mod apps;
mod assertion;
mod assurance;
mod attempts;
mod authorize;
mod brands;
mod caller;
mod client_auth;
mod consent;
mod contact;
mod developers;
mod digest;
mod discovery;
mod drafts;
mod end_session;
mod events;
mod forgot;
mod gate;
mod generation;
mod grants;
mod here;
mod idle;
mod information;
mod introspect;
mod json;
mod kiosk;
mod launch;
mod login;
mod logo;
mod logout;
mod mail;
mod minors;
mod names;
mod pages;
mod params;
mod reads;
mod record;
mod register;
mod release_policy;
mod representative;
mod reset;
mod revoke;
mod settings;
mod shown;
mod staff;
mod staff_launch;
mod statement;
mod sweep;
mod switch;
mod throttle;
mod token;
mod userinfo;
mod viewer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;
use tower::ServiceExt as _;
use tower_http::cors::{Any, CorsLayer};
use url::Url;

use crate::clock::Millis;
use crate::config::{Facility, Provider, Registration, SandboxPatient, StatementIssuer};
use crate::store::{Store, StoreError};
use crate::texts::{self, Texts};
use activity::Activity;
use jwks::{JwksError, KeyFetcher};
use mail::Outbox;
use pages::PageError;
use reads::Reads;
use signing::{SigningError, SigningKeys};
use throttle::Throttle;
use upstream::{Providers, UpstreamError};
use viewer::ViewerCache;

pub use activity::{Answer, note_answer, write_activity};
pub use digest::send_digests;
pub use mail::{MailError, MailSettings};
pub use reads::{note_read, write_reads};
pub use sweep::sweep;
pub use viewer::{AuthError, authenticate, bearer, bearer_of, recall};

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const DAY: Millis = 24 * 60 * MINUTE;

/// Forms and token requests are small.
const MOST_BODY_BYTES: usize = 64 * 1024;

/// What the authorization server is told at start. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct SmartConfig {
    /// Where people and apps reach this server, without a slash at the end. It is the issuer.
    pub public_url: String,
    /// Who runs it, as the pages say it.
    pub brand: String,
    /// Where people get help: one line of text on every page. None: a general one, in the reader's language.
    pub help: Option<String>,
    /// Where people ask for help in their language, such as `1-800-555-0100 (TTY: 711)`. None: they are told
    /// to ask their care team.
    pub language_line: Option<String>,
    /// Life of an access token that a person granted.
    pub access_token_life: Millis,
    /// Life of an access token of a backend.
    pub backend_token_life: Millis,
    /// Life of an authorization code.
    pub code_life: Millis,
    /// Life of a refresh token since its last use.
    pub refresh_token_life: Millis,
    /// A signed-in browser that does nothing for this long is signed out.
    pub session_idle: Millis,
    /// A signed-in browser is signed out after this long in any case.
    pub session_life: Millis,
    /// How long a token's viewer is remembered, zero for not at all. What any process on the database
    /// revokes works at once, whatever the time.
    pub viewer_cache: Millis,
    /// Whether everybody who is not on the patient's side needs a second factor.
    pub staff_needs_second_factor: bool,
    /// What secrets are sealed with beside the database's own secret.
    pub sealing_key: Option<Vec<u8>>,
    /// The hospitals and clinics behind this server. Empty: one, of the brand's name.
    pub facilities: Vec<Facility>,
    /// OpenID providers that people may sign in with.
    pub providers: Vec<Provider>,
    /// Whether apps may register themselves.
    pub registration: Registration,
    /// Whose software statements count.
    pub statement_issuers: Vec<StatementIssuer>,
    /// Fictional patients that developers may sign in as.
    pub sandbox_patients: Vec<SandboxPatient>,
    /// Where days and times of day are counted that people read.
    pub time_zone: TimeZone,
    /// Whether clients' keys may be fetched from loopback, over plain http: tests and demonstrations.
    pub allow_loopback_jwks: bool,
    /// Header in which a trusted proxy puts the caller's address, `x-forwarded-for`. Its last entry
    /// that is no trusted proxy's counts. None: the caller is the peer.
    pub client_address_header: Option<String>,
    /// From where that header is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// From where shared terminals call.
    pub kiosk_addresses: Vec<IpNet>,
    /// How letters to account holders leave; none: none are written.
    pub mail: Option<MailSettings>,
    /// Whether it is noted who looked at what on a page of ours.
    pub audit: bool,
}

impl SmartConfig {
    /// Where people get help, for whoever reads these texts.
    fn help(&self, texts: Texts) -> String {
        let general = || texts.plain("help-general", []);
        self.help.clone().unwrap_or_else(general)
    }

    /// The defaults, for a public URL.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            brand: "Candor".to_owned(),
            help: None,
            language_line: None,
            access_token_life: 60 * MINUTE,
            backend_token_life: 5 * MINUTE,
            code_life: MINUTE,
            refresh_token_life: 90 * DAY,
            session_idle: 15 * MINUTE,
            session_life: 12 * 60 * MINUTE,
            viewer_cache: MINUTE,
            staff_needs_second_factor: true,
            sealing_key: None,
            facilities: Vec::new(),
            providers: Vec::new(),
            registration: Registration::Closed,
            statement_issuers: Vec::new(),
            sandbox_patients: Vec::new(),
            time_zone: TimeZone::UTC,
            allow_loopback_jwks: false,
            client_address_header: None,
            trusted_proxies: Vec::new(),
            kiosk_addresses: Vec::new(),
            mail: None,
            audit: true,
        }
    }
}

/// Why the authorization server cannot start.
#[derive(Debug, Error)]
pub enum SmartError {
    #[error("the public URL {0} is no http or https URL")]
    PublicUrl(String),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("the HTTP client for clients' keys cannot be made")]
    Fetcher(#[from] JwksError),
    #[error("the HTTP client for OpenID providers cannot be made")]
    Providers(#[from] UpstreamError),
    #[error("letters cannot be sent")]
    Mail(#[from] MailError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What every endpoint works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SmartState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    config: SmartConfig,
    /// The public URL's path, empty or `/candor`.
    root: String,
    is_https: bool,
    signing: ArcSwap<SigningKeys>,
    fetcher: KeyFetcher,
    providers: Providers,
    throttle: Throttle,
    outbox: Outbox,
    started: Millis,
    viewers: ViewerCache,
    reads: Reads,
    activity: Activity,
}

impl SmartState {
    /// Reads the signing keys, and makes them at first start.
    pub async fn new(store: Store, config: SmartConfig) -> Result<Self, SmartError> {
        let refused = || SmartError::PublicUrl(config.public_url.clone());
        let url = Url::parse(&config.public_url).map_err(|_| refused())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(refused());
        }
        let signing = SigningKeys::load(&store).await?;
        let fetcher = KeyFetcher::new(config.allow_loopback_jwks)?;
        let outbox = Outbox::start(config.mail.as_ref(), url.host_str().unwrap_or("localhost"))?;
        tokio::spawn(password::warm_up());
        Ok(Self(Arc::new(Inner {
            root: url.path().trim_end_matches('/').to_owned(),
            is_https: url.scheme() == "https",
            viewers: ViewerCache::new(Duration::from_millis(
                config.viewer_cache.try_into().unwrap_or_default(),
            )),
            started: store.clock().now(),
            store,
            config,
            signing: ArcSwap::from_pointee(signing),
            fetcher,
            providers: Providers::new()?,
            throttle: Throttle::default(),
            reads: Reads::default(),
            activity: Activity::default(),
            outbox,
        })))
    }

    /// The record's store, which also holds accounts and grants.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What the server was told at start.
    #[must_use]
    pub fn config(&self) -> &SmartConfig {
        &self.0.config
    }

    fn now(&self) -> Millis {
        self.0.store.clock().now()
    }

    /// The time that those who guess wait by.
    fn pace(&self) -> Millis {
        self.0.store.clock().pace()
    }

    /// When this server started.
    fn started(&self) -> Millis {
        self.0.started
    }

    fn issuer(&self) -> &str {
        &self.0.config.public_url
    }

    fn fhir_base(&self) -> &str {
        self.0.store.base()
    }

    /// [`password::words`] of an account.
    fn guessed_first(&self, username: &str) -> Vec<String> {
        let config = self.config();
        password::words(username, &config.brand, &config.public_url)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    fn token_url(&self) -> String {
        self.url("/auth/token")
    }

    /// A path of this server as a browser must ask for it.
    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0.root)
    }

    /// A day as the reader writes it, in the hospital's time.
    fn day(&self, at: Millis) -> String {
        self.local(at)
            .map(|at| Texts::here().day(at.date()))
            .unwrap_or_default()
    }

    /// A day and a time of day, the same way.
    fn moment(&self, at: Millis) -> String {
        self.local(at)
            .map(|at| Texts::here().moment(at))
            .unwrap_or_default()
    }

    /// The day of the hospital's calendar, `2026-11-26`.
    fn calendar_day(&self, at: Millis) -> String {
        self.local(at)
            .map(|at| at.date().to_string())
            .unwrap_or_default()
    }

    fn local(&self, at: Millis) -> Option<DateTime> {
        let at = Timestamp::from_millisecond(at).ok()?;
        Some(at.to_zoned(self.config().time_zone.clone()).datetime())
    }

    fn is_https(&self) -> bool {
        self.0.is_https
    }

    /// The keys that sign now. Ask before a transaction begins: it may take a connection.
    async fn signing(&self) -> Result<Arc<SigningKeys>, SigningError> {
        let known = self.0.signing.load_full();
        if known.is_of(self.store().auth_generation().await?) {
            return Ok(known);
        }
        // Rotated, or access ended somewhere: that is rare enough to read them again.
        let keys = Arc::new(SigningKeys::load(self.store()).await?);
        self.0.signing.store(keys.clone());
        Ok(keys)
    }

    fn key_fetcher(&self) -> &KeyFetcher {
        &self.0.fetcher
    }

    fn providers(&self) -> &Providers {
        &self.0.providers
    }

    fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Sends the letters that wait, before the server ends.
    pub async fn stop(&self) {
        self.0.outbox.stop().await;
    }

    fn viewer_cache(&self) -> &ViewerCache {
        &self.0.viewers
    }

    fn reads(&self) -> &Reads {
        &self.0.reads
    }

    fn activity(&self) -> &Activity {
        &self.0.activity
    }

    /// Who calls, for the throttle: the peer, or what a trusted proxy says.
    fn caller(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
        let config = self.config();
        let Some(name) = config.client_address_header.as_deref() else {
            return Some(peer.to_canonical());
        };
        let entries = parts.headers.get_all(name);
        Some(caller::behind(peer, entries, &config.trusted_proxies))
    }
}

/// Whether apps ask at this path in OAuth's words, and read errors in them.
#[must_use]
pub fn is_oauth_endpoint(path: &str) -> bool {
    [
        "/auth/token",
        "/auth/introspect",
        "/auth/revoke",
        "/auth/register",
        "/auth/launch",
        "/auth/userinfo",
        "/ehr/activation-codes",
    ]
    .contains(&path)
}

/// The page about an error that no page of ours explained, for whoever sent the request.
pub async fn problem_page(state: &SmartState, request: Request, status: StatusCode) -> Response {
    let own = state.clone();
    let page = move || async move { PageError::Unanswered(status).page(&own) };
    let mut router = Router::new().fallback(page);
    if status.is_client_error() {
        // When something fails here, nothing more is asked of the database.
        router = router.layer(from_fn_with_state(state.clone(), here::look));
    }
    let language = from_fn_with_state(texts::Https(state.is_https()), texts::choose);
    match router.layer(language).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// `GET /`: where everybody begins. Who is signed in is led on from there.
async fn start(State(state): State<SmartState>) -> Response {
    pages::see_other(&state.path("/login"))
}

/// Whether text is a FHIR `id`: 1 to 64 of `[A-Za-z0-9-.]`.
fn is_fhir_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// All endpoints and pages, to be mounted at the server's root. Serve it with connect info, so that
/// the throttle tells callers apart.
pub fn router(state: SmartState) -> Router {
    // Apps in browsers call these; no cookie is ever read there.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT])
        .max_age(Duration::from_secs(600));
    let fhir_path = Url::parse(state.fhir_base()).map_or_else(
        |_| "/fhir/r4".to_owned(),
        |base| base.path().trim_end_matches('/').to_owned(),
    );
    let fhir_path = fhir_path
        .strip_prefix(state.0.root.as_str())
        .unwrap_or(&fhir_path)
        .to_owned();
    let mut api = Router::new();
    if state.config().registration != Registration::Closed {
        api = api.route("/auth/register", post(register::post));
    }
    let api = api
        .route(brands::PATH, get(brands::get))
        .route(
            &format!("{fhir_path}/.well-known/smart-configuration"),
            get(discovery::smart_configuration),
        )
        .route(
            "/.well-known/openid-configuration",
            get(discovery::openid_configuration),
        )
        // RFC 8414 clients look here.
        .route(
            "/.well-known/oauth-authorization-server",
            get(discovery::openid_configuration),
        )
        .route("/auth/jwks", get(discovery::jwks))
        .route("/assets/smart-style.json", get(discovery::smart_style))
        .route("/auth/token", post(token::post))
        .route("/auth/introspect", post(introspect::post))
        .route("/auth/revoke", post(revoke::post))
        .route("/auth/launch", post(launch::post))
        .route("/ehr/activation-codes", post(activation::issue::post))
        .route("/auth/userinfo", get(userinfo::get).post(userinfo::get))
        .route("/policy/release.json", get(release_policy::json))
        .layer(cors);
    // Pages of whoever is signed in.
    let own = Router::new()
        .route("/auth/record", get(record::get).post(record::post))
        .route("/auth/consent", get(consent::get).post(consent::post))
        .route("/apps", get(apps::get).post(apps::post))
        .route(
            "/apps/change",
            get(apps::get_change).post(apps::post_change),
        )
        .route("/settings", get(settings::get))
        .route(
            "/settings/password",
            get(settings::password::get).post(settings::password::post),
        )
        .route(
            "/settings/email",
            get(settings::email::get).post(settings::email::post),
        )
        .route(
            "/settings/letters",
            get(settings::letters::get).post(settings::letters::post),
        )
        .route(
            "/settings/sessions",
            get(settings::browsers::get).post(settings::browsers::post),
        )
        .route(
            "/security",
            get(factors::security::get).post(factors::security::post),
        )
        .route("/staff/reset", get(staff::get).post(staff::post))
        .route(
            "/staff/launch",
            get(staff_launch::get).post(staff_launch::post),
        )
        .route(switch::PATH, get(switch::get).post(switch::post))
        .route("/resume", get(drafts::get).post(drafts::drop))
        .route(
            "/developers/apps",
            get(developers::get_apps).post(developers::post_apps),
        )
        .route(
            "/developers/apps/new",
            get(developers::get_new).post(developers::post_new),
        )
        .route("/developers/apps/activity", get(developers::get_activity))
        .route(
            "/developers/apps/change",
            get(developers::get_change).post(developers::post_change),
        )
        .route(
            "/developers/apps/logo",
            post(developers::post_logo).layer(DefaultBodyLimit::max(developers::MOST_LOGO_BYTES)),
        )
        .layer(from_fn_with_state(state.clone(), gate::pass));
    let pages = Router::new()
        .merge(own)
        .route("/", get(start))
        .route("/auth/authorize", get(authorize::get).post(authorize::post))
        .route("/login", get(login::get).post(login::post))
        .route("/login/with/{provider}", get(upstream::start))
        .route(upstream::BACK, get(upstream::back))
        .route(
            "/auth/factor",
            get(factors::step::get).post(factors::step::post),
        )
        .route(
            "/auth/factor/enrol",
            get(factors::enrol::get).post(factors::enrol::post),
        )
        .route("/auth/passkey", post(factors::sign_in_with_passkey))
        .route("/auth/passkey/options", post(factors::sign_in_options))
        .route("/security/passkey/options", post(factors::add_options))
        .route("/developers", get(developers::get))
        .route("/developers/scopes", get(developers::get_scopes))
        .route("/developers/changes", get(developers::get_changes))
        .route(
            "/activate",
            get(activation::page::get).post(activation::page::post),
        )
        .route("/forgot", get(forgot::get).post(forgot::post))
        .route("/reset", get(reset::get).post(reset::post))
        .route(
            "/confirm",
            get(settings::email::confirm_get).post(settings::email::confirm_post),
        )
        .route("/idle", get(idle::get).post(idle::post))
        .route("/idle/left", get(idle::left))
        .route("/draft", post(drafts::post))
        .route("/apps/directory", get(apps::get_directory))
        .route(
            "/auth/end-session",
            get(end_session::get).post(end_session::post),
        )
        .route("/logout", post(logout::post))
        .route("/signed-out", get(logout::signed_out))
        .route("/policy/release", get(release_policy::html))
        .route("/representatives", get(information::representatives))
        .route("/languages", get(information::languages))
        .layer(from_fn_with_state(state.clone(), here::look))
        .layer(from_fn_with_state(
            texts::Https(state.is_https()),
            texts::choose,
        ))
        .route("/apps/logo/{hash}", get(logo::get))
        .route("/assets/candor.css", get(pages::stylesheet))
        .route("/assets/candor.js", get(pages::script))
        .route("/assets/passkey.js", get(factors::script));
    api.merge(pages)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .with_state(state)
}
