//! Staff open an app about a patient, where no EHR does it for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use candor::config::SecondFactor;
use candor::smart::authenticate;
use candor::smart::clients::{self, ClientKind, ClientOptions, NewClient};
use candor::smart::users::{self, NewUser, Role};
use candor::visibility::ViewerClass;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};

use crate::smart_support::{App, Browser, End, PASSWORD, REDIRECT, each_smart_database};
use crate::support::{Database, TestServer};

const SCOPE: &str = "openid fhirUser launch user/*.rs patient/Patient.rs";

each_smart_database! {
async fn a_clinician_opens_an_app_about_a_patient(server: Server) {
    for (id, given, number) in [("ana", "Ana", "MRN-1"), ("ben", "Ben", "MRN-2")] {
        let name = json!([{"family": "Ruiz", "given": [given]}]);
        let identifier = json!([{"system": "https://h.example/mrn", "value": number}]);
        server
            .load(json!({"resourceType": "Patient", "id": id, "name": name, "birthDate": "1980-02-01",
                "identifier": identifier}))
            .await;
        server
            .load(json!({"resourceType": "Encounter", "id": format!("visit-{id}"),
                "status": "finished", "class": {"code": "AMB"}, "period": {"start": "2026-11-02"},
                "subject": {"reference": format!("Patient/{id}")}}))
            .await;
    }
    let registered = clients::add(
        &server.store,
        NewClient {
            client_id: None,
            name: "Dose Helper".to_owned(),
            kind: ClientKind::Confidential,
            redirect_uris: vec![REDIRECT.to_owned()],
            keys: None,
            scope: SCOPE.to_owned(),
            class: ViewerClass::System,
            person: None,
            options: ClientOptions {
                launch_uri: Some("https://dose.example/launch?from=candor".to_owned()),
                ..ClientOptions::default()
            },
        },
    )
    .await
    .unwrap();
    // One that no EHR opens, and one that is shut out.
    server.add_client(ClientKind::Public, SCOPE).await;
    let clinician = server.add_user(Role::Clinician, Some("dr-lee"), &[]).await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/staff/launch")).await.page();
    let back = browser.sign_in(&login, &clinician.username, PASSWORD).await.page();
    assert_eq!(back.url.path(), "/staff/launch");
    let apps = browser.open(&server.url("/apps")).await.page();
    assert!(apps.body.contains("/staff/launch"));

    let page = browser.open(&server.url("/staff/launch")).await.page();
    let search = async |words: &str| {
        let mut form = page.form("/staff/launch");
        form.set("query", words);
        browser.submit(&form).await.page()
    };
    assert_eq!(search("").await.status, 400);
    for (words, expected) in [
        ("ruiz", vec!["ana", "ben"]),
        ("Ana Ruiz", vec!["ana"]),
        ("MRN-2", vec!["ben"]),
        ("a,b|c$d\\", vec![]),
        ("zzz", vec![]),
    ] {
        let found = search(words).await;
        assert_eq!(found.status, 200);
        assert_eq!(found.url.path(), "/staff/launch");
        assert_eq!(found.url.query(), None);
        for id in ["ana", "ben"] {
            let is_there = found.body.contains(&format!("value=\"{id}\""));
            assert_eq!(is_there, expected.contains(&id), "{words}: {id}");
        }
    }
    let mut form = page.form("/staff/launch");
    form.fields.retain(|(name, _)| name == "form");
    form.set("patient", "ana");
    let chosen = browser.submit(&form).await.page();
    assert!(chosen.body.contains("Dose Helper") && chosen.body.contains("visit-ana"));
    assert!(!chosen.body.contains("Bone Journal") && !chosen.body.contains("visit-ben"));
    form.set("action", "open");
    assert_eq!(browser.submit(&form).await.page().status, 400);
    form.set("app", &registered.client_id);
    form.set("encounter", "visit-ben");
    assert_eq!(browser.submit(&form).await.page().status, 400);
    form.set("encounter", "visit-ana");
    form.set("intent", "check-dose");
    let End::Away(opened) = browser.submit(&form).await else {
        panic!("no app was opened");
    };
    assert!(opened.as_str().starts_with("https://dose.example/launch?from=candor&iss="));
    let query: std::collections::HashMap<String, String> =
        opened.query_pairs().into_owned().collect();
    assert_eq!(query["iss"], server.fhir());

    // The app goes on as after any launch: no second sign-in, the patient of the chart.
    let app = App::new(server, &registered);
    let mut sent = app.start(SCOPE);
    sent.url.query_pairs_mut().append_pair("launch", &query["launch"]);
    let consent = browser.open(sent.url.as_str()).await.page();
    assert_eq!(consent.url.path(), "/auth/consent");
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    let answer = browser.submit(&form).await.answer();
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let fields = tokens.extra_fields();
    assert_eq!(fields.patient.as_deref(), Some("ana"));
    assert_eq!(fields.encounter.as_deref(), Some("visit-ana"));
    assert_eq!(fields.intent.as_deref(), Some("check-dose"));
    assert_eq!(fields.need_patient_banner, Some(false));
    let viewer = authenticate(&server.state, tokens.access_token().secret()).await.unwrap();
    assert_eq!(viewer.person.as_deref(), Some("Practitioner/dr-lee"));

    // It is no page for patients, and none without a form of ours.
    let patient = server.add_patient().await;
    let stranger = Browser::new(server);
    let login = stranger.open(&server.url("/login")).await.page();
    stranger.sign_in(&login, &patient.username, PASSWORD).await.page();
    assert_eq!(stranger.open(&server.url("/staff/launch")).await.page().status, 403);
    let mut form = page.form("/staff/launch");
    form.set("form", "forged");
    form.set("patient", "ana");
    assert_eq!(browser.submit(&form).await.page().status, 403);
}
}

