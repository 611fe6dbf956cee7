//! Reading FHIR JSON: small, forgiving helpers. A wrong shape reads as absent.

use serde_json::Value;

/// `resourceType`, or nothing.
pub(crate) fn type_of(resource: &Value) -> &str {
    text(resource, "resourceType").unwrap_or_default()
}

/// A string element.
pub(crate) fn text<'a>(element: &'a Value, key: &str) -> Option<&'a str> {
    element.get(key)?.as_str()
}

/// The values of an element that may repeat, or be written once.
pub(crate) fn each<'a>(element: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let (many, one) = match element.get(key) {
        Some(Value::Array(items)) => (items.as_slice(), None),
        Some(Value::Null) | None => (&[][..], None),
        Some(single) => (&[][..], Some(single)),
    };
    many.iter().chain(one)
}

/// Resources that a resource repeats, each with the JSON pointer of the element that would have to go with
/// it: contained ones, entries of a Bundle, values of Parameters. The pointer is empty where the whole
/// would have to go: a document is what its first entry says.
pub(crate) fn copies(resource: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), resource)];
    while let Some((at, one)) = open.pop() {
        for (key, within) in [
            ("contained", ""),
            ("entry", "resource"),
            ("parameter", "resource"),
            ("part", "resource"),
        ] {
            for (place, element) in each(one, key).enumerate() {
                let pointer = format!("{at}/{key}/{place}");
                let copy = match within {
                    "" => Some(element),
                    name => element.get(name),
                };
                if let Some(copy) = copy.filter(|copy| copy.get("resourceType").is_some()) {
                    let is_document = text(one, "type") == Some("document");
                    let goes = if key == "entry" && place == 0 && is_document {
                        at.clone()
                    } else {
                        pointer.clone()
                    };
                    found.push((goes, copy));
                    let inside = match within {
                        "" => pointer.clone(),
                        name => format!("{pointer}/{name}"),
                    };
                    open.push((inside, copy));
                } else if matches!(key, "parameter" | "part") {
                    open.push((pointer, element));
                }
            }
        }
    }
    found
}

/// `(system, code)` of an element that holds Coding or CodeableConcept, once or repeated.
pub(crate) fn codings<'a>(
    element: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    each(element, key).flat_map(|concept| {
        let own = concept.get("code").is_some().then_some(concept);
        own.into_iter()
            .chain(each(concept, "coding"))
            .filter_map(|coding| {
                Some((
                    text(coding, "system").unwrap_or_default(),
                    text(coding, "code")?,
                ))
            })
    })
}

/// Whether an element holds the code, in whichever of `systems`; without a system any will do.
pub(crate) fn has_code(element: &Value, key: &str, system: &str, code: &str) -> bool {
    codings(element, key).any(|coding| coding == (system, code))
}

/// Everything written about a concept: `text`, and each `display` and `code`.
pub(crate) fn words_of(element: &Value, key: &str) -> String {
    let mut words = String::new();
    for concept in each(element, key) {
        for coding in std::iter::once(concept).chain(each(concept, "coding")) {
            for part in ["text", "display", "code"] {
                words.push_str(text(coding, part).unwrap_or_default());
                words.push(' ');
            }
        }
    }
    words
}

/// The security labels of a resource: `meta.security`, and `securityLabel` of a DocumentReference.
pub(crate) fn labels(resource: &Value) -> impl Iterator<Item = (&str, &str)> {
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let document = type_of(resource) == "DocumentReference";
    codings(meta, "security").chain(
        document
            .then_some(resource)
            .into_iter()
            .flat_map(|own| codings(own, "securityLabel")),
    )
}

/// The extension with this URL on an element.
pub(crate) fn extension<'a>(element: &'a Value, url: &str) -> Option<&'a Value> {
    extensions(element, url).next()
}

/// All extensions with this URL on an element.
pub(crate) fn extensions<'a, 'u>(
    element: &'a Value,
    url: &'u str,
) -> impl Iterator<Item = &'a Value> + use<'a, 'u> {
    each(element, "extension").filter(move |one| text(one, "url") == Some(url))
}

/// A reference without version and without the part of the resource (`#a`) that it points at.
pub(crate) fn whole(reference: &str) -> &str {
    let bare = reference
        .split_once('#')
        .map_or(reference, |(bare, _)| bare);
    bare.split_once("/_history/").map_or(bare, |(bare, _)| bare)
}

