//! `$meta` of one resource, of a type and of the whole system; `$meta-add` and `$meta-delete` of one
//! resource (R4 Resource-meta). The latter two make a version like every other change: a label steers
//! who may see a resource.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fhir::definitions::{ParamKind, TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::rest::patch::Patch;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::write::{Action, Target};
use crate::rest::{RestError, read, search};
use crate::store::Label;
use crate::visibility::{Access, record_types};

/// Different labels of one kind that `$meta` of a type or of the system tells.
const MOST_LABELS: u32 = 500;

/// `GET [type]/[id]/$meta`, `GET [type]/[id]/_history/[vid]/$meta`: the `meta` of the resource as it stands
/// for this viewer, or of that version.
pub(super) async fn get(
    session: &Session,
    type_id: TypeId,
    id: &str,
    version: Option<&str>,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    let stored = match version {
        None => read::fetch(session, type_id, id, pairs).await?,
        Some(version) => read::fetch_version(session, type_id, id, version, pairs).await?,
    };
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

/// `GET [type]/$meta` and `GET [base]/$meta`: the profiles, tags and security labels that stand on the
/// resources that this viewer may search, each once.
pub(super) async fn all(
    session: &Session,
    type_id: Option<TypeId>,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    query::only(pairs, &[])?;
    match type_id {
        Some(type_id) => session.require(type_id, Access::Search)?,
        None => {
            let any = definitions()
                .types()
                .any(|(type_id, _)| session.visibility.allows(type_id, Access::Search));
            if !any {
                return Err(RestError::Forbidden(
                    "The token's scopes do not allow to search any type.".to_owned(),
                ));
            }
        }
    }
    let mut meta = Map::new();
    for (element, param) in [
        ("profile", "_profile"),
        ("security", "_security"),
        ("tag", "_tag"),
    ] {
        let found = labels(session, type_id, element, param).await?;
        if !found.is_empty() {
            meta.insert(element.to_owned(), found.into_values().collect());
        }
    }
    let mut parameters = json!({"resourceType": "Parameters"});
    // An element that is nothing is none.
    if !meta.is_empty() {
        parameters["parameter"] = json!([{"name": "return", "valueMeta": meta}]);
    }
    Ok(Reply::ok(Content::Resource(parameters)))
}

/// The labels of one kind.
async fn labels(
    session: &Session,
    type_id: Option<TypeId>,
    element: &str,
    code: &str,
) -> Result<BTreeMap<String, Value>, RestError> {
    let types: Vec<TypeId> = match type_id {
        Some(type_id) => vec![type_id],
        None => record_types().collect(),
    };
    let param = types
        .first()
        .and_then(|type_id| definitions().search_param(*type_id, code))
        .ok_or(RestError::Internal)?;
    let label = match param.kind {
        ParamKind::Token => Label::Token(param.id),
        _ => Label::Uri(param.id),
    };
    let found = session
        .store
        .labelled(
            &session.visibility,
            search::NARROW,
            &types,
            label,
            MOST_LABELS + 1,
        )
        .await?;
    if u32::try_from(found.len()).is_ok_and(|count| count > MOST_LABELS) {
        return Err(RestError::bad_request(
            "too-costly",
            "There are too many different labels to tell them all; ask type by type.",
        ));
    }
    session.touch(found.iter().map(|entry| (entry.type_id, &*entry.id)));
    let mut known = BTreeMap::new();
    for entry in found {
        let resource: Value =
            serde_json::from_slice(&entry.body).map_err(|_| RestError::Internal)?;
        let list = resource["meta"][element].as_array();
        for label in list.into_iter().flatten() {
            if let Some(name) = name_of(label) {
                known.entry(name).or_insert_with(|| label.clone());
            }
        }
    }
    Ok(known)
}

/// What a label is told by; a display does not make another label of it.
fn name_of(label: &Value) -> Option<String> {
    match label {
        Value::String(url) => Some(url.clone()),
        coding => {
            let code = coding["code"].as_str()?;
            Some(match coding["system"].as_str() {
                Some(system) => format!("{system}|{code}"),
                None => format!("|{code}"),
            })
        }
    }
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
