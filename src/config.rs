//! What the hospital decides about this server: a TOML file, then the environment over it.
//!
//! [`Config::load`] gives a configuration that was checked as a whole, or every problem at once,
//! each with what to do about it. Unknown keys and unknown `CANDOR_…` variables are problems: a
//! misspelt switch must not fall back to its default in silence.

mod fhir;
mod mail;
mod providers;
mod states;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

pub use fhir::{ConditionalDelete, Fhir};
pub use mail::Mail;
pub use providers::{ClientSecret, Provider};
pub use tls::Tls;

/// The whole configuration. Field names are the keys of the file; `docs/configuration.md` lists
/// them with their environment variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite://file.db` (relative to the working directory, created if absent) or `postgres://…`.
    pub database_url: String,
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// What the outside world calls this server, without `/fhir/r4`. Absent: `http://` and `bind`,
    /// which only a loopback address may leave out.
    pub public_url: Option<String>,
    /// Levels, as `tracing-subscriber` filters have them: `info`, `candor=debug,warn`.
    pub log: String,
    /// One JSON object a line, or text for people.
    pub log_format: LogFormat,
    pub release: Release,
    pub smart: Smart,
    pub mail: Mail,
    pub fhir: Fhir,
    pub tls: Tls,
    pub limits: Limits,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// What steers release (release-contract.md, "Switches"). Changing it is an event in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Whose law applies: `US` for federal law alone, a state as `US-KY`, or `unknown`, which
    /// releases as federal law does and says so in the ledger.
    pub jurisdiction: String,
    /// IANA name of the zone in which "the third day after" is counted; empty for the one that most
    /// of the state lives in.
    pub timezone: String,
    /// Packs switched against their default, by pack id (`KY`, `TX`, …).
    pub packs: BTreeMap<String, PackSwitch>,
}

/// One pack, switched on or off by somebody who answers for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackSwitch {
    pub on: bool,
    /// Name of the person who signed it off.
    pub signed_by: String,
}

/// Sign-in, consent and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smart {
    /// Who runs this server, as the pages say it.
    pub brand: String,
    /// Where people get help: one sentence on every page. Absent: a general one.
    pub help: Option<String>,
    /// Where people ask for help in their language: a telephone number. Absent: none is named.
    pub language_line: Option<String>,
    /// Header in which a trusted proxy puts the caller's address.
    pub client_address_header: Option<String>,
    /// Networks (CIDR) or addresses of the proxies whose header counts.
    pub trusted_proxies: Vec<String>,
    /// Networks (CIDR) or addresses of terminals that several people use.
    pub kiosk_addresses: Vec<String>,
    /// Life of an access token that a person granted.
    pub access_token_minutes: u32,
    /// Life of a refresh token since its last use. 170.315(g)(10) asks for three months.
    pub refresh_token_days: u32,
    /// A browser that does nothing for this long is signed out.
    pub session_idle_minutes: u32,
    /// Whether apps may register themselves.
    pub registration: Registration,
    /// Whose software statements count (RFC 7591 section 2.3).
    pub statement_issuers: Vec<StatementIssuer>,
    /// Fictional patients that developers may sign in as, where registration is open.
    pub sandbox_patients: Vec<SandboxPatient>,
    /// Who needs more than a password.
    pub second_factor: SecondFactor,
    /// File whose bytes secrets in the database are sealed with, beside the database's own secret.
    pub secrets_key_file: Option<PathBuf>,
    /// Whether clients' keys may be fetched from this machine, over plain http: for tests.
    pub loopback_jwks: bool,
    /// The hospitals and clinics behind this server, as the public list has them.
    pub facilities: Vec<Facility>,
    /// OpenID providers that people may sign in with.
    pub providers: Vec<Provider>,
}

/// Whether apps may register themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Operators register apps.
    #[default]
    #[serde(alias = "off")]
    Closed,
    /// Apps with a software statement of somebody who is trusted do.
    Statement,
    /// Anybody does, unverified: for sandboxes.
    Open,
}

