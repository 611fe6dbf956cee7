//! Read and vread: one statement that finds a resource only if it exists for the viewer.

use bytes::Bytes;
use sea_orm::{ConnectionTrait, QueryResult};

use super::{Store, StoreError};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::sql::Sql;
use crate::visibility::{Access, Visibility};

/// Lowers the narrowing query of a granular scope (`category=system|code`) on a type into an SQL
/// predicate over a row alias that has `id`. `search::narrow` is the one implementation; it is
/// handed in because search stands above the store.
pub type Narrow =
    fn(&crate::keys::Keys, TypeId, &str, &mut Sql, &str) -> Result<String, StoreError>;

/// A version of a resource as it leaves.
#[derive(Clone, Debug)]
pub struct Stored {
    pub type_id: TypeId,
    pub id: String,
    pub version: i32,
    pub updated: Millis,
    /// Compact JSON with `meta.versionId` and `meta.lastUpdated` in place.
    pub body: Bytes,
}

impl Store {
    /// The resource as it stands for this viewer. [`StoreError::NotFound`] when it never existed,
    /// is withheld or is about somebody else, all alike; [`StoreError::Gone`] when it was deleted.
    pub async fn read(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        id: &str,
    ) -> Result<Stored, StoreError> {
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
        let fhir_id = sql.bind(id);
        let visible = self.visible(visibility, narrow, type_id, Access::Read, &mut sql, "r")?;
        sql.text = format!(
            "SELECT r.version, r.updated, r.body FROM resource r \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND {visible}"
        );
        let row = self
            .reader()
            .query_one_raw(sql.statement(self.backend()))
            .await?;
        let row = row.ok_or(StoreError::NotFound)?;
        stored(type_id, id, &row)
    }

    /// One version of a resource. Older versions of something that is held back now, or was held
    /// back when it was replaced, do not exist for a viewer who is subject to holds.
    pub async fn vread(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        id: &str,
        version: i32,
    ) -> Result<Stored, StoreError> {
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
        let fhir_id = sql.bind(id);
        let wanted = sql.bind(version);
        let visible = self.visible(visibility, narrow, type_id, Access::Read, &mut sql, "r")?;
        sql.text = format!(
            "SELECT r.version, r.updated, r.body FROM resource r \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND r.version = {wanted} AND {visible}"
        );
        if let Some(row) = self
            .reader()
            .query_one_raw(sql.statement(self.backend()))
            .await?
        {
            return stored(type_id, id, &row);
        }
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
        let fhir_id = sql.bind(id);
        let wanted = sql.bind(version);
        let visible = self.visible(visibility, narrow, type_id, Access::Read, &mut sql, "r")?;
        let open = visibility.old_version_predicate(&mut sql, "v", "r");
        sql.text = format!(
            "SELECT v.version, v.updated, v.body FROM resource r JOIN history v ON v.doc = r.id \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND r.rendition = 0 \
             AND v.version = {wanted} AND {visible} AND {open}"
        );
        let row = self
            .reader()
            .query_one_raw(sql.statement(self.backend()))
            .await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let mut version = stored(type_id, id, &row)?;
        version.body = super::history::expand(&version.body)?;
        Ok(version)
    }

    /// The whole predicate under which row alias `row` of `resource` exists for the viewer.
    pub(crate) fn visible(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        access: Access,
        sql: &mut Sql,
        row: &str,
    ) -> Result<String, StoreError> {
        let mut ways = Vec::new();
        for branch in visibility.branches(type_id, access) {
            let mut way = format!("{row}.type = {type_id}");
            if let Some(patient) = Visibility::patient_predicate(&branch, sql, row) {
                way.push_str(&format!(" AND {patient}"));
            }
            if let Some(query) = &branch.narrowing {
                let narrowed = narrow(self.keys(), type_id, query, sql, row)?;
                way.push_str(&format!(" AND ({narrowed})"));
            }
            ways.push(format!("({way})"));
        }
        if ways.is_empty() {
            return Ok("1 = 0".to_owned());
        }
        let holds = visibility.holds_predicate(sql, &format!("{row}.id"));
        Ok(format!("({}) AND {holds}", ways.join(" OR ")))
    }
}

fn stored(type_id: TypeId, id: &str, row: &QueryResult) -> Result<Stored, StoreError> {
    let body: Option<Vec<u8>> = row.try_get_by_index(2)?;
    Ok(Stored {
        type_id,
        id: id.to_owned(),
        version: row.try_get_by_index(0)?,
        updated: row.try_get_by_index(1)?,
        body: body.ok_or(StoreError::Gone)?.into(),
    })
}
