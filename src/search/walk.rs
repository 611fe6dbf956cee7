//! Sorting without sorting: where an index already has the order that is asked for, it is walked
//! until the page is full, and every other condition is a probe. `_lastUpdated`, and date
//! parameters that a resource has at most once, alone or within one patient.

use super::SearchError;
use super::cursor::{Cursor, SortValue};
use super::plan::driver::SELECTIVE;
use super::plan::{Pin, Plan};
use super::query::{Condition, Param, Query, SortBy, SpanTest, Types};
use super::run::columns;
use super::sort::KeyKind;
use super::sql::{Lower, Row};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId, definitions};

/// An order that an index has.
#[derive(Clone, Debug)]
pub struct Walk {
    by: By,
    descending: bool,
    /// The plan, with everything in its conditions that does not restrict the walk itself.
    plan: Plan,
}

#[derive(Clone, Debug)]
enum By {
    Updated,
    Date {
        param: Param,
        /// Conditions on the same parameter: bounds of the walk.
        tests: Vec<Vec<SpanTest>>,
    },
}

/// The walk for a query's order, if there is one and no condition leads to fewer rows.
#[must_use]
pub fn of(plan: &Plan, query: &Query) -> Option<Walk> {
    let ([sort], Types::One(type_id)) = (query.sort.as_slice(), &plan.types) else {
        return None;
    };
    let is_pinned = match &plan.pin {
        None => false,
        // Of several patients the order is not the index's.
        Some(Pin::Keys(keys)) if keys.len() == 1 => true,
        Some(_) => return None,
    };
    let (by, few) = match sort.by {
        SortBy::LastUpdated if !is_pinned => (By::Updated, 450),
        SortBy::Param(param) if param.kind == ParamKind::Date && is_single(*type_id, param.0) => {
            let tests = Vec::new();
            (
                By::Date { param, tests },
                if is_pinned { SELECTIVE } else { 450 },
            )
        }
        _ => return None,
    };
    let mut walk = Walk {
        by,
        descending: sort.descending,
        plan: plan.clone(),
    };
    let mut rank = plan.rank;
    if let By::Date { param, tests } = &mut walk.by {
        let driver = walk.plan.driver.take();
        if matches!(&driver, Some(Condition::Date { param: own, .. }) if own == param) {
            rank = 0;
        }
        walk.plan.conditions.extend(driver);
        let own = *param;
        walk.plan.conditions.retain(|condition| match condition {
            Condition::Date { param, values } if *param == own => {
                tests.push(values.clone());
                false
            }
            _ => true,
        });
    } else {
        if matches!(&walk.plan.driver, Some(Condition::LastUpdated(_))) {
            rank = 0;
        }
        let driver = walk.plan.driver.take();
        walk.plan.conditions.extend(driver);
    }
    (rank < few).then_some(walk)
}

impl Walk {
    /// What the sort key is.
    pub const KIND: KeyKind = KeyKind::Int;

    /// Whether a cursor stands among the resources that have no value of the key.
    #[must_use]
    pub fn is_past(&self, cursor: Option<&Cursor>) -> bool {
        let missing = if self.descending {
            SortValue::Int(-i64::MAX)
        } else {
            SortValue::Int(i64::MAX)
        };
        cursor.is_some_and(|cursor| cursor.keys.first() == Some(&missing))
    }

