//! What is shipped, and what the loader refuses (X-REJECT).

use serde_json::{Value, json};

use super::kit::{canonical, policy};
use crate::release::codes::value_set;
use crate::release::{RuleSet, policy_summary};

#[test]
fn the_shipped_rules_load_and_their_tables_are_there() {
    let rules = RuleSet::embedded().unwrap();
    assert_eq!(
        rules
            .packs
            .iter()
            .map(|pack| pack.rules.len())
            .sum::<usize>(),
        30
    );
    for id in [
        "mental-health-professional",
        "pathology-malignancy",
        "genetic-marker",
        "hiv-test",
        "viral-load",
        "licensed-professional",
        "hepatitis-antigen-test",
    ] {
        assert!(!value_set(id).unwrap().is_empty(), "{id}");
    }
    assert!(canonical("ValueSet", "hiv-test").starts_with("https://candor.example/fhir/"));
}

#[test]
fn the_policy_lists_every_rule_with_its_state() {
    let summary = policy_summary(&policy("US-TX", "America/Chicago"));
    let text = summary.to_string();
    for id in [
        "R00-RELEASE",
        "R01-PSYNOTE",
        "R22-TX",
        "R25-CO",
        "R14-SELFPAY",
    ] {
        assert!(text.contains(id), "{id}");
    }
    let state = |id: &str| {
        let rules = summary["parameter"].as_array().unwrap();
        let part = |rule: &Value, name: &str| {
            let parts = rule["part"].as_array()?;
            parts.iter().find(|part| part["name"] == name).cloned()
        };
        let rule = rules
            .iter()
            .find(|one| part(one, "id").is_some_and(|part| part["valueString"] == id))
            .unwrap();
        part(rule, "state").unwrap()["valueCode"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(state("R22-TX"), "active");
    assert_eq!(state("R21-KY"), "off");
    assert_eq!(state("R14-SELFPAY"), "active");
    assert_eq!(state("R16-SUDNOTE"), "not-implemented");
}

fn refused(change: impl Fn(&mut Value)) -> String {
    let mut rule = json!({
        "id": "R99", "version": 1, "title": "A rule", "jurisdiction": "US", "status": "active",
        "effective": ["2026-01-01", null],
        "legalBasis": {"cite": "some law", "ibPath": "required_by_law"},
        "class": "mandatory",
        "match": {"predicate": "sensitive-result", "requester": ["patient"],
                  "resource": {"types": ["Observation"], "anyOf": [{"flag": "hiv"}]}},
        "effect": "delay_until", "until": {"calc": "finalizedAt+72h"},
    });
    let load = |rule: &Value| {
        let file = json!({
            "pack": "XX", "jurisdiction": "US", "onByDefault": true, "rules": [rule],
        });
        RuleSet::load(&[("test.json", &file.to_string())])
    };
    load(&rule).unwrap();
    change(&mut rule);
    load(&rule).unwrap_err().to_string()
}

#[test]
fn x_reject_names_the_rule_and_the_fault() {
    let no_path = refused(|rule| rule["legalBasis"]["ibPath"] = json!("none"));
    assert!(
        no_path.contains("R99") && no_path.contains("legal path"),
        "{no_path}"
    );
    assert!(refused(|rule| rule["legalBasis"] = json!({"cite": "x"})).contains("none or missing"));
    assert!(refused(|rule| rule["legalBasis"]["ibPath"] = json!("171.204")).contains("timer"));
    assert!(refused(|rule| rule["legalBasis"]["ibPath"] = json!("171.999")).contains("no legal"));
    assert!(refused(|rule| rule["legalBasis"]["cite"] = json!(" ")).contains("citation"));
    assert!(refused(|rule| rule["match"]["predicate"] = json!("vip")).contains("not known"));
    assert!(
        refused(|rule| rule["match"]["predicate"] = json!("care-access"))
            .contains("not implemented")
    );
    assert!(refused(|rule| rule["effective"] = json!(["2026-02-30", null])).contains("no date"));
    assert!(
        refused(|rule| rule["effective"] = json!(["2026-02-01", "2026-01-01"])).contains("before")
    );
    assert!(refused(|rule| rule["match"]["requester"] = json!([])).contains("nobody"));
    assert!(refused(|rule| rule["until"] = json!({"calc": "whenever"})).contains("whenever"));
    assert!(refused(|rule| rule["surprise"] = json!(1)).contains("surprise"));
    assert!(
        refused(|rule| rule["match"]["resource"]["anyOf"] = json!([{"flag": "sad"}]))
            .contains("no release flag")
    );
    assert!(refused(|rule| rule["onEvidenceMissing"] = json!("fail_closed")).contains("EHI"));
}

#[test]
fn case_40_x_reject_refuses_blocks_by_age_label_specialty_and_fame() {
    let age = refused(|rule| {
        rule["match"]["patient"] = json!({"ageUnder": 18});
        rule["match"]["requester"] = json!(["personal_rep"]);
    });
    assert!(age.contains("by age alone"), "{age}");
    for condition in [
        json!({"label": "HIV"}),
        json!({"specialty": "psychiatry"}),
        json!({"vip": true}),
    ] {
        let fault = refused(|rule| rule["match"]["resource"]["anyOf"] = json!([condition]));
        assert!(fault.contains("never restricts the patient"), "{fault}");
    }
}
