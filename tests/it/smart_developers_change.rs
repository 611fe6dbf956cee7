//! `/developers/apps/change`: what a developer changes of an app, and what comes of it.

use candor::config::Registration;
use candor::smart::authenticate;
use candor::smart::clients::{self, RegisteredClient};
use candor::smart::registrations;
use candor::smart::users::{RegisteredUser, Role};
use jiff::tz::TimeZone;
use jsonwebtoken::Algorithm;
use oauth2::TokenResponse as _;
use serde_json::json;

use crate::smart_activation::{events, happened};
use crate::smart_backend::{claims, key, sign};
use crate::smart_support::each_smart_database;
use crate::smart_support::{App, Browser, Form, PASSWORD, Page, REDIRECT, Server};

pub const SCOPE: &str = "openid launch/patient offline_access patient/*.rs";
const NEW_REDIRECT: &str = "https://new.example/done";

pub struct Made {
    developer: RegisteredUser,
    pub browser: Browser,
    pub registered: RegisteredClient,
}

pub async fn sign_in(server: &Server, user: &RegisteredUser) -> Browser {
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    browser
}

/// What stands after a label of the page.
fn after(page: &Page, label: &str) -> Option<String> {
    let mark = format!("<dt>{label}</dt><dd class=\"code\">");
    let (_, rest) = page.body.split_once(&mark)?;
    Some(rest.split('<').next()?.to_owned())
}

/// An app of a new developer: `public`, `secret` or `key`.
pub async fn make(server: &Server, kind: &str) -> Made {
    let developer = server.add_user(Role::Developer, None, &[]).await;
    let browser = sign_in(server, &developer).await;
    let page = browser
        .open(&server.url("/developers/apps/new"))
        .await
        .page();
    let mut form = page.form("/developers/apps/new");
    form.set("name", "Bone Journal");
    form.set("maker", "Acme Inc");
    form.set("kind", kind);
    form.set("redirect_uris", REDIRECT);
    form.set("scope", SCOPE);
    let page = browser.submit(&form).await.page();
    assert_eq!(page.status, 201, "{}", page.body);
    let registered = RegisteredClient {
        client_id: after(&page, "client_id").unwrap(),
        client_secret: after(&page, "client_secret"),
        client_name: String::new(),
        token_endpoint_auth_method: "",
        grant_types: vec![],
        redirect_uris: vec![],
        scope: String::new(),
    };
    Made {
        developer,
        browser,
        registered,
    }
}

fn address(made: &Made) -> String {
    format!(
        "/developers/apps/change?client={}",
        made.registered.client_id
    )
}

pub async fn page(server: &Server, made: &Made) -> Page {
    made.browser.open(&server.url(&address(made))).await.page()
}

/// A form of the page by what its button says.
pub fn form(page: &Page, action: &str) -> Form {
    let mark = format!("value=\"{action}\"");
    let part = page
        .body
        .split("<form ")
        .find(|part| part.split("</form>").next().unwrap().contains(&mark))
        .unwrap_or_else(|| panic!("no {action} in {}", page.body));
    let part = Page {
        status: page.status,
        url: page.url.clone(),
        headers: page.headers.clone(),
        body: format!("<form {part}"),
    };
    let mut form = part.form("/developers/apps/change");
    form.set("action", action);
    form
}

pub async fn describe(server: &Server, made: &Made, changes: &[(&str, &str)]) -> Page {
    let mut form = form(&page(server, made).await, "describe");
    form.set("redirect_uris", REDIRECT);
    for (name, value) in changes {
        form.set(name, value);
    }
    made.browser.submit(&form).await.page()
}

pub async fn row(server: &Server, made: &Made) -> candor::smart::entities::client::Model {
    let id = &made.registered.client_id;
    clients::find(server.store.reader(), id)
        .await
        .unwrap()
        .unwrap()
}

