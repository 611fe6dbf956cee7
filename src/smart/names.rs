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

/// What whoever acts for the patient is to them, as the texts choose by it: `parent`, `guardian`, …,
/// `other` where the RelatedPerson does not say or is not there.
pub(super) async fn relation(state: &SmartState, record: &record::Model) -> &'static str {
    let Some(id) = &record.related_person else {
        return "self";
    };
    let person = Some(format!("RelatedPerson/{id}"));
    let scope = "patient/RelatedPerson.r";
    let viewer = viewer(ViewerClass::Representative, person, &record.patient, scope);
    match read(state, &viewer, "RelatedPerson", id).await {
        Some(person) => relation_of(&person),
        None => "other",
    }
}

/// The first relationship that the texts have words for (HL7 v3 RoleCode PersonalRelationshipRoleType and
/// ResponsibleParty, v2 table 0131).
fn relation_of(person: &Value) -> &'static str {
    let list = |value: &Value, name: &str| {
        let items = value.get(name).and_then(Value::as_array);
        items.cloned().unwrap_or_default()
    };
    list(person, "relationship")
        .iter()
        .flat_map(|concept| list(concept, "coding"))
        .filter_map(|coding| coding.get("code").and_then(Value::as_str).map(word_for))
        .find(|word| *word != "other")
        .unwrap_or("other")
}

fn word_for(code: &str) -> &'static str {
    match code {
        "PRN" | "MTH" | "FTH" | "NPRN" | "NMTH" | "NFTH" | "ADOPTP" | "ADOPTM" | "ADOPTF"
        | "STPPRN" | "STPMTH" | "STPFTH" | "PRNFOST" | "MTHFOST" | "FTHFOST" => "parent",
        "GUARD" | "GUADLTM" => "guardian",
        "POWATT" | "HPOWATT" | "DPOWATT" | "SPOWATT" => "attorney",
        "SPS" | "HUSB" | "WIFE" | "DOMPART" | "SIGOTHR" => "partner",
        "CHILD" | "SON" | "DAU" | "DAUC" | "SONC" | "NCHILD" | "NSON" | "NDAU" | "CHLDADOPT"
        | "SONADOPT" | "DAUADOPT" | "STPCHLD" | "STPSON" | "STPDAU" => "child",
        "GRPRN" | "GRMTH" | "GRFTH" | "MGRPRN" | "PGRPRN" => "grandparent",
        "SIB" | "BRO" | "SIS" | "NSIB" | "NBRO" | "NSIS" | "HSIB" => "sibling",
        _ => "other",
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
    let viewer = viewer(class, person, patient, scope);
    read(state, &viewer, "Patient", patient).await
}

fn viewer(class: ViewerClass, person: Option<String>, patient: &str, scope: &str) -> Viewer {
    Viewer {
        class,
        person,
        patient: Some(patient.to_owned()),
        client_id: String::new(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse(scope),
    }
}

async fn read(state: &SmartState, viewer: &Viewer, type_name: &str, id: &str) -> Option<Value> {
    let store = state.store();
    let now = state.now();
    let visibility = Visibility::of(viewer, store.keys(), now, now);
    let type_id = definitions().type_id(type_name)?;
    let stored = store.read(&visibility, nothing, type_id, id).await.ok()?;
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
    fn what_somebody_is_to_the_patient() {
        let says = |codes: &[&str]| {
            let concepts: Vec<Value> = codes
                .iter()
                .map(|code| json!({"coding": [{"code": code}]}))
                .collect();
            relation_of(&json!({ "relationship": concepts }))
        };
        assert_eq!(says(&["MTH"]), "parent");
        assert_eq!(says(&["C", "HPOWATT"]), "attorney");
        assert_eq!(says(&["E"]), "other");
        assert_eq!(relation_of(&json!({})), "other");
    }

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
