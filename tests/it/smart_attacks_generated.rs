//! Attacks made from lists that nobody keeps by hand: every page of the router, every mutation of a
//! redirect URI, every kind of token that is none.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candor::smart::clients::ClientKind;
use candor::smart::jwks::KeyFetcher;
use oauth2::TokenResponse as _;
use serde_json::{Value, json};
use url::Url;

use crate::smart_support::{App, Browser, End, PASSWORD, REDIRECT, Server, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// The pages' routes with their handlers, read from where they are routed.
pub fn pages() -> Vec<(String, String)> {
    let source = include_str!("../../src/smart.rs");
    // First those of whoever is signed in, then all others.
    let (_, pages) = source.split_once("let own = Router::new()").unwrap();
    let (pages, _) = pages.split_once("api.merge(pages)").unwrap();
    let mut found = Vec::new();
    for route in pages.split(".route(").skip(1) {
        let route = route.split(".layer(").next().unwrap();
        let (path, handlers) = route.split_once(',').unwrap();
        // A text, or a constant of the module that answers.
        let path = match path.trim().split_once("::") {
            Some((module, name)) => {
                let file = format!("{}/src/smart/{module}.rs", env!("CARGO_MANIFEST_DIR"));
                let text = std::fs::read_to_string(file).unwrap();
                let (_, rest) = text
                    .split_once(&format!("const {name}: &str = \""))
                    .unwrap();
                rest.split('"').next().unwrap().to_owned()
            }
            None => path.trim().trim_matches('"').to_owned(),
        };
        found.push((path, handlers.to_owned()));
    }
    assert!(found.len() > 35, "{found:?}");
    found
}

/// A browser in which a patient is signed in.
async fn signed_in(server: &Server) -> Browser {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let page = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    assert_eq!(page.url.path(), "/apps");
    browser
}

fn is_page(response: &reqwest::Response) -> bool {
    let kind = response.headers().get("content-type");
    kind.is_some_and(|kind| kind.to_str().unwrap().starts_with("text/html"))
}

/// What keeps a page out of others' frames, caches and referrers.
fn assert_guarded(path: &str, headers: &reqwest::header::HeaderMap) {
    let header = |name: &str| {
        let value = headers
            .get(name)
            .unwrap_or_else(|| panic!("{path}: no {name}"));
        value.to_str().unwrap().to_owned()
    };
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert!(!policy.contains("data:"), "{path}: {policy}");
    assert_eq!(header("x-frame-options"), "DENY", "{path}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
    assert!(header("cache-control").contains("no-store"), "{path}");
}

/// The registered URI with one thing changed, in every way that has ever fooled somebody.
fn tricks(registered: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (at, letter) in registered.char_indices() {
        let (before, after) = registered.split_at(at);
        let rest = &after[letter.len_utf8()..];
        if letter.is_ascii_alphabetic() {
            all.insert(format!("{before}{}{rest}", letter.to_ascii_uppercase()));
            all.insert(format!("{before}%{:02x}{rest}", letter as u32));
        }
        for put in [
            "%00", "%0d%0a", "\u{200b}", "\u{ff0f}", "\\", "//", "@", " ",
        ] {
            all.insert(format!("{before}{put}{after}"));
        }
    }
    for end in [
        "/",
        "?",
        "#",
        "?x=1",
        "#x",
        "/..",
        "/../evil",
        "/%2e%2e/",
        ";x",
        "%2f",
        "&x=1",
        ".evil.example",
        "#@evil.example",
        "?@evil.example",
        ":443",
    ] {
        all.insert(format!("{registered}{end}"));
    }
    let url = Url::parse(registered).unwrap();
    let (host, path) = (url.host_str().unwrap(), url.path());
    for start in [
        format!("http://{host}{path}"),
        format!("//{host}{path}"),
        format!("https:{host}{path}"),
        format!("https:/{host}{path}"),
        format!("https:\\\\{host}{path}"),
        format!("https://{host}:443{path}"),
        format!("https://{host}.{path}"),
        format!("https://user@{host}{path}"),
        format!("https://{host}@evil.example{path}"),
        format!("https://{host}:x@evil.example{path}"),
        format!("https://evil.example\\@{host}{path}"),
        format!("https://evil.example/{host}{path}"),
        format!("https://{host}.evil.example{path}"),
        format!("https://evil{host}{path}"),
        format!("https://www.{host}{path}"),
        format!("javascript://{host}{path}"),
        format!("data:text/html,{host}{path}"),
        format!("{registered} https://evil.example/"),
        format!("{registered}\nhttps://evil.example/"),
        registered.replace("https", "HTTPS"),
        path.to_owned(),
        String::new(),
        "*".to_owned(),
    ] {
        all.insert(start);
    }
    all.remove(registered);
    all
}

each_smart_database! {
async fn no_page_is_framed_cached_or_told_to_others(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let anonymous = Browser::new(server);
    let person = signed_in(server).await;
    let mut seen = 0;
    for (path, handlers) in pages() {
        for browser in [&anonymous, &person] {
            for (method, http) in [("get(", reqwest::Method::GET), ("post(", reqwest::Method::POST)] {
                if !handlers.contains(method) {
                    continue;
                }
                let mut request = browser.http.request(http.clone(), server.url(&path));
                if http == reqwest::Method::POST {
                    request = request.form(&[("form", "x")]);
                }
                let response = request.send().await.unwrap();
                assert!(response.status().as_u16() < 500, "{path}: {}", response.status());
                if is_page(&response) {
                    assert_guarded(&path, response.headers());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 12, "only {seen} pages");
    // And those that need a request: sign-in, whose record, consent, problems.
    let user = server.add_patient().await;
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    assert_guarded("sign-in for an app", &login.headers);
    let consent = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert!(consent.body.contains("/auth/consent"));
    assert_guarded("consent", &consent.headers);
    let problem = browser.open(&server.url("/auth/consent?request=x")).await.page();
    assert_guarded("problem", &problem.headers);
}

async fn no_form_works_from_elsewhere(server: Server) {
    let person = signed_in(server).await;
    let other = Browser::new(server);
    let token = other.open(&server.url("/login")).await.page().form("/login");
    let token = token.fields.iter().find(|(name, _)| name == "form").unwrap().1.clone();
    let mut tried = 0;
    for (path, handlers) in pages() {
        // An authorization request is meant to come from elsewhere: it changes nothing.
        if !handlers.contains("post(") || path == "/auth/authorize" {
            continue;
        }
        // Without a token, with a made-up one, with one of another browser's; and from another site.
        for (form, site) in [
            ("", "same-origin"),
            ("AAAA", "same-origin"),
            (token.as_str(), "same-origin"),
            (token.as_str(), "cross-site"),
        ] {
            let request = person
                .http
                .post(server.url(&path))
                .header("sec-fetch-site", site)
                .form(&[("form", form), ("action", "allow"), ("request", "x")]);
            let response = request.send().await.unwrap();
            let status = response.status();
            assert!(response.headers().get("set-cookie").is_none(), "{path}");
            // Forms of nobody in particular say that cookies are off, with 200.
            let is_refused = status.is_client_error()
                || response.text().await.unwrap().contains("Turn on cookies");
            assert!(is_refused, "{path} {form:?} from {site}: {status}");
            tried += 1;
        }
    }
    assert!(tried >= 60, "only {tried}");
    // Nobody was signed out, and everything is as it was.
    assert_eq!(person.open(&server.url("/apps")).await.page().url.path(), "/apps");
}

async fn a_planted_session_is_nobodys(server: Server) {
    let user = server.add_patient().await;
    let jar = std::sync::Arc::new(reqwest::cookie::Jar::default());
    let url = Url::parse(&server.public).unwrap();
    let planted = "A".repeat(43);
    for name in ["candor", "candor-form"] {
        jar.add_cookie_str(&format!("{name}={planted}"), &url);
    }
    let mut victim = Browser::new(server);
    victim.http = reqwest::Client::builder()
        .cookie_provider(jar)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let login = victim.open(&server.url("/login")).await.page();
    let page = victim.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(page.url.path(), "/apps");
    // Whoever planted it holds nothing.
    let response = server
        .http
        .get(server.url("/apps"))
        .header("cookie", format!("candor={planted}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 303);

    // Nor does who planted a session of their own: it ends, and does not become the victim's.
    let stranger = server.add_patient().await;
    let login = Browser::new(server);
    let form = login.open(&server.url("/login")).await.page().form("/login");
    let mut form = form;
    form.set("username", &stranger.username);
    form.set("password", PASSWORD);
    let request = login.http.post(server.url("/login")).form(&form.fields);
    let response = request.send().await.unwrap();
    let cookies = response.headers().get_all("set-cookie").iter();
    let own = cookies
        .filter_map(|cookie| cookie.to_str().unwrap().strip_prefix("candor="))
        .find_map(|rest| rest.split(';').next())
        .unwrap()
        .to_owned();
    let jar = std::sync::Arc::new(reqwest::cookie::Jar::default());
    jar.add_cookie_str(&format!("candor={own}"), &url);
    victim.http = reqwest::Client::builder()
        .cookie_provider(jar)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let mut again = app.start(ALL).url;
    again.query_pairs_mut().append_pair("prompt", "login");
    server.advance(1000);
    let page = victim.open(again.as_str()).await.page();
    let page = victim.sign_in(&page, &user.username, PASSWORD).await;
    drop(page);
    let response = server
        .http
        .get(server.url("/apps"))
        .header("cookie", format!("candor={own}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 303, "the planted session lives on");
}

async fn a_redirect_uri_matches_to_the_letter(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let url = app.start(ALL).url;
    let all = tricks(REDIRECT);
    assert!(all.len() > 200, "{}", all.len());
    for trick in all {
        let mut asked = url.clone();
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .into_owned()
            .filter(|(name, _)| name != "redirect_uri")
            .collect();
        asked.query_pairs_mut().clear().extend_pairs(kept).append_pair("redirect_uri", &trick);
        let response = server.http.get(asked).send().await.unwrap();
        assert_eq!(response.status(), 400, "{trick:?}");
        assert!(response.headers().get("location").is_none(), "{trick:?}");
        assert!(!response.text().await.unwrap().contains("http-equiv"), "{trick:?}");
    }
}

async fn every_answer_names_its_issuer(server: Server) {
    // RFC 9207: an app that talks to several servers tells them apart, in errors too.
    let document: Value = server
        .http
        .get(server.url("/.well-known/openid-configuration"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["issuer"], server.public);
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    for (change, answer) in [("allow", "code"), ("deny", "error")] {
        let sent = app.start(ALL);
        let browser = Browser::new(server);
        let back = browser.allow(&sent, &user, |form| form.set("action", change)).await;
        assert!(back.contains_key(answer), "{back:?}");
        assert_eq!(back["iss"], server.public);
    }
    let mut none = app.start(ALL).url;
    none.query_pairs_mut().append_pair("prompt", "none");
    let End::Away(back) = Browser::new(server).open(none.as_str()).await else {
        panic!("not sent back");
    };
    assert!(back.query_pairs().any(|(name, value)| name == "iss" && value == server.public));
}

async fn a_hint_that_nobody_signed_signs_nobody_out(server: Server) {
    let client = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &client);
    let user = server.add_patient().await;
    let sent = app.start(ALL);
    let browser = Browser::new(server);
    let answer = browser.allow(&sent, &user, |_| ()).await;
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let good = tokens.extra_fields().id_token.clone().unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let keys = server.http.get(server.url("/auth/jwks")).send().await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    // The public key as a shared secret, in the forms in which libraries took it.
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]);
    let mut hints = Vec::new();
    for secret in [key.unwrap().to_string(), key.unwrap()["n"].to_string(), keys.to_string()] {
        let head = encode(&json!({"alg": "HS256", "typ": "JWT", "kid": header["kid"]}));
        let signed = format!("{head}.{}", parts[1]);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        hints.push(format!("{signed}.{tag}"));
    }
    for alg in ["none", "None", "NONE", "", "RS256", "ES384", "HS256", "RS512"] {
        let head = encode(&json!({"alg": alg, "kid": header["kid"]}));
        hints.push(format!("{head}.{}.", parts[1]));
        hints.push(format!("{head}.{}.{}", parts[1], parts[2]));
    }
    // A key that the token brings along.
    let own = encode(&json!({"alg": "RS256", "jwk": key.unwrap(), "jku": "https://evil.example"}));
    hints.push(format!("{own}.{}.{}", parts[1], parts[2]));
    for hint in hints.into_iter().filter(|hint| *hint != good) {
        let mut url = Url::parse(&server.url("/auth/end-session")).unwrap();
        url.query_pairs_mut().append_pair("id_token_hint", &hint);
        let page = browser.open(url.as_str()).await.page();
        assert_eq!(page.url.path(), "/auth/end-session", "{hint}: signed out at once");
    }
    let mut url = Url::parse(&server.url("/auth/end-session")).unwrap();
    url.query_pairs_mut().append_pair("id_token_hint", &good);
    assert_eq!(browser.open(url.as_str()).await.page().url.path(), "/signed-out");
}

async fn codes_and_tokens_are_not_guessed(server: Server) {
    let client = server.add_client(ClientKind::Public, ALL).await;
    let app = App::new(server, &client);
    let user = server.add_patient().await;
    let sent = app.start(ALL);
    let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
    let code = answer["code"].clone();
    // 256 bits, whatever a guesser does.
    assert!(URL_SAFE_NO_PAD.decode(&code).unwrap().len() >= 32, "{code}");
    let mut near = code.clone().into_bytes();
    for at in 0..40 {
        near[at] = if near[at] == b'A' { b'B' } else { b'A' };
        let guess = String::from_utf8(near.clone()).unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", guess.as_str()),
            ("redirect_uri", REDIRECT),
            ("client_id", client.client_id.as_str()),
            ("code_verifier", sent.verifier.secret().as_str()),
        ];
        let (status, body) = server.token_from("198.51.100.77", &form).await;
        assert!(matches!(status, 400 | 429), "{body}");
        assert!(body.get("access_token").is_none());
    }
    // Others' guesses burn nobody's code.
    let tokens = app.exchange(&code, sent.verifier).await.unwrap();
    let refresh = tokens.refresh_token().map(|token| token.secret());
    for token in refresh.into_iter().chain([tokens.access_token().secret()]) {
        assert!(URL_SAFE_NO_PAD.decode(token).unwrap().len() >= 32, "{token}");
    }
}
}

#[tokio::test]
async fn keys_are_not_fetched_from_inside() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = reached.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let strict = KeyFetcher::new(false).unwrap();
    // Names are looked up once, and what is connected to is what was looked at: no rebinding between.
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "127.0.0.1.",
        "user@127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "ip6-localhost",
    ];
    for host in hosts {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/jwks");
            assert!(strict.get(&url, None).await.is_err(), "{url}");
        }
    }
    assert_eq!(reached.load(std::sync::atomic::Ordering::SeqCst), 0);
    // The setting opens loopback, and nothing else.
    let demo = KeyFetcher::new(true).unwrap();
    let url = format!("http://127.0.0.1:{port}/jwks");
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), demo.get(&url, None)).await;
    assert!(reached.load(std::sync::atomic::Ordering::SeqCst) >= 1);
    for host in [
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
    ] {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/jwks");
            assert!(demo.get(&url, None).await.is_err(), "{url}");
        }
    }
}
