//! `$meta`, `$meta-add` and `$meta-delete` of one resource (R4 Resource-meta). The latter two make a
//! version like every other change: a label steers who may see a resource.

use serde_json::{Value, json};

use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;
use crate::rest::patch::Patch;
use crate::rest::query::Pairs;
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::write::{Action, Target};
use crate::rest::{RestError, read};

/// `GET [type]/[id]/$meta`: the `meta` of the resource as it stands for this viewer.
pub(super) async fn get(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    let stored = read::fetch(session, type_id, id, pairs).await?;
    let mut resource: Value =
        serde_json::from_slice(&stored.body).map_err(|_| RestError::Internal)?;
    let mut reply = Reply::ok(Content::Resource(json!({
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "valueMeta": resource["meta"].take()}],
    })));
    reply.version = Some(stored.version);
    reply.updated = Some(stored.updated);
    Ok(reply)
}

/// The write that `$meta-add` or `$meta-delete` is.
pub(super) fn change(
    type_id: TypeId,
    id: &str,
    adds: bool,
    body: Option<&Value>,
) -> Result<Action, RestError> {
    let missing = || {
        RestError::BadRequest(vec![
            Issue::error(
                "required",
                "Send Parameters with one parameter named meta, a valueMeta.",
            )
            .at("Parameters.parameter"),
        ])
    };
    let body = body.filter(|body| body["resourceType"] == "Parameters");
    let list = body.and_then(|body| body["parameter"].as_array());
    let [parameter] = list.map(Vec::as_slice).unwrap_or_default() else {
        return Err(missing());
    };
    let meta = &parameter["valueMeta"];
    if parameter["name"] != "meta" || !meta.is_object() {
        return Err(missing());
    }
    let patch = if adds {
        Patch::MetaAdd(meta.clone())
    } else {
        Patch::MetaDelete(meta.clone())
    };
    Ok(Action::Patch {
        type_id,
        target: Target::Id(id.to_owned()),
        patch,
        if_match: None,
    })
}
