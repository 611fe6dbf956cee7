//! What must not work.

use candor::smart::clients::{self, ClientKind};
use candor::smart::users::Role;
use candor::smart::{AuthError, authenticate};
use oauth2::{PkceCodeVerifier, TokenResponse as _};
use url::Url;

use crate::smart_support::{App, Browser, End, PASSWORD, REDIRECT, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

fn with(url: &Url, name: &str, value: Option<&str>) -> String {
    let mut changed = url.clone();
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .into_owned()
        .filter(|(own, _)| own != name)
        .collect();
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(value.map(|value| (name, value)));
    changed.to_string()
}

each_smart_database! {
async fn an_unknown_app_or_redirect_gets_a_page_and_no_redirect(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let url = app.start(ALL).url;
    let browser = Browser::new(server);
    for (name, value) in [
        ("client_id", Some("nobody")),
        ("client_id", None),
        ("redirect_uri", None),
        ("redirect_uri", Some("https://evil.example/done")),
        ("redirect_uri", Some("https://app.example/done/")),
        ("redirect_uri", Some("https://app.example/done?x=1")),
        ("redirect_uri", Some("https://app.example/other/../done")),
        ("redirect_uri", Some("https://APP.example/done")),
        ("redirect_uri", Some("https://app.example:443/done")),
        ("redirect_uri", Some("http://127.0.0.1:80/done/..")),
        ("redirect_uri", Some("http://127.0.0.1@evil.example/done")),
    ] {
        let page = browser.open(&with(&url, name, value)).await.page();
        assert_eq!(page.status, 400, "{name} {value:?}");
        assert!(page.body.contains("set up correctly"), "{}", page.body);
        assert!(page.body.contains("reference <strong>"));
    }
    let twice = format!("{url}&redirect_uri=https%3A%2F%2Fevil.example%2Fdone");
    assert_eq!(browser.open(&twice).await.page().status, 400);
}

async fn a_redirect_uri_is_the_registered_one_byte_for_byte_but_for_a_loopback_port(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let url = app.start(ALL).url;
    let browser = Browser::new(server);
    let open = async |uri: &str| browser.open(&with(&url, "redirect_uri", Some(uri))).await.page();
    let page = open("http://127.0.0.1:50000/done").await;
    assert_eq!((page.status, page.url.path()), (200, "/login"));
    for uri in [
        "http://127.1:9/done",
        "HTTP://127.0.0.1:9/done",
        "http:127.0.0.1:9/done",
        "http://127.0.0.1:9/x/../done",
        " http://127.0.0.1:9/done",
        "http://127.0.0.1:9/do\tne",
        "http://127.0.0.1:9/do\r\nne",
        "http://127.0.0.1:9/done\u{f1}",
        "https://app.example/done\r\nx: y",
    ] {
        let page = open(uri).await;
        assert_eq!(page.status, 400, "{uri:?}");
        assert!(page.body.contains("set up correctly"), "{uri:?}: {}", page.body);
    }
    // One that was registered before anybody looked at its bytes.
    let registered = "https://app.example/do\u{f1}e";
    server.sql(&format!("UPDATE oauth_client SET redirect_uris = '[\"{registered}\"]'")).await;
    assert_eq!(open(registered).await.status, 400);
}

async fn other_mistakes_go_back_to_the_app_without_a_code(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let verifier = sent.verifier.secret().clone();
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "invalid_request"),
        (
            "aud",
            Some("https://evil.example/fhir/r4"),
            "invalid_request",
        ),
        ("aud", None, "invalid_request"),
        ("aud", Some(&*server.public), "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("state", None, "invalid_request"),
        ("scope", None, "invalid_scope"),
        (
            "scope",
            Some("patient/Nothing.rs system/*.rs"),
            "invalid_scope",
        ),
        ("request", Some("x.y.z"), "request_not_supported"),
        (
            "request_uri",
            Some("https://evil.example/"),
            "request_uri_not_supported",
        ),
        ("response_mode", Some("fragment"), "invalid_request"),
    ] {
        let answer = browser.open(&with(&sent.url, name, value)).await.answer();
        assert_eq!(answer["error"], error, "{name} {value:?}");
        assert_eq!(answer["iss"], server.public);
        assert!(!answer.contains_key("code"));
        if name != "state" {
            assert_eq!(answer["state"], *sent.state.secret());
        }
    }
    // Only the person can open an app from a chart again: they are told, with a link back.
    let page = browser.open(&with(&sent.url, "launch", Some("abc"))).await.page();
    assert_eq!(page.status, 400);
    let answer = Browser::link_back(&page).answer();
    assert_eq!(answer["error"], "invalid_request");
    assert!(!answer.contains_key("code"));
    // `plain` with the challenge that the verifier is.
    let plain = with(&sent.url, "code_challenge", Some(&verifier[..43]));
    let plain = Url::parse(&plain).unwrap();
    let answer = browser
        .open(&with(&plain, "code_challenge_method", Some("plain")))
        .await
        .answer();
    assert_eq!(answer["error"], "invalid_request");
    // The slash at the end of aud is forgiven.
    let slash = with(&sent.url, "aud", Some(&format!("{}/", server.fhir())));
    assert_eq!(browser.open(&slash).await.page().status, 200);
}

async fn a_code_is_good_once_and_its_reuse_takes_back_what_it_gave(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let sent = app.start(ALL);
    let verifier = sent.verifier.secret().clone();
    let answer = Browser::new(server)
        .allow(&sent, &user, |form| form.set("long", "yes"))
        .await;
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let access = tokens.access_token().secret();
    assert!(authenticate(&server.state, access).await.is_ok());
    let again = app
        .exchange(&answer["code"], PkceCodeVerifier::new(verifier))
        .await;
    assert!(again.unwrap_err().contains("invalid_grant"));
    let dead = authenticate(&server.state, access).await;
    assert!(matches!(dead, Err(AuthError::InvalidToken)));
    let refresh = app.refresh(tokens.refresh_token().unwrap(), "").await;
    assert!(refresh.unwrap_err().contains("invalid_grant"));
}

async fn a_code_needs_its_own_verifier_client_redirect_and_minute(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &registered);
    let other = server.add_client(ClientKind::Public, ALL).await;
    let user = server.add_patient().await;
    let wrong = "x".repeat(43);
    for case in ["missing", "blank", "wrong", "challenge", "redirect", "late"] {
        let sent = app.start("patient/Goal.rs");
        let challenge: String = sent
            .url
            .query_pairs()
            .find(|(name, _)| name == "code_challenge")
            .map(|(_, value)| value.into_owned())
            .unwrap();
        let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
        let redirect = if case == "redirect" {
            "http://127.0.0.1/done"
        } else {
            REDIRECT
        };
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", answer["code"].as_str()),
            ("redirect_uri", redirect),
            ("client_id", &registered.client_id),
        ];
        match case {
            "missing" => {}
            "blank" => form.push(("code_verifier", "")),
            "wrong" => form.push(("code_verifier", &wrong)),
            "challenge" => form.push(("code_verifier", &challenge)),
            _ => form.push(("code_verifier", sent.verifier.secret())),
        }
        if case == "late" {
            server.advance(60_000);
        }
        let (status, body) = server.token(&form).await;
        assert_eq!(status, 400, "{case}: {body}");
        assert!(body.get("access_token").is_none());
        if case == "wrong" {
            // Burnt: the right verifier comes too late.
            let right = app.exchange(&answer["code"], sent.verifier).await;
            assert!(right.unwrap_err().contains("invalid_grant"));
        }
    }
    // Another client can neither use nor spoil it.
    let sent = app.start("patient/Goal.rs");
    let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
    let (status, body) = server
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &answer["code"]),
            ("redirect_uri", REDIRECT),
            ("client_id", &other.client_id),
            ("code_verifier", sent.verifier.secret()),
        ])
        .await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let (status, body) = server
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", "nothing"),
            ("redirect_uri", REDIRECT),
            ("client_id", &registered.client_id),
            ("code_verifier", &wrong),
        ])
        .await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("invalid_grant"))
    );
}

