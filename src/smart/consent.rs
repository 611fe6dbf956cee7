//! `/auth/consent`: what the app may see, for how long, yes or no. What is posted becomes the scope.

mod offer;

use std::collections::HashSet;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::EntityTrait as _;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use url::Url;
use uuid::Uuid;

use super::authorize::Reply;
use super::entities::{account, client, grant, record as record_entity, request};
use super::pages::{Forms, Frame, Leave, PageError, page};
use super::params::Params;
use super::record::{self, Answerer};
use super::sessions::Session;
use super::users::Role;
use super::{MINUTE, SmartState, clients, grants, names, representative};
use crate::visibility::ViewerClass;
use offer::{Giver, GroupView, Offer};

#[derive(Template)]
#[template(path = "smart/consent.html")]
struct ConsentPage {
    frame: Frame,
    form: String,
    request: String,
    /// Whose record the page speaks of: the answer is about nobody else.
    patient: String,
    app: String,
    /// Where the answer goes, for people who look: a host name, or the scheme of a device's app.
    app_address: String,
    /// Whose record, and whether it is the account holder's own. Empty for staff.
    record: String,
    /// Whose chart staff launched the app from. Empty when from none.
    launched_about: String,
    is_own: bool,
    has_several_records: bool,
    groups: Vec<GroupView>,
    offers_identity: bool,
    identity: bool,
    offers_long: bool,
    long: bool,
    minutes: i64,
    days: i64,
    problem: &'static str,
}

/// Who gives what to whom: everything the page and its answer need.
struct Question {
    request: request::Model,
    session: Session,
    client: client::Model,
    record: Option<record_entity::Model>,
    has_several_records: bool,
    offer: Offer,
}

impl Question {
    fn reply(&self) -> Reply {
        Reply::to(&self.request)
    }
}

