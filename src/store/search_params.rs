//! Search parameters of this server: rows of `search_param`, kept in step with the SearchParameter
//! resources in the transaction that writes them.
//!
//! A process holds what it last read, with a number ([`Custom::generation`]) that every change
//! raises. Writes compare it inside their transaction, so that no resource is stored without the rows
//! of a parameter that stands; searches compare it where it matters ([`Store::knows`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::apply::lock_all;
use super::write::Origin;
use super::{Store, StoreError};
use crate::fhir::definitions::ParamId;
use crate::search::extract::custom::{Custom, Definition, FIRST, Standing};
use crate::search::extract::define::{Defined, define};
use crate::sql::Sql;

/// The entry of `meta` that every change raises.
const GENERATION: &str = "search-params";

/// `search_param.state`.
pub(super) const TO_BUILD: i16 = 1;
pub(super) const BUILDING: i16 = 2;
pub(super) const READY: i16 = 3;
pub(super) const RETIRED: i16 = 4;
pub(super) const GONE: i16 = 5;

/// How far the index of a SearchParameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamState {
    /// Not an active definition of this server's own: nothing is indexed for it.
    None,
    Waiting,
    Building,
    Ready,
}

/// A SearchParameter as a write leaves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'w> {
    pub(super) doc: i64,
    pub(super) id: &'w str,
    /// None: deleted.
    pub(super) resource: Option<&'w Value>,
}

impl Store {
    /// The parameters as this process knows them.
    #[must_use]
    pub fn custom(&self) -> Arc<Custom> {
        self.custom.load_full()
    }

