//! Rows by type of value, the official examples, and what hostile resources do.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::composite::Composite;
use super::values::{NO_HIGH, NO_LOW};
use super::*;
use crate::fhir::date::{DISTANT_FUTURE, DISTANT_PAST};
use crate::fhir::definitions::ParamKind;
use crate::fhirpath::tests::corpus::{package, shared};

mod references;

const BASE: &str = "https://here.example/fhir/r4";

fn keys() -> Keys {
    Keys::new([7; 16])
}

fn rows(resource: &Value) -> IndexRows {
    let type_id = definitions()
        .type_id(resource["resourceType"].as_str().unwrap())
        .unwrap();
    extract(type_id, resource, &keys(), BASE)
}

fn param(type_name: &str, code: &str) -> ParamId {
    let all = definitions();
    all.search_param(all.type_id(type_name).unwrap(), code)
        .unwrap()
        .id
}

fn plan(type_name: &str, direct: bool) -> Plan {
    let all = definitions();
    let type_id = all.type_id(type_name).unwrap();
    let patient = all.primary_patient_param(type_id).map(|param| param.id);
    Plan::compile(all, type_name, all.search_params(type_id), patient, direct)
}

fn token(type_name: &str, code: &str, system: &str, value: &str) -> TokenRow {
    let spelled = if code.contains("identifier") {
        value.to_owned()
    } else {
        value.to_lowercase()
    };
    TokenRow {
        param: param(type_name, code),
        code: keys().code(&spelled),
        system: keys().system(system),
        text: value.to_lowercase(),
    }
}

fn norms(rows: &IndexRows, param: ParamId) -> Vec<&str> {
    rows.strings
        .iter()
        .filter(|row| row.param == param)
        .map(|row| row.norm.as_str())
        .collect()
}

#[test]
fn folding() {
    assert_eq!(normalize("MÜLLER-Œuvre"), "muller-oeuvre");
    assert_eq!(normalize("Ångström ﬁ"), "angstrom fi");
    assert_eq!(normalize("  A\tb "), "  a\tb ");
    assert_eq!(normalize(&"é".repeat(400)).chars().count(), 256);
    assert_eq!(normalize(&"X".repeat(400)), "x".repeat(256));
}

#[test]
fn tokens() {
    let found = rows(&json!({
        "resourceType": "Patient",
        "id": "p",
        "active": true,
        "gender": "female",
        "deceasedDateTime": "2020-01-01",
        "meta": {
            "tag": [{"system": "http://t", "code": "a"}],
            "security": [{"code": "R"}]
        },
        "identifier": [{
            "type": {"coding": [{"system": "http://v2", "code": "MR"}], "text": "Record No"},
            "system": "http://mrn",
            "value": "12"
        }],
        "telecom": [
            {"system": "phone", "value": "555", "use": "home"},
            {"system": "email", "value": "a@b.example"}
        ],
        "communication": [{"language": {"text": "Plain", "coding": [
            {"system": "urn:ietf:bcp:47", "code": "en", "display": "English"},
            {"system": "urn:ietf:bcp:47", "code": "fr"}
        ]}}]
    }));
    let p = |code, system, value| token("Patient", code, system, value);
    let mut wanted = vec![
        p("active", "", "true"),
        p(
            "gender",
            "http://hl7.org/fhir/administrative-gender",
            "female",
        ),
        p("deceased", "", "true"),
        p("_tag", "http://t", "a"),
        p("_security", "", "R"),
        p("identifier", "http://mrn", "12"),
        TokenRow {
            param: param("Patient", "identifier"),
            code: of_type_key(&keys(), "MR", "12"),
            system: of_type_system(&keys(), "http://v2"),
            text: String::new(),
        },
        p("telecom", "home", "555"),
        p("telecom", "", "a@b.example"),
        p("phone", "home", "555"),
        p("email", "", "a@b.example"),
        p("language", "urn:ietf:bcp:47", "en"),
        p("language", "urn:ietf:bcp:47", "fr"),
    ];
    wanted.sort_unstable();
    assert_eq!(found.tokens, wanted);
    assert_eq!(
        norms(&found, param("Patient", "language")),
        ["english", "plain"]
    );
    assert_eq!(norms(&found, param("Patient", "identifier")), ["record no"]);
    assert!(found.strings.iter().all(|row| row.exact.is_empty()));
    assert_eq!(found.patients, ["p"]);
    assert_eq!(found.failed, Vec::<ParamId>::new());
}

