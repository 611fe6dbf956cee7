//! `/developers/apps/new`: a developer registers an app. Where registration is open it works at once;
//! elsewhere an operator looks at it first, within the days that 45 CFR 170.404(b)(1) gives.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::developer;
use super::filled::{Filled, problem};
use crate::config::Registration;
use crate::smart::SmartState;
use crate::smart::clients::{
    self, ClientKeys, ClientKind, ClientOptions, NewClient, RegisteredClient,
};
use crate::smart::pages::{Forms, Frame, PageError, page};
use crate::smart::register::DEFAULT_SCOPE;
use crate::smart::registrations::{self, Origin};
use crate::smart::sessions::Session;
use crate::texts::Texts;
use crate::visibility::ViewerClass;

/// Apps of one developer.
const MOST_APPS: usize = 50;

#[derive(Template)]
#[template(path = "developers/new.html")]
struct NewPage {
    frame: Frame,
    form: String,
    filled: Filled,
    kind: String,
    jwks_uri: String,
    scope: String,
    questions: Vec<(&'static str, String, &'static str)>,
    /// Whether it works at once.
    at_once: bool,
    /// What is wrong, in the person's language; empty when nothing is.
    problem: String,
}

#[derive(Template)]
#[template(path = "developers/registered.html")]
struct RegisteredPage {
    frame: Frame,
    registered: RegisteredClient,
    at_once: bool,
}

fn at_once(state: &SmartState) -> bool {
    state.config().registration == Registration::Open
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    let asked = Asked {
        kind: "public".to_owned(),
        scope: DEFAULT_SCOPE.to_owned(),
        ..Asked::default()
    };
    show(&state, &session, asked, String::new())
}

/// The fields as they were filled in.
#[derive(Default)]
struct Asked {
    filled: Filled,
    kind: String,
    jwks_uri: String,
    scope: String,
}

fn show(state: &SmartState, session: &Session, asked: Asked, problem: String) -> Response {
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let template = NewPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        questions: asked.filled.questions(),
        filled: asked.filled,
        kind: asked.kind,
        jwks_uri: asked.jwks_uri,
        scope: asked.scope,
        at_once: at_once(state),
        problem,
    };
    page(state, status, Forms::Own, &template)
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
    register(&state, &session, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn register(
    state: &SmartState,
    session: &Session,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = session.form(headers, body)?;
    let text = |name: &'static str| params.first(name).unwrap_or_default().trim().to_owned();
    let asked = Asked {
        filled: Filled::of(&params),
        kind: text("kind"),
        jwks_uri: text("jwks_uri"),
        scope: text("scope"),
    };
    let owned = registrations::of_owner(
        state.store().reader(),
        &session.account.id,
        &state.config().time_zone,
    )
    .await?;
    if owned.len() >= MOST_APPS {
        let problem = Texts::here().plain("dev-too-many", []);
        return Ok(show(state, session, asked, problem));
    }
    let at_once = at_once(state);
    let origin = Origin::Developer {
        account: session.account.id.clone(),
        waits: !at_once,
    };
    match clients::add(state.store(), new(state, &asked, origin)).await {
        Ok(registered) => {
            let template = RegisteredPage {
                frame: Frame::new(state, Some(session)),
                registered,
                at_once,
            };
            Ok(page(state, StatusCode::CREATED, Forms::Own, &template))
        }
        Err(error) => Ok(show(state, session, asked, problem(error)?)),
    }
}

fn new(state: &SmartState, asked: &Asked, origin: Origin) -> NewClient {
    let filled = &asked.filled;
    let keys = (asked.kind == "key" && !asked.jwks_uri.is_empty())
        .then(|| ClientKeys::Url(asked.jwks_uri.clone()));
    NewClient {
        client_id: None,
        name: filled.name.clone(),
        kind: if asked.kind == "public" {
            ClientKind::Public
        } else {
            ClientKind::Confidential
        },
        redirect_uris: filled.redirects(),
        keys,
        scope: asked.scope.clone(),
        class: ViewerClass::Other,
        person: None,
        options: ClientOptions {
            facts: filled.facts(),
            launch_uri: filled.launch(),
            brand: Some(state.config().brand.clone()),
            origin,
            ..ClientOptions::default()
        },
    }
}