async fn a_refresh_token_is_good_once_and_never_grows(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let asked = "launch/patient offline_access patient/Goal.rs patient/Patient.rs";
    let first = app
        .connect(server, &user, asked, |form| form.set("long", "yes"))
        .await;
    let token = first.refresh_token().unwrap();
    for more in [
        "patient/Condition.rs",
        "patient/*.rs",
        "openid",
        "patient/Goal.cruds",
        "x",
    ] {
        let refused = app.refresh(token, more).await.unwrap_err();
        assert!(refused.contains("invalid_scope"), "{more}: {refused}");
    }
    let other = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    assert!(
        other
            .refresh(token, "")
            .await
            .unwrap_err()
            .contains("invalid_grant")
    );
    let second = app.refresh(token, "").await.unwrap();
    assert!(
        app.refresh(token, "")
            .await
            .unwrap_err()
            .contains("invalid_grant")
    );
    // The family is dead, the youngest too.
    let youngest = app.refresh(second.refresh_token().unwrap(), "").await;
    assert!(youngest.unwrap_err().contains("invalid_grant"));
    let dead = authenticate(&server.state, second.access_token().secret()).await;
    assert!(matches!(dead, Err(AuthError::InvalidToken)));
    // An access token is no refresh token, nor the other way round.
    let third = app
        .connect(server, &user, asked, |form| form.set("long", "yes"))
        .await;
    let swapped = oauth2::RefreshToken::new(third.access_token().secret().clone());
    assert!(
        app.refresh(&swapped, "")
            .await
            .unwrap_err()
            .contains("invalid_grant")
    );
    let swapped = authenticate(&server.state, third.refresh_token().unwrap().secret()).await;
    assert!(matches!(swapped, Err(AuthError::InvalidToken)));
}

