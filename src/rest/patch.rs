//! PATCH (R4 3.1.0.7): JSON Patch (RFC 6902), XML Patch (RFC 5261) and FHIRPath Patch, and the changes
//! of `$meta-add` and `$meta-delete`. A patch is applied to the whole resource as it stands, in the transaction of the
//! write; what comes out is validated like an update.

mod element;
mod fhirpath;
mod json;
mod meta;
mod place;
mod xml;

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value;

use super::negotiate::{Return, Sent};
use super::reply::Reply;
use super::session::Session;
use super::update::Conditions;
use super::write::{Action, Target};
use super::{RestError, create, incoming};
use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;

/// Operations of one patch at most.
const MOST_OPERATIONS: usize = 1000;
/// Values (objects, lists, strings, numbers, …) that one JSON Patch may put in, copy or move.
const MOST_VALUES: usize = 1_000_000;

/// A change to a resource.
#[derive(Clone, Debug)]
pub(super) enum Patch {
    Json(Arc<Vec<json_patch::PatchOperation>>),
    FhirPath(Arc<Vec<fhirpath::Operation>>),
    Xml(Arc<Vec<xml::Operation>>),
    MetaAdd(Value),
    MetaDelete(Value),
}

impl Patch {
    /// Reads the body of a PATCH.
    pub(super) async fn read(body: Bytes, sent: &Sent, limit: usize) -> Result<Self, RestError> {
        match sent {
            Sent::Other(media) => Self::of_media(media, &body),
            Sent::Fhir(_) => Self::of_resource(incoming::read(body, sent, limit).await?),
            Sent::Form | Sent::Nothing => Err(unsupported()),
        }
    }

    /// Reads the resource of a PATCH in a Bundle: Parameters, or a Binary that holds a patch (R4
    /// 3.1.0.7.3).
    pub(super) fn of_resource(resource: Value) -> Result<Self, RestError> {
        match resource["resourceType"].as_str() {
            Some("Parameters") => {
                let operations = fhirpath::parse(&resource)?;
                Ok(Self::FhirPath(Arc::new(operations)))
            }
            Some("Binary") => {
                let media = resource["contentType"].as_str().unwrap_or_default();
                let data = resource["data"].as_str().unwrap_or_default();
                let data = BASE64.decode(data).map_err(|_| {
                    RestError::bad_request("value", "The data of the Binary is not base64.")
                })?;
                Self::of_media(media, &data)
            }
            _ => Err(RestError::bad_request(
                "value",
                "A patch is a Parameters resource (FHIRPath Patch), JSON Patch as \
                 application/json-patch+json or XML Patch as application/xml-patch+xml; in a Bundle \
                 the latter two come in a Binary.",
            )),
        }
    }

    fn of_media(media: &str, body: &[u8]) -> Result<Self, RestError> {
        let name = media.split(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("application/json-patch+json") {
            return Ok(Self::Json(Arc::new(json::parse(body)?)));
        }
        if name.eq_ignore_ascii_case("application/xml-patch+xml") {
            return Ok(Self::Xml(Arc::new(xml::parse(body)?)));
        }
        Err(unsupported())
    }

    /// Changes a resource.
    ///
    /// # Errors
    /// 422 where the patch does not fit the resource; it may be half changed then.
    pub(super) fn apply(&self, resource: &mut Value) -> Result<(), RestError> {
        match self {
            Self::Json(operations) => json::apply(operations, resource)?,
            Self::FhirPath(operations) => fhirpath::apply(operations, resource)?,
            Self::Xml(operations) => xml::apply(operations, resource)?,
            Self::MetaAdd(meta) => meta::add(resource, meta),
            Self::MetaDelete(meta) => meta::delete(resource, meta),
        }
        place::prune(resource);
        Ok(())
    }

    /// Whether it names places and asks nothing of what stands there: then whoever may not read the resource
    /// may send it.
    pub(super) fn is_blind(&self) -> bool {
        match self {
            Self::Json(operations) => !operations
                .iter()
                .any(|one| matches!(one, json_patch::PatchOperation::Test(_))),
            Self::FhirPath(operations) => operations.iter().all(fhirpath::Operation::is_blind),
            Self::Xml(operations) => operations.iter().all(xml::Operation::is_blind),
            // Answered with what stands in `meta`.
            Self::MetaAdd(_) | Self::MetaDelete(_) => false,
        }
    }

    /// Whether the answer is the resource's `meta` alone.
    pub(super) fn is_about_meta(&self) -> bool {
        matches!(self, Self::MetaAdd(_) | Self::MetaDelete(_))
    }
}

/// `PATCH [type]/[id]` and `PATCH [type]?criteria`.
pub(super) async fn patch(
    session: &Session,
    type_id: TypeId,
    target: Target,
    patch: Patch,
    conditions: &Conditions,
    answer: Return,
) -> Result<Reply, RestError> {
    let action = Action::Patch {
        type_id,
        target,
        patch,
        if_match: conditions.version()?,
    };
    create::run(session, action, answer).await
}

fn unsupported() -> RestError {
    RestError::UnsupportedMediaType(
        "PATCH takes application/json-patch+json (RFC 6902), application/xml-patch+xml (RFC 5261), \
         and FHIRPath Patch: a Parameters resource as application/fhir+json or \
         application/fhir+xml."
            .to_owned(),
    )
}

/// 422: operation number `at` does not fit the resource.
fn misfit(at: usize, text: &str) -> RestError {
    RestError::Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        issues: vec![Issue::error(
            "processing",
            format!("Operation {at} of the patch: {text}"),
        )],
    }
}

/// 400: operation number `at` is not one.
fn malformed(at: usize, text: &str) -> RestError {
    RestError::bad_request("structure", format!("Operation {at} of the patch: {text}"))
}

fn too_many() -> RestError {
    RestError::bad_request(
        "too-costly",
        format!("A patch has at most {MOST_OPERATIONS} operations."),
    )
}