/// Somebody who vouches for apps, and where their keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatementIssuer {
    /// The `iss` of their statements.
    pub issuer: String,
    /// The address of their JWK Set.
    pub jwks_uri: Option<String>,
    /// Or the JWK Set itself, as JSON.
    pub jwks: Option<String>,
}

/// A fictional patient of a sandbox, with what signs them in: everybody reads it at `/developers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxPatient {
    pub name: String,
    pub username: String,
    pub password: String,
    /// What is to be seen in the record, one sentence.
    pub about: String,
}

/// Who needs more than a password to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondFactor {
    /// Everybody but patients and those who act for them.
    #[default]
    RequiredForStaff,
    /// Nobody: for demonstrations and tests.
    Optional,
}

/// A hospital or clinic, for the public list of service base URLs (45 CFR 170.404(b)(2)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facility {
    pub name: String,
    pub website: Option<String>,
    /// `http://hl7.org/fhir/sid/us-npi` for an NPI.
    pub identifier_system: Option<String>,
    pub identifier: Option<String>,
    pub line: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub postal_code: Option<String>,
}

/// What one request may cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body, in 2^20 bytes, after decompression.
    pub body_megabytes: u32,
    /// Longest time for one request, its body included.
    pub request_seconds: u32,
    /// How long requests in flight may still take after the signal to stop.
    pub shutdown_seconds: u32,
    /// Database connections.
    pub connections: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite://candor.db".to_owned(),
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            log: "info".to_owned(),
            log_format: LogFormat::default(),
            release: Release::default(),
            smart: Smart::default(),
            mail: Mail::default(),
            fhir: Fhir::default(),
            tls: Tls::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self {
            jurisdiction: "US".to_owned(),
            timezone: states::zone_of("US").to_owned(),
            packs: BTreeMap::new(),
        }
    }
}

impl Default for Smart {
    fn default() -> Self {
        Self {
            brand: "Candor".to_owned(),
            help: None,
            language_line: None,
            client_address_header: None,
            trusted_proxies: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            kiosk_addresses: Vec::new(),
            access_token_minutes: 60,
            refresh_token_days: 90,
            session_idle_minutes: 15,
            registration: Registration::Closed,
            statement_issuers: Vec::new(),
            sandbox_patients: Vec::new(),
            second_factor: SecondFactor::default(),
            secrets_key_file: None,
            loopback_jwks: false,
            facilities: Vec::new(),
            providers: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_megabytes: 64,
            request_seconds: 60,
            shutdown_seconds: 30,
            connections: 8,
        }
    }
}

/// Everything that is wrong with a configuration, one problem a line.
#[derive(Debug, Error)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "The configuration cannot be used:")?;
        for problem in &self.0 {
            write!(formatter, "\n- {problem}")?;
        }
        Ok(())
    }
}

