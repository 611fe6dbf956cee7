//! Composites: two values of one occurrence, side by side in `idx_composite`.

use sea_orm::Value;

use super::range::{Halves, halved};
use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::extract::units::UCUM;
use crate::search::extract::{fold, normalize};
use crate::search::query::{
    Amount, CodeTest, ComponentTest, NumberTest, Prefix, QuantityTest, SystemTest, TokenTest,
};

/// What the database does with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// An index may find rows by them.
    Seek,
    /// They are looked at in rows that something else found.
    Look,
}

/// The number of a composite that an index counts: one code and one quantity or number.
fn counted(values: &[Vec<ComponentTest>]) -> Option<&NumberTest> {
    let [components] = values else { return None };
    let [
        ComponentTest::Token(TokenTest {
            code: Some(CodeTest::Is(_)),
            ..
        }),
        measured,
    ] = components.as_slice()
    else {
        return None;
    };
    match measured {
        ComponentTest::Quantity(QuantityTest { number, .. }) | ComponentTest::Number(number) => {
            Some(number)
        }
        // In the one unit that stands beside a code, which nearly all codes have.
        ComponentTest::Amounts(amounts) => match amounts.as_slice() {
            [Amount { number, .. }] => Some(number),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the index finds the rows of a composite by its code and its number, or in the order of
/// their ids by its code.
pub(in crate::search) fn is_counted(values: &[Vec<ComponentTest>]) -> bool {
    counted(values).is_some()
}

impl Lower<'_> {
    pub(super) fn composite_probe(
        &mut self,
        param: &SearchParam,
        values: &[Vec<ComponentTest>],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.composite_tests(&t, values, Use::Look);
        format!(
            "EXISTS (SELECT 1 FROM idx_composite {t} WHERE {t}.id = {}.id AND {t}.param = {} \
             AND {tests}{})",
            row.alias,
            param.id,
            row.fence()
        )
    }

    /// By the code and, where there is one, the number beside it.
    pub(super) fn composite_source(
        &mut self,
        param: &SearchParam,
        values: &[Vec<ComponentTest>],
        row: &Row,
    ) -> Source {
        let t = &row.alias;
        let tests = self.composite_tests(t, values, Use::Seek);
        let conditions = vec![row.any_type(t), format!("{t}.param = {}", param.id), tests];
        let halves = self.composite_halves(t, values);
        halved("idx_composite", t, conditions, halves)
    }

    /// By the code alone: in the order of the ids, for a page of many.
    pub(super) fn composite_in_order(
        &mut self,
        param: &SearchParam,
        values: &[Vec<ComponentTest>],
        row: &Row,
    ) -> Source {
        let t = &row.alias;
        let tests = self.composite_tests(t, values, Use::Look);
        Source {
            table: "idx_composite".into(),
            conditions: vec![row.any_type(t), format!("{t}.param = {}", param.id), tests],
            repeats: true,
        }
    }

    /// The halves of a code with a lower bound of its number, see [`range`](super::range).
    fn composite_halves(&mut self, t: &str, values: &[Vec<ComponentTest>]) -> Option<Halves> {
        let number = counted(values)?;
        let sign = match number.prefix {
            Prefix::Gt => ">",
            Prefix::Ge => ">=",
            _ => return None,
        };
        let value = self.sql.bind(number.value);
        Some(Halves {
            near: format!("{t}.low {sign} {value}"),
            far: format!(
                "{t}.high > {t}.low AND {t}.high {sign} {value} AND NOT ({t}.low {sign} {value})"
            ),
        })
    }

    fn composite_tests(&mut self, t: &str, values: &[Vec<ComponentTest>], numbers: Use) -> String {
        let tests: Vec<String> = values
            .iter()
            .map(|components| self.composite_test(t, components, numbers))
            .collect();
        either(&tests)
    }

    /// One value. Which columns a component has follows from those before it, see
    /// [`CompositeRow`](crate::search::extract::CompositeRow).
    fn composite_test(&mut self, t: &str, components: &[ComponentTest], own: Use) -> String {
        let numbers = components
            .iter()
            .filter(|test| matches!(test, ComponentTest::Number(_)))
            .count();
        let mut codes = ["code", "code2"].iter().zip(["system", "system2"]);
        let mut spans = if numbers > 1 {
            // Of two numbers one is in `low`, the other in `high`.
            vec![("high", "high"), ("low", "low")]
        } else {
            vec![("low", "high")]
        };
        let mut all = Vec::new();
        for test in components {
            let (code, system) = match test {
                ComponentTest::Token(_)
                | ComponentTest::Reference(_)
                | ComponentTest::Quantity(_)
                | ComponentTest::Amounts(_) => codes.next().unwrap_or((&"code2", "system2")),
                _ => (&"", ""),
            };
            let (low, high) = match test {
                ComponentTest::Number(_)
                | ComponentTest::Quantity(_)
                | ComponentTest::Amounts(_)
                | ComponentTest::Date(_) => spans.pop().unwrap_or(("low", "high")),
                _ => ("", ""),
            };
            let plus = match own {
                Use::Seek => "",
                Use::Look => "+",
            };
            let (low, high) = (format!("{plus}{t}.{low}"), format!("{plus}{t}.{high}"));
            match test {
                ComponentTest::Token(token) => {
                    if let Some(CodeTest::Is(code_is)) = &token.code {
                        let bound = self.sql.bind(self.keys.code(&fold(code_is)));
                        all.push(format!("{t}.{code} = {bound}"));
                    }
                    all.extend(self.composite_system(t, system, &token.system));
                }
                ComponentTest::Reference(targets) => {
                    let keys: Vec<i64> = targets.iter().map(|own| self.target_key(own)).collect();
                    let keys = self.equals(keys);
                    all.push(format!("{t}.{code} {keys}"));
                }
                ComponentTest::String(text) => {
                    all.push(self.begins_with(&format!("{t}.text"), &normalize(text)));
                }
                ComponentTest::Uri(uri) => {
                    let uri = self.sql.bind(uri.as_str());
                    all.push(format!("{t}.text = {uri}"));
                }
                ComponentTest::Number(number) => {
                    all.push(self.number_test(&low, &high, number));
                }
                ComponentTest::Quantity(quantity) => {
                    all.push(self.number_test(&low, &high, &quantity.number));
                    if let Some(unit) = &quantity.unit {
                        let bound = self.sql.bind(self.keys.code(unit));
                        all.push(format!("{t}.{code} = {bound}"));
                    }
                    all.extend(self.composite_system(t, system, &quantity.system));
                }
                ComponentTest::Amounts(amounts) => {
                    let mut any = Vec::with_capacity(amounts.len());
                    for amount in amounts {
                        let number = self.number_test(&low, &high, &amount.number);
                        let units = amount.units.iter().map(|unit| self.keys.code(unit));
                        let units: Vec<i64> = units.collect();
                        any.push(format!("({number} AND {t}.{code} {})", self.equals(units)));
                    }
                    all.push(either(&any));
                    let ucum = SystemTest::Is(UCUM.to_owned());
                    all.extend(self.composite_system(t, system, &ucum));
                }
                ComponentTest::Date(span) => {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "ms of the years 1 to 9999 are exact in a float"
                    )]
                    all.push(self.span_test(&low, &high, span, |ms| Value::from(ms as f64)));
                }
            }
        }
        format!("({})", all.join(" AND "))
    }

    fn composite_system(&mut self, t: &str, column: &str, system: &SystemTest) -> Option<String> {
        match system {
            SystemTest::Any => None,
            SystemTest::None => Some(format!("{t}.{column} = 0")),
            SystemTest::Is(uri) => {
                let system = self.sql.bind(self.keys.system(uri));
                Some(format!("{t}.{column} = {system}"))
            }
        }
    }
}
