//! `GET` and `POST /auth/authorize`: where an app sends a person (SMART App Launch 2.2, "Obtain
//! authorization code"; RFC 6749 section 4.1, RFC 7636, RFC 9207).
//!
//! An unknown app or redirect URI gets a page and never a redirect. Everything else goes back to the
//! app, which knows what to say to its user.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use thiserror::Error;

use super::activity::{Endpoint, Reference, Refusal, Whose};
use super::clients::{self, ClientKind};
use super::entities::{client, request};
use super::pages::{self, Leave, PageError, leave, see_other};
use super::params::{Params, ParamsError};
use super::scopes::{LAUNCH_ENCOUNTER, ScopeList};
use super::users::Role;
use super::{MINUTE, SECOND, SmartState, here, launch, login, secret, sessions};
use crate::store::StoreError;

/// A person has this long to answer.
const REQUEST_LIFE: i64 = 10 * MINUTE;
/// Whoever answers later than that, but within this, is led back to the app.
pub(super) const LATE: i64 = 60 * MINUTE;
/// Long-term access is granted by somebody whose password was typed this recently.
pub(super) const STEP_UP: i64 = 5 * MINUTE;
/// Apps keep their whole state in `state` sometimes; more than this is abuse: every request is a row.
const MOST_STATE_BYTES: usize = 2048;
/// It comes back in the id_token, and is as good as any other at the length of a hash.
const MOST_NONCE_BYTES: usize = 512;
const MOST_SCOPE_BYTES: usize = 8192;
/// Of a form that is sent on as an address: proxies take no more.
const MOST_QUERY_BYTES: usize = 4096;
const MOST_HINT_BYTES: usize = 100;
/// What an app is told that somebody opened at a shared terminal.
pub(super) const NOT_HERE: &str = "apps are not connected at a shared terminal";

/// Why a request is refused.
#[derive(Debug, Error)]
enum RouteError {
    /// Shown to the person: there is nobody to redirect to.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Told to the app.
    #[error("the launch is unknown, expired, used, or meant for another app")]
    LaunchGone { to: Reply, app: String },
    /// Told to both.
    #[error("{NOT_HERE}")]
    Kiosk { to: Reply, app: String },
    /// Told to the app.
    #[error("{description}")]
    Redirect {
        to: Reply,
        error: &'static str,
        description: String,
    },
}

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
}

impl Reply {
    /// Where a request that waits is answered.
    pub(super) fn to(request: &request::Model) -> Self {
        Self {
            redirect_uri: request.redirect_uri.clone(),
            state: Some(request.state.clone()),
        }
    }

    /// The redirect to the app, with `iss` (RFC 9207) and its `state`.
    pub(super) fn with(&self, issuer: &str, parameters: &[(&str, &str)]) -> Response {
        see_other(&self.address(issuer, parameters))
    }

    /// Where that redirect goes.
    pub(super) fn address(&self, issuer: &str, parameters: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
        // Appended as text: the registered URI stays as it is, to the letter.
        let separator = if self.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }

    /// The answer of a person: a redirect, or for an app on the device a page that leads there by itself
    /// and has a link. Where no such app listens, a redirect would end nowhere.
    pub(super) fn finish(
        &self,
        state: &SmartState,
        app: &str,
        parameters: &[(&str, &str)],
    ) -> Response {
        if self.redirect_uri.starts_with("https:") {
            return self.with(state.issuer(), parameters);
        }
        leave(
            state,
            Leave::Done,
            app,
            &self.address(state.issuer(), parameters),
        )
    }

    /// The page that says no and leads back: for answers that may come in the course of a form.
    pub(super) fn refuse_on_page(
        &self,
        state: &SmartState,
        kind: Leave,
        app: &str,
        error: &str,
        description: &str,
    ) -> Response {
        tracing::info!(error, description, "authorization refused");
        let parameters = [("error", error), ("error_description", description)];
        leave(state, kind, app, &self.address(state.issuer(), &parameters))
    }

