//! Signing in with an OpenID provider: a small one that says what a test wants, and a second Candor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candor::config::{ClientSecret, Provider};
use candor::smart::clients::ClientKind;
use candor::smart::upstream;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use url::Url;

use crate::smart_support::{App, Browser, End, PASSWORD, Server};
use crate::support::Database;

/// Runs a test on both databases, with servers that it starts itself.
macro_rules! on_each {
    ($($name:ident),+) => {$(
        mod $name {
            use super::Database;

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
    )+};
}

on_each!(
    parallel_first_sign_ins_make_one_account,
    proven_claims_open_the_record_that_they_fit,
    whom_nothing_fits_is_nobody,
    a_second_candor_is_a_provider
);

/// A provider that says of everybody what it was told to.
pub struct Fake {
    issuer: String,
    said: Arc<Said>,
}

struct Said {
    key: KeyPair,
    issuer: Mutex<String>,
    /// Claims of the id_token by the code that it is given for.
    id_tokens: Mutex<HashMap<String, Value>>,
    /// Whether its configuration promises `iss` in its answers (RFC 9207).
    names_issuer: Mutex<bool>,
    userinfo: Mutex<Value>,
    /// How the next id_token is signed.
    signing: Mutex<Signing>,
    /// What was posted to the token endpoint last.
    posted: Mutex<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Signing {
    Right,
    None,
    /// HS256 with the public key as the secret.
    Confused,
    AnotherKey,
}

impl Said {
    fn jwk(&self) -> Value {
        let raw = self.key.der_bytes();
        let (x, y) = raw[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn sign(&self, code: &str) -> String {
        let claims = self.id_tokens.lock().unwrap()[code].clone();
        let with = |alg, key: &EncodingKey| {
            let mut header = Header::new(alg);
            header.kid = Some("one".to_owned());
            jsonwebtoken::encode(&header, &claims, key).unwrap()
        };
        let own = |key: &KeyPair| EncodingKey::from_ec_der(&key.serialize_der());
        match *self.signing.lock().unwrap() {
            Signing::Right => with(Algorithm::ES256, &own(&self.key)),
            Signing::AnotherKey => {
                let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
                with(Algorithm::ES256, &own(&other))
            }
            Signing::Confused => with(
                Algorithm::HS256,
                &EncodingKey::from_secret(self.key.der_bytes()),
            ),
            Signing::None => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                let header = part(&json!({"alg": "none", "kid": "one"}));
                format!("{header}.{}.", part(&claims))
            }
        }
    }
}

impl Fake {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Said {
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            issuer: Mutex::new(issuer.clone()),
            id_tokens: Mutex::default(),
            names_issuer: Mutex::default(),
            userinfo: Mutex::new(json!({"sub": "ann"})),
            signing: Mutex::new(Signing::Right),
            posted: Mutex::default(),
        });
        let base = issuer.clone();
        let configuration = move |State(said): State<Arc<Said>>| async move {
            let issuer = said.issuer.lock().unwrap().clone();
            let names_issuer = *said.names_issuer.lock().unwrap();
            json!({
                "authorization_response_iss_parameter_supported": names_issuer,
                "issuer": issuer,
                "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token"),
                "jwks_uri": format!("{base}/jwks"),
                "userinfo_endpoint": format!("{base}/userinfo"),
            })
            .to_string()
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route(
                "/jwks",
                get(async |State(said): State<Arc<Said>>| {
                    json!({"keys": [said.jwk()]}).to_string()
                }),
            )
            .route(
                "/token",
                post(async |State(said): State<Arc<Said>>, body: String| {
                    let code = url::form_urlencoded::parse(body.as_bytes())
                        .find(|(name, _)| name == "code")
                        .map(|(_, code)| code.into_owned());
                    *said.posted.lock().unwrap() = body;
                    let tokens = json!({
                        "access_token": "t", "token_type": "Bearer",
                        "id_token": said.sign(&code.unwrap()),
                    });
                    ([("content-type", "application/json")], tokens.to_string())
                }),
            )
            .route(
                "/userinfo",
                get(async |State(said): State<Arc<Said>>| {
                    said.userinfo.lock().unwrap().to_string()
                }),
            )
            .with_state(said.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, said }
    }

    fn provider(&self) -> Provider {
        Provider {
            id: "idme".to_owned(),
            name: "ID.me".to_owned(),
            issuer: self.issuer.clone(),
            client_id: "hospital".to_owned(),
            client_secret: Some(ClientSecret("s".to_owned())),
            required_acr: vec!["ial/2".to_owned()],
            proves_identity: true,
            ..Provider::default()
        }
    }

    /// Somebody goes to the provider: the parameters that they bring there.
    async fn set_out(
        &self,
        server: &Server,
        browser: &Browser,
        from: &str,
    ) -> HashMap<String, String> {
        let End::Away(away) = browser.open(&server.url(from)).await else {
            panic!("not sent to the provider");
        };
        assert!(away.as_str().starts_with(&self.issuer), "{away}");
        let asked: HashMap<String, String> = away.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["redirect_uri"], server.url("/login/back"));
        asked
    }

    /// They come back with a code, for which the provider then says this; its address.
    fn way_back(
        &self,
        server: &Server,
        asked: &HashMap<String, String>,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let now = server.clock.now() / 1000;
        let mut claims = json!({
            "iss": self.issuer, "aud": "hospital", "sub": "ann", "acr": "ial/2",
            "nonce": asked["nonce"], "iat": now, "exp": now + 300,
        });
        change(&mut claims);
        let code = &asked["nonce"];
        let mut id_tokens = self.said.id_tokens.lock().unwrap();
        id_tokens.insert(code.clone(), claims);
        server.url(&format!("/login/back?code={code}&state={}", asked["state"]))
    }

    /// Somebody goes to the provider and comes back with a code.
    pub async fn sign_in(
        &self,
        server: &Server,
        browser: &Browser,
        from: &str,
        change: impl FnOnce(&mut Value),
    ) -> End {
        let asked = self.set_out(server, browser, from).await;
        browser.open(&self.way_back(server, &asked, change)).await
    }
}

