//! Pages in Spanish, as a browser shows them: marked as Spanish, with nothing in English left on them but what
//! is marked as English.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::chromium::{Chromium, Scripts, browse};
use super::hospital::{Hospital, PASSWORD, USERNAME};
use super::oauth_app::OauthApp;
use super::pages::{ALLOW, judge, kept_to_itself, sign_in, wait_for_consent};
use super::tools::Tools;
use super::{SCOPE, app::AppServer};
use crate::support::Database;

/// Words that English sentences do not do without and Spanish does not know.
const ENGLISH: &[&str] = &[
    "the", "and", "your", "you", "of", "to", "is", "are", "for", "with", "this", "that", "not",
    "what", "from", "our", "we", "it", "can", "or",
];

/// What the texts of one language say, without variables and elements.
fn said(language: &str) -> BTreeSet<String> {
    let folder = format!("{}/locales/{language}", env!("CARGO_MANIFEST_DIR"));
    let head = Regex::new(r"^(?:[a-z0-9-]+ =|\s+\*?\[[a-z0-9]+\])").unwrap();
    let gap = Regex::new(r"\{[^}]*\}?|<[^>]*>|^\s*\}$").unwrap();
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let line = head.replace(line, "");
            all.extend(gap.split(&line).map(|part| part.trim().to_owned()));
        }
    }
    all
}

/// Of the English texts those that would be English on a Spanish page.
fn english() -> Vec<String> {
    let spanish = said("es");
    let word = Regex::new(r"[A-Za-z]{3}").unwrap();
    said("en")
        .into_iter()
        .filter(|text| word.is_match(text))
        .filter(|text| !spanish.iter().any(|other| other.contains(text.as_str())))
        .collect()
}

/// Whether a text stands in another, and not within a longer word.
fn holds(text: &str, part: &str) -> bool {
    let is_letter = |one: Option<char>| one.is_some_and(char::is_alphanumeric);
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        !is_letter(before.chars().next_back()) && !is_letter(after.chars().next())
    })
}

/// Everything that the page says to people, and is not marked as another language.
async fn words(chromium: &Chromium) -> Vec<String> {
    let script = "
        const said = [document.title];
        const foreign = (one) => one.closest('[lang]').lang !== arguments[0];
        const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (all.nextNode()) {
            const parent = all.currentNode.parentElement;
            if (!foreign(parent) && !parent.closest('script, style, noscript, code, .code')) {
                said.push(all.currentNode.data);
            }
        }
        const names = ['aria-label', 'title', 'alt', 'placeholder', 'data-title', 'data-problem'];
        for (const one of document.body.querySelectorAll(names.map((name) => `[${name}]`).join())) {
            if (!foreign(one)) {
                said.push(...names.map((name) => one.getAttribute(name) ?? ''));
            }
        }
        return said.map((text) => text.trim()).filter((text) => text !== '');";
    let language = chromium
        .client
        .execute("return document.documentElement.lang", vec![]);
    let language = language.await.unwrap();
    let found = chromium
        .client
        .execute(script, vec![language])
        .await
        .unwrap();
    let found: Vec<Value> = found.as_array().unwrap().clone();
    found
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// What is English among these words.
fn left_over(words: &[String], english: &[String]) -> Vec<String> {
    // A reference such as `07_oJ8OR-d` is one word.
    let is_small = |word: &str| ENGLISH.contains(&word.to_lowercase().as_str());
    let is_english = |text: &str| {
        text.split(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter))
            .any(is_small)
            || english.iter().any(|one| holds(text, one))
    };
    let found = words.iter().filter(|text| is_english(text));
    found.cloned().collect()
}

async fn all_spanish(chromium: &Chromium, name: &str, english: &[String]) {
    let page = chromium.wait_for("html").await;
    assert_eq!(
        page.attr("lang").await.unwrap().as_deref(),
        Some("es"),
        "{name}"
    );
    let words = words(chromium).await;
    assert!(words.len() > 8, "{name}: {words:?}");
    let left = left_over(&words, english);
    assert!(left.is_empty(), "{name} says in English: {left:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spanish_pages_are_spanish_throughout() {
    let Some(tools) = Tools::find() else { return };
    let english = english();
    assert!(english.len() > 300, "{}", english.len());
    let hospital = Hospital::open(Database::Sqlite).await;
    let server = AppServer::start(&tools).await;
    let app = OauthApp::register(&hospital, "Ledger", &server.url("/callback.html")).await;
    let told = ["--maker", "Acme Inc", "--answer", "sells_data=no"];
    hospital.describe_app(&app.client_id, &told).await;
    let at = |path: &str| format!("{}{path}", hospital.origin);
    browse(&tools, Scripts::On, async |chromium| {
        let goto = async |address: &str| chromium.client.goto(address).await.unwrap();
        let spanish = async |name: &str| all_spanish(chromium, name, &english).await;
        // That English would be found.
        goto(&at("/login?lang=en")).await;
        let found = left_over(&words(chromium).await, &english);
        assert!(found.len() > 5, "{found:?}");
        chromium.client.delete_all_cookies().await.unwrap();

        let mut sent = app.start(SCOPE).url;
        sent.query_pairs_mut().append_pair("ui_locales", "es-MX es");
        let nobody = sent.as_str().replace(&app.client_id, "nobody");
        goto(&nobody).await;
        spanish("problem").await;
        goto(sent.as_str()).await;
        spanish("sign-in").await;
        sign_in(chromium, USERNAME, "not my password").await;
        spanish("sign-in-refused").await;
        judge(chromium, &tools, "sign-in-spanish").await;
        sign_in(chromium, USERNAME, PASSWORD).await;
        wait_for_consent(chromium, &hospital.origin).await;
        spanish("consent").await;
        judge(chromium, &tools, "consent-spanish").await;
        chromium.press(ALLOW).await;
        for path in [
            "/settings",
            "/settings/password",
            "/settings/email",
            "/settings/letters",
            "/settings/sessions",
            "/security",
            "/apps",
            "/apps/directory",
            "/idle",
            "/activate",
            "/forgot",
            "/developers",
            "/developers/scopes",
            "/developers/changes",
            "/policy/release",
            "/representatives",
            "/languages",
            "/auth/consent?request=x",
            "/staff/reset",
            "/signed-out",
        ] {
            goto(&at(path)).await;
            spanish(path).await;
            if path == "/settings" {
                judge(chromium, &tools, "settings-spanish").await;
            }
        }
        kept_to_itself(chromium, &hospital.origin, &[&server.origin]).await;
    })
    .await;
    hospital.close().await;
}
