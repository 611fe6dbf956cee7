//! Launches from an EHR (SMART App Launch 2.2, "EHR Launch"): `POST /auth/launch`, where the EHR's
//! backend says who launches which app about whom, and what becomes of it.
//!
//! The token it gets in return names the launch in the app's authorization request. It opens nothing by
//! itself: the person it speaks of signs in and answers as in every other flow.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::clients::{self, ClientKind};
use super::entities::{account, grant, request};
use super::json::Json;
use super::token::{NO_STORE, bearer_error, oauth_error, unavailable};
use super::viewer::{self, AuthError};
use super::{MINUTE, SECOND, SmartState, bearer, is_fhir_id, secret, users};
use crate::clock::Millis;
use crate::fhir::definitions::definitions;
use crate::sql::Sql;
use crate::store::StoreError;
use crate::visibility::ViewerClass;

/// The scope that a backend is registered with to make launches, and an app to be launched.
pub(super) const SCOPE: &str = "launch";

/// From the EHR's click to the app's authorization request.
const LIFE: Millis = 5 * MINUTE;
const MOST_CONTEXTS: usize = 20;
const MOST_TEXT: usize = 2000;

/// What the EHR said, as it goes along with the request and the grant that come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct LaunchContext {
    /// Id of the account that has to sign in.
    pub(super) account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) patient: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encounter: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fhir_context: Vec<Value>,
    /// Whether the app has to say itself whose record it shows.
    pub(super) need_patient_banner: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<String>,
}

impl LaunchContext {
    /// Adds its parameters to a token response, or to what introspection says of the token.
    pub(super) fn describe(&self, answer: &mut Value) {
        if let Some(encounter) = &self.encounter {
            answer["encounter"] = json!(encounter);
        }
        if !self.fhir_context.is_empty() {
            answer["fhirContext"] = json!(self.fhir_context);
        }
        if let Some(intent) = &self.intent {
            answer["intent"] = json!(intent);
        }
        answer["need_patient_banner"] = json!(self.need_patient_banner);
    }
}

fn parsed(text: Option<&str>) -> Option<LaunchContext> {
    serde_json::from_str(text?).ok()
}

impl request::Model {
    /// The launch that it came from.
    pub(super) fn launch(&self) -> Option<LaunchContext> {
        parsed(self.context.as_deref())
    }
}

impl grant::Model {
    /// The launch that it came from.
    pub(super) fn launch(&self) -> Option<LaunchContext> {
        parsed(self.context.as_deref())
    }
}

/// The context of a stored grant, for those who read it without its entity.
pub(super) fn of_text(text: Option<&str>) -> Option<LaunchContext> {
    parsed(text)
}

/// The launch that an app names, as text, if it is meant for this app, and not yet used.
pub(super) async fn find(
    state: &SmartState,
    token: &str,
    client_id: &str,
) -> Result<Option<String>, StoreError> {
    let store = state.store();
    let mut select = Sql::default();
    let hash = select.bind(secret::hash(token));
    let client = select.bind(client_id);
    let now = select.bind(state.now());
    select.push(&format!(
        "SELECT context FROM launch WHERE hash = {hash} AND client_id = {client} AND expires > {now}"
    ));
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    Ok(match row {
        Some(row) => Some(row.try_get_by_index(0)?),
        None => None,
    })
}

/// Uses a launch up, in the transaction of the request that comes of it. False: somebody was first.
pub(super) async fn spend(connection: &impl ConnectionTrait, token: &str) -> Result<bool, DbErr> {
    let mut delete = Sql::new("DELETE FROM launch WHERE hash = ");
    let hash = delete.bind(secret::hash(token));
    delete.push(&hash);
    let backend = connection.get_database_backend();
    let gone = connection.execute_raw(delete.statement(backend)).await?;
    Ok(gone.rows_affected() == 1)
}

/// Deletes launches that nobody used. Returns how many.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut delete = Sql::new("DELETE FROM launch WHERE expires <= ");
    let now = delete.bind(now);
    delete.push(&now);
    let backend = connection.get_database_backend();
    let gone = connection.execute_raw(delete.statement(backend)).await?;
    Ok(gone.rows_affected())
}

