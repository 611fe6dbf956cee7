//! Whole flows with the keyboard alone, in a browser that runs no scripts.

use fantoccini::key::Key;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use super::app::AppServer;
use super::chromium::{Chromium, Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{ALLOW, SEND, kept_to_itself, ticked, wait_for_consent};
use super::tools::Tools;
use crate::support::{Database, T0};

/// Signs somebody in with the keyboard alone. The first stop is the way past what every page begins with,
/// and it shows itself.
pub async fn sign_in(chromium: &Chromium, username: &str) {
    let focused = async |script: &str| {
        let script = format!("const at = document.activeElement; return {script}");
        chromium.client.execute(&script, vec![]).await.unwrap()
    };
    chromium.wait_for("#username").await;
    key(chromium, Key::Tab).await;
    assert_eq!(focused("at.className").await, "skip");
    assert_eq!(focused("at.getBoundingClientRect().left >= 0").await, true);
    key(chromium, Key::Enter).await;
    assert_eq!(focused("location.hash").await, "#main");
    key(chromium, Key::Tab).await;
    assert_eq!(focused("at.id").await, "username");
    type_keys(chromium, username).await;
    key(chromium, Key::Tab).await;
    type_keys(chromium, PASSWORD).await;
    key(chromium, Key::Enter).await;
}

/// Goes on with the Tab key until what was meant has the focus, and shows that it has.
async fn reach(chromium: &Chromium, css: &str) {
    chromium.wait_for(css).await;
    for _ in 0..150 {
        key(chromium, Key::Tab).await;
        let script = "const at = document.activeElement; const style = getComputedStyle(at);
            return [at.matches(arguments[0]), style.outlineStyle !== 'none' || style.boxShadow !== 'none']";
        let arguments = vec![json!(css)];
        let found = chromium.client.execute(script, arguments).await.unwrap();
        if found[0] == true {
            assert_eq!(found[1], true, "{css} does not show that it has the focus");
            return;
        }
    }
    panic!("{css} is not reached by the Tab key");
}

/// Types where the focus is.
async fn type_keys(chromium: &Chromium, keys: &str) {
    let at = chromium.client.active_element().await.unwrap();
    at.send_keys(keys).await.unwrap();
}

/// Presses a key where the focus is.
async fn key(chromium: &Chromium, key: Key) {
    type_keys(chromium, &char::from(key).to_string()).await;
}

/// Goes to a field and types into it.
async fn fill(chromium: &Chromium, css: &str, keys: &str) {
    reach(chromium, css).await;
    type_keys(chromium, keys).await;
}

/// Goes to a link or a button and presses Enter.
async fn follow(chromium: &Chromium, css: &str) {
    reach(chromium, css).await;
    key(chromium, Key::Enter).await;
}

/// What the authenticator app shows, so many seconds after the server's clock was set first.
fn code(app: &Totp, seconds: i64) -> String {
    let now = u64::try_from(T0 / 1000 + seconds).unwrap();
    app.generate(now).to_string()
}

/// From the app to the app and on to taking it out, without a pointer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_connected_and_removed_by_keyboard() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let redirect = server.url("/callback.html");
    let app = OauthApp::register(&hospital, "Ledger", &redirect).await;
    browse(&tools, Scripts::Off, async |chromium| {
        let away = app.start("launch/patient patient/*.rs");
        chromium.client.goto(away.url.as_str()).await.unwrap();
        sign_in(chromium, USERNAME).await;
        wait_for_consent(chromium, &hospital.origin).await;
        // One kind of thing less, by the space bar.
        let before = ticked(chromium).await;
        reach(chromium, "input[name=allow]:checked").await;
        key(chromium, Key::Space).await;
        assert_eq!(ticked(chromium).await.len(), before.len() - 1);
        reach(chromium, ALLOW).await;
        key(chromium, Key::Enter).await;
        let back = chromium.wait_for_address(&format!("{redirect}?")).await;
        let (token, _) = app.finish(away, &back).await;
        assert_eq!(app.get(&token, "Patient/ana").await.0, 200);
        let at = |path: &str| format!("{}{path}", hospital.origin);
        chromium.client.goto(&at("/apps")).await.unwrap();
        reach(chromium, SEND).await;
        key(chromium, Key::Enter).await;
        chromium.wait_for(".done").await;
        assert_eq!(app.get(&token, "Patient/ana").await.0, 401);
        // Settings, and what stands behind each of their links.
        reach(chromium, "a[href$='/settings']").await;
        key(chromium, Key::Enter).await;
        chromium.wait_for_address(&at("/settings")).await;
        for page in [
            "/settings/password",
            "/settings/email",
            "/settings/sessions",
            "/security",
        ] {
            chromium.client.goto(&at("/settings")).await.unwrap();
            reach(chromium, &format!("main a[href$='{page}']")).await;
            key(chromium, Key::Enter).await;
            chromium.wait_for_address(&at(page)).await;
            chromium.wait_for("h1").await;
        }
        reach(chromium, SEND).await;
        reach(chromium, "form.who button").await;
        key(chromium, Key::Enter).await;
        chromium.wait_for_address(&at("/signed-out")).await;
    })
    .await;
    hospital.close().await;
}

