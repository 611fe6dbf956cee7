//! Signing in with an OpenID provider (OpenID Connect Core 1.0, code flow with PKCE) beside a password:
//! `/login/with/{provider}` leads there, `/login/back` comes from there.
//!
//! What has to be known in between is in a cookie of this browser; nothing is stored for somebody who
//! does not come back. Whom the provider names is an account that was linked, or the one patient whom
//! proven claims fit ([`matching`]).

mod identity;
mod matching;
mod provider;

use axum::extract::{Path, RawQuery, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use serde::{Deserialize, Serialize};

pub use identity::link;
pub(super) use provider::Providers;
pub use provider::UpstreamError;

use super::entities::request;
use super::factors::FirstStep;
use super::pages::{PageError, see_other};
use super::params::Params;
use super::sessions::Session;
use super::{SmartState, authorize, factors, gate, here, kiosk, login, secret, sessions, users};
use crate::clock::Millis;
use crate::config::Provider;

/// How long somebody may take at the provider.
const PATIENCE: Millis = 10 * super::MINUTE;

/// Where the provider sends people back.
pub(super) const BACK: &str = "/login/back";

/// What this browser set out with.
#[derive(Debug, Serialize, Deserialize)]
struct Journey {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    /// Id of the authorization request that is to be answered; may be empty.
    request: String,
    /// The page that the person was going to, where no app sent them; may be empty.
    next: String,
    /// When somebody must have signed in at the provider at the earliest, where that was asked for.
    fresh_after: Option<Millis>,
    begun: Millis,
    /// Whether from a shared terminal.
    #[serde(default)]
    is_kiosk: bool,
}

/// What the person is asked for at the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Freshness {
    /// `prompt=login`: whatever session there is does not do.
    prompts: bool,
    /// When they must have signed in there at the earliest; sent as `max_age`, with which `auth_time` has to
    /// be in the id_token (OpenID Connect Core 1.0 section 3.1.2.1).
    after: Option<Millis>,
}

impl Freshness {
    /// What the operator wants of everybody whom this provider names.
    fn of(provider: &Provider, now: Millis) -> Self {
        let parameter = |name: &str| provider.parameters.get(name).map(String::as_str);
        let prompts =
            parameter("prompt").is_some_and(|all| all.split(' ').any(|one| one == "login"));
        let age = parameter("max_age").and_then(|seconds| seconds.parse::<Millis>().ok());
        let oldest = age.map(|age| now.saturating_sub(age.max(0).saturating_mul(super::SECOND)));
        Self {
            prompts,
            after: if prompts { Some(now) } else { oldest },
        }
    }

    /// And what an authorization request wants beside that.
    fn for_request(self, request: &request::Model, session: Option<&Session>) -> Self {
        if request.fresh_after <= 0 {
            return self;
        }
        // An app's own `prompt=login`; and whoever is signed in here and still has to sign in.
        let prompts = request.fresh_after >= request.created
            || session.is_some_and(|session| session.signed_in < request.fresh_after);
        Self {
            prompts: self.prompts || prompts,
            after: self.after.max(Some(request.fresh_after)),
        }
    }
}

/// The providers with whom people prove who they are: name and address.
pub(super) fn proofs(state: &SmartState) -> Vec<(String, String)> {
    let all = state.config().providers.iter();
    all.filter(|one| one.proves_identity)
        .map(|one| {
            let path = at_terminal(format!("/login/with/{}", one.id));
            (one.name.clone(), state.path(&path))
        })
        .collect()
}

/// A shared terminal is one still when somebody comes back from a provider.
fn at_terminal(path: String) -> String {
    if here::is_kiosk() {
        kiosk::with_parameter(&path)
    } else {
        path
    }
}

/// The providers, for the sign-in page: name and address.
pub(super) fn offers(state: &SmartState, request: &str, next: &str) -> Vec<(String, String)> {
    let all = state.config().providers.iter();
    all.map(|one| {
        let path = format!("/login/with/{}", one.id);
        let path = match (request, next) {
            ("", "") => path,
            ("", next) => gate::with_next(&path, next),
            (request, _) => format!("{path}?request={request}"),
        };
        let path = at_terminal(path);
        (one.name.clone(), state.path(&path))
    })
    .collect()
}

