//! Signed-in browsers: the list of them, idle ones, and the way back to where somebody was.

use candor::smart::clients::ClientKind;
use candor::smart::users::Role;
use serde_json::Value;

use crate::smart_attacks_generated::pages;
use crate::smart_support::{App, Browser, End, PASSWORD, Page, Server, each_smart_database};
use crate::support::Database;

const MINUTE: i64 = 60_000;
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn sign_in_as(server: &Server, username: &str, agent: &str) -> Browser {
    let browser = Browser::new(server);
    let mut form = browser
        .open(&server.url("/login"))
        .await
        .page()
        .form("/login");
    form.set("username", username);
    form.set("password", PASSWORD);
    let request = browser
        .http
        .post(server.url("/login"))
        .header("user-agent", agent)
        .form(&form.fields);
    assert_eq!(browser.follow(request).await.page().url.path(), "/apps");
    browser
}

async fn path(server: &Server, browser: &Browser, page: &str) -> String {
    let page = browser.open(&server.url(page)).await.page();
    page.url.path().to_owned()
}

fn query(page: &Page, name: &str) -> Option<String> {
    let mut pairs = page.url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

each_smart_database! {
async fn every_browser_is_listed_and_can_be_signed_out(server: Server) {
    let user = server.add_patient().await;
    let (one, two, three) = (
        sign_in_as(server, &user.username, FIREFOX).await,
        sign_in_as(server, &user.username, "Mozilla/5.0 (iPhone) AppleWebKit Version/18 Safari/604").await,
        sign_in_as(server, &user.username, "").await,
    );
    let stranger = server.add_patient().await;
    let other = sign_in_as(server, &stranger.username, FIREFOX).await;
    server.advance(3 * MINUTE);
    let page = one.open(&server.url("/settings/sessions")).await.page();
    for words in ["Firefox, Windows", "Safari, iPhone", "A browser", "(this one)", "just now", "3 minutes ago"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert_eq!(page.body.matches("class=\"card\"").count(), 3);
    // One of them; this one has no button.
    let (_, rest) = page.body.split_once("Safari, iPhone").unwrap();
    let of_phone = Page { body: rest.to_owned(), ..page };
    let ended = one.submit(&of_phone.form("/settings/sessions")).await.page();
    assert!(ended.body.contains("Signed out.") && !ended.body.contains("iPhone"), "{}", ended.body);
    assert_eq!(path(server, &two, "/apps").await, "/login");
    assert_eq!(path(server, &three, "/apps").await, "/apps");
    // Another account's session is not theirs to end, whatever the form says.
    let mut form = ended.form("/settings/sessions");
    let hash = server.column("SELECT agent FROM session ORDER BY seen").await;
    assert_eq!(hash.len(), 3);
    form.set("session", "0000000000000000");
    one.submit(&form).await.page();
    assert_eq!(path(server, &other, "/apps").await, "/apps");
    // All others at once.
    form.fields.retain(|(name, _)| name != "session");
    let ended = one.submit(&form).await.page();
    assert_eq!(ended.body.matches("class=\"card\"").count(), 1);
    assert_eq!(path(server, &three, "/apps").await, "/login");
    assert_eq!(path(server, &one, "/apps").await, "/apps");
    assert_eq!(path(server, &other, "/apps").await, "/apps");
}

async fn every_page_of_whoever_is_signed_in_signs_them_out(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    let mut seen = 0;
    for (route, handlers) in pages() {
        for (method, http) in [("get(", reqwest::Method::GET), ("post(", reqwest::Method::POST)] {
            if !handlers.contains(method) {
                continue;
            }
            // Forms of nobody, unknown requests, links without what they need: pages that say what is wrong.
            let mut request = browser.http.request(http.clone(), server.url(&format!("{route}?request=x")));
            if http == reqwest::Method::POST {
                request = request.header("sec-fetch-site", "cross-site").form(&[("form", "x"), ("request", "x")]);
            }
            let response = request.send().await.unwrap();
            let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
            if !kind.is_some_and(|kind| kind.starts_with("text/html")) {
                continue;
            }
            let status = response.status();
            let body = response.text().await.unwrap();
            assert!(body.contains("action=\"/logout\""), "{http} {route}: {status} {body}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} pages");
    // The button of such a page works, and nobody else's page has one.
    let problem = browser.open(&server.url("/auth/consent?request=x")).await.page();
    assert_eq!(problem.status, 400);
    assert!(problem.body.contains("code <strong>gone</strong>, reference <strong>"), "{}", problem.body);
    // Who is in is not told that they are out.
    assert_eq!(path(server, &browser, "/signed-out").await, "/idle");
    let out = browser.submit(&problem.form("/logout")).await.page();
    assert_eq!(out.url.path(), "/signed-out");
    let problem = browser.open(&server.url("/auth/consent?request=x")).await.page();
    assert!(!problem.body.contains("/logout"), "{}", problem.body);
}

async fn a_refusal_has_a_code_and_a_reference(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let mut references = Vec::new();
    for _ in 0..2 {
        let refused = browser.sign_in(&login, &user.username, "not the password").await.page();
        let (_, rest) = refused.body.split_once("(Code sign-in-wrong, reference ").unwrap();
        references.push(rest.split(')').next().unwrap().to_owned());
    }
    assert!(references[0].len() == 10 && references[0] != references[1], "{references:?}");
}

async fn fifteen_minutes_without_use_end_a_session(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    server.advance(15 * MINUTE);
    assert_eq!(path(server, &browser, "/settings").await, "/settings");
    server.advance(15 * MINUTE + 1);
    let response = browser.http.get(server.url("/settings/sessions")).send().await.unwrap();
    assert_eq!(response.status(), 303);
    let to = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(to, "/signed-out?r=idle&next=%2Fsettings%2Fsessions");
    let out = browser.open(&server.url(&to)).await.page();
    assert!(out.body.contains("not used for 15 minutes"), "{}", out.body);
    assert_eq!(out.headers["clear-site-data"], "\"cache\", \"storage\"");
    assert_eq!(out.headers["cache-control"], "no-store");
    // Back at once, at the page where they were.
    let (_, rest) = out.body.split_once("<a href=\"/login").unwrap();
    let login = format!("/login{}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    let login = browser.open(&server.url(&login)).await.page();
    let back = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(back.url.path(), "/settings/sessions");
    // Swept or not, what was idle stays out.
    server.advance(16 * MINUTE);
    candor::smart::sweep(&server.state).await.unwrap();
    assert_eq!(path(server, &browser, "/apps").await, "/signed-out");
}

async fn two_minutes_before_the_end_one_key_is_enough(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    let page = browser.open(&server.url("/settings/email")).await.page();
    let refresh = "<noscript><meta http-equiv=\"refresh\" content=\"780;url=/idle?next=%2Fsettings%2Femail\">";
    assert!(page.body.contains(refresh), "{}", page.body);
    server.advance(13 * MINUTE);
    // To be asked is not to be there, and neither is the script's question.
    for _ in 0..2 {
        let left = browser.http.get(server.url("/idle/left")).send().await.unwrap();
        let left: Value = serde_json::from_str(&left.text().await.unwrap()).unwrap();
        assert_eq!(left["left"], 120);
        let asked = browser.open(&server.url("/idle?next=/settings/email")).await.page();
        assert!(asked.body.contains("2 minutes left") && asked.body.contains("<button autofocus>"));
        let end = "<noscript><meta http-equiv=\"refresh\" content=\"120;url=/signed-out?r=idle\">";
        assert!(asked.body.contains(end), "{}", asked.body);
    }
    server.advance(MINUTE);
    let asked = browser.open(&server.url("/idle?next=/settings/email")).await.page();
    assert!(asked.body.contains("1 minute left"), "{}", asked.body);
    let mut form = asked.form("/idle");
    assert_eq!(browser.submit(&form).await.page().url.path(), "/settings/email");
    server.advance(14 * MINUTE);
    assert_eq!(path(server, &browser, "/settings").await, "/settings");
    // The script's way, and too late.
    form.set("quiet", "yes");
    let quiet = async || {
        let request = browser.http.post(server.url("/idle")).form(&form.fields);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(quiet().await, 204);
    server.advance(16 * MINUTE);
    assert_eq!(quiet().await, 401);
    let late = browser.open(&server.url("/idle?next=/settings")).await.page();
    assert_eq!(late.url.path(), "/signed-out");
    // A form of elsewhere extends nothing.
    let again = sign_in_as(server, &user.username, FIREFOX).await;
    form.set("form", "nonsense");
    let request = again.http.post(server.url("/idle")).form(&form.fields);
    assert_eq!(request.send().await.unwrap().status(), 403);
}

async fn what_was_typed_too_late_is_sent_when_they_are_back(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    let back = async |browser: &Browser, out: &Page| {
        let (_, rest) = out.body.split_once("<a href=\"/login").unwrap();
        let login = format!("/login{}", rest.split('"').next().unwrap());
        let login = browser.open(&server.url(&login)).await.page();
        browser.sign_in(&login, &user.username, PASSWORD).await.page()
    };
    let filled = async |browser: &Browser| {
        let mut form = browser.open(&server.url("/settings/email")).await.page().form("/settings/email");
        form.set("email", "ana@example.com");
        form.set("current", PASSWORD);
        form
    };
    let form = filled(&browser).await;
    server.advance(15 * MINUTE + 1);
    let out = browser.submit(&form).await.page();
    assert_eq!(query(&out, "next").as_deref(), Some("/resume"));
    // Nothing secret is kept.
    let kept = server.column("SELECT path || ' ' || fields FROM draft").await;
    assert_eq!(kept, ["/settings/email email=ana%40example.com"]);
    // Somebody else finds nothing there.
    let stranger = server.add_patient().await;
    let theirs = sign_in_as(server, &stranger.username, FIREFOX).await;
    assert_eq!(path(server, &theirs, "/resume").await, "/settings");
    let page = back(&browser, &out).await;
    assert_eq!(page.url.path(), "/resume");
    assert!(page.body.contains("<p class=\"typed\">ana@example.com</p>"), "{}", page.body);
    // Sent, it is what was typed; the page asks for what was not kept.
    let sent = browser.submit(&page.form("/settings/email")).await.page();
    assert_eq!(sent.status, 400);
    assert!(sent.body.contains("value=\"ana@example.com\""), "{}", sent.body);
    // It stays until it was taken, which it is with the password.
    assert_eq!(path(server, &browser, "/resume").await, "/resume");
    let mut whole = sent.form("/settings/email");
    whole.set("current", PASSWORD);
    assert_eq!(browser.submit(&whole).await.page().status, 200);
    assert_eq!(path(server, &browser, "/resume").await, "/settings");
    // Thrown away, or left for a day, it is gone.
    let form = filled(&browser).await;
    server.advance(15 * MINUTE + 1);
    let out = browser.submit(&form).await.page();
    let page = back(&browser, &out).await;
    let dropped = browser.submit(&page.form("/resume")).await.page();
    assert_eq!(dropped.url.path(), "/settings/email");
    assert_eq!(server.count("SELECT COUNT(*) FROM draft").await, 0);
    let form = filled(&browser).await;
    server.advance(15 * MINUTE + 1);
    let out = browser.submit(&form).await.page();
    server.advance(24 * 60 * MINUTE);
    assert_eq!(back(&browser, &out).await.url.path(), "/settings");
    candor::smart::sweep(&server.state).await.unwrap();
    assert_eq!(server.count("SELECT COUNT(*) FROM draft").await, 0);
}

async fn a_script_that_signs_somebody_out_leaves_what_they_typed(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    let page = browser.open(&server.url("/settings/email")).await.page();
    assert!(page.body.contains("data-draft=\"/draft\""), "{}", page.body);
    let mut form = page.form("/settings/email");
    form.set("email", "ana@example.com");
    let leave = async |of: &str, token: Option<&str>| {
        let mut form = form.clone();
        form.set("draft-of", of);
        if let Some(token) = token {
            form.set("form", token);
        }
        let request = browser.http.post(server.url("/draft")).header("sec-fetch-site", "same-origin");
        request.form(&form.fields).send().await.unwrap().status().as_u16()
    };
    server.advance(15 * MINUTE + 1);
    // Only for pages of somebody's own, and only from a form of this browser's.
    for of in ["/login", "/logout", "https://evil.example/settings", "//evil.example/settings", ""] {
        assert_eq!(leave(of, None).await, 403, "{of}");
    }
    assert_eq!(leave("/settings/email", Some("nonsense")).await, 403);
    assert_eq!(server.count("SELECT COUNT(*) FROM draft").await, 0);
    assert_eq!(leave("/settings/email", None).await, 204);
    // It is no use of the page.
    assert_eq!(path(server, &browser, "/settings/email").await, "/signed-out");
    // The session is gone, and with it the way to leave anything.
    assert_eq!(leave("/settings/email", None).await, 403);
}

async fn an_app_is_connected_where_it_was_left(server: Server) {
    let records = [("ana", None, "Ana Ruiz"), ("maya", Some("ana-mother"), "Maya Ruiz")];
    let user = server.add_user(Role::Patient, None, &records).await;
    server.load_related("ana-mother", "maya").await;
    let app = App::new(server, &server.add_client(ClientKind::Public, "patient/*.rs").await);
    let sent = app.start("launch/patient patient/*.rs");
    let browser = Browser::new(server);
    let mut choose = browser.to_consent(&sent, &user).await.form("/auth/record");
    choose.set("patient", "maya");
    let consent = browser.submit(&choose).await.page();
    assert!(consent.body.contains("Maya Ruiz"));
    // Signed out elsewhere meanwhile; then too long without use.
    server.sql("DELETE FROM session").await;
    let End::Page(login) = browser.open(consent.url.as_str()).await else { panic!("away") };
    assert_eq!(login.url.path(), "/login");
    let back = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(back.url.path(), "/auth/consent", "{}", back.body);
    assert!(back.body.contains("Maya Ruiz"), "{}", back.body);
    server.sql("UPDATE session SET seen = seen - 1000000").await;
    let out = browser.open(consent.url.as_str()).await.page();
    assert_eq!(out.url.path(), "/signed-out");
    let id = query(&consent, "request").unwrap();
    assert!(out.body.contains(&format!("<a href=\"/login?request={id}\">")), "{}", out.body);
    let login = browser.open(&server.url(&format!("/login?request={id}"))).await.page();
    let back = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert!(back.url.path() == "/auth/consent" && back.body.contains("Maya Ruiz"), "{}", back.body);
    // A form that was open when the time was up leads there too.
    server.sql("UPDATE session SET seen = seen - 1000000").await;
    let mut form = back.form("/auth/consent");
    form.set("action", "allow");
    let login = browser.submit(&form).await.page();
    assert_eq!(login.url.path(), "/login");
    let back = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    let mut form = back.form("/auth/consent");
    form.set("action", "allow");
    assert!(browser.submit(&form).await.answer().contains_key("code"));
}

async fn nobody_is_led_off_after_signing_in(server: Server) {
    let user = server.add_patient().await;
    for next in [
        "//evil.example",
        "https://evil.example/settings",
        "/\\evil.example",
        "/logout",
        "/auth/authorize?client_id=x",
        "/settings/../logout",
        "javascript:alert(1)",
    ] {
        let browser = Browser::new(server);
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let login = browser.open(&server.url(&format!("/login?next={encoded}"))).await.page();
        assert!(!login.body.contains("name=\"next\""), "{next}");
        let mut form = login.form("/login");
        form.set("next", next);
        form.set("username", &user.username);
        form.set("password", PASSWORD);
        assert_eq!(browser.submit(&form).await.page().url.path(), "/apps", "{next}");
        let out = server.url(&format!("/signed-out?r=idle&next={encoded}"));
        let out = Browser::new(server).open(&out).await.page();
        assert!(out.body.contains("<a href=\"/login\">"), "{next}: {}", out.body);
    }
}

async fn signing_in_is_a_new_session_each_time(server: Server) {
    let user = server.add_patient().await;
    let login = async |cookie: Option<&str>| {
        let page = server.http.get(server.url("/login")).send().await.unwrap();
        let own = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        let own = own.split(';').next().unwrap().to_owned();
        let body = page.text().await.unwrap();
        let (_, rest) = body.split_once("name=\"form\" value=\"").unwrap();
        let token = rest.split('"').next().unwrap();
        let cookies = match cookie {
            Some(planted) => format!("{own}; {planted}"),
            None => own,
        };
        let form = [("form", token), ("username", user.username.as_str()), ("password", PASSWORD)];
        let request = server.http.post(server.url("/login")).header("cookie", cookies).form(&form);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let set = answer.headers().get_all("set-cookie").iter();
        let set: Vec<String> = set.map(|value| value.to_str().unwrap().to_owned()).collect();
        let device = set.iter().find(|value| value.contains("device")).unwrap();
        // 400 days, as long as the server knows it.
        let mut device = device.split("; ");
        assert!(device.any(|one| one == "Max-Age=34560000"), "{set:?}");
        let session = set.iter().rfind(|value| value.starts_with("candor=")).unwrap();
        assert!(session.contains("HttpOnly") && session.contains("SameSite=Lax"), "{session}");
        session.split(';').next().unwrap().to_owned()
    };
    let is_in = async |cookie: &str| {
        let request = server.http.get(server.url("/settings")).header("cookie", cookie);
        request.send().await.unwrap().status() == 200
    };
    // Planted before, and of an earlier sign-in: neither lives on.
    let planted = "candor=planted-by-somebody-else";
    let first = login(Some(planted)).await;
    assert_ne!(first, planted);
    assert!(is_in(&first).await && !is_in(planted).await);
    let second = login(Some(&first)).await;
    assert_ne!(second, first);
    assert!(is_in(&second).await && !is_in(&first).await);
}

async fn a_sign_in_that_is_blocked_says_when_to_come_back(server: Server) {
    let browser = Browser::new(server);
    let mut form = browser.open(&server.url("/login")).await.page().form("/login");
    form.set("username", "somebody");
    form.set("password", "no");
    let post = async |address: &str| {
        let request = browser.http.post(server.url("/login"));
        let request = request.header("x-forwarded-for", address).form(&form.fields);
        request.send().await.unwrap()
    };
    assert_eq!(post("198.51.100.1").await.status(), 400);
    server.sql("UPDATE sign_in SET failures = 101").await;
    let blocked = post("198.51.100.2").await;
    assert_eq!(blocked.status(), 429);
    assert_eq!(blocked.headers()["retry-after"], "86400");
}

async fn pages_of_somebody_are_kept_nowhere(server: Server) {
    let user = server.add_patient().await;
    let browser = sign_in_as(server, &user.username, FIREFOX).await;
    for path in ["/settings", "/settings/password", "/settings/email", "/settings/sessions", "/apps", "/idle"] {
        let page = browser.open(&server.url(path)).await.page();
        assert_eq!((page.status, page.url.path()), (200, path));
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert!(page.body.contains("Sign out</button>"), "{path}");
    }
    for path in ["/activate", "/forgot", "/login"] {
        let page = Browser::new(server).open(&server.url(path)).await.page();
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert!(page.body.contains("Need help?"), "{path}");
    }
    // Without cookies there is a page that says so, and no loop.
    for path in ["/activate", "/forgot", "/login"] {
        let form = Browser::new(server).open(&server.url(path)).await.page().form(path);
        let page = Browser::new(server).submit(&form).await.page();
        assert!(page.status == 200 && page.body.contains("Turn on cookies"), "{path}: {}", page.body);
    }
    // Each page leads to the sign-in page and back.
    for path in ["/settings", "/settings/password", "/settings/email", "/settings/sessions", "/apps", "/staff/reset"] {
        let page = Browser::new(server).open(&server.url(path)).await.page();
        assert_eq!(page.url.path(), "/login", "{path}");
    }
}
}

/// The main part of each page, in both languages, without what differs from run to run.
#[tokio::test]
async fn pages_of_accounts_read_as_they_did() {
    let server = Server::start(Database::Sqlite).await;
    let user = server.add_patient().await;
    let secrets = regex::Regex::new(r#"(name="form" value=")[^"]+"#).unwrap();
    let sessions = regex::Regex::new(r#"value="[0-9a-f]{16}""#).unwrap();
    for language in ["en", "es"] {
        let mut text = String::new();
        let browser = sign_in_as(&server, &user.username, FIREFOX).await;
        let nobody = Browser::new(&server);
        let pages = [
            (&nobody, "/login"),
            (&nobody, "/activate"),
            (&nobody, "/forgot"),
            (&nobody, "/reset"),
            (&nobody, "/signed-out?r=idle"),
            (&browser, "/settings"),
            (&browser, "/settings/password"),
            (&browser, "/settings/email"),
            (&browser, "/settings/sessions"),
            (&browser, "/idle"),
        ];
        for (browser, path) in pages {
            let address = match path.split_once('?') {
                Some(_) => format!("{path}&lang={language}"),
                None => format!("{path}?lang={language}"),
            };
            let page = browser.open(&server.url(&address)).await.page();
            let (_, main) = page.body.split_once("<main").unwrap();
            let (main, _) = main.split_once("</main>").unwrap();
            let main = secrets.replace_all(main, "${1}FORM");
            let main = main.replace(&user.username, "USERNAME");
            let main = sessions.replace_all(&main, "value=\"SESSION\"");
            text.push_str(&format!("== {path}\n<main{main}</main>\n\n"));
        }
        insta::assert_snapshot!(format!("account-pages-{language}"), text);
        server.sql("DELETE FROM session").await;
    }
    server.stop().await;
}
