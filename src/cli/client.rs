//! `candor client`: who may ask for tokens.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::smart::clients::{self, ClientKeys, ClientKind, ClientOptions, NewClient};
use crate::smart::facts::Facts;
use crate::smart::registrations::{self, Origin};
use crate::smart::signing::SigningAlg;
use crate::store::Store;
use crate::visibility::ViewerClass;

/// Arguments of `candor client`.
#[derive(Debug, Args)]
pub struct Client {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register an app or a system. Prints JSON with its client_id and, once, any secret.
    Add(Box<Add>),
    /// Print all clients as JSON, with when each asked, was verified and was enabled (milliseconds).
    List,
    /// Shut a client out: its tokens are refused from the next request on.
    Disable(Named),
    /// Let it in again, or let it work that waits for it.
    Enable(Named),
    /// Note that whoever made it was verified (45 CFR 170.404(b)(1)).
    Verify(Named),
    /// Approve it for the hospital's staff: opened from the chart it asks them for no consent, and gets
    /// all that it is registered for and they may give.
    Approve(Named),
    /// Take that back: staff are asked again.
    Disapprove(Named),
    /// Let it introspect the tokens of every client: it is a resource server. Never an app of people.
    AllowIntrospection(Named),
    /// Let it introspect its own tokens alone again.
    DenyIntrospection(Named),
    /// Say what people are told of it; what is left out is told no longer.
    Describe(Box<Describe>),
}

#[derive(Debug, Args)]
struct Named {
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client_id: String,
}

#[derive(Debug, Args)]
struct Add {
    /// What people read when the app asks for their consent.
    #[arg(long)]
    name: String,
    /// public: an app that can keep no secret; confidential: one with a server; backend: a system
    /// without people.
    #[arg(long = "type", value_enum)]
    kind: Kind,
    /// Where people are sent back to; once for each URI.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// The client's public keys: a file with a JWK Set, or the URL of one.
    #[arg(long, value_name = "FILE|URL")]
    jwks: Option<String>,
    /// All that it may ever ask for, separated by spaces.
    #[arg(long)]
    scope: String,
    /// Choose the client_id; otherwise it is random.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client_id: Option<String>,
    /// What a backend is when it asks for itself: system, payer, researcher, other, staff, auditor
    /// or admin.
    #[arg(long = "as", value_name = "CLASS", default_value = "system", value_parser = class)]
    class: ViewerClass,
    /// How id_tokens for it are signed: RS256 or ES384.
    #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = signing_alg)]
    id_token_alg: SigningAlg,
    /// Where people may be sent after it signed them out; once for each URI.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// The day on which its makers asked to be registered, as in 2026-11-20; today when absent.
    #[arg(long, value_name = "DAY")]
    received: Option<Date>,
    /// Whom a backend speaks for, as in Organization/123.
    #[arg(long, value_name = "REFERENCE")]
    person: Option<String>,
    /// Where an EHR opens the app; it needs the scope launch.
    #[arg(long, value_name = "URL")]
    launch_uri: Option<String>,
    /// It is a resource server and introspects the tokens of every client; a backend of the hospital
    /// (`--as system`) does without.
    #[arg(long)]
    introspects: bool,
    #[command(flatten)]
    told: Told,
}

#[derive(Debug, Args)]
struct Describe {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    told: Told,
}

/// What people are told when the app asks for their consent.
#[derive(Debug, Args)]
struct Told {
    /// Who made the app.
    #[arg(long, value_name = "NAME")]
    maker: Option<String>,
    /// The maker's website, https.
    #[arg(long, value_name = "URL")]
    website: Option<String>,
    /// You found that the website is the maker's.
    #[arg(long, requires = "website")]
    website_checked: bool,
    /// Where the app's privacy policy is, https.
    #[arg(long, value_name = "URL")]
    privacy_policy: Option<String>,
    /// What changes when the policy does, a day or a number: people who allowed the app are told.
    #[arg(long, value_name = "TEXT")]
    policy_version: Option<String>,
    /// An e-mail address or URL for people who ask what the app did with their data.
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// The maker's answer to a question that every app is asked, as in sells_data=no: sells_data,
    /// shares_data, keeps_data, deletes_data, tells_changes; once for each.
    #[arg(long = "answer", value_name = "QUESTION=yes|no", value_parser = answer)]
    answers: Vec<(String, bool)>,
}

impl Told {
    fn facts(self) -> Facts {
        Facts {
            maker: self.maker,
            website: self.website,
            website_checked: self.website_checked,
            privacy_policy: self.privacy_policy,
            policy_version: self.policy_version,
            contact: self.contact,
            answers: self.answers.into_iter().collect(),
        }
    }
}

