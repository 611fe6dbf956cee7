//! create, plain and conditional (`If-None-Exist`), and the answer to every write.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::RestError;
use super::negotiate::Return;
use super::reply::{Content, Reply};
use super::session::Session;
use super::write::{self, Action, Done};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::store::Outcome;

/// `POST [type]`.
pub(super) async fn create(
    session: &Session,
    type_id: TypeId,
    resource: Value,
    if_none_exist: Option<String>,
    answer: Return,
) -> Result<Reply, RestError> {
    let action = Action::Create {
        type_id,
        resource,
        if_none_exist,
    };
    run(session, action, answer).await
}

/// Checks, runs and answers one write.
pub(super) async fn run(
    session: &Session,
    action: Action,
    answer: Return,
) -> Result<Reply, RestError> {
    // Scopes first: who may not write learns nothing from the checks.
    action.check_access(session)?;
    let warnings = action.check_body()?;
    let done = write::execute_one(session, action).await?;
    Ok(reply(done, answer, warnings))
}

/// The answer to a write.
pub(super) fn reply(done: Done, answer: Return, warnings: Vec<Issue>) -> Reply {
    let (status, type_id, id, version, updated, body) = match done {
        Done::Deleted => return deleted(answer),
        Done::Labelled(outcome) => return labelled(&outcome),
        Done::Written(outcome) => {
            let status = if outcome.created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            (
                status,
                outcome.type_id,
                outcome.id,
                Some(outcome.version),
                Some(outcome.updated),
                outcome.body,
            )
        }
        Done::Found {
            type_id,
            id,
            standing,
        } => (
            StatusCode::OK,
            type_id,
            id,
            standing.as_ref().map(|standing| standing.version),
            standing.as_ref().map(|standing| standing.updated),
            standing.and_then(|standing| standing.body),
        ),
    };
    let address = format!("{}/{id}", definitions().type_name(type_id));
    let content = match (answer, body) {
        (Return::Minimal, _) | (Return::Representation, None) => Content::Empty,
        (Return::Representation, Some(body)) => Content::Json(body),
        (Return::OperationOutcome, _) => {
            let text = if status == StatusCode::CREATED {
                "Created."
            } else {
                "Done."
            };
            let mut issues = vec![Issue::error("informational", text).information()];
            issues.extend(warnings);
            Content::Resource(operation_outcome(&issues))
        }
    };
    Reply {
        status,
        version,
        updated,
        location: Some(match version {
            Some(version) => format!("{address}/_history/{version}"),
            None => address,
        }),
        content,
    }
}

/// The answer to a change of labels: the `meta` that stands now.
fn labelled(outcome: &Outcome) -> Reply {
    let resource: Option<Value> = outcome
        .body
        .as_ref()
        .and_then(|body| serde_json::from_slice(body).ok());
    let meta = resource.map_or(Value::Null, |mut resource| resource["meta"].take());
    Reply {
        version: Some(outcome.version),
        updated: Some(outcome.updated),
        ..Reply::ok(Content::Resource(json!({
            "resourceType": "Parameters",
            "parameter": [{"name": "return", "valueMeta": meta}],
        })))
    }
}

/// The answer to a deletion: the same whether there was something or not.
fn deleted(answer: Return) -> Reply {
    match answer {
        Return::OperationOutcome => {
            let issue = Issue::error("informational", "The resource does not exist (any more).");
            Reply::ok(Content::Resource(operation_outcome(&[issue.information()])))
        }
        Return::Minimal | Return::Representation => {
            Reply::status(StatusCode::NO_CONTENT, Content::Empty)
        }
    }
}
