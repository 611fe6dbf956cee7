//! Pages beside the flow in a real browser: connected apps, developers, staff, and who answers.

use url::Url;

use super::SCOPE;
use super::app::AppServer;
use super::chromium::{Scripts, browse};
use super::hospital::{Hospital, PASSWORD};
use super::oauth_app::OauthApp;
use super::pages::{
    ALLOW, SEND, judge, kept_to_itself, query, sign_in, sign_in_to_connect, wait_for_consent,
};
use super::tools::Tools;
use crate::support::Database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_at_their_apps_and_shares_less() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    hospital
        .describe_app(
            &app.client_id,
            &["--maker", "Acme Inc", "--answer", "sells_data=no"],
        )
        .await;
    browse(&tools, Scripts::Off, async |chromium| {
        let away = app.start("launch/patient offline_access patient/Condition.rs patient/Goal.rs");
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in_to_connect(chromium, &hospital.origin).await;
        chromium.click("#long-year").await;
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        let (token, _) = app.finish(away, &back).await;
        let (status, _) = app.get(&token, "Condition?patient=ana").await;
        assert_eq!(status, 200);

        let apps = format!("{}/apps", hospital.origin);
        chromium.client.goto(&apps).await.unwrap();
        let said = chromium.text("main").await;
        assert!(
            said.contains("Health problems") && !said.contains("Nothing yet"),
            "{said}"
        );
        judge_without_scripts(chromium, "apps").await;
        chromium.click("a[href*='/apps/change']").await;
        chromium.wait_for("form[action$='/apps/change']").await;
        judge_without_scripts(chromium, "apps-change").await;
        chromium.click("input[value=Condition]").await;
        chromium
            .press("main form[action$='/apps/change'] .answers button")
            .await;
        chromium.wait_for(".done").await;
        let (status, _) = app.get(&token, "Condition?patient=ana").await;
        assert!([401, 403].contains(&status), "{status}");
        let (status, _) = app.get(&token, "Goal?patient=ana").await;
        assert_eq!(status, 200);
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    browse(&tools, Scripts::On, async |chromium| {
        // Asked again: what is new stands first, and the maker's change before it.
        hospital
            .describe_app(
                &app.client_id,
                &["--maker", "Acme Inc", "--answer", "sells_data=yes"],
            )
            .await;
        let away = app.start(SCOPE);
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in_to_connect(chromium, &hospital.origin).await;
        assert!(
            chromium
                .text(".notice")
                .await
                .contains("Does it sell your data?")
        );
        judge(chromium, &tools, "consent-again").await;
        let apps = format!("{}/apps", hospital.origin);
        chromium.client.goto(&apps).await.unwrap();
        judge(chromium, &tools, "apps").await;
        chromium.click("a[href*='/apps/change']").await;
        chromium.wait_for("form[action$='/apps/change']").await;
        judge(chromium, &tools, "apps-change").await;
        // The app expects somebody else.
        let mut other = app.start(SCOPE);
        other.url.query_pairs_mut().append_pair("login_hint", "ben");
        chromium.client.goto(other.url.as_str()).await.unwrap();
        chromium.wait_for("form[action$='/auth/switch']").await;
        judge(chromium, &tools, "switch").await;
        chromium.press("button[value=stay]").await;
        wait_for_consent(chromium, &hospital.origin).await;
        chromium.press(ALLOW).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        assert!(query(&back, "code").is_some());
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    hospital.close().await;
}

/// axe is a script: pages are looked at as they are, for the pictures, where scripts are off.
async fn judge_without_scripts(chromium: &super::chromium::Chromium, name: &str) {
    chromium.picture(&format!("{name}-without-scripts")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn developers_and_staff_have_pages_that_everybody_can_use() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let launch = server.url("/callback.html");
    hospital.add_user("dev", "--role developer").await;
    hospital
        .add_user("dr.lee", "--role clinician --practitioner dr-lee")
        .await;
    hospital.add_launched_app("Dose Helper", &launch).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        for (path, name) in [
            ("/developers", "developers"),
            ("/developers/scopes", "scopes"),
            ("/developers/changes", "developers-changes"),
            ("/apps/directory", "directory"),
            ("/representatives", "representatives"),
            ("/languages", "languages"),
        ] {
            chromium.client.goto(&at(path)).await.unwrap();
            judge(chromium, &tools, name).await;
        }
        chromium
            .client
            .goto(&at("/developers/scopes?lang=es"))
            .await
            .unwrap();
        assert!(chromium.text("main").await.contains("Recetas"));
        chromium
            .client
            .goto(&at("/developers?lang=en"))
            .await
            .unwrap();
        chromium.client.goto(&at("/developers/apps")).await.unwrap();
        chromium.wait_for_address(&at("/login")).await;
        sign_in(chromium, "dev", PASSWORD).await;
        chromium.wait_for_address(&at("/developers/apps")).await;
        chromium.click("a[href$='/developers/apps/new']").await;
        chromium.wait_for("#redirect_uris").await;
        judge(chromium, &tools, "developers-new").await;
        chromium.type_into("#name", "Bone Journal").await;
        chromium
            .type_into("#redirect_uris", "https://app.example/done")
            .await;
        chromium.click("#sells_data-no").await;
        chromium.click("#kind-secret").await;
        chromium.press(SEND).await;
        chromium.wait_for("dd.code").await;
        assert!(chromium.text("main").await.contains("client_secret"));
        judge(chromium, &tools, "developers-registered").await;
        chromium.client.goto(&at("/developers/apps")).await.unwrap();
        // This server's registration is closed: somebody looks at it first.
        assert!(
            chromium
                .text("main")
                .await
                .contains("We check who made it by")
        );
        judge(chromium, &tools, "developers-apps").await;
        let list = chromium.client.current_url().await.unwrap();
        chromium.click("a[href*='/developers/apps/activity']").await;
        chromium.wait_for("main h2").await;
        judge(chromium, &tools, "developers-activity").await;
        chromium.client.goto(list.as_str()).await.unwrap();
        chromium.click("a[href*='/developers/apps/change']").await;
        chromium.wait_for("#sure").await;
        judge(chromium, &tools, "developers-change").await;
        // Wrong is said there, with what was typed.
        chromium
            .type_into("#redirect_uris", "\nhttp://app.example/")
            .await;
        chromium.press("button[value=describe]").await;
        chromium.wait_for(".problem[role=alert]").await;
        judge(chromium, &tools, "developers-change-refused").await;
        // What is no picture is said, and a picture is shown.
        let folder = format!("{}/tests/data", env!("CARGO_MANIFEST_DIR"));
        for (file, sign) in [
            ("words.png", ".problem[role=alert]"),
            ("logo.jpg", "img.logo"),
        ] {
            let input = chromium.wait_for("#logo").await;
            input.send_keys(&format!("{folder}/{file}")).await.unwrap();
            chromium.press("button[value=logo]").await;
            chromium.wait_for(sign).await;
            if file == "words.png" {
                judge(chromium, &tools, "developers-logo-refused").await;
            }
        }
    })
    .await;
    browse(&tools, Scripts::On, async |chromium| {
        chromium.client.goto(&at("/staff/launch")).await.unwrap();
        chromium.wait_for_address(&at("/login")).await;
        sign_in(chromium, "dr.lee", PASSWORD).await;
        chromium.wait_for_address(&at("/staff/launch")).await;
        chromium.wait_for("#query").await;
        chromium.type_into("#query", "Ana").await;
        chromium.press(SEND).await;
        chromium.wait_for("form.card").await;
        judge(chromium, &tools, "staff-found").await;
        chromium.press("form.card button").await;
        chromium.wait_for("#app-1").await;
        judge(chromium, &tools, "staff-chosen").await;
        chromium.click("#app-1").await;
        chromium.press("button[value=open]").await;
        let opened: Url = chromium.wait_for_address(&format!("{launch}?")).await;
        assert_eq!(query(&opened, "iss"), Some(hospital.fhir()));
        assert!(query(&opened, "launch").is_some());
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    hospital.close().await;
}
