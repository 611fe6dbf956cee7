//! `docs/g10.md` names a case of the conformance suite for every line of the checklist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SECTIONS: [&str; 2] = ["Discovery", "Authorization / token"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Section, words of the line, and cases of each row.
fn rows() -> Vec<(String, String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("docs/g10.md")).unwrap();
    text.lines()
        .filter(|line| {
            SECTIONS
                .iter()
                .any(|one| line.starts_with(&format!("| {one} |")))
        })
        .map(|line| {
            let line = line.replace("\\|", "\u{1}");
            let cells: Vec<String> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect();
            let cases = cells[2].split(", ").map(str::to_owned).collect();
            (cells[0].clone(), cells[1].clone(), cases)
        })
        .collect()
}

/// The numbers that the suite's cases begin with: `D1`, `G7`.
fn cases() -> BTreeSet<String> {
    let folder = root().join("conformance/src/g10");
    let is_number = |word: &str| {
        word.len() >= 2
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word[1..].chars().all(|c| c.is_ascii_digit())
    };
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for literal in text.split('"') {
            let first = literal.split(' ').next().unwrap_or_default();
            if literal.contains(' ') && is_number(first) {
                found.insert(first.to_owned());
            }
        }
    }
    // Two sets of three, made in a loop.
    found.extend((1..=6).map(|number| format!("G{number}")));
    found
}

#[test]
fn every_row_names_a_case_and_every_case_has_a_row() {
    let named: BTreeSet<String> = rows().into_iter().flat_map(|(_, _, cases)| cases).collect();
    assert_eq!(named, cases());
}

#[test]
fn no_line_of_the_checklist_is_without_a_row() {
    let path = Path::new(&root()).join("../shared/g10-checklist.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        crate::support::skipped(&format!("{} is not there", path.display()));
        return;
    };
    let rows = rows();
    for section in SECTIONS {
        let (_, rest) = text.split_once(&format!("### {section}")).unwrap();
        let rest = rest.split("\n### ").next().unwrap();
        for line in rest.lines().filter(|line| line.starts_with("- ")) {
            let own = rows
                .iter()
                .filter(|(of, words, _)| of == section && line.contains(words.as_str()));
            assert!(own.count() > 0, "no row for: {line}");
        }
        for (_, words, _) in rows.iter().filter(|(of, _, _)| of == section) {
            assert!(
                rest.contains(words.as_str()),
                "not in the checklist: {words}"
            );
        }
    }
}
