//! Conditions that the database must answer: conditional references, `ifNoneExist`, conditional
//! updates. They are searches as any other.

use url::form_urlencoded;

use crate::fhir::definitions::{TypeId, definitions};
use crate::search::{self, SearchError};
use crate::store::{Store, StoreError};
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass, Visibility};

/// Why a condition has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// For the summary.
    Refused(String),
    Database(StoreError),
}

/// Id of the one resource that matches, None when nothing does.
pub(super) async fn find(
    store: &Store,
    type_id: TypeId,
    query: &str,
) -> Result<Option<String>, Unanswered> {
    let name = definitions().type_name(type_id);
    // HL7's own example writes `Patient?identifier=…` where the query alone belongs.
    let query = query
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('?'))
        .unwrap_or(query);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let now = store.clock().now();
    let visibility = Visibility::of(&importer(), store.keys(), now, now);
    let found = search::find_ids(store, store.reader(), &visibility, type_id, &pairs, 2)
        .await
        .map_err(|error| unanswered(name, error))?;
    match &found[..] {
        [] => Ok(None),
        [(id, _)] => Ok(Some(id.clone())),
        _ => Err(Unanswered::Refused(format!(
            "a condition on {name} matches more than one resource"
        ))),
    }
}

/// Who asks: the hospital itself.
fn importer() -> Viewer {
    Viewer {
        class: ViewerClass::System,
        person: None,
        patient: None,
        client_id: "import".to_owned(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse("system/*.rs"),
    }
}

fn unanswered(name: &str, error: SearchError) -> Unanswered {
    match error {
        SearchError::Store(error) => Unanswered::Database(error),
        SearchError::Invalid(issues) => {
            let texts: Vec<&str> = issues
                .iter()
                .map(|issue| issue.diagnostics.as_str())
                .collect();
            Unanswered::Refused(format!("a condition on {name}: {}", texts.join("; ")))
        }
        error => Unanswered::Refused(format!("a condition on {name}: {error}")),
    }
}
