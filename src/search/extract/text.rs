//! The words of a resource, for `_text` and `_content`.

use std::collections::HashSet;

use serde_json::Value;

use super::TextRow;

/// Most bytes kept of either text.
const MAX: usize = 262_144;

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

/// The words of a resource; None when there are none.
pub(super) fn of(resource: &Value) -> Option<TextRow> {
    let mut row = TextRow::default();
    if let Some(div) = resource
        .get("text")
        .and_then(|text| text.get("div"))
        .and_then(Value::as_str)
    {
        strip(div, &mut row.narrative);
    }
    let mut seen = HashSet::new();
    collect(resource, &mut seen, &mut row.content);
    (!row.narrative.is_empty() || !row.content.is_empty()).then_some(row)
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
        Value::String(text) if is_words(text) && out.len() + text.len() < MAX => {
            if seen.insert(text) {
                if !out.is_empty() {
                    out.push('\n');
                }
                out.push_str(text);
            }
        }
        _ => {}
    }
}

/// Not a date, a number or an address.
fn is_words(text: &str) -> bool {
    text.starts_with(char::is_alphabetic) && !text.contains("://") && !text.starts_with("urn:")
        || text.contains(' ')
}

/// XHTML without tags, with the five entities that XML has; a tag parts words.
fn strip(xhtml: &str, out: &mut String) {
    let mut rest = xhtml;
    while let Some(at) = rest.find(['<', '&']) {
        let (text, tail) = rest.split_at(at);
        out.push_str(text);
        let end = if tail.starts_with('<') { '>' } else { ';' };
        let Some(length) = tail.find(end) else {
            rest = "";
            break;
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
            "text": {"status": "generated", "div": "<div xmlns=\"x\"><b>Heart</b>burn &amp; more</div>"},
            "code": {"coding": [{"system": "http://x", "code": "I10", "display": "Hypertension"}]},
            "onsetDateTime": "2020-01-01", "note": [{"text": "2 tablets"}, {"text": "2 tablets"}]
        });
        let row = of(&resource).unwrap();
        assert_eq!(
            row.narrative.split_whitespace().collect::<Vec<_>>(),
            ["Heart", "burn", "&", "more"]
        );
        assert_eq!(row.content, "generated\nI10\nHypertension\n2 tablets");
    }

    #[test]
    fn what_is_left_out_is_in_order() {
        assert!(NOT_WORDS.is_sorted());
    }
}
