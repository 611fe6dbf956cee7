//! `/settings/email` and `/confirm`: the address for notices and reset links. It counts once somebody opened
//! the letter there; then the old box is told, and no password is reset by mail for a day (portal.md A13).

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::contact::{self, Link, NO_RESETS, Purpose};
use super::super::events::{self, Event};
use super::super::mail::{self, Letter};
use super::super::minors::{self, Refused};
use super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::params::Params;
use super::super::sessions::Session;
use super::super::throttle::Kind;
use super::super::{MINUTE, SECOND, SmartState, gate, reset, sessions, users};
use super::password::prove;
use crate::clock::Millis;
use crate::store::{Origin, StoreError};
use crate::texts::{Language, Texts};

/// From the letter to the click in it.
const LIFE: Millis = 24 * 60 * MINUTE;

#[derive(Template)]
#[template(path = "smart/settings_email.html")]
struct EmailPage {
    frame: Frame,
    form: String,
    /// The confirmed one, or empty.
    current: String,
    typed: String,
    /// Whether a letter is on its way, and whether the address was taken away.
    sent: bool,
    removed: bool,
    sends_mail: bool,
    problem: String,
    field: &'static str,
}

#[derive(Template)]
#[template(path = "smart/confirm.html")]
struct ConfirmPage {
    frame: Frame,
    form: String,
    token: String,
    address: String,
    /// Whether other accounts have the same.
    is_shared: bool,
    /// Name of a text that says why it cannot be used; empty when it can.
    problem: &'static str,
    done: bool,
}

/// Sends a letter to an address that somebody says is theirs.
pub(in crate::smart) async fn ask_to_confirm(
    state: &SmartState,
    account: &str,
    address: &str,
) -> Result<(), StoreError> {
    let link = Link {
        account: account.to_owned(),
        address: address.to_owned(),
        language: Language::here(),
    };
    let tx = state.store().begin().await?;
    // The last one counts.
    contact::end_links(tx.connection(), account).await?;
    let token =
        contact::make_link(tx.connection(), Purpose::Confirm, &link, state.now(), LIFE).await?;
    tx.commit().await?;
    let letter = Letter::Confirm {
        link: state.url(&format!("/confirm?token={token}")),
        life: LIFE,
    };
    contact::post(state, address, link.language, &letter);
    Ok(())
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) => show(&state, &session, &params, None).await,
            None => Ok(gate::to_login(&state, "/settings/email")),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

