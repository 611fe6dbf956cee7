//! `$validate`: what a write would say about a resource's structure, without the write. Profiles
//! are not checked; who asks for one is told so.

use serde_json::Value;

use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::fhir::validate;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::{RestError, read};

/// `POST [type]/$validate` with a resource, or with Parameters that hold one.
pub(super) fn sent(
    type_id: TypeId,
    pairs: &Pairs,
    body: Option<Value>,
) -> Result<Reply, RestError> {
    query::only(pairs, &["mode", "profile"])?;
    let missing = || {
        RestError::BadRequest(vec![Issue::error(
            "required",
            "Send the resource, or Parameters with a part named resource.",
        )])
    };
    let body = body.ok_or_else(missing)?;
    let type_name = definitions().type_name(type_id);
    let mut wants_profile = pairs.iter().any(|(name, _)| name == "profile");
    let resource = if body["resourceType"] == "Parameters" && type_name != "Parameters" {
        let parts = body["parameter"].as_array().ok_or_else(missing)?;
        wants_profile |= parts.iter().any(|part| part["name"] == "profile");
        parts
            .iter()
            .find(|part| part["name"] == "resource")
            .map(|part| part["resource"].clone())
            .filter(Value::is_object)
            .ok_or_else(missing)?
    } else {
        body
    };
    let mut issues = Vec::new();
    if resource["resourceType"] != type_name {
        issues.push(
            Issue::error("value", format!("This address validates {type_name}."))
                .at("resourceType"),
        );
    }
    issues.extend(validate::validate(&resource));
    if wants_profile {
        issues.push(
            Issue::error(
                "not-supported",
                "Profiles are not checked yet; this is about the base structure.",
            )
            .warning(),
        );
    }
    Ok(Reply::ok(Content::Resource(operation_outcome(&issues))))
}

/// `GET [type]/[id]/$validate`: the resource as it stands for this viewer.
pub(super) async fn stored(
    session: &Session,
    type_id: TypeId,
    id: &str,
) -> Result<Reply, RestError> {
    let stored = read::fetch(session, type_id, id, &Vec::new()).await?;
    let resource: Value = serde_json::from_slice(&stored.body).map_err(|_| RestError::Internal)?;
    Ok(Reply::ok(Content::Resource(operation_outcome(
        &validate::validate(&resource),
    ))))
}
