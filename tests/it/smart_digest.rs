//! The letter that says once a quarter how many apps can read a record.

use std::time::Duration;

use candor::smart::clients::ClientKind;
use candor::smart::users::{RegisteredUser, Role};
use candor::smart::{SmartState, send_digests, sweep};
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use oauth2::TokenResponse as _;
use serde_json::json;

use crate::smart_support::{
    App, Browser, PASSWORD, Page, Server, SmartTokens, each_smart_database,
};

const ALL: &str = "openid launch/patient offline_access patient/*.rs";
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn midnight(day: Date) -> i64 {
    let start = day.to_zoned(TimeZone::UTC).unwrap();
    start.timestamp().as_millisecond()
}

/// Ten days before a quarter begins, and when it does, both ahead of now.
fn turn(server: &Server) -> (i64, i64) {
    let now = jiff::Timestamp::from_millisecond(server.clock.now()).unwrap();
    let today = now.to_zoned(TimeZone::UTC).date();
    let first = Date::new(today.year(), (today.month() - 1) / 3 * 3 + 1, 1).unwrap();
    let begins = midnight(first.checked_add(6.months()).unwrap());
    (begins - 10 * DAY, begins)
}

fn set(server: &Server, at: i64) {
    assert!(server.clock.set(at));
}

async fn long(server: &Server, user: &RegisteredUser) -> (App, SmartTokens) {
    let app = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    let tokens = app
        .connect(server, user, ALL, |form| form.set("long", "yes"))
        .await;
    (app, tokens)
}

/// The letters about apps that came since the last look, by whom they went to.
async fn digests(server: &Server) -> Vec<(String, String)> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let letters = server.letters.next(0).await.into_iter();
    letters
        .filter(|letter| letter.body.contains("read your record"))
        .map(|letter| (letter.head, letter.body))
        .collect()
}

async fn page(server: &Server, browser: &Browser, user: &RegisteredUser) -> Page {
    let page = browser
        .open(&server.url("/login?next=%2Fsettings%2Fletters"))
        .await
        .page();
    if page.url.path() == "/login" {
        return browser
            .sign_in(&page, &user.username, PASSWORD)
            .await
            .page();
    }
    browser.open(&server.url("/settings/letters")).await.page()
}

each_smart_database! {
async fn the_digest_is_sent_once_a_quarter_by_whichever_process(server: Server) {
    let (before, begins) = turn(server);
    set(server, before);
    let user = server.add_patient().await;
    let (one, mut tokens) = long(server, &user).await;
    long(server, &user).await;
    // One that reads only while the person is there is not counted.
    let short = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    short.connect(server, &user, ALL, |_| ()).await;
    server.confirm_email(&user.username, "ana@example.com").await;
    send_digests(&server.state).await.unwrap();
    set(server, begins + 8 * HOUR);
    send_digests(&server.state).await.unwrap();
    assert!(digests(server).await.is_empty());

    // Two processes at the same moment, and again later that day.
    set(server, begins + 9 * HOUR);
    let other = SmartState::new(server.store.clone(), server.state.config().clone()).await.unwrap();
    let (first, second) = tokio::join!(send_digests(&server.state), send_digests(&other));
    first.unwrap();
    second.unwrap();
    set(server, begins + 20 * HOUR);
    send_digests(&other).await.unwrap();
    let sent = digests(server).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (head, body) = &sent[0];
    assert!(head.contains("ana@example.com"));
    assert!(body.contains("2 apps can read your record"), "{body}");
    let link = server.url("/apps");
    assert!(body.lines().any(|line| line.trim() == link), "{body}");
    // It names no app and nobody.
    for named in ["Bone Journal", "Ruiz", &user.username] {
        assert!(!body.contains(named) && !head.contains(named), "{named}");
    }

    // The next quarter, with one app fewer.
    set(server, begins + 45 * DAY);
    tokens = one.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    let last = "(SELECT MAX(used) FROM auth_grant)";
    server.sql(&format!("UPDATE auth_grant SET revoked = 1 WHERE used < {last}")).await;
    set(server, begins + 93 * DAY);
    sweep(&server.state).await.unwrap();
    send_digests(&server.state).await.unwrap();
    let sent = digests(server).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].1.contains("One app can read your record"), "{}", sent[0].1);

    // Who turns it off gets none, and who turns it on again does.
    let browser = Browser::new(server);
    let settings = page(server, &browser, &user).await;
    assert!(settings.body.contains("3 apps can read your record"), "{}", settings.body);
    assert!(settings.body.contains("name=\"digest\" value=\"yes\" checked"));
    let mut form = settings.form("/settings/letters");
    form.fields.retain(|(name, _)| name != "digest");
    let saved = browser.submit(&form).await.page();
    assert!(saved.body.contains("Saved.") && !saved.body.contains("value=\"yes\" checked"));
    set(server, begins + 130 * DAY);
    tokens = one.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
    assert!(tokens.refresh_token().is_some());
    set(server, begins + 186 * DAY);
    send_digests(&server.state).await.unwrap();
    assert!(digests(server).await.is_empty());
    let mut form = page(server, &browser, &user).await.form("/settings/letters");
    form.set("digest", "yes");
    browser.submit(&form).await.page();
    send_digests(&server.state).await.unwrap();
    assert_eq!(digests(server).await.len(), 1);
}

async fn no_digest_goes_to_whom_it_says_nothing_new(server: Server) {
    let (before, begins) = turn(server);
    set(server, before);
    // Nobody has an app of long access; one's authority ended; one was closed; one has no address.
    let none = server.add_patient().await;
    let short = App::new(server, &server.add_client(ClientKind::Public, ALL).await);
    short.connect(server, &none, ALL, |_| ()).await;
    server.load_related("mother", "maya").await;
    let records = [("maya", Some("mother"), "Maya")];
    let ended = server.add_user(Role::Representative, None, &records).await;
    let closed = server.add_patient().await;
    let silent = server.add_patient().await;
    for user in [&ended, &closed, &silent] {
        long(server, user).await;
    }
    for (user, address) in [(&none, "none@x.example"), (&ended, "e@x.example"), (&closed, "c@x.example")] {
        server.confirm_email(&user.username, address).await;
    }
    server.load(json!({"resourceType": "RelatedPerson", "id": "mother", "active": false,
        "patient": {"reference": "Patient/maya"}})).await;
    server.sql(&format!("UPDATE account SET disabled = 1 WHERE id = '{}'", closed.id)).await;
    set(server, begins + 10 * HOUR);
    // Who connected one after the quarter began knows of it.
    let fresh = server.add_patient().await;
    long(server, &fresh).await;
    server.confirm_email(&fresh.username, "fresh@x.example").await;
    send_digests(&server.state).await.unwrap();
    let sent = digests(server).await;
    assert!(sent.is_empty(), "{sent:?}");
}
}
