//! Quantities: a number and its unit.

use super::range::halved;
use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::extract::units::{Canonical, UCUM, canonical};
use crate::search::query::{QuantityTest, SystemTest};

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
        let t = &row.alias;
        let tests = self.quantity_tests(t, values);
        let conditions = vec![row.any_type(t), format!("{t}.param = {}", param.id), tests];
        let halves = match &row.pin {
            None => self.quantity_halves(t, values),
            Some(_) => None,
        };
        halved("idx_quantity", t, conditions, halves)
    }

    fn quantity_tests(&mut self, t: &str, values: &[QuantityTest]) -> String {
        let (low, high) = (format!("{t}.low"), format!("{t}.high"));
        let tests: Vec<String> = values
            .iter()
            .map(|value| {
                if let Some(test) = self.canonical_test(t, value) {
                    return test;
                }
                let mut all = vec![self.number_test(&low, &high, &value.number)];
                if value.unit.is_none() && value.system == SystemTest::Any {
                    // Numbers without a unit are those that were written.
                    let canonical = self.sql.bind(Canonical::system(self.keys));
                    all.push(format!("{t}.system <> {canonical}"));
                }
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

    /// A UCUM unit finds every unit that converts to it.
    fn canonical_test(&mut self, t: &str, value: &QuantityTest) -> Option<String> {
        let canonical = unit_of(value)?;
        let number = value.number.map(|number| canonical.convert(number));
        let number = self.number_test(&format!("{t}.low"), &format!("{t}.high"), &number);
        let code = self.sql.bind(canonical.code(self.keys));
        let system = self.sql.bind(Canonical::system(self.keys));
        Some(format!(
            "({number} AND {t}.code = {code} AND {t}.system = {system})"
        ))
    }
}

/// The canonical unit of a test in UCUM.
pub(in crate::search) fn unit_of(value: &QuantityTest) -> Option<Canonical> {
    let (SystemTest::Is(system), Some(unit)) = (&value.system, &value.unit) else {
        return None;
    };
    canonical(unit).filter(|_| system == UCUM)
}

/// The number that the index is compared with: in the canonical unit, if there is one.
pub(super) fn compared(value: &QuantityTest) -> f64 {
    unit_of(value).map_or(value.number.value, |unit| unit.convert(value.number.value))
}
