//! Around the pages of whoever is signed in: a browser that was idle for too long is signed out and told so
//! (portal.md A17), and who must choose another password does that first.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::pages::{PageError, see_other};
use super::sessions::{self, Look};
use super::{MOST_BODY_BYTES, SmartState, drafts, here, logout, switch};

/// First parts of the pages that are somebody's own.
const OWN: &[&str] = &[
    "apps",
    "developers",
    "resume",
    "security",
    "settings",
    "staff",
];
const PASSWORD: &str = "/settings/password";

/// The page that somebody may be led back to: one of ours, for whoever is signed in. Nothing that comes in
/// as a parameter leads anywhere else.
pub(super) fn own_page(text: &str) -> Option<String> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut parts = path.strip_prefix('/')?.split('/');
    let first = parts.next()?;
    if !parts.all(is_plain) {
        return None;
    }
    if OWN.contains(&first) {
        return Some(path.to_owned());
    }
    // A step of connecting an app.
    let id = query.strip_prefix("request=")?;
    let is_step = matches!(path, "/auth/record" | "/auth/consent" | switch::PATH);
    (is_step && !id.is_empty() && is_plain(id)).then(|| text.to_owned())
}

/// Where somebody signs in to go on at a page.
pub(super) fn to_login(state: &SmartState, page: &str) -> Response {
    see_other(&state.path(&with_next("/login", page)))
}

/// An address of ours with the page to go on at.
pub(super) fn with_next(path: &str, page: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let next: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
    format!("{path}{separator}next={next}")
}

/// The page of an address, without what need not be asked again.
pub(super) fn page_of(address: &str) -> Option<String> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let id = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "request")
        .map(|(_, value)| value.into_owned());
    match id {
        Some(id) => own_page(&format!("{path}?request={id}")),
        None => own_page(path),
    }
}

/// The middleware.
pub(super) async fn pass(
    State(state): State<SmartState>,
    jar: CookieJar,
    request: Request,
    next: Next,
) -> Response {
    match decide(&state, jar, request).await {
        Ok(Way::On(request)) => next.run(request).await,
        Ok(Way::Form(request, page)) => {
            let session = here::session();
            let response = next.run(request).await;
            // A form that was taken leads on; what was refused may still be wanted.
            if let Some(session) = session
                && response.status().is_redirection()
                && let Err(error) = drafts::sent(&state, &session.account.id, &page).await
            {
                tracing::error!(%error, "a draft could not be forgotten");
            }
            response
        }
        Ok(Way::Elsewhere(response)) => response,
        Err(error) => error.page(&state),
    }
}

enum Way {
    On(Request),
    /// The same, with a form for a page of which there may be a draft.
    Form(Request, String),
    Elsewhere(Response),
}

async fn decide(state: &SmartState, jar: CookieJar, request: Request) -> Result<Way, PageError> {
    let page = page_of(&request.uri().to_string());
    let is_get = request.method() == Method::GET;
    Ok(match sessions::look(state, &jar).await? {
        Look::Idle { is_kiosk } if is_get || is_kiosk => {
            let jar = sessions::end(state, jar).await?;
            let away = logout::idle(state, page.as_deref(), is_kiosk);
            Way::Elsewhere((jar, away).into_response())
        }
        Look::Idle { .. } => late(state, jar, request, page).await?,
        Look::Live { must_change: true } if request.uri().path() != PASSWORD => {
            let to = with_next(PASSWORD, page.as_deref().unwrap_or("/settings"));
            Way::Elsewhere(see_other(&state.path(&to)))
        }
        Look::Live { .. } if !is_get => match page {
            Some(page) => Way::Form(request, page),
            None => Way::On(request),
        },
        _ => Way::On(request),
    })
}

/// A form that comes too late: what was typed is kept. Where nothing can be, the form finds its own way to the
/// sign-in page.
async fn late(
    state: &SmartState,
    jar: CookieJar,
    request: Request,
    page: Option<String>,
) -> Result<Way, PageError> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BODY_BYTES).await else {
        let jar = sessions::end(state, jar).await?;
        let away = logout::idle(state, page.as_deref(), false);
        return Ok(Way::Elsewhere((jar, away).into_response()));
    };
    if let (Some(page), Some(session)) = (page, sessions::alive_or_idle(state, &jar).await?)
        && let Ok(params) = session.form(&parts.headers, &body)
        && drafts::keep(state, &session.account.id, &page, &params).await?
    {
        let jar = sessions::end(state, jar).await?;
        let away = logout::idle(state, Some(drafts::PATH), false);
        return Ok(Way::Elsewhere((jar, away).into_response()));
    }
    Ok(Way::On(Request::from_parts(parts, body.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_anywhere_else() {
        for good in [
            "/apps",
            "/settings",
            "/settings/sessions",
            "/auth/consent?request=aZ09-_",
            "/auth/record?request=x",
        ] {
            assert_eq!(own_page(good).as_deref(), Some(good));
        }
        assert_eq!(own_page("/settings?done=yes").as_deref(), Some("/settings"));
        for bad in [
            "",
            "settings",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/settings",
            "/settings/../logout",
            "/settings/%2e%2e/x",
            "/settings/\r\nlocation: x",
            "/login",
            "/logout",
            "/auth/consent",
            "/auth/consent?request=",
            "/auth/consent?request=a&action=allow",
            "/auth/authorize?request=x",
            "/settingsx",
        ] {
            assert_eq!(own_page(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_page_to_go_on_at_is_one_parameter() {
        assert_eq!(
            with_next("/login", "/auth/consent?request=a"),
            "/login?next=%2Fauth%2Fconsent%3Frequest%3Da"
        );
    }
}
