//! The codes of value sets that are bound `required` and can be told from the package alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{FHIR, Package, list, text};

/// `value set TAB system TAB code TAB code ...`, one line for each system of each value set.
/// A value set that needs a system outside the package (UCUM, MIME types, ISO 4217) has no line:
/// its codes are not checked against a list.
pub(super) fn write(core: &Package, bindings: BTreeSet<&str>) -> String {
    let by_url = |resource_type| -> BTreeMap<&str, &Value> {
        core.of_type(resource_type)
            .map(|value| (text(value, "url"), value))
            .collect()
    };
    let sets = Terminology {
        systems: by_url("CodeSystem"),
        sets: by_url("ValueSet"),
    };
    let mut out = String::new();
    for name in bindings {
        let url = if name.contains(':') {
            name.to_owned()
        } else {
            format!("{FHIR}ValueSet/{name}")
        };
        for (system, codes) in sets.expand(&url, 0).unwrap_or_default() {
            let mut row = vec![name, system];
            row.extend(codes);
            out.push_str(&row.join("\t"));
            out.push('\n');
        }
    }
    out
}

/// Codes by system.
type Codes<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

struct Terminology<'a> {
    systems: BTreeMap<&'a str, &'a Value>,
    sets: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Terminology<'a> {
    /// All codes of a value set, or nothing when one of its parts cannot be enumerated.
    fn expand(&self, url: &str, depth: usize) -> Option<Codes<'a>> {
        let set = self.sets.get(url.split('|').next()?)?;
        let compose = set.get("compose").filter(|_| depth < 8)?;
        let mut codes = Codes::new();
        for include in list(compose, "include") {
            for (system, more) in self.part(include, depth)? {
                codes.entry(system).or_default().extend(more);
            }
        }
        for exclude in list(compose, "exclude") {
            for (system, fewer) in self.part(exclude, depth)? {
                let left = codes.entry(system).or_default();
                left.retain(|code| !fewer.contains(code));
            }
        }
        codes.retain(|_, left| !left.is_empty());
        Some(codes)
    }

    /// One `include` or `exclude`: every condition in it must hold.
    fn part(&self, part: &'a Value, depth: usize) -> Option<Codes<'a>> {
        let mut found: Option<Codes<'a>> = None;
        let system = text(part, "system");
        if !system.is_empty() {
            found = Some(Codes::from([(system, self.system_codes(system, part)?)]));
        }
        for other in list(part, "valueSet") {
            let other = self.expand(other.as_str()?, depth + 1)?;
            found = Some(match found {
                None => other,
                Some(mut codes) => {
                    for (system, some) in &mut codes {
                        some.retain(|code| other.get(system).is_some_and(|set| set.contains(code)));
                    }
                    codes
                }
            });
        }
        found
    }

    fn system_codes(&self, system: &str, part: &'a Value) -> Option<BTreeSet<&'a str>> {
        let listed = list(part, "concept");
        if !listed.is_empty() {
            return Some(listed.iter().map(|concept| text(concept, "code")).collect());
        }
        let definition = self.systems.get(system)?;
        if text(definition, "content") != "complete" {
            return None;
        }
        // (code, its ancestors); a v3 system says ancestors by `subsumedBy`, others by nesting.
        let mut concepts: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut open: Vec<(&Value, Vec<&str>)> = list(definition, "concept")
            .iter()
            .map(|concept| (concept, Vec::new()))
            .collect();
        while let Some((concept, ancestors)) = open.pop() {
            let code = text(concept, "code");
            let mut inner = ancestors.clone();
            inner.push(code);
            open.extend(
                list(concept, "concept")
                    .iter()
                    .map(|child| (child, inner.clone())),
            );
            concepts.push((code, ancestors));
        }
        let mut codes: BTreeSet<&str> = concepts.iter().map(|(code, _)| *code).collect();
        for filter in list(part, "filter") {
            let value = text(filter, "value");
            match (text(filter, "property"), text(filter, "op")) {
                ("concept", "is-a") => codes.retain(|code| {
                    *code == value
                        || concepts
                            .iter()
                            .any(|(one, up)| one == code && up.contains(&value))
                }),
                _ => return None,
            }
        }
        Some(codes)
    }
}
