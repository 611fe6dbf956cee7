//! `POST /auth/register` (RFC 7591): an app registers itself, where the configuration lets it: anybody's in
//! sandboxes, elsewhere with a software statement of somebody who is trusted. It becomes an app of people,
//! never a backend. Without a statement nobody has verified who made it.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::clients::{self, ClientError, ClientKeys, ClientKind, ClientOptions, NewClient};
use super::facts::Facts;
use super::json::Json;
use super::registrations::Origin;
use super::scopes::ScopeList;
use super::signing::SigningAlg;
use super::statement::{self, StatementError};
use super::token::{NO_STORE, oauth_error, unavailable};
use super::{SECOND, SmartState};
use crate::config::Registration;
use crate::visibility::ViewerClass;

/// What an app gets that does not say what it wants.
pub(super) const DEFAULT_SCOPE: &str =
    "openid fhirUser launch launch/patient offline_access patient/*.rs";
const MOST_URIS: usize = 20;
/// Metadata that is answered as it came.
const KEPT: &[&str] = &[
    "jwks",
    "jwks_uri",
    "client_uri",
    "policy_uri",
    "contacts",
    "maker",
    "policy_version",
    "attestation",
    "launch_uri",
];

/// Why an app is not registered (RFC 7591 section 3.2.2).
#[derive(Debug, Error)]
enum RouteError {
    #[error("the body must be a JSON object of client metadata")]
    NoObject,
    #[error("{0}")]
    Metadata(String),
    #[error("too many registrations came from this address: wait a minute")]
    Busy,
    #[error(
        "apps are registered here with a software_statement of somebody who is trusted; without one, ask the \
         operator"
    )]
    NoStatement,
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let words = self.to_string();
        let (status, code) = match &self {
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "slow_down"),
            Self::Client(ClientError::Store(_)) => return unavailable(&self),
            Self::NoStatement => (StatusCode::BAD_REQUEST, "invalid_software_statement"),
            Self::Statement(error) => (StatusCode::BAD_REQUEST, error.code()),
            Self::Client(ClientError::RedirectUri(_) | ClientError::NoRedirectUri(_)) => {
                (StatusCode::BAD_REQUEST, "invalid_redirect_uri")
            }
            Self::NoObject | Self::Metadata(_) | Self::Client(_) => {
                (StatusCode::BAD_REQUEST, "invalid_client_metadata")
            }
        };
        oauth_error(status, code, &words)
    }
}

