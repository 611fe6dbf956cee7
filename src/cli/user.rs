//! `candor user`: who may sign in.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command as Process, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::smart::users::{self, NewRecord, NewUser, Role};

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
    /// Id of the RelatedPerson that a representative is, one for each --patient, in their order.
    #[arg(long, value_name = "ID")]
    related_person: Vec<String>,
    /// Id of the Practitioner that a clinician or member of staff is.
    #[arg(long, value_name = "ID")]
    practitioner: Option<String>,
    /// How the pages greet the person; the username when absent.
    #[arg(long, default_value = "")]
    name: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Patient,
    Representative,
    Clinician,
    Staff,
    Auditor,
    Admin,
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
        }
    }
}

impl User {
    /// Does what the subcommand says on the configured database.
    ///
    /// # Errors
    /// What is wrong with the account, in words; or that the database failed.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let Command::Add(add) = self.command;
        if !add.related_person.is_empty() && add.related_person.len() != add.patient.len() {
            bail!("give one --related-person for each --patient");
        }
        let mut related = add.related_person.into_iter();
        let records = add
            .patient
            .into_iter()
            .map(|patient| NewRecord {
                patient,
                related_person: related.next(),
                name: String::new(),
            })
            .collect();
        let new = NewUser {
            username: add.username,
            name: add.name,
            role: add.role.into(),
            password: password()?,
            practitioner: add.practitioner,
            records,
        };
        let store = super::store(config).await?;
        let added = users::add(&store, new).await;
        store.close().await?;
        super::print(&serde_json::to_string_pretty(&added?)?)?;
        Ok(ExitCode::SUCCESS)
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
