//! Operations over a record: $everything, $lastn, $docref, $meta, $convert, $validate.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{Who, World, entries, next_link, reference};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "rest",
            "$everything: the record, in pages, and nothing that is withheld",
            async {
                let (world, chart) = worlds.chart("US", "everything").await?;
                let note = chart.psychotherapy_note("note");
                let mut all = vec![note.clone(), chart.condition("condition")];
                all.extend((0..5).map(|at| chart.observation(&format!("o{at}"), "718-7", 13.0)));
                world.put_all(&all).await?;
                let path = format!("Patient/{}/$everything", chart.id("p"));
                let feed = walk(&world, &Who::Feed, &path).await?;
                for resource in &all {
                    ensure!(
                        feed.contains(&reference(resource)),
                        "{} is missing",
                        reference(resource)
                    );
                }
                let paged = walk(&world, &Who::Feed, &format!("{path}?_count=2")).await?;
                ensure!(
                    paged == feed,
                    "pages differ from the whole: {paged:?} {feed:?}"
                );
                let own = walk(&world, &chart.patient(), &path).await?;
                ensure!(!own.contains(&reference(&note)), "the note is there");
                ensure!(
                    own.contains(&format!("Patient/{}", chart.id("p"))),
                    "{own:?}"
                );
                let paged = walk(&world, &chart.patient(), &format!("{path}?_count=1")).await?;
                ensure!(
                    paged == own,
                    "pages differ from the whole: {paged:?} {own:?}"
                );
                let results =
                    walk(&world, &Who::Feed, &format!("{path}?_type=Observation")).await?;
                let is_result = |one: &String| one.starts_with("Observation/");
                ensure!(
                    results.len() == 5 && results.iter().all(is_result),
                    "{results:?}"
                );
                let (_, other) = worlds.chart("US", "everything-other").await?;
                world
                    .get(&other.patient(), &path)
                    .await?
                    .expect_outcome(&[404])?;
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "$lastn: the latest of each code", async {
            let (world, chart) = worlds.chart("US", "lastn").await?;
            let mut all = Vec::new();
            for (at, code) in ["718-7", "718-7", "718-7", "2345-7"]
                .into_iter()
                .enumerate()
            {
                let mut one = chart.observation(&format!("o{at}"), code, 13.0);
                one["effectiveDateTime"] = json!(format!("2026-10-0{}T12:00:00Z", at + 1));
                all.push(one);
            }
            world.put_all(&all).await?;
            let query = format!("Observation/$lastn?patient={}", chart.id("p"));
            for who in [Who::Feed, chart.patient()] {
                let last = world.found(&who, &query).await?;
                let expected: BTreeSet<String> = [&all[2], &all[3]].map(reference).into();
                ensure!(last == expected, "{last:?}");
                let two = world
                    .found(&who, &format!("{query}&max=2&code=718-7"))
                    .await?;
                let expected: BTreeSet<String> = [&all[1], &all[2]].map(reference).into();
                ensure!(two == expected, "{two:?}");
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "$lastn: in pages", async {
            let (world, chart) = worlds.chart("US", "lastn-pages").await?;
            let mut all = Vec::new();
            for (at, code) in ["718-7", "2345-7", "2160-0"].into_iter().enumerate() {
                let mut one = chart.observation(&format!("o{at}"), code, 13.0);
                one["effectiveDateTime"] = json!(format!("2026-10-0{}T12:00:00Z", at + 1));
                all.push(one);
            }
            world.put_all(&all).await?;
            let path = format!("Observation/$lastn?patient={}&_count=1", chart.id("p"));
            for who in [Who::Feed, chart.patient()] {
                let found = walk(&world, &who, &path).await?;
                let expected: BTreeSet<String> = all.iter().map(reference).collect();
                ensure!(found == expected, "{found:?}");
            }
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "$meta: the labels of a type, for whoever sees them",
            async {
                let (world, chart) = worlds.chart("US", "labels").await?;
                let mut one = chart.observation("o", "718-7", 13.0);
                one["meta"] = json!({"tag": [{"system": "urn:tags", "code": "labels-seen"}]});
                world.put(&one).await?;
                let (_, other) = worlds.chart("US", "labels-other").await?;
                let mut hers = other.observation("o", "718-7", 13.0);
                hers["meta"] = json!({"tag": [{"system": "urn:tags", "code": "labels-hers"}]});
                world.put(&hers).await?;
                for path in ["$meta", "Observation/$meta"] {
                    let all = world.get(&Who::Feed, path).await?.expect(200)?.text;
                    ensure!(
                        all.contains("labels-seen") && all.contains("labels-hers"),
                        "{all}"
                    );
                    let own = world.get(&chart.patient(), path).await?.expect(200)?.text;
                    ensure!(
                        own.contains("labels-seen") && !own.contains("labels-hers"),
                        "{own}"
                    );
                }
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "$graphql: reads, searches, and nothing that is withheld", async {
            let (world, chart) = worlds.chart("US", "graphql").await?;
            let note = chart.psychotherapy_note("note");
            world.put_all(&[note, chart.observation("o", "718-7", 13.0)]).await?;
            let ask = |who: Who, path: String, query: String| {
                let world = &world;
                async move {
                    let headers = [("content-type", "application/graphql")];
                    world
                        .raw(Some(&who), Method::POST, &path, &headers, Some(query.into_bytes()))
                        .await
                }
            };
            let at = format!("Patient/{}/$graphql", chart.id("p"));
            let query = "{ id ObservationList(_reference: subject) { id valueQuantity { value } } \
                DocumentReferenceList(_reference: patient) { id } }";
            let feed = ask(Who::Feed, at.clone(), query.to_owned()).await?.expect(200)?.json()?;
            ensure!(feed["data"]["DocumentReferenceList"][0]["id"] == *chart.id("note"), "{feed}");
            let own = ask(chart.patient(), at.clone(), query.to_owned()).await?.expect(200)?.json()?;
            ensure!(own["data"]["DocumentReferenceList"] == json!([]), "{own}");
            ensure!(own["data"]["ObservationList"][0]["id"] == *chart.id("o"), "{own}");
            let mut texts = Vec::new();
            for id in [chart.id("note"), "nobody".to_owned()] {
                let query = format!("{{ DocumentReference(id: \"{id}\") {{ id }} }}");
                let answer = ask(chart.patient(), "$graphql".to_owned(), query).await?.expect(404)?;
                ensure!(answer.json()?["errors"][0]["message"].is_string(), "{}", answer.text);
                texts.push(answer.text);
            }
            ensure!(texts[0] == texts[1], "{texts:?}");
            ask(Who::Feed, at, "{ colour }".to_owned()).await?.expect(400)?;
            Ok(())
        })
        .await;
    report
        .case(
            "rest",
            "$docref: documents of a patient, without what is withheld",
            async {
                let (world, chart) = worlds.chart("US", "docref").await?;
                let (plain, note) = (
                    chart.note("plain", "34133-9"),
                    chart.psychotherapy_note("psy"),
                );
                world.put_all(&[plain.clone(), note.clone()]).await?;
                let query = format!("DocumentReference/$docref?patient={}", chart.id("p"));
                let all = world.found(&Who::Feed, &query).await?;
                ensure!(
                    all.contains(&reference(&plain)) && all.contains(&reference(&note)),
                    "{all:?}"
                );
                let own = world.found(&chart.patient(), &query).await?;
                ensure!(
                    own.contains(&reference(&plain)) && !own.contains(&reference(&note)),
                    "{own:?}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case("rest", "$meta, $meta-add, $meta-delete", async {
            let world = worlds.get("US").await?;
            world
                .put(&json!({"resourceType": "Patient", "id": "labels"}))
                .await?;
            let labels = json!({"resourceType": "Parameters", "parameter": [
                {"name": "meta", "valueMeta": {"tag": [{"system": "urn:t", "code": "x"}]}}]});
            for (operation, expected) in [("$meta-add", 1), ("$meta-delete", 0)] {
                let path = format!("Patient/labels/{operation}");
                let answer = world
                    .request(&Who::Feed, Method::POST, &path, Some(&labels))
                    .await?;
                let answer = answer.expect(200)?.json()?;
                ensure!(tags(&answer) == expected, "{answer}");
                let read = world
                    .get(&Who::Feed, "Patient/labels/$meta")
                    .await?
                    .expect(200)?
                    .json()?;
                ensure!(tags(&read) == expected, "{read}");
            }
            Ok(())
        })
        .await;
    report
        .case("rest", "$convert and $validate store nothing", async {
            let world = worlds.get("US").await?;
            let patient = json!({"resourceType": "Patient", "id": "not-stored"});
            let headers = [("accept", "application/fhir+xml")];
            let answer = world
                .request_with(
                    &Who::Feed,
                    Method::POST,
                    "$convert",
                    &headers,
                    Some(&patient),
                )
                .await?;
            let answer = answer.expect(200)?;
            ensure!(
                answer.text.contains("<id value=\"not-stored\""),
                "{}",
                answer.text
            );
            let answer = world
                .request(
                    &Who::Feed,
                    Method::POST,
                    "Patient/$validate",
                    Some(&patient),
                )
                .await?;
            answer.expect(200)?;
            world
                .get(&Who::Feed, "Patient/not-stored")
                .await?
                .expect_outcome(&[404])?;
            Ok(())
        })
        .await;
}

fn tags(parameters: &Value) -> usize {
    let meta = &parameters["parameter"][0]["valueMeta"];
    meta["tag"].as_array().map_or(0, Vec::len)
}

/// References of all matches over all pages.
async fn walk(world: &World, who: &Who, path: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let bundle = world.search(who, &path).await?;
        let list = bundle["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let matches = list
            .iter()
            .filter(|entry| entry["search"]["mode"] == "match");
        found.extend(matches.map(|entry| reference(&entry["resource"])));
        ensure!(
            entries(&bundle).len() == list.len(),
            "an entry without a resource"
        );
        next = next_link(&bundle);
    }
    Ok(found)
}
