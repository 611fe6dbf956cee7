//! Small readings of resources and Bundles.

use serde_json::{Value, json};

/// `Type/id` of a resource.
pub fn reference(resource: &Value) -> String {
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{}/{}", text("resourceType"), text("id"))
}

/// Id of the patient a resource is about.
pub fn patient_of(resource: &Value) -> Option<String> {
    let named = ["subject", "patient", "for", "individual"]
        .iter()
        .find_map(|name| resource.get(name))?;
    let text = named.get("reference")?.as_str()?;
    Some(text.strip_prefix("Patient/")?.to_owned())
}

/// The resources of a searchset, outcomes left out.
pub fn entries(bundle: &Value) -> Vec<Value> {
    bundle
        .get("entry")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("resource"))
        .filter(|resource| resource.get("resourceType") != Some(&json!("OperationOutcome")))
        .cloned()
        .collect()
}

/// Where the next page is.
pub fn next_link(bundle: &Value) -> Option<String> {
    let links = bundle.get("link")?.as_array()?;
    let next = links.iter().find(|link| link["relation"] == "next")?;
    next["url"].as_str().map(str::to_owned)
}

/// A transaction that puts each resource to its id.
pub fn transaction(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            json!({"resource": resource, "request": {"method": "PUT", "url": reference(resource)}})
        })
        .collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}
