//! The one pipeline of every write: create, update and delete, plain or conditional, alone or in a
//! transaction. Everything is resolved and applied on one database transaction.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::bundle::references::References;
use super::query::{self, Pairs};
use super::session::Session;
use super::{RestError, route, search};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::store::{Method, Op, Outcome, Standing, StoreError, Writer};
use crate::visibility::Access;

/// Whom an update or a deletion is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Id(String),
    /// The query of a conditional interaction, still encoded.
    Criteria(String),
}

/// One write as it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Create {
        type_id: TypeId,
        resource: Value,
        /// `If-None-Exist`, still encoded.
        if_none_exist: Option<String>,
    },
    Update {
        type_id: TypeId,
        target: Target,
        resource: Value,
        if_match: Option<i32>,
        /// `If-None-Match: *`.
        must_be_new: bool,
    },
    Delete {
        type_id: TypeId,
        target: Target,
        if_match: Option<i32>,
    },
}

impl Action {
    pub(super) fn type_id(&self) -> TypeId {
        match self {
            Self::Create { type_id, .. }
            | Self::Update { type_id, .. }
            | Self::Delete { type_id, .. } => *type_id,
        }
    }

    pub(super) fn resource(&self) -> Option<&Value> {
        match self {
            Self::Create { resource, .. } | Self::Update { resource, .. } => Some(resource),
            Self::Delete { .. } => None,
        }
    }

    /// What a conditional write searches for.
    fn criteria(&self) -> Option<&str> {
        match self {
            Self::Create { if_none_exist, .. } => if_none_exist.as_deref(),
            Self::Update {
                target: Target::Criteria(criteria),
                ..
            }
            | Self::Delete {
                target: Target::Criteria(criteria),
                ..
            } => Some(criteria),
            Self::Update { .. } | Self::Delete { .. } => None,
        }
    }

    /// The scopes and the kind of viewer it needs, whatever the record holds.
    pub(super) fn check_access(&self, session: &Session) -> Result<(), RestError> {
        session.require_writer()?;
        let type_id = self.type_id();
        let searches = match self {
            Self::Create { if_none_exist, .. } => {
                session.require(type_id, Access::Create)?;
                if_none_exist.is_some()
            }
            Self::Update { target, .. } => {
                session.require(type_id, Access::Update)?;
                matches!(target, Target::Criteria(_))
            }
            Self::Delete { target, .. } => {
                session.require(type_id, Access::Delete)?;
                matches!(target, Target::Criteria(_))
            }
        };
        if searches {
            session.require(type_id, Access::Search)?;
        }
        Ok(())
    }
}

/// What became of one write.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Written(Outcome),
    /// A conditional create found one already.
    Found {
        type_id: TypeId,
        id: String,
        /// None when the same transaction made it and holds it back from its maker.
        standing: Option<Standing>,
    },
    /// A deletion, of something or of nothing: the client is not told which.
    Deleted,
}

/// What a write resolved to.
#[derive(Debug)]
enum Resolved {
    /// Index into the list of operations.
    Op(usize),
    Found(TypeId, String),
    Deleted,
}

/// Searches for conditions, on the connection of the write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'a> {
    session: &'a Session,
    writer: &'a Writer<'a>,
    /// Addresses that this transaction deletes: no condition matches them any more.
    deleted: &'a HashSet<(TypeId, String)>,
}

impl<'a> Lookup<'a> {
    /// Who looks.
    pub(super) fn session(&self) -> &'a Session {
        self.session
    }

    /// The one id that matches `criteria` for this viewer, or none.
    ///
    /// # Errors
    /// 412 when more than one does.
    pub(super) async fn find(
        &self,
        type_id: TypeId,
        criteria: &str,
    ) -> Result<Option<String>, RestError> {
        let pairs = criteria_pairs(criteria)?;
        let ids = search::find_ids(self.writer, self.session, type_id, &pairs).await?;
        // Two are all that the search tells; with one of them deleted here there may be a third.
        if ids.len() > 1 {
            return Err(StoreError::MultipleMatches.into());
        }
        Ok(ids
            .into_iter()
            .find(|id| !self.deleted.contains(&(type_id, id.clone()))))
    }
}

