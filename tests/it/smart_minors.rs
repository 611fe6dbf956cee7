//! Young people and those who act for them: whose mailbox stands on whose account, and what is said of it.

use candor::smart::users::{RegisteredUser, Role};
use serde_json::{Value, json};

use crate::smart_activation::{chosen, post, typed};
use crate::smart_launch::backend_token;
use crate::smart_support::{Browser, PASSWORD, Page, Server, each_smart_database};
use crate::smart_upstream::{ann, with_ann};

const MOTHER: &str = "Mother@Example.com";

/// The birth date of somebody who has their 18th birthday this many days from now.
fn of_age_in(server: &Server, days: i64) -> jiff::civil::Date {
    let at = jiff::Timestamp::from_millisecond(server.clock.now() + days * 86_400_000).unwrap();
    let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    day.saturating_sub(jiff::Span::new().years(18))
}

async fn load(server: &Server, patient: &str, born: jiff::civil::Date) {
    server
        .load(
            json!({"resourceType": "Patient", "id": patient, "birthDate": born.to_string(),
            "name": [{"family": "Ruiz", "given": ["Maya"]}],
            "contact": [{"telecom": [{"system": "email", "value": "grandmother@example.com"}]}]}),
        )
        .await;
}

async fn load_mother(server: &Server, patient: &str) {
    server
        .load(
            json!({"resourceType": "RelatedPerson", "id": "mother", "active": true,
            "patient": {"reference": format!("Patient/{patient}")},
            "telecom": [{"system": "phone", "value": "555"},
                {"system": "email", "value": "mother.work@example.com"}]}),
        )
        .await;
}

async fn mother_of(server: &Server, patient: &str) -> RegisteredUser {
    let records = [("ana", None, "Ana"), (patient, Some("mother"), "Maya")];
    server.add_user(Role::Patient, None, &records).await
}

/// The second page of an activation, with an address.
async fn activate(server: &Server, born: jiff::civil::Date, email: &str) -> Page {
    let ehr = backend_token(server, "__activation-codes").await;
    let (_, answer) = post(server, Some(&ehr), &json!({"patient": "maya"})).await;
    let (month, day, year) = (born.month(), born.day(), born.year());
    let (month, day, year) = (month.to_string(), day.to_string(), year.to_string());
    let browser = Browser::new(server);
    let code = answer["code"].as_str().unwrap();
    let form = typed(server, &browser, code, (&month, &day, &year)).await;
    let second = browser.submit(&form).await.page();
    let name = format!("maya.{}", uuid::Uuid::new_v4().simple());
    let mut form = chosen(&second, &name, PASSWORD);
    form.set("email", email);
    browser.submit(&form).await.page()
}

async fn email_page(server: &Server, user: &RegisteredUser) -> (Browser, Page) {
    let browser = Browser::new(server);
    let login = browser
        .open(&server.url("/login?next=/settings/email"))
        .await
        .page();
    let page = browser
        .sign_in(&login, &user.username, PASSWORD)
        .await
        .page();
    (browser, page)
}

/// Asks for an address under the settings.
async fn ask(server: &Server, user: &RegisteredUser, address: &str) -> Page {
    let (browser, page) = email_page(server, user).await;
    let mut form = page.form("/settings/email");
    form.set("email", address);
    form.set("current", PASSWORD);
    browser.submit(&form).await.page()
}

