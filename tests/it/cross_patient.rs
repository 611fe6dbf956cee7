//! Patient A's app and patient B's ids: every address and parameter that takes an id, made from the
//! CapabilityStatement, answers for what B has exactly as for what never existed.

use std::collections::{BTreeMap, BTreeSet};

use candor::fhir::definitions::{ParamKind, definitions};
use serde_json::{Value, json};

use crate::examples::examples;
use crate::rest_support::{Answer, Api, SYSTEM, a_patient, an_observation, each_api, patient};

/// Stands for `real` or `none` in a request: `real-Goal` is B's, `none-Goal` is nobody's.
const WHOSE: &str = "\u{a7}";

/// A request with [`WHOSE`] in its ids, and the kind of address it is.
#[derive(Clone, Debug)]
struct Route {
    kind: &'static str,
    method: &'static str,
    path: String,
    body: Option<(&'static str, String)>,
}

impl Route {
    fn get(kind: &'static str, path: String) -> Self {
        Self {
            kind,
            method: "GET",
            path,
            body: None,
        }
    }

    async fn send(&self, api: &Api, token: &str, whose: &str) -> Answer {
        let call = api.call(token, self.method, &self.path.replace(WHOSE, whose));
        match &self.body {
            Some((media, body)) => call.body(media, body.replace(WHOSE, whose)).send().await,
            None => call.send().await,
        }
    }
}

/// Status, headers and body, with nobody's ids written as B's.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    // In links a dash may be encoded.
    let same = |text: &str| {
        let text = text.replace("none-", "real-");
        text.replace("none%2D", "real%2D")
    };
    let headers = answer.headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            same(&String::from_utf8_lossy(value.as_bytes())),
        )
    });
    (
        answer.status.as_u16(),
        headers.collect(),
        same(&answer.text()),
    )
}

/// Everything that names a patient names B.
fn about_b(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("Patient/") => {
            "Patient/real-Patient".clone_into(text);
        }
        Value::Array(items) => items.iter_mut().for_each(about_b),
        Value::Object(object) => {
            for (_, own) in object.iter_mut() {
                about_b(own);
            }
        }
        _ => {}
    }
}

/// One resource of each type that can be in B's record, written; the types.
async fn write(api: &Api) -> Option<BTreeSet<String>> {
    let archives = examples("cross_patient")?;
    api.put(SYSTEM, &a_patient("real-Patient")).await.is(201);
    api.put(SYSTEM, &a_patient("a")).await.is(201);
    api.put(SYSTEM, &an_observation("own", "a")).await.is(201);
    let mut candidates: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for example in archives.iter().flatten() {
        let Ok(resource) = serde_json::from_slice::<Value>(&example.bytes) else {
            continue;
        };
        let name = resource["resourceType"].as_str().unwrap_or_default();
        let is_about = example
            .bytes
            .windows(9)
            .any(|window| window == b"\"Patient/");
        let own = candidates.entry(name.to_owned()).or_default();
        if is_about && example.bytes.len() < 60_000 && own.len() < 12 {
            own.push(resource);
        }
    }
    let mut types = BTreeSet::from(["Patient".to_owned()]);
    for (name, resources) in candidates.into_iter().filter(|(name, _)| name != "Patient") {
        for mut resource in resources {
            about_b(&mut resource);
            resource["id"] = json!(format!("real-{name}"));
            if !api.put(SYSTEM, &resource).await.status.is_success() {
                continue;
            }
            let query = format!("Patient/real-Patient/{name}?_id=real-{name}&_summary=count");
            let found = api.get(SYSTEM, &query).await;
            if found.status == 200 && found.json()["total"] == 1 {
                types.insert(name.clone());
                break;
            }
            // It names B and is in nobody's record: an ImplementationGuide with an example.
            let path = format!("{name}/real-{name}");
            api.call(SYSTEM, "DELETE", &path).send().await.is(204);
        }
    }
    Some(types)
}

