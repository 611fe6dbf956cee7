//! Accounts: who may sign in, and whose records they may open.

mod activated;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use sea_orm::{QueryOrder as _, SqlErr};
use serde::Serialize;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use super::assurance::Identity;
use super::entities::{account, grant, record};
use super::password::{self, PasswordError};
use super::{attempts, contact, generation, sessions};
use crate::fhir::definitions::definitions;
use crate::sql::Sql;
use crate::store::{Store, StoreError};
use crate::visibility::ViewerClass;

pub(super) use activated::{
    NewAccount, chosen_username, has_own_account, insert_activated, own_account_of,
};

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Patient,
    Representative,
    Clinician,
    Staff,
    Auditor,
    Admin,
    /// Whoever makes apps: opens no record, and gives apps nothing.
    Developer,
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Patient,
        Self::Representative,
        Self::Clinician,
        Self::Staff,
        Self::Auditor,
        Self::Admin,
        Self::Developer,
    ];

    /// The word on the command line and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            role => role.class().name(),
        }
    }

    /// The role with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether somebody with this role can give an app anything.
    #[must_use]
    pub fn gives(self) -> bool {
        self != Self::Developer
    }

    /// The viewer class of someone with this role.
    #[must_use]
    pub fn class(self) -> ViewerClass {
        match self {
            Self::Patient => ViewerClass::Patient,
            Self::Representative => ViewerClass::Representative,
            Self::Clinician => ViewerClass::Clinician,
            Self::Staff => ViewerClass::Staff,
            Self::Auditor => ViewerClass::Auditor,
            Self::Admin => ViewerClass::Admin,
            Self::Developer => ViewerClass::Other,
        }
    }
}

/// What `candor user add` knows.
#[derive(Clone)]
pub struct NewUser {
    pub username: String,
    /// Shown to the person; the username when empty.
    pub name: String,
    pub role: Role,
    pub password: String,
    /// Id of the Practitioner that a clinician or member of staff is.
    pub practitioner: Option<String>,
    /// Records that the account may open.
    pub records: Vec<NewRecord>,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewUser")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A record that an account may open.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Id of the Patient.
    pub patient: String,
    /// Id of the RelatedPerson that the account holder is to this patient; none: the patient.
    pub related_person: Option<String>,
    /// What the person calls it, `Maya Ruiz`; may be empty.
    pub name: String,
}

/// What to print.
#[derive(Clone, Debug, Serialize)]
pub struct RegisteredUser {
    pub id: String,
    pub username: String,
    pub role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub practitioner: Option<String>,
    pub patients: Vec<String>,
}

/// Why an account cannot be made; the words say what to change.
#[derive(Debug, Error)]
pub enum UserError {
    #[error("a username has 2 to 64 characters, without spaces at its ends or control characters")]
    Username,
    #[error("the username {0} is taken")]
    Taken(String),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{0} is no FHIR id: 1 to 64 letters, digits, '-' or '.'")]
    Id(String),
    #[error("an e-mail address cannot be a username")]
    IsAddress,
    #[error("a number of the record, or a birth date, cannot be a username")]
    IsIdentifier,
    #[error("a patient needs the id of their Patient resource")]
    NoPatient,
    #[error("a representative needs the ids of the Patient and of the RelatedPerson they are")]
    NoRelatedPerson,
    #[error("a clinician needs the id of their Practitioner resource")]
    NoPractitioner,
    #[error("the role {0} opens no patient's record as its own")]
    RoleRecord(&'static str),
    #[error("no account has the username {0}")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for UserError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// Whether nobody has made an account or written a resource yet.
pub async fn is_new(store: &Store) -> Result<bool, StoreError> {
    let select = Sql::new(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM resource) OR EXISTS (SELECT 1 FROM account)",
    );
    let found = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    Ok(found.is_none())
}

/// Makes an account.
pub async fn add(store: &Store, new: NewUser) -> Result<RegisteredUser, UserError> {
    let username = normal_username(&new.username).ok_or(UserError::Username)?;
    let ids = new
        .records
        .iter()
        .flat_map(|record| [Some(&record.patient), record.related_person.as_ref()])
        .chain([new.practitioner.as_ref()])
        .flatten();
    for id in ids {
        if !super::is_fhir_id(id) {
            return Err(UserError::Id(id.clone()));
        }
    }
    check_records(new.role, &new.records)?;
    if new.role == Role::Patient && !new.records.iter().any(|own| own.related_person.is_none()) {
        return Err(UserError::NoPatient);
    }
    if new.role == Role::Representative && new.records.is_empty() {
        return Err(UserError::NoRelatedPerson);
    }
    if new.role == Role::Clinician && new.practitioner.is_none() {
        return Err(UserError::NoPractitioner);
    }
    let hash = password::hash_new(std::slice::from_ref(&username), &new.password).await?;
    let id = Uuid::new_v4().to_string();
    let name = match new.name.trim() {
        "" => new.username.trim(),
        name => name,
    };
    let row = account::ActiveModel {
        id: Set(id.clone()),
        username: Set(username.clone()),
        name: Set(name.to_owned()),
        role: Set(new.role.name().to_owned()),
        password: Set(hash),
        practitioner: Set(new.practitioner.clone()),
        created: Set(store.clock().now()),
        disabled: Set(None),
        must_change: Set(None),
        ial: Set(Identity::Unsaid.level()),
    };
    let tx = store.begin().await?;
    insert(tx.connection(), row, &username).await?;
    for own in &new.records {
        insert_record(tx.connection(), &id, own).await?;
    }
    tx.commit().await?;
    tracing::info!(account = id, role = new.role.name(), "account made");
    Ok(RegisteredUser {
        id,
        username,
        role: new.role.name(),
        practitioner: new.practitioner,
        patients: new.records.into_iter().map(|own| own.patient).collect(),
    })
}

async fn insert(
    connection: &impl ConnectionTrait,
    row: account::ActiveModel,
    username: &str,
) -> Result<(), UserError> {
    match account::Entity::insert(row)
        .exec_without_returning(connection)
        .await
    {
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            Err(UserError::Taken(username.to_owned()))
        }
        other => Ok(other.map(|_| ())?),
    }
}