each_smart_database! {
async fn a_guardian_s_address_is_refused_on_a_young_person_s_account(server: Server) {
    // 17 years and 364 days old.
    let born = of_age_in(server, 1);
    load(server, "maya", born).await;
    load_mother(server, "maya").await;
    let mother = mother_of(server, "maya").await;
    server.confirm_email(&mother.username, MOTHER).await;
    // With the activation code: no account is made, and it is said why.
    for address in ["mother@example.com", "mother.work@example.com", "GRANDMOTHER@example.com"] {
        let page = activate(server, born, address).await;
        assert_eq!(page.status, 400, "{address}");
        assert!(page.body.contains("somebody who acts for you"), "{}", page.body);
        assert!(page.body.contains(&format!("value=\"{address}\"")), "{}", page.body);
    }
    assert_eq!(server.count("SELECT COUNT(*) FROM account").await, 1);
    // Under the settings: no letter leaves.
    let maya = server.add_user(Role::Patient, None, &[("maya", None, "Maya")]).await;
    let page = ask(server, &maya, "mother@example.com").await;
    assert!(page.status == 400 && page.body.contains("somebody who acts for you"), "{}", page.body);
    server.letters.none().await;
    // One of their own is fine, and so is the mother's own on her account.
    server.confirm_email(&maya.username, "maya@example.com").await;
    // Who acts for nobody here, and whose record is another's, is nobody's guardian.
    let friend = server.add_user(Role::Patient, None, &[("ben", None, "Ben")]).await;
    server.confirm_email(&friend.username, "friend@example.com").await;
    let page = ask(server, &maya, "friend@example.com").await;
    assert_eq!(page.status, 200, "{}", page.body);

    // A day later she is of age, and decides herself, after a warning.
    server.advance(86_400_000);
    let page = ask(server, &maya, "mother@example.com").await;
    assert_eq!(page.status, 200, "{}", page.body);
}

async fn a_young_person_s_address_is_not_put_on_a_guardian_s_account(server: Server) {
    load(server, "maya", of_age_in(server, 1000)).await;
    load_mother(server, "maya").await;
    let mother = mother_of(server, "maya").await;
    let maya = server.add_user(Role::Patient, None, &[("maya", None, "Maya")]).await;
    server.confirm_email(&maya.username, "maya@example.com").await;
    // Nothing tells before the mailbox is read that the child has an account.
    let page = ask(server, &mother, "maya@example.com").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let letter = server.letters.next_to("maya@example.com").await;
    let reader = Browser::new(server);
    let page = reader.open(&letter.link()).await.page();
    assert_eq!(page.status, 403);
    assert!(page.body.contains("cannot share one"), "{}", page.body);
    // Nor does a form of another page help.
    let login = reader.open(&server.url("/confirm?token=x")).await.page();
    assert!(!login.body.contains("name=\"shared\""));
    let emails = server.count("SELECT COUNT(*) FROM account_email").await;
    assert_eq!(emails, 1);
}

async fn adults_share_an_address_only_after_a_warning(server: Server) {
    let ana = server.add_patient().await;
    let ben = server.add_user(Role::Patient, None, &[("ben", None, "Ben")]).await;
    server.confirm_email(&ana.username, "both@example.com").await;
    ask(server, &ben, "both@example.com").await;
    let letters = server.letters.next(1).await;
    let link = letters.iter().find(|letter| letter.body.contains("/confirm?")).unwrap().link();
    let reader = Browser::new(server);
    let page = reader.open(&link).await.page();
    assert!(page.body.contains("Another account uses this address too"), "{}", page.body);
    // What does not say that the warning was read is asked again.
    let mut form = page.form("/confirm");
    form.fields.retain(|(name, _)| name != "shared");
    let page = reader.submit(&form).await.page();
    assert!(page.body.contains("Another account uses this address too"), "{}", page.body);
    assert_eq!(server.count("SELECT COUNT(*) FROM account_email").await, 1);
    let page = reader.submit(&page.form("/confirm")).await.page();
    assert!(page.body.contains("We use both@example.com from now on"), "{}", page.body);
    assert_eq!(server.count("SELECT COUNT(*) FROM account_email").await, 2);
}

async fn everybody_reads_how_somebody_comes_to_act_for_another(server: Server) {
    let browser = Browser::new(server);
    for path in ["/login", "/activate"] {
        let page = browser.open(&server.url(path)).await.page();
        assert!(page.body.contains("href=\"/representatives\""), "{path}");
    }
    let page = browser.open(&server.url("/representatives")).await.page();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("they have to agree") && !page.body.contains("role=\"status\""));
    let young = browser.open(&server.url("/representatives?r=age")).await.page();
    assert!(young.body.contains("if you are 18 or older. If you are younger"), "{}", young.body);
}
}

/// Portal.md A3: of age on the 18th birthday, and the day before led to the page for young people, whether or
/// not there is such a patient.
#[tokio::test]
async fn who_is_under_age_learns_how_it_is_done_without_signing_up() {
    let (fake, server) = with_ann().await;
    let now = jiff::Timestamp::from_millisecond(server.clock.now()).unwrap();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let eighteen = today.saturating_sub(jiff::Span::new().years(18));
    let page = async |born: jiff::civil::Date| {
        let browser = Browser::new(&server);
        let said = |claims: &mut Value| {
            ann(claims);
            claims["birthdate"] = born.to_string().into();
        };
        let end = fake.sign_in(&server, &browser, "/login/with/idme", said);
        end.await.page()
    };
    let unknown = page(eighteen.tomorrow().unwrap()).await;
    assert_eq!(unknown.url.path(), "/representatives");
    assert!(
        unknown.body.contains("If you are younger"),
        "{}",
        unknown.body
    );
    server
        .load(json!({
            "resourceType": "Patient", "id": "ann", "birthDate": eighteen.tomorrow().unwrap().to_string(),
            "name": [{"family": "Ruiz", "given": ["Ann"]}],
            "telecom": [{"system": "phone", "value": "(859) 555-0101"}],
        }))
        .await;
    let known = page(eighteen.tomorrow().unwrap()).await;
    assert_eq!(
        (known.url.as_str(), &known.body),
        (unknown.url.as_str(), &unknown.body)
    );
    assert_eq!(server.count("SELECT COUNT(*) FROM account").await, 0);
    server
        .load(json!({
            "resourceType": "Patient", "id": "ann", "birthDate": eighteen.to_string(),
            "name": [{"family": "Ruiz", "given": ["Ann"]}],
            "telecom": [{"system": "phone", "value": "(859) 555-0101"}],
        }))
        .await;
    let of_age = page(eighteen).await;
    assert_eq!(of_age.url.path(), "/apps", "{}", of_age.body);
    server.stop().await;
}
