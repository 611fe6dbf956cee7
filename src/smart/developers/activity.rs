//! `/developers/apps/activity`: what an app of a developer did in the last 30 days, and the errors it met
//! (portal.md 5.17).

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::developer;
use crate::smart::activity::{self, DayOfUse};
use crate::smart::pages::{Forms, Frame, PageError, page, see_other};
use crate::smart::params::Params;
use crate::smart::sessions::Session;
use crate::smart::{SmartState, registrations};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "developers/activity.html")]
struct ActivityPage {
    frame: Frame,
    name: String,
    days: Vec<DayOfUse>,
    /// How many people the app can read through, in words.
    people: String,
    errors: Vec<ErrorView>,
}

struct ErrorView {
    when: String,
    /// Name of a text.
    endpoint: &'static str,
    status: i16,
    code: String,
    words: String,
    reference: String,
}

pub(in crate::smart) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let id = params.first("client").unwrap_or_default();
    show(&state, &session, id)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn show(state: &SmartState, session: &Session, id: &str) -> Result<Response, PageError> {
    let reader = state.store().reader();
    // Any other app does not exist.
    let Some(client) = registrations::owned(reader, &session.account.id, id).await? else {
        return Ok(see_other(&state.path("/developers/apps")));
    };
    // What this process noted; another's is a minute behind at most.
    activity::write_activity(state).await?;
    let seen = activity::seen(state, &client.client_id).await?;
    let texts = Texts::here();
    let errors = seen.errors.into_iter().map(|error| ErrorView {
        when: state.moment(error.at),
        endpoint: match error.endpoint.as_str() {
            "authorize" => "dev-endpoint-authorize",
            "token" => "dev-endpoint-token",
            _ => "dev-endpoint-fhir",
        },
        status: error.status,
        code: error.code,
        words: error.words,
        reference: error.reference,
    });
    let template = ActivityPage {
        frame: Frame::new(state, Some(session)),
        name: client.name,
        days: seen.days,
        people: match seen.people {
            Some(people) => texts.plain("dev-activity-people", [("people", people.into())]),
            None => texts.plain("dev-activity-few", []),
        },
        errors: errors.collect(),
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}