/// Why there is no launch.
#[derive(Debug, Error)]
enum RouteError {
    #[error("an access token of the EHR's backend is needed")]
    Anonymous,
    #[error("the access token is not valid, or no longer")]
    Token,
    #[error("launches are made by a backend of class system with the scope launch")]
    Scope,
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for RouteError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
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
            Self::Invalid(_) => {
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
                "Bearer error=\"insufficient_scope\", scope=\"launch\"",
            ),
        };
        bearer_error(status, code, &words, challenge)
    }
}

pub(super) async fn post(
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
        return Err(RouteError::Scope);
    }
    let (client_id, context) = read(state, body).await?;
    let token = keep(state, &client_id, &context).await?;
    tracing::info!(ehr = ehr.client_id, client_id, "launch made");
    Ok(json!({
        "launch": token,
        "iss": state.fhir_base(),
        "expires_in": LIFE / SECOND,
    }))
}

/// Keeps a launch for five minutes and returns its token.
pub(super) async fn keep(
    state: &SmartState,
    client_id: &str,
    context: &LaunchContext,
) -> Result<String, StoreError> {
    let token = secret::random_token();
    let now = state.now();
    let text = serde_json::to_string(context).map_err(|_| StoreError::Corrupt("launch"))?;
    let mut insert = Sql::default();
    let hash = insert.bind(secret::hash(&token));
    let client = insert.bind(client_id);
    let (context, created) = (insert.bind(text), insert.bind(now));
    let expires = insert.bind(now + LIFE);
    insert.push(&format!(
        "INSERT INTO launch (hash, client_id, context, created, expires) \
         VALUES ({hash}, {client}, {context}, {created}, {expires})"
    ));
    let tx = state.store().begin().await?;
    tx.connection()
        .execute_raw(insert.statement(state.store().backend()))
        .await?;
    tx.commit().await?;
    Ok(token)
}

const KEYS: &[&str] = &[
    "client_id",
    "user",
    "patient",
    "encounter",
    "fhirContext",
    "need_patient_banner",
    "intent",
];

/// The app that is launched and what is said of the launch, every reference of it looked up.
async fn read(state: &SmartState, body: &[u8]) -> Result<(String, LaunchContext), RouteError> {
    let invalid = |words: &str| RouteError::Invalid(words.to_owned());
    let asked: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
        RouteError::Invalid(format!(
            "the body must be a JSON object with {}",
            KEYS.join(", ")
        ))
    })?;
    if let Some(unknown) = asked.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(RouteError::Invalid(format!(
            "`{}` is unknown: the body may have {}",
            unknown.chars().take(50).collect::<String>(),
            KEYS.join(", ")
        )));
    }
    let text = |key: &str| match asked.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MOST_TEXT => {
            Ok(Some(text.as_str()))
        }
        Some(_) => Err(RouteError::Invalid(format!("`{key}` must be a text"))),
    };
    let reader = state.store().reader();
    let client_id = text("client_id")?.ok_or_else(|| invalid("`client_id` is missing"))?;
    let client = clients::find(reader, client_id)
        .await?
        .filter(|client| client.disabled.is_none())
        .filter(|client| client.client_kind() != Some(ClientKind::Backend))
        .ok_or_else(|| invalid("`client_id` is no app of this server"))?;
    if !client.scopes().has(SCOPE) {
        return Err(invalid("this app is not registered with the scope launch"));
    }
    let user = text("user")?.ok_or_else(|| invalid("`user` is missing"))?;
    let account = account(reader, user).await?.ok_or_else(|| {
        invalid("`user` must be a username, or the Practitioner/id of exactly one open account")
    })?;
    let patient = match text("patient")? {
        Some(id) => {
            let id = id.strip_prefix("Patient/").unwrap_or(id);
            if patient_of(state, "Patient", id).await?.is_none() {
                return Err(invalid("`patient` is no Patient of this server"));
            }
            Some(id.to_owned())
        }
        None => None,
    };
    let encounter = match text("encounter")? {
        Some(id) => {
            let id = id.strip_prefix("Encounter/").unwrap_or(id);
            let of = patient
                .as_deref()
                .map(|patient| state.store().keys().reference("Patient", patient));
            if of.is_none() || patient_of(state, "Encounter", id).await? != of {
                return Err(invalid("`encounter` is no Encounter of this patient"));
            }
            Some(id.to_owned())
        }
        None => None,
    };
    let need_patient_banner = match asked.get("need_patient_banner") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(needed)) => *needed,
        Some(_) => return Err(invalid("`need_patient_banner` must be true or false")),
    };
    let context = LaunchContext {
        account: account.id,
        patient,
        encounter,
        fhir_context: fhir_context(asked.get("fhirContext"))?,
        need_patient_banner,
        intent: text("intent")?.map(str::to_owned),
    };
    Ok((client.client_id, context))
}

