//! Apps whose makers thought of no narrow page: a name of eighty letters without a blank, and a scope that is
//! one long word. There are two of that name.

use super::chromium::{Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{ALLOW, judge, sign_in, sign_in_to_connect};
use super::tools::Tools;
use crate::support::Database;

const PHONE: &str = "com.example.journal:/done";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_words_and_equal_names_do_no_harm_to_a_page() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let name = "W".repeat(80);
    let app = OauthApp::register(&hospital, &name, PHONE).await;
    let codes: Vec<String> = (1000..1012)
        .map(|code| format!("http://loinc.org|{code}-1"))
        .collect();
    let scope = format!(
        "openid launch/patient patient/Patient.rs patient/Observation.rs?code={}",
        codes.join(",")
    );
    let at = |path: &str| format!("{}{path}", hospital.origin);
    // Another app of the same name, from another browser of the same kind.
    let namesake = OauthApp::register(&hospital, &name, PHONE).await;
    for app in [app, namesake] {
        browse(&tools, Scripts::On, async |chromium| {
            let away = app.start(&scope);
            chromium.client.goto(away.url.as_str()).await.unwrap();
            chromium.wait_for_address(&at("/login")).await;
            judge(chromium, &tools, "sign-in").await;
            sign_in_to_connect(chromium, &hospital.origin).await;
            // The codes are shown to whoever wants to see them.
            chromium.click("fieldset details summary").await;
            assert!(chromium.text("main").await.contains(&codes[11]));
            judge(chromium, &tools, "consent").await;
            chromium.press(ALLOW).await;
            judge(chromium, &tools, "leave-done").await;
            let link = chromium.wait_for("main a[href^='com.example']").await;
            let back = link.attr("href").await.unwrap().unwrap();
            // Only once the app has come for its token it is among the connected ones.
            app.finish(away, &back.parse().unwrap()).await;
        })
        .await;
    }
    browse(&tools, Scripts::On, async |chromium| {
        chromium.client.goto(&at("/login")).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&at("/apps")).await;
        assert_eq!(chromium.text("main").await.matches(&name).count(), 2);
        judge(chromium, &tools, "connected-apps").await;
        chromium.press("a[href*='/apps/change']").await;
        chromium.wait_for_address(&at("/apps/change")).await;
        judge(chromium, &tools, "apps-change").await;
        chromium
            .client
            .goto(&at("/settings/sessions"))
            .await
            .unwrap();
        judge(chromium, &tools, "settings-sessions").await;
    })
    .await;
    hospital.close().await;
}
