//! What a developer reads of an app: its use and the errors it met, without anything of a patient.

use candor::smart::users::Role;
use candor::smart::{Answer, note_answer, sweep, write_activity};
use candor::visibility::ViewerClass;
use oauth2::TokenResponse as _;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::smart_developers_change::{Made, SCOPE, make};
use crate::smart_support::{App, Browser, Page, Server, each_smart_database};
use crate::support::{Database, TestServer};

const DAY: i64 = 86_400_000;

async fn page(server: &Server, made: &Made) -> Page {
    let path = format!(
        "/developers/apps/activity?client={}",
        made.registered.client_id
    );
    made.browser.open(&server.url(&path)).await.page()
}

/// How often a text stands in a page.
fn times(page: &Page, text: &str) -> usize {
    page.body.matches(text).count()
}

each_smart_database! {
async fn a_developer_reads_use_and_errors_of_an_app(server: Server) {
    let made = make(server, "secret").await;
    let app = App::new(server, &made.registered);
    let empty = page(server, &made).await;
    assert!(empty.body.contains("It was not used") && empty.body.contains("There were none"));
    assert!(empty.body.contains("fewer than 5 people"));

    let mut token = String::new();
    for _ in 0..4 {
        let user = server.add_patient().await;
        let tokens = app.connect(server, &user, SCOPE, |_| ()).await;
        token = tokens.access_token().secret().clone();
    }
    let ok = Answer { status: 200, code: None, interaction: Some("read"), request_id: None };
    for _ in 0..3 {
        note_answer(&server.state, None, || Some(&token), &ok);
    }
    // Four are nobody's to count; five are.
    let shown = page(server, &made).await;
    assert!(shown.body.contains("fewer than 5 people"));
    assert!(shown.body.contains(">4</td><td class=\"number\">3</td>"), "{}", shown.body);
    let user = server.add_patient().await;
    app.connect(server, &user, SCOPE, |_| ()).await;
    // Other processes add to the same day.
    note_answer(&server.state, None, || Some(&token), &ok);
    let shown = page(server, &made).await;
    assert!(shown.body.contains("for 5 people"));
    assert!(shown.body.contains(">5</td><td class=\"number\">4</td>"), "{}", shown.body);

    // A token request with another secret, one with a code that is none, one without a grant type.
    let id = made.registered.client_id.as_str();
    let secret = made.registered.client_secret.as_deref().unwrap();
    let wrong = [("grant_type", "authorization_code"), ("client_id", id), ("client_secret", "x")];
    assert_eq!(server.token(&wrong).await.0, 401);
    let stale = [
        ("grant_type", "authorization_code"), ("client_id", id), ("client_secret", secret),
        ("code", "ana-ruiz-mrn-12345"), ("redirect_uri", "https://app.example/done"),
        ("code_verifier", "0123456789012345678901234567890123456789012"),
    ];
    assert_eq!(server.token(&stale).await.0, 400);
    assert_eq!(server.token(&[("client_id", id)]).await.0, 400);
    // A page without a way back, and a redirect that says no.
    let browser = Browser::new(server);
    let mut sent = app.start(SCOPE).url;
    let elsewhere = sent.as_str().replace("app.example", "evil.example");
    let refused = browser.open(&elsewhere).await.page();
    assert_eq!(refused.status, 400);
    sent.query_pairs_mut().append_pair("prompt", "none");
    let answer = browser.open(sent.as_str()).await.answer();
    assert_eq!(answer["error"], "login_required");
    // The FHIR API's, by the code of the outcome.
    for (status, code) in [(404, "not-found"), (403, "forbidden"), (500, "exception")] {
        let answer = Answer { status, code: Some(code), interaction: Some("read"), request_id: None };
        note_answer(&server.state, None, || Some(&token), &answer);
    }
    let shown = page(server, &made).await;
    for code in [
        "401 invalid_client", "400 invalid_grant", "400 invalid_request", "400 login_required",
        "404 not-found", "403 forbidden",
    ] {
        assert!(times(&shown, code) >= 1, "{code}: {}", shown.body);
    }
    assert_eq!(times(&shown, "exception"), 0);
    // The reference is the one on the page that the person saw.
    let (_, rest) = refused.body.split_once("reference <strong>").unwrap();
    let reference = rest.split('<').next().unwrap();
    assert!(!reference.is_empty() && shown.body.contains(reference), "{}", refused.body);
    // Nothing that was sent stands there.
    for sent in ["ana-ruiz", "12345", "evil.example"] {
        assert_eq!(times(&shown, sent), 0, "{sent}");
    }
}

async fn of_errors_the_newest_stay_and_after_a_month_none(server: Server) {
    let made = make(server, "public").await;
    let id = made.registered.client_id.as_str();
    for _ in 0..12 {
        for _ in 0..20 {
            server.token(&[("client_id", id), ("grant_type", "password")]).await;
        }
        write_activity(&server.state).await.unwrap();
        server.advance(60_000);
    }
    // Whom nobody registered has no log.
    server.token(&[("client_id", "nobody"), ("grant_type", "password")]).await;
    let shown = page(server, &made).await;
    assert_eq!(times(&shown, "unsupported_grant_type"), 200);
    assert_eq!(server.count("SELECT COUNT(*) FROM app_error").await, 200);
    server.sql(&format!(
        "INSERT INTO app_usage (client_id, day, tokens, requests) VALUES ('{id}', '2020-01-01', 1, 1)"
    )).await;
    server.advance(31 * DAY);
    sweep(&server.state).await.unwrap();
    assert_eq!(server.count("SELECT COUNT(*) FROM app_error").await, 0);
    assert_eq!(server.count("SELECT COUNT(*) FROM app_usage").await, 0);
}

async fn the_log_of_an_app_is_its_developers_alone(server: Server) {
    let made = make(server, "public").await;
    let other = make(server, "public").await;
    let path = format!("/developers/apps/activity?client={}", made.registered.client_id);
    let elsewhere = other.browser.open(&server.url(&path)).await.page();
    assert_eq!(elsewhere.url.path(), "/developers/apps");
    assert!(!elsewhere.body.contains(&made.registered.client_id));
    let user = server.add_user(Role::Admin, None, &[]).await;
    let admin = crate::smart_developers_change::sign_in(server, &user).await;
    assert_eq!(admin.open(&server.url(&path)).await.page().status, 403);
}
}

