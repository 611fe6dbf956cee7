//! `$graphql`: fields, lists, references, searches, FHIR's directives, and what is withheld.

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
            (at, "{ __schema { types { name } } }", 400, "Introspection"),
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
}
