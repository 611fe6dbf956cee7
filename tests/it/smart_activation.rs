//! Activation codes: an EHR has one printed, and a person makes their account with it.

use candor::fhir::definitions::{TypeId, definitions};
use candor::keys::Keys;
use candor::smart::clients::ClientKind;
use candor::smart::direct::{self, DirectGrant};
use candor::smart::users::{RegisteredUser, Role};
use candor::sql::Sql;
use candor::store::StoreError;
use candor::visibility::level::Level;
use candor::visibility::scope::Scopes;
use candor::visibility::{Viewer, ViewerClass, Visibility};
use serde_json::{Value, json};

use crate::smart_factors::how;
use crate::smart_launch::backend_token;
use crate::smart_support::{App, Browser, Form, PASSWORD, Page, Server, each_smart_database};

const SCOPE: &str = "__activation-codes";
const DAY: i64 = 86_400_000;

pub async fn post(server: &Server, token: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = server
        .http
        .post(server.url("/ehr/activation-codes"))
        .json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

async fn load_ana(server: &Server) {
    server
        .load(
            json!({"resourceType": "Patient", "id": "ana", "birthDate": "1984-02-29",
            "name": [{"family": "Ruiz", "given": ["Ana"]}],
            "identifier": [{"system": "urn:mrn", "value": "MRN-77341"}],
            "telecom": [{"system": "phone", "value": "555"},
                {"system": "email", "value": "ana@example.com"}]}),
        )
        .await;
}

/// A code for Ana.
async fn code(server: &Server, token: &str) -> String {
    let (status, answer) = post(server, Some(token), &json!({"patient": "ana"})).await;
    assert_eq!(status, 201, "{answer}");
    answer["code"].as_str().unwrap().to_owned()
}

/// The first page, filled in.
pub async fn typed(
    server: &Server,
    browser: &Browser,
    code: &str,
    birth: (&str, &str, &str),
) -> Form {
    let page = browser.open(&server.url("/activate")).await.page();
    let mut form = page.form("/activate");
    form.set("code", code);
    form.set("month", birth.0);
    form.set("day", birth.1);
    form.set("year", birth.2);
    form
}

const RIGHT: (&str, &str, &str) = ("2", "29", "1984");
const WRONG: (&str, &str, &str) = ("3", "1", "1984");

/// What came of a code and a birth date in a browser of its own, asked from an address of its own.
async fn tried(server: &Server, code: &str, birth: (&str, &str, &str)) -> Page {
    let browser = Browser::new(server);
    let form = typed(server, &browser, code, birth).await;
    let address = format!("2001:db8:{:x}::1", rand_part());
    let request = browser
        .http
        .post(server.url("/activate"))
        .header("x-forwarded-for", address)
        .header("sec-fetch-site", "same-origin")
        .form(&form.fields);
    browser.follow(request).await.page()
}

fn rand_part() -> u16 {
    uuid::Uuid::new_v4().as_fields().1
}

/// A page without what differs from one to the next by itself.
fn plain(page: &Page, code: &str) -> String {
    let form = page.form("/activate");
    let token = &form
        .fields
        .iter()
        .find(|(name, _)| name == "form")
        .unwrap()
        .1;
    let body = page.without_reference();
    body.replace(token, "TOKEN").replace(code, "CODE")
}

/// The second page, filled in.
pub fn chosen(page: &Page, username: &str, password: &str) -> Form {
    let mut form = page.form("/activate");
    form.set("username", username);
    form.set("password", password);
    form.set("repeated", password);
    form
}

/// The AuditEvents so far, as an auditor reads them.
pub async fn events(server: &Server) -> Vec<Value> {
    let viewer = Viewer {
        class: ViewerClass::Auditor,
        person: None,
        patient: None,
        client_id: "audit".to_owned(),
        client_device: None,
        level: Level::Full,
        scopes: Scopes::parse("system/*.rs"),
    };
    let now = server.clock.now();
    let visibility = Visibility::of(&viewer, server.store.keys(), now, now);
    let type_id = definitions().type_id("AuditEvent").unwrap();
    let select = format!("SELECT fhir_id FROM resource WHERE type = {type_id} ORDER BY id");
    let mut found = Vec::new();
    for id in server.column(&select).await {
        let stored = server
            .store
            .read(&visibility, nothing, type_id, &id)
            .await
            .unwrap();
        found.push(serde_json::from_slice(&stored.body).unwrap());
    }
    found
}

fn nothing(_: &Keys, _: TypeId, _: &str, _: &mut Sql, _: &str) -> Result<String, StoreError> {
    Ok("1 = 0".to_owned())
}

pub fn happened(events: &[Value], what: &str) -> usize {
    events
        .iter()
        .filter(|event| event["subtype"][1]["code"] == what)
        .count()
}

each_smart_database! {
async fn a_code_from_the_visit_papers_makes_an_account(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let (status, answer) = post(server, Some(&ehr), &json!({"patient": "Patient/ana"})).await;
    assert_eq!(status, 201, "{answer}");
    let code = answer["code"].as_str().unwrap().to_owned();
    assert_eq!(answer["page"], server.url("/activate"));
    let link = server.url(&format!("/activate#{}", code.replace('-', "")));
    assert_eq!(answer["link"], link);
    for language in ["en", "es"] {
        let text = answer["text"][language].as_str().unwrap();
        assert!(text.contains(&code) && text.contains(&server.url("/activate")), "{text}");
    }
    // Nothing that the database keeps leads back to it.
    let kept = server
        .column("SELECT patient || issued_by || CAST(created AS TEXT) FROM activation_code")
        .await;
    assert_eq!(kept.len(), 1);
    // Typed as people type.
    let browser = Browser::new(server);
    let sloppy = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    let form = typed(server, &browser, &sloppy, RIGHT).await;
    let second = browser.submit(&form).await.page();
    assert_eq!(second.status, 200, "{}", second.body);
    assert!(second.body.contains("Welcome, Ana Ruiz"), "{}", second.body);
    assert!(second.body.contains("autocomplete=\"new-password\""));
    let mut form = chosen(&second, "Ana.R", PASSWORD);
    form.set("email", "ana.private@example.com");
    let done = browser.submit(&form).await.page();
    assert_eq!(done.url.path(), "/settings");
    assert!(done.body.contains("Your account is ready"), "{}", done.body);
    assert!(done.body.contains("ana.r"), "{}", done.body);
    // The box that the record knows is told, the new one is asked; neither letter says anything of Ana.
    let letters = server.letters.next(2).await;
    let on_file = letters.iter().find(|letter| letter.is_to("ana@example.com")).unwrap();
    assert!(on_file.body.contains("your activation code"), "{on_file:?}");
    let asked = letters.iter().find(|letter| letter.is_to("ana.private@example.com")).unwrap();
    assert!(asked.link().starts_with(&server.url("/confirm?token=")));
    for letter in &letters {
        let mut text = format!("{}{}", letter.head, letter.body).replace("ana@", "").replace("ana.private@", "");
        // The digits of a link are random: they may spell anything.
        if let Some(at) = text.find("token=") {
            let end = text[at..].find(char::is_whitespace).map_or(text.len(), |end| at + end);
            text.replace_range(at..end, "");
        }
        for secret in ["Ruiz", "Ana", "MRN", "1984", "ana.r", &code] {
            assert!(!text.contains(secret), "{secret}: {letter:?}");
        }
    }
    // The password works, and the record is theirs.
    let again = Browser::new(server);
    let login = again.open(&server.url("/login")).await.page();
    assert_eq!(again.sign_in(&login, "ana.r", PASSWORD).await.page().url.path(), "/apps");
    let own = server.column("SELECT patient FROM account_record").await;
    assert_eq!(own, ["ana"]);
    // Once.
    let page = tried(server, &code, RIGHT).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("was used already") && page.body.contains("/forgot"), "{}", page.body);
    let page = tried(server, &code, WRONG).await;
    assert!(!page.body.contains("already"), "{}", page.body);
    // Another code does not make a second account.
    let second = self::code(server, &ehr).await;
    let page = tried(server, &second, RIGHT).await;
    let stranger = Browser::new(server);
    let own = typed(server, &stranger, &second, RIGHT).await;
    let mut form = chosen(&page, "ana.two", PASSWORD);
    form.set("form", &own.fields.iter().find(|(name, _)| name == "form").unwrap().1);
    let page = stranger.submit(&form).await.page();
    assert!(page.body.contains("You have an account already"), "{}", page.body);
    assert_eq!(server.column("SELECT username FROM account").await, ["ana.r"]);
    let events = events(server).await;
    assert_eq!(happened(&events, "activation-code-issued"), 2);
    assert_eq!(happened(&events, "account-activated"), 1);
}

async fn an_app_is_told_how_somebody_was_proven(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let code = code(server, &ehr).await;
    let browser = Browser::new(server);
    let page = browser.submit(&typed(server, &browser, &code, RIGHT).await).await.page();
    browser.submit(&chosen(&page, "ana.r", PASSWORD)).await.page();
    let app = App::new(server, &server.add_client(ClientKind::Public, "openid launch/patient patient/*.rs").await);
    let told = async |username: &str| {
        let user = RegisteredUser {
            id: String::new(),
            username: username.to_owned(),
            role: "patient",
            practitioner: None,
            patients: Vec::new(),
        };
        let tokens = app.connect(server, &user, "openid launch/patient patient/Patient.rs", |_| ()).await;
        how(&tokens)[0].as_str().unwrap().replace("http://idmanagement.gov/ns/assurance", "")
    };
    assert_eq!(told("ana.r").await, "/ial/1/aal/1");
    // A proof by a provider is more, and whom the operator let in is nobody's to vouch for.
    server.sql("UPDATE account SET ial = 2").await;
    assert_eq!(told("ana.r").await, "/ial/2/aal/1");
    assert_eq!(told(&server.add_patient().await.username).await, "/aal/1");
    let address = server.url("/.well-known/openid-configuration");
    let known: Value = server.http.get(address).send().await.unwrap().json().await.unwrap();
    let class = json!("http://idmanagement.gov/ns/assurance/ial/2/aal/2");
    assert!(known["acr_values_supported"].as_array().unwrap().contains(&class), "{known}");
}

async fn the_page_of_a_code_offers_both_ways(server: Server) {
    let browser = Browser::new(server);
    let page = browser.open(&server.url("/activate")).await.page();
    let at = |page: &Page, text: &str| page.body.find(text).unwrap_or_else(|| panic!("{text}: {}", page.body));
    // Two steps, and what else there is after them.
    assert!(at(&page, "<ol class=\"numbered\">") < at(&page, "id=\"code\""));
    assert!(at(&page, "id=\"code\"") < at(&page, "id=\"month\""));
    assert!(at(&page, "id=\"month\"") < at(&page, "next visit"));
    assert!(at(&page, "next visit") < at(&page, "give codes by phone"));
    // A code that does not work: both ways stand before the form.
    let refused = browser.submit(&typed(server, &browser, "7KQ2-M9XB-0HTW-5", RIGHT).await).await.page();
    assert_eq!(refused.status, 400);
    assert!(at(&refused, "next visit") < at(&refused, "id=\"code\""));
    assert!(at(&refused, "with a photo ID") < at(&refused, "id=\"code\""));
}

async fn two_at_the_same_moment_make_one_account(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let code = code(server, &ehr).await;
    let mut tries = Vec::new();
    for at in 0..4 {
        let browser = Browser::new(server);
        let form = typed(server, &browser, &code, RIGHT).await;
        let second = browser.submit(&form).await.page();
        let form = chosen(&second, &format!("ana-{at}"), PASSWORD);
        tries.push(tokio::spawn(async move { browser.submit(&form).await.page() }));
    }
    let mut made = 0;
    for one in tries {
        let page = one.await.unwrap();
        if page.url.path() == "/settings" {
            made += 1;
        } else {
            assert_eq!(page.status, 400);
            assert!(page.body.contains("used already"), "{}", page.body);
        }
    }
    assert_eq!(made, 1);
    assert_eq!(server.column("SELECT username FROM account").await.len(), 1);
}

async fn a_code_dies_with_the_fifth_wrong_birth_date(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let code = code(server, &ehr).await;
    // What nobody issued looks the same all along.
    let unknown = "0000-0000-0000-0";
    for at in 0..5 {
        if at == 4 {
            // The right one takes back what it counted.
            for _ in 0..3 {
                assert_eq!(tried(server, &code, RIGHT).await.status, 200);
            }
        }
        let (one, other) = (tried(server, &code, WRONG).await, tried(server, unknown, WRONG).await);
        assert_eq!((one.status, other.status), (400, 400));
        assert_eq!(plain(&one, &code), plain(&other, unknown));
        for way in ["next visit", "photo ID"] {
            assert!(one.body.contains(way), "{way}");
        }
    }
    let dead = tried(server, &code, RIGHT).await;
    assert_eq!(dead.status, 400);
    let other = tried(server, unknown, RIGHT).await;
    assert_eq!(plain(&dead, &code), plain(&other, unknown));
    // Who asks for another code gets on.
    let next = self::code(server, &ehr).await;
    assert_eq!(tried(server, &next, RIGHT).await.status, 200);
}

async fn wrong_birth_dates_at_the_same_moment_are_counted_each(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let code = code(server, &ehr).await;
    let mut tries = Vec::new();
    for at in 0..12 {
        let browser = Browser::new(server);
        let form = typed(server, &browser, &code, ("1", "1", &format!("19{:02}", at + 10))).await;
        let url = server.url("/activate");
        tries.push(tokio::spawn(async move {
            let address = format!("2001:db8:{:x}::1", rand_part());
            let request = browser.http.post(url).header("x-forwarded-for", address);
            request.form(&form.fields).send().await.unwrap().status().as_u16()
        }));
    }
    for one in tries {
        assert_eq!(one.await.unwrap(), 400);
    }
    assert_eq!(tried(server, &code, RIGHT).await.status, 400);
}

async fn a_code_is_good_for_sixty_days_and_only_the_newest(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    let first = code(server, &ehr).await;
    let second = code(server, &ehr).await;
    let page = tried(server, &first, RIGHT).await;
    assert!(page.body.contains("newer one"), "{}", page.body);
    server.advance(60 * DAY - 1000);
    assert_eq!(tried(server, &second, RIGHT).await.status, 200);
    server.advance(2000);
    let page = tried(server, &second, RIGHT).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("too old") && page.body.contains("next visit"), "{}", page.body);
    assert!(page.body.contains("photo ID"));
    // Told to nobody who does not know the birth date.
    let page = tried(server, &second, WRONG).await;
    assert!(!page.body.contains("too old"), "{}", page.body);
    // Nor with the second page, kept open until then.
    assert!(candor::smart::sweep(&server.state).await.is_ok());
    let page = tried(server, &second, RIGHT).await;
    assert!(page.body.contains("too old"), "{}", page.body);
}