    /// The redirect that says no.
    pub(super) fn refuse(&self, issuer: &str, error: &str, description: &str) -> Response {
        tracing::info!(error, description, "authorization refused");
        self.with(
            issuer,
            &[("error", error), ("error_description", description)],
        )
    }
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar, parts: Parts) -> Response {
    let params = Params::parse(parts.uri.query().unwrap_or_default().as_bytes());
    answer(&state, &params, &jar, &parts).await
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    match Params::from_form(&parts.headers, &body) {
        // A form of another site brings no cookie of ours (SameSite=Lax); a redirect to here does.
        Ok(params) if here::session().is_none() && body.len() <= MOST_QUERY_BYTES => {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(params.pairs())
                .finish();
            see_other(&state.path(&format!("/auth/authorize?{query}")))
        }
        Ok(params) => answer(&state, &params, &jar, &parts).await,
        Err(_) => PageError::Parameter("client_id").page(&state),
    }
}

async fn answer(state: &SmartState, params: &Params, jar: &CookieJar, parts: &Parts) -> Response {
    let note = |error: &str, words: &str, reference: Reference<'_>| {
        if let Ok(Some(client_id)) = params.get("client_id") {
            state.activity().refused(
                state.now(),
                Whose::Client(client_id.to_owned()),
                Refusal {
                    endpoint: Endpoint::Authorize,
                    status: 400,
                    code: error,
                    words,
                    reference,
                },
            );
        }
    };
    let request_id = Reference::of_request(&parts.headers);
    match authorize(state, params, jar, state.caller(parts)).await {
        Ok(response) => response,
        Err(RouteError::Page(error)) => {
            let reference = pages::problem::reference();
            if error.is_of_the_app() {
                note(
                    "invalid_request",
                    &error.to_string(),
                    Reference::OfPage(&reference),
                );
            }
            error.page_with(state, &reference)
        }
        Err(RouteError::LaunchGone { to, app }) => {
            let words = "the launch is unknown, expired, used, or meant for another app";
            note("invalid_request", words, request_id);
            to.refuse_on_page(state, Leave::Chart, &app, "invalid_request", words)
        }
        Err(RouteError::Kiosk { to, app }) => {
            to.refuse_on_page(state, Leave::Kiosk, &app, "access_denied", NOT_HERE)
        }
        Err(RouteError::Redirect {
            to,
            error,
            description,
        }) => {
            note(error, &description, request_id);
            to.refuse(state.issuer(), error, &description)
        }
    }
}