/// Runs all writes on one transaction; each comes with its place for error messages. `references`
/// is a bundle's: references between its entries are rewritten once all ids are known. Outcomes
/// are in the order of `actions`.
pub(super) async fn execute(
    session: &Session,
    actions: Vec<(usize, Action)>,
    references: Option<&References>,
) -> Result<Vec<Done>, RestError> {
    let place = |place: usize, is_bundle: bool| {
        move |error: RestError| {
            if is_bundle {
                error.in_entry(place)
            } else {
                error
            }
        }
    };
    let is_bundle = references.is_some();
    for (at, action) in &actions {
        action
            .check_access(session)
            .map_err(place(*at, is_bundle))?;
    }
    let mut writer = session.store.writer(session.origin).await?;
    let conditions: Vec<(TypeId, &str)> = actions
        .iter()
        .filter_map(|(_, action)| Some((action.type_id(), action.criteria()?)))
        .collect();
    writer.lock_conditions(&conditions).await?;
    let mut ops: Vec<(usize, Op)> = Vec::with_capacity(actions.len());
    let mut resolved: Vec<Option<Resolved>> = Vec::new();
    resolved.resize_with(actions.len(), || None);
    let mut addresses: Vec<(usize, Option<String>)> =
        actions.iter().map(|(at, _)| (*at, None)).collect();
    let mut deleted: HashSet<(TypeId, String)> = HashSet::new();
    let mut claimed: HashMap<(TypeId, String), usize> = HashMap::new();
    let mut created_if: HashMap<(TypeId, String), String> = HashMap::new();

    // R4 3.1.0.11.2: deletions, then creations, then updates.
    let mut order: Vec<usize> = (0..actions.len()).collect();
    let mut actions: Vec<Option<(usize, Action)>> = actions.into_iter().map(Some).collect();
    let rank = |slot: &Option<(usize, Action)>| match slot {
        Some((_, Action::Delete { .. })) => 0,
        Some((_, Action::Create { .. })) => 1,
        _ => 2,
    };
    order.sort_by_key(|slot| actions.get(*slot).map_or(3, rank));

    for slot in order {
        let Some((at, action)) = actions.get_mut(slot).and_then(Option::take) else {
            continue;
        };
        let lookup = Lookup {
            session,
            writer: &writer,
            deleted: &deleted,
        };
        let mut claim =
            |type_id: TypeId, id: &str| match claimed.insert((type_id, id.to_owned()), at) {
                None => Ok(()),
                Some(other) => Err(RestError::bad_request(
                    "duplicate",
                    format!("The same resource is written by Bundle.entry[{other}] too."),
                )),
            };
        let step = match action {
            Action::Create {
                type_id,
                resource,
                if_none_exist,
            } => {
                let found = match &if_none_exist {
                    None => None,
                    Some(criteria) => match created_if.get(&(type_id, criteria.clone())) {
                        Some(id) => Some(id.clone()),
                        None => lookup
                            .find(type_id, criteria)
                            .await
                            .map_err(place(at, is_bundle))?,
                    },
                };
                match found {
                    Some(id) => (Resolved::Found(type_id, id.clone()), type_id, Some(id)),
                    None => {
                        let id = Uuid::new_v4().to_string();
                        if let Some(criteria) = if_none_exist {
                            created_if.insert((type_id, criteria), id.clone());
                        }
                        ops.push((
                            slot,
                            Op {
                                type_id,
                                id: id.clone(),
                                method: Method::Post,
                                resource: Some(resource),
                                if_match: None,
                                must_be_new: true,
                            },
                        ));
                        (Resolved::Op(ops.len() - 1), type_id, Some(id))
                    }
                }
            }
            Action::Update {
                type_id,
                target,
                resource,
                if_match,
                must_be_new,
            } => {
                let op = update(lookup, type_id, target, resource, if_match, must_be_new)
                    .await
                    .map_err(place(at, is_bundle))?;
                claim(type_id, &op.id).map_err(place(at, is_bundle))?;
                let id = op.id.clone();
                ops.push((slot, op));
                (Resolved::Op(ops.len() - 1), type_id, Some(id))
            }
            Action::Delete {
                type_id,
                target,
                if_match,
            } => {
                let id = doomed(lookup, type_id, target, if_match)
                    .await
                    .map_err(place(at, is_bundle))?;
                let deleted_id = id.clone();
                if let Some(id) = id {
                    claim(type_id, &id).map_err(place(at, is_bundle))?;
                    deleted.insert((type_id, id.clone()));
                    ops.push((
                        slot,
                        Op {
                            type_id,
                            id,
                            method: Method::Delete,
                            resource: None,
                            if_match,
                            must_be_new: false,
                        },
                    ));
                }
                (Resolved::Deleted, type_id, deleted_id)
            }
        };
        let (step, type_id, id) = step;
        if let (Some(entry), Some(id)) = (addresses.get_mut(slot), &id) {
            entry.1 = Some(format!("{}/{id}", definitions().type_name(type_id)));
        }
        if let Some(entry) = resolved.get_mut(slot) {
            *entry = Some(step);
        }
    }

    if let Some(references) = references {
        let lookup = Lookup {
            session,
            writer: &writer,
            deleted: &deleted,
        };
        let resources = ops
            .iter_mut()
            .filter_map(|(slot, op)| {
                let at = addresses.get(*slot)?.0;
                op.resource.as_mut().map(|resource| (at, resource))
            })
            .collect();
        references.rewrite(lookup, &addresses, resources).await?;
    }

    let touched: Vec<(usize, TypeId, String, Access)> = ops
        .iter()
        .filter(|(_, op)| op.resource.is_some())
        .map(|(slot, op)| {
            let access = match op.method {
                Method::Post => Access::Create,
                _ => Access::Update,
            };
            (*slot, op.type_id, op.id.clone(), access)
        })
        .collect();
    let outcomes = writer
        .apply(ops.into_iter().map(|(_, op)| op).collect())
        .await
        .map_err(|error| blame(error, &addresses, is_bundle))?;
    for (slot, type_id, id, access) in touched {
        if !session.is_unbounded(type_id, access) {
            let at = addresses.get(slot).map_or(0, |(at, _)| *at);
            require_within_scopes(session, &writer, type_id, &id, access)
                .await
                .map_err(place(at, is_bundle))?;
        }
    }
    let mut outcomes: Vec<Option<Outcome>> = outcomes.into_iter().map(Some).collect();
    let mut done = Vec::with_capacity(resolved.len());
    for step in resolved {
        done.push(match step {
            Some(Resolved::Op(at)) => {
                let outcome = outcomes.get_mut(at).and_then(Option::take);
                Done::Written(outcome.ok_or(RestError::Internal)?)
            }
            Some(Resolved::Found(type_id, id)) => {
                let standing = standing(session, &writer, type_id, &id, Access::Search).await?;
                Done::Found {
                    type_id,
                    id,
                    standing,
                }
            }
            Some(Resolved::Deleted) => Done::Deleted,
            None => return Err(RestError::Internal),
        });
    }
    writer.commit().await?;
    Ok(done)
}