pub(super) async fn post(State(state): State<SmartState>, parts: Parts, body: Bytes) -> Response {
    match register(&state, &parts, &body).await {
        Ok(answer) => (StatusCode::CREATED, NO_STORE, Json(answer)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn register(state: &SmartState, parts: &Parts, body: &[u8]) -> Result<Value, RouteError> {
    let mut asked: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| RouteError::NoObject)?;
    if !state
        .throttle()
        .spend_request(state.caller(parts), state.pace())
    {
        return Err(RouteError::Busy);
    }
    let given = text(&asked, "software_statement")?.map(str::to_owned);
    let (origin, claims) = match &given {
        Some(given) => {
            let statement = statement::verify(state, given).await?;
            let issuer = statement.issuer;
            (Origin::Statement { issuer }, statement.claims)
        }
        None if state.config().registration == Registration::Statement => {
            return Err(RouteError::NoStatement);
        }
        None => (Origin::Open, Map::new()),
    };
    let website_checked = claims.contains_key("client_uri");
    asked.extend(claims);
    let facts = Facts {
        website_checked,
        ..facts(&asked)?
    };
    let method = text(&asked, "token_endpoint_auth_method")?.unwrap_or("client_secret_basic");
    let keys = keys(&asked)?;
    let kind = match (method, keys.is_some()) {
        ("none", false) => ClientKind::Public,
        ("client_secret_basic" | "client_secret_post", false) | ("private_key_jwt", true) => {
            ClientKind::Confidential
        }
        ("private_key_jwt", false) => {
            return Err(refused("private_key_jwt needs a jwks or a jwks_uri"));
        }
        ("none" | "client_secret_basic" | "client_secret_post", true) => {
            return Err(refused("a jwks or jwks_uri goes with private_key_jwt"));
        }
        _ => {
            return Err(refused(
                "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post \
                 or private_key_jwt",
            ));
        }
    };
    only(
        &asked,
        "grant_types",
        &["authorization_code", "refresh_token"],
    )?;
    only(&asked, "response_types", &["code"])?;
    let alg = text(&asked, "id_token_signed_response_alg")?.unwrap_or("RS256");
    let id_token_alg = SigningAlg::from_name(alg)
        .ok_or_else(|| refused("id_token_signed_response_alg must be RS256 or ES384"))?;
    let post_logout_redirect_uris = texts(&asked, "post_logout_redirect_uris")?;
    let new = NewClient {
        client_id: None,
        name: text(&asked, "client_name")?
            .ok_or_else(|| refused("client_name is missing: people read it when they are asked"))?
            .to_owned(),
        kind,
        redirect_uris: texts(&asked, "redirect_uris")?,
        keys,
        scope: known(text(&asked, "scope")?.unwrap_or(DEFAULT_SCOPE)),
        class: ViewerClass::Other,
        person: None,
        options: ClientOptions {
            id_token_alg,
            post_logout_redirect_uris: post_logout_redirect_uris.clone(),
            facts: facts.clone(),
            launch_uri: text(&asked, "launch_uri")?.map(str::to_owned),
            brand: Some(state.config().brand.clone()),
            origin,
            ..ClientOptions::default()
        },
    };
    let registered = clients::add(state.store(), new).await?;
    let has_secret = registered.client_secret.is_some();
    let mut answer = json!(registered);
    answer["client_id_issued_at"] = json!(state.now() / SECOND);
    answer["token_endpoint_auth_method"] = json!(method);
    answer["response_types"] = json!(["code"]);
    answer["id_token_signed_response_alg"] = json!(id_token_alg.name());
    if has_secret {
        // It does not expire.
        answer["client_secret_expires_at"] = json!(0);
    }
    if !post_logout_redirect_uris.is_empty() {
        answer["post_logout_redirect_uris"] = json!(post_logout_redirect_uris);
    }
    for name in KEPT {
        if let Some(value) = asked.get(*name) {
            answer[*name] = value.clone();
        }
    }
    if let Some(statement) = given {
        answer["software_statement"] = json!(statement);
    }
    Ok(answer)
}

/// A list of scopes without those that this server does not know: the answer says what is kept (RFC 7591
/// section 2). Where none is known, all of them, so that the refusal names them.
fn known(scope: &str) -> String {
    let unknown = ScopeList::unknown(scope);
    let known: Vec<&str> = scope
        .split_ascii_whitespace()
        .filter(|word| !unknown.contains(word))
        .collect();
    if known.is_empty() {
        return scope.to_owned();
    }
    known.join(" ")
}

/// What people are to be told: `client_uri`, `policy_uri` and `contacts` of RFC 7591, and three members of
/// our own, `maker`, `policy_version` and `attestation` (an object of the questions, true or false).
fn facts(asked: &Map<String, Value>) -> Result<Facts, RouteError> {
    let owned = |name| Ok::<_, RouteError>(text(asked, name)?.map(str::to_owned));
    let mut answers = BTreeMap::new();
    match asked.get("attestation") {
        None | Some(Value::Null) => {}
        Some(Value::Object(given)) => {
            for (question, answer) in given {
                let answer = answer
                    .as_bool()
                    .ok_or_else(|| refused("attestation must be an object of true and false"))?;
                answers.insert(question.clone(), answer);
            }
        }
        Some(_) => return Err(refused("attestation must be an object of true and false")),
    }
    Ok(Facts {
        maker: owned("maker")?,
        website: owned("client_uri")?,
        website_checked: false,
        privacy_policy: owned("policy_uri")?,
        policy_version: owned("policy_version")?,
        contact: texts(asked, "contacts")?.into_iter().next(),
        answers,
    })
}

fn refused(words: &str) -> RouteError {
    RouteError::Metadata(words.to_owned())
}

fn text<'a>(
    asked: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, RouteError> {
    match asked.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(RouteError::Metadata(format!("{name} must be a text"))),
    }
}

fn texts(asked: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, RouteError> {
    let wrong = || {
        RouteError::Metadata(format!(
            "{name} must be a list of at most {MOST_URIS} texts"
        ))
    };
    match asked.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MOST_URIS => list
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// Refuses what this server would not do for the app.
fn only(asked: &Map<String, Value>, name: &'static str, known: &[&str]) -> Result<(), RouteError> {
    if texts(asked, name)?
        .iter()
        .all(|one| known.contains(&one.as_str()))
    {
        Ok(())
    } else {
        Err(RouteError::Metadata(format!(
            "{name} may have {} only",
            known.join(" and ")
        )))
    }
}

fn keys(asked: &Map<String, Value>) -> Result<Option<ClientKeys>, RouteError> {
    let uri = text(asked, "jwks_uri")?;
    match (asked.get("jwks").filter(|set| !set.is_null()), uri) {
        (Some(_), Some(_)) => Err(refused("give a jwks or a jwks_uri, not both")),
        (Some(set), None) => Ok(Some(ClientKeys::Value(set.to_string()))),
        (None, Some(uri)) => Ok(Some(ClientKeys::Url(uri.to_owned()))),
        (None, None) => Ok(None),
    }
}
