//! The invariants of R4's types and elements, from `constraints.tsv`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A constraint of a StructureDefinition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// `pat-1`.
    pub key: &'static str,
    /// Whether breaking it is only discouraged.
    pub is_warning: bool,
    /// FHIRPath that is true where it is kept.
    pub expression: &'static str,
    /// What it says.
    pub human: &'static str,
}

/// The constraints by the path of what they are about: a type (`Patient`, `Period`), or an element
/// as it is defined (`Patient.contact`, `Organization.telecom`). Those of all DomainResources are
/// under that name.
#[must_use]
pub fn constraints() -> &'static HashMap<&'static str, Vec<Constraint>> {
    static ALL: LazyLock<HashMap<&'static str, Vec<Constraint>>> = LazyLock::new(|| {
        let mut all: HashMap<&'static str, Vec<Constraint>> = HashMap::new();
        for line in derived!("constraints.tsv").lines() {
            let mut columns = line.split('\t');
            let mut next = || columns.next().unwrap_or_default();
            let (path, key, severity) = (next(), next(), next());
            let (expression, human) = (next(), next());
            all.entry(path).or_default().push(Constraint {
                key,
                is_warning: severity == "warning",
                expression,
                human,
            });
        }
        all
    });
    &ALL
}
