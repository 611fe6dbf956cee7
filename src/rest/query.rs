//! Query strings and forms as pairs, and the parameters that every interaction shares.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::RestError;
use super::session::Limits;
use super::view::View;
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};

/// A decoded query, in order; keys repeat.
pub type Pairs = Vec<(String, String)>;

/// Decodes `a=b&c=d`. Text that is not UTF-8 is refused.
pub(super) fn pairs(query: &str) -> Result<Pairs, RestError> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| RestError::bad_request("invalid", "The query is not UTF-8."))
    };
    let pairs: Pairs = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, RestError>>()?;
    if pairs
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        return Err(RestError::bad_request(
            "invalid",
            "The query holds a NUL character.",
        ));
    }
    Ok(pairs)
}

/// The value of a parameter that may occur once.
pub(super) fn single<'p>(pairs: &'p Pairs, name: &str) -> Result<Option<&'p str>, RestError> {
    let mut values = pairs
        .iter()
        .filter(|(own, _)| own == name)
        .map(|(_, value)| value.as_str());
    let value = values.next();
    if values.any(|other| Some(other) != value) {
        return Err(RestError::bad_request(
            "invalid",
            format!("{name} may be given once only."),
        ));
    }
    Ok(value)
}

/// `_pretty=true`.
pub(super) fn pretty(pairs: &Pairs) -> bool {
    pairs
        .iter()
        .any(|(name, value)| name == "_pretty" && value == "true")
}

/// `_summary` and `_elements` of a read.
pub(super) fn view(pairs: &Pairs) -> Result<View, RestError> {
    if let Some(elements) = single(pairs, "_elements")?.filter(|list| !list.is_empty()) {
        return Ok(View::Elements(
            elements
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        ));
    }
    match single(pairs, "_summary")? {
        None | Some("false" | "") => Ok(View::Whole),
        Some("true") => Ok(View::Summary),
        Some("text") => Ok(View::Text),
        Some("data") => Ok(View::Data),
        Some("count") => Err(RestError::bad_request(
            "value",
            "_summary=count belongs to searches.",
        )),
        Some(_) => Err(RestError::bad_request(
            "value",
            "_summary is one of true, text, data, count and false.",
        )),
    }
}

/// A FHIR `instant`; takes what a space became of the `+` of a zone that nobody escaped.
pub(super) fn instant(text: &str) -> Option<Millis> {
    text.replace(' ', "+")
        .parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}

/// `_count`: bounded by the server, at least one.
pub(super) fn count(pairs: &Pairs, limits: &Limits) -> Result<u32, RestError> {
    match single(pairs, "_count")? {
        None => Ok(limits.page),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            // More digits than a number has is more than the maximum.
            let wanted = text.parse::<u32>().unwrap_or(u32::MAX);
            Ok(wanted.clamp(1, limits.max_page))
        }
        Some(_) => Err(RestError::bad_request(
            "value",
            "_count must be a whole number.",
        )),
    }
}

/// `_type`: names of resource types, in order and each once; empty where it is not given.
pub(super) fn types(pairs: &Pairs) -> Result<Vec<TypeId>, RestError> {
    let mut types = pairs
        .iter()
        .filter(|(name, _)| name == "_type")
        .flat_map(|(_, value)| value.split(','))
        .filter(|name| !name.is_empty())
        .map(|name| {
            definitions().type_id(name).ok_or_else(|| {
                RestError::bad_request("value", "_type lists names of resource types.")
            })
        })
        .collect::<Result<Vec<TypeId>, _>>()?;
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// Whether a parameter of a read, vread or history is known to it.
pub(super) fn is_general(name: &str) -> bool {
    matches!(name, "_format" | "_pretty" | "_summary" | "_elements")
}

/// Refuses parameters that an interaction does not know: nothing is ignored without a word.
pub(super) fn only(pairs: &Pairs, known: &[&str]) -> Result<(), RestError> {
    for (name, _) in pairs {
        if !is_general(name) && !known.contains(&name.as_str()) {
            return Err(RestError::bad_request(
                "not-supported",
                "This interaction does not know one of the parameters; it knows _format, \
                 _pretty, _summary and _elements"
                    .to_owned()
                    + &known
                        .iter()
                        .map(|name| format!(", {name}"))
                        .collect::<String>()
                    + ".",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_or_are_refused() {
        assert_eq!(
            pairs("a=1&b=x%20y+z&a=%C3%A9&&c").ok(),
            Some(vec![
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "x y z".to_owned()),
                ("a".to_owned(), "é".to_owned()),
                ("c".to_owned(), String::new()),
            ])
        );
        assert!(pairs("a=%FF").is_err());
        assert!(pairs("a=%00").is_err());
    }
}
