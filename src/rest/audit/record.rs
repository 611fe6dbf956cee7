//! An access as the journal keeps it: some tens of bytes once packed with others.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Access;
use crate::clock::Millis;
use crate::store::{JournalRow, StoreError};

/// One access, in short names: there are many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "t")]
    pub(super) at: Millis,
    #[serde(rename = "i")]
    pub(super) interaction: Cow<'static, str>,
    #[serde(rename = "c")]
    pub(super) client: Arc<str>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) person: Option<Arc<str>>,
    #[serde(rename = "s")]
    pub(super) status: u16,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<String>,
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<String>,
    /// Keys of the resources that were seen or written.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) touched: Vec<i64>,
}

impl From<Access> for Record {
    fn from(access: Access) -> Self {
        Self {
            at: access.at,
            interaction: Cow::Borrowed(access.interaction),
            client: access.viewer.client_id.as_str().into(),
            person: access.viewer.person.as_deref().map(Into::into),
            status: access.status.as_u16(),
            what: access.what,
            query: access.query,
            touched: access.touched,
        }
    }
}

/// Packs accesses.
pub(super) fn pack(records: &[Record]) -> Result<JournalRow, StoreError> {
    let text = serde_json::to_vec(records).map_err(|_| StoreError::Corrupt("audit_journal"))?;
    let at = records.first().map_or(0, |record| record.at);
    let entries = i32::try_from(records.len()).unwrap_or(i32::MAX);
    JournalRow::pack(at, entries, &text)
}

/// What was packed.
pub(super) fn unpack(text: &[u8]) -> Result<Vec<Record>, StoreError> {
    serde_json::from_slice(text).map_err(|_| StoreError::Corrupt("audit_journal"))
}
