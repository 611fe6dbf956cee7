//! The page of connected apps: what it shows, and how less takes effect.

use candor::smart::clients::{self, ClientKind};
use candor::smart::facts::Facts;
use candor::smart::{authenticate, note_read, sweep, write_reads};
use oauth2::TokenResponse as _;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::smart_support::{App, Browser, PASSWORD, Page, Server, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const DAY: i64 = 86_400_000;

/// The page of apps, after signing in.
async fn apps(server: &Server, browser: &Browser, username: &str) -> Page {
    let page = browser.open(&server.url("/apps")).await.page();
    // Idle for too long: the page says so, and leads to the sign-in.
    let page = match page.url.path() {
        "/signed-out" => browser
            .open(&server.url("/login?next=%2Fapps"))
            .await
            .page(),
        _ => page,
    };
    if page.url.path() == "/login" {
        return browser.sign_in(&page, username, PASSWORD).await.page();
    }
    page
}

/// The address of the first link to a path.
fn link(page: &Page, path: &str) -> String {
    let (_, rest) = page.body.split_once(&format!("href=\"{path}")).unwrap();
    format!("{path}{}", rest.split('"').next().unwrap())
}

each_smart_database! {
async fn an_app_sees_less_from_its_next_request_on(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let tokens = app.connect(server, &user, ALL, |form| form.set("long", "yes")).await;
    let token = tokens.access_token().secret();
    let scopes = async || {
        let viewer = authenticate(&server.state, token).await.unwrap();
        viewer.scopes.as_str().to_owned()
    };
    assert!(scopes().await.contains("patient/Condition.rs"));
    let browser = Browser::new(server);
    let page = apps(server, &browser, &user.username).await;
    let change = link(&page, "/apps/change?grant=");
    let page = browser.open(&server.url(&change)).await.page();
    let mut form = page.form("/apps/change");
    // All that was granted is ticked, and nothing can be added.
    assert!(form.unticked.iter().all(|(_, value)| value.contains('?')), "{:?}", form.unticked);
    form.only(&["Goal"]);
    form.tick("allow", "Task");
    form.tick("allow", "Goal!write");
    let laboratory = "Observation?category=http://terminology.hl7.org/CodeSystem/\
        observation-category|laboratory";
    form.tick("allow", laboratory);
    let after = browser.submit(&form).await.page();
    assert!(after.body.contains("sees only what you left ticked"), "{}", after.body);
    let now = scopes().await;
    assert!(now.contains("patient/Goal.rs") && now.contains("laboratory"), "{now}");
    for gone in ["Condition", "Task", "patient/Observation.rs ", "cud"] {
        assert!(!now.contains(gone), "{gone}: {now}");
    }
    // A refresh gets no more, and does not get it back.
    let more = app.refresh(tokens.refresh_token().unwrap(), "patient/Condition.rs").await;
    assert!(more.unwrap_err().contains("invalid_scope"));
    let next = app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    assert!(!next.scopes().unwrap().iter().any(|scope| scope.contains("Condition")));

    // Not without the person any more: refresh tokens are gone, this hour's token works.
    let mut form = browser.open(&server.url(&change)).await.page().form("/apps/change");
    form.fields.retain(|(name, _)| name != "long");
    browser.submit(&form).await.page();
    let refused = app.refresh(next.refresh_token().unwrap(), "").await;
    assert!(refused.unwrap_err().contains("invalid_grant"));
    assert!(authenticate(&server.state, next.access_token().secret()).await.is_ok());

    // Nothing at all is what "remove" is for; and another person's app is nobody's.
    let mut form = browser.open(&server.url(&change)).await.page().form("/apps/change");
    form.only(&["nothing"]);
    form.fields.retain(|(name, _)| name != "identity");
    let page = browser.submit(&form).await.page();
    // The front page of the record stays needed, so that this is still an answer.
    assert_eq!(page.url.path(), "/apps");
    let stranger = Browser::new(server);
    let other = server.add_patient().await;
    apps(server, &stranger, &other.username).await;
    let page = stranger.open(&server.url(&change)).await.page();
    assert_eq!(page.url.path(), "/apps");
}

async fn the_page_says_what_was_read_last_and_no_read_costs_a_write(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let tokens = app.connect(server, &user, ALL, |_| ()).await;
    let token = tokens.access_token().secret();
    let browser = Browser::new(server);
    assert!(apps(server, &browser, &user.username).await.body.contains("Nothing yet"));
    let written = async || {
        let row = sea_orm::Statement::from_string(
            server.store.backend(),
            "SELECT COUNT(*) FROM auth_grant WHERE read IS NOT NULL",
        );
        let row = server.store.reader().query_one_raw(row).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    for path in ["/Observation?patient=ana", "/Observation/x", "/Patient/ana/MedicationRequest"] {
        note_read(&server.state, token, path.split('?').next().unwrap());
    }
    assert_eq!(written().await, 0);
    write_reads(&server.state).await.unwrap();
    assert_eq!(written().await, 1);
    let body = apps(server, &browser, &user.username).await.body;
    assert!(body.contains(": Test results, Medicines and allergies"), "{body}");
    // Half an hour later it is the same visit; what nobody granted is nobody's.
    server.advance(DAY / 48);
    note_read(&server.state, token, "/Goal");
    note_read(&server.state, "no such token", "/Goal");
    write_reads(&server.state).await.unwrap();
    let body = apps(server, &browser, &user.username).await.body;
    assert!(
        body.contains(": Test results, Medicines and allergies, Care team"),
        "{body}"
    );
    note_read(&server.state, token, "/Patient/ana/$everything");
    let body = apps(server, &browser, &user.username).await.body;
    assert!(body.contains("Everything it may see"), "{body}");
}

async fn a_year_ends_for_a_token_that_was_just_used(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let mut tokens = app.connect(server, &user, ALL, |form| form.set("long", "year")).await;
    // Used all along, so that nothing but the year is over.
    for _ in 0..6 {
        server.advance(60 * DAY);
        tokens = app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    }
    server.advance(5 * DAY - DAY / 144);
    let last = app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    let token = last.access_token().secret();
    assert!(authenticate(&server.state, token).await.is_ok());
    assert!(authenticate(&server.state, token).await.is_ok());
    server.advance(DAY / 72);
    assert!(authenticate(&server.state, token).await.is_err());
    assert!(app.refresh(last.refresh_token().unwrap(), "").await.is_err());
}

async fn what_ended_is_listed_for_twelve_months(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    app.connect(server, &user, ALL, |_| ()).await;
    server.advance(60_000);
    app.connect(server, &user, ALL, |form| form.set("long", "year")).await;
    let browser = Browser::new(server);
    let page = apps(server, &browser, &user.username).await;
    // The newest first.
    assert!(page.body.contains("if it is not used"), "{}", page.body);
    let after = browser.submit(&page.form("/apps")).await.page();
    assert!(after.body.contains("removed it on"), "{}", after.body);
    server.advance(2 * DAY);
    sweep(&server.state).await.unwrap();
    let body = apps(server, &browser, &user.username).await.body;
    assert!(body.contains("ended by itself on"), "{body}");
    assert!(!body.contains("name=\"grant\""));
    server.advance(364 * DAY);
    let body = apps(server, &browser, &user.username).await.body;
    assert!(!body.contains("last 12 months"), "{body}");
}

async fn the_directory_lists_what_was_verified_in_order_of_the_alphabet(server: Server) {
    let journal = server.add_client(ClientKind::Public, ALL).await;
    let request = server.http.post(server.url("/auth/register"));
    let unknown = json!({"client_name": "Aaa Unverified", "redirect_uris": ["https://a.example/"]});
    assert_eq!(request.json(&unknown).send().await.unwrap().status(), 201);
    let facts = Facts {
        maker: Some("Acme Inc".to_owned()),
        ..Facts::default()
    };
    clients::set_facts(&server.store, &journal.client_id, &facts).await.unwrap();
    let other = server.add_client(ClientKind::Public, ALL).await;
    server
        .sql(&format!(
            "UPDATE oauth_client SET name = 'anna' WHERE client_id = '{}'",
            other.client_id
        ))
        .await;
    let browser = Browser::new(server);
    let body = browser.open(&server.url("/apps/directory")).await.page().body;
    assert!(body.contains("Acme Inc") && body.contains("has not answered our questions"));
    assert!(!body.contains("Unverified"), "{body}");
    assert!(body.find("anna").unwrap() < body.find("Bone Journal").unwrap());
    clients::set_disabled(&server.store, &journal.client_id, true).await.unwrap();
    let body = browser.open(&server.url("/apps/directory")).await.page().body;
    assert!(!body.contains("Bone Journal"), "{body}");
}
}