each_smart_database! {
async fn what_people_read_changes_and_what_they_allowed_stays(server: Server) {
    let made = make(server, "secret").await;
    let user = server.add_patient().await;
    let app = App::new(server, &made.registered);
    let tokens = app.connect(server, &user, SCOPE, |form| form.set("long", "yes")).await;
    // Linked from the list of apps.
    let list = made.browser.open(&server.url("/developers/apps")).await.page();
    assert!(list.body.contains(&format!("href=\"{}\"", address(&made))), "{}", list.body);
    let shown = page(server, &made).await;
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("value=\"Bone Journal\"") && shown.body.contains(REDIRECT));
    let before = row(server, &made).await;
    let done = describe(
        server,
        &made,
        &[
            ("name", "Bone & Joint"),
            ("maker", "Acme Labs"),
            ("website", "https://acme.example/"),
            ("privacy_policy", "https://acme.example/privacy"),
            ("sells_data", "no"),
            ("redirect_uris", &format!("{REDIRECT}\r\n{NEW_REDIRECT}")),
            ("scope", "system/*.cruds"),
            ("kind", "backend"),
        ],
    )
    .await;
    assert_eq!(done.status, 200);
    assert!(done.body.contains("Saved") && done.body.contains("Bone &#38; Joint"), "{}", done.body);
    let row = row(server, &made).await;
    assert_eq!(row.redirects(), [REDIRECT, NEW_REDIRECT]);
    assert_eq!(row.told().maker.as_deref(), Some("Acme Labs"));
    assert!(!row.told().website_checked);
    // Nothing else: what was granted means what it meant, and the secret is the one it was.
    assert_eq!((&row.scope, &row.kind, &row.class), (&before.scope, &before.kind, &before.class));
    assert_eq!(row.secret, before.secret);
    let access = tokens.access_token().secret();
    assert!(authenticate(&server.state, access).await.is_ok());
    assert!(app.refresh(tokens.refresh_token().unwrap(), "").await.is_ok());
    // The new address works, and people read the new name.
    let elsewhere = App::with_redirect(server, &made.registered, NEW_REDIRECT);
    let consent = Browser::new(server).to_consent(&elsewhere.start("patient/Goal.rs"), &user).await;
    assert!(!consent.body.contains("Bone Journal"), "{}", consent.body);
    assert!(consent.body.contains(" Joint") && consent.body.contains("Acme Labs"));
    assert_eq!(happened(&events(server).await, "app-changed"), 1);
    // A launch address is for apps with the scope launch.
    let refused = describe(server, &made, &[("launch_uri", "https://app.example/launch")]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("needs the scope launch"));
}

async fn redirect_uris_are_checked_and_answers_go_nowhere_else(server: Server) {
    let made = make(server, "secret").await;
    let before = row(server, &made).await;
    let many = (0..21).map(|at| format!("https://app.example/{at}")).collect::<Vec<_>>().join("\n");
    for bad in [
        "http://app.example/done",
        "javascript:alert(1)",
        "https://app.example/done#x",
        "https://user@app.example/",
        "/done",
        "",
        many.as_str(),
    ] {
        let refused = describe(server, &made, &[("redirect_uris", bad), ("name", "Another")]).await;
        assert_eq!(refused.status, 400, "{bad}");
        assert!(refused.body.contains("role=\"alert\"") && refused.body.contains("value=\"Another\""));
        assert_eq!(row(server, &made).await, before, "{bad}");
    }
    // In the person's language.
    let mut spanish = form(&page(server, &made).await, "describe");
    spanish.set("redirect_uris", "http://app.example/done");
    spanish.action = format!("{}?lang=es", spanish.action);
    let refused = made.browser.submit(&spanish).await.page();
    assert!(refused.body.contains("no puede ser una dirección de retorno"), "{}", refused.body);
    made.browser.open(&server.url("/developers/apps?lang=en")).await.page();

    // Somebody is on the consent page, and somebody just answered, when an address goes away.
    let user = server.add_patient().await;
    let app = App::new(server, &made.registered);
    let waiting = Browser::new(server);
    let consent = waiting.to_consent(&app.start("patient/Goal.rs"), &user).await;
    let sent = app.start("patient/Goal.rs");
    let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
    let other = make(server, "public").await;
    let others = App::new(server, &other.registered);
    let theirs = others.start("patient/Goal.rs");
    let their_answer = Browser::new(server).allow(&theirs, &user, |_| ()).await;
    let done = describe(server, &made, &[("redirect_uris", NEW_REDIRECT)]).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    let late = waiting.submit(&form).await.page();
    assert_eq!(late.status, 400, "{}", late.body);
    assert!(app.exchange(&answer["code"], sent.verifier).await.is_err());
    let old = server.http.get(app.start(SCOPE).url).send().await.unwrap();
    assert_eq!(old.status(), 400);
    assert!(old.headers().get("location").is_none());
    // Another app's are as they were.
    assert!(others.exchange(&their_answer["code"], theirs.verifier).await.is_ok());
}

