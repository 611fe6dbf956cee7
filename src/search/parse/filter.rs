//! `_filter`: comparisons joined with `and`, `or` and `not` (FHIR R4 search_filter). A comparison
//! is written with the search parameter's own kind of condition.

use super::{Problem, Reader, date, excerpt, number, value};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId};
use crate::search::query::{
    Condition, NumberTest, Param, Prefix, SpanTest, StringMode, SystemTest, TokenTest, UriMode,
};

/// How deep brackets may stand in each other.
const DEPTH: usize = 10;

/// A piece of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lexeme {
    Open,
    Close,
    OpenSquare,
    CloseSquare,
    /// A name, an operator or a value without quotes.
    Word(String),
    Quoted(String),
}

impl Reader<'_> {
    /// The condition that a filter says about resources of these types.
    pub(super) fn filter(&mut self, types: &[TypeId], raw: &str) -> Result<Condition, Problem> {
        let lexemes = lexemes(raw)?;
        let mut parser = Parser {
            reader: self,
            lexemes: &lexemes,
            at: 0,
            depth: 0,
        };
        // A filter without one of its comparisons would be another filter: nothing is left out.
        let condition = parser.either(types).map_err(|problem| match problem {
            Problem::Unknown(name) => broken(&format!(
                "the search parameter '{}' is unknown",
                excerpt(&name)
            )),
            Problem::Building(name) => broken(&format!(
                "the index of the search parameter '{}' is not yet built, see $reindex-status",
                excerpt(&name)
            )),
            refused @ Problem::Refused(_) => refused,
        })?;
        match parser.peek() {
            None => Ok(condition),
            Some(_) => Err(broken("expected 'and', 'or' or the end")),
        }
    }
}

fn broken(words: &str) -> Problem {
    Problem::refused(format!("'_filter': {words}"))
}

fn lexemes(raw: &str) -> Result<Vec<Lexeme>, Problem> {
    let mut all = Vec::new();
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        all.push(match letter {
            '(' => Lexeme::Open,
            ')' => Lexeme::Close,
            '[' => Lexeme::OpenSquare,
            ']' => Lexeme::CloseSquare,
            '"' => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        None => return Err(broken("a quote is not closed")),
                        Some('"') => break,
                        Some('\\') => text.extend(letters.next()),
                        Some(other) => text.push(other),
                    }
                }
                Lexeme::Quoted(text)
            }
            letter if letter.is_whitespace() => continue,
            letter => {
                let mut text = String::from(letter);
                while let Some(next) = letters.peek() {
                    if next.is_whitespace() || "()[]\"".contains(*next) {
                        break;
                    }
                    text.extend(letters.next());
                }
                Lexeme::Word(text)
            }
        });
    }
    Ok(all)
}

struct Parser<'p, 'a> {
    reader: &'p mut Reader<'a>,
    lexemes: &'p [Lexeme],
    at: usize,
    depth: usize,
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<&Lexeme> {
        self.lexemes.get(self.at)
    }

    fn next(&mut self) -> Option<Lexeme> {
        let next = self.peek().cloned();
        self.at += 1;
        next
    }

