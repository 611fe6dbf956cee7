//! What each app does here: token and FHIR requests a day, and the errors that it met, for the pages of its
//! developer (portal.md 5.17). Kept in memory with every request and written down now and then, so that no
//! request costs a write; what was not written down when a process died is lost.
//!
//! Nothing of a patient is noted: neither path nor query, of an error no more than its code and one of our
//! own fixed sentences. An app that says its name without a proof can fill that app's log; it stays bounded.

mod shown;
mod written;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::{MINUTE, SmartState, secret};
use crate::clock::Millis;
use crate::visibility::Viewer;

pub(super) use shown::{DayOfUse, seen};
pub(super) use written::sweep;
pub use written::write_activity;

/// Of how many days the use is shown, and for how long errors are kept.
const REMEMBERED_DAYS: i64 = 30;
/// Errors of one app that are kept.
const MOST_KEPT: u64 = 200;
/// Apps and tokens between two writes. Beyond them nothing is noted.
const MOST: usize = 50_000;
/// Bytes of a client id: none that is registered has more.
const LONGEST_ID: usize = 255;
/// Errors of one of them between two writes: the newest are kept.
const MOST_ERRORS: usize = 20;
/// Errors of all of them between two writes. Beyond them none is noted.
const MOST_ERRORS_OF_ALL: usize = 10_000;

/// Names a request in the log and in its answer; whoever observes requests puts it among the headers.
const REQUEST_ID: &str = "x-request-id";

/// Whose request it was, as far as the request says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// The hash of a token; its client is looked up when it is written down.
    Token(Vec<u8>),
    /// A client id that nobody proved.
    Client(String),
}

/// Where an error was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Authorize,
    Token,
    Fhir,
}

impl Endpoint {
    /// The word in the database.
    fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Fhir => "fhir",
        }
    }
}

/// What finds the request in the server's log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference<'a> {
    /// On the page that the person saw.
    OfPage(&'a str),
    OfRequest(Option<&'a HeaderValue>),
}

impl<'a> Reference<'a> {
    pub(super) fn of_request(headers: &'a HeaderMap) -> Self {
        Self::OfRequest(headers.get(REQUEST_ID))
    }

    /// The text to keep. An id of another form than this server's own is the app's words, whatever they say.
    fn kept(self) -> Option<String> {
        match self {
            Self::OfPage(text) => Some(text.to_owned()),
            Self::OfRequest(id) => {
                let text = id?.to_str().ok()?;
                Uuid::try_parse(text).ok().map(|id| id.to_string())
            }
        }
    }
}

/// A request that was refused. `words`: one of our own sentences, or empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) words: &'a str,
    pub(super) reference: Reference<'a>,
}

/// An error as it is written down.
#[derive(Debug)]
struct Met {
    at: Millis,
    endpoint: Endpoint,
    status: u16,
    code: String,
    words: String,
    reference: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tokens: u32,
    requests: u32,
}

/// What was noted of one since it was last written down.
#[derive(Debug, Default)]
struct Noted {
    /// By quarters of an hour since 1970: every calendar's days begin with one.
    counts: BTreeMap<i64, Counts>,
    errors: VecDeque<Met>,
}

#[derive(Debug, Default)]
struct Pending {
    of: HashMap<Whose, Noted>,
    errors: usize,
}

/// What was noted since it was last written down.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<Pending>);

/// Use within a quarter of an hour is counted together.
const TOGETHER: Millis = 15 * MINUTE;

impl Activity {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> HashMap<Whose, Noted> {
        std::mem::take(&mut *self.lock()).of
    }

    /// Notes that somebody got tokens.
    pub(super) fn answered_with_tokens(&self, now: Millis, whose: Whose) {
        let mut pending = self.lock();
        if let Some(counts) = pending.counts(now, whose) {
            counts.tokens = counts.tokens.saturating_add(1);
        }
    }

    /// Notes that somebody was refused.
    pub(super) fn refused(&self, now: Millis, whose: Whose, refusal: Refusal<'_>) {
        self.lock().refused(now, whose, refusal);
    }
}

impl Pending {
    fn noted(&mut self, whose: Whose) -> Option<&mut Noted> {
        // Nobody's, however long it is.
        if matches!(&whose, Whose::Client(id) if id.len() > LONGEST_ID) {
            return None;
        }
        if self.of.len() >= MOST && !self.of.contains_key(&whose) {
            return None;
        }
        Some(self.of.entry(whose).or_default())
    }

    fn counts(&mut self, now: Millis, whose: Whose) -> Option<&mut Counts> {
        let noted = self.noted(whose)?;
        Some(noted.counts.entry(now.div_euclid(TOGETHER)).or_default())
    }

    fn refused(&mut self, now: Millis, whose: Whose, refusal: Refusal<'_>) {
        let is_full = self.errors >= MOST_ERRORS_OF_ALL;
        let Some(noted) = self.noted(whose) else {
            return;
        };
        let is_one_more = noted.errors.len() < MOST_ERRORS;
        if is_one_more && is_full {
            return;
        }
        if !is_one_more {
            noted.errors.pop_front();
        }
        noted.errors.push_back(Met {
            at: now,
            endpoint: refusal.endpoint,
            status: refusal.status,
            code: refusal.code.to_owned(),
            words: refusal.words.to_owned(),
            reference: refusal.reference.kept(),
        });
        self.errors += usize::from(is_one_more);
    }
}

/// How a FHIR request was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// Code of the OperationOutcome's first issue.
    pub code: Option<&'static str>,
    /// What was asked for, without a path.
    pub interaction: Option<&'static str>,
    pub request_id: Option<&'a HeaderValue>,
}

/// Notes how a request with a token was answered. `viewer`: whose the token is, if it is anybody's.
pub fn note_answer<'b>(
    state: &SmartState,
    viewer: Option<&Viewer>,
    bearer: impl Fn() -> Option<&'b str>,
    answer: &Answer<'_>,
) {
    let now = state.now();
    let whose = match viewer {
        Some(viewer) => Whose::Client(viewer.client_id.clone()),
        None => match bearer() {
            Some(bearer) => Whose::Token(secret::hash(bearer)),
            None => return,
        },
    };
    let mut pending = state.activity().lock();
    let is_alive = answer.status != 401;
    if (400..500).contains(&answer.status) {
        let refusal = Refusal {
            endpoint: Endpoint::Fhir,
            status: answer.status,
            code: answer.code.unwrap_or_default(),
            words: answer.interaction.unwrap_or_default(),
            reference: Reference::OfRequest(answer.request_id),
        };
        pending.refused(now, whose.clone(), refusal);
    }
    if is_alive && let Some(counts) = pending.counts(now, whose) {
        counts.requests = counts.requests.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
