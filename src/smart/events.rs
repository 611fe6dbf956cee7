//! What happened to accounts, as AuditEvents that auditors search (45 CFR 164.312(b), 164.308(a)(5)(ii)(C)):
//! codes issued, passwords changed, sessions ended. Written in the transaction of what they tell of.
//!
//! They name a patient by a logical reference alone: an event about an account is in nobody's record, so a
//! parent does not learn from it that their child has an account.

use serde_json::{Value, json};
use uuid::Uuid;

use super::SmartState;
use crate::clock::instant;
use crate::fhir::definitions::definitions;
use crate::store::{Method, Op, Origin, StoreError, Writer};

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OWN: &str = "https://candor.example/fhir/CodeSystem/account-event";

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    /// Our own word for it.
    what: &'static str,
    client: Option<&'a str>,
    /// Who did it.
    account: Option<&'a str>,
    /// To whose account, when it is another's.
    to: Option<&'a str>,
    patient: Option<&'a str>,
    is_refused: bool,
}

impl<'a> Event<'a> {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            client: None,
            account: None,
            to: None,
            patient: None,
            is_refused: false,
        }
    }

    /// What a system did.
    pub(super) fn by_client(what: &'static str, client: &'a str) -> Self {
        Self {
            client: Some(client),
            ..Self::new(what)
        }
    }

    /// With which app.
    pub(super) fn with(self, client: &'a str) -> Self {
        Self {
            client: Some(client),
            ..self
        }
    }

    /// What somebody did who was not signed in.
    pub(super) fn by_nobody(what: &'static str) -> Self {
        Self::new(what)
    }

    /// What the holder of an account did.
    pub(super) fn by_account(what: &'static str, account: &'a str) -> Self {
        Self {
            account: Some(account),
            ..Self::new(what)
        }
    }

    /// The client that they did it to, or with.
    pub(super) fn with_client(self, client: &'a str) -> Self {
        Self {
            client: Some(client),
            ..self
        }
    }

    /// The patient whose record it opens, or would.
    pub(super) fn about(self, patient: &'a str) -> Self {
        Self {
            patient: Some(patient),
            ..self
        }
    }

    /// The account it was done to.
    pub(super) fn to(self, account: &'a str) -> Self {
        Self {
            to: Some(account),
            ..self
        }
    }

    /// It was tried, and refused.
    pub(super) fn refused(self) -> Self {
        Self {
            is_refused: true,
            ..self
        }
    }

    fn resource(&self, state: &SmartState) -> Value {
        let base = state.store().base();
        let identified = |system: &str, value: &str| json!({"identifier": {"system": format!("{base}/{system}"), "value": value}});
        let mut agents = Vec::new();
        if let Some(client) = self.client {
            agents.push(json!({"who": identified("oauth-clients", client),
                "requestor": self.account.is_none()}));
        }
        if let Some(account) = self.account {
            agents.push(json!({"who": identified("accounts", account), "requestor": true}));
        }
        if agents.is_empty() {
            agents.push(json!({"who": {"display": "somebody not signed in"}, "requestor": true}));
        }
        let mut entities = Vec::new();
        if let Some(account) = self.to {
            entities.push(json!({"what": identified("accounts", account),
                "type": {"system": ENTITY, "code": "2", "display": "System Object"}}));
        }
        if let Some(patient) = self.patient {
            entities.push(json!({"what": identified("Patient", patient),
                "type": {"system": ENTITY, "code": "1", "display": "Person"}}));
        }
        let mut event = json!({
            "resourceType": "AuditEvent",
            "type": {"system": DCM, "code": "110113", "display": "Security Alert"},
            "subtype": [
                {"system": DCM, "code": "110137", "display": "User Security Attributes Changed"},
                {"system": OWN, "code": self.what},
            ],
            "action": "E",
            "recorded": instant(state.now()),
            "outcome": if self.is_refused { "4" } else { "0" },
            "agent": agents,
            "source": {"observer": {"display": "Candor"}, "type": [{
                "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                "code": "4", "display": "Application Server"}]},
        });
        if !entities.is_empty() {
            event["entity"] = entities.into();
        }
        event
    }

    fn op(&self, state: &SmartState) -> Option<Op> {
        Some(Op {
            type_id: definitions().type_id("AuditEvent")?,
            id: Uuid::new_v4().to_string(),
            method: Method::Post,
            resource: Some(self.resource(state)),
            if_match: None,
            must_be_new: true,
        })
    }
}

/// Writes an event in the transaction of what it tells of.
pub(super) async fn note(
    writer: &mut Writer<'_>,
    state: &SmartState,
    event: &Event<'_>,
) -> Result<(), StoreError> {
    writer.apply(event.op(state).into_iter().collect()).await?;
    Ok(())
}

/// Writes an event by itself.
pub(super) async fn note_alone(state: &SmartState, event: &Event<'_>) -> Result<(), StoreError> {
    let ops = event.op(state).into_iter().collect();
    state.store().write(Origin::Feed, ops).await?;
    Ok(())
}
