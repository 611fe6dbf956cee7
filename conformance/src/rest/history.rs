//! History of an instance, a type, the system.

use anyhow::{Context, ensure};
use serde_json::json;

use crate::report::Report;
use crate::world::{Who, next_link};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "history of an instance: newest first, with requests and the deletion",
            async {
                let world = worlds.get("US").await?;
                let mut patient =
                    json!({"resourceType": "Patient", "id": "hist-one", "active": true});
                world.put(&patient).await?;
                patient["gender"] = json!("other");
                world.put(&patient).await?;
                world.delete(&patient).await?;
                let bundle = world
                    .search(&Who::Feed, "Patient/hist-one/_history")
                    .await?;
                ensure!(bundle["type"] == "history", "{}", bundle["type"]);
                let entries = bundle["entry"].as_array().context("no entries")?;
                let methods: Vec<&str> = entries
                    .iter()
                    .filter_map(|entry| entry["request"]["method"].as_str())
                    .collect();
                ensure!(
                    methods.first() == Some(&"DELETE") && methods.len() == 3,
                    "{methods:?}"
                );
                ensure!(
                    entries[0].get("resource").is_none(),
                    "the deletion has a resource"
                );
                ensure!(
                    entries[1]["resource"]["meta"]["versionId"] == "2",
                    "{}",
                    entries[1]
                );
                ensure!(
                    entries[1]["response"]["status"].is_string(),
                    "no response.status"
                );
                ensure!(
                    entries[1]["fullUrl"]
                        .as_str()
                        .is_some_and(|url| url.ends_with("Patient/hist-one")),
                    "fullUrl"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "history: _count pages to the end, _since cuts",
            async {
                let world = worlds.get("US").await?;
                let mut patient =
                    json!({"resourceType": "Patient", "id": "hist-two", "active": true});
                for number in 0..5 {
                    patient["multipleBirthInteger"] = json!(number);
                    world.put(&patient).await?;
                    world.pass("PT1M").await?;
                }
                let mut bundle = world
                    .search(&Who::Feed, "Patient/hist-two/_history?_count=2")
                    .await?;
                let mut versions = Vec::new();
                loop {
                    for entry in bundle["entry"].as_array().into_iter().flatten() {
                        versions.push(
                            entry["resource"]["meta"]["versionId"]
                                .as_str()
                                .unwrap_or_default()
                                .to_owned(),
                        );
                    }
                    let Some(next) = next_link(&bundle) else {
                        break;
                    };
                    bundle = world.search(&Who::Feed, &next).await?;
                    ensure!(versions.len() < 20, "the pages do not end");
                }
                ensure!(versions == ["5", "4", "3", "2", "1"], "{versions:?}");
                let since = "Patient/hist-two/_history?_since=2026-11-10T15:02:30Z";
                let bundle = world.search(&Who::Feed, since).await?;
                let count = bundle["entry"].as_array().map_or(0, Vec::len);
                ensure!(count == 2, "{count} since 15:02:30");
                let wrong = world
                    .get(&Who::Feed, "Patient/hist-two/_history?_since=yesterday")
                    .await?;
                wrong.expect_outcome(&[400])?;
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "history of a type and of the system", async {
            let world = worlds.get("US").await?;
            let basic = json!({"resourceType": "Basic", "id": "hist-three", "code": {"text": "x"}});
            world.put(&basic).await?;
            for query in ["Basic/_history?_count=10", "_history?_count=50"] {
                let bundle = world.search(&Who::Feed, query).await?;
                ensure!(
                    bundle.to_string().contains("hist-three"),
                    "{query} lacks the newest write"
                );
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "history of an id that never was: 404", async {
            let world = worlds.get("US").await?;
            world
                .get(&Who::Feed, "Patient/hist-never/_history")
                .await?
                .expect_outcome(&[404])?;
            Ok(())
        })
        .await;
}
