//! Ids of one person in the hands of another: every form and link that a person's pages have, posted and opened
//! by somebody else in the same role, changes and shows nothing. The forms are read from the pages of the
//! route table, so a new one is tried without being listed here.

use std::collections::BTreeSet;

use candor::smart::clients::{self, ClientKind};
use candor::smart::users::{RegisteredUser, Role};

use crate::smart_attacks_generated::pages;
use crate::smart_support::{App, Browser, Form, PASSWORD, Page, Server, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const APP: &str = "An app of nobody else";

/// The forms that a page posts, one for each button that says something.
fn forms(page: &Page) -> Vec<Form> {
    let mut found = vec![];
    for text in page.body.split("<form ").skip(1) {
        let text = text.split("</form>").next().unwrap();
        let action = attribute(text, "action").unwrap();
        let part = Page {
            status: page.status,
            url: page.url.clone(),
            headers: page.headers.clone(),
            body: format!("<form {text}</form>"),
        };
        let mut form = part.form(&action);
        // Boxes and choices are ticked: more is asked for.
        let unticked = std::mem::take(&mut form.unticked);
        form.fields.extend(unticked);
        for area in text.split("<textarea ").skip(1) {
            let (tag, rest) = area.split_once('>').unwrap();
            let value = rest.split("</textarea>").next().unwrap();
            form.set(&attribute(tag, "name").unwrap(), value);
        }
        let buttons: Vec<(String, String)> = text
            .split("<button")
            .skip(1)
            .filter_map(|button| {
                let tag = button.split('>').next().unwrap();
                Some((attribute(tag, "name")?, attribute(tag, "value")?))
            })
            .collect();
        if buttons.is_empty() {
            found.push(form);
        } else {
            found.extend(buttons.into_iter().map(|(name, value)| {
                let mut one = form.clone();
                one.set(&name, &value);
                one
            }));
        }
    }
    found
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next().unwrap().replace("&#38;", "&"))
}

/// Links to pages of this server.
fn links(page: &Page) -> BTreeSet<String> {
    page.body
        .split("href=\"/")
        .skip(1)
        .map(|rest| format!("/{}", rest.split('"').next().unwrap().replace("&#38;", "&")))
        .collect()
}

async fn sign_in(server: &Server, user: &RegisteredUser) -> Browser {
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let page = browser.sign_in(&login, &user.username, PASSWORD).await;
    assert_ne!(page.page().url.path(), "/login");
    browser
}

async fn form_token(server: &Server, browser: &Browser) -> String {
    let page = browser.open(&server.url("/settings")).await.page();
    let form = page.form("/logout");
    let (_, token) = form
        .fields
        .into_iter()
        .find(|(name, _)| name == "form")
        .unwrap();
    token
}

/// What a person has here, as text.
async fn state_of(server: &Server, user: &RegisteredUser, client: Option<&str>) -> Vec<String> {
    let id = &user.id;
    let mut all = vec![];
    for select in [
        format!(
            "SELECT id || ' ' || scope || ' ' || COALESCE(CAST(revoked AS TEXT), '-') \
             FROM auth_grant WHERE account = '{id}' ORDER BY 1"
        ),
        format!(
            "SELECT CAST(COUNT(*) AS TEXT) FROM auth_token t JOIN auth_grant g \
             ON g.id = t.grant_id WHERE g.account = '{id}'"
        ),
        format!("SELECT CAST(created AS TEXT) FROM session WHERE account = '{id}' ORDER BY 1"),
        format!("SELECT name FROM passkey WHERE account = '{id}' ORDER BY 1"),
        format!("SELECT CAST(COUNT(*) AS TEXT) FROM totp WHERE account = '{id}'"),
        format!("SELECT username || ' ' || name || ' ' || password FROM account WHERE id = '{id}'"),
        format!(
            "SELECT id || ' ' || account || ' ' || COALESCE(patient, '-') FROM authorize_request \
             WHERE account = '{id}' ORDER BY 1"
        ),
        format!(
            "SELECT client_id || ' ' || origin || COALESCE(CAST(removed AS TEXT), '-') \
             FROM client_registration WHERE owner = '{id}' ORDER BY 1"
        ),
    ] {
        all.push(format!("{:?}", server.column(&select).await));
    }
    if let Some(client) = client {
        let found = clients::find(server.store.reader(), client).await.unwrap();
        all.push(format!("{found:?}"));
    }
    all
}

