//! A fuzzer over HTTP: ordinary and hostile requests in turn, on loopback, bounded and repeatable.
//! No answer may be a 5xx, errors below the FHIR base are OperationOutcomes, nothing that is withheld
//! from a patient may be in an answer to anybody but the feed, and the server's memory stays flat.
//!
//! `conformance --suite fuzz --requests 1000000 --seed 1` (a release build of the server).

mod bodies;
mod generate;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::{Who, World, reference, short};
use crate::worlds::Worlds;
use generate::{Asker, Generator, Request};
use wire::{Reply, Wire};

/// Connections at once.
const CONNECTIONS: u64 = 8;
/// A word that stands only in what is withheld, and in no request.
const SECRET: &str = "Qzxvheld";
/// Megabytes that the server may grow by between a quarter of the way and the end.
const GROWTH: u64 = 96;
/// Of the slowest answers to each kind of asker so many are told.
const SLOWEST: usize = 5;

/// What came back so far.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    statuses: BTreeMap<u16, u64>,
    /// Connections ended without an answer: what was sent was no HTTP.
    unanswered: u64,
    wrong: Vec<String>,
    /// The slowest answers to each kind of asker, slowest first, and what was asked.
    slow: BTreeMap<Asker, Vec<(Duration, String)>>,
}

impl Tally {
    fn took(&mut self, time: Duration, request: &Request) {
        let slow = self.slow.entry(request.asker).or_default();
        let at = slow.partition_point(|(other, _)| *other >= time);
        if at < SLOWEST {
            slow.insert(at, (time, request.told()));
            slow.truncate(SLOWEST);
        }
    }
}

/// Runs so many requests.
pub async fn run(worlds: &Worlds, report: &mut Report, requests: u64, seed: u64) {
    let name = format!("{requests} requests of seed {seed}: no 5xx, nothing withheld, flat memory");
    // Ten requests a second is the worst that a busy machine with a debug build does.
    let limit = Duration::from_secs(60 + requests / 10);
    report
        .case_within("fuzz", &name, limit, fuzz(worlds, requests, seed))
        .await;
}

async fn fuzz(worlds: &Worlds, requests: u64, seed: u64) -> Result<()> {
    let (world, chart) = worlds.chart("US", "fuzz").await?;
    let other = Chart::new("fuzz-other");
    world.put_all(&other.people()).await?;
    let open = record(&chart);
    let secret = withheld(&chart);
    for one in [&open, &secret] {
        world.put_all(one).await?;
    }
    let held = chart.hold("hold", secret.first().context("something to hold")?);
    world.put_all(&[held]).await?;
    // The control: the word is there, and kept from the patient.
    for resource in &secret {
        world.expect(&Who::Feed, resource, true).await?;
        world.expect(&chart.patient(), resource, false).await?;
    }
    let references: Vec<String> = open.iter().chain(&secret).map(reference).collect();
    let tokens = Rc::new([
        world.token(&Who::Feed).await?,
        world.token(&chart.patient()).await?,
        world.token(&other.patient()).await?,
    ]);
    let patients = vec![chart.id("p"), other.id("p")];
    let tally = Rc::new(RefCell::new(Tally::default()));
    let local = tokio::task::LocalSet::new();
    for connection in 0..CONNECTIONS {
        let mut random = Generator::new(
            seed.wrapping_mul(1_000_003).wrapping_add(connection),
            patients.clone(),
            references.clone(),
        );
        let share = requests / CONNECTIONS + u64::from(connection < requests % CONNECTIONS);
        let address = world.server.public.replace("http://", "");
        let (tally, tokens) = (Rc::clone(&tally), Rc::clone(&tokens));
        local.spawn_local(async move {
            let mut wire = Wire::new(&address);
            for _ in 0..share {
                let request = random.next();
                let begun = Instant::now();
                let outcome = ask(&mut wire, &request, tokens.as_slice()).await;
                let mut tally = tally.borrow_mut();
                tally.took(begun.elapsed(), &request);
                tally.asked += 1;
                let complaint = match outcome {
                    Ok(Some(reply)) => {
                        *tally.statuses.entry(reply.status).or_default() += 1;
                        complaint(&request, &reply)
                    }
                    Ok(None) => {
                        tally.unanswered += 1;
                        None
                    }
                    Err(error) => Some(format!("{error:#}")),
                };
                if let Some(complaint) = complaint
                    && tally.wrong.len() < 40
                {
                    tally
                        .wrong
                        .push(format!("{complaint}\n       {}", request.told()));
                }
                if tally.wrong.len() >= 40 {
                    break;
                }
            }
        });
    }
    let watch = watch(&world, Rc::clone(&tally), requests);
    let memory = local.run_until(watch).await?;
    local.await;
    judge(&tally.borrow(), &memory, requests)?;
    world
        .get(&Who::Feed, "Patient?_count=1")
        .await?
        .expect(200)?;
    Ok(())
}

