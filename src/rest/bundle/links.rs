//! Where a resource has links that a transaction rewrites (R4 3.1.0.11.2): references, elements of
//! type uri, url, oid and uuid, and `<a href>` and `<img src>` of narrative. Not canonicals, and not
//! texts that only look like links. What an element is, the definitions say.

use std::borrow::Cow;

use serde_json::Value;

use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Kind, Primitive, Type};

/// What sort of link it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// `Reference.reference`.
    Reference,
    /// An element of type uri, url, oid or uuid, or an address in narrative.
    Address,
}

/// Shows each link in a resource to `visit`; Some replaces it. A Bundle inside is a document of its
/// own: its links resolve within it. What the definitions do not know is passed over: validation
/// complains about it.
pub(super) fn walk(resource: &mut Value, visit: &mut impl FnMut(Link, &str) -> Option<String>) {
    let name = resource["resourceType"].as_str().unwrap_or_default();
    if name == "Bundle" {
        return;
    }
    if let Some((_, one)) = definitions().elements().by_name(name) {
        object(one, resource, visit);
    }
}

fn object(one: &Type, value: &mut Value, visit: &mut impl FnMut(Link, &str) -> Option<String>) {
    let Value::Object(map) = value else {
        return;
    };
    let elements = definitions().elements();
    for (key, value) in map.iter_mut() {
        // What stands beside a primitive has an id and extensions.
        let (name, is_beside) = match key.strip_prefix('_') {
            Some(name) => (name, true),
            None => (key.as_str(), false),
        };
        let Some(property) = one.properties.get(name) else {
            continue;
        };
        let target = match is_beside {
            false => elements.get(property.type_index),
            true => elements.by_name("Element").map(|(_, element)| element),
        };
        let Some(target) = target else {
            continue;
        };
        let is_reference = one.name == "Reference" && key == "reference";
        match value {
            Value::Array(list) => {
                for value in list {
                    element(target, is_reference, value, visit);
                }
            }
            value => element(target, is_reference, value, visit),
        }
    }
}

fn element(
    target: &Type,
    is_reference: bool,
    value: &mut Value,
    visit: &mut impl FnMut(Link, &str) -> Option<String>,
) {
    match (target.kind, &mut *value) {
        (Kind::AnyResource | Kind::Resource, _) => walk(value, visit),
        (Kind::Primitive(primitive), Value::String(text)) => {
            let new = match primitive {
                _ if is_reference => visit(Link::Reference, text),
                Primitive::Uri | Primitive::Url | Primitive::Oid | Primitive::Uuid => {
                    visit(Link::Address, text)
                }
                Primitive::Xhtml => narrative(text, visit),
                _ => None,
            };
            if let Some(new) = new {
                *text = new;
            }
        }
        (Kind::Complex, Value::Object(_)) => object(target, value, visit),
        _ => {}
    }
}

