//! When each app last read what: kept in memory with every request and written down now and then, so that
//! a read costs no write. What was not written down when a process died is lost; the audit log has it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::entities::{grant, token};
use super::{MINUTE, SmartState, secret};
use crate::clock::Millis;
use crate::fhir::definitions::definitions;
use crate::store::StoreError;

/// Reads this close together are one visit of the app, and said together.
const VISIT: Millis = 60 * MINUTE;
/// Tokens remembered between two writes. Beyond them a read is not noted.
const MOST: usize = 50_000;

/// What stands for a whole record.
pub(super) const EVERYTHING: &str = "*";

#[derive(Debug)]
struct Read {
    at: Millis,
    types: BTreeSet<&'static str>,
}

/// What was read since it was last written down, by the hash of the token.
#[derive(Debug, Default)]
pub(super) struct Reads(Mutex<HashMap<Vec<u8>, Read>>);

/// Notes that the holder of a token read something. `path`: below the FHIR base, `/Observation/x`.
pub fn note_read(state: &SmartState, bearer: &str, path: &str) {
    let now = state.now();
    let key = secret::hash(bearer);
    let mut reads = state
        .reads()
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if reads.len() >= MOST && !reads.contains_key(&key) {
        return;
    }
    let read = reads.entry(key).or_insert_with(|| Read {
        at: now,
        types: BTreeSet::new(),
    });
    read.at = now;
    read.types.extend(subject(path));
}

/// What a path asks about: a type, or a whole record.
fn subject(path: &str) -> Option<&'static str> {
    let mut segments = path.trim_matches('/').split('/');
    let (first, last) = (segments.next()?, segments.nth(1));
    if matches!(last, Some("$everything" | "*")) {
        return Some(EVERYTHING);
    }
    let type_name = |name: &str| {
        let type_id = definitions().type_id(name)?;
        Some(definitions().type_name(type_id))
    };
    last.and_then(type_name).or_else(|| type_name(first))
}

/// Writes down what was noted.
///
/// # Errors
/// When the database fails. What was noted is lost then.
pub async fn write_reads(state: &SmartState) -> Result<(), StoreError> {
    let noted = {
        let mut reads = state
            .reads()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *reads)
    };
    if noted.is_empty() {
        return Ok(());
    }
    let tx = state.store().begin().await?;
    let connection = tx.connection();
    for (hash, read) in noted {
        let Some(token) = token::Entity::find_by_id(hash).one(connection).await? else {
            continue;
        };
        let found = grant::Entity::find_by_id(token.grant_id)
            .one(connection)
            .await?;
        // A system's reads are nobody's to look at here.
        let Some(grant) = found.filter(|grant| grant.account.is_some()) else {
            continue;
        };
        if grant.read.is_some_and(|before| before > read.at) {
            continue;
        }
        let mut types: BTreeSet<&str> = read.types;
        if grant.read.is_some_and(|before| before + VISIT > read.at) {
            types.extend(grant.read_types.as_deref().unwrap_or_default().split(' '));
        }
        types.remove("");
        let types = types.into_iter().collect::<Vec<_>>().join(" ");
        grant::Entity::update_many()
            .col_expr(grant::Column::Read, Expr::value(read.at))
            .col_expr(grant::Column::ReadTypes, Expr::value(types))
            .filter(grant::Column::Id.eq(grant.id.as_str()))
            .exec(connection)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_read() {
        for (path, expected) in [
            ("/Observation", Some("Observation")),
            ("/Observation/x/_history/1", Some("Observation")),
            ("/Patient/x/Condition", Some("Condition")),
            ("/Patient/x/$everything", Some(EVERYTHING)),
            ("/Observation/_search", Some("Observation")),
            ("/", None),
            ("/metadata", None),
        ] {
            assert_eq!(subject(path), expected, "{path}");
        }
    }
}
