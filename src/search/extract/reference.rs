//! What a reference points at: something on this server, or elsewhere.

use crate::fhirpath::reference::Literal;

/// The target of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'v> {
    /// `Type/id` on this server, the version left out.
    Local { type_name: &'v str, id: &'v str },
    /// Anything else that has a URI; the type where the URI tells it.
    Remote {
        uri: &'v str,
        type_name: Option<&'v str>,
    },
}

/// Reads `Reference.reference` or a canonical. None for what stays inside the resource (`#id`) and
/// for an empty text. `base` is this server's, with or without its last `/`.
pub(super) fn target<'v>(text: &'v str, base: &str) -> Option<Target<'v>> {
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    Some(match Literal::parse(text) {
        Some(Literal {
            base: "",
            type_name,
            id,
            ..
        }) => Target::Local { type_name, id },
        Some(literal) if literal.base.trim_end_matches('/') == base.trim_end_matches('/') => {
            Target::Local {
                type_name: literal.type_name,
                id: literal.id,
            }
        }
        Some(literal) => Target::Remote {
            uri: text,
            type_name: Some(literal.type_name),
        },
        None => Target::Remote {
            uri: text,
            type_name: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_or_not() {
        let base = "https://here.example/fhir/r4";
        let local = |id| {
            Some(Target::Local {
                type_name: "Patient",
                id,
            })
        };
        assert_eq!(target("Patient/1", base), local("1"));
        assert_eq!(target("Patient/1/_history/2", base), local("1"));
        assert_eq!(
            target("https://here.example/fhir/r4/Patient/1", base),
            local("1")
        );
        assert_eq!(
            target("https://here.example/fhir/r4/Patient/1/_history/2", base),
            local("1")
        );
        assert_eq!(target("#p", base), None);
        let there = "https://there.example/fhir/Patient/1";
        let remote = |uri, type_name| Some(Target::Remote { uri, type_name });
        assert_eq!(target(there, base), remote(there, Some("Patient")));
        assert_eq!(target("urn:uuid:1", base), remote("urn:uuid:1", None));
    }
}