/// Visit papers, a password, an authenticator app, and both steps of the next sign-in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_a_second_factor_is_made_by_keyboard() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    let (visit_code, _) = hospital.activation_code("ben").await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&at("/login")).await.unwrap();
        follow(chromium, "a[href$='/activate']").await;
        // Out of reach of scripts, the code is typed as it is printed.
        fill(chromium, "#code", &visit_code.to_lowercase()).await;
        for (field, digits) in [("#month", "6"), ("#day", "3"), ("#year", "1971")] {
            fill(chromium, field, digits).await;
        }
        key(chromium, Key::Enter).await;
        assert!(
            chromium
                .text(".problem")
                .await
                .contains("do not go together")
        );
        // What was typed is there still; only the day is put right.
        reach(chromium, "#day").await;
        key(chromium, Key::Backspace).await;
        type_keys(chromium, "2").await;
        key(chromium, Key::Enter).await;
        fill(chromium, "#username", "ben.o").await;
        fill(chromium, "#password", PASSWORD).await;
        fill(chromium, "#repeated", PASSWORD).await;
        key(chromium, Key::Enter).await;
        chromium.wait_for_address(&at("/settings")).await;

        follow(chromium, "main a[href$='/security']").await;
        fill(chromium, "#totp-password", PASSWORD).await;
        follow(chromium, "button[value=totp-begin]").await;
        let shown = chromium.text("code.key").await.replace(' ', "");
        let secret = Secret::try_from_base32(shown).unwrap();
        let phone = Builder::new().with_secret(secret).build().unwrap();
        fill(chromium, "#code", &code(&phone, 0)).await;
        key(chromium, Key::Enter).await;
        let on_paper = chromium.text(".codes li:first-child code").await;
        follow(chromium, "main a.button").await;

        hospital.clock("2026-11-10T15:01:00Z").await;
        for second in [code(&phone, 60), on_paper] {
            follow(chromium, "form.who button").await;
            chromium.wait_for_address(&at("/signed-out")).await;
            follow(chromium, "main a").await;
            sign_in(chromium, "ben.o").await;
            chromium.wait_for_address(&at("/auth/factor")).await;
            fill(chromium, "#code", &second).await;
            key(chromium, Key::Enter).await;
            chromium.wait_for_address(&at("/apps")).await;
        }
        kept_to_itself(chromium, &hospital.origin, &[]).await;
    })
    .await;
    hospital.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_registered_by_keyboard() {
    let Some(tools) = Tools::find() else { return };
    let hospital = Hospital::open(Database::Sqlite).await;
    hospital.add_user("dev", "--role developer").await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::Off, async |chromium| {
        chromium.client.goto(&at("/developers")).await.unwrap();
        follow(chromium, "main a[href$='/developers/apps']").await;
        chromium.wait_for_address(&at("/login")).await;
        sign_in(chromium, "dev").await;
        follow(chromium, "main a[href$='/developers/apps/new']").await;
        fill(chromium, "#name", "Bone Journal").await;
        // A group of choices is one stop; the arrow keys choose.
        reach(chromium, "#kind-public").await;
        key(chromium, Key::Down).await;
        fill(chromium, "#redirect_uris", "http://app.example/done").await;
        reach(chromium, "#sells_data-none").await;
        key(chromium, Key::Up).await;
        follow(chromium, SEND).await;
        // Refused, with everything that was typed.
        chromium.wait_for(".problem").await;
        assert!(is_chosen(chromium, "#kind-secret").await);
        assert!(is_chosen(chromium, "#sells_data-no").await);
        reach(chromium, "#redirect_uris").await;
        let all = Key::Control + "a" + &char::from(Key::Null).to_string();
        type_keys(chromium, &all).await;
        type_keys(chromium, "https://app.example/done").await;
        follow(chromium, SEND).await;
        let said = chromium.text("main dl").await;
        assert!(said.contains("client_secret"), "{said}");
        follow(chromium, "main a[href$='/developers/apps']").await;
        let before = chromium.text("main").await;
        assert!(before.contains("Bone Journal"), "{before}");
        // Another secret, for the one that was lost.
        follow(chromium, "main form button.second").await;
        let fresh = chromium.text(".done .code").await;
        assert!(fresh.len() > 20 && !said.contains(&fresh), "{fresh}");
        kept_to_itself(chromium, &hospital.origin, &[]).await;
    })
    .await;
    hospital.close().await;
}

async fn is_chosen(chromium: &Chromium, css: &str) -> bool {
    let choice = chromium.wait_for(css).await;
    choice.is_selected().await.unwrap()
}