/// The open account of a username, or of the Practitioner that only it has.
async fn account(
    connection: &impl ConnectionTrait,
    user: &str,
) -> Result<Option<account::Model>, DbErr> {
    if let Some(id) = user.strip_prefix("Practitioner/") {
        let mut found = account::Entity::find()
            .filter(account::Column::Practitioner.eq(id))
            .filter(account::Column::Disabled.is_null())
            .all(connection)
            .await?;
        return Ok(found.pop().filter(|_| found.is_empty()));
    }
    let found = users::find_by_username(connection, user).await?;
    Ok(found.filter(|account| account.disabled.is_none()))
}

/// Key of the patient that a resource is about; none when the resource is not there.
async fn patient_of(
    state: &SmartState,
    type_name: &str,
    id: &str,
) -> Result<Option<i64>, StoreError> {
    if !is_fhir_id(id) {
        return Ok(None);
    }
    let store = state.store();
    let mut select = Sql::default();
    let key = select.bind(store.keys().reference(type_name, id));
    let fhir_id = select.bind(id);
    select.push(&format!(
        "SELECT patient FROM resource WHERE key = {key} AND fhir_id = {fhir_id} \
         AND rendition = 0 AND body IS NOT NULL"
    ));
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    Ok(match row {
        Some(row) => Some(row.try_get_by_index(0)?),
        None => None,
    })
}

/// SMART 2.2, "fhirContext Experimental": objects, each with a relative `reference`, a `canonical` or
/// an `identifier`; Patient and Encounter only in another role than the launch's own.
fn fhir_context(value: Option<&Value>) -> Result<Vec<Value>, RouteError> {
    let invalid = |words: &str| Err(RouteError::Invalid(format!("`fhirContext` {words}")));
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MOST_CONTEXTS => list,
        Some(_) => return invalid("must be a list of at most 20 objects"),
    };
    for one in list {
        let Some(object) = one.as_object() else {
            return invalid("must be a list of at most 20 objects");
        };
        let role = object.get("role").and_then(Value::as_str);
        if role.is_none() && object.contains_key("role") {
            return invalid("has a role that is no text");
        }
        let reference = object.get("reference").and_then(Value::as_str);
        let has_other = object.get("canonical").is_some_and(Value::is_string)
            || object.get("identifier").is_some_and(Value::is_object);
        if let Some(reference) = reference {
            let Some((type_name, id)) = reference.split_once('/') else {
                return invalid("must refer as in ImagingStudy/123");
            };
            if definitions().type_id(type_name).is_none() || !is_fhir_id(id) {
                return invalid("must refer as in ImagingStudy/123");
            }
            let is_own = matches!(type_name, "Patient" | "Encounter");
            if is_own && role.is_none_or(|role| role == "launch") {
                return invalid("names a Patient or Encounter only with a role of its own");
            }
        } else if !has_other {
            return invalid("needs a reference, a canonical or an identifier in each object");
        }
    }
    Ok(list.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_context_may_say() {
        let check = |value: Value| fhir_context(Some(&value)).is_ok();
        assert!(check(json!([])));
        assert!(check(json!([{"reference": "ImagingStudy/1"}])));
        assert!(check(
            json!([{"canonical": "https://x.example/q|1", "type": "Questionnaire"}])
        ));
        assert!(check(
            json!([{"reference": "Patient/2", "role": "https://x.example/mother"}])
        ));
        for bad in [
            json!({}),
            json!(["ImagingStudy/1"]),
            json!([{}]),
            json!([{"reference": "Patient/2"}]),
            json!([{"reference": "Encounter/2", "role": "launch"}]),
            json!([{"reference": "ImagingStudy/1", "role": 7}]),
            json!([{"reference": "https://x.example/ImagingStudy/1"}]),
            json!([{"reference": "Nothing/1"}]),
        ] {
            assert!(!check(bad.clone()), "{bad}");
        }
    }
}
