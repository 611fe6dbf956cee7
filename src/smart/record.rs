//! `/auth/record`: whose record an app is to read. Skipped when there is only one.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::authorize::Reply;
use super::entities::{record, request};
use super::pages::{Forms, Frame, Leave, PageError, page, see_other};
use super::params::Params;
use super::sessions::Session;
use super::users::Role;
use super::{SmartState, authorize, clients, here, login, names, representative, sessions};

#[derive(Template)]
#[template(path = "smart/record.html")]
struct RecordPage {
    frame: Frame,
    form: String,
    request: String,
    app: String,
    records: Vec<Choice>,
    /// Name of a text; empty when all is well.
    problem: &'static str,
}

struct Choice {
    patient: String,
    name: String,
    is_own: bool,
    /// What whoever acts for the patient is to them: [`names::relation`].
    relation: &'static str,
}

/// The request, and whoever is signed in freshly enough to answer it; or where to go instead.
pub(super) enum Answerer {
    Ready(Box<(request::Model, Session)>),
    Elsewhere(Response),
}

/// Looks both up.
pub(super) async fn answerer(
    state: &SmartState,
    jar: &CookieJar,
    id: Option<&str>,
) -> Result<Answerer, PageError> {
    let request = authorize::find(state, id).await?;
    let session = sessions::load(state, jar).await?;
    if here::is_kiosk() {
        return Ok(Answerer::Elsewhere(not_here(state, &request).await?));
    }
    let step = login::next(&request, session.as_ref());
    match session {
        Some(session) if step == "/auth/record" => {
            Ok(Answerer::Ready(Box::new((request, session))))
        }
        _ => {
            let path = state.path(&format!("{step}?request={}", request.id));
            Ok(Answerer::Elsewhere(see_other(&path)))
        }
    }
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match show(&state, &jar, &params).await {
        Ok(response) => response,
        Err(error) => error.page(&state),
    }
}

async fn show(state: &SmartState, jar: &CookieJar, params: &Params) -> Result<Response, PageError> {
    let (request, session) = match answerer(state, jar, params.first("request")).await? {
        Answerer::Ready(both) => *both,
        Answerer::Elsewhere(response) => return Ok(response),
    };
    let account = &session.account;
    let role = Role::from_name(&account.role);
    if role.is_some_and(|role| !role.gives()) {
        return no_record(state, &request).await;
    }
    let class = role.map(Role::class);
    let mut records = representative::records(state, &account.id).await?;
    let launched = request.launch().and_then(|launch| launch.patient);
    if class.is_some_and(|class| !class.is_patient_side()) {
        authorize::assign(state, &request, &account.id, launched.as_deref()).await?;
        return Ok(on_to_consent(state, &request));
    }
    // The EHR chose: the record of that patient, or none.
    records.retain(|own| {
        launched
            .as_ref()
            .is_none_or(|patient| own.patient == *patient)
    });
    if records.is_empty() {
        return no_record(state, &request).await;
    }
    if records.len() == 1 {
        let only = records.remove(0);
        authorize::assign(state, &request, &account.id, Some(&only.patient)).await?;
        return Ok(on_to_consent(state, &request));
    }
    choose(state, &request, &session, records, "").await
}

/// Leads back to the app: whoever signed in opens no record.
pub(super) async fn no_record(
    state: &SmartState,
    request: &request::Model,
) -> Result<Response, PageError> {
    let why = "whoever signed in has no record to give";
    refuse(state, request, Leave::NoRecord, why).await
}

/// Leads back to the app: nobody connects one at a shared terminal (portal.md 3.5).
pub(super) async fn not_here(
    state: &SmartState,
    request: &request::Model,
) -> Result<Response, PageError> {
    refuse(state, request, Leave::Kiosk, authorize::NOT_HERE).await
}

async fn refuse(
    state: &SmartState,
    request: &request::Model,
    kind: Leave,
    why: &str,
) -> Result<Response, PageError> {
    let client = clients::find(state.store().reader(), &request.client_id)
        .await?
        .ok_or(PageError::UnknownClient)?;
    Ok(Reply::to(request).refuse_on_page(state, kind, &client.name, "access_denied", why))
}

fn on_to_consent(state: &SmartState, request: &request::Model) -> Response {
    see_other(&state.path(&format!("/auth/consent?request={}", request.id)))
}

async fn choose(
    state: &SmartState,
    request: &request::Model,
    session: &Session,
    records: Vec<record::Model>,
    problem: &'static str,
) -> Result<Response, PageError> {
    let client = clients::find(state.store().reader(), &request.client_id)
        .await?
        .ok_or(PageError::UnknownClient)?;
    let mut choices = Vec::new();
    for record in records {
        choices.push(Choice {
            name: names::of_record(state, &session.account, &record).await,
            is_own: record.related_person.is_none(),
            relation: names::relation(state, &record).await,
            patient: record.patient,
        });
    }
    let template = RecordPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        request: request.id.clone(),
        app: client.name,
        records: choices,
        problem,
    };
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    Ok(page(state, status, Forms::Own, &template))
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match chosen(&state, &jar, &headers, &body).await {
        Ok(response) => response,
        Err(error) => error.page(&state),
    }
}

async fn chosen(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    let (request, session) = match answerer(state, jar, params.first("request")).await? {
        Answerer::Ready(both) => *both,
        Answerer::Elsewhere(response) => return Ok(response),
    };
    if !session.posted(headers, params.first("form")) {
        return Err(PageError::Foreign);
    }
    let mut records = representative::records(state, &session.account.id).await?;
    if let Some(patient) = request.launch().and_then(|launch| launch.patient) {
        records.retain(|own| own.patient == patient);
    }
    if records.is_empty() {
        return no_record(state, &request).await;
    }
    let wanted = params.first("patient").unwrap_or_default();
    // Only a record of this account: whatever else the form says does not exist.
    if !records.iter().any(|record| record.patient == wanted) {
        return choose(state, &request, &session, records, "record-choose").await;
    }
    authorize::assign(state, &request, &session.account.id, Some(wanted)).await?;
    Ok(on_to_consent(state, &request))
}
