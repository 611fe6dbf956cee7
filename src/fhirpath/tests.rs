//! The official suite, the official search parameters, locations, and hostile input.

pub(crate) mod corpus;
mod suite;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Context, EvalError, Node, parse};

/// Items as JSON, computed ones as text.
pub(crate) fn shown(found: &[Node<'_>]) -> Vec<Value> {
    found
        .iter()
        .map(|node| match node {
            Node::Element(element) => element.value.cloned().unwrap_or(Value::Null),
            Node::Boolean(value) => json!(value),
            Node::Integer(value) => json!(value),
            Node::Decimal(value) => json!(value.to_string()),
            Node::String(text) => json!(text),
            Node::Date(date) | Node::DateTime(date) => json!(date.to_string()),
            Node::Time(time) => json!(time.to_string()),
            Node::Quantity(quantity) => json!(quantity.to_string()),
            Node::Target(type_name) => json!({"target": type_name}),
            Node::Type { namespace, name } => json!(format!("{namespace}.{name}")),
        })
        .collect()
}

fn run(expression: &str, resource: &Value) -> Vec<Value> {
    let expression = parse(expression).unwrap();
    let context = Context {
        now: Some(1_700_000_000_000),
        ..Context::default()
    };
    shown(&expression.evaluate(resource, &context).unwrap())
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient",
        "id": "p",
        "contained": [{"resourceType": "Practitioner", "id": "d", "name": [{"family": "Doc"}]}],
        "birthDate": "1974-12-25",
        "_birthDate": {"extension": [{"url": "http://a.example/t", "valueDateTime": "1974-12-25T10:00:00Z"}]},
        "name": [
            {"family": "Cole", "given": ["Ann", null], "_given": [null, {"extension": [{"url": "u", "valueCode": "x"}]}]},
            {"family": "Stone", "given": ["Annie"]}
        ],
        "deceasedBoolean": false,
        "generalPractitioner": [
            {"reference": "#d"},
            {"reference": "https://a.example/fhir/Organization/7/_history/2"},
            {"type": "Practitioner", "identifier": {"value": "1"}},
            {"reference": "urn:uuid:5a7bd8e0-93a2-4b4e-a7fd-8c6bf5a3a7a5"}
        ]
    })
}

#[test]
fn choices_know_their_type() {
    let patient = patient();
    assert_eq!(run("Patient.deceased", &patient), [json!(false)]);
    assert_eq!(run("deceased is boolean", &patient), [json!(true)]);
    assert_eq!(run("deceased as dateTime", &patient), Vec::<Value>::new());
    assert_eq!(run("Patient.deceasedBoolean", &patient), [json!(false)]);
    assert_eq!(
        run("deceased.exists() and deceased != false", &patient),
        [json!(false)]
    );
}

#[test]
fn as_filters_collections() {
    let observation = json!({"resourceType": "Observation", "component": [
        {"valueQuantity": {"value": 1.50, "unit": "mg"}},
        {"valueString": "x"},
        {"valueQuantity": {"value": 2}}
    ]});
    assert_eq!(
        run(
            "(Observation.component.value as Quantity).count()",
            &observation
        ),
        [json!(2)]
    );
    assert_eq!(
        run("component.value.ofType(string)", &observation),
        [json!("x")]
    );
    assert_eq!(
        run(
            "component.value.as(Quantity).first().value.toString()",
            &observation
        ),
        ["1.5"]
    );
}

#[test]
fn references_resolve_to_types_without_asking() {
    let patient = patient();
    let ours = "generalPractitioner";
    assert_eq!(
        run(
            &format!("{ours}.where(resolve() is Practitioner).count()"),
            &patient
        ),
        [2]
    );
    assert_eq!(
        run(
            &format!("{ours}.where(resolve() is Organization).reference"),
            &patient
        )
        .len(),
        1
    );
    assert_eq!(
        run(&format!("{ours}.where(resolve() is Patient)"), &patient).len(),
        0
    );
    assert_eq!(
        run(&format!("{ours}.first().resolve().name.family"), &patient),
        ["Doc"]
    );
}

#[test]
fn extensions_of_primitives() {
    let patient = patient();
    assert_eq!(
        run(
            "birthDate.extension('http://a.example/t').value.exists()",
            &patient
        ),
        [true]
    );
    assert_eq!(run("name.given.extension('u').value", &patient), ["x"]);
    assert_eq!(run("name.given.count()", &patient), [3]);
    assert_eq!(
        run("name.given.where(hasValue())", &patient),
        ["Ann", "Annie"]
    );
    assert_eq!(run("birthDate < today()", &patient), [true]);
    assert_eq!(
        run("birthDate.extension.value is dateTime", &patient),
        [true]
    );
}