async fn show(
    state: &SmartState,
    session: &Session,
    params: &Params,
    problem: Option<(String, &'static str)>,
) -> Result<Response, PageError> {
    let current = contact::of_account(state.store().reader(), &session.account.id).await?;
    let status = if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let (problem, field) = problem.unwrap_or_default();
    let done = params.first("done");
    let template = EmailPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        current: current.map(|email| email.address).unwrap_or_default(),
        typed: params.first("email").unwrap_or_default().to_owned(),
        sent: done == Some("sent"),
        removed: done == Some("removed"),
        sends_mail: state.outbox().is_there(),
        problem,
        field,
    };
    Ok(page(state, status, Forms::Own, &template))
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    change(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn change(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, &jar).await? else {
        return Ok(gate::to_login(state, "/settings/email"));
    };
    let params = session.form(&parts.headers, body)?;
    let account = &session.account.id;
    let is_removal = params.first("action") == Some("remove");
    let address = params.first("email").unwrap_or_default().trim();
    if !is_removal && !mail::is_address(address) {
        let problem = Texts::here().plain("email-wrong", []);
        return show(state, &session, &params, Some((problem, "email"))).await;
    }
    let typed = params.first("current").unwrap_or_default();
    let jar = match prove(state, jar, parts, &session, typed).await? {
        Ok(jar) => jar,
        Err(problem) => {
            return show(state, &session, &params, Some((problem, "current"))).await;
        }
    };
    if is_removal {
        let old = contact::of_account(state.store().reader(), account).await?;
        let mut writer = state.store().writer(Origin::Feed).await?;
        contact::replace(writer.connection(), account, None, state.now(), 0).await?;
        contact::end_links(writer.connection(), account).await?;
        let event = Event::by_account("email-removed", account);
        events::note(&mut writer, state, &event).await?;
        writer.commit().await.map_err(PageError::from)?;
        if let Some(old) = old {
            contact::post(state, &old.address, old.language, &Letter::AddressChanged);
        }
        let to = state.path("/settings/email?done=removed");
        return Ok((jar, see_other(&to)).into_response());
    }
    // Nobody fills a stranger's mailbox from here, or tries whose it is.
    let counted = state
        .throttle()
        .reserve(Kind::Mail, account, None, false, state.pace());
    if let Err(wait) = counted {
        return Err(PageError::Wait((wait + SECOND - 1) / SECOND));
    }
    if minors::refusal(state, account, address).await? == Some(Refused::Guardian) {
        let problem = Texts::here().plain("email-guardian", []);
        return show(state, &session, &params, Some((problem, "email"))).await;
    }
    ask_to_confirm(state, account, address).await?;
    let to = state.path("/settings/email?done=sent");
    Ok((jar, see_other(&to)).into_response())
}

pub(in crate::smart) async fn confirm_get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let token = params.first("token").unwrap_or_default();
    let shown = async {
        let reader = state.store().reader();
        match contact::find_link(reader, Purpose::Confirm, token, state.now()).await? {
            Some(link) => ask(&state, jar.clone(), token, link).await,
            None => Ok(reset::gone(&state, "/settings/email")),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

/// Whether other accounts have a link's address.
async fn is_shared(state: &SmartState, link: &Link) -> Result<bool, PageError> {
    let others = contact::with_address(state.store().reader(), &link.address).await?;
    Ok(others.iter().any(|other| other.account != link.account))
}

/// The page that asks whoever reads the mailbox; or that says why the address cannot be used.
async fn ask(
    state: &SmartState,
    jar: CookieJar,
    token: &str,
    link: Link,
) -> Result<Response, PageError> {
    let refused = minors::refusal(state, &link.account, &link.address).await?;
    let problem = match refused {
        Some(Refused::Guardian) => "email-guardian",
        Some(Refused::Minor) => "email-shared-minor",
        None => "",
    };
    let status = if refused.is_some() {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::OK
    };
    let (jar, form) = sessions::anonymous_form(state, jar);
    let template = ConfirmPage {
        frame: Frame::new(state, None),
        form,
        token: token.to_owned(),
        is_shared: is_shared(state, &link).await?,
        address: link.address,
        problem,
        done: false,
    };
    Ok((jar, page(state, status, Forms::Own, &template)).into_response())
}

pub(in crate::smart) async fn confirm_post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    confirm(&state, &jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn confirm(
    state: &SmartState,
    jar: &CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(&parts.headers, body).map_err(|_| PageError::Foreign)?;
    sessions::require_own(state, jar, &parts.headers, params.first("form"))?;
    let token = params.first("token").unwrap_or_default();
    let now = state.now();
    let gone = || Ok(reset::gone(state, "/settings/email"));
    let reader = state.store().reader();
    let Some(link) = contact::find_link(reader, Purpose::Confirm, token, now).await? else {
        return gone();
    };
    // What may not be, and what nobody was warned of.
    let was_warned = params.first("shared") == Some("yes");
    let needs_asking = !was_warned && is_shared(state, &link).await?;
    if needs_asking
        || minors::refusal(state, &link.account, &link.address)
            .await?
            .is_some()
    {
        return ask(state, jar.clone(), token, link).await;
    }
    let old = contact::of_account(reader, &link.account).await?;
    let old = old.filter(|old| contact::folded(&old.address) != contact::folded(&link.address));
    let mut writer = state.store().writer(Origin::Feed).await?;
    let connection = writer.connection();
    if !contact::spend_link(connection, Purpose::Confirm, token, now).await? {
        return gone();
    }
    // An address that was taken out before is not known any more, so only a new account is believed to
    // have had none.
    let holder = users::find_enabled(reader, &link.account).await?;
    let is_first = old.is_none() && holder.is_some_and(|holder| now - holder.created < NO_RESETS);
    let resets_from = if is_first { 0 } else { now + NO_RESETS };
    let new = Some((link.address.as_str(), link.language));
    contact::replace(connection, &link.account, new, now, resets_from).await?;
    contact::end_links(connection, &link.account).await?;
    let event = Event::by_nobody("email-confirmed").to(&link.account);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await.map_err(PageError::from)?;
    tracing::info!(account = link.account, "address confirmed");
    if let Some(old) = old {
        contact::post(state, &old.address, old.language, &Letter::AddressChanged);
    }
    let template = ConfirmPage {
        frame: Frame::new(state, None),
        form: String::new(),
        token: String::new(),
        address: link.address,
        is_shared: false,
        problem: "",
        done: true,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}
