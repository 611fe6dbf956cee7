//! What the same person allowed the same app for the same record before.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::offer::Before;
use crate::smart::entities::{grant, request};
use crate::smart::facts::Facts;
use crate::smart::scopes::ScopeList;

/// The last answer that was yes and stands.
pub(super) struct Earlier {
    pub(super) created: i64,
    pub(super) scopes: Before,
    /// What the person was told then; none when that was not kept.
    pub(super) facts: Option<Facts>,
}

/// Looks it up. What a person took back is not held against the new question: they are asked as if it were
/// the first time.
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    request: &request::Model,
    account: &str,
) -> Result<Option<Earlier>, DbErr> {
    let patient = match &request.patient {
        Some(patient) => grant::Column::Patient.eq(patient.as_str()),
        None => grant::Column::Patient.is_null(),
    };
    let found = grant::Entity::find()
        .filter(grant::Column::Account.eq(account))
        .filter(grant::Column::ClientId.eq(request.client_id.as_str()))
        .filter(patient)
        .filter(grant::Column::Revoked.is_null())
        .filter(grant::Column::Used.is_not_null())
        .filter(grant::Column::Asked.is_not_null())
        .order_by_desc(grant::Column::Created)
        .one(connection)
        .await?;
    Ok(found.map(|grant| Earlier {
        created: grant.created,
        scopes: Before {
            asked: ScopeList::parse(grant.asked.as_deref().unwrap_or_default()),
            granted: grant.scopes(),
        },
        facts: grant
            .facts
            .as_deref()
            .map(|text| Facts::of_text(Some(text))),
    }))
}
