//! Who is of age, and whose mailbox stands on the account of somebody who is not (portal.md A3, A26): where
//! it is a parent's, what is private to the young person reaches the parent. In one health system most
//! accounts of adolescents were run by their guardians.

use jiff::civil::Date;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::Value;

use super::entities::record;
use super::pages::PageError;
use super::{SmartState, contact, names, users};
use crate::fhir::definitions::definitions;
use crate::search::{self, SearchError, SearchRequest};
use crate::store::StoreError;
use crate::visibility::level::Level;
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass};

/// Who may sign up without anybody else (portal.md: 18 or older).
const OF_AGE: i16 = 18;
/// People who act for one patient that are looked at.
const MOST: &str = "100";

/// Whether somebody born on a day is of age now, in the hospital's calendar. Born on 29 February, one is of
/// age on 28 February: jiff's own rule.
pub(super) fn is_of_age(state: &SmartState, born: Date) -> bool {
    let Some(today) = state.local(state.now()).map(|now| now.date()) else {
        return false;
    };
    jiff::Span::new()
        .try_years(OF_AGE)
        .and_then(|years| born.checked_add(years))
        .is_ok_and(|day| day <= today)
}

/// Why an account cannot have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is of somebody who acts for the young person whose account it is.
    Guardian,
    /// It stands on the account of a young person for whom the account's holder acts.
    Minor,
}

/// Whether an account may have an address. Say [`Refused::Minor`] only to somebody who showed that they read
/// the mailbox: a parent does not learn here that their child has an account.
pub(super) async fn refusal(
    state: &SmartState,
    account: &str,
    address: &str,
) -> Result<Option<Refused>, PageError> {
    let reader = state.store().reader();
    for own in users::records(reader, account).await? {
        if own.related_person.is_none() {
            if is_guardians(state, &own.patient, address).await? {
                return Ok(Some(Refused::Guardian));
            }
        } else if patient(state, &own.patient)
            .await
            .is_some_and(|patient| is_minor(state, &patient))
            && has(state, &own.patient, false, address).await?
        {
            return Ok(Some(Refused::Minor));
        }
    }
    Ok(None)
}

/// Whether an address is of somebody who acts for a patient under age.
pub(super) async fn is_guardians(
    state: &SmartState,
    patient_id: &str,
    address: &str,
) -> Result<bool, PageError> {
    let Some(patient) = patient(state, patient_id).await else {
        return Ok(false);
    };
    if !is_minor(state, &patient) {
        return Ok(false);
    }
    let contacts = list(&patient, "contact");
    Ok(contacts
        .into_iter()
        .any(|contact| has_email(contact, address))
        || has(state, patient_id, true, address).await?
        || related(state, patient_id)
            .await?
            .iter()
            .any(|person| has_email(person, address)))
}

/// The Patient as the patient reads it.
async fn patient(state: &SmartState, id: &str) -> Option<Value> {
    let person = Some(format!("Patient/{id}"));
    names::patient(state, ViewerClass::Patient, person, id, "patient/Patient.r").await
}

/// Whether a Patient is under age. A birth date of a year or a month counts as its first day.
fn is_minor(state: &SmartState, patient: &Value) -> bool {
    let date = patient.get("birthDate").and_then(Value::as_str);
    let born = date.and_then(|date| {
        let whole = match date.len() {
            4 => format!("{date}-01-01"),
            7 => format!("{date}-01"),
            _ => date.to_owned(),
        };
        whole.parse::<Date>().ok()
    });
    born.is_some_and(|born| !is_of_age(state, born))
}

/// Whether an account of a patient, or of somebody who acts for them, has an address.
async fn has(
    state: &SmartState,
    patient: &str,
    of_representatives: bool,
    address: &str,
) -> Result<bool, PageError> {
    let reader = state.store().reader();
    let with = contact::with_address(reader, address).await?;
    let accounts: Vec<&str> = with.iter().map(|email| email.account.as_str()).collect();
    let found = record::Entity::find()
        .filter(record::Column::Patient.eq(patient))
        .filter(record::Column::Account.is_in(accounts))
        .all(reader)
        .await?;
    let mut found = found.iter();
    Ok(found.any(|record| record.related_person.is_some() == of_representatives))
}

/// Everybody whom the record knows to act for a patient, as the patient sees it: an answer must not tell of
/// people whom it withholds.
async fn related(state: &SmartState, patient: &str) -> Result<Vec<Value>, PageError> {
    let viewer = Viewer {
        class: ViewerClass::Patient,
        person: Some(format!("Patient/{patient}")),
        patient: Some(patient.to_owned()),
        client_id: "minors".to_owned(),
        client_device: None,
        level: Level::Full,
        scopes: Scopes::parse("patient/RelatedPerson.rs"),
    };
    let pairs = [
        ("patient".to_owned(), format!("Patient/{patient}")),
        ("_count".to_owned(), MOST.to_owned()),
    ];
    let request = SearchRequest {
        type_id: definitions().type_id("RelatedPerson"),
        pairs: &pairs,
        compartment: None,
        strict: true,
    };
    let page = search::search(state.store(), &viewer, &request).await;
    let page = page.map_err(|error| match error {
        SearchError::Store(error) => error,
        other => {
            tracing::error!(error = %other, "people who act for a patient could not be searched");
            StoreError::Corrupt("RelatedPerson")
        }
    })?;
    let bodies = page.entries.iter();
    Ok(bodies
        .filter_map(|entry| serde_json::from_slice(&entry.body).ok())
        .collect())
}

fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let items = value.get(name).and_then(Value::as_array);
    items.into_iter().flatten().collect()
}

/// Whether a person's telecom has an e-mail address.
fn has_email(person: &Value, address: &str) -> bool {
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    list(person, "telecom").into_iter().any(|one| {
        text(one, "system").as_deref() == Some("email")
            && text(one, "value")
                .is_some_and(|own| contact::folded(&own) == contact::folded(address))
    })
}
