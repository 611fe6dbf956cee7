//! Whether a resource satisfies conditions, by its index rows alone: what [`sql`](crate::search::sql)
//! says in SQL, for what has no rows in the database.

use super::refused;
use crate::clock::Millis;
use crate::fhir::definitions::{ParamId, ParamKind, SearchParam, definitions};
use crate::keys::Keys;
use crate::search::SearchError;
use crate::search::amounts::amounts;
use crate::search::extract::units::{Canonical, UCUM};
use crate::search::extract::{CompositeRow, IndexRows, StringRow, fold, normalize, normalize_all};
use crate::search::parse::date::approximately;
use crate::search::query::{
    Amount, CodeTest, ComponentTest, Condition, NearTest, NumberTest, Prefix, QuantityTest,
    SpanTest, StringMode, SystemTest, Target, TokenTest, Types, UriMode,
};
use crate::search::sql::quantity::unit_of;
use crate::search::sql::token::{Spelling, code_keys, system_key};
use crate::search::sql::uri::{ancestors, versions};
use crate::search::texts::has_words;

/// Refuses what asks for other resources than the one at hand.
///
/// # Errors
/// [`SearchError::Invalid`].
pub(super) fn check(conditions: &[Condition]) -> Result<(), SearchError> {
    for condition in conditions {
        match condition {
            Condition::Id(_)
            | Condition::LastUpdated(_)
            | Condition::Token { .. }
            | Condition::String { .. }
            | Condition::Date { .. }
            | Condition::Number { .. }
            | Condition::Quantity { .. }
            | Condition::Uri { .. }
            | Condition::Reference { .. }
            | Condition::Near { .. }
            | Condition::Composite { .. }
            | Condition::Missing { .. } => {}
            Condition::Any(all) | Condition::All(all) => check(all)?,
            Condition::Not(one) => check(std::slice::from_ref(one))?,
            _ => {
                return Err(refused(
                    "'_contained' goes without chains, '_has', lists, hierarchies and full text",
                ));
            }
        }
    }
    Ok(())
}

/// A resource within another.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// Its type.
    pub types: Types,
    pub id: &'a str,
    pub rows: &'a IndexRows,
    pub keys: &'a Keys,
    /// For `ap`.
    pub instant: Millis,
}