    /// Whether these are the parameters that stand in the database now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows(&self, custom: &Custom) -> Result<bool, StoreError> {
        let found = self.meta(GENERATION).await?;
        Ok(number(found.as_deref()) == custom.generation)
    }

    /// Reads the parameters anew if others changed them; answers whether they did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn learn(&self) -> Result<bool, StoreError> {
        if self.knows(&self.custom()).await? {
            return Ok(false);
        }
        let custom = read(self.reader()).await?;
        self.remember(custom);
        self.wake.notify_one();
        Ok(true)
    }

    /// Keeps what was read, unless something newer was read meanwhile.
    fn remember(&self, custom: Custom) {
        let custom = Arc::new(custom);
        self.custom.rcu(|known| {
            if known.generation < custom.generation {
                custom.clone()
            } else {
                known.clone()
            }
        });
    }

    /// What other processes did to the index: [`Store::learn`], and whether it is of this release.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watch_index(&self) -> Result<(), StoreError> {
        let is_old = self.is_index_old().await?;
        self.closed.store(is_old, Ordering::Release);
        self.learn().await?;
        Ok(())
    }

    /// Whether nothing may be looked for in the index, as far as this process knows.
    #[must_use]
    pub fn is_index_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on nothing may be looked for in the index, until [`Store::watch_index`] finds otherwise.
    pub fn close_index(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// What every write begins with: the index is of this release, and the parameters are those that
    /// stand.
    pub(super) async fn settle(&self, on: &impl ConnectionTrait) -> Result<(), StoreError> {
        let select =
            Sql::new("SELECT name, value FROM meta WHERE name IN ('index-epoch', 'search-params')");
        let mut generation = 0;
        for row in on.query_all_raw(select.statement(self.backend())).await? {
            let (name, value): (String, String) =
                (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            if name == GENERATION {
                generation = number(Some(&value));
            } else {
                self.require_epoch(&value)?;
            }
        }
        if generation != self.custom().generation {
            let custom = read(on).await?;
            self.remember(custom);
        }
        Ok(())
    }

    /// Brings `search_param` in step with SearchParameter resources that were just written.
    pub(super) async fn sync_params(
        &self,
        on: &impl ConnectionTrait,
        origin: Origin,
        written: &[Written<'_>],
    ) -> Result<(), StoreError> {
        // One at a time, or two could take the same code or number.
        lock_all(on, vec![self.keys().text(GENERATION)]).await?;
        let mut standing = read(on).await?;
        let mut changed = false;
        for one in written {
            let defined = match one.resource {
                None => None,
                Some(resource) => match define(resource, one.doc, &standing) {
                    Ok(Defined::Parameter(definition)) => Some(*definition),
                    Ok(Defined::Inactive | Defined::BuiltIn) => None,
                    Err(issues) if origin == Origin::Api => {
                        let refused = StoreError::Refused {
                            status: 422,
                            issues,
                        };
                        return Err(refused.about("SearchParameter", one.id));
                    }
                    Err(_) => {
                        tracing::warn!(
                            "a SearchParameter of a feed was stored and cannot be searched with"
                        );
                        None
                    }
                },
            };
            let own = standing.standing().iter().find(|own| own.doc == one.doc);
            if self.put(on, one.doc, own, defined).await? {
                changed = true;
                standing = read(on).await?;
            }
        }
        if changed {
            self.raise_params(on).await?;
        }
        Ok(())
    }

    /// Says that the parameters changed.
    pub(super) async fn raise_params(&self, on: &impl ConnectionTrait) -> Result<(), StoreError> {
        lock_all(on, vec![self.keys().text(GENERATION)]).await?;
        let next = generation(on).await? + 1;
        self.set_meta(on, GENERATION, &next.to_string()).await
    }

    async fn put(
        &self,
        on: &impl ConnectionTrait,
        doc: i64,
        old: Option<&Standing>,
        new: Option<Definition>,
    ) -> Result<bool, StoreError> {
        match (old, new) {
            (None, None) => Ok(false),
            (Some(old), Some(new)) if old.definition == new => Ok(false),
            (Some(old), Some(new)) if old.definition.is_indexed_like(&new) => {
                let mut sql = Sql::default();
                let (body, own) = (sql.bind(json(&new)?), sql.bind(old.number));
                sql.text = format!("UPDATE search_param SET body = {body} WHERE number = {own}");
                on.execute_raw(sql.statement(self.backend())).await?;
                Ok(true)
            }
            (old, new) => {
                if let Some(old) = old {
                    set_state(on, &[old.number], RETIRED).await?;
                }
                if let Some(new) = new {
                    let select = Sql::new("SELECT MAX(number) FROM search_param");
                    let row = on.query_one_raw(select.statement(self.backend())).await?;
                    let last: Option<ParamId> = match row {
                        Some(row) => row.try_get_by_index(0)?,
                        None => None,
                    };
                    let number = last
                        .unwrap_or(FIRST - 1)
                        .checked_add(1)
                        .ok_or(StoreError::Corrupt("search_param.number"))?;
                    let mut sql = Sql::default();
                    let row = [sql.bind(number), sql.bind(doc), sql.bind(json(&new)?)];
                    let [number, doc, body] = row;
                    sql.text = format!(
                        "INSERT INTO search_param (number, doc, state, body) \
                         VALUES ({number}, {doc}, {TO_BUILD}, {body})"
                    );
                    on.execute_raw(sql.statement(self.backend())).await?;
                }
                Ok(true)
            }
        }
    }

    /// How far the index of the SearchParameter with this surrogate id is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn param_state(&self, doc: i64) -> Result<(ParamId, ParamState), StoreError> {
        let mut sql = Sql::default();
        let doc = sql.bind(doc);
        sql.text = format!(
            "SELECT number, state FROM search_param WHERE doc = {doc} AND state < {RETIRED}"
        );
        let row = self
            .reader()
            .query_one_raw(sql.statement(self.backend()))
            .await?;
        let Some(row) = row else {
            return Ok((0, ParamState::None));
        };
        let state: i16 = row.try_get_by_index(1)?;
        let state = match state {
            TO_BUILD => ParamState::Waiting,
            BUILDING => ParamState::Building,
            _ => ParamState::Ready,
        };
        Ok((row.try_get_by_index(0)?, state))
    }
}

/// Puts parameters into a state.
pub(super) async fn set_state(
    on: &impl ConnectionTrait,
    numbers: &[ParamId],
    state: i16,
) -> Result<(), StoreError> {
    let mut sql = Sql::default();
    let list = sql.bind_list(numbers.iter().copied());
    sql.text = format!("UPDATE search_param SET state = {state} WHERE number IN {list}");
    on.execute_raw(sql.statement(on.get_database_backend()))
        .await?;
    Ok(())
}

/// Numbers and definitions of the parameters in these states.
pub(super) async fn in_state(
    on: &impl ConnectionTrait,
    state: i16,
) -> Result<Vec<(ParamId, Definition)>, StoreError> {
    let select = Sql::new(format!(
        "SELECT number, body FROM search_param WHERE state = {state} ORDER BY number"
    ));
    let rows = on
        .query_all_raw(select.statement(on.get_database_backend()))
        .await?;
    rows.iter()
        .map(|row| {
            let body: String = row.try_get_by_index(1)?;
            Ok((row.try_get_by_index(0)?, definition(&body)?))
        })
        .collect()
}

/// The parameters that stand.
pub(super) async fn read(on: &impl ConnectionTrait) -> Result<Custom, StoreError> {
    // The number first: what changes after it is found to have changed.
    let generation = generation(on).await?;
    let select = Sql::new(format!(
        "SELECT number, doc, state, body FROM search_param WHERE state < {RETIRED} ORDER BY number"
    ));
    let rows = on
        .query_all_raw(select.statement(on.get_database_backend()))
        .await?;
    let mut standing = Vec::with_capacity(rows.len());
    for row in rows {
        let state: i16 = row.try_get_by_index(2)?;
        let body: String = row.try_get_by_index(3)?;
        standing.push(Standing {
            number: row.try_get_by_index(0)?,
            doc: row.try_get_by_index(1)?,
            is_ready: state == READY,
            definition: definition(&body)?,
        });
    }
    Ok(Custom::new(generation, standing))
}

async fn generation(on: &impl ConnectionTrait) -> Result<i64, StoreError> {
    let select = Sql::new(format!(
        "SELECT value FROM meta WHERE name = '{GENERATION}'"
    ));
    let row = on
        .query_one_raw(select.statement(on.get_database_backend()))
        .await?;
    let value: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(number(value.as_deref()))
}

fn number(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn json(definition: &Definition) -> Result<String, StoreError> {
    serde_json::to_string(definition).map_err(|_| StoreError::Corrupt("search_param.body"))
}

fn definition(body: &str) -> Result<Definition, StoreError> {
    serde_json::from_str(body).map_err(|_| StoreError::Corrupt("search_param.body"))
}
