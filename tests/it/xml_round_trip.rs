//! JSON to XML and back loses nothing on any official example.

use candor::fhir::{json, xml};
use serde_json::Value;

use crate::examples::{Example, examples};

/// Files that do not come through, each with its reason.
const EXCEPTIONS: [(&str, &str); 1] = [("package.json", "the package's manifest, no resource")];

enum Outcome {
    Same,
    Excepted,
    Failed(String),
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are the test's report")]
fn every_official_example_survives() {
    let Some(archives) = examples("JSON to XML round trip") else {
        return;
    };
    for files in archives {
        let middle = files.len() / 2;
        let (left, right) = files.split_at(middle);
        let outcomes: Vec<(&str, Outcome)> = std::thread::scope(|scope| {
            let other = scope.spawn(|| check_all(right));
            let mut outcomes = check_all(left);
            outcomes.extend(other.join().unwrap());
            outcomes
        });
        let count = |wanted: fn(&Outcome) -> bool| {
            outcomes
                .iter()
                .filter(|(_, outcome)| wanted(outcome))
                .count()
        };
        eprintln!(
            "JSON -> XML -> JSON: {} files, {} without any loss, {} listed exceptions",
            files.len(),
            count(|outcome| matches!(outcome, Outcome::Same)),
            count(|outcome| matches!(outcome, Outcome::Excepted)),
        );
        let failures: Vec<String> = outcomes
            .iter()
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Failed(text) => Some(format!("{name}: {text}")),
                _ => None,
            })
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

fn check_all(files: &[Example]) -> Vec<(&str, Outcome)> {
    files
        .iter()
        .map(|file| (file.name.as_str(), check(file)))
        .collect()
}

fn check(file: &Example) -> Outcome {
    let excepted = EXCEPTIONS.iter().any(|(name, _)| *name == file.name);
    match (round_trip(&file.bytes), excepted) {
        (Ok(()), false) => Outcome::Same,
        (Err(_), true) => Outcome::Excepted,
        (Ok(()), true) => Outcome::Failed("listed as an exception, but comes through".to_owned()),
        (Err(text), false) => Outcome::Failed(text),
    }
}

fn round_trip(bytes: &[u8]) -> Result<(), String> {
    let sent = json::parse_resource(bytes).map_err(|issue| format!("{issue:?}"))?;
    let xml = xml::to_xml(&sent).map_err(|issue| format!("to XML: {issue:?}"))?;
    let back = xml::from_xml(&xml).map_err(|issue| format!("from XML: {issue:?}"))?;
    // Numbers compare by their text, strings (narratives) byte by byte.
    match difference(&sent, &back, "") {
        None => Ok(()),
        Some(place) => Err(format!("differs at {place}")),
    }
}

fn difference(left: &Value, right: &Value, place: &str) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            left.iter().find_map(|(key, left)| match right.get(key) {
                Some(right) => difference(left, right, &format!("{place}.{key}")),
                None => Some(format!("{place}.{key}")),
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(at, (left, right))| difference(left, right, &format!("{place}[{at}]"))),
        _ => (left != right).then(|| place.to_owned()),
    }
}