/// Where the sign-in page leads to the provider.
fn link(page: &crate::smart_support::Page) -> String {
    let (_, link) = page.body.split_once("href=\"/login/with/idme").unwrap();
    format!("/login/with/idme{}", link.split('"').next().unwrap())
}

/// A provider, and a hospital that knows whom it names.
pub async fn with_ann() -> (Fake, Server) {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server = Server::start_with(Database::Sqlite, |config| {
        config.providers = vec![provider];
    })
    .await;
    load_ann(&server).await;
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
    (fake, server)
}

async fn load_ann(server: &Server) {
    server
        .load(json!({
            "resourceType": "Patient", "id": "ann", "birthDate": "1980-05-06",
            "name": [{"family": "Ruiz", "given": ["Ann"]}],
            "telecom": [{"system": "phone", "value": "(859) 555-0101"}],
        }))
        .await;
}

pub fn ann(claims: &mut Value) {
    claims["given_name"] = "ANN".into();
    claims["family_name"] = "Ruíz".into();
    claims["birthdate"] = "1980-05-06".into();
}

async fn proven_claims_open_the_record_that_they_fit(database: Database) {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server = Server::start_with(database, |config| config.providers = vec![provider]).await;
    load_ann(&server).await;
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "+1 859 555 0101"});
    // From the app's link to the consent page.
    let registered = server
        .add_client(ClientKind::Public, "launch/patient patient/*.rs")
        .await;
    let app = App::new(&server, &registered);
    let browser = Browser::new(&server);
    let sent = app.start("launch/patient patient/*.rs");
    let page = browser.open(sent.url.as_str()).await.page();
    let page = fake
        .sign_in(&server, &browser, &link(&page), ann)
        .await
        .page();
    assert_eq!(page.url.path(), "/auth/consent", "{}", page.body);
    assert!(page.body.contains("Ann Ruiz"), "{}", page.body);
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    let answer = browser.submit(&form).await.answer();
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("ann"));
    let posted = fake.said.posted.lock().unwrap().clone();
    assert!(posted.contains("code_verifier="), "{posted}");
    // Who they are was proven; how they signed in there is not known here.
    for table in ["account", "auth_grant"] {
        let proven = format!("SELECT COUNT(*) FROM {table} WHERE ial = 2");
        assert_eq!(server.count(&proven).await, 1, "{table}");
    }
    // The second time it is the same account, whatever is said of the name.
    let again = Browser::new(&server);
    let page = fake
        .sign_in(&server, &again, "/login/with/idme", |_| {})
        .await;
    assert!(page.page().body.contains("Bone Journal"));
    let accounts = server.count("SELECT COUNT(*) FROM account").await;
    assert_eq!(accounts, 1);
    server.stop().await;
}

