//! Which labels stand on the resources of a type or of the whole system (`$meta`): for each value of
//! `_tag`, `_security` and `_profile` in the index one resource that has it, among what the viewer may
//! see. The index holds hashes; the resources say what they mean.

use super::everything::{RecordEntry, entry};
use super::select::Select as _;
use super::{Narrow, Store, StoreError};
use crate::fhir::definitions::{ParamId, TypeId};
use crate::sql::Sql;
use crate::visibility::{Access, Visibility};

/// A kind of label.
#[derive(Clone, Copy, Debug)]
pub enum Label {
    /// By system and code.
    Token(ParamId),
    /// By URL.
    Uri(ParamId),
}

impl Store {
    /// At most `most` resources that have different labels.
    pub async fn labelled(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        types: &[TypeId],
        label: Label,
        most: u32,
    ) -> Result<Vec<RecordEntry>, StoreError> {
        let mut sql = Sql::default();
        let Some(ways) =
            self.visible_types(visibility, narrow, types, Access::Search, &mut sql, "+r")?
        else {
            return Ok(Vec::new());
        };
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        let (table, value, param) = match label {
            Label::Token(param) => ("idx_token", "t.system, t.code", param),
            Label::Uri(param) => ("idx_uri", "t.value", param),
        };
        let list: Vec<String> = types.iter().map(ToString::to_string).collect();
        let most = sql.bind(i64::from(most));
        // Joined, SQLite would first go through all resources for a Bloom filter.
        sql.text = format!(
            "SELECT r.type, r.fhir_id, r.id, r.body FROM (\
             SELECT MIN(t.id) AS id FROM {table} t \
             WHERE t.type IN ({}) AND t.param = {param} AND EXISTS (SELECT 1 FROM resource r \
             WHERE r.id = t.id AND r.deleted = 0 AND {ways} AND {holds} LIMIT 1 OFFSET 0) \
             GROUP BY {value} LIMIT {most}) p \
             CROSS JOIN resource r WHERE r.id = p.id",
            list.join(", ")
        );
        let rows = self.reader().select(sql).await?;
        rows.iter().map(entry).collect()
    }
}
