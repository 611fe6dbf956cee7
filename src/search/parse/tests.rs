use proptest::prelude::*;

use super::*;
use crate::search::query::{CodeTest, StringMode, SystemTest, Target, TokenTest};

const BASE: &str = "http://127.0.0.1:8080/fhir/r4";

fn type_id(name: &str) -> TypeId {
    definitions().type_id(name).unwrap()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn read(type_name: &str, query: &str) -> Result<Query, Vec<Issue>> {
    match parse(
        Some(type_id(type_name)),
        &pairs(query),
        false,
        BASE,
        &Custom::default(),
    ) {
        Ok((_, query)) => Ok(query),
        Err(SearchError::Invalid(issues)) => Err(issues),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn tokens_in_all_forms() {
    let query = read(
        "Observation",
        r"code=http://loinc.org|8480-6,x\|y,|z,http://loinc.org|",
    )
    .unwrap();
    let [
        Condition::Token {
            values, not: false, ..
        },
    ] = query.conditions.as_slice()
    else {
        panic!("{query:?}");
    };
    let test = |system, code: Option<&str>| TokenTest {
        system,
        code: code.map(|code| CodeTest::Is(code.to_owned())),
    };
    let loinc = || SystemTest::Is("http://loinc.org".to_owned());
    assert_eq!(
        values,
        &[
            test(loinc(), Some("8480-6")),
            test(SystemTest::Any, Some("x|y")),
            test(SystemTest::None, Some("z")),
            test(loinc(), None),
        ]
    );
}

#[test]
fn references_in_all_forms() {
    let targets = |query: &str| match read("Observation", query).unwrap().conditions.pop() {
        Some(Condition::Reference { values, .. }) => values,
        Some(Condition::Any(mut any)) => match any.swap_remove(0) {
            Condition::Reference { values, .. } => values,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let local = |name: &str, id: &str| Target::Local(type_id(name), id.to_owned());
    assert_eq!(targets("patient=7"), [local("Patient", "7")]);
    assert_eq!(targets("subject=Patient/7"), [local("Patient", "7")]);
    assert_eq!(targets("subject:Group=7"), [local("Group", "7")]);
    assert_eq!(targets("subject:Group=Patient/7"), []);
    assert_eq!(
        targets(&format!("subject={BASE}/Patient/7/_history/2")),
        [local("Patient", "7")]
    );
    assert_eq!(
        targets("subject=http://elsewhere/Patient/7"),
        [Target::Url("http://elsewhere/Patient/7".to_owned())]
    );
    assert!(targets("subject=7").len() > 1);
}

#[test]
fn chains_fan_out_to_the_types_that_have_the_parameter() {
    let query = read("Observation", "subject.gender=male&subject:Patient.name=x").unwrap();
    let [
        Condition::Chain { links, .. },
        Condition::Chain { links: one, .. },
    ] = query.conditions.as_slice()
    else {
        panic!("{query:?}");
    };
    assert_eq!(links.len(), 1);
    assert!(matches!(
        one.as_slice(),
        [(
            _,
            Condition::String {
                mode: StringMode::Prefix,
                ..
            }
        )]
    ));
    let query = read(
        "Patient",
        "_has:Observation:patient:_has:AuditEvent:entity:agent=x",
    )
    .unwrap();
    assert!(matches!(
        query.conditions.as_slice(),
        [Condition::Has { .. }]
    ));
}

#[test]
fn unknown_is_named_and_left_out_or_refused() {
    let query = read("Patient", "nonsense=1&name=x&subject.name=y").unwrap();
    assert_eq!(query.conditions.len(), 1);
    assert_eq!(query.issues.len(), 2);
    assert_eq!(query.used, pairs("name=x"));
    let strict = parse(
        Some(type_id("Patient")),
        &pairs("nonsense=1&name=x"),
        true,
        BASE,
        &Custom::default(),
    );
    assert!(matches!(strict, Err(SearchError::Invalid(issues)) if issues.len() == 1));
}

#[test]
fn what_is_not_understood_is_refused() {
    for (type_name, query) in [
        ("Patient", "name:sounds=x"),
        ("Patient", "birthdate=yesterday"),
        ("Patient", "birthdate:exact=2026"),
        ("Patient", "gender:near=http://x"),
        ("Location", "near=1|2|3|kg"),
        ("Location", "near=1"),
        ("Location", "near:exact=1|2"),
        ("Location", "_sort=near"),
        ("Location", "_filter=near eq \"1|2\""),
        ("Patient", "_text=-x"),
        ("Patient", "_contained=perhaps"),
        ("Patient", "_containedType=both"),
        ("Patient", "name=a,,b"),
        ("Patient", "_sort=nonsense"),
        ("Patient", "_sort=_score"),
        ("Patient", "_count=-1"),
        ("Patient", "_count=x"),
        ("Patient", "_summary=maybe"),
        ("Patient", "_total=some"),
        ("Patient", "_elements=a.b"),
        ("Patient", "_summary=true&_elements=id"),
        ("Patient", "_include=Patient"),
        ("Patient", "_include=Nothing:x"),
        ("Patient", "_revinclude=Observation:code"),
        ("Patient", "_include:often=Patient:organization"),
        ("Patient", "active:missing=maybe"),
        ("Patient", "_has:Observation:patient=x"),
        ("Patient", "_has:Observation:nothing:code=x"),
        ("Patient", "_has:Observation:encounter:code=x"),
        ("Patient", "name.family=x"),
        ("Observation", "subject:Medication.code=x"),
        ("Observation", "subject:Nothing=x"),
        ("Observation", "subject=not an id"),
        ("Observation", "code-value-quantity=8480-6"),
        ("Observation", "code-value-quantity=8480-6$x"),
        ("Observation", "code=a|b|c"),
        ("Observation", "code=|"),
        ("Observation", "value-quantity=5|mg"),
        (
            "Observation",
            "encounter.subject.general-practitioner.organization.partof.name=x",
        ),
    ] {
        assert!(read(type_name, query).is_err(), "{type_name}?{query}");
    }
}

#[test]
fn too_much_is_refused() {
    assert!(read("Patient", &format!("name={}", vec!["a"; 501].join(","))).is_err());
    assert!(read("Patient", &format!("name={}", "a".repeat(1_025))).is_err());
    assert!(read("Patient", &vec!["name=a"; 101].join("&")).is_err());
    assert!(read("Patient", &format!("{}=a", "name:".repeat(10_000))).is_err());
}

#[test]
fn whole_system_searches_take_common_parameters() {
    let (types, query) = parse(
        None,
        &pairs("_type=Patient,Observation&_lastUpdated=gt2026&name=x"),
        false,
        BASE,
        &Custom::default(),
    )
    .unwrap();
    assert_eq!(types.as_slice().len(), 2);
    assert_eq!((query.conditions.len(), query.issues.len()), (1, 1));
    assert!(
        parse(
            None,
            &pairs("_type=Nothing"),
            false,
            BASE,
            &Custom::default()
        )
        .is_err()
    );
}

fn any_query() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = prop::sample::select(vec![
        "_id",
        "_lastUpdated",
        "name",
        "code",
        "code:not",
        "subject",
        "subject:Patient.name",
        "subject.name",
        "_has:Provenance:target:agent",
        "date",
        "value-quantity",
        "_sort",
        "_count",
        "_include",
        "_revinclude:iterate",
        "code-value-quantity",
        "code:missing",
        "_elements",
        "_summary",
        "status:text",
        "nonsense",
        "_profile:below",
    ])
    .prop_map(str::to_owned);
    let name = prop_oneof![8 => names, 1 => "[a-z_:.]{0,20}", 1 => ".{0,10}"];
    let value = prop_oneof![
        3 => r"[a-z0-9|$,\\./:-]{0,20}",
        1 => ".{0,20}",
        1 => "(ge|le|ap)?[0-9]{4}(-[01][0-9])?",
        1 => "-?[0-9]{1,30}(e[0-9]{1,5})?(\\|[a-z]*\\|[a-z]*)?",
        1 => Just("Observation:subject".to_owned()),
    ];
    prop::collection::vec((name, value), 0..6)
}

proptest! {
    #[test]
    fn never_panics_and_the_self_link_means_the_same(query in any_query(), strict: bool) {
        let observation = type_id("Observation");
        if let Ok((types, parsed)) = parse(Some(observation), &query, strict, BASE, &Custom::default()) {
            let again = parse(Some(observation), &parsed.used, true, BASE, &Custom::default());
            let (same_types, same) = again.expect("what was used is understood");
            prop_assert_eq!(types, same_types);
            prop_assert_eq!(&parsed.conditions, &same.conditions);
            prop_assert_eq!(&parsed.sort, &same.sort);
            prop_assert_eq!(&parsed.includes, &same.includes);
            prop_assert_eq!(&parsed.view, &same.view);
            prop_assert_eq!(&parsed.used, &same.used);
        }
    }
}
