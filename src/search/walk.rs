//! Sorting without sorting: where an index already has the order that is asked for, it is walked
//! until the page is full, and every other condition is a probe. `_lastUpdated`, and date
//! parameters that a resource has at most once, alone or within one patient; strings.

use super::SearchError;
use super::cursor::{Cursor, SortValue};
use super::plan::driver::SELECTIVE;
use super::plan::{Pin, Plan, Sounding};
use super::query::{Condition, Param, Query, SortBy, SpanTest, Types};
use super::run::columns;
use super::sort::KeyKind;
use super::sql::select::is_every_type;
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
    Updated {
        /// Conditions on the same time: bounds of the walk.
        tests: Vec<Vec<SpanTest>>,
    },
    Date {
        param: Param,
        /// Conditions on the same parameter: bounds of the walk.
        tests: Vec<Vec<SpanTest>>,
    },
    /// A resource stands where the first of its values does, descending the last.
    Text { param: Param },
}

/// The walk for a query's order, if there is one and no condition leads to fewer rows.
#[must_use]
pub fn of(plan: &Plan, query: &Query) -> Option<Walk> {
    let [sort] = query.sort.as_slice() else {
        return None;
    };
    let one = match &plan.types {
        Types::One(one) => Some(*one),
        Types::Many(_) => None,
    };
    let is_pinned = match &plan.pin {
        None => false,
        // Of several patients the order is not the index's.
        Some(Pin::Keys(keys)) if keys.len() == 1 => true,
        Some(_) => return None,
    };
    let tests = Vec::new();
    let (by, few) = match (sort.by, one) {
        (SortBy::LastUpdated, _) if !is_pinned => (By::Updated { tests }, 450),
        (SortBy::Param(param), Some(one))
            if param.kind == ParamKind::Date && is_single(one, param.0) =>
        {
            let few = if is_pinned { SELECTIVE } else { 450 };
            (By::Date { param, tests }, few)
        }
        (SortBy::Param(param), Some(_)) if param.kind == ParamKind::String && !is_pinned => {
            (By::Text { param }, 450)
        }
        _ => return None,
    };
    let mut walk = Walk {
        by,
        descending: sort.descending,
        plan: plan.clone(),
    };
    let mut rank = match plan.sounding {
        Sounding::None => plan.rank,
        Sounding::Few => SELECTIVE,
        Sounding::Many => 0,
    };
    let driver = walk.plan.driver.take();
    if driver.as_ref().is_some_and(|driver| walk.by.is_on(driver)) {
        rank = 0;
    }
    walk.plan.conditions.extend(driver);
    let by = &mut walk.by;
    walk.plan.conditions.retain(|condition| {
        let is_bound = by.is_on(condition);
        if let (true, Some(tests)) = (is_bound, by.tests())
            && let Condition::Date { values, .. } | Condition::LastUpdated(values) = condition
        {
            tests.push(values.clone());
        }
        !is_bound
    });
    (rank < few).then_some(walk)
}

impl By {
    /// Whether a condition bounds the walk itself.
    fn is_on(&self, condition: &Condition) -> bool {
        match (self, condition) {
            (Self::Updated { .. }, Condition::LastUpdated(_)) => true,
            (Self::Date { param: own, .. }, Condition::Date { param, .. }) => own == param,
            _ => false,
        }
    }

    fn tests(&mut self) -> Option<&mut Vec<Vec<SpanTest>>> {
        match self {
            Self::Updated { tests } | Self::Date { tests, .. } => Some(tests),
            Self::Text { .. } => None,
        }
    }
}

