//! Whether somebody who acts for a patient still may, and how far: `RelatedPerson.active` and `period`,
//! and the permit Consent (release-contract.md, "Proxy"; 45 CFR 164.502(g)(1)-(2), authority that ended
//! is none).

mod permit;

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::entities::{grant, record};
use super::{SmartState, users};
use crate::fhir::date;
use crate::sql::Sql;
use crate::store::{StoreError, packed};
use crate::visibility::ViewerClass;
use crate::visibility::level::Level;

/// How far somebody's authority reaches now: everybody's who acts for themselves, wholly. None for a
/// representative whose RelatedPerson is not in the store, was deleted, is about another patient, is
/// inactive, or is outside its period now, and for one to whom a permit was given of which none is in
/// force any more (R20-REP-SCOPE). One who is suspended (R19-ABUSE) keeps the token and finds nothing: who
/// is feared should not learn of it.
///
/// `connection`: the reader, or the transaction in whose course it is asked.
pub(super) async fn authority(
    state: &SmartState,
    connection: &impl ConnectionTrait,
    class: &str,
    person: Option<&str>,
    patient: Option<&str>,
) -> Result<Option<Level>, StoreError> {
    if class != ViewerClass::Representative.name() {
        return Ok(Some(Level::Full));
    }
    let id = person.and_then(|person| person.strip_prefix("RelatedPerson/"));
    let (Some(id), Some(patient)) = (id, patient) else {
        return Ok(None);
    };
    let store = state.store();
    let mut select = Sql::default();
    let key = select.bind(store.keys().reference("RelatedPerson", id));
    select.text = format!("SELECT body FROM resource WHERE key = {key} AND rendition = 0");
    let row = connection
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let Some(row) = row else { return Ok(None) };
    let body = packed::column(&row, 0)?;
    let Some(body) = body else { return Ok(None) };
    let related: Value =
        serde_json::from_slice(&body).map_err(|_| StoreError::Corrupt("RelatedPerson"))?;
    if !is_about(&related, patient, store.base()) || !is_in_force(&related, state.now()) {
        return Ok(None);
    }
    if !store.policy().has_rule(permit::RULE) {
        return Ok(Some(Level::Full));
    }
    permit::level(state, connection, id, patient).await
}

/// Whether whoever gave a grant may still act for its patient.
pub(super) async fn may_give(
    state: &SmartState,
    connection: &impl ConnectionTrait,
    grant: &grant::Model,
) -> Result<bool, StoreError> {
    let (person, patient) = (grant.person.as_deref(), grant.patient.as_deref());
    let reach = authority(state, connection, &grant.class, person, patient).await?;
    Ok(reach.is_some())
}

/// The records that an account may open now: its own, and those of patients for whom its holder may
/// act still.
pub(super) async fn records(
    state: &SmartState,
    account: &str,
) -> Result<Vec<record::Model>, StoreError> {
    let reader = state.store().reader();
    let class = ViewerClass::Representative.name();
    let mut open = Vec::new();
    for own in users::records(reader, account).await? {
        let person = own
            .related_person
            .as_ref()
            .map(|id| format!("RelatedPerson/{id}"));
        if person.is_none()
            || authority(state, reader, class, person.as_deref(), Some(&own.patient))
                .await?
                .is_some()
        {
            open.push(own);
        }
    }
    Ok(open)
}

/// Whether a RelatedPerson is about this patient: `Patient/x`, absolute or not, of whatever version.
fn is_about(related: &Value, patient: &str, base: &str) -> bool {
    let reference = related
        .get("patient")
        .and_then(|reference| reference.get("reference"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let local = match reference.strip_prefix(base) {
        Some(rest) => rest.trim_start_matches('/'),
        None => reference,
    };
    let local = local.split("/_history/").next().unwrap_or_default();
    local.strip_prefix("Patient/") == Some(patient)
}

/// Whether a RelatedPerson is active at an instant. Absent `active` and open periods count as yes.
fn is_in_force(related: &Value, now: i64) -> bool {
    if related.get("active") == Some(&Value::Bool(false)) {
        return false;
    }
    let bound = |name: &str| {
        let text = related.get("period")?.get(name)?.as_str()?;
        date::range(text)
    };
    bound("start").is_none_or(|(low, _)| low <= now)
        && bound("end").is_none_or(|(_, high)| now < high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn authority_that_ended_is_none() {
        // 2026-11-10T15:00:00Z
        let now = 1_794_322_800_000;
        for (related, expected) in [
            (json!({}), true),
            (json!({"active": true, "period": {"start": "2020"}}), true),
            (json!({"active": false}), false),
            (json!({"period": {"end": "2026-11-09"}}), false),
            (json!({"period": {"end": "2026-11"}}), true),
            (json!({"period": {"start": "2026-11-11"}}), false),
        ] {
            assert_eq!(is_in_force(&related, now), expected, "{related}");
        }
    }

    #[test]
    fn authority_is_about_one_patient() {
        let base = "https://records.example/fhir/r4";
        for (reference, expected) in [
            ("Patient/maya", true),
            ("Patient/maya/_history/2", true),
            ("https://records.example/fhir/r4/Patient/maya", true),
            ("Patient/maya2", false),
            ("https://elsewhere.example/fhir/r4/Patient/maya", false),
            ("Group/maya", false),
        ] {
            let related = json!({"patient": {"reference": reference}});
            assert_eq!(is_about(&related, "maya", base), expected, "{reference}");
        }
        assert!(!is_about(&json!({}), "maya", base));
    }
}