#[test]
fn places_of_what_is_found() {
    let patient = patient();
    let at = |text: &str| parse(text).unwrap().locate(&patient, &Context::default());
    assert_eq!(at("Patient.name.given[0]").unwrap(), ["/name/0/given/0"]);
    assert_eq!(
        at("name.given").unwrap(),
        ["/name/0/given/0", "/name/0/_given/1", "/name/1/given/0"]
    );
    assert_eq!(at("name.where(family = 'Stone')").unwrap(), ["/name/1"]);
    assert_eq!(
        at("Patient.birthDate").unwrap(),
        ["/birthDate", "/_birthDate"]
    );
    assert_eq!(at("Patient.deceased").unwrap(), ["/deceasedBoolean"]);
    assert_eq!(
        at("generalPractitioner.first().resolve().name").unwrap(),
        ["/contained/0/name/0"]
    );
    assert_eq!(at("Patient").unwrap(), [""]);
    assert_eq!(at("nothing").unwrap(), Vec::<String>::new());
    assert_eq!(at("name.given.count()"), Err(EvalError::NotAnElement));
    assert_eq!(
        at("generalPractitioner[1].resolve()"),
        Err(EvalError::NotAnElement)
    );
}

#[test]
fn iif_keeps_the_index() {
    let found = run("name.select(iif(family = 'Stone', $index, {}))", &patient());
    assert_eq!(found, [json!(1)]);
}

#[test]
fn no_clock_no_time() {
    let patient = patient();
    let now = parse("now()").unwrap();
    assert_eq!(
        now.evaluate(&patient, &Context::default()).unwrap_err(),
        EvalError::NoClock
    );
    assert_eq!(run("today()", &patient), ["2023-11-14"]);
    assert_eq!(run("today() - 1 month", &patient), ["2023-10-14"]);
}

#[test]
fn hostile_expressions_end() {
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse(&deep).is_err());
    assert!(parse(&"-".repeat(5000)).is_err());
    assert!(parse(&format!("a{}", ".a".repeat(7000))).is_err());
    assert!(parse(&"a".repeat(20_000)).is_err());
    let patient = patient();
    for greedy in [
        format!("(1|2|3){}", ".select($this.combine($this))".repeat(60)),
        format!("'aaaaaaaa'{}", ".replace('a', 'aaaaaaaa')".repeat(60)),
        format!(
            "descendants(){}",
            ".select(%resource.descendants())".repeat(4)
        ),
        "1.repeat($this + 1)".to_owned(),
        "'a'.repeat($this & $this)".to_owned(),
    ] {
        let expression = parse(&greedy).unwrap();
        let found = expression.evaluate(&patient, &Context::default());
        assert_eq!(found.err(), Some(EvalError::TooMuchWork), "{greedy:.60}");
    }
}

#[test]
fn unknown_functions_are_refused_when_parsed() {
    let error = parse("name.frobnicate()").unwrap_err();
    assert_eq!(
        (error.at, error.message.as_str()),
        (5, "no function is called frobnicate")
    );
    assert!(parse("name.first(1)").is_err());
    assert!(parse("name.").is_err());
    assert!(parse("name given").is_err());
    assert!(parse("@2015-13").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_never_panics(text in ".{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn evaluating_what_looks_like_fhirpath_never_panics(parts in prop::collection::vec(
        prop::sample::select(vec![
            "Patient", "name", "given", "birthDate", "deceased", ".", ".", "(", ")", "[", "]", "0",
            "1", "-1", "2.5", "'a'", "@2012", "@2012-02-29T10:00:00Z", "@T10", "4 days", "1 'mg'",
            "=", "!=", "~", "<", ">=", "+", "-", "*", "/", "div", "mod", "&", "|", "and", "or", "in",
            "contains", "is", "as", "Quantity", "string", "$this", "%resource", "{}", "where(",
            "exists()", "first()", "resolve()", "descendants()", "extension(", "toString()",
            "length()", "substring(", "matches(", "repeat(", "select(", "count()", "not()",
        ]), 0..12)) {
        let text: String = parts.concat();
        if let Ok(expression) = parse(&text) {
            let patient = patient();
            let context = Context { budget: 20_000, ..Context::default() };
            let _ = expression.evaluate(&patient, &context);
            let _ = expression.locate(&patient, &context);
        }
    }
}