enum Step {
    Ask(Box<Question>),
    Elsewhere(Response),
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        match question(&state, &jar, params.first("request")).await? {
            Step::Ask(question) => {
                let ticked = question.offer.ticked_at_first();
                show(&state, &question, &ticked, true, false, "").await
            }
            Step::Elsewhere(response) => Ok(response),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn question(
    state: &SmartState,
    jar: &CookieJar,
    id: Option<&str>,
) -> Result<Step, PageError> {
    let (request, session) = match record::answerer(state, jar, id).await? {
        Answerer::Ready(both) => *both,
        Answerer::Elsewhere(response) => return Ok(Step::Elsewhere(response)),
    };
    if request.account.as_ref() != Some(&session.account.id) {
        return Err(PageError::OtherAccount);
    }
    let reader = state.store().reader();
    let client = clients::find(reader, &request.client_id)
        .await?
        .filter(|client| client.disabled.is_none())
        .ok_or(PageError::UnknownClient)?;
    let Some(role) = Role::from_name(&session.account.role) else {
        return Ok(Step::Elsewhere(record::no_record(state, &request).await?));
    };
    let records = representative::records(state, &session.account.id).await?;
    let has_several_records = records.len() > 1;
    let record = match &request.patient {
        Some(patient) => records.into_iter().find(|own| own.patient == *patient),
        None => None,
    };
    let is_patient_side = role.class().is_patient_side();
    if record.is_none() && is_patient_side {
        return Ok(Step::Elsewhere(record::no_record(state, &request).await?));
    }
    let giver = match (&request.patient, is_patient_side) {
        (_, true) => Giver::PatientSide,
        (Some(_), false) => Giver::StaffWithPatient,
        (None, false) => Giver::Staff,
    };
    let offer = Offer::new(&request.scope, giver);
    let question = Question {
        request,
        session,
        client,
        record,
        has_several_records,
        offer,
    };
    if question.offer.is_empty() {
        let refused = question.reply().refuse_on_page(
            state,
            Leave::AtOnce,
            &question.client.name,
            "invalid_scope",
            "the person who signed in cannot give any of the scopes",
        );
        return Ok(Step::Elsewhere(refused));
    }
    Ok(Step::Ask(Box::new(question)))
}

async fn show(
    state: &SmartState,
    question: &Question,
    ticked: &HashSet<String>,
    identity: bool,
    long: bool,
    problem: &'static str,
) -> Result<Response, PageError> {
    let account = &question.session.account;
    let record = match &question.record {
        Some(record) => names::of_record(state, account, record).await,
        None => String::new(),
    };
    let launched_about = match (&question.record, &question.request.patient) {
        (None, Some(patient)) => {
            let (class, person) = speaker(account, None);
            names::in_context(state, class, person, patient).await
        }
        _ => String::new(),
    };
    let template = ConsentPage {
        frame: Frame::new(state, Some(&question.session)),
        form: question.session.form_token(),
        request: question.request.id.clone(),
        patient: question.request.patient.clone().unwrap_or_default(),
        app: question.client.name.clone(),
        app_address: address(&question.request.redirect_uri),
        record,
        launched_about,
        is_own: question
            .record
            .as_ref()
            .is_some_and(|record| record.related_person.is_none()),
        has_several_records: question.has_several_records,
        groups: question.offer.view(ticked),
        offers_identity: question.offer.offers_identity(),
        identity,
        offers_long: question.offer.offers_long(),
        long,
        minutes: state.config().access_token_life / MINUTE,
        days: state.config().refresh_token_life / super::DAY,
        problem,
    };
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    Ok(page(state, status, Forms::LeadAway, &template))
}

fn address(redirect_uri: &str) -> String {
    match Url::parse(redirect_uri) {
        Ok(url) => match url.host_str() {
            Some(host) if url.scheme() == "https" => host.to_owned(),
            _ => "an app on this device".to_owned(),
        },
        Err(_) => String::new(),
    }
}

async fn answer(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    let question = match question(state, jar, params.first("request")).await? {
        Step::Ask(question) => *question,
        Step::Elsewhere(response) => return Ok(response),
    };
    if !question.session.posted(headers, params.first("form")) {
        return Err(PageError::Foreign);
    }
    let mut ticked: HashSet<String> = params.all("allow").map(str::to_owned).collect();
    let identity = params.first("identity").is_some();
    let long = params.first("long") == Some("yes");
    if params.first("patient").unwrap_or_default()
        != question.request.patient.as_deref().unwrap_or_default()
    {
        let problem = "Another record was chosen in another window. Please look whose record this \
                       is now, and answer again.";
        return show(state, &question, &ticked, identity, long, problem).await;
    }
    match params.first("action") {
        Some("none") => {
            ticked.clear();
            return show(state, &question, &ticked, false, long, "").await;
        }
        Some("all") => {
            let ticked = question.offer.ticked_at_first();
            return show(state, &question, &ticked, true, long, "").await;
        }
        Some("allow") => {}
        _ => {
            close(state, &question.request).await?;
            let refused =
                question
                    .reply()
                    .refuse(state.issuer(), "access_denied", "the person said no");
            return Ok(refused);
        }
    }
    let scope = question.offer.granted(&ticked, identity, long);
    if scope.resources.is_empty() && !scope.has("openid") {
        let problem = "Tick at least one thing the app may see, or choose “Don’t allow”.";
        return show(state, &question, &ticked, identity, long, problem).await;
    }
    grant(state, &question, scope.to_string()).await
}

/// Ends a request. It must be there still: a form posted twice counts once.
async fn close(state: &SmartState, request: &request::Model) -> Result<(), PageError> {
    let tx = state.store().begin().await?;
    let deleted = request::Entity::delete_by_id(request.id.clone())
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    if deleted.rows_affected == 1 {
        Ok(())
    } else {
        Err(PageError::RequestGone)
    }
}

async fn grant(
    state: &SmartState,
    question: &Question,
    scope: String,
) -> Result<Response, PageError> {
    let now = state.now();
    let account = &question.session.account;
    let (class, person) = speaker(account, question.record.as_ref());
    let row = grant::Model {
        id: Uuid::new_v4().to_string(),
        client_id: question.client.client_id.clone(),
        account: Some(account.id.clone()),
        class: class.name().to_owned(),
        person,
        patient: question.request.patient.clone(),
        scope,
        auth_time: question.session.signed_in,
        created: now,
        used: None,
        revoked: None,
        context: question.request.context.clone(),
    };
    let id = row.id.clone();
    let tx = state.store().begin().await?;
    let deleted = request::Entity::delete_by_id(question.request.id.clone())
        .exec(tx.connection())
        .await?;
    if deleted.rows_affected != 1 {
        return Err(PageError::RequestGone);
    }
    grant::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(tx.connection())
        .await?;
    let expires = now + state.config().code_life;
    let code = grants::issue_code(tx.connection(), &id, &question.request, expires).await?;
    tx.commit().await.map_err(PageError::from)?;
    tracing::info!(
        client_id = question.client.client_id,
        account = account.id,
        grant = id,
        "access granted"
    );
    Ok(question.reply().with(state.issuer(), &[("code", &code)]))
}

/// The viewer class and FHIR reference of an account holder who opens a record.
fn speaker(
    account: &account::Model,
    record: Option<&record_entity::Model>,
) -> (ViewerClass, Option<String>) {
    match record {
        Some(record) => match &record.related_person {
            Some(id) => (
                ViewerClass::Representative,
                Some(format!("RelatedPerson/{id}")),
            ),
            None => (
                ViewerClass::Patient,
                Some(format!("Patient/{}", record.patient)),
            ),
        },
        None => (
            Role::from_name(&account.role).map_or(ViewerClass::Other, Role::class),
            account
                .practitioner
                .as_ref()
                .map(|id| format!("Practitioner/{id}")),
        ),
    }
}
