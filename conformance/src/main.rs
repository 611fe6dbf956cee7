//! Black-box suites for a Candor server: they speak HTTP only, and use nothing of the product but
//! its commands and its wire contract.
//!
//! `conformance --candor target/debug/candor` starts servers of its own (one for each jurisdiction,
//! with a test clock, on loopback) and prints a table; `--report FILE` also writes a FHIR
//! TestReport.

mod app;
mod fixtures;
mod html;
mod release;
mod report;
mod server;
mod world;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use report::Report;

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
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where to write a FHIR TestReport.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a command-line program")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut report = Report::new(&arguments.only);
    release::run(&arguments.candor, &arguments.database, &mut report).await?;
    println!("{}", report.table());
    if let Some(path) = &arguments.report {
        std::fs::write(path, report.test_report().to_string())?;
    }
    println!("{} passed, {} failed", report.passed(), report.failed());
    anyhow::ensure!(report.failed() == 0, "{} cases failed", report.failed());
    anyhow::ensure!(report.passed() > 0, "no case ran");
    Ok(())
}
