//! Shared terminals: two idle minutes, no apps, no passkeys, and an end that leaves nothing there.

use candor::smart::SmartConfig;
use candor::smart::clients::ClientKind;
use candor::smart::users::RegisteredUser;
use reqwest::header::HeaderMap;

use crate::smart_support::{App, Browser, End, PASSWORD, Page, Server, each_smart_database};
use crate::support::Database;

const MINUTE: i64 = 60_000;
const ALL: &str = "\"cache\", \"cookies\", \"storage\"";

/// Opens the start page of a terminal and signs in there.
async fn at_terminal(server: &Server, user: &RegisteredUser) -> (Browser, Page) {
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login?kiosk=1")).await.page();
    assert!(
        login.body.contains("after 2 minutes without use"),
        "{}",
        login.body
    );
    assert!(
        login.body.contains("<body spellcheck=\"false\">"),
        "{}",
        login.body
    );
    let mut form = login.form("/login?kiosk=1");
    form.set("username", &user.username);
    form.set("password", PASSWORD);
    let page = browser.submit(&form).await.page();
    assert_eq!(page.url.path(), "/apps");
    (browser, page)
}

/// Asks without following.
async fn answer(server: &Server, browser: &Browser, path: &str) -> (u16, HeaderMap, String) {
    let response = browser.http.get(server.url(path)).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

fn to(headers: &HeaderMap) -> &str {
    headers["location"].to_str().unwrap()
}

each_smart_database! {
async fn two_minutes_without_use_end_a_session_at_a_terminal(server: Server) {
    let user = server.add_patient().await;
    let (browser, page) = at_terminal(server, &user).await;
    // Asked after one minute, and led to where the next person begins.
    let watch = "content=\"60;url=/idle?next=%2Fapps\"";
    assert!(page.body.contains(watch) && page.body.contains("data-warning=\"60\" data-left=\"60\""), "{}", page.body);
    assert!(page.body.contains("data-out=\"/signed-out?r=idle&#38;kiosk=1\""), "{}", page.body);
    server.advance(2 * MINUTE);
    assert_eq!(answer(server, &browser, "/settings").await.0, 200);
    server.advance(2 * MINUTE + 1);
    let (status, headers, _) = answer(server, &browser, "/settings/email").await;
    // Whoever comes next has no business where somebody else was.
    assert_eq!((status, to(&headers)), (303, "/signed-out?r=idle&kiosk=1"));
    assert_eq!(headers["clear-site-data"], ALL);
    let (_, _, body) = answer(server, &browser, "/signed-out?r=idle&kiosk=1").await;
    assert!(body.contains("not used for 2 minutes") && body.contains("href=\"/login?kiosk=1\""), "{body}");
    // A form that comes too late is led there, too.
    let (browser, _) = at_terminal(server, &user).await;
    let page = browser.open(&server.url("/settings/email")).await.page();
    server.advance(2 * MINUTE + 1);
    let late = browser.submit(&page.form("/settings/email")).await.page();
    assert_eq!(late.url.as_str(), server.url("/signed-out?r=idle&kiosk=1"));
    // A script leads there by itself, with the cookie of what was.
    let (browser, _) = at_terminal(server, &user).await;
    server.advance(2 * MINUTE + 1);
    let (_, headers, _) = answer(server, &browser, "/signed-out?r=idle").await;
    assert_eq!(headers["clear-site-data"], ALL);
    // Elsewhere the same time is nothing.
    let own = Browser::new(server);
    let login = own.open(&server.url("/login")).await.page();
    own.sign_in(&login, &user.username, PASSWORD).await.page();
    server.advance(3 * MINUTE);
    assert_eq!(answer(server, &own, "/settings").await.0, 200);
}

async fn finish_leaves_nothing_at_the_terminal(server: Server) {
    let user = server.add_patient().await;
    let (browser, page) = at_terminal(server, &user).await;
    assert!(page.body.contains(">Finish</button>") && !page.body.contains(">Sign out</button>"), "{}", page.body);
    // Nobody else's page ends it, nor has the browser forget who they are.
    let (_, headers, _) = answer(server, &Browser::new(server), "/signed-out?kiosk=1").await;
    assert_eq!(headers["clear-site-data"], "\"cache\", \"storage\"");
    let form = page.form("/logout");
    let request = browser.http.post(server.url("/logout")).form(&form.fields);
    let done = request.send().await.unwrap();
    assert_eq!((done.status().as_u16(), to(done.headers())), (303, "/signed-out?kiosk=1"));
    assert_eq!(done.headers()["clear-site-data"], ALL);
    let out = browser.open(&server.url("/signed-out?kiosk=1")).await.page();
    assert!(out.body.contains("Nothing of your visit is left here"), "{}", out.body);
    assert_eq!(browser.open(&server.url("/apps")).await.page().url.path(), "/login");
    assert_eq!(server.count("SELECT COUNT(*) FROM session").await, 0);
    // The terminal is nobody's own: neither it nor its address is known of the person.
    assert_eq!(server.count("SELECT COUNT(*) FROM known_device").await, 0);
    assert_eq!(server.count("SELECT COUNT(*) FROM sign_in WHERE address IS NOT NULL").await, 0);
}

async fn no_app_is_connected_at_a_terminal(server: Server) {
    let user = server.add_patient().await;
    let app = App::new(server, &server.add_client(ClientKind::Public, "launch/patient patient/*.rs").await);
    let (browser, _) = at_terminal(server, &user).await;
    let sent = app.start("launch/patient patient/*.rs");
    let page = browser.open(sent.url.as_str()).await.page();
    let is_refused = |page: &Page| {
        assert_eq!(page.status, 403, "{}", page.body);
        assert!(page.body.contains("Connect the app on your own phone or computer"), "{}", page.body);
        let answer = Browser::link_back(page).answer();
        assert_eq!(answer["error"], "access_denied");
    };
    is_refused(&page);
    assert_eq!(server.count("SELECT COUNT(*) FROM authorize_request").await, 0);
    // Begun elsewhere, signed in at the terminal: every page on the way says no, and so does the answer.
    let other = Browser::new(server);
    let sent = app.start("launch/patient patient/*.rs");
    let consent = other.to_consent(&sent, &user).await;
    let yes = {
        let mut form = consent.form("/auth/consent");
        form.set("action", "allow");
        form
    };
    let request = yes.fields.iter().find(|(name, _)| name == "request").unwrap().1.clone();
    for step in ["login", "auth/record", "auth/consent"] {
        let page = browser.open(&server.url(&format!("/{step}?request={request}&kiosk=1"))).await;
        is_refused(&page.page());
    }
    // The session remembers where it is used, whatever its next address says.
    let become_one = other.open(&server.url("/settings?kiosk=1")).await.page();
    assert!(become_one.body.contains(">Finish</button>"), "{}", become_one.body);
    is_refused(&other.submit(&yes).await.page());
    assert_eq!(server.count("SELECT COUNT(*) FROM auth_grant").await, 0);
}

async fn a_link_makes_no_terminal(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    browser.sign_in(&login, &user.username, PASSWORD).await.page();
    let ask = async |site: &str| {
        let request = browser.http.get(server.url("/settings?kiosk=1")).header("sec-fetch-site", site);
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(ask("cross-site").await.contains(">Sign out</button>"));
    assert_eq!(server.count("SELECT COUNT(*) FROM session WHERE kiosk = 1").await, 0);
    assert!(ask("none").await.contains(">Finish</button>"));
    assert_eq!(server.count("SELECT COUNT(*) FROM session WHERE kiosk = 1").await, 1);
}

async fn nobody_leaves_a_passkey_at_a_terminal(server: Server) {
    let user = server.add_patient().await;
    let (browser, _) = at_terminal(server, &user).await;
    let page = browser.open(&server.url("/security")).await.page();
    assert!(!page.body.contains("data-passkey=\"add\""), "{}", page.body);
    let token = page.form("/security").fields.into_iter().find(|(name, _)| name == "form").unwrap();
    let post = async |path: &str, more: &[(&str, &str)]| {
        let mut fields = vec![("form", token.1.as_str()), ("password", PASSWORD)];
        fields.extend_from_slice(more);
        let request = browser.http.post(server.url(path)).header("sec-fetch-site", "same-origin").form(&fields);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, words) = post("/security/passkey/options", &[]).await;
    assert!(status == 403 && words.contains("add a passkey here"), "{status} {words}");
    let (status, page) = post("/security", &[("action", "passkey-add"), ("credential", "{}")]).await;
    assert!(status == 403 && page.contains("Not on this computer"), "{status} {page}");
    assert!(page.contains(">Finish</button>"), "{page}");
}
}

/// Addresses of terminals, as the configuration has them.
fn listed(config: &mut SmartConfig) {
    config.kiosk_addresses = vec!["198.51.100.0/24".parse().unwrap()];
}

async fn a_listed_address_is_a_terminal(database: Database) {
    let server = Server::start_with(database, listed).await;
    let user = server.add_patient().await;
    let app = App::new(
        &server,
        &server.add_client(ClientKind::Public, "patient/*.rs").await,
    );
    let browser = Browser::new(&server);
    let ask = |method: reqwest::Method, path: &str, address: &str| {
        let request = browser.http.request(method, server.url(path));
        request.header("x-forwarded-for", address.to_owned())
    };
    let from = async |address: &str, path: &str| {
        browser
            .follow(ask(reqwest::Method::GET, path, address))
            .await
    };
    let login = from("198.51.100.7", "/login").await.page();
    let mut form = login.form("/login?kiosk=1");
    form.set("username", &user.username);
    form.set("password", PASSWORD);
    // Whatever the form says: the address does.
    let request = ask(reqwest::Method::POST, "/login", "198.51.100.7").form(&form.fields);
    let signed_in = browser.follow(request).await.page();
    assert!(
        signed_in.body.contains(">Finish</button>"),
        "{}",
        signed_in.body
    );
    assert_eq!(
        server
            .count("SELECT COUNT(*) FROM session WHERE kiosk = 1")
            .await,
        1
    );
    // Nobody has to be signed in for that, and elsewhere nothing is refused.
    let sent = app.start("patient/*.rs");
    let stranger = Browser::new(&server);
    let request = stranger.http.get(sent.url.as_str());
    let refused = stranger
        .follow(request.header("x-forwarded-for", "198.51.100.8"))
        .await
        .page();
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("can’t be connected here"),
        "{}",
        refused.body
    );
    let End::Page(login) = stranger.open(sent.url.as_str()).await else {
        panic!("sent away");
    };
    assert_eq!(login.url.path(), "/login");
    server.stop().await;
}

#[tokio::test]
async fn a_listed_address_is_a_terminal_sqlite() {
    a_listed_address_is_a_terminal(Database::Sqlite).await;
}

#[tokio::test]
async fn a_listed_address_is_a_terminal_postgres() {
    if Database::Postgres.is_there() {
        a_listed_address_is_a_terminal(Database::Postgres).await;
    }
}
