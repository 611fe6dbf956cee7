//! The pages for the makers of apps.

use candor::config::{Registration, SandboxPatient};
use candor::smart::clients::{self, RegisteredClient};
use candor::smart::registrations;
use candor::smart::users::Role;
use jiff::tz::TimeZone;

use crate::smart_support::{App, Browser, PASSWORD, Page, REDIRECT, Server};
use crate::support::Database;

async fn sign_in(server: &Server, browser: &Browser, role: Role) -> Page {
    let user = server.add_user(role, None, &[]).await;
    let login = browser.open(&server.url("/developers/apps")).await.page();
    assert_eq!(login.url.path(), "/login");
    browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page()
}

/// What stands after a label of the page.
fn after(page: &Page, label: &str) -> String {
    let (_, rest) = page
        .body
        .split_once(&format!("<dt>{label}</dt><dd class=\"code\">"))
        .unwrap_or_else(|| panic!("no {label} in {}", page.body));
    rest.split('<').next().unwrap().to_owned()
}

async fn fill(server: &Server, browser: &Browser, kind: &str) -> Page {
    let page = browser
        .open(&server.url("/developers/apps/new"))
        .await
        .page();
    let mut form = page.form("/developers/apps/new");
    form.set("name", "Bone Journal");
    form.set("maker", "Acme Inc");
    form.set("kind", kind);
    form.set("sells_data", "no");
    form.set(
        "redirect_uris",
        &format!("{REDIRECT}\r\nhttp://127.0.0.1/done"),
    );
    form.set("scope", "launch/patient patient/*.rs");
    browser.submit(&form).await.page()
}

async fn developers_register_apps_and_replace_secrets(database: Database) {
    let server = Server::start(database).await;
    let browser = Browser::new(&server);
    let page = sign_in(&server, &browser, Role::Developer).await;
    assert_eq!(page.url.path(), "/developers/apps");
    let page = fill(&server, &browser, "secret").await;
    assert_eq!(page.status, 201, "{}", page.body);
    let id = after(&page, "client_id");
    let mut registered = RegisteredClient {
        client_id: id.clone(),
        client_secret: Some(after(&page, "client_secret")),
        client_name: String::new(),
        token_endpoint_auth_method: "",
        grant_types: vec![],
        redirect_uris: vec![],
        scope: String::new(),
    };
    let user = server.add_patient().await;
    // It works at once, with what people read of it.
    let app = App::new(&server, &registered);
    app.connect(&server, &user, "launch/patient patient/Goal.rs", |_| ())
        .await;
    let told = Browser::new(&server)
        .to_consent(&app.start("patient/Goal.rs"), &user)
        .await;
    assert!(
        told.body.contains("Acme Inc") && told.body.contains("Does it sell your data?</dt><dd>No")
    );

    // A new secret, shown once; the old one is dead.
    let list = browser.open(&server.url("/developers/apps")).await.page();
    assert!(list.body.contains("Works") && list.body.contains(&id));
    let old = registered.client_secret.take().unwrap();
    assert!(!list.body.contains(&old));
    let mut form = list.form("/developers/apps");
    let page = browser.submit(&form).await.page();
    let (_, rest) = page.body.split_once("<p class=\"code\">").unwrap();
    let fresh = rest.split('<').next().unwrap().to_owned();
    let client = clients::find(server.store.reader(), &id)
        .await
        .unwrap()
        .unwrap();
    assert!(client.has_secret(&fresh) && !client.has_secret(&old));
    assert!(
        !browser
            .open(&server.url("/developers/apps"))
            .await
            .page()
            .body
            .contains(&fresh)
    );

    // Another developer's app is not there, nor is another's form.
    let other = Browser::new(&server);
    let page = sign_in(&server, &other, Role::Developer).await;
    assert!(!page.body.contains(&id));
    let token = page.form("/logout").fields[0].1.clone();
    form.set("form", &token);
    let page = other.submit(&form).await.page();
    assert!(!page.body.contains("class=\"done\""), "{}", page.body);
    let client = clients::find(server.store.reader(), &id)
        .await
        .unwrap()
        .unwrap();
    assert!(client.has_secret(&fresh));

    // What cannot be is named, and what was typed stands.
    let page = browser
        .open(&server.url("/developers/apps/new"))
        .await
        .page();
    let mut form = page.form("/developers/apps/new");
    form.set("name", "Bone Journal");
    form.set("redirect_uris", "http://app.example/");
    form.set("scope", "system/*.rs");
    let page = browser.submit(&form).await.page();
    assert_eq!(page.status, 400);
    assert!(page.body.contains("value=\"Bone Journal\"") && page.body.contains("role=\"alert\""));

    // Patients have no business there; developers give apps nothing.
    let patient = Browser::new(&server);
    sign_in_as(&server, &patient, &user.username).await;
    assert_eq!(
        patient
            .open(&server.url("/developers/apps"))
            .await
            .page()
            .status,
        403
    );
    let page = browser
        .open(app.start("patient/Goal.rs").url.as_str())
        .await
        .page();
    assert_eq!(page.status, 403);
    assert_eq!(Browser::link_back(&page).answer()["error"], "access_denied");
    server.stop().await;
}

