//! `/developers/apps/new`: a developer registers an app. Where registration is open it works at once;
//! elsewhere an operator looks at it first, within the days that 45 CFR 170.404(b)(1) gives.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::developer;
use crate::config::Registration;
use crate::smart::SmartState;
use crate::smart::clients::{
    self, ClientError, ClientKeys, ClientKind, ClientOptions, NewClient, RegisteredClient,
};
use crate::smart::facts::{Facts, QUESTIONS};
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
    /// Name, question and answer: `yes`, `no` or nothing.
    questions: Vec<(&'static str, String, String)>,
    /// Whether it works at once.
    at_once: bool,
    /// What is wrong, in the words of the API; empty when nothing is.
    problem: String,
}

/// The fields as they were filled in.
#[derive(Default)]
struct Filled {
    name: String,
    maker: String,
    website: String,
    privacy_policy: String,
    policy_version: String,
    contact: String,
    kind: String,
    jwks_uri: String,
    redirect_uris: String,
    launch_uri: String,
    scope: String,
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
    let filled = Filled {
        kind: "public".to_owned(),
        scope: DEFAULT_SCOPE.to_owned(),
        ..Filled::default()
    };
    show(&state, &session, filled, &BTreeMap::new(), String::new())
}

fn show(
    state: &SmartState,
    session: &Session,
    filled: Filled,
    answers: &BTreeMap<String, bool>,
    problem: String,
) -> Response {
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let questions = QUESTIONS
        .iter()
        .map(|(name, text)| {
            let answer = match answers.get(*name) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            (*name, Texts::here().plain(text, []), answer.to_owned())
        })
        .collect();
    let template = NewPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        filled,
        questions,
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
    let filled = Filled {
        name: text("name"),
        maker: text("maker"),
        website: text("website"),
        privacy_policy: text("privacy_policy"),
        policy_version: text("policy_version"),
        contact: text("contact"),
        kind: text("kind"),
        jwks_uri: text("jwks_uri"),
        redirect_uris: text("redirect_uris"),
        launch_uri: text("launch_uri"),
        scope: text("scope"),
    };
    let answers: BTreeMap<String, bool> = QUESTIONS
        .iter()
        .filter_map(|(name, _)| match params.first(name) {
            Some("yes") => Some(((*name).to_owned(), true)),
            Some("no") => Some(((*name).to_owned(), false)),
            _ => None,
        })
        .collect();
    let owned = registrations::of_owner(
        state.store().reader(),
        &session.account.id,
        &state.config().time_zone,
    )
    .await?;
    if owned.len() >= MOST_APPS {
        let problem = Texts::here().plain("dev-too-many", []);
        return Ok(show(state, session, filled, &answers, problem));
    }
    let at_once = at_once(state);
    let origin = Origin::Developer {
        account: session.account.id.clone(),
        waits: !at_once,
    };
    match clients::add(state.store(), new(&filled, &answers, origin)).await {
        Ok(registered) => {
            let template = RegisteredPage {
                frame: Frame::new(state, Some(session)),
                registered,
                at_once,
            };
            Ok(page(state, StatusCode::CREATED, Forms::Own, &template))
        }
        Err(ClientError::Store(error)) => Err(error.into()),
        Err(error) => Ok(show(state, session, filled, &answers, error.to_string())),
    }
}

fn new(filled: &Filled, answers: &BTreeMap<String, bool>, origin: Origin) -> NewClient {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    NewClient {
        client_id: None,
        name: filled.name.clone(),
        kind: if filled.kind == "public" {
            ClientKind::Public
        } else {
            ClientKind::Confidential
        },
        redirect_uris: filled
            .redirect_uris
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
        keys: given(&filled.jwks_uri)
            .filter(|_| filled.kind == "key")
            .map(ClientKeys::Url),
        scope: filled.scope.clone(),
        class: ViewerClass::Other,
        person: None,
        options: ClientOptions {
            facts: Facts {
                maker: given(&filled.maker),
                website: given(&filled.website),
                website_checked: false,
                privacy_policy: given(&filled.privacy_policy),
                policy_version: given(&filled.policy_version),
                contact: given(&filled.contact),
                answers: answers.clone(),
            },
            launch_uri: given(&filled.launch_uri),
            origin,
            ..ClientOptions::default()
        },
    }
}
