//! What an app reads before anything else.

use serde_json::Value;

use crate::smart_support::{Server, each_smart_database};

async fn get(server: &Server, path: &str) -> (reqwest::header::HeaderMap, Value) {
    let response = server
        .http
        .get(server.url(path))
        .header("origin", "http://localhost:4567")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    (headers, serde_json::from_str(&text).unwrap())
}

each_smart_database! {
async fn configurations_say_what_is_there(server: Server) {
    let (headers, smart) = get(server, "/fhir/r4/.well-known/smart-configuration").await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let capabilities = smart["capabilities"].as_array().unwrap();
    for capability in [
        "launch-ehr",
        "launch-standalone",
        "context-banner",
        "context-style",
        "context-ehr-patient",
        "context-ehr-encounter",
        "permission-user",
        "client-public",
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "sso-openid-connect",
        "context-standalone-patient",
        "permission-offline",
        "permission-patient",
        "authorize-post",
        "permission-v1",
        "permission-v2",
    ] {
        assert!(capabilities.contains(&capability.into()), "{capability}");
    }
    assert_eq!(
        smart["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    let (_, openid) = get(server, "/.well-known/openid-configuration").await;
    for shared in [
        "issuer",
        "jwks_uri",
        "authorization_endpoint",
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        assert_eq!(smart[shared], openid[shared], "{shared}");
        assert!(
            smart[shared].as_str().unwrap().starts_with(&server.public),
            "{shared}"
        );
    }
    assert_eq!(openid["issuer"], server.public.as_str());
    assert_eq!(
        openid["end_session_endpoint"],
        server.url("/auth/end-session").as_str()
    );
    let algorithms = openid["id_token_signing_alg_values_supported"]
        .as_array()
        .unwrap();
    assert!(algorithms.contains(&"RS256".into()));
    let (_, keys) = get(server, "/auth/jwks").await;
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert!(key["kid"].is_string() && key["use"] == "sig");
        assert!(key.get("d").is_none(), "a private key is published");
    }
    get(server, "/assets/smart-style.json").await;
}

async fn signing_keys_survive_a_restart(server: Server) {
    let again = candor::smart::SmartState::new(
        server.store.clone(),
        candor::smart::SmartConfig::new(&server.public),
    )
    .await
    .unwrap();
    let keys = candor::smart::signing::SigningKeys::load(again.store())
        .await
        .unwrap();
    let (_, published) = get(server, "/auth/jwks").await;
    assert_eq!(*keys.public(), published);
}

async fn browsers_of_other_origins_may_call_the_token_endpoint_but_no_page(server: Server) {
    let preflight = |path: &'static str| {
        server
            .http
            .request(reqwest::Method::OPTIONS, server.url(path))
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .send()
    };
    for path in [
        "/auth/token",
        "/auth/introspect",
        "/auth/revoke",
        "/auth/userinfo",
    ] {
        let response = preflight(path).await.unwrap();
        assert_eq!(
            response.headers()["access-control-allow-origin"],
            "*",
            "{path}"
        );
        assert!(
            response
                .headers()
                .get("access-control-allow-credentials")
                .is_none()
        );
    }
    for path in [
        "/login",
        "/auth/consent",
        "/auth/authorize",
        "/apps",
        "/logout",
    ] {
        let response = preflight(path).await.unwrap();
        assert!(
            response
                .headers()
                .get("access-control-allow-origin")
                .is_none(),
            "{path}"
        );
    }
}
}