/// Every request of the server's CapabilityStatement that takes an id.
fn routes(capability: &Value, types: &BTreeSet<String>) -> Vec<Route> {
    let mut routes = Vec::new();
    let rest = &capability["rest"][0];
    let resources: Vec<&Value> = rest["resource"].as_array().unwrap().iter().collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for resource in &resources {
        let name = text(&resource["type"]);
        let id = format!("{WHOSE}-{name}");
        let is_there = types.contains(&name);
        for interaction in resource["interaction"].as_array().unwrap() {
            if is_there {
                routes.extend(interactions(&text(&interaction["code"]), &name, &id));
            }
        }
        for operation in resource["operation"].as_array().into_iter().flatten() {
            let operation = text(&operation["name"]);
            let operation = operation.trim_start_matches('$');
            if is_there {
                routes.push(Route::get("operation", format!("{name}/{id}/${operation}")));
            }
            for parameter in ["patient", "subject", "resource", "target", "encounter"] {
                let path = format!("{name}/${operation}?{parameter}=Patient/{WHOSE}-Patient");
                routes.push(Route::get("operation", path.clone()));
                routes.push(Route::get("operation", path.replace("=Patient/", "=")));
            }
        }
        searches(resource, &name, types, &mut routes);
    }
    for operation in rest["operation"].as_array().into_iter().flatten() {
        let operation = text(&operation["name"]);
        let operation = operation.trim_start_matches('$');
        for parameter in ["resource", "patient", "subject", "target"] {
            let path = format!("${operation}?{parameter}=Patient/{WHOSE}-Patient");
            routes.push(Route::get("operation", path));
        }
    }
    compartments(types, &mut routes);
    system(types, &mut routes);
    routes
}

fn interactions(code: &str, name: &str, id: &str) -> Vec<Route> {
    let path = format!("{name}/{id}");
    let get = |kind, path: String| Route::get(kind, path);
    let write = |method, body: Option<(&'static str, String)>| Route {
        kind: "write",
        method,
        path: path.clone(),
        body,
    };
    match code {
        "read" => vec![
            get("read", path.clone()),
            get("read", format!("{path}?_elements=id")),
            get("read", format!("{path}?_summary=true")),
            Route {
                method: "HEAD",
                ..get("read", path.clone())
            },
        ],
        "vread" => vec![get("vread", format!("{path}/_history/1"))],
        "history-instance" => vec![get("history", format!("{path}/_history"))],
        "update" => {
            let body = json!({"resourceType": name, "id": id}).to_string();
            vec![write("PUT", Some(("application/fhir+json", body)))]
        }
        "patch" => {
            let body = json!([{"op": "test", "path": "/id", "value": id}]).to_string();
            vec![write("PATCH", Some(("application/json-patch+json", body)))]
        }
        "delete" => vec![write("DELETE", None)],
        _ => Vec::new(),
    }
}

/// Searches on a type by every parameter that can hold an id.
fn searches(resource: &Value, name: &str, types: &BTreeSet<String>, routes: &mut Vec<Route>) {
    let own = definitions().type_id(name).unwrap();
    let mut queries = vec![format!("_list={WHOSE}-List")];
    if types.contains(name) {
        let id = format!("{WHOSE}-{name}");
        queries.extend([
            format!("_id={id}"),
            format!("_id={id}&_summary=count"),
            format!("_id={id}&_total=accurate&_count=0"),
            format!("_filter=_id%20eq%20{id}"),
            format!("_id:not={id}&_summary=count"),
            format!("_id={id}&_include=*"),
            format!("_id={id}&_revinclude=*"),
        ]);
    }
    for parameter in resource["searchParam"].as_array().into_iter().flatten() {
        let code = parameter["name"].as_str().unwrap();
        let Some(known) = definitions().search_param(own, code) else {
            continue;
        };
        if known.kind != ParamKind::Reference {
            continue;
        }
        let targets = known.targets.iter();
        let targets = targets.map(|one| definitions().type_name(*one));
        let mut targets: Vec<&str> = targets.filter(|one| types.contains(*one)).collect();
        if known.targets.is_empty() {
            targets.push("Patient");
        }
        // Patients first; two kinds of target are enough for each parameter.
        targets.sort_by_key(|one| *one != "Patient");
        for target in targets.into_iter().take(2) {
            let id = format!("{WHOSE}-{target}");
            queries.extend([
                format!("{code}={target}/{id}"),
                format!("{code}={id}&_summary=count"),
                format!("{code}:{target}={id}"),
                format!("{code}:{target}._id={id}&_summary=count"),
                format!("{code}:not={target}/{id}&_summary=count"),
            ]);
        }
        // From the other end, where the target is.
        if types.contains(name) {
            let base = known.targets.first();
            let base = base.map_or("Patient", |one| definitions().type_name(*one));
            let query = format!("{base}?_has:{name}:{code}:_id={WHOSE}-{name}&_summary=count");
            routes.push(Route::get("has", query));
        }
    }
    let searches = queries.into_iter();
    routes.extend(searches.map(|query| Route::get("search", format!("{name}?{query}"))));
}

