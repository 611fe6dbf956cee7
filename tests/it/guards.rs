//! What stands around every handler.

use serde_json::{Value, json};

use crate::support::each_database;

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
