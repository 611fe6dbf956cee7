//! "Ways to check" of the release contract: policy, decision, ledger.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    policy(worlds, report).await;
    decision(worlds, report).await;
    ledger(worlds, report).await;
}

async fn policy(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "check: $release-policy is public and lists every rule",
            async {
                let world = worlds.get("US-KY").await?;
                let answer = world
                    .raw(None, Method::GET, "$release-policy", &[], None)
                    .await?;
                let text = answer.expect(200)?.text;
                for word in [
                    "R00-RELEASE",
                    "R01-PSYNOTE",
                    "R04-RESEARCH",
                    "R08-HARM-SELF",
                    "R12-NOTSHARE",
                    "R21-KY",
                    "R22-TX",
                    "KRS 333.152",
                    "164.524",
                    "US-KY",
                    "R29-CARE",
                ] {
                    ensure!(text.contains(word), "$release-policy does not say {word}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "check: /policy/release for people and as .json",
            async {
                let world = worlds.get("US-KY").await?;
                for (path, kind) in [
                    ("/policy/release", "text/html"),
                    ("/policy/release.json", "json"),
                ] {
                    let url = format!("{}{path}", world.server.public);
                    let headers = [("accept", "")];
                    let answer = world.raw(None, Method::GET, &url, &headers, None).await?;
                    let answer = answer.expect(200).with_context(|| path)?;
                    let content = answer.header("content-type").unwrap_or_default();
                    ensure!(content.contains(kind), "{path} is {content}");
                    ensure!(
                        answer.text.contains("KRS 333.152"),
                        "{path} does not cite the law"
                    );
                }
                Ok(())
            },
        )
        .await;
}

async fn decision(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "check: $release-decision for each viewer class",
            async {
                let (world, chart) = worlds.chart("US", "decision").await?;
                let note = chart.psychotherapy_note("note");
                let held = chart.observation("held", "718-7", 7.0);
                let free = chart.observation("free", "718-7", 9.0);
                let all = [
                    note.clone(),
                    held.clone(),
                    free.clone(),
                    chart.hold("hold", &held),
                ];
                world.put_all(&all).await?;
                for (resource, viewer, rule) in [
                    (&note, "patient", Some("R01-PSYNOTE")),
                    (&note, "representative", Some("R01-PSYNOTE")),
                    (&note, "clinician", Some("R01-PSYNOTE")),
                    (&note, "payer", Some("R01-PSYNOTE")),
                    (&note, "researcher", Some("R01-PSYNOTE")),
                    (&held, "patient", Some("R08-HARM-SELF")),
                    (&held, "representative", Some("R08-HARM-SELF")),
                    (&held, "clinician", None),
                    (&free, "patient", None),
                    (&free, "representative", None),
                ] {
                    let decision = world.decision(resource, viewer).await?;
                    let what = format!("{} for {viewer}", crate::world::reference(resource));
                    let outcome = outcome(&decision);
                    match rule {
                        Some(rule) => {
                            let text = decision.to_string();
                            ensure!(text.contains(rule), "{what} does not name {rule}: {text}");
                            ensure!(outcome == "withhold", "{what}: {outcome}");
                        }
                        None => ensure!(outcome == "release", "{what}: {outcome}"),
                    }
                }
                let text = world.decision(&held, "patient").await?.to_string();
                let hold = format!("Task/{}", chart.id("hold"));
                ensure!(text.contains(&hold), "the evidence is not named: {text}");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "check: who may not ask $release-decision, and unknown questions",
            async {
                let (world, chart) = worlds.chart("US", "decide-no").await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                let path = format!(
                    "DocumentReference/{}/$release-decision?viewer=patient",
                    chart.id("note")
                );
                let nobody = world.raw(None, Method::GET, &path, &[], None).await?;
                nobody.expect_outcome(&[401])?;
                world
                    .get(&chart.patient(), &path)
                    .await?
                    .expect_outcome(&[403])?;
                world.get(&Who::Auditor, &path).await?.expect(200)?;
                let unknown = "DocumentReference/nothing-here/$release-decision?viewer=patient";
                world
                    .get(&Who::Staff, unknown)
                    .await?
                    .expect_outcome(&[404])?;
                let strange = path.replace("=patient", "=martian");
                world
                    .get(&Who::Staff, &strange)
                    .await?
                    .expect_outcome(&[400])?;
                Ok(())
            },
        )
        .await;
}

async fn ledger(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "check: $release-ledger pages, chains, and grows",
            async {
                let (world, chart) = worlds.chart("US", "ledger").await?;
                world.put(&chart.psychotherapy_note("note")).await?;
                let first = world
                    .get(&Who::Auditor, "$release-ledger")
                    .await?
                    .expect(200)?;
                ensure!(
                    !first.text.contains("Tm90ZQ"),
                    "the ledger holds clinical content"
                );
                let since = format!("$release-ledger?_since={}", crate::world::T0);
                let recent = world.get(&Who::Auditor, &since).await?.expect(200)?;
                ensure!(
                    recent.text.contains("R01-PSYNOTE"),
                    "the newest entries lack the decision"
                );
                let before = recent.text.len();
                let held = chart.observation("held", "718-7", 7.0);
                world
                    .put_all(&[held.clone(), chart.hold("hold", &held)])
                    .await?;
                let after = world.ledger().await?;
                ensure!(
                    after.contains("R08-HARM-SELF") || after.len() > before,
                    "it did not grow"
                );
                Ok(())
            },
        )
        .await;
    report
        .case("release", "check: only auditors read the ledger", async {
            let (world, chart) = worlds.chart("US", "ledger-no").await?;
            for who in [chart.patient(), Who::Clinician(chart.id("md"))] {
                world
                    .get(&who, "$release-ledger")
                    .await?
                    .expect_outcome(&[403])?;
            }
            let nobody = world
                .raw(None, Method::GET, "$release-ledger", &[], None)
                .await?;
            nobody.expect_outcome(&[401])?;
            Ok(())
        })
        .await;
    for jurisdiction in ["US", "US-KY", "US-TX"] {
        report
            .case(
                "release",
                &format!("check: $verify-ledger finds the chain whole, {jurisdiction}"),
                async {
                    let world = worlds.get(jurisdiction).await?;
                    let chart = Chart::new("verify");
                    world.put_all(&chart.people()).await?;
                    let answer = world
                        .request(
                            &Who::Auditor,
                            Method::POST,
                            "$verify-ledger",
                            Some(&json!({"resourceType": "Parameters"})),
                        )
                        .await?;
                    let text = answer.expect(200)?.text;
                    ensure!(text.contains("true"), "not said to be whole: {text}");
                    ensure!(
                        !text.contains("broken") || !text.contains("valueInteger"),
                        "broken: {text}"
                    );
                    Ok(())
                },
            )
            .await;
    }
}

/// The word of a decision.
fn outcome(decision: &Value) -> String {
    let parameters = decision["parameter"].as_array().into_iter().flatten();
    let mut outcomes = parameters.filter(|one| one["name"] == "outcome");
    let outcome = outcomes.next().and_then(|one| one["valueCode"].as_str());
    outcome.unwrap_or_default().to_owned()
}
