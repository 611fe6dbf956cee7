//! `/developers/changes`: what changed for apps, from the CHANGELOG of this version, which is in English.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use crate::smart::pages::{Forms, Frame, PageError, page};
use crate::smart::{SmartState, sessions};

const FILE: &str = include_str!("../../../CHANGELOG.md");

#[derive(Template)]
#[template(path = "developers/changes.html")]
struct ChangesPage {
    frame: Frame,
    version: &'static str,
    releases: &'static [Release],
}

/// A version, or a part of one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    title: String,
    changes: Vec<String>,
}

static RELEASES: LazyLock<Vec<Release>> = LazyLock::new(|| read(FILE));

/// The headings and lists of the file, in its order; what stands before the first heading is left out.
fn read(file: &str) -> Vec<Release> {
    let mut releases: Vec<Release> = Vec::new();
    for line in file.lines() {
        if let Some(title) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            releases.push(Release {
                title: plain(title),
                changes: Vec::new(),
            });
            continue;
        }
        let Some(release) = releases.last_mut() else {
            continue;
        };
        if let Some(change) = line.strip_prefix("- ") {
            release.changes.push(plain(change));
        } else if let Some(more) = line.strip_prefix("  ")
            && let Some(change) = release.changes.last_mut()
        {
            change.push(' ');
            change.push_str(&plain(more));
        }
    }
    releases
}

/// A line without the marks of Markdown.
fn plain(line: &str) -> String {
    line.trim().replace("**", "").replace('`', "")
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let session = match sessions::load(&state, &jar).await {
        Ok(session) => session,
        Err(error) => return PageError::from(error).page(&state),
    };
    let template = ChangesPage {
        frame: Frame::new(&state, session.as_ref()),
        version: env!("CARGO_PKG_VERSION"),
        releases: &RELEASES,
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_lists_are_read_and_the_file_has_both() {
        let read = super::read(
            "# Changelog\n\nWords.\n\n## 1.1\n\n- **A** `b`\n  and more.\n- c\n\n### Known\n\n- d\n",
        );
        let release = |title: &str, changes: &[&str]| Release {
            title: title.to_owned(),
            changes: changes.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(
            read,
            [
                release("1.1", &["A b and more.", "c"]),
                release("Known", &["d"])
            ]
        );
        assert!(RELEASES[0].changes.len() > 10);
    }
}
