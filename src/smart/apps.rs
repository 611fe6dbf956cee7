//! `/apps`: which apps can read a record, since when, what they read last, and the button that ends it at
//! once. This is SMART's `management_endpoint`.

mod change;
mod directory;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::entities::{client, grant, record};
use super::facts::Facts;
use super::pages::{Forms, Frame, PageError, page, see_other};
use super::params::Params;
use super::scopes::{ScopeList, catalogue};
use super::sessions::Session;
use super::users::Role;
use super::{
    DAY, SmartState, grants, logo, names, reads, representative, sessions, staff_launch, users,
};
use crate::clock::Millis;
use crate::texts::Texts;

pub(super) use change::{get as get_change, post as post_change};
pub(super) use directory::get as get_directory;

/// How long an app is listed whose access ended.
const REMEMBERED: Millis = 365 * DAY;

#[derive(Template)]
#[template(path = "smart/apps.html")]
struct AppsPage {
    frame: Frame,
    form: String,
    apps: Vec<AppView>,
    past: Vec<PastView>,
    opens_apps: bool,
    /// Name of a text that says what was done; empty when nothing was.
    done: &'static str,
}

struct AppView {
    grant: String,
    name: String,
    /// Where its logo is; empty when it has none.
    logo: String,
    record: String,
    what: String,
    since: String,
    /// When it last read, and what; empty when it never did.
    read: String,
    until: String,
    contact: String,
}

struct PastView {
    /// Empty where there is nothing left to turn off.
    grant: String,
    name: String,
    record: String,
    what: String,
    since: String,
    ended: String,
    was_removed: bool,
}

/// A grant with what is said of it.
struct Shown {
    name: String,
    logo: String,
    facts: Facts,
    record: String,
    /// Whether whoever gave it may not act for the patient any more: it opens nothing until they may.
    is_suspended: bool,
}

pub(super) async fn get(
    State(state): State<SmartState>,
    RawQuery(query): RawQuery,
    jar: CookieJar,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let done = match params.first("done") {
        Some("removed") => "apps-removed",
        Some("changed") => "apps-changed",
        _ => "",
    };
    let shown = async {
        match sessions::load(&state, &jar).await? {
            Some(session) if Role::from_name(&session.account.role) == Some(Role::Developer) => {
                Ok(see_other(&state.path("/developers/apps")))
            }
            Some(session) => list(&state, &session, done).await,
            None => Ok(see_other(&state.path("/login"))),
        }
    };
    shown.await.unwrap_or_else(|error| error.page(&state))
}

/// When the access of a grant ends or ended by itself.
fn end(state: &SmartState, grant: &grant::Model) -> Millis {
    let config = state.config();
    let life = if grant.scopes().has("offline_access") {
        config.refresh_token_life
    } else {
        config.access_token_life
    };
    let idle = grant.used.unwrap_or_default().saturating_add(life);
    grant.ends.map_or(idle, |ends| ends.min(idle))
}

