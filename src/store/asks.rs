//! Tasks that the server leaves for the records office, in the transaction of what calls for them.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::StoreError;
use super::current::load;
use super::indexed::Indexed;
use super::write::{Method, Op, Writer};
use crate::clock::{self, Millis};
use crate::fhir::definitions::definitions;
use crate::release;

impl Writer<'_> {
    /// Adds a Task for each directive in these writes that does not apply because nobody attested that
    /// it was not induced (release-contract.md, "Patient directive"): somebody must ask the patient.
    /// It names no patient, because it is the office's and no part of a record, and there is one for
    /// each directive however often that is written.
    pub(super) async fn ask_for_attestations(
        &self,
        ops: &mut Vec<(Op, Option<Indexed>)>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let Some(type_id) = definitions().type_id("Task") else {
            return Ok(());
        };
        let keys = self.store.keys();
        let mut asks: Vec<(i64, Op)> = Vec::new();
        for (op, _) in ops.iter() {
            let directive = op.resource.as_ref();
            if !directive.is_some_and(release::lacks_attestation) {
                continue;
            }
            let id = format!("attest-{:016x}", keys.reference("Consent", &op.id));
            asks.push((
                keys.reference("Task", &id),
                Op {
                    type_id,
                    resource: Some(ask(&id, &op.id, now)),
                    id,
                    method: Method::Put,
                    if_match: None,
                    must_be_new: false,
                },
            ));
        }
        if asks.is_empty() {
            return Ok(());
        }
        let wanted: Vec<i64> = asks.iter().map(|(key, _)| *key).collect();
        let standing: HashSet<i64> = load(self.connection(), &wanted, false)
            .await?
            .into_keys()
            .collect();
        let fresh = asks.into_iter().filter(|(key, _)| !standing.contains(key));
        ops.extend(fresh.map(|(_, op)| (op, None)));
        Ok(())
    }
}

fn ask(id: &str, consent: &str, now: Millis) -> Value {
    json!({
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "order",
        "code": {"text": "Ask for the attestation of a directive"},
        "description": "A patient's directive does not apply, because it lacks the attestation that \
            nobody encouraged or induced it (45 CFR 171.202(e)(2)). Ask the patient, and complete it.",
        "focus": {"reference": format!("Consent/{consent}")},
        "authoredOn": clock::instant(now),
    })
}
