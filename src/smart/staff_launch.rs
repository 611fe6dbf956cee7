//! `/staff/launch`: somebody who works here opens an app about a patient, where no EHR does it for them.
//!
//! Patients are found as the person may see them, and everything goes by POST: a name is not part of an
//! address. What comes of it is a launch as an EHR makes one: five minutes, once, for this person.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::Value;

use super::entities::client;
use super::launch::{self, LaunchContext};
use super::names::human_name;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::sessions::Session;
use super::users::Role;
use super::{SmartState, accesses, gate, is_fhir_id, sessions};
use crate::fhir::definitions::definitions;
use crate::search::{SearchError, SearchRequest, search};
use crate::texts::Texts;
use crate::visibility::Viewer;
use crate::visibility::level::Level;
use crate::visibility::scope::Scopes;

const MOST_FOUND: usize = 20;
const MOST_WORDS: usize = 5;
const MOST_INTENT: usize = 100;

#[derive(Template)]
#[template(path = "smart/staff_launch.html")]
struct LaunchPage {
    frame: Frame,
    form: String,
    query: String,
    /// None: nothing was searched for yet.
    found: Option<Vec<PatientView>>,
    chosen: Option<Chosen>,
    /// Name of a text; empty when all is well.
    problem: &'static str,
}

struct PatientView {
    id: String,
    name: String,
    birth_date: String,
    /// The first identifier, most often the record number.
    number: String,
}

/// The patient for whom an app is to be opened, and what may be chosen.
struct Chosen {
    patient: PatientView,
    /// Id and words.
    encounters: Vec<(String, String)>,
    /// Id and name.
    apps: Vec<(String, String)>,
}

/// Whoever is signed in and may open apps; or the page to show instead.
async fn staff(state: &SmartState, jar: &CookieJar) -> Result<Session, Box<Response>> {
    let session = sessions::load(state, jar)
        .await
        .map_err(|error| Box::new(PageError::from(error).page(state)))?;
    match session {
        None => Err(Box::new(gate::to_login(state, "/staff/launch"))),
        Some(session) if opens_apps(&session) => Ok(session),
        Some(_) => Err(Box::new(PageError::Role.page(state))),
    }
}

/// Whether somebody may open apps about patients.
pub(super) fn opens_apps(session: &Session) -> bool {
    matches!(
        Role::from_name(&session.account.role),
        Some(Role::Clinician | Role::Staff)
    )
}

pub(super) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    match staff(&state, &jar).await {
        Ok(session) => show(&state, &session, String::new(), None, None, ""),
        Err(instead) => *instead,
    }
}

fn show(
    state: &SmartState,
    session: &Session,
    query: String,
    found: Option<Vec<PatientView>>,
    chosen: Option<Chosen>,
    problem: &'static str,
) -> Response {
    let template = LaunchPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        query,
        found,
        chosen,
        problem,
    };
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    // Its last answer is a redirect to the app.
    page(state, status, Forms::LeadAway, &template)
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let session = match staff(&state, &jar).await {
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
    let reader = Reader {
        session,
        viewer: viewer(session),
    };
    let Some(patient) = params.first("patient").filter(|id| is_fhir_id(id)) else {
        let query = params.first("query").unwrap_or_default().trim();
        if query.is_empty() {
            return Ok(show(
                state,
                session,
                String::new(),
                None,
                None,
                "staff-say-who",
            ));
        }
        let found = find(state, &reader, query).await?;
        return Ok(show(
            state,
            session,
            query.to_owned(),
            Some(found),
            None,
            "",
        ));
    };
    // As the person sees it: a patient who is not for them does not exist.
    let pairs = [("_id", patient.to_owned())];
    let Some(view) = patients(state, &reader, &pairs).await?.pop() else {
        return Ok(show(
            state,
            session,
            String::new(),
            Some(Vec::new()),
            None,
            "",
        ));
    };
    let chosen = Chosen {
        encounters: encounters(state, &reader, patient).await?,
        apps: apps(state).await?,
        patient: view,
    };
    if params.first("action") != Some("open") {
        return Ok(show(state, session, String::new(), None, Some(chosen), ""));
    }
    let wanted = params.first("app").unwrap_or_default();
    let Some(address) = launch_uri(state, &chosen, wanted).await? else {
        return Ok(show(
            state,
            session,
            String::new(),
            None,
            Some(chosen),
            "staff-say-app",
        ));
    };
    let encounter = params.first("encounter").filter(|id| !id.is_empty());
    if encounter.is_some_and(|id| !chosen.encounters.iter().any(|(own, _)| own == id)) {
        return Ok(show(
            state,
            session,
            String::new(),
            None,
            Some(chosen),
            "staff-no-visit",
        ));
    }
    let intent = params.first("intent").unwrap_or_default().trim();
    let context = LaunchContext {
        account: session.account.id.clone(),
        patient: Some(patient.to_owned()),
        encounter: encounter.map(str::to_owned),
        fhir_context: Vec::new(),
        need_patient_banner: params.first("banner").is_some(),
        intent: (!intent.is_empty()).then(|| intent.chars().take(MOST_INTENT).collect()),
    };
    let token = launch::keep(state, wanted, &context).await?;
    tracing::info!(
        account = session.account.id,
        client_id = wanted,
        "launch made on the staff page"
    );
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("iss", state.fhir_base());
    query.append_pair("launch", &token);
    let separator = if address.contains('?') { '&' } else { '?' };
    Ok(see_other(&format!(
        "{address}{separator}{}",
        query.finish()
    )))
}

