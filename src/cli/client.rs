//! `candor client`: who may ask for tokens.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::smart::clients::{self, ClientKeys, ClientKind, NewClient};
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
    Add(Add),
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
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What a backend is when it asks for itself: system, payer, researcher, other, staff, auditor
    /// or admin.
    #[arg(long = "as", value_name = "CLASS", default_value = "system", value_parser = class)]
    class: ViewerClass,
    /// Whom a backend speaks for, as in Organization/123.
    #[arg(long, value_name = "REFERENCE")]
    person: Option<String>,
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
        let Command::Add(add) = self.command;
        let keys = add.jwks.as_deref().map(keys).transpose()?;
        let new = NewClient {
            client_id: add.client_id,
            name: add.name,
            kind: match add.kind {
                Kind::Public => ClientKind::Public,
                Kind::Confidential => ClientKind::Confidential,
                Kind::Backend => ClientKind::Backend,
            },
            redirect_uris: add.redirect_uris,
            keys,
            scope: add.scope,
            class: add.class,
            person: add.person,
        };
        let store = super::store(config).await?;
        let added = clients::add(&store, new).await;
        store.close().await?;
        super::print(&serde_json::to_string_pretty(&added?)?)?;
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

fn class(text: &str) -> Result<ViewerClass, String> {
    ViewerClass::from_name(text).ok_or_else(|| {
        "expected system, payer, researcher, other, staff, auditor or admin".to_owned()
    })
}
