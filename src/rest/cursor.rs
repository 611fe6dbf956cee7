//! The place where a page of history ended: opaque to the client, bound to the request and the
//! viewer it was made for, and of no use when changed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::RestError;
use super::session::Session;
use crate::clock::Millis;

/// A place in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The instant that the first page saw.
    pub(super) instant: Millis,
    /// The last entry of the page before: when, which document, which version.
    pub(super) after: (Millis, i64, i32),
}

const LENGTH: usize = 8 + 8 + 8 + 4;

impl Cursor {
    /// The text for a next link. `what` names the request: its path and its own parameters.
    pub(super) fn seal(&self, session: &Session, what: &str) -> String {
        let mut bytes = Vec::with_capacity(LENGTH + 8);
        bytes.extend(self.instant.to_be_bytes());
        bytes.extend(self.after.0.to_be_bytes());
        bytes.extend(self.after.1.to_be_bytes());
        bytes.extend(self.after.2.to_be_bytes());
        bytes.extend(seal(session, what, &bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens what [`Cursor::seal`] made for the same viewer and request.
    pub(super) fn open(session: &Session, what: &str, text: &str) -> Result<Self, RestError> {
        let forged = || {
            RestError::bad_request(
                "invalid",
                "The _cursor is not one that this server gave out for this request.",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| forged())?;
        let (place, tag) = bytes.split_at_checked(LENGTH).ok_or_else(forged)?;
        if tag != seal(session, what, place).to_be_bytes() {
            return Err(forged());
        }
        let long = |at: usize| {
            place
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(i64::from_be_bytes)
                .ok_or_else(forged)
        };
        let version = place
            .get(24..28)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
            .ok_or_else(forged)?;
        Ok(Self {
            instant: long(0)?,
            after: (long(8)?, long(16)?, version),
        })
    }
}

/// A keyed hash over the place, the request and the viewer.
fn seal(session: &Session, what: &str, place: &[u8]) -> i64 {
    let viewer = &session.viewer;
    let text = format!(
        "history-cursor\n{}\n{}\n{}\n{}\n{what}\n{}",
        viewer.class.name(),
        viewer.person.as_deref().unwrap_or(""),
        viewer.patient.as_deref().unwrap_or(""),
        viewer.client_id,
        URL_SAFE_NO_PAD.encode(place),
    );
    session.store.keys().text(&text)
}
