//! Backends: signed assertions instead of people (SMART Backend Services).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use candor::smart::authenticate;
use candor::smart::clients::{self, ClientKeys, ClientKind, NewClient, RegisteredClient};
use candor::visibility::ViewerClass;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::smart_support::{Server, each_smart_database};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub struct Key {
    alg: Algorithm,
    private: EncodingKey,
    pub public: Value,
}

fn pem(der: &[u8]) -> Vec<u8> {
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    )
    .into_bytes()
}

pub fn key(alg: Algorithm, kid: &str) -> Key {
    let private = if alg == Algorithm::RS384 {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        EncodingKey::from_rsa_pem(&pem(der.as_ref())).unwrap()
    } else {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        EncodingKey::from_ec_pem(&pem(pair.to_pkcs8v1().unwrap().as_ref())).unwrap()
    };
    let mut jwk = Jwk::from_encoding_key(&private, alg).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    Key {
        alg,
        private,
        public: json!(jwk),
    }
}

pub async fn backend(server: &Server, keys: ClientKeys, scope: &str) -> RegisteredClient {
    clients::add(
        &server.store,
        NewClient {
            client_id: None,
            name: "Laboratory feed".to_owned(),
            kind: ClientKind::Backend,
            redirect_uris: vec![],
            keys: Some(keys),
            scope: scope.to_owned(),
            class: ViewerClass::System,
            person: None,
            options: candor::smart::clients::ClientOptions::default(),
        },
    )
    .await
    .unwrap()
}

pub fn claims(server: &Server, client: &RegisteredClient) -> Value {
    let now = server.clock.now() / 1000;
    json!({
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": server.url("/auth/token"),
        "exp": now + 240,
        "jti": uuid::Uuid::new_v4().to_string(),
    })
}

pub fn sign(key: &Key, kid: &str, claims: &Value) -> String {
    let mut header = Header::new(key.alg);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, &key.private).unwrap()
}

pub async fn ask(server: &Server, assertion: &str, scope: &str) -> (u16, Value) {
    // Each from another address: the throttle is tried elsewhere.
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    let host = ADDRESS.fetch_add(1, Ordering::SeqCst);
    let address = format!("198.51.{}.{}", host / 256, host % 256);
    server
        .token_from(
            &address,
            &[
                ("grant_type", "client_credentials"),
                ("scope", scope),
                ("client_assertion_type", ASSERTION),
                ("client_assertion", assertion),
            ],
        )
        .await
}

each_smart_database! {
async fn a_backend_gets_its_system_scopes_for_five_minutes(server: Server) {
    for alg in [Algorithm::ES384, Algorithm::RS384] {
        let own = key(alg, "k1");
        let set = json!({"keys": [own.public]}).to_string();
        let scope = "system/*.cruds";
        let client = backend(server, ClientKeys::Value(set), scope).await;
        let assertion = sign(&own, "k1", &claims(server, &client));
        let asked = "system/Observation.rs system/*.read patient/*.rs";
        let (status, body) = ask(server, &assertion, asked).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["scope"], "system/Observation.rs system/*.read");
        assert_eq!(body["expires_in"].as_i64(), Some(300));
        assert_eq!(body["token_type"], "Bearer");
        assert!(body.get("refresh_token").is_none());
        let token = body["access_token"].as_str().unwrap();
        let viewer = authenticate(&server.state, token).await.unwrap();
        assert_eq!(viewer.class, ViewerClass::System);
        assert_eq!(viewer.person, None);
        // It may look at any token, its own for one.
        let response = server
            .http
            .post(server.url("/auth/introspect"))
            .bearer_auth(token)
            .form(&[("token", token)])
            .send()
            .await
            .unwrap();
        let live: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(live["active"], true);
        assert_eq!(live["sub"], client.client_id.as_str());
        // A second token of the same backend.
        let again = sign(&own, "k1", &claims(server, &client));
        assert_eq!(ask(server, &again, "system/*.rs").await.0, 200);
        server.advance(300_000);
        assert!(authenticate(&server.state, token).await.is_err());
    }
}