/// Through the whole server: what the FHIR API refuses is noted with the code of its outcome, the interaction
/// and the id of the request in the log, and with nothing of the address.
async fn refusals_of_the_fhir_api_are_noted(database: Database) {
    let server = TestServer::start(database).await;
    let person = Some("Patient/ana");
    let (client, token) = server
        .client_and_token(
            ViewerClass::Patient,
            person,
            Some("ana"),
            "patient/Patient.rs",
        )
        .await;
    let (status, _) = server.get(&token, "Patient/nobody-of-that-name").await;
    assert_eq!(status, 404);
    let (status, _) = server.get(&token, "Observation?patient=ana").await;
    assert_eq!(status, 403);
    let own = server
        .client()
        .get(server.fhir("Patient?birthdate=no-such-day"))
        .bearer_auth(&token)
        .header("x-request-id", "mrn-12345")
        .send()
        .await
        .unwrap();
    assert_eq!(own.status().as_u16(), 400);
    write_activity(server.smart()).await.unwrap();
    let store = &server.app().store;
    let text = async |select: &str| {
        let statement = Statement::from_string(store.backend(), select);
        let rows = store.reader().query_all_raw(statement).await.unwrap();
        let of = |row: &sea_orm::QueryResult| {
            let columns = (0..).map_while(|at| row.try_get_by_index::<String>(at).ok());
            columns.collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(of).collect::<Vec<_>>()
    };
    let mut errors =
        text("SELECT client_id, endpoint, code, words FROM app_error ORDER BY code").await;
    errors
        .iter_mut()
        .for_each(|error| *error = error.replace(&client, "app"));
    assert_eq!(
        errors,
        [
            "app fhir forbidden search-type",
            "app fhir not-found read",
            "app fhir value search-type",
        ]
    );
    let references = text("SELECT reference FROM app_error WHERE reference IS NOT NULL").await;
    assert_eq!(references.len(), 2, "{references:?}");
    let all =
        text("SELECT id, client_id, endpoint, code, words, COALESCE(reference, '') FROM app_error");
    let all = all.await.concat();
    for sent in ["nobody-of", "ana", "no-such-day", "mrn"] {
        assert!(!all.contains(sent), "{sent}: {all}");
    }
    let requests = text("SELECT CAST(requests AS TEXT) FROM app_usage").await;
    assert_eq!(requests, ["3"]);
    server.stop().await;
}

#[tokio::test]
async fn refusals_of_the_fhir_api_are_noted_on_sqlite() {
    refusals_of_the_fhir_api_are_noted(Database::Sqlite).await;
}

#[tokio::test]
async fn refusals_of_the_fhir_api_are_noted_on_postgres() {
    if Database::Postgres.is_there() {
        refusals_of_the_fhir_api_are_noted(Database::Postgres).await;
    }
}