    fn takes(&mut self, wanted: &Lexeme) -> bool {
        let takes = self.peek() == Some(wanted);
        self.at += usize::from(takes);
        takes
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Lexeme::Word(word.to_owned()))
    }

    /// `a or b`; `and` binds closer.
    fn either(&mut self, types: &[TypeId]) -> Result<Condition, Problem> {
        let mut any = vec![self.both(types)?];
        while self.takes_word("or") {
            any.push(self.both(types)?);
        }
        Ok(match any.pop() {
            Some(one) if any.is_empty() => one,
            last => {
                any.extend(last);
                Condition::Any(any)
            }
        })
    }

    fn both(&mut self, types: &[TypeId]) -> Result<Condition, Problem> {
        let mut all = vec![self.term(types)?];
        while self.takes_word("and") {
            all.push(self.term(types)?);
        }
        Ok(match all.pop() {
            Some(one) if all.is_empty() => one,
            last => {
                all.extend(last);
                Condition::All(all)
            }
        })
    }

    fn term(&mut self, types: &[TypeId]) -> Result<Condition, Problem> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(broken("brackets stand too deep in each other"));
        }
        let condition = if self.takes_word("not") {
            let inner = self.term(types)?;
            Condition::Not(Box::new(inner))
        } else if self.takes(&Lexeme::Open) {
            let inner = self.either(types)?;
            if !self.takes(&Lexeme::Close) {
                return Err(broken("expected ')'"));
            }
            inner
        } else {
            match self.next() {
                Some(Lexeme::Word(path)) => self.comparison(types, &path)?,
                _ => return Err(broken("expected a search parameter, 'not' or '('")),
            }
        };
        self.depth -= 1;
        Ok(condition)
    }

    /// `name op value`, `reference.name op value`, `reference[filter].name op value`.
    fn comparison(&mut self, types: &[TypeId], path: &str) -> Result<Condition, Problem> {
        let (code, rest) = match path.split_once('.') {
            Some((code, rest)) => (code, Some(rest)),
            None => (path, None),
        };
        if rest.is_none() && self.peek() != Some(&Lexeme::OpenSquare) {
            return self.simple(types, code);
        }
        let own = self.reader.param(types, code)?;
        if own.kind != ParamKind::Reference {
            return Err(broken("only a reference has parts ('.' and '[]')"));
        }
        self.reader.deeper()?;
        let start = self.at;
        let mut end = start;
        let mut links = Vec::new();
        let mut first_problem = None;
        for target in self.reader.target_types(types, own) {
            self.at = start;
            match self.link(target, rest) {
                Ok(condition) => {
                    end = self.at;
                    links.push((target, condition));
                }
                Err(problem @ Problem::Unknown(_)) => {
                    first_problem = first_problem.or(Some(problem));
                }
                Err(problem) => return Err(problem),
            }
        }
        self.reader.depth -= 1;
        self.at = end;
        if links.is_empty() {
            return Err(first_problem.unwrap_or_else(|| Problem::Unknown(path.to_owned())));
        }
        Ok(Condition::Chain {
            param: Param(own),
            links,
        })
    }

    fn link(&mut self, target: TypeId, rest: Option<&str>) -> Result<Condition, Problem> {
        let types = [target];
        let mut all = Vec::new();
        if self.takes(&Lexeme::OpenSquare) {
            all.push(self.either(&types)?);
            if !self.takes(&Lexeme::CloseSquare) {
                return Err(broken("expected ']'"));
            }
        }
        let rest = match (rest, self.peek()) {
            (Some(rest), _) => Some(rest.to_owned()),
            (None, Some(Lexeme::Word(word))) if word.starts_with('.') => {
                let rest = word.trim_start_matches('.').to_owned();
                self.at += 1;
                Some(rest)
            }
            (None, _) => None,
        };
        if let Some(rest) = rest {
            all.push(self.comparison(&types, &rest)?);
        }
        Ok(match all.pop() {
            Some(one) if all.is_empty() => one,
            last => {
                all.extend(last);
                Condition::All(all)
            }
        })
    }

    fn simple(&mut self, types: &[TypeId], code: &str) -> Result<Condition, Problem> {
        let (Some(Lexeme::Word(operator)), Some(value)) = (self.next(), self.next()) else {
            return Err(broken("expected an operator and a value"));
        };
        let value = match value {
            Lexeme::Word(text) | Lexeme::Quoted(text) => text,
            _ => return Err(broken("expected a value")),
        };
        let own = self.reader.param(types, code)?;
        self.reader.count_value(code)?;
        let wrong = || Problem::value(code, &value, "a value of the parameter's kind");
        let not_for = || {
            Problem::unsupported(format!(
                "'_filter': the operator '{}' is not supported on '{code}'",
                excerpt(&operator)
            ))
        };
        if operator == "pr" {
            let wanted = match value.as_str() {
                "true" => "false",
                "false" => "true",
                _ => return Err(Problem::value(code, &value, "true or false")),
            };
            return value::condition(self.reader, types, own, Some("missing"), wanted);
        }
        let negated = |operator: &str, condition: Condition| match operator {
            "ne" | "ni" => Condition::Not(Box::new(condition)),
            _ => condition,
        };
        match (own.kind, code, operator.as_str()) {
            (_, "_id", "eq" | "ne") => Ok(negated(&operator, Condition::Id(vec![value]))),
            (_, "_id", _) => Err(not_for()),
            (ParamKind::Date, _, operator) => {
                let prefix = prefix(operator).ok_or_else(not_for)?;
                let test = date::parse(&value).ok_or_else(wrong)?;
                // A prefix inside the value would say something else.
                if test.prefix != Prefix::Eq || value.starts_with("eq") {
                    return Err(wrong());
                }
                let values = vec![SpanTest { prefix, ..test }];
                Ok(if code == "_lastUpdated" {
                    Condition::LastUpdated(values)
                } else {
                    Condition::Date {
                        param: Param(own),
                        values,
                    }
                })
            }
            (ParamKind::Number, _, operator) => {
                let values = vec![numeric(operator, &value).ok_or_else(wrong)?];
                Ok(Condition::Number {
                    param: Param(own),
                    values,
                })
            }
            (ParamKind::Quantity, _, operator) => {
                let mut test = value::quantity(&value).ok_or_else(wrong)?;
                let amount = value.split('|').next().unwrap_or_default();
                test.number = numeric(operator, amount).ok_or_else(wrong)?;
                Ok(Condition::Quantity {
                    param: Param(own),
                    values: vec![test],
                })
            }
            (ParamKind::String, _, operator) => {
                let mode = match operator {
                    "eq" | "ne" => StringMode::Is,
                    "co" => StringMode::Contains,
                    "sw" => StringMode::Prefix,
                    "ew" => StringMode::Ends,
                    "gt" => StringMode::After,
                    "ge" => StringMode::From,
                    "lt" => StringMode::Before,
                    "le" => StringMode::UpTo,
                    _ => return Err(not_for()),
                };
                Ok(negated(operator, strings(own, mode, value)))
            }
            (ParamKind::Token, _, operator) => match operator {
                "eq" | "ne" => Ok(negated(
                    operator,
                    Condition::Token {
                        param: Param(own),
                        values: vec![value::token(&value).ok_or_else(wrong)?],
                        not: false,
                    },
                )),
                "co" => Ok(strings(own, StringMode::Contains, value)),
                "sw" => Ok(strings(own, StringMode::Prefix, value)),
                "ew" => Ok(strings(own, StringMode::Ends, value)),
                "in" | "ni" => Ok(Condition::ValueSet {
                    param: Param(own),
                    sets: vec![value],
                    not: operator == "ni",
                }),
                // The value subsumes a code of the resource, or is subsumed by one.
                "ss" | "sb" => match value::token(&value).ok_or_else(wrong)? {
                    TokenTest {
                        system: SystemTest::Is(_),
                        code: Some(_),
                    } => value::condition(
                        self.reader,
                        types,
                        own,
                        Some(if operator == "ss" { "below" } else { "above" }),
                        &value,
                    ),
                    _ => Err(wrong()),
                },
                _ => Err(not_for()),
            },
            (ParamKind::Reference, _, "eq" | "ne" | "re") => {
                let condition = value::condition(self.reader, types, own, None, &value)?;
                Ok(negated(&operator, condition))
            }
            (ParamKind::Uri, _, operator) => {
                let mode = match operator {
                    "eq" | "ne" => UriMode::Exact,
                    "sw" | "ss" => UriMode::Below,
                    "sb" => UriMode::Above,
                    _ => return Err(not_for()),
                };
                Ok(negated(
                    operator,
                    Condition::Uri {
                        param: Param(own),
                        mode,
                        values: vec![value],
                    },
                ))
            }
            _ => Err(not_for()),
        }
    }
}

