//! Strings: names, addresses, and the texts of codes (`:text`).

use super::{Lower, NEVER, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::extract::{MAX_NORM, normalize_all};
use crate::search::query::StringMode;

impl Lower<'_> {
    pub(super) fn string_probe(
        &mut self,
        param: &SearchParam,
        mode: StringMode,
        values: &[String],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.string_tests(&t, mode, values);
        format!(
            "EXISTS (SELECT 1 FROM idx_string {t} WHERE {t}.id = {}.id AND {t}.param = {} \
             AND {tests}{})",
            row.alias,
            param.id,
            row.fence()
        )
    }

    pub(super) fn string_source(
        &mut self,
        param: &SearchParam,
        mode: StringMode,
        values: &[String],
        row: &Row,
    ) -> Source {
        let tests = self.string_tests(&row.alias, mode, values);
        Source {
            table: "idx_string".into(),
            conditions: vec![
                row.any_type(&row.alias),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats: true,
        }
    }

    fn string_tests(&mut self, t: &str, mode: StringMode, values: &[String]) -> String {
        if mode == StringMode::Is && values.len() > 1 {
            return self.whole(t, values);
        }
        let tests: Vec<String> = values
            .iter()
            .map(|value| {
                let (norm, more) = normalize_all(value);
                if norm.is_empty() {
                    // Nothing is left after folding; everything would begin with it.
                    return NEVER.to_owned();
                }
                match mode {
                    StringMode::Prefix if more.is_empty() => {
                        self.begins_with(&format!("{t}.norm"), &norm)
                    }
                    StringMode::Prefix => {
                        let norm = self.sql.bind(norm);
                        let more = self.sql.bind(format!("{}%", like_escape(&more)));
                        format!("({t}.norm = {norm} AND {t}.more LIKE {more} ESCAPE '!')")
                    }
                    StringMode::Exact => {
                        let norm = self.sql.bind(norm);
                        let exact = self.sql.bind(value.as_str());
                        format!("({t}.norm = {norm} AND {t}.exact = {exact})")
                    }
                    StringMode::Contains => {
                        let sought = like_escape(&(norm + &more));
                        self.like(t, &format!("%{sought}%"))
                    }
                    StringMode::Is if norm.chars().count() < MAX_NORM => {
                        format!("{t}.norm = {}", self.sql.bind(norm))
                    }
                    StringMode::Is => {
                        let norm = self.sql.bind(norm);
                        let more = self.sql.bind(more);
                        format!("({t}.norm = {norm} AND {t}.more = {more})")
                    }
                    StringMode::Ends => {
                        let pattern = self.sql.bind(format!("%{}", like_escape(&(norm + &more))));
                        format!("{t}.norm || {t}.more LIKE {pattern} ESCAPE '!'")
                    }
                    StringMode::After
                    | StringMode::From
                    | StringMode::Before
                    | StringMode::UpTo => {
                        let operator = match mode {
                            StringMode::After => ">",
                            StringMode::From => ">=",
                            StringMode::Before => "<",
                            _ => "<=",
                        };
                        format!("{t}.norm {operator} {}", self.sql.bind(norm))
                    }
                    StringMode::Words => {
                        let sought = like_escape(&(norm + &more));
                        let mut any = vec![self.like(t, &format!("{sought}%"))];
                        for before in WORD_STARTS {
                            any.push(self.like(t, &format!("%{before}{sought}%")));
                        }
                        either(&any)
                    }
                }
            })
            .collect();
        either(&tests)
    }

    /// The text is one of these: short ones as a list that the index serves.
    fn whole(&mut self, t: &str, values: &[String]) -> String {
        let (short, long): (Vec<_>, Vec<_>) = values
            .iter()
            .map(|value| normalize_all(value))
            .filter(|(norm, _)| !norm.is_empty())
            // Of shorter ones nothing is cut off.
            .partition(|(norm, _)| norm.chars().count() < MAX_NORM);
        let mut tests = Vec::with_capacity(long.len() + 1);
        if !short.is_empty() {
            let list = self.equals(short.into_iter().map(|(norm, _)| norm));
            tests.push(format!("{t}.norm {list}"));
        }
        for (norm, more) in long {
            let (norm, more) = (self.sql.bind(norm), self.sql.bind(more));
            tests.push(format!("({t}.norm = {norm} AND {t}.more = {more})"));
        }
        either(&tests)
    }

    /// The folded text is like a pattern; the part that is not in the index is looked at where
    /// there is one.
    fn like(&mut self, t: &str, pattern: &str) -> String {
        let pattern = self.sql.bind(pattern);
        format!(
            "({t}.norm LIKE {pattern} ESCAPE '!' OR (length({t}.norm) = 256 \
             AND {t}.norm || {t}.more LIKE {pattern} ESCAPE '!'))"
        )
    }

    /// `column` begins with a text, as a range that an index serves.
    pub(super) fn begins_with(&mut self, column: &str, text: &str) -> String {
        let low = self.sql.bind(text);
        let high = self.sql.bind(format!("{text}\u{10ffff}"));
        format!("({column} >= {low} AND {column} < {high})")
    }
}

/// What a word may come after, beside the start of the text.
pub(in crate::search) const WORD_STARTS: [&str; 6] = [" ", "(", "[", "/", "-", "\""];

/// A text that LIKE takes literally, with `ESCAPE '!'`.
pub(super) fn like_escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern
}
