//! Resources as they come in: read from JSON or XML, checked for their type and structure.

use bytes::Bytes;
use serde_json::Value;

use super::RestError;
use super::negotiate::{Format, Sent};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::fhir::{json, validate, xml};

/// Bodies up to this size are read where they are; reading a larger one would keep other requests
/// of this thread waiting.
const SMALL: usize = 256 << 10;

/// Reads a body.
pub(super) async fn read(body: Bytes, sent: &Sent, limit: usize) -> Result<Value, RestError> {
    if body.len() <= SMALL {
        return parse(&body, sent, limit);
    }
    let sent = sent.clone();
    tokio::task::spawn_blocking(move || parse(&body, &sent, limit))
        .await
        .map_err(|_| RestError::Internal)?
}

/// A body that can be read more than once.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) body: Bytes,
    pub(super) sent: Sent,
    pub(super) limit: usize,
}

impl Incoming {
    /// Reads it, again if need be.
    pub(super) async fn read(&self) -> Result<Value, RestError> {
        read(self.body.clone(), &self.sent, self.limit).await
    }
}

fn parse(body: &Bytes, sent: &Sent, limit: usize) -> Result<Value, RestError> {
    let read = match sent {
        Sent::Fhir(Format::Json) => json::parse_resource(body),
        Sent::Fhir(Format::Xml) => xml::from_xml_within(body, limit),
        Sent::Nothing => {
            return Err(RestError::UnsupportedMediaType(
                "Say in Content-Type what the body is: application/fhir+json or \
                 application/fhir+xml."
                    .to_owned(),
            ));
        }
        Sent::Form | Sent::Other(_) => {
            return Err(RestError::UnsupportedMediaType(
                "Resources come in application/fhir+json or application/fhir+xml.".to_owned(),
            ));
        }
    };
    read.map_err(|issue| RestError::BadRequest(vec![issue]))
}

/// Refuses a resource of another type than the address says, and one that breaks FHIR's base rules
/// (400; R4 3.1.0.8). Returns the warnings.
pub(super) fn check(type_id: TypeId, resource: &Value) -> Result<Vec<Issue>, RestError> {
    let type_name = definitions().type_name(type_id);
    if resource.get("resourceType").and_then(Value::as_str) != Some(type_name) {
        return Err(RestError::BadRequest(vec![
            Issue::error(
                "value",
                format!("This address takes a {type_name}; the body has another resourceType."),
            )
            .at("resourceType"),
        ]));
    }
    let issues = validate::validate(resource);
    if issues
        .iter()
        .any(|issue| matches!(issue.severity, "error" | "fatal"))
    {
        return Err(RestError::BadRequest(issues));
    }
    Ok(issues)
}

/// Refuses a resource that a server cut down to some of its elements: to store it would lose the
/// rest (R4 3.1.1.5.8, "SUBSETTED").
pub(super) fn require_complete(resource: &Value) -> Result<(), RestError> {
    let tags = resource["meta"]["tag"].as_array();
    let is_cut = tags.into_iter().flatten().any(|tag| {
        tag["code"] == "SUBSETTED"
            && tag["system"] == "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
    });
    if !is_cut {
        return Ok(());
    }
    Err(RestError::BadRequest(vec![
        Issue::error(
            "business-rule",
            "The resource is tagged SUBSETTED: it holds only some of its elements, and storing it \
             would lose the others. Read it without _summary and _elements, change that, and send it.",
        )
        .at(format!(
            "{}.meta.tag",
            resource["resourceType"].as_str().unwrap_or("Resource")
        )),
    ]))
}
