//! References between the entries of a transaction, once all ids are known.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use serde_json::Value;

use super::condition::{Door, Lookup};
use super::place;
use super::resolve::{standing, untold_misfit};
use super::steps::Steps;
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::rest::bundle::references::{self, References};
use crate::rest::{RestError, route, search};
use crate::store::{IfMatch, Method, Op, StoreError, Writer};
use crate::visibility::Access;

impl Steps<'_> {
    /// Rewrites the references of all resources that are written.
    pub(super) async fn refer(
        &mut self,
        door: &Door<'_>,
        references: &References,
    ) -> Result<(), RestError> {
        let addresses = &self.addresses;
        let mut resources: Vec<(usize, &mut Value)> = self
            .ops
            .iter_mut()
            .filter_map(|(slot, op)| {
                let at = addresses.get(*slot)?.0;
                op.resource.as_mut().map(|resource| (at, resource))
            })
            .collect();
        let conditional = references.direct(addresses, &mut resources)?;
        if conditional.is_empty() {
            return Ok(());
        }
        let difficult: Vec<&str> = conditional
            .keys()
            .map(String::as_str)
            .filter(|text| !references::is_plain(text))
            .collect();
        let tried = if difficult.is_empty() {
            HashMap::new()
        } else {
            let ops: Vec<Op> = self.ops.iter().map(|(_, op)| op.clone()).collect();
            self.attempt(door.open().await?, ops, &difficult).await?
        };
        let resources: Vec<(usize, &mut Value)> = self
            .ops
            .iter_mut()
            .filter_map(|(slot, op)| {
                let at = self.addresses.get(*slot)?.0;
                op.resource.as_mut().map(|resource| (at, resource))
            })
            .collect();
        let lookup = Lookup {
            session: self.session,
            door,
            deleted: &self.deleted,
        };
        references::replace(lookup, &self.addresses, resources, conditional, &tried).await
    }

    /// Finds what conditions match once everything is written: R4 resolves them after all writes,
    /// and only the search itself knows every parameter. So it is written, searched and taken back;
    /// what cannot be written yet is left to the write proper, which will say why.
    async fn attempt(
        &self,
        writer: &Writer<'_>,
        ops: Vec<Op>,
        texts: &[&str],
    ) -> Result<HashMap<String, Vec<String>>, RestError> {
        let mut trial = writer.trial().await?;
        match trial.apply(ops).await {
            Ok(_) => {}
            Err(error @ (StoreError::Race | StoreError::Database(_))) => return Err(error.into()),
            Err(_) => {
                trial.undo().await?;
                return Ok(HashMap::new());
            }
        }
        let mut found = HashMap::new();
        for text in texts {
            let Some((type_id, pairs)) = references::condition(text)? else {
                continue;
            };
            self.session.require(type_id, Access::Search)?;
            let ids = search::find_ids(&trial, self.session, type_id, &pairs, 2).await?;
            found.insert((*text).to_owned(), ids);
        }
        trial.undo().await?;
        Ok(found)
    }
}

