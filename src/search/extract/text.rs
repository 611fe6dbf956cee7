//! The words of a resource, for `_text` and `_content`.

use std::collections::HashSet;

use serde_json::Value;

use super::{TextRow, normalize_all};

/// Most bytes kept of either text.
const MAX: usize = 262_144;
/// Longest word, in characters.
const MAX_WORD: usize = 64;

/// Elements that are no words: they have search parameters of their own, or are addresses.
const NOT_WORDS: &[&str] = &[
    "contentType",
    "data",
    "div",
    "fullUrl",
    "hash",
    "id",
    "language",
    "lastUpdated",
    "meta",
    "reference",
    "resourceType",
    "system",
    "url",
    "versionId",
];

/// The words of a text, folded; everything but letters and digits parts them. The same for what is
/// indexed and for what is asked, so that both databases' engines find the same.
pub fn words(text: &str) -> Vec<String> {
    let (head, tail) = normalize_all(text);
    (head + &tail)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(MAX_WORD).collect())
        .collect()
}

/// The words of a resource; None when there are none.
pub(super) fn of(resource: &Value) -> Option<TextRow> {
    let mut row = TextRow::default();
    if let Some(div) = resource
        .get("text")
        .and_then(|text| text.get("div"))
        .and_then(Value::as_str)
    {
        let mut plain = String::new();
        strip(div, &mut plain);
        for part in plain.split_whitespace() {
            add(part, &mut row.narrative);
        }
    }
    let mut seen = HashSet::new();
    collect(resource, &mut seen, &mut row.content);
    if !row.narrative.is_empty() {
        if !row.content.is_empty() {
            row.content.push(' ');
        }
        row.content.push_str(&row.narrative);
    }
    (!row.content.is_empty()).then_some(row)
}

fn add(text: &str, out: &mut String) {
    for word in words(text) {
        if out.len() + word.len() > MAX {
            return;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word);
    }
}

fn collect<'v>(value: &'v Value, seen: &mut HashSet<&'v str>, out: &mut String) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                if NOT_WORDS.binary_search(&key.as_str()).is_err() {
                    collect(inner, seen, out);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, seen, out)),
        Value::String(text) if is_words(text) && seen.insert(text) => add(text, out),
        _ => {}
    }
}

/// Not a date, a number or an address.
fn is_words(text: &str) -> bool {
    let is_address = text.contains("://") || text.starts_with("urn:");
    (text.starts_with(char::is_alphabetic) && !is_address) || text.contains(' ')
}

/// XHTML without tags, with the five entities that XML has; a tag parts words.
fn strip(xhtml: &str, out: &mut String) {
    let mut rest = xhtml;
    while let Some(at) = rest.find(['<', '&']) {
        let (text, tail) = rest.split_at(at);
        out.push_str(text);
        let end = if tail.starts_with('<') { '>' } else { ';' };
        let Some(length) = tail.find(end) else {
            return;
        };
        let (inside, after) = tail.split_at(length + 1);
        out.push_str(match inside {
            "&lt;" => "<",
            "&gt;" => ">",
            "&amp;" => "&",
            "&quot;" => "\"",
            "&apos;" => "'",
            _ => " ",
        });
        rest = after;
        if out.len() > MAX {
            return;
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrative_and_content_are_words() {
        let resource = serde_json::json!({
            "resourceType": "Condition", "id": "c-1",
            "text": {"status": "generated", "div": "<div xmlns=\"x\"><b>Heart</b>burn &amp; Äther</div>"},
            "code": {"coding": [{"system": "http://x", "code": "I10", "display": "Hyper-tension"}]},
            "onsetDateTime": "2020-01-01", "note": [{"text": "2 tablets"}, {"text": "2 tablets"}]
        });
        let row = of(&resource).unwrap();
        assert_eq!(row.narrative, "heart burn ather");
        assert_eq!(
            row.content,
            "generated i10 hyper tension 2 tablets heart burn ather"
        );
    }

    #[test]
    fn what_is_left_out_is_in_order() {
        assert!(NOT_WORDS.is_sorted());
    }
}
