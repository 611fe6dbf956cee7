//! Plans as SQL, the same text for SQLite and PostgreSQL. Types and parameters are literals, so
//! that plans are sharp and the number of statements small; everything a client sent is bound.
//!
//! Each condition can be written in two ways. A *source* is the table that is walked: its index
//! finds the rows. A *probe* is a predicate on a row that is already there: one more seek for each
//! row where an index allows it, else membership in a set that is computed once.

pub mod canonical;
pub mod chain;
mod compartment;
pub mod composite;
pub mod date;
pub mod has;
mod hierarchy;
pub mod id;
pub mod last_updated;
pub mod missing;
mod near;
pub mod number;
pub mod quantity;
pub mod range;
pub mod reference;
pub mod select;
pub mod string;
mod text;
pub mod token;
pub mod uri;
pub mod visible;

use std::borrow::Cow;

use sea_orm::Value;

use super::plan::Forbidden;
use super::plan::driver::is_exception;
use super::query::{Condition, Types};
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::search::extract::finds_canonicals;
use crate::sql::Sql;
use crate::store::Method;
use crate::visibility::{Access, Visibility, access_log, is_about_nobody, record_types};

/// Writes one statement.
#[derive(Debug)]
pub struct Lower<'a> {
    pub sql: Sql,
    pub keys: &'a Keys,
    pub visibility: &'a Visibility,
    pub access: Access,
    aliases: u32,
}

/// A row that predicates speak of: an alias with columns `id`, `type` and `patient`.
#[derive(Clone, Debug)]
pub struct Row {
    pub alias: String,
    pub types: Types,
    /// The alias is of `resource`, with `key`, `updated` and the rest.
    pub is_resource: bool,
    /// What is known of the patient column, as SQL to follow it: `= $1`, `IN ($1, $2)`.
    pub pin: Option<String>,
    /// The row is a link of a chain, found one at a time: probes of it stay probes. PostgreSQL
    /// would rather begin with everything that satisfies them.
    pub is_link: bool,
}

/// A table to walk, with what its index is asked.
#[derive(Clone, Debug)]
pub struct Source {
    pub table: Cow<'static, str>,
    pub conditions: Vec<String>,
    /// Several of its rows may be of one resource.
    pub repeats: bool,
}

impl Row {
    /// Ends an EXISTS that must not become a join.
    fn fence(&self) -> &'static str {
        if self.is_link {
            " LIMIT 1 OFFSET 0"
        } else {
            ""
        }
    }

    /// Whether this is a row of the log of accesses, whose dates have an index by id.
    pub(in crate::search) fn is_log(&self) -> bool {
        matches!(self.types, Types::One(one) if one == access_log())
    }

    /// Whether a patient, or nobody, has so few resources of the type that one of them is found by reading
    /// all. Of accesses there may be any number.
    pub(in crate::search) fn has_few_of_its_patient(&self) -> bool {
        matches!(self.types, Types::One(one) if !is_about_nobody(one)) && !self.is_log()
    }

    /// The type column of `alias` is this row's.
    fn same_type(&self, alias: &str) -> String {
        match self.types {
            Types::One(type_id) => format!("{alias}.type = {type_id}"),
            Types::Many(_) => format!("{alias}.type = {}.type", self.alias),
        }
    }

    /// The type column of `alias` is one that this row may have.
    pub(super) fn any_type(&self, alias: &str) -> String {
        type_in(alias, self.types.as_slice())
    }

    /// The same as a list, for an index that begins with the type: it is asked for one after the other.
    fn each_type(&self) -> String {
        list_of(&self.alias, self.types.as_slice())
    }

    /// Of several types that the log is none of, what the index of changes says of itself: it has all but the
    /// log, which may be most of what there is.
    pub(in crate::search) fn beside_the_log(&self, alias: &str) -> Option<String> {
        match &self.types {
            Types::Many(types) if !types.contains(&access_log()) => {
                Some(format!("{alias}.type <> {}", access_log()))
            }
            _ => None,
        }
    }

    /// The same where one patient is known. PostgreSQL may turn a probe round and begin with all that
    /// satisfies it: then with this patient's alone.
    pub(super) fn and_one_pin(&self, alias: &str) -> String {
        self.one_pin()
            .map(|pin| format!(" AND {alias}.patient {pin}"))
            .unwrap_or_default()
    }

    /// What is known of the patient column, where it is one patient.
    fn one_pin(&self) -> Option<&str> {
        self.pin.as_deref().filter(|pin| pin.starts_with("= $"))
    }

    /// The patient column of `alias`, if it is known, with ` AND ` in front.
    pub(super) fn and_pin(&self, alias: &str) -> String {
        self.pin
            .as_ref()
            .map(|pin| format!(" AND {alias}.patient {pin}"))
            .unwrap_or_default()
    }
}