impl Steps<'_> {
    /// Resolves references that ask for it to the versions that this transaction makes (R4
    /// resolve-as-version-specific). Which those are only the writes know: they are tried and taken
    /// back; what was tried must then stand as it was found.
    pub(super) async fn refer_to_versions(&mut self, door: &Door<'_>) -> Result<(), RestError> {
        let mut asks = false;
        for (_, op) in &mut self.ops {
            if let Some(resource) = &mut op.resource {
                references::versioned(resource, &mut |_| {
                    asks = true;
                    None
                });
            }
        }
        if !asks {
            return Ok(());
        }
        let mut trial = door.open().await?.trial().await?;
        let ops: Vec<Op> = self.ops.iter().map(|(_, op)| op.clone()).collect();
        let outcomes = match trial.apply(ops).await {
            Ok(outcomes) => outcomes,
            Err(error @ (StoreError::Race | StoreError::Database(_))) => return Err(error.into()),
            // The write proper says why.
            Err(_) => {
                trial.undo().await?;
                return Ok(());
            }
        };
        trial.undo().await?;
        let versions: HashMap<String, (i32, bool)> = outcomes
            .iter()
            .filter(|outcome| outcome.body.is_some())
            .map(|outcome| {
                let type_name = definitions().type_name(outcome.type_id);
                let address = format!("{type_name}/{}", outcome.id);
                (address, (outcome.version, outcome.created))
            })
            .collect();
        let base = self.session.store.base();
        let mut meant = HashSet::new();
        for (slot, op) in &mut self.ops {
            let Some(resource) = &mut op.resource else {
                continue;
            };
            let mut astray = None;
            references::versioned(resource, &mut |text| {
                let local = text.strip_prefix(base).unwrap_or(text);
                let local = local.trim_start_matches('/');
                match versions.get(local) {
                    Some((version, _)) => {
                        meant.insert(local.to_owned());
                        Some(format!("{local}/_history/{version}"))
                    }
                    None => {
                        astray.get_or_insert_with(|| text.to_owned());
                        None
                    }
                }
            });
            if let Some(text) = astray {
                let issue = Issue::error(
                    "not-found",
                    "Only what the same transaction creates or updates has a version to resolve \
                     this reference to.",
                );
                let issue = issue.at(references::locate(resource, &text));
                let at = self.addresses.get(*slot).map_or(0, |(at, _)| *at);
                return Err(RestError::BadRequest(vec![issue])).map_err(place(at, self.is_bundle));
            }
        }
        // Should another writer come between, the version would be another one.
        for (_, op) in &mut self.ops {
            let address = format!("{}/{}", definitions().type_name(op.type_id), op.id);
            let known = versions.get(&address).filter(|_| meant.contains(&address));
            if let Some((version, false)) = known
                && op.if_match.is_none()
            {
                op.if_match = Some(IfMatch::Version(version - 1));
                self.pinned.insert((op.type_id, op.id.clone()));
            }
        }
        Ok(())
    }

    /// Where it is configured: refuses references to what does not exist for whoever writes, unknown
    /// or withheld alike (R4 3.1.0.9, "referential integrity").
    pub(super) async fn check_references(&self, door: &Door<'_>) -> Result<(), RestError> {
        if !self.session.limits.check_references {
            return Ok(());
        }
        let mut known: HashMap<String, bool> = self
            .ops
            .iter()
            .map(|(_, op)| {
                let type_name = definitions().type_name(op.type_id);
                (format!("{type_name}/{}", op.id), op.resource.is_some())
            })
            .collect();
        for (slot, op) in &self.ops {
            let Some(resource) = &op.resource else {
                continue;
            };
            let mut texts = Vec::new();
            references::literals(resource, &mut texts);
            for text in texts {
                let Some((type_id, id)) = local(self.session.store.base(), text) else {
                    continue;
                };
                let address = format!("{}/{id}", definitions().type_name(type_id));
                let exists = match known.get(&address) {
                    Some(exists) => *exists,
                    None => {
                        let writer = door.open().await?;
                        let found =
                            standing(self.session, writer, type_id, id, Access::Read).await?;
                        let exists = found.is_some_and(|found| !found.deleted);
                        known.insert(address, exists);
                        exists
                    }
                };
                if !exists && op.method == Method::Patch && self.session.patches_blindly(op.type_id)
                {
                    let at = self.addresses.get(*slot).map_or(0, |(at, _)| *at);
                    return Err(place(at, self.is_bundle)(untold_misfit()));
                }
                if !exists {
                    let at = self.addresses.get(*slot).map_or(0, |(at, _)| *at);
                    let issue =
                        Issue::error("not-found", "The reference names nothing that exists.")
                            .at(references::locate(resource, text));
                    let error = RestError::Refused {
                        status: StatusCode::UNPROCESSABLE_ENTITY,
                        issues: vec![issue],
                    };
                    return Err(place(at, self.is_bundle)(error));
                }
            }
        }
        Ok(())
    }
}

/// Type and id of a literal reference to this server.
fn local<'t>(base: &str, text: &'t str) -> Option<(TypeId, &'t str)> {
    let text = text
        .strip_prefix(base)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(text);
    let mut parts = text.split('/');
    let type_id = definitions().type_id(parts.next()?)?;
    let id = parts.next().filter(|id| route::is_id(id))?;
    match parts.next() {
        None | Some("_history") => Some((type_id, id)),
        Some(_) => None,
    }
}
