//! What stands around every handler.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Database, TestServer, each_database};

each_database! {
    async fn health_says_whether_the_database_answers(server: TestServer) {
        let ready = server.client().get(server.url("/health/ready")).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        assert_eq!(ready.text().await.unwrap(), r#"{"status":"ready","database":"up"}"#);
        let live = server.client().get(server.url("/health/live")).send().await.unwrap();
        assert_eq!(live.status(), 200);
        server.app().store.clone().close().await.unwrap();
        let ready = server.client().get(server.url("/health/ready")).send().await.unwrap();
        assert_eq!(ready.status(), 503);
        let live = server.client().get(server.url("/health/live")).send().await.unwrap();
        assert_eq!(live.status(), 200);
    }

    async fn the_test_clock_is_set_and_read(server: TestServer) {
        let url = server.url("/_test/clock");
        let read = async || -> Value {
            let answer = server.client().get(&url).send().await.unwrap();
            serde_json::from_str(&answer.text().await.unwrap()).unwrap()
        };
        assert_eq!(read().await, json!({"now": "2026-11-10T15:00:00.000Z"}));
        let set = server.client().put(&url).body(r#"{"now":"2026-11-13T06:00:00+01:00"}"#);
        assert_eq!(set.send().await.unwrap().status(), 200);
        assert_eq!(read().await, json!({"now": "2026-11-13T05:00:00.000Z"}));
        for bad in ["", "{}", r#"{"now":"tomorrow"}"#, r#"{"now":"2026-11-13T05:00:00"}"#] {
            let set = server.client().put(&url).body(bad);
            assert_eq!(set.send().await.unwrap().status(), 400, "{bad}");
        }
        assert_eq!(read().await, json!({"now": "2026-11-13T05:00:00.000Z"}));
    }

    async fn of_two_authorizations_none_is_believed(server: TestServer) {
        let token = server.system_token().await;
        for other in ["Bearer nobody", &format!("Bearer {token}")] {
            let answer = server.client().get(server.fhir("Patient"))
                .header("authorization", format!("Bearer {token}"))
                .header("authorization", other)
                .send().await.unwrap();
            assert_eq!(answer.status(), 401);
        }
    }
}

/// RFC 6749 section 5.2: apps read `error`, whoever refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth_endpoints_refuse_in_json() {
    let server = TestServer::start_with(Database::Sqlite, |config| {
        config.smart.registration = candor::config::Registration::Open;
        config.limits.request_seconds = 1;
    })
    .await;
    let errors = async |answer: reqwest::Response| -> (u16, Value) {
        let status = answer.status().as_u16();
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(kind.starts_with("application/json"), "{status} {kind}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(
            !body["error_description"].as_str().unwrap().is_empty(),
            "{body}"
        );
        (status, body["error"].clone())
    };
    let large = "x".repeat(70_000);
    for path in ["token", "introspect", "revoke", "register", "launch"] {
        let url = server.url(&format!("/auth/{path}"));
        let get = server.client().get(&url).send().await.unwrap();
        assert_eq!(get.headers()["allow"], "POST", "{path}");
        assert_eq!(errors(get).await, (405, json!("invalid_request")), "{path}");
        let post = server
            .client()
            .post(&url)
            .body(large.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(
            errors(post).await,
            (413, json!("invalid_request")),
            "{path}"
        );
    }
    let userinfo = server.url("/auth/userinfo");
    let put = server.client().put(&userinfo).send().await.unwrap();
    assert_eq!(errors(put).await, (405, json!("invalid_request")));
    let anonymous = server.client().get(&userinfo).send().await.unwrap();
    assert_eq!(anonymous.headers()["www-authenticate"], "Bearer");
    assert_eq!(errors(anonymous).await, (401, json!("invalid_token")));
    let stranger = server
        .client()
        .get(&userinfo)
        .bearer_auth("x")
        .send()
        .await
        .unwrap();
    assert_eq!(errors(stranger).await, (401, json!("invalid_token")));
    // A body that does not come.
    let address = server.url("").replace("http://", "");
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /auth/token HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 20\r\n\r\ngrant"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("\"error\":\"temporarily_unavailable\""),
        "{answer}"
    );
    server.stop().await;
}

/// portal.md A11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_went_astray_find_a_page_and_help() {
    let server = TestServer::start(Database::Sqlite).await;
    let large = "x".repeat(70_000);
    for (method, path, status, words) in [
        ("GET", "/nowhere", 404, "No hay ninguna página"),
        ("GET", "/logout", 405, "no se puede abrir así"),
        ("POST", "/login", 413, "demasiado a la vez"),
    ] {
        let ask = |accept: &str| {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = server.client().request(method, server.url(path));
            request = request
                .header("accept", accept)
                .header("accept-language", "es");
            if status == 413 {
                request = request.body(large.clone());
            }
            request.send()
        };
        let page = ask("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
            .await
            .unwrap();
        assert_eq!(page.status(), status, "{path}");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(
            page.headers().contains_key("allow"),
            status == 405,
            "{path}"
        );
        let body = page.text().await.unwrap();
        for part in ["<html lang=\"es\"", words, "href=\"/\"", "id=\"help\""] {
            assert!(body.contains(part), "{path}: {part}: {body}");
        }
        // Programs get a line.
        let line = ask("*/*").await.unwrap();
        assert_eq!(line.status(), status, "{path}");
        assert_eq!(line.headers()["x-content-type-options"], "nosniff");
        let body = line.text().await.unwrap();
        assert!(
            !body.contains('<') && !body.contains("CapabilityStatement"),
            "{body}"
        );
    }
    // Those who read FHIR are answered in FHIR.
    let request = server
        .client()
        .get(server.fhir("nowhere"))
        .header("accept", "text/html");
    let answer = request.send().await.unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .contains("fhir")
    );
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    // Everybody begins at the front door.
    let start = server.client().get(server.url("/")).send().await.unwrap();
    let (status, way) = (start.status(), start.headers().get("location").cloned());
    let is_led_on = status == 303 && way.is_some_and(|way| way == "/login");
    assert!(is_led_on || start.url().path() == "/login", "{status}");
    server.stop().await;
}

