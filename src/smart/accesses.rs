//! Who looked at what on pages of ours: put into the journal in which the FHIR API notes its accesses, so
//! that the same AuditEvents come of it (45 CFR 164.312(b)).

use serde_json::{Value, json};

use super::SmartState;
use super::sessions::Session;
use crate::store::{JournalRow, StoreError};
use crate::visibility::Viewer;

/// Notes a search before what it found is shown. `names`: of its parameters; their values may name a person.
pub(super) async fn note(
    state: &SmartState,
    session: &Session,
    viewer: &Viewer,
    (page, type_name): (&str, &str),
    names: impl Iterator<Item = &str>,
    found: &[Value],
) -> Result<(), StoreError> {
    if !state.config().audit {
        return Ok(());
    }
    let store = state.store();
    let now = state.now();
    let names: Vec<String> = names.map(|name| format!("{name}=")).collect();
    let ids = found.iter().filter_map(|one| one.get("id")?.as_str());
    let keys: Vec<i64> = ids
        .map(|id| store.keys().reference(type_name, id))
        .collect();
    // The page stands where an app would; with whose account, where no Practitioner says who it was.
    let client = match &viewer.person {
        Some(_) => page.to_owned(),
        None => format!("{page}?account={}", session.account.id),
    };
    // The fields are those of `rest::audit::record::Record`.
    let access = json!([{
        "t": now,
        "i": "search-type",
        "c": client,
        "p": viewer.person,
        "s": 200,
        "q": format!("{type_name}?{}", names.join("&")),
        "k": keys,
    }]);
    let row = JournalRow::pack(now, 1, access.to_string().as_bytes())?;
    store.append_journal(vec![row]).await
}
