//! Older versions, and resources about several patients: who sees what of them, and when.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fixtures::{Chart, link};
use crate::report::Report;
use crate::world::{Who, World, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    older(worlds, report).await;
    several(worlds, report).await;
}

/// Demands that somebody sees, or does not see, a version of a resource, by vread and in its history.
async fn version(
    world: &World,
    who: &Who,
    resource: &Value,
    number: u32,
    there: bool,
) -> Result<()> {
    let path = format!("{}/_history/{number}", reference(resource));
    let status = world.get(who, &path).await?.status.as_u16();
    let expected = if there { 200 } else { 404 };
    ensure!(
        status == expected,
        "{path} for {who:?}: {status}, not {expected}"
    );
    let history = world
        .get(who, &format!("{}/_history", reference(resource)))
        .await?;
    let listed = history.text.contains(&format!("/_history/{number}\""))
        || history
            .text
            .contains(&format!("\"versionId\":\"{number}\""));
    ensure!(
        listed == there,
        "the history of {} for {who:?} lists version {number}: {listed}",
        reference(resource)
    );
    Ok(())
}

async fn older(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "42c a suspended representative costs the patient no older version",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c42c", |chart| chart.proxy("ex").into())
                    .await?;
                let mut note = chart.note("note", "11506-3");
                world.put(&note).await?;
                world
                    .put(&chart.suspended(chart.related_person("ex"), ""))
                    .await?;
                note["description"] = json!("second");
                world.put(&note).await?;
                version(&world, &chart.patient(), &note, 1, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "26d older versions are held with the current one, and come back with it",
            async {
                let (world, chart) = worlds.chart("US", "c26d").await?;
                let mut held = chart.observation("held", "718-7", 7.0);
                let mut hold = chart.hold("hold", &held);
                world.put_all(&[held.clone(), hold.clone()]).await?;
                held["valueQuantity"]["value"] = json!(7.5);
                world.put(&held).await?;
                version(&world, &chart.patient(), &held, 1, false).await?;
                hold["status"] = json!("cancelled");
                world.put(&hold).await?;
                version(&world, &chart.patient(), &held, 1, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "49 the study ends: data amended meanwhile is there with its older version",
            async {
                let (world, chart) = worlds.chart("US", "c49h").await?;
                let mut tuple = chart.research();
                world.put_all(&tuple.all()).await?;
                let mut data = chart.of_study(chart.observation("data", "718-7", 7.0));
                world.put(&data).await?;
                data["valueQuantity"]["value"] = json!(7.5);
                world.put(&data).await?;
                version(&world, &chart.patient(), &data, 1, false).await?;
                tuple.study["status"] = json!("completed");
                world.put(&tuple.study).await?;
                version(&world, &chart.patient(), &data, 1, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "7c an older version that names what is held later",
            async {
                let (world, chart) = worlds.chart("US", "c7c").await?;
                let lab = chart.observation("lab", "718-7", 7.0);
                let mut report = chart.lab("report", "58410-2", "2026-11-10T15:00:00Z");
                report["result"] = json!([link(&lab)]);
                report["conclusion"] = json!("Hemoglobin very low.");
                world.put_all(&[lab.clone(), report.clone()]).await?;
                if let Some(report) = report.as_object_mut() {
                    report.remove("result");
                    report.remove("conclusion");
                }
                world.put(&report).await?;
                version(&world, &chart.patient(), &report, 1, true).await?;
                world.put(&chart.hold("hold", &lab)).await?;
                version(&world, &chart.patient(), &report, 1, false).await?;
                version(&world, &chart.patient(), &report, 2, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14b a preliminary version waits as long as the final one, no longer",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14b").await?;
                let mut path = Chart::flagged(
                    chart.pathology("path", "2026-11-10T15:00:00Z"),
                    "malignancy-likely",
                );
                path["status"] = json!("preliminary");
                world.put(&path).await?;
                path["status"] = json!("final");
                world.put(&path).await?;
                version(&world, &chart.patient(), &path, 1, false).await?;
                world.pass("PT72H").await?;
                world.expect(&chart.patient(), &path, true).await?;
                version(&world, &chart.patient(), &path, 1, true).await
            },
        )
        .await;
}

async fn several(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "44e an appointment of two patients: each sees it without the other",
            async {
                let (world, chart) = worlds.chart("US", "two-a").await?;
                let other = Chart::new("two-b");
                world.put_all(&other.people()).await?;
                let actor =
                    |who: Value| json!({"actor": who, "status": "accepted", "required": "required"});
                let appointment = json!({
                    "resourceType": "Appointment", "id": chart.id("visit"), "status": "booked",
                    "start": "2026-12-01T15:00:00Z", "end": "2026-12-01T15:30:00Z",
                    "participant": [actor(chart.subject()), actor(other.subject()),
                        actor(chart.to("Practitioner", "md"))],
                });
                world.put(&appointment).await?;
                for (own, foreign) in [(&chart, &other), (&other, &chart)] {
                    world.expect(&own.patient(), &appointment, true).await?;
                    for query in [
                        reference(&appointment),
                        "Appointment".to_owned(),
                        "Appointment?status=booked".to_owned(),
                        "Appointment?_sort=date".to_owned(),
                    ] {
                        let answer = world.get(&own.patient(), &query).await?.expect(200)?;
                        ensure!(
                            answer.text.contains(&own.id("p")),
                            "{query}: the own part is missing"
                        );
                        ensure!(
                            !answer.text.contains(&foreign.id("p")),
                            "{query} names the other patient"
                        );
                    }
                    let probe = format!("Appointment?actor=Patient/{}", foreign.id("p"));
                    let found = world.found(&own.patient(), &probe).await?;
                    ensure!(found.is_empty(), "{probe} finds it");
                    let count = format!("Appointment?actor=Patient/{}&_total=accurate", own.id("p"));
                    let total = world.search(&own.patient(), &count).await?["total"].clone();
                    ensure!(total == 1, "{count}: {total}");
                }
                // The hospital sees it whole, and once.
                for query in [
                    format!("Appointment?actor=Practitioner/{}", chart.id("md")),
                    format!("Appointment?patient={}&_sort=date", other.id("p")),
                    format!("Appointment?_id={}&status=booked", chart.id("visit")),
                ] {
                    let found = world
                        .search(&Who::Feed, &format!("{query}&_total=accurate"))
                        .await?;
                    ensure!(found["total"] == 1, "{query}: total {}", found["total"]);
                    let entries = found["entry"].as_array().map_or(0, Vec::len);
                    ensure!(entries == 1, "{query}: {entries} entries");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "42d a suspended representative sees no appointment either",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c42d", |chart| chart.proxy("ex").into())
                    .await?;
                let appointment = json!({
                    "resourceType": "Appointment", "id": chart.id("visit"), "status": "booked",
                    "participant": [{"actor": chart.subject(), "status": "accepted"}],
                });
                world.put(&appointment).await?;
                let ex = chart.representative("ex");
                world.expect(&ex, &appointment, true).await?;
                world
                    .put(&chart.suspended(chart.related_person("ex"), ""))
                    .await?;
                world.expect(&ex, &appointment, false).await?;
                world.expect(&chart.patient(), &appointment, true).await
            },
        )
        .await;
}
