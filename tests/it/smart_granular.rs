//! Granular scopes are exact: for every pair of categories, what a token sees by reading, searching,
//! including, counting, in histories and over all types at once is what picking resources by hand gives.

use std::collections::BTreeSet;

use candor::smart::scopes::catalogue;
use serde_json::{Value, json};

use crate::rest_support::{Api, SYSTEM, a_patient, an_observation, each_api};

/// A resource that a scope may open, with its categories.
struct Subject {
    type_name: &'static str,
    id: String,
    categories: Vec<String>,
    /// Those of its first version; it has two.
    before: Vec<String>,
}

impl Subject {
    fn reference(&self) -> String {
        format!("{}/{}", self.type_name, self.id)
    }
}

/// Categories of a type as the catalogue of scopes has them: `system|code`.
fn categories(type_name: &str) -> Vec<String> {
    let entry = catalogue()
        .entries()
        .find(|entry| entry.resource == type_name);
    let categories = entry.into_iter().flat_map(|entry| &entry.categories);
    categories
        .map(|category| category.query.strip_prefix("category=").unwrap().to_owned())
        .collect()
}

/// One resource for each category and each pair of them, one of none and one of a neighbouring one.
fn subjects(type_name: &'static str) -> Vec<Subject> {
    let known = categories(type_name);
    let stranger = format!("{}-not", known[0]);
    let mut sets: Vec<Vec<String>> = vec![vec![], vec![stranger]];
    for (at, one) in known.iter().enumerate() {
        sets.push(vec![one.clone()]);
        for other in &known[at + 1..] {
            sets.push(vec![one.clone(), other.clone()]);
        }
    }
    let mut both: Vec<_> = sets.into_iter().map(|set| (set.clone(), set)).collect();
    // Some that were something else once.
    for (at, one) in known.iter().enumerate() {
        let next = &known[(at + 1) % known.len()];
        both.push((vec![one.clone()], vec![next.clone()]));
    }
    both.push((vec![known[0].clone()], vec![]));
    both.push((vec![], vec![known[0].clone()]));
    both.into_iter()
        .enumerate()
        .map(|(at, (before, categories))| Subject {
            type_name,
            id: format!("{}-{at}", type_name.to_lowercase()),
            categories,
            before,
        })
        .collect()
}

fn concept(category: &str) -> Value {
    let (system, code) = category.split_once('|').unwrap();
    json!({"coding": [{"system": system, "code": code}]})
}

