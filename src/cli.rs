//! The command line. One file for each command; what they print on standard output is for people
//! and scripts, log lines go to standard error.

pub mod derive;
pub mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::observe;

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
    #[command(hide = true)]
    Derive(derive::Derive),
}

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(&error.into()),
    };
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
            Command::Derive(derive) => derive.run(),
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
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
