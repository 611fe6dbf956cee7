//! Second steps: codes of an authenticator app, recovery codes, and who cannot do without.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candor::smart::clients::ClientKind;
use candor::smart::users::{RegisteredUser, Role};
use candor::smart::{SmartConfig, factors};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::smart_activation::{events, happened};
use crate::smart_support::{App, Browser, End, PASSWORD, Page, Server, SmartTokens};
use crate::support::Database;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const AAL: &str = "http://idmanagement.gov/ns/assurance/aal/";

/// Staff need a second factor, as they do by default.
fn strict(config: &mut SmartConfig) {
    config.staff_needs_second_factor = true;
}

/// Runs a body on both databases, with staff who need a second factor.
macro_rules! each_strict_database {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident: Server) $body:block)+) => {$(
        $(#[$meta])*
        async fn $name($server: &Server) $body

        mod $name {
            use super::strict;
            use crate::smart_support::Server;
            use crate::support::Database;

            #[tokio::test]
            async fn sqlite() {
                let server = Server::start_with(Database::Sqlite, strict).await;
                super::$name(&server).await;
                server.stop().await;
            }

            #[tokio::test]
            async fn postgres() {
                if !Database::Postgres.is_there() {
                    return;
                }
                let server = Server::start_with(Database::Postgres, strict).await;
                super::$name(&server).await;
                server.stop().await;
            }
        }
    )+};
}

/// Types name and password; wherever that leads.
async fn password_step(server: &Server, browser: &Browser, username: &str) -> Page {
    let login = browser.open(&server.url("/login")).await.page();
    browser.sign_in(&login, username, PASSWORD).await.page()
}

/// The key that an enrolment page shows, as an authenticator app takes it.
fn app_of(page: &Page) -> Totp {
    let (_, rest) = page.body.split_once("<code class=\"key\">").unwrap();
    let key: String = rest.split('<').next().unwrap().split(' ').collect();
    Builder::new()
        .with_secret(Secret::try_from_base32(key).unwrap())
        .build()
        .unwrap()
}

/// What the app shows, so many steps from now.
fn code(server: &Server, app: &Totp, steps: i64) -> String {
    let now = server.clock.now() / SECOND + 30 * steps;
    app.generate(u64::try_from(now).unwrap()).to_string()
}

/// Types a code into whichever page asks for one.
async fn type_code(browser: &Browser, page: &Page, action: &str, code: &str) -> End {
    let mut form = page.form(action);
    form.set("code", code);
    browser.submit(&form).await
}

async fn is_signed_in(server: &Server, browser: &Browser) -> bool {
    browser.open(&server.url("/apps")).await.page().url.path() == "/apps"
}

/// The codes on a page that shows them.
fn codes(page: &Page) -> Vec<String> {
    let parts = page.body.split("<li><code>").skip(1);
    parts
        .map(|part| part.split('<').next().unwrap().to_owned())
        .collect()
}

/// Asks for something on the page of factors, with the password.
async fn change(server: &Server, browser: &Browser, action: &str, password: &str) -> Page {
    change_with(server, browser, action, password, None).await
}

/// The same, with a code where there is one.
async fn change_with(
    server: &Server,
    browser: &Browser,
    action: &str,
    password: &str,
    code: Option<&str>,
) -> Page {
    let page = browser.open(&server.url("/security")).await.page();
    let mut form = page.form("/security");
    form.set("password", password);
    form.set("action", action);
    if let Some(code) = code {
        form.set("code", code);
    }
    browser.submit(&form).await.page()
}

/// Sets an app up for somebody signed in: the app, and the recovery codes.
async fn enrol(server: &Server, browser: &Browser) -> (Totp, Vec<String>) {
    let page = change(server, browser, "totp-begin", PASSWORD).await;
    assert_eq!(page.url.path(), "/auth/factor/enrol");
    let app = app_of(&page);
    let shown = code(server, &app, 0);
    let page = type_code(browser, &page, "/auth/factor/enrol", &shown)
        .await
        .page();
    let codes = codes(&page);
    assert_eq!(codes.len(), 10, "{}", page.body);
    (app, codes)
}

