//! The viewer's [`Visibility`](crate::visibility::Visibility) on a row: ways in and holds.

use super::{Lower, Row, either, type_in};
use crate::search::plan::Forbidden;
use crate::search::plan::narrowing::Group;
use crate::search::query::Types;

impl Lower<'_> {
    /// Holds: the row exists for the viewer. Every row of a resource that a search reaches has
    /// this: matches, links of chains, sources of `_has`, targets of includes.
    pub(super) fn holds(&mut self, row: &Row) -> String {
        let id = format!("{}.id", row.alias);
        self.visibility
            .holds_predicate(&mut self.sql, &id, row.one_pin())
    }

    /// Scopes: the row fits one way into its type.
    pub(super) fn ways(&mut self, groups: &[Group], row: &Row) -> Result<String, Forbidden> {
        let mut any = Vec::new();
        for group in groups {
            let mut row = row.clone();
            let type_limit = match row.types {
                Types::One(_) => None,
                Types::Many(_) => Some(type_in(&row.alias, &group.types)),
            };
            if let [one] = group.types.as_slice() {
                row.types = Types::One(*one);
            }
            let mut ways = Vec::new();
            for way in &group.ways {
                let mut all: Vec<String> = Vec::new();
                if let Some(patient) = way.patient {
                    let patient = self.sql.bind(patient);
                    all.push(format!("{}.patient = {patient}", row.alias));
                }
                for condition in &way.conditions {
                    all.push(self.probe(condition, &row)?);
                }
                if all.is_empty() {
                    // An open way: the others add nothing.
                    ways.clear();
                    break;
                }
                ways.push(format!("({})", all.join(" AND ")));
            }
            let limits: Vec<String> = type_limit
                .into_iter()
                .chain((!ways.is_empty()).then(|| either(&ways)))
                .collect();
            if limits.is_empty() {
                return Ok("1 = 1".to_owned());
            }
            any.push(format!("({})", limits.join(" AND ")));
        }
        Ok(either(&any))
    }
}
