//! The house rules of ARCHITECTURE.md that a compiler does not hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules that stand lower than the module they are in: (module, stands just below).
const LOWER: &[(&str, &str)] = &[
    // The store writes index rows; searching stands above the store.
    ("search::extract", "store"),
];

/// Crates that only some modules may name.
const CONFINED: &[(&str, &[&str])] = &[
    ("fhirbolt", &["fhir::xml"]),
    (
        "sea_orm",
        &[
            "sql",
            "store",
            "search",
            "smart",
            "app::health",
            "cli::import",
        ],
    ),
    (
        "axum",
        &["texts::language", "smart", "rest", "observe", "app"],
    ),
    ("reqwest", &["smart"]),
    ("lettre", &["smart::mail"]),
    ("std::env::var", &["config"]),
];

/// Longest file, in lines.
const LONGEST: usize = 800;

struct File {
    path: PathBuf,
    /// `store::connection`.
    module: String,
    /// Without comments and without the unit tests at its end.
    code: String,
    lines: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files(folder: &str) -> Vec<File> {
    let mut paths = Vec::new();
    let folder = root().join(folder);
    walk(&folder, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(&folder).unwrap().with_extension("");
            let module = inside
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join("::");
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap()
                .lines()
                .map(|line| line.split("//").next().unwrap())
                .collect::<Vec<_>>()
                .join("\n");
            File {
                lines: text.lines().count(),
                path,
                module,
                code,
            }
        })
        .collect()
}

fn is_within(module: &str, ancestor: &str) -> bool {
    module
        .strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Modules that exist only in tests.
fn is_test(module: &str) -> bool {
    module
        .split("::")
        .any(|part| part == "tests" || part == "corpus")
}

/// Layers bottom to top, from the order in `src/lib.rs`.
fn layers() -> Vec<String> {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut layers: Vec<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(ToOwned::to_owned)
        .collect();
    for (module, above) in LOWER {
        let at = layers.iter().position(|layer| layer == above).unwrap();
        layers.insert(at, (*module).to_owned());
    }
    layers
}

fn layer_of(layers: &[String], module: &str) -> Option<usize> {
    layers
        .iter()
        .enumerate()
        .filter(|(_, layer)| is_within(module, layer))
        .max_by_key(|(_, layer)| layer.len())
        .map(|(at, _)| at)
}

/// Every `crate::a::b` in the code, groups (`crate::{a, b::c}`) one by one.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$')
        {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split_once("};").map_or(group, |(group, _)| group);
            found.extend(group.split(',').map(|one| path(one.trim())));
        } else {
            found.push(path(rest));
        }
    }
    found
}

fn path(text: &str) -> String {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'))
        .next()
        .unwrap()
        .trim_end_matches(':')
        .to_owned()
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let layers = layers();
    let mut upward = Vec::new();
    for file in files("src") {
        let Some(own) = layer_of(&layers, &file.module) else {
            continue;
        };
        if is_test(&file.module) {
            continue;
        }
        for used in uses(&file.code) {
            let Some(other) = layer_of(&layers, &used) else {
                continue;
            };
            if other > own {
                upward.push(format!("{} uses crate::{used}", file.path.display()));
            }
        }
    }
    assert!(
        upward.is_empty(),
        "these reach upwards in the order of src/lib.rs:\n{}",
        upward.join("\n")
    );
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = ["src", "tests", "conformance/src", "migrations/src"]
        .into_iter()
        .flat_map(files)
        .filter(|file| file.lines > LONGEST)
        .map(|file| format!("{} lines: {}", file.lines, file.path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn some_crates_stay_in_their_place() {
    let mut strays = Vec::new();
    for file in files("src") {
        if is_test(&file.module) {
            continue;
        }
        for (name, places) in CONFINED {
            let named = file.code.match_indices(name).any(|(at, _)| {
                let after = &file.code[at + name.len()..];
                let before = file.code[..at].chars().next_back();
                !before.is_some_and(|one| one.is_alphanumeric() || one == '_')
                    && (after.starts_with("::") || after.starts_with('('))
            });
            if named && !places.iter().any(|place| is_within(&file.module, place)) {
                strays.push(format!("{} names {name}", file.path.display()));
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_rules_can_fail() {
    assert_eq!(
        uses(
            "use crate::store::{Store, X};\nlet a = crate::rest::b(mycrate::c);\nuse crate::{sql::Sql, keys};"
        ),
        ["store", "rest::b", "sql::Sql", "keys"]
    );
    let layers: Vec<String> = ["fhir", "search::extract", "store", "search"]
        .map(str::to_owned)
        .to_vec();
    let of = |module| layer_of(&layers, module);
    assert_eq!(
        (of("search::extract::date"), of("search::plan")),
        (Some(1), Some(3))
    );
    assert_eq!((of("fhirpath"), of("std::fmt")), (None, None));
    let names: BTreeMap<String, usize> = files("src")
        .into_iter()
        .map(|file| (file.module, file.lines))
        .collect();
    assert!(names.contains_key("cli::import::load") && names.len() > 20);
}
