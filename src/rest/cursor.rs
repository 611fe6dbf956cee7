//! The place where a page of history ended: sealed like a search's cursor, for the request and the
//! viewer it was made for. It must not be readable either: surrogate ids count up, and a gap
//! between two of them would tell of something withheld in between.

use super::RestError;
use super::session::Session;
use crate::clock::Millis;
use crate::search::cursor::{self, SortValue};

/// A place in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The instant that the first page saw.
    pub(super) instant: Millis,
    /// The last entry of the page before: when, which document, which version.
    pub(super) after: (Millis, i64, i32),
}

impl Cursor {
    /// The text for a next link. `what` names the request: its path and its own parameters.
    pub(super) fn seal(&self, session: &Session, what: &str) -> Result<String, RestError> {
        let (updated, id, version) = self.after;
        let place = cursor::Cursor {
            instant: self.instant,
            id,
            keys: vec![SortValue::Int(updated), SortValue::Int(version.into())],
        };
        Ok(place.seal(session.store.keys(), &binding(session, what))?)
    }

    /// Opens what [`Cursor::seal`] made for the same viewer and request.
    pub(super) fn open(session: &Session, what: &str, text: &str) -> Result<Self, RestError> {
        let place = cursor::Cursor::open(text, session.store.keys(), &binding(session, what))?;
        let [SortValue::Int(updated), SortValue::Int(version)] = place.keys.as_slice() else {
            return Err(RestError::bad_request(
                "invalid",
                "The _cursor is of another request.",
            ));
        };
        let version = i32::try_from(*version)
            .map_err(|_| RestError::bad_request("invalid", "The _cursor is damaged."))?;
        Ok(Self {
            instant: place.instant,
            after: (*updated, place.id, version),
        })
    }
}

fn binding(session: &Session, what: &str) -> String {
    cursor::binding(&session.viewer, &format!("history\0{what}"))
}
