//! `candor import`, killed and started again: the files are loaded once, whole.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt as _;
use serde_json::Value;

use crate::report::Report;
use crate::world::{Who, World};
use crate::worlds::Worlds;

/// Files of one round.
const FILES: usize = 3;

pub async fn run(worlds: &Worlds, report: &mut Report, rounds: u32, data: &[PathBuf]) {
    let files = match bundles(data) {
        Ok(files) => files,
        Err(error) => {
            report
                .case("crash", "files to import", async { Err(error) })
                .await;
            return;
        }
    };
    for round in 0..rounds {
        report
            .case(
                "crash",
                &format!("round {round}: an import is killed and goes on"),
                async {
                    let at = round as usize;
                    let chosen: Vec<&Path> = (0..FILES.min(files.len()))
                        .filter_map(|next| files.get((at * FILES + next) % files.len()))
                        .map(PathBuf::as_path)
                        .collect();
                    let world = World::start(&worlds.candor, &worlds.database, "US").await?;
                    killed_and_resumed(&world, &chosen).await
                },
            )
            .await;
    }
}

async fn killed_and_resumed(world: &World, files: &[&Path]) -> Result<()> {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    let mut arguments = vec!["import"];
    arguments.extend(names.iter().map(String::as_str));
    let mut kills = 0;
    // Killed up to three times, later and later; then left to finish.
    for attempt in 0..3_u64 {
        let mut child = world.server.command(&arguments).spawn()?;
        let wait = Duration::from_millis(rand::rng().random_range(30..600 * (attempt + 1)));
        if tokio::time::timeout(wait, child.wait()).await.is_err() {
            child.start_kill()?;
            child.wait().await?;
            kills += 1;
        }
        // What is there is whole: no reference of a loaded resource dangles within its file.
        let patients = total(world, "Patient?_summary=count").await?;
        ensure!(
            patients <= i64::try_from(files.len())?,
            "{patients} patients of {} files",
            files.len()
        );
    }
    world
        .server
        .run(&arguments, "")
        .await
        .context("the import that is left alone")?;
    let expected = expected(files)?;
    for (type_name, count) in &expected {
        let found = total(world, &format!("{type_name}?_summary=count")).await?;
        ensure!(
            found == *count,
            "{found} {type_name} instead of {count}, after {kills} kills"
        );
    }
    let patients = world.search(&Who::Feed, "Patient?_count=50").await?;
    for patient in crate::world::entries(&patients) {
        let id = patient["id"].as_str().context("an id")?;
        let all = total(world, &format!("Observation?patient={id}&_summary=count")).await?;
        let laboratory = total(
            world,
            &format!("Observation?patient={id}&category=laboratory,vital-signs,survey,social-history,procedure,therapy,exam,imaging,activity&_summary=count"),
        )
        .await?;
        ensure!(all > 0 && laboratory <= all, "{id}: {laboratory} of {all}");
        let family = patient["name"][0]["family"].as_str().unwrap_or_default();
        let query = format!("Patient?family={family}&_id={id}&_summary=count");
        ensure!(total(world, &query).await? == 1, "{query}: not indexed");
    }
    let verify = serde_json::json!({"resourceType": "Parameters"});
    let answer = world
        .request(
            &Who::Auditor,
            reqwest::Method::POST,
            "$verify-ledger",
            Some(&verify),
        )
        .await?;
    let text = answer.expect(200)?.text;
    ensure!(text.contains("true"), "the ledger: {text}");
    Ok(())
}

async fn total(world: &World, query: &str) -> Result<i64> {
    let bundle = world.search(&Who::Feed, query).await?;
    bundle["total"]
        .as_i64()
        .with_context(|| format!("{query}: no total"))
}

/// How many resources of each type the files hold; those that several files share count once.
fn expected(files: &[&Path]) -> Result<BTreeMap<String, i64>> {
    let mut seen = std::collections::HashSet::new();
    let mut counts = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let bundle = read(file)?;
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            let type_name = resource["resourceType"].as_str().context("a resource")?;
            let shared = entry["request"]["ifNoneExist"].as_str();
            let name = match shared {
                Some(condition) => format!("{type_name}?{condition}"),
                None => format!("{number} {}", entry["fullUrl"]),
            };
            if seen.insert(name) {
                *counts.entry(type_name.to_owned()).or_insert(0) += 1;
            }
        }
    }
    Ok(counts)
}

fn read(file: &Path) -> Result<Value> {
    let bytes = std::fs::read(file)?;
    let mut text = String::new();
    if file.extension().is_some_and(|kind| kind == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    Ok(serde_json::from_str(&text)?)
}

/// The files themselves, and those in folders, in order.
fn bundles(data: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in data {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                files.push(entry?.path());
            }
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no file below {data:?}");
    Ok(files)
}
