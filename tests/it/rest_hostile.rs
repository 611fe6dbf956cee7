//! Hostile input over HTTP: always 4xx with an OperationOutcome, never 5xx, and the server goes on.

use candor::rest::Limits;
use proptest::prelude::*;
use serde_json::json;

use crate::rest_support::{
    Answer, Api, CLINICIAN, SYSTEM, a_patient, an_observation, each_api, patient,
};
use crate::support::Database;

#[track_caller]
fn refused(answer: &Answer, what: &str) {
    assert!(
        answer.status.is_client_error(),
        "{what}: {} {}",
        answer.status,
        answer.text()
    );
    let outcome = answer.text();
    assert!(outcome.contains("OperationOutcome"), "{what}: {outcome}");
    assert!(
        outcome.len() < 50_000,
        "{what}: {} bytes of answer",
        outcome.len()
    );
}

each_api! {
    async fn broken_bodies_are_refused(api: &Api) {
        let deep_array = format!(
            r#"{{"resourceType":"Patient","id":"p","extension":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let deep_object = format!(
            r#"{{"resourceType":"Patient","id":"p","a":{}1{}}}"#,
            r#"{"a":"#.repeat(50_000),
            "}".repeat(50_000)
        );
        let digits = format!(
            r#"{{"resourceType":"Observation","id":"p","status":"final","code":{{"text":"x"}},"valueQuantity":{{"value":{}}}}}"#,
            "9".repeat(100_000)
        );
        let json: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("cut off", br#"{"resourceType":"Patient""#.to_vec()),
            ("not json", b"hello".to_vec()),
            ("an array", b"[]".to_vec()),
            ("a string", b"\"Patient\"".to_vec()),
            ("two values", br#"{"resourceType":"Patient","id":"p"}{}"#.to_vec()),
            ("no type", br#"{"id":"p"}"#.to_vec()),
            ("a number as type", br#"{"resourceType":7,"id":"p"}"#.to_vec()),
            ("repeated key", br#"{"resourceType":"Patient","id":"p","id":"p"}"#.to_vec()),
            ("bad UTF-8", b"{\"resourceType\":\"Patient\",\"id\":\"p\",\"language\":\"\xff\"}".to_vec()),
            ("lone surrogate", br#"{"resourceType":"Patient","id":"p","language":"\ud800"}"#.to_vec()),
            ("NUL", br#"{"resourceType":"Patient","id":"p","name":[{"family":"\u0000"}]}"#.to_vec()),
            ("deep array", deep_array.into_bytes()),
            ("deep object", deep_object.into_bytes()),
            ("a long number", digits.into_bytes()),
            ("infinity", br#"{"resourceType":"Patient","id":"p","multipleBirthInteger":1e999}"#.to_vec()),
            ("an absurd date", br#"{"resourceType":"Patient","id":"p","birthDate":"99999-99-99"}"#.to_vec()),
            ("February 30", br#"{"resourceType":"Patient","id":"p","birthDate":"2026-02-30"}"#.to_vec()),
            ("null", br#"{"resourceType":"Patient","id":"p","name":null}"#.to_vec()),
            ("an empty array", br#"{"resourceType":"Patient","id":"p","name":[]}"#.to_vec()),
        ];
        for (what, body) in json {
            let answer = api
                .call(SYSTEM, "PUT", "Patient/p")
                .body("application/fhir+json", body)
                .send()
                .await;
            refused(&answer, what);
        }
        let bomb = r#"<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><Patient xmlns="http://hl7.org/fhir"><id value="p"/><language value="&c;"/></Patient>"#;
        let xxe = r#"<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Patient xmlns="http://hl7.org/fhir"><id value="p"/><language value="&f;"/></Patient>"#;
        let deep = format!(
            r#"<Patient xmlns="http://hl7.org/fhir">{}{}</Patient>"#,
            r#"<extension url="x">"#.repeat(50_000),
            "</extension>".repeat(50_000)
        );
        let xml: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("cut off", b"<Patient xmlns=\"http://hl7.org/fhir\">".to_vec()),
            ("another root", b"<html/>".to_vec()),
            ("another namespace", b"<Patient xmlns=\"urn:x\"/>".to_vec()),
            ("entity bomb", bomb.as_bytes().to_vec()),
            ("external entity", xxe.as_bytes().to_vec()),
            ("deep", deep.into_bytes()),
            ("UTF-16", b"\xff\xfe<\x00P\x00".to_vec()),
            ("bad UTF-8", b"<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"\xff\"/></Patient>".to_vec()),
            ("JSON", br#"{"resourceType":"Patient","id":"p"}"#.to_vec()),
        ];
        for (what, body) in xml {
            let answer = api
                .call(SYSTEM, "PUT", "Patient/p")
                .body("application/fhir+xml", body)
                .send()
                .await;
            refused(&answer, what);
        }
        api.get(SYSTEM, "Patient/p").await.is(404);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
    }

    async fn hostile_headers_and_addresses_are_refused(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        for token in [
            "",
            ".",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
            "' OR 1=1 --",
            &"x".repeat(60_000),
        ] {
            let answer = api.get(token, "Patient/p").await;
            assert_eq!(answer.status, 401, "{token:.40}");
            refused(&answer, "token");
        }
        for path in [
            "Patient/%00",
            "Patient/..%2f..%2fetc%2fpasswd",
            "Patient/%FF%FE",
            "Patient/'%20OR%201=1",
            "Patient/p/_history/1'--",
            &format!("Patient/{}", "a".repeat(10_000)),
            "Patient/p?_format=%FF",
            "Patient/p?_elements=%00",
            "Patient/p?%FF=1",
            "Patient/p/_history?_count=-1",
            "Patient/p/_history?_count=x",
            "Patient/p/_history?_since=yesterday",
            "Patient/p/_history?_since=999999-01-01T00:00:00Z",
            "Patient/p/_history?_cursor=%27",
            "Patient/p/_history?_count=1&_count=2",
            "$release-ledger?_after=x",
            "$release-ledger?_since=0",
        ] {
            refused(&api.get(SYSTEM, path).await, path);
        }
        let huge = "Patient/p/_history?_count=99999999999999999999";
        api.get(SYSTEM, huge).await.is(200);
        for tag in ["W/\"99999999999999\"", "**", "W/1", "\u{e9}"] {
            let answer = api
                .call(SYSTEM, "PUT", "Patient/p")
                .header("if-match", tag)
                .json(&a_patient("p"))
                .send()
                .await;
            refused(&answer, tag);
        }
        let raw = api.call(SYSTEM, "DELETE", "Patient/p");
        refused(&raw.header("if-match", "\u{ff}").send().await, "if-match");
        api.get(SYSTEM, "Patient/p").await.is(200);
    }

    async fn hostile_bundles_are_refused(api: &Api) {
        let urls = [
            "Patient/../p",
            "Patient/p/extra/parts/here",
            "javascript:alert(1)",
            "Patient?",
            "Patient/p?x=%FF",
            "",
            "?",
            "//Patient/p",
        ];
        for url in urls {
            for method in ["DELETE", "PUT"] {
                let entry = json!({"request": {"method": method, "url": url},
                    "resource": a_patient("p")});
                let sent = json!({"resourceType": "Bundle", "type": "transaction",
                    "entry": [entry]});
                let answer = api.post(SYSTEM, "", &sent).await;
                if answer.status.is_success() {
                    // Slashes in front are all the same.
                    assert_eq!(url, "//Patient/p");
                } else {
                    refused(&answer, url);
                }
            }
        }
        let nested = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"request": {"method": "POST", "url": ""}, "resource":
                {"resourceType": "Bundle", "type": "transaction"}}]});
        refused(&api.post(SYSTEM, "", &nested).await, "nested");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_announced_or_not() {
    let limits = Limits {
        body_bytes: 10_000,
        ..Limits::default()
    };
    let api = Api::with(Database::Sqlite, limits).await;
    let big = json!({"resourceType": "Patient", "id": "p",
        "name": [{"family": "x".repeat(20_000)}]});
    let (code, ..) = api.put(SYSTEM, &big).await.issue(413);
    assert_eq!(code, "too-long");
    let announced = api
        .call(SYSTEM, "PUT", "Patient/p")
        .header("content-length", "99999999999")
        .json(&a_patient("p"))
        .send()
        .await;
    announced.issue(413);
    api.put(SYSTEM, &a_patient("p")).await.is(201);
    api.stop().await;
}

/// Requests made of pieces that matter, put together at random.
#[derive(Clone, Debug)]
struct Wild {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
}

fn wild() -> impl Strategy<Value = Wild> {
    let segment = prop_oneof![
        4 => prop::sample::select(vec![
            "Patient", "Observation", "Binary", "Bundle", "p", "o", "_history", "_search", "*",
            "metadata", "1", "$validate", "$release-decision", "$release-ledger", "$verify-ledger",
            "$everything", "", "..", "%2e%2e", "%00", "Group", "Task", "Parameters",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9%$_*.-]{0,80}",
    ];
    let pair = (
        prop_oneof![
            6 => prop::sample::select(vec![
                "_count", "_since", "_cursor", "_format", "_pretty", "_summary", "_elements",
                "_total", "_sort", "_include", "_revinclude", "_has:Observation:patient:code",
                "_id", "_lastUpdated", "name", "birthdate", "identifier", "patient", "code",
                "subject:Patient.name", "value-quantity", "code-value-quantity", "_type", "viewer",
                "mode", "_after", "date:missing", "_profile", "_tag", "_security",
            ]).prop_map(str::to_owned),
            1 => "[a-zA-Z_:.-]{0,20}",
        ],
        prop_oneof![
            4 => prop::sample::select(vec![
                "", "p", "1", "0", "-1", "true", "gt2026", "2026-02-30", "ge2026-11-10T15:00:00Z",
                "a|b", "|", "||", ",", "Patient/p", "99999999999999999999", "1e999", "%FF", "%00",
                "Patient,Observation", "-_lastUpdated", "Observation:patient", "json", "xml",
                "13.5||g%2FdL", "718-7$13.5", "$", "\\,",
            ]).prop_map(str::to_owned),
            1 => "[!-~&&[^#&?]]{0,60}",
        ],
    )
        .prop_map(|(name, value)| format!("{name}={value}"));
    let header = (
        prop::sample::select(vec![
            "accept",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-none-exist",
            "prefer",
            "x-security-context",
        ]),
        prop_oneof![
            4 => prop::sample::select(vec![
                "*", "*/*", "W/\"1\"", "W/\"0\"", "application/fhir+xml", "application/pdf",
                "return=minimal", "return=OperationOutcome, handling=strict", "identifier=a|b",
                "Tue, 10 Nov 2026 15:00:00 GMT", "Patient/p", "application/json;q=0", "name=x",
            ]).prop_map(str::to_owned),
            1 => "[ -~]{0,40}",
        ],
    );
    let body = prop_oneof![
        Just(None),
        prop::sample::select(vec![
            ("application/fhir+json", br#"{"resourceType":"Patient","id":"p"}"#.to_vec()),
            ("application/fhir+json", br#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#.to_vec()),
            ("application/fhir+json", br#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient?_count=1"}}]}"#.to_vec()),
            ("application/fhir+json", br#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient?name=x"}}]}"#.to_vec()),
            ("application/fhir+xml", br#"<Patient xmlns="http://hl7.org/fhir"><id value="p"/></Patient>"#.to_vec()),
            ("application/x-www-form-urlencoded", b"name=x&_count=2".to_vec()),
            ("image/png", b"\x89PNG".to_vec()),
            ("application/fhir+json", b"{".to_vec()),
        ])
        .prop_map(Some),
        (
            Just("application/fhir+json"),
            prop::collection::vec(any::<u8>(), 0..200)
        )
            .prop_map(Some),
    ];
    (
        prop::sample::select(vec![
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS",
        ]),
        prop_oneof![
            6 => prop::sample::select(vec![
                "", "Patient", "Patient/p", "Observation", "Observation/o", "Patient/p/Observation",
                "Patient/p/*", "_history", "Patient/p/_history", "Patient/p/_history/1",
                "Patient/_search", "_search", "Patient/p/Observation/_search", "Binary",
                "Observation/o/$release-decision", "$release-ledger", "Patient/$validate",
                "$verify-ledger", "Task", "metadata",
            ])
            .prop_map(str::to_owned),
            1 => prop::collection::vec(segment, 0..5).prop_map(|segments| segments.join("/")),
        ],
        prop::collection::vec(pair, 0..4),
        prop::collection::vec(header, 0..3),
        body,
    )
        .prop_map(|(method, mut path, pairs, headers, body)| {
            if !pairs.is_empty() {
                path = format!("{path}?{}", pairs.join("&"));
            }
            Wild {
                method,
                path,
                headers,
                body,
            }
        })
}

/// Whatever is asked, by whomever: never a 5xx (501 says that something is not done), and every
/// refusal is an OperationOutcome.
#[test]
fn no_request_breaks_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let api = runtime.block_on(async {
        let api = Api::start(Database::Sqlite).await;
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &an_observation("o", "p")).await.is(201);
        api
    });
    let tokens = [SYSTEM.to_owned(), CLINICIAN.to_owned(), patient("p")];
    let config = ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(one in wild(), who in 0..3_usize)| {
        let answer = runtime.block_on(async {
            // A URI that the HTTP parser refuses never gets here.
            if format!("/fhir/r4/{}", one.path).parse::<axum::http::Uri>().is_err() {
                return None;
            }
            let mut call = api.call(&tokens[who], one.method, &one.path);
            for (name, value) in &one.headers {
                call = call.header(name, value);
            }
            if let Some((content_type, body)) = &one.body {
                call = call.body(content_type, body.clone());
            }
            Some(call.send().await)
        });
        if let Some(answer) = answer {
            let status = answer.status.as_u16();
            prop_assert!(status < 500 || status == 501, "{one:?}: {status} {}", answer.text());
            if status >= 400 && one.method != "HEAD" {
                prop_assert!(answer.text().contains("OperationOutcome"), "{one:?}: {}", answer.text());
            }
        }
    });
    runtime.block_on(api.stop());
}
