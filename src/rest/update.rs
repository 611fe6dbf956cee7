//! update, plain and conditional; creates where the viewer may choose ids.

use serde_json::Value;

use super::RestError;
use super::create;
use super::negotiate::Return;
use super::reply::{self, Reply};
use super::session::Session;
use super::write::{Action, Target};
use crate::fhir::definitions::TypeId;
use crate::store::IfMatch;

/// `If-Match` and `If-None-Match` of a write, as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
}

impl Conditions {
    /// What must stand.
    pub(super) fn version(&self) -> Result<Option<IfMatch>, RestError> {
        match self.if_match.as_deref().map(str::trim) {
            None => Ok(None),
            Some("*") => Ok(Some(IfMatch::Any)),
            Some(tag) => match reply::version_of(tag) {
                Some(version) => Ok(Some(IfMatch::Version(version))),
                None => Err(RestError::bad_request(
                    "value",
                    "If-Match must be one entity tag of this server, W/\"1\", or *.",
                )),
            },
        }
    }

    /// `If-None-Match: *`: the resource must not exist yet. Other tags mean nothing on a write.
    pub(super) fn must_be_new(&self) -> Result<bool, RestError> {
        match self.if_none_match.as_deref().map(str::trim) {
            None => Ok(false),
            Some("*") => Ok(true),
            Some(_) => Err(RestError::bad_request(
                "not-supported",
                "On a write, If-None-Match can only be *.",
            )),
        }
    }
}

/// `PUT [type]/[id]` and `PUT [type]?criteria`.
pub(super) async fn update(
    session: &Session,
    type_id: TypeId,
    target: Target,
    resource: Value,
    conditions: &Conditions,
    answer: Return,
) -> Result<Reply, RestError> {
    let action = Action::Update {
        type_id,
        target,
        resource,
        if_match: conditions.version()?,
        must_be_new: conditions.must_be_new()?,
    };
    create::run(session, action, answer).await
}
