//! Batch and transaction (R4 3.1.0.11).

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{Who, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "transaction: references become versions where they ask for it",
            async {
                let world = worlds.get("US").await?;
                let patient = "urn:uuid:5f4b0c8e-1f0e-4a43-9c52-1b6f4f0b7a11";
                let asks = json!([{"valueBoolean": true,
                "url": "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific"}]);
                let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                    {"fullUrl": patient, "resource": {"resourceType": "Patient", "active": true},
                        "request": {"method": "POST", "url": "Patient"}},
                    {"resource": {"resourceType": "List", "id": "version-list", "status": "current",
                        "mode": "snapshot",
                        "entry": [{"item": {"reference": patient, "extension": asks}}]},
                        "request": {"method": "PUT", "url": "List/version-list"}},
                ]});
                let answer = world.try_transaction(&bundle).await?.expect(200)?.json()?;
                let list = world
                    .get(&Who::Feed, "List/version-list")
                    .await?
                    .expect(200)?
                    .json()?;
                let item = &list["entry"][0]["item"];
                ensure!(
                    item["reference"] == answer["entry"][0]["response"]["location"]
                        && item.get("extension").is_none(),
                    "{item}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "transaction: urn:uuid references become ids, in any order", async {
            let world = worlds.get("US").await?;
            let patient = "urn:uuid:5f4b0c8e-1f0e-4a43-9c52-1b6f4f0b7a01";
            let visit = "urn:uuid:5f4b0c8e-1f0e-4a43-9c52-1b6f4f0b7a02";
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"fullUrl": visit, "resource": {"resourceType": "Encounter", "status": "finished",
                    "class": {"code": "AMB"}, "subject": {"reference": patient}},
                    "request": {"method": "POST", "url": "Encounter"}},
                {"fullUrl": patient, "resource": {"resourceType": "Patient", "active": true},
                    "request": {"method": "POST", "url": "Patient"}},
                {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                    "subject": {"reference": patient}, "encounter": {"reference": visit},
                    "note": [{"text": format!("not a reference: {patient}")}]},
                    "request": {"method": "POST", "url": "Observation"}},
            ]});
            let answer = world.try_transaction(&bundle).await?.expect(200)?.json()?;
            ensure!(answer["type"] == "transaction-response", "{}", answer["type"]);
            let entries = answer["entry"].as_array().context("no entries")?;
            ensure!(entries.len() == 3, "{} entries", entries.len());
            let places = entries.iter().map(place).collect::<Option<Vec<_>>>();
            let places = places.context("an entry without a location")?;
            ensure!(places[0].starts_with("Encounter/"), "the order changed: {places:?}");
            let observation = world.get(&Who::Feed, &places[2]).await?.expect(200)?.json()?;
            ensure!(observation["subject"]["reference"] == places[1], "{}", observation["subject"]);
            ensure!(observation["encounter"]["reference"] == places[0], "{}", observation["encounter"]);
            ensure!(observation["note"][0]["text"].to_string().contains("urn:uuid"), "text was rewritten");
            Ok(())
        })
        .await;
    report
        .case("rest", "transaction: all or nothing", async {
            let world = worlds.get("US").await?;
            let good = json!({"resourceType": "Patient", "id": "tx-good"});
            let bad = json!({"resourceType": "Patient", "id": "tx-bad", "colour": "red"});
            let bundle = crate::world::transaction(&[good, bad]);
            let refused = world
                .try_transaction(&bundle)
                .await?
                .expect_outcome(&[400, 422])?;
            ensure!(
                refused.text.contains("entry[1]"),
                "the entry is not named: {}",
                refused.text
            );
            for id in ["tx-good", "tx-bad"] {
                world
                    .get(&Who::Feed, &format!("Patient/{id}"))
                    .await?
                    .expect_outcome(&[404])?;
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "transaction: conditional references and ifNoneExist", async {
            let world = worlds.get("US").await?;
            let identifier = json!([{"system": "urn:tx", "value": "mrn-1"}]);
            let patient = json!({"resourceType": "Patient", "identifier": identifier});
            let post = |body: &Value, condition: Option<&str>| {
                let kind = body["resourceType"].as_str().unwrap_or_default();
                let mut request = json!({"method": "POST", "url": kind});
                if let Some(condition) = condition {
                    request["ifNoneExist"] = json!(condition);
                }
                json!({"resource": body, "request": request})
            };
            let make = |entries: Vec<Value>| json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
            let once = make(vec![post(&patient, Some("identifier=urn:tx|mrn-1"))]);
            let first = world.try_transaction(&once).await?.expect(200)?.json()?;
            let second = world.try_transaction(&once).await?.expect(200)?.json()?;
            ensure!(
                place(&first["entry"][0]) == place(&second["entry"][0]),
                "made twice: {first} {second}"
            );
            ensure!(second["entry"][0]["response"]["status"].to_string().contains("200"), "{second}");
            let observation = json!({"resourceType": "Observation", "status": "final",
                "code": {"text": "x"}, "subject": {"reference": "Patient?identifier=urn:tx|mrn-1"}});
            let answer = world.try_transaction(&make(vec![post(&observation, None)])).await?;
            let answer = answer.expect(200)?.json()?;
            let path = place(&answer["entry"][0]).context("no location")?;
            let stored = world.get(&Who::Feed, &path).await?.expect(200)?.json()?;
            let patient = place(&first["entry"][0]).context("no location")?;
            ensure!(stored["subject"]["reference"] == patient, "{}", stored["subject"]);
            let mut nobody = observation;
            nobody["subject"]["reference"] = json!("Patient?identifier=urn:tx|nobody");
            let refused = world.try_transaction(&make(vec![post(&nobody, None)])).await?;
            refused.expect_outcome(&[400, 404, 412, 422])?;
            Ok(())
        })
        .await;
    report
        .case("rest", "transaction: GET, PUT, DELETE and a conditional update together", async {
            let world = worlds.get("US").await?;
            let old = json!({"resourceType": "Patient", "id": "tx-old"});
            let other = json!({"resourceType": "Patient", "id": "tx-other"});
            world.put_all(&[old, other.clone()]).await?;
            let conditional = json!({"resourceType": "Patient", "active": true,
                "identifier": [{"system": "urn:tx", "value": "cond"}]});
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                {"request": {"method": "GET", "url": "Patient/tx-other"}},
                {"request": {"method": "DELETE", "url": "Patient/tx-old"}},
                {"resource": {"resourceType": "Patient", "id": "tx-other", "active": true},
                    "request": {"method": "PUT", "url": "Patient/tx-other", "ifMatch": "W/\"1\""}},
                {"resource": conditional,
                    "request": {"method": "PUT", "url": "Patient?identifier=urn:tx|cond"}},
                {"request": {"method": "GET", "url": "Patient?_id=tx-other"}},
            ]});
            let answer = world.try_transaction(&bundle).await?.expect(200)?.json()?;
            let entries = answer["entry"].as_array().context("no entries")?;
            ensure!(entries.len() == 5, "{} entries", entries.len());
            ensure!(entries[0]["resource"]["active"] == true, "GET does not see the PUT: {}", entries[0]);
            ensure!(entries[4]["resource"]["type"] == "searchset", "{}", entries[4]);
            world.get(&Who::Feed, "Patient/tx-old").await?.expect(410)?;
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "transaction: the same resource twice is refused",
            async {
                let world = worlds.get("US").await?;
                let one = json!({"resourceType": "Patient", "id": "tx-twice"});
                let bundle = crate::world::transaction(&[one.clone(), one.clone()]);
                world
                    .try_transaction(&bundle)
                    .await?
                    .expect_outcome(&[400, 409, 422])?;
                world.get(&Who::Feed, &reference(&one)).await?.expect(404)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "batch: each entry for itself, errors in their place",
            async {
                let world = worlds.get("US").await?;
                let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [
                    {"resource": {"resourceType": "Patient", "id": "batch-good"},
                        "request": {"method": "PUT", "url": "Patient/batch-good"}},
                    {"resource": {"resourceType": "Patient", "colour": "red"},
                        "request": {"method": "POST", "url": "Patient"}},
                    {"request": {"method": "GET", "url": "Patient/batch-none"}},
                    {"request": {"method": "GET", "url": "Patient?_id=batch-good"}},
                    {"request": {"method": "FLY", "url": "Patient"}},
                ]});
                let answer = world.try_transaction(&bundle).await?;
                if answer.status.as_u16() == 400 {
                    // The unknown method may be refused with the whole Bundle, which is not valid FHIR.
                    answer.expect_outcome(&[400])?;
                    return Ok(());
                }
                let answer = answer.expect(200)?.json()?;
                ensure!(answer["type"] == "batch-response", "{}", answer["type"]);
                let status = |number: usize| {
                    let status = answer["entry"][number]["response"]["status"].as_str();
                    status
                        .unwrap_or_default()
                        .chars()
                        .take(3)
                        .collect::<String>()
                };
                ensure!(status(0) == "201", "{}", status(0));
                ensure!(status(1) == "400" || status(1) == "422", "{}", status(1));
                let outcome = &answer["entry"][1]["response"]["outcome"];
                ensure!(
                    outcome["resourceType"] == "OperationOutcome",
                    "{}",
                    answer["entry"][1]
                );
                ensure!(status(2) == "404", "{}", status(2));
                world
                    .get(&Who::Feed, "Patient/batch-good")
                    .await?
                    .expect(200)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "a Bundle that is neither, and entries without a request",
            async {
                let world = worlds.get("US").await?;
                for bundle in [
                    json!({"resourceType": "Bundle", "type": "collection", "entry": []}),
                    json!({"resourceType": "Bundle", "type": "transaction",
                    "entry": [{"resource": {"resourceType": "Patient"}}]}),
                    json!({"resourceType": "Patient"}),
                ] {
                    let refused = world.try_transaction(&bundle).await?;
                    refused
                        .expect_outcome(&[400, 422])
                        .with_context(|| bundle.to_string())?;
                }
                Ok(())
            },
        )
        .await;
}

/// `Type/id` of an answer's entry.
fn place(entry: &Value) -> Option<String> {
    let location = entry["response"]["location"].as_str()?;
    let before = location.split("/_history").next()?;
    let mut parts = before.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    Some(format!("{kind}/{id}"))
}
