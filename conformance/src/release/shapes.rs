//! The contract's shapes written in other legal ways: absolute references, Tasks that leave the
//! patient to their focus, roles for practitioners, results that come after their report.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{Chart, link};
use crate::report::Report;
use crate::world::{T0, World, reference};
use crate::worlds::Worlds;

/// References of a resource to this server, made absolute.
fn absolute(world: &World, mut resource: Value) -> Value {
    fn walk(value: &mut Value, base: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "reference" => {
                            *text = format!("{base}/{text}");
                        }
                        _ => walk(value, base),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|one| walk(one, base)),
            _ => {}
        }
    }
    walk(&mut resource, &world.server.fhir());
    resource
}

fn without(mut resource: Value, key: &str) -> Value {
    if let Some(resource) = resource.as_object_mut() {
        resource.remove(key);
    }
    resource
}

pub async fn run(worlds: &Worlds, report: &mut Report) {
    references(worlds, report).await;
    tasks(worlds, report).await;
    clocks(worlds, report).await;
}

async fn references(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "26e a hold with absolute references holds",
            async {
                let (world, chart) = worlds.chart("US", "c26e").await?;
                let held = chart.observation("held", "718-7", 7.0);
                world.put(&held).await?;
                world
                    .put(&absolute(&world, chart.hold("hold", &held)))
                    .await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "44f a directive with absolute references applies",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c44f", |chart| chart.proxy("sam").into())
                    .await?;
                let lab = chart.observation("lab", "718-7", 7.0);
                world.put(&lab).await?;
                let deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                world.put(&absolute(&world, deny)).await?;
                world
                    .expect(&chart.representative("sam"), &lab, false)
                    .await?;
                world.expect(&chart.patient(), &lab, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "44g what a directive attaches is concealed with it",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c44g", |chart| chart.proxy("sam").into())
                    .await?;
                let binary = chart.binary("letter");
                let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                deny["sourceAttachment"] =
                    json!({"contentType": "text/plain", "url": reference(&binary)});
                world.put_all(&[binary.clone(), deny]).await?;
                let path = reference(&binary);
                let sam = world.get(&chart.representative("sam"), &path).await?;
                ensure!(
                    sam.status == 404,
                    "{path} for the representative: {}",
                    sam.status
                );
                let own = world.get(&chart.patient(), &path).await?;
                ensure!(own.status == 200, "{path} for the patient: {}", own.status);
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14c the result comes after its report, the flag is on the order",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14c").await?;
                let order = Chart::flagged(chart.order("order", "md"), "malignancy-likely");
                let result = chart.observation("result", "718-7", 7.0);
                let mut path = chart.radiology("rad", T0);
                path["basedOn"] = json!([link(&order)]);
                path["result"] = json!([link(&result)]);
                world.put(&order).await?;
                // The reference to what is not there yet is let in by a server that does not check.
                world.put(&absolute(&world, path)).await?;
                world.put(&result).await?;
                world.expect(&chart.patient(), &result, false).await?;
                world.pass("PT72H").await?;
                world.expect(&chart.patient(), &result, true).await
            },
        )
        .await;
}

async fn tasks(worlds: &Worlds, report: &mut Report) {
    report
        .case("release", "KY 15e early release without `for`", async {
            let (world, chart) = worlds.chart("US-KY", "ky15e").await?;
            let path = Chart::flagged(chart.pathology("path", T0), "malignancy-likely");
            world.put(&path).await?;
            world.expect(&chart.patient(), &path, false).await?;
            world.pass("PT10H").await?;
            let now = chart.release_now("now", &path, "md", "2026-11-11T01:00:00Z");
            world.put(&without(now, "for")).await?;
            world.expect(&chart.patient(), &path, true).await
        })
        .await;
    report
        .case(
            "release",
            "KY 15f the order names a role of who directs the release",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky15f").await?;
                let role = json!({"resourceType": "PractitionerRole", "id": chart.id("role"),
                "practitioner": chart.to("Practitioner", "other")});
                let mut order = Chart::flagged(chart.order("order", "md"), "malignancy-likely");
                order["requester"] = link(&role);
                let mut path = chart.pathology("path", T0);
                path["basedOn"] = json!([link(&order)]);
                world.put_all(&[role, order, path.clone()]).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world
                    .put(&chart.release_now("now", &path, "other", T0))
                    .await?;
                world.expect(&chart.patient(), &path, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "32b a review without `for` that reverses",
            async {
                let (world, chart) = worlds.chart("US", "c32b").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let hold = chart.hold("hold", &held);
                world.put_all(&[held.clone(), hold.clone()]).await?;
                world.expect(&chart.patient(), &held, false).await?;
                let review = chart.review("review", &hold, "other", Some("reversed"));
                world.put(&without(review, "for")).await?;
                world.expect(&chart.patient(), &held, true).await
            },
        )
        .await;
}

async fn clocks(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "KY 72b a correction keeps the clock of an earlier `issued`",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky72b").await?;
                let mut path = Chart::flagged(
                    chart.pathology("path", "2026-11-08T03:00:00Z"),
                    "malignancy-likely",
                );
                world.put(&path).await?;
                world.pass("PT11H").await?;
                path["status"] = json!("corrected");
                path["issued"] = json!("2026-11-11T02:00:00Z");
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.pass("PT59M59S").await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.pass("PT1S").await?;
                world.expect(&chart.patient(), &path, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "77b what was released is not hidden by its correction",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky77b").await?;
                let mut path = Chart::flagged(
                    chart.pathology("path", "2024-03-01T12:00:00Z"),
                    "malignancy-likely",
                );
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, true).await?;
                path["status"] = json!("corrected");
                path["issued"] = json!(T0);
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "30b a hold that ends by time is an event in the ledger",
            async {
                let (world, chart) = worlds.chart("US", "c30b").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut hold = chart.hold("hold", &held);
                hold["restriction"] = json!({"period": {"end": "2026-11-12T15:00:00Z"}});
                world.put_all(&[held.clone(), hold]).await?;
                world.ledger().await?;
                world.clock("2026-11-12T15:00:00Z").await?;
                world.expect(&chart.patient(), &held, true).await?;
                let ledger = world.ledger().await?;
                let event =
                    ledger.contains("2026-11-12T15:00:00.000Z") && ledger.contains("releasedAt");
                ensure!(event, "no `released` event at the end of the hold");
                ensure!(
                    ledger.contains(&chart.id("held")),
                    "it does not name the resource"
                );
                Ok(())
            },
        )
        .await;
}