async fn authorize(
    state: &SmartState,
    params: &Params,
    jar: &CookieJar,
    caller: Option<IpAddr>,
) -> Result<Response, RouteError> {
    let (client, redirect_uri) = client_and_redirect(state, params).await?;
    // A repeated state cannot be given back.
    let given_state = params.get("state");
    let to = Reply {
        redirect_uri,
        state: given_state.clone().ok().flatten().map(str::to_owned),
    };
    let refuse = |error: &'static str, description: &str| RouteError::Redirect {
        to: to.clone(),
        error,
        description: description.to_owned(),
    };
    let get = |name: &'static str| {
        params
            .get(name)
            .map_err(|error: ParamsError| refuse("invalid_request", &error.to_string()))
    };
    match get("response_type")? {
        Some("code") => {}
        Some(_) => {
            return Err(refuse(
                "unsupported_response_type",
                "response_type must be code",
            ));
        }
        None => return Err(refuse("invalid_request", "response_type is missing")),
    }
    let Some(app_state) = get("state")? else {
        return Err(refuse("invalid_request", "state is missing"));
    };
    if app_state.len() > MOST_STATE_BYTES {
        return Err(refuse("invalid_request", "state is too long"));
    }
    if get("request")?.is_some() {
        return Err(refuse(
            "request_not_supported",
            "request objects are not supported",
        ));
    }
    if get("request_uri")?.is_some() {
        return Err(refuse(
            "request_uri_not_supported",
            "request objects are not supported",
        ));
    }
    if get("response_mode")?.is_some_and(|mode| mode != "query") {
        return Err(refuse("invalid_request", "response_mode must be query"));
    }
    let is_ours =
        get("aud")?.is_some_and(|aud| aud.strip_suffix('/').unwrap_or(aud) == state.fhir_base());
    if !is_ours {
        return Err(refuse(
            "invalid_request",
            "aud must be the FHIR base URL of this server",
        ));
    }
    let challenge = get("code_challenge")?;
    if get("code_challenge_method")? != Some("S256") {
        return Err(refuse(
            "invalid_request",
            "code_challenge_method must be S256",
        ));
    }
    let Some(challenge) = challenge.filter(|challenge| is_challenge(challenge)) else {
        return Err(refuse(
            "invalid_request",
            "code_challenge must be the 43 characters of a base64url SHA-256",
        ));
    };
    let launch = match get("launch")? {
        Some(token) => {
            let found = launch::find(state, token, &client.client_id).await;
            let found = found.map_err(PageError::from)?;
            Some((token, found.ok_or_else(|| gone(&to, &client))?))
        }
        None => None,
    };
    let asked = get("scope")?.unwrap_or_default();
    if asked.len() > MOST_SCOPE_BYTES {
        return Err(refuse("invalid_scope", "scope is too long"));
    }
    let mut scope = ScopeList::parse(asked).within(&client.scopes());
    let visit = launch
        .as_ref()
        .and_then(|(_, context)| launch::of_text(Some(context.as_str()))?.encounter);
    if visit.is_none() {
        // Nobody chooses a visit here: there is the one of the chart, or none.
        scope.identity.retain(|scope| *scope != LAUNCH_ENCOUNTER);
    }
    if launch.is_none() {
        // An app that can be launched both ways asks for it always.
        scope.identity.retain(|scope| *scope != launch::SCOPE);
    } else if !scope.has(launch::SCOPE) {
        return Err(refuse(
            "invalid_scope",
            "a launch from an EHR needs the scope launch",
        ));
    }
    // Without a person or a resource there is nothing to allow.
    if scope.resources.is_empty() && !scope.has("openid") {
        return Err(refuse(
            "invalid_scope",
            "none of the scopes is known and registered for this client",
        ));
    }
    let nonce = get("nonce")?.map(str::to_owned);
    if nonce
        .as_ref()
        .is_some_and(|nonce| nonce.len() > MOST_NONCE_BYTES)
    {
        return Err(refuse("invalid_request", "nonce is too long"));
    }
    // One that is no username is no hint for us.
    let login_hint = get("login_hint")?
        .filter(|hint| hint.len() <= MOST_HINT_BYTES)
        .map(str::to_owned);
    let prompt = get("prompt")?.unwrap_or_default();
    let max_age: Option<i64> = match get("max_age")? {
        Some(text) => Some(
            text.parse()
                .map_err(|_| refuse("invalid_request", "max_age must be a number of seconds"))?,
        ),
        None => None,
    };
    let session = sessions::load(state, jar).await.map_err(PageError::from)?;
    let now = state.now();
    if prompt.split(' ').any(|word| word == "none") {
        let (error, description) = match session {
            None => ("login_required", "nobody is signed in"),
            Some(_) => ("consent_required", "the person has to be asked"),
        };
        return Err(refuse(error, description));
    }
    if here::is_kiosk() {
        let app = client.name.clone();
        return Err(RouteError::Kiosk { to, app });
    }
    let mut fresh_after = 0;
    if prompt.split(' ').any(|word| word == "login") {
        fresh_after = now;
    }
    // Staff who open an approved app from their chart give nothing away that is theirs.
    let is_staff = session.as_ref().is_some_and(|session| {
        Role::from_name(&session.account.role).is_some_and(|role| !role.class().is_patient_side())
    });
    // Whom the app itself wants to be asked is asked (OpenID Connect Core 3.1.2.1, prompt).
    let must_ask = prompt.split(' ').any(|word| word == "consent");
    let is_approved = is_staff && launch.is_some() && client.approved.is_some() && !must_ask;
    if scope.has("offline_access") && !is_approved {
        fresh_after = fresh_after.max(now - STEP_UP);
    }
    if let Some(seconds) = max_age {
        fresh_after = fresh_after.max(now.saturating_sub(seconds.max(0).saturating_mul(SECOND)));
    }
    // Each is a row that anybody can have written.
    if session.is_none() && !state.throttle().spend_request(caller, state.pace()) {
        return Err(PageError::Busy.into());
    }
    let row = request::Model {
        id: secret::random_id(),
        client_id: client.client_id.clone(),
        redirect_uri: to.redirect_uri.clone(),
        state: app_state.to_owned(),
        scope: scope.to_string(),
        code_challenge: challenge.to_owned(),
        nonce,
        fresh_after,
        account: None,
        patient: None,
        created: now,
        expires: now + REQUEST_LIFE,
        context: launch.as_ref().map(|(_, context)| context.clone()),
        login_hint,
        must_ask: must_ask.into(),
    };
    let id = row.id.clone();
    let step = login::next(&row, session.as_ref());
    let token = launch.map(|(token, _)| token);
    if !insert(state, row, token).await.map_err(PageError::from)? {
        return Err(gone(&to, &client));
    }
    Ok(see_other(&state.path(&format!("{step}?request={id}"))))
}