fn answer(text: &str) -> Result<(String, bool), String> {
    match text.split_once('=') {
        Some((question, "yes")) => Ok((question.to_owned(), true)),
        Some((question, "no")) => Ok((question.to_owned(), false)),
        _ => Err("expected a question and yes or no, as in sells_data=no".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Public,
    Confidential,
    Backend,
}

impl Client {
    /// Does what the subcommand says on the configured database.
    ///
    /// # Errors
    /// What is wrong with the client, in words; or that the database failed.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let zone = config.time_zone();
        let brand = config.smart.brand.clone();
        let store = super::store(config).await?;
        let done = match self.command {
            Command::Add(add) => add.run(&store, &zone, brand).await,
            Command::List => list(&store, &zone).await,
            Command::Verify(named) => named.set_verified(&store).await,
            Command::AllowIntrospection(named) => named.set_introspects(&store, true).await,
            Command::DenyIntrospection(named) => named.set_introspects(&store, false).await,
            Command::Describe(describe) => describe.run(&store).await,
            Command::Approve(named) => named.set_approved(&store, true).await,
            Command::Disapprove(named) => named.set_approved(&store, false).await,
            Command::Disable(named) => named.set_disabled(&store, true).await,
            Command::Enable(named) => named.set_disabled(&store, false).await,
        };
        store.close().await?;
        done
    }
}

impl Named {
    async fn set_disabled(self, store: &Store, is_disabled: bool) -> anyhow::Result<ExitCode> {
        if !clients::set_disabled(store, &self.client_id, is_disabled).await? {
            bail!("no client has the id {}", self.client_id);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn set_approved(self, store: &Store, is_approved: bool) -> anyhow::Result<ExitCode> {
        if !clients::set_approved(store, &self.client_id, is_approved).await? {
            bail!("no client that people use has the id {}", self.client_id);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn set_introspects(self, store: &Store, introspects: bool) -> anyhow::Result<ExitCode> {
        if !clients::set_introspects(store, &self.client_id, introspects).await? {
            bail!("no client has the id {}", self.client_id);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn set_verified(self, store: &Store) -> anyhow::Result<ExitCode> {
        if !registrations::set_verified(store, &self.client_id).await? {
            bail!("no client has the id {}", self.client_id);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Describe {
    async fn run(self, store: &Store) -> anyhow::Result<ExitCode> {
        let id = self.named.client_id;
        if !clients::set_facts(store, &id, &self.told.facts()).await? {
            bail!("no client has the id {id}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    async fn run(self, store: &Store, zone: &TimeZone, brand: String) -> anyhow::Result<ExitCode> {
        let received = match self.received {
            Some(day) => Some(day.to_zoned(zone.clone())?.timestamp().as_millisecond()),
            None => None,
        };
        if received.is_some_and(|at| at > store.clock().now()) {
            bail!("--received is in the future");
        }
        let keys = self.jwks.as_deref().map(keys).transpose()?;
        let new = NewClient {
            client_id: self.client_id,
            name: self.name,
            kind: match self.kind {
                Kind::Public => ClientKind::Public,
                Kind::Confidential => ClientKind::Confidential,
                Kind::Backend => ClientKind::Backend,
            },
            redirect_uris: self.redirect_uris,
            keys,
            scope: self.scope,
            class: self.class,
            person: self.person,
            options: ClientOptions {
                id_token_alg: self.id_token_alg,
                post_logout_redirect_uris: self.post_logout_redirect_uris,
                facts: self.told.facts(),
                launch_uri: self.launch_uri,
                // The hospital's own systems read everything anyway.
                introspects: self.introspects
                    || (matches!(self.kind, Kind::Backend) && self.class == ViewerClass::System),
                brand: Some(brand),
                origin: Origin::Operator,
                received,
            },
        };
        let added = clients::add(store, new).await?;
        super::print(&serde_json::to_string_pretty(&added)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn keys(text: &str) -> anyhow::Result<ClientKeys> {
    if text.starts_with("https://") || text.starts_with("http://") {
        return Ok(ClientKeys::Url(text.to_owned()));
    }
    let set = std::fs::read_to_string(Path::new(text))
        .with_context(|| format!("--jwks {text} is neither a URL nor a file that can be read"))?;
    Ok(ClientKeys::Value(set))
}

async fn list(store: &Store, zone: &TimeZone) -> anyhow::Result<ExitCode> {
    let listed = registrations::list(store, zone).await?;
    super::print(&serde_json::to_string_pretty(&listed)?)?;
    Ok(ExitCode::SUCCESS)
}

fn signing_alg(text: &str) -> Result<SigningAlg, String> {
    SigningAlg::from_name(text).ok_or_else(|| "expected RS256 or ES384".to_owned())
}

fn class(text: &str) -> Result<ViewerClass, String> {
    ViewerClass::from_name(text).ok_or_else(|| {
        "expected system, payer, researcher, other, staff, auditor or admin".to_owned()
    })
}
