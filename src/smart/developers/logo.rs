//! `/developers/apps/logo`: a logo for an app of a developer, or none any more.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::change::{Act, Outcome, show};
use super::developer;
use crate::smart::logo::{self, LogoError, MOST_BYTES};
use crate::smart::pages::{PageError, see_other};
use crate::smart::sessions::Session;
use crate::smart::{SmartState, registrations};
use crate::store::Origin;

/// The picture, and what is around it.
pub(in crate::smart) const MOST_BODY_BYTES: usize = MOST_BYTES + 64 * 1024;

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    headers: HeaderMap,
    parts: Result<Multipart, MultipartRejection>,
) -> Response {
    let session = match developer(&state, &jar).await {
        Ok(session) => session,
        Err(instead) => return *instead,
    };
    let Ok(parts) = parts else {
        return PageError::Foreign.page(&state);
    };
    replace(&state, &session, &headers, parts)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

/// What was sent.
#[derive(Default)]
struct Sent {
    form: String,
    client: String,
    action: String,
    picture: Bytes,
    /// Whether there was more than is taken.
    is_too_large: bool,
}

impl Sent {
    /// The fields in their order; what comes behind one that is too large is not looked at.
    async fn of(mut parts: Multipart) -> Result<Self, PageError> {
        let mut sent = Self::default();
        loop {
            let field = match parts.next_field().await {
                Ok(Some(field)) => field,
                Ok(None) => return Ok(sent),
                Err(error) => return sent.end(&error),
            };
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = match field.bytes().await {
                Ok(bytes) => bytes,
                Err(error) => return sent.end(&error),
            };
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            match name.as_str() {
                "form" => sent.form = text(),
                "client" => sent.client = text(),
                "action" => sent.action = text(),
                "logo" => sent.picture = bytes,
                _ => {}
            }
        }
    }

    fn end(mut self, error: &MultipartError) -> Result<Self, PageError> {
        if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
            return Err(PageError::Foreign);
        }
        self.is_too_large = true;
        Ok(self)
    }
}

async fn replace(
    state: &SmartState,
    session: &Session,
    headers: &HeaderMap,
    parts: Multipart,
) -> Result<Response, PageError> {
    let sent = Sent::of(parts).await?;
    if !session.posted(headers, Some(&sent.form)) {
        return Err(PageError::Foreign);
    }
    let (image, done) = match sent.action.as_str() {
        "no-logo" => (None, "no-logo"),
        _ => {
            let drawn = if sent.is_too_large {
                Err(LogoError::TooLarge)
            } else {
                logo::redrawn(sent.picture).await
            };
            match drawn {
                Ok(image) => (Some(image), "logo"),
                Err(error) => {
                    let problem = Outcome::problem(words(error));
                    return show(state, session, &sent.client, problem).await;
                }
            }
        }
    };
    let mut writer = state.store().writer(Origin::Feed).await?;
    let connection = writer.connection();
    let own = registrations::owned(connection, &session.account.id, &sent.client).await?;
    // Any other app does not exist.
    let Some(client) = own else {
        return Ok(see_other(&state.path("/developers/apps")));
    };
    logo::replace(connection, &client, image, state.now()).await?;
    // Under the same name it may be taken for somebody else.
    registrations::set_unverified(connection, &client.client_id).await?;
    let act = Act {
        state,
        session,
        client: &client,
    };
    act.note(&mut writer, "app-changed").await?;
    writer.commit().await?;
    let to = format!(
        "/developers/apps/change?client={}&done={done}",
        client.client_id
    );
    Ok(see_other(&state.path(&to)))
}

/// Name of the text that says why.
fn words(error: LogoError) -> &'static str {
    match error {
        LogoError::TooLarge => "dev-logo-large",
        LogoError::Unreadable => "dev-logo-unreadable",
        LogoError::Sides => "dev-logo-sides",
    }
}
