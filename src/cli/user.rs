//! `candor user`: who may sign in.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command as Process, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::{Config, Provider};
use crate::smart::factors;
use crate::smart::password;
use crate::smart::upstream;
use crate::smart::users::{self, NewRecord, NewUser, Role, UserError};
use crate::store::Store;

/// Arguments of `candor user`.
#[derive(Debug, Args)]
pub struct User {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account. The password is read from standard input, its first line.
    Add(Add),
    /// Replace the password, read from standard input; open sessions end.
    SetPassword(SetPassword),
    /// Take every second factor and passkey from an account, for somebody who lost theirs; open sessions
    /// end. Who needs one sets a new one up at the next sign-in.
    ResetFactors(Named),
    /// Close an account: it cannot sign in, and its apps are refused.
    Disable(Named),
    /// Open a closed account again.
    Enable(Named),
    /// Let somebody of an OpenID provider sign in to an account.
    Link(Link),
}

#[derive(Debug, Args)]
struct Named {
    #[arg(long)]
    username: String,
}

#[derive(Debug, Args)]
struct Link {
    #[arg(long)]
    username: String,
    /// Id of the provider in the configuration.
    #[arg(long, value_name = "ID")]
    provider: String,
    /// What the provider calls the person: `sub` of its id_tokens.
    #[arg(long)]
    subject: String,
}

#[derive(Debug, Args)]
struct SetPassword {
    #[arg(long)]
    username: String,
    /// The person has to choose another one at the next sign-in.
    #[arg(long)]
    must_change: bool,
}

#[derive(Debug, Args)]
struct Add {
    /// What the person types to sign in.
    #[arg(long)]
    username: String,
    #[arg(long, value_enum)]
    role: RoleName,
    /// Id of the Patient whose record the account opens; with --role representative, once for each.
    #[arg(long, value_name = "ID")]
    patient: Vec<String>,
    /// Id of the RelatedPerson that a representative is, one for each --patient, in their order. Not
    /// needed where the record names only one.
    #[arg(long, value_name = "ID")]
    related_person: Vec<String>,
    /// Id of the Practitioner that a clinician or member of staff is.
    #[arg(long, value_name = "ID")]
    practitioner: Option<String>,
    /// How the pages greet the person; the username when absent.
    #[arg(long, default_value = "")]
    name: String,
    /// The person has to choose a password of their own at the first sign-in.
    #[arg(long)]
    must_change: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Patient,
    Representative,
    Clinician,
    Staff,
    Auditor,
    Admin,
    Developer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Patient => Self::Patient,
            RoleName::Representative => Self::Representative,
            RoleName::Clinician => Self::Clinician,
            RoleName::Staff => Self::Staff,
            RoleName::Auditor => Self::Auditor,
            RoleName::Admin => Self::Admin,
            RoleName::Developer => Self::Developer,
        }
    }
}

impl User {
    /// Does what the subcommand says on the configured database.
    ///
    /// # Errors
    /// What is wrong with the account, in words; or that the database failed.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        // Before the database, so that nobody types in vain for a password that was not read.
        let text = match &self.command {
            Command::Add(_) | Command::SetPassword(_) => password()?,
            Command::ResetFactors(_)
            | Command::Disable(_)
            | Command::Enable(_)
            | Command::Link(_) => String::new(),
        };
        if let Command::Add(Add { username, .. })
        | Command::SetPassword(SetPassword { username, .. }) = &self.command
        {
            let url = config.public_url.as_deref().unwrap_or_default();
            password::check(&password::words(username, &config.smart.brand, url), &text)?;
        }
        let providers = config.smart.providers.clone();
        let store = super::store(config).await?;
        let done = match self.command {
            Command::Add(add) => add.run(&store, text).await,
            Command::SetPassword(set) => done(set.run(&store, &text).await),
            Command::ResetFactors(Named { username }) => {
                done(factors::reset(&store, &username).await)
            }
            Command::Disable(Named { username }) => {
                done(users::set_disabled(&store, &username, true).await)
            }
            Command::Enable(Named { username }) => {
                done(users::set_disabled(&store, &username, false).await)
            }
            Command::Link(link) => link.run(&store, &providers).await,
        };
        store.close().await?;
        done
    }
}

fn done(result: Result<(), UserError>) -> anyhow::Result<ExitCode> {
    result?;
    Ok(ExitCode::SUCCESS)
}

impl Link {
    async fn run(self, store: &Store, providers: &[Provider]) -> anyhow::Result<ExitCode> {
        let Some(provider) = providers.iter().find(|one| one.id == self.provider) else {
            bail!(
                "the configuration has no [[smart.providers]] with id {:?}",
                self.provider
            );
        };
        done(upstream::link(store, &self.username, &provider.issuer, &self.subject).await)
    }
}

impl SetPassword {
    async fn run(self, store: &Store, password: &str) -> Result<(), UserError> {
        users::set_password(store, &self.username, password).await?;
        if self.must_change {
            users::require_new_password(store, &self.username).await?;
        }
        Ok(())
    }
}

impl Add {
    async fn run(self, store: &Store, password: String) -> anyhow::Result<ExitCode> {
        if !self.related_person.is_empty() && self.related_person.len() != self.patient.len() {
            bail!("give one --related-person for each --patient");
        }
        let mut related = self.related_person.into_iter();
        let mut records = Vec::new();
        for patient in self.patient {
            let mut related_person = related.next();
            if related_person.is_none() && matches!(self.role, RoleName::Representative) {
                related_person = Some(only_related(store, &patient).await?);
            }
            records.push(NewRecord {
                patient,
                related_person,
                name: String::new(),
            });
        }
        let new = NewUser {
            username: self.username,
            name: self.name,
            role: self.role.into(),
            password,
            practitioner: self.practitioner,
            records,
        };
        let added = users::add(store, new).await?;
        if self.must_change {
            users::require_new_password(store, &added.username).await?;
        }
        super::print(&serde_json::to_string_pretty(&added)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The one RelatedPerson of a patient's record.
async fn only_related(store: &Store, patient: &str) -> anyhow::Result<String> {
    let mut known = users::related_to(store, patient).await?;
    match (known.pop(), known.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => bail!(
            "The record of Patient/{patient} has no RelatedPerson. Write the one that this representative is, or name it with --related-person"
        ),
        (Some(last), false) => bail!(
            "The record of Patient/{patient} has several RelatedPersons. Say which one this is: --related-person {} (or {last})",
            known.join(", ")
        ),
    }
}

/// The first line of standard input; on a terminal it is asked for and not shown.
fn password() -> anyhow::Result<String> {
    let mut input = std::io::stdin().lock();
    let terminal = input.is_terminal();
    let hidden = terminal && stty("-echo");
    if terminal {
        write!(std::io::stderr(), "Password: ")?;
    }
    let mut line = String::new();
    let read = input.read_line(&mut line);
    if hidden {
        stty("echo");
        writeln!(std::io::stderr())?;
    }
    read.context("The password is read from standard input, which cannot be read")?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("give the password on standard input, as in: candor user add … < password.txt");
    }
    Ok(password.to_owned())
}

/// Whether the terminal could be told to show or hide what is typed.
fn stty(argument: &str) -> bool {
    Process::new("stty")
        .arg(argument)
        .status()
        .is_ok_and(|status| status.success())
}
