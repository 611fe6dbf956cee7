//! The running server: what its parts share, how they are wired, how it starts and stops.

mod api;
mod front;
pub mod guards;
pub mod health;
mod inflate;
mod listener;
pub(crate) mod reindex;
pub mod test_clock;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use front::Front;

use crate::clock::{Clock, Millis};
use crate::config::{Config, Release, SecondFactor};
use crate::observe;
use crate::release::PackSwitch;
use crate::rest::{AuditLog, AuditWriter};
use crate::smart::{self, MailSettings, SmartConfig, SmartState};
use crate::store::{PolicySettings, Store, StoreOptions};

/// Where the FHIR API lives under the public URL.
pub const FHIR_PATH: &str = "/fhir/r4";

/// What the parts of the server share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub config: Arc<Config>,
    pub store: Store,
    /// The public URL without a slash at the end; the FHIR base is this and [`FHIR_PATH`].
    pub public_url: Arc<str>,
}

/// How often the ledger is told which holds are over.
const ENDED: Duration = Duration::from_secs(30);
/// How often what apps read last is written down.
const READS: Duration = Duration::from_secs(30);
/// How often it is looked whether letters of a new quarter are due: their batches are small.
const DIGESTS: Duration = Duration::from_secs(5 * 60);
/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(15 * 60);

impl App {
    /// Opens the configured database for a server reached as `public_url`, and puts the configured
    /// release policy into force: where it is another one than before, everything is decided again.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, or the policy makes no sense.
    pub async fn open(
        config: Arc<Config>,
        public_url: String,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let app = Self::open_as_it_is(config, public_url, clock).await?;
        let settings = policy_settings(&app.config.release);
        let changed = app
            .store
            .adopt_policy(&settings, &|done| {
                tracing::info!(done, "deciding again under the new release policy");
            })
            .await
            .context("The [release] part of the configuration could not be put into force")?;
        if changed {
            tracing::info!(
                jurisdiction = app.config.release.jurisdiction,
                "release policy adopted"
            );
        }
        Ok(app)
    }

    /// [`App::open`] for a command that runs beside a server: a policy that differs from the one in
    /// force is an error, because the server would not know of it.
    ///
    /// # Errors
    /// As [`App::open`], and when the policy differs.
    pub async fn open_beside(
        config: Arc<Config>,
        public_url: String,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let app = Self::open_as_it_is(config, public_url, clock).await?;
        let settings = policy_settings(&app.config.release);
        if app.store.stands_under(&settings).await? == Some(false) {
            bail!(
                "This database was decided under another [release] configuration than {} {}. Use the server's configuration file and environment, or start the server once with the new one",
                app.config.release.jurisdiction,
                app.config.release.timezone
            );
        }
        app.store.adopt_policy(&settings, &|_| {}).await?;
        Ok(app)
    }

    /// Opens the configured database and leaves its release policy alone.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated.
    pub async fn open_as_it_is(
        config: Arc<Config>,
        public_url: String,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let store = Store::open(&store_options(&config, &public_url, clock))
            .await
            .context(NOT_OPENED)?;
        Ok(Self {
            config,
            store,
            public_url: public_url.into(),
        })
    }

    /// The configured database whatever release wrote its index.
    ///
    /// # Errors
    /// When it cannot be opened or migrated.
    pub async fn connect(config: &Config, public_url: &str, clock: Clock) -> anyhow::Result<Store> {
        Store::connect(&store_options(config, public_url, clock))
            .await
            .context(NOT_OPENED)
    }

    /// The authorization server's part.
    ///
    /// # Errors
    /// When its signing keys cannot be read or made.
    pub async fn smart(&self) -> anyhow::Result<SmartState> {
        let own = &self.config.smart;
        let mut config = SmartConfig::new(&self.public_url);
        config.brand.clone_from(&own.brand);
        config.help.clone_from(&own.help);
        config.language_line.clone_from(&own.language_line);
        config
            .client_address_header
            .clone_from(&own.client_address_header);
        config.trusted_proxies = own.trusted_networks();
        config.kiosk_addresses = own.kiosk_networks();
        config.facilities.clone_from(&own.facilities);
        config.providers.clone_from(&own.providers);
        config.registration = own.registration;
        config.statement_issuers.clone_from(&own.statement_issuers);
        config.sandbox_patients.clone_from(&own.sandbox_patients);
        config.time_zone = self.config.time_zone();
        config.audit = self.config.fhir.audit;
        let mail = &self.config.mail;
        config.mail = mail.url.clone().map(|url| MailSettings {
            url,
            from: mail.from.clone().unwrap_or_default(),
        });
        config.access_token_life = Millis::from(own.access_token_minutes) * 60_000;
        config.refresh_token_life = Millis::from(own.refresh_token_days) * 86_400_000;
        config.session_idle = Millis::from(own.session_idle_minutes) * 60_000;
        config.allow_loopback_jwks = own.loopback_jwks;
        config.staff_needs_second_factor = own.second_factor == SecondFactor::RequiredForStaff;
        if !config.staff_needs_second_factor {
            tracing::warn!(
                "smart.second_factor is optional: staff may sign in with a password alone"
            );
        }
        if let Some(file) = &own.secrets_key_file {
            config.sealing_key = Some(sealing_key(file)?);
        }
        SmartState::new(self.store.clone(), config)
            .await
            .context("The authorization server could not start")
    }