pub(super) async fn start(
    State(state): State<SmartState>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    set_out(&state, &id, &params, jar)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn set_out(
    state: &SmartState,
    id: &str,
    params: &Params,
    jar: CookieJar,
) -> Result<Response, PageError> {
    let provider = find(state, id)?;
    let request = params.first("request").unwrap_or_default();
    let mut freshness = Freshness::of(provider, state.now());
    if !request.is_empty() {
        let found = authorize::find(state, Some(request)).await?;
        let session = sessions::load(state, &jar).await?;
        freshness = freshness.for_request(&found, session.as_ref());
    }
    let journey = Journey {
        provider: id.to_owned(),
        state: secret::random_token(),
        nonce: secret::random_token(),
        verifier: secret::random_token(),
        request: request.to_owned(),
        next: params
            .first("next")
            .and_then(gate::own_page)
            .unwrap_or_default(),
        fresh_after: freshness.after,
        begun: state.now(),
        is_kiosk: here::is_kiosk(),
    };
    let address = state
        .providers()
        .authorize_url(
            state,
            provider,
            &journey.state,
            &journey.nonce,
            &journey.verifier,
            freshness,
        )
        .await?;
    let value = serde_json::to_string(&journey).unwrap_or_default();
    let jar = sessions::keep_journey(state, jar, value);
    Ok((jar, see_other(&address)).into_response())
}

pub(super) async fn back(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
    parts: Parts,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let journey = sessions::journey(&state, &jar);
    let journey = journey.and_then(|text| serde_json::from_str(&text).ok());
    // Whatever comes of it, it was this journey's only return.
    let jar = sessions::forget_journey(&state, jar);
    match arrive(&state, journey, &params, jar.clone(), &parts).await {
        Ok(response) => response,
        // Their age is the provider's word: it tells of nobody's record here (portal.md A3).
        Err(PageError::Upstream(UpstreamError::Minor)) => {
            let to = state.path("/representatives?r=age");
            (jar, see_other(&to)).into_response()
        }
        Err(error) => (jar, error.page(&state)).into_response(),
    }
}

async fn arrive(
    state: &SmartState,
    journey: Option<Journey>,
    params: &Params,
    jar: CookieJar,
    parts: &Parts,
) -> Result<Response, PageError> {
    let journey = journey.ok_or(UpstreamError::Journey)?;
    let given = params.first("state").unwrap_or_default();
    let is_late = state.now() - journey.begun > PATIENCE;
    if is_late || !secret::same(given.as_bytes(), journey.state.as_bytes()) {
        return Err(UpstreamError::Journey.into());
    }
    let provider = find(state, &journey.provider)?;
    let request = match &*journey.request {
        "" => None,
        id => Some(authorize::find(state, Some(id)).await?),
    };
    if let Some(error) = params.first("error") {
        let error = error.chars().filter(char::is_ascii_graphic).take(60);
        return Err(UpstreamError::Refused(error.collect()).into());
    }
    let code = params.first("code").ok_or(UpstreamError::Journey)?;
    let claims = state
        .providers()
        .claims(
            state,
            provider,
            params.first("iss"),
            code,
            &journey.nonce,
            &journey.verifier,
        )
        .await?;
    if let Some(earliest) = journey.fresh_after {
        provider::check_auth_time(&claims, earliest, state.now())?;
    }
    let account = identity::account(state, provider, &claims).await?;
    if let Some(request) = &request
        && !login::is_meant(request, &account)
    {
        return Err(PageError::OtherAccount);
    }
    let account = users::find_enabled(state.store().reader(), &account)
        .await?
        .ok_or(UpstreamError::Disabled)?;
    tracing::info!(
        account = account.id,
        provider = provider.id,
        "a provider knows them"
    );
    // A provider stands for the password. Who has a second step here, or needs one, takes it here.
    let next = gate::own_page(&journey.next);
    let target = login::target(request.as_ref(), next, &account.id);
    let first = FirstStep {
        account: &account,
        target: &target,
        // What was asked for and shown is new; else it is as old as the provider says.
        signed_in: match &request {
            Some(request) if request.fresh_after > 0 => None,
            _ => Some(provider::auth_time(&claims).unwrap_or(0).min(state.now())),
        },
        methods: factors::PROVIDER,
        is_kiosk: journey.is_kiosk || here::is_kiosk(),
        parts,
    };
    Ok(factors::after_first_step(state, jar, &first).await?)
}

fn find<'a>(state: &'a SmartState, id: &str) -> Result<&'a Provider, PageError> {
    let mut all = state.config().providers.iter();
    Ok(all.find(|one| one.id == id).ok_or(UpstreamError::Unknown)?)
}
