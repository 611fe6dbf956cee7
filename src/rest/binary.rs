//! Binary as itself: its content in its own media type, out and in (R4 "Binary", 2.44.3).

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::RestError;
use super::read::{self, Freshness};
use super::reply::{Content, Reply};
use super::session::Session;
use crate::fhir::definitions::{TypeId, definitions};

/// Whether a type is Binary.
pub(super) fn is_binary(type_id: TypeId) -> bool {
    definitions().type_name(type_id) == "Binary"
}

/// The content of a Binary, or of a version of it. Who may not see the resource gets what an unknown id gets.
pub(super) async fn content(
    session: &Session,
    type_id: TypeId,
    id: &str,
    version: Option<&str>,
    freshness: &Freshness,
) -> Result<Reply, RestError> {
    let nothing = Vec::new();
    let mut reply = match version {
        None => read::read(session, type_id, id, &nothing, freshness).await?,
        Some(version) => read::vread(session, type_id, id, version, &nothing, freshness).await?,
    };
    if reply.status == StatusCode::NOT_MODIFIED {
        return Ok(reply);
    }
    let Content::Json(body) = &reply.content else {
        return Err(RestError::Internal);
    };
    let resource: Value = serde_json::from_slice(body).map_err(|_| RestError::Internal)?;
    let data = match resource["data"].as_str() {
        None => Vec::new(),
        Some(text) => {
            // base64Binary may hold white space.
            let text: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(text).map_err(|_| RestError::Internal)?
        }
    };
    reply.content = Content::Raw {
        content_type: resource["contentType"]
            .as_str()
            .unwrap_or("application/octet-stream")
            .to_owned(),
        data: data.into(),
    };
    Ok(reply)
}

/// The Binary around raw content. `security_context` is the `X-Security-Context` header: the
/// resource whose access rules the content follows.
pub(super) fn wrap(
    id: Option<&str>,
    content_type: &str,
    security_context: Option<&str>,
    data: &Bytes,
) -> Value {
    let mut resource = json!({"resourceType": "Binary"});
    if let Some(id) = id {
        resource["id"] = id.into();
    }
    // The code is the media type without blanks, as `code` wants it.
    resource["contentType"] = content_type.replace(' ', "").into();
    if let Some(reference) = security_context {
        resource["securityContext"] = json!({"reference": reference});
    }
    if !data.is_empty() {
        resource["data"] = STANDARD.encode(data).into();
    }
    resource
}
