//! The index built again: on request, from a killed command, after a release that extracts
//! differently, and with two servers on one database.

use std::process::Stdio;
use std::time::Duration;

use candor::app::Server;
use candor::clock::Clock;
use candor::config::Config;
use candor::store::{Store, StoreError, StoreOptions};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};

use crate::search_parameter::parameter;
use crate::support::{Database, T0, TestDatabase, candor as program, each_database};

const TABLES: [&str; 8] = [
    "idx_token",
    "idx_string",
    "idx_date",
    "idx_number",
    "idx_quantity",
    "idx_uri",
    "idx_reference",
    "idx_composite",
];

async fn run(store: &Store, sql: &str) {
    // Begun through the store, so that SQLite's one writer is asked.
    let tx = store.begin().await.unwrap();
    let statement = Statement::from_string(store.backend(), sql);
    tx.connection().execute_raw(statement).await.unwrap();
    tx.commit().await.unwrap();
}

async fn counts(store: &Store) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let statement = Statement::from_string(store.backend(), sql);
        let row = store.reader().query_one_raw(statement).await.unwrap();
        counts.push(row.unwrap().try_get_by_index(0).unwrap());
    }
    counts
}

/// A transaction of results of one patient.
fn results(count: usize) -> Value {
    let mut entries = vec![json!({
        "resource": {"resourceType": "Patient", "id": "p", "name": [{"family": "Ruiz"}]},
        "request": {"method": "PUT", "url": "Patient/p"}})];
    for number in 0..count {
        let id = format!("o{number}");
        entries.push(json!({
            "resource": {"resourceType": "Observation", "id": id, "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}], "text": "Hemoglobin"},
                "subject": {"reference": "Patient/p"}, "effectiveDateTime": "2026-11-10T14:00:00Z",
                "valueQuantity": {"value": number, "unit": "g/dL", "system": "http://unitsofmeasure.org",
                    "code": "g/dL"}},
            "request": {"method": "PUT", "url": format!("Observation/{id}")}}));
    }
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

async fn send(
    method: reqwest::Method,
    url: String,
    token: &str,
    body: &Value,
) -> reqwest::Response {
    let request = reqwest::Client::new()
        .request(method, url)
        .bearer_auth(token);
    let request = if body.is_null() {
        request
    } else {
        request.json(body)
    };
    request.send().await.unwrap()
}

/// Asks until the answer is no longer 202.
async fn settled(base: &str, path: &str, token: &str) -> Value {
    for _ in 0..600 {
        let url = format!("{base}/{path}");
        let answer = send(reqwest::Method::GET, url, token, &Value::Null).await;
        if answer.status() != 202 {
            assert_eq!(answer.status(), 200);
            return answer.json().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} is never done");
}

each_database! {
    async fn on_request_rows_that_are_missing_come_back_and_none_stands_twice(server: TestServer) {
        let token = server.system_token().await;
        let base = server.fhir("");
        let base = base.trim_end_matches('/');
        let post = reqwest::Method::POST;
        let sent = send(post.clone(), base.to_owned(), &token, &results(300)).await;
        assert_eq!(sent.status(), 200);
        let store = &server.app().store;
        let before = counts(store).await;
        run(store, "DELETE FROM idx_token WHERE param > 0 AND id % 32 = 0").await;
        run(store, "DELETE FROM idx_string").await;
        let (_, found) = server.get(&token, "Observation?code:text=hemo&_summary=count").await;
        assert_eq!(found["total"], 0);
        let kicked = send(post.clone(), format!("{base}/$reindex"), &token, &Value::Null).await;
        assert_eq!(kicked.status(), 202);
        let status = kicked.headers()["content-location"].to_str().unwrap().to_owned();
        let status = status.strip_prefix(base).unwrap().trim_start_matches('/').to_owned();
        let done = settled(base, &status, &token).await;
        assert!(done.to_string().contains("finished"), "{done}");
        assert_eq!(counts(store).await, before);
        let (_, found) = server.get(&token, "Observation?code:text=hemo&_summary=count").await;
        assert_eq!(found["total"], 300);
        // Some types alone; not for everybody; nonsense is named.
        let only = json!({"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Patient"}]});
        assert_eq!(send(post.clone(), format!("{base}/$reindex"), &token, &only).await.status(), 202);
        let wrong = json!({"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Human"}]});
        assert_eq!(send(post.clone(), format!("{base}/$reindex"), &token, &wrong).await.status(), 400);
        let reader = server.token(candor::visibility::ViewerClass::System, None, None, "system/*.rs").await;
        assert_eq!(send(post, format!("{base}/$reindex"), &reader, &Value::Null).await.status(), 403);
        assert_eq!(server.get(&token, "$reindex-status?job=99").await.0, 404);
        settled(base, "$reindex-status", &token).await;
        assert_eq!(counts(store).await, before);
    }

    async fn two_servers_build_once_and_both_know(server: TestServer) {
        let (second, other) = server.second().await;
        let token = server.system_token().await;
        let base = server.fhir("");
        let base = base.trim_end_matches('/');
        let put = reqwest::Method::PUT;
        let person = |id: &str, gender: &str| json!({"resourceType": "Patient", "id": id,
            "maritalStatus": {"coding": [{"code": gender}]}});
        for id in ["a", "b"] {
            let url = format!("{base}/Patient/{id}");
            assert_eq!(send(put.clone(), url, &token, &person(id, "M")).await.status(), 201);
        }
        let definition = parameter("ms", "marital", "token", &["Patient"], "Patient.maritalStatus");
        let url = format!("{base}/SearchParameter/ms");
        assert_eq!(send(put.clone(), url, &token, &definition).await.status(), 201);
        // A write through the other server, which has not heard of it.
        let url = format!("{other}/Patient/c");
        assert_eq!(send(put.clone(), url, &token, &person("c", "M")).await.status(), 201);
        settled(base, "SearchParameter/ms/$reindex-status", &token).await;
        let found = async |base: &str| {
            let request = reqwest::Client::new()
                .get(format!("{base}/Patient?marital=M&_summary=count"))
                .header("prefer", "handling=strict")
                .bearer_auth(&token);
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap();
            (status, body["total"].as_i64().unwrap_or(-1))
        };
        assert_eq!(found(&other).await, (200, 3), "the other server, with its next request");
        assert_eq!(found(base).await, (200, 3));
        let told = reqwest::get(format!("{other}/metadata")).await.unwrap().text().await.unwrap();
        assert!(told.contains("\"marital\""));
        let url = format!("{other}/SearchParameter/ms");
        assert_eq!(send(reqwest::Method::DELETE, url, &token, &Value::Null).await.status(), 204);
        assert_eq!(found(base).await.0, 400, "what is gone is gone with the next request");
        second.stop().await.unwrap();
    }
}

