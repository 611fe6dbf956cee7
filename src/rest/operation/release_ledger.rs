//! `GET $release-ledger?_since=…&_count=…`: the entries of the ledger, oldest first, as they are
//! chained.

use serde_json::{Value, json};

use crate::clock::instant;
use crate::fhir::definitions::definitions;
use crate::rest::RestError;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::visibility::{Access, ViewerClass};

/// Who may see the ledger: auditors, administrators, and systems that may read AuditEvents.
pub(super) fn require_auditor(session: &Session) -> Result<(), RestError> {
    let may = match session.viewer.class {
        ViewerClass::Auditor | ViewerClass::Admin => true,
        ViewerClass::System => definitions()
            .type_id("AuditEvent")
            .is_some_and(|type_id| session.visibility.allows(type_id, Access::Read)),
        _ => false,
    };
    if may {
        return Ok(());
    }
    Err(RestError::Forbidden(
        "The release ledger is for auditors, administrators, and systems whose scopes let them \
         read AuditEvent."
            .to_owned(),
    ))
}

/// A page of the ledger.
pub(super) async fn page(session: &Session, pairs: &Pairs) -> Result<Reply, RestError> {
    require_auditor(session)?;
    query::only(pairs, &["_since", "_count", "_after"])?;
    let since = query::single(pairs, "_since")?
        .map(|text| {
            query::instant(text)
                .ok_or_else(|| RestError::bad_request("value", "_since must be an instant."))
        })
        .transpose()?;
    let count = query::count(pairs, &session.limits)?;
    let after = match query::single(pairs, "_after")? {
        None => 0,
        Some(text) => text.parse::<i64>().map_err(|_| {
            RestError::bad_request("value", "_after must be the number of an entry.")
        })?,
    };
    // What ended a moment ago belongs into the page.
    session.store.record_ended().await?;
    let entries = session.store.ledger_page(since, after, count).await?;
    let mut parameters: Vec<Value> = Vec::with_capacity(entries.len() + 1);
    for entry in &entries {
        parameters.push(json!({"name": "entry", "part": [
            {"name": "seq", "valueDecimal": entry.seq},
            {"name": "at", "valueInstant": instant(entry.at)},
            {"name": "subject", "valueDecimal": entry.subject},
            {"name": "kind", "valueCode": entry.kind},
            {"name": "body", "valueString": entry.body},
            {"name": "prev", "valueString": if entry.prev.is_empty() { "-" } else { &entry.prev }},
            {"name": "hash", "valueString": entry.hash},
        ]}));
    }
    if let Some(last) = entries.last()
        && entries.len() == usize::try_from(count).unwrap_or(usize::MAX)
    {
        let since = since
            .map(|since| format!("&_since={}", instant(since)))
            .unwrap_or_default();
        let url = format!(
            "{}/$release-ledger?_after={}&_count={count}{since}",
            session.store.base(),
            last.seq
        );
        parameters.push(json!({"name": "next", "valueUrl": url}));
    }
    let mut answer = json!({"resourceType": "Parameters"});
    if !parameters.is_empty() {
        answer["parameter"] = parameters.into();
    }
    Ok(Reply::ok(Content::Resource(answer)))
}
