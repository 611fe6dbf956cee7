//! Activation codes (portal.md A5 to A10): an EHR's backend has one printed with the visit papers, and with
//! it and their birth date a person makes their account. Good for 60 days, once, for five tries.
//!
//! A code that nobody issued is counted and answered like one with another birth date, and takes as long.
//! That a code is used up or too old is told only to whoever knows the birth date.

mod code;
pub(super) mod issue;
pub(super) mod page;

use aws_lc_rs::hmac;
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::Value;

pub(super) use code::Code;

use super::events::{self, Event};
use super::users::{self, NewAccount, Role, UserError};
use super::{DAY, SmartState, mail, names, secret};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::{Origin, StoreError};
use crate::visibility::ViewerClass;

/// From printing to typing.
pub(super) const LIFE: Millis = 60 * DAY;
/// Wrong birth dates for one code.
const MOST_TRIES: i64 = 5;
/// How long a code is known to have been one.
const KEPT: Millis = 400 * DAY;

/// What a code and a birth date are worth together.
#[derive(Debug)]
pub(super) enum Checked {
    Good(Holder),
    /// The birth date is the one of the code's patient, and an account was made with it already.
    Used,
    /// The same, and it is too late; or a newer code took its place.
    Expired,
    /// No such code, another birth date, or too many tries.
    Wrong,
}

/// Whom a code is for.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) patient: String,
    /// The Patient's name, to greet the person by.
    pub(super) name: String,
    /// Where the record says that the patient gets mail.
    pub(super) on_file: Option<String>,
    /// Values that the record knows the patient by: no username.
    identifiers: Vec<String>,
    hash: Vec<u8>,
}

/// The form in which a code is kept.
fn keyed(state: &SmartState, code: &Code) -> Vec<u8> {
    let secret = state.store().keys().derive("activation");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    hmac::sign(&key, code.as_str().as_bytes()).as_ref().to_vec()
}

/// The Patient as the patient reads it.
async fn patient(state: &SmartState, id: &str) -> Option<Value> {
    let person = Some(format!("Patient/{id}"));
    names::patient(state, ViewerClass::Patient, person, id, "patient/Patient.r").await
}

/// A whole day of birth; a year or a month tell nobody from anybody.
fn birth_date(patient: &Value) -> Option<&str> {
    let date = patient.get("birthDate")?.as_str()?;
    (date.len() == "2000-12-31".len()).then_some(date)
}

/// An e-mail address that the record has for the patient.
fn email_on_file(patient: &Value) -> Option<String> {
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    let telecom = patient.get("telecom")?.as_array()?;
    telecom
        .iter()
        .filter(|one| text(one, "system").as_deref() == Some("email"))
        .filter(|one| text(one, "use").as_deref() != Some("old"))
        .filter_map(|one| text(one, "value"))
        .find(|address| mail::is_address(address))
}

/// Makes a code for a patient and ends those before. None: the patient is not there, or has no whole
/// birth date. The code is returned this once; its hash is kept.
pub(super) async fn issue(
    state: &SmartState,
    patient_id: &str,
    client_id: &str,
) -> Result<Option<(Code, Millis)>, StoreError> {
    let has_birth_date = match patient(state, patient_id).await {
        Some(patient) => birth_date(&patient).is_some(),
        None => false,
    };
    if !has_birth_date {
        return Ok(None);
    }
    let code = Code::random();
    let now = state.now();
    let backend = state.store().backend();
    let mut replace = Sql::default();
    let (at, of) = (replace.bind(now), replace.bind(patient_id));
    replace.push(&format!(
        "UPDATE activation_code SET replaced = {at} \
         WHERE patient = {of} AND used IS NULL AND replaced IS NULL"
    ));
    let mut insert = Sql::default();
    let hash = insert.bind(keyed(state, &code));
    let (of, by) = (insert.bind(patient_id), insert.bind(client_id));
    let (created, expires) = (insert.bind(now), insert.bind(now + LIFE));
    insert.push(&format!(
        "INSERT INTO activation_code (hash, patient, issued_by, created, expires) \
         VALUES ({hash}, {of}, {by}, {created}, {expires})"
    ));
    let mut writer = state.store().writer(Origin::Feed).await?;
    for statement in [replace, insert] {
        let connection = writer.connection();
        connection.execute_raw(statement.statement(backend)).await?;
    }
    let event = Event::by_client("activation-code-issued", client_id).about(patient_id);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await?;
    Ok(Some((code, now + LIFE)))
}

struct Row {
    patient: String,
    expires: Millis,
    is_replaced: bool,
    is_used: bool,
}

/// Whether code and birth date (`2000-12-31`) belong together. Counts a try, and takes it back where they
/// do.
pub(super) async fn check(
    state: &SmartState,
    code: &Code,
    birth: &str,
) -> Result<Checked, StoreError> {
    let hash = keyed(state, code);
    // Counted before it is looked at: tries at the same moment are not one.
    let tries = count(state, &hash, 1).await?;
    let row = find(state, &hash).await?;
    // Where there is no code, somebody who is not there is looked up instead.
    let nobody = secret::random_id().replace('_', "-");
    let of = row.as_ref().map_or(nobody.as_str(), |row| &row.patient);
    let patient = patient(state, of).await;
    let known = patient.as_ref().and_then(birth_date).unwrap_or_default();
    let is_theirs = secret::same(known.as_bytes(), birth.as_bytes()) && !known.is_empty();
    let (Some(row), Some(patient)) = (row, patient) else {
        return Ok(Checked::Wrong);
    };
    if !is_theirs || tries > MOST_TRIES {
        return Ok(Checked::Wrong);
    }
    count(state, &hash, -1).await?;
    if row.is_used {
        return Ok(Checked::Used);
    }
    if row.is_replaced || row.expires <= state.now() {
        return Ok(Checked::Expired);
    }
    let identifiers = patient.get("identifier").and_then(Value::as_array);
    let identifiers = identifiers.into_iter().flatten();
    Ok(Checked::Good(Holder {
        name: names::human_name(&patient).unwrap_or_default(),
        on_file: email_on_file(&patient),
        identifiers: identifiers
            .filter_map(|one| Some(one.get("value")?.as_str()?.to_lowercase()))
            .chain([
                row.patient.to_lowercase(),
                birth.to_owned(),
                birth.replace('-', ""),
            ])
            .collect(),
        patient: row.patient,
        hash,
    }))
}

