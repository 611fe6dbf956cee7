//! Create, read, vread, update, delete (R4 "RESTful API").

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;

use crate::report::Report;
use crate::world::{Who, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "metadata without a token: a CapabilityStatement of what is there",
            async {
                let world = worlds.get("US").await?;
                let answer = world.raw(None, Method::GET, "metadata", &[], None).await?;
                let statement = answer.expect(200)?.json()?;
                ensure!(
                    statement["resourceType"] == "CapabilityStatement",
                    "no CapabilityStatement"
                );
                ensure!(
                    statement["fhirVersion"] == "4.0.1",
                    "{}",
                    statement["fhirVersion"]
                );
                let formats = statement["format"].to_string();
                ensure!(
                    formats.contains("json") && formats.contains("xml"),
                    "{formats}"
                );
                let resources = statement["rest"][0]["resource"].as_array();
                let resources = resources.context("no rest.resource")?;
                ensure!(resources.len() > 140, "{} resource types", resources.len());
                let patient = resources.iter().find(|one| one["type"] == "Patient");
                let patient = patient.context("no Patient")?;
                let text = patient.to_string();
                for word in [
                    "search-type",
                    "vread",
                    "history-instance",
                    "birthdate",
                    "us-core-patient",
                ] {
                    ensure!(text.contains(word), "Patient does not declare {word}");
                }
                let core = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server";
                ensure!(
                    statement.to_string().contains(core),
                    "does not instantiate {core}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "create: 201, Location, ETag, id and version of the server",
            async {
                let world = worlds.get("US").await?;
                let patient = json!({"resourceType": "Patient", "id": "mine", "active": true,
                "meta": {"versionId": "99", "tag": [{"system": "urn:t", "code": "kept"}]}});
                let made = world
                    .request(&Who::Feed, Method::POST, "Patient", Some(&patient))
                    .await?;
                let made = made.expect(201)?;
                let location = made.header("location").context("no Location")?.to_owned();
                ensure!(
                    location.contains("/Patient/") && location.contains("/_history/1"),
                    "{location}"
                );
                ensure!(
                    made.header("etag") == Some("W/\"1\""),
                    "ETag {:?}",
                    made.header("etag")
                );
                ensure!(made.header("last-modified").is_some(), "no Last-Modified");
                let body = made.json()?;
                ensure!(body["id"] != "mine", "the client's id was taken over");
                ensure!(body["meta"]["versionId"] == "1", "{}", body["meta"]);
                ensure!(body["meta"]["tag"][0]["code"] == "kept", "tags were lost");
                let read = world
                    .get(&Who::Feed, &reference(&body))
                    .await?
                    .expect(200)?;
                ensure!(
                    read.json()? == body,
                    "read differs from what create answered"
                );
                ensure!(read.header("etag") == Some("W/\"1\""), "ETag of read");
                world.get(&Who::Feed, &location).await?.expect(200)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "update: versions count up, the older ones stay",
            async {
                let world = worlds.get("US").await?;
                let mut patient =
                    json!({"resourceType": "Patient", "id": "crud-update", "active": true});
                let made = world.try_put(&patient).await?.expect(201)?;
                ensure!(
                    made.header("location").is_some(),
                    "no Location on create by update"
                );
                patient["gender"] = json!("female");
                let updated = world.try_put(&patient).await?.expect(200)?;
                ensure!(
                    updated.header("etag") == Some("W/\"2\""),
                    "{:?}",
                    updated.header("etag")
                );
                let first = world
                    .get(&Who::Feed, "Patient/crud-update/_history/1")
                    .await?
                    .expect(200)?;
                ensure!(first.json()?.get("gender").is_none(), "version 1 changed");
                let second = world
                    .get(&Who::Feed, "Patient/crud-update/_history/2")
                    .await?
                    .expect(200)?;
                ensure!(
                    second.json()?["gender"] == "female",
                    "version 2 lacks the change"
                );
                world
                    .get(&Who::Feed, "Patient/crud-update/_history/3")
                    .await?
                    .expect_outcome(&[404])?;
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "update: ids must agree, and be ids", async {
            let world = worlds.get("US").await?;
            let other = json!({"resourceType": "Patient", "id": "other"});
            let send = async |path: &str, body| {
                world.request(&Who::Feed, Method::PUT, path, Some(body)).await
            };
            send("Patient/crud-this", &other).await?.expect_outcome(&[400])?;
            let none = json!({"resourceType": "Patient"});
            send("Patient/crud-this", &none).await?.expect_outcome(&[400])?;
            let strange = json!({"resourceType": "Patient", "id": "a_b"});
            send("Patient/a_b", &strange).await?.expect_outcome(&[400])?;
            let long = "x".repeat(65);
            let body = json!({"resourceType": "Patient", "id": long});
            send(&format!("Patient/{long}"), &body).await?.expect_outcome(&[400])?;
            let group = json!({"resourceType": "Group", "id": "crud-this", "type": "person", "actual": true});
            send("Patient/crud-this", &group).await?.expect_outcome(&[400])?;
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "delete: 410 for who may know, history keeps it, a PUT brings it back",
            async {
                let world = worlds.get("US").await?;
                let patient =
                    json!({"resourceType": "Patient", "id": "crud-delete", "active": true});
                world.put(&patient).await?;
                world.delete(&patient).await?;
                world
                    .get(&Who::Feed, "Patient/crud-delete")
                    .await?
                    .expect_outcome(&[410])?;
                let found = world.found(&Who::Feed, "Patient?_id=crud-delete").await?;
                ensure!(found.is_empty(), "a search finds it");
                world
                    .get(&Who::Feed, "Patient/crud-delete/_history/1")
                    .await?
                    .expect(200)?;
                world
                    .get(&Who::Feed, "Patient/crud-delete/_history/2")
                    .await?
                    .expect_outcome(&[410])?;
                let again = world
                    .request(&Who::Feed, Method::DELETE, "Patient/crud-delete", None)
                    .await?;
                ensure!(
                    again.status.is_success(),
                    "deleting twice: {}",
                    again.status
                );
                let never = world
                    .request(&Who::Feed, Method::DELETE, "Patient/never-there", None)
                    .await?;
                ensure!(
                    never.status.is_success() || never.status.as_u16() == 404,
                    "deleting nothing: {}",
                    never.status
                );
                let back = world.try_put(&patient).await?.expect(201)?;
                ensure!(
                    back.header("etag") == Some("W/\"3\""),
                    "{:?}",
                    back.header("etag")
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "Prefer: return=minimal, representation, OperationOutcome",
            async {
                let world = worlds.get("US").await?;
                let patient = json!({"resourceType": "Patient", "active": true});
                let create = async |prefer: &str| {
                    let headers = [("prefer", prefer)];
                    world
                        .request_with(
                            &Who::Feed,
                            Method::POST,
                            "Patient",
                            &headers,
                            Some(&patient),
                        )
                        .await?
                        .expect(201)
                };
                let minimal = create("return=minimal").await?;
                ensure!(
                    minimal.text.is_empty(),
                    "minimal has a body: {}",
                    minimal.text
                );
                let whole = create("return=representation").await?.json()?;
                ensure!(whole["resourceType"] == "Patient", "{whole}");
                let outcome = create("return=OperationOutcome").await?.json()?;
                ensure!(outcome["resourceType"] == "OperationOutcome", "{outcome}");
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "numbers, unicode and unknown-to-us order survive to the byte", async {
            let world = worlds.get("US").await?;
            let body = r#"{"resourceType":"Observation","id":"crud-bytes","status":"final","code":{"text":"Größe 身高 😀 \u0001x"},"valueQuantity":{"value":1.50,"unit":"m"},"component":[{"code":{"text":"a"},"valueQuantity":{"value":0.000000000000001230}}]}"#;
            let body = body.replace("\\u0001", "");
            let put = world
                .raw(Some(&Who::Feed), Method::PUT, "Observation/crud-bytes", &[], Some(body.into_bytes()))
                .await?;
            put.expect(201)?;
            let read = world.get(&Who::Feed, "Observation/crud-bytes").await?.expect(200)?;
            for word in ["1.50", "0.000000000000001230", "Größe 身高 😀"] {
                ensure!(read.text.contains(word), "{word} was lost: {}", read.text);
            }
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "unknown type, unknown address, wrong method",
            async {
                let world = worlds.get("US").await?;
                for path in [
                    "Pateint/1",
                    "Pateint",
                    "Patient/1/Nothing",
                    "$no-such-operation",
                ] {
                    world
                        .get(&Who::Feed, path)
                        .await?
                        .expect_outcome(&[404])
                        .context(path)?;
                }
                let nothing = json!({});
                let post = world.request(&Who::Feed, Method::POST, "Patient/1", Some(&nothing));
                post.await?.expect_outcome(&[405])?;
                let put = world.request(&Who::Feed, Method::PUT, "metadata", Some(&nothing));
                put.await?.expect_outcome(&[404, 405])?;
                world
                    .get(&Who::Feed, "Patient/never-there")
                    .await?
                    .expect_outcome(&[404])?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "no token 401, a forged one 401, and the challenge says Bearer",
            async {
                let world = worlds.get("US").await?;
                let none = world.raw(None, Method::GET, "Patient/1", &[], None).await?;
                let none = none.expect_outcome(&[401])?;
                let challenge = none
                    .header("www-authenticate")
                    .unwrap_or_default()
                    .to_owned();
                ensure!(challenge.starts_with("Bearer"), "{challenge}");
                for token in [
                    "Bearer forged",
                    "Bearer a.b.c",
                    "Bearer ",
                    "Basic Zm9vOmJhcg==",
                ] {
                    let headers = [("authorization", token)];
                    let answer = world
                        .raw(None, Method::GET, "Patient?_count=1", &headers, None)
                        .await?;
                    answer
                        .expect_outcome(&[401])
                        .with_context(|| token.to_owned())?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "a patient's app does not write", async {
            let (world, chart) = worlds.chart("US", "rest-patient").await?;
            let note = chart.note("note", "11506-3");
            let patient = chart.patient();
            for (method, path, body) in [
                (Method::POST, "DocumentReference", Some(&note)),
                (Method::PUT, reference(&note).as_str(), Some(&note)),
                (Method::DELETE, reference(&note).as_str(), None),
            ] {
                let answer = world.request(&patient, method.clone(), path, body).await?;
                answer
                    .expect_outcome(&[403])
                    .with_context(|| format!("{method} {path}"))?;
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "validation: what is wrong, with its FHIRPath", async {
            let world = worlds.get("US").await?;
            let wrong = [
                (json!({"resourceType": "Patient", "colour": "red"}), "Patient"),
                (json!({"resourceType": "Patient", "birthDate": "1984-02-31"}), "Patient.birthDate"),
                (json!({"resourceType": "Patient", "active": "yes"}), "Patient.active"),
                (json!({"resourceType": "Patient", "gender": "woman"}), "Patient.gender"),
                (json!({"resourceType": "Patient", "name": {"family": "Ruiz"}}), "Patient.name"),
                (json!({"resourceType": "Observation", "code": {"text": "x"}}), "Observation"),
                (
                    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                        "valueString": "a", "valueInteger": 1}),
                    "Observation",
                ),
                (
                    json!({"resourceType": "Patient", "deceasedBoolean": true,
                        "deceasedDateTime": "2020"}),
                    "Patient",
                ),
                (json!({"resourceType": "Patient", "name": []}), "Patient.name"),
                (json!({"resourceType": "Patient", "name": [{"family": ""}]}), "Patient.name"),
            ];
            for (body, place) in wrong {
                let answer = world.request(&Who::Feed, Method::POST, "Patient", Some(&body));
                let kind = body["resourceType"].as_str().unwrap_or_default();
                let answer = if kind == "Patient" {
                    answer.await?
                } else {
                    world.request(&Who::Feed, Method::POST, kind, Some(&body)).await?
                };
                let refused = answer.expect_outcome(&[400, 422]).with_context(|| body.to_string())?;
                ensure!(refused.text.contains(place), "{place} is not named: {}", refused.text);
            }
            Ok(())
        })
        .await;
}