    /// Whether resources without a value of the key can match: they come last.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        matches!(&self.by, By::Date { tests, .. } if tests.is_empty())
    }

    /// The statement of resources with a value, in order.
    ///
    /// # Errors
    /// [`SearchError::Forbidden`] when a chain leads to types that no scope opens.
    pub fn sql(
        &self,
        lower: &mut Lower<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<String, SearchError> {
        let (table, column) = match self.by {
            By::Updated => ("resource", "updated"),
            By::Date { .. } => ("idx_date", "low"),
        };
        let pin = lower.pin(&self.plan)?;
        let row = Row {
            alias: lower.alias(),
            types: self.plan.types.clone(),
            is_resource: matches!(self.by, By::Updated),
            pin,
            is_link: false,
        };
        let t = &row.alias;
        let mut all = Vec::new();
        if let Some(pin) = &row.pin {
            all.push(format!("{t}.patient {pin}"));
        }
        all.push(row.any_type(t));
        match &self.by {
            By::Updated => all.push(format!("{t}.deleted = 0")),
            By::Date { param, tests } => {
                all.push(format!("{t}.param = {}", param.id));
                for tests in tests {
                    all.push(lower.span_tests(t, tests));
                }
            }
        }
        let (beyond, direction) = if self.descending {
            ("<", " DESC")
        } else {
            (">", "")
        };
        if let Some(cursor) = cursor
            && let Some(SortValue::Int(value)) = cursor.keys.first()
        {
            let value = lower.sql.bind(*value);
            let id = lower.sql.bind(cursor.id);
            // The first part is for the index, the second for the truth.
            all.push(format!(
                "{t}.{column} {beyond}= {value} AND ({t}.{column} {beyond} {value} \
                 OR {t}.id {beyond} {id})"
            ));
        }
        all.extend(lower.restrictions(&self.plan, &row)?);
        Ok(format!(
            "SELECT {}, p.k0 FROM (SELECT {t}.id AS id, {t}.{column} AS k0 FROM {table} {t} \
             WHERE {} ORDER BY {t}.{column}{direction}, {t}.id{direction} LIMIT {limit}) p \
             CROSS JOIN resource r WHERE r.id = p.id ORDER BY p.k0{direction}, p.id{direction}",
            columns("r"),
            all.join(" AND ")
        ))
    }

    /// The statement of resources without a value, in order of their ids.
    ///
    /// # Errors
    /// [`SearchError::Forbidden`] when a chain leads to types that no scope opens.
    pub fn rest_sql(
        &self,
        lower: &mut Lower<'_>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<String, SearchError> {
        let mut plan = self.plan.clone();
        if let By::Date { param, .. } = self.by {
            plan.conditions.push(Condition::Missing {
                param,
                missing: true,
            });
        }
        plan.lead();
        let selection = lower.select(&plan)?;
        let t = &selection.row.alias;
        let (beyond, direction) = if self.descending {
            ("<", " DESC")
        } else {
            (">", "")
        };
        let after = match after {
            Some(id) => format!(" AND {t}.id {beyond} {}", lower.sql.bind(id)),
            None => String::new(),
        };
        let distinct = if selection.repeats { "DISTINCT " } else { "" };
        let missing = Self::KIND.missing(self.descending);
        Ok(format!(
            "SELECT {}, {missing} AS k0 FROM (SELECT {distinct}{t}.id AS id{}{after} \
             ORDER BY 1{direction} LIMIT {limit}) p \
             CROSS JOIN resource r WHERE r.id = p.id ORDER BY p.id{direction}",
            columns("r"),
            selection.from_where(),
        ))
    }
}

/// Whether a resource has at most one value of a parameter: its expression names one element (or
/// the types of one choice), and nothing on the way to it repeats.
fn is_single(type_id: TypeId, param: &SearchParam) -> bool {
    let mut paths = param.expression.split(" | ").map(element);
    let Some(first) = paths.next() else {
        return false;
    };
    if paths.any(|other| other != first) {
        return false;
    }
    let elements = definitions().elements();
    let type_name = definitions().type_name(type_id);
    let mut at = elements.by_name(type_name).map(|(_, found)| found);
    let mut steps = first.split('.');
    if steps.next() != Some(type_name) {
        return false;
    }
    let mut depth = 0;
    for step in steps {
        let Some(element) = at.and_then(|at| {
            at.elements
                .iter()
                .find(|own| own.name.strip_suffix("[x]").unwrap_or(own.name) == step)
        }) else {
            return false;
        };
        if element.is_array() {
            return false;
        }
        at = element.types.first().and_then(|own| elements.get(*own));
        depth += 1;
    }
    depth > 0
}

/// `Goal.start` of `(Goal.start as date)` and of `Goal.start.as(date)`.
fn element(expression: &str) -> &str {
    let plain = expression
        .trim()
        .trim_start_matches('(')
        .trim_end_matches(')');
    let plain = plain.split(" as ").next().unwrap_or(plain);
    plain.split(".as(").next().unwrap_or(plain).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_parameters() {
        let single = |type_name: &str, code: &str| {
            let type_id = definitions().type_id(type_name).unwrap();
            is_single(type_id, definitions().search_param(type_id, code).unwrap())
        };
        for (type_name, code) in [
            ("Observation", "date"),
            ("Condition", "onset-date"),
            ("Encounter", "date"),
            ("Goal", "start-date"),
            ("DocumentReference", "period"),
            ("Patient", "birthdate"),
            ("Patient", "death-date"),
        ] {
            assert!(single(type_name, code), "{type_name}.{code}");
        }
        for (type_name, code) in [
            ("AllergyIntolerance", "onset"),
            ("Condition", "asserted-date"),
            ("Encounter", "location-period"),
            ("Goal", "target-date"),
            ("MedicationRequest", "date"),
        ] {
            assert!(!single(type_name, code), "{type_name}.{code}");
        }
    }
}
