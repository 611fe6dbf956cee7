//! `$graphql`: fields, lists, references, searches, FHIR's directives, and what is withheld.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rest_support::{
    Answer, Api, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note,
    an_observation, each_api, patient,
};

async fn graph(api: &Api, token: &str, path: &str, query: &str) -> Answer {
    api.call(token, "POST", path)
        .body("application/graphql", query.to_owned())
        .send()
        .await
}

/// The data of an answer.
async fn data(api: &Api, path: &str, query: &str) -> Value {
    let answer = graph(api, SYSTEM, path, query).await.is(200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let mut body = answer.json();
    assert!(body.get("errors").is_none(), "{body}");
    body["data"].take()
}

/// The message of the one error, whose OperationOutcome says the same.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let body = answer.json();
    assert!(
        body["data"].is_null() && body["errors"].as_array().unwrap().len() == 1,
        "{body}"
    );
    let error = &body["errors"][0];
    let outcome = &error["extensions"]["resource"];
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    assert_eq!(outcome["issue"][0]["diagnostics"], error["message"]);
    error["message"].as_str().unwrap().to_owned()
}

/// The example of FHIR's own page on GraphQL.
fn an_example() -> Value {
    json!({
        "resourceType": "Patient", "id": "example", "active": true,
        "identifier": [{"use": "usual", "system": "urn:oid:1.2.36.146.595.217.0.1", "value": "12345"}],
        "name": [
            {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
            {"use": "usual", "given": ["Jim"]},
            {"use": "maiden", "family": "Windsor", "given": ["Peter", "James"],
                "period": {"end": "2002"}},
        ],
        "birthDate": "1974-12-25",
        "_birthDate": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
            "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
        "extension": [{"url": "http://example.org/weight", "valueDecimal": serde_json::from_str::<Value>("1.50").unwrap()}],
        "managingOrganization": {"reference": "#o"},
        "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
    })
}

/// What clients ask to learn a schema (GraphQL October 2021, 4).
const STANDARD: &str = "query IntrospectionQuery { __schema { ...S } }
    fragment S on __Schema { description queryType { name } mutationType { name }
        subscriptionType { name } types { ...T }
        directives { name description isRepeatable locations args { ...I } } }
    fragment T on __Type { kind name description specifiedByURL
        fields(includeDeprecated: true) { name description args { ...I } type { ...R } isDeprecated
            deprecationReason }
        inputFields { ...I } interfaces { ...R }
        enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
        possibleTypes { ...R } }
    fragment I on __InputValue { name description type { ...R } defaultValue }
    fragment R on __Type { kind name ofType { kind name ofType { kind name ofType { kind name
        ofType { kind name ofType { kind name } } } } } }";

each_api! {
    async fn graphql_selects_fields_and_filters_lists(api: &Api) {
        api.put(SYSTEM, &an_example()).await.is(201);
        let at = "Patient/example/$graphql";
        assert_eq!(
            data(api, at, "{ resourceType id __typename active name { text given family } }").await,
            json!({"resourceType": "Patient", "id": "example", "__typename": "Patient", "active": true,
                "name": [{"given": ["Peter", "James"], "family": "Chalmers"}, {"given": ["Jim"]},
                    {"given": ["Peter", "James"], "family": "Windsor"}]}),
        );
        assert_eq!(
            data(api, at, "{ birthDate _birthDate { extension { valueDateTime } } }").await,
            json!({"birthDate": "1974-12-25", "_birthDate": {"extension": [
                {"valueDateTime": "1974-12-25T14:35:45-05:00"}]}}),
        );
        let answer = graph(api, SYSTEM, at, "{ extension { valueDecimal } }").await.is(200);
        assert!(answer.text().contains("1.50"), "{}", answer.text());
        for (query, families) in [
            ("{ name(use: official) { family } }", json!([{"family": "Chalmers"}])),
            ("{ name(use: [official, maiden]) { family } }",
                json!([{"family": "Chalmers"}, {"family": "Windsor"}])),
            ("{ name(given: \"Jim\") { use } }", json!([{"use": "usual"}])),
            ("{ name(fhirpath: \"family.exists() and period.exists()\") { family } }",
                json!([{"family": "Windsor"}])),
            ("{ name(_offset: 1, _count: 1) { use } }", json!([{"use": "usual"}])),
            ("{ name @first { use } }", json!({"use": "official"})),
        ] {
            assert_eq!(data(api, at, query).await["name"], families, "{query}");
        }
        // Two selections of one field come together; aliases keep them apart.
        assert_eq!(
            data(api, at, "{ name(use: maiden) { family } name(use: maiden) { use } \
                who: name(use: usual) { given } }").await,
            json!({"name": [{"family": "Windsor", "use": "maiden"}], "who": [{"given": ["Jim"]}]}),
        );
        // Fragments, variables and conditions.
        let body = json!({
            "query": "query A($use: code! = usual, $off: Boolean = false) {
                name(use: $use) { ...N } birthDate @skip(if: $off) active @include(if: $off)
                ... on Patient { id } ... on Group { nothing } }
                fragment N on HumanName { given }
                query B { id }",
            "operationName": "A", "variables": {"use": "maiden"}});
        let answer = api.call(SYSTEM, "POST", at).body("application/json", body.to_string()).send().await;
        assert_eq!(answer.is(200).json(), json!({"data": {
            "name": [{"given": ["Peter", "James"]}], "birthDate": "1974-12-25", "id": "example"}}));
        let answer = api.get(SYSTEM, "Patient/example/$graphql?query=%7Bid%7D").await.is(200);
        assert_eq!(answer.json(), json!({"data": {"id": "example"}}));
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "query", "valueString": "{id}"}]});
        let answer = api.post(SYSTEM, at, &parameters).await.is(200);
        assert_eq!(answer.json(), json!({"data": {"id": "example"}}));
        api.call(SYSTEM, "GET", "Patient/example/$graphql?query=%7Bid%7D")
            .header("accept", "application/graphql-response+json").send().await.is(200);
    }

    async fn graphql_flattens_as_the_specification_shows(api: &Api) {
        api.put(SYSTEM, &an_example()).await.is(201);
        let at = "Patient/example/$graphql";
        for (query, expected) in [
            ("{ identifier @flatten { system value } active name @flatten { text given family } }",
                json!({"system": ["urn:oid:1.2.36.146.595.217.0.1"], "value": ["12345"], "active": true,
                    "given": ["Peter", "James", "Jim", "Peter", "James"],
                    "family": ["Chalmers", "Windsor"]})),
            ("{ name @flatten { given @first family } }",
                json!({"given": ["Peter", "Jim", "Peter"], "family": ["Chalmers", "Windsor"]})),
            ("{ identifier @flatten { system @singleton value @singleton } active \
                name @flatten @first { text given family @singleton } }",
                json!({"system": "urn:oid:1.2.36.146.595.217.0.1", "value": "12345", "active": true,
                    "given": ["Peter", "James"], "family": "Chalmers"})),
            ("{ name @flatten @slice(path: \"use\") { given family @singleton } }",
                json!({"given.official": ["Peter", "James"], "family.official": "Chalmers",
                    "given.usual": ["Jim"], "given.maiden": ["Peter", "James"],
                    "family.maiden": "Windsor"})),
            ("{ name @flatten @slice(path: \"$index\") { given @first @singleton family } }",
                json!({"given.0": "Peter", "family.0": ["Chalmers"], "given.1": "Jim",
                    "given.2": "Peter", "family.2": ["Windsor"]})),
            ("{ name @slice(path: \"use\") @singleton { family } }",
                json!({"name.official": {"family": "Chalmers"}, "name.usual": {},
                    "name.maiden": {"family": "Windsor"}})),
        ] {
            assert_eq!(data(api, at, query).await, expected, "{query}");
        }
        for (query, words) in [
            ("{ name @flatten { family @singleton } }", "several"),
            ("{ name @flatten { period } }", "which fields"),
            ("{ name @flatten { text: period { end } } identifier @flatten { text: value } }",
                "several types"),
            ("{ name @sort { family } }", "@sort is not supported"),
            ("{ active @flatten }", "nothing to flatten"),
        ] {
            let answer = graph(api, SYSTEM, at, query).await;
            let text = refused(&answer, 400);
            assert!(text.contains(words), "{query}: {text}");
        }
    }

    async fn graphql_follows_references_and_searches(api: &Api) {
        api.put(SYSTEM, &an_example()).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for id in ["o1", "o2", "o3"] {
            api.put(SYSTEM, &an_observation(id, "p")).await.is(201);
        }
        let mut other = an_observation("o4", "example");
        other["status"] = json!("amended");
        other["performer"] = json!([{"reference": "Practitioner/nobody"}, {"display": "Dr"}]);
        api.put(SYSTEM, &other).await.is(201);
        // Contained, and back to what contains.
        assert_eq!(
            data(api, "Patient/example/$graphql",
                "{ managingOrganization { reference resource { ... on Organization { name } } } }").await,
            json!({"managingOrganization": {"reference": "#o", "resource": {"name": "Clinic"}}}),
        );
        assert_eq!(
            data(api, "Observation/o1/$graphql",
                "{ subject { resource { id ... on Patient { gender } ... on Group { nothing } } \
                   who: resource(type: Patient) { name { family } } \
                   group: resource(type: Group) { name } } valueQuantity { value unit } }").await,
            json!({"subject": {"resource": {"id": "p", "gender": "female"},
                    "who": {"name": [{"family": "Ruiz"}]}},
                "valueQuantity": {"value": 13.5, "unit": "g/dL"}}),
        );
        assert_eq!(
            data(api, "Observation/o4/$graphql",
                "{ performer { display resource(optional: true) { id } } }").await,
            json!({"performer": [{}, {"display": "Dr"}]}),
        );
        let answer = graph(api, SYSTEM, "Observation/o4/$graphql", "{ performer { resource { id } } }").await;
        assert!(refused(&answer, 400).contains("leads to no resource"));
        // The whole system.
        assert_eq!(
            data(api, "$graphql", "{ Patient(id: p) { id gender } }").await,
            json!({"Patient": {"id": "p", "gender": "female"}}),
        );
        assert_eq!(
            data(api, "$graphql", "{ ObservationList(patient: \"p\", _sort: \"_id\", \
                fhirpath: \"id != 'o2'\") { id subject { resource { id } } } \
                none: ObservationList(status: cancelled) { id } }").await,
            json!({"ObservationList": [
                    {"id": "o1", "subject": {"resource": {"id": "p"}}},
                    {"id": "o3", "subject": {"resource": {"id": "p"}}}],
                "none": []}),
        );
        assert_eq!(
            data(api, "$graphql", "{ ObservationList(status: [amended, cancelled]) { id } \
                two: ObservationList(value_quantity: \"gt10\", _count: 2, _sort: \"-_id\") { id } \
                ids: ObservationList(_filter: \"status eq final and patient eq Patient/p\") @flatten { id } }").await,
            json!({"ObservationList": [{"id": "o4"}], "two": [{"id": "o4"}, {"id": "o3"}],
                "id": ["o1", "o2", "o3"]}),
        );
        // What refers here.
        assert_eq!(
            data(api, "Patient/p/$graphql",
                "{ id ObservationList(_reference: subject, status: final) { id } }").await["ObservationList"]
                .as_array().unwrap().len(), 3,
        );
        // Pages.
        let mut ids = Vec::new();
        let mut arguments = "patient: \"p\", _count: 2".to_owned();
        loop {
            let page = data(api, "$graphql", &format!(
                "{{ ObservationConnection({arguments}) {{ count pagesize next \
                    edges {{ mode score resource {{ id }} }} }} }}")).await;
            let page = &page["ObservationConnection"];
            assert_eq!(page["count"], 3);
            assert_eq!(page["pagesize"], 2);
            for edge in page["edges"].as_array().unwrap() {
                assert_eq!(edge["mode"], "match");
                ids.push(edge["resource"]["id"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else { break };
            arguments = format!("_cursor: \"{next}\"");
        }
        ids.sort();
        assert_eq!(ids, ["o1", "o2", "o3"]);
        // A batch has it as a Binary.
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "GET", "url": "$graphql?query=%7BPatient(id:p)%7Bid%7D%7D"}},
            {"request": {"method": "GET", "url": "$graphql?query=%7B"}}]});
        let answer = api.post(SYSTEM, "", &batch).await.is(200).json();
        assert_eq!(answer["entry"][0]["resource"]["contentType"], "application/json");
        assert_eq!(answer["entry"][1]["response"]["status"], "400 Bad Request");
    }

    async fn graphql_refuses_in_its_own_form(api: &Api) {
        api.put(SYSTEM, &an_example()).await.is(201);
        let at = "Patient/example/$graphql";
        for (path, query, status, words) in [
            (at, "", 400, "Send the query"),
            (at, "{", 400, "not GraphQL"),
            (at, "{ colour }", 400, "`Patient` has no field `colour`"),
            (at, "{ name }", 400, "which fields"),
            (at, "{ active { x } }", 400, "primitive"),
            (at, "{ active(x: 1) }", 400, "no arguments"),
            (at, "{ name(colour: red) { use } }", 400, "no primitive element `colour`"),
            (at, "{ name(fhirpath: \"(\") { use } }", 400, "FHIRPath"),
            (at, "{ managingOrganization { __schema { types { name } } } }", 400, "root of a query"),
            (at, "{ __schema }", 400, "which fields"),
            (at, "{ __schema { colour } }", 400, "`__Schema` has no field `colour`"),
            (at, "{ __schema { types { name { x } } } }", 400, "primitive"),
            (at, "{ __schema { types { kind(x: 1) } } }", 400, "no arguments"),
            (at, "{ __schema { types { fields(includeDeprecated: 1) { name } } } }", 400, "true or false"),
            (at, "{ __schema { types @first { name } } }", 400, "directives mean nothing"),
            (at, "{ __type { name } }", 400, "one argument, `name`"),
            (at, "mutation { PatientDelete(id: 1) { id } }", 400, "mutations"),
            (at, "subscription { id }", 400, "subscriptions"),
            (at, "{ ...A }", 400, "no fragment"),
            (at, "{ ...A } fragment A on Patient { ...A }", 400, "refer to themselves"),
            (at, "{ name(use: $use) { use } }", 400, "not declared"),
            (at, "query($use: code!) { name(use: $use) { use } }", 400, "needs a value"),
            (at, "query A { id } query B { id }", 400, "several operations"),
            (at, "{ id: active id }", 400, "alias"),
            (at, "{ ObservationList { id } }", 400, "_reference"),
            (at, "{ ObservationList(_reference: code) { id } }", 400, "reference"),
            (at, "{ ObservationConnection(_reference: subject, _cursor: \"x\") { count } }", 400, "root"),
            ("Patient/nobody/$graphql", "{ id }", 404, "No such resource"),
            ("$graphql", "{ Patient(id: nobody) { id } }", 404, "No such resource"),
            ("$graphql", "{ Patient { id } }", 400, "`id`"),
            ("$graphql", "{ Pateint(id: x) { id } }", 400, "has no field"),
            ("$graphql", "{ PatientList(colour: red) { id } }", 400, "no argument `colour`"),
            ("$graphql", "{ PatientList(_include: \"*\") { id } }", 400, "no argument `_include`"),
            ("$graphql", "{ PatientList(birthdate: \"never\") { id } }", 400, ""),
            ("$graphql", "{ PatientConnection(_cursor: \"x\") { count } }", 400, "cursor"),
            ("$graphql", "{ PatientList(name: {a: 1}) { id } }", 400, "takes a string"),
        ] {
            let answer = graph(api, SYSTEM, path, query).await;
            let text = refused(&answer, status);
            assert!(text.contains(words), "{query}: {text}");
        }
        // Too much: one list, one query, one document.
        let deep = format!("{}id{}", "{ contained ".repeat(60), "}".repeat(60));
        refused(&graph(api, SYSTEM, at, &deep).await, 400);
        let doubles: String = (0..30)
            .map(|at| format!("fragment F{at} on Patient {{ ...F{0} ...F{0} ...F{0} }} ", at + 1))
            .collect();
        let bomb = format!("{{ ...F12 }} {doubles} fragment F30 on Patient {{ id }}");
        refused(&graph(api, SYSTEM, at, &bomb).await, 400);
        // Thousands of names that come together hundreds of times.
        let names: String = (0..5000).map(|at| format!("a{at:x}:id ")).collect();
        let flood = format!("{{ {} }} fragment A on Patient {{ {names} }}", "...A ".repeat(250));
        assert!(refused(&graph(api, SYSTEM, at, &flood).await, 400).contains("more work"));
        let many: String = (0..600).map(|at| format!("a{at}: Patient(id: example) {{ id }} ")).collect();
        let text = refused(&graph(api, SYSTEM, "$graphql", &format!("{{ {many} }}")).await, 400);
        assert!(text.contains("more work"), "{text}");
        let long = format!("{{ id # {} \n }}", "x".repeat(70_000));
        refused(&graph(api, SYSTEM, at, &long).await, 400);
        let answer = api.call(SYSTEM, "POST", at).body("text/plain", "{id}").send().await;
        refused(&answer, 415);
        let answer = api.call(SYSTEM, "POST", at).body("application/json", "{\"query\": 1}").send().await;
        refused(&answer, 400);
        api.call(SYSTEM, "PUT", at).body("application/graphql", "{id}").send().await.is(405);
        api.bare("GET", "Patient/example/$graphql?query=%7Bid%7D").send().await.is(401);
        api.get(SYSTEM, "Patient/$graphql?query=%7Bid%7D").await.issue(404);
        refused(&graph(api, "system;;system/Observation.rs", at, "{ id }").await, 403);
    }

    async fn graphql_shows_nothing_that_is_withheld(api: &Api) {
        api.put(SYSTEM, &a_psychologist()).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_patient("q")).await.is(201);
        api.put(SYSTEM, &an_observation("of-q", "q")).await.is(201);
        api.put(SYSTEM, &a_psychotherapy_note("psy-note", "p")).await.is(201);
        let encounter = json!({"resourceType": "Composition", "id": "c", "status": "final",
            "type": {"text": "x"}, "date": "2026-11-10", "title": "t",
            "author": [{"display": "x"}], "subject": {"reference": "Patient/p"},
            "section": [{"title": "s", "entry": [{"reference": "DocumentReference/unknown"}]}]});
        api.put(SYSTEM, &encounter).await.is(201);
        for token in [&*patient("p"), CLINICIAN] {
            for query in [
                "{ DocumentReferenceList(patient: \"p\") { id } }",
                "{ DocumentReferenceConnection(patient: \"p\") { count edges { resource { id } } } }",
                "{ Patient(id: p) { id DocumentReferenceList(_reference: patient) { id } } }",
            ] {
                let answer = graph(api, token, "$graphql", query).await.is(200);
                assert!(!answer.text().contains("psy-note"), "{query}");
                assert!(!answer.text().contains("\"count\":1"), "{query}");
            }
            let held = graph(api, token, "$graphql", "{ DocumentReference(id: \"psy-note\") { id } }").await;
            let none = graph(api, token, "$graphql", "{ DocumentReference(id: \"unknown\") { id } }").await;
            assert_eq!((held.status, &held.body), (none.status, &none.body));
            refused(&held, 404);
            let held = graph(api, token, "DocumentReference/psy-note/$graphql", "{ id }").await;
            let none = graph(api, token, "DocumentReference/unknown/$graphql", "{ id }").await;
            assert_eq!((held.status, &held.headers, &held.body), (none.status, &none.headers, &none.body));
        }
        let answer = graph(api, SYSTEM, "$graphql", "{ DocumentReferenceList(patient: \"p\") { id } }").await;
        assert!(answer.text().contains("psy-note"));
        // Another patient's record.
        let app = patient("p");
        refused(&graph(api, &app, "Patient/q/$graphql", "{ id }").await, 404);
        let answer = graph(api, &app, "$graphql", "{ ObservationList { id } }").await.is(200);
        assert_eq!(answer.json(), json!({"data": {"ObservationList": []}}));
        // Scopes that open no Patient: the reference leads nowhere.
        let narrow = "patient;p;patient/Composition.rs";
        let query = "{ Composition(id: c) { subject { reference resource(optional: true) { id } } } }";
        let answer = graph(api, narrow, "$graphql", query).await.is(200).json();
        assert_eq!(answer["data"]["Composition"]["subject"], json!({"reference": "Patient/p"}));
    }

    async fn graphql_tells_its_schema(api: &Api) {
        api.put(SYSTEM, &an_example()).await.is(201);
        let full = graph(api, SYSTEM, "$graphql", STANDARD).await.is(200).json();
        let schema = &full["data"]["__schema"];
        assert_eq!(schema["queryType"]["name"], "Query");
        assert!(schema["mutationType"].is_null() && schema["subscriptionType"].is_null());
        // Every type that is named is there, and every name is its own.
        let types = schema["types"].as_array().unwrap();
        let names: BTreeSet<&str> = types.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), types.len());
        let mut named = BTreeSet::new();
        collect_named(schema, &mut named);
        assert_eq!(named.difference(&names).collect::<Vec<_>>(), Vec::<&&str>::new());
        for name in ["Patient", "PatientContact", "ElementBase", "PatientConnection", "PatientEdge",
            "token", "__Type", "__DirectiveLocation"] {
            assert!(names.contains(name), "{name}");
        }
        let directives: Vec<&str> = schema["directives"].as_array().unwrap().iter()
            .map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(directives, ["include", "skip", "first", "singleton", "flatten", "slice"]);
        // Fields with their types and arguments, as the executor has them.
        for (of, field, spelt) in [
            ("Query", "Patient", "Patient(id: ID!): Patient"),
            ("Patient", "resourceType", "resourceType: code!"),
            ("Patient", "birthDate", "birthDate: date"),
            ("Patient", "_birthDate", "_birthDate: ElementBase"),
            ("Patient", "contact", "contact(fhirpath: String, _offset: Int, _count: Int, id: [String], \
                gender: [code]): [PatientContact]"),
            ("Patient", "deceasedBoolean", "deceasedBoolean: Boolean"),
            ("HumanName", "given", "given: [String]"),
            ("HumanName", "_given", "_given(fhirpath: String, _offset: Int, _count: Int, id: [String]): \
                [ElementBase]"),
            ("Observation", "valueQuantity", "valueQuantity: Quantity"),
            ("Reference", "resource", "resource(optional: Boolean = false, type: code): Resource"),
            ("PatientConnection", "edges", "edges: [PatientEdge]"),
            ("PatientEdge", "resource", "resource: Patient"),
            ("Query", "CoverageConnection", "CoverageConnection(fhirpath: String, _filter: String, \
                _sort: String, _count: Int, _list: [special], _cursor: String, _content: [special], \
                _id: [token], _lastUpdated: [date], _profile: [uri], _security: [token], _source: [uri], \
                _tag: [token], _text: [special], beneficiary: [reference], class_type: [token], \
                class_value: [String], dependent: [String], identifier: [token], patient: [reference], \
                payor: [reference], policy_holder: [reference], status: [token], \
                subscriber: [reference], type: [token]): CoverageConnection"),
        ] {
            let one = types.iter().find(|one| one["name"] == of).unwrap();
            let one = one["fields"].as_array().unwrap().iter().find(|one| one["name"] == field).unwrap();
            assert_eq!(spell(one), spelt);
        }
        let of_type = |name: &str| types.iter().find(|one| one["name"] == name).unwrap();
        let has = |of: &str, field: &str| of_type(of)["fields"].as_array().unwrap().iter()
            .find(|one| one["name"] == field).cloned();
        let within = has("Patient", "ObservationList").unwrap();
        assert_eq!(spell(&within).split(", ").next(), Some("ObservationList(_reference: code!"));
        assert!(has("Observation", "ProvenanceList").is_some());
        assert!(has("Observation", "CoverageList").is_none());
        assert_eq!(of_type("Patient")["interfaces"],
            json!([{"kind": "INTERFACE", "name": "Resource", "ofType": null},
                {"kind": "INTERFACE", "name": "DomainResource", "ofType": null}]));
        assert_eq!(of_type("Bundle")["interfaces"].as_array().unwrap().len(), 1);
        assert_eq!(of_type("Resource")["possibleTypes"].as_array().unwrap().len(), 146);
        // What every search refuses is not promised.
        for (of, argument) in [("Patient", "_query"), ("Patient", "age"), ("Location", "near")] {
            let list = has("Query", &format!("{of}List")).unwrap();
            assert!(list["args"].as_array().unwrap().iter().all(|one| one["name"] != argument), "{argument}");
        }
        // An instance's query begins at its resource; all else is the same.
        let at = "Patient/example/$graphql";
        let own = data(api, at, "{ __schema { queryType { name } types { name } } }").await;
        assert_eq!(own["__schema"]["queryType"]["name"], "Patient");
        let own = own["__schema"]["types"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
        assert!(own.eq(types.iter().map(|one| one["name"].as_str().unwrap()).filter(|name| *name != "Query")));
        assert_eq!(
            data(api, at, "{ __schema { queryType { name } } id who: __type(name: \"HumanName\") { \
                __typename ...N } __type(name: \"Query\") { name } } fragment N on __Type { kind n: name \
                ofType { kind } enumValues { name } }").await,
            json!({"__schema": {"queryType": {"name": "Patient"}}, "id": "example",
                "who": {"__typename": "__Type", "kind": "OBJECT", "n": "HumanName", "ofType": null,
                    "enumValues": null}, "__type": null}),
        );
        assert_eq!(
            data(api, "$graphql", "{ __typename __type(name: \"code\") { kind specifiedByURL isOneOf } \
                Patient(id: example) { id } }").await,
            json!({"__typename": "Query", "__type": {"kind": "SCALAR",
                "specifiedByURL": "http://hl7.org/fhir/R4/datatypes.html#code", "isOneOf": null},
                "Patient": {"id": "example"}}),
        );
        // Who sees no such resource learns nothing there, and nobody without a token.
        let unseen = graph(api, &patient("p"), at, "{ __schema { queryType { name } } }").await;
        let unknown = graph(api, &patient("p"), "Patient/none/$graphql", "{ __schema { queryType { name } } }").await;
        assert_eq!((unseen.status, &unseen.body), (unknown.status, &unknown.body));
        refused(&unseen, 404);
        api.bare("GET", "$graphql?query=%7B__schema%7BqueryType%7Bname%7D%7D%7D").send().await.is(401);
        // What everybody is told is the same.
        let some = "{ __type(name: \"Patient\") { fields { name args { name } type { name } } } }";
        let (app, system) = (graph(api, &patient("p"), "$graphql", some).await, graph(api, SYSTEM, "$graphql", some).await);
        assert_eq!((app.status, &app.body), (system.status, &system.body));
    }

    async fn graphql_bounds_introspection(api: &Api) {
        let deep = format!("{{ __schema {{ types {{ fields {{ type {{ {}name{} }} }} }} }} }}",
            "fields { type { ".repeat(12), " } }".repeat(12));
        let wide = (0..5).fold("name".to_owned(), |inner, _| {
            format!("fields {{ type {{ {inner} ofType {{ {inner} }} }} }}")
        });
        let wide = format!("{{ __schema {{ types {{ {wide} }} }} }}");
        let cycle = "{ __schema { types { ...A } } } \
            fragment A on __Type { name a: ofType { ...A } b: ofType { ...A } }".to_owned();
        let again: String = (0..20).map(|at| format!("a{at}: __schema {{ ...S }} ")).collect();
        let again = format!("{{ {again} }} {}", &STANDARD[STANDARD.find("fragment").unwrap()..]);
        for query in [deep, wide, cycle, again] {
            let answer = graph(api, SYSTEM, "$graphql", &query).await;
            assert_eq!(answer.status, 400, "{query}");
            assert!(refused(&answer, 400).contains("more work"), "{query}");
        }
    }

    async fn graphql_names_types_at_every_level(api: &Api) {
        let mut example = an_example();
        example["contact"] = json!([{"gender": "female"}]);
        api.put(SYSTEM, &example).await.is(201);
        assert_eq!(
            data(api, "$graphql", "{ __typename PatientConnection(_id: \"example\") { __typename edges { \
                __typename ... on PatientEdge { mode } resource { __typename \
                contact { __typename ... on PatientContact { gender } ... on PatientLink { type } } \
                _birthDate { __typename extension { __typename } } \
                contained { __typename ... on DomainResource { id } } \
                managingOrganization { resource { __typename } } } } } }").await,
            json!({"__typename": "Query", "PatientConnection": {"__typename": "PatientConnection", "edges": [
                {"__typename": "PatientEdge", "mode": "match", "resource": {"__typename": "Patient",
                    "contact": [{"__typename": "PatientContact", "gender": "female"}],
                    "_birthDate": {"__typename": "ElementBase", "extension": [{"__typename": "Extension"}]},
                    "contained": [{"__typename": "Organization", "id": "o"}],
                    "managingOrganization": {"resource": {"__typename": "Organization"}}}}]}}),
        );
    }
}