async fn sign_in_as(server: &Server, browser: &Browser, username: &str) {
    let login = browser.open(&server.url("/login")).await.page();
    browser.sign_in(&login, username, PASSWORD).await.page();
}

#[tokio::test]
async fn developers_register_apps_and_replace_secrets_on_sqlite() {
    developers_register_apps_and_replace_secrets(Database::Sqlite).await;
}

#[tokio::test]
async fn developers_register_apps_and_replace_secrets_on_postgres() {
    if Database::Postgres.is_there() {
        developers_register_apps_and_replace_secrets(Database::Postgres).await;
    }
}

/// 45 CFR 170.404(b)(1): ten business days to verify, five more to enable.
#[tokio::test]
async fn where_registration_is_closed_an_app_waits_and_its_clock_is_seen() {
    let server = Server::start_with(Database::Sqlite, |config| {
        config.registration = Registration::Closed;
    })
    .await;
    let browser = Browser::new(&server);
    sign_in(&server, &browser, Role::Developer).await;
    let page = fill(&server, &browser, "public").await;
    assert_eq!(page.status, 201, "{}", page.body);
    let id = after(&page, "client_id");
    let list = async || {
        browser
            .open(&server.url("/developers/apps"))
            .await
            .page()
            .body
    };
    assert!(list().await.contains("We check who made it by"));
    let one = async || {
        let listed = registrations::list(&server.store, &TimeZone::UTC)
            .await
            .unwrap();
        listed.into_iter().find(|one| one.client_id == id).unwrap()
    };
    let clock = one().await;
    assert_eq!(
        (clock.origin.as_deref(), clock.is_enabled),
        (Some("developer"), false)
    );
    assert!(clock.verify_by.is_some() && clock.enable_by.is_none());
    assert!(
        registrations::set_verified(&server.store, &id)
            .await
            .unwrap()
    );
    assert!(list().await.contains("Checked. It works by"));
    assert!(one().await.enable_by.is_some());
    assert!(
        clients::set_disabled(&server.store, &id, false)
            .await
            .unwrap()
    );
    assert!(list().await.contains("Works"));
    let clock = one().await;
    assert!(clock.is_enabled && clock.enabled.is_some() && clock.enable_by.is_none());
    assert!(
        !registrations::set_verified(&server.store, "nobody")
            .await
            .unwrap()
    );
    server.stop().await;
}

#[tokio::test]
async fn everybody_reads_the_documentation() {
    let server = Server::start_with(Database::Sqlite, |config| {
        config.sandbox_patients = vec![SandboxPatient {
            name: "Ana Ruiz".to_owned(),
            username: "ana".to_owned(),
            password: "a fictional password".to_owned(),
            about: "A pathology report waits 72 hours.".to_owned(),
        }];
    })
    .await;
    let browser = Browser::new(&server);
    let page = browser.open(&server.url("/developers")).await.page();
    for part in [
        server.fhir(),
        server.url("/auth/token"),
        server.url("/auth/register"),
        "invalid_grant".to_owned(),
        "10 business days".to_owned(),
        "a fictional password".to_owned(),
        server.url("/service-base-urls.json"),
        "429, 503".to_owned(),
        "Prefer: withheld-notice".to_owned(),
        "We do not count FHIR requests".to_owned(),
    ] {
        assert!(page.body.contains(&part), "{part}");
    }
    let changes = browser
        .open(&server.url("/developers/changes"))
        .await
        .page();
    assert!(
        changes
            .body
            .contains("<ul lang=\"en\" class=\"wide\">\n<li>")
            && changes.body.contains("Unreleased")
    );
    assert!(!changes.body.contains("**"), "{}", changes.body);
    let page = browser.open(&server.url("/developers/scopes")).await.page();
    for part in [
        "patient/Condition.rs?category=",
        "Prescriptions",
        "since",
        "Task",
    ] {
        assert!(
            page.body.to_lowercase().contains(&part.to_lowercase()),
            "{part}"
        );
    }
    let page = browser
        .open(&server.url("/developers/scopes?lang=es"))
        .await
        .page();
    assert!(page.body.contains("Recetas"));
    server.stop().await;
}