async fn list(
    state: &SmartState,
    session: &Session,
    done: &'static str,
) -> Result<Response, PageError> {
    // What this process noted; another's is a minute behind at most.
    reads::write_reads(state).await?;
    let reader = state.store().reader();
    let now = state.now();
    let records = users::records(reader, &session.account.id).await?;
    let open = representative::records(state, &session.account.id).await?;
    let found = grant::Entity::find()
        .filter(grant::Column::Account.eq(&session.account.id))
        .filter(grant::Column::Used.is_not_null())
        .order_by_desc(grant::Column::Created)
        .all(reader)
        .await?;
    let mut apps = Vec::new();
    let mut past = Vec::new();
    for grant in found {
        let ends = end(state, &grant);
        let ended = grant.revoked.unwrap_or(ends).min(ends);
        if ended + REMEMBERED <= now {
            continue;
        }
        let Some(shown) = shown(state, session, &records, &open, &grant).await? else {
            continue;
        };
        if ended <= now {
            past.push(PastView {
                grant: String::new(),
                name: shown.name,
                record: shown.record,
                what: groups(&grant.scopes()),
                since: state.day(grant.created),
                ended: state.day(ended),
                was_removed: grant.revoked.is_some_and(|at| at <= ends),
            });
            continue;
        }
        if shown.is_suspended {
            past.push(PastView {
                what: groups(&grant.scopes()),
                since: state.day(grant.created),
                ended: String::new(),
                was_removed: false,
                grant: grant.id,
                name: shown.name,
                record: shown.record,
            });
            continue;
        }
        apps.push(AppView {
            what: groups(&grant.scopes()),
            since: state.day(grant.created),
            read: last_read(state, &grant),
            until: until(state, &grant, ends),
            contact: shown
                .facts
                .contact
                .or(shown.facts.website)
                .unwrap_or_default(),
            grant: grant.id,
            name: shown.name,
            logo: shown.logo,
            record: shown.record,
        });
    }
    let template = AppsPage {
        frame: Frame::new(state, Some(session)),
        form: session.form_token(),
        apps,
        past,
        opens_apps: staff_launch::opens_apps(session),
        done,
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}

/// What is said of a grant; none for a record that is not the account's any more. `open`: those of its
/// `records` that it may open now. What the others are called today is not read.
async fn shown(
    state: &SmartState,
    session: &Session,
    records: &[record::Model],
    open: &[record::Model],
    grant: &grant::Model,
) -> Result<Option<Shown>, PageError> {
    let of_grant = |record: &&record::Model| grant.patient.as_ref() == Some(&record.patient);
    let record = records.iter().find(of_grant);
    let is_suspended = record.is_some() && !open.iter().any(|record| of_grant(&record));
    let is_patient_side =
        Role::from_name(&session.account.role).is_some_and(|role| role.class().is_patient_side());
    let record = match record {
        Some(record) if is_suspended => record.name.clone(),
        Some(record) => names::of_record(state, &session.account, record).await,
        None if grant.patient.is_some() && is_patient_side => return Ok(None),
        None => String::new(),
    };
    let client = client::Entity::find_by_id(grant.client_id.clone())
        .one(state.store().reader())
        .await?;
    let (name, logo, facts) = match client {
        Some(client) => (
            client.name.clone(),
            logo::address(state, &client),
            client.told(),
        ),
        None => (grant.client_id.clone(), String::new(), Facts::default()),
    };
    Ok(Some(Shown {
        name,
        logo,
        facts,
        record,
        is_suspended,
    }))
}

fn last_read(state: &SmartState, grant: &grant::Model) -> String {
    let Some(at) = grant.read else {
        return String::new();
    };
    let types = grant.read_types.as_deref().unwrap_or_default();
    let what = titles(|resource| types.split(' ').any(|one| one == resource));
    let when = state.moment(at);
    let texts = Texts::here();
    if types.split(' ').any(|one| one == reads::EVERYTHING) {
        let what = texts.plain("apps-everything", []);
        return texts.plain("apps-read", [("when", when.into()), ("what", what.into())]);
    }
    if what.is_empty() {
        return when;
    }
    texts.plain("apps-read", [("when", when.into()), ("what", what.into())])
}

fn until(state: &SmartState, grant: &grant::Model, ends: Millis) -> String {
    let texts = Texts::here();
    if !grant.scopes().has("offline_access") {
        let when = state.moment(ends);
        return texts.plain("apps-until-soon", [("when", when.into())]);
    }
    let idle = state.day(ends);
    match grant.ends {
        Some(at) => {
            let day = state.day(at);
            texts.plain(
                "apps-until-day",
                [("day", day.into()), ("idle", idle.into())],
            )
        }
        None => texts.plain("apps-until-off", [("idle", idle.into())]),
    }
}

/// The headings of the consent page under which something was granted.
fn groups(scopes: &ScopeList) -> String {
    if scopes.resources.iter().any(|scope| scope.resource == "*") {
        return Texts::here().plain("consent-everything", []);
    }
    titles(|resource| {
        scopes
            .resources
            .iter()
            .any(|scope| scope.resource == resource)
    })
}

fn titles(is_there: impl Fn(&str) -> bool) -> String {
    let texts = Texts::here();
    let titles: Vec<String> = catalogue()
        .groups
        .iter()
        .filter(|group| group.entries.iter().any(|entry| is_there(&entry.resource)))
        .map(|group| texts.plain(&group.title, []))
        .collect();
    titles.join(", ")
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
    let Some(session) = sessions::load(state, jar).await? else {
        return Ok(see_other(&state.path("/login")));
    };
    let params = session.form(headers, body)?;
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
    Ok(see_other(&state.path("/apps?done=removed")))
}