/// A field as the schema language writes it.
fn spell(field: &Value) -> String {
    let mut text = field["name"].as_str().unwrap().to_owned();
    let arguments: Vec<String> = field["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let default = one["defaultValue"].as_str();
            let default = default.map_or(String::new(), |value| format!(" = {value}"));
            format!(
                "{}: {}{default}",
                one["name"].as_str().unwrap(),
                spell_type(&one["type"])
            )
        })
        .collect();
    if !arguments.is_empty() {
        text.push_str(&format!("({})", arguments.join(", ")));
    }
    format!("{text}: {}", spell_type(&field["type"]))
}

fn spell_type(one: &Value) -> String {
    match one["kind"].as_str().unwrap() {
        "NON_NULL" => format!("{}!", spell_type(&one["ofType"])),
        "LIST" => format!("[{}]", spell_type(&one["ofType"])),
        _ => one["name"].as_str().unwrap().to_owned(),
    }
}

/// The names of all types that something refers to.
fn collect_named<'v>(value: &'v Value, names: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(object) => {
            if let (Some(name), true) = (
                object.get("name").and_then(Value::as_str),
                object.contains_key("ofType"),
            ) {
                names.insert(name);
            }
            object.values().for_each(|one| collect_named(one, names));
        }
        Value::Array(list) => list.iter().for_each(|one| collect_named(one, names)),
        _ => {}
    }
}
