//! Pages that tell everybody how things are done here: how somebody comes to act for another (portal.md A3,
//! X1 to X3), and in which languages help is there (45 CFR 92.11).

use std::sync::LazyLock;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;

use super::pages::{Forms, Frame, PageError, page};
use super::params::Params;
use super::{SmartState, sessions};

#[derive(Template)]
#[template(path = "smart/representatives.html")]
struct RepresentativesPage {
    frame: Frame,
    /// Whether somebody came here who is too young to sign up online.
    is_young: bool,
}

/// `GET /representatives`.
pub(super) async fn representatives(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let frame = match frame(&state, &jar).await {
        Ok(frame) => frame,
        Err(error) => return error.page(&state),
    };
    let template = RepresentativesPage {
        frame,
        is_young: params.first("r") == Some("age"),
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

async fn frame(state: &SmartState, jar: &CookieJar) -> Result<Frame, PageError> {
    let session = sessions::load(state, jar).await?;
    Ok(Frame::new(state, session.as_ref()))
}

/// That help with a language is free, in that language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notice {
    /// BCP 47.
    tag: String,
    /// What the language calls itself.
    name: String,
    #[serde(default)]
    is_right_to_left: bool,
    text: String,
    /// Where to call, with `{line}` in it.
    call: String,
}

#[derive(Default, Deserialize)]
struct Notices {
    notice: Vec<Notice>,
}

const NOTICES: &str = include_str!("../../locales/assistance.toml");

fn parsed() -> Result<Notices, Box<figment::Error>> {
    Figment::from(Toml::string(NOTICES))
        .extract()
        .map_err(Box::new)
}

/// A test holds the file to its form.
static ALL: LazyLock<Vec<Notice>> = LazyLock::new(|| parsed().unwrap_or_default().notice);

#[derive(Template)]
#[template(path = "smart/languages.html")]
struct LanguagesPage {
    frame: Frame,
    notices: Vec<NoticeView>,
    /// Where to call; empty where nobody said.
    line: String,
}

struct NoticeView {
    notice: &'static Notice,
    /// What stands before and behind the number.
    call: (&'static str, &'static str),
}

/// `GET /languages`.
pub(super) async fn languages(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let frame = match frame(&state, &jar).await {
        Ok(frame) => frame,
        Err(error) => return error.page(&state),
    };
    let notices = ALL.iter().map(|notice| NoticeView {
        notice,
        call: notice.call.split_once("{line}").unwrap_or_default(),
    });
    let template = LanguagesPage {
        frame,
        notices: notices.collect(),
        line: state.config().language_line.clone().unwrap_or_default(),
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_notices_are_in_english_and_fifteen_languages() {
        let notices = parsed().unwrap().notice;
        let tags: BTreeSet<&str> = notices.iter().map(|one| one.tag.as_str()).collect();
        assert_eq!((notices.len(), tags.len()), (16, 16));
        assert_eq!(notices[0].tag, "en");
        for notice in &notices {
            assert_eq!(notice.call.matches("{line}").count(), 1, "{}", notice.tag);
            assert!(!notice.text.contains('{') && notice.text.chars().count() > 15);
            // Hebrew and Arabic letters run from right to left, and no others of these.
            let runs_left = notice
                .text
                .chars()
                .any(|c| ('\u{590}'..'\u{780}').contains(&c));
            assert_eq!(notice.is_right_to_left, runs_left, "{}", notice.tag);
        }
    }
}
