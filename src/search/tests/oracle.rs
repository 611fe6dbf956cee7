//! What a query means, said the slow way: every condition is evaluated on every resource's rows,
//! without plans, indexes or SQL.

use std::collections::HashSet;

use super::bed::{Doc, Hold};
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::search::extract::{CompositeRow, normalize};
use crate::search::query::{
    CodeTest, ComponentTest, Condition, NumberTest, Prefix, SpanTest, StringMode, SystemTest,
    Target, TokenTest,
};

/// A small world.
#[derive(Clone, Debug)]
pub struct World {
    pub docs: Vec<Doc>,
    pub holds: Vec<Hold>,
}

/// Who looks: None for a system viewer.
pub struct Eyes<'a> {
    pub keys: &'a Keys,
    pub now: i64,
    /// Audiences, and the patient whose record it is if it is one patient's.
    pub holds: Option<(&'a [i64], Option<&'a str>)>,
}

impl World {
    /// The rows that exist for the viewer.
    pub fn visible(&self, eyes: &Eyes<'_>) -> Vec<&Doc> {
        self.docs
            .iter()
            .filter(|doc| self.is_visible(doc, eyes))
            .collect()
    }

    fn is_visible(&self, doc: &Doc, eyes: &Eyes<'_>) -> bool {
        let rendition = i16::try_from(doc.id & 15).unwrap();
        let Some((audiences, patient)) = eyes.holds else {
            return rendition == 0;
        };
        if !crate::visibility::is_about_nobody(doc.type_id)
            && patient.is_some_and(|patient| doc.patient.as_deref() != Some(patient))
        {
            return false;
        }
        let shown: HashSet<i16> = self
            .holds
            .iter()
            .filter(|hold| {
                hold.doc == doc.id & !15
                    && audiences.contains(&hold.audience)
                    && hold.starts <= eyes.now
                    && hold.ends > eyes.now
            })
            .map(|hold| hold.shown)
            .collect();
        if rendition == 0 {
            shown.is_empty()
        } else {
            // Later renditions leave out more; 0 shows nothing.
            !shown.contains(&0) && shown.iter().max() == Some(&rendition)
        }
    }

    /// Surrogate ids of the matches, ascending.
    pub fn matches(&self, eyes: &Eyes<'_>, type_id: TypeId, conditions: &[Condition]) -> Vec<i64> {
        let visible = self.visible(eyes);
        let mut found: Vec<i64> = visible
            .iter()
            .filter(|doc| doc.type_id == type_id)
            .filter(|doc| conditions.iter().all(|c| holds(c, doc, &visible, eyes)))
            .map(|doc| doc.id)
            .collect();
        found.sort_unstable();
        found
    }
}

fn key(doc: &Doc, keys: &Keys) -> i64 {
    keys.reference(definitions().type_name(doc.type_id), &doc.fhir_id)
}