/// Who looks.
struct Reader<'a> {
    session: &'a Session,
    viewer: Viewer,
}

/// The person as a reader of charts.
fn viewer(session: &Session) -> Viewer {
    let account = &session.account;
    Viewer {
        class: Role::from_name(&account.role)
            .map_or(crate::visibility::ViewerClass::Other, Role::class),
        person: account
            .practitioner
            .as_ref()
            .map(|id| format!("Practitioner/{id}")),
        patient: None,
        client_id: String::new(),
        client_device: None,
        level: Level::Full,
        scopes: Scopes::parse("user/Patient.rs user/Encounter.rs"),
    }
}

/// The bodies that a search finds for a viewer, a page of them.
async fn bodies(
    state: &SmartState,
    reader: &Reader<'_>,
    type_name: &str,
    pairs: &[(&str, String)],
) -> Result<Vec<Value>, PageError> {
    let mut owned: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    owned.push(("_count".to_owned(), MOST_FOUND.to_string()));
    let request = SearchRequest {
        type_id: definitions().type_id(type_name),
        pairs: &owned,
        compartment: None,
        strict: false,
    };
    match search(state.store(), &reader.viewer, &request).await {
        Ok(found) => {
            let bodies: Vec<Value> = found
                .entries
                .iter()
                .filter_map(|entry| serde_json::from_slice(&entry.body).ok())
                .collect();
            let names = owned.iter().map(|(name, _)| name.as_str());
            let Reader { session, viewer } = reader;
            let of = ("/staff/launch", type_name);
            accesses::note(state, session, viewer, of, names, &bodies).await?;
            Ok(bodies)
        }
        Err(SearchError::Store(error)) => Err(error.into()),
        // What was typed is nothing that could be searched for.
        Err(_) => Ok(Vec::new()),
    }
}

async fn patients(
    state: &SmartState,
    reader: &Reader<'_>,
    pairs: &[(&str, String)],
) -> Result<Vec<PatientView>, PageError> {
    let found = bodies(state, reader, "Patient", pairs).await?;
    Ok(found.iter().filter_map(patient_view).collect())
}

fn patient_view(patient: &Value) -> Option<PatientView> {
    let text = |pointer: &str| {
        let value = patient.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let id = patient.get("id")?.as_str()?.to_owned();
    Some(PatientView {
        name: human_name(patient).unwrap_or_else(|| id.clone()),
        birth_date: written(&text("/birthDate")),
        number: text("/identifier/0/value"),
        id,
    })
}

/// A day of a FHIR date as people write it; any other as it is.
fn written(date: &str) -> String {
    match date.parse() {
        Ok(day) => Texts::here().day(day),
        Err(_) => date.to_owned(),
    }
}

/// Patients with this name, or with this record number.
async fn find(
    state: &SmartState,
    reader: &Reader<'_>,
    query: &str,
) -> Result<Vec<PatientView>, PageError> {
    let words = query.split_whitespace().take(MOST_WORDS);
    let escaped = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            if matches!(letter, '\\' | ',' | '|' | '$') {
                out.push('\\');
            }
            out.push(letter);
        }
        out
    };
    let named: Vec<(&str, String)> = words.map(|word| ("name", escaped(word))).collect();
    let mut found = patients(state, reader, &named).await?;
    let number = [("identifier", escaped(query))];
    for patient in patients(state, reader, &number).await? {
        if !found.iter().any(|own| own.id == patient.id) {
            found.push(patient);
        }
    }
    Ok(found)
}

async fn encounters(
    state: &SmartState,
    reader: &Reader<'_>,
    patient: &str,
) -> Result<Vec<(String, String)>, PageError> {
    let pairs = [
        ("patient", format!("Patient/{patient}")),
        ("_sort", "-date".to_owned()),
    ];
    let found = bodies(state, reader, "Encounter", &pairs).await?;
    let words = |encounter: &Value| {
        let id = encounter.get("id")?.as_str()?.to_owned();
        let text = |pointer: &str| encounter.pointer(pointer).and_then(Value::as_str);
        let start = text("/period/start").unwrap_or_default();
        let day = written(&start.chars().take(10).collect::<String>());
        let kind = text("/type/0/text")
            .or_else(|| text("/type/0/coding/0/display"))
            .or_else(|| text("/class/display"))
            .or_else(|| text("/class/code"))
            .unwrap_or_default();
        Some((id, format!("{day} {kind}").trim().to_owned()))
    };
    Ok(found.iter().filter_map(words).collect())
}

/// The apps that can be opened: enabled, with a launch URL, registered with the scope launch.
async fn apps(state: &SmartState) -> Result<Vec<(String, String)>, PageError> {
    let found = client::Entity::find()
        .filter(client::Column::LaunchUri.is_not_null())
        .filter(client::Column::Disabled.is_null())
        .order_by_asc(client::Column::Name)
        .all(state.store().reader())
        .await?;
    let opens = found
        .into_iter()
        .filter(|client| client.scopes().has(launch::SCOPE));
    Ok(opens
        .map(|client| (client.client_id, client.name))
        .collect())
}

/// The launch URL of an app that may be chosen.
async fn launch_uri(
    state: &SmartState,
    chosen: &Chosen,
    client_id: &str,
) -> Result<Option<String>, PageError> {
    if !chosen.apps.iter().any(|(own, _)| own == client_id) {
        return Ok(None);
    }
    let client = super::clients::find(state.store().reader(), client_id).await?;
    Ok(client.and_then(|client| client.launch_uri))
}
