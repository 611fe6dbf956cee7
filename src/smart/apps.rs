//! `/apps`: which apps can read a record, since when, and the button that ends it at once. This is
//! SMART's `management_endpoint`.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::entities::{client, grant};
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::scopes::{ScopeList, catalogue};
use super::sessions::Session;
use super::users::Role;
use super::{SmartState, grants, names, sessions, users};
use crate::clock::Millis;

#[derive(Template)]
#[template(path = "smart/apps.html")]
struct AppsPage {
    frame: Frame,
    form: String,
    apps: Vec<AppView>,
    removed: bool,
}

struct AppView {
    grant: String,
    name: String,
    record: String,
    what: Vec<String>,
    since: String,
    renewed: String,
    is_long: bool,
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) => list(&state, &session, params.first("removed").is_some()).await,
            None => Ok(see_other(&state.path("/login"))),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

async fn list(state: &SmartState, session: &Session, removed: bool) -> Result<Response, PageError> {
    let reader = state.store().reader();
    let now = state.now();
    let config = state.config();
    let records = users::records(reader, &session.account.id).await?;
    let found = grant::Entity::find()
        .filter(grant::Column::Account.eq(&session.account.id))
        .filter(grant::Column::Revoked.is_null())
        .filter(grant::Column::Used.is_not_null())
        .order_by_desc(grant::Column::Created)
        .all(reader)
        .await?;
    let is_patient_side =
        Role::from_name(&session.account.role).is_some_and(|role| role.class().is_patient_side());
    let mut apps = Vec::new();
    for grant in found {
        let scopes = ScopeList::parse(&grant.scope);
        let is_long = scopes.has("offline_access");
        let life = if is_long {
            config.refresh_token_life
        } else {
            config.access_token_life
        };
        let used = grant.used.unwrap_or_default();
        if used + life <= now {
            continue;
        }
        let name = client::Entity::find_by_id(grant.client_id.clone())
            .one(reader)
            .await?
            .map_or(grant.client_id, |client| client.name);
        let record = records
            .iter()
            .find(|record| grant.patient.as_ref() == Some(&record.patient));
        let record = match record {
            Some(record) => names::of_record(state, &session.account, record).await,
            // It may not be opened any more, so the app reads nothing.
            None if grant.patient.is_some() && is_patient_side => continue,
            None => String::new(),
        };
        apps.push(AppView {
            grant: grant.id,
            name,
            record,
            what: groups(&scopes),
            since: day(grant.created),
            renewed: day(used),
            is_long,
        });
    }
    let template = AppsPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        apps,
        removed,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

/// The headings of the consent page under which something was granted.
fn groups(scopes: &ScopeList) -> Vec<String> {
    if scopes.resources.iter().any(|scope| scope.resource == "*") {
        return vec!["Everything you may see".to_owned()];
    }
    catalogue()
        .groups
        .iter()
        .filter(|group| {
            group.entries.iter().any(|entry| {
                scopes
                    .resources
                    .iter()
                    .any(|scope| scope.resource == entry.resource)
            })
        })
        .map(|group| group.title.clone())
        .collect()
}

/// A day as people write it, `November 10, 2026`, in UTC.
fn day(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(
        |_| String::new(),
        |at| {
            at.to_zoned(TimeZone::UTC)
                .strftime("%B %-d, %Y")
                .to_string()
        },
    )
}

pub(super) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    remove(&state, &jar, &headers, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn remove(
    state: &SmartState,
    jar: &CookieJar,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(headers, body).map_err(|_| PageError::Foreign)?;
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(see_other(&state.path("/login")));
    };
    if !session.posted(headers, params.first("form")) {
        return Err(PageError::Foreign);
    }
    let id = params.first("grant").unwrap_or_default();
    let tx = state.store().begin().await?;
    let own = grants::find_standing(tx.connection(), id)
        .await?
        .filter(|grant| grant.account.as_ref() == Some(&session.account.id));
    if let Some(grant) = own {
        grants::revoke(tx.connection(), &grant.id, state.now()).await?;
        tx.commit().await.map_err(PageError::from)?;
        tracing::info!(
            grant = grant.id,
            client_id = grant.client_id,
            "access removed"
        );
    }
    Ok(see_other(&state.path("/apps?removed=yes")))
}
