//! Pages that say no, or that lead back to an app, and the few that the flows pass by.

use candor::config::Provider;
use url::Url;

use super::chromium::{Chromium, Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{
    ALLOW, SEND, judge, kept_to_itself, sign_in, sign_in_to_connect, wait_for_consent,
};
use super::tools::Tools;
use crate::support::{Database, TestServer};

/// An app on the device: nothing opens its scheme here, so the page that leads to it stays.
const PHONE: &str = "com.example.journal:/done";
const PATIENT: &str = "launch/patient patient/*.rs";

/// The browser forgets who is signed in, as another browser would never have known.
async fn forget(chromium: &Chromium) {
    chromium.client.delete_all_cookies().await.unwrap();
}

/// Presses the button until the page says what was meant: tries are counted.
async fn press_until(chromium: &Chromium, said: &str, again: impl AsyncFn()) {
    for _ in 0..12 {
        again().await;
        if chromium.text("main").await.contains(said) {
            return;
        }
    }
    panic!("never {said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_back_to_an_app_are_accessible() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let doctor = "--role clinician --practitioner dr-lee";
    hospital.add_user("dr.lee", doctor).await;
    let app = OauthApp::register(&hospital, "Phone", PHONE).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    // A browser each: chromium goes nowhere else once a page led to another program.
    browse(&tools, Scripts::On, async |chromium| {
        let away = app.start(PATIENT);
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in_to_connect(chromium, &hospital.origin).await;
        chromium.press(ALLOW).await;
        judge(chromium, &tools, "leave-done").await;
        assert!(chromium.text("main a").await.contains("Phone"));
    })
    .await;
    browse(&tools, Scripts::On, async |chromium| {
        let away = app.start(PATIENT);
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in(chromium, "dr.lee", PASSWORD).await;
        chromium.wait_for_address(&at("/auth/consent")).await;
        judge(chromium, &tools, "leave-at-once").await;
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    browse(&tools, Scripts::On, async |chromium| {
        let goto = async |address: &str| chromium.client.goto(address).await.unwrap();
        let mut launched = app.start(PATIENT).url;
        launched.query_pairs_mut().append_pair("launch", "gone");
        goto(launched.as_str()).await;
        assert!(chromium.text("h1").await.contains("chart"));
        judge(chromium, &tools, "leave-chart").await;

        goto(app.start(PATIENT).url.as_str()).await;
        sign_in_to_connect(chromium, &hospital.origin).await;
        goto(&at("/auth/consent?request=answered-long-ago")).await;
        chromium.click("details summary").await;
        judge(chromium, &tools, "problem-gone").await;

        let away = app.start(PATIENT);
        goto(away.url.as_str()).await;
        wait_for_consent(chromium, &hospital.origin).await;
        hospital.clock("2026-11-10T15:10:01Z").await;
        chromium.press(ALLOW).await;
        assert!(chromium.text("h1").await.contains("ten minutes"));
        judge(chromium, &tools, "leave-late").await;
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");

        // More than anybody's apps ask for at once, from one address.
        forget(chromium).await;
        let crowd = reqwest::Client::new();
        // They are forgotten by and by: on a busy machine it takes some more.
        for _ in 0..2_000 {
            let sent = crowd.get(app.start(PATIENT).url).send().await.unwrap();
            if sent.status() == 429 {
                break;
            }
        }
        goto(app.start(PATIENT).url.as_str()).await;
        assert!(chromium.text("h1").await.contains("at once"));
        judge(chromium, &tools, "problem-busy").await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_at_the_door_are_accessible() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let (used, _) = hospital.activation_code("ben").await;
    let (unused, _) = hospital.activation_code("ana").await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        let goto = async |path: &str| chromium.client.goto(&at(path)).await.unwrap();
        let activate = async |code: &str, birth: [&str; 3]| {
            chromium.type_into("#code", code).await;
            for (field, digits) in ["#year", "#month", "#day"].iter().zip(birth) {
                chromium.type_into(field, digits).await;
            }
            chromium.press(SEND).await;
        };
        // A browser that keeps no cookies.
        goto("/login").await;
        forget(chromium).await;
        sign_in(chromium, USERNAME, PASSWORD).await;
        let title = chromium.client.title().await.unwrap();
        assert!(title.starts_with("Turn on cookies"), "{title}");
        judge(chromium, &tools, "problem-cookie").await;

        goto("/login").await;
        press_until(chromium, "Too many tries", async || {
            sign_in(chromium, "nobody.here", "not my password").await;
        })
        .await;
        judge(chromium, &tools, "sign-in-wait").await;

        goto("/activate").await;
        activate(&used, ["1971", "6", "2"]).await;
        chromium.type_into("#username", "ben.o").await;
        chromium.type_into("#password", PASSWORD).await;
        chromium.type_into("#repeated", PASSWORD).await;
        chromium.press(SEND).await;
        chromium.wait_for_address(&at("/settings")).await;
        // The help desk's page is not his.
        goto("/staff/reset").await;
        judge(chromium, &tools, "problem-role").await;
        forget(chromium).await;
        goto("/activate").await;
        activate(&used, ["1971", "6", "2"]).await;
        assert!(chromium.text(".problem").await.contains("used already"));
        judge(chromium, &tools, "activate-used").await;

        goto("/activate").await;
        press_until(chromium, "Too many tries", async || {
            activate(&used, ["1971", "6", "3"]).await;
        })
        .await;
        judge(chromium, &tools, "problem-wait").await;

        hospital.clock("2027-01-10T15:00:00Z").await;
        goto("/activate").await;
        activate(&unused, ["1984", "2", "29"]).await;
        assert!(chromium.text(".problem").await.contains("too old"));
        judge(chromium, &tools, "activate-expired").await;
        kept_to_itself(chromium, &hospital.origin, &[]).await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_help_desk_the_policy_and_the_last_minutes_are_accessible() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    hospital
        .add_user("desk", "--role staff --practitioner desk")
        .await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        let goto = async |path: &str| chromium.client.goto(&at(path)).await.unwrap();
        goto("/policy/release").await;
        judge(chromium, &tools, "policy").await;
        goto("/staff/reset").await;
        sign_in(chromium, "desk", PASSWORD).await;
        chromium.wait_for_address(&at("/staff/reset")).await;
        judge(chromium, &tools, "staff-reset").await;
        chromium.type_into("#name", USERNAME).await;
        chromium.press(SEND).await;
        chromium.wait_for(".done").await;
        judge(chromium, &tools, "staff-reset-asked").await;
        // What stands there in place of the dialog, which needs scripts.
        goto("/idle?next=/settings").await;
        judge(chromium, &tools, "idle").await;
        kept_to_itself(chromium, &hospital.origin, &[]).await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_with_providers_is_accessible() {
    let Some(tools) = Tools::find() else { return };
    // Nobody listens there.
    let unheard = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", unheard.local_addr().unwrap());
    drop(unheard);
    let provider = |id: &str, name: &str| Provider {
        id: id.to_owned(),
        name: name.to_owned(),
        issuer: issuer.clone(),
        client_id: "hospital".to_owned(),
        proves_identity: true,
        ..Provider::default()
    };
    let server = TestServer::start_with(Database::Sqlite, |config| {
        config.smart.providers = vec![
            provider("idme", "ID.me"),
            provider("state", "Commonwealth of Kentucky Citizen Identity Gateway"),
        ];
    })
    .await;
    browse(&tools, Scripts::On, async |chromium| {
        let goto = async |path: &str| chromium.client.goto(&server.url(path)).await.unwrap();
        goto("/login").await;
        judge(chromium, &tools, "sign-in-providers").await;
        goto("/activate").await;
        judge(chromium, &tools, "activate-providers").await;
        chromium.click("a[href$='/login/with/state']").await;
        chromium.wait_for_address(&server.url("/login/with/")).await;
        judge(chromium, &tools, "problem-provider").await;
        goto("/login/back?code=x&state=y").await;
        judge(chromium, &tools, "problem-upstream").await;
        // The half of a sign-in that this browser never began.
        goto("/auth/factor").await;
        let address: Url = chromium.client.current_url().await.unwrap();
        assert_eq!(address.path(), "/login");
        kept_to_itself(chromium, &server.url(""), &[]).await;
    })
    .await;
    server.stop().await;
}
