//! The one pipeline of every write: create, update and delete, plain or conditional, alone or in a
//! transaction. Everything is resolved and applied on one database transaction.

mod condition;
pub(super) mod provenance;
mod refer;
mod resolve;
mod steps;

use std::collections::HashSet;

use serde_json::Value;

pub(super) use self::condition::Lookup;
use self::condition::{Door, criteria_key};
use self::resolve::{require_within_scopes, standing};
use self::steps::{Resolved, Steps};
use super::bundle::references::{Addresses, References};
use super::patch::Patch;
use super::session::Session;
use super::{RestError, incoming};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::store::{IfMatch, Method, Outcome, Standing, StoreError, Writer};
use crate::visibility::{Access, access_log};

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
        if_match: Option<IfMatch>,
        /// `If-None-Match: *`.
        must_be_new: bool,
    },
    Delete {
        type_id: TypeId,
        target: Target,
        if_match: Option<IfMatch>,
    },
    Patch {
        type_id: TypeId,
        target: Target,
        patch: Patch,
        if_match: Option<IfMatch>,
    },
}

impl Action {
    pub(super) fn type_id(&self) -> TypeId {
        match self {
            Self::Create { type_id, .. }
            | Self::Update { type_id, .. }
            | Self::Delete { type_id, .. }
            | Self::Patch { type_id, .. } => *type_id,
        }
    }

    /// Checks the resource that was sent, if one was; returns the warnings.
    pub(super) fn check_body(&self) -> Result<Vec<Issue>, RestError> {
        match self {
            Self::Create {
                type_id, resource, ..
            } => incoming::check(*type_id, resource),
            Self::Update {
                type_id, resource, ..
            } => {
                incoming::require_complete(resource)?;
                incoming::check(*type_id, resource)
            }
            // What a patch makes of a resource is checked once that is known.
            Self::Delete { .. } | Self::Patch { .. } => Ok(Vec::new()),
        }
    }

    /// Its turn in a batch or transaction (R4 3.1.0.11.2): deletions, creations, updates.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Delete { .. } => 0,
            Self::Create { .. } => 1,
            Self::Update { .. } | Self::Patch { .. } => 2,
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
            }
            | Self::Patch {
                target: Target::Criteria(criteria),
                ..
            } => Some(criteria),
            Self::Update { .. } | Self::Delete { .. } | Self::Patch { .. } => None,
        }
    }

    /// The scopes and the kind of viewer it needs, whatever the record holds.
    pub(super) fn check_access(&self, session: &Session) -> Result<(), RestError> {
        session.require_writer()?;
        let type_id = self.type_id();
        session.require_definer(type_id)?;
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
            Self::Patch { target, patch, .. } => {
                session.require(type_id, Access::Update)?;
                session.require_patcher(type_id, patch.is_blind())?;
                matches!(target, Target::Criteria(_))
            }
        };
        if searches {
            session.require(type_id, Access::Search)?;
        }
        if type_id == access_log() && matches!(self, Self::Delete { .. } | Self::Patch { .. }) {
            return Err(kept_as_it_is());
        }
        Ok(())
    }
}

/// 405: an AuditEvent stays as it was written (R4 AuditEvent; 45 CFR 170.315(d)(2) and (d)(3): an audit
/// log is not changed, overwritten or deleted).
fn kept_as_it_is() -> RestError {
    RestError::MethodNotAllowed {
        allow: "GET, HEAD, OPTIONS",
        text: "AuditEvents are kept as they were written: they can be created, not changed or deleted."
            .to_owned(),
    }
}

/// What became of one write.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Written(Outcome),
    /// `$meta-add` or `$meta-delete`.
    Labelled(Outcome),
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

/// All writes of a request, done and not yet durable.
#[derive(Debug)]
pub(super) struct Written<'s> {
    done: Vec<Done>,
    writer: Writer<'s>,
}

impl Written<'_> {
    /// Who asked, with the record as these writes leave it. It must be gone before
    /// [`Written::commit`].
    pub(super) fn session(&self, session: &Session) -> Session {
        Session {
            touched: session.touched.clone(),
            provenance: session.provenance.clone(),
            events: session.events.within_a_write(),
            ..Session::new(
                self.writer.store(),
                session.viewer.clone(),
                session.limits.clone(),
                session.origin,
            )
        }
    }

    /// Makes the writes durable.
    pub(super) async fn commit(self) -> Result<Vec<Done>, RestError> {
        self.writer.commit().await?;
        Ok(self.done)
    }
}

