//! What a person does on the pages, and what every page must be.

use serde_json::{Value, json};
use url::Url;

use super::chromium::Chromium;
use super::covered;
use super::hospital::{PASSWORD, USERNAME};
use super::tools::Tools;

/// Types name and password and presses the button.
pub async fn sign_in(chromium: &Chromium, username: &str, password: &str) {
    chromium.type_into("#username", username).await;
    chromium.type_into("#password", password).await;
    let button = "form[action*='/login'] button:not([type=button])";
    chromium.press(button).await;
}

/// What sends a form; the buttons that scripts put beside its fields do not.
pub const SEND: &str = "main form button:not([type=button])";

/// Signs Ana in at the page an app sent her to, up to the question what the app may see.
pub async fn sign_in_to_connect(chromium: &Chromium, origin: &str) {
    let login = format!("{origin}/login");
    chromium.wait_for_address(&login).await;
    sign_in(chromium, USERNAME, PASSWORD).await;
    wait_for_consent(chromium, origin).await;
}

pub async fn wait_for_consent(chromium: &Chromium, origin: &str) {
    let consent = format!("{origin}/auth/consent");
    chromium.wait_for_address(&consent).await;
    chromium.wait_for(ALLOW).await;
}

pub const ALLOW: &str = "button[name=action][value=allow]";
pub const DENY: &str = "button[name=action][value=deny]";

/// Ways in which a page breaks WCAG 2.2 AA or axe's good practice, in the scheme and width it has.
pub async fn breaches(chromium: &Chromium, tools: &Tools) -> Vec<String> {
    let axe = tools.package_file("axe-core/axe.min.js");
    chromium.client.execute(&axe, vec![]).await.unwrap();
    let script = "
        const done = arguments[arguments.length - 1];
        axe.run(document, {resultTypes: ['violations', 'incomplete']}).then(
            (found) => done(found.violations.flatMap((rule) => rule.nodes.map((node) =>
                `${rule.impact} ${rule.id}: ${rule.help}: ${node.html}: ${node.failureSummary}`))),
            (error) => done([`axe failed: ${error}`]),
        );";
    let found = chromium.client.execute_async(script, vec![]).await.unwrap();
    let found = found.as_array().unwrap().iter();
    found
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// What has a transition or an animation, or scrolls smoothly.
pub async fn moving(chromium: &Chromium) -> Vec<String> {
    let script = "
        const lasts = (times) => times.split(',').some((time) => parseFloat(time) > 0);
        return [...document.querySelectorAll('*')].filter((one) => {
            const style = getComputedStyle(one);
            return lasts(style.transitionDuration) || style.animationName !== 'none'
                || style.scrollBehavior === 'smooth';
        }).map((one) => one.outerHTML.slice(0, 80));";
    let found = chromium.client.execute(script, vec![]).await.unwrap();
    let found = found.as_array().unwrap().iter();
    found
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// Looks at the page in light and dark, wide and as narrow as WCAG asks (1.4.10): it must be
/// accessible, must not scroll sideways, must keep still for whom movement troubles, and must leave nothing
/// in the browser.
pub async fn judge(chromium: &Chromium, tools: &Tools, name: &str) {
    covered::stands_where_it_says(name, &chromium.client.current_url().await.unwrap());
    for scheme in ["light", "dark"] {
        for width in [1024, 320] {
            chromium.look(width, scheme).await;
            chromium.picture(&format!("{name}-{scheme}-{width}")).await;
            let breaches = breaches(chromium, tools).await;
            assert!(
                breaches.is_empty(),
                "{name}, {scheme}, {width} pixels wide:\n{}",
                breaches.join("\n")
            );
            let script = "return document.documentElement.scrollWidth";
            let needed = chromium.client.execute(script, vec![]).await.unwrap();
            assert!(
                needed.as_u64().unwrap() <= width.into(),
                "{name} needs {needed} pixels of {width}"
            );
        }
    }
    chromium.force_colors().await;
    chromium.picture(&format!("{name}-forced-colors")).await;
    let breaches = breaches(chromium, tools).await;
    assert!(
        breaches.is_empty(),
        "{name}, forced colours:\n{}",
        breaches.join("\n")
    );
    chromium.reduce_motion().await;
    let moving = moving(chromium).await;
    assert!(moving.is_empty(), "{name} moves: {moving:?}");
    chromium.look(1024, "light").await;
    for cookie in chromium.client.get_all_cookies().await.unwrap() {
        assert_eq!(cookie.http_only(), Some(true), "{name}: {cookie}");
        let is_lax = cookie.same_site().is_some_and(|site| site.is_lax());
        assert!(is_lax, "{name}: {cookie}");
    }
    let script = "
        const done = arguments[arguments.length - 1];
        (async () => done({
            local: localStorage.length, session: sessionStorage.length, cookie: document.cookie,
            databases: (await indexedDB.databases()).length,
            caches: (await caches.keys()).length,
            workers: (await navigator.serviceWorker.getRegistrations()).length,
            scripts: [...document.scripts].filter((one) =>
                !['candor', 'passkey'].some((name) =>
                    one.src.startsWith(`${location.origin}/assets/${name}.js?v=`))).length,
        }))();";
    let kept = chromium.client.execute_async(script, vec![]).await.unwrap();
    let nothing = json!({"local": 0, "session": 0, "cookie": "", "databases": 0, "caches": 0,
        "workers": 0, "scripts": 0});
    assert_eq!(kept, nothing, "{name}");
}

/// No page of the server may make the browser ask anybody else for anything, and no policy may
/// have stopped anything.
pub async fn kept_to_itself(chromium: &Chromium, origin: &str, others: &[&str]) {
    let is_at = |url: &str, origin: &str| url.starts_with(&format!("{origin}/"));
    let requests: Vec<(String, Url)> = chromium.requests().await;
    assert!(requests.len() > 3, "{requests:?}");
    for (page, to) in &requests {
        let to = to.as_str();
        let known = is_at(to, origin) || others.iter().any(|other| is_at(to, other));
        assert!(known, "{page} made the browser ask for {to}");
        if is_at(page, origin) {
            assert!(is_at(to, origin), "{page} asked for {to}");
        }
    }
    let refused = chromium.refused_by_policy().await;
    assert!(refused.is_empty(), "{refused:?}");
}

/// The values of the ticked boxes.
pub async fn ticked(chromium: &Chromium) -> Vec<String> {
    let mut values = Vec::new();
    let boxes = fantoccini::Locator::Css("input[name=allow]");
    for one in chromium.client.find_all(boxes).await.unwrap() {
        if one.is_selected().await.unwrap() {
            values.push(one.prop("value").await.unwrap().unwrap());
        }
    }
    values
}

/// One value of an address's query.
pub fn query(address: &Url, name: &str) -> Option<String> {
    let mut pairs = address.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

/// A script's answer in the app: `code` is an expression that gives a promise.
pub async fn ask_app(chromium: &Chromium, code: &str) -> Value {
    let script = format!(
        "const done = arguments[arguments.length - 1];
         ({code}).then((answer) => done({{answer: answer ?? null}}), (error) => done({{error: String(error)}}));"
    );
    let outcome = chromium.client.execute_async(&script, vec![]).await;
    let mut outcome = outcome.unwrap();
    assert!(outcome.get("error").is_none(), "{code}: {outcome}");
    outcome["answer"].take()
}
