//! delete, plain and conditional. Deleting what is not there, or not there for this viewer, is as
//! good as deleting it.

use super::RestError;
use super::create;
use super::negotiate::Return;
use super::reply::Reply;
use super::session::Session;
use super::update::Conditions;
use super::write::{Action, Target};
use crate::fhir::definitions::TypeId;

/// `DELETE [type]/[id]` and `DELETE [type]?criteria`.
pub(super) async fn delete(
    session: &Session,
    type_id: TypeId,
    target: Target,
    conditions: &Conditions,
    answer: Return,
) -> Result<Reply, RestError> {
    let action = Action::Delete {
        type_id,
        target,
        if_match: conditions.version()?,
    };
    create::run(session, action, answer).await
}
