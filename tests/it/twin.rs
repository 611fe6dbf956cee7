//! The twin test (design.md section 5): two servers whose data differ only by what is withheld from
//! a patient answer every request of that patient with the same bytes. With the holds switched off
//! the same requests tell the two apart, so the test can fail.
//!
//! `CANDOR_TWIN_REQUESTS` sets how many requests are made on each database, `CANDOR_TWIN_SEED` which.

mod data;
mod requests;

use crate::rest_support::{Answer, Api, SYSTEM, patient};
use crate::support::Database;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data::Twins;
use requests::{Generator, Request};

/// Requests on each database unless the environment says otherwise.
const REQUESTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_is_as_if_it_had_never_been_sqlite() {
    run(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_is_as_if_it_had_never_been_postgres() {
    if Database::Postgres.is_there() {
        run(Database::Postgres).await;
    }
}

async fn run(database: Database) {
    let twins = Twins::load(database).await;
    let wanted = number("CANDOR_TWIN_REQUESTS").unwrap_or(REQUESTS);
    let seed = number("CANDOR_TWIN_SEED").unwrap_or(1) as u64;
    let mut generator = Generator::new(seed, &twins);
    let me = patient("p");
    let mut told_apart = 0;
    let mut answered = 0;
    let mut found_something = 0;
    for at in 0..wanted {
        let request = generator.next();
        let (with, without) = both(&twins, &me, &request).await;
        assert!(
            with == without,
            "request {at} (seed {seed}) tells what is withheld: {request:?}\nwith:    {with}\nwithout: {without}"
        );
        answered += usize::from(with.starts_with("200"));
        found_something +=
            usize::from(with.contains(r#""mode":"match""#) || with.contains(r#""id":"#));
        // Every so often the same with the holds off: a system that reads one patient's record.
        if at % 10 == 0 {
            let off = "system;p;patient/*.rs";
            let (with, without) = both(&twins, off, &request).await;
            told_apart += usize::from(with != without);
        }
    }
    // The generator asks things that are answered, and finds things.
    assert!(
        answered * 2 > wanted,
        "only {answered} of {wanted} requests were answered with 200"
    );
    assert!(
        found_something * 4 > wanted,
        "only {found_something} of {wanted} answers held anything"
    );
    assert!(
        told_apart > wanted / 200,
        "the control told the twins apart only {told_apart} times"
    );
    twins.stop().await;
}

/// The answers of both servers as text: status, headers, body, following pages side by side.
async fn both(twins: &Twins, token: &str, request: &Request) -> (String, String) {
    let mut texts = (String::new(), String::new());
    let mut paths = (request.path.clone(), request.path.clone());
    for _ in 0..4 {
        let with = call(&twins.with, token, request, &paths.0).await;
        let without = call(&twins.without, token, request, &paths.1).await;
        let next = (next_page(&with), next_page(&without));
        texts.0.push_str(&normal(&with));
        texts.1.push_str(&normal(&without));
        match next {
            (Some(one), Some(two)) if request.method == "GET" => paths = (one, two),
            _ => break,
        }
    }
    texts
}

async fn call(api: &Api, token: &str, request: &Request, path: &str) -> Answer {
    let mut call = api.call(token, request.method, path);
    for (name, value) in &request.headers {
        call = call.header(name, value);
    }
    if let Some(form) = &request.form {
        call = call.body("application/x-www-form-urlencoded", form.clone());
    }
    if let Some((media, body)) = &request.body {
        call = call.body(media, body.clone());
    }
    call.send().await
}

/// The path of the next page below the base.
fn next_page(answer: &Answer) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let links = body.get("link")?.as_array()?;
    let next = links.iter().find(|link| link["relation"] == "next")?;
    let url = next["url"].as_str()?;
    url.strip_prefix(crate::rest_support::BASE)
        .map(|path| path.trim_start_matches('/').to_owned())
}

/// An answer without what must differ between two servers: sealed cursors, request ids, dates of
/// sending, random Bundle ids.
fn normal(answer: &Answer) -> String {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    headers.sort();
    let mut body = answer.text();
    if let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&answer.body)
        && value["resourceType"] == "Bundle"
    {
        let before = value.clone();
        if let Some(links) = value["link"].as_array_mut() {
            for link in links {
                if matches!(link["relation"].as_str(), Some("next" | "self"))
                    && link["url"]
                        .as_str()
                        .is_some_and(|url| url.contains("_cursor") || url.contains("_page"))
                {
                    link["url"] = "cursor".into();
                }
            }
        }
        if value["id"].is_string() {
            value["id"] = "bundle".into();
        }
        // Bytes are compared as they came unless something had to be put aside.
        if value != before {
            body = value.to_string();
        }
    }
    // GraphQL's connections wrap the query that goes on, its cursor included.
    for name in ["first", "previous", "next", "last"] {
        let label = format!("\"{name}\":\"");
        let mut rest = 0;
        while let Some(at) = body.get(rest..).and_then(|text| text.find(&label)) {
            let start = rest + at + label.len();
            let end = start + body[start..].find('"').unwrap_or(0);
            let query = URL_SAFE_NO_PAD
                .decode(&body[start..end])
                .unwrap_or_default();
            if let Ok(query) = String::from_utf8(query)
                && query.contains("_cursor=")
            {
                body.replace_range(start..end, &query);
            }
            rest = start;
        }
    }
    // The same in XML and in the entries of a batch.
    let mut rest = 0;
    while let Some(at) = body.get(rest..).and_then(|text| text.find("_cursor=")) {
        let start = rest + at;
        let end = body[start..]
            .find(['&', '"'])
            .map_or(body.len(), |end| start + end);
        body.replace_range(start..end, "cursor");
        rest = start;
    }
    format!("{} {headers:?} {body}\n", answer.status.as_u16())
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) const FEED: &str = SYSTEM;