async fn number(server: &Server, sql: &str) -> i64 {
    let statement = sea_orm::Statement::from_string(server.store.backend(), sql);
    let row = server
        .store
        .reader()
        .query_one_raw(statement)
        .await
        .unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// `acr` and `amr` of an id_token.
pub fn how(token: &SmartTokens) -> Value {
    let token = token.extra_fields().id_token.as_deref().unwrap();
    let part = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    json!([claims["acr"], claims["amr"]])
}

async fn a_clerk(server: &Server) -> RegisteredUser {
    server.add_user(Role::Staff, Some("clerk"), &[]).await
}

each_strict_database! {
async fn a_patient_chooses_an_app_and_is_asked_for_its_codes(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    // Not asked of patients.
    assert_eq!(password_step(server, &browser, &user.username).await.url.path(), "/apps");
    let page = change(server, &browser, "totp-begin", "not this one, surely").await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("password is not right"), "{}", page.body);
    let page = change(server, &browser, "totp-begin", PASSWORD).await;
    assert!(page.body.contains("<svg ") && page.body.contains("otpauth://totp/"));
    assert!(!page.body.contains("data:"), "{}", page.body);
    let app = app_of(&page);
    // A secret that nobody confirmed is asked of nobody.
    let other = Browser::new(server);
    assert_eq!(password_step(server, &other, &user.username).await.url.path(), "/apps");
    let wrong = type_code(&browser, &page, "/auth/factor/enrol", "000000").await.page();
    assert_eq!(wrong.status, 400);
    let shown = code(server, &app, 0);
    let done = type_code(&browser, &wrong, "/auth/factor/enrol", &shown).await.page();
    assert_eq!(codes(&done).len(), 10, "{}", done.body);

    // From now on the password alone lets nobody in.
    let other = Browser::new(server);
    let step = password_step(server, &other, &user.username).await;
    assert_eq!(step.url.path(), "/auth/factor");
    assert!(!is_signed_in(server, &other).await);
    assert_eq!(other.open(&server.url("/security")).await.page().url.path(), "/login");
    let page = other.open(&server.url("/auth/factor/enrol")).await.page();
    assert_eq!(page.url.path(), "/login", "a half sign-in sets up nothing");
    // The code that set it up is spent.
    let again = type_code(&other, &step, "/auth/factor", &shown).await.page();
    assert_eq!(again.status, 400, "a code worked twice");
    for steps in [-3, -2, -1, 2, 3] {
        let far = code(server, &app, steps);
        let page = type_code(&other, &step, "/auth/factor", &far).await.page();
        assert!(page.status >= 400, "{steps}");
    }
    let next = code(server, &app, 1);
    server.advance(16 * MINUTE);
    let step = password_step(server, &other, &user.username).await;
    let page = type_code(&other, &step, "/auth/factor", &next).await.page();
    assert_eq!(page.status, 400, "a code of a quarter of an hour ago");
    server.advance(16 * MINUTE);
    let step = password_step(server, &other, &user.username).await;
    // One step late is in time; with a space, as apps show it.
    let late = code(server, &app, -1);
    let late = format!("{} {}", &late[..3], &late[3..]);
    let page = type_code(&other, &step, "/auth/factor", &late).await.page();
    assert_eq!(page.url.path(), "/apps", "{}", page.body);
    // And once, in whatever browser.
    let third = Browser::new(server);
    let step = password_step(server, &third, &user.username).await;
    let page = type_code(&third, &step, "/auth/factor", &late).await.page();
    assert_eq!(page.status, 400, "a code worked twice");

    // Taken away, with the password.
    let page = change(server, &other, "totp-remove", PASSWORD).await;
    assert_eq!(page.status, 200);
    let last = Browser::new(server);
    assert_eq!(password_step(server, &last, &user.username).await.url.path(), "/apps");
}

async fn who_has_the_password_alone_is_not_known_and_changes_are_told(server: Server) {
    let user = server.add_patient().await;
    let address = "ana@example.com";
    server.confirm_email(&user.username, address).await;
    let browser = Browser::new(server);
    password_step(server, &browser, &user.username).await;
    let elsewhere = Browser::new(server);
    password_step(server, &elsewhere, &user.username).await;
    let (app, codes) = enrol(server, &browser).await;
    let told = server.letters.next_to(address).await;
    assert!(told.body.contains("authenticator app"), "{told:?}");
    assert!(is_signed_in(server, &browser).await);
    assert!(!is_signed_in(server, &elsewhere).await, "signed in with a password alone");
    server.advance(MINUTE);

    let devices = || number(server, "SELECT COUNT(*) FROM known_device");
    let before = devices().await;
    let thief = Browser::new(server);
    let step = password_step(server, &thief, &user.username).await;
    assert_eq!(step.url.path(), "/auth/factor");
    assert_eq!(devices().await, before, "known after half of it");
    let shown = code(server, &app, 0);
    assert_eq!(type_code(&thief, &step, "/auth/factor", &shown).await.page().url.path(), "/apps");
    assert_eq!(devices().await, before + 1);

    let step = password_step(server, &elsewhere, &user.username).await;
    type_code(&elsewhere, &step, "/auth/factor", &codes[0]).await;
    let told = server.letters.next_to(address).await;
    assert!(told.body.contains("codes on paper"), "{told:?}");
    server.advance(MINUTE);
    let shown = code(server, &app, 0);
    let page = change_with(server, &browser, "totp-remove", PASSWORD, Some(&shown)).await;
    assert_eq!(page.status, 200, "{}", page.body);
    server.letters.next_to(address).await;
    assert_eq!(happened(&events(server).await, "authenticator-removed"), 1);
}

async fn changes_of_factors_ask_for_the_factor_too(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    password_step(server, &browser, &user.username).await;
    let (app, papers) = enrol(server, &browser).await;
    let has_app = || number(server, "SELECT COUNT(*) FROM totp WHERE confirmed IS NOT NULL");
    let made = || number(server, "SELECT MAX(created) FROM recovery_code");
    let (first, actions) = (made().await, ["totp-remove", "codes", "totp-begin", "passkey-remove"]);
    server.advance(MINUTE);
    // This browser knows the password alone. Nothing of it changes anything.
    for action in actions {
        let page = change(server, &browser, action, PASSWORD).await;
        assert_eq!(page.status, 400, "{action}: {}", page.body);
        assert!(page.body.contains("Type a code too"), "{action}: {}", page.body);
        assert!(page.body.contains("name=\"code\""));
        let page = change_with(server, &browser, action, PASSWORD, Some("000000")).await;
        assert!(page.status == 400 || page.status == 429, "{action}");
        server.advance(16 * MINUTE);
        browser.open(&server.url("/login")).await.page();
        let step = password_step(server, &browser, &user.username).await;
        assert_eq!(step.url.path(), "/auth/factor");
        let shown = code(server, &app, 0);
        type_code(&browser, &step, "/auth/factor", &shown).await.page();
        // By both steps, and too long ago.
        server.advance(5 * MINUTE + SECOND);
    }
    let form = browser.open(&server.url("/security")).await.page().form("/security");
    let token = &form.fields.iter().find(|(name, _)| name == "form").unwrap().1;
    let options = browser
        .http
        .post(server.url("/security/passkey/options"))
        .form(&[("form", token.as_str()), ("password", PASSWORD)])
        .send()
        .await
        .unwrap();
    assert_eq!(options.status(), 400);
    assert!(options.text().await.unwrap().contains("Type a code too"));
    assert_eq!((has_app().await, made().await), (1, first));
    // A wrong password does not use the code up; the right one with it does, once.
    let shown = code(server, &app, 0);
    let page = change_with(server, &browser, "codes", "not this one", Some(&shown)).await;
    assert!(page.body.contains("password is not right"), "{}", page.body);
    let page = change_with(server, &browser, "codes", PASSWORD, Some(&shown)).await;
    assert_eq!(codes(&page).len(), 10, "{}", page.body);
    let page = change_with(server, &browser, "codes", PASSWORD, Some(&shown)).await;
    assert_eq!(page.status, 400, "a code worked twice");
    let page = change_with(server, &browser, "totp-remove", PASSWORD, Some(&papers[0])).await;
    assert_eq!(page.status, 400, "an old recovery code");
    // Both steps a moment ago stand for the code, for five minutes.
    server.advance(16 * MINUTE);
    let again = Browser::new(server);
    let step = password_step(server, &again, &user.username).await;
    let shown = code(server, &app, 0);
    type_code(&again, &step, "/auth/factor", &shown).await.page();
    server.advance(5 * MINUTE - SECOND);
    let page = again.open(&server.url("/security")).await.page();
    assert!(!page.body.contains("name=\"code\""));
    assert_eq!(change(server, &again, "totp-remove", PASSWORD).await.status, 200);
    assert_eq!(has_app().await, 0);
}

async fn recovery_codes_work_once_each_until_there_are_new_ones(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    password_step(server, &browser, &user.username).await;
    let (_, first) = enrol(server, &browser).await;
    let distinct: std::collections::BTreeSet<&String> = first.iter().collect();
    assert_eq!(distinct.len(), 10);
    let enter = async |code: &str| {
        let browser = Browser::new(server);
        let step = password_step(server, &browser, &user.username).await;
        type_code(&browser, &step, "/auth/factor", code).await.page().url.path() == "/apps"
    };
    assert!(enter(&first[0]).await);
    assert!(!enter(&first[0]).await, "a recovery code worked twice");
    // However it is typed.
    assert!(enter(&first[1].to_uppercase().replace('-', " ")).await);
    assert!(!enter("0000-0000-0000-0000").await);
    let page = browser.open(&server.url("/security")).await.page();
    assert!(page.body.contains("8 codes are left"), "{}", page.body);
    assert!(!page.body.contains(&first[2]), "shown again");
    let page = change_with(server, &browser, "codes", PASSWORD, Some(&first[9])).await;
    let second = codes(&page);
    assert_eq!(second.len(), 10, "{}", page.body);
    assert!(!enter(&first[2]).await, "an old code works after new ones were made");
    assert!(enter(&second[2]).await);
    // Another account's are no use.
    let other = server.add_patient().await;
    let theirs = Browser::new(server);
    password_step(server, &theirs, &other.username).await;
    let (_, foreign) = enrol(server, &theirs).await;
    assert!(!enter(&foreign[0]).await);
}

async fn who_works_here_sets_one_up_before_anything_else(server: Server) {
    for role in [Role::Staff, Role::Auditor, Role::Admin, Role::Clinician] {
        let user = server.add_user(role, Some("someone"), &[]).await;
        let browser = Browser::new(server);
        let page = password_step(server, &browser, &user.username).await;
        assert_eq!(page.url.path(), "/auth/factor/enrol", "{role:?}");
        // Nothing else is open.
        for path in ["/apps", "/security", "/auth/factor"] {
            let page = browser.open(&server.url(path)).await.page();
            assert!(
                ["/login", "/auth/factor/enrol"].contains(&page.url.path()),
                "{path}: {}",
                page.url
            );
        }
        let app = app_of(&page);
        let shown = code(server, &app, 0);
        let page = type_code(&browser, &page, "/auth/factor/enrol", &shown).await.page();
        assert_eq!(codes(&page).len(), 10, "{}", page.body);
        assert!(is_signed_in(server, &browser).await, "{role:?}");
        // The last one stays; who came in by both steps a moment ago needs no code.
        let page = change(server, &browser, "totp-remove", PASSWORD).await;
        assert_eq!(page.status, 400);
        assert!(page.body.contains("Add another one first"), "{}", page.body);
        // The next time, the code is asked for.
        server.advance(MINUTE);
        let again = Browser::new(server);
        let page = password_step(server, &again, &user.username).await;
        assert_eq!(page.url.path(), "/auth/factor");
        let shown = code(server, &app, 0);
        type_code(&again, &page, "/auth/factor", &shown).await.page();
        assert!(is_signed_in(server, &again).await);
    }
    // Whoever acts for a patient need not.
    let parent = server.add_user(Role::Representative, None, &[("ana", Some("mom"), "Ana")]).await;
    let page = password_step(server, &Browser::new(server), &parent.username).await;
    assert_eq!(page.url.path(), "/apps");
}

async fn an_app_waits_for_both_steps(server: Server) {
    let scope = "openid fhirUser offline_access user/*.rs";
    let app = App::new(server, &server.add_client(ClientKind::Public, scope).await);
    let user = server.add_user(Role::Clinician, Some("lee"), &[]).await;
    let sent = app.start(scope);
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let page = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(page.url.path(), "/auth/factor/enrol");
    let phone = app_of(&page);
    let shown = code(server, &phone, 0);
    let page = type_code(&browser, &page, "/auth/factor/enrol", &shown).await.page();
    // By way of the recovery codes, on to the app.
    let (_, rest) = page.body.split_once("class=\"button\" href=\"").unwrap();
    let next = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let consent = browser.open(&server.url(&next)).await.page();
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    assert!(browser.submit(&form).await.answer().contains_key("code"));

    server.advance(MINUTE);
    let sent = app.start(scope);
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let step = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(step.url.path(), "/auth/factor");
    let request = login.form("/login").fields;
    let (_, request) = request.iter().find(|(name, _)| name == "request").unwrap();
    // Without the second step nobody answers.
    let page = browser.open(&server.url(&format!("/auth/consent?request={request}"))).await.page();
    assert_eq!(page.url.path(), "/login");
    let shown = code(server, &phone, 0);
    let consent = type_code(&browser, &step, "/auth/factor", &shown).await.page();
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    let answer = browser.submit(&form).await.answer();
    let token = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(how(&token), json!([format!("{AAL}2"), ["pwd", "otp", "mfa"]]));
    // A password alone is told as such.
    let patients = "openid launch/patient patient/*.rs";
    let app = App::new(server, &server.add_client(ClientKind::Public, patients).await);
    let sent = app.start(patients);
    let patient = server.add_patient().await;
    let answer = Browser::new(server).allow(&sent, &patient, |_| ()).await;
    let token = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    assert_eq!(how(&token), json!([format!("{AAL}1"), ["pwd"]]));
}

async fn half_a_sign_in_is_bound_to_its_browser_and_ten_minutes(server: Server) {
    let user = a_clerk(server).await;
    let browser = Browser::new(server);
    let page = password_step(server, &browser, &user.username).await;
    let phone = app_of(&page);
    let shown = code(server, &phone, 0);
    let form = page.form("/auth/factor/enrol");
    // A form of another browser, of another site, without its token.
    let mut forged = form.clone();
    forged.set("code", &shown);
    let stranger = Browser::new(server);
    assert_eq!(stranger.submit(&forged).await.page().status, 400);
    let other = a_clerk(server).await;
    password_step(server, &stranger, &other.username).await;
    assert_eq!(stranger.submit(&forged).await.page().status, 403);
    forged.set("form", "AAAA");
    assert_eq!(browser.submit(&forged).await.page().status, 403);
    let request = browser
        .http
        .post(server.url("/auth/factor/enrol"))
        .header("sec-fetch-site", "cross-site")
        .form(&form.fields);
    assert_eq!(browser.follow(request).await.page().status, 403);
    // Too late.
    server.advance(10 * MINUTE + 1);
    let shown = code(server, &phone, 0);
    let late = type_code(&browser, &page, "/auth/factor/enrol", &shown).await.page();
    assert_eq!(late.status, 400);
    assert!(!is_signed_in(server, &browser).await);
}

async fn guessing_codes_ends_soon_and_locks_nobody_out_who_has_no_password(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    password_step(server, &browser, &user.username).await;
    let (phone, codes) = enrol(server, &browser).await;
    let guesser = Browser::new(server);
    let step = password_step(server, &guesser, &user.username).await;
    let mut waited = 0;
    for guess in 0..12 {
        let guess = format!("{guess:06}");
        let page = type_code(&guesser, &step, "/auth/factor", &guess).await.page();
        waited += u32::from(page.status == 429);
        assert!(page.status == 400 || page.headers.contains_key("retry-after"));
    }
    assert!(waited > 4, "only {waited} of 12 guesses had to wait");
    // While it waits, the right code is not even looked at.
    let right = code(server, &phone, 1);
    let page = type_code(&guesser, &step, "/auth/factor", &right).await.page();
    assert_eq!(page.status, 429);
    // From many addresses: a hundred, and no more.
    let mut refused = 0;
    for host in 0..130 {
        let mut form = step.form("/auth/factor");
        form.set("code", "000000");
        let request = guesser
            .http
            .post(server.url("/auth/factor"))
            .header("x-forwarded-for", format!("198.51.100.{host}"))
            .form(&form.fields);
        let page = guesser.follow(request).await.page();
        refused += u32::from(page.status == 429);
    }
    assert!(refused >= 25, "only {refused}");
    // A new password begins anew, for codes too; the half sign-in of the guesser is over.
    candor::smart::users::set_password(&server.store, &user.username, PASSWORD).await.unwrap();
    server.advance(16 * MINUTE);
    let page = type_code(&guesser, &step, "/auth/factor", &codes[0]).await.page();
    assert_eq!(page.status, 400);
    let owner = Browser::new(server);
    let step = password_step(server, &owner, &user.username).await;
    let page = type_code(&owner, &step, "/auth/factor", &codes[1]).await.page();
    assert_eq!(page.url.path(), "/apps", "{}", page.body);
}

async fn somebody_who_lost_everything_is_started_over(server: Server) {
    let user = a_clerk(server).await;
    let browser = Browser::new(server);
    let page = password_step(server, &browser, &user.username).await;
    let old = app_of(&page);
    let shown = code(server, &old, 0);
    type_code(&browser, &page, "/auth/factor/enrol", &shown).await.page();
    assert!(is_signed_in(server, &browser).await);
    factors::reset(&server.store, &user.username).await.unwrap();
    assert!(!is_signed_in(server, &browser).await, "the session lives on");
    let again = Browser::new(server);
    let page = password_step(server, &again, &user.username).await;
    assert_eq!(page.url.path(), "/auth/factor/enrol");
    let shown = code(server, &old, 0);
    let page = type_code(&again, &page, "/auth/factor/enrol", &shown).await.page();
    assert_eq!(page.status, 400, "the lost app still works");
    assert!(factors::reset(&server.store, "nobody").await.is_err());
    for table in ["totp", "recovery_code", "half_sign_in"] {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE account = '{}'", user.id);
        let kept = i64::from(table != "recovery_code");
        assert_eq!(number(server, &sql).await, kept, "{table}");
    }
}
}

