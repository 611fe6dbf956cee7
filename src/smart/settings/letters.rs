//! `/settings/letters`: which letters somebody wants (portal.md A15), with the words that they will read.
//! Those about the safety of the account are not among them.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::super::mail::Letter;
use super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::params::Params;
use super::super::sessions::{self, Session};
use super::super::{SmartState, contact, digest, gate};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/settings_letters.html")]
struct LettersPage {
    frame: Frame,
    form: String,
    /// The confirmed address, or empty.
    email: String,
    wants_digest: bool,
    /// The letter as it is sent: subject and text.
    subject: String,
    body: String,
    saved: bool,
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) => show(&state, &session, params.first("done").is_some()).await,
            None => Ok(gate::to_login(&state, "/settings/letters")),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

async fn show(state: &SmartState, session: &Session, saved: bool) -> Result<Response, PageError> {
    let reader = state.store().reader();
    let account = &session.account.id;
    let email = contact::of_account(reader, account).await?;
    let texts = Texts::here();
    let example = Letter::Apps {
        apps: 3,
        link: state.url("/apps"),
    };
    let config = state.config();
    let (subject, body) = example.write(texts.language(), &config.brand, &config.help(texts));
    let template = LettersPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        email: email.map(|email| email.address).unwrap_or_default(),
        wants_digest: !digest::is_refused(reader, account).await?,
        subject,
        body,
        saved,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    save(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn save(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(gate::to_login(state, "/settings/letters"));
    };
    let params = session.form(headers, body)?;
    let wants = params.first("digest") == Some("yes");
    let tx = state.store().begin().await?;
    digest::choose(tx.connection(), &session.account.id, wants, state.now()).await?;
    tx.commit().await?;
    Ok(see_other(&state.path("/settings/letters?done=saved")))
}