fn strings(own: &'static SearchParam, mode: StringMode, value: String) -> Condition {
    Condition::String {
        param: Param(own),
        mode,
        values: vec![value],
    }
}

fn numeric(operator: &str, value: &str) -> Option<NumberTest> {
    let prefix = prefix(operator).filter(|prefix| *prefix != Prefix::Po)?;
    // The prefix first: `ap` widens the range.
    let test = number::parse(&format!("{operator}{value}"))?;
    (test.prefix == prefix && value.starts_with(|c: char| !c.is_ascii_alphabetic())).then_some(test)
}

fn prefix(operator: &str) -> Option<Prefix> {
    Some(match operator {
        "eq" => Prefix::Eq,
        "ne" => Prefix::Ne,
        "gt" => Prefix::Gt,
        "lt" => Prefix::Lt,
        "ge" => Prefix::Ge,
        "le" => Prefix::Le,
        "ap" => Prefix::Ap,
        "sa" => Prefix::Sa,
        "eb" => Prefix::Eb,
        "po" => Prefix::Po,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::definitions;

    fn read(type_name: &str, filter: &str) -> Result<Condition, Problem> {
        let type_id = definitions().type_id(type_name).unwrap();
        Reader::new("").filter(&[type_id], filter)
    }

    #[test]
    fn and_binds_closer_than_or() {
        let one = |filter| read("Patient", filter).unwrap();
        let (a, b, c) = (
            one("name co \"pet\""),
            one("birthdate ge 2014-10-10"),
            one("gender eq male"),
        );
        assert_eq!(
            one("name co \"pet\" and birthdate ge 2014-10-10 or gender eq male"),
            Condition::Any(vec![Condition::All(vec![a.clone(), b.clone()]), c.clone()])
        );
        assert_eq!(
            one("name co \"pet\" and (birthdate ge 2014-10-10 or not (gender eq male))"),
            Condition::All(vec![
                a,
                Condition::Any(vec![b, Condition::Not(Box::new(c))])
            ])
        );
    }

    #[test]
    fn references_have_parts() {
        for filter in [
            "subject.name co \"x\"",
            "subject[gender eq male].birthdate lt 2000",
            "patient[gender eq male]",
            "encounter.subject.name sw x and status eq final",
        ] {
            let condition = read("Observation", filter);
            assert!(condition.is_ok(), "{filter}: {condition:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in [
            "",
            "name",
            "name eq",
            "name xx y",
            "(name eq x",
            "name eq x)",
            "name eq \"x",
            "name eq x and",
            "not",
            "birthdate eq yesterday",
            "birthdate ge gt2000",
            "gender gt male",
            "nothing eq x",
            "name.given eq x",
            "[name eq x]",
            &"(".repeat(50),
        ] {
            assert!(read("Patient", bad).is_err(), "{bad}");
        }
    }
}
