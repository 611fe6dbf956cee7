//! What stands for a viewer on the connection of a write: the questions that a write asks before
//! and after [`Writer::apply`].

use bytes::Bytes;
use sea_orm::{ConnectionTrait, DbBackend};

use super::{Narrow, Store, StoreError, Writer, apply, packed};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::visibility::{Access, Visibility};

/// A resource as it stands for a viewer.
#[derive(Clone, Debug)]
pub struct Standing {
    pub version: i32,
    pub updated: Millis,
    pub deleted: bool,
    /// None when deleted.
    pub body: Option<Bytes>,
    /// Whether the viewer sees a rendition that leaves something out.
    pub partial: bool,
}

impl Store {
    /// Whether two writes can meet ([`StoreError::Race`]): SQLite has one writer at a time.
    #[must_use]
    pub fn writers_meet(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }
}

impl Writer<'_> {
    /// Waits until no other write searches for one of these conditions (a type and criteria) before
    /// it writes: two conditional creates that meet must not both find nothing.
    pub async fn lock_conditions(&self, conditions: &[(TypeId, String)]) -> Result<(), StoreError> {
        let keys = conditions
            .iter()
            .map(|(type_id, criteria)| {
                let condition = format!("condition\0{type_id}\0{criteria}");
                self.store.keys().text(&condition)
            })
            .collect();
        // In one order everywhere, so nobody waits in a circle.
        apply::lock_all(self.connection(), keys).await
    }

    /// Waits until no other write has one of these names, for what no unique column keeps single. What is
    /// read before this may be old.
    pub async fn lock_names(&self, names: &[String]) -> Result<(), StoreError> {
        let keys = names
            .iter()
            .map(|name| self.store.keys().text(&format!("name\0{name}")))
            .collect();
        apply::lock_all(self.connection(), keys).await
    }

    /// A resource, deleted or not, as this viewer may have it for `access`; None when it does not
    /// exist for the viewer.
    pub async fn standing(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        id: &str,
        access: Access,
    ) -> Result<Option<Standing>, StoreError> {
        let mut sql = Sql::default();
        let type_name = definitions().type_name(type_id);
        let key = sql.bind(self.store.keys().reference(type_name, id));
        let fhir_id = sql.bind(id);
        let visible = self
            .store
            .visible(visibility, narrow, type_id, access, &mut sql, "r")?;
        sql.text = format!(
            "SELECT r.version, r.updated, r.deleted, r.body, r.rendition FROM resource r \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND {visible}"
        );
        let statement = sql.statement(self.store.backend());
        let Some(row) = self.connection().query_one_raw(statement).await? else {
            return Ok(None);
        };
        let deleted: i16 = row.try_get_by_index(2)?;
        let body = packed::column(&row, 3)?;
        let rendition: i16 = row.try_get_by_index(4)?;
        Ok(Some(Standing {
            version: row.try_get_by_index(0)?,
            updated: row.try_get_by_index(1)?,
            deleted: deleted != 0,
            body: body.map(Bytes::from),
            partial: rendition != 0,
        }))
    }

    /// Whether a resource that was just written lies within what the viewer's scopes open for
    /// `access`. Holds do not count here: they are about seeing, not about writing.
    pub async fn is_within_scopes(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        id: &str,
        access: Access,
    ) -> Result<bool, StoreError> {
        let mut sql = Sql::default();
        let type_name = definitions().type_name(type_id);
        let key = sql.bind(self.store.keys().reference(type_name, id));
        let mut ways = Vec::new();
        for branch in visibility.branches(type_id, access) {
            let mut way = "1 = 1".to_owned();
            // Found by its key: the patient's index must not compete.
            if let Some(patient) = Visibility::patient_predicate(&branch, &mut sql, "+r") {
                way.push_str(&format!(" AND {patient}"));
            }
            if let Some(narrowing) = &branch.narrowing {
                let narrowed = narrow(self.store.keys(), type_id, narrowing, &mut sql, "r")?;
                way.push_str(&format!(" AND ({narrowed})"));
            }
            ways.push(format!("({way})"));
        }
        if ways.is_empty() {
            return Ok(false);
        }
        sql.text = format!(
            "SELECT 1 FROM resource r WHERE r.key = {key} AND r.rendition = 0 AND ({})",
            ways.join(" OR ")
        );
        let statement = sql.statement(self.store.backend());
        Ok(self.connection().query_one_raw(statement).await?.is_some())
    }
}
