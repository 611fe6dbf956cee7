//! The public list of service base URLs and brands.

use candor::config::Facility;
use serde_json::{Value, json};

use crate::support::{Database, TestServer};

async fn get(server: &TestServer, path: &str) -> (reqwest::header::HeaderMap, Value) {
    let answer = server.client().get(server.url(path)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let headers = answer.headers().clone();
    let text = answer.text().await.unwrap();
    (headers, serde_json::from_str(&text).unwrap())
}

async fn everybody_reads_where_which_hospital_is(database: Database) {
    let server = TestServer::start_with(database, |config| {
        config.smart.brand = "Mercy Health".to_owned();
        config.smart.facilities = vec![
            Facility {
                name: "Mercy Hospital".to_owned(),
                website: Some("https://mercy.example".to_owned()),
                identifier_system: Some("http://hl7.org/fhir/sid/us-npi".to_owned()),
                identifier: Some("1234567893".to_owned()),
                line: Some("1 Main Street".to_owned()),
                city: Some("Paris".to_owned()),
                state: Some("KY".to_owned()),
                postal_code: Some("40361".to_owned()),
            },
            Facility {
                name: "Mercy Clinic".to_owned(),
                city: Some("Lexington".to_owned()),
                state: Some("KY".to_owned()),
                ..Facility::default()
            },
        ];
    })
    .await;
    let (headers, bundle) = get(&server, "/service-base-urls.json").await;
    assert_eq!(headers["content-type"], "application/fhir+json");
    assert_eq!(bundle["type"], "collection");
    let tag = headers["etag"].to_str().unwrap();
    for (known, status) in [
        (tag.to_owned(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let asked = server.client().get(server.url("/service-base-urls.json"));
        let answer = asked.header("if-none-match", &known).send().await.unwrap();
        assert_eq!(answer.status(), status, "{known}");
        assert_eq!(answer.headers()["etag"], tag, "{known}");
    }
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    let hospital = &entries[0]["resource"];
    assert_eq!(hospital["name"], "Mercy Hospital");
    assert_eq!(hospital["identifier"][0]["value"], "1234567893");
    assert_eq!(hospital["address"][0]["postalCode"], "40361");
    assert_eq!(hospital["endpoint"][0]["reference"], "Endpoint/r4");
    assert_eq!(entries[1]["resource"]["address"][0]["city"], "Lexington");
    let endpoint = &entries[2]["resource"];
    assert_eq!(endpoint["id"], "r4");
    assert_eq!(endpoint["address"], server.url("/fhir/r4").as_str());
    assert_eq!(endpoint["extension"][0]["valueCode"], "4.0.1");
    // Valid FHIR, by the server's own measure.
    let answer = server
        .client()
        .post(server.fhir("Bundle/$validate"))
        .bearer_auth(server.system_token().await)
        .header("content-type", "application/fhir+json")
        .body(bundle.to_string())
        .send()
        .await
        .unwrap();
    let outcome: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let issues = outcome["issue"].as_array().unwrap();
    assert!(
        issues
            .iter()
            .all(|issue| !["error", "fatal"].contains(&issue["severity"].as_str().unwrap())),
        "{outcome}"
    );
    // Apps find it, and with it the brand.
    let (_, smart) = get(&server, "/fhir/r4/.well-known/smart-configuration").await;
    assert_eq!(
        smart["user_access_brand_bundle"],
        server.url("/service-base-urls.json").as_str()
    );
    assert_eq!(
        smart["user_access_brand_identifier"],
        json!({"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"})
    );
    // Where it is not switched on, nobody registers by themselves.
    assert!(smart.get("registration_endpoint").is_none());
    let register = server.client().post(server.url("/auth/register"));
    assert_eq!(register.body("{}").send().await.unwrap().status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn everybody_reads_where_which_hospital_is_on_sqlite() {
    everybody_reads_where_which_hospital_is(Database::Sqlite).await;
}

#[tokio::test]
async fn everybody_reads_where_which_hospital_is_on_postgres() {
    if Database::Postgres.is_there() {
        everybody_reads_where_which_hospital_is(Database::Postgres).await;
    }
}

#[tokio::test]
async fn a_server_without_facilities_lists_itself() {
    let server = TestServer::start(Database::Sqlite).await;
    let (headers, bundle) = get(&server, "/service-base-urls.json").await;
    assert!(!headers.contains_key("set-cookie"));
    let own = &bundle["entry"][0]["resource"];
    assert_eq!(own["name"], "Candor");
    assert_eq!(own["identifier"][0]["value"], server.url("").as_str());
    server.stop().await;
}
