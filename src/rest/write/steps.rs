//! From what was asked to what the store does: ids found or made, in the order of R4 3.1.0.11.2.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::condition::{Door, Lookup, criteria_key};
use super::resolve::{doomed, patched, update};
use super::{Action, Target, place};
use crate::fhir::definitions::{TypeId, definitions};
use crate::rest::RestError;
use crate::rest::bundle::references::Addresses;
use crate::rest::session::Session;
use crate::store::{Method, Op};

/// What a write resolved to.
#[derive(Debug)]
pub(super) enum Resolved {
    /// Index into the list of operations.
    Op(usize),
    /// The same, for a change of labels.
    Labels(usize),
    Found(TypeId, String),
    Deleted,
}

/// The operations of a request as they are gathered.
#[derive(Debug)]
pub(super) struct Steps<'s> {
    pub(super) session: &'s Session,
    pub(super) is_bundle: bool,
    /// With the slot of the action that each comes from.
    pub(super) ops: Vec<(usize, Op)>,
    /// By slot.
    pub(super) addresses: Addresses,
    pub(super) deleted: HashSet<(TypeId, String)>,
    /// What must stand as this transaction found it, though no client said so.
    pub(super) pinned: HashSet<(TypeId, String)>,
    claimed: HashMap<(TypeId, String), usize>,
    /// What conditions make here because nothing matched them, by [`criteria_key`].
    made: HashMap<(TypeId, String), (String, usize)>,
}

impl<'s> Steps<'s> {
    pub(super) fn new(session: &'s Session, is_bundle: bool) -> Self {
        Self {
            session,
            is_bundle,
            ops: Vec::new(),
            addresses: Vec::new(),
            deleted: HashSet::new(),
            pinned: HashSet::new(),
            claimed: HashMap::new(),
            made: HashMap::new(),
        }
    }

    /// Resolves all: deletions, then creations, then updates.
    pub(super) async fn resolve(
        &mut self,
        door: &Door<'_>,
        actions: Vec<(usize, Action)>,
    ) -> Result<Vec<Option<Resolved>>, RestError> {
        let mut resolved: Vec<Option<Resolved>> = Vec::new();
        resolved.resize_with(actions.len(), || None);
        self.addresses = actions.iter().map(|(at, _)| (*at, None)).collect();
        let mut ordered: Vec<(usize, (usize, Action))> = actions.into_iter().enumerate().collect();
        ordered.sort_by_key(|(_, (_, action))| action.rank());
        for (slot, (at, action)) in ordered {
            let type_id = action.type_id();
            let step = self.step(door, slot, at, action).await;
            let (step, id) = step.map_err(place(at, self.is_bundle))?;
            if let (Some(entry), Some(id)) = (self.addresses.get_mut(slot), &id) {
                entry.1 = Some(format!("{}/{id}", definitions().type_name(type_id)));
            }
            if let Some(entry) = resolved.get_mut(slot) {
                *entry = Some(step);
            }
        }
        Ok(resolved)
    }

    /// One action: what it is, and the id it is about.
    async fn step(
        &mut self,
        door: &Door<'_>,
        slot: usize,
        at: usize,
        action: Action,
    ) -> Result<(Resolved, Option<String>), RestError> {
        let lookup = Lookup {
            session: self.session,
            door,
            deleted: &self.deleted,
        };
        match action {
            Action::Create {
                type_id,
                resource,
                if_none_exist,
            } => {
                let condition = if_none_exist.as_deref().map(criteria_key);
                if let (Some(key), Some(criteria)) = (&condition, &if_none_exist) {
                    let found = match self.made.get(&(type_id, key.clone())) {
                        Some((id, _)) => Some(id.clone()),
                        None => lookup.find(type_id, criteria).await?,
                    };
                    if let Some(id) = found {
                        return Ok((Resolved::Found(type_id, id.clone()), Some(id)));
                    }
                }
                let id = Uuid::new_v4().to_string();
                if let Some(key) = condition {
                    self.made.insert((type_id, key), (id.clone(), at));
                }
                let op = Op {
                    type_id,
                    id: id.clone(),
                    method: Method::Post,
                    resource: Some(resource),
                    if_match: None,
                    must_be_new: true,
                };
                Ok((self.push(slot, op), Some(id)))
            }
            Action::Update {
                type_id,
                target,
                resource,
                if_match,
                must_be_new,
            } => {
                let condition = match &target {
                    Target::Criteria(criteria) => Some((type_id, criteria_key(criteria))),
                    Target::Id(_) => None,
                };
                if let Some((_, other)) = condition.as_ref().and_then(|key| self.made.get(key)) {
                    return Err(twice(*other));
                }
                let op = update(lookup, type_id, target, resource, if_match, must_be_new).await?;
                self.claim(type_id, &op.id, at)?;
                let id = op.id.clone();
                if let Some(key) = condition {
                    self.made.insert(key, (id.clone(), at));
                }
                Ok((self.push(slot, op), Some(id)))
            }
            Action::Delete {
                type_id,
                target,
                if_match,
            } => {
                let ids = doomed(lookup, type_id, target, if_match).await?;
                let first = ids.first().cloned();
                for id in ids {
                    self.claim(type_id, &id, at)?;
                    self.deleted.insert((type_id, id.clone()));
                    let op = Op {
                        type_id,
                        id,
                        method: Method::Delete,
                        resource: None,
                        if_match,
                        must_be_new: false,
                    };
                    self.push(slot, op);
                }
                Ok((Resolved::Deleted, first))
            }
            Action::Patch {
                type_id,
                target,
                patch,
                if_match,
            } => {
                let op = patched(lookup, type_id, target, &patch, if_match).await?;
                self.claim(type_id, &op.id, at)?;
                let id = op.id.clone();
                let step = self.push(slot, op);
                let step = match step {
                    Resolved::Op(at) if patch.is_about_meta() => Resolved::Labels(at),
                    step => step,
                };
                Ok((step, Some(id)))
            }
        }
    }

    fn push(&mut self, slot: usize, op: Op) -> Resolved {
        self.ops.push((slot, op));
        Resolved::Op(self.ops.len() - 1)
    }

    /// R4 3.1.0.11.2: identities that overlap fail the transaction.
    fn claim(&mut self, type_id: TypeId, id: &str, at: usize) -> Result<(), RestError> {
        match self.claimed.insert((type_id, id.to_owned()), at) {
            None => Ok(()),
            Some(other) => Err(twice(other)),
        }
    }
}

fn twice(other: usize) -> RestError {
    RestError::bad_request(
        "duplicate",
        format!("The same resource is written by Bundle.entry[{other}] too."),
    )
}
