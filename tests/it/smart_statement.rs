//! Registration with a software statement (RFC 7591 section 2.3), and where nobody registers themselves.

use candor::config::{Registration, StatementIssuer};
use candor::smart::registrations;
use jiff::tz::TimeZone;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::smart_backend::{Key, key, sign};
use crate::smart_support::{REDIRECT, Server};
use crate::support::Database;

const ISSUER: &str = "https://trust.example";

async fn register(server: &Server, metadata: &Value) -> (u16, Value) {
    let request = server.http.post(server.url("/auth/register"));
    let response = request.json(metadata).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

fn says(server: &Server, changes: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "iat": server.clock.now() / 1000, "software_id": "journal",
        "client_name": "Bone Journal", "redirect_uris": [REDIRECT], "client_uri": "https://acme.example",
        "policy_uri": "https://acme.example/privacy", "maker": "Acme Inc",
        "attestation": {"sells_data": false}});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn asks(statement: &str) -> Value {
    json!({"client_name": "Somebody Else", "redirect_uris": ["https://evil.example/"],
        "token_endpoint_auth_method": "none", "software_statement": statement})
}

async fn a_statement_registers_and_stands_above_what_the_app_says(server: &Server, own: &Key) {
    let statement = sign(own, "t1", &says(server, json!({})));
    let (status, answer) = register(server, &asks(&statement)).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["client_name"], "Bone Journal");
    assert_eq!(answer["redirect_uris"], json!([REDIRECT]));
    assert_eq!(answer["software_statement"], statement.as_str());
    assert_eq!(answer["attestation"], json!({"sells_data": false}));
    let listed = registrations::list(&server.store, &TimeZone::UTC)
        .await
        .unwrap();
    let id = answer["client_id"].as_str().unwrap();
    let one = listed.iter().find(|one| one.client_id == id).unwrap();
    assert_eq!(one.origin.as_deref(), Some("statement"));
    assert_eq!(one.statement_issuer.as_deref(), Some(ISSUER));
    assert_eq!(one.verified, Some(server.clock.now()));
    // Another instance of the same software.
    assert_eq!(register(server, &asks(&statement)).await.0, 201);

    let stranger = key(Algorithm::ES384, "t1");
    let now = server.clock.now() / 1000;
    let unsigned = format!("{}.", statement.rsplit_once('.').unwrap().0);
    for (statement, error) in [
        (
            sign(&stranger, "t1", &says(server, json!({}))),
            "invalid_software_statement",
        ),
        (
            sign(own, "t2", &says(server, json!({}))),
            "invalid_software_statement",
        ),
        (
            sign(own, "t1", &says(server, json!({"exp": now}))),
            "invalid_software_statement",
        ),
        (
            sign(own, "t1", &says(server, json!({"nbf": now + 120}))),
            "invalid_software_statement",
        ),
        (
            sign(
                own,
                "t1",
                &says(server, json!({"aud": "https://elsewhere.example"})),
            ),
            "invalid_software_statement",
        ),
        (
            sign(
                own,
                "t1",
                &says(server, json!({"iss": "https://evil.example"})),
            ),
            "unapproved_software_statement",
        ),
        (unsigned, "invalid_software_statement"),
        ("nonsense".to_owned(), "invalid_software_statement"),
        // What it says must be possible.
        (
            sign(
                own,
                "t1",
                &says(server, json!({"redirect_uris": ["http://a.example/"]})),
            ),
            "invalid_redirect_uri",
        ),
    ] {
        let (status, answer) = register(server, &asks(&statement)).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{answer}");
    }
    let aimed = says(server, json!({"aud": [server.url("/auth/register")]}));
    assert_eq!(
        register(server, &asks(&sign(own, "t1", &aimed))).await.0,
        201
    );
    let (status, answer) = register(
        server,
        &json!({"client_name": "x", "redirect_uris": [REDIRECT]}),
    )
    .await;
    assert_eq!(
        (status, &answer["error"]),
        (400, &json!("invalid_software_statement"))
    );
}

async fn statements(database: Database) {
    let own = key(Algorithm::ES384, "t1");
    let jwks = json!({"keys": [own.public]}).to_string();
    let server = Server::start_with(database, |config| {
        config.registration = Registration::Statement;
        config.statement_issuers = vec![StatementIssuer {
            issuer: ISSUER.to_owned(),
            jwks_uri: None,
            jwks: Some(jwks),
        }];
    })
    .await;
    a_statement_registers_and_stands_above_what_the_app_says(&server, &own).await;
    server.stop().await;
}

#[tokio::test]
async fn a_statement_registers_an_app_on_sqlite() {
    statements(Database::Sqlite).await;
}

#[tokio::test]
async fn a_statement_registers_an_app_on_postgres() {
    if Database::Postgres.is_there() {
        statements(Database::Postgres).await;
    }
}

#[tokio::test]
async fn nobody_registers_themselves_where_registration_is_closed() {
    let server = Server::start_with(Database::Sqlite, |config| {
        config.registration = Registration::Closed
    })
    .await;
    let request = server.http.post(server.url("/auth/register"));
    let response = request.json(&json!({})).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let request = server
        .http
        .get(server.url("/.well-known/openid-configuration"));
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("registration_endpoint"));
    server.stop().await;
}
