//! Who is signed in in the browser whose request is answered, and whether it is a shared terminal. Found once,
//! around every page, so that whatever page comes of it, also one that says what went wrong, has the button that
//! signs them out (portal.md A18).

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;

use super::pages::PageError;
use super::sessions::{self, Session};
use super::{SmartState, kiosk};
use crate::store::StoreError;

tokio::task_local! {
    static HERE: Here;
}

struct Here {
    session: Option<Session>,
    is_kiosk: bool,
}

/// Whoever was signed in when the request came. None outside a request.
pub(super) fn session() -> Option<Session> {
    let session = HERE.try_with(|here| here.session.clone());
    session.ok().flatten()
}

/// Whether the request came from a shared terminal.
pub(super) fn is_kiosk() -> bool {
    HERE.try_with(|here| here.is_kiosk).unwrap_or_default()
}

/// The middleware. To be looked at is no activity: the page itself says what is.
pub(super) async fn look(
    State(state): State<SmartState>,
    jar: CookieJar,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let is_terminal = kiosk::is_one(&state, &parts);
    let request = Request::from_parts(parts, body);
    let session = match find(&state, &jar, is_terminal).await {
        Ok(session) => session,
        Err(error) => {
            // A page that needs to know says so itself; one for everybody is shown as to nobody.
            tracing::warn!(%error, "who is signed in could not be looked up");
            None
        }
    };
    let is_kiosk = is_terminal || session.as_ref().is_some_and(|session| session.is_kiosk);
    let answered = async {
        let response = next.run(request).await;
        if is_kiosk && kiosk::is_download(&response) {
            return PageError::Kiosk.page(&state);
        }
        response
    };
    HERE.scope(Here { session, is_kiosk }, answered).await
}

/// The session, which is one of a shared terminal from the moment at which it is used at one.
async fn find(
    state: &SmartState,
    jar: &CookieJar,
    is_terminal: bool,
) -> Result<Option<Session>, StoreError> {
    let found = sessions::peek(state, jar).await?;
    let Some((mut session, _)) = found else {
        return Ok(None);
    };
    if is_terminal && !session.is_kiosk {
        sessions::make_kiosk(state, &session).await?;
        session.is_kiosk = true;
    }
    Ok(Some(session))
}