async fn keys_are_fetched_and_fetched_again_when_they_change(server: Server) {
    let (old, new) = (key(Algorithm::RS384, "old"), key(Algorithm::ES384, "new"));
    let published = Arc::new(std::sync::Mutex::new(
        json!({"keys": [old.public]}).to_string(),
    ));
    let fetched = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let (body, count) = (published.clone(), fetched.clone());
    let site = axum::Router::new()
        .route(
            "/jwks",
            get(move || {
                count.fetch_add(1, Ordering::SeqCst);
                let body = body.lock().unwrap().clone();
                async move { body }
            }),
        )
        .route(
            "/elsewhere",
            get(|| async { axum::response::Redirect::temporary("/jwks") }),
        );
    tokio::spawn(async move { axum::serve(listener, site).await });
    let client = backend(server, ClientKeys::Url(url.clone()), "system/*.rs").await;
    for _ in 0..3 {
        let assertion = sign(&old, "old", &claims(server, &client));
        let (status, body) = ask(server, &assertion, "system/*.rs").await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    *published.lock().unwrap() = json!({"keys": [new.public]}).to_string();
    let assertion = sign(&new, "new", &claims(server, &client));
    assert_eq!(ask(server, &assertion, "system/*.rs").await.0, 200);
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    // Unknown kids do not make the server hammer the client's.
    for _ in 0..5 {
        let assertion = sign(&new, "unknown", &claims(server, &client));
        assert_eq!(ask(server, &assertion, "system/*.rs").await.0, 401);
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    // A redirect is not followed.
    let elsewhere = url.replace("/jwks", "/elsewhere");
    let client = backend(server, ClientKeys::Url(elsewhere), "system/*.rs").await;
    let assertion = sign(&new, "new", &claims(server, &client));
    let (status, body) = ask(server, &assertion, "system/*.rs").await;
    assert_eq!(
        (status, body["error"].as_str()),
        (401, Some("invalid_client"))
    );
}

async fn assertions_that_prove_nothing(server: Server) {
    let own = key(Algorithm::ES384, "k1");
    let stranger = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let client = backend(server, ClientKeys::Value(set.clone()), "system/*.rs").await;
    let other = backend(server, ClientKeys::Value(set.clone()), "system/*.rs").await;
    let now = server.clock.now() / 1000;
    let changed = |name: &str, value: Value| {
        let mut claims = claims(server, &client);
        if value.is_null() {
            claims.as_object_mut().unwrap().shift_remove(name);
        } else {
            claims[name] = value;
        }
        sign(&own, "k1", &claims)
    };
    let good = claims(server, &client);
    let unsigned = |header: Value| {
        format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(good.to_string())
        )
    };
    let hmac = {
        // The public key as if it were a shared secret.
        let mut header = Header::new(Algorithm::HS384);
        header.kid = Some("k1".to_owned());
        let secret = EncodingKey::from_secret(set.as_bytes());
        jsonwebtoken::encode(&header, &good, &secret).unwrap()
    };
    let tampered = {
        let signed = sign(&own, "k1", &good);
        let parts: Vec<&str> = signed.split('.').collect();
        let mut more = good.clone();
        more["jti"] = json!("other");
        let body = URL_SAFE_NO_PAD.encode(more.to_string());
        format!("{}.{body}.{}", parts[0], parts[2])
    };
    let foreign_jku = {
        let mut header = Header::new(Algorithm::ES384);
        header.jku = Some("https://evil.example/jwks".to_owned());
        jsonwebtoken::encode(&header, &good, &own.private).unwrap()
    };
    let attempts = [
        ("alg none", unsigned(json!({"alg": "none"}))),
        ("alg NONE", unsigned(json!({"alg": "NONE"}))),
        (
            "no signature",
            unsigned(json!({"alg": "ES384", "kid": "k1"})),
        ),
        ("hmac", hmac),
        ("tampered", tampered),
        ("another key", sign(&stranger, "k1", &good)),
        ("another kid", sign(&own, "k2", &good)),
        ("foreign jku", foreign_jku),
        ("expired", changed("exp", json!(now))),
        ("long ago", changed("exp", json!(1))),
        ("too long", changed("exp", json!(now + 400))),
        ("no exp", changed("exp", Value::Null)),
        ("exp in words", changed("exp", json!("tomorrow"))),
        ("absurd exp", changed("exp", json!(1e300))),
        ("negative exp", changed("exp", json!(-5))),
        ("not yet", changed("nbf", json!(now + 100))),
        ("no jti", changed("jti", Value::Null)),
        ("empty jti", changed("jti", json!(""))),
        (
            "aud of another server",
            changed("aud", json!("https://evil.example/auth/token")),
        ),
        ("no aud", changed("aud", Value::Null)),
        ("iss is not sub", changed("iss", json!(other.client_id))),
        ("unknown client", changed("sub", json!("nobody"))),
        ("no JWT", "abc".to_owned()),
        ("empty parts", "..".to_owned()),
    ];
    for (what, assertion) in &attempts {
        let (status, body) = ask(server, assertion, "system/*.rs").await;
        assert_eq!(status, 401, "{what}: {body}");
        assert!(body.get("access_token").is_none(), "{what}");
    }
}

async fn an_assertion_works_once(server: Server) {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let client = backend(server, ClientKeys::Value(set), "system/*.rs").await;
    let assertion = sign(&own, "k1", &claims(server, &client));
    assert_eq!(ask(server, &assertion, "system/*.rs").await.0, 200);
    let (status, body) = ask(server, &assertion, "system/*.rs").await;
    assert_eq!(
        (status, body["error"].as_str()),
        (401, Some("invalid_client"))
    );
    // The same jti in a new assertion is the same jti.
    let mut reused = claims(server, &client);
    reused["jti"] = json!("once");
    assert_eq!(
        ask(server, &sign(&own, "k1", &reused), "system/*.rs")
            .await
            .0,
        200
    );
    reused["exp"] = json!(server.clock.now() / 1000 + 100);
    assert_eq!(
        ask(server, &sign(&own, "k1", &reused), "system/*.rs")
            .await
            .0,
        401
    );
    // At the same moment, too: one of many wins.
    let race = Arc::new(sign(&own, "k1", &claims(server, &client)));
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (http, url, race) = (server.http.clone(), server.url("/auth/token"), race.clone());
            tokio::spawn(async move {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("scope", "system/*.rs"),
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", race.as_str()),
                ];
                http.post(url)
                    .form(&form)
                    .send()
                    .await
                    .unwrap()
                    .status()
                    .as_u16()
            })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        won += usize::from(one.await.unwrap() == 200);
    }
    assert_eq!(won, 1);
}