async fn clients_prove_themselves_in_the_way_they_registered(server: Server) {
    let confidential = server.add_client(ClientKind::Confidential, ALL).await;
    let id = confidential.client_id.as_str();
    let grant = ("grant_type", "refresh_token");
    let token = ("refresh_token", "nothing");
    for form in [
        vec![grant, token, ("client_id", id)],
        vec![grant, token, ("client_id", id), ("client_secret", "wrong")],
        vec![grant, token, ("client_id", "nobody")],
    ] {
        let (status, body) = server.token(&form).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (401, Some("invalid_client"))
        );
    }
    // Naming nobody is a public client's way to refresh; the token is still nobody's.
    let (status, body) = server.token(&[grant, token]).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    let secret = confidential.client_secret.clone().unwrap();
    let (status, body) = server
        .token(&[grant, token, ("client_id", id), ("client_secret", &secret)])
        .await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    let basic = server
        .http
        .post(server.url("/auth/token"))
        .basic_auth(id, Some("wrong"))
        .form(&[grant, token])
        .send()
        .await
        .unwrap();
    assert_eq!(basic.status(), 401);
    assert!(
        basic.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Basic")
    );
    let both = server
        .http
        .post(server.url("/auth/token"))
        .basic_auth(id, Some(&secret))
        .form(&[grant, token, ("client_secret", &secret)])
        .send()
        .await
        .unwrap();
    assert_eq!(both.status(), 400);
    for (form, error) in [
        (
            vec![("grant_type", "password"), ("client_id", id)],
            "unsupported_grant_type",
        ),
        (vec![("client_id", id)], "invalid_request"),
        (
            vec![
                grant,
                token,
                token,
                ("client_id", id),
                ("client_secret", &secret),
            ],
            "invalid_request",
        ),
        (
            vec![
                ("grant_type", "client_credentials"),
                ("client_id", id),
                ("client_secret", &secret),
            ],
            "unauthorized_client",
        ),
    ] {
        let (status, body) = server.token(&form).await;
        assert_eq!((status, body["error"].as_str()), (400, Some(error)));
    }
    let json = server
        .http
        .post(server.url("/auth/token"))
        .json(&serde_json::json!({"grant_type": "refresh_token"}))
        .send()
        .await
        .unwrap();
    assert_eq!(json.status(), 400);
    assert_eq!(json.headers()["cache-control"], "no-store");
    assert_eq!(json.headers()["pragma"], "no-cache");
    let public = server.add_client(ClientKind::Public, ALL).await;
    let form = [("token", "x"), ("client_id", public.client_id.as_str())];
    let anonymous = server
        .http
        .post(server.url("/auth/introspect"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), 401);
}