async fn keys_replace_a_secret_and_a_secret_keys(server: Server) {
    let made = make(server, "secret").await;
    let user = server.add_patient().await;
    let app = App::new(server, &made.registered);
    let tokens = app.connect(server, &user, SCOPE, |form| form.set("long", "yes")).await;
    let refresh = tokens.refresh_token().unwrap().secret();
    let (first, second) = (key(Algorithm::ES384, "one"), key(Algorithm::ES384, "two"));
    let set = async |jwks: &str, url: &str| {
        let mut form = form(&page(server, &made).await, "keys");
        form.set("jwks", jwks);
        form.set("jwks_uri", url);
        made.browser.submit(&form).await.page()
    };
    let by_key = async |own: &crate::smart_backend::Key, kid: &str, refresh: &str| {
        let assertion = sign(own, kid, &claims(server, &made.registered));
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        server
            .token(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh),
                ("client_assertion_type", kind),
                ("client_assertion", &assertion),
            ])
            .await
    };
    // What is no key set changes nothing, and is named.
    let before = row(server, &made).await;
    for (jwks, url, words) in [
        ("", "", "Give the public keys"),
        ("{}", "", "This is no JWK Set"),
        ("{\"keys\":[]}", "", "Add one"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "", "private key"),
        ("", "http://keys.example/jwks", "must be https"),
        ("", "not an address", "must be https"),
        ("{}", "https://keys.example/jwks", "not both"),
    ] {
        let refused = set(jwks, url).await;
        assert_eq!(refused.status, 400, "{jwks} {url}");
        assert!(refused.body.contains(words), "{words}: {}", refused.body);
        assert_eq!(row(server, &made).await, before, "{jwks} {url}");
    }
    let done = set(&json!({"keys": [first.public]}).to_string(), "").await;
    assert!(done.status == 200 && done.body.contains("The keys were replaced"), "{}", done.body);
    // The secret is dead, the key works, and what people allowed stands.
    assert!(app.refresh(tokens.refresh_token().unwrap(), "").await.is_err());
    assert!(row(server, &made).await.secret.is_none());
    assert!(authenticate(&server.state, tokens.access_token().secret()).await.is_ok());
    let (status, body) = by_key(&first, "one", refresh).await;
    assert_eq!(status, 200, "{body}");
    let refresh = body["refresh_token"].as_str().unwrap().to_owned();
    // Another key in its place.
    assert_eq!(set(&json!({"keys": [second.public]}).to_string(), "").await.status, 200);
    assert_eq!(by_key(&first, "one", &refresh).await.0, 401);
    assert_eq!(by_key(&second, "two", &refresh).await.0, 200);
    // By address; and back to a secret, shown once.
    assert_eq!(set("", "https://keys.example/jwks").await.status, 200);
    let now = row(server, &made).await;
    assert_eq!((now.jwks_uri.as_deref(), now.jwks), (Some("https://keys.example/jwks"), None));
    let done = made.browser.submit(&form(&page(server, &made).await, "secret")).await.page();
    let (_, rest) = done.body.split_once("<p class=\"code\">").unwrap();
    let secret = rest.split('<').next().unwrap();
    let now = row(server, &made).await;
    assert!(now.has_secret(secret) && now.jwks.is_none() && now.jwks_uri.is_none());
    assert!(!page(server, &made).await.body.contains(secret));
    let all = events(server).await;
    assert_eq!(happened(&all, "app-keys-replaced"), 3);
    assert_eq!(happened(&all, "app-secret-replaced"), 1);
    // A public app can keep neither.
    let public = make(server, "public").await;
    let shown = page(server, &public).await;
    assert!(!shown.body.contains("value=\"keys\"") && !shown.body.contains("value=\"secret\""));
    for action in ["keys", "secret"] {
        let mut forged = form(&shown, "describe");
        forged.set("action", action);
        forged.set("jwks", &json!({"keys": [first.public]}).to_string());
        assert_eq!(public.browser.submit(&forged).await.page().status, 400);
        let row = row(server, &public).await;
        assert!(row.secret.is_none() && row.jwks.is_none());
    }
}

