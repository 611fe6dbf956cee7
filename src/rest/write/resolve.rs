//! What an update or a deletion resolves to: the id, and whether this viewer may.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::condition::Lookup;
use super::{Target, kept_as_it_is};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::rest::patch::Patch;
use crate::rest::session::{ConditionalDelete, Session};
use crate::rest::{RestError, incoming, route, search};
use crate::store::{IfMatch, Method, Op, Standing, StoreError, Writer};
use crate::visibility::{Access, access_log};

/// Resolves an update to its operation.
pub(super) async fn update(
    lookup: Lookup<'_, '_>,
    type_id: TypeId,
    target: Target,
    mut resource: Value,
    if_match: Option<IfMatch>,
    mut must_be_new: bool,
) -> Result<Op, RestError> {
    let session = lookup.session;
    let own = resource.get("id").map(|id| id.as_str().map(str::to_owned));
    let type_name = definitions().type_name(type_id);
    let wrong_id = |text: &str| {
        RestError::BadRequest(vec![
            Issue::error("value", text).at(format!("{type_name}.id")),
        ])
    };
    let own = match own {
        Some(None) => return Err(wrong_id("The id must be a string.")),
        Some(id) => id,
        None => None,
    };
    let (id, is_found) = match target {
        Target::Id(id) => {
            if !route::is_id(&id) {
                return Err(wrong_id(
                    "The id in the URL is not a FHIR id: 1 to 64 letters, digits, hyphens and dots.",
                ));
            }
            if own.as_deref() != Some(id.as_str()) {
                return Err(wrong_id(
                    "The id in the resource must be the one in the URL.",
                ));
            }
            (id, false)
        }
        Target::Criteria(criteria) => match (lookup.find(type_id, &criteria).await?, own) {
            (Some(id), None) => (id, true),
            (Some(id), Some(own)) if id == own => (id, true),
            (Some(_), Some(_)) => {
                return Err(wrong_id(
                    "The criteria match a resource with another id than the one sent.",
                ));
            }
            (None, Some(own)) if route::is_id(&own) => {
                if if_match.is_some() {
                    return Err(StoreError::VersionConflict.into());
                }
                let writer = lookup.door.open().await?;
                let there = standing(session, writer, type_id, &own, Access::Update).await?;
                if there.is_some_and(|there| !there.deleted) {
                    return Err(taken(type_name));
                }
                // Another writer may yet come first.
                must_be_new = true;
                (own, false)
            }
            (None, Some(_)) => return Err(wrong_id("The id is not a FHIR id.")),
            (None, None) => {
                if if_match.is_some() {
                    return Err(StoreError::VersionConflict.into());
                }
                let id = Uuid::new_v4().to_string();
                set_id(&mut resource, &id);
                return Ok(Op {
                    type_id,
                    id,
                    method: Method::Put,
                    resource: Some(resource),
                    if_match: None,
                    must_be_new: true,
                });
            }
        },
    };
    set_id(&mut resource, &id);
    if type_id == access_log() {
        let writer = lookup.door.open().await?;
        let there = standing(session, writer, type_id, &id, Access::Update).await?;
        if there.is_some_and(|there| !there.deleted) {
            return Err(kept_as_it_is());
        }
        must_be_new = true;
    }
    let is_open = session.may_choose_ids(type_id);
    // A condition is met through what may be searched; the write needs what may be updated.
    if !is_open || (is_found && !session.is_unlimited(type_id, Access::Update)) {
        let standing = standing(
            session,
            lookup.door.open().await?,
            type_id,
            &id,
            Access::Update,
        )
        .await?;
        require_whole(standing.as_ref())?;
        if standing.is_none_or(|standing| standing.deleted) {
            if if_match.is_some() {
                return Err(StoreError::VersionConflict.into());
            }
            return Err(RestError::MethodNotAllowed {
                allow: "GET, HEAD, OPTIONS",
                text: "Nothing that this token may update has this id, and this token may not \
                       choose ids for new resources. Create with POST."
                    .to_owned(),
            });
        }
    }
    Ok(Op {
        type_id,
        id,
        method: Method::Put,
        resource: Some(resource),
        if_match,
        must_be_new,
    })
}

/// 409: nothing matches and the id that was sent is another resource's (R5 says 409; R4 that it creates,
/// which it cannot).
fn taken(type_name: &str) -> RestError {
    RestError::Refused {
        status: StatusCode::CONFLICT,
        issues: vec![
            Issue::error(
                "conflict",
                "The criteria match nothing, and the id that was sent is that of another resource. Leave the id \
                 out to create one, or update that resource by its id.",
            )
            .at(format!("{type_name}.id")),
        ],
    }
}

fn set_id(resource: &mut Value, id: &str) {
    if let Value::Object(object) = resource {
        object.insert("id".to_owned(), id.into());
    }
}

