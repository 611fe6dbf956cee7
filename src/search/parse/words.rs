//! `_text` and `_content`: words, `"phrases"`, `word*`, `OR`, `NOT` or `-`; what stands side by
//! side must all be there, words whole and folded.

use super::split::unescape;
use super::{Problem, Reader};
use crate::search::extract::words;
use crate::search::query::{Condition, Term};

impl Reader<'_> {
    pub(super) fn words(&mut self, name: &str, raw: &str) -> Result<Condition, Problem> {
        let pieces = self.pieces(name, raw)?;
        let mut any = Vec::new();
        for piece in pieces {
            for group in groups(&unescape(piece)) {
                if !group.iter().any(|term| !term.not) {
                    return Err(Problem::refused(format!(
                        "'{name}' needs at least one word that is to be there"
                    )));
                }
                any.push(group);
            }
        }
        Ok(Condition::Text {
            narrative: name == "_text",
            any,
        })
    }
}

/// Groups that `OR` parts, each with its terms.
fn groups(text: &str) -> Vec<Vec<Term>> {
    let mut groups = vec![Vec::new()];
    let mut not = false;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('-') {
            not = true;
            rest = tail;
            continue;
        }
        let (token, tail, is_phrase) = match rest.strip_prefix('"') {
            Some(inner) => {
                let (token, tail) = inner.split_once('"').unwrap_or((inner, ""));
                (token, tail, true)
            }
            None => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || c == '"')
                    .unwrap_or(rest.len());
                let (token, tail) = rest.split_at(end);
                (token, tail, false)
            }
        };
        match token {
            "OR" if !is_phrase => groups.push(Vec::new()),
            "AND" if !is_phrase => {}
            "NOT" if !is_phrase => not = true,
            token => {
                let words = words(token);
                if !words.is_empty()
                    && let Some(group) = groups.last_mut()
                {
                    group.push(Term {
                        not,
                        words,
                        is_prefix: token.ends_with('*') || tail.starts_with('*'),
                    });
                }
                not = false;
            }
        }
        rest = tail.trim_start_matches('*').trim_start();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_what_joins_them() {
        let term = |not, words: &[&str], is_prefix| Term {
            not,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            is_prefix,
        };
        assert_eq!(
            groups(r#"Heart "Blood  pressure" OR -low NOT X ren* AND"#),
            [
                vec![
                    term(false, &["heart"], false),
                    term(false, &["blood", "pressure"], false)
                ],
                vec![
                    term(true, &["low"], false),
                    term(true, &["x"], false),
                    term(false, &["ren"], true)
                ],
            ]
        );
        assert_eq!(groups("'); --"), [Vec::new()]);
    }
}
