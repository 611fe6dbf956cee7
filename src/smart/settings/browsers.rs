//! `/settings/sessions`: the browsers that are signed in, and the buttons that sign them out.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::super::events::{self, Event};
use super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::params::Params;
use super::super::sessions::{self, Session};
use super::super::{DAY, MINUTE, SmartState, gate};
use crate::clock::Millis;
use crate::store::Origin;
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/settings_sessions.html")]
struct SessionsPage {
    frame: Frame,
    form: String,
    browsers: Vec<Browser>,
    has_others: bool,
    ended: bool,
}

struct Browser {
    /// What the form calls it.
    id: String,
    agent: String,
    since: String,
    seen: String,
    is_this: bool,
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) => list(&state, &session, params.first("done").is_some()).await,
            None => Ok(gate::to_login(&state, "/settings/sessions")),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

async fn list(state: &SmartState, session: &Session, ended: bool) -> Result<Response, PageError> {
    let texts = Texts::here();
    let now = state.now();
    let own = session.hash();
    let found = sessions::of_account(state, &session.account.id).await?;
    let browsers: Vec<Browser> = found
        .into_iter()
        .map(|row| Browser {
            id: sessions::public_id(&row.hash),
            is_this: row.hash == own,
            since: ago(texts, now - row.created),
            seen: ago(texts, now - row.seen),
            agent: match row.agent.as_str() {
                "" => texts.plain("sessions-unknown", []),
                agent => agent.to_owned(),
            },
        })
        .collect();
    let template = SessionsPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        has_others: browsers.iter().any(|browser| !browser.is_this),
        browsers,
        ended,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

/// How long ago, roughly: no time zone can be wrong.
fn ago(texts: Texts, past: Millis) -> String {
    match past {
        _ if past < MINUTE => texts.plain("ago-moment", []),
        _ if past < 60 * MINUTE => {
            texts.plain("ago-minutes", [("minutes", (past / MINUTE).into())])
        }
        _ if past < DAY => texts.plain("ago-hours", [("hours", (past / (60 * MINUTE)).into())]),
        _ => texts.plain("ago-days", [("days", (past / DAY).into())]),
    }
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    end(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn end(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(gate::to_login(state, "/settings/sessions"));
    };
    let params = session.form(headers, body)?;
    let account = &session.account.id;
    let own = session.hash();
    let wanted = params.first("session");
    let doomed: Vec<Vec<u8>> = sessions::of_account(state, account)
        .await?
        .into_iter()
        .map(|row| row.hash)
        .filter(|hash| *hash != own)
        .filter(|hash| wanted.is_none_or(|id| sessions::public_id(hash) == id))
        .collect();
    if !doomed.is_empty() {
        let mut writer = state.store().writer(Origin::Feed).await?;
        sessions::end_all(writer.connection(), &doomed).await?;
        let event = Event::by_account("sessions-ended", account);
        events::note(&mut writer, state, &event).await?;
        writer.commit().await.map_err(PageError::from)?;
        tracing::info!(account, count = doomed.len(), "other browsers signed out");
    }
    Ok(see_other(&state.path("/settings/sessions?done=yes")))
}
