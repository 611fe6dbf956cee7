//! Every search parameter's expression of R4 and US Core on every official example resource.
//! Needs `../shared`; says so loudly where it is absent.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Context, parse};

/// The shared folder, beside the checkout or two levels above a working tree of it.
#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
pub(crate) fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["../shared", "../../shared"]
        .iter()
        .map(|place| root.join(place))
        .find(|place| place.join("packages").is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: ../shared is absent");
    }
    found
}

/// The resources in a package, by file name.
pub(crate) fn package(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut archive = tar::Archive::new(file);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let name = name.rsplit('/').next().unwrap();
        if name.ends_with(".json") && !name.starts_with('.') && wanted(name) {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            if value.get("resourceType").is_some() {
                found.push(value);
            }
        }
    }
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

#[test]
fn every_search_expression_on_every_example() {
    let Some(shared) = shared() else { return };
    let mut by_type: HashMap<String, Vec<String>> = HashMap::new();
    let (mut expressions, mut failed) = (0, Vec::new());
    for name in ["hl7.fhir.r4.core-4.0.1.tgz", "hl7.fhir.us.core-6.1.0.tgz"] {
        let path = shared.join("packages").join(name);
        for parameter in package(&path, |name| name.starts_with("SearchParameter-")) {
            let expression = text(&parameter, "expression");
            let parts = parameter["component"].as_array().into_iter().flatten();
            let all = std::iter::once(expression).chain(parts.map(|part| text(part, "expression")));
            for expression in all.filter(|expression| !expression.is_empty()) {
                expressions += 1;
                if let Err(error) = parse(expression) {
                    failed.push(format!("{expression}: {error}"));
                }
            }
            for base in parameter["base"].as_array().into_iter().flatten() {
                let base = base.as_str().unwrap().to_owned();
                by_type.entry(base).or_default().push(expression.to_owned());
            }
        }
    }
    assert_eq!(failed, Vec::<String>::new());
    let compiled: HashMap<&str, Vec<_>> = by_type
        .iter()
        .map(|(base, all)| {
            let all = all.iter().filter(|text| !text.is_empty());
            (
                base.as_str(),
                all.map(|text| (text.as_str(), parse(text).unwrap()))
                    .collect(),
            )
        })
        .collect();
    let (mut resources, mut found, mut evaluations) = (0, 0, 0);
    let mut examples = package(&shared.join("data/hl7-r4-examples.tgz"), |_| true);
    examples.extend(package(
        &shared.join("packages/hl7.fhir.us.core-6.1.0.tgz"),
        |_| true,
    ));
    for resource in examples {
        resources += 1;
        let own = text(&resource, "resourceType");
        for base in [own, "Resource", "DomainResource"] {
            for (source, expression) in compiled.get(base).into_iter().flatten() {
                evaluations += 1;
                match expression.evaluate(&resource, &Context::default()) {
                    Ok(items) => found += items.len(),
                    Err(error) => {
                        failed.push(format!(
                            "{own}/{}: {source}: {error}",
                            text(&resource, "id")
                        ));
                    }
                }
            }
        }
    }
    failed.truncate(20);
    assert_eq!(failed, Vec::<String>::new());
    // Measured: 1 586 expressions, 5 692 resources, 156 807 evaluations, 157 780 items.
    assert!(
        expressions > 1500 && resources > 5000,
        "{expressions} {resources}"
    );
    assert!(
        evaluations > 150_000 && found > 150_000,
        "{evaluations} {found}"
    );
}
