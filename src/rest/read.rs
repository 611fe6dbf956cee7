//! read and vread, conditional or not.

use axum::http::StatusCode;

use super::query::{self, Pairs};
use super::reply::{self, Content, Reply};
use super::session::Session;
use super::{RestError, route, search};
use crate::clock::Millis;
use crate::fhir::definitions::TypeId;
use crate::store::Stored;
use crate::visibility::Access;

/// `If-None-Match` and `If-Modified-Since` (R4 3.1.0.2.1), from headers or a bundle entry.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    pub none_match: Option<String>,
    pub modified_since: Option<Millis>,
}

impl Freshness {
    /// Whether the client has this version already. `If-None-Match` decides alone where it is
    /// given (RFC 9110 section 13.1.3).
    fn has(&self, version: i32, updated: Millis) -> bool {
        if let Some(tags) = &self.none_match {
            return tags
                .split(',')
                .any(|tag| tag.trim() == "*" || reply::version_of(tag) == Some(version));
        }
        // HTTP dates have whole seconds.
        self.modified_since
            .is_some_and(|since| updated.div_euclid(1000) <= since.div_euclid(1000))
    }
}

/// `GET [type]/[id]`.
pub(super) async fn read(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
    freshness: &Freshness,
) -> Result<Reply, RestError> {
    let stored = fetch(session, type_id, id, pairs).await?;
    answer(session, stored, pairs, freshness)
}

/// The resource behind a read, for those who answer with something else than the resource.
pub(super) async fn fetch(
    session: &Session,
    type_id: TypeId,
    id: &str,
    pairs: &Pairs,
) -> Result<Stored, RestError> {
    session.require(type_id, Access::Read)?;
    query::only(pairs, &[])?;
    if !route::is_id(id) {
        return Err(RestError::NotFound);
    }
    let stored = session
        .store
        .read(&session.visibility, search::NARROW, type_id, id)
        .await?;
    session.touch([(type_id, id)]);
    Ok(stored)
}

/// `GET [type]/[id]/_history/[vid]`.
pub(super) async fn vread(
    session: &Session,
    type_id: TypeId,
    id: &str,
    version: &str,
    pairs: &Pairs,
    freshness: &Freshness,
) -> Result<Reply, RestError> {
    let stored = fetch_version(session, type_id, id, version, pairs).await?;
    answer(session, stored, pairs, freshness)
}

/// The resource behind a vread.
pub(super) async fn fetch_version(
    session: &Session,
    type_id: TypeId,
    id: &str,
    version: &str,
    pairs: &Pairs,
) -> Result<Stored, RestError> {
    session.require(type_id, Access::Read)?;
    query::only(pairs, &[])?;
    let version = version.parse::<i32>().ok().filter(|number| *number > 0);
    let (Some(version), true) = (version, route::is_id(id)) else {
        return Err(RestError::NotFound);
    };
    let stored = session
        .store
        .vread(&session.visibility, search::NARROW, type_id, id, version)
        .await?;
    session.touch([(type_id, id)]);
    Ok(stored)
}

fn answer(
    session: &Session,
    stored: Stored,
    pairs: &Pairs,
    freshness: &Freshness,
) -> Result<Reply, RestError> {
    // What holds leave out of a version comes back under the same version when they end: "not
    // modified" would keep a released result from an app that caches. So such viewers are always
    // sent what they may see now.
    let conditional = !session.visibility.is_subject_to_holds();
    let mut reply = if conditional && freshness.has(stored.version, stored.updated) {
        Reply::status(StatusCode::NOT_MODIFIED, Content::Empty)
    } else {
        let body = if pairs.is_empty() {
            stored.body
        } else {
            query::view(pairs)?.apply(stored.type_id, stored.body)?
        };
        Reply::ok(Content::Json(body))
    };
    reply.version = Some(stored.version);
    reply.updated = Some(stored.updated);
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_a_version_by_tag_before_date() {
        let both = Freshness {
            none_match: Some("W/\"1\", W/\"3\"".to_owned()),
            modified_since: Some(5_000),
        };
        assert!(both.has(3, 9_000));
        assert!(!both.has(2, 1_000));
        let date = Freshness {
            none_match: None,
            modified_since: Some(5_000),
        };
        assert!(date.has(1, 5_999));
        assert!(!date.has(1, 6_000));
    }
}