#[test]
fn strings() {
    let found = rows(&json!({
        "resourceType": "Patient",
        "name": [{"family": "Éclair", "given": ["Ann", "Bo"], "prefix": ["Dr."]}],
        "address": [{"line": ["1 Main St", "Apt 2"], "city": "Troy", "text": "The red house"}]
    }));
    let of = |code| norms(&found, param("Patient", code));
    assert_eq!(
        of("name"),
        ["ann", "bo", "dr.", "dr. ann bo eclair", "eclair"]
    );
    assert_eq!(of("family"), ["eclair"]);
    assert_eq!(of("given"), ["ann", "bo"]);
    assert_eq!(
        of("address"),
        [
            "1 main st",
            "1 main st apt 2 troy",
            "apt 2",
            "the red house",
            "troy"
        ]
    );
    assert_eq!(of("address-city"), ["troy"]);
    let family = param("Patient", "family");
    let row = found
        .strings
        .iter()
        .find(|row| row.param == family)
        .unwrap();
    assert_eq!(row.exact, "Éclair");
}

#[test]
fn dates() {
    let day = 86_400_000;
    let of = |value: Value, type_name: &str, code: &str| {
        let code = param(type_name, code);
        let found = rows(&value);
        let dates = found.dates.iter().filter(|row| row.param == code);
        dates.map(|row| (row.low, row.high)).collect::<Vec<_>>()
    };
    let observed = |key: &str, value: Value| {
        of(
            json!({"resourceType": "Observation", key: value}),
            "Observation",
            "date",
        )
    };
    assert_eq!(
        observed("effectiveDateTime", json!("1970-01-02")),
        [(day, 2 * day)]
    );
    assert_eq!(
        observed("effectiveInstant", json!("1970-01-01T00:00:01Z")),
        [(1000, 2000)]
    );
    assert_eq!(
        observed(
            "effectivePeriod",
            json!({"start": "1970-01-02", "end": "1970-01-03"})
        ),
        [(day, 3 * day)]
    );
    assert_eq!(
        observed("effectivePeriod", json!({"start": "1970-01-02"})),
        [(day, DISTANT_FUTURE)]
    );
    assert_eq!(
        observed("effectivePeriod", json!({"end": "1970-01-02"})),
        [(DISTANT_PAST, 2 * day)]
    );
    assert_eq!(
        observed(
            "effectiveTiming",
            json!({
                "event": ["1970-01-03", "1970-01-02"],
                "repeat": {"boundsPeriod": {"start": "1970-01-01", "end": "1970-01-02"}}
            })
        ),
        [(0, 3 * day)]
    );
    for nothing in [json!("soon"), json!(5), json!(null), json!({"x": 1})] {
        assert_eq!(observed("effectiveDateTime", nothing), []);
    }
    let patient = json!({"resourceType": "Patient", "birthDate": "1970", "deceasedBoolean": true});
    assert_eq!(
        of(patient.clone(), "Patient", "birthdate"),
        [(0, 365 * day)]
    );
    assert_eq!(of(patient, "Patient", "death-date"), []);
}

