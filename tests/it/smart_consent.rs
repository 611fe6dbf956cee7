//! What the consent page tells, offers and remembers, and what a wildcard means later.

use candor::smart::authenticate;
use candor::smart::clients::{self, ClientKeys, ClientKind};
use candor::smart::facts::Facts;
use candor::smart::users::Role;
use candor::visibility::Access;
use jsonwebtoken::Algorithm;
use oauth2::TokenResponse as _;
use serde_json::json;

use crate::smart_backend::{ask, backend, claims, key, sign};
use crate::smart_support::{App, Browser, PASSWORD, Sent, each_smart_database};

const ALL: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const DAY: i64 = 86_400_000;

fn facts() -> Facts {
    Facts {
        maker: Some("Acme Inc".to_owned()),
        website: Some("https://acme.example/journal".to_owned()),
        website_checked: true,
        privacy_policy: Some("https://acme.example/privacy".to_owned()),
        policy_version: Some("1".to_owned()),
        contact: Some("privacy@acme.example".to_owned()),
        answers: [
            ("sells_data".to_owned(), false),
            ("keeps_data".to_owned(), true),
        ]
        .into(),
    }
}

/// Whether a page says a step, to who looks at it and to who hears its title.
fn says(body: &str, step: &str) -> bool {
    let title = body
        .split_once("</title>")
        .is_some_and(|(head, _)| head.contains(step));
    title && body.contains(&format!("<p class=\"step\">{step}</p>"))
}

/// Order of two texts on a page.
fn stands_before(body: &str, first: &str, second: &str) -> bool {
    let at = |text: &str| {
        body.find(text)
            .unwrap_or_else(|| panic!("no {text} in {body}"))
    };
    at(first) < at(second)
}