async fn guessing_a_secret_slows_down(server: Server) {
    let client = server.add_client(ClientKind::Confidential, ALL).await;
    let guess = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "x"),
        ("client_id", client.client_id.as_str()),
        ("client_secret", "guess"),
    ];
    let mut statuses = vec![];
    for _ in 0..7 {
        statuses.push(server.token(&guess).await.0);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429]);
    server.advance(1_000);
    assert_eq!(server.token(&guess).await.0, 401);
}

async fn a_wrong_password_and_an_unknown_name_look_the_same_and_slow_down(server: Server) {
    let user = server.add_patient().await;
    let normal = |page: &crate::smart_support::Page, name: &str| {
        let form = page.form("/login");
        let (_, token) = form.fields.iter().find(|(name, _)| name == "form").unwrap();
        let body = page.without_reference();
        body.replace(name, "NAME").replace(token, "TOKEN")
    };
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let known = browser
        .sign_in(&login, &user.username, "not the password at all")
        .await
        .page();
    let unknown = browser
        .sign_in(&login, "nobody-here", "not the password at all")
        .await
        .page();
    assert_eq!((known.status, unknown.status), (400, 400));
    assert_eq!(
        normal(&known, &user.username),
        normal(&unknown, "nobody-here")
    );
    for name in [user.username.as_str(), "nobody-here"] {
        let mut last = 0;
        for _ in 0..6 {
            last = browser.sign_in(&login, name, "no").await.page().status;
        }
        assert_eq!(last, 429);
    }
    // Waiting, even the right password is not looked at; then it is.
    let page = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key("retry-after"));
    server.advance(60_000);
    let page = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    assert_eq!(page.url.path(), "/apps");
}

async fn forms_from_elsewhere_do_nothing(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let sent = app.start("patient/Goal.rs");
    let page = browser.to_consent(&sent, &user).await;
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    // Without the token, with a made-up one, or from another site.
    let mut forged = form.clone();
    forged.set("form", "");
    assert_eq!(browser.submit(&forged).await.page().status, 403);
    forged.set("form", "AAAA");
    assert_eq!(browser.submit(&forged).await.page().status, 403);
    for site in ["cross-site", "same-site", "none"] {
        let request = browser
            .http
            .post(server.url("/auth/consent"))
            .header("sec-fetch-site", site)
            .form(&form.fields);
        assert_eq!(browser.follow(request).await.page().status, 403, "{site}");
    }
    // Somebody else's browser, signed in as somebody else.
    let stranger = Browser::new(server);
    let other = server.add_patient().await;
    let login = stranger.open(&server.url("/login")).await.page();
    stranger
        .sign_in(&login, &other.username, PASSWORD)
        .await
        .page();
    let page = stranger.open(page.url.as_str()).await.page();
    assert_eq!(page.status, 403);
    assert_eq!(stranger.submit(&form).await.page().status, 403);
    // And it still works where it belongs, once.
    assert!(browser.submit(&form).await.answer().contains_key("code"));
    assert!(matches!(browser.submit(&form).await, End::Page(page) if page.status == 400));
    // A sign-in form without the cookie it was made with.
    let login = Browser::new(server)
        .open(&server.url("/login"))
        .await
        .page();
    let page = Browser::new(server)
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    assert!(page.body.contains("Turn on cookies"));
}

async fn what_a_request_may_cost_is_bounded(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    for (name, longest) in [("nonce", 512), ("state", 2048)] {
        let fits = with(&sent.url, name, Some(&"x".repeat(longest)));
        assert_eq!(browser.open(&fits).await.page().status, 200, "{name}");
        let long = with(&sent.url, name, Some(&"x".repeat(longest + 1)));
        let answer = browser.open(&long).await.answer();
        assert_eq!(answer["error"], "invalid_request", "{name}");
    }
    // Nobody fills the database from one address; somebody at another goes on.
    let ask = async |address: &str| {
        let request = server.http.get(sent.url.clone());
        let answer = request.header("x-forwarded-for", address).send().await;
        answer.unwrap().status().as_u16()
    };
    let mut admitted = 0;
    while ask("198.51.100.7").await == 303 {
        admitted += 1;
        assert!(admitted < 1000, "no end to it");
    }
    // One more for each second that it took.
    assert!(admitted >= 300, "{admitted}");
    assert_eq!(ask("198.51.100.8").await, 303);
}