#[tokio::test]
async fn secrets_are_sealed_with_the_file_too() {
    let server = Server::start_with(Database::Sqlite, |config| {
        strict(config);
        config.sealing_key = Some(vec![7; 32]);
    })
    .await;
    let user = a_clerk(&server).await;
    let browser = Browser::new(&server);
    let page = password_step(&server, &browser, &user.username).await;
    let phone = app_of(&page);
    let statement =
        sea_orm::Statement::from_string(server.store.backend(), "SELECT pending FROM totp");
    let row = server
        .store
        .reader()
        .query_one_raw(statement)
        .await
        .unwrap()
        .unwrap();
    let sealed: Vec<u8> = row.try_get_by_index(0).unwrap();
    let plain = phone.secret().as_bytes();
    assert!(!sealed.windows(plain.len()).any(|part| part == plain));
    assert_eq!(sealed.len(), 12 + plain.len() + 16);
    let shown = code(&server, &phone, 0);
    type_code(&browser, &page, "/auth/factor/enrol", &shown)
        .await
        .page();
    server.advance(MINUTE);
    // Another row's secret in its place opens nothing.
    let other = a_clerk(&server).await;
    let theirs = Browser::new(&server);
    let page = password_step(&server, &theirs, &other.username).await;
    let known = app_of(&page);
    server
        .sql(&format!(
            "UPDATE totp SET secret = (SELECT pending FROM totp WHERE account = '{}') WHERE account = '{}'",
            other.id, user.id
        ))
        .await;
    let again = Browser::new(&server);
    let step = password_step(&server, &again, &user.username).await;
    let shown = code(&server, &known, 0);
    let page = type_code(&again, &step, "/auth/factor", &shown)
        .await
        .page();
    assert_eq!(page.status, 400);
    server.stop().await;
}