/// The ids that a deletion is about, if they exist for this viewer.
pub(super) async fn doomed(
    lookup: Lookup<'_, '_>,
    type_id: TypeId,
    target: Target,
    if_match: Option<IfMatch>,
) -> Result<Vec<String>, RestError> {
    let session = lookup.session;
    let ids = match target {
        Target::Id(id) if route::is_id(&id) => vec![id],
        Target::Id(_) => Vec::new(),
        Target::Criteria(criteria) => match session.limits.conditional_delete {
            ConditionalDelete::Single => {
                lookup.find(type_id, &criteria).await?.into_iter().collect()
            }
            ConditionalDelete::Multiple => lookup.find_all(type_id, &criteria).await?,
        },
    };
    if session.is_unlimited(type_id, Access::Delete) {
        return Ok(ids);
    }
    let mut doomed = Vec::with_capacity(ids.len());
    for id in ids {
        let standing = standing(
            session,
            lookup.door.open().await?,
            type_id,
            &id,
            Access::Delete,
        )
        .await?;
        require_whole(standing.as_ref())?;
        if standing.is_some_and(|standing| !standing.deleted) {
            doomed.push(id);
        } else if if_match.is_some() {
            return Err(StoreError::VersionConflict.into());
        }
    }
    Ok(doomed)
}

/// Resolves a patch to its operation: what stands, changed. What does not exist for the viewer is
/// 404 whatever the patch says, and what is seen in part is refused before the patch is looked at. To a token
/// that may not read the type exists what it may update, and why a patch does not fit is not said.
pub(super) async fn patched(
    lookup: Lookup<'_, '_>,
    type_id: TypeId,
    target: Target,
    patch: &Patch,
    if_match: Option<IfMatch>,
) -> Result<Op, RestError> {
    let session = lookup.session;
    let id = match target {
        Target::Id(id) if route::is_id(&id) => id,
        Target::Id(_) => return Err(RestError::NotFound),
        Target::Criteria(criteria) => lookup
            .find(type_id, &criteria)
            .await?
            .ok_or(RestError::NotFound)?,
    };
    let is_blind = session.patches_blindly(type_id);
    let access = if is_blind {
        Access::Update
    } else {
        Access::Read
    };
    let seen = standing(session, lookup.door.open().await?, type_id, &id, access).await?;
    let seen = seen.ok_or(RestError::NotFound)?;
    if !is_blind && !session.is_unlimited(type_id, Access::Update) {
        standing(
            session,
            lookup.door.open().await?,
            type_id,
            &id,
            Access::Update,
        )
        .await?
        .ok_or(RestError::NotFound)?;
    }
    require_whole(Some(&seen))?;
    let Some(body) = seen.body.filter(|_| !seen.deleted) else {
        return Err(RestError::Gone);
    };
    if if_match.is_some_and(|wanted| !wanted.takes(seen.version)) {
        return Err(StoreError::VersionConflict.into());
    }
    let mut resource: Value = serde_json::from_slice(&body).map_err(|_| RestError::Internal)?;
    let why = |error| if is_blind { untold_misfit() } else { error };
    patch.apply(&mut resource).map_err(why)?;
    let type_name = definitions().type_name(type_id);
    if resource["id"] != id.as_str() || resource["resourceType"] != type_name {
        return Err(why(RestError::BadRequest(vec![
            Issue::error(
                "business-rule",
                "A patch leaves the type and the id of the resource as they are.",
            )
            .at(format!("{type_name}.id")),
        ])));
    }
    incoming::check(type_id, &resource).map_err(why)?;
    Ok(Op {
        type_id,
        id,
        method: Method::Patch,
        resource: Some(resource),
        if_match: Some(IfMatch::Version(seen.version)),
        must_be_new: false,
    })
}

/// 422 for a patch of what the token may not read, whatever is wrong.
pub(super) fn untold_misfit() -> RestError {
    RestError::Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        issues: vec![Issue::error(
            "processing",
            "The patch does not fit the resource, or makes something of it that is not valid. The token's scopes \
             do not allow to read it, so no more is said.",
        )],
    }
}

/// 403 for a resource of which the viewer sees a rendition only: to replace the whole with what is
/// seen would destroy what is not. That this tells the viewer of more is the lesser harm, and
/// concerns no patient: they do not write.
fn require_whole(standing: Option<&Standing>) -> Result<(), RestError> {
    if standing.is_some_and(|standing| standing.partial) {
        return Err(RestError::Forbidden(
            "This resource is shown to you in part, so you cannot replace or delete it.".to_owned(),
        ));
    }
    Ok(())
}

/// A resource as it stands for the viewer, on the connection of the write.
pub(super) async fn standing(
    session: &Session,
    writer: &Writer<'_>,
    type_id: TypeId,
    id: &str,
    access: Access,
) -> Result<Option<Standing>, RestError> {
    Ok(writer
        .standing(&session.visibility, search::NARROW, type_id, id, access)
        .await?)
}

/// 403 unless what was just written lies within the scopes: a token for laboratory results does not
/// write vital signs, nor about another patient.
pub(super) async fn require_within_scopes(
    session: &Session,
    writer: &Writer<'_>,
    type_id: TypeId,
    id: &str,
    access: Access,
) -> Result<(), RestError> {
    let is_within = writer
        .is_within_scopes(&session.visibility, search::NARROW, type_id, id, access)
        .await?;
    if is_within {
        return Ok(());
    }
    Err(RestError::Forbidden(
        "The resource lies outside what the token's scopes allow to write.".to_owned(),
    ))
}
