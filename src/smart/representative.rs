//! Whether somebody who acts for a patient still may: `RelatedPerson.active` and `period`
//! (release-contract.md, "Proxy"; 45 CFR 164.502(g)(1)-(2), authority that ended is none).

use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use super::SmartState;
use crate::fhir::date;
use crate::sql::Sql;
use crate::store::StoreError;
use crate::visibility::ViewerClass;

/// False for a representative whose RelatedPerson was deleted, is inactive, or is outside its period
/// now. Everybody else, and a representative whom so far only an account vouches for, may.
pub(super) async fn may_act(
    state: &SmartState,
    class: &str,
    person: Option<&str>,
) -> Result<bool, StoreError> {
    if class != ViewerClass::Representative.name() {
        return Ok(true);
    }
    let Some(id) = person.and_then(|person| person.strip_prefix("RelatedPerson/")) else {
        return Ok(true);
    };
    let store = state.store();
    let mut select = Sql::default();
    let key = select.bind(store.keys().reference("RelatedPerson", id));
    select.text = format!("SELECT body FROM resource WHERE key = {key} AND rendition = 0");
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let Some(row) = row else { return Ok(true) };
    let body: Option<Vec<u8>> = row.try_get_by_index(0)?;
    let Some(body) = body else { return Ok(false) };
    let related: Value =
        serde_json::from_slice(&body).map_err(|_| StoreError::Corrupt("RelatedPerson"))?;
    Ok(is_in_force(&related, state.now()))
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
}