/// 45 CFR 164.312(b): the same events as of an app that reads.
async fn what_staff_looked_up_is_noted(database: Database) {
    let server = TestServer::start_with(database, |config| {
        config.fhir.audit = true;
        config.smart.second_factor = SecondFactor::Optional;
    })
    .await;
    let token = server.system_token().await;
    for (path, resource) in [
        (
            "Patient/ana",
            json!({"resourceType": "Patient", "id": "ana", "name": [{"family": "Ruiz"}]}),
        ),
        (
            "Patient/ben",
            json!({"resourceType": "Patient", "id": "ben", "name": [{"family": "Otis"}]}),
        ),
        (
            "Practitioner/dr-lee",
            json!({"resourceType": "Practitioner", "id": "dr-lee"}),
        ),
        (
            "Encounter/visit",
            json!({"resourceType": "Encounter", "id": "visit", "status": "finished",
            "class": {"code": "AMB"}, "subject": {"reference": "Patient/ana"}}),
        ),
    ] {
        let request = server.client().put(server.fhir(path)).bearer_auth(&token);
        let answer = request.json(&resource).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }
    let store = &server.app().store;
    let add = async |role, practitioner: Option<&str>, username: &str| {
        let new = NewUser {
            username: username.to_owned(),
            name: String::new(),
            role,
            password: PASSWORD.to_owned(),
            practitioner: practitioner.map(str::to_owned),
            records: vec![],
        };
        users::add(store, new).await.unwrap()
    };
    add(Role::Clinician, Some("dr-lee"), "dr.lee").await;
    let desk = add(Role::Staff, None, "front.desk").await;
    let found = async |query: String| {
        let (status, bundle) = server.get(&token, &format!("AuditEvent?{query}")).await;
        assert_eq!(status, 200, "{bundle}");
        bundle["entry"].as_array().cloned().unwrap_or_default()
    };
    for (username, who) in [
        ("dr.lee", "agent=Practitioner/dr-lee".to_owned()),
        (
            "front.desk",
            format!("agent:identifier=%2Fstaff%2Flaunch%3Faccount%3D{}", desk.id),
        ),
    ] {
        let browser = Browser::at(&server.url(""));
        let login = browser
            .open(&server.url("/login?next=/staff/launch"))
            .await
            .page();
        let page = browser.sign_in(&login, username, PASSWORD).await.page();
        assert!(found(format!("{who}&type=rest")).await.is_empty());
        let mut form = page.form("/staff/launch");
        form.set("query", "Ruiz");
        assert!(
            browser
                .submit(&form)
                .await
                .page()
                .body
                .contains("value=\"ana\"")
        );
        // By name, and by number, which found nobody.
        let all = found(format!("{who}&type=rest")).await;
        assert_eq!(all.len(), 2, "{all:?}");
        let of_ana = found(format!("{who}&patient=Patient/ana")).await;
        assert_eq!(of_ana.len(), 1);
        let event = &of_ana[0]["resource"];
        let is_query = |one: &&Value| one["role"]["code"] == "24";
        let query = event["entity"]
            .as_array()
            .unwrap()
            .iter()
            .find(is_query)
            .unwrap();
        let query = BASE64.decode(query["query"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(query).unwrap(), "Patient?name=&_count=");
        let mut form = page.form("/staff/launch");
        form.set("patient", "ana");
        browser.submit(&form).await.page();
        // The patient, and the visits.
        assert_eq!(found(format!("{who}&patient=Patient/ana")).await.len(), 3);
        assert!(found(format!("{who}&patient=Patient/ben")).await.is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_staff_looked_up_is_noted_sqlite() {
    what_staff_looked_up_is_noted(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_staff_looked_up_is_noted_postgres() {
    if Database::Postgres.is_there() {
        what_staff_looked_up_is_noted(Database::Postgres).await;
    }
}
