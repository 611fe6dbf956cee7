//! Quantities: a number and its unit.

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::query::QuantityTest;

impl Lower<'_> {
    pub(super) fn quantity_probe(
        &mut self,
        param: &SearchParam,
        values: &[QuantityTest],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.quantity_tests(&t, values);
        self.range_probe("idx_quantity", &t, param, &tests, row)
    }

    pub(super) fn quantity_source(
        &mut self,
        param: &SearchParam,
        values: &[QuantityTest],
        row: &Row,
    ) -> Source {
        let tests = self.quantity_tests(&row.alias, values);
        Source {
            table: "idx_quantity",
            conditions: vec![
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats: true,
        }
    }

    fn quantity_tests(&mut self, t: &str, values: &[QuantityTest]) -> String {
        let (low, high) = (format!("{t}.low"), format!("{t}.high"));
        let tests: Vec<String> = values
            .iter()
            .map(|value| {
                let mut all = vec![self.number_test(&low, &high, &value.number)];
                if let Some(unit) = &value.unit {
                    let code = self.sql.bind(self.keys.code(unit));
                    all.push(format!("{t}.code = {code}"));
                }
                all.extend(self.system_test(t, &value.system));
                format!("({})", all.join(" AND "))
            })
            .collect();
        either(&tests)
    }
}