/// Environment variables and the keys they set.
const VARIABLES: &[(&str, &str)] = &[
    ("CANDOR_DATABASE_URL", "database_url"),
    ("CANDOR_BIND", "bind"),
    ("CANDOR_PUBLIC_URL", "public_url"),
    ("CANDOR_LOG", "log"),
    ("CANDOR_LOG_FORMAT", "log_format"),
    ("CANDOR_JURISDICTION", "release.jurisdiction"),
    ("CANDOR_TIMEZONE", "release.timezone"),
    ("CANDOR_BRAND", "smart.brand"),
    ("CANDOR_HELP", "smart.help"),
    ("CANDOR_LANGUAGE_LINE", "smart.language_line"),
    (
        "CANDOR_CLIENT_ADDRESS_HEADER",
        "smart.client_address_header",
    ),
    ("CANDOR_TRUSTED_PROXIES", "smart.trusted_proxies"),
    ("CANDOR_KIOSK_ADDRESSES", "smart.kiosk_addresses"),
    ("CANDOR_TLS_CERTIFICATE", "tls.certificate"),
    ("CANDOR_TLS_KEY", "tls.key"),
    ("CANDOR_MAIL_URL", "mail.url"),
    ("CANDOR_MAIL_FROM", "mail.from"),
    ("CANDOR_CONDITIONAL_DELETE", "fhir.conditional_delete"),
    ("CANDOR_CHECK_REFERENCES", "fhir.check_references"),
    ("CANDOR_PROVENANCE", "fhir.provenance"),
    ("CANDOR_REGISTRATION", "smart.registration"),
    ("CANDOR_SECOND_FACTOR", "smart.second_factor"),
    ("CANDOR_AUDIT", "fhir.audit"),
    ("CANDOR_AUDIT_DAYS", "fhir.audit_days"),
    ("CANDOR_BODY_MEGABYTES", "limits.body_megabytes"),
    ("CANDOR_REQUEST_SECONDS", "limits.request_seconds"),
    ("CANDOR_SHUTDOWN_SECONDS", "limits.shutdown_seconds"),
    ("CANDOR_CONNECTIONS", "limits.connections"),
];

