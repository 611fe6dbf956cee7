//! The permit Consent that makes a RelatedPerson a proxy, and its level.

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::is_about;
use crate::fhir::date;
use crate::fhir::definitions::definitions;
use crate::release::vocabulary::{CONSENT_SCOPE, PROXY_LEVEL};
use crate::smart::SmartState;
use crate::sql::Sql;
use crate::store::{StoreError, history, packed};
use crate::visibility::level::Level;

/// The rule that asks for a permit.
pub(super) const RULE: &str = "R20-REP-SCOPE";

/// The widest level that a permit gives a RelatedPerson (id) for a patient (id) now. Where none was
/// ever written, the records office vouches for the relationship with the account itself.
pub(super) async fn level(
    state: &SmartState,
    connection: &impl ConnectionTrait,
    person: &str,
    patient: &str,
) -> Result<Option<Level>, StoreError> {
    let store = state.store();
    let consent = definitions().type_id("Consent").unwrap_or(-1);
    let mut select = Sql::default();
    let key = select.bind(store.keys().reference("RelatedPerson", person));
    // Older versions count as permits that were given.
    select.text = format!(
        "SELECT r.body, (SELECT h.body FROM history h WHERE h.doc = r.id AND h.body IS NOT NULL \
         ORDER BY h.version DESC LIMIT 1) FROM resource r WHERE r.type = {consent} AND r.rendition = 0 AND r.id IN \
         (SELECT i.id FROM idx_reference i WHERE i.target = {key} AND i.type = {consent} \
         UNION SELECT h.doc FROM history_reference h WHERE h.target = {key})"
    );
    let rows = connection
        .query_all_raw(select.statement(store.backend()))
        .await?;
    let mut given = false;
    let mut widest = None;
    for row in rows {
        let body = packed::column(&row, 0)?;
        let last: Option<Vec<u8>> = row.try_get_by_index(1)?;
        let deleted = body.is_none();
        let body = match (body, last) {
            (Some(body), _) => body.into(),
            (None, Some(last)) => history::expand(&last)?,
            (None, None) => continue,
        };
        let consent: Value =
            serde_json::from_slice(&body).map_err(|_| StoreError::Corrupt("Consent"))?;
        if !is_about(&consent, patient, store.base()) || !is_permit(&consent) {
            continue;
        }
        given = true;
        if !deleted && is_in_force(&consent, person, store.base(), state.now()) {
            widest = widest.max(Some(level_of(&consent)));
        }
    }
    Ok(if given { widest } else { Some(Level::Full) })
}

fn each<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// Whether a Consent permits somebody something, in force or not.
fn is_permit(consent: &Value) -> bool {
    let scope = consent.get("scope").unwrap_or(&Value::Null);
    let privacy = each(scope, "coding").any(|coding| {
        text(coding, "system") == Some(CONSENT_SCOPE)
            && text(coding, "code") == Some("patient-privacy")
    });
    let kind = consent.get("provision").and_then(|one| text(one, "type"));
    privacy && kind == Some("permit")
}

fn is_in_force(consent: &Value, person: &str, base: &str, now: i64) -> bool {
    let Some(provision) = consent.get("provision") else {
        return false;
    };
    let bound = |name: &str| date::range(text(provision.get("period")?, name)?);
    let wanted = format!("RelatedPerson/{person}");
    let named = each(provision, "actor").any(|actor| {
        let reference = actor
            .pointer("/reference/reference")
            .and_then(Value::as_str);
        reference.is_some_and(|reference| {
            let local = reference.strip_prefix(base).unwrap_or(reference);
            let local = local.trim_start_matches('/');
            local.split("/_history/").next() == Some(&wanted)
        })
    });
    text(consent, "status") == Some("active")
        && named
        && bound("start").is_none_or(|(low, _)| low <= now)
        && bound("end").is_none_or(|(_, high)| now < high)
}

/// The level a permit names in `securityLabel` or `class`; the whole record where it names none.
fn level_of(consent: &Value) -> Level {
    let provision = consent.get("provision").unwrap_or(&Value::Null);
    each(provision, "securityLabel")
        .chain(each(provision, "class"))
        .filter(|coding| text(coding, "system") == Some(PROXY_LEVEL))
        // A level that is not known opens as little as can be.
        .map(|coding| {
            text(coding, "code")
                .and_then(Level::from_code)
                .unwrap_or(Level::Billing)
        })
        .min()
        .unwrap_or_default()
}
