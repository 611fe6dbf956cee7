//! Which elements FHIR R4 requires, so that a cut leaves a valid resource.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Element path -> its required children, derived from the StructureDefinitions of
/// hl7.fhir.r4.core 4.0.1 (`min` > 0 in the snapshots).
static REQUIRED: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let text = include_str!("../../../fhir-profiles/release/required-elements.json");
    // Checked by a test; a broken table reads as empty.
    serde_json::from_str(text).unwrap_or_default()
});

/// Required children of an element, by FHIRPath-like path (`Encounter.diagnosis`).
pub(super) fn elements(path: &str) -> impl Iterator<Item = &'static str> {
    let own = REQUIRED.get(path).or_else(|| {
        // Elements that contain their own kind are defined once: `Composition.section.section`.
        REQUIRED.get(&unfolded(path))
    });
    let by_type: &[&str] = match path.rsplit('.').next() {
        Some("signature") => &["type", "when", "who"],
        Some("useContext") => &["code", "value[x]"],
        _ => &[],
    };
    own.into_iter()
        .flatten()
        .map(String::as_str)
        .chain(by_type.iter().copied())
}

/// Whether the element is there, in any of its types if it has a choice.
pub(super) fn present(map: &Map<String, Value>, element: &str) -> bool {
    match element.strip_suffix("[x]") {
        Some(stem) => map.keys().any(|key| key.starts_with(stem)),
        None => map.contains_key(element),
    }
}

fn unfolded(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('.').collect();
    parts.dedup();
    parts.join(".")
}
