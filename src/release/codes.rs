//! The value sets that rules name: FHIR ValueSet resources under `fhir-profiles/valuesets`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::resource::{each, text};

macro_rules! value_set {
    ($id:literal) => {
        (
            $id,
            include_str!(concat!("../../fhir-profiles/valuesets/", $id, ".json")),
        )
    };
}

const EMBEDDED: [(&str, &str); 8] = [
    value_set!("mental-health-professional"),
    value_set!("pathology-malignancy"),
    value_set!("genetic-marker"),
    value_set!("hiv-test"),
    value_set!("viral-load"),
    value_set!("licensed-professional"),
    value_set!("hepatitis-antigen-test"),
    value_set!("drug-abuse-test"),
];

/// Codes of one value set, `(system, code)`.
pub(crate) type Codes = HashSet<(String, String)>;

/// The codes of a value set by its id; none for an id that is not there.
pub(crate) fn value_set(id: &str) -> Option<&'static Codes> {
    static SETS: LazyLock<HashMap<&'static str, Codes>> = LazyLock::new(|| {
        EMBEDDED
            .iter()
            .map(|(id, json)| (*id, read(json)))
            .collect()
    });
    SETS.get(id)
}

/// Whether one of the codings is in the value set.
pub(crate) fn contains<'a>(
    id: &str,
    mut codings: impl Iterator<Item = (&'a str, &'a str)>,
) -> bool {
    // A set is small next to the cost of two Strings for each probe that misses.
    value_set(id).is_some_and(|set| {
        codings.any(|(system, code)| set.contains(&(system.to_owned(), code.to_owned())))
    })
}

fn read(json: &str) -> Codes {
    // The embedded files are checked by a test; a broken one reads as empty.
    let set: Value = serde_json::from_str(json).unwrap_or_default();
    let includes = set.get("compose").map(|compose| each(compose, "include"));
    includes
        .into_iter()
        .flatten()
        .flat_map(|include| {
            let system = text(include, "system").unwrap_or_default();
            each(include, "concept")
                .filter_map(move |one| Some((system.to_owned(), text(one, "code")?.to_owned())))
        })
        .collect()
}
