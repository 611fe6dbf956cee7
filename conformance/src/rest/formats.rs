//! JSON and XML, `_format`, Accept, Content-Type, `_pretty`, compression.

use std::io::Write as _;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;

use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case("rest", "XML out: Accept, _format, and the media type", async {
            let world = worlds.get("US").await?;
            let patient = json!({"resourceType": "Patient", "id": "fmt", "active": true,
                "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>A &amp; B</p></div>"}});
            world.put(&patient).await?;
            for (path, accept) in [
                ("Patient/fmt", "application/fhir+xml"),
                ("Patient/fmt", "application/xml"),
                ("Patient/fmt?_format=xml", "application/fhir+json"),
                ("Patient/fmt?_format=application/fhir%2Bxml", "*/*"),
                ("Patient?_id=fmt", "application/fhir+xml"),
            ] {
                let headers = [("accept", accept)];
                let answer = world.request_with(&Who::Feed, Method::GET, path, &headers, None).await?;
                let answer = answer.expect(200).with_context(|| path.to_owned())?;
                let kind = answer.header("content-type").unwrap_or_default();
                ensure!(kind.starts_with("application/fhir+xml"), "{path} {accept}: {kind}");
                ensure!(answer.text.contains("http://hl7.org/fhir"), "{}", answer.text);
                ensure!(answer.text.contains("<p>A &amp; B</p>"), "the narrative: {}", answer.text);
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "XML in gives the same resource as JSON in", async {
            let world = worlds.get("US").await?;
            let xml = r#"<?xml version="1.0" encoding="UTF-8"?><Observation xmlns="http://hl7.org/fhir"><id value="fmt-xml"/><status value="final"/><code><text value="Größe"/></code><valueQuantity><value value="1.50"/></valueQuantity></Observation>"#;
            let headers = [("content-type", "application/fhir+xml")];
            let put = world
                .raw(Some(&Who::Feed), Method::PUT, "Observation/fmt-xml", &headers, Some(xml.into()))
                .await?;
            put.expect(201)?;
            let read = world.get(&Who::Feed, "Observation/fmt-xml").await?.expect(200)?;
            ensure!(read.text.contains("1.50") && read.text.contains("Größe"), "{}", read.text);
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "errors come in the format that was asked for",
            async {
                let world = worlds.get("US").await?;
                let headers = [("accept", "application/fhir+xml")];
                let answer =
                    world.request_with(&Who::Feed, Method::GET, "Patient/fmt-none", &headers, None);
                let answer = answer.await?.expect_outcome(&[404])?;
                ensure!(answer.text.starts_with('<'), "{}", answer.text);
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "406 for what is not spoken, 415 for what is not read",
            async {
                let world = worlds.get("US").await?;
                let get = async |path: &str, accept: &str| {
                    let headers = [("accept", accept)];
                    world
                        .request_with(&Who::Feed, Method::GET, path, &headers, None)
                        .await
                };
                get("Patient/fmt-none", "application/fhir+json; fhirVersion=5.0")
                    .await?
                    .expect_outcome(&[404, 406])?;
                get("Patient?_format=ttl", "*/*")
                    .await?
                    .expect_outcome(&[400, 406])?;
                let body = || Some(b"{\"resourceType\":\"Patient\"}".to_vec());
                for kind in [
                    "text/plain",
                    "application/pdf",
                    "application/fhir+json; charset=utf-16",
                ] {
                    let headers = [("content-type", kind)];
                    let answer = world
                        .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, body())
                        .await?;
                    answer
                        .expect_outcome(&[415])
                        .with_context(|| kind.to_owned())?;
                }
                let headers = [("content-type", "application/json")];
                let answer = world
                    .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, body())
                    .await?;
                answer.expect(201)?;
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "a compressed body is read", async {
            let world = worlds.get("US").await?;
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(br#"{"resourceType":"Patient","active":true}"#)?;
            let headers = [("content-encoding", "gzip")];
            let body = Some(packed.finish()?);
            let answer = world
                .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, body)
                .await?;
            ensure!(
                answer.expect(201)?.json()?["active"] == true,
                "read wrongly"
            );
            Ok(())
        })
        .await;
    report
        .case("rest", "Binary as its own content and as a resource", async {
            let world = worlds.get("US").await?;
            let binary = json!({"resourceType": "Binary", "id": "fmt-bin", "contentType": "text/plain",
                "data": "SGVsbG8="});
            world.put(&binary).await?;
            let headers = [("accept", "text/plain")];
            let raw = world.request_with(&Who::Feed, Method::GET, "Binary/fmt-bin", &headers, None).await?;
            let raw = raw.expect(200)?;
            ensure!(raw.text == "Hello", "{}", raw.text);
            ensure!(raw.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "type");
            let resource = world.get(&Who::Feed, "Binary/fmt-bin").await?.expect(200)?.json()?;
            ensure!(resource["data"] == "SGVsbG8=", "{resource}");
            Ok(())
        })
        .await;
}
