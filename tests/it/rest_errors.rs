//! Addresses, methods and formats that do not exist, each with its status and words.

use serde_json::json;

use crate::rest_support::{Api, SYSTEM, a_patient, each_api};
use crate::support::Database;

each_api! {
    async fn addresses_that_do_not_exist_are_404_with_words(api: &Api) {
        for path in [
            "Pateint/p",
            "Pateint",
            "patient/p",
            "Patient/p/Nothing",
            "Observation/o/Patient",
            "Patient/p/_history/1/2",
            "nothing",
            "Patient/%FF",
            "$no-such-operation",
            "Patient/p/$no-such-operation",
            "Patient/$release-decision",
        ] {
            let (code, words, _) = api.get(SYSTEM, path).await.issue(404);
            assert_eq!(code, "not-found", "{path}");
            assert!(words.contains("GET metadata"), "{path}: {words}");
        }
        for path in ["Patient/p/$match", "$export", "CodeSystem/$lookup"] {
            let (code, ..) = api.get(SYSTEM, path).await.issue(501);
            assert_eq!(code, "not-supported", "{path}");
        }
    }

    async fn methods_that_an_address_has_not_are_405_with_allow(api: &Api) {
        for (method, path, allow) in [
            ("POST", "Patient/p", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
            ("DELETE", "metadata", "GET, HEAD, OPTIONS"),
            ("PUT", "", "GET, HEAD, POST, OPTIONS"),
            ("GET", "Patient/_search", "POST, OPTIONS"),
            ("PUT", "Patient/p/_history/1", "GET, HEAD, OPTIONS"),
            ("POST", "$release-policy", "GET, HEAD, OPTIONS"),
            ("PUT", "Patient/p/$everything", "GET, HEAD, POST, OPTIONS"),
            ("DELETE", "Patient/p/$meta-add", "POST, OPTIONS"),
            ("GET", "$verify-ledger", "POST, OPTIONS"),
            ("BREW", "Patient/p", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ] {
            let answer = api.call(SYSTEM, method, path).send().await;
            answer.issue(405);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }

    async fn formats_are_negotiated_or_refused(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.call(SYSTEM, "GET", "Patient/p")
            .header("accept", "text/turtle")
            .send()
            .await
            .issue(406);
        api.get(SYSTEM, "Patient/p?_format=ttl").await.issue(406);
        api.call(SYSTEM, "GET", "Patient/p")
            .header("accept", "application/fhir+json; fhirVersion=3.0")
            .send()
            .await
            .issue(406);
        let send = |content_type: &'static str| {
            api.call(SYSTEM, "PUT", "Patient/p")
                .body(content_type, a_patient("p").to_string())
                .send()
        };
        send("application/json").await.is(200);
        send("application/fhir+json; charset=UTF-8").await.is(200);
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/fhir+json; charset=latin1",
            "application/fhir+json; fhirVersion=5.0",
        ] {
            send(content_type).await.issue(415);
        }
        let (_, words, _) = api.call(SYSTEM, "PUT", "Patient/p").send().await.issue(415);
        assert!(words.contains("Content-Type"));
    }

    async fn the_base_works_with_and_without_a_slash(api: &Api) {
        let bundle = r#"{"resourceType":"Bundle","type":"batch"}"#;
        for path in ["", "/", "?_format=json"] {
            let answer = api
                .call(SYSTEM, "POST", path)
                .body("application/fhir+json", bundle)
                .send()
                .await
                .is(200);
            assert_eq!(answer.json()["type"], "batch-response");
        }
    }
}

#[tokio::test]
async fn a_failing_database_is_503_and_never_404() {
    let api = Api::start(Database::Sqlite).await;
    api.put(SYSTEM, &a_patient("p")).await.is(201);
    api.store.clone().close().await.unwrap();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"request": {"method": "PUT", "url": "Patient/p"}, "resource": a_patient("p")}]});
    for answer in [
        api.get(SYSTEM, "Patient/p").await,
        api.get(SYSTEM, "Patient/unknown").await,
        api.get(SYSTEM, "Patient/p/_history").await,
        api.get(SYSTEM, "Patient?name=Ruiz").await,
        api.put(SYSTEM, &a_patient("p")).await,
        api.call(SYSTEM, "DELETE", "Patient/p").send().await,
        api.post(SYSTEM, "", &bundle).await,
        api.get(SYSTEM, "Patient/p/$release-decision").await,
        api.get(SYSTEM, "$release-ledger").await,
    ] {
        let (code, words, _) = answer.issue(503);
        assert_eq!(code, "transient");
        assert!(!words.to_lowercase().contains("sql"), "{words}");
        assert!(answer.header("retry-after").is_some());
    }
    // What needs no database goes on.
    api.bare("GET", "metadata").send().await.is(200);
}
