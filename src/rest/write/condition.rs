//! Conditions of conditional interactions, searched on the connection of the write.

use std::collections::HashSet;

use tokio::sync::OnceCell;

use crate::fhir::definitions::TypeId;
use crate::rest::query::{self, Pairs};
use crate::rest::session::Session;
use crate::rest::{RestError, search};
use crate::store::{StoreError, Writer};

/// Most resources that one conditional deletion takes.
const MOST_DELETED: usize = 1000;

/// The transaction of a write, begun when something must be asked of it: until then, nobody waits.
#[derive(Debug)]
pub(super) struct Door<'s> {
    session: &'s Session,
    conditions: Vec<(TypeId, String)>,
    resources: usize,
    writer: OnceCell<Writer<'s>>,
}

impl<'s> Door<'s> {
    /// `conditions`: what is searched for before it is written; `resources`: how many are.
    pub(super) fn new(
        session: &'s Session,
        conditions: Vec<(TypeId, String)>,
        resources: usize,
    ) -> Self {
        Self {
            session,
            conditions,
            resources,
            writer: OnceCell::new(),
        }
    }

    /// The transaction.
    pub(super) async fn open(&self) -> Result<&Writer<'s>, RestError> {
        self.writer
            .get_or_try_init(|| async {
                let (store, origin) = (&self.session.store, self.session.origin);
                let writer = store.writer_of(origin, self.resources).await?;
                writer.lock_conditions(&self.conditions).await?;
                Ok(writer)
            })
            .await
    }

    /// The transaction, to write on.
    pub(super) async fn enter(self) -> Result<Writer<'s>, RestError> {
        self.open().await?;
        self.writer.into_inner().ok_or(RestError::Internal)
    }
}

/// Searches for conditions, on the connection of the write.
#[derive(Clone, Copy, Debug)]
pub(in crate::rest) struct Lookup<'a, 's> {
    pub(super) session: &'a Session,
    pub(super) door: &'a Door<'s>,
    /// Addresses that this transaction deletes: no condition matches them any more.
    pub(super) deleted: &'a HashSet<(TypeId, String)>,
}

impl<'a> Lookup<'a, '_> {
    /// Who looks.
    pub(in crate::rest) fn session(&self) -> &'a Session {
        self.session
    }

    /// The one id that matches `criteria` for this viewer, or none.
    ///
    /// # Errors
    /// 412 when more than one does.
    pub(in crate::rest) async fn find(
        &self,
        type_id: TypeId,
        criteria: &str,
    ) -> Result<Option<String>, RestError> {
        let pairs = criteria_pairs(criteria)?;
        // What this transaction deletes may come first.
        let deleted = self.deleted.iter().filter(|(own, _)| *own == type_id);
        let most = 2 + deleted.count();
        let writer = self.door.open().await?;
        let mut ids = search::find_ids(writer, self.session, type_id, &pairs, most).await?;
        ids.retain(|id| !self.deleted.contains(&(type_id, id.clone())));
        if ids.len() > 1 {
            return Err(StoreError::MultipleMatches.into());
        }
        Ok(ids.pop())
    }

    /// All ids that match `criteria` for this viewer.
    ///
    /// # Errors
    /// 412 when they are more than one deletion takes.
    pub(super) async fn find_all(
        &self,
        type_id: TypeId,
        criteria: &str,
    ) -> Result<Vec<String>, RestError> {
        let pairs = criteria_pairs(criteria)?;
        // The first two say whether there is anything to page through, and name what is unknown.
        let some =
            search::find_ids(self.door.open().await?, self.session, type_id, &pairs, 2).await?;
        let ids = if some.len() < 2 {
            some
        } else {
            search::all_ids(
                &self.door.open().await?.store(),
                &self.session.viewer,
                type_id,
                &pairs,
                MOST_DELETED,
            )
            .await?
            .ok_or_else(|| {
                RestError::PreconditionFailed(format!(
                    "The criteria match more than {MOST_DELETED} resources. Narrow them, and delete \
                     in several steps."
                ))
            })?
        };
        Ok(ids
            .into_iter()
            .filter(|id| !self.deleted.contains(&(type_id, id.clone())))
            .collect())
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

/// One text for criteria that say the same in another order or encoding: what two writes of one
/// transaction are compared by, and what writers that meet wait for.
pub(super) fn criteria_key(criteria: &str) -> String {
    let Ok(mut pairs) = query::pairs(criteria) else {
        return criteria.to_owned();
    };
    pairs.retain(|(name, value)| !query::is_general(name) && !value.is_empty());
    pairs.sort();
    pairs.dedup();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_that_say_the_same_have_one_key() {
        let key = criteria_key("identifier=urn:x|1&birthdate=2000");
        assert_eq!(
            key,
            criteria_key("birthdate=2000&identifier=urn%3Ax%7C1&_format=json")
        );
        assert_ne!(key, criteria_key("identifier=urn:x|2&birthdate=2000"));
    }
}