impl Config {
    /// Reads `file` if one is named, puts this process's environment over it, and checks the result.
    ///
    /// # Errors
    /// Every problem found, each saying what to fix.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => Some((
                path.to_owned(),
                std::fs::read_to_string(path)
                    .map_err(|error| ConfigError(vec![format!("{}: {error}", path.display())]))?,
            )),
            None => None,
        };
        Self::from_parts(
            text,
            std::env::vars_os().filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            }),
        )
    }

    /// [`Config::load`] with the file's text (its path is for messages) and the environment given.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_parts(
        file: Option<(PathBuf, String)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut defaults = Self::default();
        // Empty until it is known which state's it is.
        defaults.release.timezone.clear();
        let mut figment = Figment::from(Serialized::defaults(defaults));
        let mut origin = "the environment".to_owned();
        if let Some((path, text)) = file {
            origin = format!("{} or the environment", path.display());
            figment = figment.merge(Toml::string(&text));
        }
        for (name, value) in environment {
            // CANDOR_CONFIG names the file (cli), CANDOR_TEST_… speaks to the test suite.
            if !name.starts_with("CANDOR_")
                || name == "CANDOR_CONFIG"
                || name.starts_with("CANDOR_TEST_")
            {
                continue;
            }
            let Some((_, key)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = VARIABLES.iter().map(|(known, _)| *known).collect();
                problems.push(format!(
                    "{name} is no variable of Candor. Unset it, or use one of {}.",
                    known.join(", ")
                ));
                continue;
            };
            figment = if let (true, Ok(number)) = (
                key.starts_with("limits.") || *key == "fhir.audit_days",
                value.parse::<u32>(),
            ) {
                figment.merge(Serialized::default(key, number))
            } else if matches!(*key, "smart.trusted_proxies" | "smart.kiosk_addresses") {
                let networks: Vec<&str> = value.split(',').map(str::trim).collect();
                figment.merge(Serialized::default(key, networks))
            } else if let (true, Ok(flag)) = (key.starts_with("fhir."), value.parse::<bool>()) {
                figment.merge(Serialized::default(key, flag))
            } else {
                figment.merge(Serialized::default(key, value))
            };
        }
        match figment.extract::<Self>() {
            Ok(mut config) => {
                if config.release.timezone.is_empty() {
                    let zone = states::zone_of(&config.release.jurisdiction);
                    zone.clone_into(&mut config.release.timezone);
                }
                config.check(&mut problems);
                if problems.is_empty() {
                    return Ok(config);
                }
            }
            Err(errors) => problems.extend(errors.into_iter().map(|error| {
                let key = error.path.join(".");
                let at = if key.is_empty() {
                    String::new()
                } else {
                    format!("{key}: ")
                };
                format!("{at}{} (in {origin}).", error.kind)
            })),
        }
        Err(ConfigError(problems))
    }

    /// The public base, without a slash at the end, given the address really bound.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if self.tls.files().is_some() => format!("https://{bound}"),
            None => format!("http://{bound}"),
        }
    }

    /// Whether something stands between this server and its callers that does not say who they are, so
    /// that all of them have one address: guessing cannot be told from working then.
    #[must_use]
    pub fn callers_look_alike(&self, bound: SocketAddr) -> bool {
        self.smart.client_address_header.is_none()
            && self.tls.files().is_none()
            && self.public_url(bound) != format!("http://{bound}")
    }

    /// The time zone of release delays.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        // `check` refused a configuration whose zone is unknown.
        TimeZone::get(&self.release.timezone).unwrap_or(TimeZone::UTC)
    }

    fn check(&self, problems: &mut Vec<String>) {
        let url = &self.database_url;
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") {
                problems.push(
                    "database_url: name a file, as in sqlite:///var/lib/candor/candor.db; a database in memory would forget the record.".to_owned(),
                );
            }
        } else if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            // The value may hold a password, so the message does not repeat it.
            problems.push(
                "database_url: begin it with sqlite:// or postgres://, as in postgres://candor@localhost/candor.".to_owned(),
            );
        }
        match &self.public_url {
            Some(text) => match Url::parse(text) {
                Ok(url)
                    if matches!(url.scheme(), "http" | "https")
                        && url.has_host()
                        && (url.scheme() == "https" || is_loopback(&url))
                        && url.query().is_none()
                        && url.fragment().is_none()
                        && !url.path().trim_end_matches('/').ends_with("/fhir/r4") => {}
                Ok(url) if url.scheme() == "http" && url.has_host() && !is_loopback(&url) => {
                    problems.push(format!(
                        "public_url: {text:?} would send passwords and records over the network unencrypted. Use https://; TLS may end at a proxy."
                    ));
                }
                _ => problems.push(format!(
                    "public_url: {text:?} must be an http(s) URL without query, fragment and /fhir/r4, as in https://records.example.org."
                )),
            },
            None if !self.bind.ip().is_loopback() => problems.push(format!(
                "public_url: {} is reachable from outside, so say by which URL apps reach it, as in CANDOR_PUBLIC_URL=https://records.example.org.",
                self.bind
            )),
            None => {}
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            problems.push(format!(
                "log: {error}. Use a level (error, warn, info, debug, trace) or a list such as candor=debug,warn."
            ));
        }
        self.release.check(problems);
        self.smart.check(problems);
        self.tls.check(problems);
        if self.tls.files().is_some()
            && let Some(url) = &self.public_url
            && url.starts_with("http://")
        {
            problems.push(
                "public_url: this server speaks TLS (tls.certificate), so it begins with https://."
                    .to_owned(),
            );
        }
        self.mail.check(problems);
        self.limits.check(problems);
    }
}

fn networks(texts: &[String]) -> Vec<IpNet> {
    let networks = texts.iter();
    networks.filter_map(|text| tls::network(text)).collect()
}

