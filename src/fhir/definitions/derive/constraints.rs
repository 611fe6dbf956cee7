//! Invariants: the constraints of R4's StructureDefinitions.

use std::collections::BTreeSet;

use super::{Package, list, text};

/// Those that structural validation enforces by itself (`src/fhir/validate.rs`): an element has a
/// value or children, an extension has a value or extensions, what is contained contains nothing,
/// and the two about narrative, whose FHIRPath nobody can evaluate (`htmlChecks()`).
const STRUCTURAL: [&str; 5] = ["ele-1", "ext-1", "dom-2", "txt-1", "txt-2"];

/// As published, que-7 asks for FHIRPath's own Boolean, which no element of FHIR is: R4's own example
/// Questionnaire/bb would break it.
const MENDED: (&str, &str) = ("answer is Boolean", "answer is boolean");

/// `path TAB key TAB severity TAB expression TAB text for people`, sorted. Those of DomainResource
/// are told once, under its name; a datatype has those of its base.
pub(super) fn write(core: &Package) -> String {
    let mut rows = BTreeSet::new();
    for definition in core.of_type("StructureDefinition") {
        // Logical models are never exchanged, profiles are not checked.
        if text(definition, "derivation") == "constraint" || text(definition, "kind") == "logical" {
            continue;
        }
        let name = text(definition, "type");
        let elements = definition
            .get("snapshot")
            .map_or(&[][..], |snapshot| list(snapshot, "element"));
        for element in elements {
            for constraint in list(element, "constraint") {
                let key = text(constraint, "key");
                let inherited = key.starts_with("dom-") && name != "DomainResource";
                let expression = text(constraint, "expression").replace(MENDED.0, MENDED.1);
                if STRUCTURAL.contains(&key) || inherited || expression.is_empty() {
                    continue;
                }
                let human = text(constraint, "human").split_whitespace();
                let row = [
                    text(element, "path"),
                    key,
                    text(constraint, "severity"),
                    &expression,
                    &human.collect::<Vec<_>>().join(" "),
                ];
                rows.insert(row.join("\t"));
            }
        }
    }
    rows.into_iter().map(|row| row + "\n").collect()
}
