//! Shared terminals (portal.md 3.5): a browser that signs in with `/login?kiosk=1`, or from an address that the
//! configuration lists. Its session says so, and the server holds to it: two idle minutes, no new passkeys, no
//! files, no apps, and an end that leaves nothing in the browser.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::params::Params;
use super::sessions::is_same_origin;
use super::{MINUTE, SmartState};
use crate::clock::Millis;

/// Without use for this long, the person at a shared terminal is signed out.
const IDLE: Millis = 2 * MINUTE;
/// The parameter by which a browser's address bar, and then our own forms, say that it is one.
pub(super) const PARAMETER: &str = "kiosk";
/// Where the next person begins.
pub(super) const START: &str = "/login?kiosk=1";

/// An address of ours as it is at a shared terminal.
pub(super) fn with_parameter(path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{PARAMETER}=1")
}

/// How long a session lives without use.
pub(super) fn idle(state: &SmartState, is_kiosk: bool) -> Millis {
    let usual = state.config().session_idle;
    if is_kiosk { usual.min(IDLE) } else { usual }
}

/// Whether a request comes from a shared terminal: by its address, or because its address bar says so. A link on
/// somebody else's page says nothing.
pub(super) fn is_one(state: &SmartState, parts: &Parts) -> bool {
    let config = state.config();
    let is_listed = state.caller(parts).is_some_and(|caller| {
        let mut networks = config.kiosk_addresses.iter();
        networks.any(|network| network.contains(&caller))
    });
    let query = parts.uri.query().unwrap_or_default();
    let says_so = || Params::parse(query.as_bytes()).first(PARAMETER) == Some("1");
    let is_own = || {
        let site = parts.headers.get("sec-fetch-site");
        site.is_none_or(|site| site == "none") || is_same_origin(&parts.headers)
    };
    is_listed || (says_so() && is_own())
}

/// Whether an answer is a file that the browser keeps.
pub(super) fn is_download(response: &Response) -> bool {
    let disposition = response.headers().get(header::CONTENT_DISPOSITION);
    disposition.is_some_and(|value| value.as_bytes().starts_with(b"attachment"))
}

/// What a browser forgets with an answer: pages with a record on them and what they stored, and at a shared
/// terminal every cookie. Those only where the browser's own session or form says so: anybody can have a page of
/// ours loaded.
pub(super) fn forget(response: &mut Response, is_kiosk: bool) {
    let all = if is_kiosk {
        "\"cache\", \"cookies\", \"storage\""
    } else {
        "\"cache\", \"storage\""
    };
    response.headers_mut().insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static(all),
    );
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn a_file_is_what_the_browser_is_told_to_keep() {
        for (value, expected) in [
            ("attachment; filename=\"record.pdf\"", true),
            ("attachment", true),
            ("inline", false),
        ] {
            let response = ([(header::CONTENT_DISPOSITION, value)], "").into_response();
            assert_eq!(is_download(&response), expected, "{value}");
        }
        assert!(!is_download(&"a page".into_response()));
    }
}
