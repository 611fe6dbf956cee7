//! `$reindex` and `$reindex-status`: work on the index beside requests, and how far it is. After FHIR's
//! asynchronous pattern (R4 3.1.6.1): 202 with the address of the status in `Content-Location`; that
//! answers 202 while there is work and 200 when there is none left.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::clock::instant;
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::rest::{RestError, read};
use crate::store::{Job, JobKind, ParamState};
use crate::visibility::{Access, ViewerClass};

/// Who may ask for work on the index: administrators, staff and systems that may change what is
/// searched with.
fn require_operator(session: &Session) -> Result<(), RestError> {
    let may = match session.viewer.class {
        ViewerClass::Admin | ViewerClass::Staff => true,
        ViewerClass::System => definitions()
            .type_id("SearchParameter")
            .is_some_and(|type_id| session.visibility.allows(type_id, Access::Update)),
        _ => false,
    };
    if may {
        return Ok(());
    }
    Err(RestError::Forbidden(
        "Work on the index is for administrators, staff, and systems whose scopes let them update \
         SearchParameter."
            .to_owned(),
    ))
}

/// `POST $reindex`, Parameters with any number of `type` (a code) or none.
pub(super) async fn start(session: &Session, pairs: &Pairs) -> Result<Reply, RestError> {
    require_operator(session)?;
    query::only(pairs, &["type"])?;
    let mut types = Vec::new();
    for (_, name) in pairs {
        let type_id = definitions().type_id(name).ok_or_else(|| {
            RestError::bad_request("value", "type must be a resource type of FHIR R4.")
        })?;
        types.push(type_id);
    }
    let id = session.store.request_reindex(&types).await?;
    let issue = Issue::error(
        "informational",
        "The index is being written again; Content-Location tells how far it is.",
    );
    let mut reply = Reply::status(
        StatusCode::ACCEPTED,
        Content::Resource(operation_outcome(&[issue.information()])),
    );
    reply.location = Some(format!("$reindex-status?job={id}"));
    Ok(reply)
}

/// `GET $reindex-status?job=…`, or of all that are remembered, the newest first.
pub(super) async fn status(session: &Session, pairs: &Pairs) -> Result<Reply, RestError> {
    require_operator(session)?;
    query::only(pairs, &["job"])?;
    let mut jobs = session.store.reindex_jobs().await?;
    if let Some(id) = query::single(pairs, "job")? {
        jobs.retain(|job| job.id.to_string() == id);
        if jobs.is_empty() {
            return Err(RestError::NotFound);
        }
    }
    let working = jobs.iter().any(|job| job.finished.is_none());
    let parameters: Vec<Value> = jobs
        .iter()
        .map(|job| json!({"name": "job", "part": parts(job)}))
        .collect();
    let mut resource = json!({"resourceType": "Parameters"});
    if !parameters.is_empty() {
        resource["parameter"] = parameters.into();
    }
    let status = if working {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok(Reply::status(status, Content::Resource(resource)))
}

/// `GET SearchParameter/[id]/$reindex-status`: whether it may be searched with.
pub(super) async fn of_parameter(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    query::only(pairs, &[])?;
    let stored = read::fetch(session, type_id, id, &Vec::new()).await?;
    let (number, state) = session.store.param_state(stored.doc).await?;
    let resource: Value = serde_json::from_slice(&stored.body).map_err(|_| RestError::Internal)?;
    let code = resource["code"].as_str().unwrap_or_default();
    let status = match state {
        ParamState::Ready => "ready",
        ParamState::Building => "building",
        ParamState::Waiting => "waiting",
        ParamState::None => "not-indexed",
    };
    let mut parameters = vec![
        json!({"name": "code", "valueCode": code}),
        json!({"name": "status", "valueCode": status}),
    ];
    let jobs = session.store.reindex_jobs().await?;
    if let Some(job) = jobs.iter().find(|job| job.params.contains(&number)) {
        parameters.push(json!({"name": "job", "part": parts(job)}));
    }
    let status = if matches!(state, ParamState::Waiting | ParamState::Building) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let resource = json!({"resourceType": "Parameters", "parameter": parameters});
    Ok(Reply::status(status, Content::Resource(resource)))
}

fn parts(job: &Job) -> Vec<Value> {
    let kind = match job.kind {
        JobKind::Everything => "everything",
        JobKind::Parameters => "parameters",
        JobKind::Rebuild => "rebuild",
    };
    let status = match (job.finished, job.done) {
        (Some(_), _) => "finished",
        (None, 0) => "waiting",
        (None, _) => "building",
    };
    // What is written meanwhile is counted too.
    let total = job.total.max(job.done);
    let percent = match job.finished {
        Some(_) => 100,
        None => (job.done * 100).checked_div(total).unwrap_or(0),
    };
    let mut parts = vec![
        json!({"name": "id", "valueString": job.id.to_string()}),
        json!({"name": "kind", "valueCode": kind}),
        json!({"name": "status", "valueCode": status}),
        json!({"name": "done", "valueDecimal": job.done}),
        json!({"name": "total", "valueDecimal": total}),
        json!({"name": "percent", "valueInteger": percent}),
        json!({"name": "created", "valueInstant": instant(job.created)}),
        json!({"name": "changed", "valueInstant": instant(job.changed)}),
    ];
    if let Some(finished) = job.finished {
        parts.push(json!({"name": "finished", "valueInstant": instant(finished)}));
    }
    parts
}
