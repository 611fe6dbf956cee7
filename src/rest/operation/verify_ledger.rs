//! `POST $verify-ledger`: recomputes the chain from its first entry.

use serde_json::json;

use super::release_ledger::require_auditor;
use crate::rest::RestError;
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;

/// Recomputes and reports.
pub(super) async fn verify(session: &Session) -> Result<Reply, RestError> {
    require_auditor(session)?;
    let check = session.store.verify_ledger().await?;
    let mut parameters = vec![
        json!({"name": "intact", "valueBoolean": check.broken_at.is_none()}),
        json!({"name": "entries", "valueDecimal": check.entries}),
    ];
    if !check.head.is_empty() {
        parameters.push(json!({"name": "head", "valueString": check.head}));
    }
    if let Some(seq) = check.broken_at {
        parameters.push(json!({"name": "brokenAt", "valueDecimal": seq}));
    }
    Ok(Reply::ok(Content::Resource(
        json!({"resourceType": "Parameters", "parameter": parameters}),
    )))
}
