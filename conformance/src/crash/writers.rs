//! Writers over HTTP: transactions of a patient, a visit, results, a report, an attested note and a
//! hold, from several connections at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixtures::{Chart, link};
use crate::report::Report;
use crate::world::{Who, World, entries, reference, transaction};
use crate::worlds::Worlds;

const WRITERS: usize = 4;

/// One transaction, as sent.
#[derive(Debug, Clone)]
struct Write {
    chart: Chart,
    resources: Vec<Value>,
    acknowledged: bool,
}

pub async fn run(worlds: &Worlds, report: &mut Report, rounds: u32) {
    let world = match World::start(&worlds.candor, &worlds.database, "US").await {
        Ok(world) => world,
        Err(error) => {
            report
                .case("crash", "a server to kill", async { Err(error) })
                .await;
            return;
        }
    };
    // A lock, because the borrow goes over awaits.
    let world = tokio::sync::Mutex::new(world);
    let mut written: Vec<Write> = Vec::new();
    for round in 0..rounds {
        report
            .case(
                "crash",
                &format!("round {round}: the server is killed under its writers"),
                async {
                    // The one borrow: the case has the world to itself.
                    let mut world = world.lock().await;
                    let new = killed_at_work(&mut world, round).await?;
                    let acknowledged = new.iter().filter(|write| write.acknowledged).count();
                    check(&world, &new, true).await.with_context(|| {
                        format!("{acknowledged} acknowledged of {} sent", new.len())
                    })?;
                    written.extend(new);
                    // And a few of the rounds before.
                    let mut random = rand::rng();
                    let old: Vec<Write> = (0..3)
                        .filter_map(|_| {
                            written
                                .get(random.random_range(0..written.len().max(1)))
                                .cloned()
                        })
                        .collect();
                    check(&world, &old, false)
                        .await
                        .context("of an earlier round")?;
                    let verify = json!({"resourceType": "Parameters"});
                    let answer = world
                        .request(&Who::Auditor, Method::POST, "$verify-ledger", Some(&verify))
                        .await?;
                    let text = answer.expect(200)?.text;
                    ensure!(text.contains("true"), "the ledger: {text}");
                    Ok(())
                },
            )
            .await;
    }
}

/// Writes until the server is killed, and starts it again.
async fn killed_at_work(world: &mut World, round: u32) -> Result<Vec<Write>> {
    let token = world.token(&Who::Feed).await?;
    let fhir = world.server.fhir();
    let stop = Rc::new(Cell::new(false));
    let written = Rc::new(RefCell::new(Vec::new()));
    let local = tokio::task::LocalSet::new();
    for writer in 0..WRITERS {
        let (token, fhir) = (token.clone(), fhir.clone());
        let (stop, written) = (Rc::clone(&stop), Rc::clone(&written));
        local.spawn_local(async move {
            let client = reqwest::Client::new();
            let mut number = 0;
            while !stop.get() {
                let chart = Chart::new(&format!("k{round}-{writer}-{number}"));
                number += 1;
                let resources = record(&chart);
                let sent = client
                    .post(&fhir)
                    .bearer_auth(&token)
                    .header("content-type", "application/fhir+json")
                    .header("prefer", "return=minimal")
                    .body(transaction(&resources).to_string())
                    .send()
                    .await;
                // The answer counts when all of it arrived.
                let acknowledged = match sent {
                    Ok(answer) if answer.status() == StatusCode::OK => answer.bytes().await.is_ok(),
                    Ok(_) | Err(_) => false,
                };
                written.borrow_mut().push(Write {
                    chart,
                    resources,
                    acknowledged,
                });
            }
        });
    }
    let wait = Duration::from_millis(rand::rng().random_range(20..1_200));
    local
        .run_until(async {
            tokio::time::sleep(wait).await;
            stop.set(true);
            world.server.kill().await
        })
        .await?;
    local.await;
    let now = world.now().to_string();
    world
        .server
        .restart()
        .await
        .context("the start after SIGKILL")?;
    // It began with the clock on the wall, by which all tokens are old.
    world.clock(&now).await?;
    world.forget_all();
    let written = written.take();
    if written.is_empty() {
        bail!("nothing was sent");
    }
    Ok(written)
}

