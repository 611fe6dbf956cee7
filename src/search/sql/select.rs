//! A plan as FROM and WHERE.

use super::{Lower, Row};
use crate::search::extract::is_single;
use crate::search::plan::{self, Forbidden, Pin, Plan, Sounding};
use crate::search::query::{Condition, SpanTest, Types};

/// FROM and WHERE of a selection; `row.alias` has the ids.
#[derive(Clone, Debug)]
pub struct Selection {
    pub row: Row,
    /// `idx_token t1`
    pub from: String,
    /// Never empty.
    pub conditions: Vec<String>,
    /// One resource may appear more than once.
    pub repeats: bool,
}

impl Selection {
    /// ` FROM … WHERE …`
    #[must_use]
    pub fn from_where(&self) -> String {
        format!(
            " FROM {} WHERE {}",
            self.from,
            self.conditions.join(" AND ")
        )
    }
}

impl Lower<'_> {
    /// Writes a plan, walking its driver.
    ///
    /// # Errors
    /// [`Forbidden`] when a chain leads to types that no scope opens.
    pub fn select(&mut self, plan: &Plan) -> Result<Selection, Forbidden> {
        let pin = self.pin(plan)?;
        self.select_pinned(plan, pin)
    }

    /// Writes a plan on a patient column restricted by SQL such as `= t1.key`.
    ///
    /// # Errors
    /// [`Forbidden`] when a chain leads to types that no scope opens.
    pub fn select_pinned(
        &mut self,
        plan: &Plan,
        pin: Option<String>,
    ) -> Result<Selection, Forbidden> {
        let mut row = Row {
            alias: self.alias(),
            types: plan.types.clone(),
            is_resource: false,
            pin,
            // Walked until the page is full: what is asked of a row must stay a question about it.
            is_link: plan.sounding == Sounding::Many && plan.driver.is_none(),
        };
        let (together, apart) = beside(plan);
        let source = match (&plan.driver, together.is_empty()) {
            (Some(Condition::Date { param, .. }), false) => {
                Some(self.date_range_source(param.0, &together, &row))
            }
            (Some(Condition::Composite { param, values }), _)
                if plan.sounding == Sounding::Many =>
            {
                Some(self.composite_in_order(param.0, values, &row))
            }
            (Some(driver), _) => self.source(driver, &row)?,
            (None, _) => None,
        };
        let plan = apart.as_ref().unwrap_or(plan);
        let led = source.is_some();
        let (table, mut conditions, repeats) = match source {
            Some(source) => (source.table, source.conditions, source.repeats),
            None => ("resource".into(), Vec::new(), false),
        };
        row.is_resource = table == "resource";
        if let Some(driver) = &plan.driver
            && !led
        {
            // It cannot lead after all; it must still hold.
            conditions.push(self.probe(driver, &row)?);
        }
        if let Some(pin) = &row.pin {
            conditions.insert(0, format!("{}.patient {pin}", row.alias));
        }
        if row.is_resource {
            let by_key = matches!(
                plan.driver,
                Some(Condition::Id(_) | Condition::Has { .. } | Condition::Compartment(_))
            );
            conditions.extend(self.resource_row(plan, &row, by_key));
        }
        conditions.extend(self.restrictions(plan, &row)?);
        Ok(Selection {
            from: format!("{table} {}", row.alias),
            row,
            conditions,
            repeats,
        })
    }

    /// Everything a plan says as predicates on a row that something else found. Its driver, if it
    /// has one, is a probe like the rest.
    ///
    /// # Errors
    /// [`Forbidden`] when a chain leads to types that no scope opens.
    pub fn restrict(&mut self, plan: &Plan, row: &Row) -> Result<String, Forbidden> {
        let mut conditions = Vec::new();
        if row.is_resource {
            conditions.extend(self.resource_row(plan, row, true));
        }
        if let Some(pin) = self.pin(plan)? {
            conditions.push(format!("{}.patient {pin}", row.alias));
        }
        if let Some(driver) = &plan.driver {
            conditions.push(self.probe(driver, row)?);
        }
        conditions.extend(self.restrictions(plan, row)?);
        Ok(conditions.join(" AND "))
    }

    /// A condition on visible resources of one type, planned.
    ///
    /// # Errors
    /// [`Forbidden`] when no scope opens the type.
    pub(super) fn plan(
        &self,
        types: &Types,
        conditions: Vec<Condition>,
    ) -> Result<Plan, Forbidden> {
        plan::plan(self.visibility, self.keys, self.access, types, conditions)
    }

    /// Type and existence of a row of `resource`. `by_key`: its key or id leads to it, and the
    /// unary plus keeps SQLite from walking an index by type instead.
    fn resource_row(&self, plan: &Plan, row: &Row, by_key: bool) -> Vec<String> {
        let mut conditions = Vec::with_capacity(3);
        // Several types have their list in the groups. One type has not: the narrowing of a scope need not name it (`_lastUpdated=…`, `category:not=…`).
        let is_one = matches!(plan.types, Types::One(_));
        if is_one || (plan.groups.is_empty()) {
            let types = row.any_type(&row.alias);
            conditions.push(if by_key { format!("+{types}") } else { types });
        }
        // What nothing else leads is walked in the order of ids, beside the log.
        if matches!(plan.driver, None | Some(Condition::LastUpdated(_))) {
            let beside = row.beside_the_log(&row.alias);
            conditions.extend(beside.filter(|one| !conditions.contains(one)));
        }
        conditions.push(format!("{}.deleted = 0", row.alias));
        conditions
    }

    /// Conditions, ways in and holds.
    pub(in crate::search) fn restrictions(
        &mut self,
        plan: &Plan,
        row: &Row,
    ) -> Result<Vec<String>, Forbidden> {
        let mut conditions = Vec::with_capacity(plan.conditions.len() + 2);
        for condition in &plan.conditions {
            conditions.push(self.probe(condition, row)?);
        }
        if !plan.groups.is_empty() {
            conditions.push(self.ways(&plan.groups, row)?);
        }
        conditions.push(self.holds(row));
        Ok(conditions)
    }

    /// What follows `patient` for the plan's restriction of that column.
    pub(in crate::search) fn pin(&mut self, plan: &Plan) -> Result<Option<String>, Forbidden> {
        Ok(match &plan.pin {
            None => None,
            Some(Pin::Keys(keys)) => Some(self.equals(keys.iter().copied())),
            Some(Pin::Where(condition)) => Some(format!("IN ({})", self.patient_keys(condition)?)),
        })
    }
}