async fn a_removed_app_is_shut_out_with_its_next_request(server: Server) {
    let made = make(server, "secret").await;
    let user = server.add_patient().await;
    let app = App::new(server, &made.registered);
    let tokens = app.connect(server, &user, SCOPE, |form| form.set("long", "yes")).await;
    let access = tokens.access_token().secret();
    let sent = app.start(SCOPE);
    let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
    let waiting = Browser::new(server);
    let consent = waiting.to_consent(&app.start(SCOPE), &user).await;
    // The viewer is remembered here, and in another process on the same database.
    let mut config = candor::smart::SmartConfig::new(&server.public);
    config.staff_needs_second_factor = false;
    let other = candor::smart::SmartState::new(server.store.clone(), config).await.unwrap();
    for state in [&server.state, &other] {
        assert!(authenticate(state, access).await.is_ok());
    }
    // Not by a slip.
    let mut form = form(&page(server, &made).await, "remove");
    form.fields.retain(|(name, _)| name != "sure");
    let asked = made.browser.submit(&form).await.page();
    assert_eq!(asked.status, 400);
    assert!(asked.body.contains("Tick the box"));
    assert!(authenticate(&server.state, access).await.is_ok());
    form.set("sure", "yes");
    let list = made.browser.submit(&form).await.page();
    assert_eq!(list.url.path(), "/developers/apps");
    assert!(list.body.contains("was removed") && !list.body.contains(&made.registered.client_id));
    for state in [&server.state, &other] {
        assert!(authenticate(state, access).await.is_err());
    }
    assert!(app.refresh(tokens.refresh_token().unwrap(), "").await.is_err());
    assert!(app.exchange(&answer["code"], sent.verifier).await.is_err());
    let mut allow = consent.form("/auth/consent");
    allow.set("action", "allow");
    assert_eq!(waiting.submit(&allow).await.page().status, 400);
    assert_eq!(server.http.get(app.start(SCOPE).url).send().await.unwrap().status(), 400);
    // Gone for the person and for the developer; nobody lets it in again by mistake.
    let apps = sign_in(server, &user).await.open(&server.url("/apps")).await.page();
    assert!(!apps.body.contains("action=\"/apps\""), "{}", apps.body);
    let again = made.browser.open(&server.url(&address(&made))).await.page();
    assert_eq!(again.url.path(), "/developers/apps");
    let id = &made.registered.client_id;
    assert!(!clients::set_disabled(&server.store, id, false).await.unwrap());
    assert!(authenticate(&server.state, access).await.is_err());
    let listed = registrations::list(&server.store, &TimeZone::UTC).await.unwrap();
    let one = listed.iter().find(|one| one.client_id == *id).unwrap();
    assert!(one.removed.is_some() && !one.is_enabled);
    assert_eq!(happened(&events(server).await, "app-removed"), 1);
}

