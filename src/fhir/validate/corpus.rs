//! The official examples and the synthetic patients beside the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::*;

/// `../shared`, or nothing with a loud line.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !path.exists() {
        eprintln!("SKIPPED: ../shared is absent, no example was validated");
        return None;
    }
    Some(path)
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Every JSON file of an archive that is a resource, by its name.
fn archive(path: &Path, under: &str) -> BTreeMap<String, Value> {
    let bytes = unpacked(path);
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let Some((_, own)) = name.split_once(under) else {
            continue;
        };
        if !own.ends_with(".json") || own.contains('/') || own == "package.json" {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        if value.get("resourceType").is_some() {
            found.insert(own.trim_end_matches(".json").to_owned(), value);
        }
    }
    assert!(!found.is_empty(), "{path:?} {under}");
    found
}

/// The names of those with an error, every issue on stderr.
#[expect(clippy::print_stderr, reason = "the list is what one runs this for")]
fn refused(examples: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in examples {
        for Issue {
            severity,
            code,
            expression,
            diagnostics,
        } in validate(value)
        {
            eprintln!("{name}: {severity} {code} at {expression}: {diagnostics}");
            if severity == "error" {
                names.insert(name.clone());
            }
        }
    }
    names
}

/// `docs/official-examples.md` has a row for each refusal, and no others.
#[test]
fn hl7_examples() {
    let Some(shared) = shared() else { return };
    let examples = archive(&shared.join("data/hl7-r4-examples.tgz"), "package/");
    assert!(examples.len() > 5000);
    let page = include_str!("../../../docs/official-examples.md");
    let explained: BTreeSet<String> = page
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(refused(&examples), explained);
}

#[test]
fn us_core_examples() {
    let Some(shared) = shared() else { return };
    for (version, count) in [("6.1.0", 183), ("7.0.0", 214)] {
        let path = shared.join(format!("packages/hl7.fhir.us.core-{version}.tgz"));
        let examples = archive(&path, "package/example/");
        assert_eq!(
            (examples.len(), refused(&examples)),
            (count, BTreeSet::new())
        );
    }
}

#[test]
fn synthetic_patients() {
    let Some(shared) = shared() else { return };
    for (folder, count) in [("synthea-20", 20), ("synthea-notes-10", 7160)] {
        let mut resources = BTreeMap::new();
        for file in std::fs::read_dir(shared.join("data").join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|one| one == "gz") {
                let bytes = unpacked(&path);
                let values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
                for (at, value) in values.enumerate() {
                    resources.insert(format!("{} {at}", path.display()), value.unwrap());
                }
            }
        }
        assert_eq!(
            (resources.len(), refused(&resources)),
            (count, BTreeSet::new())
        );
    }
}

/// The places of a JSON value, as JSON Pointers.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let here = format!("{at}/{name}");
        places(child, &here, out);
        out.push(here);
    }
}

/// Whatever place of a valid example is spoilt, the resource is refused.
#[test]
fn no_place_is_left_unchecked() {
    let Some(shared) = shared() else { return };
    let examples = archive(&shared.join("data/hl7-r4-examples.tgz"), "package/");
    let mut checked = 0;
    let mut types = BTreeSet::new();
    for (name, mut value) in examples {
        let kind = value["resourceType"].as_str().unwrap().to_owned();
        // The definitions are many and alike: a few of each will do.
        let definition = [
            "CodeSystem",
            "ValueSet",
            "SearchParameter",
            "StructureDefinition",
        ];
        let skip = definition.contains(&kind.as_str()) && !name.contains("pa");
        if skip || value.to_string().len() > 20_000 || !is_acceptable(&validate(&value)) {
            continue;
        }
        let mut all = Vec::new();
        places(&value, "", &mut all);
        for place in all.iter().step_by(all.len() / 8 + 1) {
            for wrong in [Value::Array(Vec::new()), serde_json::json!({"zzz": 1})] {
                let right = std::mem::replace(value.pointer_mut(place).unwrap(), wrong);
                let refused = !is_acceptable(&validate(&value));
                assert!(refused, "{name} {place}");
                *value.pointer_mut(place).unwrap() = right;
                checked += 1;
            }
        }
        types.insert(kind);
    }
    assert!(
        checked > 10_000 && types.len() > 120,
        "{checked} {}",
        types.len()
    );
}
