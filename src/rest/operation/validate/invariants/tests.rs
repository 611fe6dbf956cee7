//! Invariants on resources that break one each, and on HL7's own examples.

use serde_json::json;

use super::*;
use crate::fhir::validate;

fn errors(resource: &Value) -> Vec<String> {
    broken(resource)
        .into_iter()
        .filter(|issue| issue.severity == "error")
        .map(|issue| {
            let key = issue.diagnostics.split(':').next().unwrap_or_default();
            format!("{key} {}", issue.expression)
        })
        .collect()
}

#[test]
fn every_expression_is_one() {
    for (path, all) in INVARIANTS.iter() {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let elements = definitions().elements();
        assert!(elements.by_name(name).is_some(), "{path} {rest}");
        for one in all {
            assert!(one.expression.is_some(), "{path} {}", one.constraint.key);
        }
    }
    assert_eq!(INVARIANTS.values().map(Vec::len).sum::<usize>(), 238);
}

#[test]
fn what_is_broken_is_named_with_its_place() {
    let patient = |more: Value| {
        let mut one =
            json!({"resourceType": "Patient", "text": {"status": "generated", "div": "x"}});
        for (key, value) in more.as_object().unwrap() {
            one[key] = value.clone();
        }
        one
    };
    for (resource, expected) in [
        (
            patient(json!({"contact": [{"name": {"text": "x"}}, {"gender": "male"}]})),
            "pat-1 Patient.contact[1]",
        ),
        (
            patient(json!({"name": [{"period": {"start": "2026-02", "end": "2026-01"}}]})),
            "per-1 Patient.name[0].period",
        ),
        (
            patient(json!({"generalPractitioner": [{"reference": "#x"}]})),
            "ref-1 Patient.generalPractitioner[0]",
        ),
        (
            patient(json!({"contained": [{"resourceType": "Practitioner", "id": "x"}]})),
            "dom-3 Patient",
        ),
        (
            patient(json!({"telecom": [{"value": "x"}]})),
            "cpt-2 Patient.telecom[0]",
        ),
        (
            patient(
                json!({"extension": [{"url": "u", "valueQuantity": {"value": 1, "code": "g"}}]}),
            ),
            "qty-3 Patient.extension[0].value",
        ),
        (
            json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "valueString": "x", "dataAbsentReason": {"text": "x"}}),
            "obs-6 Observation",
        ),
        (
            json!({"resourceType": "Organization", "name": "x", "telecom": [{"system": "phone", "use": "home"}]}),
            "org-3 Organization.telecom[0]",
        ),
        (
            json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"fullUrl": "http://x/Patient/1/_history/2", "resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                "valueInteger": 1, "dataAbsentReason": {"text": "x"}}}]}),
            "bdl-8 Bundle.entry[0], obs-6 Bundle.entry[1].resource",
        ),
        (
            json!({"resourceType": "Condition", "subject": {"display": "x"},
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
            "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]}}),
            "con-5 Condition",
        ),
        (
            json!({"resourceType": "Questionnaire", "status": "draft", "item": [
            {"linkId": "1", "type": "group", "item": [{"linkId": "1", "type": "string"}]}]}),
            "que-2 Questionnaire",
        ),
        (
            json!({"resourceType": "Bundle", "type": "collection", "entry": [
            {"resource": {"resourceType": "Patient"}}]}),
            "",
        ),
        // Contained, and referred to.
        (
            patient(
                json!({"contained": [{"resourceType": "Practitioner", "id": "x"}],
            "generalPractitioner": [{"reference": "#x"}]}),
            ),
            "",
        ),
    ] {
        assert_eq!(errors(&resource).join(", "), expected, "{resource}");
    }
    let bare = broken(
        &json!({"resourceType": "Patient", "contained": [{"resourceType": "Organization",
        "id": "x", "name": "x"}], "managingOrganization": {"reference": "#x"}}),
    );
    let words: Vec<_> = bare
        .iter()
        .map(|issue| (issue.severity, &*issue.expression))
        .collect();
    assert_eq!(words, [("warning", "Patient")], "{bare:?}");
}

#[test]
fn a_hostile_resource_costs_no_more_than_it_may() {
    let item = json!({"linkId": "x", "type": "string"});
    let large = json!({"resourceType": "Questionnaire", "status": "draft",
        "item": vec![item; 100_000]});
    let issues = broken(&large);
    assert!(
        issues.iter().any(|issue| issue.code == "incomplete"),
        "{:?}",
        issues.first()
    );
    assert!(issues.len() <= MAX_ISSUES + 2);
}

/// `docs/official-examples.md` has a row for each of R4's own examples that breaks one, and no others.
/// Of the large ones and of those that are definitions, which are many and alike, a few will do; all
/// are tried with `CANDOR_ALL_EXAMPLES=1`.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn official_examples_keep_them() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../shared/data/hl7-r4-examples.tgz");
    if !path.exists() {
        eprintln!("SKIPPED: ../shared is absent, the invariants were not tried on HL7's examples");
        return;
    }
    let page = std::fs::read_to_string(root.join("docs/official-examples.md")).unwrap();
    let (_, section) = page.split_once("## Invariants that they break").unwrap();
    let explained: BTreeSet<(String, String)> = section
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| {
            let mut columns = line.strip_prefix("| `")?.split('`');
            Some((columns.next()?.to_owned(), columns.nth(1)?.to_owned()))
        })
        .collect();
    let all = std::env::var_os("CANDOR_ALL_EXAMPLES").is_some();
    let examples = crate::fhirpath::tests::corpus::package(&path, |_| true);
    assert!(examples.len() > 5000);
    let mut found = BTreeSet::new();
    let mut skipped = BTreeSet::new();
    let mut tried = BTreeSet::new();
    let mut slowest = (0, String::new());
    for (at, resource) in examples.iter().enumerate() {
        let text = |key: &str| resource[key].as_str().unwrap_or_default();
        let name = format!("{}/{}", text("resourceType"), text("id"));
        let is_definition = matches!(
            text("resourceType"),
            "CodeSystem"
                | "ValueSet"
                | "StructureDefinition"
                | "SearchParameter"
                | "ConceptMap"
                | "OperationDefinition"
                | "CapabilityStatement"
        );
        let is_left_out = is_definition && at % 40 != 0 || resource.to_string().len() > 30_000;
        if !all && is_left_out || !validate::is_acceptable(&validate::validate(resource)) {
            continue;
        }
        tried.insert(name.clone());
        let start = std::time::Instant::now();
        for issue in broken(resource) {
            match issue.severity {
                "error" => {
                    let key = issue.diagnostics.split(':').next().unwrap_or_default();
                    found.insert((name.clone(), key.to_owned()));
                }
                "information" => {
                    skipped.insert(format!("{name} {}", issue.diagnostics));
                }
                _ => {}
            }
        }
        slowest = slowest.max((start.elapsed().as_millis(), name));
    }
    eprintln!("tried {}, slowest {slowest:?}", tried.len());
    for (name, key) in &found {
        eprintln!("| `{name}` | `{key}` |");
    }
    for line in &skipped {
        eprintln!("not evaluated: {line}");
    }
    let expected: BTreeSet<_> = explained
        .into_iter()
        .filter(|(name, _)| tried.contains(name))
        .collect();
    assert_eq!(found, expected);
}