async fn ask(wire: &mut Wire, request: &Request, tokens: &[String]) -> Result<Option<Reply>> {
    let token = match request.asker {
        Asker::Feed => tokens.first().map(String::as_str),
        Asker::Patient => tokens.get(1).map(String::as_str),
        Asker::OtherPatient => tokens.get(2).map(String::as_str),
        Asker::Nobody => None,
        Asker::Forger => Some("bm9ib2R5IGlzc3VlZCB0aGlz"),
    };
    let reply = wire
        .send(&request.bytes(token), request.method == "HEAD")
        .await;
    // After an error the rest of what was sent may be taken for the next request.
    if reply.as_ref().map_or(true, |reply| {
        reply
            .as_ref()
            .is_none_or(|reply| reply.status == 400 || reply.status == 413)
    }) {
        wire.close();
    }
    reply
}

/// What is wrong with an answer.
fn complaint(request: &Request, reply: &Reply) -> Option<String> {
    let text = || short(&String::from_utf8_lossy(&reply.body));
    if reply.status >= 500 && reply.status != 501 {
        return Some(format!("{}: {}", reply.status, text()));
    }
    if !request.asker.may_see_what_is_withheld()
        && reply
            .body
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    {
        return Some(format!(
            "{}: what is withheld is in the answer",
            reply.status
        ));
    }
    let is_fhir =
        request.target.starts_with("/fhir/r4/") && !request.target.contains(".well-known");
    let is_error = reply.status >= 400 && request.method != "HEAD";
    let has_outcome = reply
        .body
        .windows(b"OperationOutcome".len())
        .any(|window| window == b"OperationOutcome");
    // What hyper refuses before any route has seen it has no body.
    let unrouted = reply.body.is_empty() && matches!(reply.status, 400 | 414 | 431);
    (is_fhir && is_error && !has_outcome && !unrouted)
        .then(|| format!("{} without an OperationOutcome: {}", reply.status, text()))
}

/// Samples the server's memory until all is asked: megabytes, by twentieths of the way.
#[expect(clippy::print_stdout, reason = "a command-line program")]
async fn watch(world: &World, tally: Rc<RefCell<Tally>>, requests: u64) -> Result<Vec<u64>> {
    let begun = Instant::now();
    let mut samples: Vec<u64> = Vec::new();
    loop {
        let (asked, wrong) = {
            let tally = tally.borrow();
            (tally.asked, tally.wrong.len())
        };
        let stopped = wrong >= 40;
        let due = requests * (samples.len() as u64) / 20;
        if asked >= due {
            let resident = super::hostile::resident(world)?;
            let rate = asked as f64 / begun.elapsed().as_secs_f64().max(0.001);
            println!(
                "     {asked:>8} requests, {rate:>6.0}/s, {resident:>4} MB resident, {wrong} wrong"
            );
            samples.push(resident);
        }
        if asked >= requests || stopped {
            return Ok(samples);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[expect(clippy::print_stdout, reason = "a command-line program")]
fn judge(tally: &Tally, memory: &[u64], requests: u64) -> Result<()> {
    println!(
        "     statuses {:?}, {} ended without an answer",
        tally.statuses, tally.unanswered
    );
    for (time, told) in tally.slow.values().flatten() {
        println!("     {:>6} ms: {told}", time.as_millis());
    }
    ensure!(
        tally.wrong.is_empty(),
        "{} wrong answers of {}:\n     {}",
        tally.wrong.len(),
        tally.asked,
        tally.wrong.join("\n     ")
    );
    let answered: u64 = tally.statuses.values().sum();
    ensure!(
        answered + tally.unanswered == requests,
        "only {answered} answers"
    );
    // A fuzzer whose tokens have died tests nothing.
    let good = tally.statuses.get(&200).copied().unwrap_or_default();
    ensure!(
        good * 4 > answered,
        "only {good} of {answered} answers are 200"
    );
    let quarter = memory.get(memory.len() / 4).copied().unwrap_or_default();
    let last = memory.last().copied().unwrap_or_default();
    ensure!(
        last <= quarter + GROWTH,
        "memory grew from {quarter} to {last} MB: {memory:?}"
    );
    Ok(())
}

/// What everybody may see.
fn record(chart: &Chart) -> Vec<Value> {
    let mut all = vec![
        chart.condition("c"),
        chart.medication_request("m"),
        chart.note("n", "11506-3"),
        chart.order("o", "md"),
        chart.composition("k", &[("Plan", "Walk")]),
        chart.binary("b"),
    ];
    all.extend(
        (0..30).map(|at| chart.observation(&format!("v{at}"), "718-7", f64::from(at) / 2.0)),
    );
    all
}

/// What is withheld from the patient: an Observation under a hold, an attested note. Both have the
/// word in them.
fn withheld(chart: &Chart) -> Vec<Value> {
    let mut held = chart.observation("held", "4548-4", 9.9);
    held["note"] = json!([{"text": SECRET}]);
    let mut note = chart.psychotherapy_note("psy-note");
    note["description"] = json!(SECRET);
    vec![held, note]
}