async fn who_may_have_codes_printed(server: Server) {
    load_ana(server).await;
    server.load(json!({"resourceType": "Patient", "id": "ben", "birthDate": "1990"})).await;
    let ehr = backend_token(server, SCOPE).await;
    let feed = backend_token(server, "system/*.cruds").await;
    let ana = json!({"patient": "ana"});
    assert_eq!(post(server, None, &ana).await.0, 401);
    assert_eq!(post(server, Some("nonsense"), &ana).await.0, 401);
    assert_eq!(post(server, Some(&feed), &ana).await.0, 403);
    // The help desk, with whatever app: its token is a person's.
    let helper = server.add_user(Role::Staff, Some("desk"), &[]).await;
    let app = server.add_client(ClientKind::Public, "user/*.rs").await;
    let grant = DirectGrant {
        client_id: &app.client_id,
        username: Some(&helper.username),
        class: ViewerClass::Staff,
        person: Some("Practitioner/desk"),
        patient: None,
        scope: "__activation-codes user/*.cruds",
        life: 60_000,
    };
    let desk = direct::issue(&server.state, &grant).await.unwrap();
    let (status, answer) = post(server, Some(&desk), &ana).await;
    assert_eq!((status, answer["error"].as_str()), (403, Some("insufficient_scope")));
    let events = events(server).await;
    assert_eq!(happened(&events, "activation-code-refused"), 2);
    assert_eq!(happened(&events, "activation-code-issued"), 0);
    for wrong in [
        json!({}),
        json!({"patient": 7}),
        json!({"patient": "nobody"}),
        json!({"patient": "../ana"}),
        json!({"patient": "Practitioner/desk"}),
        // A year tells nobody from anybody.
        json!({"patient": "ben"}),
        json!({"patient": "ana", "phone": "555"}),
        json!(["ana"]),
    ] {
        let (status, answer) = post(server, Some(&ehr), &wrong).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_request")), "{wrong}");
    }
}