/// Adds to the failures of a code, and returns how many there are.
async fn count(state: &SmartState, hash: &[u8], by: i64) -> Result<i64, StoreError> {
    let mut count = Sql::default();
    let (hash, last) = (count.bind(hash.to_vec()), count.bind(state.now()));
    let (by, most) = (count.bind(by), count.bind(MOST_TRIES + 1));
    count.push(&format!(
        "INSERT INTO activation_try (hash, tries, last) VALUES ({hash}, 1, {last}) \
         ON CONFLICT (hash) DO UPDATE SET last = excluded.last, \
         tries = CASE WHEN activation_try.tries + {by} > {most} THEN {most} \
         ELSE activation_try.tries + {by} END RETURNING tries"
    ));
    let tx = state.store().begin().await?;
    let row = tx
        .connection()
        .query_one_raw(count.statement(state.store().backend()))
        .await?;
    tx.commit().await?;
    let row = row.ok_or(StoreError::Corrupt("activation_try"))?;
    Ok(row.try_get_by_index(0)?)
}

async fn find(state: &SmartState, hash: &[u8]) -> Result<Option<Row>, StoreError> {
    let mut select = Sql::new(
        "SELECT patient, expires, replaced IS NOT NULL, used IS NOT NULL \
         FROM activation_code WHERE hash = ",
    );
    let hash = select.bind(hash.to_vec());
    select.push(&hash);
    let store = state.store();
    let found = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    Ok(Some(Row {
        patient: row.try_get_by_index(0)?,
        expires: row.try_get_by_index(1)?,
        is_replaced: row.try_get_by_index(2)?,
        is_used: row.try_get_by_index(3)?,
    }))
}

/// What came of a code.
#[derive(Debug)]
pub(super) enum Redeemed {
    /// Id of the account.
    Account(String),
    /// Somebody was first with this code.
    Used,
    /// There is an account for this record already.
    HasAccount,
}

/// Makes the account: the code is used up and the account is there, or neither.
pub(super) async fn redeem(
    state: &SmartState,
    holder: &Holder,
    username: &str,
    password: &str,
) -> Result<Redeemed, UserError> {
    let username = users::chosen_username(username, &holder.identifiers)?;
    let hash = super::password::hash_new(&state.guessed_first(&username), password).await?;
    let now = state.now();
    let backend = state.store().backend();
    let new = NewAccount {
        username,
        name: holder.name.clone(),
        role: Role::Patient,
        hash,
        patient: holder.patient.clone(),
    };
    let mut writer = state.store().writer(Origin::Feed).await?;
    let mut spend = Sql::default();
    let (at, own) = (spend.bind(now), spend.bind(holder.hash.clone()));
    spend.push(&format!(
        "UPDATE activation_code SET used = {at} WHERE hash = {own} \
         AND used IS NULL AND replaced IS NULL AND expires > {at}"
    ));
    let spent = writer
        .connection()
        .execute_raw(spend.statement(backend))
        .await?;
    if spent.rows_affected() != 1 {
        return Ok(Redeemed::Used);
    }
    // Somebody may be making it with a provider at this moment.
    let name = users::own_account_of(&holder.patient);
    writer.lock_names(&[name]).await?;
    if users::has_own_account(writer.connection(), &holder.patient).await? {
        return Ok(Redeemed::HasAccount);
    }
    let account = users::insert_activated(writer.connection(), new, now).await?;
    let mut link = Sql::default();
    let (of, own) = (link.bind(account.clone()), link.bind(holder.hash.clone()));
    link.push(&format!(
        "UPDATE activation_code SET account = {of} WHERE hash = {own}"
    ));
    writer
        .connection()
        .execute_raw(link.statement(backend))
        .await?;
    let event = Event::by_account("account-activated", &account).about(&holder.patient);
    events::note(&mut writer, state, &event).await?;
    writer.commit().await?;
    tracing::info!(account, "account activated");
    Ok(Redeemed::Account(account))
}

/// Deletes codes and counts that tell nobody anything any more. Returns how many rows went.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut gone = 0;
    for (text, before) in [
        ("DELETE FROM activation_code WHERE expires < ", now - KEPT),
        (
            "DELETE FROM activation_try WHERE NOT EXISTS (SELECT 1 FROM activation_code c \
             WHERE c.hash = activation_try.hash) AND last < ",
            now - DAY,
        ),
    ] {
        let mut sql = Sql::new(text);
        let before = sql.bind(before);
        sql.push(&before);
        let backend = connection.get_database_backend();
        gone += connection
            .execute_raw(sql.statement(backend))
            .await?
            .rows_affected();
    }
    Ok(gone)
}