#[test]
fn numbers_and_quantities() {
    let found = rows(&json!({"resourceType": "RiskAssessment", "prediction": [
        {"probabilityDecimal": 0.25},
        {"probabilityRange": {"low": {"value": 1}, "high": {"value": 2.5}}},
        {"probabilityRange": {"high": {"value": 9}}}
    ]}));
    let spans: Vec<_> = found
        .numbers
        .iter()
        .map(|row| (row.low, row.high))
        .collect();
    assert_eq!(spans, [(NO_LOW, 9.0), (0.25, 0.25), (1.0, 2.5)]);

    let of = |value: Value| {
        let code = param("Observation", "value-quantity");
        let found = rows(&json!({"resourceType": "Observation", "valueQuantity": value}));
        let rows = found
            .quantities
            .into_iter()
            .filter(move |row| row.param == code);
        rows.map(|row| (row.low, row.high, row.code, row.system))
            .collect::<Vec<_>>()
    };
    let (ucum, code) = (keys().system("http://ucum"), |code: &str| keys().code(code));
    assert_eq!(
        of(json!({"value": 5.4, "unit": "mmol/l", "system": "http://ucum", "code": "mmol/L"})),
        [
            (5.4, 5.4, code("mmol/l"), 0),
            (5.4, 5.4, code("mmol/L"), ucum)
        ]
        .map(|row| row)
    );
    assert_eq!(
        of(json!({"value": 5, "unit": "pills"})),
        [(5.0, 5.0, code("pills"), 0)]
    );
    assert_eq!(of(json!({"value": 5})), [(5.0, 5.0, 0, 0)]);
    assert_eq!(
        of(json!({"value": 5, "comparator": "<"})),
        [(NO_LOW, 5.0_f64.next_down(), 0, 0)]
    );
    // In the canonical unit too, where the conversion rounds.
    let ucum = "http://unitsofmeasure.org";
    let above = of(json!({"value": 5, "comparator": ">", "system": ucum, "code": "mg"}));
    let ends = above.iter().map(|(low, high, ..)| (*low, *high));
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [(5.0_f64.next_up(), NO_HIGH), (0.005_f64.next_up(), NO_HIGH)]
    );
    assert_eq!(
        of(json!({"value": 5, "comparator": ">="})),
        [(5.0, NO_HIGH, 0, 0)]
    );
    assert_eq!(of(json!({"unit": "mg"})), []);
    assert_eq!(of(json!({"value": "5"})), []);

    let found =
        rows(&json!({"resourceType": "Invoice", "totalNet": {"value": 40, "currency": "EUR"}}));
    let money = found
        .quantities
        .iter()
        .map(|row| (row.low, row.code, row.system));
    let iso = keys().system("urn:iso:std:iso:4217");
    assert_eq!(money.collect::<Vec<_>>(), [(40.0, code("EUR"), iso)]);
}

#[test]
fn canonicals_and_uris() {
    let found = rows(&json!({
        "resourceType": "QuestionnaireResponse",
        "meta": {"profile": ["http://a.example/p|1.0"], "source": "urn:x"},
        "questionnaire": "https://here.example/fhir/r4/Questionnaire/q|2"
    }));
    let uris: Vec<_> = found.uris.iter().map(|row| row.value.as_str()).collect();
    let mut wanted = [
        (
            param("QuestionnaireResponse", "_profile"),
            "http://a.example/p",
        ),
        (
            param("QuestionnaireResponse", "_profile"),
            "http://a.example/p|1.0",
        ),
        (param("QuestionnaireResponse", "_source"), "urn:x"),
        (
            param("QuestionnaireResponse", "questionnaire"),
            "https://here.example/fhir/r4/Questionnaire/q",
        ),
        (
            param("QuestionnaireResponse", "questionnaire"),
            "https://here.example/fhir/r4/Questionnaire/q|2",
        ),
    ];
    wanted.sort_unstable();
    assert_eq!(uris, wanted.map(|(_, uri)| uri));
    assert_eq!(found.references.len(), 1);
    assert_eq!(
        found.references[0].target,
        keys().reference("Questionnaire", "q")
    );
}

#[test]
fn composites() {
    let coding = |code: &str| json!({"coding": [{"system": "http://l", "code": code}]});
    let found = rows(&json!({
        "resourceType": "Observation",
        "code": coding("bp"),
        "component": [
            {"code": coding("sys"), "valueQuantity": {"value": 120, "unit": "mmHg"}},
            {"code": coding("dia"), "valueQuantity": {"value": 80, "unit": "mmHg"}}
        ]
    }));
    let of = |name| {
        let wanted = param("Observation", name);
        found
            .composites
            .iter()
            .filter(move |row| row.param == wanted)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("code-value-quantity").len(), 0);
    assert_eq!(of("combo-code-value-quantity").len(), 2);
    let pairs = of("component-code-value-quantity");
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|row| (row.low, row.code, row.code2))
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let unit = keys().code("mmHg");
    assert_eq!(
        pairs,
        [
            (80.0, keys().code("dia"), unit),
            (120.0, keys().code("sys"), unit)
        ]
    );

    let sequence = rows(&json!({
        "resourceType": "MolecularSequence",
        "referenceSeq": {"chromosome": coding("21")},
        "variant": [{"start": 5, "end": 9}, {"start": 11, "end": 12}]
    }));
    let wanted = param("MolecularSequence", "chromosome-variant-coordinate");
    let spans = sequence.composites.iter().filter(|row| row.param == wanted);
    assert_eq!(
        spans.map(|row| (row.low, row.high)).collect::<Vec<_>>(),
        [(5.0, 9.0), (11.0, 12.0)]
    );
}

