//! `/resume`: what somebody typed and could not send before they were signed out is kept for a day, for them
//! alone, and sent by one button when they are back (portal.md A17).
//!
//! A form that comes too late leaves it ([`crate::smart::gate`]), and so does a page whose script signs
//! somebody out (`POST /draft`). Passwords and codes are not kept.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use sea_orm::{ConnectionTrait, DbErr};

use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::{DAY, SmartState, gate, here, sessions};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

/// The path of the page.
pub(super) const PATH: &str = "/resume";
/// The field in which a script says what the form it sends is for.
const OF: &str = "draft-of";
/// How long it is kept.
const LIFE: Millis = DAY;
/// Fields that are secrets, or belong to the page that is gone.
const DROPPED: &[&str] = &[
    "form",
    OF,
    "password",
    "repeated",
    "current",
    "code",
    "credential",
    "token",
];

/// What was typed.
struct Draft {
    path: String,
    fields: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "smart/resume.html")]
struct ResumePage {
    frame: Frame,
    form: String,
    /// Where the form goes.
    path: String,
    fields: Vec<(String, String)>,
    /// What people know again of it: not the values of choices.
    typed: Vec<String>,
}

/// Keeps what an account typed for a page, in place of what it left before. False: nothing of it can be kept.
pub(super) async fn keep(
    state: &SmartState,
    account: &str,
    path: &str,
    params: &Params,
) -> Result<bool, StoreError> {
    let kept: Vec<(&str, &str)> = params
        .pairs()
        .filter(|(name, _)| !DROPPED.contains(name))
        .collect();
    // Where nobody could see what it is about, it is not sent a day later.
    if !kept.iter().any(|(_, value)| is_text(value)) {
        return Ok(false);
    }
    let fields = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .finish();
    let mut put = Sql::default();
    let (of, at) = (put.bind(account), put.bind(path));
    let (fields, expires) = (put.bind(fields), put.bind(state.now() + LIFE));
    put.push(&format!(
        "INSERT INTO draft (account, path, fields, expires) VALUES ({of}, {at}, {fields}, {expires}) \
         ON CONFLICT (account) DO UPDATE SET path = excluded.path, fields = excluded.fields, \
         expires = excluded.expires"
    ));
    let tx = state.store().begin().await?;
    let backend = state.store().backend();
    tx.connection().execute_raw(put.statement(backend)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether people know again what they typed: not the value of a choice.
fn is_text(value: &str) -> bool {
    value.contains([' ', '\n', '@', '/'])
}

async fn find(state: &SmartState, account: &str) -> Result<Option<Draft>, StoreError> {
    let mut select = Sql::default();
    let (of, now) = (select.bind(account), select.bind(state.now()));
    select.push(&format!(
        "SELECT path, fields FROM draft WHERE account = {of} AND expires > {now}"
    ));
    let store = state.store();
    let found = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let fields: String = row.try_get_by_index(1)?;
    Ok(Some(Draft {
        path: row.try_get_by_index(0)?,
        fields: url::form_urlencoded::parse(fields.as_bytes())
            .into_owned()
            .collect(),
    }))
}

/// Forgets what an account left for a page: they sent it, or something else there.
pub(super) async fn sent(state: &SmartState, account: &str, path: &str) -> Result<(), StoreError> {
    let is_there = find(state, account).await?;
    if is_there.is_some_and(|draft| draft.path == path) {
        forget(state, account).await?;
    }
    Ok(())
}

async fn forget(state: &SmartState, account: &str) -> Result<(), StoreError> {
    let mut delete = Sql::new("DELETE FROM draft WHERE account = ");
    let of = delete.bind(account);
    delete.push(&of);
    let tx = state.store().begin().await?;
    let backend = state.store().backend();
    tx.connection()
        .execute_raw(delete.statement(backend))
        .await?;
    tx.commit().await?;
    Ok(())
}

/// `POST /draft`: a script that signs somebody out sends what they typed. The session may have ended a moment ago.
pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kept = async {
        let session = sessions::alive_or_idle(&state, &jar).await?;
        let session = session.ok_or(PageError::Foreign)?;
        if session.is_kiosk || here::is_kiosk() {
            return Err(PageError::Foreign);
        }
        let params = session.form(&headers, &body)?;
        let address = params
            .first(OF)
            .and_then(|own| own.strip_prefix(&state.path("")));
        let path = address.and_then(gate::own_page).ok_or(PageError::Foreign)?;
        keep(&state, &session.account.id, &path, &params).await?;
        Ok::<_, PageError>(StatusCode::NO_CONTENT.into_response())
    };
    kept.await.unwrap_or_else(|error| error.page(&state))
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let shown = async {
        let Some(session) = sessions::load(&state, &jar).await? else {
            return Ok(gate::to_login(&state, PATH));
        };
        let Some(draft) = find(&state, &session.account.id).await? else {
            return Ok(see_other(&state.path("/settings")));
        };
        let template = ResumePage {
            frame: Frame::new(&state, Some(&session)),
            form: session.form_token(),
            path: draft.path,
            typed: draft
                .fields
                .iter()
                .map(|(_, value)| value.clone())
                .filter(|value| is_text(value))
                .collect(),
            fields: draft.fields,
        };
        // What is sent late may be a form whose answer leads to an app.
        Ok(page(&state, StatusCode::OK, Forms::LeadAway, &template))
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

/// They do not want to send it.
pub(super) async fn drop(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let dropped = async {
        let Some(session) = sessions::load(&state, &jar).await? else {
            return Ok(gate::to_login(&state, PATH));
        };
        session.form(&headers, &body)?;
        let draft = find(&state, &session.account.id).await?;
        forget(&state, &session.account.id).await?;
        let path = draft.map_or_else(|| "/settings".to_owned(), |draft| draft.path);
        Ok(see_other(&state.path(&path)))
    };
    dropped
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

/// Deletes what nobody came back for. Returns how many rows went.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut delete = Sql::new("DELETE FROM draft WHERE expires <= ");
    let before = delete.bind(now);
    delete.push(&before);
    let backend = connection.get_database_backend();
    let gone = connection.execute_raw(delete.statement(backend)).await?;
    Ok(gone.rows_affected())
}