impl Candidate<'_> {
    /// Whether it satisfies a condition that [`check`] lets through.
    pub fn satisfies(&self, condition: &Condition) -> bool {
        let rows = self.rows;
        match condition {
            Condition::Id(ids) => ids.iter().any(|id| id == self.id),
            Condition::Token { param, values, not } => {
                let spelling = Spelling::of(param, &self.types);
                let mut own = of(&rows.tokens, param, |row| row.param);
                let any = own.any(|row| {
                    let fits = |value| self.token(value, spelling, row.code, row.system);
                    values.iter().any(fits)
                });
                any != *not
            }
            Condition::String {
                param,
                mode,
                values,
            } => of(&rows.strings, param, |row| row.param)
                .any(|row| values.iter().any(|value| text(*mode, value, row))),
            Condition::Date { param, values } => of(&rows.dates, param, |row| row.param)
                .any(|row| values.iter().any(|test| self.span(test, row.low, row.high))),
            Condition::Number { param, values } => of(&rows.numbers, param, |row| row.param)
                .any(|row| values.iter().any(|test| number(test, row.low, row.high))),
            Condition::Quantity { param, values } => of(&rows.quantities, param, |row| row.param)
                .any(|row| {
                    let fits = |test| self.quantity(test, row.low, row.high, row.code, row.system);
                    values.iter().any(fits)
                }),
            Condition::Uri {
                param,
                mode,
                values,
            } => of(&rows.uris, param, |row| row.param)
                .any(|row| values.iter().any(|value| uri(*mode, value, &row.value))),
            Condition::Reference { param, values } => of(&rows.references, param, |row| row.param)
                .any(|row| values.iter().any(|own| self.target(own) == row.target)),
            Condition::Near { param, values } => of(&rows.numbers, param, |row| row.param)
                .any(|row| values.iter().any(|test| near(test, row.low, row.high))),
            Condition::Composite { param, values } => of(&rows.composites, param, |row| row.param)
                .any(|row| values.iter().any(|parts| self.composite(parts, row))),
            Condition::Missing { param, missing } => self.has(param) != *missing,
            Condition::Any(all) => all.iter().any(|one| self.satisfies(one)),
            Condition::All(all) => all.iter().all(|one| self.satisfies(one)),
            Condition::Not(one) => !self.satisfies(one),
            // Of what is contained it is not known when it was changed; the rest is refused.
            _ => false,
        }
    }

    fn token(&self, test: &TokenTest, spelling: Spelling, code: i64, system: i32) -> bool {
        let has_code = test
            .code
            .as_ref()
            .is_none_or(|own| code_keys(self.keys, own, spelling).contains(&code));
        has_code && system_key(self.keys, test).is_none_or(|own| own == system)
    }

    fn system(&self, test: &SystemTest, system: i32) -> bool {
        match test {
            SystemTest::Any => true,
            SystemTest::None => system == 0,
            SystemTest::Is(uri) => self.keys.system(uri) == system,
        }
    }

    fn target(&self, target: &Target) -> i64 {
        match target {
            Target::Local(type_id, id) => {
                self.keys.reference(definitions().type_name(*type_id), id)
            }
            Target::Url(url) => self.keys.text(url),
        }
    }

    fn span(&self, test: &SpanTest, low: i64, high: i64) -> bool {
        let (from, to) = match test.prefix {
            Prefix::Ap => approximately(test.low, test.high, self.instant),
            _ => (test.low, test.high),
        };
        match test.prefix {
            Prefix::Eq => from <= low && low < to && high <= to,
            Prefix::Ne => low < from || high > to,
            Prefix::Gt => high > to,
            Prefix::Ge => low >= from || high > to,
            Prefix::Lt => low < from,
            Prefix::Le => low < to && (low < from || high <= to),
            Prefix::Sa => low >= to,
            Prefix::Eb => low < from && high <= from,
            Prefix::Ap | Prefix::Po => low < to && high > from,
        }
    }

    fn quantity(&self, test: &QuantityTest, low: f64, high: f64, code: i64, system: i32) -> bool {
        let canonical = Canonical::system(self.keys);
        if let Some(unit) = unit_of(test) {
            let test = test.number.map(|number| unit.convert(number));
            return number(&test, low, high) && code == unit.code(self.keys) && system == canonical;
        }
        let is_written = test.unit.is_some() || test.system != SystemTest::Any;
        number(&test.number, low, high)
            && (is_written || system != canonical)
            && self.unit(test, code)
            && self.system(&test.system, system)
    }

    fn unit(&self, test: &QuantityTest, code: i64) -> bool {
        let unit = test.unit.as_ref();
        unit.is_none_or(|unit| self.keys.code(unit) == code)
    }

    fn amount(&self, amounts: &[Amount], low: f64, high: f64, code: i64) -> bool {
        amounts.iter().any(|amount| {
            let is_own = |unit: &String| self.keys.code(unit) == code;
            number(&amount.number, low, high) && amount.units.iter().any(is_own)
        })
    }

    /// Which columns a component has follows from those before it.
    fn composite(&self, parts: &[ComponentTest], row: &CompositeRow) -> bool {
        let is_number = |test: &&ComponentTest| matches!(test, ComponentTest::Number(_));
        let has_numbers = parts.iter().filter(is_number).count() > 1;
        let mut codes = [(row.code, row.system), (row.code2, row.system2)].into_iter();
        let mut next_code = || codes.next().unwrap_or((row.code2, row.system2));
        let mut spans = match has_numbers {
            true => vec![(row.high, row.high), (row.low, row.low)],
            false => vec![(row.low, row.high)],
        };
        let mut next_span = || spans.pop().unwrap_or((row.low, row.high));
        parts.iter().all(|part| match part {
            ComponentTest::Token(test) => {
                let (code, system) = next_code();
                let has_code = match &test.code {
                    Some(CodeTest::Is(own)) => self.keys.code(&fold(own)) == code,
                    _ => true,
                };
                has_code && self.system(&test.system, system)
            }
            ComponentTest::Reference(targets) => {
                let (code, _) = next_code();
                targets.iter().any(|own| self.target(own) == code)
            }
            ComponentTest::String(text) => row.text.starts_with(&normalize(text)),
            ComponentTest::Uri(uri) => row.text == *uri,
            ComponentTest::Number(test) => {
                let (low, high) = next_span();
                number(test, low, high)
            }
            ComponentTest::Quantity(test) => {
                let ((code, system), (low, high)) = (next_code(), next_span());
                let units = self.rows.units.iter().map(|row| row.unit.as_str());
                match amounts(test, units) {
                    Some(amounts) => {
                        self.amount(&amounts, low, high, code) && system == self.keys.system(UCUM)
                    }
                    None => {
                        number(&test.number, low, high)
                            && self.unit(test, code)
                            && self.system(&test.system, system)
                    }
                }
            }
            ComponentTest::Amounts(amounts) => {
                let ((code, system), (low, high)) = (next_code(), next_span());
                self.amount(amounts, low, high, code) && system == self.keys.system(UCUM)
            }
            ComponentTest::Date(test) => {
                let (low, high) = next_span();
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "ms of the years 1 to 9999 are exact in a float"
                )]
                self.span(test, low as i64, high as i64)
            }
        })
    }

    /// Whether there is any value of a parameter.
    fn has(&self, param: &SearchParam) -> bool {
        let rows = self.rows;
        let token = || of(&rows.tokens, param, |row| row.param).next().is_some();
        let uri = || of(&rows.uris, param, |row| row.param).next().is_some();
        let is_there = match param.kind {
            ParamKind::Token => token(),
            ParamKind::Uri => uri(),
            ParamKind::String => of(&rows.strings, param, |row| row.param).next().is_some(),
            ParamKind::Date => of(&rows.dates, param, |row| row.param).next().is_some(),
            ParamKind::Number | ParamKind::Special => {
                of(&rows.numbers, param, |row| row.param).next().is_some()
            }
            ParamKind::Quantity => of(&rows.quantities, param, |row| row.param)
                .next()
                .is_some(),
            ParamKind::Reference => of(&rows.references, param, |row| row.param)
                .next()
                .is_some(),
            ParamKind::Composite => of(&rows.composites, param, |row| row.param)
                .next()
                .is_some(),
        };
        // As `:missing` says it in SQL: what cannot be searched otherwise has a token row.
        is_there
            || match param.kind {
                ParamKind::Date | ParamKind::Number | ParamKind::Quantity | ParamKind::Special => {
                    token()
                }
                ParamKind::Reference => uri() || token(),
                _ => false,
            }
    }
}

