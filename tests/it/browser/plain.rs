//! Flows in a browser that runs no scripts, beside those of `keyboard`: whose answer, whose record, and the
//! page from which staff open an app.

use super::app::AppServer;
use super::chromium::{Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{ALLOW, SEND, kept_to_itself, query, sign_in, wait_for_consent};
use super::tools::Tools;
use crate::support::Database;

/// Ana is signed in where the app expects Maria, who acts for two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_person_answers_and_chooses_a_record_without_scripts() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let maria = "maria.otis";
    let account = "--role representative --patient ana --related-person maria-for-ana \
        --patient ben --related-person maria-for-ben";
    hospital.add_user(maria, account).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&at("/login")).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&at("/apps")).await;
        let mut away = app.start("launch/patient patient/*.rs");
        away.url.query_pairs_mut().append_pair("login_hint", maria);
        chromium.client.goto(away.url.as_str()).await.unwrap();
        chromium.wait_for_address(&at("/auth/switch")).await;
        chromium.press("button[value=other]").await;
        chromium.wait_for_address(&at("/login")).await;
        sign_in(chromium, maria, PASSWORD).await;
        chromium.wait_for_address(&at("/auth/record")).await;
        chromium.click("input[name=patient][value=ana]").await;
        chromium.press(SEND).await;
        wait_for_consent(chromium, &hospital.origin).await;
        // The wrong one; the other is a link away.
        chromium.click("main a[href*='/auth/record']").await;
        chromium.wait_for_address(&at("/auth/record")).await;
        chromium.click("input[name=patient][value=ben]").await;
        chromium.press(SEND).await;
        wait_for_consent(chromium, &hospital.origin).await;
        let said = chromium.text("main").await;
        assert!(said.contains("the record of Ben Otis"), "{said}");
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        let (token, _) = app.finish(away, &back).await;
        let (status, _) = app.get(&token, "Patient/ana").await;
        assert_eq!(status, 404);
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_open_an_app_without_scripts() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let launch = server.url("/callback.html");
    let doctor = "--role clinician --practitioner dr-lee";
    hospital.add_user("dr.lee", doctor).await;
    hospital.add_launched_app("Dose Helper", &launch).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&at("/staff/launch")).await.unwrap();
        chromium.wait_for_address(&at("/login")).await;
        sign_in(chromium, "dr.lee", PASSWORD).await;
        chromium.wait_for_address(&at("/staff/launch")).await;
        chromium.type_into("#query", "Nobody").await;
        chromium.press(SEND).await;
        chromium.wait_for("main p[role=status]").await;
        chromium.type_into("#query", "Ana").await;
        chromium.press(SEND).await;
        chromium.press("form.card button").await;
        chromium.click("#app-1").await;
        chromium.click("#visit-1").await;
        chromium.press("button[value=open]").await;
        let opened = chromium.wait_for_address(&format!("{launch}?")).await;
        assert_eq!(query(&opened, "iss"), Some(hospital.fhir()));
        assert!(query(&opened, "launch").is_some());
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}