impl Smart {
    /// [`Smart::trusted_proxies`], parsed.
    #[must_use]
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        networks(&self.trusted_proxies)
    }

    /// [`Smart::kiosk_addresses`], parsed.
    #[must_use]
    pub fn kiosk_networks(&self) -> Vec<IpNet> {
        networks(&self.kiosk_addresses)
    }

    fn check(&self, problems: &mut Vec<String>) {
        if self.brand.trim().is_empty() {
            problems.push("smart.brand: say who runs this server.".to_owned());
        }
        Provider::check(&self.providers, problems);
        for (key, texts) in [
            ("trusted_proxies", &self.trusted_proxies),
            ("kiosk_addresses", &self.kiosk_addresses),
        ] {
            for text in texts.iter().filter(|text| tls::network(text).is_none()) {
                problems.push(format!(
                    "smart.{key}: {text:?} is no address and no network, as in 10.0.0.0/8 or 192.0.2.7."
                ));
            }
        }
        for (key, value, most) in [
            ("access_token_minutes", self.access_token_minutes, 24 * 60),
            ("refresh_token_days", self.refresh_token_days, 3650),
            ("session_idle_minutes", self.session_idle_minutes, 24 * 60),
        ] {
            in_range("smart", key, value, most, problems);
        }
        for (at, issuer) in self.statement_issuers.iter().enumerate() {
            let key = format!("smart.statement_issuers.{at}");
            if issuer.issuer.trim().is_empty() {
                problems.push(format!("{key}.issuer: say whose statements count."));
            }
            if issuer.jwks.is_some() == issuer.jwks_uri.is_some() {
                problems.push(format!("{key}: give the issuer's jwks_uri, or its jwks."));
            }
        }
        if self.registration == Registration::Statement && self.statement_issuers.is_empty() {
            problems.push(
                "smart.statement_issuers: registration by statement needs somebody whose statements count.".to_owned(),
            );
        }
        if !self.sandbox_patients.is_empty() && self.registration != Registration::Open {
            problems.push(
                "smart.sandbox_patients: their passwords are shown to everybody, so a server has them only where smart.registration is open.".to_owned(),
            );
        }
        for (at, facility) in self.facilities.iter().enumerate() {
            let key = format!("smart.facilities.{at}");
            if facility.name.trim().is_empty() {
                problems.push(format!(
                    "{key}.name: say what the hospital or clinic is called."
                ));
            }
            if facility.identifier.is_some() != facility.identifier_system.is_some() {
                problems.push(format!(
                    "{key}: identifier and identifier_system go together, as in http://hl7.org/fhir/sid/us-npi and 1234567893."
                ));
            }
            let has_address = facility.city.is_some() && facility.state.is_some();
            if !has_address {
                problems.push(format!(
                    "{key}: give city and state; the public list must say where it is."
                ));
            }
        }
    }
}

impl Release {
    /// The jurisdiction of a hospital that has not said where it is.
    pub const UNKNOWN: &'static str = "unknown";

    fn check(&self, problems: &mut Vec<String>) {
        let state = self.jurisdiction.strip_prefix("US-");
        if !matches!(&*self.jurisdiction, "US" | Self::UNKNOWN)
            && !state.is_some_and(states::is_state)
        {
            problems.push(format!(
                "release.jurisdiction: {:?} is unknown. Use US for federal law alone, or US- and a state's two letters, as in US-KY.",
                self.jurisdiction
            ));
        }
        if TimeZone::get(&self.timezone).is_err() {
            problems.push(format!(
                "release.timezone: {:?} is no IANA time zone. Use a name such as America/Chicago.",
                self.timezone
            ));
        }
        for (id, switch) in &self.packs {
            if switch.signed_by.trim().is_empty() {
                problems.push(format!(
                    "release.packs.{id}.signed_by: name the person who signed off that this pack is {}.",
                    if switch.on { "on" } else { "off" }
                ));
            }
        }
    }
}

impl Limits {
    fn check(&self, problems: &mut Vec<String>) {
        for (key, value, most) in [
            ("body_megabytes", self.body_megabytes, 1024),
            ("request_seconds", self.request_seconds, 3600),
            ("shutdown_seconds", self.shutdown_seconds, 3600),
            ("connections", self.connections, 1000),
        ] {
            in_range("limits", key, value, most, problems);
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn in_range(section: &str, key: &str, value: u32, most: u32, problems: &mut Vec<String>) {
    if !(1..=most).contains(&value) {
        problems.push(format!(
            "{section}.{key}: {value} must be from 1 to {most}."
        ));
    }
}