/// Narrative with its links rewritten; None where none is. All other characters stay: they were
/// attested as they are.
fn narrative(text: &str, visit: &mut impl FnMut(Link, &str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut kept = 0;
    for (from, to) in addresses(text) {
        let value = text.get(from..to).unwrap_or_default();
        let url = match value.contains('&') {
            true => Cow::Owned(value.replace("&amp;", "&")),
            false => Cow::Borrowed(value),
        };
        if let Some(new) = visit(Link::Address, &url) {
            out.push_str(text.get(kept..from).unwrap_or_default());
            // An address of this server's (`Type/id`) has nothing that would have to be escaped.
            out.push_str(&new.replace(['"', '\'', '<', '&'], ""));
            kept = to;
        }
    }
    if kept == 0 {
        return None;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Some(out)
}

/// Where the values of `<a href>` and `<img src>` begin and end.
fn addresses(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(start) = rest.find('<').map(|start| at + start)
        && let Some(rest) = text.get(start..)
    {
        // What looks like a tag in a comment is none.
        if rest.starts_with("<!--") {
            at = start + rest.find("-->").unwrap_or(rest.len());
            continue;
        }
        let name = rest.get(1..).unwrap_or_default();
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next();
        let (attribute, name) = match name {
            Some(name @ "a") => ("href", name),
            Some(name @ "img") => ("src", name),
            _ => {
                at = start + 1;
                continue;
            }
        };
        at = start + 1 + name.len();
        while let Some((own, from, to)) = next_attribute(text, at) {
            if own == attribute {
                found.push((from, to));
            }
            at = to + 1;
        }
    }
    found
}

/// The next attribute of the tag that `at` is in: its name, and where its value begins and ends.
fn next_attribute(text: &str, at: usize) -> Option<(&str, usize, usize)> {
    let rest = text.get(at..)?;
    let equals = rest.find(['=', '>'])?;
    if rest.as_bytes().get(equals) != Some(&b'=') {
        return None;
    }
    let name = rest.get(..equals)?.trim();
    let value = rest.get(equals + 1..)?;
    let quote = value.find(['"', '\''])?;
    if !value.get(..quote)?.trim().is_empty() {
        return None;
    }
    let end = value.get(quote + 1..)?.find(value.get(quote..=quote)?)?;
    let from = at + equals + 1 + quote + 1;
    Some((name, from, from + end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(mut resource: Value) -> Value {
        walk(&mut resource, &mut |link, text| {
            let new = match link {
                Link::Reference => "R",
                Link::Address => "A",
            };
            (text == "urn:uuid:a").then(|| new.to_owned())
        });
        resource
    }

    #[test]
    fn links_are_what_the_definitions_say() {
        let a = "urn:uuid:a";
        assert_eq!(
            rewritten(json!({
                "resourceType": "CarePlan",
                "identifier": [{"system": "urn:ietf:rfc:3986", "value": a}],
                "instantiatesCanonical": [a],
                "instantiatesUri": [a, "urn:uuid:b"],
                "_instantiatesUri": [null, {"extension": [{"url": "u", "valueUri": a}]}],
                "title": a,
                "subject": {"reference": a, "display": a},
                "contained": [{"resourceType": "Subscription", "channel": {"endpoint": a}},
                    {"resourceType": "Bundle", "entry": [{"fullUrl": a}]}],
                "extension": [
                    {"url": "u", "valueUrl": a}, {"url": "u", "valueUuid": a},
                    {"url": "u", "valueCanonical": a}, {"url": "u", "valueReference": {"reference": a}},
                    {"url": "u", "valueString": a},
                ],
                "nonsense": a,
            })),
            json!({
                "resourceType": "CarePlan",
                "identifier": [{"system": "urn:ietf:rfc:3986", "value": a}],
                "instantiatesCanonical": [a],
                "instantiatesUri": ["A", "urn:uuid:b"],
                "_instantiatesUri": [null, {"extension": [{"url": "u", "valueUri": "A"}]}],
                "title": a,
                "subject": {"reference": "R", "display": a},
                "contained": [{"resourceType": "Subscription", "channel": {"endpoint": "A"}},
                    {"resourceType": "Bundle", "entry": [{"fullUrl": a}]}],
                "extension": [
                    {"url": "u", "valueUrl": "A"}, {"url": "u", "valueUuid": "A"},
                    {"url": "u", "valueCanonical": a}, {"url": "u", "valueReference": {"reference": "R"}},
                    {"url": "u", "valueString": a},
                ],
                "nonsense": a,
            })
        );
    }

    #[test]
    fn narrative_keeps_all_but_its_links() {
        let div = |inner: &str| json!({"resourceType": "Patient", "text": {"div": inner}});
        let same = [
            "<div>urn:uuid:a</div>",
            "<div title=\"urn:uuid:a\"><abbr href=\"urn:uuid:a\">x</abbr></div>",
            "<div><a name=\"urn:uuid:a\" href=\"urn:uuid:b\">href=\"urn:uuid:a\"</a></div>",
            "<div><!-- <a href=\"urn:uuid:a\"> --></div>",
            "<div><a href=\"urn:uuid:a",
            "<",
            "<a",
            "<a href=",
        ];
        for inner in same {
            assert_eq!(rewritten(div(inner)), div(inner), "{inner}");
        }
        let both = "<div><a title='1 > 0' href = 'urn:uuid:a'>é</a><img alt=\"\" src=\"urn:uuid:a\"/>\
                    <a href=\"urn:uuid:a\">b</a></div>";
        assert_eq!(
            rewritten(div(both)),
            div(
                "<div><a title='1 > 0' href = 'A'>é</a><img alt=\"\" src=\"A\"/><a href=\"A\">b</a></div>"
            )
        );
    }
}
