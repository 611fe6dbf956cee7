//! Who looked at what: AuditEvents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use candor::visibility::ViewerClass;
use serde_json::{Value, json};

use crate::rest_support::{a_patient, a_psychologist, a_psychotherapy_note, an_observation};
use crate::support::{Database, TestServer};

/// AuditEvents that a token finds, once there are so many.
async fn events(server: &TestServer, token: &str, query: &str, least: usize) -> Vec<Value> {
    for _ in 0..200 {
        let (status, bundle) = server.get(token, &format!("AuditEvent?{query}")).await;
        assert_eq!(status, 200, "{bundle}");
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        if entries.len() >= least {
            return entries
                .into_iter()
                .map(|one| one["resource"].clone())
                .collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not {least} events for {query}");
}

fn subtype(event: &Value) -> &str {
    event["subtype"][0]["code"].as_str().unwrap()
}

async fn put(server: &TestServer, token: &str, resource: &Value) {
    let path = format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    );
    let answer = server
        .client()
        .put(server.fhir(&path))
        .bearer_auth(token)
        .json(resource)
        .send()
        .await
        .unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
}

async fn run(database: Database) {
    let server = TestServer::start_with(database, |config| config.fhir.audit = true).await;
    let system = server.system_token().await;
    let clinician = server
        .token(
            ViewerClass::Clinician,
            Some("Practitioner/doctor"),
            None,
            "user/*.rs",
        )
        .await;
    let hers = server.patient_token("p").await;
    let auditor = server
        .token(
            ViewerClass::Auditor,
            Some("Practitioner/auditor"),
            None,
            "user/*.rs",
        )
        .await;
    let mut other = an_observation("of-q", "q");
    other["code"] = json!({"text": "x"});
    for resource in [
        a_psychologist(),
        a_patient("p"),
        a_patient("q"),
        an_observation("o", "p"),
        other,
        a_psychotherapy_note("psy-note", "p"),
    ] {
        put(&server, &system, &resource).await;
    }
    server.get(&clinician, "Observation/o").await;
    server
        .get(
            &clinician,
            "Observation?code=718-7&subject:Patient.name=secret",
        )
        .await;
    server.get(&system, "DocumentReference/psy-note").await;
    server.get(&hers, "Patient/p/$everything").await;
    server.get(&hers, "DocumentReference/psy-note").await;
    // The auditor sees them all.
    let all = events(&server, &auditor, "_count=100", 11).await;
    for event in &all {
        let problems = candor::fhir::validate::validate(event);
        assert!(problems.is_empty(), "{problems:?} {event}");
        assert!(!event.to_string().contains("Ruiz"), "{event}");
    }
    let creates = events(&server, &auditor, "subtype=update", 6).await;
    assert_eq!(creates[0]["action"], "U");
    let read = &events(&server, &auditor, "subtype=read&entity=Observation/o", 1).await[0];
    assert_eq!(read["outcome"], "0");
    assert_eq!(read["entity"][0]["what"]["reference"], "Observation/o");
    assert_eq!(read["entity"][1]["what"]["reference"], "Patient/p");
    assert_eq!(read["agent"][2]["who"]["reference"], "Practitioner/doctor");
    assert!(
        read["meta"]["profile"][0]
            .as_str()
            .unwrap()
            .ends_with("IHE.BasicAudit.PatientRead")
    );
    // A search tells of the names of its parameters, not of what was looked for.
    let search = events(
        &server,
        &auditor,
        "subtype=search-type&agent=Practitioner/doctor",
        1,
    )
    .await;
    let query = search[0]["entity"][0]["query"].as_str().unwrap();
    let query = String::from_utf8(BASE64.decode(query).unwrap()).unwrap();
    assert_eq!(query, "Observation?code=&subject:Patient.name=");
    // She sees who opened her record, and nobody else's; what is withheld is not told of.
    let own = events(&server, &hers, "_count=100", 4).await;
    let who: Vec<String> = own.iter().map(|one| one["entity"].to_string()).collect();
    assert!(
        own.iter()
            .any(|one| one["agent"][2]["who"]["reference"] == "Practitioner/doctor")
    );
    assert!(own.iter().any(|one| subtype(one) == "operation"));
    let by_others = own
        .iter()
        .filter(|one| one["agent"][2]["who"]["reference"] != "Patient/p");
    for event in by_others {
        assert!(!event.to_string().contains("psy-note"), "{event}");
    }
    assert!(
        !who.iter().any(|entity| entity.contains("Patient/q")),
        "{who:?}"
    );
    // The log is no part of everything unless it is asked for.
    let (_, everything) = server.get(&hers, "Patient/p/$everything").await;
    assert!(!everything.to_string().contains("AuditEvent"));
    let (_, log) = server
        .get(&hers, "Patient/p/$everything?_type=AuditEvent")
        .await;
    assert!(log["entry"].as_array().unwrap().len() >= 4);
    // Nor of what is asked of all types: a poll would find itself.
    for path in [
        "_history?_count=100",
        "?_count=100",
        "?_type=Patient,AuditEvent&_count=100",
    ] {
        let (status, all) = server.get(&auditor, path).await;
        assert_eq!(status, 200, "{path} {all}");
        let is_asked_for = path.contains("AuditEvent");
        assert_eq!(
            all.to_string().contains("BasicAudit"),
            is_asked_for,
            "{path}"
        );
    }
    let (_, log) = server.get(&auditor, "_history?_type=AuditEvent").await;
    assert!(log.to_string().contains("BasicAudit"), "{log}");
    // Who is not let in leaves none, and nothing is written of public answers.
    server.get("nobody", "Patient/p").await;
    server.stop().await;
}

/// An address below the base is empty where the base itself is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_the_base_is_logged_in_words() {
    let server = TestServer::start_with(Database::Sqlite, |config| config.fhir.audit = true).await;
    let system = server.system_token().await;
    let answer = server
        .client()
        .post(server.fhir(""))
        .bearer_auth(&system)
        .json(
            &json!({"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": a_patient("p"), "request": {"method": "PUT", "url": "Patient/p"}}]}),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let auditor = server
        .token(
            ViewerClass::Auditor,
            Some("Practitioner/auditor"),
            None,
            "user/*.rs",
        )
        .await;
    let about = "subtype=transaction";
    let logged = events(&server, &auditor, about, 1).await;
    let query = logged[0]["entity"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|entity| entity["query"].as_str());
    assert_eq!(query, Some(BASE64.encode("/").as_str()), "{logged:?}");
    let xml = server
        .client()
        .get(server.fhir(&format!("AuditEvent?{about}&_format=xml")))
        .bearer_auth(&auditor)
        .send()
        .await
        .unwrap();
    assert_eq!(xml.status(), 200, "{}", xml.text().await.unwrap());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_access_is_logged_sqlite() {
    run(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_access_is_logged_postgres() {
    if Database::Postgres.is_there() {
        run(Database::Postgres).await;
    }
}

/// What is queued when the server stops is written before the database closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_access_is_lost_when_the_server_stops() {
    use candor::app::Server;
    use candor::clock::Clock;
    use candor::config::Config;
    let database = crate::support::TestDatabase::create(Database::Sqlite).await;
    let config = || {
        let mut config = Config {
            database_url: database.url.clone(),
            bind: "127.0.0.1:0".parse().unwrap(),
            ..Config::default()
        };
        config.fhir.audit = true;
        config
    };
    let server = Server::start(config(), Clock::test(crate::support::T0))
        .await
        .unwrap();
    let store = server.app().store.clone();
    let client = candor::smart::clients::NewClient {
        client_id: Some("test".to_owned()),
        name: "Test".to_owned(),
        kind: candor::smart::clients::ClientKind::Public,
        redirect_uris: vec!["http://127.0.0.1:9/callback".to_owned()],
        keys: None,
        scope: "patient/*.rs".to_owned(),
        class: ViewerClass::System,
        person: None,
        options: candor::smart::clients::ClientOptions::default(),
    };
    candor::smart::clients::add(&store, client).await.unwrap();
    let smart = server.app().smart().await.unwrap();
    let grant = candor::smart::direct::DirectGrant {
        client_id: "test",
        username: None,
        class: ViewerClass::System,
        person: None,
        patient: None,
        scope: "system/*.rs",
        life: 86_400_000,
    };
    let token = candor::smart::direct::issue(&smart, &grant).await.unwrap();
    let http = reqwest::Client::new();
    let url = format!("http://{}/fhir/r4/Patient/unknown", server.address());
    for _ in 0..300 {
        http.get(&url).bearer_auth(&token).send().await.unwrap();
    }
    drop((smart, store, http));
    server.stop().await.unwrap();
    let mut quiet = config();
    quiet.fhir.audit = false;
    let server = Server::start(quiet, Clock::test(crate::support::T0))
        .await
        .unwrap();
    let url = format!(
        "http://{}/fhir/r4/AuditEvent?_summary=count",
        server.address()
    );
    let counted = reqwest::Client::new().get(&url).bearer_auth(&token).send();
    let counted: Value = counted.await.unwrap().json().await.unwrap();
    assert_eq!(counted["total"], 300, "{counted}");
    server.stop().await.unwrap();
}

/// Rows of a table about AuditEvents that were made.
async fn rows(server: &TestServer, table: &str) -> i64 {
    use sea_orm::ConnectionTrait as _;
    let store = &server.app().store;
    let type_id = candor::fhir::definitions::definitions()
        .type_id("AuditEvent")
        .unwrap();
    let sql = format!("SELECT COUNT(*) FROM {table} WHERE type = {type_id}");
    let statement = sea_orm::Statement::from_string(store.backend(), sql);
    let row = store
        .reader()
        .query_one_raw(statement)
        .await
        .unwrap()
        .unwrap();
    row.try_get_by_index::<i64>(0).unwrap()
}

/// A query makes AuditEvents of accesses where it may ask for them, and waits for them only then.
#[tokio::test]
async fn a_graphql_query_waits_for_the_events_that_it_names() {
    let server = TestServer::start_with(Database::Sqlite, |config| config.fhir.audit = true).await;
    let system = server.system_token().await;
    put(&server, &system, &a_patient("p")).await;
    let post = async |path: &str, kind: &str, body: String| {
        let request = server.client().post(server.fhir(path));
        let request = request.bearer_auth(&system).header("content-type", kind);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let query = "{ name { family } birthDate }";
    let (status, answer) = server
        .get(
            &system,
            "Patient/p/$graphql?query=%7Bname%7Bfamily%7D%20birthDate%7D",
        )
        .await;
    assert_eq!(
        (status, &answer["data"]["name"][0]["family"]),
        (200, &json!("Ruiz"))
    );
    post(
        "Patient/p/$graphql",
        "application/graphql",
        query.to_owned(),
    )
    .await;
    let body = json!({"query": query}).to_string();
    post("Patient/p/$graphql", "application/json", body).await;
    assert_eq!(rows(&server, "resource").await, 0);
    let mut before = 0;
    let named = "{ AuditEventList(_count: 100) { id } }";
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [{
        "request": {"method": "POST", "url": "$graphql"},
        "resource": {"resourceType": "Parameters", "parameter": [{"name": "query", "valueString": named}]}}]});
    for (path, kind, body) in [
        ("$graphql", "application/graphql", named.to_owned()),
        (
            "$graphql",
            "application/json",
            json!({"query": named}).to_string(),
        ),
        ("", "application/fhir+json", bundle.to_string()),
    ] {
        post(path, kind, body).await;
        let now = rows(&server, "resource").await;
        assert!(now > before, "{path} {kind}: {now}");
        before = now;
    }
    server.stop().await;
}

