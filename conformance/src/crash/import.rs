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
const FILES: usize = 5;

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
    let mut whole = Duration::from_secs(1);
    report
        .case(
            "crash",
            "an import that nobody kills, to know how long it takes",
            async {
                let world = World::start(&worlds.candor, &worlds.database, "US").await?;
                let chosen: Vec<&Path> = files.iter().take(FILES).map(PathBuf::as_path).collect();
                let begun = std::time::Instant::now();
                world.server.run(&arguments(&chosen), "").await?;
                whole = begun.elapsed();
                Ok(())
            },
        )
        .await;
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
                    killed_and_resumed(&world, &chosen, whole).await
                },
            )
            .await;
    }
}

async fn killed_and_resumed(world: &World, files: &[&Path], whole: Duration) -> Result<()> {
    let arguments = arguments(files);
    let mut kills = 0;
    // Killed up to three times, anywhere between its first and its last moment; then left alone.
    for _ in 0..3 {
        let mut child = world.server.command(&arguments).spawn()?;
        let wait = whole.mul_f64(rand::rng().random_range(0.02..0.98));
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

/// `import` and the files.
fn arguments<'a>(files: &[&'a Path]) -> Vec<&'a str> {
    let names = files.iter().filter_map(|file| file.to_str());
    std::iter::once("import").chain(names).collect()
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
    for file in files {
        let bundle = read(file)?;
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            let type_name = resource["resourceType"].as_str().context("a resource")?;
            let shared = entry["request"]["ifNoneExist"].as_str();
            let name = match shared {
                Some(condition) => format!("{type_name}?{condition}"),
                // An import takes a urn:uuid for who something is, in whatever file it stands.
                None => format!("{type_name} {}", entry["fullUrl"]),
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
