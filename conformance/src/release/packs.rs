//! State packs: Texas, Kentucky, Montana. Local days, daylight saving, early release, related
//! results, and nothing beyond what the law names.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{Chart, link};
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

/// 10:00 in Chicago.
const MORNING: &str = "2026-11-10T16:00:00Z";
const ISSUED: &str = "2026-11-10T15:00:00Z";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    texas(worlds, report).await;
    kentucky(worlds, report).await;
    early(worlds, report).await;
    related(worlds, report).await;
    montana(worlds, report).await;
    california(worlds, report).await;
}

async fn texas(worlds: &Worlds, report: &mut Report) {
    // Finalised, last hidden second, first visible second.
    let days = [
        (
            "11, 12 the third day after the date, not 72 hours",
            MORNING,
            "2026-11-13T05:59:59Z",
            "2026-11-13T06:00:00Z",
        ),
        (
            "12b finalised at 23:30 local, which is the next day in UTC",
            "2026-11-11T05:30:00Z",
            "2026-11-13T05:59:59Z",
            "2026-11-13T06:00:00Z",
        ),
        (
            "12c finalised at 00:30 local",
            "2026-11-10T06:30:00Z",
            "2026-11-13T05:59:59Z",
            "2026-11-13T06:00:00Z",
        ),
        (
            "12d across the end of daylight saving",
            "2026-10-30T15:00:00Z",
            "2026-11-02T05:59:59Z",
            "2026-11-02T06:00:00Z",
        ),
        (
            "12e across the start of daylight saving",
            "2027-03-12T16:00:00Z",
            "2027-03-15T04:59:59Z",
            "2027-03-15T05:00:00Z",
        ),
        (
            "12f across the end of the year",
            "2026-12-30T16:00:00Z",
            "2027-01-02T05:59:59Z",
            "2027-01-02T06:00:00Z",
        ),
    ];
    for (number, (name, issued, last, first)) in days.into_iter().enumerate() {
        report
            .case("release", &format!("TX {name}"), async {
                let (world, chart) = worlds.chart("US-TX", &format!("tx{number}")).await?;
                world.clock(issued).await?;
                let path = chart.pathology("path", issued);
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.clock(last).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.clock(first).await?;
                world.expect(&chart.patient(), &path, true).await
            })
            .await;
    }
    report
        .case("release", "TX 15 the law gives no early release", async {
            let (world, chart) = worlds.chart("US-TX", "tx15").await?;
            let path = chart.pathology("path", ISSUED);
            world.put(&path).await?;
            world.pass("PT1H").await?;
            let now = chart.release_now("now", &path, "md", "2026-11-10T16:00:00Z");
            world.put(&now).await?;
            world.expect(&chart.patient(), &path, false).await?;
            let ledger = world.ledger().await?;
            ensure!(
                ledger.contains("override_refused"),
                "the ledger has no override_refused"
            );
            Ok(())
        })
        .await;
    report
        .case(
            "release",
            "TX 72 corrected during the delay: the clock is not restarted",
            async {
                let (world, chart) = worlds.chart("US-TX", "tx72").await?;
                world.clock(MORNING).await?;
                let mut path = chart.pathology("path", MORNING);
                world.put(&path).await?;
                world.clock("2026-11-12T16:00:00Z").await?;
                path["status"] = json!("corrected");
                path["issued"] = json!("2026-11-12T16:00:00Z");
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.clock("2026-11-13T06:00:01Z").await?;
                world.expect(&chart.patient(), &path, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "TX R00 what the law does not name is there at once",
            async {
                let (world, chart) = worlds.chart("US-TX", "tx-free").await?;
                let all = [
                    chart.lab("lipids", "57698-3", ISSUED),
                    chart.radiology("xray", ISSUED),
                    chart.note("note", "11506-3"),
                    chart.observation("hb", "718-7", 12.0),
                ];
                world.put_all(&all).await?;
                for resource in &all {
                    world.expect(&chart.patient(), resource, true).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "TX 11b representatives wait as well; clinicians do not",
            async {
                let (world, chart) = worlds
                    .chart_with("US-TX", "tx11b", |chart| chart.proxy("sam").into())
                    .await?;
                let path = chart.pathology("path", ISSUED);
                world.put(&path).await?;
                world
                    .expect(&chart.representative("sam"), &path, false)
                    .await?;
                let read = format!("DiagnosticReport/{}", chart.id("path"));
                world
                    .get(&Who::Clinician(chart.id("md")), &read)
                    .await?
                    .expect(200)?;
                world.clock("2026-11-13T06:00:01Z").await?;
                world
                    .expect(&chart.representative("sam"), &path, true)
                    .await
            },
        )
        .await;
}

async fn kentucky(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "KY 14 malignant radiology, 71:59 and 72:00 hours",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14").await?;
                let ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                world.put(&ct).await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.expect(&Who::Feed, &ct, true).await?;
                world.clock("2026-11-13T14:59:00Z").await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14b no issued: counted from when it was stored as final",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14b").await?;
                let mut ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                without(&mut ct, "issued");
                world.clock("2026-11-10T20:00:00Z").await?;
                world.put(&ct).await?;
                world.clock("2026-11-13T19:59:59Z").await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-13T20:00:00Z").await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14c an old result that arrives today is past its time",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14c").await?;
                let ct = chart.radiology("ct", "2024-03-01T10:00:00Z");
                let ct = Chart::flagged(ct, "malignancy-likely");
                world.put(&ct).await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14d genetic markers and pathology by their codes",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14d").await?;
                let gene = chart.lab("gene", "51969-4", ISSUED);
                let path = chart.pathology("path", ISSUED);
                let mut note = chart.note("note", "11526-1");
                note["date"] = json!(ISSUED);
                let all = [gene, path, note];
                world.put_all(&all).await?;
                for resource in &all {
                    world.expect(&chart.patient(), resource, false).await?;
                }
                world.clock("2026-11-13T15:00:00Z").await?;
                for resource in &all {
                    world.expect(&chart.patient(), resource, true).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 17 a routine lipid panel, an unflagged x-ray, an HIV result",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky17").await?;
                let all = [
                    chart.lab("lipids", "57698-3", ISSUED),
                    chart.radiology("xray", ISSUED),
                    Chart::flagged(chart.observation("hiv", "75622-1", 1.0), "hiv"),
                ];
                world.put_all(&all).await?;
                for resource in &all {
                    world.expect(&chart.patient(), resource, true).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 14e the flag comes with a later version",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky14e").await?;
                let plain = chart.radiology("ct", ISSUED);
                world.put(&plain).await?;
                world.expect(&chart.patient(), &plain, true).await?;
                world.clock("2026-11-11T15:00:00Z").await?;
                let mut flagged = Chart::flagged(plain, "malignancy-likely");
                flagged["status"] = json!("amended");
                world.put(&flagged).await?;
                world.expect(&chart.patient(), &flagged, false).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &flagged, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 74 with the patient's own delay: the longer, both bases listed",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky74").await?;
                let ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                let delay = chart.delay("delay", "2026-11-15T15:00:00Z", Some(&ct));
                world.put_all(&[ct.clone(), delay]).await?;
                world.clock("2026-11-13T15:00:01Z").await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock(ISSUED).await?;
                let decision = world.decision(&ct, "patient").await?.to_string();
                for rule in ["R21-KY", "R13-PTDELAY"] {
                    ensure!(decision.contains(rule), "{rule} is not listed: {decision}");
                }
                world.clock("2026-11-15T15:00:01Z").await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY 30 a hold outlasts the law's delay; the law outlasts a cancelled hold",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky30").await?;
                let ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                let mut hold = chart.hold("hold", &ct);
                world.put_all(&[ct.clone(), hold.clone()]).await?;
                world.clock("2026-11-13T15:00:01Z").await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-11T15:00:00Z").await?;
                hold["status"] = json!("cancelled");
                world.put(&hold).await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-13T15:00:01Z").await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
}

/// Who may release early in Kentucky, and who may not.
async fn early(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "KY 15 the ordering provider directs at +10 h",
            async {
                let (world, chart) = worlds
                    .chart_with("US-KY", "ky15", |chart| vec![chart.order("order", "other")])
                    .await?;
                let mut ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                ct["basedOn"] = json!([chart.to("ServiceRequest", "order")]);
                world.put(&ct).await?;
                world.clock("2026-11-11T00:59:59Z").await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-11T01:00:00Z").await?;
                let now = chart.release_now("now", &ct, "other", "2026-11-11T01:00:00Z");
                world.put(&now).await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case("release", "KY 15c a treating provider directs", async {
            let (world, chart) = worlds.chart("US-KY", "ky15c").await?;
            let mut ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
            ct["encounter"] = chart.to("Encounter", "visit");
            world.put(&ct).await?;
            world
                .put(&chart.release_now("now", &ct, "md", ISSUED))
                .await?;
            world.expect(&chart.patient(), &ct, true).await
        })
        .await;
    for by in ["other", "clerk"] {
        report
            .case(
                "release",
                &format!("KY 15d not by one who neither treats nor ordered: {by}"),
                async {
                    let case = format!("ky15d-{by}");
                    let (world, chart) = worlds
                        .chart_with("US-KY", &case, |chart| vec![chart.order("order", "md")])
                        .await?;
                    let mut ct = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
                    ct["basedOn"] = json!([chart.to("ServiceRequest", "order")]);
                    world.put(&ct).await?;
                    let answer = world
                        .try_put(&chart.release_now("now", &ct, by, ISSUED))
                        .await?;
                    ensure!(
                        answer.status.is_success() || answer.status.as_u16() == 422,
                        "{}",
                        answer.status
                    );
                    world.expect(&chart.patient(), &ct, false).await
                },
            )
            .await;
    }
    report
        .case(
            "release",
            "KY 15e early release of the one says nothing of the other",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky15e").await?;
                let one = Chart::flagged(chart.radiology("one", ISSUED), "malignancy-likely");
                let two = Chart::flagged(chart.radiology("two", ISSUED), "malignancy-likely");
                world.put_all(&[one.clone(), two.clone()]).await?;
                world
                    .put(&chart.release_now("now", &one, "md", ISSUED))
                    .await?;
                world.expect(&chart.patient(), &one, true).await?;
                world.expect(&chart.patient(), &two, false).await
            },
        )
        .await;
}

async fn related(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "KY flag on the order, reached through basedOn; set later as well",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky-order").await?;
                let order = chart.order("order", "md");
                let mut ct = chart.radiology("ct", ISSUED);
                ct["basedOn"] = json!([link(&order)]);
                world.put_all(&[order.clone(), ct.clone()]).await?;
                world.expect(&chart.patient(), &ct, true).await?;
                world
                    .put(&Chart::flagged(order, "malignancy-likely"))
                    .await?;
                world.expect(&chart.patient(), &ct, false).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &ct, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY the results of a delayed report wait with it",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky-result").await?;
                let value = chart.observation("value", "718-7", 9.0);
                let free = chart.observation("free", "718-7", 9.5);
                let mut path = chart.pathology("path", ISSUED);
                path["result"] = json!([link(&value)]);
                world.put_all(&[value.clone(), free.clone()]).await?;
                world.expect(&chart.patient(), &value, true).await?;
                world.put(&path).await?;
                world.expect(&chart.patient(), &path, false).await?;
                world.expect(&chart.patient(), &value, false).await?;
                world.expect(&chart.patient(), &free, true).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &value, true).await?;
                world.expect(&chart.patient(), &path, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY a document of the same flagged order waits too",
            async {
                let (world, chart) = worlds
                    .chart_with("US-KY", "ky-doc", |chart| {
                        vec![Chart::flagged(
                            chart.order("order", "md"),
                            "malignancy-likely",
                        )]
                    })
                    .await?;
                let mut note = chart.note("note", "18748-4");
                note["context"] = json!({"related": [chart.to("ServiceRequest", "order")]});
                let mut value = chart.observation("value", "718-7", 9.0);
                value["basedOn"] = json!([chart.to("ServiceRequest", "order")]);
                world.put_all(&[note.clone(), value.clone()]).await?;
                world.expect(&chart.patient(), &note, false).await?;
                world.expect(&chart.patient(), &value, false).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &note, true).await?;
                world.expect(&chart.patient(), &value, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY early release of the report releases its results",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky-now").await?;
                let value = chart.observation("value", "718-7", 9.0);
                let mut path = chart.pathology("path", ISSUED);
                path["result"] = json!([link(&value)]);
                world.put_all(&[value.clone(), path.clone()]).await?;
                world.expect(&chart.patient(), &value, false).await?;
                world
                    .put(&chart.release_now("now", &path, "md", ISSUED))
                    .await?;
                world.expect(&chart.patient(), &path, true).await?;
                world.expect(&chart.patient(), &value, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "KY the order itself is not delayed, and names no hidden result",
            async {
                let (world, chart) = worlds.chart("US-KY", "ky-self").await?;
                let order = chart.order("order", "md");
                let mut path = chart.pathology("path", ISSUED);
                path["basedOn"] = json!([link(&order)]);
                world.put_all(&[order.clone(), path.clone()]).await?;
                world.expect(&chart.patient(), &order, true).await?;
                world.expect(&chart.patient(), &path, false).await?;
                let query = format!(
                    "ServiceRequest?_id={}&_revinclude=DiagnosticReport:based-on",
                    chart.id("order")
                );
                let found = world.found(&chart.patient(), &query).await?;
                ensure!(found.len() == 1, "{query}: {found:?}");
                Ok(())
            },
        )
        .await;
}

async fn montana(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "MT 19a HIV finalised on 2026-06-30, before the law: at once",
            async {
                let (world, chart) = worlds.chart("US-MT", "mt19a").await?;
                world.clock("2026-06-30T15:00:00Z").await?;
                let mut hiv = positive(&chart);
                hiv["issued"] = json!("2026-06-30T15:00:00Z");
                world.put(&hiv).await?;
                world.expect(&chart.patient(), &hiv, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "MT 19b HIV finalised on 2026-11-10: delayed, released at +72 h",
            async {
                let (world, chart) = worlds.chart("US-MT", "mt19b").await?;
                let hiv = positive(&chart);
                world.put(&hiv).await?;
                world.expect(&chart.patient(), &hiv, false).await?;
                world.clock("2026-11-13T14:59:59Z").await?;
                world.expect(&chart.patient(), &hiv, false).await?;
                world.clock("2026-11-13T15:00:00Z").await?;
                world.expect(&chart.patient(), &hiv, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "MT 15 or when the provider directs, whichever is first",
            async {
                let (world, chart) = worlds.chart("US-MT", "mt15").await?;
                let hiv = positive(&chart);
                world.put(&hiv).await?;
                world
                    .put(&chart.release_now("now", &hiv, "md", ISSUED))
                    .await?;
                world.expect(&chart.patient(), &hiv, true).await
            },
        )
        .await;
}

async fn california(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "CA 22 until discussed and requested, however long; an alarm after a day",
            async {
                let (world, chart) = worlds.chart("US-CA", "ca22").await?;
                let hiv = positive(&chart);
                let lipids = chart.lab("lipids", "57698-3", ISSUED);
                world.put_all(&[hiv.clone(), lipids.clone()]).await?;
                world.expect(&chart.patient(), &hiv, false).await?;
                world.expect(&chart.patient(), &lipids, true).await?;
                world.ledger().await?;
                world.clock("2026-11-11T15:00:01Z").await?;
                let ledger = world.ledger().await?;
                ensure!(ledger.contains("alarm"), "no alarm after 24 hours");
                world.clock("2026-12-10T15:00:00Z").await?;
                world.expect(&chart.patient(), &hiv, false).await?;
                let talked = |requested: bool| {
                    let mut task = chart.release_now("talk", &hiv, "md", "2026-12-10T15:00:00Z");
                    task["code"]["coding"][0]["code"] = json!("discussed-with-patient");
                    task["input"] = json!([{"type": {"text": "patient-requested"},
                        "valueBoolean": requested}]);
                    task
                };
                world.put(&talked(false)).await?;
                world.expect(&chart.patient(), &hiv, false).await?;
                world.put(&talked(true)).await?;
                world.expect(&chart.patient(), &hiv, true).await
            },
        )
        .await;
    report
        .case("release", "CA 15 or when the provider directs", async {
            let (world, chart) = worlds.chart("US-CA", "ca15").await?;
            let hiv = positive(&chart);
            world.put(&hiv).await?;
            world.expect(&chart.patient(), &hiv, false).await?;
            world
                .put(&chart.release_now("now", &hiv, "md", ISSUED))
                .await?;
            world.expect(&chart.patient(), &hiv, true).await
        })
        .await;
}

fn positive(chart: &Chart) -> Value {
    let mut hiv = Chart::flagged(chart.observation("hiv", "75622-1", 1.0), "hiv");
    without(&mut hiv, "valueQuantity");
    hiv["valueCodeableConcept"] = json!({"coding": [{"system": "http://snomed.info/sct",
        "code": "10828004", "display": "Positive"}]});
    hiv
}

fn without(resource: &mut Value, key: &str) {
    if let Some(object) = resource.as_object_mut() {
        object.remove(key);
    }
}