async fn nobody_changes_the_app_of_another(server: Server) {
    let made = make(server, "secret").await;
    let stranger = make(server, "secret").await;
    let id = made.registered.client_id.as_str();
    let before = row(server, &made).await;
    let shown = page(server, &stranger).await;
    let look = stranger.browser.open(&server.url(&address(&made))).await.page();
    assert_eq!(look.url.path(), "/developers/apps");
    assert!(!look.body.contains(id));
    for action in ["describe", "keys", "secret", "remove"] {
        let mut forged = form(&shown, action);
        forged.set("client", id);
        forged.set("name", "Stolen");
        forged.set("sure", "yes");
        forged.set("redirect_uris", NEW_REDIRECT);
        forged.set("jwks", &json!({"keys": [key(Algorithm::ES384, "x").public]}).to_string());
        let page = stranger.browser.submit(&forged).await.page();
        assert_eq!(page.url.path(), "/developers/apps", "{action}");
        assert_eq!(row(server, &made).await, before, "{action}");
        // With the right app, and a form of another browser's.
        let mut foreign = form(&shown, action);
        foreign.set("client", id);
        foreign.set("sure", "yes");
        assert_eq!(made.browser.submit(&foreign).await.page().status, 403, "{action}");
        assert_eq!(row(server, &made).await, before, "{action}");
    }
    // Nor an app that an operator or nobody registered, a patient, or somebody signed out.
    let operators = server
        .add_client(candor::smart::clients::ClientKind::Confidential, SCOPE)
        .await;
    for client in [operators.client_id.as_str(), "", "nobody", "a%00b"] {
        let path = format!("/developers/apps/change?client={client}");
        let page = made.browser.open(&server.url(&path)).await.page();
        assert_eq!(page.url.path(), "/developers/apps", "{client}");
    }
    let patient = server.add_patient().await;
    let patient = sign_in(server, &patient).await;
    assert_eq!(patient.open(&server.url(&address(&made))).await.page().status, 403);
    let nobody = Browser::new(server).open(&server.url(&address(&made))).await.page();
    assert_eq!(nobody.url.path(), "/login");
    let mut unknown = form(&page(server, &made).await, "secret");
    unknown.set("action", "other");
    assert_eq!(made.browser.submit(&unknown).await.page().status, 403);
    drop((made.developer, stranger.developer));
}
}

#[tokio::test]
async fn an_app_that_waits_is_changed_and_waits_still() {
    let server = Server::start_with(crate::support::Database::Sqlite, |config| {
        config.registration = Registration::Closed;
    })
    .await;
    let made = make(&server, "public").await;
    let done = describe(&server, &made, &[("name", "Better name")]).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(row(&server, &made).await.disabled.is_some());
    // Verified and let in, it is in the directory, until it calls itself something else.
    let id = &made.registered.client_id;
    assert!(
        registrations::set_verified(&server.store, id)
            .await
            .unwrap()
    );
    assert!(
        clients::set_disabled(&server.store, id, false)
            .await
            .unwrap()
    );
    let directory = async || {
        let page = server
            .http
            .get(server.url("/apps/directory"))
            .send()
            .await
            .unwrap();
        page.text().await.unwrap()
    };
    assert!(directory().await.contains("Better name"));
    let privacy = ("privacy_policy", "https://acme.example/privacy");
    describe(&server, &made, &[privacy]).await;
    assert!(directory().await.contains("Better name"));
    describe(&server, &made, &[("name", "State Hospital"), privacy]).await;
    let listed = directory().await;
    assert!(!listed.contains("Better name") && !listed.contains("State Hospital"));
    assert!(
        row(&server, &made).await.disabled.is_none(),
        "it works still"
    );
    assert!(
        registrations::set_verified(&server.store, id)
            .await
            .unwrap()
    );
    assert!(directory().await.contains("State Hospital"));
    describe(&server, &made, &[("maker", "State Hospital Inc")]).await;
    assert!(!directory().await.contains("State Hospital"));
    // Somebody found that the website is the maker's: until either changes.
    let mut facts = row(&server, &made).await.told();
    facts.website = Some("https://acme.example/".to_owned());
    facts.website_checked = true;
    clients::set_facts(&server.store, id, &facts).await.unwrap();
    describe(&server, &made, &[("name", "Best name")]).await;
    assert!(row(&server, &made).await.told().website_checked);
    describe(&server, &made, &[("maker", "Somebody Bigger Inc")]).await;
    assert!(!row(&server, &made).await.told().website_checked);
    server.stop().await;
}
