//! Read and vread: one statement that finds a resource only if it exists for the viewer.

use bytes::Bytes;

use super::packed::unpack;
use super::select::{Select as _, Selected};
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
    /// Surrogate id, of the rendition that the viewer sees.
    pub doc: i64,
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
        let sql = self.read_sql(visibility, narrow, type_id, id)?;
        let rows = self.reader().select_seen(sql).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        stored(type_id, id, row)
    }

    /// The statement of [`Store::read`].
    pub(super) fn read_sql(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        id: &str,
    ) -> Result<Sql, StoreError> {
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
        let fhir_id = sql.bind(id);
        let visible = self.visible(visibility, narrow, type_id, Access::Read, &mut sql, "r")?;
        sql.text = format!(
            "SELECT r.version, r.updated, r.body, r.id FROM resource r \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND {visible}"
        );
        Ok(sql)
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
            "SELECT r.version, r.updated, r.body, r.id FROM resource r \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND r.version = {wanted} AND {visible}"
        );
        if let Some(row) = self.reader().select_one(sql).await? {
            return stored(type_id, id, &row);
        }
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference(definitions().type_name(type_id), id));
        let fhir_id = sql.bind(id);
        let wanted = sql.bind(version);
        let visible = self.visible_whole(visibility, type_id, Access::Read, &mut sql, "r");
        let open = visibility.old_version_predicate(&mut sql, "v", "r");
        sql.text = format!(
            "SELECT v.version, v.updated, v.body, r.id FROM resource r JOIN history v ON v.doc = r.id \
             WHERE r.key = {key} AND r.fhir_id = {fhir_id} AND r.rendition = 0 \
             AND v.version = {wanted} AND {visible} AND {open}"
        );
        let row = self.reader().select_one(sql).await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let mut version = stored(type_id, id, &row)?;
        version.body = super::history::expand(&version.body)?;
        Ok(version)
    }

    /// The predicate under which older versions of row alias `row` may be looked at: only through
    /// scopes that open the whole type. What a granular scope lets through says nothing of what the
    /// resource was before.
    fn visible_whole(
        &self,
        visibility: &Visibility,
        type_id: TypeId,
        access: Access,
        sql: &mut Sql,
        row: &str,
    ) -> String {
        let unindexed = format!("+{row}");
        let mut ways = Vec::new();
        for branch in visibility.branches(type_id, access) {
            if branch.narrowing.is_some() {
                continue;
            }
            let mut way = format!("+{row}.type = {type_id}");
            if let Some(patient) = Visibility::patient_predicate(&branch, sql, &unindexed) {
                way.push_str(&format!(" AND {patient}"));
            }
            ways.push(format!("({way})"));
        }
        if ways.is_empty() {
            return "1 = 0".to_owned();
        }
        let holds = visibility.holds_predicate(sql, &format!("{row}.id"), None);
        format!("({}) AND {holds}", ways.join(" OR "))
    }

    /// The whole predicate under which row alias `row` of `resource` exists for the viewer. For
    /// statements that find the row by its key: type and patient bear a `+`, which keeps both
    /// databases from walking all there is of that type or patient instead.
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
            let mut way = format!("+{row}.type = {type_id}");
            let unindexed = format!("+{row}");
            if let Some(patient) = Visibility::patient_predicate(&branch, sql, &unindexed) {
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
        let holds = visibility.holds_predicate(sql, &format!("{row}.id"), None);
        Ok(format!("({}) AND {holds}", ways.join(" OR ")))
    }
}

fn stored(type_id: TypeId, id: &str, row: &Selected) -> Result<Stored, StoreError> {
    Ok(Stored {
        type_id,
        id: id.to_owned(),
        version: row.get(0)?,
        updated: row.get(1)?,
        doc: row.get(3)?,
        body: unpack(row.bytes(2)?.ok_or(StoreError::Gone)?)?,
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DbBackend};

    use crate::fhir::definitions::definitions;
    use crate::store::Narrow;
    use crate::store::tests::{fixtures, viewer};
    use crate::visibility::{ViewerClass, Visibility};

    /// SQLite has no statistics and would as soon walk all Observations as seek the one.
    #[tokio::test]
    async fn a_read_seeks_its_key_whoever_asks() {
        let type_id = definitions().type_id("Observation").unwrap();
        let narrow: Narrow = |_, _, _, _, _| Ok("1 = 1".to_owned());
        for fixture in fixtures().await {
            let store = &fixture.store;
            if store.backend() != DbBackend::Sqlite {
                continue;
            }
            for viewer in [
                viewer(ViewerClass::System, None),
                viewer(ViewerClass::Patient, Some("1")),
            ] {
                let visibility = Visibility::of(&viewer, store.keys(), 0, 0);
                let read = store.read_sql(&visibility, narrow, type_id, "1").unwrap();
                let mut explain = read.clone();
                explain.text = format!("EXPLAIN QUERY PLAN {}", read.text);
                let steps = store
                    .reader()
                    .query_all_raw(explain.statement(store.backend()))
                    .await
                    .unwrap();
                let steps: Vec<String> = steps
                    .iter()
                    .map(|step| step.try_get("", "detail").unwrap())
                    .collect();
                assert_eq!(steps[0], "SEARCH r USING INDEX resource_key (key=?)");
                // Of holds the document's are looked at, once and not for each audience.
                for step in steps.iter().filter(|step| step.contains(" h ")) {
                    assert_eq!(step, "SEARCH h USING PRIMARY KEY (doc=?)");
                }
            }
        }
    }
}
