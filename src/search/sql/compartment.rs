//! Compartments (R4 CompartmentDefinition): what is about a resource, and the resource itself.

use super::{Lower, NEVER, Row, Source, either, ranges};
use crate::fhir::definitions::definitions;
use crate::search::query::{Compartment, Types};

impl Lower<'_> {
    pub(super) fn compartment_probe(&mut self, of: &Compartment, row: &Row) -> String {
        let key = self.sql.bind(self.compartment_key(of));
        let d = &row.alias;
        let mut any = Vec::new();
        if of.by_column {
            any.push(format!("{d}.patient = {key}"));
        }
        if row.types.as_slice().contains(&of.own) {
            any.push(if row.is_resource {
                format!("{d}.key = {key}")
            } else {
                let m = self.alias();
                format!(
                    "EXISTS (SELECT 1 FROM resource {m} WHERE {m}.id = {d}.id AND {m}.key = {key})"
                )
            });
        }
        let c = self.alias();
        if let Some(arms) = arms(of, row, &c) {
            any.push(format!(
                "EXISTS (SELECT 1 FROM idx_reference {c} WHERE {c}.target = {key} AND {arms} \
                 AND {c}.id = {d}.id{})",
                row.fence()
            ));
        }
        either(&any)
    }

    /// Everything in the compartment, found by the indexes that lead to it.
    pub(super) fn compartment_source(&mut self, of: &Compartment, row: &Row) -> Source {
        let found = self.compartment_selects(of, row);
        let test = if found.is_empty() {
            NEVER.to_owned()
        } else {
            format!("{}.id IN ({})", row.alias, found.join(" UNION "))
        };
        Source {
            table: "resource".into(),
            conditions: vec![test],
            repeats: false,
        }
    }

    /// The ids of what is in the compartment, by each index; one may be in several.
    pub(in crate::search) fn compartment_selects(
        &mut self,
        of: &Compartment,
        row: &Row,
    ) -> Vec<String> {
        let key = self.sql.bind(self.compartment_key(of));
        let mut found = Vec::new();
        let m = self.alias();
        if of.by_column {
            let types = match &row.types {
                Types::One(_) => vec![format!(" AND {}", row.any_type(&m))],
                Types::Many(types) => ranges(types, &m),
            };
            found.extend(types.iter().map(|types| {
                format!("SELECT {m}.id FROM resource {m} WHERE {m}.patient = {key}{types}")
            }));
        }
        if row.types.as_slice().contains(&of.own) {
            found.push(format!(
                "SELECT {m}.id FROM resource {m} WHERE {m}.key = {key}"
            ));
        }
        let c = self.alias();
        if let Some(arms) = arms(of, row, &c) {
            found.extend(ranges(row.types.as_slice(), &c).iter().map(|types| {
                format!(
                    "SELECT {c}.id FROM idx_reference {c} WHERE {c}.target = {key}{types} AND {arms}"
                )
            }));
        }
        found
    }

    fn compartment_key(&self, of: &Compartment) -> i64 {
        self.keys.reference(definitions().type_name(of.own), &of.id)
    }
}

/// The references that put resources of the row's types into the compartment.
fn arms(of: &Compartment, row: &Row, c: &str) -> Option<String> {
    let all: Vec<String> = of
        .arms
        .iter()
        .filter(|(type_id, params)| !params.is_empty() && row.types.as_slice().contains(type_id))
        .map(|(type_id, params)| {
            let list: Vec<String> = params.iter().map(ToString::to_string).collect();
            format!(
                "({c}.type = {type_id} AND {c}.param IN ({}))",
                list.join(", ")
            )
        })
        .collect();
    (!all.is_empty()).then(|| either(&all))
}