/// A launch that is unknown, used or too old: only the person can open the app again, so they are told.
fn gone(to: &Reply, client: &client::Model) -> RouteError {
    RouteError::LaunchGone {
        to: to.clone(),
        app: client.name.clone(),
    }
}

/// Keeps a request, and uses up the launch it came with. False: that was used already.
async fn insert(
    state: &SmartState,
    row: request::Model,
    launch: Option<&str>,
) -> Result<bool, StoreError> {
    let tx = state.store().begin().await?;
    if let Some(token) = launch
        && !launch::spend(tx.connection(), token).await?
    {
        return Ok(false);
    }
    request::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(true)
}

/// The two parameters that decide whether a redirect may be sent at all.
async fn client_and_redirect(
    state: &SmartState,
    params: &Params,
) -> Result<(client::Model, String), PageError> {
    let Ok(Some(client_id)) = params.get("client_id") else {
        return Err(PageError::Parameter("client_id"));
    };
    let client = clients::find(state.store().reader(), client_id)
        .await?
        .filter(|client| client.disabled.is_none())
        .filter(|client| client.client_kind() != Some(ClientKind::Backend))
        .ok_or(PageError::UnknownClient)?;
    let Ok(Some(redirect_uri)) = params.get("redirect_uri") else {
        return Err(PageError::Parameter("redirect_uri"));
    };
    if !client.allows_redirect_uri(redirect_uri) {
        return Err(PageError::RedirectUri);
    }
    Ok((client, redirect_uri.to_owned()))
}

fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A request that still waits for its answer.
pub(super) async fn find(
    state: &SmartState,
    id: Option<&str>,
) -> Result<request::Model, PageError> {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(PageError::RequestGone);
    };
    let reader = state.store().reader();
    let request = request::Entity::find_by_id(id.to_owned())
        .one(reader)
        .await?
        .ok_or(PageError::RequestGone)?;
    if request.expires > state.now() {
        return Ok(request);
    }
    let client = clients::find(reader, &request.client_id).await?;
    Err(match client {
        Some(client) if request.expires > state.now() - LATE => PageError::Late {
            app: client.name,
            address: Reply::to(&request).address(
                state.issuer(),
                &[("error", "access_denied"), ("error_description", "timeout")],
            ),
        },
        _ => PageError::RequestGone,
    })
}

/// Has whoever answers a request sign in anew before they do.
pub(super) async fn ask_again(
    state: &SmartState,
    request: &request::Model,
) -> Result<(), StoreError> {
    let mut row = request.clone().into_active_model();
    row.fresh_after = Set(state.now());
    let tx = state.store().begin().await?;
    request::Entity::update(row).exec(tx.connection()).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes who answers a request, and about whom.
pub(super) async fn assign(
    state: &SmartState,
    request: &request::Model,
    account: &str,
    patient: Option<&str>,
) -> Result<(), StoreError> {
    let mut row = request.clone().into_active_model();
    row.account = Set(Some(account.to_owned()));
    row.patient = Set(patient.map(str::to_owned));
    let tx = state.store().begin().await?;
    request::Entity::update(row).exec(tx.connection()).await?;
    tx.commit().await?;
    Ok(())
}