async fn only_what_may_be_a_guess_slows_a_client_down(server: Server) {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let client = backend(server, ClientKeys::Value(set), "system/*.rs").await;
    let ask = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "system/*.rs"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        server.token_from("203.0.113.77", &form).await.0
    };
    let used = sign(&own, "k1", &claims(server, &client));
    assert_eq!(ask(&used).await, 200);
    let mut late = claims(server, &client);
    late["exp"] = json!(1);
    let late = sign(&own, "k1", &late);
    for _ in 0..8 {
        assert_eq!(ask(&used).await, 401);
        assert_eq!(ask(&late).await, 401);
    }
    assert_eq!(ask(&sign(&own, "k1", &claims(server, &client))).await, 200);
    let stranger = key(Algorithm::ES384, "k1");
    let mut last = 0;
    for _ in 0..7 {
        last = ask(&sign(&stranger, "k1", &claims(server, &client))).await;
    }
    assert_eq!(last, 429);
}

async fn scopes_beyond_the_registration_are_not_granted(server: Server) {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let registered = "system/Observation.rs system/Patient.r";
    let client = backend(server, ClientKeys::Value(set), registered).await;
    for (asked, granted) in [
        (
            "system/*.cruds",
            Some("system/Observation.rs system/Patient.r"),
        ),
        ("system/Observation.cruds", Some("system/Observation.rs")),
        ("system/Condition.rs", None),
        ("patient/Observation.rs openid", None),
        ("nonsense", None),
    ] {
        let assertion = sign(&own, "k1", &claims(server, &client));
        let (status, body) = ask(server, &assertion, asked).await;
        match granted {
            Some(granted) => assert_eq!((status, body["scope"].as_str()), (200, Some(granted))),
            None => assert_eq!(
                (status, body["error"].as_str()),
                (400, Some("invalid_scope"))
            ),
        }
    }
}
}
