//! Hostile input: refused with 4xx and an OperationOutcome, and the server answers on, unharmed.

mod bodies;
mod requests;
mod tokens;
mod xml;

use anyhow::{Context, Result, ensure};
use reqwest::Method;

use crate::report::Report;
use crate::world::{Answer, Who, World, short};
use crate::worlds::Worlds;

/// Runs every case, on the federal server, and looks at its memory at the end.
pub async fn run(worlds: &Worlds, report: &mut Report) {
    bodies::run(worlds, report).await;
    xml::run(worlds, report).await;
    requests::run(worlds, report).await;
    tokens::run(worlds, report).await;
    report
        .case("hostile", "after all of it: alive, and not grown", async {
            let world = worlds.get("US").await?;
            alive(&world).await?;
            let resident = resident(&world)?;
            ensure!(resident < 700, "{resident} MB resident");
            Ok(())
        })
        .await;
}

/// Sends a body and demands a refusal with words.
async fn refused(world: &World, kind: &str, body: Vec<u8>, statuses: &[u16]) -> Result<Answer> {
    let headers = [("content-type", kind)];
    let answer = world
        .raw(
            Some(&Who::Feed),
            Method::POST,
            "Patient",
            &headers,
            Some(body),
        )
        .await?;
    answer.expect_outcome(statuses)
}

/// Whatever the answer is, it is none of a server in trouble; errors have an OperationOutcome.
async fn bearable(world: &World, who: &Who, path: &str) -> Result<()> {
    let answer = world.get(who, path).await.with_context(|| short(path))?;
    let status = answer.status.as_u16();
    ensure!(
        status < 500 || status == 501,
        "{}: {status} {}",
        short(path),
        short(&answer.text)
    );
    if status >= 400 {
        answer
            .expect_outcome(&[status])
            .with_context(|| short(path))?;
    }
    Ok(())
}

/// The server still answers, and its database too.
async fn alive(world: &World) -> Result<()> {
    world
        .get(&Who::Feed, "Patient?_count=1")
        .await?
        .expect(200)?;
    let health = format!("{}/health/ready", world.server.public);
    let health = world.raw(None, Method::GET, &health, &[], None).await?;
    health.expect(200)?;
    Ok(())
}

/// Megabytes of memory that the server holds.
pub(crate) fn resident(world: &World) -> Result<u64> {
    let process = world.server.process().context("no process")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    Ok(kilobytes.context("no VmRSS")?.parse::<u64>()? / 1024)
}