async fn whom_nothing_fits_is_nobody(database: Database) {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server = Server::start_with(database, |config| config.providers = vec![provider]).await;
    load_ann(&server).await;
    let page = async |change: fn(&mut Value)| {
        let browser = Browser::new(&server);
        fake.sign_in(&server, &browser, "/login/with/idme", change)
            .await
            .page()
    };
    // Name and birth date alone are not enough; nor is a twin of everything.
    let first = page(ann).await;
    assert_eq!(first.status, 403);
    assert!(
        first.body.contains("could not open a record"),
        "{}",
        first.body
    );
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
    server
        .load(json!({
            "resourceType": "Patient", "id": "namesake", "birthDate": "1980-05-06",
            "name": [{"family": "Ruiz", "given": ["Ann"]}],
            "telecom": [{"system": "phone", "value": "859-555-0101"}],
        }))
        .await;
    let second = page(ann).await;
    let third = page(|claims| {
        ann(claims);
        claims["birthdate"] = "1981-01-01".into();
    })
    .await;
    // Whether there is such a patient is not told.
    let told = |body: &str| {
        let (before, rest) = body.split_once("reference <strong>").unwrap();
        format!("{before}{}", rest.split_once("</strong>").unwrap().1)
    };
    assert_eq!(told(&first.body), told(&second.body));
    assert_eq!(told(&second.body), told(&third.body));
    assert_eq!(server.count("SELECT COUNT(*) FROM account").await, 0);
    // The desk was told once.
    let tasks =
        "SELECT COUNT(*) FROM resource WHERE rendition = 0 AND fhir_id NOT IN ('ann', 'namesake')";
    assert_eq!(server.count(tasks).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_proves_nothing_signs_nobody_in() {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server =
        Server::start_with(Database::Sqlite, |config| config.providers = vec![provider]).await;
    load_ann(&server).await;
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
    let now = server.clock.now() / 1000;
    let forgeries: [(&str, Value); 9] = [
        ("nonce", json!("another")),
        ("aud", json!("another")),
        ("aud", json!(["hospital", "another"])),
        ("azp", json!("another")),
        ("iss", json!("https://another.example")),
        ("exp", json!(now - 3600)),
        ("iat", json!(now + 3600)),
        ("acr", json!("ial/1")),
        ("sub", json!("somebody")),
    ];
    for (name, value) in forgeries {
        let browser = Browser::new(&server);
        let forge = |claims: &mut Value| {
            ann(claims);
            claims[name] = value.clone();
        };
        let page = fake
            .sign_in(&server, &browser, "/login/with/idme", forge)
            .await
            .page();
        assert_eq!(page.status, 400, "{name} {value}: {}", page.body);
    }
    for signing in [Signing::None, Signing::Confused, Signing::AnotherKey] {
        *fake.said.signing.lock().unwrap() = signing;
        let browser = Browser::new(&server);
        let page = fake
            .sign_in(&server, &browser, "/login/with/idme", ann)
            .await
            .page();
        assert_eq!(page.status, 400, "{}", page.body);
    }
    *fake.said.signing.lock().unwrap() = Signing::Right;
    // The control: the same, unforged, signs in; and its way back is good once.
    let browser = Browser::new(&server);
    let page = fake
        .sign_in(&server, &browser, "/login/with/idme", ann)
        .await
        .page();
    assert_eq!(
        (page.status, page.url.path()),
        (200, "/apps"),
        "{}",
        page.body
    );
    for query in [
        "code=c&state=x",
        "code=c",
        "error=access_denied&state=x",
        "",
    ] {
        let page = browser
            .open(&server.url(&format!("/login/back?{query}")))
            .await
            .page();
        assert_eq!(page.status, 400, "{query}");
    }
    let unknown = browser.open(&server.url("/login/with/nobody")).await.page();
    assert_eq!(unknown.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn another_browser_s_code_and_a_late_one_are_refused() {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server =
        Server::start_with(Database::Sqlite, |config| config.providers = vec![provider]).await;
    let End::Away(away) = Browser::new(&server)
        .open(&server.url("/login/with/idme"))
        .await
    else {
        panic!("not sent to the provider");
    };
    let state = away
        .query_pairs()
        .find(|(key, _)| key == "state")
        .unwrap()
        .1
        .into_owned();
    // Login CSRF: an attacker's answer in somebody else's browser.
    let victim = Browser::new(&server);
    let back = server.url(&format!("/login/back?code=c&state={state}"));
    assert_eq!(victim.open(&back).await.page().status, 400);
    let slow = Browser::new(&server);
    let End::Away(away) = slow.open(&server.url("/login/with/idme")).await else {
        panic!("not sent to the provider");
    };
    server.advance(11 * 60 * 1000);
    let state = away
        .query_pairs()
        .find(|(key, _)| key == "state")
        .unwrap()
        .1
        .into_owned();
    let back = server.url(&format!("/login/back?code=c&state={state}"));
    assert_eq!(slow.open(&back).await.page().status, 400);
    server.stop().await;
}

async fn a_second_candor_is_a_provider(database: Database) {
    let other = Server::start(Database::Sqlite).await;
    let hospital = Server::start_with(database, |config| {
        config.providers = vec![Provider {
            id: "other".to_owned(),
            name: "The other hospital".to_owned(),
            issuer: other.public.clone(),
            client_id: "hospital".to_owned(),
            parameters: [("aud".to_owned(), other.fhir())].into(),
            ..Provider::default()
        }];
    })
    .await;
    // Registered there as a public client under the name that the configuration has.
    other
        .add_client_named(
            "hospital",
            ClientKind::Public,
            &hospital.url("/login/back"),
            "openid fhirUser",
        )
        .await;
    let there = other.add_patient().await;
    let here = hospital.add_patient().await;
    let browser = Browser::new(&hospital);
    let visit = async |browser: &Browser| {
        let End::Away(away) = browser.open(&hospital.url("/login/with/other")).await else {
            panic!("not sent to the provider");
        };
        let abroad = Browser::new(&other);
        let page = abroad.open(away.as_str()).await.page();
        let page = abroad
            .sign_in(&page, &there.username, PASSWORD)
            .await
            .page();
        let mut form = page.form("/auth/consent");
        form.set("action", "allow");
        let End::Away(back) = abroad.submit(&form).await else {
            panic!("not sent back");
        };
        back
    };
    // Nobody knows who that is here, and this provider proves nobody's identity.
    let back: Url = visit(&browser).await;
    assert_eq!(browser.open(back.as_str()).await.page().status, 403);
    upstream::link(&hospital.store, &here.username, &other.public, &there.id)
        .await
        .unwrap();
    let back = visit(&browser).await;
    let page = browser.open(back.as_str()).await.page();
    assert_eq!(
        (page.status, page.url.path()),
        (200, "/apps"),
        "{}",
        page.body
    );
    // Closed here, it stays closed.
    candor::smart::users::set_disabled(&hospital.store, &here.username, true)
        .await
        .unwrap();
    let stranger = Browser::new(&hospital);
    let back = visit(&stranger).await;
    assert_eq!(stranger.open(back.as_str()).await.page().status, 403);
    hospital.stop().await;
    other.stop().await;
}

async fn parallel_first_sign_ins_make_one_account(database: Database) {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server = Server::start_with(database, |config| config.providers = vec![provider]).await;
    load_ann(&server).await;
    let all_at_once = async |subjects: [&str; 6]| {
        let mut coming = vec![];
        for subject in subjects {
            let browser = Browser::new(&server);
            let asked = fake.set_out(&server, &browser, "/login/with/idme").await;
            let back = fake.way_back(&server, &asked, |claims| {
                ann(claims);
                claims["sub"] = subject.into();
            });
            coming.push(async move { browser.open(&back).await.page().status });
        }
        futures_util::future::join_all(coming).await
    };
    // Nothing fits: one Task for the desk.
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "stranger"});
    assert_eq!(all_at_once(["stranger"; 6]).await, [403; 6]);
    let tasks = "SELECT COUNT(*) FROM resource WHERE rendition = 0 AND fhir_id <> 'ann'";
    assert_eq!(server.count(tasks).await, 1);
    // One subject in several browsers.
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
    assert_eq!(all_at_once(["ann"; 6]).await, [200; 6]);
    assert_eq!(server.count("SELECT COUNT(*) FROM account").await, 1);
    assert_eq!(server.count("SELECT COUNT(*) FROM account_record").await, 1);
    let links = "SELECT COUNT(*) FROM upstream_identity WHERE account <> ''";
    assert_eq!(server.count(links).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn two_subjects_of_one_patient_share_an_account() {
    let fake = Fake::start().await;
    let provider = fake.provider();
    let server = Server::start_with(Database::Sqlite, |config| {
        config.providers = vec![provider];
    })
    .await;
    load_ann(&server).await;
    for subject in ["ann", "ann-again"] {
        *fake.said.userinfo.lock().unwrap() = json!({"sub": subject, "phone_number": "8595550101"});
        let browser = Browser::new(&server);
        let page = fake.sign_in(&server, &browser, "/login/with/idme", |claims| {
            ann(claims);
            claims["sub"] = subject.into();
        });
        assert_eq!(page.await.page().status, 200);
    }
    assert_eq!(server.count("SELECT COUNT(*) FROM account").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_new_sign_in_that_was_asked_for_is_shown_by_auth_time() {
    let (fake, server) = with_ann().await;
    let registered = server
        .add_client(
            ClientKind::Public,
            "launch/patient patient/*.rs offline_access",
        )
        .await;
    let app = App::new(&server, &registered);
    let now = server.clock.now() / 1000;
    // What the app wants; what the provider is asked; the oldest sign-in that does.
    for (scope, wanted, prompt, max_age) in [
        ("", ("prompt", "login"), Some("login"), 0),
        ("", ("max_age", "600"), None, 600),
        (" offline_access", ("prompt", ""), None, 300),
    ] {
        let arrive = async |auth_time: Option<Value>| {
            let mut sent = app
                .start(&format!("launch/patient patient/*.rs{scope}"))
                .url;
            sent.query_pairs_mut().append_pair(wanted.0, wanted.1);
            let browser = Browser::new(&server);
            let login = browser.open(sent.as_str()).await.page();
            let asked = fake.set_out(&server, &browser, &link(&login)).await;
            assert_eq!(asked.get("prompt").map(String::as_str), prompt);
            assert_eq!(asked["max_age"], max_age.to_string());
            let back = fake.way_back(&server, &asked, |claims| {
                ann(claims);
                if let Some(then) = auth_time {
                    claims["auth_time"] = then;
                }
            });
            let page = browser.open(&back).await.page();
            // Refused is not signed in.
            let home = browser.open(&server.url("/apps")).await.page();
            assert_eq!(home.url.path() == "/apps", page.status == 200);
            (page.status, page.url.path().to_owned())
        };
        let refused = (403, "/login/back".to_owned());
        assert_eq!(arrive(None).await, refused, "{wanted:?}");
        let old = now - max_age - 100;
        assert_eq!(arrive(Some(old.into())).await, refused, "{wanted:?}");
        assert_eq!(arrive(Some((now + 900).into())).await, refused);
        assert_eq!(arrive(Some("yesterday".into())).await, refused);
        let done = (200, "/auth/consent".to_owned());
        assert_eq!(arrive(Some((now - max_age).into())).await, done);
    }
    // Who is signed in and has to sign in again is asked at the provider too.
    let browser = Browser::new(&server);
    let first = fake.sign_in(&server, &browser, "/login/with/idme", ann);
    assert_eq!(first.await.page().status, 200);
    server.advance(10 * 60 * 1000);
    let sent = app.start("launch/patient patient/*.rs offline_access").url;
    let login = browser.open(sent.as_str()).await.page();
    let asked = fake.set_out(&server, &browser, &link(&login)).await;
    assert_eq!((&*asked["prompt"], &*asked["max_age"]), ("login", "300"));
    server.stop().await;
}

/// Whoever finds a browser in which somebody is signed in at the provider still has not signed in anew here.
#[tokio::test]
async fn a_silent_sign_in_is_as_old_as_the_provider_says() {
    let (fake, server) = with_ann().await;
    let scope = "launch/patient patient/*.rs offline_access";
    let registered = server.add_client(ClientKind::Public, scope).await;
    let app = App::new(&server, &registered);
    let now = server.clock.now() / 1000;
    for (auth_time, leads_to) in [
        (Some(now - 1000), "/login"),
        (None, "/login"),
        (Some(now - 10), "/auth/consent"),
    ] {
        let browser = Browser::new(&server);
        let sent = app.start(scope).url;
        let login = browser.open(sent.as_str()).await.page();
        let request = login.url.query_pairs().find(|(name, _)| name == "request");
        let request = request.unwrap().1.into_owned();
        // By the side of the request, or with it in the page that comes after.
        for from in [
            "/login/with/idme".to_owned(),
            format!("/login/with/idme?next=/auth/record?request={request}"),
        ] {
            let page = fake.sign_in(&server, &browser, &from, |claims| {
                ann(claims);
                if let Some(then) = auth_time {
                    claims["auth_time"] = then.into();
                }
            });
            page.await.page();
            let path = format!("/auth/record?request={request}");
            let page = browser.open(&server.url(&path)).await.page();
            assert_eq!(page.url.path(), leads_to, "{auth_time:?} {from}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_the_operator_asks_of_everybody_is_held_to_as_well() {
    let fake = Fake::start().await;
    let mut provider = fake.provider();
    provider.parameters = [("max_age".to_owned(), "120".to_owned())].into();
    let server = Server::start_with(Database::Sqlite, |config| {
        config.providers = vec![provider];
    })
    .await;
    load_ann(&server).await;
    *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
    let now = server.clock.now() / 1000;
    for (auth_time, status) in [(now - 300, 403), (now - 100, 200)] {
        let browser = Browser::new(&server);
        let page = fake.sign_in(&server, &browser, "/login/with/idme", |claims| {
            ann(claims);
            claims["auth_time"] = auth_time.into();
        });
        assert_eq!(page.await.page().status, status);
    }
    server.stop().await;
}

#[tokio::test]
async fn where_somebody_was_going_survives_the_way_to_a_provider() {
    let (fake, server) = with_ann().await;
    let browser = Browser::new(&server);
    let login = browser.open(&server.url("/settings/sessions")).await.page();
    assert_eq!(login.url.path(), "/login");
    let page = fake.sign_in(&server, &browser, &link(&login), ann).await;
    assert_eq!(page.page().url.path(), "/settings/sessions");
    // Nothing but pages of ours.
    for foreign in ["https://evil.example/settings", "//evil.example", "/logout"] {
        let browser = Browser::new(&server);
        let from = format!("/login/with/idme?next={foreign}");
        let page = fake.sign_in(&server, &browser, &from, ann).await;
        assert_eq!(page.page().url.path(), "/apps", "{foreign}");
    }
    // An app's request that got as far as the consent page goes on there after the pause.
    let registered = server
        .add_client(ClientKind::Public, "launch/patient patient/*.rs")
        .await;
    let sent = App::new(&server, &registered).start("launch/patient patient/*.rs");
    let browser = Browser::new(&server);
    let login = browser.open(sent.url.as_str()).await.page();
    let consent = fake.sign_in(&server, &browser, &link(&login), ann).await;
    let consent = consent.page();
    assert_eq!(consent.url.path(), "/auth/consent");
    server.sql("DELETE FROM session").await;
    let login = browser.open(consent.url.as_str()).await.page();
    assert_eq!(login.url.path(), "/login");
    let again = fake.sign_in(&server, &browser, &link(&login), ann).await;
    assert_eq!(again.page().url, consent.url);
    server.stop().await;
}

/// RFC 9207: an answer of another issuer is not taken to this one's token endpoint (mix-up).
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_its_code_is_used() {
    for names_issuer in [true, false] {
        let fake = Fake::start().await;
        *fake.said.names_issuer.lock().unwrap() = names_issuer;
        let provider = fake.provider();
        let server = Server::start_with(Database::Sqlite, |config| {
            config.providers = vec![provider];
        })
        .await;
        load_ann(&server).await;
        *fake.said.userinfo.lock().unwrap() = json!({"sub": "ann", "phone_number": "8595550101"});
        let other = "https://evil.example".to_owned();
        let longer = format!("{}/", fake.issuer);
        for (iss, is_taken) in [
            (Some(other), false),
            (Some(longer), false),
            (Some(String::new()), false),
            // Only who promises it must name itself.
            (None, !names_issuer),
            (Some(fake.issuer.clone()), true),
        ] {
            fake.said.posted.lock().unwrap().clear();
            let browser = Browser::new(&server);
            let asked = fake.set_out(&server, &browser, "/login/with/idme").await;
            let mut back = Url::parse(&fake.way_back(&server, &asked, ann)).unwrap();
            if let Some(iss) = &iss {
                back.query_pairs_mut().append_pair("iss", iss);
            }
            let page = browser.open(back.as_str()).await.page();
            let status = if is_taken { 200 } else { 400 };
            assert_eq!(page.status, status, "{names_issuer} {iss:?}");
            let was_posted = !fake.said.posted.lock().unwrap().is_empty();
            assert_eq!(was_posted, is_taken, "{names_issuer} {iss:?}");
        }
        server.stop().await;
    }
}
