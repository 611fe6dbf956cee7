//! Sorting without sorting: where an index already has the order that is asked for, it is walked
//! until the page is full, and every other condition is a probe. `_lastUpdated`, and date
//! parameters that a resource has at most once, alone or within one patient; strings; quantities, all or
//! those beside one code. Of several sort keys the first is walked, and what is equal in it is sorted by the others.

mod statement;

use super::cursor::{Cursor, SortValue};
use super::extract::{is_single, with_code};
use super::plan::driver::SELECTIVE;
use super::plan::{Pin, Plan, Sounding};
use super::query::{
    CodeTest, Condition, Param, Query, Sort, SortBy, SpanTest, SystemTest, TokenTest, Types,
};
use super::sort::{self, KeyKind};
use crate::fhir::definitions::{ParamKind, TypeId};
use crate::visibility::is_about_nobody;

/// An order that an index has.
#[derive(Clone, Debug)]
pub struct Walk {
    by: By,
    descending: bool,
    /// What orders those that are equal in the walk's own order.
    then: Vec<Sort>,
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
    /// The same of quantities.
    Quantity { param: Param },
    /// The one quantity of the resources that have a code, in the index of both together.
    Coded {
        param: Param,
        pair: Param,
        code: String,
        system: SystemTest,
    },
}

/// The walk for a query's order, if there is one and no condition leads to fewer rows.
#[must_use]
pub fn of(plan: &Plan, query: &Query) -> Option<Walk> {
    let [sort, then @ ..] = query.sort.as_slice() else {
        return None;
    };
    let one = match &plan.types {
        Types::One(one) => Some(*one),
        Types::Many(_) => None,
    };
    let is_pinned = match &plan.pin {
        None => false,
        // Of several patients the order is not the index's.
        Some(Pin::Keys(keys)) if keys.len() == 1 && then.is_empty() => true,
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
        // What is measured decides the size of the number: under a condition on it the walk might
        // pass nearly all others first.
        (SortBy::Param(param), Some(one))
            if param.kind == ParamKind::Quantity
                && !is_pinned
                && !is_about_nobody(one)
                && plan.driver.is_none()
                && plan.conditions.is_empty() =>
        {
            (By::Quantity { param }, 450)
        }
        (SortBy::Param(param), Some(one)) if !is_pinned => (coded(plan, one, param)?, 450),
        _ => return None,
    };
    let mut walk = Walk {
        by,
        descending: sort.descending,
        then: then.to_vec(),
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

/// The walk through the values of one code.
fn coded(plan: &Plan, type_id: TypeId, param: Param) -> Option<By> {
    if is_about_nobody(type_id) {
        return None;
    }
    let (pair, token) = with_code(type_id, param.0)?;
    let mut all = plan.driver.iter().chain(&plan.conditions);
    all.find_map(|condition| match condition {
        Condition::Token {
            param: own,
            values,
            not: false,
        } if own.id == token.id => match values.as_slice() {
            [
                TokenTest {
                    system,
                    code: Some(CodeTest::Is(code)),
                },
            ] => Some(By::Coded {
                param,
                pair: Param(pair),
                code: code.clone(),
                system: system.clone(),
            }),
            _ => None,
        },
        _ => None,
    })
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
            Self::Text { .. } | Self::Quantity { .. } | Self::Coded { .. } => None,
        }
    }
}

impl Walk {
    /// What the sort keys are.
    #[must_use]
    pub fn kinds(&self) -> Vec<KeyKind> {
        let then = self.then.iter().map(|sort| sort::kind(sort.by));
        std::iter::once(self.kind()).chain(then).collect()
    }

    fn kind(&self) -> KeyKind {
        match self.by {
            By::Updated { .. } | By::Date { .. } => KeyKind::Int,
            By::Text { .. } => KeyKind::Text,
            By::Quantity { .. } | By::Coded { .. } => KeyKind::Float,
        }
    }

    /// Whether a cursor stands among the resources that have no value of the key.
    #[must_use]
    pub fn is_past(&self, cursor: Option<&Cursor>) -> bool {
        let missing = match (self.kind(), self.descending) {
            (KeyKind::Text, false) => SortValue::Text("\u{10ffff}".to_owned()),
            (KeyKind::Text, true) => SortValue::Text(String::new()),
            (KeyKind::Float, false) => SortValue::Float(1e308),
            (KeyKind::Float, true) => SortValue::Float(-1e308),
            (KeyKind::Int, false) => SortValue::Int(i64::MAX),
            (KeyKind::Int, true) => SortValue::Int(-i64::MAX),
        };
        cursor.is_some_and(|cursor| cursor.keys.first() == Some(&missing))
    }

    /// Whether resources without a value of the key can match: they come last.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        match &self.by {
            By::Updated { .. } => false,
            By::Date { tests, .. } => tests.is_empty(),
            By::Text { .. } | By::Quantity { .. } | By::Coded { .. } => true,
        }
    }
}