/// Ids of the RelatedPersons of a patient (id).
pub async fn related_to(store: &Store, patient: &str) -> Result<Vec<String>, UserError> {
    let related = definitions().type_id("RelatedPerson").unwrap_or(-1);
    let mut select = Sql::default();
    let key = select.bind(store.keys().reference("Patient", patient));
    select.text = format!(
        "SELECT fhir_id FROM resource WHERE patient = {key} AND type = {related} \
         AND rendition = 0 AND deleted = 0 ORDER BY id"
    );
    let rows = store
        .reader()
        .query_all_raw(select.statement(store.backend()))
        .await?;
    let ids = rows.iter().map(|row| row.try_get_by_index(0));
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Lets an account open one more record.
pub async fn add_record(store: &Store, username: &str, own: &NewRecord) -> Result<(), UserError> {
    for id in [Some(&own.patient), own.related_person.as_ref()]
        .into_iter()
        .flatten()
    {
        if !super::is_fhir_id(id) {
            return Err(UserError::Id(id.clone()));
        }
    }
    let unknown = || UserError::Unknown(username.to_owned());
    let tx = store.begin().await?;
    let account = find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(unknown)?;
    let role = Role::from_name(&account.role).ok_or_else(unknown)?;
    check_records(role, std::slice::from_ref(own))?;
    insert_record(tx.connection(), &account.id, own).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends that an account may open a record, and with it what apps got through it: their tokens are
/// refused from the next request on.
pub async fn remove_record(store: &Store, username: &str, patient: &str) -> Result<(), UserError> {
    let tx = store.begin().await?;
    let account = find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    record::Entity::delete_by_id((account.id.clone(), patient.to_owned()))
        .exec(tx.connection())
        .await?;
    // Given back later, the record does not come back to the apps.
    grant::Entity::update_many()
        .col_expr(grant::Column::Revoked, Expr::value(store.clock().now()))
        .filter(grant::Column::Account.eq(account.id))
        .filter(grant::Column::Patient.eq(patient))
        .filter(grant::Column::Revoked.is_null())
        .exec(tx.connection())
        .await?;
    generation::raise(tx.connection()).await?;
    tx.commit().await?;
    Ok(())
}

/// Gives an account a new password and signs it out everywhere. Apps keep their access. Wrong tries are
/// forgotten, and so are the browsers that were known: whoever asks for a new password may have lost one.
pub async fn set_password(store: &Store, username: &str, password: &str) -> Result<(), UserError> {
    let unknown = || UserError::Unknown(username.to_owned());
    let normal = normal_username(username).ok_or_else(unknown)?;
    let hash = password::hash_new(std::slice::from_ref(&normal), password).await?;
    let tx = store.begin().await?;
    let account = find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(unknown)?;
    replace_password(tx.connection(), &account.id, hash, None).await?;
    attempts::forget(tx.connection(), &account.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Has the holder of an account choose another password before anything else, because somebody else
/// knows the one it has.
pub async fn require_new_password(store: &Store, username: &str) -> Result<(), UserError> {
    let tx = store.begin().await?;
    let account = find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    account::Entity::update_many()
        .col_expr(
            account::Column::MustChange,
            Expr::value(store.clock().now()),
        )
        .filter(account::Column::Id.eq(account.id))
        .exec(tx.connection())
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Puts the hash of a new password into an account. Its sessions end, but for one (its hash), and so does
/// whatever else somebody began who knew the old one: sign-ins between their steps and mailed links.
pub(super) async fn replace_password(
    connection: &impl ConnectionTrait,
    account: &str,
    hash: String,
    kept: Option<&[u8]>,
) -> Result<(), DbErr> {
    account::Entity::update_many()
        .col_expr(account::Column::Password, Expr::value(hash))
        .col_expr(account::Column::MustChange, Expr::value(None::<i64>))
        .filter(account::Column::Id.eq(account))
        .exec(connection)
        .await?;
    sessions::end_others(connection, account, kept).await?;
    attempts::end_halves(connection, account).await?;
    contact::end_links(connection, account).await
}

/// Closes an account or opens it again. Closed, it cannot sign in, and its apps' tokens are refused.
pub async fn set_disabled(
    store: &Store,
    username: &str,
    is_disabled: bool,
) -> Result<(), UserError> {
    let tx = store.begin().await?;
    let account = find_by_username(tx.connection(), username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    let disabled = is_disabled.then(|| store.clock().now());
    account::Entity::update_many()
        .col_expr(account::Column::Disabled, Expr::value(disabled))
        .filter(account::Column::Id.eq(account.id))
        .exec(tx.connection())
        .await?;
    generation::raise(tx.connection()).await?;
    tx.commit().await?;
    Ok(())
}

fn check_records(role: Role, records: &[NewRecord]) -> Result<(), UserError> {
    for own in records {
        match role {
            Role::Patient => {}
            Role::Representative if own.related_person.is_some() => {}
            Role::Representative => return Err(UserError::NoRelatedPerson),
            _ => return Err(UserError::RoleRecord(role.name())),
        }
    }
    Ok(())
}

async fn insert_record(
    connection: &impl ConnectionTrait,
    account: &str,
    own: &NewRecord,
) -> Result<(), DbErr> {
    record::Entity::insert(record::ActiveModel {
        account: Set(account.to_owned()),
        patient: Set(own.patient.clone()),
        related_person: Set(own.related_person.clone()),
        name: Set(own.name.trim().to_owned()),
    })
    .exec_without_returning(connection)
    .await?;
    Ok(())
}

/// The form in which usernames are kept and compared: NFKC, lower case.
pub(super) fn normal_username(username: &str) -> Option<String> {
    let normal: String = username.trim().nfkc().collect::<String>().to_lowercase();
    let length = normal.chars().count();
    ((2..=64).contains(&length) && !normal.chars().any(char::is_control)).then_some(normal)
}

/// The account with this username, in whatever case it was typed.
pub async fn find_by_username(
    connection: &impl ConnectionTrait,
    username: &str,
) -> Result<Option<account::Model>, DbErr> {
    let Some(username) = normal_username(username) else {
        return Ok(None);
    };
    account::Entity::find()
        .filter(account::Column::Username.eq(username))
        .one(connection)
        .await
}

/// An account that may still sign in.
pub async fn find_enabled(
    connection: &impl ConnectionTrait,
    id: &str,
) -> Result<Option<account::Model>, DbErr> {
    let found = account::Entity::find_by_id(id.to_owned())
        .one(connection)
        .await?;
    Ok(found.filter(|account| account.disabled.is_none()))
}

/// The records an account may open: the holder's own first, then by name.
pub async fn records(
    connection: &impl ConnectionTrait,
    account: &str,
) -> Result<Vec<record::Model>, DbErr> {
    let mut records = record::Entity::find()
        .filter(record::Column::Account.eq(account))
        .order_by_asc(record::Column::Name)
        .order_by_asc(record::Column::Patient)
        .all(connection)
        .await?;
    records.sort_by_key(|own| own.related_person.is_some());
    Ok(records)
}