/// A local reference, `Type/id`, without version; none for contained, absolute and `urn:` ones.
pub(crate) fn local(reference: &str) -> Option<&str> {
    let bare = whole(reference);
    let (type_name, id) = bare.split_once('/')?;
    let typed = type_name.starts_with(|first: char| first.is_ascii_uppercase())
        && type_name.bytes().all(|byte| byte.is_ascii_alphabetic());
    let named = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    (typed && named).then_some(bare)
}

/// `reference` of the Reference at `key`, local only.
pub(crate) fn reference<'a>(element: &'a Value, key: &str) -> Option<&'a str> {
    local(text(element.get(key)?, "reference")?)
}

/// Local references of the (repeating) Reference at `key`.
pub(crate) fn references<'a>(
    element: &'a Value,
    key: &str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    each(element, key).filter_map(|one| local(text(one, "reference")?))
}

/// The patient a resource is about, `Patient/id`: the first of the elements by which FHIR names a
/// patient.
#[must_use]
pub fn patient_of(resource: &Value) -> Option<&str> {
    patients_of(resource).into_iter().next()
}

/// The patients a resource is about, `Patient/id`, each once. More than one only of the few types
/// that may be about several (an Appointment, an Account, a Schedule).
#[must_use]
pub fn patients_of(resource: &Value) -> Vec<&str> {
    let only = ["patient", "subject", "for", "beneficiary", "individual"]
        .iter()
        .filter_map(|key| reference(resource, key))
        .find(|found| found.starts_with("Patient/"));
    if let Some(only) = only {
        return vec![only];
    }
    let parts = |key: &str, within: &'static str| {
        each(resource, key)
            .filter_map(move |one| reference(one, within))
            .collect::<Vec<_>>()
    };
    let named: Vec<&str> = match type_of(resource) {
        "Account" | "Contract" => references(resource, "subject").collect(),
        "Appointment" => parts("participant", "actor"),
        "AuditEvent" => [parts("agent", "who"), parts("entity", "what")].concat(),
        "Person" => parts("link", "target"),
        "Schedule" => references(resource, "actor").collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<&str> = Vec::new();
    for one in named {
        if one.starts_with("Patient/") && !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// Whether the resource is in a final state: none for types that know no such state.
///
/// DiagnosticReport and Observation: `final`, `amended`, `corrected`, `appended`. DocumentReference:
/// `current`, and `docStatus` absent, `final` or `amended`. Composition: `final`, `amended`.
#[must_use]
pub fn is_final(resource: &Value) -> Option<bool> {
    let status = text(resource, "status").unwrap_or_default();
    Some(match type_of(resource) {
        "DiagnosticReport" | "Observation" => {
            matches!(status, "final" | "amended" | "corrected" | "appended")
        }
        "DocumentReference" => {
            matches!(status, "current" | "superseded")
                && matches!(
                    text(resource, "docStatus"),
                    None | Some("final" | "amended")
                )
        }
        "Composition" => matches!(status, "final" | "amended"),
        "ImagingStudy" => status == "available",
        "Media" => status == "completed",
        _ => return None,
    })
}

/// Whether a resource will not become final any more, or may have been for all its source knows: it was
/// cancelled, was an error, or its status is unknown. A delay that counts from finalization counts from
/// there, else it would never end (release-policy.md 3.1.1).
#[must_use]
pub fn is_settled(resource: &Value) -> bool {
    let status = text(resource, "status").unwrap_or_default();
    let document = text(resource, "docStatus") == Some("entered-in-error");
    match type_of(resource) {
        "DiagnosticReport" | "Observation" | "ImagingStudy" => {
            matches!(status, "cancelled" | "entered-in-error" | "unknown")
        }
        "Media" => matches!(
            status,
            "not-done" | "stopped" | "entered-in-error" | "unknown"
        ),
        "DocumentReference" => status == "entered-in-error" || document,
        "Composition" => status == "entered-in-error",
        _ => false,
    }
}

/// Lower-case words between single spaces, with a space at both ends.
pub(crate) fn plain(words: &str) -> String {
    let mut plain = String::with_capacity(words.len() + 2);
    for word in words
        .split(|one: char| !one.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        plain.push(' ');
        plain.extend(word.chars().flat_map(char::to_lowercase));
    }
    plain.push(' ');
    plain
}