    /// Everything that is answered, guards and all.
    fn front(&self, smart: SmartState, audit: AuditLog) -> Front {
        let body_limit = usize::try_from(self.config.limits.body_megabytes)
            .unwrap_or(usize::MAX)
            .saturating_mul(1 << 20);
        let mut router = Router::new()
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .route("/metrics", get(health::metrics));
        if self.store.clock().is_test() {
            router = router.route("/_test/clock", get(test_clock::show).put(test_clock::set));
        }
        let api = api::state(self, &smart, body_limit, audit);
        let limit = Duration::from_secs(self.config.limits.request_seconds.into());
        let router = router
            .fallback(guards::unknown_route)
            .with_state(self.clone())
            .nest_service(FHIR_PATH, api::service(api.clone(), smart.clone(), ""))
            .merge(smart::router(smart.clone()))
            .layer(
                // The first is outermost.
                ServiceBuilder::new()
                    .layer(middleware::from_fn(observe::requests::observe))
                    .layer(middleware::from_fn_with_state(
                        smart.clone(),
                        guards::page_for_people,
                    ))
                    .layer(middleware::from_fn(guards::outcome_for_errors))
                    .layer(CatchPanicLayer::custom(guards::answer_panic))
                    .layer(middleware::from_fn_with_state(
                        self.store.clone(),
                        reindex::guard,
                    ))
                    .layer(middleware::from_fn_with_state(limit, guards::time_limit))
                    // Inside out: what the limit measures is the decompressed body.
                    .layer(middleware::from_fn(inflate::inflate))
                    .layer(DefaultBodyLimit::max(body_limit)),
            );
        Front {
            api: Some((api::service(api, smart, FHIR_PATH), self.store.clone())),
            router,
            limit,
        }
    }
}

const NOT_OPENED: &str = "The database of database_url (CANDOR_DATABASE_URL) could not be opened. Check that it exists, that its server runs and that this user may write to it";

fn store_options(config: &Config, public_url: &str, clock: Clock) -> StoreOptions {
    StoreOptions {
        url: config.database_url.clone(),
        base: format!("{public_url}{FHIR_PATH}"),
        clock,
        connections: config.limits.connections,
    }
}

/// The bytes of `smart.secrets_key_file`.
fn sealing_key(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let key = std::fs::read(file)
        .with_context(|| format!("{} (smart.secrets_key_file) cannot be read", file.display()))?;
    if key.len() < 32 {
        anyhow::bail!(
            "{} (smart.secrets_key_file) has fewer than 32 bytes; make one with: head -c 32 /dev/urandom",
            file.display()
        );
    }
    Ok(key)
}

/// `[release]` in the store's words.
fn policy_settings(release: &Release) -> PolicySettings {
    PolicySettings {
        jurisdiction: (release.jurisdiction != Release::UNKNOWN)
            .then(|| release.jurisdiction.clone()),
        timezone: release.timezone.clone(),
        switches: release
            .packs
            .iter()
            .map(|(id, switch)| PackSwitch {
                id: id.clone(),
                on: switch.on,
                signed_by: Some(switch.signed_by.clone()),
            })
            .collect(),
    }
}

/// A server that answers. Dropped without [`Server::stop`], it is cut off.
#[derive(Debug)]
pub struct Server {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    audit: Option<AuditWriter>,
    upkeep: JoinHandle<()>,
    smart: SmartState,
}