/// [`execute`] for one write outside any bundle, tried again when another writer came first.
pub(super) async fn execute_one(session: &Session, action: Action) -> Result<Done, RestError> {
    for _ in 0..3 {
        match execute(session, vec![(0, action.clone())], None).await {
            Err(RestError::Conflict) => {}
            result => return result.and_then(only),
        }
    }
    execute(session, vec![(0, action)], None)
        .await
        .and_then(only)
}

fn only(done: Vec<Done>) -> Result<Done, RestError> {
    done.into_iter().next().ok_or(RestError::Internal)
}

/// Names the entry of the bundle that an error of the store is about.
fn blame(error: StoreError, addresses: &[(usize, Option<String>)], is_bundle: bool) -> RestError {
    let place = match &error {
        StoreError::About { type_name, id, .. } if is_bundle => {
            let address = format!("{type_name}/{id}");
            addresses
                .iter()
                .find(|(_, own)| own.as_deref() == Some(&address))
                .map(|(place, _)| *place)
        }
        _ => None,
    };
    match place {
        Some(place) => RestError::from(error).in_entry(place),
        None => error.into(),
    }
}

/// The pairs of a conditional interaction's criteria. None at all is refused: it would match
/// everything.
fn criteria_pairs(criteria: &str) -> Result<Pairs, RestError> {
    let mut pairs = query::pairs(criteria)?;
    pairs.retain(|(name, _)| !query::is_general(name));
    if pairs.iter().all(|(_, value)| value.is_empty()) {
        return Err(RestError::PreconditionFailed(
            "A conditional interaction needs search criteria that are selective.".to_owned(),
        ));
    }
    Ok(pairs)
}

/// Resolves an update to its operation.
async fn update(
    lookup: Lookup<'_>,
    type_id: TypeId,
    target: Target,
    mut resource: Value,
    if_match: Option<i32>,
    must_be_new: bool,
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
            (None, Some(own)) if route::is_id(&own) => (own, false),
            (None, Some(_)) => return Err(wrong_id("The id is not a FHIR id.")),
            (None, None) => {
                session.require(type_id, Access::Create)?;
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
    let is_open = session.may_choose_ids(type_id);
    // A condition is met through what may be searched; the write needs what may be updated.
    if !is_open || (is_found && !session.is_unlimited(type_id, Access::Update)) {
        let standing = standing(session, lookup.writer, type_id, &id, Access::Update).await?;
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

fn set_id(resource: &mut Value, id: &str) {
    if let Value::Object(object) = resource {
        object.insert("id".to_owned(), id.into());
    }
}

/// The id that a deletion is about, if it exists for this viewer.
async fn doomed(
    lookup: Lookup<'_>,
    type_id: TypeId,
    target: Target,
    if_match: Option<i32>,
) -> Result<Option<String>, RestError> {
    let session = lookup.session;
    let id = match target {
        Target::Id(id) => {
            if !route::is_id(&id) {
                return Ok(None);
            }
            id
        }
        Target::Criteria(criteria) => match lookup.find(type_id, &criteria).await? {
            Some(id) => id,
            None => return Ok(None),
        },
    };
    if session.is_unlimited(type_id, Access::Delete) {
        return Ok(Some(id));
    }
    let standing = standing(session, lookup.writer, type_id, &id, Access::Delete).await?;
    require_whole(standing.as_ref())?;
    if standing.is_some_and(|standing| !standing.deleted) {
        Ok(Some(id))
    } else if if_match.is_some() {
        Err(StoreError::VersionConflict.into())
    } else {
        Ok(None)
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
async fn standing(
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
async fn require_within_scopes(
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
