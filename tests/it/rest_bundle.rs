//! batch and transaction.

use serde_json::{Value, json};

use crate::rest_support::{
    BASE, CLINICIAN, SYSTEM, a_patient, an_observation, each_api, patient, without_id,
};

fn bundle(kind: &str, entries: &[Value]) -> Value {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

fn post(full_url: &str, resource: Value) -> Value {
    json!({
        "fullUrl": full_url,
        "request": {"method": "POST", "url": resource["resourceType"]},
        "resource": resource,
    })
}

fn put(resource: Value) -> Value {
    let url = format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    );
    json!({"request": {"method": "PUT", "url": url}, "resource": resource})
}

fn simple(method: &str, url: &str) -> Value {
    json!({"request": {"method": method, "url": url}})
}

fn status(answer: &Value, entry: usize) -> &str {
    answer["entry"][entry]["response"]["status"]
        .as_str()
        .unwrap()
}

const PATIENT: &str = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000001";
const ENCOUNTER: &str = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000002";

fn encounter(subject: &str) -> Value {
    json!({
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": subject},
    })
}

each_api! {
    async fn entries_refer_to_each_other_before_they_have_ids(api: &Api) {
        let mut observation = without_id(an_observation("", "x"));
        observation["subject"]["reference"] = PATIENT.into();
        observation["encounter"] = json!({"reference": ENCOUNTER});
        observation["identifier"] =
            json!([{"system": "urn:ietf:rfc:3986", "value": PATIENT}]);
        observation["text"] = json!({
            "status": "generated",
            "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{PATIENT} \
                <a href=\"{PATIENT}\">she</a></div>"),
        });
        observation["extension"] = json!([
            {"url": "urn:x", "valueCanonical": PATIENT}, {"url": "urn:y", "valueUri": PATIENT}]);
        // The patient comes last: order does not matter.
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[
                post("urn:uuid:0a1b2c3d-0000-4000-8000-000000000003", observation),
                post(ENCOUNTER, encounter(PATIENT)),
                post(PATIENT, without_id(a_patient(""))),
            ]))
            .await
            .is(200)
            .json();
        assert_eq!(answer["type"], "transaction-response");
        let at = |entry: usize| {
            let location = answer["entry"][entry]["response"]["location"].as_str().unwrap();
            location.split("/_history").next().unwrap().to_owned()
        };
        assert_eq!(status(&answer, 0), "201 Created");
        assert_eq!(answer["entry"][0]["response"]["etag"], "W/\"1\"");
        assert_eq!(
            answer["entry"][0]["response"]["lastModified"],
            "2026-11-10T15:00:00.000Z"
        );
        assert!(answer["entry"][0].get("resource").is_none());
        let read = api.get(SYSTEM, &at(0)).await.is(200).json();
        assert_eq!(read["subject"]["reference"], at(2));
        assert_eq!(read["encounter"]["reference"], at(1));
        assert_eq!(read["identifier"][0]["value"], PATIENT);
        assert_eq!(
            read["text"]["div"],
            format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{PATIENT} <a href=\"{}\">she</a></div>", at(2))
        );
        assert_eq!(read["extension"][0]["valueCanonical"], PATIENT);
        assert_eq!(read["extension"][1]["valueUri"], at(2));
        let patient_id = at(2).split('/').nth(1).unwrap().to_owned();
        api.get(&patient(&patient_id), &at(0)).await.is(200);
    }

    async fn relative_references_follow_the_full_url_of_their_entry(api: &Api) {
        let mut observation = without_id(an_observation("", "p"));
        observation["subject"]["reference"] = "Patient/there".into();
        observation["focus"] = json!([{"reference": "Patient/elsewhere"}]);
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[
                post("https://feed.example/r4/Patient/there", without_id(a_patient(""))),
                post("https://feed.example/r4/Observation/7", observation),
            ]))
            .await
            .is(200)
            .json();
        let location = answer["entry"][1]["response"]["location"].as_str().unwrap();
        let read = api.get(SYSTEM, location).await.is(200).json();
        let subject = read["subject"]["reference"].as_str().unwrap();
        assert!(
            answer["entry"][0]["response"]["location"]
                .as_str()
                .unwrap()
                .starts_with(subject),
            "{subject}"
        );
        assert_eq!(read["focus"][0]["reference"], "Patient/elsewhere");
    }

    async fn criteria_of_entries_name_systems_by_their_urls(api: &Api) {
        let mut one = a_patient("example");
        one["identifier"] = json!([{"system": "http://hospital.example/mrn", "value": "9"}]);
        api.put(SYSTEM, &one).await.is(201);
        let mut observation = an_observation("o", "example");
        observation["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "55284-4"}]});
        observation["effectiveDateTime"] = "2020-01-01".into();
        api.put(SYSTEM, &observation).await.is(201);
        let update = without_id(one);
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[
                json!({"request": {"method": "PUT",
                    "url": "Patient?identifier=http://hospital.example/mrn|9"}, "resource": update}),
                simple("GET", &format!("{BASE}/Observation?code=http://loinc.org|55284-4")),
                simple("GET", "Observation?code=http%3A%2F%2Floinc.org%7C8302-2"),
            ]))
            .await
            .is(200)
            .json();
        assert_eq!(status(&answer, 0), "200 OK");
        assert_eq!(answer["entry"][1]["resource"]["entry"][0]["resource"]["id"], "o");
        assert_eq!(answer["entry"][2]["resource"]["total"], 0);
        // HL7's Bundle-bundle-request-simplesummary, its four requests.
        let answer = api
            .post(SYSTEM, "", &bundle("batch", &[
                simple("GET", "/Patient/example"),
                simple("GET", "/Condition?patient=example"),
                simple("GET", "/MedicationStatement?patient=example"),
                simple("GET", "/Observation?patient=example&code=http://loinc.org|55284-4\
                    &date=ge2015-01-01"),
            ]))
            .await
            .is(200)
            .json();
        for entry in 0..4 {
            assert_eq!(status(&answer, entry), "200 OK", "{answer}");
        }
        assert_eq!(answer["entry"][3]["resource"]["entry"][0]["resource"]["id"], "o");
        for elsewhere in ["http://elsewhere.example/Patient?code=x", "http://loinc.org/Patient/x"] {
            let answer = api
                .post(SYSTEM, "", &bundle("batch", &[simple("GET", elsewhere)]))
                .await
                .json();
            assert_eq!(status(&answer, 0), "400 Bad Request", "{elsewhere}");
        }
    }

    async fn a_transaction_is_all_or_nothing_and_names_the_entry(api: &Api) {
        api.put(SYSTEM, &a_patient("old")).await.is(201);
        let broken = json!({"resourceType": "Observation", "id": "bad", "status": "final",
            "code": {"text": "x"}, "valueString": 7});
        let (_, _, at) = api
            .post(SYSTEM, "", &bundle("transaction", &[
                put(a_patient("new")),
                simple("DELETE", "Patient/old"),
                put(broken),
            ]))
            .await
            .issue(400);
        assert_eq!(at, "Bundle.entry[2].resource.value");
        api.get(SYSTEM, "Patient/new").await.is(404);
        api.get(SYSTEM, "Patient/old").await.is(200);
        for (entry, expected, place) in [
            (simple("PUT", "Patient/x"), 400, "Bundle.entry[1]"),
            (simple("DELETE", "Pateint/x"), 400, "Bundle.entry[1]"),
            (simple("PATCH", "Patient/x"), 400, "Bundle.entry[1]"),
            (simple("BREW", "Patient/x"), 400, "Bundle.entry[1].request.method"),
            (simple("GET", "Pateint/x"), 404, "Bundle.entry[1]"),
            (simple("GET", "https://elsewhere.example/Patient/x"), 400, "Bundle.entry[1]"),
            (
                post(ENCOUNTER, encounter("urn:uuid:0a1b2c3d-0000-4000-8000-00000000dead")),
                400,
                "Bundle.entry[1].resource.subject.reference",
            ),
            (
                json!({"request": {"method": "PUT", "url": "Patient/old", "ifMatch": "W/\"9\""},
                    "resource": a_patient("old")}),
                412,
                "",
            ),
        ] {
            let sent = bundle("transaction", &[put(a_patient("new")), entry]);
            let answer = api.post(SYSTEM, "", &sent).await;
            let (_, _, at) = answer.issue(expected);
            assert!(at == place || place.is_empty(), "{at} {place}");
            api.get(SYSTEM, "Patient/new").await.is(404);
        }
    }

    async fn the_same_resource_twice_is_refused(api: &Api) {
        let (code, ..) = api
            .post(SYSTEM, "", &bundle("transaction", &[
                put(a_patient("p")),
                simple("DELETE", "Patient/p"),
            ]))
            .await
            .issue(400);
        assert_eq!(code, "duplicate");
        let (code, _, at) = api
            .post(SYSTEM, "", &bundle("transaction", &[
                post(PATIENT, without_id(a_patient(""))),
                post(PATIENT, without_id(a_patient(""))),
            ]))
            .await
            .issue(400);
        assert_eq!((code.as_str(), at.as_str()), ("duplicate", "Bundle.entry[1]"));
    }

    async fn reads_come_last_and_see_what_was_written(api: &Api) {
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[
                simple("GET", "Patient/new"),
                simple("GET", "Patient?family=Ruiz"),
                simple("HEAD", "Patient/new"),
                simple("GET", "Patient/new/_history"),
                put(a_patient("new")),
            ]))
            .await
            .is(200)
            .json();
        assert_eq!(status(&answer, 0), "200 OK");
        assert_eq!(answer["entry"][0]["resource"]["id"], "new");
        assert_eq!(answer["entry"][1]["resource"]["total"], 1);
        assert_eq!(status(&answer, 2), "200 OK");
        assert!(answer["entry"][2].get("resource").is_none());
        assert_eq!(answer["entry"][3]["resource"]["entry"][0]["resource"]["id"], "new");
        assert_eq!(status(&answer, 4), "201 Created");
    }

    async fn references_are_resolved_to_versions_where_they_ask_for_it(api: &Api) {
        const AS_VERSION: &str = "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific";
        let asks = |reference: &str| json!({"reference": reference, "display": "x",
            "extension": [{"url": AS_VERSION, "valueBoolean": true}]});
        api.put(SYSTEM, &a_patient("old")).await.is(201);
        api.put(SYSTEM, &a_patient("old")).await.is(200);
        let new = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000009";
        let list = json!({"resourceType": "List", "id": "l", "status": "current", "mode": "snapshot",
            "entry": [
                {"item": asks("Patient/old")}, {"item": asks(new)}, {"item": {"reference": "Patient/old"}},
                {"item": {"reference": new, "extension": [
                    {"url": AS_VERSION, "valueBoolean": true}, {"url": "urn:other", "valueBoolean": true}]}},
            ]});
        let mut made = a_patient("x");
        made.as_object_mut().unwrap().shift_remove("id");
        let made = json!({"fullUrl": new, "resource": made,
            "request": {"method": "POST", "url": "Patient"}});
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[put(list.clone()), put(a_patient("old")), made]))
            .await
            .is(200)
            .json();
        let location = answer["entry"][2]["response"]["location"].as_str().unwrap();
        let stored = api.get(SYSTEM, "List/l").await.json();
        assert_eq!(stored["entry"][0]["item"],
            json!({"reference": "Patient/old/_history/3", "display": "x"}));
        assert_eq!(stored["entry"][1]["item"], json!({"reference": location, "display": "x"}));
        assert_eq!(stored["entry"][2]["item"], json!({"reference": "Patient/old"}));
        assert_eq!(stored["entry"][3]["item"], json!({"reference": location,
            "extension": [{"url": "urn:other", "valueBoolean": true}]}));
        assert_eq!(api.get(SYSTEM, "Patient/old").await.json()["meta"]["versionId"], "3");
        // Found like every reference.
        let found = api.get(SYSTEM, "List?item=Patient/old").await.json();
        assert_eq!(found["total"], 1);
        // What this transaction does not write has no version of its making.
        let mut other = list;
        other["entry"] = json!([{"item": asks("Patient/elsewhere")}]);
        let (_, words, at) = api
            .post(SYSTEM, "", &bundle("transaction", &[put(other)]))
            .await
            .issue(400);
        assert_eq!(at, "Bundle.entry[0].resource.entry[0].item.reference");
        assert!(words.contains("same transaction"), "{words}");
    }

    async fn a_read_that_fails_takes_the_transaction_with_it(api: &Api) {
        api.put(SYSTEM, &a_patient("gone")).await.is(201);
        for (read, expected) in [
            ("Patient/nobody", 404),
            ("Patient/gone", 410),
            ("Patient?birthdate=nonsense", 400),
            ("Patient/new/_history/7", 404),
        ] {
            let (_, _, at) = api
                .post(SYSTEM, "", &bundle("transaction", &[
                    put(a_patient("new")),
                    simple("DELETE", "Patient/gone"),
                    simple("GET", read),
                ]))
                .await
                .issue(expected);
            assert_eq!(at, "Bundle.entry[2]", "{read}");
            api.get(SYSTEM, "Patient/new").await.is(404);
            api.get(SYSTEM, "Patient/gone").await.is(200);
        }
        // What the client has already is no failure.
        let answer = api
            .post(SYSTEM, "", &bundle("transaction", &[
                put(a_patient("new")),
                json!({"request": {"method": "GET", "url": "Patient/gone",
                    "ifNoneMatch": "W/\"1\""}}),
            ]))
            .await
            .is(200)
            .json();
        assert_eq!(status(&answer, 1), "304 Not Modified");
        api.get(SYSTEM, "Patient/new").await.is(200);
    }

    async fn searches_by_post_and_operations_stand_in_bundles(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let validate = json!({
            "request": {"method": "POST", "url": "Patient/$validate"},
            "resource": a_patient("x"),
        });
        for kind in ["batch", "transaction"] {
            let answer = api
                .post(SYSTEM, "", &bundle(kind, &[
                    simple("POST", "Patient/_search?family=Ruiz"),
                    simple("POST", "Patient/p/Patient/_search?family=Nobody"),
                    validate.clone(),
                    simple("GET", "Patient/p/$validate"),
                ]))
                .await
                .is(200)
                .json();
            assert_eq!(answer["entry"][0]["resource"]["total"], 1, "{answer}");
            assert_eq!(answer["entry"][1]["resource"]["total"], 0);
            for at in [2, 3] {
                let outcome = &answer["entry"][at]["response"]["outcome"];
                assert_eq!(outcome["resourceType"], "OperationOutcome", "{answer}");
            }
        }
        let mut with_body = simple("POST", "Patient/_search?family=Ruiz");
        with_body["resource"] = a_patient("p");
        api.post(SYSTEM, "", &bundle("transaction", &[with_body])).await.issue(400);
        api.post(SYSTEM, "", &bundle("transaction", &[
            put(a_patient("new")),
            simple("POST", "Patient/$nonsense"),
        ]))
        .await
        .issue(404);
        api.get(SYSTEM, "Patient/new").await.is(404);
    }

    async fn a_batch_answers_each_entry_for_itself(api: &Api) {
        let answer = api
            .call(SYSTEM, "POST", "")
            .header("prefer", "return=representation")
            .json(&bundle("batch", &[
                put(a_patient("a")),
                put(json!({"resourceType": "Patient", "id": "b", "gender": 1})),
                simple("GET", "Patient/nobody"),
                simple("GET", "metadata"),
                json!({"request": {"method": "GET", "url": "Patient/a",
                    "ifNoneMatch": "W/\"1\""}}),
                json!({"resource": a_patient("c")}),
                simple("GET", &format!("{BASE}/Patient/a")),
            ]))
            .send()
            .await
            .is(200)
            .json();
        assert_eq!(answer["type"], "batch-response");
        assert_eq!(status(&answer, 0), "201 Created");
        assert_eq!(answer["entry"][0]["resource"]["id"], "a");
        assert_eq!(status(&answer, 1), "400 Bad Request");
        let issue = &answer["entry"][1]["response"]["outcome"]["issue"][0];
        assert_eq!(issue["expression"][0], "Bundle.entry[1].resource.gender");
        assert_eq!(status(&answer, 2), "404 Not Found");
        assert_eq!(status(&answer, 3), "200 OK");
        assert_eq!(answer["entry"][3]["resource"]["resourceType"], "CapabilityStatement");
        assert_eq!(status(&answer, 4), "304 Not Modified");
        assert_eq!(status(&answer, 5), "400 Bad Request");
        let issue = &answer["entry"][5]["response"]["outcome"]["issue"][0];
        assert_eq!(issue["expression"][0], "Bundle.entry[5].request");
        assert!(issue["diagnostics"].as_str().unwrap().contains("no request"), "{issue}");
        assert_eq!(status(&answer, 6), "200 OK");
        api.get(SYSTEM, "Patient/b").await.is(404);
    }

    async fn every_entry_needs_its_scope(api: &Api) {
        let token = "system;;system/Patient.cruds system/Observation.r";
        let (_, _, at) = api
            .post(token, "", &bundle("transaction", &[
                put(a_patient("p")),
                put(an_observation("o", "p")),
            ]))
            .await
            .issue(403);
        assert_eq!(at, "Bundle.entry[1]");
        api.get(SYSTEM, "Patient/p").await.is(404);
        let (_, _, at) = api
            .post(token, "", &bundle("transaction", &[
                put(a_patient("p")),
                simple("GET", "Encounter/e"),
            ]))
            .await
            .issue(403);
        assert_eq!(at, "Bundle.entry[1]");
        let answer = api
            .post(token, "", &bundle("batch", &[
                put(a_patient("p")),
                put(an_observation("o", "p")),
            ]))
            .await
            .is(200)
            .json();
        assert_eq!(status(&answer, 0), "201 Created");
        assert_eq!(status(&answer, 1), "403 Forbidden");
        // Whoever cannot choose ids cannot do it in a bundle either.
        let (_, _, at) = api
            .post(CLINICIAN, "", &bundle("transaction", &[put(a_patient("chosen"))]))
            .await
            .issue(403);
        assert_eq!(at, "Bundle.entry[0]");
    }

    async fn what_is_no_batch_or_transaction_is_refused(api: &Api) {
        for body in [
            a_patient("p"),
            json!({"resourceType": "Bundle", "type": "collection"}),
            json!({"resourceType": "Bundle"}),
            json!({"resourceType": "Bundle", "type": "batch", "entry": {}}),
            json!({"resourceType": "Bundle", "type": "batch", "nonsense": 1}),
        ] {
            api.post(SYSTEM, "", &body).await.issue(400);
        }
        // A Bundle is a resource too.
        let stored = json!({"resourceType": "Bundle", "type": "collection"});
        api.post(SYSTEM, "Bundle", &stored).await.is(201);
    }

    async fn an_xml_bundle_is_a_bundle(api: &Api) {
        let xml = r#"<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry>
            <resource><Patient><id value="x"/></Patient></resource>
            <request><method value="PUT"/><url value="Patient/x"/></request>
        </entry></Bundle>"#;
        let answer = api
            .call(SYSTEM, "POST", "")
            .header("accept", "application/fhir+xml")
            .body("application/fhir+xml", xml)
            .send()
            .await
            .is(200);
        assert!(answer.text().contains("<status value=\"201 Created\"/>"), "{}", answer.text());
        api.get(SYSTEM, "Patient/x").await.is(200);
    }

    async fn refusals_of_the_store_name_their_entry_too(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let stale = json!({"request": {"method": "PUT", "url": "Patient/p", "ifMatch": "W/\"9\""},
            "resource": a_patient("p")});
        let (_, _, at) = api
            .post(SYSTEM, "", &bundle("transaction", &[put(a_patient("q")), stale]))
            .await
            .issue(412);
        assert_eq!(at, "Bundle.entry[1]");
        // A hold without any evidence.
        let hold = json!({
            "resourceType": "Task",
            "status": "in-progress",
            "intent": "order",
            "code": {"coding": [{
                "system": "https://candor.example/fhir/CodeSystem/release-task",
                "code": "release-hold"}]},
            "focus": {"reference": "Observation/o"},
            "for": {"reference": "Patient/p"},
        });
        let alone = api.post(SYSTEM, "Task", &hold).await;
        let (_, _, at) = alone.issue(422);
        assert!(at.starts_with("Task") || at.is_empty(), "{at}");
        let (_, _, at) = api
            .post(SYSTEM, "", &bundle("transaction", &[
                put(a_patient("q")),
                post("urn:uuid:0a1b2c3d-0000-4000-8000-000000000009", hold),
            ]))
            .await
            .issue(422);
        assert!(at.starts_with("Bundle.entry[1]"), "{at}");
        api.get(SYSTEM, "Patient/q").await.is(404);
    }
}
