//! Apps that register themselves, where that is open.

use candor::smart::clients::{self, ClientKind, RegisteredClient};
use candor::smart::registrations;
use jsonwebtoken::Algorithm;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};

use crate::smart_backend::key;
use crate::smart_support::{App, REDIRECT, Server, each_smart_database};

async fn register(server: &Server, metadata: &Value) -> (u16, Value) {
    let request = server.http.post(server.url("/auth/register"));
    let response = request.json(metadata).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

fn metadata(changes: Value) -> Value {
    let mut metadata = json!({"client_name": "Bone Journal", "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none", "software_id": "what nobody knows is left out"});
    for (name, value) in changes.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    metadata
}

each_smart_database! {
async fn a_registered_app_connects_like_any_other(server: Server) {
    let discovery = server.http.get(server.url("/.well-known/openid-configuration"));
    let text = discovery.send().await.unwrap().text().await.unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["registration_endpoint"], server.url("/auth/register").as_str());
    let keys = json!({"keys": [key(Algorithm::ES384, "k1").public]});
    for (changes, has_secret) in [
        (json!({}), false),
        (json!({"token_endpoint_auth_method": null}), true),
        (json!({"token_endpoint_auth_method": "client_secret_post",
            "id_token_signed_response_alg": "ES384"}), true),
        (json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys}), false),
    ] {
        let (status, answer) = register(server, &metadata(changes.clone())).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer.get("client_secret").is_some(), has_secret, "{answer}");
        assert_eq!(answer.get("client_secret_expires_at").is_some(), has_secret);
        assert_eq!(answer["client_id_issued_at"], server.clock.now() / 1000);
        assert!(answer.get("software_id").is_none());
        if changes.get("jwks").is_some() {
            assert_eq!(answer["jwks"], keys);
            continue;
        }
        let registered = RegisteredClient {
            client_id: answer["client_id"].as_str().unwrap().to_owned(),
            client_secret: answer["client_secret"].as_str().map(str::to_owned),
            client_name: String::new(),
            token_endpoint_auth_method: "",
            grant_types: vec![],
            redirect_uris: vec![],
            scope: String::new(),
        };
        let app = App::new(server, &registered);
        let user = server.add_patient().await;
        let tokens = app.connect(server, &user, "launch/patient patient/*.rs", |_| ()).await;
        assert_eq!(tokens.extra_fields().patient.as_deref(), Some("ana"));
        assert!(tokens.scopes().is_some());
    }
}

async fn metadata_that_cannot_be_is_named(server: Server) {
    for (changes, error, word) in [
        (json!({"client_name": null}), "invalid_client_metadata", "client_name"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri", "redirect"),
        (json!({"redirect_uris": "x"}), "invalid_client_metadata", "redirect_uris"),
        (json!({"redirect_uris": ["http://app.example/"]}), "invalid_redirect_uri", "app.example"),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri", "javascript"),
        (json!({"redirect_uris": ["https://app.example/do\r\nne"]}), "invalid_redirect_uri", "https"),
        (json!({"redirect_uris": ["https://app.example/\u{f1}"]}), "invalid_redirect_uri", "https"),
        (json!({"redirect_uris": ["http://127.1/done"]}), "invalid_redirect_uri", "127.1"),
        (json!({"post_logout_redirect_uris": ["data:x"]}), "invalid_redirect_uri", "data:x"),
        (json!({"post_logout_redirect_uris": ["https://app.example/ "]}), "invalid_redirect_uri", "https"),
        // What a reader would not see, or would see elsewhere.
        (json!({"client_name": "Bone\u{202e}lanruoJ"}), "invalid_client_metadata", "name"),
        (json!({"client_name": "Bone\u{200b} Journal"}), "invalid_client_metadata", "name"),
        (json!({"client_name": "\u{3164}"}), "invalid_client_metadata", "name"),
        (json!({"maker": "Acme\u{2066} Inc"}), "invalid_client_metadata", "maker"),
        (json!({"contacts": ["\u{feff}help@acme.example"]}), "invalid_client_metadata", "contact"),
        // The server's own brand.
        (json!({"client_name": "Candor"}), "invalid_client_metadata", "own name"),
        (json!({"client_name": "  cAnDoR "}), "invalid_client_metadata", "own name"),
        (json!({"client_name": "\u{ff23}andor"}), "invalid_client_metadata", "own name"),
        (json!({"scope": "system/*.rs"}), "invalid_client_metadata", "system"),
        (json!({"scope": "nonsense"}), "invalid_client_metadata", "nonsense"),
        (json!({"grant_types": ["client_credentials"]}), "invalid_client_metadata", "grant_types"),
        (json!({"response_types": ["token"]}), "invalid_client_metadata", "response_types"),
        (json!({"token_endpoint_auth_method": "magic"}), "invalid_client_metadata", "private_key_jwt"),
        (json!({"token_endpoint_auth_method": "private_key_jwt"}), "invalid_client_metadata", "jwks"),
        (json!({"jwks_uri": "https://app.example/jwks"}), "invalid_client_metadata", "jwks"),
        (json!({"id_token_signed_response_alg": "none"}), "invalid_client_metadata", "ES384"),
        (json!({"token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": "http://app.example/jwks"}), "invalid_client_metadata", "https"),
    ] {
        let (status, answer) = register(server, &metadata(changes.clone())).await;
        assert_eq!(status, 400, "{changes}: {answer}");
        assert_eq!(answer["error"], error, "{changes}: {answer}");
        let words = answer["error_description"].as_str().unwrap();
        assert!(words.contains(word), "{changes}: {words}");
    }
    assert_eq!(register(server, &json!([])).await.0, 400);
}

async fn scopes_that_are_not_known_are_left_out_and_the_answer_says_what_is_kept(server: Server) {
    let asked = "launch launch/encounter online_access patient/Nothing.rs patient/Patient.rs nonsense";
    let (status, answer) = register(server, &metadata(json!({"scope": asked}))).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["scope"], "launch launch/encounter patient/Patient.rs");
    let (status, answer) = register(server, &metadata(json!({"scope": "online_access"}))).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_client_metadata")), "{answer}");
}

async fn every_registration_has_its_clock(server: Server) {
    let (_, open) = register(server, &metadata(json!({}))).await;
    let day = 86_400_000;
    let asked = server.clock.now() - 9 * day;
    let operator = server.add_client(ClientKind::Public, "patient/*.rs").await;
    let mut new = clients::NewClient {
        client_id: None,
        name: "Ledger".to_owned(),
        kind: ClientKind::Public,
        redirect_uris: vec![REDIRECT.to_owned()],
        keys: None,
        scope: "patient/*.rs".to_owned(),
        class: candor::visibility::ViewerClass::System,
        person: None,
        options: clients::ClientOptions::default(),
    };
    new.options.received = Some(asked);
    let late = clients::add(&server.store, new).await.unwrap();
    let listed = registrations::list(&server.store, &jiff::tz::TimeZone::UTC).await.unwrap();
    let of = |id: &str| listed.iter().find(|one| one.client_id == id).unwrap();
    let now = Some(server.clock.now());
    let one = of(open["client_id"].as_str().unwrap());
    assert_eq!((one.origin.as_deref(), one.received, one.verified), (Some("open"), now, None));
    assert_eq!(one.enabled, now);
    let one = of(&operator.client_id);
    assert_eq!((one.origin.as_deref(), one.received, one.verified), (Some("operator"), now, now));
    assert_eq!(of(&late.client_id).received, Some(asked));
}
}