fn holds(condition: &Condition, doc: &Doc, world: &[&Doc], eyes: &Eyes<'_>) -> bool {
    let keys = eyes.keys;
    let rows = &doc.rows;
    match condition {
        Condition::Id(ids) => ids.contains(&doc.fhir_id),
        Condition::LastUpdated(tests) => tests
            .iter()
            .any(|test| span(test, doc.updated, doc.updated + 1)),
        Condition::Token { param, values, not } => {
            let any = rows
                .tokens
                .iter()
                .filter(|row| row.param == param.id)
                .any(|row| values.iter().any(|v| token(v, row.code, row.system, keys)));
            any != *not
        }
        Condition::String {
            param,
            mode,
            values,
        } => rows
            .strings
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| {
                values.iter().any(|value| match mode {
                    StringMode::Prefix => row.norm.starts_with(&normalize(value)),
                    StringMode::Contains => row.norm.contains(&normalize(value)),
                    StringMode::Exact => row.exact == *value,
                    _ => panic!("not in the test's vocabulary"),
                })
            }),
        Condition::Date { param, values } => rows
            .dates
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| values.iter().any(|test| span(test, row.low, row.high))),
        Condition::Composite { param, values } => rows
            .composites
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| values.iter().any(|parts| composite(parts, row, keys))),
        Condition::Number { param, values } => rows
            .numbers
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| values.iter().any(|test| number(test, row.low))),
        Condition::Quantity { param, values } => rows
            .quantities
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| {
                values.iter().any(|test| {
                    number(&test.number, row.low)
                        && system(&test.system, row.system, keys)
                        && test
                            .unit
                            .as_ref()
                            .is_none_or(|unit| keys.code(unit) == row.code)
                })
            }),
        Condition::Reference { param, values } => rows
            .references
            .iter()
            .filter(|row| row.param == param.id)
            .any(|row| {
                values.iter().any(|target| match target {
                    Target::Local(kind, id) => {
                        keys.reference(definitions().type_name(*kind), id) == row.target
                    }
                    Target::Url(url) => keys.text(url) == row.target,
                })
            }),
        Condition::Missing { param, missing } => {
            let has = rows.tokens.iter().any(|row| row.param == param.id)
                || rows.strings.iter().any(|row| row.param == param.id)
                || rows.dates.iter().any(|row| row.param == param.id)
                || rows.quantities.iter().any(|row| row.param == param.id)
                || rows.references.iter().any(|row| row.param == param.id);
            has != *missing
        }
        Condition::Chain { param, links } => links.iter().any(|(kind, inner)| {
            world.iter().any(|link| {
                link.type_id == *kind
                    && rows
                        .references
                        .iter()
                        .any(|row| row.param == param.id && row.target == key(link, keys))
                    && holds(inner, link, world, eyes)
            })
        }),
        Condition::Has {
            source,
            param,
            condition,
        } => world.iter().any(|from| {
            from.type_id == *source
                && from
                    .rows
                    .references
                    .iter()
                    .any(|row| row.param == param.id && row.target == key(doc, keys))
                && holds(condition, from, world, eyes)
        }),
        other => panic!("not in the test's vocabulary: {other:?}"),
    }
}

fn token(test: &TokenTest, code: i64, system_key: i32, keys: &Keys) -> bool {
    let code_fits = match &test.code {
        None => true,
        Some(CodeTest::Is(text)) => keys.code(text) == code,
        Some(CodeTest::OfType { .. }) => false,
    };
    code_fits && system(&test.system, system_key, keys)
}

/// A code, and a quantity without a unit.
fn composite(parts: &[ComponentTest], row: &CompositeRow, keys: &Keys) -> bool {
    match parts {
        [
            ComponentTest::Token(code),
            ComponentTest::Quantity(quantity),
        ] => token(code, row.code, row.system, keys) && number(&quantity.number, row.low),
        other => panic!("not in the test's vocabulary: {other:?}"),
    }
}

fn system(test: &SystemTest, key: i32, keys: &Keys) -> bool {
    match test {
        SystemTest::Any => true,
        SystemTest::None => key == 0,
        SystemTest::Is(uri) => keys.system(uri) == key,
    }
}

/// The specification's own words: what "fully contains", "above" and "overlaps" mean.
fn span(test: &SpanTest, low: i64, high: i64) -> bool {
    let contains = test.low <= low && high <= test.high;
    match test.prefix {
        Prefix::Eq => contains,
        Prefix::Ne => !contains,
        Prefix::Gt => high > test.high,
        Prefix::Lt => low < test.low,
        Prefix::Ge => high > test.high || contains || low >= test.low,
        Prefix::Le => low < test.low || contains || high <= test.high,
        Prefix::Sa => low >= test.high,
        Prefix::Eb => high <= test.low,
        Prefix::Ap | Prefix::Po => panic!("not in the test's vocabulary"),
    }
}

fn number(test: &NumberTest, value: f64) -> bool {
    let near = test.low <= value && value < test.high;
    match test.prefix {
        Prefix::Eq => near,
        Prefix::Ne => !near,
        Prefix::Gt | Prefix::Sa => value > test.value,
        Prefix::Lt | Prefix::Eb => value < test.value,
        Prefix::Ge => value >= test.value,
        Prefix::Le => value <= test.value,
        Prefix::Ap | Prefix::Po => panic!("not in the test's vocabulary"),
    }
}
