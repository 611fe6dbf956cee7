//! The conformance tables of the documentation: no blank, and no test that is not there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLES: &[&str] = &["docs/rest-conformance.md", "docs/search-conformance.md"];

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

/// `search::tests::parameters` and all `module::function` of it; modules by themselves, too.
fn names() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        let folder = root().join(folder);
        let mut files = Vec::new();
        walk(&folder, &mut files);
        for file in files {
            let module = file
                .strip_prefix(&folder)
                .unwrap()
                .with_extension("")
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join("::");
            let mut at = module.clone();
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                // Modules within a file stand at its left edge.
                if let Some(name) = line
                    .strip_prefix("mod ")
                    .and_then(|rest| rest.strip_suffix(" {"))
                {
                    at = format!("{module}::{name}");
                } else if line == "}" {
                    at.clone_from(&module);
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    let name: String = rest
                        .chars()
                        .take_while(|one| one.is_ascii_alphanumeric() || *one == '_')
                        .collect();
                    all.insert(format!("{at}::{name}"));
                }
            }
            all.insert(module);
        }
    }
    all
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_tables_name_is_there() {
    let names = names();
    let is_there = |name: &str| {
        names.contains(name)
            // Written once, run on each database.
            || names.contains(&format!("{name}_sqlite"))
    };
    let mut problems = Vec::new();
    let mut rows = 0;
    for path in TABLES {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            // A bar within a code is written `\|`.
            let line = line.replace("\\|", "¦");
            let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
                for name in quoted(&line).filter(|name| name.contains("::")) {
                    if !is_there(name) {
                        problems.push(format!("{path}:{number}: no test {name}"));
                    }
                }
                continue;
            };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let last = cells.last().copied().unwrap_or_default();
            if last == "test" || last.starts_with("---") {
                continue;
            }
            rows += 1;
            if cells.iter().skip(1).any(|cell| cell.is_empty()) && cells.len() < 4 {
                problems.push(format!("{path}:{number}: a blank cell"));
            }
            let mut tests = 0;
            for name in quoted(last) {
                tests += 1;
                if !is_there(name) {
                    problems.push(format!("{path}:{number}: no test {name}"));
                }
            }
            if tests == 0 {
                problems.push(format!("{path}:{number}: no test is named"));
            }
        }
    }
    assert!(rows > 90, "{rows}");
    assert_eq!(problems, Vec::<String>::new());
}
