//! Logos of apps: what a developer sends, what people see, and what never reaches a browser.

use candor::smart::users::Role;
use reqwest::header;

use crate::smart_activation::{events, happened};
use crate::smart_developers_change::{Made, SCOPE, make, page, row, sign_in};
use crate::smart_support::{App, Browser, PASSWORD, Server, each_smart_database};

/// A JPEG of 32 by 32 pixels.
const JPEG: &[u8] = include_bytes!("../data/logo.jpg");

/// The form token of somebody's pages.
fn token(page: &crate::smart_support::Page) -> String {
    let form = page.form("/logout");
    form.fields
        .iter()
        .find(|(name, _)| name == "form")
        .unwrap()
        .1
        .clone()
}

/// Sends a picture as the form of the page does: status and address of the answer, and its body.
async fn send(
    server: &Server,
    browser: &Browser,
    fields: &[(&str, &str)],
    picture: &[u8],
) -> (u16, String, String) {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!(
            "--limit\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend(part.into_bytes());
    }
    body.extend(
        b"--limit\r\ncontent-disposition: form-data; name=\"logo\"; filename=\"x.png\"\r\n\
          content-type: image/png\r\n\r\n",
    );
    body.extend(picture);
    body.extend(b"\r\n--limit--\r\n");
    let response = browser
        .http
        .post(server.url("/developers/apps/logo"))
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=limit")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|to| to.to_str().unwrap().to_owned());
    (
        status,
        location.unwrap_or_default(),
        response.text().await.unwrap(),
    )
}

async fn fields(server: &Server, made: &Made, action: &'static str) -> Vec<(&'static str, String)> {
    let form = token(&page(server, made).await);
    vec![
        ("form", form),
        ("client", made.registered.client_id.clone()),
        ("action", action.to_owned()),
    ]
}

fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

each_smart_database! {
async fn people_see_the_logo_of_an_app_and_nothing_else_of_the_file(server: Server) {
    let made = make(server, "public").await;
    let id = made.registered.client_id.clone();
    server.sql(&format!("UPDATE oauth_client SET approved = 1 WHERE client_id = '{id}'")).await;
    server.sql(&format!("UPDATE client_registration SET verified = 1 WHERE client_id = '{id}'")).await;
    let mut sent = JPEG.to_vec();
    sent.extend(b"<script>alert(1)</script>");
    let with = fields(server, &made, "logo").await;
    let (status, location, _) = send(server, &made.browser, &borrowed(&with), &sent).await;
    assert_eq!(status, 303, "{location}");
    let after = made.browser.open(&server.url(&location)).await.page();
    assert!(after.body.contains("The logo was changed"), "{}", after.body);

    // It is served from here, as a picture and nothing else, and kept by nobody.
    let client = row(server, &made).await;
    let path = format!("/apps/logo/{}", client.logo.clone().unwrap());
    let image = server.http.get(server.url(&path)).send().await.unwrap();
    assert_eq!(image.headers()[header::CONTENT_TYPE], "image/png");
    assert_eq!(image.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(image.headers()[header::CACHE_CONTROL], "no-store");
    let image = image.bytes().await.unwrap();
    assert!(image.starts_with(b"\x89PNG"));
    assert!(!image.windows(8).any(|part| part == b"<script>"));

    // Whom the hospital checked looked otherwise.
    assert_eq!(client.approved, None);
    assert_eq!(server.count("SELECT COUNT(*) FROM client_registration WHERE verified IS NOT NULL").await, 0);
    assert_eq!(happened(&events(server).await, "app-changed"), 1);

    // On the consent page and among connected apps, with an empty alt.
    let user = server.add_patient().await;
    let app = App::new(server, &made.registered);
    let consent = Browser::new(server).to_consent(&app.start(SCOPE), &user).await;
    let shown = format!("<img class=\"logo\" src=\"{path}\" alt=\"\"");
    assert!(consent.body.contains(&shown), "{}", consent.body);
    app.connect(server, &user, SCOPE, |_| ()).await;
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login?next=%2Fapps")).await.page();
    let apps = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert!(apps.body.contains(&shown), "{}", apps.body);

    // Another app with the same picture keeps it when this one takes it out.
    let other = make(server, "public").await;
    let with = fields(server, &other, "logo").await;
    assert_eq!(send(server, &other.browser, &borrowed(&with), JPEG).await.0, 303);
    for (made, left) in [(&made, 200), (&other, 404)] {
        let without = fields(server, made, "no-logo").await;
        let (status, location, _) = send(server, &made.browser, &borrowed(&without), b"").await;
        assert!(status == 303 && location.ends_with("done=no-logo"), "{status} {location}");
        let image = server.http.get(server.url(&path)).send().await.unwrap();
        assert_eq!(image.status().as_u16(), left);
    }
    let consent = Browser::new(server).to_consent(&app.start(SCOPE), &user).await;
    assert!(!consent.body.contains("class=\"logo\""));
}

async fn what_is_no_logo_or_no_own_app_changes_nothing(server: Server) {
    let made = make(server, "public").await;
    let with = fields(server, &made, "logo").await;
    let with = borrowed(&with);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>".to_vec();
    for (picture, words) in [
        (svg, "We cannot read this file"),
        (Vec::new(), "We cannot read this file"),
        (vec![0xff; 250 * 1024], "The file is too large"),
        // Beyond what the server reads of a request at all.
        (vec![0xff; 400 * 1024], "The file is too large"),
    ] {
        let (status, _, body) = send(server, &made.browser, &with, &picture).await;
        assert!(status == 400 && body.contains(words), "{words}: {status} {body}");
    }
    // Of another developer, and without this browser's own token.
    let other = make(server, "public").await;
    let mut foreign = fields(server, &other, "logo").await;
    foreign[1].1.clone_from(&made.registered.client_id);
    let (status, location, _) = send(server, &other.browser, &borrowed(&foreign), JPEG).await;
    assert_eq!((status, location.as_str()), (303, "/developers/apps"));
    let (status, ..) = send(server, &other.browser, &with, JPEG).await;
    assert_eq!(status, 403);
    let patient = server.add_user(Role::Patient, None, &[("ana", None, "Ana")]).await;
    let patient = sign_in(server, &patient).await;
    assert_eq!(send(server, &patient, &with, JPEG).await.0, 403);
    assert_eq!(row(server, &made).await.logo, None);
    assert_eq!(server.count("SELECT COUNT(*) FROM app_logo").await, 0);
    for none in ["x", "%00", "..%2f"] {
        let image = server.http.get(server.url(&format!("/apps/logo/{none}"))).send().await;
        assert_eq!(image.unwrap().status().as_u16(), 404, "{none}");
    }
}
}
