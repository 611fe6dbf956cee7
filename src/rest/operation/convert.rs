//! `$convert` (R4 Resource-convert): a resource in, the same in the format that is asked for. It is
//! neither stored nor checked beyond what reading it needs.

use serde_json::Value;

use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};

/// `POST $convert`.
pub(super) fn convert(pairs: &Pairs, body: Option<Value>) -> Result<Reply, RestError> {
    query::only(pairs, &[])?;
    let body = body.ok_or_else(|| {
        RestError::BadRequest(vec![Issue::error(
            "required",
            "Send the resource to convert; Accept or _format says into what.",
        )])
    })?;
    Ok(Reply::ok(Content::Resource(body)))
}