/// What sorts by `value-quantity` beside a code walks both together: none of its values is missing.
#[test]
fn every_value_stands_beside_its_code() {
    let quantity = definitions()
        .search_param(
            definitions().type_id("Observation").unwrap(),
            "value-quantity",
        )
        .unwrap();
    let observation = definitions().type_id("Observation").unwrap();
    let (pair, _) = with_code(observation, quantity).unwrap();
    let values = [
        json!({"valueQuantity": {"value": 5.4, "unit": "mmol/L"}}),
        json!({"valueQuantity": {"value": 5, "comparator": ">"}}),
        json!({"valueSampledData": {"origin": {"value": 0, "unit": "mV"}, "period": 10,
            "lowerLimit": -2, "upperLimit": 3, "dimensions": 1, "data": "1 2 3"}}),
        json!({"valueString": "none"}),
        json!({"component": [{"code": {"text": "part"}, "valueQuantity": {"value": 1}}]}),
    ];
    let mut sampled_ones = 0;
    for mut resource in values {
        resource["resourceType"] = json!("Observation");
        resource["code"] = json!({"coding": [{"system": "http://l", "code": "a"}]});
        let found = rows(&resource);
        let own = found.quantities.iter();
        let own = own.filter(|row| {
            row.param == quantity.id && row.system != units::Canonical::system(&keys())
        });
        let beside = found.composites.iter();
        let beside = beside.filter(|row| [pair.id, sampled(pair)].contains(&row.param));
        assert_eq!(
            own.map(|row| (row.low, row.high)).collect::<Vec<_>>(),
            beside.map(|row| (row.low, row.high)).collect::<Vec<_>>(),
            "{resource}"
        );
        sampled_ones += found
            .composites
            .iter()
            .filter(|row| row.param == sampled(pair))
            .count();
    }
    assert_eq!(sampled_ones, 1);
}

#[test]
fn units_stand_beside_codes_once() {
    let coding =
        |code: &str| json!({"coding": [{"system": "http://l", "code": code}, {"code": "BP"}]});
    let measured = |value: f64, unit: &str| json!({"value": value, "unit": "u", "system": units::UCUM, "code": unit});
    let found = rows(&json!({
        "resourceType": "Observation", "code": coding("bp"), "valueQuantity": measured(1.0, "kPa"),
        "component": [
            {"code": coding("sys"), "valueQuantity": measured(120.0, "mm[Hg]")},
            {"code": coding("sys"), "valueQuantity": measured(130.0, "mm[Hg]")},
            {"code": coding("sys"), "valueQuantity": measured(7.0, "nonsense")},
            {"code": coding("dia"), "valueQuantity": {"value": 80, "unit": "kg"}}
        ]
    }));
    let mut wanted: Vec<UnitRow> = [("bp", "kPa"), ("bp", "mm[Hg]"), ("sys", "mm[Hg]")]
        .into_iter()
        .map(|(code, unit)| UnitRow {
            code: keys().code(code),
            unit: unit.to_owned(),
        })
        .collect();
    wanted.sort();
    assert_eq!(found.units, wanted);
    assert_eq!(super::composite::beside(custom::FIRST, Some(7)), 0);
}

#[test]
fn a_flood_of_combinations_is_cut_off() {
    let many: Vec<Value> = (0..100)
        .map(|n| json!({"system": "s", "code": n.to_string()}))
        .collect();
    let found = rows(&json!({
        "resourceType": "Observation",
        "code": {"coding": many.clone()},
        "valueCodeableConcept": {"coding": many}
    }));
    assert!(found.composites.is_empty());
    assert!(
        found
            .failed
            .contains(&param("Observation", "code-value-concept"))
    );
    assert_eq!(
        found
            .tokens
            .iter()
            .filter(|row| row.param == param("Observation", "code"))
            .count(),
        100
    );
}

