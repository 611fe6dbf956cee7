//! Black-box suites for a Candor server: they speak HTTP only, and use nothing of the product but
//! its commands and its wire contract.
//!
//! `conformance --candor target/debug/candor` starts servers of its own (one for each jurisdiction,
//! with a test clock, on loopback) and prints a table; `--report FILE` also writes a FHIR
//! TestReport.

mod app;
mod crash;
mod database;
mod demo;
mod fixtures;
mod fuzz;
mod g10;
mod hostile;
mod html;
mod release;
mod report;
mod rest;
mod server;
mod smart;
mod world;
mod worlds;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use report::Report;
use worlds::Worlds;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Who sees what, when, and why.
    Release,
    /// The FHIR RESTful API.
    Rest,
    /// Authorization.
    Smart,
    /// The lines of `docs/g10.md`, against `candor demo`.
    G10,
    /// Hostile input.
    Hostile,
    /// SIGKILL under load; `--rounds` and `--data`.
    Crash,
    /// Ordinary and hostile requests by chance; `--requests` and `--seed`.
    Fuzz,
    /// All but `crash`; of `fuzz` a short run.
    All,
}

#[derive(Debug, Parser)]
#[command(about = "Black-box suites for a Candor server")]
struct Arguments {
    /// The candor binary to test.
    #[arg(long, default_value = "target/debug/candor")]
    candor: PathBuf,
    /// Database for the servers: `sqlite` (temporary files) or a PostgreSQL URL whose user may
    /// create databases.
    #[arg(long, default_value = "sqlite")]
    database: String,
    /// What to run.
    #[arg(long, value_enum, default_value = "all")]
    suite: Suite,
    /// Only cases whose suite and name contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// How often to kill, in the suite `crash`.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Transaction Bundles (or folders of them) to import and be killed at, in the suite `crash`.
    #[arg(long)]
    data: Vec<PathBuf>,
    /// How many requests, in the suite `fuzz`.
    #[arg(long, default_value_t = 5_000)]
    requests: u64,
    /// Which requests, in the suite `fuzz`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write a FHIR TestReport.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a command-line program")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let candor = std::fs::canonicalize(&arguments.candor)
        .with_context(|| format!("no binary at {}", arguments.candor.display()))?;
    // Servers of its own for each suite: what one does to a server's patience is no other's matter.
    let worlds = || Worlds::new(candor.clone(), arguments.database.clone());
    let mut report = Report::new(&arguments.only);
    if matches!(arguments.suite, Suite::Release | Suite::All) {
        release::run(&worlds(), &mut report).await;
    }
    if matches!(arguments.suite, Suite::Rest | Suite::All) {
        rest::run(&worlds(), &mut report).await;
    }
    if matches!(arguments.suite, Suite::Smart | Suite::All) {
        smart::run(&worlds(), &mut report).await;
    }
    if matches!(arguments.suite, Suite::G10 | Suite::All) {
        g10::run(&candor, &arguments.database, &mut report).await;
    }
    if matches!(arguments.suite, Suite::Hostile | Suite::All) {
        hostile::run(&worlds(), &mut report).await;
    }
    if matches!(arguments.suite, Suite::Fuzz | Suite::All) {
        fuzz::run(&worlds(), &mut report, arguments.requests, arguments.seed).await;
    }
    if arguments.suite == Suite::Crash {
        crash::run(&worlds(), &mut report, arguments.rounds, &arguments.data).await;
    }
    if report.failed() > 0 {
        println!("\n{}", report.failures());
    }
    if let Some(path) = &arguments.report {
        std::fs::write(path, report.test_report().to_string())?;
    }
    println!("{} passed, {} failed", report.passed(), report.failed());
    // No case at all is a mistake in `--only`, and no success.
    let good = report.failed() == 0 && report.passed() > 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
