//! Search against a brute-force reading of the JSON: what each parameter finds is said here a second
//! time, by hand, from FHIR R4's own pages, without the server's tables, index or SQL.

mod measured;
mod more;
mod params;
mod queries;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;

use serde_json::{Value, json};

use crate::rest_support::{Api, BASE, SYSTEM, each_api};
use crate::support::shared;
use queries::{Key, Order, Query};

/// Everything that is stored, by `Type/id`.
pub struct World {
    pub all: Vec<Value>,
    by_address: HashMap<String, usize>,
}

impl World {
    pub fn get(&self, address: &str) -> Option<&Value> {
        self.by_address
            .get(address)
            .and_then(|at| self.all.get(*at))
    }

    pub fn of<'w>(&'w self, type_name: &'w str) -> impl Iterator<Item = &'w Value> {
        self.all
            .iter()
            .filter(move |one| one["resourceType"] == type_name)
    }
}

pub fn address(resource: &Value) -> String {
    format!(
        "{}/{}",
        text(resource, "resourceType"),
        text(resource, "id")
    )
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// What the hand-made examples leave out: several values, other languages, several patients.
fn own() -> Vec<Value> {
    let mut all = Vec::new();
    for (id, family, given, gender, birth) in [
        ("t1", "Åström", "Zoë", "female", "1980-02-29"),
        ("t2", "astrom", "Jean-Luc", "male", "1980-03"),
        ("t3", "O'Neill", "Ann", "other", "1979"),
    ] {
        all.push(json!({
            "resourceType": "Patient", "id": id, "active": id != "t3", "gender": gender,
            "name": [{"family": family, "given": [given, "B"], "prefix": ["Dr"]}],
            "birthDate": birth, "identifier": [{"system": "urn:truth", "value": format!("X-{id}")}],
            "address": [{"city": "Łódź", "line": ["1 Main St"], "postalCode": "00-1"}]
        }));
        for (number, value, when) in [
            (1, 5.4, "2020-01-01"),
            (2, 5.41, "2020-01-01T10:00:00Z"),
            (3, 0.05, "2020"),
        ] {
            all.push(json!({
                "resourceType": "Observation", "id": format!("{id}-o{number}"), "status": "final",
                "code": {"coding": [
                    {"system": "urn:truth", "code": format!("C{number}"), "display": "Blood Sugar"},
                    {"code": "noSystem"}
                ]},
                "subject": {"reference": format!("Patient/{id}")},
                "effectiveDateTime": when,
                "valueQuantity": {"value": value, "unit": "mmol/L",
                    "system": "http://unitsofmeasure.org", "code": "mmol/L"},
                "component": [
                    {"code": {"coding": [{"system": "urn:truth", "code": "sys"}]},
                     "valueQuantity": {"value": 100 + number, "unit": "mm[Hg]"}},
                    {"code": {"coding": [{"system": "urn:truth", "code": "dia"}]},
                     "valueQuantity": {"value": 60 - number, "unit": "mm[Hg]"}}
                ]
            }));
        }
    }
    let measured = |value: f64, unit: &str| json!({"value": value, "system": "http://unitsofmeasure.org", "code": unit});
    for (number, (value, unit)) in values::MEASURES.iter().enumerate() {
        all.push(json!({
            "resourceType": "Observation", "id": format!("t-m{number}"), "status": "final",
            "code": {"coding": [{"system": "urn:truth", "code": if number % 5 == 4 { "other" } else { "measure" }}]},
            "valueQuantity": measured(*value, unit),
            "component": [{"code": {"coding": [{"system": "urn:truth", "code": "part"}]},
                "valueQuantity": measured(value + 1.0, unit)}]
        }));
    }
    all.push(json!({
        "resourceType": "RiskAssessment", "id": "t-risk", "status": "final",
        "subject": {"reference": "Patient/t1"},
        "prediction": [{"probabilityDecimal": 12.5}, {"probabilityDecimal": 80}]
    }));
    all.push(json!({
        "resourceType": "Encounter", "id": "t-enc", "status": "finished", "class": {"code": "VR"},
        "subject": {"display": "somebody"}, "period": {"start": "2020-01-01T09:00:00Z"}
    }));
    all.push(json!({"resourceType": "Organization", "id": "t-org", "name": "Truth"}));
    for (number, (latitude, longitude)) in values::PLACES.iter().enumerate() {
        let id = format!("t-place{number}");
        let mut place = json!({"resourceType": "Location", "id": id, "name": id,
            "position": {"latitude": latitude, "longitude": longitude}});
        if number % 3 == 0 {
            place["managingOrganization"] = json!({"reference": "Organization/t-org"});
        }
        all.push(place);
        all.push(json!({"resourceType": "Encounter", "id": format!("t-at{number}"), "status": "finished",
            "class": {"code": "VR"}, "location": [{"location": {"reference": format!("Location/{id}")}}]}));
    }
    for (id, part_of) in [
        ("t-top", None),
        ("t-mid", Some("t-top")),
        ("t-low", Some("t-mid")),
    ] {
        let mut location =
            json!({"resourceType": "Location", "id": id, "name": id, "status": "active"});
        if let Some(above) = part_of {
            location["partOf"] = json!({"reference": format!("Location/{above}")});
        }
        all.push(location);
    }
    all
}

async fn load(api: &Api) -> Option<World> {
    for one in own() {
        api.put(SYSTEM, &one).await.is(201);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/r4-examples");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let text = std::fs::read(path).unwrap();
        let example: Value = serde_json::from_slice(&text).unwrap();
        // An example that is refused is another test's business.
        api.put(SYSTEM, &example).await;
    }
    if let Some(path) = shared("data/synthea-20/03.json.gz") {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
            .read_to_end(&mut text)
            .unwrap();
        api.call(SYSTEM, "POST", "")
            .body("application/fhir+json", text)
            .send()
            .await
            .is(200);
    }
    let mut all = Vec::new();
    let mut path = "?_count=1000".to_owned();
    loop {
        let page = api.get(SYSTEM, &path).await.is(200).json();
        for entry in page["entry"].as_array().unwrap() {
            all.push(entry["resource"].clone());
        }
        match next(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    let by_address = (0..)
        .zip(&all)
        .map(|(at, one)| (address(one), at))
        .collect();
    Some(World { all, by_address })
}

fn next(page: &Value) -> Option<String> {
    page["link"]
        .as_array()?
        .iter()
        .find(|link| link["relation"] == "next")?["url"]
        .as_str()
        .map(|url| url[BASE.len()..].to_owned())
}

/// Addresses of all matches, page by page.
async fn ask(api: &Api, query: &str, count: usize) -> Vec<String> {
    let separator = if query.contains('?') { '&' } else { '?' };
    let mut path = format!("{query}{separator}_count={count}");
    let mut found = Vec::new();
    loop {
        let answer = api.get(SYSTEM, &path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text());
        let page = answer.json();
        for entry in page["entry"].as_array().into_iter().flatten() {
            assert_eq!(entry["search"]["mode"], "match", "{path}: {entry}");
            found.push(address(&entry["resource"]));
        }
        match next(&page) {
            Some(next) => path = next,
            None => return found,
        }
    }
}

/// Stores each resource once more, within another; the addresses of those that can be.
async fn wrap(api: &Api, world: &World) -> BTreeSet<String> {
    let mut entries = Vec::new();
    let mut wrapped = BTreeSet::new();
    for one in &world.all {
        let name = text(one, "resourceType");
        let has_parts = one.to_string().contains("\"#") || one.get("contained").is_some();
        if has_parts || ["Binary", "Bundle", "Parameters"].contains(&name) {
            continue;
        }
        let mut inner = one.clone();
        inner.as_object_mut().unwrap().remove("meta");
        entries.push(
            json!({"request": {"method": "POST", "url": "Basic"}, "resource": {
            "resourceType": "Basic", "code": {"text": "wrapped"}, "contained": [inner],
            "subject": {"reference": format!("#{}", text(one, "id"))}}}),
        );
        wrapped.insert(address(one));
    }
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    api.post(SYSTEM, "", &bundle).await.is(200);
    wrapped
}

/// The first pair that stands in the wrong order.
fn out_of_order(world: &World, query: &Query, order: &Order, found: &[String]) -> Option<String> {
    let keys: Vec<Option<Key>> = found
        .iter()
        .map(|address| (order.key)(world, world.get(address).unwrap()))
        .collect();
    let at = keys
        .windows(2)
        .position(|pair| match (&pair[0], &pair[1]) {
            // Without a value last, in either direction.
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(a), Some(b)) if order.descending => a < b,
            (Some(a), Some(b)) => a > b,
        })?;
    Some(format!(
        "{}: {} ({:?}) before {} ({:?})",
        query.path,
        found[at],
        keys[at],
        found[at + 1],
        keys[at + 1]
    ))
}

each_api! {
    async fn every_query_finds_what_the_json_says(api: &Api) {
        let Some(world) = load(api).await else { return };
        let queries = queries::all(&world);
        let mut wrong = Vec::new();
        let mut tally: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for query in &queries {
            let expected: BTreeSet<String> = world
                .of(query.type_name)
                .filter(|resource| (query.matches)(&world, resource))
                .map(address)
                .collect();
            let count = if expected.len() > 60 { 500 } else { 7 };
            let found = ask(api, &query.path, count).await;
            let set: BTreeSet<String> = found.iter().cloned().collect();
            assert_eq!(set.len(), found.len(), "{}: one match twice", query.path);
            let lost: Vec<&String> = expected.difference(&set).take(3).collect();
            let extra: Vec<&String> = set.difference(&expected).take(3).collect();
            if !lost.is_empty() || !extra.is_empty() {
                let one = lost.first().or(extra.first());
                wrong.push(format!(
                    "{}: not found {lost:?}, found {extra:?}\n{}",
                    query.path,
                    one.and_then(|one| world.get(one)).unwrap_or(&Value::Null)
                ));
            }
            if let Some(order) = &query.order {
                wrong.extend(out_of_order(&world, query, order, &found));
            }
            let entry = tally.entry(query.what).or_default();
            entry.0 += 1;
            entry.1 += usize::from(!expected.is_empty());
        }
        assert!(
            wrong.is_empty(),
            "{} of {} queries:\n{}",
            wrong.len(),
            queries.len(),
            wrong.iter().take(25).cloned().collect::<Vec<_>>().join("\n")
        );
        let matched: usize = tally.values().map(|(_, matched)| matched).sum();
        assert!(queries.len() >= 1_500, "{} queries", queries.len());
        assert!(matched >= 1_000, "{matched} queries matched something: {tally:?}");
    }

    async fn what_is_contained_is_found_as_what_stands_alone(api: &Api) {
        let Some(world) = load(api).await else { return };
        let wrapped = wrap(api, &world).await;
        let mut wrong = Vec::new();
        let (mut asked, mut matched) = (0, 0);
        for query in queries::all(&world) {
            // What leads out of the resource, and what is said of a resource by the server.
            let beyond = ["_text", "_content", "_lastUpdated", "_has:", "_list", "_tag", "_profile", "_security"];
            let name = query.path.split(['?', '=']).nth(1).unwrap_or_default();
            let is_beyond = name.contains('.') || beyond.iter().any(|one| query.path.contains(one));
            if query.order.is_some() || is_beyond {
                continue;
            }
            let expected: BTreeSet<String> = world
                .of(query.type_name)
                .filter(|resource| (query.matches)(&world, resource))
                .map(address)
                .filter(|one| wrapped.contains(one))
                .collect();
            let path = format!("{}&_contained=true&_containedType=contained", query.path);
            let first = api.get(SYSTEM, &path).await;
            if first.status == 400 && first.text().contains("'_contained' goes without") {
                continue;
            }
            // Some examples contain something of their own.
            let mut found = ask(api, &path, if expected.len() > 60 { 500 } else { 7 }).await;
            found.retain(|one| wrapped.contains(one));
            let set: BTreeSet<String> = found.iter().cloned().collect();
            assert_eq!(set.len(), found.len(), "{path}: one match twice");
            if set != expected {
                let differing = set.symmetric_difference(&expected).next().unwrap();
                wrong.push(format!("{path}: {differing}\n{}", world.get(differing).unwrap_or(&Value::Null)));
            }
            asked += 1;
            matched += usize::from(!expected.is_empty());
        }
        assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(asked >= 250 && matched >= 150, "{asked} asked, {matched} matched");
    }
}