/// RFC 9112 section 3.2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_its_host_once() {
    let server = TestServer::start(Database::Sqlite).await;
    let address = server.url("").replace("http://", "");
    let one = format!("Host: {address}\r\n");
    for (path, kind) in [
        ("/fhir/r4/metadata", "application/fhir+json"),
        ("/fhir/r4/Patient/x", "application/fhir+json"),
        ("/health/live", "text/plain"),
    ] {
        for (version, hosts, is_refused) in [
            ("1.1", one.as_str(), false),
            ("1.0", "", false),
            ("1.1", "", true),
            ("1.1", &format!("{one}{one}"), true),
            ("1.1", &format!("{one}host: evil.example\r\n"), true),
            ("1.0", &format!("{one}{one}"), true),
            ("1.1", "Host: localhost:\r\n", false),
            ("1.1", "Host: [::1]:8080\r\n", false),
            ("1.1", "Host: a b<>\r\n", true),
            ("1.1", "Host: user@localhost\r\n", true),
            ("1.1", "Host: localhost:80a\r\n", true),
            ("1.1", "Host: \r\n", true),
        ] {
            let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
            let head = format!("GET {path} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
            connection.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            let status = answer.split(' ').nth(1).unwrap();
            assert_eq!(status == "400", is_refused, "{version} {hosts:?}: {answer}");
            if is_refused {
                assert!(answer.contains(kind), "{answer}");
                assert!(answer.contains("Host"), "{answer}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_test_clock_stays_on_this_machine() {
    let config = candor::config::Config {
        bind: "0.0.0.0:0".parse().unwrap(),
        public_url: Some("https://records.example.org".to_owned()),
        ..Default::default()
    };
    let clock = candor::clock::Clock::test(0);
    let error = candor::app::Server::start(config, clock).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn a_body_is_measured_after_decompression() {
    let server = TestServer::start_with(Database::Sqlite, |config| {
        config.limits.body_megabytes = 1;
    })
    .await;
    let token = server.system_token().await;
    let send = async |body: Vec<u8>, encoding: Option<&str>| {
        let mut request = server
            .client()
            .post(server.fhir("Patient"))
            .bearer_auth(&token)
            .header("content-type", "application/fhir+json")
            .body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap()["resourceType"].clone(),
        )
    };
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let small = r#"{"resourceType":"Patient"}"#;
    let large = format!("{small}{}", " ".repeat(2 << 20));
    let bomb = gzip(&" ".repeat(200 << 20));
    assert!(bomb.len() < 1 << 20);
    let outcome = json!("OperationOutcome");
    assert_eq!(
        send(gzip(small), Some("gzip")).await,
        (201, json!("Patient"))
    );
    assert_eq!(
        send(large.clone().into_bytes(), None).await,
        (413, outcome.clone())
    );
    assert_eq!(
        send(gzip(&large), Some("gzip")).await,
        (413, outcome.clone())
    );
    assert_eq!(send(bomb, Some("gzip")).await, (413, outcome.clone()));
    // Several members are one body (RFC 1952 section 2.2); what comes after the last must be one.
    let (front, back) = small.split_at(9);
    let members = [gzip(front), gzip(""), gzip(back)].concat();
    assert_eq!(
        send(members.clone(), Some("gzip")).await,
        (201, json!("Patient"))
    );
    let large_members = [gzip(small), gzip(&large)].concat();
    assert_eq!(
        send(large_members, Some("gzip")).await,
        (413, outcome.clone())
    );
    for rest in [
        &b"x"[..],
        b"{\"resourceType\":\"Patient\"}",
        b"\0\0\0\0",
        &gzip(small)[..15],
    ] {
        let trailed = [&members[..], rest].concat();
        let answer = send(trailed, Some("gzip")).await;
        assert_eq!(answer, (400, outcome.clone()), "{rest:?}");
    }
    for (encoding, status) in [("gzip", 400), ("br", 415)] {
        let answer = send(b"no such encoding".to_vec(), Some(encoding)).await;
        assert_eq!(answer, (status, outcome.clone()), "{encoding}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_finished_before_the_server_stops() {
    let server = TestServer::start(Database::Sqlite).await;
    let token = server.system_token().await;
    let address = server.url("").replace("http://", "");
    let body = r#"{"resourceType":"Patient","id":"slow"}"#;
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "PUT /fhir/r4/Patient/slow HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/fhir+json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body.as_bytes()[..10]).await.unwrap();
    // Answered by now: the server has read the head above.
    assert_eq!(server.get(&token, "Patient/slow").await.0, 404);
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    connection.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    stopping.await.unwrap();
}