fn resource(subject: &Subject, categories: &[String]) -> Value {
    let mut resource = if subject.type_name == "Observation" {
        an_observation(&subject.id, "p")
    } else {
        json!({"resourceType": "Condition", "id": subject.id, "subject": {"reference": "Patient/p"},
            "clinicalStatus": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active"}]}})
    };
    let category: Vec<Value> = categories.iter().map(|one| concept(one)).collect();
    if category.is_empty() {
        resource.as_object_mut().unwrap().shift_remove("category");
    } else {
        resource["category"] = json!(category);
    }
    resource
}

fn of_type(bundle: &Value, type_name: &str) -> BTreeSet<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries
        .map(|entry| &entry["resource"])
        .filter(|resource| resource["resourceType"] == type_name)
        .map(|resource| resource["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The versions of a type in a history: id and version.
fn versions(bundle: &Value, type_name: &str) -> BTreeSet<(String, String)> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries
        .map(|entry| &entry["resource"])
        .filter(|resource| resource["resourceType"] == type_name)
        .map(|resource| (text(&resource["id"]), text(&resource["meta"]["versionId"])))
        .collect()
}

/// The control: a scope that is not narrowed opens older versions, so their absence elsewhere says something.
async fn whole_scopes_open_older_versions(api: &Api, all: &[Subject]) {
    let token = "patient;p;patient/Observation.rs patient/Condition.rs";
    let found = api
        .get(token, "_history?_type=Observation,Condition&_count=1000")
        .await;
    let found = found.is(200).json();
    let count = versions(&found, "Observation").len() + versions(&found, "Condition").len();
    assert_eq!(count, 2 * all.len());
}

/// Everything in which the two types show, and whether it agrees with picking by hand.
async fn check(api: &Api, all: &[Subject], scopes: &[(&str, &str)]) {
    let narrowed: Vec<String> = scopes
        .iter()
        .map(|(type_name, category)| format!("patient/{type_name}.rs?category={category}"))
        .collect();
    let token = format!(
        "patient;p;patient/Patient.rs patient/Encounter.rs patient/List.rs {}",
        narrowed.join(" ")
    );
    for type_name in ["Observation", "Condition"] {
        let is_open = |subject: &&Subject| {
            scopes.iter().any(|(own, category)| {
                *own == subject.type_name && subject.categories.iter().any(|one| one == category)
            })
        };
        let own = || all.iter().filter(|one| one.type_name == type_name);
        let expected: BTreeSet<String> = own().filter(is_open).map(|one| one.id.clone()).collect();
        let context = format!("{type_name} by {scopes:?}");
        let search = api
            .get(&token, &format!("{type_name}?patient=p&_count=1000"))
            .await;
        if !scopes.iter().any(|(scope, _)| *scope == type_name) {
            search.is(403);
            continue;
        }
        assert_eq!(
            of_type(&search.is(200).json(), type_name),
            expected,
            "search {context}"
        );
        let counted = format!("{type_name}?patient=p&_summary=count");
        let counted = api.get(&token, &counted).await.is(200).json();
        assert_eq!(counted["total"], expected.len(), "count {context}");
        // Asked for by category, of which the scopes may open a part or nothing.
        for category in categories(type_name) {
            let asked = format!("{type_name}?category={category}&_count=1000");
            let found = api.get(&token, &asked).await.is(200).json();
            let by_hand: BTreeSet<String> = own()
                .filter(is_open)
                .filter(|one| one.categories.contains(&category))
                .map(|one| one.id.clone())
                .collect();
            assert_eq!(of_type(&found, type_name), by_hand, "{category} {context}");
            assert_eq!(found["total"], by_hand.len(), "{category} {context}");
        }
        for one in own() {
            let status = if expected.contains(&one.id) { 200 } else { 404 };
            api.get(&token, &one.reference()).await.is(status);
        }
        for path in [
            "List?patient=p&_include=List:item&_count=1000".to_owned(),
            format!("Patient?_id=p&_revinclude={type_name}:patient&_count=1000"),
            format!("Encounter?_id=e&_revinclude={type_name}:encounter&_count=1000"),
        ] {
            let found = api.get(&token, &path).await.is(200).json();
            assert_eq!(of_type(&found, type_name), expected, "{path} {context}");
        }
        // Over all types at once, of which the token may open one alone.
        for path in [
            "?_type=Observation,Condition&_count=1000".to_owned(),
            format!("?_type={type_name}&_count=1000"),
        ] {
            let found = api.get(&token, &path).await.is(200).json();
            assert_eq!(of_type(&found, type_name), expected, "{path} {context}");
        }
        let opens = |categories: &[String]| {
            scopes
                .iter()
                .any(|(own, one)| *own == type_name && categories.iter().any(|own| own == one))
        };
        let mut standing = BTreeSet::new();
        for one in own() {
            let mut of_one = BTreeSet::new();
            // Older versions have no index rows to be picked by: no narrowed scope opens them, whatever they
            // were and whatever the resource is now.
            for (version, is_open) in [("1", false), ("2", opens(&one.categories))] {
                if is_open {
                    of_one.insert((one.id.clone(), version.to_owned()));
                }
                let status = if is_open { 200_u16 } else { 404 };
                let path = format!("{}/_history/{version}", one.reference());
                let got = api.get(&token, &path).await;
                assert_eq!(got.status.as_u16(), status, "{path} {context}");
            }
            let path = format!("{}/_history", one.reference());
            let history = api.get(&token, &path).await;
            if of_one.is_empty() {
                assert_eq!(history.status.as_u16(), 404, "{path} {context}");
            } else {
                let history = history.is(200).json();
                assert_eq!(versions(&history, type_name), of_one, "{path} {context}");
            }
            standing.append(&mut of_one);
        }
        for path in [
            format!("{type_name}/_history?_count=1000"),
            format!("_history?_type={type_name}&_count=1000"),
        ] {
            let found = api.get(&token, &path).await.is(200).json();
            assert_eq!(versions(&found, type_name), standing, "{path} {context}");
        }
    }
}

each_api! {
    async fn pairs_of_granular_scopes_open_exactly_their_union(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let encounter = json!({"resourceType": "Encounter", "id": "e", "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": "Patient/p"}});
        api.put(SYSTEM, &encounter).await.is(201);
        let all: Vec<Subject> = ["Observation", "Condition"].into_iter().flat_map(subjects).collect();
        for one in &all {
            for (categories, status) in [(&one.before, 201), (&one.categories, 200)] {
                let mut resource = resource(one, categories);
                resource["encounter"] = json!({"reference": "Encounter/e"});
                resource["note"] = json!([{"text": format!("written with {status}")}]);
                api.put(SYSTEM, &resource).await.is(status);
            }
        }
        let items: Vec<Value> = all
            .iter()
            .map(|one| json!({"item": {"reference": one.reference()}}))
            .collect();
        let list = json!({"resourceType": "List", "id": "l", "status": "current", "mode": "snapshot",
            "subject": {"reference": "Patient/p"}, "entry": items});
        api.put(SYSTEM, &list).await.is(201);
        whole_scopes_open_older_versions(api, &all).await;
        let scopes: Vec<(&str, String)> = ["Observation", "Condition"]
            .into_iter()
            .flat_map(|name| categories(name).into_iter().map(move |category| (name, category)))
            .collect();
        for (at, one) in scopes.iter().enumerate() {
            for other in &scopes[at..] {
                let pair = [(one.0, one.1.as_str()), (other.0, other.1.as_str())];
                check(api, &all, &pair).await;
            }
        }
    }
}