/// The rows of one parameter.
fn of<'r, R>(
    rows: &'r [R],
    param: &SearchParam,
    own: impl Fn(&R) -> ParamId,
) -> impl Iterator<Item = &'r R> {
    rows.iter().filter(move |row| own(row) == param.id)
}

fn text(mode: StringMode, value: &str, row: &StringRow) -> bool {
    let (norm, more) = normalize_all(value);
    if norm.is_empty() {
        return false;
    }
    let whole = || format!("{}{}", row.norm, row.more);
    let sought = || format!("{norm}{more}");
    match mode {
        StringMode::Prefix if more.is_empty() => row.norm.starts_with(&norm),
        StringMode::Prefix => row.norm == norm && row.more.starts_with(&more),
        StringMode::Exact => row.norm == norm && row.exact == value,
        StringMode::Contains => whole().contains(&sought()),
        StringMode::Is => row.norm == norm && row.more == more,
        StringMode::Ends => whole().ends_with(&sought()),
        StringMode::After => row.norm > norm,
        StringMode::From => row.norm >= norm,
        StringMode::Before => row.norm < norm,
        StringMode::UpTo => row.norm <= norm,
        StringMode::Words => has_words(&whole(), &sought()),
    }
}

fn uri(mode: UriMode, asked: &str, value: &str) -> bool {
    let is_version = asked.contains('|');
    match mode {
        UriMode::Exact => value == asked,
        UriMode::Below if is_version => value == asked || value.starts_with(&format!("{asked}.")),
        UriMode::Above if is_version => versions(asked).iter().any(|one| one == value),
        UriMode::Below => {
            let stem = asked.trim_end_matches('/');
            value == stem || value == asked || value.starts_with(&format!("{stem}/"))
        }
        UriMode::Above => ancestors(asked).iter().any(|one| one == value),
    }
}

fn near(test: &NearTest, u: f64, v: f64) -> bool {
    test.circle.is_none_or(|circle| circle.contains(u, v))
}

fn number(test: &NumberTest, low: f64, high: f64) -> bool {
    match test.prefix {
        Prefix::Eq => low >= test.low && low < test.high && high < test.high,
        Prefix::Ne => low < test.low || high >= test.high,
        Prefix::Ap | Prefix::Po => low <= test.high && high >= test.low,
        Prefix::Gt => high > test.value,
        Prefix::Ge => high >= test.value,
        Prefix::Lt => low < test.value,
        Prefix::Le => low <= test.value,
        Prefix::Sa => low > test.value,
        Prefix::Eb => low < test.value && high < test.value,
    }
}
