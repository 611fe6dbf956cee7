//! Who may introspect whose tokens (RFC 7662 section 2.1; docs/authorization.md has the table).

use candor::smart::clients::{self, ClientError, ClientKeys, ClientKind, RegisteredClient};
use candor::smart::users::Role;
use jsonwebtoken::Algorithm;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};

use crate::smart_backend::{Key, ask, backend, claims, key, sign};
use crate::smart_support::{App, Browser, PASSWORD, Server, each_smart_database};

const PATIENT: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// How somebody presents themselves.
enum By<'a> {
    Basic(&'a RegisteredClient),
    Bearer(&'a str),
    Name(&'a RegisteredClient),
    Assertion(String),
    Nothing,
}

/// Status, and what is said.
async fn introspect(server: &Server, by: By<'_>, token: &str) -> (u16, Value) {
    let mut form = vec![("token", token.to_owned())];
    let mut request = server.http.post(server.url("/auth/introspect"));
    match by {
        By::Basic(client) => {
            request = request.basic_auth(&client.client_id, client.client_secret.as_ref());
        }
        By::Bearer(token) => request = request.bearer_auth(token),
        By::Name(client) => form.push(("client_id", client.client_id.clone())),
        By::Assertion(assertion) => {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            form.push(("client_assertion_type", kind.to_owned()));
            form.push(("client_assertion", assertion));
        }
        By::Nothing => {}
    }
    let response = request.form(&form).send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

async fn system(server: &Server) -> (Key, RegisteredClient, String) {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let client = backend(server, ClientKeys::Value(set), "system/*.rs").await;
    let assertion = sign(&own, "k1", &claims(server, &client));
    let (status, body) = ask(server, &assertion, "system/*.rs").await;
    assert_eq!(status, 200, "{body}");
    let token = body["access_token"].as_str().unwrap().to_owned();
    (own, client, token)
}

each_smart_database! {
async fn a_client_introspects_its_own_tokens_and_a_resource_server_all(server: Server) {
    let nothing = (200, json!({"active": false}));
    let patient = server.add_patient().await;
    let registered = server.add_client(ClientKind::Confidential, PATIENT).await;
    let tokens = App::new(server, &registered)
        .connect(server, &patient, PATIENT, |form| form.set("long", "yes"))
        .await;
    let access = tokens.access_token().secret();
    let refresh = tokens.refresh_token().unwrap().secret();
    let is_active = |answer: &(u16, Value)| answer.0 == 200 && answer.1["active"] == true;
    for token in [access, refresh] {
        // Its own: by its secret, and with its own token.
        let own = introspect(server, By::Basic(&registered), token).await;
        assert!(is_active(&own), "{own:?}");
        assert_eq!(own.1["client_id"], registered.client_id.as_str());
        assert!(is_active(&introspect(server, By::Bearer(access), token).await));
        // Another client's: never, with its secret or as a person who works here.
        let other = server.add_client(ClientKind::Confidential, PATIENT).await;
        assert_eq!(introspect(server, By::Basic(&other), token).await, nothing);
    }
    // Whoever the person is: their token is in the hands of an app.
    for role in [Role::Staff, Role::Auditor, Role::Admin, Role::Clinician] {
        let desk = server.add_client(ClientKind::Public, "openid user/*.rs").await;
        let person = server.add_user(role, Some("somebody"), &[]).await;
        let tokens = App::new(server, &desk)
            .connect(server, &person, "openid user/*.rs", |_| ())
            .await;
        let bearer = tokens.access_token().secret();
        assert_eq!(introspect(server, By::Bearer(bearer), access).await, nothing, "{role:?}");
        assert!(is_active(&introspect(server, By::Bearer(bearer), bearer).await));
    }
    // A backend that nobody let in sees its own alone.
    let (own, feed, bearer) = system(server).await;
    let assertion = || sign(&own, "k1", &claims(server, &feed));
    assert_eq!(introspect(server, By::Bearer(&bearer), access).await, nothing);
    assert_eq!(introspect(server, By::Assertion(assertion()), access).await, nothing);
    assert!(is_active(&introspect(server, By::Assertion(assertion()), &bearer).await));
    // Let in, it sees all, by its key and with a token that it got for itself; then no longer.
    assert!(clients::set_introspects(&server.store, &feed.client_id, true).await.unwrap());
    for token in [access, refresh] {
        assert!(is_active(&introspect(server, By::Bearer(&bearer), token).await));
        assert!(is_active(&introspect(server, By::Assertion(assertion()), token).await));
    }
    assert_eq!(introspect(server, By::Bearer(&bearer), "unknown").await, nothing);
    assert!(clients::set_introspects(&server.store, &feed.client_id, false).await.unwrap());
    assert_eq!(introspect(server, By::Bearer(&bearer), access).await, nothing);
}

async fn a_resource_server_that_people_use_sees_all_by_its_secret_alone(server: Server) {
    let patient = server.add_patient().await;
    let app = server.add_client(ClientKind::Public, PATIENT).await;
    let tokens = App::new(server, &app).connect(server, &patient, PATIENT, |_| ()).await;
    let access = tokens.access_token().secret();
    let gateway = server.add_client(ClientKind::Confidential, PATIENT).await;
    clients::set_introspects(&server.store, &gateway.client_id, true).await.unwrap();
    let own = App::new(server, &gateway).connect(server, &patient, PATIENT, |_| ()).await;
    let (status, body) = introspect(server, By::Basic(&gateway), access).await;
    assert_eq!((status, &body["client_id"]), (200, &json!(app.client_id)));
    // What it got from a person has been on that person's device.
    let bearer = own.access_token().secret();
    let nothing = (200, json!({"active": false}));
    assert_eq!(introspect(server, By::Bearer(bearer), access).await, nothing);
    // Shut out, it sees nothing at all.
    clients::set_disabled(&server.store, &gateway.client_id, true).await.unwrap();
    assert_eq!(introspect(server, By::Basic(&gateway), access).await.0, 401);
    assert_eq!(introspect(server, By::Bearer(bearer), access).await.0, 401);
}

async fn what_was_made_less_is_told_of_both_tokens(server: Server) {
    let patient = server.add_patient().await;
    let registered = server.add_client(ClientKind::Confidential, PATIENT).await;
    let tokens = App::new(server, &registered)
        .connect(server, &patient, PATIENT, |form| form.set("long", "yes"))
        .await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let apps = browser.sign_in(&login, &patient.username, PASSWORD).await.page();
    let (_, grant) = apps.body.split_once("/apps/change?grant=").unwrap();
    let change = format!("/apps/change?grant={}", grant.split('"').next().unwrap());
    let mut form = browser.open(&server.url(&change)).await.page().form("/apps/change");
    form.only(&["Goal"]);
    form.fields.retain(|(name, _)| name != "identity");
    browser.submit(&form).await.page();
    let refresh = tokens.refresh_token().unwrap().secret();
    for token in [tokens.access_token().secret(), refresh] {
        let (_, told) = introspect(server, By::Basic(&registered), token).await;
        assert_eq!(told["active"], true);
        let scope = told["scope"].as_str().unwrap();
        assert!(scope.contains("patient/Goal.rs") && scope.contains("offline_access"), "{scope}");
        for gone in ["openid", "fhirUser", "Condition", "*"] {
            assert!(!scope.contains(gone), "{scope}");
        }
        assert_eq!(told.get("fhirUser"), None, "{told}");
    }
}

async fn who_proves_nothing_introspects_nothing(server: Server) {
    let patient = server.add_patient().await;
    let app = server.add_client(ClientKind::Public, PATIENT).await;
    let tokens = App::new(server, &app).connect(server, &patient, PATIENT, |_| ()).await;
    let access = tokens.access_token().secret();
    // A public client says its name: so can everybody.
    let (status, body) = introspect(server, By::Name(&app), access).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
    assert_eq!(introspect(server, By::Nothing, access).await.0, 401);
    let (status, body) = introspect(server, By::Bearer("made-up"), access).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_token")));
    // Nor is it let in by an operator's mistake, or by what stands in the database.
    let refused = clients::set_introspects(&server.store, &app.client_id, true).await;
    assert!(matches!(refused, Err(ClientError::Introspects)));
    server.sql("UPDATE oauth_client SET introspects = 1").await;
    assert_eq!(introspect(server, By::Name(&app), access).await.0, 401);
    let unknown = clients::set_introspects(&server.store, "nobody", true).await;
    assert!(!unknown.unwrap());
}

async fn every_401_names_a_way_to_authenticate(server: Server) {
    let client = server.add_client(ClientKind::Confidential, PATIENT).await;
    let public = server.add_client(ClientKind::Public, PATIENT).await;
    let assertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let forms: [Vec<(&str, &str)>; 4] = [
        vec![("token", "x"), ("grant_type", "authorization_code")],
        vec![("token", "x"), ("grant_type", "authorization_code"), ("client_id", "nobody")],
        vec![("token", "x"), ("grant_type", "authorization_code"), ("client_id", &client.client_id),
            ("client_secret", "wrong")],
        vec![("token", "x"), ("grant_type", "client_credentials"), ("client_assertion", "a.b.c"),
            ("client_assertion_type", assertion)],
    ];
    let mut asked = 0;
    for path in ["/auth/introspect", "/auth/revoke", "/auth/token"] {
        for form in &forms {
            let response = server.http.post(server.url(path)).form(form).send().await.unwrap();
            assert_eq!(response.status(), 401, "{path} {form:?}");
            assert_eq!(response.headers()["www-authenticate"], "Basic realm=\"candor\"", "{path} {form:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, 12);
    let form = [("token", "x"), ("client_id", public.client_id.as_str())];
    let response = server.http.post(server.url("/auth/introspect")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Basic realm=\"candor\"");
    let request = server.http.post(server.url("/auth/introspect")).bearer_auth("gone");
    let response = request.form(&[("token", "x")]).send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
}
}