async fn names_and_passwords_that_are_refused(server: Server) {
    load_ana(server).await;
    let ehr = backend_token(server, SCOPE).await;
    // Somebody else: whose record it is has one account.
    let ben = [("ben", None, "Ben Otis")];
    let taken = server.add_user(Role::Patient, None, &ben).await;
    let code = code(server, &ehr).await;
    let browser = Browser::new(server);
    let form = typed(server, &browser, &code, RIGHT).await;
    let second = browser.submit(&form).await.page();
    let long = "x1 ".repeat(100);
    for (username, password, words) in [
        ("ana@example.com", PASSWORD, "can&#39;t be your username"),
        ("mrn-77341", PASSWORD, "may know this number"),
        ("19840229", PASSWORD, "may know this number"),
        ("1984-02-29", PASSWORD, "may know this number"),
        ("ANA", PASSWORD, "may know this number"),
        (taken.username.as_str(), PASSWORD, "has this username"),
        ("a", PASSWORD, "2 to 64"),
        ("ana.r", "fourteen chars", "at least 15"),
        ("ana.r", "passwordpassword", "easy to guess"),
        ("ana.ruiz", "ana.ruizana.ruiz", "easy to guess"),
        ("ana.r", long.as_str(), "256 characters"),
    ] {
        let page = browser.submit(&chosen(&second, username, password)).await.page();
        assert_eq!(page.status, 400, "{username} {password}");
        let body = page.body.replace('’', "&#39;").replace("'", "&#39;");
        assert!(body.contains(words), "{username} {password}: {}", page.body);
        assert!(!page.body.contains(password) || password == PASSWORD);
    }
    let mut differ = chosen(&second, "ana.r", PASSWORD);
    differ.set("repeated", "a long walk by the sae");
    assert!(browser.submit(&differ).await.page().body.contains("not the same"));
    let mut address = chosen(&second, "ana.r", PASSWORD);
    address.set("email", "ana at example");
    assert!(browser.submit(&address).await.page().body.contains("not an e-mail address"));
    // Mistakes on the second page cost the code nothing. No rule of composition: a sentence will do.
    let good = chosen(&second, "ana.r", "the cat sat on eleven warm stones");
    assert_eq!(browser.submit(&good).await.page().url.path(), "/settings");
}

async fn guessing_codes_slows_down_and_says_until_when(server: Server) {
    load_ana(server).await;
    let browser = Browser::new(server);
    let ask = async |code: &str, address: &str| {
        let form = typed(server, &browser, code, WRONG).await;
        let request = browser
            .http
            .post(server.url("/activate"))
            .header("x-forwarded-for", address)
            .form(&form.fields);
        request.send().await.unwrap()
    };
    let mut last = ask("0000-0000-0000-0", "198.51.100.1").await;
    for _ in 0..7 {
        last = ask("0000-0000-0000-0", "198.51.100.1").await;
    }
    assert_eq!(last.status(), 429);
    let wait: u32 = last.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert!(last.text().await.unwrap().contains("Please wait"));
    // Somebody else is not kept from it.
    assert_eq!(ask("0000-0000-0000-0", "198.51.100.2").await.status(), 400);
    // A slip of the finger is told as one and counts nowhere.
    for _ in 0..10 {
        let slip = ask("0000-0000-0000-1", "198.51.100.3").await;
        assert_eq!(slip.status(), 400);
        assert!(slip.text().await.unwrap().contains("one character is not right"));
    }
}
}
