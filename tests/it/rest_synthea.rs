//! A whole patient as one transaction: everything in, everything linked, everything there for her.

use std::collections::HashSet;
use std::io::Read as _;

use serde_json::Value;

use crate::rest_support::{BASE, SYSTEM, each_api, patient};
use crate::support::shared;

fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "reference" => found.push(text),
                    value => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

each_api! {
    async fn a_synthetic_patient_arrives_whole(api: &Api) {
        let Some(path) = shared("data/synthea-20/03.json.gz") else {
            return;
        };
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
            .read_to_end(&mut text)
            .unwrap();
        let sent: Value = serde_json::from_slice(&text).unwrap();
        let count = sent["entry"].as_array().unwrap().len();
        let answer = api
            .call(SYSTEM, "POST", "")
            .body("application/fhir+json", text)
            .send()
            .await
            .is(200)
            .json();
        let entries = answer["entry"].as_array().unwrap();
        assert_eq!(entries.len(), count);
        let addresses: HashSet<&str> = entries
            .iter()
            .map(|entry| {
                assert_eq!(entry["response"]["status"], "201 Created");
                let location = entry["response"]["location"].as_str().unwrap();
                location.split("/_history").next().unwrap()
            })
            .collect();
        assert_eq!(addresses.len(), count);
        let id = addresses
            .iter()
            .find_map(|address| address.strip_prefix("Patient/"))
            .unwrap();
        // Page through her record as her app does: what is about her, and nothing twice.
        let token = patient(id);
        let mut seen = HashSet::new();
        let mut path = format!("Patient/{id}/*?_count=50");
        loop {
            let page = api.get(&token, &path).await.is(200).json();
            for entry in page["entry"].as_array().unwrap() {
                let resource = &entry["resource"];
                let address = format!(
                    "{}/{}",
                    resource["resourceType"].as_str().unwrap(),
                    resource["id"].as_str().unwrap()
                );
                assert!(addresses.contains(address.as_str()), "{address}");
                assert!(seen.insert(address.clone()), "{address} twice");
                let mut all = Vec::new();
                references(resource, &mut all);
                for reference in all.into_iter().filter(|text| !text.starts_with('#')) {
                    assert!(addresses.contains(reference), "{address}: {reference}");
                }
            }
            let next = page["link"]
                .as_array()
                .unwrap()
                .iter()
                .find(|link| link["relation"] == "next");
            let Some(next) = next else { break };
            path = next["url"].as_str().unwrap()[BASE.len()..].to_owned();
        }
        let others = addresses
            .iter()
            .filter(|address| !seen.contains(**address))
            .all(|address| {
                ["Organization/", "Practitioner/", "Location/", "Medication/", "PractitionerRole/"]
                    .iter()
                    .any(|name| address.starts_with(name))
            });
        assert!(others, "{:?}", addresses.iter().filter(|a| !seen.contains(**a)).collect::<Vec<_>>());
        assert!(seen.len() > 50, "{}", seen.len());
    }
}
