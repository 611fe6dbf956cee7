//! `/auth/consent`: what the app may see, for how long, yes or no. What is posted becomes the scope.

mod before;
pub(super) mod offer;
pub(super) mod told;

use std::collections::HashSet;

use askama::Template;
use askama::filters::Safe;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::EntityTrait as _;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use url::Url;
use uuid::Uuid;

use super::authorize::{self, Reply, STEP_UP};
use super::entities::{account, client, grant, record as record_entity, request};
use super::events::{self, Event};
use super::pages::{Forms, Frame, Leave, PageError, leave, page, see_other};
use super::params::Params;
use super::record::{self, Answerer};
use super::scopes::catalogue;
use super::sessions::Session;
use super::users::Role;
use super::{DAY, MINUTE, SmartState, clients, grants, logo, names, representative};
use crate::clock::Millis;
use crate::store::Origin;
use crate::texts::Texts;
use crate::visibility::ViewerClass;
use crate::visibility::level::Level;
use before::Earlier;
use offer::{Giver, GroupView, Offer};
use told::ToldView;

/// The longest of the fixed ends.
const YEAR: Millis = 365 * DAY;

#[derive(Template)]
#[template(path = "smart/consent.html")]
struct ConsentPage {
    frame: Frame,
    form: String,
    request: String,
    /// Whose record the page speaks of: the answer is about nobody else.
    patient: String,
    app: String,
    /// Where its logo is; empty when it has none.
    logo: String,
    /// Where the answer goes, for people who look: a host name, or that it is an app of this device.
    app_address: String,
    told: ToldView,
    /// Whose record, and whether it is the account holder's own. Empty for staff.
    record: String,
    /// Whose chart staff launched the app from. Empty when from none.
    launched_about: String,
    is_own: bool,
    /// What whoever acts for somebody is to them: [`names::relation`].
    relation: &'static str,
    has_several_records: bool,
    /// The day of the answer that stands, empty for the first time.
    since: String,
    /// What the maker tells otherwise since then.
    changes: Vec<Safe<String>>,
    /// What was not asked before; all of it, the first time.
    news: Vec<GroupView>,
    /// What was asked before.
    known: Vec<GroupView>,
    offers_identity: bool,
    identity_is_new: bool,
    identity: bool,
    offers_long: bool,
    long: &'static str,
    minutes: i64,
    days: i64,
    /// Name of a text; empty when all is well.
    problem: &'static str,
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
    /// While the first access token lives.
    No,
    /// As long as it is used, and no longer than a year.
    Year,
    /// As long as it is used.
    Rolling,
}

impl Long {
    fn of(posted: Option<&str>) -> Self {
        match posted {
            Some("yes") => Self::Rolling,
            Some("year") => Self::Year,
            _ => Self::No,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Year => "year",
            Self::Rolling => "yes",
        }
    }
}

/// What stands in the form.
struct Filled {
    ticked: HashSet<String>,
    identity: bool,
    long: Long,
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
    earlier: Option<Earlier>,
}

impl Question {
    fn reply(&self) -> Reply {
        Reply::to(&self.request)
    }

    /// Whether the hospital answers for its staff: it approved the app, which they open from a chart
    /// and which did not want them to be asked.
    fn is_answered(&self) -> bool {
        self.request.must_ask == 0
            && self.client.approved.is_some()
            && self.request.launch().is_some()
            && self.record.is_none()
            && Role::from_name(&self.session.account.role)
                .is_some_and(|role| !role.class().is_patient_side())
    }

