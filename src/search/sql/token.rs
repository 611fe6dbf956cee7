//! Tokens: codes, identifiers, booleans.

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::keys::Keys;
use crate::search::extract::{fold, is_folded, lacking, of_type_key, of_type_system};
use crate::search::query::{CodeTest, SystemTest, TokenTest, Types};

impl Lower<'_> {
    pub(super) fn token_probe(
        &mut self,
        param: &SearchParam,
        values: &[TokenTest],
        not: bool,
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.token_tests(&t, param, values, row);
        let negation = if not { "NOT " } else { "" };
        if values.iter().all(|value| value.code.is_some()) {
            return format!(
                "{negation}EXISTS (SELECT 1 FROM idx_token {t} WHERE {} AND {t}.param = {}{} \
                 AND {tests} AND {t}.id = {}.id{})",
                row.same_type(&t),
                param.id,
                row.and_one_pin(&t),
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
        let tests = self.token_tests(&row.alias, param, values, row);
        // One code in one system is one row for each resource.
        let repeats = !matches!(
            values,
            [TokenTest {
                system: SystemTest::None | SystemTest::Is(_),
                code: Some(_)
            }]
        );
        Source {
            table: "idx_token".into(),
            conditions: vec![
                row.each_type(),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats,
        }
    }

    /// A source of `status:not=final`, where every resource has one code: the index below that code,
    /// above it, and those that have none although they must. So it is known at once that everything
    /// is final. Only for what [`is_exception`](crate::search::plan::driver::is_exception).
    pub(super) fn other_codes_source(
        &mut self,
        param: &SearchParam,
        values: &[TokenTest],
        row: &Row,
    ) -> Source {
        let spelling = Spelling::of(param, &row.types);
        let mut keys: Vec<i64> = values
            .iter()
            .filter_map(|value| value.code.as_ref())
            .flat_map(|code| code_keys(self.keys, code, spelling))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let t = &row.alias;
        let mut ranges = Vec::with_capacity(keys.len() + 2);
        let mut above = String::new();
        for key in keys {
            let key = self.sql.bind(key);
            ranges.push(format!("{} AND {above}{t}.code < {key}", param.id));
            above = format!("{t}.code > {key} AND ");
        }
        ranges.push(format!(
            "{} AND {}",
            param.id,
            above.trim_end_matches(" AND ")
        ));
        ranges.push(lacking(param).to_string());
        let pin = row.and_pin(t);
        let parts: Vec<String> = ranges
            .into_iter()
            .map(|range| {
                format!(
                    "SELECT {t}.id, {t}.patient, {t}.type FROM idx_token {t} \
                     WHERE {}{pin} AND {t}.param = {range}",
                    row.any_type(t)
                )
            })
            .collect();
        Source {
            table: format!("({})", parts.join(" UNION ALL ")).into(),
            conditions: Vec::new(),
            repeats: false,
        }
    }

    /// What the code and system columns must say.
    fn token_tests(
        &mut self,
        t: &str,
        param: &SearchParam,
        values: &[TokenTest],
        row: &Row,
    ) -> String {
        let spelling = Spelling::of(param, &row.types);
        if let [one] = values {
            return self.token_test(t, one, spelling);
        }
        if values.iter().any(|value| value.code.is_none()) {
            let tests: Vec<String> = values
                .iter()
                .map(|value| self.token_test(t, value, spelling))
                .collect();
            return either(&tests);
        }
        let codes = |lower: &Self, values: &[&TokenTest]| -> Vec<i64> {
            values
                .iter()
                .filter_map(|value| value.code.as_ref())
                .flat_map(|code| code_keys(lower.keys, code, spelling))
                .collect()
        };
        // The list of codes is what the index is asked; systems are looked at on the way.
        let all: Vec<&TokenTest> = values.iter().collect();
        let list = self.equals(codes(self, &all));
        let mut systems: Vec<(Option<i32>, Vec<&TokenTest>)> = Vec::new();
        for value in values {
            let system = system_key(self.keys, value);
            match systems.iter_mut().find(|(own, _)| *own == system) {
                Some((_, same)) => same.push(value),
                None => systems.push((system, vec![value])),
            }
        }
        if let [(system, _)] = systems.as_slice() {
            return match system {
                None => format!("{t}.code {list}"),
                Some(system) => {
                    let system = self.sql.bind(*system);
                    format!("{t}.code {list} AND {t}.system = {system}")
                }
            };
        }
        let tests: Vec<String> = systems
            .into_iter()
            .map(|(system, same)| {
                let own = self.equals(codes(self, &same));
                match system {
                    None => format!("{t}.code {own}"),
                    Some(system) => {
                        let system = self.sql.bind(system);
                        format!("({t}.code {own} AND {t}.system = {system})")
                    }
                }
            })
            .collect();
        format!("{t}.code {list} AND {}", either(&tests))
    }

    fn token_test(&mut self, t: &str, value: &TokenTest, spelling: Spelling) -> String {
        let code = value.code.as_ref().map(|code| {
            let keys = code_keys(self.keys, code, spelling);
            format!("{t}.code {}", self.equals(keys))
        });
        let system = system_key(self.keys, value).map(|system| {
            if system == 0 {
                format!("{t}.system = 0")
            } else {
                format!("{t}.system = {}", self.sql.bind(system))
            }
        });
        match (code, system) {
            (Some(code), Some(system)) => format!("({code} AND {system})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => super::NEVER.to_owned(),
        }
    }

    /// What the system column must say; None: anything.
    pub(in crate::search) fn system_test(
        &mut self,
        t: &str,
        system: &SystemTest,
    ) -> Option<String> {
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

/// What `idx_token.code` holds for a code: more than one key where types differ in whether
/// they fold it.
pub(in crate::search) fn code_keys(keys: &Keys, code: &CodeTest, spelling: Spelling) -> Vec<i64> {
    match code {
        CodeTest::Is(code) => {
            let mut found = Vec::with_capacity(1);
            if spelling != Spelling::Folded {
                found.push(keys.code(code));
            }
            if spelling != Spelling::Exact {
                found.push(keys.code(&fold(code)));
            }
            found.dedup();
            found
        }
        CodeTest::OfType { type_code, value } => vec![of_type_key(keys, type_code, value)],
    }
}

/// What `idx_token.system` must be; None: anything.
pub(in crate::search) fn system_key(keys: &Keys, value: &TokenTest) -> Option<i32> {
    match (&value.system, &value.code) {
        (SystemTest::Any, _) => None,
        (SystemTest::None, _) => Some(0),
        (SystemTest::Is(uri), Some(CodeTest::OfType { .. })) => Some(of_type_system(keys, uri)),
        (SystemTest::Is(uri), _) => Some(keys.system(uri)),
    }
}

/// How the codes of a parameter stand in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::search) enum Spelling {
    Exact,
    Folded,
    Both,
}

impl Spelling {
    pub(in crate::search) fn of(param: &SearchParam, types: &Types) -> Self {
        let mut types = types.as_slice().iter().map(|own| is_folded(*own, param));
        let first = types.next().unwrap_or(false);
        match (first, types.all(|own| own == first)) {
            (_, false) => Self::Both,
            (true, true) => Self::Folded,
            (false, true) => Self::Exact,
        }
    }
}
