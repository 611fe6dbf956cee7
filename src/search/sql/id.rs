//! `_id`.

use super::{Lower, Row, Source};
use crate::fhir::definitions::definitions;

impl Lower<'_> {
    pub(super) fn id_probe(&mut self, ids: &[String], row: &Row) -> String {
        let keys = self.id_keys(ids, row);
        if row.is_resource {
            return format!("{}.key {keys}", row.alias);
        }
        let t = self.alias();
        format!(
            "{}.id IN (SELECT {t}.id FROM resource {t} WHERE {t}.key {keys})",
            row.alias
        )
    }

    pub(super) fn id_source(&mut self, ids: &[String], row: &Row) -> Source {
        let keys = self.id_keys(ids, row);
        Source {
            table: "resource".into(),
            conditions: vec![format!("{}.key {keys}", row.alias)],
            repeats: false,
        }
    }

    fn id_keys(&mut self, ids: &[String], row: &Row) -> String {
        let keys = self.keys;
        let keys: Vec<i64> = row
            .types
            .as_slice()
            .iter()
            .flat_map(|type_id| {
                let name = definitions().type_name(*type_id);
                ids.iter().map(move |id| keys.reference(name, id))
            })
            .collect();
        self.equals(keys)
    }
}
