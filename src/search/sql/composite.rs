//! Composites: two values of one occurrence, side by side in `idx_composite`.

use sea_orm::Value;

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::extract::normalize;
use crate::search::query::{ComponentTest, SystemTest, TokenTest};

impl Lower<'_> {
    pub(super) fn composite_probe(
        &mut self,
        param: &SearchParam,
        values: &[Vec<ComponentTest>],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.composite_tests(&t, values);
        format!(
            "EXISTS (SELECT 1 FROM idx_composite {t} WHERE {t}.id = {}.id AND {t}.param = {} \
             AND {tests})",
            row.alias, param.id
        )
    }

    pub(super) fn composite_source(
        &mut self,
        param: &SearchParam,
        values: &[Vec<ComponentTest>],
        row: &Row,
    ) -> Source {
        let tests = self.composite_tests(&row.alias, values);
        Source {
            table: "idx_composite",
            conditions: vec![
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats: true,
        }
    }

    fn composite_tests(&mut self, t: &str, values: &[Vec<ComponentTest>]) -> String {
        let tests: Vec<String> = values
            .iter()
            .map(|components| {
                let mut first = true;
                let all: Vec<String> = components
                    .iter()
                    .map(|component| self.component_test(t, component, &mut first))
                    .collect();
                format!("({})", all.join(" AND "))
            })
            .collect();
        either(&tests)
    }

    /// One component; `first`: the first token has not been seen yet, see
    /// [`CompositeRow`](crate::search::extract::CompositeRow).
    fn component_test(&mut self, t: &str, test: &ComponentTest, first: &mut bool) -> String {
        match test {
            ComponentTest::Token(token) => {
                let number = if std::mem::take(first) { "" } else { "2" };
                self.component_token(t, number, token)
            }
            ComponentTest::Reference(targets) => {
                let keys: Vec<i64> = targets.iter().map(|own| self.target_key(own)).collect();
                let keys = self.equals(keys);
                format!("{t}.code2 {keys}")
            }
            ComponentTest::String(text) => {
                let column = format!("{t}.text");
                self.begins_with(&column, &normalize(text))
            }
            ComponentTest::Uri(uri) => {
                let uri = self.sql.bind(uri.as_str());
                format!("{t}.text = {uri}")
            }
            ComponentTest::Number(number) => self.number_test(t, number),
            ComponentTest::Quantity(quantity) => {
                let mut all = vec![self.number_test(t, &quantity.number)];
                if quantity.unit.is_some() || quantity.system != SystemTest::Any {
                    let unit = TokenTest {
                        system: quantity.system.clone(),
                        code: quantity.unit.clone(),
                    };
                    all.push(self.component_token(t, "2", &unit));
                }
                all.join(" AND ")
            }
            ComponentTest::Date(span) => {
                let (low, high) = (format!("{t}.low"), format!("{t}.high"));
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "ms of the years 1 to 9999 are exact in a float"
                )]
                self.span_test(&low, &high, span, |ms| Value::from(ms as f64))
            }
        }
    }

    fn component_token(&mut self, t: &str, number: &str, token: &TokenTest) -> String {
        let mut all = Vec::with_capacity(2);
        if let Some(code) = &token.code {
            let code = self.sql.bind(self.keys.code(code));
            all.push(format!("{t}.code{number} = {code}"));
        }
        match &token.system {
            SystemTest::Any => {}
            SystemTest::None => all.push(format!("{t}.system{number} = 0")),
            SystemTest::Is(uri) => {
                let system = self.sql.bind(self.keys.system(uri));
                all.push(format!("{t}.system{number} = {system}"));
            }
        }
        all.join(" AND ")
    }
}