impl Server {
    /// Binds, opens the database and answers from then on.
    ///
    /// # Errors
    /// When the address is taken, the database cannot be opened, or a test clock would be reachable
    /// from outside this machine.
    pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        if clock.is_test() && !config.bind.ip().is_loopback() {
            bail!(
                "--test-clock lets anyone set the time, and with it what is released, so it needs a loopback address. Set CANDOR_BIND=127.0.0.1:8080 or leave the flag out (bind is {})",
                config.bind
            );
        }
        let listener = TcpListener::bind(config.bind).await.with_context(|| {
            format!(
                "Could not listen on {} (bind, CANDOR_BIND). Is another server running there?",
                config.bind
            )
        })?;
        Self::start_on(listener, config, clock).await
    }

    /// [`Server::start`] on a listener that is bound already.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub async fn start_on(
        listener: TcpListener,
        config: Config,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        observe::metrics::start();
        let address = listener.local_addr()?;
        if config.callers_look_alike(address) {
            tracing::warn!(
                "public_url is not the address bound, and smart.client_address_header is not set: \
                 all callers behind the proxy count as one when guesses at passwords are slowed down"
            );
        }
        let certificate = config
            .tls
            .files()
            .map(|(certificate, key)| tls::Certificate::read(certificate, key))
            .transpose()?;
        let acceptor = certificate.as_ref().map(tls::Certificate::acceptor);
        let acceptor = acceptor.transpose()?;
        let public_url = config.public_url(address);
        let door = reindex::Door { listener, acceptor };
        let store = App::connect(&config, &public_url, clock.clone()).await?;
        let door = if store.is_index_old().await? {
            reindex::rebuild(store.clone(), door).await?
        } else {
            door
        };
        store.close().await?;
        let app = App::open(Arc::new(config), public_url, clock).await?;
        let smart = app.smart().await?;
        let store = app.store.clone();
        let (log, audit) = if app.config.fhir.audit {
            let (log, writer) = AuditLog::start(app.store.clone(), app.config.fhir.audit_days);
            (log, Some(writer))
        } else {
            (AuditLog::default(), None)
        };
        let front = app.front(smart.clone(), log);
        let stop = CancellationToken::new();
        let patience = Duration::from_secs(app.config.limits.shutdown_seconds.into());
        let serving = tokio::spawn(listener::serve(
            door.listener,
            door.acceptor,
            front,
            stop.clone(),
            patience,
            listener::Limits::default(),
        ));
        Ok(Self {
            app,
            address,
            stop,
            serving,
            audit,
            upkeep: tokio::spawn(upkeep(smart.clone(), store, certificate)),
            smart,
        })
    }

    /// The address really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server's parts share.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Its authorization server.
    #[must_use]
    pub fn smart(&self) -> &SmartState {
        &self.smart
    }

    /// Takes no more connections, lets requests in flight finish for as long as the configuration
    /// says, then closes the database.
    ///
    /// # Errors
    /// When the database could not be closed in good order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.upkeep.abort();
        self.serving.await?;
        write_down(&self.smart).await;
        if let Some(audit) = self.audit {
            audit.stop().await;
        }
        self.smart.stop().await;
        self.app.store.close().await?;
        Ok(())
    }
}

/// Writes down what was noted of apps with each request.
async fn write_down(smart: &SmartState) {
    if let Err(error) = smart::write_reads(smart).await {
        tracing::warn!(%error, "what apps read last could not be written down");
    }
    if let Err(error) = smart::write_activity(smart).await {
        tracing::warn!(%error, "what apps did could not be written down");
    }
}

/// What happens beside requests, until it is aborted. Nothing that anyone may see depends on it.
async fn upkeep(smart: SmartState, store: Store, certificate: Option<Arc<tls::Certificate>>) {
    let following = async {
        if let Some(certificate) = certificate {
            certificate.follow().await;
        }
    };
    let ending = async {
        let mut ticks = tokio::time::interval(ENDED);
        loop {
            ticks.tick().await;
            if let Err(error) = store.record_ended().await {
                tracing::warn!(%error, "holds that ended could not be entered into the ledger");
            }
        }
    };
    let sweeping = async {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            if let Err(error) = smart::sweep(&smart).await {
                tracing::warn!(%error, "what has expired could not be removed");
            }
        }
    };
    let reminding = async {
        let mut ticks = tokio::time::interval(DIGESTS);
        loop {
            ticks.tick().await;
            if let Err(error) = smart::send_digests(&smart).await {
                tracing::warn!(%error, "letters about connected apps could not be sent");
            }
        }
    };
    let noting = async {
        let mut ticks = tokio::time::interval(READS);
        loop {
            ticks.tick().await;
            write_down(&smart).await;
        }
    };
    tokio::join!(
        observe::metrics::upkeep(),
        sweeping,
        ending,
        following,
        noting,
        reminding,
        reindex::keep(store.clone()),
        reindex::watch(store.clone()),
    );
}

/// The state of every handler of this module.
type AppState = State<App>;
