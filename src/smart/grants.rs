//! Grants and the codes and tokens below them: made, exchanged, ended.

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

use super::entities::{account, code, grant, record, request, token};
use super::scopes::{ScopeList, catalogue};
use super::{generation, secret, users};
use crate::clock::Millis;
use crate::visibility::ViewerClass;

impl grant::Model {
    /// What was granted, with wildcards as they were meant then.
    pub(super) fn scopes(&self) -> ScopeList {
        ScopeList::parse(&catalogue().frozen(&self.scope, self.catalogue.as_deref()))
    }

    /// Whether its end has come, whatever is used.
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// A new access or refresh token: kept as its hash, returned once.
pub(super) async fn issue_token(
    connection: &impl ConnectionTrait,
    grant_id: &str,
    kind: i16,
    scope: &str,
    now: Millis,
    expires: Millis,
) -> Result<String, DbErr> {
    let plain = secret::random_token();
    token::Entity::insert(token::ActiveModel {
        hash: Set(secret::hash(&plain)),
        grant_id: Set(grant_id.to_owned()),
        kind: Set(kind),
        scope: Set(scope.to_owned()),
        created: Set(now),
        expires: Set(expires),
        used: Set(None),
    })
    .exec_without_returning(connection)
    .await?;
    Ok(plain)
}

/// A new authorization code for a request that a person allowed.
pub(super) async fn issue_code(
    connection: &impl ConnectionTrait,
    grant_id: &str,
    request: &request::Model,
    expires: Millis,
) -> Result<String, DbErr> {
    let plain = secret::random_token();
    code::Entity::insert(code::ActiveModel {
        hash: Set(secret::hash(&plain)),
        grant_id: Set(grant_id.to_owned()),
        redirect_uri: Set(request.redirect_uri.clone()),
        code_challenge: Set(request.code_challenge.clone()),
        nonce: Set(request.nonce.clone()),
        expires: Set(expires),
        used: Set(None),
    })
    .exec_without_returning(connection)
    .await?;
    Ok(plain)
}

/// Marks a code as used. False: somebody was first.
pub(super) async fn use_code(
    connection: &impl ConnectionTrait,
    hash: &[u8],
    now: Millis,
) -> Result<bool, DbErr> {
    let updated = code::Entity::update_many()
        .col_expr(code::Column::Used, Expr::value(now))
        .filter(code::Column::Hash.eq(hash.to_vec()))
        .filter(code::Column::Used.is_null())
        .exec(connection)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Marks a refresh token as used. False: somebody was first.
pub(super) async fn use_refresh_token(
    connection: &impl ConnectionTrait,
    hash: &[u8],
    now: Millis,
) -> Result<bool, DbErr> {
    let updated = token::Entity::update_many()
        .col_expr(token::Column::Used, Expr::value(now))
        .filter(token::Column::Hash.eq(hash.to_vec()))
        .filter(token::Column::Kind.eq(token::REFRESH))
        .filter(token::Column::Used.is_null())
        .exec(connection)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Ends a grant: every token below it is dead at the next request.
pub(super) async fn revoke(
    connection: &impl ConnectionTrait,
    grant_id: &str,
    now: Millis,
) -> Result<(), DbErr> {
    grant::Entity::update_many()
        .col_expr(grant::Column::Revoked, Expr::value(now))
        .filter(grant::Column::Id.eq(grant_id))
        .filter(grant::Column::Revoked.is_null())
        .exec(connection)
        .await?;
    generation::raise(connection).await
}

/// Makes what a grant opens less. Its tokens open no more than it does from the next request on; without
/// `offline_access` its refresh tokens are gone. False: somebody else made it less meanwhile.
pub(super) async fn narrow(
    connection: &impl ConnectionTrait,
    grant: &grant::Model,
    scope: &ScopeList,
) -> Result<bool, DbErr> {
    let updated = grant::Entity::update_many()
        .col_expr(grant::Column::Scope, Expr::value(scope.to_string()))
        .filter(grant::Column::Id.eq(grant.id.as_str()))
        .filter(grant::Column::Scope.eq(grant.scope.as_str()))
        .exec(connection)
        .await?;
    if !scope.has("offline_access") {
        token::Entity::delete_many()
            .filter(token::Column::GrantId.eq(grant.id.as_str()))
            .filter(token::Column::Kind.eq(token::REFRESH))
            .exec(connection)
            .await?;
    }
    generation::raise(connection).await?;
    Ok(updated.rows_affected == 1)
}

/// Notes that a token was issued under a grant.
pub(super) async fn touch(
    connection: &impl ConnectionTrait,
    grant_id: &str,
    now: Millis,
) -> Result<(), DbErr> {
    grant::Entity::update_many()
        .col_expr(grant::Column::Used, Expr::value(now))
        .filter(grant::Column::Id.eq(grant_id))
        .exec(connection)
        .await?;
    Ok(())
}

/// A grant that still stands.
pub(super) async fn find_standing(
    connection: &impl ConnectionTrait,
    grant_id: &str,
) -> Result<Option<grant::Model>, DbErr> {
    let found = grant::Entity::find_by_id(grant_id.to_owned())
        .one(connection)
        .await?;
    Ok(found.filter(|grant| grant.revoked.is_none()))
}

/// The account behind a grant, if it may still give what the grant gives: it is enabled, and still
/// opens the record in question.
pub(super) async fn find_giver(
    connection: &impl ConnectionTrait,
    grant: &grant::Model,
) -> Result<Option<account::Model>, DbErr> {
    let Some(id) = &grant.account else {
        return Ok(None);
    };
    // Staff open no record as theirs: the patient is the one an EHR launched an app about.
    let is_theirs = ViewerClass::from_name(&grant.class).is_some_and(ViewerClass::is_patient_side);
    if let Some(patient) = grant.patient.as_ref().filter(|_| is_theirs) {
        let record = record::Entity::find_by_id((id.clone(), patient.clone()))
            .one(connection)
            .await?;
        if record.is_none() {
            return Ok(None);
        }
    }
    users::find_enabled(connection, id).await
}
