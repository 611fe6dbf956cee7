//! TLS, which ends in front of the server: what it refuses to be reached without.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::SUITE;
use crate::report::Report;

pub async fn run(candor: &Path, report: &mut Report) {
    let name = "L1 TLS: no start under a public address that is not https";
    report.case(SUITE, name, refuses(candor)).await;
}

async fn refuses(candor: &Path) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let output = Command::new(candor)
        .args(["serve"])
        .current_dir(directory.path())
        .env("CANDOR_PUBLIC_URL", "http://records.example.org")
        .env("CANDOR_BIND", "127.0.0.1:0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let limit = std::time::Duration::from_secs(20);
    let output = tokio::time::timeout(limit, output).await??;
    ensure!(!output.status.success(), "it started");
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(words.contains("https"), "{words}");
    Ok(())
}
