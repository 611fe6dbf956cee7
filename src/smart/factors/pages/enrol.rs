//! `/auth/factor/enrol`: setting up an authenticator app, for whoever has to before they are in, and for
//! whoever asked for it on the page of their factors.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::super::SmartState;
use super::super::super::entities::account;
use super::super::super::mail::Letter;
use super::super::super::pages::{Forms, Frame, PageError, page, see_other};
use super::super::super::params::Params;
use super::super::super::sessions::{self, Session};
use super::super::half::{self, Half};
use super::super::{CODE, Left, PASSKEY, changed, factors, left, recovery, signed_in, totp};
use super::{Refused, codes_page, offers_passkeys};

#[derive(Template)]
#[template(path = "smart/enrol.html")]
struct EnrolPage {
    frame: Frame,
    form: String,
    /// Whether the person cannot go on without it.
    is_required: bool,
    /// Whether they are on the way to an app.
    connects: bool,
    offers_passkey: bool,
    picture: String,
    key: String,
    address: String,
    problem: String,
}

/// Who sets something up.
pub(in crate::smart::factors) enum Who {
    /// Before the session that it needs.
    Half(Box<Half>),
    Session(Box<Session>),
}

impl Who {
    /// Whoever this browser belongs to. A half sign-in counts only where it cannot go on otherwise: who
    /// has a second factor shows it first.
    pub(in crate::smart::factors) async fn of(
        state: &SmartState,
        jar: &CookieJar,
    ) -> Result<Option<Self>, PageError> {
        if let Some(half) = half::load(state, jar).await?
            && left(state, &half.account).await? == Left::Enrolment
        {
            return Ok(Some(Self::Half(Box::new(half))));
        }
        let session = sessions::load(state, jar).await?;
        Ok(session.map(|session| Self::Session(Box::new(session))))
    }

    pub(in crate::smart::factors) fn account(&self) -> &account::Model {
        match self {
            Self::Half(half) => &half.account,
            Self::Session(session) => &session.account,
        }
    }

    fn form_token(&self) -> String {
        match self {
            Self::Half(half) => half.form_token(),
            Self::Session(session) => session.form_token(),
        }
    }

    /// What was posted, if it came from a form of this browser's own.
    pub(in crate::smart::factors) fn form(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Params, PageError> {
        match self {
            Self::Half(half) => half.form(headers, body),
            Self::Session(session) => session.form(headers, body),
        }
    }

    pub(in crate::smart::factors) fn is_half(&self) -> bool {
        matches!(self, Self::Half(_))
    }

    /// Whether they are at a shared terminal, where nobody leaves a passkey.
    pub(in crate::smart::factors) fn is_kiosk(&self) -> bool {
        match self {
            Self::Half(half) => half.is_kiosk,
            Self::Session(session) => session.is_kiosk,
        }
    }

    fn connects(&self) -> bool {
        matches!(self, Self::Half(half) if half.connects())
    }

    pub(in crate::smart::factors) fn session(&self) -> Option<&Session> {
        match self {
            Self::Session(session) => Some(session),
            Self::Half(_) => None,
        }
    }
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let shown = async {
        match Who::of(&state, &jar).await? {
            Some(who) => show(&state, &who, None).await,
            None => Ok(see_other(&state.path("/login"))),
        }
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

async fn show(
    state: &SmartState,
    who: &Who,
    refused: Option<Refused>,
) -> Result<Response, PageError> {
    let account = who.account();
    let waiting = totp::pending(state, &account.id, &account.username);
    let mut pending = waiting.await?;
    if pending.is_none() && who.is_half() {
        totp::begin(state, &account.id).await?;
        pending = totp::pending(state, &account.id, &account.username).await?;
    }
    let Some(pending) = pending else {
        // Whoever is signed in begins on the page of their factors, with their password.
        return Ok(see_other(&state.path("/security")));
    };
    let template = EnrolPage {
        frame: Frame::new(state, who.session()),
        form: who.form_token(),
        is_required: who.is_half(),
        connects: who.connects(),
        offers_passkey: who.is_half() && !who.is_kiosk() && offers_passkeys(state),
        picture: pending.picture,
        key: pending.key,
        address: pending.address,
        problem: refused
            .as_ref()
            .map(|one| one.words.clone())
            .unwrap_or_default(),
    };
    let status = refused.as_ref().map_or(StatusCode::OK, |one| one.status);
    Ok(page(state, status, Forms::Own, &template))
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    answer(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn answer(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let who = Who::of(state, &jar).await?.ok_or(PageError::HalfGone)?;
    let params = who.form(&parts.headers, body)?;
    let account = who.account().clone();
    if let Some(credential) = params.first("credential").filter(|one| !one.is_empty()) {
        if !who.is_half() {
            return Err(PageError::Foreign);
        }
        if who.is_kiosk() {
            return Err(PageError::Kiosk);
        }
        let name = params.first("name").unwrap_or_default();
        if !super::super::passkeys::add(state, &account, name, credential).await? {
            let refused = Refused::new("passkey-not-added");
            return show(state, &who, Some(refused)).await;
        }
        changed(state, &account.id, "passkey-added", &Letter::FactorsChanged).await?;
        return enrolled(state, jar, who, PASSKEY, parts).await;
    }
    let code = params.first("code").unwrap_or_default();
    if !totp::confirm(state, &account.id, code).await? {
        let refused = Refused::new("factor-first-code-wrong");
        return show(state, &who, Some(refused)).await;
    }
    changed(
        state,
        &account.id,
        "authenticator-added",
        &Letter::FactorsChanged,
    )
    .await?;
    if let Some(session) = who.session() {
        // Browsers in which a password alone was enough.
        let kept = session.hash();
        let tx = state.store().begin().await?;
        sessions::end_others(tx.connection(), &account.id, Some(&kept)).await?;
        tx.commit().await?;
    }
    enrolled(state, jar, who, CODE, parts).await
}

/// Goes on, by way of recovery codes when there are none yet.
async fn enrolled(
    state: &SmartState,
    jar: CookieJar,
    who: Who,
    second: &str,
    parts: &Parts,
) -> Result<Response, PageError> {
    let account = who.account().clone();
    let (next, jar) = match &who {
        Who::Half(half) => {
            let methods = half.methods(second);
            let first = half.first(&methods, parts);
            (half.target.clone(), signed_in(state, jar, &first).await?)
        }
        Who::Session(_) => ("/security".to_owned(), jar),
    };
    let own = factors(state.store().reader(), &account.id).await?;
    if own.recovery_codes > 0 {
        return Ok((jar, see_other(&state.path(&next))).into_response());
    }
    let codes = recovery::renew(state, &account.id).await?;
    // Where it was half a sign-in, it is a whole one now.
    let session = sessions::load(state, &jar).await?;
    let response = codes_page(state, session.as_ref(), codes, &next);
    Ok((jar, response).into_response())
}