/// Of other types it is enough to look at the row.
fn unnoted(row: &Row) -> String {
    let Some(provenance) = definitions().type_id("Provenance") else {
        return "1 = 1".to_owned();
    };
    let (t, noted) = (&row.alias, Method::Noted.number());
    if row.is_resource {
        return format!("({t}.type <> {provenance} OR {t}.method <> {noted})");
    }
    format!(
        "({t}.type <> {provenance} OR NOT EXISTS (SELECT 1 FROM resource n \
         WHERE n.id = {t}.id AND n.method = {noted}))"
    )
}

/// The ranges of types to ask for one by one: of all types but the log those before it and those after
/// it. One patient's log can be longer than all the rest of their record, and an index that has the type
/// behind the patient, or behind the target of a reference, then passes it by.
pub(super) fn ranges(types: &[TypeId], alias: &str) -> Vec<String> {
    match all_but_the_log(types) {
        Some(log) => vec![
            format!(" AND {alias}.type < {log}"),
            format!(" AND {alias}.type > {log}"),
        ],
        None => vec![String::new()],
    }
}

/// The type of the log, where these are all the others.
fn all_but_the_log(types: &[TypeId]) -> Option<TypeId> {
    if types.len() < 2 {
        return None;
    }
    let log = access_log();
    (types.len() == record_types().count() && !types.contains(&log)).then_some(log)
}

fn type_in(alias: &str, types: &[TypeId]) -> String {
    if let Some(log) = all_but_the_log(types) {
        // A list of a hundred and more would be gone through for each row.
        return format!("{alias}.type <> {log}");
    }
    list_of(alias, types)
}

fn list_of(alias: &str, types: &[TypeId]) -> String {
    match types {
        [one] => format!("{alias}.type = {one}"),
        many => {
            let list: Vec<String> = many.iter().map(ToString::to_string).collect();
            format!("{alias}.type IN ({})", list.join(", "))
        }
    }
}

impl<'a> Lower<'a> {
    /// An empty statement.
    #[must_use]
    pub fn new(keys: &'a Keys, visibility: &'a Visibility, access: Access) -> Self {
        Self {
            sql: Sql::default(),
            keys,
            visibility,
            access,
            aliases: 0,
        }
    }

    /// A new table alias.
    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// `= $1` or `IN ($1, $2)`.
    fn equals<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> String {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        match (values.len(), values.pop()) {
            (1, Some(one)) => format!("= {}", self.sql.bind(one)),
            (_, last) => {
                values.extend(last);
                format!("IN {}", self.sql.bind_list(values))
            }
        }
    }