async fn another_window_does_not_switch_the_record(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let records = [("ana", None, "Ana Ruiz"), ("maya", Some("ana-mother"), "Maya Ruiz")];
    let user = server.add_user(Role::Patient, None, &records).await;
    server.load_related("ana-mother", "maya").await;
    let browser = Browser::new(server);
    let sent = app.start("launch/patient patient/Goal.rs");
    let choice = browser.to_consent(&sent, &user).await;
    let mut choose = choice.form("/auth/record");
    choose.set("patient", "ana");
    let mut ana = browser.submit(&choose).await.page().form("/auth/consent");
    choose.set("patient", "maya");
    browser.submit(&choose).await.page();
    // The first window still speaks of Ana.
    ana.set("action", "allow");
    let again = browser.submit(&ana).await.page();
    assert_eq!(again.status, 400);
    assert!(again.body.contains("Maya Ruiz") && again.body.contains("another window"));
    let mut maya = again.form("/auth/consent");
    maya.set("action", "allow");
    let answer = browser.submit(&maya).await.answer();
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(tokens.extra_fields().patient.as_deref(), Some("maya"));
}

async fn enter_in_the_consent_form_decides_nothing(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let page = Browser::new(server)
        .to_consent(&app.start("patient/Goal.rs"), &user)
        .await;
    let (_, form) = page.body.split_once("action=\"/auth/consent\"").unwrap();
    let (_, button) = form.split_once("<button").unwrap();
    // HTML: a default button that is disabled submits nothing.
    assert!(button.starts_with(" disabled hidden>"), "{form}");
}

async fn a_disabled_clients_refresh_token_is_not_active(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let tokens = app
        .connect(server, &user, ALL, |form| form.set("long", "yes"))
        .await;
    let resource_server = server.add_client(ClientKind::Confidential, "openid user/*.rs").await;
    clients::set_introspects(&server.store, &resource_server.client_id, true).await.unwrap();
    let is_active = async || {
        let response = server
            .http
            .post(server.url("/auth/introspect"))
            .basic_auth(&resource_server.client_id, resource_server.client_secret.as_ref())
            .form(&[("token", tokens.refresh_token().unwrap().secret())])
            .send()
            .await
            .unwrap();
        response.text().await.unwrap().contains("\"active\":true")
    };
    assert!(is_active().await);
    clients::set_disabled(&server.store, &registered.client_id, true).await.unwrap();
    assert!(!is_active().await);
}

async fn an_answer_after_ten_minutes_is_too_late(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let sent = app.start("patient/Goal.rs");
    let page = browser.to_consent(&sent, &user).await;
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    server.advance(10 * 60_000);
    let late = browser.submit(&form).await.page();
    assert_eq!(late.status, 400);
    assert!(late.body.contains("ten minutes"));
    // Told in words, and led back with an answer that the app understands.
    let back = Browser::link_back(&late).answer();
    assert_eq!(back["error"], "access_denied");
    assert_eq!(back["error_description"], "timeout");
    assert_eq!(back["state"], *sent.state.secret());
    server.advance(60 * 60_000);
    assert!(candor::smart::sweep(&server.state).await.unwrap() >= 1);
    assert!(browser.submit(&form).await.page().body.contains("no longer good"));
}

async fn markup_in_what_others_wrote_stays_text(server: Server) {
    let mut new = candor::smart::clients::NewClient {
        client_id: None,
        name: "<script>alert(1)</script>".to_owned(),
        kind: ClientKind::Public,
        redirect_uris: vec![REDIRECT.to_owned()],
        keys: None,
        scope: ALL.to_owned(),
        class: candor::visibility::ViewerClass::System,
        person: None,
        options: candor::smart::clients::ClientOptions::default(),
    };
    let registered = candor::smart::clients::add(&server.store, new.clone())
        .await
        .unwrap();
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let page = browser.to_consent(&app.start(ALL), &user).await;
    assert!(!page.body.contains("<script>"));
    assert!(page.body.contains("alert(1)"));
    let login = format!("{}/login?request=%22%3E%3Cscript%3E", server.public);
    let page = Browser::new(server).open(&login).await.page();
    assert!(!page.body.contains("<script>"));
    new.redirect_uris = vec!["javascript:alert(1)".to_owned()];
    assert!(
        candor::smart::clients::add(&server.store, new)
            .await
            .is_err()
    );
}
}
