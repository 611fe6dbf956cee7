//! Element tables from the snapshots of R4's StructureDefinitions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::{DeriveError, FHIR, Package, list, text};

const REGEX: &str = "http://hl7.org/fhir/StructureDefinition/regex";
const MAX_VALUE_SET: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet";
const FHIR_TYPE: &str = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type";

/// One element as written: name, `min..max`, types, required value set, flags, types that it refers to.
struct Element {
    name: String,
    cardinality: String,
    types: Vec<String>,
    binding: String,
    flags: String,
    targets: String,
}

/// A type, or the anonymous type of a backbone element named by its path.
struct Type {
    base: String,
    /// `primitive`, `complex`, `resource`, or `abstract` for a resource nobody instantiates.
    kind: &'static str,
    regex: String,
    elements: Vec<Element>,
}

/// Every type of the core package by name.
pub(super) struct Tables {
    types: BTreeMap<String, Type>,
    /// Path of a reference element -> the types it may point to.
    targets: BTreeMap<String, BTreeSet<String>>,
}

impl Tables {
    pub(super) fn read(core: &Package) -> Result<Self, DeriveError> {
        let mut types = BTreeMap::new();
        let mut targets = BTreeMap::new();
        for definition in core.of_type("StructureDefinition") {
            let is_abstract = definition.get("abstract").and_then(Value::as_bool) == Some(true);
            let kind = match text(definition, "kind") {
                "primitive-type" => "primitive",
                "complex-type" => "complex",
                "resource" if is_abstract => "abstract",
                "resource" => "resource",
                // Logical models (Definition, Event, FiveWs, ...) are never exchanged.
                _ => continue,
            };
            if text(definition, "derivation") != "constraint" {
                read_type(definition, kind, &mut types)?;
                read_targets(definition, &mut targets);
            }
        }
        drop_inherited(&mut types)?;
        Ok(Self { types, targets })
    }

    pub(super) fn resource_types(&self) -> impl Iterator<Item = &str> {
        self.types
            .iter()
            .filter(|(_, one)| one.kind == "resource")
            .map(|(name, _)| name.as_str())
    }

    /// The types that a reference element may point to; nothing when the path is none.
    pub(super) fn targets(&self, path: &str) -> Option<&BTreeSet<String>> {
        self.targets.get(path)
    }

    /// The value sets of all required bindings, by short name or canonical URL.
    pub(super) fn bindings(&self) -> BTreeSet<&str> {
        self.types
            .values()
            .flat_map(|one| &one.elements)
            .map(|element| element.binding.as_str())
            .filter(|binding| !binding.is_empty())
            .collect()
    }

