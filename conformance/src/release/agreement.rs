//! One decision for every channel (62), and for whoever comes through it.

use anyhow::ensure;
use serde_json::Value;

use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::{Who, World, entries, next_link, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "62 two apps of one patient get identical sets",
            async {
                let (world, chart) = worlds.chart("US-KY", "c62").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let issued = "2026-11-10T15:00:00Z";
                let mut all: Vec<Value> = vec![
                    chart.psychotherapy_note("psy"),
                    chart.note("note", "11506-3"),
                    chart.pathology("path", issued),
                    chart.lab("lab", "58410-2", issued),
                    chart.observation("free", "718-7", 9.0),
                    chart.condition("dx"),
                    chart.medication_request("rx"),
                    chart.hold("hold", &held),
                ];
                all.push(held);
                world.put_all(&all).await?;
                for instant in [issued, "2026-11-13T15:00:01Z", "2026-12-02T15:00:00Z"] {
                    world.clock(instant).await?;
                    let one = everything(&world, &chart.patient(), &chart).await?;
                    let two = everything(&world, &Who::OtherApp(chart.id("p")), &chart).await?;
                    ensure!(one == two, "at {instant}: {one:?} and {two:?}");
                    let searched = searched(&world, &chart.patient(), &chart).await?;
                    for name in &searched {
                        ensure!(
                            one.contains(name),
                            "$everything lacks {name}, which a search finds"
                        );
                    }
                    for name in one.iter().filter(|name| name.contains("c62-")) {
                        let answer = world.get(&chart.patient(), name).await?;
                        ensure!(
                            answer.status.as_u16() == 200,
                            "{name} in $everything: {}",
                            answer.status
                        );
                    }
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "62b a page fixed at an instant does not grow when a hold ends",
            async {
                let (world, chart) = worlds.chart("US", "c62b").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut hold = chart.hold("hold", &held);
                hold["restriction"] =
                    serde_json::json!({"period": {"end": "2026-11-10T16:00:00Z"}});
                let mut all = vec![held, hold];
                for number in 0..5 {
                    all.push(chart.observation(&format!("n{number}"), "718-7", 9.0));
                }
                world.put_all(&all).await?;
                let patient = chart.patient();
                let query = format!(
                    "Observation?patient={}&_count=2&_total=accurate",
                    chart.id("p")
                );
                let mut bundle = world.search(&patient, &query).await?;
                let total = bundle["total"].as_i64();
                ensure!(total == Some(5), "total {total:?} before the end");
                world.clock("2026-11-10T16:00:01Z").await?;
                let mut walked = entries(&bundle).len();
                while let Some(next) = next_link(&bundle) {
                    bundle = world.search(&patient, &next).await?;
                    walked += entries(&bundle).len();
                    ensure!(walked < 20, "the pages do not end");
                }
                ensure!(
                    walked == 5,
                    "{walked} on the pages of a search that began with 5"
                );
                let total = world.search(&patient, &query).await?["total"].as_i64();
                ensure!(total == Some(6), "total {total:?} after the end");
                Ok(())
            },
        )
        .await;
}

/// References of `$everything`, all pages; of the compartment where there is no `$everything`.
async fn everything(world: &World, who: &Who, chart: &Chart) -> anyhow::Result<Vec<String>> {
    let path = format!("Patient/{}/$everything", chart.id("p"));
    let answer = world.get(who, &path).await?;
    let mut bundle = if answer.status.as_u16() == 501 {
        let path = format!("Patient/{}/*?_count=100", chart.id("p"));
        world.search(who, &path).await?
    } else {
        answer.expect(200)?.json()?
    };
    let mut found: Vec<String> = entries(&bundle).iter().map(reference).collect();
    while let Some(next) = next_link(&bundle) {
        bundle = world.search(who, &next).await?;
        found.extend(entries(&bundle).iter().map(reference));
    }
    found.sort();
    Ok(found)
}

/// References of a search for each type.
async fn searched(world: &World, who: &Who, chart: &Chart) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for type_name in [
        "Observation",
        "DiagnosticReport",
        "DocumentReference",
        "Condition",
        "MedicationRequest",
        "Encounter",
    ] {
        let query = format!("{type_name}?patient={}&_count=100", chart.id("p"));
        found.extend(world.found(who, &query).await?);
    }
    Ok(found)
}
