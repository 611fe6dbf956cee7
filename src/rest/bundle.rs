//! batch and transaction (R4 3.1.0.11): a Bundle of requests posted to the base.

mod entry;
mod links;
pub(super) mod references;
pub(super) mod writer;

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

use self::entry::{Entry, Read, Request};
use self::references::References;
use self::writer::BundleWriter;
use super::incoming::Incoming;
use super::negotiate::{Prefer, Return};
use super::reply::{self, Content, Reply};
use super::session::Session;
use super::write::{self, Action};
use super::{RestError, audit, create, query};
use crate::clock::instant;
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::fhir::{json, validate};

/// `POST [base]`.
pub(super) async fn post(
    session: &Session,
    incoming: &Incoming,
    prefer: Prefer,
) -> Result<Reply, RestError> {
    let bundle = incoming.read().await?;
    let wrong = |text: &str, at: &str| {
        Err(RestError::BadRequest(vec![
            Issue::error("value", text).at(at),
        ]))
    };
    if bundle["resourceType"] != "Bundle" {
        return wrong(
            "The base takes a Bundle of type batch or transaction.",
            "resourceType",
        );
    }
    for entry in bundle["entry"].as_array().into_iter().flatten() {
        // Where the writes of a transaction are done, none of these could be made any more.
        if matches!(entry["request"]["method"].as_str(), Some("GET" | "HEAD")) {
            let url = entry["request"]["url"].as_str().unwrap_or_default();
            let (path, query) = entry::split(session.store.base(), url);
            audit::settle(session, path, &query::pairs(query).unwrap_or_default()).await?;
        }
    }
    match bundle["type"].as_str() {
        Some("transaction") => {
            let answer = prefer.answer.unwrap_or(Return::Minimal);
            let replies = transaction(session, incoming, bundle, answer).await?;
            let replies = replies.into_iter().map(Ok).collect();
            Ok(respond("transaction-response", replies))
        }
        Some("batch") => {
            let results = run_batch(session, bundle, prefer).await?;
            Ok(respond("batch-response", results))
        }
        _ => wrong(
            "Bundle.type must be batch or transaction. To store a Bundle as a resource, post it to \
             Bundle.",
            "Bundle.type",
        ),
    }
}

/// Runs a transaction; where two may meet, it is tried again. It is then read again too: two meet
/// far too seldom to keep a copy of every resource for it.
async fn transaction(
    session: &Session,
    incoming: &Incoming,
    bundle: Value,
    answer: Return,
) -> Result<Vec<Reply>, RestError> {
    let mut bundle = bundle;
    if session.store.writers_meet() {
        for _ in 0..3 {
            match transaction_once(session, bundle, answer).await {
                Err(RestError::Conflict) => bundle = incoming.read().await?,
                result => return result,
            }
        }
    }
    transaction_once(session, bundle, answer).await
}

/// All or nothing. Replies are in the order of the entries.
async fn transaction_once(
    session: &Session,
    bundle: Value,
    answer: Return,
) -> Result<Vec<Reply>, RestError> {
    let entries = entries(session, bundle)?;
    let mut references = References::default();
    let mut replies: Vec<Option<Reply>> = Vec::new();
    replies.resize_with(entries.len(), || None);
    let mut writes: Vec<(usize, Action)> = Vec::new();
    let mut warnings: Vec<Vec<Issue>> = Vec::new();
    let mut gets = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let checked = (|| {
            let entry = entry?;
            if let Some(full_url) = entry.full_url
                && !matches!(entry.request, Request::Write(Action::Delete { .. }))
            {
                references.note(index, full_url)?;
            }
            match entry.request {
                Request::Write(action) => {
                    action.check_access(session)?;
                    warnings.push(action.check_body()?);
                    writes.push((index, action));
                }
                Request::Read(request) => {
                    request.check(session)?;
                    gets.push((index, request));
                }
            }
            Ok(())
        })();
        checked.map_err(|error: RestError| error.in_entry(index))?;
    }
    let places: Vec<usize> = writes.iter().map(|(place, _)| *place).collect();
    let (done, read) = execute(session, writes, &references, &gets).await?;
    for ((index, done), warnings) in places.into_iter().zip(done).zip(warnings) {
        if let Some(slot) = replies.get_mut(index) {
            *slot = Some(create::reply(done, answer, warnings));
        }
    }
    for ((index, _), reply) in gets.into_iter().zip(read) {
        if let Some(slot) = replies.get_mut(index) {
            *slot = Some(reply);
        }
    }
    replies
        .into_iter()
        .map(|reply| reply.ok_or(RestError::Internal))
        .collect()
}

/// The writes, then the reads, on one transaction.
async fn execute(
    session: &Session,
    writes: Vec<(usize, Action)>,
    references: &References,
    reads: &[(usize, Read)],
) -> Result<(Vec<write::Done>, Vec<Reply>), RestError> {
    if writes.is_empty() {
        return Ok((Vec::new(), read_all(session, reads).await?));
    }
    let written = write::execute(session, writes, Some(references)).await?;
    // R4: reads come last and see what the transaction wrote. One that fails fails it all.
    let replies = if reads.is_empty() {
        Vec::new()
    } else {
        read_all(&written.session(session), reads).await?
    };
    Ok((written.commit().await?, replies))
}

