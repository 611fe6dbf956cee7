//! `candor demo`: a server with a fictional hospital's record in a temporary database, and
//! everything one needs to look at it.

mod data;
mod people;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use super::serve::wait_for_signal;
use crate::app::Server;
use crate::clock::Clock;
use crate::config::{Config, Mail, Release};
use crate::smart::users;
pub use data::load;
pub use people::{Account, People};

/// The first port that is tried.
const PORT: u16 = 8080;
/// How many are.
const PORTS: u16 = 100;

/// Arguments of `candor demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Port on 127.0.0.1; by default 8080 or the next that is free.
    #[arg(long)]
    port: Option<u16>,
    /// A new, empty database to fill, instead of a temporary file that goes with the demonstration.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Demo {
    /// Serves the demonstration until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// When no port is free or the server cannot start.
    pub async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let directory = tempfile::tempdir().context("No temporary folder could be made")?;
        let listener = listen(self.port).await?;
        let temporary = || format!("sqlite://{}/demo.db", directory.path().display());
        let ours = configuration();
        let config = Config {
            smart: crate::config::Smart {
                sandbox_patients: people::sandbox()?,
                ..ours.smart
            },
            database_url: self.database.unwrap_or_else(temporary),
            log: config.log,
            log_format: config.log_format,
            limits: config.limits,
            fhir: config.fhir,
            mail: Mail {
                url: Some(format!("file://{}/letters", directory.path().display())),
                from: Some("Bluegrass Valley Hospital <noreply@bluegrass.example>".to_owned()),
            },
            ..ours
        };
        let server = Server::start_on(listener, config, Clock::system()).await?;
        if !users::is_new(&server.app().store).await? {
            anyhow::bail!(
                "The database of --database is not empty, and a demonstration would mix fictional people into it; give a new one"
            );
        }
        let people = People::settle(&server, directory.path()).await?;
        let letters = directory.path().join("letters");
        let said = super::print(&format!(
            "{}\nLetters that it would mail are in {}",
            people.text(&server),
            letters.display()
        ));
        // Whoever reads what they look for may close the pipe then: the demonstration goes on.
        if let Err(error) = said
            && !is_closed(&error)
        {
            return Err(error);
        }
        wait_for_signal().await?;
        server.stop().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The demonstration's hospital is in Kentucky, whose law delays one report.
#[must_use]
pub fn configuration() -> Config {
    Config {
        release: Release {
            jurisdiction: "US-KY".to_owned(),
            timezone: "America/Kentucky/Louisville".to_owned(),
            ..Release::default()
        },
        smart: crate::config::Smart {
            brand: "Bluegrass Valley Hospital".to_owned(),
            // A sandbox: developers register their own apps.
            registration: crate::config::Registration::Open,
            // Theirs run beside it.
            loopback_jwks: true,
            second_factor: crate::config::SecondFactor::Optional,
            help: Some("This is a demonstration: all people and records are fictional.".to_owned()),
            ..crate::config::Smart::default()
        },
        ..Config::default()
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let ports = match port {
        Some(port) => port..=port,
        None => PORT..=PORT + PORTS,
    };
    for port in ports.clone() {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await {
            return Ok(listener);
        }
    }
    anyhow::bail!(
        "No port from {} to {} is free on 127.0.0.1; choose one with --port",
        ports.start(),
        ports.end()
    )
}
