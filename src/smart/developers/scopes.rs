//! `/developers/scopes`, and the same as `docs/scopes.md`: what may be asked for and how people read it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use crate::smart::pages::{Forms, Frame, PageError, page};
use crate::smart::scopes::{Entry, catalogue};
use crate::smart::{SmartState, sessions};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "developers/scopes.html")]
struct ScopesPage {
    frame: Frame,
    version: String,
    groups: Vec<(String, Vec<Line>)>,
    /// Types that are no patient's to give.
    others: String,
}

/// A scope and what people read.
struct Line {
    scope: String,
    label: String,
    detail: String,
    since: String,
}

fn lines(texts: Texts, entry: &Entry) -> Vec<Line> {
    let since = entry.since.as_ref().unwrap_or(&catalogue().first);
    let whole = Line {
        scope: format!("patient/{}.rs", entry.resource),
        label: texts.plain(&entry.label, []),
        detail: texts.plain(&entry.detail, []),
        since: since.clone(),
    };
    let parts = entry.categories.iter().map(|part| Line {
        scope: format!("patient/{}.rs?{}", entry.resource, part.query),
        label: texts.plain(&part.label, []),
        detail: String::new(),
        since: since.clone(),
    });
    std::iter::once(whole).chain(parts).collect()
}

fn groups(texts: Texts) -> Vec<(String, Vec<Line>)> {
    let groups = catalogue().groups.iter().map(|group| {
        let entries = group.entries.iter();
        let lines = entries.flat_map(|entry| lines(texts, entry)).collect();
        (texts.plain(&group.title, []), lines)
    });
    groups.collect()
}

fn others() -> String {
    let others = catalogue().others.iter();
    let names: Vec<&str> = others
        .flat_map(|other| other.types.iter().map(String::as_str))
        .collect();
    names.join(", ")
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let session = match sessions::load(&state, &jar).await {
        Ok(session) => session,
        Err(error) => return PageError::from(error).page(&state),
    };
    let template = ScopesPage {
        frame: Frame::new(&state, session.as_ref()),
        version: catalogue().version.clone(),
        groups: groups(Texts::here()),
        others: others(),
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::texts::Language;

    fn markdown() -> String {
        let mut text = format!(
            "# Scopes\n\nMade from [src/smart/scopes.toml](../src/smart/scopes.toml), version {}, and the \
             words of the consent page; a test holds it to them, and writes it anew when `CANDOR_TEST_WRITE` \
             is set. The server shows the same at `/developers/scopes`.\n\nAn app asks for any of these, or for `patient/*.rs`, which is \
             answered as the list of what the person left ticked. v1 (`patient/Patient.read`) means the same. \
             Wildcards mean the list as it was on the day they were granted.\n",
            catalogue().version
        );
        for (title, lines) in groups(Texts::of(Language::English)) {
            let _ = write!(
                text,
                "\n## {title}\n\n| scope | people read | and | since |\n|---|---|---|---|\n"
            );
            for line in lines {
                let scope = line.scope.replace('|', "\\|");
                let (label, detail, since) = (line.label, line.detail, line.since);
                let _ = writeln!(text, "| `{scope}` | {label} | {detail} | {since} |");
            }
        }
        let _ = write!(
            text,
            "\n## Not for apps of patients\n\n`user/*` of people who work here and `system/*` of backends \
             mean all of the above and: {}.\n",
            others()
        );
        text
    }

    #[test]
    fn docs_scopes_md_says_what_the_catalogue_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scopes.md");
        let text = markdown();
        if std::env::var_os("CANDOR_TEST_WRITE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == text,
            "docs/scopes.md is old: CANDOR_TEST_WRITE=1 writes it anew"
        );
    }
}
