//! Who wrote what: X-Provenance, and the Provenance that the server makes.

use candor::rest::Limits;
use serde_json::{Value, json};

use crate::rest_support::{
    Api, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note, an_observation,
    each_api, patient, without_id,
};
use crate::support::Database;

async fn about(api: &Api, target: &str) -> Vec<Value> {
    let found = api
        .get(SYSTEM, &format!("Provenance?target={target}"))
        .await
        .is(200)
        .json();
    let entries = found["entry"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .map(|one| one["resource"].clone())
        .collect()
}

fn sent() -> Value {
    json!({"resourceType": "Provenance", "recorded": "2026-11-10T14:00:00Z",
        "agent": [{"who": {"display": "Laboratory"}}]})
}

each_api! {
    async fn what_the_client_says_is_kept_with_what_it_wrote(api: &Api) {
        let write = |method: &'static str, path: &'static str, resource: Value| {
            api.call(SYSTEM, method, path)
                .header("x-provenance", &sent().to_string())
                .json(&resource)
                .send()
        };
        write("PUT", "Patient/p", a_patient("p")).await.is(201);
        let [one] = &about(api, "Patient/p").await[..] else { panic!("not one") };
        assert_eq!(one["target"], json!([{"reference": "Patient/p"}]));
        assert_eq!(one["agent"][0]["who"]["display"], "Laboratory");
        // It is of her record.
        api.get(&patient("p"), &format!("Provenance/{}", one["id"].as_str().unwrap())).await.is(200);
        let id = write("POST", "Observation", without_id(an_observation("", "p"))).await.is(201).id();
        assert_eq!(about(api, &format!("Observation/{id}")).await.len(), 1);
        let entries: Vec<Value> = (0..3).map(|at| {
            let url = format!("Observation/o{at}");
            json!({"request": {"method": "PUT", "url": url},
                "resource": an_observation(&format!("o{at}"), if at == 2 { "q" } else { "p" })})
        }).collect();
        write("POST", "", json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
            .await.is(200);
        let first = about(api, "Observation/o0").await;
        assert_eq!(first, about(api, "Observation/o1").await);
        assert_eq!(first[0]["target"].as_array().unwrap().len(), 2);
        // Of two patients, each record has its own.
        assert_ne!(first, about(api, "Observation/o2").await);
        let gone = api.call(SYSTEM, "DELETE", "Observation/o2")
            .header("x-provenance", &sent().to_string()).send().await;
        gone.is(204);
        assert_eq!(about(api, "Observation/o2").await.len(), 2);
        // A failed write leaves none.
        write("PUT", "Patient/p", json!({"resourceType": "Patient", "id": "p", "colour": "red"}))
            .await.issue(400);
        assert_eq!(about(api, "Patient/p").await.len(), 1);
    }

    async fn what_is_no_provenance_is_refused(api: &Api) {
        for header in ["nonsense", "{}", r#"{"resourceType":"Patient"}"#,
            r#"{"resourceType":"Provenance"}"#,
            r#"{"resourceType":"Provenance","agent":[{"who":{"display":"x"}}],"colour":"red"}"#] {
            let (_, words, _) = api.call(SYSTEM, "PUT", "Patient/p")
                .header("x-provenance", header)
                .json(&a_patient("p"))
                .send()
                .await
                .issue(400);
            assert!(words.contains("X-Provenance"), "{words}");
        }
        api.get(SYSTEM, "Patient/p").await.is(404);
        api.call("system;;system/Patient.cruds", "PUT", "Patient/p")
            .header("x-provenance", &sent().to_string())
            .json(&a_patient("p"))
            .send()
            .await
            .issue(403);
        let allowed = api
            .bare("OPTIONS", "Patient/p")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "x-provenance")
            .send()
            .await;
        assert!(allowed.header("access-control-allow-headers").unwrap().contains("x-provenance"));
    }

    async fn where_it_is_switched_off_the_server_makes_none(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let found = api.get(SYSTEM, "Provenance").await.is(200).json();
        assert_eq!(found["total"], 0);
    }
}

async fn makes_them(database: Database) {
    let limits = Limits {
        provenance: true,
        ..Limits::default()
    };
    let api = Api::with(database, limits).await;
    made(&api).await;
    api.stop().await;
}

async fn made(api: &Api) {
    api.put(SYSTEM, &a_patient("p")).await.is(201);
    let [one] = &about(api, "Patient/p").await[..] else {
        panic!("not one")
    };
    assert_eq!(one["activity"]["coding"][0]["code"], "CREATE");
    assert_eq!(one["agent"][0]["who"]["identifier"]["value"], "test");
    assert_eq!(one["agent"][0]["type"]["coding"][0]["code"], "transmitter");
    assert!(candor::fhir::validate::validate(one).is_empty());
    // A bundle of one patient makes one for each kind of change.
    let mut entries: Vec<Value> = (0..5)
        .map(|at| {
            json!({"request": {"method": "PUT", "url": format!("Observation/o{at}")},
                "resource": an_observation(&format!("o{at}"), "p")})
        })
        .collect();
    entries.push(json!({"request": {"method": "PUT", "url": "Patient/p"},
        "resource": a_patient("p")}));
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let answer = api.post(SYSTEM, "", &bundle).await.is(200).json();
    assert_eq!(answer["entry"].as_array().unwrap().len(), 6);
    let all = api.get(SYSTEM, "Provenance").await.json();
    assert_eq!(all["total"], 3);
    let made = &about(api, "Observation/o0").await[0];
    assert_eq!(made["target"].as_array().unwrap().len(), 5);
    // Its id names none of them: one may be withheld while the others are shown.
    assert!(
        !made["id"].as_str().unwrap().contains("Observation"),
        "{made}"
    );
    assert_eq!(about(api, "Patient/p").await[0]["id"], "Patient.p.1");
    // The record is told without them, unless they are asked for; `_revinclude` finds them.
    let types = async |path: &str| -> Vec<String> {
        let found = api.get(&patient("p"), path).await.is(200).json();
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        let of = |entry: &Value| {
            entry["resource"]["resourceType"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        entries.iter().map(of).collect()
    };
    let is_own = |one: &String| one == "Provenance";
    let told = types("Patient/p/$everything").await;
    assert!(told.len() == 6 && !told.iter().any(is_own), "{told:?}");
    let told = types("Patient/p/$everything?_type=Provenance").await;
    assert!(told.len() == 3 && told.iter().all(is_own), "{told:?}");
    let told = types("Observation?_id=o1&_revinclude=Provenance:target").await;
    assert_eq!(told, ["Observation", "Provenance"]);
    // Nor do requests over all types tell of them, or the ledger.
    for path in [
        "Patient/p/*?_count=50",
        "?_count=50",
        "_history?_count=50",
        "Patient?_id=p&_revinclude=*",
    ] {
        let told = types(path).await;
        assert!(
            told.len() > 5 && !told.iter().any(is_own),
            "{path}: {told:?}"
        );
    }
    for path in [
        "Patient/p/Provenance",
        "?_type=Provenance",
        "_history?_type=Provenance",
    ] {
        let told = types(path).await;
        assert!(
            told.len() == 3 && told.iter().all(is_own),
            "{path}: {told:?}"
        );
    }
    let ledger = api
        .get(SYSTEM, "$release-ledger?_count=200")
        .await
        .is(200)
        .text();
    assert!(
        ledger.contains("Observation/o1") && !ledger.contains("Provenance/"),
        "{ledger}"
    );
    // What is gone is not deleted again; one that has the id already stays as it is.
    api.call(SYSTEM, "DELETE", "Observation/o4")
        .send()
        .await
        .is(204);
    api.call(SYSTEM, "DELETE", "Observation/o4")
        .send()
        .await
        .is(204);
    assert_eq!(about(api, "Observation/o4").await.len(), 2);
    let brought = json!({"resourceType": "Provenance", "id": "Observation.late.1",
        "recorded": "2026-11-10T14:00:00Z", "target": [{"reference": "Observation/late"}],
        "agent": [{"who": {"display": "Elsewhere"}}]});
    api.put(SYSTEM, &brought).await.is(201);
    api.put(SYSTEM, &an_observation("late", "p")).await.is(201);
    assert_eq!(about(api, "Observation/late").await.len(), 2);
    // Who is a person is named; what the same request tells of itself is not told again.
    let created = api
        .post(
            CLINICIAN,
            "Observation",
            &without_id(an_observation("", "p")),
        )
        .await
        .is(201)
        .id();
    let made = &about(api, &format!("Observation/{created}")).await[0];
    assert_eq!(made["agent"][1]["who"]["reference"], "Practitioner/doctor");
    let own = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000001";
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": own, "request": {"method": "POST", "url": "Observation"},
            "resource": without_id(an_observation("", "p"))},
        {"request": {"method": "POST", "url": "Provenance"}, "resource": {
            "resourceType": "Provenance", "recorded": "2026-11-10T14:00:00Z",
            "target": [{"reference": own}], "agent": [{"who": {"display": "x"}}]}}]});
    let answer = api.post(SYSTEM, "", &bundle).await.is(200).json();
    let place = answer["entry"][0]["response"]["location"].as_str().unwrap();
    let address = place.split("/_history").next().unwrap();
    assert_eq!(about(api, address).await.len(), 1);
    // Of what is withheld, its Provenance tells nothing.
    api.put(SYSTEM, &a_psychologist()).await.is(201);
    api.put(SYSTEM, &a_psychotherapy_note("psy-note", "p"))
        .await
        .is(201);
    let made = &about(api, "DocumentReference/psy-note").await[0];
    let path = format!("Provenance/{}", made["id"].as_str().unwrap());
    let hidden = api.get(&patient("p"), &path).await;
    let unknown = api.get(&patient("p"), "Provenance/unknown").await;
    assert_eq!(
        (hidden.status, &hidden.body),
        (unknown.status, &unknown.body),
        "{}",
        hidden.text()
    );
}

#[tokio::test]
async fn a_server_that_makes_provenance_sqlite() {
    makes_them(Database::Sqlite).await;
}

#[tokio::test]
async fn a_server_that_makes_provenance_postgres() {
    if Database::Postgres.is_there() {
        makes_them(Database::Postgres).await;
    }
}
