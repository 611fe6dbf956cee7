//! Tokens: codes, identifiers, booleans.

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::extract::of_type_key;
use crate::search::query::{CodeTest, SystemTest, TokenTest};

impl Lower<'_> {
    pub(super) fn token_probe(
        &mut self,
        param: &SearchParam,
        values: &[TokenTest],
        not: bool,
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.token_tests(&t, values);
        let negation = if not { "NOT " } else { "" };
        if values.iter().all(|value| value.code.is_some()) {
            return format!(
                "{negation}EXISTS (SELECT 1 FROM idx_token {t} WHERE {} AND {t}.param = {} \
                 AND {tests} AND {t}.id = {}.id{})",
                row.same_type(&t),
                param.id,
                row.alias,
                row.fence()
            );
        }
        // Without a code there is nothing to seek by: a set, computed once.
        format!(
            "{}.id {negation}IN (SELECT {t}.id FROM idx_token {t} WHERE {} AND {t}.param = {}{} \
             AND {tests})",
            row.alias,
            row.any_type(&t),
            param.id,
            row.and_pin(&t)
        )
    }

    pub(super) fn token_source(
        &mut self,
        param: &SearchParam,
        values: &[TokenTest],
        row: &Row,
    ) -> Source {
        let tests = self.token_tests(&row.alias, values);
        // One code in one system is one row for each resource.
        let repeats = !matches!(
            values,
            [TokenTest {
                system: SystemTest::None | SystemTest::Is(_),
                code: Some(_)
            }]
        );
        Source {
            table: "idx_token",
            conditions: vec![
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats,
        }
    }

    /// What the code and system columns must say.
    fn token_tests(&mut self, t: &str, values: &[TokenTest]) -> String {
        if let [one] = values {
            return self.token_test(t, one);
        }
        let codes: Option<Vec<i64>> = values
            .iter()
            .map(|value| value.code.as_ref().map(|code| self.code_key(code)))
            .collect();
        let Some(codes) = codes else {
            let tests: Vec<String> = values.iter().map(|v| self.token_test(t, v)).collect();
            return either(&tests);
        };
        // The list of codes is what the index is asked; systems are looked at on the way.
        let list = self.equals(codes);
        let all_same = values.windows(2).all(|pair| match pair {
            [a, b] => a.system == b.system,
            _ => true,
        });
        if all_same {
            let system = values.first().and_then(|v| self.system_test(t, &v.system));
            return match system {
                None => format!("{t}.code {list}"),
                Some(system) => format!("{t}.code {list} AND {system}"),
            };
        }
        let tests: Vec<String> = values.iter().map(|v| self.token_test(t, v)).collect();
        format!("{t}.code {list} AND {}", either(&tests))
    }

    fn token_test(&mut self, t: &str, value: &TokenTest) -> String {
        let code = value.code.as_ref().map(|code| {
            let code = self.sql.bind(self.code_key(code));
            format!("{t}.code = {code}")
        });
        let system = self.system_test(t, &value.system);
        match (code, system) {
            (Some(code), Some(system)) => format!("({code} AND {system})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => super::NEVER.to_owned(),
        }
    }

    fn code_key(&self, code: &CodeTest) -> i64 {
        match code {
            CodeTest::Is(code) => self.keys.code(code),
            CodeTest::OfType { type_code, value } => of_type_key(self.keys, type_code, value),
        }
    }

    /// What the system column must say; None: anything.
    pub(super) fn system_test(&mut self, t: &str, system: &SystemTest) -> Option<String> {
        match system {
            SystemTest::Any => None,
            SystemTest::None => Some(format!("{t}.system = 0")),
            SystemTest::Is(uri) => {
                let system = self.sql.bind(self.keys.system(uri));
                Some(format!("{t}.system = {system}"))
            }
        }
    }
}
