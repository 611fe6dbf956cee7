//! `POST /ehr/activation-codes`: an EHR's backend gets a code for the printer of the visit papers (portal.md
//! A5). People get none, at the help desk neither: on the telephone nobody can tell who is asking (A10).

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::super::events::{self, Event};
use super::super::json::Json;
use super::super::scopes::ACTIVATION_CODES as SCOPE;
use super::super::token::{NO_STORE, bearer_error, oauth_error, unavailable};
use super::super::viewer::{self, AuthError};
use super::super::{SmartState, bearer, is_fhir_id};
use crate::clock::instant;
use crate::store::StoreError;
use crate::texts::{Language, Texts};
use crate::visibility::{Viewer, ViewerClass};

/// Why there is no code.
#[derive(Debug, Error)]
enum RouteError {
    #[error("an access token of the EHR's backend is needed")]
    Anonymous,
    #[error("the access token is not valid, or no longer")]
    Token,
    #[error("activation codes are for a backend of class system with the scope {SCOPE}")]
    Scope,
    #[error("the body must be a JSON object with patient alone, as in {{\"patient\": \"123\"}}")]
    Body,
    #[error("patient is no Patient of this server with a whole birthDate, such as 1980-02-29")]
    Patient,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AuthError> for RouteError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidToken => Self::Token,
            AuthError::Store(error) => Self::Store(error),
        }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let words = self.to_string();
        let (status, code, challenge) = match &self {
            Self::Store(_) => return unavailable(&self),
            Self::Body | Self::Patient => {
                return oauth_error(StatusCode::BAD_REQUEST, "invalid_request", &words);
            }
            Self::Anonymous => (StatusCode::UNAUTHORIZED, "invalid_token", "Bearer"),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "Bearer error=\"invalid_token\"",
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "Bearer error=\"insufficient_scope\", scope=\"__activation-codes\"",
            ),
        };
        bearer_error(status, code, &words, challenge)
    }
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match make(&state, &headers, &body).await {
        Ok(answer) => (StatusCode::CREATED, NO_STORE, Json(answer)).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn make(state: &SmartState, headers: &HeaderMap, body: &[u8]) -> Result<Value, RouteError> {
    let plain = bearer(headers).ok_or(RouteError::Anonymous)?;
    let ehr = viewer::authenticate(state, plain).await?;
    if ehr.class != ViewerClass::System || !ehr.scopes.contains(SCOPE) {
        return refuse(state, &ehr).await;
    }
    let asked: Map<String, Value> = serde_json::from_slice(body).map_err(|_| RouteError::Body)?;
    let patient = match (asked.get("patient").and_then(Value::as_str), asked.len()) {
        (Some(patient), 1) => patient,
        _ => return Err(RouteError::Body),
    };
    let patient = patient.strip_prefix("Patient/").unwrap_or(patient);
    if !is_fhir_id(patient) {
        return Err(RouteError::Patient);
    }
    let (code, expires) = super::issue(state, patient, &ehr.client_id)
        .await?
        .ok_or(RouteError::Patient)?;
    tracing::info!(ehr = ehr.client_id, "activation code issued");
    let page = state.url("/activate");
    // The last whole day on which it works, wherever in the country they read it.
    let last = jiff::Timestamp::from_millisecond(expires - super::DAY)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).date());
    let mut text = Map::new();
    for language in Language::ALL {
        let texts = Texts::of(language);
        let day = last
            .as_ref()
            .map_or_else(|_| String::new(), |day| texts.day(*day));
        let words = texts.plain(
            "activation-print",
            [
                ("page", page.as_str().into()),
                ("code", code.printed().into()),
                ("day", day.into()),
            ],
        );
        text.insert(language.tag().to_owned(), words.into());
    }
    Ok(json!({
        "code": code.printed(),
        "expires": instant(expires),
        "page": page,
        // The code stands in the fragment, which a browser sends to nobody.
        "link": format!("{page}#{}", code.as_str()),
        "text": text,
    }))
}

/// A person asked, or a backend that may not: that is written down.
async fn refuse(state: &SmartState, asking: &Viewer) -> Result<Value, RouteError> {
    let event = Event::by_client("activation-code-refused", &asking.client_id).refused();
    events::note_alone(state, &event).await?;
    Err(RouteError::Scope)
}
