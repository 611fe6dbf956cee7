//! Two servers on one database: what one of them is told, the other knows with its next request.

use candor::visibility::ViewerClass;
use serde_json::{Value, json};

use crate::support::each_database;

each_database! {
    async fn a_write_a_hold_and_a_revocation_are_seen_by_the_other_server_at_once(server: TestServer) {
        let (second, other) = server.second().await;
        let system = server.system_token().await;
        let put = async |resource: Value| {
            let path = format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            );
            let answer = server
                .client()
                .put(server.fhir(&path))
                .bearer_auth(&system)
                .json(&resource)
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        };
        put(json!({"resourceType": "Patient", "id": "p"})).await;
        put(json!({"resourceType": "Practitioner", "id": "md",
            "qualification": [{"code": {"text": "Doctor of Medicine"}}]}))
        .await;
        put(json!({"resourceType": "Encounter", "id": "visit", "status": "finished",
            "class": {"code": "AMB"}, "subject": {"reference": "Patient/p"},
            "participant": [{"individual": {"reference": "Practitioner/md"}}]}))
        .await;
        let (client, token) = server
            .client_and_token(
                ViewerClass::Patient,
                Some("Patient/p"),
                Some("p"),
                "launch/patient patient/*.rs",
            )
            .await;
        let there = async || {
            let answer = server
                .client()
                .get(format!("{other}/Observation/o"))
                .bearer_auth(&token)
                .send()
                .await
                .unwrap();
            answer.status().as_u16()
        };
        for round in 0..5 {
            assert_eq!(there().await, if round == 0 { 404 } else { 200 });
            put(json!({"resourceType": "Observation", "id": "o", "status": "final",
                "code": {"text": "Hemoglobin"}, "subject": {"reference": "Patient/p"},
                "valueString": round.to_string()}))
            .await;
            assert_eq!(there().await, 200, "a write, round {round}");
            put(hold("in-progress")).await;
            assert_eq!(there().await, 404, "a hold, round {round}");
            put(hold("cancelled")).await;
            assert_eq!(there().await, 200, "a hold that was cancelled, round {round}");
        }
        let revoked = server
            .client()
            .post(server.url("/auth/revoke"))
            .form(&[("token", &token), ("client_id", &client)])
            .send()
            .await
            .unwrap();
        assert_eq!(revoked.status(), 200);
        assert_eq!(there().await, 401, "a token that was revoked");
        second.stop().await.unwrap();
    }

    /// Units are remembered by each process, and known to a search as soon as a write is done.
    async fn a_unit_that_one_server_meets_is_known_to_the_other(server: TestServer) {
        let (second, other) = server.second().await;
        let system = server.system_token().await;
        let here = server.fhir("");
        let here = here.trim_end_matches('/');
        let put = async |base: &str, id: &str, value: f64, unit: &str| {
            let one = json!({"resourceType": "Observation", "id": id, "status": "final",
                "code": {"coding": [{"code": "tall"}]},
                "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": unit}});
            let answer = server.client().put(format!("{base}/Observation/{id}")).bearer_auth(&system)
                .json(&one).send().await.unwrap();
            assert_eq!(answer.status(), 201, "{id}");
        };
        let count = async |base: &str| {
            let url = format!("{base}/Observation?code-value-quantity=tall$gt1.8%7Chttp://unitsofmeasure.org%7Cm&_summary=count");
            let answer = server.client().get(url).bearer_auth(&system).send().await.unwrap();
            answer.json::<Value>().await.unwrap()["total"].as_i64().unwrap()
        };
        let mut all = 0;
        for (number, (first, then)) in [(here, other.as_str()), (other.as_str(), here)].into_iter().enumerate() {
            for (unit, value) in [("cm", 190.0), ("mm", 1900.0), ("[in_i]", 75.0)] {
                assert_eq!(count(then).await, all);
                put(first, &format!("{}-{number}", value), value, unit).await;
                all += 1;
                assert_eq!((count(here).await, count(&other).await), (all, all), "{unit}");
            }
        }
        // The same new units, in different orders, at once.
        let at_once = (0..8).map(|number| {
            let base = if number % 2 == 0 { here } else { other.as_str() };
            let unit = format!("m{{{}}}", if number < 4 { number } else { 7 - number });
            async move { put(base, &format!("at-once-{number}"), 2.0, &unit).await }
        });
        futures_util::future::join_all(at_once).await;
        assert_eq!((count(here).await, count(&other).await), (all + 8, all + 8));
        second.stop().await.unwrap();
    }

    /// Every way of reading that a remembered token could still open, each with a token of its own.
    async fn a_token_revoked_at_one_server_opens_nothing_at_the_other(server: TestServer) {
        let (second, other) = server.second().await;
        let system = server.system_token().await;
        let put = server
            .client()
            .put(server.fhir("Patient/p"))
            .bearer_auth(&system)
            .json(&json!({"resourceType": "Patient", "id": "p"}))
            .send();
        assert_eq!(put.await.unwrap().status(), 201);
        for (path, before) in [
            ("Patient/p", 200),
            ("Patient/nobody", 404),
            ("Patient?_id=p", 200),
            ("Patient?_id=nobody", 200),
            ("Patient?_id=p&_revinclude=Observation:subject", 200),
            ("Patient?_sort=-_lastUpdated", 200),
            ("Patient?_summary=count", 200),
            ("Patient?_count=x", 400),
            ("Practitioner?nonsense=1", 200),
            ("Patient/p/_history", 200),
            ("Patient/p/_history/1", 200),
            ("Patient/p/$everything", 200),
            ("Patient/p/nonsense", 404),
        ] {
            let (client, token) = server
                .client_and_token(
                    ViewerClass::Patient,
                    Some("Patient/p"),
                    Some("p"),
                    "launch/patient patient/*.rs",
                )
                .await;
            let there = async || {
                let asked = server.client().get(format!("{other}/{path}")).bearer_auth(&token);
                asked.send().await.unwrap().status().as_u16()
            };
            assert_eq!(there().await, before, "{path}");
            assert_eq!(there().await, before, "{path}, remembered");
            let revoked = server
                .client()
                .post(server.url("/auth/revoke"))
                .form(&[("token", &token), ("client_id", &client)])
                .send()
                .await
                .unwrap();
            assert_eq!(revoked.status(), 200);
            assert_eq!(there().await, 401, "{path}, revoked");
        }
        second.stop().await.unwrap();
    }
}

