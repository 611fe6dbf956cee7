//! `_lastUpdated`.

use sea_orm::Value;

use super::{Lower, Row, Source, either};
use crate::search::parse::date::approximately;
use crate::search::query::{Prefix, SpanTest};

impl Lower<'_> {
    pub(super) fn last_updated_probe(&mut self, values: &[SpanTest], row: &Row) -> String {
        if row.is_resource {
            // Something else leads; the plus keeps SQLite from walking the index of this instead.
            return self.updated_tests(&format!("+{}", row.alias), values);
        }
        let t = self.alias();
        let tests = self.updated_tests(&t, values);
        format!(
            "EXISTS (SELECT 1 FROM resource {t} WHERE {t}.id = {}.id AND {tests})",
            row.alias
        )
    }

    pub(super) fn last_updated_source(&mut self, values: &[SpanTest], row: &Row) -> Source {
        Source {
            table: "resource".into(),
            conditions: vec![self.updated_tests(&row.alias, values)],
            repeats: false,
        }
    }

    pub(in crate::search) fn updated_tests(&mut self, t: &str, values: &[SpanTest]) -> String {
        let tests: Vec<String> = values.iter().map(|v| self.updated_test(t, v)).collect();
        either(&tests)
    }

    /// An instant against a span: the comparisons of a stored span that is one ms long.
    fn updated_test(&mut self, t: &str, test: &SpanTest) -> String {
        let (from, to) = match test.prefix {
            Prefix::Ap => approximately(test.low, test.high, self.visibility.instant()),
            _ => (test.low, test.high),
        };
        let column = format!("{t}.updated");
        let mut bind = |value: i64| self.sql.bind(Value::from(value));
        match test.prefix {
            Prefix::Gt | Prefix::Sa => format!("{column} >= {}", bind(to)),
            Prefix::Ge => format!("{column} >= {}", bind(from)),
            Prefix::Lt | Prefix::Eb => format!("{column} < {}", bind(from)),
            Prefix::Le => format!("{column} < {}", bind(to)),
            Prefix::Eq | Prefix::Ap | Prefix::Po => {
                format!("({column} >= {} AND {column} < {})", bind(from), bind(to))
            }
            Prefix::Ne => format!("({column} < {} OR {column} >= {})", bind(from), bind(to)),
        }
    }
}
