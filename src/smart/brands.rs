//! `GET /service-base-urls.json`, for everybody: which hospitals and clinics are behind this server, and
//! where its FHIR base is. One Bundle is both the list that 45 CFR 170.404(b)(2) asks to be published and
//! the brands of SMART App Launch 2.2, "User-access Brands and Endpoints".

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{SmartState, pages};
use crate::config::Facility;

/// Where the list is, under the public URL.
pub(super) const PATH: &str = "/service-base-urls.json";

const URI: &str = "urn:ietf:rfc:3986";
const ENDPOINT: &str = "Endpoint/r4";

/// Answers 304 to whoever has it already: directories of many hospitals ask each of them every day.
pub(super) async fn get(State(state): State<SmartState>, request: HeaderMap) -> Response {
    let text = bundle(&state).to_string();
    let tag = format!("\"{}\"", pages::version(&text));
    let is_known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| matches!(one.trim(), "*") || one.trim().trim_start_matches("W/") == tag);
    let headers = [
        (header::CACHE_CONTROL, "public, max-age=3600".to_owned()),
        (header::ETAG, tag),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/fhir+json")];
    (headers, kind, text).into_response()
}

/// The identifier of the first brand, which apps match with the list.
pub(super) fn identifier(state: &SmartState) -> Value {
    match state.config().facilities.first() {
        Some(facility) => own_identifier(state, facility),
        None => json!({"system": URI, "value": state.issuer()}),
    }
}

fn bundle(state: &SmartState) -> Value {
    let config = state.config();
    let whole = Facility {
        name: config.brand.clone(),
        ..Facility::default()
    };
    let facilities = if config.facilities.is_empty() {
        std::slice::from_ref(&whole)
    } else {
        &config.facilities
    };
    let mut entries: Vec<Value> = facilities
        .iter()
        .enumerate()
        .map(|(at, facility)| organization(state, at + 1, facility))
        .collect();
    entries.push(endpoint(state));
    let entries: Vec<Value> = entries
        .into_iter()
        .map(|resource| {
            let text = |name: &str| {
                resource
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let url = state.url(&format!("/{}/{}", text("resourceType"), text("id")));
            json!({"fullUrl": url, "resource": resource})
        })
        .collect();
    // It changes with the configuration, and that with a start.
    let timestamp = Timestamp::from_millisecond(state.started())
        .map(|at| at.to_string())
        .unwrap_or_default();
    json!({
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": timestamp,
        "entry": entries,
    })
}

fn organization(state: &SmartState, number: usize, facility: &Facility) -> Value {
    let website = facility.website.as_deref().unwrap_or(state.issuer());
    let mut organization = json!({
        "resourceType": "Organization",
        "id": format!("brand-{number}"),
        "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/organization-portal",
            "extension": [
                {"url": "portalName", "valueString": state.config().brand},
                {"url": "portalUrl", "valueUrl": state.issuer()},
                {"url": "portalEndpoint", "valueReference": {"reference": ENDPOINT}},
            ],
        }],
        "identifier": [own_identifier(state, facility)],
        "active": true,
        "type": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/organization-type",
            "code": "prov",
        }]}],
        "name": facility.name,
        "telecom": [{"system": "url", "value": website}],
        "endpoint": [{"reference": ENDPOINT}],
    });
    let mut address = json!({});
    if let Some(line) = &facility.line {
        address["line"] = json!([line]);
    }
    for (name, value) in [
        ("city", &facility.city),
        ("state", &facility.state),
        ("postalCode", &facility.postal_code),
    ] {
        if let Some(value) = value {
            address[name] = json!(value);
        }
    }
    if address.as_object().is_some_and(|parts| !parts.is_empty()) {
        address["country"] = json!("US");
        organization["address"] = json!([address]);
    }
    organization
}

/// The facility's own identifier (NPI, CCN), or its website's address, which the profile asks for.
fn own_identifier(state: &SmartState, facility: &Facility) -> Value {
    match (&facility.identifier_system, &facility.identifier) {
        (Some(system), Some(value)) => json!({"system": system, "value": value}),
        _ => {
            let website = facility.website.as_deref().unwrap_or(state.issuer());
            json!({"system": URI, "value": website})
        }
    }
}

fn endpoint(state: &SmartState) -> Value {
    let brand = &state.config().brand;
    json!({
        "resourceType": "Endpoint",
        "id": "r4",
        "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version",
            "valueCode": "4.0.1",
        }],
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "name": format!("FHIR R4 of {brand}"),
        "contact": [{"system": "url", "value": state.issuer()}],
        "payloadType": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type",
            "code": "none",
        }]}],
        "address": state.fhir_base(),
    })
}
