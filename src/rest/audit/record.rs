//! An access as the journal keeps it: some tens of bytes once packed with others.

use serde::{Deserialize, Serialize};

use super::Access;
use crate::clock::Millis;
use crate::store::{JournalRow, StoreError};

/// One access, in short names: there are many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "t")]
    pub(super) at: Millis,
    #[serde(rename = "i")]
    pub(super) interaction: String,
    #[serde(rename = "c")]
    pub(super) client: String,
    #[serde(rename = "p", default)]
    pub(super) person: Option<String>,
    #[serde(rename = "s")]
    pub(super) status: u16,
    #[serde(rename = "w", default)]
    pub(super) what: Option<String>,
    #[serde(rename = "q", default)]
    pub(super) query: Option<String>,
    /// Keys of the resources that were seen or written.
    #[serde(rename = "k", default)]
    pub(super) touched: Vec<i64>,
}

/// [`Record`] as it is written: of an access, without copies.
#[derive(Serialize)]
struct Written<'a> {
    t: Millis,
    i: &'static str,
    c: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<&'a str>,
    s: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<&'a str>,
    #[serde(skip_serializing_if = "<[i64]>::is_empty")]
    k: &'a [i64],
}

impl<'a> From<&'a Access> for Written<'a> {
    fn from(access: &'a Access) -> Self {
        Self {
            t: access.at,
            i: access.interaction,
            c: &access.viewer.client_id,
            p: access.viewer.person.as_deref(),
            s: access.status.as_u16(),
            w: access.what.as_deref(),
            q: access.query.as_deref(),
            k: &access.touched,
        }
    }
}

/// Packs accesses.
pub(super) fn pack(accesses: &[Access]) -> Result<JournalRow, StoreError> {
    let written: Vec<Written<'_>> = accesses.iter().map(Written::from).collect();
    let text = serde_json::to_vec(&written).map_err(|_| StoreError::Corrupt("audit_journal"))?;
    let at = accesses.first().map_or(0, |access| access.at);
    let entries = i32::try_from(accesses.len()).unwrap_or(i32::MAX);
    JournalRow::pack(at, entries, &text)
}

/// What was packed.
pub(super) fn unpack(text: &[u8]) -> Result<Vec<Record>, StoreError> {
    serde_json::from_slice(text).map_err(|_| StoreError::Corrupt("audit_journal"))
}