    /// The form before anything was changed in it. Long-term access is never chosen beforehand.
    fn untouched(&self) -> Filled {
        let before = self.earlier.as_ref().map(|earlier| &earlier.scopes);
        Filled {
            ticked: self.offer.ticked_at_first(before),
            identity: before.is_none_or(|before| {
                self.offer.identity_is_new(before) || before.granted.has("openid")
            }),
            long: Long::No,
            problem: "",
        }
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
            Step::Ask(question) if question.is_answered() => approve(&state, &question).await,
            Step::Ask(question) => show(&state, &question, &question.untouched()).await,
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
    let Some(role) = Role::from_name(&session.account.role).filter(|role| role.gives()) else {
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
    let offer = Offer::new(&request.scope, giver, level(state, record.as_ref()).await?);
    let question = Question {
        earlier: before::find(reader, &request, &session.account.id).await?,
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

/// How far somebody's authority over a record reaches: wholly over their own.
async fn level(
    state: &SmartState,
    record: Option<&record_entity::Model>,
) -> Result<Level, PageError> {
    let Some((id, patient)) =
        record.and_then(|record| Some((record.related_person.as_ref()?, &record.patient)))
    else {
        return Ok(Level::Full);
    };
    let person = format!("RelatedPerson/{id}");
    let class = ViewerClass::Representative.name();
    let reader = state.store().reader();
    let reach =
        representative::authority(state, reader, class, Some(&person), Some(patient)).await?;
    // Without authority there is no record, which was looked at before; between the two it may have ended.
    Ok(reach.unwrap_or(Level::Billing))
}

async fn show(
    state: &SmartState,
    question: &Question,
    filled: &Filled,
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
    let facts = question.client.told();
    let before = question.earlier.as_ref().map(|earlier| &earlier.scopes);
    let told_before = question.earlier.as_ref();
    let changes = told_before
        .and_then(|earlier| earlier.facts.as_ref())
        .map(|before| told::changes(before, &facts))
        .unwrap_or_default();
    let offer = &question.offer;
    let ticked = &filled.ticked;
    // What changed stands first; without a change there is nothing to set apart.
    let (news, known) = match before {
        Some(before) if offer.has_news(before) => (
            offer.view(ticked, Some(before), true),
            offer.view(ticked, Some(before), false),
        ),
        _ => (offer.view(ticked, None, false), Vec::new()),
    };
    let template = ConsentPage {
        frame: Frame::new(state, Some(&question.session)),
        form: question.session.form_token(),
        request: question.request.id.clone(),
        patient: question.request.patient.clone().unwrap_or_default(),
        app: question.client.name.clone(),
        logo: logo::address(state, &question.client),
        app_address: address(&question.request.redirect_uri),
        told: ToldView::new(&facts),
        record,
        launched_about,
        is_own: question
            .record
            .as_ref()
            .is_some_and(|record| record.related_person.is_none()),
        relation: match &question.record {
            Some(record) => names::relation(state, record).await,
            None => "other",
        },
        has_several_records: question.has_several_records,
        since: question
            .earlier
            .as_ref()
            .map(|earlier| state.day(earlier.created))
            .unwrap_or_default(),
        changes,
        news,
        known,
        offers_identity: offer.offers_identity(),
        identity_is_new: before.is_none_or(|before| offer.identity_is_new(before)),
        identity: filled.identity,
        offers_long: offer.offers_long(),
        long: filled.long.name(),
        minutes: state.config().access_token_life / MINUTE,
        days: state.config().refresh_token_life / DAY,
        problem: filled.problem,
    };
    let status = if filled.problem.is_empty() {
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
            _ => Texts::here().plain("consent-this-device", []),
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
    let mut filled = Filled {
        ticked: params.all("allow").map(str::to_owned).collect(),
        identity: params.first("identity").is_some(),
        long: Long::of(params.first("long")),
        problem: "",
    };
    if params.first("patient").unwrap_or_default()
        != question.request.patient.as_deref().unwrap_or_default()
    {
        filled.problem = "consent-other-record";
        return show(state, &question, &filled).await;
    }
    match params.first("action") {
        Some("none") => {
            filled.ticked.clear();
            filled.identity = false;
            return show(state, &question, &filled).await;
        }
        Some("all") => {
            filled.ticked = question.offer.ticked_at_first(None);
            filled.identity = true;
            return show(state, &question, &filled).await;
        }
        Some("allow") => {}
        _ => {
            close(state, &question.request).await?;
            return Ok(question.reply().finish(
                state,
                &question.client.name,
                &[
                    ("error", "access_denied"),
                    ("error_description", "the person said no"),
                ],
            ));
        }
    }
    let is_long = filled.long != Long::No;
    let scope = question
        .offer
        .granted(&filled.ticked, filled.identity, is_long);
    if scope.resources.is_empty() && !scope.has("openid") {
        filled.problem = "consent-tick-one";
        return show(state, &question, &filled).await;
    }
    if scope.has("offline_access") && question.session.signed_in < state.now() - STEP_UP {
        // It was fresh enough when the app asked, and is not any more (portal.md 4.7).
        authorize::ask_again(state, &question.request).await?;
        let path = format!("/login?request={}", question.request.id);
        return Ok(see_other(&state.path(&path)));
    }
    let code = grant(state, &question, scope.to_string(), filled.long, None).await?;
    let name = &question.client.name;
    Ok(question.reply().finish(state, name, &[("code", &code)]))
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

/// Gives an approved app all that it asks for and this person may give. Nobody is asked, so it is noted.
async fn approve(state: &SmartState, question: &Question) -> Result<Response, PageError> {
    let offer = &question.offer;
    let is_long = offer.offers_long();
    let scope = offer
        .granted(&offer.everything(), true, is_long)
        .to_string();
    let long = if is_long { Long::Rolling } else { Long::No };
    let event = Event::by_account("approved-app-opened", &question.session.account.id)
        .with(&question.client.client_id);
    let event = match &question.request.patient {
        Some(patient) => event.about(patient),
        None => event,
    };
    let code = grant(state, question, scope, long, Some(&event)).await?;
    // Before this there may have been a form of ours (sign-in, second factor, new password).
    let address = question.reply().address(state.issuer(), &[("code", &code)]);
    Ok(leave(state, Leave::Opened, &question.client.name, &address))
}

/// Ends a request with a grant; the code for the app.
async fn grant(
    state: &SmartState,
    question: &Question,
    scope: String,
    long: Long,
    event: Option<&Event<'_>>,
) -> Result<String, PageError> {
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
        catalogue: Some(catalogue().version.clone()),
        asked: Some(question.offer.text()),
        facts: Some(question.client.told().to_text()),
        ends: (long == Long::Year).then(|| now.saturating_add(YEAR)),
        read: None,
        read_types: None,
        methods: question.session.methods.clone(),
        ial: account.ial,
    };
    let id = row.id.clone();
    let mut writer = state.store().writer(Origin::Feed).await?;
    let deleted = request::Entity::delete_by_id(question.request.id.clone())
        .exec(writer.connection())
        .await?;
    if deleted.rows_affected != 1 {
        return Err(PageError::RequestGone);
    }
    grant::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(writer.connection())
        .await?;
    let expires = now + state.config().code_life;
    let code = grants::issue_code(writer.connection(), &id, &question.request, expires).await?;
    if let Some(event) = event {
        events::note(&mut writer, state, event).await?;
    }
    writer.commit().await.map_err(PageError::from)?;
    tracing::info!(
        client_id = question.client.client_id,
        account = account.id,
        grant = id,
        "access granted"
    );
    Ok(code)
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
