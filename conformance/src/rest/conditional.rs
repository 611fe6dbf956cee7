//! Conditions: If-Match, If-None-Match, If-None-Exist, conditional update and delete.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case("rest", "If-Match: the current version or 412", async {
            let world = worlds.get("US").await?;
            let patient = json!({"resourceType": "Patient", "id": "cond-match", "active": true});
            world.put(&patient).await?;
            let put = async |etag: &str| {
                let headers = [("if-match", etag)];
                let path = "Patient/cond-match";
                world
                    .request_with(&Who::Feed, Method::PUT, path, &headers, Some(&patient))
                    .await
            };
            put("W/\"7\"").await?.expect_outcome(&[412])?;
            put("W/\"1\"").await?.expect(200)?;
            put("W/\"1\"").await?.expect_outcome(&[412])?;
            let headers = [("if-match", "W/\"9\"")];
            let delete = world.request_with(
                &Who::Feed,
                Method::DELETE,
                "Patient/cond-match",
                &headers,
                None,
            );
            delete.await?.expect_outcome(&[412])?;
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "If-None-Match and If-Modified-Since on read: 304 without a body",
            async {
                let world = worlds.get("US").await?;
                let patient = json!({"resourceType": "Patient", "id": "cond-none", "active": true});
                world.put(&patient).await?;
                let read = async |headers: &[(&str, &str)]| {
                    world
                        .request_with(&Who::Feed, Method::GET, "Patient/cond-none", headers, None)
                        .await
                };
                let same = read(&[("if-none-match", "W/\"1\"")]).await?.expect(304)?;
                ensure!(same.text.is_empty(), "304 with a body");
                read(&[("if-none-match", "W/\"2\"")]).await?.expect(200)?;
                let later = "Wed, 11 Nov 2026 15:00:00 GMT";
                read(&[("if-modified-since", later)]).await?.expect(304)?;
                let before = "Mon, 09 Nov 2026 15:00:00 GMT";
                read(&[("if-modified-since", before)]).await?.expect(200)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "If-None-Exist: created once, then found, several refused",
            async {
                let world = worlds.get("US").await?;
                let body = identified("cond-exist", "one");
                let create = async || {
                    let headers = [("if-none-exist", "identifier=urn:cond-exist|one")];
                    world
                        .request_with(&Who::Feed, Method::POST, "Patient", &headers, Some(&body))
                        .await
                };
                create().await?.expect(201)?;
                create().await?.expect(200)?;
                let plain = world
                    .request(&Who::Feed, Method::POST, "Patient", Some(&body))
                    .await?;
                plain.expect(201)?;
                create().await?.expect_outcome(&[412])?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "conditional update: created, updated, several refused",
            async {
                let world = worlds.get("US").await?;
                let mut body = identified("cond-update", "one");
                let query = "Patient?identifier=urn:cond-update|one";
                let put = async |body: &Value| {
                    world
                        .request(&Who::Feed, Method::PUT, query, Some(body))
                        .await
                };
                let made = put(&body).await?.expect(201)?.json()?;
                body["active"] = json!(true);
                let updated = put(&body).await?.expect(200)?.json()?;
                ensure!(updated["id"] == made["id"], "another resource was made");
                ensure!(updated["meta"]["versionId"] == "2", "{}", updated["meta"]);
                let more = world
                    .request(&Who::Feed, Method::POST, "Patient", Some(&body))
                    .await?;
                more.expect(201)?;
                put(&body).await?.expect_outcome(&[412])?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "conditional delete: one; several refused; none is no error",
            async {
                let world = worlds.get("US").await?;
                for _ in 0..2 {
                    let body = identified("cond-delete", "two");
                    world
                        .request(&Who::Feed, Method::POST, "Patient", Some(&body))
                        .await?
                        .expect(201)?;
                }
                let one = identified("cond-delete", "one");
                world
                    .request(&Who::Feed, Method::POST, "Patient", Some(&one))
                    .await?
                    .expect(201)?;
                let delete = async |value: &str| {
                    let query = format!("Patient?identifier=urn:cond-delete|{value}");
                    world
                        .request(&Who::Feed, Method::DELETE, &query, None)
                        .await
                };
                let deleted = delete("one").await?;
                ensure!(deleted.status.is_success(), "one: {}", deleted.status);
                delete("two").await?.expect_outcome(&[412])?;
                let none = delete("none").await?;
                ensure!(
                    none.status.is_success() || none.status.as_u16() == 404,
                    "none: {}",
                    none.status
                );
                let all = world
                    .request(&Who::Feed, Method::DELETE, "Patient", None)
                    .await?;
                all.expect_outcome(&[400, 403, 405, 412])
                    .context("DELETE of a whole type")?;
                Ok(())
            },
        )
        .await;
}

fn identified(system: &str, value: &str) -> Value {
    json!({"resourceType": "Patient",
        "identifier": [{"system": format!("urn:{system}"), "value": value}]})
}