    /// `name TAB base TAB kind TAB regex`, then one indented line for each element that the base
    /// does not have: `TAB name TAB min..max TAB types TAB binding TAB flags TAB targets`.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        for (name, one) in &self.types {
            let head = [name, one.base.as_str(), one.kind, &one.regex].join("\t");
            let _ = writeln!(out, "{}", head.trim_end());
            for element in &one.elements {
                let Element {
                    name,
                    cardinality,
                    types,
                    binding,
                    flags,
                    targets,
                } = element;
                let line = format!(
                    "\t{name}\t{cardinality}\t{}\t{binding}\t{flags}\t{targets}",
                    types.join("|")
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }
}

fn read_type(
    definition: &Value,
    kind: &'static str,
    types: &mut BTreeMap<String, Type>,
) -> Result<(), DeriveError> {
    let name = text(definition, "type").to_owned();
    let base = text(definition, "baseDefinition")
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let mut root = Type {
        base: base.to_owned(),
        kind,
        regex: String::new(),
        elements: Vec::new(),
    };
    let snapshot = definition
        .get("snapshot")
        .map_or(&[][..], |snapshot| list(snapshot, "element"));
    if kind == "primitive" {
        let value = format!("{name}.value");
        root.regex = snapshot
            .iter()
            .filter(|element| text(element, "path") == value)
            .flat_map(|element| list(element, "type"))
            .flat_map(|one| list(one, "extension"))
            .find(|extension| text(extension, "url") == REGEX)
            .map(|extension| text(extension, "valueString").to_owned())
            .unwrap_or_default();
        types.insert(name, root);
        return Ok(());
    }
    types.insert(name.clone(), root);
    for element in snapshot.iter().skip(1) {
        let path = text(element, "path");
        let (parent, own) = path.rsplit_once('.').ok_or_else(|| {
            DeriveError::Package(format!("{name}: element path {path} without a parent"))
        })?;
        let mut kinds = element_types(element, path)?;
        if matches!(kinds.as_slice(), [only] if only == "BackboneElement" || only == "Element") {
            let base = kinds.swap_remove(0);
            let inner = Type {
                base,
                kind: "complex",
                regex: String::new(),
                elements: Vec::new(),
            };
            types.insert(path.to_owned(), inner);
            kinds = vec![path.to_owned()];
        }
        let flag = |key: &str| element.get(key).and_then(Value::as_bool) == Some(true);
        let mut flags = String::new();
        if flag("isSummary") {
            flags.push('s');
        }
        if flag("isModifier") {
            flags.push('m');
        }
        let min = element
            .get("min")
            .map(ToString::to_string)
            .unwrap_or_default();
        let one = Element {
            name: own.to_owned(),
            cardinality: format!("{min}..{}", text(element, "max")),
            types: kinds,
            binding: required_binding(element),
            flags,
            targets: reference_targets(element),
        };
        let parent = types.get_mut(parent).ok_or_else(|| {
            DeriveError::Package(format!(
                "{name}: {path} lies in an element that is no backbone"
            ))
        })?;
        parent.elements.push(one);
    }
    Ok(())
}

/// The types that a Reference of an element may lead to, with commas; empty where it may be any.
fn reference_targets(element: &Value) -> String {
    let types: BTreeSet<&str> = list(element, "type")
        .iter()
        .filter(|one| text(one, "code") == "Reference")
        .flat_map(|one| list(one, "targetProfile"))
        .filter_map(|profile| profile.as_str()?.rsplit('/').next())
        .collect();
    if types.contains("Resource") {
        return String::new();
    }
    types.into_iter().collect::<Vec<_>>().join(",")
}

fn read_targets(definition: &Value, targets: &mut BTreeMap<String, BTreeSet<String>>) {
    let snapshot = definition
        .get("snapshot")
        .map_or(&[][..], |snapshot| list(snapshot, "element"));
    for element in snapshot {
        let profiles: BTreeSet<String> = list(element, "type")
            .iter()
            .filter(|one| matches!(text(one, "code"), "Reference" | "canonical"))
            .flat_map(|one| list(one, "targetProfile"))
            .filter_map(|profile| profile.as_str()?.rsplit('/').next().map(str::to_owned))
            .collect();
        if !profiles.is_empty() {
            let path = text(element, "path").trim_end_matches("[x]");
            targets.insert(path.to_owned(), profiles);
        }
    }
}

/// The type names of an element; a content reference is the name of the backbone it points to.
fn element_types(element: &Value, path: &str) -> Result<Vec<String>, DeriveError> {
    if let Some(target) = text(element, "contentReference").split_once('#') {
        return Ok(vec![target.1.to_owned()]);
    }
    // The package says `string`, the specification (resource.html#id) says `id`.
    if matches!(path, "Resource.id" | "DomainResource.id") {
        return Ok(vec!["id".to_owned()]);
    }
    let mut names = Vec::new();
    for one in list(element, "type") {
        let code = text(one, "code");
        let name = if code.starts_with("http://hl7.org/fhirpath/System.") {
            list(one, "extension")
                .iter()
                .find(|extension| text(extension, "url") == FHIR_TYPE)
                .map_or("string", |extension| text(extension, "valueUrl"))
        } else {
            code
        };
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(DeriveError::Package(format!("{path} has no type")));
    }
    Ok(names)
}

/// The value set that codes must be from: a required binding's, or the largest one that another
/// binding may be widened to. The tail of R4's own, the canonical URL of others; no version.
fn required_binding(element: &Value) -> String {
    let Some(binding) = element.get("binding") else {
        return String::new();
    };
    let set = if text(binding, "strength") == "required" {
        text(binding, "valueSet")
    } else {
        list(binding, "extension")
            .iter()
            .find(|extension| text(extension, "url") == MAX_VALUE_SET)
            .map_or("", |extension| text(extension, "valueCanonical"))
    };
    let url = set.split('|').next().unwrap_or_default();
    url.strip_prefix(FHIR)
        .and_then(|rest| rest.strip_prefix("ValueSet/"))
        .unwrap_or(url)
        .to_owned()
}

/// Takes out of each type what its base already says.
fn drop_inherited(types: &mut BTreeMap<String, Type>) -> Result<(), DeriveError> {
    let names: BTreeMap<String, BTreeSet<String>> = types
        .iter()
        .map(|(name, one)| {
            (
                name.clone(),
                one.elements.iter().map(|e| e.name.clone()).collect(),
            )
        })
        .collect();
    for (name, one) in types.iter_mut().filter(|(_, one)| !one.base.is_empty()) {
        // Snapshots repeat every level above, so the direct base has all of it.
        let inherited = names.get(&one.base).ok_or_else(|| {
            DeriveError::Package(format!("{name} is based on {}, which is unknown", one.base))
        })?;
        one.elements
            .retain(|element| !inherited.contains(&element.name));
    }
    Ok(())
}