/// How many parameters leave the fast path, and that none is lost.
#[test]
fn nearly_all_parameters_are_paths() {
    let (mut interpreted, mut params) = (Vec::new(), 0);
    for (type_id, name) in definitions().types() {
        let plan = plan(name, true);
        assert_eq!(plan.broken, Vec::<ParamId>::new(), "{name}");
        let all = definitions().search_params(type_id);
        params += all
            .iter()
            .filter(|param| !param.expression.is_empty())
            .count();
        for (id, _, _) in &plan.interpreted {
            let param = all.iter().find(|param| param.id == *id).unwrap();
            interpreted.push(format!("{name}.{}", param.code));
        }
    }
    assert!(params > 2000, "{params}");
    insta::assert_debug_snapshot!(interpreted);
}

/// Rows in words, so that a snapshot can be read.
struct Words<'r> {
    scope: &'r Scope<'r>,
    names: HashMap<ParamId, &'static str>,
    param: ParamId,
    lines: Vec<String>,
}

impl Words<'_> {
    fn line(&mut self, kind: &str, words: &str) {
        let name = self.names[&self.param];
        self.lines.push(format!("{name} {kind} {words}"));
    }
}

fn instant(at: i64) -> String {
    match at {
        DISTANT_PAST => "…".to_owned(),
        DISTANT_FUTURE => "…".to_owned(),
        at => crate::clock::instant(at),
    }
}

impl Sink for Words<'_> {
    fn serve(&mut self, param: ParamId) {
        self.param = param;
    }
    fn composite(&mut self, composite: &Composite, base: &Value) {
        let mut found = IndexRows::default();
        assert!(composite.rows(base, self.scope, &mut found));
        self.param = composite.param.abs();
        for row in found.composites {
            self.line(
                "composite",
                &format!("{} {} {:?}", row.low, row.high, row.text),
            );
        }
    }
    fn token(&mut self, system: &str, code: &str) {
        self.line("token", &format!("{system}|{code}"));
    }
    fn token_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.line("text", text);
        }
    }
    fn of_type(&mut self, system: &str, code: &str, value: &str) {
        self.line("of-type", &format!("{system}|{code}|{value}"));
    }
    fn string(&mut self, text: &str) {
        if !text.is_empty() {
            self.line("string", text);
        }
    }
    fn date(&mut self, low: i64, high: i64) {
        self.line("date", &format!("{} {}", instant(low), instant(high)));
    }
    fn number(&mut self, low: f64, high: f64) {
        self.line("number", &format!("{low:?} {high:?}"));
    }
    fn quantity(&mut self, low: f64, high: f64, system: &str, code: &str) {
        self.line("quantity", &format!("{low:?} {high:?} {system}|{code}"));
    }
    fn uri(&mut self, uri: &str) {
        self.line("uri", uri);
    }
    fn reference(&mut self, target: Target<'_>) {
        let words = match target {
            Target::Local { type_name, id } => format!("{type_name}/{id}"),
            Target::Remote { uri, .. } => format!("elsewhere {uri}"),
        };
        self.line("reference", &words);
    }
    fn base(&self) -> &str {
        self.scope.base
    }
}

fn examples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/r4-examples");
    let mut found: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (
                name,
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
            )
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn official_examples() {
    let mut all = String::new();
    for (name, resource) in examples() {
        let type_name = resource["resourceType"].as_str().unwrap();
        let params = definitions().search_params(definitions().type_id(type_name).unwrap());
        let plan = plan(type_name, true);
        let keys = keys();
        let scope = Scope {
            root: &resource,
            keys: &keys,
            base: BASE,
        };
        let names = params
            .iter()
            .map(|param| (param.id, param.code.as_str()))
            .collect();
        let mut words = Words {
            scope: &scope,
            names,
            param: 0,
            lines: Vec::new(),
        };
        scope.walk(&plan.tree, &resource, &mut words);
        words.lines.sort_unstable();
        words.lines.dedup();
        writeln!(all, "{name}\n  {}\n", words.lines.join("\n  ")).unwrap();
        let rows = rows(&resource);
        assert_eq!(rows.failed, Vec::<ParamId>::new(), "{name}");
    }
    insta::assert_snapshot!(all);
}