async fn read_all(session: &Session, reads: &[(usize, Read)]) -> Result<Vec<Reply>, RestError> {
    let mut replies = Vec::with_capacity(reads.len());
    for (index, request) in reads {
        let reply = request.run(session).await;
        replies.push(reply.map_err(|error| error.in_entry(*index))?);
    }
    Ok(replies)
}

async fn run_batch(
    session: &Session,
    bundle: Value,
    prefer: Prefer,
) -> Result<Vec<Result<Reply, RestError>>, RestError> {
    let entries = entries(session, bundle)?;
    let mut results: Vec<Option<Result<Reply, RestError>>> = Vec::new();
    results.resize_with(entries.len(), || None);
    let mut order: Vec<(u8, usize, Entry)> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match entry {
            Ok(entry) => {
                let rank = match &entry.request {
                    Request::Write(action) => action.rank(),
                    Request::Read(_) => u8::MAX,
                };
                order.push((rank, index, entry));
            }
            Err(error) => {
                if let Some(slot) = results.get_mut(index) {
                    *slot = Some(Err(error.in_entry(index)));
                }
            }
        }
    }
    order.sort_by_key(|(rank, index, _)| (*rank, *index));
    let answer = prefer.answer.unwrap_or(Return::Minimal);
    for (_, index, entry) in order {
        let result = match entry.request {
            Request::Write(action) => create::run(session, action, answer).await,
            Request::Read(request) => request.run(session).await,
        };
        if let Some(slot) = results.get_mut(index) {
            *slot = Some(result.map_err(|error| error.in_entry(index)));
        }
    }
    results
        .into_iter()
        .map(|result| result.ok_or(RestError::Internal))
        .collect()
}

/// The entries of a bundle, each understood or not. Fails only when the bundle around them is
/// malformed.
fn entries(
    session: &Session,
    mut bundle: Value,
) -> Result<Vec<Result<Entry, RestError>>, RestError> {
    let mut resources = Vec::new();
    if let Some(Value::Array(list)) = bundle.get_mut("entry") {
        for entry in list {
            resources.push(entry.get_mut("resource").map(Value::take));
            if let Value::Object(entry) = entry {
                entry.shift_remove("resource");
            }
        }
    }
    // The resources are checked each in its place; this is about what is around them.
    let mut around: Vec<Issue> = Vec::new();
    let mut faults: HashMap<usize, Vec<Issue>> = HashMap::new();
    for issue in validate::validate(&bundle) {
        if !matches!(issue.severity, "error" | "fatal") {
            continue;
        }
        match entry_of(&issue.expression) {
            Some(index) => faults.entry(index).or_default().push(issue),
            None => around.push(issue),
        }
    }
    if !around.is_empty() {
        return Err(RestError::BadRequest(around));
    }
    for (index, entry) in bundle["entry"].as_array().into_iter().flatten().enumerate() {
        if entry.is_object() && entry.get("request").is_none() {
            // Without its resource it may be an empty object, which is not what is wrong with it.
            let issue = Issue::error(
                "required",
                "The entry has no request, which says what is to be done (request.method and \
                 request.url).",
            );
            let at = format!("Bundle.entry[{index}].request");
            faults.insert(index, vec![issue.at(at)]);
        }
    }
    let Some(Value::Array(entries)) = bundle.get_mut("entry").map(Value::take) else {
        return Ok(Vec::new());
    };
    Ok(entries
        .into_iter()
        .zip(resources)
        .enumerate()
        .map(|(index, (entry, resource))| match faults.remove(&index) {
            Some(issues) => Err(RestError::BadRequest(issues)),
            None => Entry::parse(session.store.base(), &entry, resource),
        })
        .collect())
}

/// The 3 of `Bundle.entry[3].request.method`.
fn entry_of(expression: &str) -> Option<usize> {
    let rest = expression.strip_prefix("Bundle.entry[")?;
    rest.split_once(']')?.0.parse().ok()
}

/// An error as an entry's answer.
fn error_reply(error: &RestError) -> Reply {
    Reply::status(
        error.status(),
        Content::Resource(operation_outcome(&error.issues())),
    )
}

/// The response Bundle.
fn respond(kind: &str, results: Vec<Result<Reply, RestError>>) -> Reply {
    let mut bundle = BundleWriter::new(kind);
    for result in results {
        let reply = result.unwrap_or_else(|error| error_reply(&error));
        let status = format!(
            "{} {}",
            reply.status.as_str(),
            reply.status.canonical_reason().unwrap_or("")
        );
        let outcome: Option<Bytes> = match &reply.content {
            Content::Resource(value) if value["resourceType"] == "OperationOutcome" => {
                Some(json::to_bytes(value).into())
            }
            _ => None,
        };
        let resource = match outcome {
            None => reply.json(),
            Some(_) => None,
        };
        bundle.entry(|out| {
            if let Some(resource) = &resource {
                out.raw("resource", resource);
            }
            out.object("response", |out| {
                out.text("status", status.trim_end());
                if let Some(location) = &reply.location {
                    out.text("location", location);
                }
                if let Some(version) = reply.version {
                    out.text("etag", &reply::etag(version));
                }
                if let Some(updated) = reply.updated {
                    out.text("lastModified", &instant(updated));
                }
                if let Some(outcome) = &outcome {
                    out.raw("outcome", outcome);
                }
            });
        });
    }
    Reply::ok(Content::Json(bundle.finish()))
}