/// A record in which a hold and an attested note must be decided, and a report cut.
fn record(chart: &Chart) -> Vec<Value> {
    let mut all = chart.people();
    let held = chart.observation("held", "718-7", 7.25);
    let free = chart.observation("free", "2160-0", 1.25);
    let mut report = chart.lab("cbc", "58410-2", "2026-11-10T15:00:00Z");
    report["result"] = json!([link(&held), link(&free)]);
    let hold = chart.hold("hold", &held);
    let note = chart.psychotherapy_note("note");
    all.extend([held, free, report, hold, note]);
    all
}

/// What was acknowledged is whole, indexed and decided; the rest is there as a whole or not at all.
async fn check(world: &World, writes: &[Write], look: bool) -> Result<()> {
    let mut last = None;
    for write in writes {
        let there = presence(world, write).await?;
        let case = &write.chart.case;
        ensure!(
            there || !write.acknowledged,
            "{case} was acknowledged and is gone"
        );
        if there {
            whole(world, write).await.with_context(|| case.clone())?;
            last = Some(write);
        }
    }
    // One record as its patient sees it: sign-in costs too much for all.
    if let Some(write) = last.filter(|_| look) {
        let (chart, patient) = (&write.chart, write.chart.patient());
        for name in ["held", "note"] {
            let resource = write
                .resources
                .iter()
                .find(|one| one["id"] == chart.id(name));
            world
                .expect(&patient, resource.context("a resource")?, false)
                .await?;
        }
        let report = write
            .resources
            .iter()
            .find(|one| one["id"] == chart.id("cbc"));
        let seen = world.read(&patient, report.context("the report")?).await?;
        ensure!(
            seen["result"].as_array().map(Vec::len) == Some(1),
            "the report names the held result: {seen}"
        );
        ensure!(
            seen.get("conclusion").is_none(),
            "the report's words are there"
        );
    }
    Ok(())
}

/// Whether a transaction happened: all of its resources are there, or none is.
async fn presence(world: &World, write: &Write) -> Result<bool> {
    let mut there = 0;
    for resource in &write.resources {
        let answer = world.get(&Who::Feed, &reference(resource)).await?;
        match answer.status {
            StatusCode::OK => {
                let stored = answer.json()?;
                for (name, value) in resource.as_object().into_iter().flatten() {
                    ensure!(
                        name == "meta" || stored.get(name) == Some(value),
                        "{}: {name} is not what was written",
                        reference(resource)
                    );
                }
                there += 1;
            }
            StatusCode::NOT_FOUND => {}
            other => bail!("{}: {other}", reference(resource)),
        }
    }
    ensure!(
        there == 0 || there == write.resources.len(),
        "{}: {there} of {} are there",
        write.chart.case,
        write.resources.len()
    );
    Ok(there > 0)
}

/// Every index row and every decision of a record.
async fn whole(world: &World, write: &Write) -> Result<()> {
    let chart = &write.chart;
    let patient = chart.id("p");
    for (query, count) in [
        (format!("Observation?patient={patient}&code=718-7"), 1),
        (
            format!("Observation?patient={patient}&category=laboratory&value-quantity=1.25"),
            1,
        ),
        (
            format!("Observation?subject:Patient._id={patient}&date=2026-11-10"),
            2,
        ),
        (
            format!(
                "DiagnosticReport?patient={patient}&result=Observation/{}",
                chart.id("held")
            ),
            1,
        ),
        (
            format!("DocumentReference?patient={patient}&type=11506-3"),
            1,
        ),
        (format!("Encounter?patient={patient}"), 1),
        (format!("Task?patient={patient}"), 1),
    ] {
        let bundle = world.search(&Who::Feed, &query).await?;
        let found = entries(&bundle).len();
        ensure!(found == count, "{query}: {found} instead of {count}");
    }
    for (name, rule) in [
        ("held", "R08-HARM-SELF"),
        ("note", "R01-PSYNOTE"),
        ("cbc", "R08-HARM-SELF"),
    ] {
        let resource = write
            .resources
            .iter()
            .find(|one| one["id"] == chart.id(name));
        let decision = world
            .decision(resource.context("a resource")?, "patient")
            .await?
            .to_string();
        ensure!(decision.contains(rule), "{name} is not decided: {decision}");
    }
    Ok(())
}