/// Searches within the compartments of B and of what B has.
fn compartments(types: &BTreeSet<String>, routes: &mut Vec<Route>) {
    for compartment in ["Patient", "Encounter", "RelatedPerson", "Device"] {
        if !types.contains(compartment) {
            continue;
        }
        let base = format!("{compartment}/{WHOSE}-{compartment}");
        routes.push(Route::get("compartment", format!("{base}/*")));
        for (_, name) in definitions().types() {
            routes.push(Route::get("compartment", format!("{base}/{name}")));
        }
        for name in types {
            routes.push(Route {
                kind: "compartment",
                method: "POST",
                path: format!("{base}/{name}/_search"),
                body: Some((
                    "application/x-www-form-urlencoded",
                    format!("_id={WHOSE}-{name}&_summary=count"),
                )),
            });
        }
    }
}

/// Of the whole system: searches, histories, batches.
fn system(types: &BTreeSet<String>, routes: &mut Vec<Route>) {
    let mut entries = Vec::new();
    for name in types {
        let id = format!("{WHOSE}-{name}");
        routes.push(Route::get("system", format!("?_id={id}&_type={name}")));
        routes.push(Route::get("history", format!("{name}/_history?_id={id}")));
        let form = format!("_id={id}");
        for path in [format!("{name}/_search"), "_search".to_owned()] {
            routes.push(Route {
                kind: "system",
                method: "POST",
                path,
                body: Some(("application/x-www-form-urlencoded", form.clone())),
            });
        }
        for url in [
            format!("{name}/{id}"),
            format!("{name}?_id={id}"),
            format!("{name}/{id}/_history/1"),
        ] {
            entries.push(json!({"request": {"method": "GET", "url": url}}));
        }
    }
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    routes.push(Route {
        kind: "batch",
        method: "POST",
        path: String::new(),
        body: Some(("application/fhir+json", batch.to_string())),
    });
}

each_api! {
    async fn the_token_of_one_patient_opens_nothing_of_another(api: &Api) {
        let Some(types) = write(api).await else {
            return;
        };
        // 66 types can be in a patient's compartment, and nearly all have an example.
        assert!(types.len() > 50, "{types:?}");
        let capability = api.bare("GET", "metadata").send().await.is(200).json();
        let routes = routes(&capability, &types);
        assert!(routes.len() > 3000, "{}", routes.len());
        let token = patient("a");
        // It works at all.
        let own = api.get(&token, "Observation?_summary=count").await.json();
        assert_eq!(own["total"], 1);
        let mut checked: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
        for route in &routes {
            let real = shape(&route.send(api, &token, "real").await);
            let none = shape(&route.send(api, &token, "none").await);
            assert_eq!(real, none, "{route:?}");
            assert!(real.0 < 500, "{route:?}: {}", real.2);
            let (number, is_told) = checked.entry(route.kind).or_default();
            *number += 1;
            // The hospital's own system sees the difference, or the address took no id at all.
            if route.kind != "write" && !*is_told {
                let real = shape(&route.send(api, SYSTEM, "real").await);
                *is_told = real != shape(&route.send(api, SYSTEM, "none").await);
            }
        }
        for (kind, (number, is_told)) in &checked {
            assert!(*is_told || *kind == "write", "{kind}: {number} requests that tell nothing");
        }
        assert_eq!(checked.len(), 10, "{checked:?}");
        // And what was refused changed nothing.
        api.get(SYSTEM, "Patient/real-Patient").await.is(200);
    }
}
