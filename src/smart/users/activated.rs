//! Accounts that people make themselves, with an activation code.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::super::assurance::Identity;
use super::super::entities::{account, record};
use super::{NewRecord, Role, UserError, find_enabled, insert, insert_record, normal_username};
use crate::clock::Millis;

/// The account that somebody makes with an activation code.
pub(in crate::smart) struct NewAccount {
    /// As [`chosen_username`] gives it.
    pub(in crate::smart) username: String,
    pub(in crate::smart) name: String,
    pub(in crate::smart) role: Role,
    /// Of the password.
    pub(in crate::smart) hash: String,
    /// Id of the Patient that they are.
    pub(in crate::smart) patient: String,
}

/// Makes the account of somebody who had an activation code, and returns its id.
pub(in crate::smart) async fn insert_activated(
    connection: &impl ConnectionTrait,
    new: NewAccount,
    now: Millis,
) -> Result<String, UserError> {
    let id = Uuid::new_v4().to_string();
    let name = match new.name.trim() {
        "" => new.username.clone(),
        name => name.to_owned(),
    };
    let row = account::ActiveModel {
        id: Set(id.clone()),
        username: Set(new.username.clone()),
        name: Set(name),
        role: Set(new.role.name().to_owned()),
        password: Set(new.hash),
        practitioner: Set(None),
        created: Set(now),
        disabled: Set(None),
        must_change: Set(None),
        ial: Set(Identity::Visit.level()),
    };
    insert(connection, row, &new.username).await?;
    let own = NewRecord {
        patient: new.patient,
        related_person: None,
        name: String::new(),
    };
    insert_record(connection, &id, &own).await?;
    Ok(id)
}

/// Name of the lock for whoever makes the one account of a patient (id): no column is unique, because a
/// patient whose account was closed gets another.
pub(in crate::smart) fn own_account_of(patient: &str) -> String {
    format!("own account of {patient}")
}

/// Whether somebody has an account as this patient (id).
pub(in crate::smart) async fn has_own_account(
    connection: &impl ConnectionTrait,
    patient: &str,
) -> Result<bool, DbErr> {
    let own = record::Entity::find()
        .filter(record::Column::Patient.eq(patient))
        .filter(record::Column::RelatedPerson.is_null())
        .all(connection)
        .await?;
    for one in own {
        if find_enabled(connection, &one.account).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A username that somebody chose: no e-mail address, and nothing that others know the patient by
/// (lower case).
pub(in crate::smart) fn chosen_username(
    username: &str,
    identifiers: &[String],
) -> Result<String, UserError> {
    let username = normal_username(username).ok_or(UserError::Username)?;
    if username.contains('@') {
        return Err(UserError::IsAddress);
    }
    if identifiers.contains(&username) {
        return Err(UserError::IsIdentifier);
    }
    Ok(username)
}
