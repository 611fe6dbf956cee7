//! References between the entries of a transaction, once all ids are known.

use std::collections::HashMap;

use serde_json::Value;

use super::condition::Lookup;
use super::steps::Steps;
use crate::rest::bundle::references::{self, References};
use crate::rest::{RestError, search};
use crate::store::{Op, StoreError, Writer};

impl Steps<'_> {
    /// Rewrites the references of all resources that are written.
    pub(super) async fn refer(
        &mut self,
        writer: &Writer<'_>,
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
            self.attempt(writer, ops, &difficult).await?
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
            writer,
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
            self.session
                .require(type_id, crate::visibility::Access::Search)?;
            let ids = search::find_ids(&trial, self.session, type_id, &pairs).await?;
            found.insert((*text).to_owned(), ids);
        }
        trial.undo().await?;
        Ok(found)
    }
}
