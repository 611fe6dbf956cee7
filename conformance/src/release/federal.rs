//! Federal law alone: everything final is there at once (R00), and a label proves nothing.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fixtures::{ACT_CODE, Chart, concept, link};
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

const ISSUED: &str = "2026-11-10T15:00:00Z";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "1 a final progress note, one second later",
            async {
                let (world, chart) = worlds.chart("US", "c1").await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, true).await?;
                world.clock("2026-11-10T15:00:01Z").await?;
                world.expect(&chart.patient(), &note, true).await?;
                world.expect(&Who::Feed, &note, true).await
            },
        )
        .await;
    seen(
        worlds,
        report,
        "2 a final blood count and its report",
        "c2",
        |chart| {
            let count = chart.observation("hb", "718-7", 13.1);
            let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
            cbc["result"] = json!([link(&count)]);
            vec![count, cbc]
        },
    )
    .await;
    seen(
        worlds,
        report,
        "3 malignant pathology, genetic and HIV results at once",
        "c3",
        |chart| {
            let pathology = Chart::flagged(chart.pathology("path", ISSUED), "malignancy-likely");
            let imaging = Chart::flagged(chart.radiology("ct", ISSUED), "malignancy-likely");
            let gene = Chart::flagged(chart.lab("gene", "51969-4", ISSUED), "genetic-marker");
            let hiv = Chart::flagged(chart.observation("hiv", "75622-1", 1.0), "hiv");
            vec![pathology, imaging, gene, hiv]
        },
    )
    .await;
    seen(
        worlds,
        report,
        "5 a psychiatry progress note with a PSY label",
        "c5",
        |chart| {
            let note = Chart::labelled(chart.note("note", "28627-8"), ACT_CODE, "PSY");
            let consult = Chart::labelled(chart.note("consult", "34788-0"), ACT_CODE, "MH");
            vec![note, consult]
        },
    )
    .await;
    seen(
        worlds,
        report,
        "5b sensitivity labels alone withhold nothing",
        "c5b",
        |chart| {
            let codes = [
                "HIV", "STD", "SUD", "ETH", "GDIS", "SDV", "TBOO", "NOPAT", "PHY", "CEL", "PSYTHPN",
            ];
            let mut notes: Vec<Value> = codes
                .iter()
                .map(|code| {
                    let note = chart.note(&format!("note-{}", code.to_lowercase()), "11488-4");
                    Chart::labelled(note, ACT_CODE, code)
                })
                .collect();
            let confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
            for code in ["R", "V"] {
                let lab = chart.observation(&format!("lab-{}", code.to_lowercase()), "718-7", 9.0);
                notes.push(Chart::labelled(lab, confidentiality, code));
            }
            notes
        },
    )
    .await;
    seen(worlds, report, "9 a therapy visit: times, modality, medication, diagnosis, plan", "c9", |chart| {
        let mut visit = chart.visit("therapy", "psy");
        visit["type"] = json!([concept("http://www.ama-assn.org/go/cpt", "90837")]);
        visit["period"] = json!({"start": "2026-11-10T14:00:00Z", "end": "2026-11-10T14:53:00Z"});
        let mut plan = json!({
            "resourceType": "CarePlan", "id": chart.id("plan"), "status": "active",
            "intent": "plan", "subject": chart.subject(),
            "category": [concept("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")],
        });
        plan["text"] = json!({"status": "generated",
            "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Weekly sessions</div>"});
        let mut diagnosis = chart.condition("dx");
        diagnosis["encounter"] = link(&visit);
        let mut medicine = chart.medication_request("rx");
        medicine["encounter"] = link(&visit);
        let mut test = chart.observation("phq9", "44261-6", 17.0);
        test["encounter"] = link(&visit);
        vec![visit, plan, diagnosis, medicine, test]
    })
    .await;
    seen(
        worlds,
        report,
        "52 a Part 2 record for the patient",
        "c52",
        |chart| {
            let note = Chart::labelled(chart.note("note", "11506-3"), ACT_CODE, "42CFRPart2");
            let lab = Chart::labelled(
                chart.observation("lab", "3426-4", 1.0),
                ACT_CODE,
                "42CFRPart2",
            );
            vec![note, lab]
        },
    )
    .await;
    seen(
        worlds,
        report,
        "1b every document class of the core set",
        "c1b",
        |chart| {
            let codes = [
                "11488-4", "34117-2", "18842-5", "28570-0", "18748-4", "11502-2", "11526-1",
                "11504-8", "34111-5", "34746-8", "34748-4", "57133-1", "51847-2",
            ];
            let note = |code: &&str| chart.note(&format!("n{code}"), code);
            codes.iter().map(note).collect()
        },
    )
    .await;
    report
        .case(
            "release",
            "1c an amended report and an appended one",
            async {
                let (world, chart) = worlds.chart("US", "c1c").await?;
                let mut lab = chart.lab("lab", "58410-2", ISSUED);
                world.put(&lab).await?;
                for status in ["amended", "corrected", "appended"] {
                    lab["status"] = json!(status);
                    lab["conclusion"] = json!(format!("{status} text"));
                    world.put(&lab).await?;
                    world.expect(&chart.patient(), &lab, true).await?;
                    let read = world.read(&chart.patient(), &lab).await?;
                    ensure!(
                        read["conclusion"] == lab["conclusion"],
                        "an older text was read"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "R00 nobody else's record: another patient sees none of it",
            async {
                let (world, one) = worlds.chart("US", "r00a").await?;
                let (_, other) = worlds.chart("US", "r00b").await?;
                let note = one.note("note", "11506-3");
                let lab = one.observation("lab", "718-7", 11.0);
                world.put_all(&[note.clone(), lab.clone()]).await?;
                for resource in [&note, &lab, &one.people()[0]] {
                    world.expect(&one.patient(), resource, true).await?;
                    world.expect(&other.patient(), resource, false).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "25 jurisdiction unknown: released, and somebody hears of it",
            async {
                let (world, chart) = worlds.chart("unknown", "c25u").await?;
                let flagged = Chart::flagged(chart.pathology("path", ISSUED), "malignancy-likely");
                world.put(&flagged).await?;
                world.expect(&chart.patient(), &flagged, true).await?;
                let ledger = world.ledger().await?;
                ensure!(
                    ledger.contains("jurisdiction_unknown"),
                    "the ledger does not say so"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "25 a state without a law of its own: released",
            async {
                let (world, chart) = worlds.chart("US-WY", "c25").await?;
                let flagged = Chart::flagged(chart.pathology("path", ISSUED), "malignancy-likely");
                world.put(&flagged).await?;
                world.expect(&chart.patient(), &flagged, true).await
            },
        )
        .await;
}

/// A case in which the patient sees everything that is written, at once.
async fn seen(
    worlds: &Worlds,
    report: &mut Report,
    name: &str,
    case: &str,
    resources: impl Fn(&Chart) -> Vec<Value>,
) {
    let body = async {
        let (world, chart) = worlds.chart("US", case).await?;
        let resources = resources(&chart);
        world.put_all(&resources).await?;
        for resource in &resources {
            world.expect(&chart.patient(), resource, true).await?;
        }
        Result::Ok(())
    };
    report.case("release", name, body).await;
}