each_smart_database! {
async fn the_page_tells_what_the_maker_says_and_what_was_left_open(server: Server) {
    let silent = server.add_client(ClientKind::Public, ALL).await;
    let user = server.add_patient().await;
    let page = Browser::new(server).to_consent(&App::new(server, &silent).start(ALL), &user).await;
    assert!(page.body.contains("has not answered our questions"), "{}", page.body);
    clients::set_facts(&server.store, &silent.client_id, &facts()).await.unwrap();
    let page = Browser::new(server).to_consent(&App::new(server, &silent).start(ALL), &user).await;
    for told in [
        "Acme Inc",
        "acme.example",
        "✓ checked",
        "href=\"https://acme.example/privacy\"",
        "Does it sell your data?</dt><dd>No",
        "Does it keep your data after you leave?</dt><dd>Yes",
        "Can you have your data deleted?</dt><dd>Not answered",
        "HIPAA may not protect it there",
        "A few kinds of records are not shared online",
    ] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    // In Spanish too.
    let browser = Browser::new(server);
    let mut sent = App::new(server, &silent).start(ALL);
    sent.url.query_pairs_mut().append_pair("ui_locales", "es");
    let login = browser.open(sent.url.as_str()).await.page();
    let page = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    assert!(page.body.contains("Recetas") && page.body.contains("¿Vende sus datos?"));
}

async fn names_keep_their_direction_to_themselves(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let name = "\u{5d9}\u{5d5}\u{5de}\u{5df} (Mercy";
    server.sql(&format!("UPDATE oauth_client SET name = '{name}'")).await;
    let told = Facts { maker: Some("\u{5d7}\u{5d1}\u{5e8}\u{5d4}".to_owned()), ..facts() };
    clients::set_facts(&server.store, &registered.client_id, &told).await.unwrap();
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let app = App::new(server, &registered);
    let sent = app.start(ALL);
    let login = browser.open(sent.url.as_str()).await.page();
    let own = format!("<bdi>{name}</bdi>");
    assert!(login.body.contains(&own), "{}", login.body);
    let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    let main = page.body.split_once("<main").unwrap().1;
    assert_eq!(main.matches(name).count(), main.matches(&own).count(), "{main}");
    assert!(main.contains("<bdi>\u{5d7}\u{5d1}\u{5e8}\u{5d4}</bdi>"), "{main}");
    // A title has no elements.
    assert!(!page.body.split_once("</title>").unwrap().0.contains("bdi"));
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    let answer = browser.submit(&form).await.answer();
    app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let apps = browser.open(&server.url("/apps")).await.page();
    assert!(apps.body.contains(&own), "{}", apps.body);
}

async fn a_part_that_the_page_has_no_words_for_is_said_plainly(server: Server) {
    let query = "code=http://loinc.org|4548-4";
    let scope = format!("launch/patient patient/Observation.rs?{query}");
    let app = App::new(server, &server.add_client(ClientKind::Public, &scope).await);
    let user = server.add_patient().await;
    for (language, words, summary) in [
        ("en", "Only a part of these, which the app names by codes", "Show the codes"),
        ("es", "Solo una parte de estos, que la aplicación nombra con códigos", "Mostrar los códigos"),
    ] {
        let mut sent = app.start(&scope);
        sent.url.query_pairs_mut().append_pair("ui_locales", language);
        let browser = Browser::new(server);
        let login = browser.open(sent.url.as_str()).await.page();
        let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
        assert!(page.body.contains(words), "{}", page.body);
        let (_, rest) = page.body.split_once(&format!("<summary>{summary}</summary>")).unwrap();
        let (codes, rest) = rest.split_once("</details>").unwrap();
        assert!(codes.contains(query), "{codes}");
        // In the value of its box it stands once more, and nowhere for people to read.
        assert!(!rest.contains(query), "{rest}");
        assert_eq!(page.body.matches(query).count(), 2, "{}", page.body);
    }
}

async fn long_term_access_is_a_choice_of_its_own_and_a_year_is_a_year(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let page = Browser::new(server).to_consent(&app.start(ALL), &user).await;
    let form = page.form("/auth/consent");
    assert!(form.fields.contains(&("long".to_owned(), "no".to_owned())));
    for value in ["yes", "year"] {
        assert!(form.unticked.contains(&("long".to_owned(), value.to_owned())), "{value}");
    }
    let tokens = app.connect(server, &user, ALL, |form| form.set("long", "year")).await;
    let mut refresh = tokens.refresh_token().unwrap().clone();
    for _ in 0..4 {
        server.advance(80 * DAY);
        let next = app.refresh(&refresh, "").await.unwrap();
        refresh = next.refresh_token().unwrap().clone();
    }
    // Used all the time, and over all the same.
    server.advance(44 * DAY + DAY / 2);
    let last = app.refresh(&refresh, "").await.unwrap();
    server.advance(DAY / 2 - 600_000);
    let next = app.refresh(last.refresh_token().unwrap(), "").await.unwrap();
    assert_eq!(next.expires_in().unwrap().as_secs(), 600);
    server.advance(600_000);
    let access = next.access_token().secret();
    assert!(authenticate(&server.state, access).await.is_err());
    let over = app.refresh(next.refresh_token().unwrap(), "").await;
    assert!(over.unwrap_err().contains("invalid_grant"));
}

/// portal.md 4.7.
async fn long_term_access_is_allowed_by_whoever_signed_in_just_now(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    browser.sign_in(&login, &user.username, PASSWORD).await.page();
    server.advance(4 * 60_000);
    let consent = async |sent: &Sent| {
        let page = browser.open(sent.url.as_str()).await.page();
        let mut form = page.form("/auth/consent");
        form.set("action", "allow");
        form
    };
    let sent = app.start(ALL);
    let mut form = consent(&sent).await;
    // They read for a while; for an hour of access that does not matter.
    let short = app.start(ALL);
    let brief = consent(&short).await;
    server.advance(60_001);
    assert!(browser.submit(&brief).await.answer().contains_key("code"));
    form.set("long", "yes");
    let login = browser.submit(&form).await.page();
    assert_eq!(login.url.path(), "/login");
    assert!(login.body.contains("type your password again"), "{}", login.body);
    let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    let mut form = page.form("/auth/consent");
    form.set("long", "yes");
    form.set("action", "allow");
    server.advance(5 * 60_000);
    let answer = browser.submit(&form).await.answer();
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert!(tokens.refresh_token().is_some());
}

async fn asked_again_the_difference_stands_first(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    clients::set_facts(&server.store, &registered.client_id, &facts()).await.unwrap();
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let first = "launch/patient patient/Patient.rs patient/Condition.rs patient/Goal.rs";
    app.connect(server, &user, first, |form| form.only(&["Goal"])).await;

    // The same again: filled in as it was answered, nothing set apart.
    let page = Browser::new(server).to_consent(&app.start(first), &user).await;
    assert!(page.body.contains("You allowed this app before"));
    assert!(!page.body.contains("What is new this time"));
    let form = page.form("/auth/consent");
    assert!(form.fields.contains(&("allow".to_owned(), "Goal".to_owned())));
    assert!(form.unticked.contains(&("allow".to_owned(), "Condition".to_owned())));

    // More is asked, and the maker says something else.
    let mut now = facts();
    now.answers.insert("sells_data".to_owned(), true);
    now.policy_version = Some("2".to_owned());
    clients::set_facts(&server.store, &registered.client_id, &now).await.unwrap();
    let more = format!("{first} patient/Immunization.rs");
    let page = Browser::new(server).to_consent(&app.start(&more), &user).await;
    let body = &page.body;
    assert!(body.contains("It has a new privacy policy."), "{body}");
    assert!(body.contains("The answer was “No” and is now “Yes”"), "{body}");
    assert!(stands_before(body, "What is new this time", "value=\"Immunization\""));
    assert!(stands_before(body, "value=\"Immunization\"", "What the app asked before"));
    assert!(stands_before(body, "What the app asked before", "value=\"Condition\""));
    let form = page.form("/auth/consent");
    assert!(form.fields.contains(&("allow".to_owned(), "Immunization".to_owned())));
    assert!(form.unticked.contains(&("allow".to_owned(), "Condition".to_owned())));

    // Somebody else's answers are nobody's business.
    let other = server.add_patient().await;
    let page = Browser::new(server).to_consent(&app.start(first), &other).await;
    assert!(!page.body.contains("You allowed this app before"));
}

async fn a_limited_proxy_is_offered_what_they_can_see(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let user = server
        .add_user(Role::Representative, None, &[("maya", Some("aunt"), "Maya Ruiz")])
        .await;
    server.load_related("aunt", "maya").await;
    let system = candor::release::vocabulary::PROXY_LEVEL;
    server
        .load(json!({"resourceType": "Consent", "id": "permit", "status": "active",
            "scope": {"coding": [{"system": candor::release::vocabulary::CONSENT_SCOPE,
                "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/maya"}, "dateTime": "2026-01-01",
            "policyRule": {"text": "proxy"},
            "provision": {"type": "permit",
                "actor": [{"role": {"text": "proxy"},
                    "reference": {"reference": "RelatedPerson/aunt"}}],
                "securityLabel": [{"system": system, "code": "limited"}]}}))
        .await;
    let page = Browser::new(server).to_consent(&app.start(ALL), &user).await;
    assert!(page.body.contains("value=\"Immunization\""), "{}", page.body);
    for beyond in ["Observation", "Condition", "DocumentReference", "MedicationRequest"] {
        assert!(!page.body.contains(&format!("value=\"{beyond}\"")), "{beyond}");
    }
    let tokens = app.connect(server, &user, ALL, |_| ()).await;
    let scopes = tokens.scopes().unwrap();
    assert!(!scopes.iter().any(|scope| scope.contains("Observation")), "{scopes:?}");
}

async fn a_wildcard_means_what_it_meant_when_it_was_granted(server: Server) {
    let asked = "user/*.rs user/Observation.cruds";
    let registered = server.add_client(ClientKind::Confidential, asked).await;
    let app = App::new(server, &registered);
    let user = server.add_user(Role::Clinician, Some("dr-lee"), &[]).await;
    let tokens = app.connect(server, &user, asked, |_| ()).await;
    let token = tokens.access_token().secret();
    let opens = async |name: &str| {
        let viewer = authenticate(&server.state, token).await.unwrap();
        let type_id = candor::fhir::definitions::definitions().type_id(name).unwrap();
        let mut grants = viewer.scopes.grants().iter();
        grants.any(|grant| grant.covers(type_id) && grant.allows(Access::Search))
    };
    assert!(opens("Task").await);
    // As if it had been granted before any of today's types joined the list.
    server.sql("UPDATE auth_grant SET catalogue = '2020-01-01'").await;
    server.sql("UPDATE auth_generation SET value = value + 1").await;
    assert!(!opens("Task").await && !opens("Patient").await);
    // What was named by name stays.
    assert!(opens("Observation").await);
}

/// Nobody is asked before a backend gets its scopes: its wildcards are of the day it was registered.
async fn a_backends_wildcard_means_what_it_meant_when_it_was_registered(server: Server) {
    let own = key(Algorithm::ES384, "k1");
    let set = json!({"keys": [own.public]}).to_string();
    let scope = "system/*.rs system/Goal.cruds";
    let client = backend(server, ClientKeys::Value(set), scope).await;
    let token = async |scope: &str| {
        let assertion = sign(&own, "k1", &claims(server, &client));
        ask(server, &assertion, scope).await
    };
    let (status, answer) = token("system/*.rs").await;
    assert_eq!((status, &answer["scope"]), (200, &json!("system/*.rs")));
    server.sql("UPDATE oauth_client SET catalogue = '2020-01-01'").await;
    let (status, answer) = token("system/Task.rs").await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")), "{answer}");
    let (status, answer) = token("system/*.rs").await;
    assert_eq!((status, &answer["scope"]), (200, &json!("system/Goal.rs")), "{answer}");
}

async fn the_wrong_person_is_asked_whether_they_mean_it(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let (ana, ben) = (server.add_patient().await, server.add_patient().await);
    let browser = Browser::new(server);
    browser.allow(&app.start("patient/Goal.rs"), &ana, |_| ()).await;
    let hinted = |name: &str| {
        let mut sent = app.start("patient/Goal.rs");
        sent.url.query_pairs_mut().append_pair("login_hint", name);
        sent
    };
    // The right one, in whatever case, and a hint that is no username.
    let right = browser.open(hinted(&ana.username.to_uppercase()).url.as_str()).await.page();
    assert_eq!(right.url.path(), "/auth/consent");
    let page = browser.open(hinted(&ben.username).url.as_str()).await.page();
    assert_eq!(page.url.path(), "/auth/switch");
    assert!(page.body.contains("You are signed in as Ana Ruiz"));
    // Whether such a person exists is not said.
    assert!(!page.body.contains(&ben.username));
    let mut form = page.form("/auth/switch");
    form.set("action", "stay");
    let stayed = browser.submit(&form).await.page();
    assert_eq!(stayed.url.path(), "/auth/consent");
    let page = browser.open(hinted("nobody at all").url.as_str()).await.page();
    assert_eq!(page.url.path(), "/auth/switch");
    let mut form = page.form("/auth/switch");
    form.set("action", "other");
    let login = browser.submit(&form).await.page();
    assert_eq!(login.url.path(), "/login");
    assert_eq!(browser.open(&server.url("/apps")).await.page().url.path(), "/login");
}

async fn an_app_on_the_device_is_reached_by_a_link_too(server: Server) {
    let registered = server.add_client(ClientKind::Public, ALL).await;
    let app = App::with_redirect(server, &registered, "http://127.0.0.1:51234/done");
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let sent = app.start("patient/Goal.rs");
    let page = browser.to_consent(&sent, &user).await;
    let mut form = page.form("/auth/consent");
    form.set("action", "allow");
    let request = browser
        .http
        .post(server.url("/auth/consent"))
        .header("sec-fetch-site", "same-origin")
        .form(&form.fields);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let body = response.text().await.unwrap();
    assert!(body.contains("You can go back to the app"), "{body}");
    assert!(body.contains("<a href=\"http://127.0.0.1:51234/done?code="), "{body}");
    assert!(body.contains("http-equiv=\"refresh\""));
    assert!(says(&body, "Step 3 of 3: back to the app"), "{body}");
}

async fn each_page_says_which_step_it_is(server: Server) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    server.load_related("maya-s-father", "maya").await;
    let records = [("ana", None, "Ana Ruiz"), ("maya", Some("maya-s-father"), "Maya Ruiz")];
    let user = server.add_user(Role::Patient, None, &records).await;
    let browser = Browser::new(server);
    let login = browser.open(app.start(ALL).url.as_str()).await.page();
    assert!(says(&login.body, "Step 1 of 3: sign in"), "{}", login.body);
    // Whose record and what of it are one step: the first is left out where there is one record.
    let record = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(record.url.path(), "/auth/record");
    assert!(says(&record.body, "Step 2 of 3: choose what to share"), "{}", record.body);
    assert!(!record.body.contains(" checked"), "{}", record.body);
    let mut form = record.form("/auth/record");
    form.set("patient", "maya");
    let consent = browser.submit(&form).await.page();
    assert_eq!(consent.url.path(), "/auth/consent");
    assert!(says(&consent.body, "Step 2 of 3: choose what to share"), "{}", consent.body);
    // Who only signs in connects nothing.
    let login = Browser::new(server).open(&server.url("/login")).await.page();
    assert!(!login.body.contains("Step 1"), "{}", login.body);
}

/// The words and controls of a page, without what differs each time.
async fn the_page_reads_as_it_should(server: Server) {
    let asked = "openid launch/patient offline_access patient/Patient.rs patient/Condition.rs \
        patient/Immunization.rs";
    let registered = server.add_client(ClientKind::Public, ALL).await;
    clients::set_facts(&server.store, &registered.client_id, &facts()).await.unwrap();
    let app = App::new(server, &registered);
    let user = server.add_patient().await;
    let pattern = "value=\"[A-Za-z0-9_-]{20,}\"|request=[A-Za-z0-9_-]{20,}";
    let secret = regex::Regex::new(pattern).unwrap();
    for language in ["en", "es"] {
        let browser = Browser::new(server);
        let mut sent = app.start(asked);
        sent.url.query_pairs_mut().append_pair("ui_locales", language);
        let login = browser.open(sent.url.as_str()).await.page();
        let page = browser.sign_in(&login, &user.username, crate::smart_support::PASSWORD).await;
        let body = page.page().body;
        let (_, main) = body.split_once("<main").unwrap();
        let (main, _) = main.split_once("</main>").unwrap();
        let main = secret.replace_all(main, "…");
        let lines = main.lines().map(str::trim).filter(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(format!("consent_{language}"), text);
    }
}
}
