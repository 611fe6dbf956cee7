//! Dates: where a date is searched.

use sea_orm::Value;

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::parse::date::approximately;
use crate::search::query::{Prefix, SpanTest};

impl Lower<'_> {
    pub(super) fn date_probe(
        &mut self,
        param: &SearchParam,
        values: &[SpanTest],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.span_tests(&t, values);
        self.range_probe("idx_date", &t, param, &tests, row)
    }

    pub(super) fn date_source(
        &mut self,
        param: &SearchParam,
        values: &[SpanTest],
        row: &Row,
    ) -> Source {
        self.date_range_source(param, &[values], row)
    }

    /// A probe of a table that no index serves by id, but for the log's dates. With a known patient: a small
    /// set, computed once. Else the few rows of the row's own patient.
    pub(super) fn range_probe(
        &self,
        table: &str,
        t: &str,
        param: &SearchParam,
        tests: &str,
        row: &Row,
    ) -> String {
        let d = &row.alias;
        if row.is_log() && table == "idx_date" {
            return format!(
                "EXISTS (SELECT 1 FROM {table} {t} WHERE {t}.id = {d}.id AND {} AND {t}.param = {} \
                 AND {tests}{})",
                row.same_type(t),
                param.id,
                row.fence()
            );
        }
        if row.pin.is_some() || !row.has_few_of_its_patient() {
            return format!(
                "{d}.id IN (SELECT {t}.id FROM {table} {t} WHERE {} AND {t}.param = {}{} AND {tests})",
                row.any_type(t),
                param.id,
                row.and_pin(t)
            );
        }
        format!(
            "EXISTS (SELECT 1 FROM {table} {t} WHERE {t}.patient = {d}.patient AND {} \
             AND {t}.param = {} AND {tests} AND {t}.id = {d}.id{})",
            row.same_type(t),
            param.id,
            row.fence()
        )
    }

    pub(in crate::search) fn span_tests(&mut self, t: &str, values: &[SpanTest]) -> String {
        let (low, high) = (format!("{t}.low"), format!("{t}.high"));
        let tests: Vec<String> = values
            .iter()
            .map(|value| self.span_test(&low, &high, value, Value::from))
            .collect();
        either(&tests)
    }

    /// Compares a stored span with the one asked for (FHIR R4 search, 3.1.1.4.5). Redundant bounds
    /// on `low` are for the index.
    pub(super) fn span_test(
        &mut self,
        low: &str,
        high: &str,
        test: &SpanTest,
        value: impl Fn(i64) -> Value,
    ) -> String {
        let (from, to) = match test.prefix {
            Prefix::Ap => approximately(test.low, test.high, self.visibility.instant()),
            _ => (test.low, test.high),
        };
        let mut from = || self.sql.bind(value(from));
        match test.prefix {
            Prefix::Lt => format!("{low} < {}", from()),
            Prefix::Eb => {
                let from = from();
                format!("({low} < {from} AND {high} <= {from})")
            }
            Prefix::Gt => format!("{high} > {}", self.sql.bind(value(to))),
            Prefix::Sa => format!("{low} >= {}", self.sql.bind(value(to))),
            prefix => {
                let from = from();
                let to = self.sql.bind(value(to));
                match prefix {
                    Prefix::Ne => format!("({low} < {from} OR {high} > {to})"),
                    Prefix::Ge => format!("({low} >= {from} OR {high} > {to})"),
                    Prefix::Le => format!("({low} < {to} AND ({low} < {from} OR {high} <= {to}))"),
                    Prefix::Ap | Prefix::Po => {
                        format!("({low} < {to} AND {high} > {from})")
                    }
                    _ => format!("({low} >= {from} AND {low} < {to} AND {high} <= {to})"),
                }
            }
        }
    }
}
