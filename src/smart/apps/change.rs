//! `/apps/change`: what an app can see, made less without connecting it anew. It works with the app's next
//! request, with the tokens it has.

use std::collections::HashSet;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::{end, shown};
use crate::smart::consent::offer::{Giver, GroupView, Offer};
use crate::smart::entities::grant;
use crate::smart::pages::{Forms, Frame, PageError, page, see_other};
use crate::smart::params::Params;
use crate::smart::sessions::Session;
use crate::smart::users::Role;
use crate::smart::{SmartState, grants, representative, sessions};

#[derive(Template)]
#[template(path = "smart/apps_change.html")]
struct ChangePage {
    frame: Frame,
    form: String,
    grant: String,
    app: String,
    record: String,
    groups: Vec<GroupView>,
    offers_identity: bool,
    identity: bool,
    offers_long: bool,
    long: bool,
    /// Name of a text; empty when all is well.
    problem: &'static str,
}

/// What stands in the form.
struct Filled {
    ticked: HashSet<String>,
    identity: bool,
    long: bool,
    problem: &'static str,
}

/// A grant of whoever is signed in that opens something now.
async fn own(
    state: &SmartState,
    session: &Session,
    id: Option<&str>,
) -> Result<Option<grant::Model>, PageError> {
    let reader = state.store().reader();
    let found = grants::find_standing(reader, id.unwrap_or_default()).await?;
    let Some(grant) = found
        .filter(|grant| grant.account.as_ref() == Some(&session.account.id))
        .filter(|grant| grant.used.is_some() && end(state, grant) > state.now())
    else {
        return Ok(None);
    };
    let may_give = representative::may_give(state, reader, &grant).await?;
    Ok(may_give.then_some(grant))
}

fn offer(session: &Session, grant: &grant::Model) -> Offer {
    let is_patient_side =
        Role::from_name(&session.account.role).is_some_and(|role| role.class().is_patient_side());
    let giver = match (is_patient_side, &grant.patient) {
        (true, _) => Giver::PatientSide,
        (false, Some(_)) => Giver::StaffWithPatient,
        (false, None) => Giver::Staff,
    };
    Offer::of_granted(grant.scopes(), giver)
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        let Some(session) = sessions::load(&state, &jar).await? else {
            return Ok(see_other(&state.path("/login")));
        };
        let Some(grant) = own(&state, &session, params.first("grant")).await? else {
            return Ok(see_other(&state.path("/apps")));
        };
        let offer = offer(&session, &grant);
        let filled = Filled {
            ticked: offer.everything(),
            identity: true,
            long: true,
            problem: "",
        };
        show(&state, &session, &grant, &offer, &filled).await
    };
    shown
        .await
        .unwrap_or_else(|error: PageError| error.page(&state))
}

async fn show(
    state: &SmartState,
    session: &Session,
    grant: &grant::Model,
    offer: &Offer,
    filled: &Filled,
) -> Result<Response, PageError> {
    let records = representative::records(state, &session.account.id).await?;
    let Some(shown) = shown(state, session, &records, &records, grant).await? else {
        return Ok(see_other(&state.path("/apps")));
    };
    let template = ChangePage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        grant: grant.id.clone(),
        app: shown.name,
        record: shown.record,
        groups: offer.view(&filled.ticked, None, false),
        offers_identity: offer.offers_identity(),
        identity: filled.identity,
        offers_long: offer.offers_long(),
        long: filled.long,
        problem: filled.problem,
    };
    let status = if filled.problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    Ok(page(state, status, Forms::Own, &template))
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    change(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn change(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(see_other(&state.path("/login")));
    };
    let params = session.form(headers, body)?;
    let Some(grant) = own(state, &session, params.first("grant")).await? else {
        return Ok(see_other(&state.path("/apps")));
    };
    let offer = offer(&session, &grant);
    let mut filled = Filled {
        ticked: params.all("allow").map(str::to_owned).collect(),
        identity: params.first("identity").is_some(),
        long: params.first("long").is_some(),
        problem: "",
    };
    let scope = offer.granted(&filled.ticked, filled.identity, filled.long);
    if scope.resources.is_empty() && !scope.has("openid") {
        filled.problem = "apps-tick-one";
        return show(state, &session, &grant, &offer, &filled).await;
    }
    let tx = state.store().begin().await?;
    let is_narrowed = grants::narrow(tx.connection(), &grant, &scope).await?;
    tx.commit().await.map_err(PageError::from)?;
    if !is_narrowed {
        let again = format!("/apps/change?grant={}", grant.id);
        return Ok(see_other(&state.path(&again)));
    }
    tracing::info!(
        grant = grant.id,
        client_id = grant.client_id,
        "access made less"
    );
    Ok(see_other(&state.path("/apps?done=changed")))
}
