//! Roundabout ways to a withheld resource: batches, older versions, pages fetched before the hold,
//! absolute and versioned references, other formats, operations.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::{Chart, link};
use crate::report::Report;
use crate::world::{Who, World, entries, next_link, reference};
use crate::worlds::Worlds;

const ISSUED: &str = "2026-11-10T15:00:00Z";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    asked(worlds, report).await;
    pointed_at(worlds, report).await;
    older(worlds, report).await;
}

/// Questions that reach further than a read.
async fn asked(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "57b a batch of reads and searches by the patient",
            async {
                let (world, chart) = worlds.chart("US", "l-batch").await?;
                let held = held(&world, &chart).await?;
                let id = held["id"].as_str().unwrap_or_default();
                let unknown = "l-batch-nothg";
                let ask = async |id: &str| -> anyhow::Result<String> {
                    let get = |url: String| json!({"request": {"method": "GET", "url": url}});
                    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [
                        get(format!("Observation/{id}")),
                        get(format!("Observation?_id={id}")),
                        get(format!("Observation/{id}/_history")),
                        get(format!("Observation/{id}/_history/1")),
                        get(format!("Observation?_id={id}&_summary=count")),
                    ]});
                    let answer = world
                        .request(&chart.patient(), Method::POST, "", Some(&bundle))
                        .await?;
                    Ok(format!(
                        "{} {}",
                        answer.status,
                        answer.text.replace(id, "ID")
                    ))
                };
                let (hidden, never) = (ask(id).await?, ask(unknown).await?);
                ensure!(hidden == never, "{hidden} is not {never}");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "57c wildcards of include: everything around it, not it",
            async {
                let (world, chart) = worlds.chart("US", "l-star").await?;
                let held = held(&world, &chart).await?;
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                world.put(&cbc).await?;
                for query in [
                    format!("Patient?_id={}&_revinclude=*", chart.id("p")),
                    format!("DiagnosticReport?_id={}&_include=*", chart.id("cbc")),
                    format!(
                        "DiagnosticReport?_id={}&_include=DiagnosticReport:*",
                        chart.id("cbc")
                    ),
                    format!(
                        "DiagnosticReport?patient={}&_include:iterate=DiagnosticReport:result",
                        chart.id("p")
                    ),
                    format!("Practitioner?_id={}&_revinclude=*", chart.id("md")),
                    format!(
                        "Encounter?_id={}&_revinclude=Observation:encounter",
                        chart.id("visit")
                    ),
                ] {
                    let answer = world.get(&chart.patient(), &query).await?;
                    ensure!(answer.status.as_u16() < 500, "{query}: {}", answer.status);
                    ensure!(!answer.text.contains(&chart.id("held")), "{query} names it");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "57d operations on it look as on an unknown id",
            async {
                let (world, chart) = worlds.chart("US", "l-op").await?;
                let held = held(&world, &chart).await?;
                let id = held["id"].as_str().unwrap_or_default();
                for operation in [
                    "$validate",
                    "$meta",
                    "$everything",
                    "$document",
                    "$release-decision?viewer=patient",
                ] {
                    let ask = async |id: &str| -> anyhow::Result<String> {
                        let path = format!("Observation/{id}/{operation}");
                        let answer = world.get(&chart.patient(), &path).await?;
                        Ok(format!(
                            "{} {}",
                            answer.status,
                            answer.text.replace(id, "ID")
                        ))
                    };
                    let (hidden, never) = (ask(id).await?, ask("l-op-nthg").await?);
                    ensure!(hidden == never, "{operation}: {hidden} is not {never}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "57e searches that are not done do not fall back to everything",
            async {
                let (world, chart) = worlds.chart("US", "l-not").await?;
                let held = held(&world, &chart).await?;
                for query in [
                    "Observation?_text=anything",
                    "Observation?_content=anything",
                    "Observation?_filter=code eq 718-7",
                    "Observation?_query=all",
                    "Observation?_list=x",
                    "Observation?_source=x",
                    "Observation?_type=Observation",
                    "?_type=Observation",
                    "?_id=x",
                ] {
                    let answer = world.get(&chart.patient(), query).await?;
                    ensure!(
                        answer.status.as_u16() < 500 || answer.status.as_u16() == 501,
                        "{query}"
                    );
                    let id = held["id"].as_str().unwrap_or_default();
                    ensure!(!answer.text.contains(id), "{query} shows it");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "59f a next link fetched before the hold",
            async {
                let (world, chart) = worlds.chart("US", "l-next").await?;
                let all: Vec<Value> = (0..4)
                    .map(|number| {
                        chart.observation(&format!("n{number}"), "718-7", f64::from(number))
                    })
                    .collect();
                world.put_all(&all).await?;
                let query = format!("Observation?patient={}&_count=1", chart.id("p"));
                let patient = chart.patient();
                let mut bundle = world.search(&patient, &query).await?;
                let first = entries(&bundle)
                    .first()
                    .map(reference)
                    .context("a first page")?;
                let rest: Vec<&Value> = all.iter().filter(|one| reference(one) != first).collect();
                for (number, one) in rest.iter().enumerate() {
                    world
                        .put(&chart.hold(&format!("hold{number}"), one))
                        .await?;
                }
                let mut seen = 1;
                while let Some(next) = next_link(&bundle) {
                    bundle = world.search(&patient, &next).await?;
                    seen += entries(&bundle).len();
                    ensure!(seen < 10, "the pages do not end");
                }
                ensure!(seen == 1, "{seen} seen, three of them held meanwhile");
                Ok(())
            },
        )
        .await;
}

/// References in other clothes.
async fn pointed_at(worlds: &Worlds, report: &mut Report) {
    for (number, name) in ["absolute", "with a version", "absolute with a version"]
        .into_iter()
        .enumerate()
    {
        report
            .case(
                "release",
                &format!("56h a reference that is {name}"),
                async {
                    let (world, chart) = worlds.chart("US", &format!("l-ref{number}")).await?;
                    let held = held(&world, &chart).await?;
                    let local = reference(&held);
                    let base = world.server.fhir();
                    let text = match number {
                        0 => format!("{base}/{local}"),
                        1 => format!("{local}/_history/1"),
                        _ => format!("{base}/{local}/_history/1"),
                    };
                    let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                    cbc["result"] = json!([{"reference": text}]);
                    let mut panel = chart.observation("panel", "58410-2", 1.0);
                    panel["hasMember"] = json!([{"reference": text}]);
                    world.put_all(&[cbc.clone(), panel.clone()]).await?;
                    for one in [&cbc, &panel] {
                        let seen = world.read(&chart.patient(), one).await?.to_string();
                        ensure!(!seen.contains(&chart.id("held")), "it is named in {seen}");
                    }
                    Ok(())
                },
            )
            .await;
    }
    report
        .case("release", "56i an extension, a contained resource, a logical Binary URL", async {
            let (world, chart) = worlds.chart("US", "l-ext").await?;
            let held = held(&world, &chart).await?;
            let mut lab = chart.observation("lab", "2160-0", 1.0);
            lab["extension"] = json!([{"url": "http://example.org/related", "valueReference": link(&held)}]);
            let mut order = chart.medication_request("rx");
            order["contained"] = json!([{"resourceType": "Provenance", "id": "why",
                "target": [link(&held)], "recorded": ISSUED, "agent": [{"who": {"display": "Dr"}}]}]);
            order["eventHistory"] = json!([{"reference": "#why"}]);
            let mut note = chart.note("note", "11506-3");
            note["context"] = json!({"related": [link(&held)]});
            let all = [lab, order, note];
            world.put_all(&all).await?;
            for one in &all {
                let seen = world.read(&chart.patient(), one).await?.to_string();
                ensure!(!seen.contains(&chart.id("held")), "it is named in {seen}");
            }
            Ok(())
        })
        .await;
    report
        .case(
            "release",
            "56j the cut rendition in XML, in part, in a summary",
            async {
                let (world, chart) = worlds.chart("US", "l-form").await?;
                let held = held(&world, &chart).await?;
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                cbc["conclusion"] = json!("dangerously low");
                world.put(&cbc).await?;
                let path = format!("DiagnosticReport/{}", chart.id("cbc"));
                let query = format!("DiagnosticReport?_id={}", chart.id("cbc"));
                for (path, accept) in [
                    (path.clone(), "application/fhir+xml"),
                    (format!("{path}/_history"), "application/fhir+xml"),
                    (
                        format!("{path}?_elements=result,conclusion"),
                        "application/fhir+json",
                    ),
                    (format!("{path}?_summary=data"), "application/fhir+json"),
                    (
                        format!("{query}&_elements=result,conclusion"),
                        "application/fhir+json",
                    ),
                    (format!("{query}&_summary=true"), "application/fhir+json"),
                    (format!("{query}&_pretty=true"), "application/fhir+json"),
                    (
                        format!("Patient/{}/DiagnosticReport", chart.id("p")),
                        "application/fhir+json",
                    ),
                ] {
                    let headers = [("accept", accept)];
                    let answer = world
                        .request_with(&chart.patient(), Method::GET, &path, &headers, None)
                        .await?;
                    for word in [chart.id("held").as_str(), "dangerously"] {
                        ensure!(
                            !answer.text.contains(word),
                            "{path} {accept}: {word} is there"
                        );
                    }
                }
                Ok(())
            },
        )
        .await;
}

/// Versions from before.
async fn older(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "7b older versions of a report do not tell what the newest may not",
            async {
                let (world, chart) = worlds.chart("US", "l-old").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                cbc["conclusion"] = json!("dangerously low");
                world.put_all(&[held.clone(), cbc.clone()]).await?;
                cbc["status"] = json!("amended");
                world.put(&cbc).await?;
                world.put(&chart.hold("hold", &held)).await?;
                let patient = chart.patient();
                for path in ["/_history/1", "/_history/2", "/_history"] {
                    let path = format!("DiagnosticReport/{}{path}", chart.id("cbc"));
                    let answer = world.get(&patient, &path).await?;
                    for word in [chart.id("held").as_str(), "dangerously"] {
                        ensure!(!answer.text.contains(word), "{path}: {word} is there");
                    }
                }
                for path in [
                    "DiagnosticReport/_history?_count=100",
                    "_history?_count=100",
                ] {
                    let answer = world.get(&patient, path).await?;
                    ensure!(
                        !answer.text.contains("dangerously"),
                        "{path}: the words are there"
                    );
                    ensure!(
                        !answer.text.contains(&chart.id("held")),
                        "{path}: the reference is there"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "7c a path hold on what an older version said",
            async {
                let (world, chart) = worlds.chart("US", "l-old2").await?;
                let mut note =
                    chart.composition("note", &[("Plan", "Walk"), ("Risk", "Would jump")]);
                world.put(&note).await?;
                note["title"] = json!("Progress note, corrected");
                let hold = chart.hold("hold", &note);
                let hold = Chart::with_path(hold, "Composition.section.where(title='Risk')");
                world.put_all(&[note.clone(), hold]).await?;
                for path in ["", "/_history/1", "/_history/2", "/_history"] {
                    let path = format!("Composition/{}{path}", chart.id("note"));
                    let answer = world.get(&chart.patient(), &path).await?;
                    ensure!(!answer.text.contains("jump"), "{path} tells it");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "7d deleted while held: nothing tells that it was",
            async {
                let (world, chart) = worlds.chart("US", "l-del").await?;
                let held = held(&world, &chart).await?;
                world.delete(&held).await?;
                world.expect(&chart.patient(), &held, false).await?;
                world
                    .get(&Who::Feed, &reference(&held))
                    .await?
                    .expect(410)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "7e a note moved to another patient leaves the first one's record",
            async {
                let (world, chart) = worlds.chart("US", "l-move").await?;
                let (_, other) = worlds.chart("US", "l-move2").await?;
                let mut note = chart.note("note", "11506-3");
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, true).await?;
                note["subject"] = other.subject();
                world.put(&note).await?;
                world
                    .get(&chart.patient(), &reference(&note))
                    .await?
                    .expect(404)?;
                let path = format!("{}/_history/1", reference(&note));
                let older = world.get(&other.patient(), &path).await?;
                // Version 1 was the first patient's; the second must not see that name in it.
                ensure!(
                    !older.text.contains(&chart.id("p")),
                    "another patient's reference is shown"
                );
                world.read(&other.patient(), &note).await?;
                let mine = world
                    .found(&chart.patient(), "DocumentReference?_count=50")
                    .await?;
                ensure!(mine.is_empty(), "still found: {mine:?}");
                Ok(())
            },
        )
        .await;
}

/// A result that is held.
async fn held(world: &World, chart: &Chart) -> anyhow::Result<Value> {
    let held = chart.observation("held", "718-7", 7.0);
    world
        .put_all(&[held.clone(), chart.hold("hold", &held)])
        .await?;
    Ok(held)
}
