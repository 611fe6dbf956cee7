//! `fhir-profiles`: what stands there is valid, complete, and what the engine reads.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::kit::{T0, World, canonical, policy, ref_of};
use crate::fhir::validate::{is_acceptable, validate};
use crate::release::{Audience, Facts, Input, check_input, decide, evidence, relative};

fn folder(name: &str) -> Vec<(String, Value)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fhir-profiles")
        .join(name);
    let mut found: Vec<(String, Value)> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn everything_is_valid_fhir_under_its_own_url() {
    let mut count = 0;
    for (name, kind) in [
        ("structuredefinitions", "StructureDefinition"),
        ("codesystems", "CodeSystem"),
        ("valuesets", "ValueSet"),
        ("namingsystems", "NamingSystem"),
        ("examples", ""),
    ] {
        for (file, resource) in folder(name) {
            let issues = validate(&resource);
            assert!(is_acceptable(&issues), "{name}/{file}: {issues:#?}");
            if !kind.is_empty() && kind != "NamingSystem" {
                assert_eq!(resource["url"], canonical(kind, &file).as_str());
            }
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn every_name_of_the_contract_is_defined() {
    let vocabulary = include_str!("../vocabulary.rs");
    let defined: Vec<String> = ["structuredefinitions", "codesystems", "namingsystems"]
        .iter()
        .flat_map(|name| folder(name))
        .map(|(file, _)| file)
        .collect();
    let mut names = 0;
    for line in vocabulary.lines() {
        let Some((_, rest)) = line.split_once("candor.example/fhir/") else {
            continue;
        };
        let id = rest.rsplit('/').next().unwrap().trim_end_matches("\";");
        assert!(defined.iter().any(|one| one == id), "{id}");
        names += 1;
    }
    assert!(names >= 13, "{names}");
}

/// The examples by reference.
fn examples() -> HashMap<String, Value> {
    folder("examples")
        .into_iter()
        .map(|(_, one)| (ref_of(&one), one))
        .collect()
}

fn is_input(resource: &Value) -> bool {
    crate::release::steers(resource).input_of.is_some()
}

#[test]
fn the_examples_are_accepted_and_do_what_they_say() {
    let known = examples();
    let policy = policy("US", "America/New_York");
    for (name, resource) in &known {
        check_input(resource, &known, &policy, T0)
            .unwrap_or_else(|issues| panic!("{name}: {issues:#?}"));
    }
    let decided = |name: &str, with: &[&str]| {
        let inputs: Vec<Input<'_>> = known
            .iter()
            .filter(|(reference, one)| is_input(one) && with.contains(&reference.as_str()))
            .map(|(reference, resource)| Input {
                reference,
                resource,
                stored_at: T0,
                fed: false,
            })
            .collect();
        assert_eq!(inputs.len(), with.len(), "{with:?}");
        decide(
            &Facts {
                target: &known[name],
                target_ref: name,
                first_final: None,
                inputs: &inputs,
                linked: &known,
                referrers: &[],
                withheld_targets: &[],
                records: &[],
                context: &policy,
            },
            T0,
        )
    };
    let rules = |name: &str, with: &[&str]| {
        let holds = decided(name, with).holds;
        holds
            .into_iter()
            .next()
            .map(|span| span.rules.join("+"))
            .unwrap_or_default()
    };
    let path = "DiagnosticReport/example-pathology";
    assert_eq!(rules(path, &[]), "");
    assert_eq!(rules(path, &["Task/example-hold-self"]), "R08-HARM-SELF");
    assert_eq!(
        rules(path, &["Task/example-hold-self", "Task/example-review"]),
        "R08-HARM-SELF"
    );
    assert_eq!(
        rules(path, &["Task/example-hold-third-party"]),
        "R09-HARM-3P"
    );
    assert_eq!(
        rules(path, &["Task/example-hold-representative"]),
        "R10-HARM-REP"
    );
    assert_eq!(
        rules(path, &["Task/example-hold-data-defect"]),
        "R11-DATADEFECT"
    );
    assert_eq!(rules(path, &["Task/example-hold-litigation"]), "R03-LITIG");
    assert_eq!(rules(path, &["Consent/example-delay"]), "R13-PTDELAY");
    assert_eq!(
        rules(path, &["Consent/example-not-share-app"]),
        "R12-NOTSHARE"
    );
    assert_eq!(rules(path, &["Consent/example-proxy-permit"]), "");
    assert_eq!(
        rules(path, &["RelatedPerson/example-suspended"]),
        "R19-ABUSE"
    );
    assert_eq!(
        rules("DocumentReference/example-psychotherapy", &[]),
        "R01-PSYNOTE"
    );
    let tuple = [
        "ResearchSubject/example-subject",
        "Consent/example-research",
    ];
    assert_eq!(
        rules("Observation/example-study-result", &tuple),
        "R04-RESEARCH"
    );
    assert_eq!(
        rules("ResearchSubject/example-subject", &tuple),
        "R05-BLIND"
    );
    assert!(evidence(&known["Task/example-hold-self"]).contains(&"Encounter/example-visit".into()));
}

#[test]
fn absolute_references_to_this_server_are_made_relative() {
    let known = examples();
    let report = &known["DiagnosticReport/example-pathology"];
    assert!(matches!(
        relative(report, "http://here/fhir/r4"),
        std::borrow::Cow::Borrowed(_)
    ));
    let text = report
        .to_string()
        .replace("\"Patient/", "\"http://here/fhir/r4/Patient/");
    let absolute: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(&*relative(&absolute, "http://here/fhir/r4/"), report);
    assert_eq!(*relative(&absolute, "http://elsewhere/fhir/r4"), absolute);
    assert!(World::federal(report.clone()).sees(&Audience::Patient, T0));
}
