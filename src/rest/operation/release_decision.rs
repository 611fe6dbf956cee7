//! `GET [type]/[id]/$release-decision?viewer=…`: what a kind of viewer is shown of a resource, and
//! why (release-contract.md, "Ways to check").

use super::require_exists;
use crate::fhir::definitions::TypeId;
use crate::rest::RestError;
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::session::Session;
use crate::visibility::ViewerClass;

/// The decision, for release staff, auditors, administrators and the hospital's own systems.
pub(super) async fn explain(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    if !matches!(
        session.viewer.class,
        ViewerClass::Staff | ViewerClass::Auditor | ViewerClass::Admin | ViewerClass::System
    ) {
        return Err(RestError::Forbidden(
            "Release decisions are explained to release staff, auditors, administrators and the \
             hospital's systems."
                .to_owned(),
        ));
    }
    query::only(pairs, &["viewer"])?;
    let viewer = query::single(pairs, "viewer")?.unwrap_or("patient");
    require_exists(session, type_id, id).await?;
    let decision = session.store.release_decision(type_id, id, viewer).await?;
    Ok(Reply::ok(Content::Resource(decision)))
}
