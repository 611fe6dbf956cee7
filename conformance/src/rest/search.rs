//! Search: each parameter type, chains, includes, sorting, paging, and what it must refuse.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::{LOINC, concept};
use crate::report::Report;
use crate::world::{Who, entries, next_link, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "search: every parameter type finds what it should and no more",
            async {
                let world = worlds.get("US").await?;
                world.put_all(&fixtures()).await?;
                for (query, expected) in table() {
                    let found = world.found(&Who::Feed, query).await?;
                    let expected: BTreeSet<String> =
                        expected.iter().map(|one| (*one).to_owned()).collect();
                    ensure!(
                        found == expected,
                        "{query}: {found:?} instead of {expected:?}"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "search: sorting, up and down, by date, number and text",
            async {
                let world = worlds.get("US").await?;
                world.put_all(&fixtures()).await?;
                for (query, expected) in [
                    ("Observation?patient=sr-a&_sort=date", "o1 o2 o3"),
                    ("Observation?patient=sr-a&_sort=-date", "o3 o2 o1"),
                    ("Observation?patient=sr-a&_sort=value-quantity", "o2 o1 o3"),
                    ("Patient?_id=sr-a,sr-b&_sort=family", "sr-b sr-a"),
                    ("Patient?_id=sr-a,sr-b&_sort=-birthdate", "sr-b sr-a"),
                ] {
                    let bundle = world.search(&Who::Feed, query).await?;
                    let found: Vec<String> = entries(&bundle)
                        .iter()
                        .filter_map(|one| one["id"].as_str().map(|id| id.replace("sr-o", "o")))
                        .collect();
                    ensure!(
                        found.join(" ") == expected,
                        "{query}: {found:?} instead of {expected}"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "search: pages agree with each other while others write", async {
            let world = worlds.get("US").await?;
            let all: Vec<Value> = (0..7)
                .map(|number| json!({"resourceType": "Basic", "id": format!("page-{number}"), "code": {"text": "page"}}))
                .collect();
            world.put_all(&all).await?;
            let mut seen = Vec::new();
            let mut bundle = world.search(&Who::Feed, "Basic?_id=page-0,page-1,page-2,page-3,page-4,page-5,page-6&_count=3&_total=accurate").await?;
            ensure!(bundle["total"] == 7, "total {}", bundle["total"]);
            loop {
                seen.extend(entries(&bundle).iter().map(reference));
                let Some(next) = next_link(&bundle) else { break };
                let between = json!({"resourceType": "Basic", "id": "page-0", "code": {"text": "again"}});
                world.put(&between).await?;
                bundle = world.search(&Who::Feed, &next).await?;
                ensure!(seen.len() < 20, "the pages do not end");
            }
            let unique: BTreeSet<&String> = seen.iter().collect();
            ensure!(unique.len() == seen.len(), "twice on a page: {seen:?}");
            ensure!(seen.len() >= 6, "{seen:?}");
            Ok(())
        })
        .await;
    report
        .case("rest", "search: includes are marked, and once only", async {
            let world = worlds.get("US").await?;
            world.put_all(&fixtures()).await?;
            let query = "Observation?patient=sr-a&_include=Observation:subject&_include=Observation:patient";
            let bundle = world.search(&Who::Feed, query).await?;
            let modes = |mode: &str| -> usize {
                let all = bundle["entry"].as_array().into_iter().flatten();
                all.filter(|entry| entry["search"]["mode"] == mode).count()
            };
            ensure!(modes("match") == 3 && modes("include") == 1, "{bundle}");
            let bundle = world.search(&Who::Feed, "Patient?_id=sr-a&_revinclude=Observation:subject").await?;
            ensure!(entries(&bundle).len() == 4, "{}", entries(&bundle).len());
            ensure!(bundle["total"] == 1 || bundle.get("total").is_none(), "includes were counted");
            Ok(())
        })
        .await;
    report
        .case("rest", "search: POST _search, _summary, _elements", async {
            let world = worlds.get("US").await?;
            world.put_all(&fixtures()).await?;
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let body = b"patient=sr-a&code=718-7".to_vec();
            let posted = world.raw(
                Some(&Who::Feed),
                Method::POST,
                "Observation/_search",
                &headers,
                Some(body),
            );
            let posted = posted.await?.expect(200)?.json()?;
            ensure!(entries(&posted).len() == 2, "{posted}");
            let count = world
                .search(&Who::Feed, "Observation?patient=sr-a&_summary=count")
                .await?;
            ensure!(
                count["total"] == 3 && count.get("entry").is_none(),
                "{count}"
            );
            let few = world
                .search(&Who::Feed, "Observation?_id=sr-o1&_elements=status")
                .await?;
            let one = entries(&few).into_iter().next().context("nothing found")?;
            ensure!(
                one["status"] == "final" && one.get("valueQuantity").is_none(),
                "{one}"
            );
            ensure!(
                one.to_string().contains("SUBSETTED"),
                "not marked as SUBSETTED"
            );
            ensure!(one.get("code").is_some(), "mandatory elements stay");
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "search: an unknown parameter is said, or refused when strict",
            async {
                let world = worlds.get("US").await?;
                let bundle = world
                    .search(&Who::Feed, "Patient?_id=sr-a&colour=red")
                    .await?;
                let text = bundle.to_string();
                ensure!(
                    text.contains("OperationOutcome") && text.contains("colour"),
                    "not said: {text}"
                );
                let own = bundle["link"].as_array().into_iter().flatten();
                let own = own
                    .filter(|link| link["relation"] == "self")
                    .map(|link| link["url"].to_string());
                let own: String = own.collect();
                ensure!(
                    own.contains("_id=sr-a") && !own.contains("colour"),
                    "self link {own}"
                );
                let strict = [("prefer", "handling=strict")];
                let query = "Patient?_id=sr-a&colour=red";
                let refused = world
                    .request_with(&Who::Feed, Method::GET, query, &strict, None)
                    .await?;
                let refused = refused.expect_outcome(&[400])?;
                ensure!(refused.text.contains("colour"), "{}", refused.text);
                Ok(())
            },
        )
        .await;
    report
        .case(
            "rest",
            "search: what cannot be done is refused, never ignored",
            async {
                let world = worlds.get("US").await?;
                for query in [
                    "Observation?date=yesterday",
                    "Observation?date=2026-13-45",
                    "Observation?value-quantity=abc",
                    "Observation?value-quantity=gt",
                    "Patient?birthdate=gt1984-02-29T",
                    "Observation?_count=-1",
                    "Observation?_count=many",
                    "Patient?_sort=colour",
                    "Observation?_include=Observation:colour",
                    "Observation?_include=nonsense",
                    "Patient?_has:Observation:colour:code=1",
                    "Patient?_has:Observation=1",
                    "Observation?subject:Colour.name=x",
                    "Observation?code:sounds-like=x",
                    "Patient?_lastUpdated=soon",
                    "Patient?active:missing=perhaps",
                    "Patient?_summary=everything",
                    "Patient?_total=about",
                ] {
                    let answer = world.get(&Who::Feed, query).await?;
                    answer
                        .expect_outcome(&[400, 501])
                        .with_context(|| query.to_owned())?;
                }
                Ok(())
            },
        )
        .await;
}

/// Two patients, three results, a report, a practitioner.
fn fixtures() -> Vec<Value> {
    let observation = |id: &str, code: &str, value: &str, at: &str| {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        json!({"resourceType": "Observation", "id": id, "status": "final",
            "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
            "code": concept(LOINC, code), "subject": {"reference": "Patient/sr-a"},
            "performer": [{"reference": "Practitioner/sr-doc"}], "effectiveDateTime": at,
            "valueQuantity": {"value": value, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"}})
    };
    vec![
        json!({"resourceType": "Patient", "id": "sr-a", "active": true, "gender": "female",
            "birthDate": "1984-02-29",
            "identifier": [{"system": "urn:sr", "value": "A-1"}],
            "name": [{"family": "Zúñiga", "given": ["Ana", "María"]}],
            "address": [{"city": "São Paulo"}], "telecom": [{"system": "phone", "value": "555-0100"}]}),
        json!({"resourceType": "Patient", "id": "sr-b", "active": false, "gender": "male",
            "birthDate": "1990-07",
            "identifier": [{"system": "urn:sr", "value": "B-1"}], "name": [{"family": "Adams"}]}),
        json!({"resourceType": "Practitioner", "id": "sr-doc", "name": [{"family": "Lee"}]}),
        observation("sr-o1", "718-7", "13.10", "2026-11-01T10:00:00Z"),
        observation("sr-o2", "718-7", "9", "2026-11-02"),
        observation("sr-o3", "2160-0", "20.5", "2026-11-03T10:00:00-05:00"),
        json!({"resourceType": "DiagnosticReport", "id": "sr-r", "status": "final",
            "code": concept(LOINC, "58410-2"), "subject": {"reference": "Patient/sr-a"},
            "result": [{"reference": "Observation/sr-o1"}]}),
        json!({"resourceType": "RiskAssessment", "id": "sr-risk", "status": "final",
            "subject": {"reference": "Patient/sr-a"}, "prediction": [{"probabilityDecimal": 0.25}]}),
        json!({"resourceType": "ValueSet", "id": "sr-vs", "status": "active",
            "url": "http://example.org/vs/a", "version": "2"}),
    ]
}

/// Queries and what they find, the type left out of ids.
fn table() -> Vec<(&'static str, Vec<&'static str>)> {
    const A: &str = "Patient/sr-a";
    const B: &str = "Patient/sr-b";
    const O1: &str = "Observation/sr-o1";
    const O2: &str = "Observation/sr-o2";
    const O3: &str = "Observation/sr-o3";
    vec![
        ("Patient?identifier=urn:sr|A-1", vec![A]),
        ("Patient?identifier=A-1&_id=sr-a,sr-b", vec![A]),
        ("Patient?identifier=urn:sr|&_id=sr-a,sr-b", vec![A, B]),
        ("Patient?identifier=|A-1&_id=sr-a,sr-b", vec![]),
        ("Patient?gender=female,male&_id=sr-a,sr-b", vec![A, B]),
        ("Patient?gender:not=female&_id=sr-a,sr-b", vec![B]),
        ("Patient?active=true&_id=sr-a,sr-b", vec![A]),
        ("Patient?family=zuniga&_id=sr-a,sr-b", vec![A]),
        ("Patient?family=Zun&_id=sr-a,sr-b", vec![A]),
        ("Patient?family:exact=Zúñiga&_id=sr-a,sr-b", vec![A]),
        ("Patient?family:exact=Zuniga&_id=sr-a,sr-b", vec![]),
        ("Patient?family:contains=nig&_id=sr-a,sr-b", vec![A]),
        ("Patient?given=mar&_id=sr-a,sr-b", vec![A]),
        ("Patient?name=ana&_id=sr-a,sr-b", vec![A]),
        ("Patient?address-city=sao&_id=sr-a,sr-b", vec![A]),
        ("Patient?phone=555-0100&_id=sr-a,sr-b", vec![A]),
        ("Patient?birthdate=1984-02-29&_id=sr-a,sr-b", vec![A]),
        ("Patient?birthdate=1984&_id=sr-a,sr-b", vec![A]),
        ("Patient?birthdate=lt1990-01-01&_id=sr-a,sr-b", vec![A]),
        ("Patient?birthdate=ge1990-07&_id=sr-a,sr-b", vec![B]),
        ("Patient?birthdate=ne1984&_id=sr-a,sr-b", vec![B]),
        ("Patient?birthdate=sa1985&_id=sr-a,sr-b", vec![B]),
        ("Patient?birthdate:missing=true&_id=sr-a,sr-b", vec![]),
        ("Patient?death-date:missing=true&_id=sr-a,sr-b", vec![A, B]),
        ("Observation?patient=sr-a", vec![O1, O2, O3]),
        ("Observation?patient=Patient/sr-a", vec![O1, O2, O3]),
        ("Observation?subject=Patient/sr-a", vec![O1, O2, O3]),
        ("Observation?subject:Patient=sr-a", vec![O1, O2, O3]),
        ("Observation?patient=sr-b", vec![]),
        ("Observation?patient=sr-a&code=718-7", vec![O1, O2]),
        (
            "Observation?patient=sr-a&code=http://loinc.org|718-7",
            vec![O1, O2],
        ),
        (
            "Observation?patient=sr-a&code=http://snomed.info/sct|718-7",
            vec![],
        ),
        (
            "Observation?patient=sr-a&code=718-7,2160-0",
            vec![O1, O2, O3],
        ),
        ("Observation?patient=sr-a&code=718-7&code=2160-0", vec![]),
        (
            "Observation?patient=sr-a&category=laboratory&date=ge2026-11-02",
            vec![O2, O3],
        ),
        ("Observation?patient=sr-a&date=2026-11-02", vec![O2]),
        ("Observation?patient=sr-a&date=gt2026-11-02", vec![O3]),
        ("Observation?patient=sr-a&date=lt2026-11-02", vec![O1]),
        (
            "Observation?patient=sr-a&date=2026-11-03T15:00:00Z",
            vec![O3],
        ),
        (
            "Observation?patient=sr-a&date=ge2026-11-01&date=lt2026-11-03",
            vec![O1, O2],
        ),
        ("Observation?patient=sr-a&value-quantity=13.1", vec![O1]),
        ("Observation?patient=sr-a&value-quantity=gt9", vec![O1, O3]),
        (
            "Observation?patient=sr-a&value-quantity=le9|http://unitsofmeasure.org|g/dL",
            vec![O2],
        ),
        ("Observation?patient=sr-a&value-quantity=9||g/dL", vec![O2]),
        (
            "Observation?patient=sr-a&value-quantity=9|http://unitsofmeasure.org|mmol/L",
            vec![],
        ),
        (
            "Observation?code-value-quantity=718-7$gt10&patient=sr-a",
            vec![O1],
        ),
        (
            "Observation?patient.identifier=urn:sr|A-1",
            vec![O1, O2, O3],
        ),
        (
            "Observation?subject:Patient.family=zuniga&code=2160-0",
            vec![O3],
        ),
        (
            "Observation?performer:Practitioner.family=lee&patient=sr-a&code=2160-0",
            vec![O3],
        ),
        (
            "DiagnosticReport?result.code=718-7&patient=sr-a",
            vec!["DiagnosticReport/sr-r"],
        ),
        ("DiagnosticReport?result.code=2160-0&patient=sr-a", vec![]),
        (
            "Patient?_has:Observation:patient:code=2160-0&_id=sr-a,sr-b",
            vec![A],
        ),
        (
            "Practitioner?_has:Observation:performer:code=718-7&_id=sr-doc",
            vec!["Practitioner/sr-doc"],
        ),
        (
            "Observation?_has:DiagnosticReport:result:code=58410-2&patient=sr-a",
            vec![O1],
        ),
        (
            "RiskAssessment?probability=0.25&patient=sr-a",
            vec!["RiskAssessment/sr-risk"],
        ),
        ("RiskAssessment?probability=gt0.3&patient=sr-a", vec![]),
        (
            "ValueSet?url=http://example.org/vs/a",
            vec!["ValueSet/sr-vs"],
        ),
        ("ValueSet?url=http://example.org/vs", vec![]),
        (
            "ValueSet?url:below=http://example.org/vs&_id=sr-vs",
            vec!["ValueSet/sr-vs"],
        ),
        ("Patient/sr-a/Observation?code=2160-0", vec![O3]),
        ("Observation?patient=sr-a&_lastUpdated=lt2020", vec![]),
    ]
}
