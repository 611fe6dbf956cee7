//! Resources about several patients: whose record each part belongs to. Each patient is shown the
//! resource without the others ([`release::Record`]).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::StoreError;
use super::current::{self, Current, inherits_from};
use super::decide::Decider;
use crate::fhir::definitions::definitions;
use crate::release::{self, Record};

impl Decider<'_> {
    /// The patients (keys) that a resource is about, and what of it is foreign to each of them; only
    /// for what is about more than one.
    pub(super) async fn records(
        &self,
        target: &Current,
        value: &Value,
    ) -> Result<(Vec<i64>, Vec<Record>), StoreError> {
        let type_name = definitions().type_name(target.type_id);
        let named = release::patients_of(value);
        let targets = match type_name {
            "Provenance" => inherits_from(type_name, value),
            _ => Vec::new(),
        };
        if named.len() < 2 && targets.len() < 2 {
            return Ok((Vec::new(), Vec::new()));
        }
        let references = release::references(value);
        let keys: Vec<i64> = references
            .iter()
            .filter_map(|one| self.key_of(one))
            .collect();
        let found = current::load(self.on, &keys, false).await?;
        // Whose each reference is: a patient's own, or the record of what it names.
        let mut owners: BTreeMap<&str, i64> = BTreeMap::new();
        for one in &references {
            let Some(key) = self.key_of(one) else {
                continue;
            };
            let owner = if one.starts_with("Patient/") {
                key
            } else {
                found.get(&key).map_or(0, |current| current.patient)
            };
            owners.insert(one, owner);
        }
        let mut about: Vec<i64> = Vec::new();
        for one in named.into_iter().chain(targets) {
            let owner = owners.get(one).copied().unwrap_or(0);
            if owner != 0 && !about.contains(&owner) {
                about.push(owner);
            }
        }
        if about.len() < 2 {
            return Ok((Vec::new(), Vec::new()));
        }
        let patients: HashMap<i64, Current> = current::load(self.on, &about, false).await?;
        let records = about
            .iter()
            .filter_map(|key| {
                let id = match patients.get(key) {
                    Some(patient) => format!("Patient/{}", patient.id),
                    // Not here yet, but named.
                    None => (*owners
                        .iter()
                        .find(|(one, owner)| **owner == *key && one.starts_with("Patient/"))?
                        .0)
                        .to_owned(),
                };
                let foreign = owners
                    .iter()
                    .filter(|(_, owner)| **owner != 0 && **owner != *key)
                    .map(|(one, _)| (*one).to_owned())
                    .collect();
                Some(Record {
                    patient: id,
                    foreign,
                })
            })
            .collect();
        Ok((about, records))
    }
}