/// The fast path finds what the interpreter finds.
fn assert_same(type_name: &str, plans: &(Plan, Plan), resource: &Value) {
    let fast = run(&plans.0, resource, &keys(), BASE);
    let slow = run(&plans.1, resource, &keys(), BASE);
    // The interpreter does not know to which value set a code is bound.
    let codes = |rows: &IndexRows| {
        let mut codes: Vec<_> = rows
            .tokens
            .iter()
            .map(|row| (row.param, row.code))
            .collect();
        codes.dedup();
        codes
    };
    let id = resource.get("id");
    assert_eq!(codes(&fast), codes(&slow), "{type_name} {id:?}");
    assert_eq!(
        IndexRows {
            tokens: Vec::new(),
            ..fast
        },
        IndexRows {
            tokens: Vec::new(),
            ..slow
        },
        "{type_name} {id:?}"
    );
}

#[test]
fn fast_path_and_interpreter_agree() {
    let Some(shared) = shared() else { return };
    let mut plans: HashMap<String, (Plan, Plan)> = HashMap::new();
    let mut examples = package(&shared.join("data/hl7-r4-examples.tgz"), |_| true);
    examples.extend(package(
        &shared.join("packages/hl7.fhir.us.core-6.1.0.tgz"),
        |_| true,
    ));
    for resource in examples {
        let name = resource["resourceType"].as_str().unwrap();
        let plans = plans
            .entry(name.to_owned())
            .or_insert_with(|| (plan(name, true), plan(name, false)));
        assert_same(name, plans, &resource);
    }
}

/// Any JSON, kept small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::String),
        prop::sample::select(vec![
            "Patient/1",
            "#x",
            "urn:uuid:1",
            "http://a/Patient/2",
            "2020-02-30",
            "9999-12-31",
            "0001-01-01T00:00:00+14:00",
            "|",
            "",
        ])
        .prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop::sample::select(vec![
            "coding",
            "system",
            "code",
            "value",
            "reference",
            "identifier",
            "text",
            "low",
            "high",
            "start",
            "end",
            "url",
            "extension",
            "type",
            "repeat",
            "event",
            "boundsPeriod",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..4).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// Puts `new` in the place of the `at`-th value within.
fn mutate(value: &mut Value, at: &mut usize, new: &Value) {
    if *at == 0 {
        *value = new.clone();
        *at = usize::MAX;
        return;
    }
    if *at == usize::MAX {
        return;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| mutate(item, at, new)),
        Value::Object(object) => object
            .iter_mut()
            .filter(|(key, _)| *key != "resourceType" && *key != "text")
            .for_each(|(_, item)| mutate(item, at, new)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_examples_never_panic(
        which in 0_usize..12,
        changes in prop::collection::vec((1_usize..120, any_json()), 1..6),
    ) {
        thread_local! {
            static EXAMPLES: Vec<(String, Value)> = examples();
        }
        let mut resource = EXAMPLES.with(|examples| examples[which % examples.len()].1.clone());
        for (at, new) in &changes {
            mutate(&mut resource, &mut at.clone(), new);
        }
        let found = rows(&resource);
        prop_assert!(found.strings.iter().all(|row| row.norm.chars().count() <= 256));
        prop_assert!(found.numbers.iter().all(|row| row.low.is_finite() && row.high.is_finite()));
    }
}

#[test]
fn kinds_and_shapes_fit_the_definitions() {
    // Every parameter that has an expression finds a place for rows, but for those whose type no
    // kind of parameter indexes.
    let mut without = Vec::new();
    for (type_id, name) in definitions().types() {
        for param in definitions().search_params(type_id) {
            if param.expression.is_empty() || param.kind == ParamKind::Special {
                continue;
            }
            let all = definitions();
            let plan = Plan::compile(all, name, std::slice::from_ref(param), None, true);
            let empty = plan.tree.actions.is_empty()
                && plan.tree.guards.is_empty()
                && plan.tree.children.is_empty();
            if empty && plan.interpreted.is_empty() {
                without.push(format!(
                    "{name}.{} {:?} {}",
                    param.code, param.kind, param.expression
                ));
            }
        }
    }
    insta::assert_debug_snapshot!(without);
}