impl Walk {
    /// What the sort key is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.by {
            By::Updated { .. } | By::Date { .. } => KeyKind::Int,
            By::Text { .. } => KeyKind::Text,
        }
    }

    /// Whether a cursor stands among the resources that have no value of the key.
    #[must_use]
    pub fn is_past(&self, cursor: Option<&Cursor>) -> bool {
        let missing = match (self.kind(), self.descending) {
            (KeyKind::Text, false) => SortValue::Text("\u{10ffff}".to_owned()),
            (KeyKind::Text, true) => SortValue::Text(String::new()),
            (_, false) => SortValue::Int(i64::MAX),
            (_, true) => SortValue::Int(-i64::MAX),
        };
        cursor.is_some_and(|cursor| cursor.keys.first() == Some(&missing))
    }

    /// Whether resources without a value of the key can match: they come last.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        match &self.by {
            By::Updated { .. } => false,
            By::Date { tests, .. } => tests.is_empty(),
            By::Text { .. } => true,
        }
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
            By::Updated { .. } => ("resource", "updated"),
            By::Date { .. } => ("idx_date", "low"),
            By::Text { .. } => ("idx_string", "norm"),
        };
        let pin = lower.pin(&self.plan)?;
        let row = Row {
            alias: lower.alias(),
            types: self.plan.types.clone(),
            is_resource: matches!(self.by, By::Updated { .. }),
            pin,
            // Probes stay probes: PostgreSQL would rather begin with all that satisfies them and
            // sort it.
            is_link: true,
        };
        let t = &row.alias;
        let (beyond, direction) = if self.descending {
            ("<", " DESC")
        } else {
            (">", "")
        };
        let mut all = Vec::new();
        if let Some(pin) = &row.pin {
            all.push(format!("{t}.patient {pin}"));
        }
        let mut distinct = "";
        match &self.by {
            By::Updated { tests } => {
                // Several types are walked together, in an index that does not begin with the type.
                match &row.types {
                    Types::One(_) => all.push(row.any_type(t)),
                    several if self.plan.groups.is_empty() && !is_every_type(several) => {
                        all.push(format!("+{}", row.any_type(t)));
                    }
                    Types::Many(_) => {}
                }
                all.push(format!("{t}.deleted = 0"));
                for tests in tests {
                    all.push(lower.updated_tests(t, tests));
                }
            }
            By::Date { param, tests } => {
                all.push(row.any_type(t));
                all.push(format!("{t}.param = {}", param.id));
                for tests in tests {
                    all.push(lower.span_tests(t, tests));
                }
            }
            By::Text { param } => {
                let s = lower.alias();
                let earlier = if self.descending { ">" } else { "<" };
                all.push(row.any_type(t));
                all.push(format!("{t}.param = {}", param.id));
                all.push(format!(
                    "NOT EXISTS (SELECT 1 FROM idx_string {s} WHERE {s}.id = {t}.id \
                     AND {s}.param = {} AND {s}.norm {earlier} {t}.norm LIMIT 1 OFFSET 0)",
                    param.id
                ));
                // The same value may stand twice.
                distinct = "DISTINCT ";
            }
        }
        if let Some(cursor) = cursor
            && let Some(value) = cursor.keys.first().filter(|value| value.is(self.kind()))
        {
            let value = lower.sql.bind(value.to_value());
            let id = lower.sql.bind(cursor.id);
            // The first part is for the index, the second for the truth.
            all.push(format!(
                "{t}.{column} {beyond}= {value} AND ({t}.{column} {beyond} {value} \
                 OR {t}.id {beyond} {id})"
            ));
        }
        all.extend(lower.restrictions(&self.plan, &row)?);
        let all = all.join(" AND ");
        let ids = |more: &str| {
            format!(
                "SELECT {distinct}{t}.id AS id, {t}.{column} AS k0 FROM {table} {t} \
                 WHERE {all}{more} ORDER BY {t}.{column}{direction}, {t}.id{direction} LIMIT {limit}"
            )
        };
        let halves = match &self.by {
            By::Date { tests, .. } if row.pin.is_none() => {
                let tests: Vec<&[SpanTest]> = tests.iter().map(Vec::as_slice).collect();
                lower.date_halves(t, &tests)
            }
            _ => None,
        };
        let ids = match halves {
            None => ids(""),
            Some(halves) => format!(
                "SELECT h.id, h.k0 FROM (SELECT * FROM ({}) n UNION ALL SELECT * FROM ({}) f) h \
                 ORDER BY h.k0{direction}, h.id{direction} LIMIT {limit}",
                ids(&format!(" AND {}", halves.near)),
                ids(&format!(" AND {}", halves.far)),
            ),
        };
        Ok(format!(
            "SELECT {}, p.k0 FROM ({ids}) p CROSS JOIN resource r WHERE r.id = p.id \
             ORDER BY p.k0{direction}, p.id{direction}",
            columns("r"),
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
        plan.sounding = Sounding::None;
        if let By::Date { param, .. } | By::Text { param } = self.by {
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
        let missing = self.kind().missing(self.descending);
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
pub(super) fn is_single(type_id: TypeId, param: &SearchParam) -> bool {
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
