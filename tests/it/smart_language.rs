//! Pages in the reader's language.

use candor::texts::Language;
use reqwest::header::{ACCEPT_LANGUAGE, COOKIE, SET_COOKIE};

use crate::support::{Database, TestServer};

/// Status, what is set as a cookie, and the body of a page.
async fn page(
    server: &TestServer,
    path: &str,
    accept: &str,
    cookie: &str,
) -> (u16, Vec<String>, String) {
    let request = server.client().get(server.url(path));
    let request = request
        .header(ACCEPT_LANGUAGE, accept)
        .header(COOKIE, cookie);
    let answer = request.send().await.unwrap();
    let set = answer.headers().get_all(SET_COOKIE).iter();
    let set = set.map(|one| one.to_str().unwrap().to_owned()).collect();
    (answer.status().as_u16(), set, answer.text().await.unwrap())
}

async fn a_page_speaks_the_reader_s_language(database: Database) {
    let server = TestServer::start(database).await;
    let english =
        |body: &str| body.contains("<html lang=\"en\">") && body.contains("<h1>Sign in</h1>");
    let spanish = |body: &str| {
        body.contains("<html lang=\"es\">") && body.contains("<h1>Iniciar sesión</h1>")
    };
    // The browser's preference, with no cookie for it.
    let (_, set, body) = page(&server, "/login", "es-MX,en;q=0.5", "").await;
    assert!(spanish(&body), "{body}");
    assert!(!set.iter().any(|one| one.starts_with("candor-language")));
    let (_, _, body) = page(&server, "/login", "fr", "").await;
    assert!(english(&body), "{body}");
    // A choice is kept, and stands above the browser's preference.
    let (_, set, body) = page(&server, "/login?lang=es", "en", "").await;
    assert!(spanish(&body), "{body}");
    let kept = set
        .iter()
        .find(|one| one.starts_with("candor-language=es;"));
    assert!(kept.is_some_and(|one| one.contains("HttpOnly") && one.contains("SameSite=Lax")));
    let (_, _, body) = page(&server, "/login", "en", "candor-language=es").await;
    assert!(spanish(&body), "{body}");
    // What an app asks for stands below the choice and above the browser.
    let (_, set, body) = page(&server, "/login?ui_locales=fr%20es", "en", "").await;
    assert!(spanish(&body) && set.iter().any(|one| one.starts_with("candor-language=es;")));
    let (_, _, body) = page(&server, "/login?ui_locales=es", "es", "candor-language=en").await;
    assert!(english(&body), "{body}");
    // Nonsense chooses nothing.
    let (status, set, body) = page(
        &server,
        "/login?lang=%3Cscript%3E",
        "en",
        "candor-language=x",
    )
    .await;
    assert!(status == 200 && english(&body));
    assert!(!set.iter().any(|one| one.starts_with("candor-language")));
}

#[tokio::test]
async fn a_page_speaks_the_reader_s_language_on_sqlite() {
    a_page_speaks_the_reader_s_language(Database::Sqlite).await;
}

/// No database has a part in it.
#[tokio::test]
async fn the_other_language_is_one_link_away_and_keeps_the_page() {
    let server = TestServer::start(Database::Sqlite).await;
    let path = "/signed-out?r=idle&x=%22%3E%3Cb%3E";
    let (_, _, body) = page(&server, path, "en", "").await;
    let link = "href=\"/signed-out?r=idle&#38;x=%22%3E%3Cb%3E&#38;lang=es\"";
    assert!(body.contains(link), "{body}");
    let (_, _, body) = page(&server, "/signed-out?lang=es&r=idle", "en", "").await;
    assert!(
        body.contains("href=\"/signed-out?r=idle&#38;lang=en\""),
        "{body}"
    );
    // A page that answers a form is not asked for again by a link.
    let answer = server
        .client()
        .post(server.url("/login"))
        .send()
        .await
        .unwrap();
    assert!(!answer.text().await.unwrap().contains("lang=es"));
}

/// Portal.md 3.9: a language that no qualified translator reviewed says so, on pages and in letters.
#[tokio::test]
async fn an_unreviewed_translation_says_so_on_every_page() {
    let server = TestServer::start(Database::Sqlite).await;
    for path in [
        "/login",
        "/policy/release",
        "/representatives",
        "/auth/consent?request=x",
    ] {
        let (_, _, body) = page(&server, path, "es", "").await;
        let says_so = body.contains("Ningún traductor cualificado ha revisado");
        assert_eq!(says_so, !Language::Spanish.is_reviewed(), "{path}");
        let (_, _, body) = page(&server, path, "en", "").await;
        assert!(!body.contains("No qualified translator"), "{path}");
    }
    server.stop().await;
}

/// WCAG 3.1.2: the operator's line is in the language in which it was configured, whatever the page's.
#[tokio::test]
async fn the_operator_s_line_of_help_is_marked_as_english() {
    let help = "Call 555-0100, day or night.";
    let server = TestServer::start_with(Database::Sqlite, |config| {
        config.smart.help = Some(help.to_owned());
    })
    .await;
    let (_, _, body) = page(&server, "/login", "es", "").await;
    assert!(
        body.contains(&format!("<p lang=\"en\">{help}</p>")),
        "{body}"
    );
    let (_, _, body) = page(&server, "/login", "en", "").await;
    assert!(body.contains(&format!("<p>{help}</p>")), "{body}");
    server.stop().await;
    // Our own words are in the page's language.
    let server = TestServer::start(Database::Sqlite).await;
    let (_, _, body) = page(&server, "/login", "es", "").await;
    assert!(!body.contains("<p lang="), "{body}");
    server.stop().await;
}

/// 45 CFR 92.11: from every page, in English and fifteen languages, each marked as what it is.
#[tokio::test]
async fn help_with_languages_is_offered_in_sixteen_of_them() {
    let line = "1-800-555-0100 (TTY: 711)";
    let server = TestServer::start_with(Database::Sqlite, |config| {
        config.smart.language_line = Some(line.to_owned());
    })
    .await;
    let (_, _, login) = page(&server, "/login", "en", "").await;
    assert!(login.contains("href=\"/languages\""));
    let (status, _, body) = page(&server, "/languages", "en", "").await;
    assert_eq!(status, 200);
    assert_eq!(body.matches("<section lang=").count(), 16);
    assert_eq!(body.matches(&format!("<bdi>{line}</bdi>")).count(), 16);
    assert_eq!(body.matches("dir=\"rtl\"").count(), 3);
    assert!(body.contains("Llame al <bdi>") && body.contains("<section lang=\"zh-Hant\""));
    server.stop().await;
    // Where nobody named a number, none is promised.
    let server = TestServer::start(Database::Sqlite).await;
    let (_, _, body) = page(&server, "/languages", "en", "").await;
    assert!(body.contains("ATENCIÓN") && !body.contains("Llame al") && !body.contains("<bdi>"));
    server.stop().await;
}
