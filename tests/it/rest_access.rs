//! Who may do what at all: tokens, scopes, kinds of viewer; and what an update may tell.

use serde_json::json;

use crate::rest_support::{
    AUDITOR, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note, an_observation,
    each_api, patient, without_id,
};

each_api! {
    async fn everything_but_discovery_needs_a_token(api: &Api) {
        api.bare("GET", "metadata").send().await.is(200);
        api.bare("GET", "$release-policy").send().await.is(200);
        for (method, path) in [
            ("GET", "Patient/p"),
            ("GET", "Patient"),
            ("GET", ""),
            ("GET", "_history"),
            ("GET", "$release-ledger"),
            ("GET", "Nothing/at/all"),
            ("POST", "Patient"),
            ("POST", ""),
            ("PUT", "Patient/p"),
            ("DELETE", "Patient/p"),
            ("PATCH", "Patient/p"),
        ] {
            let answer = api.bare(method, path).send().await;
            let (code, ..) = answer.issue(401);
            assert_eq!(code, "login", "{method} {path}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer realm=\"fhir\"")
            );
        }
        let invalid = api.get("nobody", "Patient/p").await.is(401);
        assert_eq!(
            invalid.header("www-authenticate"),
            Some("Bearer realm=\"fhir\", error=\"invalid_token\"")
        );
        api.bare("GET", "Patient/p")
            .header("authorization", "Basic dTpw")
            .send()
            .await
            .is(401);
        let down = api.get("unreachable", "Patient/p").await.is(503);
        assert!(down.header("retry-after").is_some());
    }

    async fn scopes_open_types_and_verbs(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        let reads = "system;;system/Observation.r";
        api.get(reads, "Observation/o").await.is(200);
        api.get(reads, "Observation/o/_history/1").await.is(200);
        api.get(reads, "Observation/o/_history").await.is(200);
        for path in ["Patient/p", "Patient/unknown", "Observation", "Patient", ""] {
            let (code, ..) = api.get(reads, path).await.issue(403);
            assert_eq!(code, "forbidden", "{path}");
        }
        api.put(reads, &an_observation("o", "p")).await.issue(403);
        // Creating by PUT is an update (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
        let no_create = "system;;system/Observation.rud";
        api.post(
            no_create,
            "Observation",
            &without_id(an_observation("", "p")),
        )
        .await
        .issue(403);
        api.put(no_create, &an_observation("o", "p")).await.is(200);
        api.put(no_create, &an_observation("new", "p")).await.is(201);
        api.put("system;;system/Observation.crd", &an_observation("newer", "p"))
            .await
            .issue(403);
        let searched = "system;;system/Observation.us";
        let mut unnamed = without_id(an_observation("", "p"));
        unnamed["identifier"] = json!([{"system": "urn:x", "value": "1"}]);
        let condition = "Observation?identifier=urn:x|1";
        for status in [201, 200] {
            api.call(searched, "PUT", condition).json(&unnamed).send().await.is(status);
        }
        let v1 = "system;;system/Observation.write";
        api.put(v1, &an_observation("v1", "p")).await.is(201);
        api.get(v1, "Observation/v1").await.issue(403);
    }

    /// A reference that comes after the hold, from another's record or nobody's.
    async fn references_from_elsewhere_do_not_tell_either(api: &Api) {
        let mut lists = Vec::new();
        for (id, subject) in [("nobodys", None), ("anothers", Some("q")), ("own", Some("p"))] {
            let mut list = json!({"resourceType": "List", "id": id, "status": "current",
                "mode": "working", "entry": [
                    {"item": {"reference": "DocumentReference/psy-note"}},
                    {"item": {"reference": "Observation/o"}}]});
            if let Some(subject) = subject {
                list["subject"] = json!({"reference": format!("Patient/{subject}")});
            }
            lists.push(list);
        }
        for resource in [
            a_psychologist(),
            a_patient("p"),
            a_patient("q"),
            an_observation("o", "p"),
            a_psychotherapy_note("psy-note", "p"),
        ] {
            api.put(SYSTEM, &resource).await.is(201);
        }
        api.get(CLINICIAN, "DocumentReference/psy-note").await.issue(404);
        let nothing_told = async |when: &str| {
            for list in &lists {
                let path = format!("List/{}", list["id"].as_str().unwrap());
                let seen = api.get(CLINICIAN, &path).await.is(200).text();
                assert!(!seen.contains("psy-note"), "{when}: {seen}");
                assert!(seen.contains("Observation/o"), "{when}: {seen}");
            }
        };
        for list in &lists {
            api.put(SYSTEM, list).await.is(201);
        }
        nothing_told("created").await;
        for list in &lists {
            let mut list = list.clone();
            list["title"] = json!("again");
            api.put(SYSTEM, &list).await.is(200);
        }
        nothing_told("updated").await;
        // Something of the other patient has all of that record decided again.
        api.put(SYSTEM, &json!({"resourceType": "Consent", "id": "no", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/q"}, "dateTime": "2026-11-03T15:00:00Z",
            "policyRule": {"text": "asked for"},
            "provision": {"type": "deny", "actor": [{"role": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "PAYOR"}]},
                "reference": {"reference": "Organization/plan"}}]}}))
            .await
            .is(201);
        nothing_told("decided again").await;
    }

    /// What is withheld stays so when it turns out to be somebody else's.
    async fn a_withheld_note_moves_to_another_record(api: &Api) {
        for resource in [
            a_psychologist(),
            a_patient("p"),
            a_patient("q"),
            a_psychotherapy_note("psy-note", "p"),
        ] {
            api.put(SYSTEM, &resource).await.is(201);
        }
        api.put(SYSTEM, &a_psychotherapy_note("psy-note", "q")).await.is(200);
        for id in ["p", "q"] {
            let path = format!("DocumentReference?patient={id}");
            let found = api.get(&patient(id), &path).await.is(200).json();
            assert_eq!(found.get("entry"), None, "{found}");
            let everything = api.get(&patient(id), &format!("Patient/{id}/$everything")).await;
            assert!(!everything.is(200).text().contains("psy-note"));
        }
        // And it is given back where the reason goes.
        let mut plain = a_psychotherapy_note("psy-note", "q");
        plain["extension"] = json!([{"url": "urn:none", "valueBoolean": true}]);
        plain.as_object_mut().unwrap().remove("meta");
        api.put(SYSTEM, &plain).await.is(200);
        let found = api.get(&patient("q"), "DocumentReference?patient=q").await.is(200).json();
        assert_eq!(found["entry"][0]["resource"]["id"], "psy-note", "{found}");
    }

    async fn patients_never_write(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let token = "patient;p;patient/*.cruds";
        for answer in [
            api.put(token, &a_patient("p")).await,
            api.post(token, "Observation", &without_id(an_observation("", "p")))
                .await,
            api.call(token, "DELETE", "Patient/p").send().await,
            api.post(
                token,
                "",
                &json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                    {"request": {"method": "DELETE", "url": "Patient/p"}},
                ]}),
            )
            .await,
        ] {
            let (_, words, _) = answer.issue(403);
            assert!(words.contains("portal"), "{words}");
        }
        api.get(&patient("p"), "Patient/p").await.is(200);
    }

    async fn a_put_tells_a_limited_viewer_nothing_about_ids(api: &Api) {
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        api.put(SYSTEM, &a_patient("b")).await.is(201);
        api.put(SYSTEM, &an_observation("of-a", "a")).await.is(201);
        api.put(SYSTEM, &an_observation("of-b", "b")).await.is(201);
        // A clinician's app that was launched for patient a.
        let token = "clinician;a;patient/*.cruds";
        let foreign = api.put(token, &an_observation("of-b", "a")).await;
        let unknown = api.put(token, &an_observation("unknown", "a")).await;
        foreign.issue(405);
        assert_eq!(foreign.headers, unknown.headers);
        assert_eq!(foreign.body, unknown.body);
        let gone = api
            .call(token, "DELETE", "Observation/of-b")
            .send()
            .await
            .is(204);
        let never = api
            .call(token, "DELETE", "Observation/unknown")
            .send()
            .await
            .is(204);
        assert_eq!(gone.headers, never.headers);
        api.get(SYSTEM, "Observation/of-b").await.is(200);
        // What exists for it, it updates; about its patient, and nobody else.
        api.put(token, &an_observation("of-a", "a")).await.is(200);
        api.put(token, &an_observation("of-a", "b"))
            .await
            .issue(403);
        api.post(token, "Observation", &without_id(an_observation("", "a")))
            .await
            .is(201);
        api.post(token, "Observation", &without_id(an_observation("", "b")))
            .await
            .issue(403);
        let read = api.get(SYSTEM, "Observation/of-a").await.is(200).json();
        assert_eq!(read["subject"]["reference"], "Patient/a");
        assert_eq!(read["meta"]["versionId"], "2");
        // Clinicians are subject to holds, so they create with POST.
        api.put(CLINICIAN, &an_observation("chosen", "a"))
            .await
            .issue(405);
        api.put(CLINICIAN, &an_observation("of-a", "a"))
            .await
            .is(200);
    }

    async fn the_ledger_is_for_auditors(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for token in [CLINICIAN, &patient("p"), "system;;system/Patient.rs"] {
            api.get(token, "$release-ledger").await.issue(403);
            api.call(token, "POST", "$verify-ledger")
                .send()
                .await
                .issue(403);
        }
        for token in [AUDITOR, SYSTEM, "admin;;user/*.rs"] {
            let page = api.get(token, "$release-ledger").await.is(200).json();
            assert_eq!(page["parameter"][0]["name"], "entry");
            let check = api
                .call(token, "POST", "$verify-ledger")
                .send()
                .await
                .is(200);
            assert_eq!(
                check.json()["parameter"][0],
                json!({"name": "intact", "valueBoolean": true})
            );
        }
        api.get(&patient("p"), "Patient/p/$release-decision")
            .await
            .issue(403);
    }

    async fn browsers_at_any_origin_may_ask(api: &Api) {
        let preflight = api
            .bare("OPTIONS", "Patient/p")
            .header("origin", "http://localhost:4567")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization")
            .send()
            .await
            .is(200);
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert!(
            preflight
                .header("access-control-allow-headers")
                .unwrap()
                .contains("authorization")
        );
        // Of nobody's browser: what the address answers to.
        for (path, allow) in [
            ("Patient/p", Some("GET, HEAD, PUT, PATCH, DELETE, OPTIONS")),
            ("metadata", Some("GET, HEAD, OPTIONS")),
            ("Pateint/p", None),
        ] {
            let options = api.bare("OPTIONS", path).send().await.is(200);
            assert_eq!(options.header("allow"), allow, "{path}");
        }
        let answer = api
            .bare("GET", "metadata")
            .header("origin", "http://localhost:4567")
            .send()
            .await
            .is(200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert!(
            answer
                .header("access-control-expose-headers")
                .unwrap()
                .contains("etag")
        );
    }
}
