//! What people call a record: what they said themselves, or else the name that the Patient resource
//! gives.

use serde_json::Value;

use super::SmartState;
use super::entities::{account, record};
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::sql::Sql;
use crate::store::StoreError;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass, Visibility};

/// The name of a record for somebody who may open it. The Patient is read as that person reads it.
pub(super) async fn of_record(
    state: &SmartState,
    account: &account::Model,
    record: &record::Model,
) -> String {
    if !record.name.is_empty() {
        return record.name.clone();
    }
    let (class, person) = match &record.related_person {
        Some(id) => (ViewerClass::Representative, format!("RelatedPerson/{id}")),
        None => (ViewerClass::Patient, format!("Patient/{}", record.patient)),
    };
    let scope = "patient/Patient.r";
    if let Some(name) = of_patient(state, class, Some(person), &record.patient, scope).await {
        return name;
    }
    match &record.related_person {
        None => account.name.clone(),
        Some(_) => format!("Record {}", record.patient),
    }
}

/// The name of the patient from whose chart staff launched an app, as they read it.
pub(super) async fn in_context(
    state: &SmartState,
    class: ViewerClass,
    person: Option<String>,
    patient: &str,
) -> String {
    of_patient(state, class, person, patient, "user/Patient.r")
        .await
        .unwrap_or_else(|| format!("record {patient}"))
}

async fn of_patient(
    state: &SmartState,
    class: ViewerClass,
    person: Option<String>,
    patient: &str,
    scope: &str,
) -> Option<String> {
    human_name(&self::patient(state, class, person, patient, scope).await?)
}

/// A Patient as somebody reads it; none when it is absent, withheld or out of reach.
pub(super) async fn patient(
    state: &SmartState,
    class: ViewerClass,
    person: Option<String>,
    patient: &str,
    scope: &str,
) -> Option<Value> {
    let viewer = Viewer {
        class,
        person,
        patient: Some(patient.to_owned()),
        client_id: String::new(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse(scope),
    };
    let store = state.store();
    let now = state.now();
    let visibility = Visibility::of(&viewer, store.keys(), now, now);
    let type_id = definitions().type_id("Patient")?;
    let stored = store
        .read(&visibility, nothing, type_id, patient)
        .await
        .ok()?;
    serde_json::from_slice(&stored.body).ok()
}

/// The scope above narrows nothing; if it did, nothing would match.
fn nothing(_: &Keys, _: TypeId, _: &str, _: &mut Sql, _: &str) -> Result<String, StoreError> {
    Ok("1 = 0".to_owned())
}

/// The usual name, then the official one, then the first that is not `old`.
pub(super) fn human_name(patient: &Value) -> Option<String> {
    let names = patient.get("name")?.as_array()?;
    let with_use = |wanted: &str| {
        names
            .iter()
            .find(|name| name.get("use").and_then(Value::as_str) == Some(wanted))
    };
    let name = with_use("usual")
        .or_else(|| with_use("official"))
        .or_else(|| {
            names
                .iter()
                .find(|name| name.get("use").and_then(Value::as_str) != Some("old"))
        })?;
    if let Some(text) = name.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let given = name.get("given").and_then(Value::as_array);
    let words: Vec<&str> = given
        .into_iter()
        .flatten()
        .chain(name.get("family"))
        .filter_map(Value::as_str)
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_people_use() {
        let name = |names: Value| human_name(&json!({ "name": names }));
        assert_eq!(
            name(json!([
                {"use": "old", "family": "Vega"},
                {"use": "official", "family": "Ruiz", "given": ["Ana", "Maria"]},
            ]))
            .as_deref(),
            Some("Ana Maria Ruiz")
        );
        assert_eq!(name(json!([{"text": "Ana R."}])).as_deref(), Some("Ana R."));
        assert_eq!(name(json!([{"use": "old", "family": "Vega"}])), None);
        assert_eq!(name(json!([{"use": "usual"}])), None);
        assert_eq!(human_name(&json!({})), None);
    }
}