/// Pages of the route table, and those that they link to, as their owner sees them.
async fn pages_of(server: &Server, browser: &Browser, more: &[String]) -> Vec<(String, Page)> {
    let routes = pages().into_iter().filter(|(path, handlers)| {
        handlers.contains("get(") && !path.contains('{') && !path.starts_with("/assets")
    });
    let mut wanted: BTreeSet<String> = routes.map(|(path, _)| path).collect();
    wanted.extend(more.iter().cloned());
    let mut seen = BTreeSet::new();
    let mut found = vec![];
    while let Some(path) = wanted.pop_first() {
        if !seen.insert(path.clone()) || path.contains("lang=") || path.contains("/assets/") {
            continue;
        }
        let response = browser.http.get(server.url(&path)).send().await.unwrap();
        if response.status() != 200 || path == "/auth/end-session" {
            continue;
        }
        let page = Page {
            status: 200,
            url: response.url().clone(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        };
        if !page.body.starts_with("<!") {
            continue;
        }
        wanted.extend(links(&page));
        found.push((path, page));
    }
    found
}

/// Posts a form as somebody: their token, and what they know.
async fn post(server: &Server, browser: &Browser, form: &Form) -> String {
    let mut form = form.clone();
    form.set("form", &form_token(server, browser).await);
    for name in ["password", "current"] {
        if form.fields.iter().any(|(own, _)| own == name) {
            form.set(name, PASSWORD);
        }
    }
    let url = server.url(&form.action);
    let request = browser
        .http
        .post(url)
        .header("sec-fetch-site", "same-origin")
        .form(&form.fields);
    let response = request.send().await.unwrap();
    assert!(
        response.status().as_u16() < 500,
        "{} {:?}",
        form.action,
        form.fields
    );
    response.text().await.unwrap()
}

/// Forms that say which of the owner's things they are about.
fn with_ids(found: &[(String, Page)]) -> Vec<Form> {
    let mut all: Vec<Form> = found.iter().flat_map(|(_, page)| forms(page)).collect();
    all.retain(|form| {
        let names = form.fields.iter().map(|(name, _)| name.as_str());
        let ids = ["grant", "session", "client", "request", "passkey"];
        names.into_iter().any(|name| ids.contains(&name))
            && form
                .fields
                .iter()
                .all(|(name, value)| name != "request" || !value.is_empty())
    });
    all
}

/// The attack, and that it means something: what the owner posts does change what they have. Which forms were
/// tried, and which changed something.
async fn attack(
    server: &Server,
    (owner, browser): (&RegisteredUser, &Browser),
    attacker: &RegisteredUser,
    more: &[String],
    client: Option<&str>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let found = pages_of(server, browser, more).await;
    let forms = with_ids(&found);
    let before = state_of(server, owner, client).await;
    let stranger = sign_in(server, attacker).await;
    for (path, page) in &found {
        // The list of apps that everybody may read shows it to everybody.
        if !page.body.contains(APP) || path == "/apps/directory" {
            continue;
        }
        let shown = stranger.http.get(server.url(path)).send().await.unwrap();
        let text = shown.text().await.unwrap();
        assert!(!text.contains(APP), "{path} shows it to somebody else");
        assert!(!text.contains(&owner.username), "{path}");
    }
    for form in &forms {
        let stranger = sign_in(server, attacker).await;
        let text = post(server, &stranger, form).await;
        let after = state_of(server, owner, client).await;
        assert_eq!(after, before, "{} {:?}", form.action, form.fields);
        let shows = form.action.starts_with("/auth/") && text.contains(&owner.username);
        assert!(!shows, "{} {:?}", form.action, form.fields);
    }
    let tried = forms.iter().map(|form| form.action.clone()).collect();
    let mut changed = BTreeSet::new();
    for form in &forms {
        let before = state_of(server, owner, client).await;
        let own = sign_in(server, owner).await;
        let signed_in = state_of(server, owner, client).await;
        assert_ne!(before, signed_in);
        post(server, &own, form).await;
        if state_of(server, owner, client).await != signed_in {
            changed.insert(form.action.clone());
        }
    }
    (tried, changed)
}

each_smart_database! {
async fn a_patients_ids_are_nothing_to_another(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    server
        .sql(&format!("UPDATE oauth_client SET name = '{APP}'"))
        .await;
    let owner = server.add_patient().await;
    let attacker = server.add_user(Role::Patient, None, &[("bea", None, "Bea Lund")]).await;
    let app = App::new(server, &registered);
    app.connect(server, &owner, ALL, |form| form.set("long", "yes")).await;
    // A request that waits on the consent page, another browser, and a passkey.
    let browser = Browser::new(server);
    let consent = browser.to_consent(&app.start(ALL), &owner).await;
    assert_eq!(consent.url.path(), "/auth/consent");
    let waiting = format!("/auth/consent?{}", consent.url.query().unwrap());
    let record = waiting.replace("consent", "record");
    let switch = waiting.replace("consent", "switch");
    sign_in(server, &owner).await;
    let blob = match server.store.backend() {
        sea_orm::DbBackend::Postgres => "'\\x00'::bytea",
        _ => "x'00'",
    };
    server
        .sql(&format!(
            "INSERT INTO passkey (credential, account, handle, name, key, state, created) \
             VALUES ({blob}, '{}', {blob}, 'phone', {blob}, {blob}, 1)",
            owner.id
        ))
        .await;
    let more = [waiting, record, switch];
    let (tried, changed) = attack(server, (&owner, &browser), &attacker, &more, None).await;
    for action in ["/apps", "/settings/sessions", "/auth/consent"] {
        assert!(changed.contains(action), "{action} changes nothing: {changed:?}");
    }
    for action in ["/apps/change", "/security"] {
        assert!(tried.contains(action), "{action} was not tried: {tried:?}");
    }
}

async fn a_developers_ids_are_nothing_to_another(server: Server) {
    let owner = server.add_user(Role::Developer, None, &[]).await;
    let attacker = server.add_user(Role::Developer, None, &[]).await;
    let browser = sign_in(server, &owner).await;
    let page = browser.open(&server.url("/developers/apps/new")).await.page();
    let mut form = page.form("/developers/apps/new");
    form.set("name", APP);
    form.set("kind", "secret");
    form.set("redirect_uris", "https://app.example/done");
    form.set("scope", ALL);
    let page = browser.submit(&form).await.page();
    assert_eq!(page.status, 201, "{}", page.body);
    let ids = server.column("SELECT client_id FROM client_registration").await;
    let id = ids[0].as_str();
    let (_, changed) = attack(server, (&owner, &browser), &attacker, &[], Some(id)).await;
    for action in ["/developers/apps", "/developers/apps/change"] {
        assert!(changed.contains(action), "{action} changes nothing: {changed:?}");
    }
}
}
