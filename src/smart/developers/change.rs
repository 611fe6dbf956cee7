//! `/developers/apps/change`: a developer changes what people read of an app and where it is, replaces its keys
//! or secret, or takes it away. All of it counts from the next request on, in every process.
//!
//! The scope stays what it was registered with, so that what people granted means what it meant.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::developer;
use super::filled::{Filled, problem};
use crate::smart::clients::{self, ClientError, ClientKeys, ClientKind, Credentials, Edit};
use crate::smart::entities::client;
use crate::smart::events::{self, Event};
use crate::smart::pages::{Forms, Frame, PageError, page, see_other};
use crate::smart::params::Params;
use crate::smart::sessions::Session;
use crate::smart::{SmartState, logo, registrations};
use crate::store::{Origin, Writer};
use crate::texts::Texts;

const LIST: &str = "/developers/apps";

#[derive(Template)]
#[template(path = "developers/change.html")]
struct ChangePage {
    frame: Frame,
    form: String,
    client_id: String,
    /// As it is called now, whatever is typed.
    name: String,
    filled: Filled,
    questions: Vec<(&'static str, String, &'static str)>,
    scope: String,
    has_launch: bool,
    /// Whether it authenticates, by a secret or a key.
    is_confidential: bool,
    has_secret: bool,
    jwks: String,
    jwks_uri: String,
    /// Where its logo is; empty when it has none.
    logo: String,
    /// Shown once.
    secret: String,
    problem: String,
    /// What was done just now; empty when nothing was.
    done: String,
}

/// What came of a post.
#[derive(Default)]
pub(super) struct Outcome {
    filled: Option<Filled>,
    keys: Option<(String, String)>,
    secret: String,
    problem: String,
    done: String,
}

impl Outcome {
    pub(super) fn done(name: &str) -> Self {
        Self {
            done: Texts::here().plain(name, []),
            ..Self::default()
        }
    }

    /// Nothing was done, because of this.
    pub(super) fn problem(name: &str) -> Self {
        Self {
            problem: Texts::here().plain(name, []),
            ..Self::default()
        }
    }
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let id = params.first("client").unwrap_or_default();
    let outcome = match params.first("done") {
        Some("logo") => Outcome::done("dev-logo-done"),
        Some("no-logo") => Outcome::done("dev-logo-removed"),
        _ => Outcome::default(),
    };
    show(&state, &session, id, outcome)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

pub(super) async fn show(
    state: &SmartState,
    session: &Session,
    id: &str,
    outcome: Outcome,
) -> Result<Response, PageError> {
    let reader = state.store().reader();
    let own = registrations::owned(reader, &session.account.id, id).await?;
    // Any other app does not exist.
    let Some(client) = own else {
        return Ok(see_other(&state.path(LIST)));
    };
    let status = if outcome.problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let filled = outcome.filled.unwrap_or_else(|| Filled::of_client(&client));
    let (jwks, jwks_uri) = outcome.keys.unwrap_or_else(|| {
        let text = |own: &Option<String>| own.clone().unwrap_or_default();
        (text(&client.jwks), text(&client.jwks_uri))
    });
    let template = ChangePage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        questions: filled.questions(),
        filled,
        has_launch: client.scopes().has("launch"),
        is_confidential: client.client_kind() == Some(ClientKind::Confidential),
        has_secret: client.secret.is_some(),
        jwks,
        jwks_uri,
        logo: logo::address(state, &client),
        client_id: client.client_id,
        name: client.name,
        scope: client.scope,
        secret: outcome.secret,
        problem: outcome.problem,
        done: outcome.done,
    };
    Ok(page(state, status, Forms::Own, &template))
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    answer(&state, &session, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn answer(
    state: &SmartState,
    session: &Session,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = session.form(headers, body)?;
    let id = params.first("client").unwrap_or_default();
    let mut writer = state.store().writer(Origin::Feed).await?;
    let own = registrations::owned(writer.connection(), &session.account.id, id).await?;
    let Some(client) = own else {
        return Ok(see_other(&state.path(LIST)));
    };
    let act = Act {
        state,
        session,
        client: &client,
    };
    let outcome = match params.first("action").unwrap_or_default() {
        "describe" => act.describe(&mut writer, &params).await?,
        "keys" => act.keys(&mut writer, &params).await?,
        "secret" => act.secret(&mut writer).await?,
        "remove" => {
            if params.first("sure") != Some("yes") {
                Outcome::problem("dev-remove-tick")
            } else {
                let now = state.now();
                clients::remove(writer.connection(), &client.client_id, now).await?;
                act.note(&mut writer, "app-removed").await?;
                writer.commit().await?;
                return Ok(see_other(&state.path(&format!("{LIST}?done=removed"))));
            }
        }
        _ => return Err(PageError::Foreign),
    };
    // Nothing was written where something is wrong; the writer is dropped with what it holds.
    if outcome.problem.is_empty() {
        writer.commit().await?;
    } else {
        writer.undo().await?;
    }
    show(state, session, id, outcome).await
}

/// A developer's act on an app of theirs.
pub(super) struct Act<'a> {
    pub(super) state: &'a SmartState,
    pub(super) session: &'a Session,
    pub(super) client: &'a client::Model,
}

impl Act<'_> {
    pub(super) async fn note(
        &self,
        writer: &mut Writer<'_>,
        what: &'static str,
    ) -> Result<(), PageError> {
        let client = &self.client.client_id;
        let event = Event::by_account(what, &self.session.account.id).with_client(client);
        events::note(writer, self.state, &event).await?;
        tracing::info!(client_id = client, what, "a developer changed an app");
        Ok(())
    }

