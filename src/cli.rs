//! The command line. One file for each command; what they print on standard output is for people
//! and scripts, log lines go to standard error.

pub mod client;
pub mod demo;
pub mod derive;
pub mod import;
pub mod keys;
pub mod reindex;
pub mod serve;
pub mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::observe;
use crate::store::Store;

/// A FHIR R4 server that gives patients their record the moment it is final.
#[derive(Debug, Parser)]
#[command(name = "candor", version, max_term_width = 100)]
struct Arguments {
    /// TOML file with the configuration; CANDOR_… variables win over it.
    #[arg(long, value_name = "FILE", env = "CANDOR_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGINT or SIGTERM.
    Serve(serve::Serve),
    /// Serve a fictional hospital's record from a temporary database, on this machine only.
    Demo(demo::Demo),
    /// Load files into the database, whether or not a server runs on it.
    Import(import::Import),
    /// Build the index again, whether or not a server runs on the database.
    Reindex(reindex::Reindex),
    /// Apps and systems that may ask for tokens.
    Client(client::Client),
    /// People who may sign in.
    User(user::User),
    /// The keys that sign id_tokens.
    Keys(keys::Keys),
    #[command(hide = true)]
    Derive(derive::Derive),
}

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(&error.into()),
    };
    if !matches!(arguments.command, Command::Serve(_)) && config.log == Config::default().log {
        // A command that ends says what it did; only trouble needs a log line.
        config.log = "warn".to_owned();
    }
    observe::logging::start(&config);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Serve(serve) => serve.run(config).await,
            Command::Demo(demo) => demo.run(config).await,
            Command::Import(import) => import.run(config).await,
            Command::Reindex(reindex) => reindex.run(config).await,
            Command::Client(client) => client.run(config).await,
            Command::User(user) => user.run(config).await,
            Command::Keys(keys) => keys.run(config).await,
            Command::Derive(derive) => derive.run(),
        }
    });
    // Whatever still runs in the background has no more to say.
    drop(runtime);
    observe::logging::flush();
    match result {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// The configured database, for a command that leaves the release policy alone.
///
/// # Errors
/// When it cannot be opened.
async fn store(config: Config) -> anyhow::Result<Store> {
    let public_url = config.public_url(config.bind);
    let app = App::open_as_it_is(Arc::new(config), public_url, Clock::system()).await?;
    Ok(app.store)
}

/// A command's own output.
///
/// # Errors
/// When standard output is closed.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Says on standard error what went wrong, with its causes.
fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "candor: {error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
