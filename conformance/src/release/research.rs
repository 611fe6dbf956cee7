//! R04 and R05: access to data of treatment research, suspended only with the whole evidence.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{CB, Tuple};
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

type Change = fn(&mut Tuple);

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "47 the tuple is complete: withheld, citing (a)(2)(iii)",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c47", |chart| chart.research().all())
                    .await?;
                let lab = chart.of_study(chart.observation("lab", "718-7", 9.0));
                world.put(&lab).await?;
                world.expect(&chart.patient(), &lab, false).await?;
                world.expect(&Who::Feed, &lab, true).await?;
                let query = format!("Observation?patient={}", chart.id("p"));
                let asked = [("prefer", "withheld-notice")];
                let told = world
                    .request_with(&chart.patient(), reqwest::Method::GET, &query, &asked, None)
                    .await?;
                ensure!(
                    told.text.contains("(a)(2)(iii)"),
                    "the notice does not cite it: {}",
                    told.text
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "47b the data arrive before study, consent and participation",
            async {
                let (world, chart) = worlds.chart("US", "c47b").await?;
                let lab = chart.of_study(chart.observation("lab", "718-7", 9.0));
                world.put(&lab).await?;
                world.expect(&chart.patient(), &lab, true).await?;
                for part in chart.research().all() {
                    world.put(&part).await?;
                }
                world.expect(&chart.patient(), &lab, false).await
            },
        )
        .await;
    let missing: [(&str, Change); 12] = [
        ("the consent lacks the denial clause", |tuple| {
            drop_part(tuple, "agreed")
        }),
        ("not agreed", |tuple| say_no(tuple, "agreed")),
        ("not told of reinstatement", |tuple| {
            drop_part(tuple, "informedOfReinstatement")
        }),
        ("reinstatement false", |tuple| {
            say_no(tuple, "informedOfReinstatement")
        }),
        ("the consent is inactive", |tuple| {
            tuple.consent["status"] = json!("inactive")
        }),
        ("the consent is not for research", |tuple| {
            tuple.consent["scope"]["coding"][0]["code"] = json!("treatment");
        }),
        ("the study does not include treatment", |tuple| {
            tuple.study["extension"][0]["valueBoolean"] = json!(false);
        }),
        ("nothing said of treatment", |tuple| {
            remove(&mut tuple.study, "extension")
        }),
        ("the study is in review", |tuple| {
            tuple.study["status"] = json!("in-review")
        }),
        ("the study is completed", |tuple| {
            tuple.study["status"] = json!("completed")
        }),
        ("a candidate only", |tuple| {
            tuple.subject["status"] = json!("candidate")
        }),
        ("participation without consent", |tuple| {
            remove(&mut tuple.subject, "consent")
        }),
    ];
    for (number, (name, change)) in missing.into_iter().enumerate() {
        report
            .case("release", &format!("48 released: {name}"), async {
                let (world, chart) = worlds.chart("US", &format!("c48-{number}")).await?;
                let mut tuple = chart.research();
                change(&mut tuple);
                let lab = chart.of_study(chart.observation("lab", "718-7", 9.0));
                let mut all = tuple.all();
                all.push(lab.clone());
                world.put_all(&all).await?;
                world.expect(&chart.patient(), &lab, true).await?;
                let ledger = world.ledger().await?;
                ensure!(
                    ledger.contains("evidence_gap"),
                    "the ledger has no evidence_gap"
                );
                Ok(())
            })
            .await;
    }
    report
        .case(
            "release",
            "48b another patient's participation is no evidence",
            async {
                let (world, chart) = worlds.chart("US", "c48b").await?;
                let (_, joined) = worlds.chart("US", "c48b2").await?;
                let tuple = joined.research();
                let mut lab = chart.observation("lab", "718-7", 9.0);
                lab["extension"] = joined.of_study(lab.clone())["extension"].clone();
                let mut all = tuple.all();
                all.push(lab.clone());
                world.put_all(&all).await?;
                world.expect(&chart.patient(), &lab, true).await
            },
        )
        .await;
    report
        .case("release", "50 the same person's ordinary results", async {
            let (world, chart) = worlds
                .chart_with("US", "c50", |chart| chart.research().all())
                .await?;
            let lab = chart.observation("ed", "718-7", 9.0);
            world.put(&lab).await?;
            world.expect(&chart.patient(), &lab, true).await
        })
        .await;
    let ends: [(&str, Change); 4] = [
        ("the study is completed", |tuple| {
            tuple.study["status"] = json!("completed")
        }),
        ("the study is closed early", |tuple| {
            tuple.study["status"] = json!("administratively-completed");
        }),
        ("the subject leaves", |tuple| {
            tuple.subject["status"] = json!("off-study")
        }),
        ("the subject withdraws", |tuple| {
            tuple.subject["status"] = json!("withdrawn")
        }),
    ];
    for (number, (name, change)) in ends.into_iter().enumerate() {
        report
            .case(
                "release",
                &format!("47c access comes back at once: {name}"),
                async {
                    let (world, chart) = worlds
                        .chart_with("US", &format!("c47c-{number}"), |chart| {
                            chart.research().all()
                        })
                        .await?;
                    let lab = chart.of_study(chart.observation("lab", "718-7", 9.0));
                    world.put(&lab).await?;
                    world.expect(&chart.patient(), &lab, false).await?;
                    let mut tuple = chart.research();
                    change(&mut tuple);
                    world.put(&tuple.study).await?;
                    world.put(&tuple.subject).await?;
                    world.expect(&chart.patient(), &lab, true).await
                },
            )
            .await;
    }
    report
        .case("release", "R05 the arm of a blinded study is cut out of the participation", async {
            let (world, chart) = worlds.chart("US", "r05").await?;
            let mut tuple = chart.research();
            let blinded = json!({"url": format!("{CB}/StructureDefinition/blinded"), "valueBoolean": true});
            if let Some(extensions) = tuple.study["extension"].as_array_mut() {
                extensions.push(blinded);
            }
            tuple.subject["assignedArm"] = json!("Verum");
            tuple.subject["actualArm"] = json!("Verum");
            world.put_all(&tuple.all()).await?;
            let seen = world.read(&chart.patient(), &tuple.subject).await?.to_string();
            ensure!(!seen.contains("Verum") && !seen.contains("Arm"), "the arm is there: {seen}");
            let whole = world.read(&Who::Feed, &tuple.subject).await?.to_string();
            ensure!(whole.contains("Verum"), "the record itself was cut");
            tuple.study["status"] = json!("completed");
            world.put(&tuple.study).await?;
            let seen = world.read(&chart.patient(), &tuple.subject).await?.to_string();
            ensure!(seen.contains("Verum"), "still blinded after the end");
            Ok(())
        })
        .await;
}

fn drop_part(tuple: &mut Tuple, part: &str) {
    if let Some(parts) = tuple.consent["extension"][0]["extension"].as_array_mut() {
        parts.retain(|one| one["url"] != part);
    }
}

fn say_no(tuple: &mut Tuple, part: &str) {
    if let Some(parts) = tuple.consent["extension"][0]["extension"].as_array_mut() {
        for one in parts.iter_mut().filter(|one| one["url"] == part) {
            one["valueBoolean"] = json!(false);
        }
    }
}

fn remove(resource: &mut Value, key: &str) {
    if let Some(object) = resource.as_object_mut() {
        object.remove(key);
    }
}
