//! `near`: Locations within a distance of a place. A row of `idx_number` has where it is in the plane of
//! [`position`](crate::search::extract::position), the first coordinate in `low`, the second in `high`.

use super::{Lower, Row, Source, either, number};
use crate::fhir::definitions::SearchParam;
use crate::search::query::NearTest;

impl Lower<'_> {
    pub(super) fn near_probe(
        &mut self,
        param: &SearchParam,
        values: &[NearTest],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.near_tests(&t, values);
        number::probe(param, &t, &tests, row)
    }

    pub(super) fn near_source(
        &mut self,
        param: &SearchParam,
        values: &[NearTest],
        row: &Row,
    ) -> Source {
        let t = &row.alias;
        let tests = self.near_tests(t, values);
        Source {
            table: "idx_number".into(),
            conditions: vec![row.any_type(t), format!("{t}.param = {}", param.id), tests],
            repeats: true,
        }
    }

    fn near_tests(&mut self, t: &str, values: &[NearTest]) -> String {
        let tests: Vec<String> = values
            .iter()
            .map(|value| self.near_test(t, value))
            .collect();
        either(&tests)
    }

    /// What [`Circle::contains`](crate::search::extract::position::Circle::contains) says, within bounds
    /// that the index knows.
    fn near_test(&mut self, t: &str, value: &NearTest) -> String {
        let Some(circle) = &value.circle else {
            return "1 = 1".to_owned();
        };
        let mut all = Vec::new();
        if let Some([u, v]) = circle.bounds() {
            for (column, (least, most)) in [("low", u), ("high", v)] {
                let (least, most) = (self.sql.bind(least), self.sql.bind(most));
                all.push(format!(
                    "{t}.{column} >= {least} AND {t}.{column} <= {most}"
                ));
            }
        }
        let [u, v, reach] = [circle.u, circle.v, circle.reach].map(|value| self.sql.bind(value));
        all.push(format!(
            "({t}.low - {u}) * ({t}.low - {u}) + ({t}.high - {v}) * ({t}.high - {v}) \
             <= {reach} * (1 + {t}.low * {t}.low + {t}.high * {t}.high)"
        ));
        format!("({})", all.join(" AND "))
    }
}
