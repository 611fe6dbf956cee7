//! Ranges with a lower bound, `date=ge2024`: nearly every stored span that ends after the bound also
//! begins after it, or not long before. So the index by beginnings is read from there, and the few
//! long spans that reach over are found by their end in an index of their own (migration 0047).
//! Without that, a range reads everything from the beginning of time.

use sea_orm::Value;

use super::quantity::compared;
use super::{Lower, Row, Source};
use crate::fhir::definitions::SearchParam;
use crate::search::query::{Prefix, QuantityTest, SpanTest};

/// Longer spans of dates are in `idx_date_long`: 32 days, in milliseconds.
pub(in crate::search) const LONG: i64 = 2_764_800_000;

/// Two halves of a range, as predicates beside the tests themselves.
#[derive(Clone, Debug)]
pub(in crate::search) struct Halves {
    /// What begins after the bound or not long before it.
    pub near: String,
    /// What begins earlier, and reaches over.
    pub far: String,
}

impl Lower<'_> {
    /// The halves of a range of dates over alias `t`; None when the tests have no lower bound of
    /// this kind, and one read of the index by beginnings does.
    pub(in crate::search) fn date_halves(
        &mut self,
        t: &str,
        tests: &[&[SpanTest]],
    ) -> Option<Halves> {
        let bound = |test: &SpanTest| match test.prefix {
            // Ends after the end of what was asked, ends after it or begins within.
            Prefix::Gt => Some((test.high, test.high)),
            Prefix::Ge => Some((test.low, test.high)),
            _ => None,
        };
        let single = tests.iter().filter_map(|values| match values {
            [one] => Some(one),
            _ => None,
        });
        if single
            .clone()
            .any(|test| matches!(test.prefix, Prefix::Eq | Prefix::Sa))
        {
            return None;
        }
        let (from, reached) = single.filter_map(bound).max()?;
        let from = self.sql.bind(Value::from(from.saturating_sub(LONG)));
        let reached = self.sql.bind(Value::from(reached));
        Some(Halves {
            near: format!("{t}.low >= {from}"),
            far: format!(
                "{t}.high > {t}.low + {LONG} AND {t}.high > {reached} AND {t}.low < {from}"
            ),
        })
    }

    /// A source of the rows of one date parameter that pass all tests.
    pub(in crate::search) fn date_range_source(
        &mut self,
        param: &SearchParam,
        tests: &[&[SpanTest]],
        row: &Row,
    ) -> Source {
        let t = row.alias.clone();
        let mut conditions = vec![row.any_type(&t), format!("{t}.param = {}", param.id)];
        for tests in tests {
            let test = self.span_tests(&t, tests);
            conditions.push(test);
        }
        // Within one patient's rows there is nothing to save.
        let halves = match &row.pin {
            None => self.date_halves(&t, tests),
            Some(_) => None,
        };
        halved("idx_date", &t, conditions, halves)
    }

    /// The halves of a range of quantities over alias `t`.
    pub(super) fn quantity_halves(&mut self, t: &str, values: &[QuantityTest]) -> Option<Halves> {
        let [one] = values else { return None };
        let sign = match one.number.prefix {
            Prefix::Gt => ">",
            Prefix::Ge => ">=",
            _ => return None,
        };
        let value = self.sql.bind(compared(one));
        Some(Halves {
            near: format!("{t}.low {sign} {value}"),
            far: format!(
                "{t}.high > {t}.low AND {t}.high {sign} {value} AND NOT ({t}.low {sign} {value})"
            ),
        })
    }
}

/// A source of one table, read in two halves if there are any.
pub(super) fn halved(
    table: &'static str,
    t: &str,
    conditions: Vec<String>,
    halves: Option<Halves>,
) -> Source {
    let Some(halves) = halves else {
        return Source {
            table: table.into(),
            conditions,
            repeats: true,
        };
    };
    let all = conditions.join(" AND ");
    // Inside, the alias is that of the outer row: what is said of it can be said of either half.
    let half = |own: &str| {
        format!("SELECT {t}.id, {t}.patient, {t}.type FROM {table} {t} WHERE {all} AND {own}")
    };
    Source {
        table: format!("({} UNION ALL {})", half(&halves.near), half(&halves.far)).into(),
        conditions: Vec::new(),
        repeats: true,
    }
}
