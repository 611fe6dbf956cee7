//! Granular scopes: tests 9.14 and 9.15. What they open is compared with what a wide token of the same
//! person sees, filtered here by category.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::scopes::{asked_and_chosen, type_of};
use super::{SUITE, scopes_of};
use crate::demo::Demo;
use crate::html::Form;
use crate::report::Report;
use crate::world::{Answer, entries, reference};

const CONDITION: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const US_CONDITION: &str = "http://hl7.org/fhir/us/core/CodeSystem/condition-category";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const US_CATEGORY: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category";
/// What both sets ask for beside: whole types.
const BESIDE: &str = "launch/patient patient/Patient.rs patient/Provenance.rs";

/// Categories, as system and code, by type.
type Categories = [(&'static str, &'static str, &'static str)];

const SET_ONE: &Categories = &[
    ("Condition", CONDITION, "encounter-diagnosis"),
    ("Condition", US_CONDITION, "health-concern"),
    ("Observation", OBSERVATION, "laboratory"),
    ("Observation", OBSERVATION, "social-history"),
];
const SET_TWO: &Categories = &[
    ("Condition", CONDITION, "problem-list-item"),
    ("Observation", OBSERVATION, "vital-signs"),
    ("Observation", OBSERVATION, "survey"),
    ("Observation", US_CATEGORY, "sdoh"),
];

pub async fn run(demo: &Demo, report: &mut Report) {
    let written = write(demo).await;
    let written = written.map_err(|error| format!("{error:#}"));
    for (name, set) in [("one", SET_ONE), ("two", SET_TWO)] {
        let number = if name == "one" { 1 } else { 4 };
        let title = format!(
            "G{number} granular scopes, set {name}: granted as asked, no whole type, no wildcard"
        );
        report
            .case(SUITE, &title, async {
                written.clone().map_err(anyhow::Error::msg)?;
                granted(&tokens(demo, set).await?, set)
            })
            .await;
        let title = format!(
            "G{} granular scopes, set {name}: searches by GET and POST find the matching subset",
            number + 1
        );
        report
            .case(SUITE, &title, async {
                written.clone().map_err(anyhow::Error::msg)?;
                searches(demo, set).await
            })
            .await;
        let title = format!(
            "G{} granular scopes, set {name}: what matches reads, what does not is 4xx",
            number + 2
        );
        report
            .case(SUITE, &title, async {
                written.clone().map_err(anyhow::Error::msg)?;
                reads(demo, set).await
            })
            .await;
    }
    let title = "G7 granular choice: asked for whole types, the person gives parts of Condition and Observation";
    report.case(SUITE, title, choice(demo)).await;
}

/// A resource of each category about Ana, each with its Provenance, and one of no category asked for.
async fn write(demo: &Demo) -> Result<()> {
    let more: [(&str, &str, &str); 2] = [
        ("Observation", OBSERVATION, "exam"),
        ("Observation", OBSERVATION, "imaging"),
    ];
    for (number, (type_name, system, code)) in
        SET_ONE.iter().chain(SET_TWO).chain(&more).enumerate()
    {
        let id = format!("g10-{}-{number}", type_name.to_lowercase());
        let mut resource = json!({
            "resourceType": type_name, "id": id,
            "subject": {"reference": "Patient/ana"},
            "category": [{"coding": [{"system": system, "code": code}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "8716-3"}]},
        });
        let own = if *type_name == "Condition" {
            json!({"recordedDate": "2026-01-02", "clinicalStatus": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active"}]}})
        } else {
            json!({"status": "final", "effectiveDateTime": "2026-01-02T10:00:00Z",
                "issued": "2026-01-02T10:00:00Z", "valueString": "seen"})
        };
        if let (Some(resource), Value::Object(own)) = (resource.as_object_mut(), own) {
            resource.extend(own);
        }
        demo.put(&resource).await?;
        let provenance = json!({
            "resourceType": "Provenance", "id": format!("{id}-source"),
            "target": [{"reference": format!("{type_name}/{id}")}],
            "recorded": "2026-01-02T10:00:00Z",
            "agent": [{"who": {"reference": "Practitioner/dr-lee"}}],
        });
        demo.put(&provenance).await?;
    }
    Ok(())
}

fn asked(set: &Categories) -> String {
    let scopes: Vec<String> = set
        .iter()
        .map(|(type_name, system, code)| format!("patient/{type_name}.rs?category={system}|{code}"))
        .collect();
    format!("{BESIDE} {}", scopes.join(" "))
}

async fn tokens(demo: &Demo, set: &Categories) -> Result<Value> {
    // The boxes of what the app asked for are ticked by themselves.
    let tick = |form: &Form, fields: &mut Vec<(String, String)>| {
        let boxes = form.fields.iter().filter(|one| one.kind == "checkbox");
        for one in boxes.filter(|one| one.checked) {
            let field = (one.name.clone(), one.value.clone());
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
    };
    Ok(asked_and_chosen(demo, &asked(set), &tick).await?.body)
}

fn granted(body: &Value, set: &Categories) -> Result<()> {
    let granted: BTreeSet<String> = scopes_of(body).into_iter().collect();
    let asked: BTreeSet<String> = asked(set).split(' ').map(str::to_owned).collect();
    ensure!(granted == asked, "asked {asked:?}, granted {granted:?}");
    Ok(())
}

/// Whether a resource is in one of the set's categories.
fn matches(resource: &Value, set: &Categories) -> bool {
    set.iter().any(|(type_name, system, code)| {
        let concepts = resource["category"].as_array().into_iter().flatten();
        let mut codings = concepts
            .filter_map(|one| one["coding"].as_array())
            .flatten();
        resource["resourceType"] == *type_name
            && codings.any(|one| one["system"] == *system && one["code"] == *code)
    })
}

fn ids<'a>(resources: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    resources.into_iter().map(reference).collect()
}

/// What Ana's wide token sees of both types.
async fn wide(demo: &Demo) -> Result<Vec<Value>> {
    let wide = demo.tokens(super::STANDALONE).await?.access;
    let mut all = demo.search(&wide, "Condition?patient=ana").await?;
    all.extend(demo.search(&wide, "Observation?patient=ana").await?);
    ensure!(all.len() > 12, "only {} to look at", all.len());
    Ok(all)
}

async fn searches(demo: &Demo, set: &Categories) -> Result<()> {
    let all = wide(demo).await?;
    let body = tokens(demo, set).await?;
    let access = body["access_token"].as_str().context("no token")?;
    let coded = |one: &Value, code: &str| one.to_string().contains(&format!("\"{code}\""));
    for type_name in ["Condition", "Observation"] {
        let own: Vec<&Value> = all
            .iter()
            .filter(|one| one["resourceType"] == type_name && matches(one, set))
            .collect();
        ensure!(!own.is_empty(), "nothing of {type_name} matches");
        let mut queries = vec![
            ("patient=ana".to_owned(), ids(own.iter().copied())),
            ("patient=Patient/ana".to_owned(), ids(own.iter().copied())),
            (
                "patient=ana&code=http://loinc.org|8716-3".to_owned(),
                ids(own.iter().copied().filter(|one| coded(one, "8716-3"))),
            ),
        ];
        for (other, system, code) in SET_ONE.iter().chain(SET_TWO) {
            if *other == type_name {
                let expected = own.iter().copied().filter(|one| coded(one, code));
                let expected = ids(expected);
                queries.push((format!("patient=ana&category={code}"), expected.clone()));
                queries.push((format!("patient=ana&category={system}|{code}"), expected));
            }
        }
        for (query, expected) in queries {
            let found = ids(&demo.search(access, &format!("{type_name}?{query}")).await?);
            ensure!(
                found == expected,
                "{type_name}?{query}: {found:?}, expected {expected:?}"
            );
            let request = demo
                .http
                .post(format!("{}/{type_name}/_search", demo.fhir))
                .bearer_auth(access)
                .header("accept", "application/fhir+json")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("{query}&_count=200"));
            let posted = Answer::read(request.send().await?).await?.expect(200)?;
            let found = ids(&entries(&posted.json()?));
            ensure!(found == expected, "POST {type_name}?{query}: {found:?}");
        }
        // With where each came from, and with nothing of what is closed.
        let query = format!("{type_name}?patient=ana&_revinclude=Provenance:target");
        let found = demo.search(access, &query).await?;
        let (sources, found): (Vec<Value>, Vec<Value>) = found
            .into_iter()
            .partition(|one| one["resourceType"] == "Provenance");
        let open = ids(own.iter().copied());
        ensure!(ids(&found) == open, "{query}: {:?}", ids(&found));
        ensure!(!sources.is_empty(), "{query}: no Provenance");
        for source in &sources {
            // One may be of several resources; of what is closed alone there is none.
            let targets = source["target"].as_array().into_iter().flatten();
            let mut targets = targets.filter_map(|one| one["reference"].as_str());
            ensure!(
                targets.any(|target| open.contains(target)),
                "{query}: a source of nothing that is open"
            );
        }
    }
    Ok(())
}

async fn reads(demo: &Demo, set: &Categories) -> Result<()> {
    let all = wide(demo).await?;
    let body = tokens(demo, set).await?;
    let access = body["access_token"].as_str().context("no token")?;
    let mut closed = 0;
    for resource in &all {
        let path = reference(resource);
        let answer = demo.call(access, Method::GET, &path, None).await?;
        if matches(resource, set) {
            answer.expect(200).with_context(|| path)?;
        } else {
            closed += 1;
            ensure!(answer.status.is_client_error(), "{path}: {}", answer.status);
        }
    }
    ensure!(closed > 0, "nothing is closed");
    Ok(())
}

async fn choice(demo: &Demo) -> Result<()> {
    let asked = "launch/patient patient/Condition.rs patient/Observation.rs patient/Patient.rs";
    let is_narrowed = |value: &str| matches!(type_of(value), Some("Condition" | "Observation"));
    let choose = move |form: &Form, fields: &mut Vec<(String, String)>| {
        fields.retain(|(_, value)| !is_narrowed(value));
        let parts = form.fields.iter().filter(|one| {
            one.kind == "checkbox" && one.value.contains('?') && is_narrowed(&one.value)
        });
        fields.extend(parts.map(|one| (one.name.clone(), one.value.clone())));
    };
    let body = asked_and_chosen(demo, asked, &choose).await?.body;
    let granted = scopes_of(&body);
    for type_name in ["Condition", "Observation"] {
        let part = format!("patient/{type_name}.rs?");
        ensure!(
            granted.iter().any(|one| one.starts_with(&part)),
            "no part of {type_name}: {granted:?}"
        );
        let whole = format!("patient/{type_name}.");
        ensure!(
            !granted
                .iter()
                .any(|one| one.starts_with(&whole) && !one.contains('?')),
            "{type_name} as a whole: {granted:?}"
        );
    }
    ensure!(
        granted
            .iter()
            .any(|one| one == "patient/Patient.rs" || one == "patient/Patient.r"),
        "{granted:?}"
    );
    Ok(())
}