/// Runs all writes on one transaction and leaves it open; each comes with its place for error
/// messages. `references` is a bundle's: references between its entries are rewritten once all ids
/// are known. Outcomes are in the order of `actions`.
pub(super) async fn execute<'s>(
    session: &'s Session,
    actions: Vec<(usize, Action)>,
    references: Option<&References>,
) -> Result<Written<'s>, RestError> {
    let is_bundle = references.is_some();
    for (at, action) in &actions {
        action
            .check_access(session)
            .map_err(place(*at, is_bundle))?;
    }
    let conditions: Vec<(TypeId, String)> = actions
        .iter()
        .filter_map(|(_, action)| Some((action.type_id(), criteria_key(action.criteria()?))))
        .collect();
    // Begun as late as can be: what needs no database is done while others write.
    let door = Door::new(session, conditions, actions.len());
    let mut steps = Steps::new(session, is_bundle);
    let resolved = steps.resolve(&door, actions).await?;
    if let Some(references) = references {
        steps.refer(&door, references).await?;
        steps.refer_to_versions(&door).await?;
    }
    steps.check_references(&door).await?;
    let Steps {
        ops,
        addresses,
        pinned,
        ..
    } = steps;

    let touched: Vec<(usize, TypeId, String, Method)> = ops
        .iter()
        .filter(|(_, op)| op.resource.is_some())
        .map(|(slot, op)| (*slot, op.type_id, op.id.clone(), op.method))
        .collect();
    let told = provenance::told(ops.iter().map(|(_, op)| op));
    let wrote: Vec<provenance::Wrote> = ops
        .iter()
        .map(|(_, op)| provenance::Wrote {
            method: op.method,
            told: told.contains(&format!(
                "{}/{}",
                definitions().type_name(op.type_id),
                op.id
            )),
        })
        .collect();
    let untold: Vec<bool> = ops
        .iter()
        .map(|(_, op)| op.method == Method::Patch && session.patches_blindly(op.type_id))
        .collect();
    let new: HashSet<(TypeId, String)> = ops
        .iter()
        .filter(|(_, op)| op.must_be_new && op.if_match.is_none())
        .map(|(_, op)| (op.type_id, op.id.clone()))
        .collect();
    let indexer = session.store.indexer();
    let ops = indexer.prepare(ops.into_iter().map(|(_, op)| op));
    let mut writer = door.enter().await?;
    let outcomes = writer.apply_indexed(ops).await.map_err(|error| {
        match overtaken(&error, &touched, &pinned) {
            true => RestError::Conflict,
            false => blame(error, &addresses, &new, is_bundle),
        }
    })?;
    for (slot, type_id, id, method) in touched {
        let access = match method {
            Method::Post => Access::Create,
            _ => Access::Update,
        };
        if !session.is_unbounded(type_id, access) {
            let at = addresses.get(slot).map_or(0, |(at, _)| *at);
            require_within_scopes(session, &writer, type_id, &id, access)
                .await
                .map_err(place(at, is_bundle))?;
        }
    }
    provenance::write(session, &mut writer, &wrote, &outcomes).await?;
    let changed = outcomes.iter().filter(|outcome| outcome.version > 0);
    session.touch(changed.map(|outcome| (outcome.type_id, &*outcome.id)));
    let mut outcomes: Vec<Option<Outcome>> = outcomes.into_iter().map(Some).collect();
    let mut done = Vec::with_capacity(resolved.len());
    for step in resolved {
        done.push(match step {
            Some(Resolved::Op(at)) => {
                let outcome = outcomes.get_mut(at).and_then(Option::take);
                let mut outcome = outcome.ok_or(RestError::Internal)?;
                if untold.get(at).is_none_or(|untold| *untold) {
                    outcome.body = None;
                }
                Done::Written(outcome)
            }
            Some(Resolved::Labels(at)) => {
                let outcome = outcomes.get_mut(at).and_then(Option::take);
                Done::Labelled(outcome.ok_or(RestError::Internal)?)
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
    Ok(Written { done, writer })
}

/// Whether another writer came between reading a resource and patching it, or finding its version.
/// What the client itself demands of the version was asked when it was read.
fn overtaken(
    error: &StoreError,
    touched: &[(usize, TypeId, String, Method)],
    pinned: &HashSet<(TypeId, String)>,
) -> bool {
    conflicting(error).is_some_and(|about| {
        touched.iter().any(|(_, type_id, own, method)| {
            let one = (*type_id, own.clone());
            let is_ours = *method == Method::Patch || pinned.contains(&one);
            is_ours && one == about
        })
    })
}

/// Whose version is not what was asked for.
fn conflicting(error: &StoreError) -> Option<(TypeId, String)> {
    match error {
        StoreError::About {
            type_name,
            id,
            error,
        } if matches!(**error, StoreError::VersionConflict) => {
            Some((definitions().type_id(type_name)?, id.clone()))
        }
        _ => None,
    }
}

/// Puts an error into its entry of the bundle.
fn place(at: usize, is_bundle: bool) -> impl Fn(RestError) -> RestError {
    move |error| {
        if is_bundle { error.in_entry(at) } else { error }
    }
}

/// [`execute`] for one write outside any bundle, tried again when another writer came first.
pub(super) async fn execute_one(session: &Session, action: Action) -> Result<Done, RestError> {
    for _ in 0..3 {
        match execute_once(session, action.clone()).await {
            Err(RestError::Conflict) => {}
            result => return result,
        }
    }
    execute_once(session, action).await
}

async fn execute_once(session: &Session, action: Action) -> Result<Done, RestError> {
    let written = execute(session, vec![(0, action)], None).await?;
    let done = written.commit().await?;
    done.into_iter().next().ok_or(RestError::Internal)
}

/// Names the entry of the bundle that an error of the store is about.
fn blame(
    error: StoreError,
    addresses: &Addresses,
    new: &HashSet<(TypeId, String)>,
    is_bundle: bool,
) -> RestError {
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
    let is_there = conflicting(&error).is_some_and(|about| new.contains(&about));
    let error = match is_there {
        true => RestError::PreconditionFailed(
            "A resource with this id exists already, and the request asks that there be none (If-None-Match: *)."
                .to_owned(),
        ),
        false => error.into(),
    };
    match place {
        Some(place) => error.in_entry(place),
        None => error,
    }
}
