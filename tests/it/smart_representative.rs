//! Who acts for a patient does so as long as the record says so, at every endpoint.

use candor::smart::authenticate;
use candor::smart::clients::ClientKind;
use candor::smart::users::Role;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};

use crate::smart_support::{App, Browser, PASSWORD, Server, SmartTokens, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// What the endpoints say of the tokens: access token, its introspection, that of the refresh token,
/// userinfo.
async fn alive(server: &Server, app: &App, tokens: &SmartTokens) -> [bool; 4] {
    let introspected = async |token: &str| {
        let response = server
            .http
            .post(server.url("/auth/introspect"))
            .basic_auth(app.client.client_id().as_str(), app.secret.as_deref())
            .form(&[("token", token)])
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        answer["active"] == true
    };
    let access = tokens.access_token().secret();
    let userinfo = server
        .http
        .get(server.url("/auth/userinfo"))
        .bearer_auth(access)
        .send()
        .await
        .unwrap();
    [
        authenticate(&server.state, access).await.is_ok(),
        introspected(access).await,
        introspected(tokens.refresh_token().unwrap().secret()).await,
        userinfo.status() == 200,
    ]
}

each_smart_database! {
async fn authority_that_ended_opens_nothing(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Confidential, ALL).await);
    let records = [("maya", Some("ana-mother"), "Maya Ruiz")];
    let user = server.add_user(Role::Representative, None, &records).await;
    server.load_related("ana-mother", "maya").await;
    let tokens = app
        .connect(server, &user, ALL, |form| form.set("long", "yes"))
        .await;
    assert_eq!(alive(server, &app, &tokens).await, [true; 4]);
    let related = |more: Value| {
        let mut person = json!({"resourceType": "RelatedPerson", "id": "ana-mother",
            "patient": {"reference": "Patient/maya"}});
        person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        person
    };
    for ended in [
        json!({"active": false}),
        json!({"period": {"end": "2020"}}),
        // The same person, about somebody else now.
        json!({"patient": {"reference": "Patient/ben"}}),
    ] {
        server.load(related(ended.clone())).await;
        assert_eq!(alive(server, &app, &tokens).await, [false; 4], "{ended}");
        let refused = app.refresh(tokens.refresh_token().unwrap(), "").await;
        assert!(refused.unwrap_err().contains("invalid_grant"), "{ended}");
    }
    // A refused refresh costs nothing: authority may come back.
    server.load(related(json!({}))).await;
    assert_eq!(alive(server, &app, &tokens).await, [true; 4]);
    app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
}

async fn whose_authority_ended_learns_nothing_new_and_can_turn_the_app_off(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Confidential, ALL).await);
    let user = server
        .add_user(Role::Representative, None, &[("maya", Some("for-maya"), "")])
        .await;
    let named = async |family: &str| {
        let name = json!([{"family": family, "given": ["Maya"]}]);
        server.load(json!({"resourceType": "Patient", "id": "maya", "name": name})).await;
    };
    named("Ruiz").await;
    server.load_related("for-maya", "maya").await;
    let tokens = app
        .connect(server, &user, ALL, |form| form.set("long", "yes"))
        .await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let before = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert!(before.body.contains("Maya Ruiz") && before.body.contains("Until you turn it off"));
    let (_, grant) = before.body.split_once("/apps/change?grant=").unwrap();
    let change = format!("/apps/change?grant={}", grant.split('"').next().unwrap());
    let page = browser.open(&server.url(&change)).await.page();
    assert!(page.body.contains("Maya Ruiz"));
    let narrow = page.form("/apps/change");

    // The family moves away from them.
    server
        .load(json!({"resourceType": "RelatedPerson", "id": "for-maya", "active": false,
            "patient": {"reference": "Patient/maya"}}))
        .await;
    named("Hidden").await;
    let apps = browser.open(&server.url("/apps")).await.page();
    assert!(apps.body.contains("do not act for this person"), "{}", apps.body);
    for gone in ["Maya", "Hidden", "Until you turn it off", "/apps/change"] {
        assert!(!apps.body.contains(gone), "{gone}: {}", apps.body);
    }
    let away = browser.open(&server.url(&change)).await.page();
    assert_eq!(away.url.path(), "/apps");
    assert!(!away.body.contains("Hidden"));
    assert_eq!(browser.submit(&narrow).await.page().url.query(), None);
    browser.submit(&apps.form("/apps")).await.page();
    server.load_related("for-maya", "maya").await;
    assert_eq!(alive(server, &app, &tokens).await, [false; 4]);
}

async fn only_records_that_may_be_opened_now_are_offered(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let records = [
        ("maya", Some("for-maya"), "Maya Ruiz"),
        ("ben", Some("for-ben"), "Ben Otis"),
        ("eve", Some("never-written"), "Eve Lang"),
    ];
    let user = server.add_user(Role::Representative, None, &records).await;
    server.load_related("for-maya", "maya").await;
    server.load_related("for-ben", "ben").await;
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let page = browser.to_consent(&sent, &user).await;
    assert!(page.body.contains("Maya Ruiz") && page.body.contains("Ben Otis"));
    assert!(!page.body.contains("Eve Lang"));
    let mut form = page.form("/auth/record");
    form.set("patient", "eve");
    assert_eq!(browser.submit(&form).await.page().status, 400);
    form.set("patient", "ben");
    let mut consent = browser.submit(&form).await.page().form("/auth/consent");
    consent.set("action", "allow");
    // It ends between the page and its answer.
    server.load_related("for-ben", "maya").await;
    let page = browser.submit(&consent).await.page();
    assert_eq!(page.status, 403);
    let answer = Browser::link_back(&page).answer();
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], *sent.state.secret());
}

async fn whoever_opens_no_record_goes_back_to_the_app(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let records = [("maya", Some("never-written"), "Maya Ruiz")];
    let user = server.add_user(Role::Representative, None, &records).await;
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(page.status, 403);
    assert!(page.body.contains("no record to connect"), "{}", page.body);
    let answer = Browser::link_back(&page).answer();
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["iss"], server.public);
}
}