    async fn describe(
        &self,
        writer: &mut Writer<'_>,
        params: &Params,
    ) -> Result<Outcome, PageError> {
        let filled = Filled::of(params);
        let before = self.client.told();
        let mut facts = filled.facts();
        // Somebody found that this website is this maker's.
        facts.website_checked = before.website_checked
            && facts.website == before.website
            && facts.maker == before.maker;
        // An operator verified who is behind the name: another one is listed as verified by nobody.
        let is_somebody_else = filled.name != self.client.name
            || facts.maker != before.maker
            || facts.website != before.website;
        let edit = Edit {
            name: filled.name.clone(),
            redirect_uris: filled.redirects(),
            launch_uri: filled.launch(),
            facts,
            brand: self.state.config().brand.clone(),
        };
        match clients::edit(writer.connection(), self.client, edit).await {
            Ok(()) => {
                if is_somebody_else {
                    let client_id = &self.client.client_id;
                    registrations::set_unverified(writer.connection(), client_id).await?;
                }
                self.note(writer, "app-changed").await?;
                Ok(Outcome::done("dev-change-done"))
            }
            Err(error) => Ok(Outcome {
                filled: Some(filled),
                problem: problem(error)?,
                ..Outcome::default()
            }),
        }
    }

    async fn keys(&self, writer: &mut Writer<'_>, params: &Params) -> Result<Outcome, PageError> {
        let text = |name: &'static str| params.first(name).unwrap_or_default().trim().to_owned();
        let (jwks, jwks_uri) = (text("jwks"), text("jwks_uri"));
        let changed = match (jwks.is_empty(), jwks_uri.is_empty()) {
            (true, true) => Err(ClientError::NoKeys),
            (false, false) => {
                return Ok(Outcome {
                    problem: Texts::here().plain("dev-problem-both-keys", []),
                    keys: Some((jwks, jwks_uri)),
                    ..Outcome::default()
                });
            }
            (false, true) => {
                let keys = Credentials::Keys(ClientKeys::Value(jwks.clone()));
                clients::set_credentials(writer.connection(), self.client, keys).await
            }
            (true, false) => {
                let keys = Credentials::Keys(ClientKeys::Url(jwks_uri.clone()));
                clients::set_credentials(writer.connection(), self.client, keys).await
            }
        };
        match changed {
            Ok(_) => {
                self.note(writer, "app-keys-replaced").await?;
                Ok(Outcome::done("dev-keys-done"))
            }
            Err(error) => Ok(Outcome {
                keys: Some((jwks, jwks_uri)),
                problem: problem(error)?,
                ..Outcome::default()
            }),
        }
    }

    async fn secret(&self, writer: &mut Writer<'_>) -> Result<Outcome, PageError> {
        let connection = writer.connection();
        match clients::set_credentials(connection, self.client, Credentials::NewSecret).await {
            Ok(secret) => {
                self.note(writer, "app-secret-replaced").await?;
                Ok(Outcome {
                    secret: secret.unwrap_or_default(),
                    ..Outcome::default()
                })
            }
            Err(error) => Ok(Outcome {
                problem: problem(error)?,
                ..Outcome::default()
            }),
        }
    }
}
