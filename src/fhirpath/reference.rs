//! What a reference's text says about its target, without asking anybody.
//!
//! <https://hl7.org/fhir/R4/references.html#literal>: `Type/id`, `Type/id/_history/version`, the
//! same below an absolute base, `#id` for a contained resource, or any other URI.

use serde_json::Value;

use super::types::is_resource;

/// A literal reference that ends in a resource's type and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal<'a> {
    /// The server's base with its last `/`; empty for a relative reference.
    pub base: &'a str,
    pub type_name: &'a str,
    pub id: &'a str,
    /// Of a version-specific reference.
    pub version: Option<&'a str>,
}

impl<'a> Literal<'a> {
    /// Reads a reference; none for `#id`, `urn:`, conditional references and other URIs.
    #[must_use]
    pub fn parse(reference: &'a str) -> Option<Self> {
        let reference = reference
            .split_once('#')
            .map_or(reference, |(before, _)| before);
        let (rest, version) = match reference.split_once("/_history/") {
            Some((rest, version)) => (rest, Some(version).filter(|v| !v.is_empty())),
            None => (reference, None),
        };
        let (head, id) = rest.rsplit_once('/')?;
        let (base, type_name) = match head.rfind('/') {
            Some(slash) => head.split_at(slash + 1),
            None => ("", head),
        };
        let good_id = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        // A relative reference has no base, `/Patient/1` included, which some writers send.
        let good_base = matches!(base, "" | "/") || base.contains("://");
        (good_id && good_base && is_resource(type_name)).then_some(Self {
            base: if base == "/" { "" } else { base },
            type_name,
            id,
            version,
        })
    }
}

/// The type of a `Reference`'s target: from `reference`, else from `Reference.type`.
/// `contained` finds the contained resource of an id.
#[must_use]
pub fn target_type<'a>(
    reference: &'a Value,
    contained: impl Fn(&str) -> Option<&'a Value>,
) -> Option<&'a str> {
    let said = || {
        let said = reference.get("type")?.as_str()?;
        Some(
            said.strip_prefix("http://hl7.org/fhir/StructureDefinition/")
                .unwrap_or(said),
        )
    };
    let Some(text) = reference.get("reference").and_then(Value::as_str) else {
        return said();
    };
    text_type(text, contained).or_else(said)
}

/// The type of the target of a reference's text.
#[must_use]
pub fn text_type<'a>(
    text: &'a str,
    contained: impl Fn(&str) -> Option<&'a Value>,
) -> Option<&'a str> {
    if let Some(id) = text.strip_prefix('#') {
        return contained(id)?.get("resourceType")?.as_str();
    }
    if let Some(literal) = Literal::parse(text) {
        return Some(literal.type_name);
    }
    // A conditional reference of a transaction, `Patient?identifier=...`.
    text.split_once('?')
        .map(|(type_name, _)| type_name)
        .filter(|name| is_resource(name))
}

/// The contained resource of `resource` with this id; the resource itself for an empty id.
#[must_use]
pub fn contained<'a>(resource: &'a Value, id: &str) -> Option<&'a Value> {
    if id.is_empty() {
        return Some(resource);
    }
    let all = resource.get("contained")?.as_array()?;
    all.iter()
        .find(|inner| inner.get("id").and_then(Value::as_str) == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        let read = |text| Literal::parse(text).map(|l| (l.base, l.type_name, l.id, l.version));
        assert_eq!(read("Patient/1"), Some(("", "Patient", "1", None)));
        assert_eq!(read("/Patient/1"), Some(("", "Patient", "1", None)));
        assert_eq!(
            read("Patient/1/_history/3"),
            Some(("", "Patient", "1", Some("3")))
        );
        assert_eq!(
            read("https://a.example/fhir/r4/Patient/a-b.c"),
            Some(("https://a.example/fhir/r4/", "Patient", "a-b.c", None))
        );
        for bad in [
            "",
            "#p",
            "Patient",
            "Patient/",
            "urn:uuid:1",
            "patient/1",
            "Patient/a b",
            "a/Patient/1",
            "Patient?identifier=x|y/z",
            "http://a.example/x/y",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
