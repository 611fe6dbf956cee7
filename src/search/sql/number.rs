//! Numbers, and the number part of quantities and composites.

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::query::{NumberTest, Prefix};

/// Whether a row of `idx_number`, under the alias `t`, satisfies the tests.
pub(super) fn probe(param: &SearchParam, t: &str, tests: &str, row: &Row) -> String {
    format!(
        "{}.id IN (SELECT {t}.id FROM idx_number {t} WHERE {} AND {t}.param = {}{} AND {tests})",
        row.alias,
        row.any_type(t),
        param.id,
        row.and_pin(t)
    )
}

impl Lower<'_> {
    pub(super) fn number_probe(
        &mut self,
        param: &SearchParam,
        values: &[NumberTest],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.number_tests(&t, values);
        probe(param, &t, &tests, row)
    }

    pub(super) fn number_source(
        &mut self,
        param: &SearchParam,
        values: &[NumberTest],
        row: &Row,
    ) -> Source {
        let tests = self.number_tests(&row.alias, values);
        Source {
            table: "idx_number".into(),
            conditions: vec![
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats: true,
        }
    }

    fn number_tests(&mut self, t: &str, values: &[NumberTest]) -> String {
        let (low, high) = (format!("{t}.low"), format!("{t}.high"));
        let tests: Vec<String> = values
            .iter()
            .map(|value| self.number_test(&low, &high, value))
            .collect();
        either(&tests)
    }

    /// Compares a stored range with a number (FHIR R4 search, 3.1.1.4.5 and 3.1.1.4.6: the digits
    /// of the number count for eq, ne and ap alone).
    pub(super) fn number_test(&mut self, low: &str, high: &str, test: &NumberTest) -> String {
        let mut bind = |value: f64| self.sql.bind(value);
        match test.prefix {
            Prefix::Eq => {
                let (from, to) = (bind(test.low), bind(test.high));
                format!("({low} >= {from} AND {low} < {to} AND {high} < {to})")
            }
            Prefix::Ne => {
                let (from, to) = (bind(test.low), bind(test.high));
                format!("({low} < {from} OR {high} >= {to})")
            }
            Prefix::Ap | Prefix::Po => {
                let (from, to) = (bind(test.low), bind(test.high));
                format!("({low} <= {to} AND {high} >= {from})")
            }
            Prefix::Gt => format!("{high} > {}", bind(test.value)),
            Prefix::Ge => format!("{high} >= {}", bind(test.value)),
            Prefix::Lt => format!("{low} < {}", bind(test.value)),
            Prefix::Le => format!("{low} <= {}", bind(test.value)),
            Prefix::Sa => format!("{low} > {}", bind(test.value)),
            Prefix::Eb => {
                let value = bind(test.value);
                format!("({low} < {value} AND {high} < {value})")
            }
        }
    }
}