/// An access log that can be changed is none (45 CFR 170.315(d)(3)).
async fn as_it_was_written(database: Database) {
    let server = TestServer::start_with(database, |config| config.fhir.audit = true).await;
    let system = server.system_token().await;
    put(&server, &system, &a_patient("p")).await;
    server.get(&system, "Patient/p").await;
    let made = events(&server, &system, "subtype=read", 1).await.remove(0);
    let id = made["id"].as_str().unwrap().to_owned();
    let mut own = made.clone();
    own["id"] = json!("ours");
    own["outcome"] = json!("4");
    let mut changed = own.clone();
    changed["id"] = json!(id);
    // One of their own may be written, by PUT only where there is none.
    put(&server, &system, &own).await;
    let ask = async |method: &str, path: &str, kind: &str, body: String| {
        let answer = server
            .client()
            .request(method.parse().unwrap(), server.fhir(path))
            .bearer_auth(&system)
            .header("content-type", kind)
            .body(body)
            .send()
            .await
            .unwrap();
        let allow = answer.headers().get("allow").cloned();
        let allow = allow.map(|allow| allow.to_str().unwrap().to_owned());
        (
            answer.status().as_u16(),
            allow,
            answer.text().await.unwrap(),
        )
    };
    let (json_kind, patch) = ("application/fhir+json", "application/json-patch+json");
    let patched = r#"[{"op": "replace", "path": "/outcome", "value": "8"}]"#;
    let labels = json!({"resourceType": "Parameters", "parameter": [
        {"name": "meta", "valueMeta": {"tag": [{"code": "seen"}]}}]});
    for (method, path, kind, body) in [
        (
            "PUT",
            format!("AuditEvent/{id}"),
            json_kind,
            changed.to_string(),
        ),
        (
            "PUT",
            "AuditEvent/ours".to_owned(),
            json_kind,
            own.to_string(),
        ),
        (
            "PUT",
            format!("AuditEvent?_id={id}"),
            json_kind,
            changed.to_string(),
        ),
        (
            "PATCH",
            format!("AuditEvent/{id}"),
            patch,
            patched.to_owned(),
        ),
        (
            "PATCH",
            format!("AuditEvent?_id={id}"),
            patch,
            patched.to_owned(),
        ),
        (
            "DELETE",
            format!("AuditEvent/{id}"),
            json_kind,
            String::new(),
        ),
        (
            "DELETE",
            "AuditEvent?outcome=0".to_owned(),
            json_kind,
            String::new(),
        ),
        (
            "POST",
            format!("AuditEvent/{id}/$meta-add"),
            json_kind,
            labels.to_string(),
        ),
    ] {
        let (status, allow, answer) = ask(method, &path, kind, body).await;
        assert_eq!(status, 405, "{method} {path}: {answer}");
        assert!(
            allow.is_some_and(|allow| !allow.contains("PUT")),
            "{method} {path}"
        );
    }
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": a_patient("q"), "request": {"method": "PUT", "url": "Patient/q"}},
        {"request": {"method": "DELETE", "url": format!("AuditEvent/{id}")}}]});
    // 405 would speak of the bundle's own address.
    let (status, _, answer) = ask("POST", "", json_kind, bundle.to_string()).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("Bundle.entry[1]"), "{answer}");
    let (_, still) = server.get(&system, &format!("AuditEvent/{id}")).await;
    assert_eq!(still, made);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stays_as_it_was_written_sqlite() {
    as_it_was_written(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stays_as_it_was_written_postgres() {
    if Database::Postgres.is_there() {
        as_it_was_written(Database::Postgres).await;
    }
}

/// Accesses through one server are told of by the other, each once, however many ask at a time; and
/// what is older than is kept goes, with its index.
async fn journal(database: Database) {
    let server = TestServer::start_with(database, |config| config.fhir.audit = true).await;
    let (second, other) = server.second().await;
    let system = server.system_token().await;
    put(&server, &system, &a_patient("p")).await;
    let reader = server.patient_token("p").await;
    for _ in 0..30 {
        server.get(&reader, "Patient/p").await;
    }
    tokio::time::sleep(candor::rest::audit::FLUSH * 2).await;
    let query = "AuditEvent?subtype=read&patient=Patient/p&_total=accurate&_count=1";
    let count = async |base: String| {
        let request = server
            .client()
            .get(format!("{base}/{query}"))
            .bearer_auth(&system);
        let bundle: Value = request.send().await.unwrap().json().await.unwrap();
        bundle["total"].as_i64().unwrap()
    };
    let here = server.fhir("").trim_end_matches('/').to_owned();
    let (a, b, c, d) = tokio::join!(
        count(other.clone()),
        count(here.clone()),
        count(other.clone()),
        count(here.clone())
    );
    assert_eq!([a, b, c, d], [30; 4]);
    // An access is told in the record where the resource was, wherever it is when somebody asks.
    put(&server, &system, &a_patient("q")).await;
    put(&server, &system, &an_observation("moved", "p")).await;
    server.get(&reader, "Observation/moved").await;
    let later = server.clock().now() + 1000;
    assert!(server.clock().set(later));
    put(&server, &system, &an_observation("moved", "q")).await;
    let theirs = server.patient_token("q").await;
    for (token, least) in [(&reader, 1), (&theirs, 0)] {
        let found = events(
            &server,
            token,
            "subtype=read&entity=Observation/moved",
            least,
        )
        .await;
        assert_eq!(found.len(), least, "{found:?}");
    }
    // The last ones, of which only this process knows yet.
    server.get(&reader, "Patient/p").await;
    assert_eq!(count(here).await, 32);

    let store = &server.app().store;
    let rows = |table: &'static str| rows(&server, table);
    assert!(rows("resource").await > 30 && rows("idx_token").await > 100);
    let now = server.clock().now();
    assert!(!store.forget_accesses(now - 1000).await.unwrap());
    assert!(rows("resource").await > 30, "what is younger stays");
    while store.forget_accesses(now + 1000).await.unwrap() {}
    for table in [
        "resource",
        "idx_token",
        "idx_date",
        "idx_reference",
        "idx_string",
        "idx_uri",
    ] {
        assert_eq!(rows(table).await, 0, "{table}");
    }
    assert_eq!(server.get(&system, "Patient/p").await.0, 200);
    second.stop().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_of_all_servers_sqlite() {
    journal(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_of_all_servers_postgres() {
    if Database::Postgres.is_there() {
        journal(Database::Postgres).await;
    }
}

/// What a viewer finds of accesses, without what each server makes up.
async fn told(server: &TestServer, token: &str) -> Vec<String> {
    let (status, bundle) = server.get(token, "AuditEvent?_count=200&_sort=date").await;
    assert_eq!(status, 200, "{bundle}");
    let mut told: Vec<String> = bundle["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let event = &one["resource"];
            let who = &event["agent"][2]["who"];
            json!([event["subtype"], event["outcome"], event["entity"], who]).to_string()
        })
        .collect();
    told.sort();
    told
}

/// Accesses to what is withheld are as if it, and they, had never been; to clinicians no access is
/// told of, and the ledger has no line of any.
async fn nothing_told(database: Database) {
    let mut logs = Vec::new();
    for withheld in [true, false] {
        let server = TestServer::start_with(database, |config| config.fhir.audit = true).await;
        let system = server.system_token().await;
        let doctor = Some("Practitioner/doctor");
        let clinician = server
            .token(ViewerClass::Clinician, doctor, None, "user/*.rs")
            .await;
        let hers = server.patient_token("p").await;
        for resource in [a_psychologist(), a_patient("p"), an_observation("o", "p")] {
            put(&server, &system, &resource).await;
        }
        if withheld {
            put(&server, &system, &a_psychotherapy_note("psy-note", "p")).await;
        }
        for token in [&system, &clinician, &hers] {
            for path in [
                "DocumentReference/psy-note",
                "DocumentReference/psy-note/_history",
                "DocumentReference?patient=p",
                "DocumentReference?_id=psy-note",
                "Observation?patient=p",
            ] {
                server.get(token, path).await;
            }
        }
        // Seen first, withheld later: who saw it goes with it.
        let mut later = an_observation("later", "p");
        later["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "11526-1"}]});
        put(&server, &system, &later).await;
        server.get(&clinician, "Observation/later").await;
        let before = told(&server, &hers).await;
        assert!(before.iter().any(|one| one.contains("Observation/later")));
        let wish = json!({"resourceType": "Consent", "id": "wish", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/p"}, "performer": [{"reference": "Patient/p"}],
            "dateTime": "2026-11-01T14:00:00Z", "policyRule": {"text": "asked for"},
            "extension": [{
                "url": "https://candor.example/fhir/StructureDefinition/no-inducement",
                "valueBoolean": true}],
            "provision": {"type": "deny", "period": {"end": "2027-01-01T00:00:00Z"},
                "code": [{"coding": [{"system": "http://loinc.org", "code": "11526-1"}]}]}});
        put(&server, &system, &wish).await;
        assert_eq!(server.get(&hers, "Observation/later").await.0, 404);
        let after = told(&server, &hers).await;
        assert!(
            !after
                .iter()
                .any(|one| one.contains("Observation/later") && one.contains("doctor")),
            "{after:?}"
        );
        logs.push((before, after));
        assert_eq!(told(&server, &clinician).await, Vec::<String>::new());
        let (_, history) = server.get(&clinician, "_history?_count=200").await;
        assert!(!history.to_string().contains("AuditEvent"), "{history}");
        let (_, ledger) = server.get(&system, "$release-ledger?_count=200").await;
        assert!(!ledger.to_string().contains("AuditEvent"), "{ledger}");
        server.stop().await;
    }
    let without = logs.pop().unwrap();
    let with = logs.pop().unwrap();
    assert!(with.0.len() > 5, "{with:?}");
    assert_eq!(with, without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accesses_to_what_is_withheld_are_not_told_sqlite() {
    nothing_told(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accesses_to_what_is_withheld_are_not_told_postgres() {
    if Database::Postgres.is_there() {
        nothing_told(Database::Postgres).await;
    }
}
