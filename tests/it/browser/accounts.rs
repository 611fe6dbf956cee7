//! What people do with their accounts, in chromium: activate, forget a password, change things, be away.

use fantoccini::Locator;

use super::chromium::{Chromium, Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{SEND, judge, kept_to_itself, sign_in};
use super::tools::Tools;
use crate::support::Database;

const NEW: &str = "another walk by the lake";

/// Ben was born on 2 June 1971.
async fn type_birth_date(chromium: &Chromium, day: &str) {
    chromium.type_into("#month", "6").await;
    chromium.type_into("#day", day).await;
    chromium.type_into("#year", "1971").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_from_the_visit_papers_and_its_settings() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let (_, link) = hospital.activation_code("ben").await;
    let settings = format!("{}/settings", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        // The code of the link is typed already, and stands in the address no more.
        chromium.client.goto(&link).await.unwrap();
        let code = chromium.wait_for("#code").await;
        let typed = code.prop("value").await.unwrap().unwrap();
        assert!(
            link.ends_with(&format!("#{typed}")) && typed.len() == 13,
            "{typed}"
        );
        let address = chromium.client.current_url().await.unwrap();
        assert_eq!(address.fragment(), None);
        judge(chromium, &tools, "activate").await;
        type_birth_date(chromium, "3").await;
        chromium.press(SEND).await;
        assert!(
            chromium
                .text(".problem")
                .await
                .contains("do not go together")
        );
        judge(chromium, &tools, "activate-wrong").await;
        type_birth_date(chromium, "2").await;
        chromium.press(SEND).await;
        chromium.wait_for("#username").await;
        judge(chromium, &tools, "activate-account").await;
        chromium.type_into("#username", "ben.o").await;
        chromium.type_into("#password", "short").await;
        chromium.type_into("#repeated", "short").await;
        chromium.press(SEND).await;
        assert!(chromium.text(".problem").await.contains("too short"));
        judge(chromium, &tools, "activate-account-short").await;
        chromium.type_into("#password", PASSWORD).await;
        chromium.type_into("#repeated", PASSWORD).await;
        chromium.type_into("#email", "ben@example.com").await;
        chromium.press(SEND).await;
        chromium.wait_for_address(&settings).await;
        assert!(chromium.text(".done").await.contains("ready"));
        judge(chromium, &tools, "settings-activated").await;
        for (page, name) in [
            ("password", "settings-password"),
            ("email", "settings-email"),
            ("letters", "settings-letters"),
            ("sessions", "settings-sessions"),
        ] {
            let address = format!("{settings}/{page}");
            chromium.client.goto(&address).await.unwrap();
            chromium.wait_for_address(&address).await;
            judge(chromium, &tools, name).await;
        }
        let letter = hospital.letters.next_to("ben@example.com").await;
        chromium.client.goto(&letter.link()).await.unwrap();
        judge(chromium, &tools, "confirm").await;
        chromium.press(SEND).await;
        assert!(chromium.text(".done").await.contains("ben@example.com"));
        kept_to_itself(chromium, &hospital.origin, &[]).await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_password_without_scripts_and_in_spanish() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let origin = &hospital.origin;
    for (scripts, address) in [
        (Scripts::Off, "ana@example.com"),
        (Scripts::On, "ana@example.org"),
    ] {
        let (old, new) = match scripts {
            Scripts::Off => (PASSWORD, NEW),
            Scripts::On => (NEW, PASSWORD),
        };
        browse(&tools, scripts, async |chromium| {
            let email = format!("{origin}/login?next=/settings/email&lang=es");
            chromium.client.goto(&email).await.unwrap();
            sign_in(chromium, USERNAME, old).await;
            chromium
                .wait_for_address(&format!("{origin}/settings/email"))
                .await;
            chromium.type_into("#email", address).await;
            chromium.type_into("#current", old).await;
            chromium.press(SEND).await;
            assert!(chromium.text(".done").await.contains("Enviamos un mensaje"));
            let mut letters = hospital.letters.next(1).await;
            while !letters.iter().any(|letter| letter.is_to(address)) {
                letters.extend(hospital.letters.next(1).await);
            }
            let letter = letters.iter().find(|letter| letter.is_to(address)).unwrap();
            chromium.client.goto(&letter.link()).await.unwrap();
            chromium.press(SEND).await;
            chromium.wait_for(".done").await;
            chromium
                .client
                .goto(&format!("{origin}/settings"))
                .await
                .unwrap();
            chromium.press("form.who button").await;
            chromium
                .wait_for_address(&format!("{origin}/signed-out"))
                .await;
            if scripts == Scripts::On {
                // The address changed: no link for a day.
                hospital.clock("2026-11-11T15:00:01Z").await;
                hospital.letters.next(1).await;
            }
            chromium
                .client
                .goto(&format!("{origin}/login"))
                .await
                .unwrap();
            chromium.click("main a[href='/forgot']").await;
            chromium.type_into("#name", USERNAME).await;
            if scripts == Scripts::On {
                judge(chromium, &tools, "forgot-spanish").await;
            }
            chromium.press(SEND).await;
            chromium.wait_for(".done").await;
            if scripts == Scripts::On {
                judge(chromium, &tools, "forgot-asked-spanish").await;
            }
            let letter = hospital.letters.next_to(address).await;
            assert!(letter.body.contains("contraseña nueva"), "{letter:?}");
            chromium.client.goto(&letter.link()).await.unwrap();
            chromium.type_into("#password", new).await;
            chromium.type_into("#repeated", new).await;
            if scripts == Scripts::On {
                judge(chromium, &tools, "reset-spanish").await;
            }
            chromium.press(SEND).await;
            chromium.wait_for_address(&format!("{origin}/login")).await;
            sign_in(chromium, USERNAME, new).await;
            chromium.wait_for_address(&format!("{origin}/apps")).await;
            chromium.client.goto(&letter.link()).await.unwrap();
            assert!(chromium.text("main").await.contains("ya no funciona"));
            if scripts == Scripts::On {
                judge(chromium, &tools, "link-gone-spanish").await;
                kept_to_itself(chromium, origin, &[]).await;
            }
            // The password was changed, and somebody signed in where nobody is known any more.
            hospital.letters.next(2).await;
        })
        .await;
    }
    hospital.close().await;
}

/// Puts the clocks of the page and of the server forward.
async fn pass(hospital: &Hospital, chromium: &Chromium, server: &str, seconds: u32) {
    hospital.clock(server).await;
    let script = format!("const own = Date.now; Date.now = () => own() + {seconds} * 1000;");
    chromium.client.execute(&script, vec![]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_away_is_asked_and_then_signed_out() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let origin = &hospital.origin;
    let settings = format!("{origin}/settings/email");
    browse(&tools, Scripts::On, async |chromium| {
        let login = format!("{origin}/login?next=/settings/email");
        chromium.client.goto(&login).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&settings).await;
        let title = chromium.client.title().await.unwrap();
        // After 13 minutes: a dialog, with the focus on the one button.
        pass(&hospital, chromium, "2026-11-10T15:13:00Z", 780).await;
        chromium.wait_for("dialog[open]").await;
        assert!(chromium.text("dialog").await.contains("2 minutes left"));
        let now = chromium.client.title().await.unwrap();
        assert!(now.starts_with("2 minutes left"), "{now}");
        judge(chromium, &tools, "idle-dialog").await;
        let focus = chromium.client.active_element().await.unwrap();
        assert_eq!(focus.text().await.unwrap(), "Stay signed in");
        // One key.
        focus.send_keys("\u{e007}").await.unwrap();
        for _ in 0..100 {
            if chromium.client.title().await.unwrap() == title {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(chromium.client.title().await.unwrap(), title);
        let open = chromium.client.find_all(Locator::Css("dialog[open]")).await;
        assert!(open.unwrap().is_empty());
        let address = chromium.client.current_url().await.unwrap();
        assert_eq!(address.as_str(), settings);
        // Away for good. What was typed waits for them.
        chromium.type_into("#email", "ana@example.com").await;
        chromium.type_into("#current", PASSWORD).await;
        pass(&hospital, chromium, "2026-11-10T15:28:01Z", 901).await;
        let out = format!("{origin}/signed-out?r=idle&next=%2Fresume");
        chromium.wait_for_address(&out).await;
        assert!(
            chromium
                .text("main")
                .await
                .contains("not used for 15 minutes")
        );
        judge(chromium, &tools, "signed-out-idle").await;
        chromium.client.back().await.unwrap();
        chromium.wait_for_address(&format!("{origin}/")).await;
        chromium.client.goto(&settings).await.unwrap();
        chromium.wait_for("h1").await;
        let address = chromium.client.current_url().await.unwrap();
        assert_ne!(address.path(), "/settings/email");
        let login = format!("{origin}/login?next=/resume");
        chromium.client.goto(&login).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&format!("{origin}/resume")).await;
        assert_eq!(chromium.text(".typed").await, "ana@example.com");
        judge(chromium, &tools, "resume").await;
        chromium
            .press("form[action$='/settings/email'] button")
            .await;
        let typed = chromium.wait_for("#email").await;
        let typed = typed.prop("value").await.unwrap();
        assert_eq!(typed.as_deref(), Some("ana@example.com"));
        kept_to_itself(chromium, origin, &[]).await;
    })
    .await;
    browse(&tools, Scripts::Off, async |chromium| {
        let login = format!("{origin}/login?next=/settings/email");
        chromium.client.goto(&login).await.unwrap();
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&settings).await;
        // Where the page leads by itself after 13 minutes.
        let refresh = chromium.wait_for("meta[http-equiv=refresh]").await;
        let content = refresh.attr("content").await.unwrap().unwrap();
        let (seconds, address) = content.split_once(";url=").unwrap();
        assert_eq!(seconds, "780");
        chromium
            .client
            .goto(&format!("{origin}{address}"))
            .await
            .unwrap();
        assert!(chromium.text("h1").await.contains("left"));
        chromium.press(SEND).await;
        chromium.wait_for_address(&settings).await;
    })
    .await;
    hospital.close().await;
}

/// What a browser has of this server when somebody is done at a shared terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_terminal_keeps_nothing_of_anybody() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let redirect = "https://app.example/done";
    let app = OauthApp::register(&hospital, "Journal", redirect).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        chromium.client.goto(&at("/login?kiosk=1")).await.unwrap();
        judge(chromium, &tools, "sign-in-kiosk").await;
        sign_in(chromium, USERNAME, PASSWORD).await;
        chromium.wait_for_address(&at("/apps")).await;
        // An app is told no, in a word that the person reads first.
        let away = app.start("launch/patient patient/*.rs");
        chromium.client.goto(away.url.as_str()).await.unwrap();
        let said = chromium.text("main").await;
        assert!(said.contains("on your own phone or computer"), "{said}");
        judge(chromium, &tools, "leave-kiosk").await;
        assert!(!chromium.client.get_all_cookies().await.unwrap().is_empty());
        // Also this page has the button.
        assert_eq!(chromium.text("form.who button").await, "Finish");
        chromium.press("form.who button").await;
        chromium.wait_for_address(&at("/signed-out?kiosk=1")).await;
        let left = chromium.client.get_all_cookies().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
        judge(chromium, &tools, "signed-out-kiosk").await;
        // The next person begins at the terminal's page.
        chromium.press("main a.button").await;
        chromium.wait_for_address(&at("/login?kiosk=1")).await;
        chromium.wait_for("form[action$='/login?kiosk=1']").await;
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    hospital.close().await;
}