/// A hold with everything that makes it valid (release-contract.md, "Hold").
fn hold(status: &str) -> Value {
    const CB: &str = "https://candor.example/fhir/CodeSystem";
    let input = |code: &str, name: &str, value: Value| {
        let mut input = json!({"type": {"coding": [
            {"system": format!("{CB}/hold-input"), "code": code}]}});
        input[name] = value;
        input
    };
    json!({
        "resourceType": "Task", "id": "hold", "status": status, "intent": "order",
        "code": {"coding": [{"system": format!("{CB}/release-task"), "code": "release-hold"}]},
        "reasonCode": {"coding": [{"system": format!("{CB}/release-basis"), "code": "harm-self"}]},
        "focus": {"reference": "Observation/o"}, "for": {"reference": "Patient/p"},
        "requester": {"reference": "Practitioner/md"}, "authoredOn": "2026-11-10T15:00:00Z",
        "restriction": {"period": {"end": "2026-12-01T15:00:00Z"}},
        "input": [
            input("harm-standard", "valueCode", json!("life-or-physical-safety")),
            input("facts", "valueString", json!(
                "Documented suicide plan tied to this result; attempt on 2026-10-02.")),
            input("less-restrictive-considered", "valueString", json!("Same-day visit offered.")),
            input("relationship", "valueReference", json!({"reference": "Encounter/visit"})),
            input("case-by-case", "valueBoolean", json!(true)),
            input("reassess-at", "valueDateTime", json!("2026-11-20T15:00:00Z")),
        ],
    })
}
