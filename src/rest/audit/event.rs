//! An access as an AuditEvent, after the profiles of IHE BALP 1.1
//! (<https://profiles.ihe.net/ITI/BALP/>): ids and codes, nothing else of anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::record::Record;
use crate::clock::instant;

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";

/// The event of an access, about one patient or none.
pub(super) fn event(base: &str, access: &Record, patient: Option<&str>) -> Value {
    let (action, profile) = match &*access.interaction {
        "create" => ("C", "Create"),
        "read" | "vread" | "history-instance" => ("R", "Read"),
        "update" | "patch" => ("U", "Update"),
        "delete" => ("D", "Delete"),
        _ => ("E", "Query"),
    };
    // Codes of R4's restful-interaction.
    let subtype = match &*access.interaction {
        "search-compartment" => "search",
        "other" => "operation",
        name => name,
    };
    let about = if patient.is_some() { "Patient" } else { "" };
    // Data flows to whoever reads, and to us from whoever writes (DICOM roles).
    let reads = matches!(action, "R" | "E");
    let role = |is_source: bool| {
        let (code, display) = if is_source {
            ("110153", "Source Role ID")
        } else {
            ("110152", "Destination Role ID")
        };
        json!({"coding": [{"system": DCM, "code": code, "display": display}]})
    };
    let mut agents = vec![
        json!({
            "type": role(!reads),
            "who": {"type": "Device", "identifier": {
                "system": format!("{base}/oauth-clients"), "value": *access.client}},
            "requestor": access.person.is_none(),
        }),
        json!({
            "type": role(reads),
            "who": {"display": "Candor"},
            "requestor": false,
            "network": {"address": base, "type": "5"},
        }),
    ];
    if let Some(user) = access.person.as_deref() {
        agents.push(json!({
            "type": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                "code": "IRCP", "display": "information recipient"}]},
            "who": {"reference": user},
            "requestor": true,
        }));
    }
    let mut entities = Vec::new();
    let person = patient.map(|id| format!("Patient/{id}"));
    if let Some(what) = &access.what
        && access.what != person
    {
        entities.push(json!({
            "what": {"reference": what},
            "type": {"system": ENTITY, "code": "2", "display": "System Object"},
            "role": {"system": ROLE, "code": "4", "display": "Domain Resource"},
        }));
    }
    if let Some(query) = &access.query {
        // What is asked of the base itself has no address below it, and no string of FHIR is empty.
        let query = if query.is_empty() { "/" } else { query };
        entities.push(json!({
            "type": {"system": ENTITY, "code": "2", "display": "System Object"},
            "role": {"system": ROLE, "code": "24", "display": "Query"},
            "query": BASE64.encode(query),
        }));
    }
    if let Some(person) = person {
        entities.push(json!({
            "what": {"reference": person},
            "type": {"system": ENTITY, "code": "1", "display": "Person"},
            "role": {"system": ROLE, "code": "1", "display": "Patient"},
        }));
    }
    let outcome = match access.status {
        ..400 => "0",
        400..500 => "4",
        _ => "8",
    };
    let mut event = json!({
        "resourceType": "AuditEvent",
        "meta": {"profile": [format!(
            "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{about}{profile}")]},
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest", "display": "RESTful Operation"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction",
            "code": subtype, "display": subtype}],
        "action": action,
        "recorded": instant(access.at),
        "outcome": outcome,
        "agent": agents,
        "source": {"observer": {"display": "Candor"}, "type": [{
            "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
            "code": "4", "display": "Application Server"}]},
    });
    if !entities.is_empty() {
        event["entity"] = entities.into();
    }
    event
}
