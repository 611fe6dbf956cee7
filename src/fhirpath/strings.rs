//! String functions (N1 section 5.6). Positions count characters.

use std::borrow::Cow;

use super::EvalError;
use super::eval::{Evaluator, Found, boolean, integer, single};
use super::function::Function;
use super::node::Node;

/// Longest string that a function may build.
const MAX_STRING: usize = 4 << 20;

pub(crate) fn call<'a>(
    evaluator: &Evaluator<'a>,
    function: Function,
    input: &[Node<'a>],
    arguments: [&[Node<'a>]; 2],
) -> Found<'a> {
    use Function as F;
    let who = function.name();
    let text_of = |items: &[Node<'a>]| match single(items, who)? {
        None => Ok(None),
        Some(item) => item.text().map(Some).ok_or(EvalError::WrongType(who)),
    };
    if function == F::Join {
        let separator = text_of(arguments[0])?.unwrap_or_default();
        let texts: Option<Vec<Cow<'a, str>>> = input.iter().map(Node::text).collect();
        let texts = texts.ok_or(EvalError::WrongType(who))?;
        let length: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
        evaluator.charge(length / 64)?;
        return Ok(vec![Node::String(Cow::Owned(texts.join(&separator)))]);
    }
    let Some(text) = text_of(input)? else {
        return Ok(Vec::new());
    };
    evaluator.charge(text.len() / 64)?;
    let owned = |text: String| vec![Node::String(Cow::Owned(text))];
    let count = |value: usize| vec![Node::Integer(i64::try_from(value).unwrap_or(i64::MAX))];
    match function {
        F::Upper => return Ok(owned(text.to_uppercase())),
        F::Lower => return Ok(owned(text.to_lowercase())),
        F::Trim => return Ok(owned(text.trim().to_owned())),
        F::Length => return Ok(count(text.chars().count())),
        F::ToChars => {
            evaluator.charge(text.len())?;
            return Ok(text
                .chars()
                .map(|c| Node::String(Cow::Owned(c.to_string())))
                .collect());
        }
        F::Substring => {
            let Some(start) = integer(arguments[0], who)? else {
                return Ok(Vec::new());
            };
            let length = integer(arguments[1], who)?;
            let chars = text.chars().count();
            let Some(start) = usize::try_from(start).ok().filter(|start| *start < chars) else {
                return Ok(Vec::new());
            };
            let length = length.map_or(chars, |n| usize::try_from(n.max(0)).unwrap_or(chars));
            return Ok(owned(text.chars().skip(start).take(length).collect()));
        }
        _ => {}
    }
    let Some(first) = text_of(arguments[0])? else {
        return Ok(Vec::new());
    };
    let place = |at: Option<usize>| {
        let before = at.and_then(|at| text.get(..at));
        vec![Node::Integer(
            before
                .and_then(|before| i64::try_from(before.chars().count()).ok())
                .unwrap_or(-1),
        )]
    };
    Ok(match function {
        F::IndexOf => place(text.find(first.as_ref())),
        F::LastIndexOf => place(text.rfind(first.as_ref())),
        F::StartsWith => boolean(text.starts_with(first.as_ref())),
        F::EndsWith => boolean(text.ends_with(first.as_ref())),
        F::ContainsText => boolean(text.contains(first.as_ref())),
        F::Matches => boolean(regex(&first)?.is_match(&text)),
        F::MatchesFull => boolean(regex(&format!("^(?:{first})$"))?.is_match(&text)),
        F::Escape => escaped(&text, &first)
            .into_iter()
            .map(|t| Node::String(t.into()))
            .collect(),
        F::Unescape => unescaped(&text, &first)
            .into_iter()
            .map(|t| Node::String(t.into()))
            .collect(),
        F::Split => {
            let parts: Vec<Node<'a>> = text
                .split(first.as_ref())
                .map(|part| Node::String(Cow::Owned(part.to_owned())))
                .collect();
            evaluator.charge(parts.len())?;
            parts
        }
        _ => {
            let Some(second) = text_of(arguments[1])? else {
                return Ok(Vec::new());
            };
            if (text.len() + 1).saturating_mul(second.len() + 1) > MAX_STRING {
                return Err(EvalError::TooMuchWork);
            }
            let replaced = match function {
                F::Replace => text.replace(first.as_ref(), &second),
                _ if first.is_empty() => text.into_owned(),
                _ => regex(&first)?
                    .replace_all(&text, second.as_ref())
                    .into_owned(),
            };
            evaluator.charge(replaced.len() / 16)?;
            owned(replaced)
        }
    })
}

/// A regular expression; the engine runs in linear time, and its size is bounded.
fn regex(pattern: &str) -> Result<regex::Regex, EvalError> {
    regex::RegexBuilder::new(pattern)
        // FHIRPath's patterns see a text as one line (N1: "single line mode").
        .dot_matches_new_line(true)
        .size_limit(1 << 18)
        .build()
        .map_err(|_| EvalError::WrongType("a regular expression"))
}

/// The text as it stands in JSON or HTML; none for another target.
fn escaped(text: &str, target: &str) -> Option<String> {
    match target {
        "json" => {
            let quoted = serde_json::to_string(text).ok()?;
            quoted.get(1..quoted.len() - 1).map(str::to_owned)
        }
        "html" => {
            let mut html = String::with_capacity(text.len());
            for c in text.chars() {
                match c {
                    '<' => html.push_str("&lt;"),
                    '>' => html.push_str("&gt;"),
                    '&' => html.push_str("&amp;"),
                    '"' => html.push_str("&quot;"),
                    '\'' => html.push_str("&#39;"),
                    c => html.push(c),
                }
            }
            Some(html)
        }
        _ => None,
    }
}

fn unescaped(text: &str, target: &str) -> Option<String> {
    match target {
        "json" => serde_json::from_str(&format!("\"{text}\"")).ok(),
        "html" => quick_xml::escape::unescape(text).ok().map(Cow::into_owned),
        _ => None,
    }
}
