//! References.

use super::{Lower, Row, Source};
use crate::fhir::definitions::{SearchParam, definitions};
use crate::search::query::Target;

impl Lower<'_> {
    pub(super) fn reference_probe(
        &mut self,
        param: &SearchParam,
        values: &[Target],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let targets = self.targets(values);
        format!(
            "EXISTS (SELECT 1 FROM idx_reference {t} WHERE {t}.target {targets} AND {} \
             AND {t}.param = {} AND {t}.id = {}.id{})",
            row.same_type(&t),
            param.id,
            row.alias,
            row.fence()
        )
    }

    pub(super) fn reference_source(
        &mut self,
        param: &SearchParam,
        values: &[Target],
        row: &Row,
    ) -> Source {
        let targets = self.targets(values);
        Source {
            table: "idx_reference".into(),
            conditions: vec![
                format!("{}.target {targets}", row.alias),
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
            ],
            repeats: values.len() != 1,
        }
    }

    fn targets(&mut self, values: &[Target]) -> String {
        let keys: Vec<i64> = values.iter().map(|value| self.target_key(value)).collect();
        self.equals(keys)
    }

    /// The key that `idx_reference.target` holds for a target.
    pub(super) fn target_key(&self, target: &Target) -> i64 {
        match target {
            Target::Local(type_id, id) => {
                self.keys.reference(definitions().type_name(*type_id), id)
            }
            Target::Url(url) => self.keys.text(url),
        }
    }
}