    /// A predicate on a row.
    ///
    /// # Errors
    /// [`Forbidden`] when a chain leads to types that no scope opens.
    pub fn probe(&mut self, condition: &Condition, row: &Row) -> Result<String, Forbidden> {
        Ok(match condition {
            Condition::Id(ids) => self.id_probe(ids, row),
            Condition::LastUpdated(values) => self.last_updated_probe(values, row),
            Condition::Token { param, values, not } => self.token_probe(param.0, values, *not, row),
            Condition::String {
                param,
                mode,
                values,
            } => self.string_probe(param.0, *mode, values, row),
            Condition::Date { param, values } => self.date_probe(param.0, values, row),
            Condition::Number { param, values } => self.number_probe(param.0, values, row),
            Condition::Quantity { param, values } => self.quantity_probe(param.0, values, row),
            Condition::Uri {
                param,
                mode,
                values,
            } => self.uri_probe(param.0, *mode, values, row),
            Condition::Reference { param, values } => self.reference_probe(param.0, values, row),
            Condition::Near { param, values } => self.near_probe(param.0, values, row),
            Condition::Composite { param, values } => self.composite_probe(param.0, values, row),
            Condition::Missing { param, missing } => self.missing_probe(param.0, *missing, row),
            Condition::Unsorted(param) => self.unsorted_probe(param.0, row),
            Condition::Chain { param, links } => self.chain_probe(param.0, links, row)?,
            Condition::Has {
                source,
                param,
                condition,
            } => self.has_probe(*source, param.0, condition, row)?,
            Condition::Patient(keys) => {
                let keys = self.equals(keys.iter().copied());
                format!("{}.patient {keys}", row.alias)
            }
            Condition::PatientIs(condition) => self.patient_is_probe(condition, row)?,
            Condition::Exists(type_id, id) => self.exists(*type_id, id)?,
            Condition::Unnoted => unnoted(row),
            Condition::Compartment(of) => self.compartment_probe(of, row),
            Condition::Hierarchy { param, of } => self.hierarchy_probe(param.0, of, row)?,
            Condition::Text { narrative, any } => self.text_probe(*narrative, any, row),
            Condition::Not(condition) => format!("NOT {}", bracketed(&self.probe(condition, row)?)),
            Condition::All(conditions) => {
                let mut all = Vec::with_capacity(conditions.len());
                for condition in conditions {
                    all.push(self.probe(condition, row)?);
                }
                format!("({})", all.join(" AND "))
            }
            // They are lists of codes by now, except where there is nobody to look them up.
            Condition::ValueSet { .. } | Condition::Subsumed { .. } => NEVER.to_owned(),
            Condition::Any(conditions) => {
                let mut any = Vec::with_capacity(conditions.len());
                for condition in conditions {
                    any.push(self.probe(condition, row)?);
                }
                either(&any)
            }
        })
    }

    /// A table to walk under the alias of `row`; None when the condition has none and the
    /// resource table must lead.
    ///
    /// # Errors
    /// [`Forbidden`] when a chain leads to types that no scope opens.
    pub fn source(
        &mut self,
        condition: &Condition,
        row: &Row,
    ) -> Result<Option<Source>, Forbidden> {
        Ok(Some(match condition {
            Condition::Id(ids) => self.id_source(ids, row),
            Condition::LastUpdated(values) => self.last_updated_source(values, row),
            Condition::Token {
                param,
                values,
                not: false,
            } => self.token_source(param.0, values, row),
            Condition::Token {
                param,
                values,
                not: true,
            } if is_exception(&row.types, condition) => {
                self.other_codes_source(param.0, values, row)
            }
            Condition::String {
                param,
                mode,
                values,
            } => self.string_source(param.0, *mode, values, row),
            Condition::Date { param, values } => self.date_source(param.0, values, row),
            Condition::Number { param, values } => self.number_source(param.0, values, row),
            Condition::Quantity { param, values } => self.quantity_source(param.0, values, row),
            Condition::Uri {
                param,
                mode,
                values,
            } => self.uri_source(param.0, *mode, values, row),
            Condition::Reference { param, values } => self.reference_source(param.0, values, row),
            Condition::Near { param, values } => self.near_source(param.0, values, row),
            Condition::Composite { param, values } => self.composite_source(param.0, values, row),
            // The other end of a canonical is found by its URL: nothing to walk.
            Condition::Chain { param, .. } if canonical::refers(row, param.0) => return Ok(None),
            Condition::Chain { param, links } => self.chain_source(param.0, links, row)?,
            Condition::Compartment(of) => self.compartment_source(of, row),
            Condition::Hierarchy { param, of } => self.hierarchy_source(*param, of, row)?,
            Condition::Text { narrative, any } => self.text_source(*narrative, any, row),
            Condition::Has { source, param, .. } if finds_canonicals(*source, param.0) => {
                return Ok(None);
            }
            Condition::Has {
                source,
                param,
                condition,
            } => self.has_source(*source, param.0, condition, row)?,
            _ => return Ok(None),
        }))
    }
}

fn bracketed(test: &str) -> String {
    format!("({test})")
}

/// Alternatives in parentheses; no alternative never holds.
fn either(alternatives: &[String]) -> String {
    match alternatives {
        [] => NEVER.to_owned(),
        [one] => one.clone(),
        many => format!("({})", many.join(" OR ")),
    }
}

/// A predicate that no row satisfies.
const NEVER: &str = "1 = 0";