async fn open(database: &TestDatabase) -> Result<Store, StoreError> {
    Store::open(&StoreOptions {
        url: database.url.clone(),
        base: "http://localhost:8080/fhir/r4".to_owned(),
        clock: Clock::test(T0),
        connections: 2,
    })
    .await
}

/// A database with results, and how many index rows it has.
async fn filled(database: Database, count: usize) -> (TestDatabase, Vec<i64>) {
    let database = TestDatabase::create(database).await;
    let file = database.directory().join("results.json");
    std::fs::write(&file, results(count).to_string()).unwrap();
    let output = program()
        .args(["import", file.to_str().unwrap()])
        .env("CANDOR_DATABASE_URL", &database.url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let store = open(&database).await.unwrap();
    let counts = counts(&store).await;
    store.close().await.unwrap();
    (database, counts)
}

/// As a release with another extraction would have left it.
async fn age(database: &TestDatabase) {
    let store = open(database).await.unwrap();
    run(
        &store,
        "UPDATE meta SET value = '0' WHERE name = 'index-epoch'",
    )
    .await;
    run(&store, "DELETE FROM idx_token WHERE id % 32 = 0").await;
    // Which has no units of composites, as before them.
    run(&store, "DELETE FROM composite_unit").await;
    run(
        &store,
        "INSERT INTO idx_date (type, param, low, id, high, patient) VALUES (1, 1, 1, 1, 1, 0)",
    )
    .await;
    store.close().await.unwrap();
    assert!(matches!(
        open(database).await,
        Err(StoreError::IndexEpoch { .. })
    ));
}

async fn an_old_index_is_built_anew_and_nothing_is_answered_meanwhile(kind: Database) {
    let (database, before) = filled(kind, 600).await;
    age(&database).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = Config {
        database_url: database.url.clone(),
        bind: address,
        ..Config::default()
    };
    let starting = tokio::spawn(Server::start(config, Clock::test(T0)));
    let mut refused = 0;
    while !starting.is_finished() {
        if let Ok(answer) = reqwest::get(format!("http://{address}/fhir/r4/metadata")).await
            && answer.status() == 503
        {
            assert!(answer.headers().contains_key("retry-after"));
            let outcome: Value = answer.json().await.unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome");
            assert_eq!(outcome["issue"][0]["code"], "transient");
            refused += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0);
    let server = starting.await.unwrap().unwrap();
    let answer = reqwest::get(format!("http://{address}/fhir/r4/metadata"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(counts(&server.app().store).await, before);
    let sql = "SELECT COUNT(*), MIN(unit) FROM composite_unit";
    let statement = Statement::from_string(server.app().store.backend(), sql);
    let row = server.app().store.reader().query_one_raw(statement).await;
    let row = row.unwrap().unwrap();
    let unit: (i64, String) = (
        row.try_get_by_index(0).unwrap(),
        row.try_get_by_index(1).unwrap(),
    );
    assert_eq!(unit, (1, "g/dL".to_owned()));
    server.stop().await.unwrap();
    open(&database).await.unwrap().close().await.unwrap();
    database.drop().await;
}

async fn a_killed_command_goes_on_where_it_was(kind: Database) {
    let (database, before) = filled(kind, 3000).await;
    age(&database).await;
    let reindex = || {
        let mut command = program();
        command
            .args(["reindex", "--database", &database.url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let watching = Store::connect(&StoreOptions {
        url: database.url.clone(),
        base: "http://localhost:8080/fhir/r4".to_owned(),
        clock: Clock::test(T0),
        connections: 1,
    })
    .await
    .unwrap();
    let progress = async || {
        let jobs = watching.reindex_jobs().await.unwrap();
        jobs.first().map_or(0, |job| job.done)
    };
    let mut child = reindex().spawn().unwrap();
    let mut done = 0;
    for _ in 0..20_000 {
        done = progress().await;
        if done > 256 || child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done > 0 && done < 3001, "{done}");
    let kept = progress().await;
    assert!(kept >= done);
    watching.close().await.unwrap();
    // Half built: whoever opens it is refused.
    assert!(matches!(
        open(&database).await,
        Err(StoreError::IndexEpoch { .. })
    ));
    let output = reindex().stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let store = open(&database).await.unwrap();
    assert_eq!(counts(&store).await, before);
    let jobs = store.reindex_jobs().await.unwrap();
    assert_eq!(jobs.len(), 1, "the same job: {jobs:?}");
    store.close().await.unwrap();
    database.drop().await;
}

macro_rules! both {
    ($($name:ident),*) => {$(
        mod $name {
            use crate::support::Database;

            #[tokio::test]
            async fn sqlite() {
                super::$name(Database::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                if Database::Postgres.is_there() {
                    super::$name(Database::Postgres).await;
                }
            }
        }
    )*};
}
both!(
    an_old_index_is_built_anew_and_nothing_is_answered_meanwhile,
    a_killed_command_goes_on_where_it_was
);