/// Conditions on the date that leads, where one value must satisfy them all: `date=ge2024` and
/// `date=lt2025` are one range of the index. And the plan without them.
fn beside(plan: &Plan) -> (Vec<&[SpanTest]>, Option<Plan>) {
    let (Some(Condition::Date { param, values }), Types::One(type_id)) =
        (&plan.driver, &plan.types)
    else {
        return (Vec::new(), None);
    };
    let own = |condition: &Condition| matches!(condition, Condition::Date { param: other, .. } if other == param);
    if !plan.conditions.iter().any(own) || !is_single(*type_id, param.0) {
        return (Vec::new(), None);
    }
    let mut together = vec![values.as_slice()];
    together.extend(
        plan.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Date { values, .. } if own(condition) => Some(values.as_slice()),
                _ => None,
            }),
    );
    let mut apart = plan.clone();
    apart.conditions.retain(|condition| !own(condition));
    (together, Some(apart))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::definitions;
    use crate::keys::Keys;
    use crate::visibility::scope::Scopes;
    use crate::visibility::{Access, Viewer, ViewerClass, Visibility};

    #[test]
    fn scopes_that_say_nothing_of_the_type_open_no_other_type() {
        let keys = Keys::new([7; 16]);
        let viewer = Viewer {
            class: ViewerClass::Patient,
            person: Some("Patient/p".to_owned()),
            patient: Some("p".to_owned()),
            client_id: "app".to_owned(),
            client_device: None,
            level: crate::visibility::level::Level::Full,
            scopes: Scopes::parse(
                "patient/Observation.rs?_lastUpdated=gt2020 patient/Observation.rs?category:not=x",
            ),
        };
        let visibility = Visibility::of(&viewer, &keys, 0, 0);
        let type_id = definitions().type_id("Observation").unwrap();
        let types = Types::One(type_id);
        let plan = plan::plan(&visibility, &keys, Access::Search, &types, Vec::new()).unwrap();
        let mut lower = Lower::new(&keys, &visibility, Access::Search);
        let selection = lower.select(&plan).unwrap();
        let limit = format!("{}.type = {type_id}", selection.row.alias);
        assert!(selection.conditions.contains(&limit), "{selection:?}");
    }
}
