//! PATCH (R4 3.1.0.7).

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{Answer, Who, World};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "patch: JSON Patch changes, tests and refuses",
            async {
                let world = worlds.get("US").await?;
                let patient =
                    json!({"resourceType": "Patient", "id": "patch-json", "gender": "female"});
                world.put(&patient).await?;
                let change = json!([
                {"op": "test", "path": "/gender", "value": "female"},
                {"op": "replace", "path": "/gender", "value": "other"},
                {"op": "add", "path": "/birthDate", "value": "1984-02-29"}]);
                let answer = patch(&world, "Patient/patch-json", &[], &change).await?;
                let now = answer.expect(200)?.json()?;
                ensure!(
                    now["gender"] == "other" && now["birthDate"] == "1984-02-29",
                    "{now}"
                );
                ensure!(now["meta"]["versionId"] == "2", "{}", now["meta"]);
                let fails = json!([{"op": "test", "path": "/gender", "value": "female"}]);
                patch(&world, "Patient/patch-json", &[], &fails)
                    .await?
                    .expect_outcome(&[422])?;
                let breaks = json!([{"op": "add", "path": "/colour", "value": "red"}]);
                patch(&world, "Patient/patch-json", &[], &breaks)
                    .await?
                    .expect_outcome(&[400, 422])?;
                let stale = [("if-match", "W/\"1\"")];
                patch(&world, "Patient/patch-json", &stale, &change)
                    .await?
                    .expect_outcome(&[412])?;
                patch(&world, "Patient/patch-nobody", &[], &change)
                    .await?
                    .expect_outcome(&[404])?;
                let history = world
                    .search(&Who::Feed, "Patient/patch-json/_history")
                    .await?;
                ensure!(
                    history["entry"][0]["request"]["method"] == "PATCH",
                    "{history}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "patch: FHIRPath Patch, alone and in a transaction", async {
            let world = worlds.get("US").await?;
            let patient = json!({"resourceType": "Patient", "id": "patch-path", "gender": "female",
                "name": [{"family": "Ruiz"}, {"family": "Diaz"}]});
            world.put(&patient).await?;
            let parameters = json!({"resourceType": "Parameters", "parameter": [
                {"name": "operation", "part": [
                    {"name": "type", "valueCode": "delete"},
                    {"name": "path", "valueString": "Patient.name.where(family = 'Ruiz')"}]}]});
            let answer = world
                .request(&Who::Feed, Method::PATCH, "Patient/patch-path", Some(&parameters))
                .await?;
            let now = answer.expect(200)?.json()?;
            ensure!(now["name"] == json!([{"family": "Diaz"}]), "{}", now["name"]);
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"request": {"method": "PATCH", "url": "Patient/patch-path"},
                    "resource": {"resourceType": "Parameters", "parameter": [
                        {"name": "operation", "part": [
                            {"name": "type", "valueCode": "replace"},
                            {"name": "path", "valueString": "Patient.gender"},
                            {"name": "value", "valueCode": "male"}]}]}},
                {"request": {"method": "GET", "url": "Patient/patch-path"}}]});
            let answer = world.try_transaction(&bundle).await?.expect(200)?.json()?;
            ensure!(answer["entry"][1]["resource"]["gender"] == "male", "{answer}");
            Ok(())
        })
        .await;
    report
        .case("rest", "patch: XML Patch changes and refuses", async {
            let world = worlds.get("US").await?;
            let patient = json!({"resourceType": "Patient", "id": "patch-xml", "gender": "female",
                "name": [{"family": "Ruiz"}, {"family": "Diaz"}]});
            world.put(&patient).await?;
            let xml = |operations: &str| {
                let headers = [("content-type", "application/xml-patch+xml")];
                let body = format!("<diff xmlns:f=\"http://hl7.org/fhir\">{operations}</diff>");
                let world = &world;
                async move {
                    world
                        .raw(
                            Some(&Who::Feed),
                            Method::PATCH,
                            "Patient/patch-xml",
                            &headers,
                            Some(body.into_bytes()),
                        )
                        .await
                }
            };
            let now = xml("<replace sel=\"f:Patient/f:gender/@value\">other</replace>\
                 <remove sel=\"f:Patient/f:name[f:family/@value='Ruiz']\"/>\
                 <add sel=\"f:Patient\"><f:birthDate value=\"1984-02-29\"/></add>")
            .await?
            .expect(200)?
            .json()?;
            ensure!(
                now["gender"] == "other"
                    && now["name"] == json!([{"family": "Diaz"}])
                    && now["birthDate"] == "1984-02-29",
                "{now}"
            );
            xml("<remove sel=\"f:Patient/f:telecom\"/>")
                .await?
                .expect_outcome(&[422])?;
            xml("<remove sel=\"//f:gender\"/>")
                .await?
                .expect_outcome(&[400])?;
            Ok(())
        })
        .await;
    report
        .case("rest", "patch: what is refused says what is taken", async {
            let world = worlds.get("US").await?;
            world
                .put(&json!({"resourceType": "Patient", "id": "patch-media"}))
                .await?;
            for media in ["application/merge-patch+json", "text/plain"] {
                let headers = [("content-type", media)];
                let body = Some(b"{}".to_vec());
                let answer = world
                    .raw(
                        Some(&Who::Feed),
                        Method::PATCH,
                        "Patient/patch-media",
                        &headers,
                        body,
                    )
                    .await?;
                let answer = answer.expect_outcome(&[415])?;
                ensure!(answer.text.contains("json-patch"), "{}", answer.text);
            }
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "patch: a patient's app does not write, and learns nothing",
            async {
                let (world, chart) = worlds.chart("US", "patch-patient").await?;
                world.put(&chart.observation("o", "718-7", 13.0)).await?;
                let body =
                    Some(json!([{"op": "test", "path": "/status", "value": "final"}]).to_string());
                let mut texts = Vec::new();
                for id in [chart.id("o"), "nobody".to_owned()] {
                    let path = format!("Observation/{id}");
                    let headers = [("content-type", MEDIA)];
                    let body = body.clone().map(String::into_bytes);
                    let answer = world
                        .raw(Some(&chart.patient()), Method::PATCH, &path, &headers, body)
                        .await?;
                    texts.push(answer.expect_outcome(&[403])?.text);
                }
                ensure!(texts[0] == texts[1], "{texts:?}");
                Ok(())
            },
        )
        .await;
}

const MEDIA: &str = "application/json-patch+json";

async fn patch(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
    patch: &Value,
) -> Result<Answer> {
    let mut all = vec![("content-type", MEDIA)];
    all.extend_from_slice(headers);
    world
        .raw(
            Some(&Who::Feed),
            Method::PATCH,
            path,
            &all,
            Some(patch.to_string().into_bytes()),
        )
        .await
}
