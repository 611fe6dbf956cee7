//! HL7's own FHIRPath test suite for R4 (`tests/data/fhirpath`).

use std::collections::HashMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::super::{Context, parse};
use super::shown;

/// Tests of a strict mode, in which types are checked before anything is evaluated; R4's own
/// search parameters do not pass such a check, and this engine has no such mode.
const STRICT: usize = 20;

#[derive(Default)]
struct Case {
    name: String,
    attributes: HashMap<String, String>,
    expression: String,
    invalid: String,
    outputs: Vec<(String, String)>,
}

fn attributes(tag: &BytesStart<'_>) -> HashMap<String, String> {
    tag.attributes()
        .map(|attribute| {
            let attribute = attribute.unwrap();
            let key = attribute.key.as_ref().to_owned();
            (
                key,
                quick_xml::escape::unescape(&attribute.value)
                    .unwrap()
                    .into_owned(),
            )
        })
        .collect()
}

fn cases(xml: &str) -> Vec<Case> {
    let mut reader = Reader::from_str(xml);
    let (mut cases, mut case, mut text) = (Vec::new(), Case::default(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                text.clear();
                match tag.name().as_ref() {
                    "test" => {
                        case = Case {
                            attributes: attributes(&tag),
                            ..Case::default()
                        };
                        case.name = case.attributes["name"].clone();
                    }
                    "expression" => {
                        case.invalid = attributes(&tag).remove("invalid").unwrap_or_default();
                    }
                    "output" => {
                        let kind = attributes(&tag).remove("type").unwrap_or_default();
                        case.outputs.push((kind, String::new()));
                    }
                    _ => {}
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(name) => {
                let entity = format!("&{};", &*name);
                text.push_str(&quick_xml::escape::unescape(&entity).unwrap());
            }
            Event::End(tag) => match tag.name().as_ref() {
                "expression" => case.expression = std::mem::take(&mut text),
                "output" => case.outputs.last_mut().unwrap().1 = std::mem::take(&mut text),
                "test" => cases.push(std::mem::take(&mut case)),
                _ => {}
            },
            Event::Eof => return cases,
            _ => {}
        }
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is wrong, if anything.
fn failure(case: &Case, resource: &Value) -> Option<String> {
    let context = Context {
        now: Some(1_700_000_000_000),
        ..Context::default()
    };
    let invalid = !case.invalid.is_empty() || case.attributes.contains_key("invalid");
    let wrong = |error: String| (!invalid).then_some(error);
    let expression = match parse(&case.expression) {
        Ok(expression) => expression,
        Err(error) => return wrong(error.to_string()),
    };
    let before = parse(
        case.attributes
            .get("context")
            .map_or("$this", String::as_str),
    )
    .unwrap();
    let focus = before.evaluate(resource, &context).unwrap();
    let found = match expression.evaluate_at(focus[0].clone(), resource, &context) {
        Ok(found) => found,
        Err(error) => return wrong(error.to_string()),
    };
    if invalid {
        return Some("should fail".to_owned());
    }
    let mut found: Vec<String> = if case
        .attributes
        .get("predicate")
        .is_some_and(|p| p == "true")
    {
        vec![(!found.is_empty()).to_string()]
    } else {
        // Literals in outputs begin with @ for dates.
        shown(&found).iter().map(as_text).collect()
    };
    let mut wanted: Vec<String> = case
        .outputs
        .iter()
        .map(|(_, text)| text.trim_start_matches('@').to_owned())
        .collect();
    if case
        .attributes
        .get("ordered")
        .is_some_and(|ordered| ordered == "false")
    {
        found.sort();
        wanted.sort();
    }
    (found != wanted).then(|| format!("found {found:?}, wanted {wanted:?}"))
}

#[test]
fn official_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fhirpath");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let all = cases(&read("tests-fhir-r4.xml"));
    let mut resources: HashMap<&str, Value> = HashMap::new();
    for case in &all {
        let name = case.attributes["inputfile"].as_str();
        resources
            .entry(name)
            .or_insert_with(|| serde_json::from_str(&read(name)).unwrap());
    }
    let is_strict = |case: &&Case| {
        case.attributes
            .get("mode")
            .is_some_and(|mode| mode == "strict")
            || (case.attributes.contains_key("contextType") && case.invalid == "semantic")
    };
    let (strict, judged): (Vec<&Case>, Vec<&Case>) = all.iter().partition(is_strict);
    let mut failed = Vec::new();
    for case in &judged {
        let problem = failure(case, &resources[case.attributes["inputfile"].as_str()]);
        if let Some(problem) = problem {
            failed.push(format!("{}: {} -> {problem}", case.name, case.expression));
        }
    }
    assert_eq!(failed, Vec::<String>::new(), "of {}", judged.len());
    assert_eq!((all.len(), strict.len()), (762, STRICT));
}
