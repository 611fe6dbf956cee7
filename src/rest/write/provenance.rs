//! Who changed what, said in the transaction of the change (R4 Provenance): the one that the client
//! sent in `X-Provenance` (R4 3.1.0.1.12), or one of this server's making.
//!
//! One Provenance for each patient and kind of change of a request, with many targets: a bundle of
//! a thousand results of one patient makes one more resource, not a thousand. Writes whose
//! Provenance comes along in the same request get no other.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::digest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::instant;
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::json;
use crate::fhir::outcome::Issue;
use crate::rest::session::Session;
use crate::rest::{RestError, incoming};
use crate::store::{Method, Op, Outcome, StoreError, Writer};
use crate::visibility::Access;

/// Reads `X-Provenance`: a Provenance in JSON, whose target the server fills in.
pub(in crate::rest) fn sent(session: &Session, header: &str) -> Result<Value, RestError> {
    let type_id = type_id()?;
    session.require_writer()?;
    session.require(type_id, Access::Create)?;
    let mut provenance =
        json::parse_resource(header.as_bytes()).map_err(|issue| named(vec![issue]))?;
    if provenance["resourceType"] != "Provenance" {
        return Err(named(vec![Issue::error(
            "value",
            "It must hold a Provenance in JSON.",
        )]));
    }
    if let Value::Object(object) = &mut provenance {
        object.shift_remove("id");
        // Whatever stands here: it is about what this request writes.
        object.insert("target".to_owned(), json!([{"reference": "Patient/x"}]));
        if !object.contains_key("recorded") {
            let now = instant(session.visibility.now());
            object.insert("recorded".to_owned(), now.into());
        }
    }
    match incoming::check(type_id, &provenance) {
        Ok(_) => Ok(provenance),
        Err(RestError::BadRequest(issues)) => Err(named(issues)),
        Err(error) => Err(error),
    }
}

/// Says of issues that they are about the header.
fn named(issues: Vec<Issue>) -> RestError {
    RestError::BadRequest(
        issues
            .into_iter()
            .map(|mut issue| {
                issue.diagnostics = format!("The header X-Provenance: {}", issue.diagnostics);
                issue
            })
            .collect(),
    )
}

fn type_id() -> Result<TypeId, RestError> {
    definitions()
        .type_id("Provenance")
        .ok_or(RestError::Internal)
}

/// What was written, and how.
#[derive(Debug)]
pub(super) struct Wrote {
    pub(super) method: Method,
    /// Addresses that a Provenance of the request is about already.
    pub(super) told: bool,
}

/// The addresses that the Provenances among these writes are about.
pub(super) fn told<'o>(ops: impl Iterator<Item = &'o Op>) -> HashSet<String> {
    ops.filter_map(|op| op.resource.as_ref())
        .filter(|resource| resource["resourceType"] == "Provenance")
        .filter_map(|resource| resource["target"].as_array())
        .flatten()
        .filter_map(|target| target["reference"].as_str())
        .map(|text| {
            text.split_once("/_history/")
                .map_or(text, |(address, _)| address)
                .to_owned()
        })
        .collect()
}

/// R4 2.24.0.1, `id`.
const LONGEST_ID: usize = 64;

/// What one Provenance is about.
#[derive(Debug, Default)]
struct Group<'o> {
    targets: Vec<Value>,
    /// What its id may be made of: the Patient, else the first one.
    named: Option<(&'o str, &'o Outcome)>,
}

impl<'o> Group<'o> {
    fn add(&mut self, name: &'o str, outcome: &'o Outcome) {
        self.targets
            .push(json!({"reference": format!("{name}/{}", outcome.id)}));
        if self.named.is_none() || name == "Patient" {
            self.named = Some((name, outcome));
        }
    }

    /// The id. Of one target it is made of that one: a random one would tell two records apart that differ
    /// by nothing but what is withheld, and with its only target it is withheld itself. Of several it must
    /// name none that can be withheld, for the others remain: it is the Patient's, or random.
    fn id(&self) -> String {
        let Some((name, outcome)) = self
            .named
            .filter(|(name, _)| self.targets.len() == 1 || *name == "Patient")
        else {
            return Uuid::new_v4().to_string();
        };
        let id = format!("{name}.{}.{}", outcome.id, outcome.version);
        if id.len() <= LONGEST_ID {
            return id;
        }
        let hash = digest::digest(&digest::SHA256, id.as_bytes());
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Writes what is to be said of these writes. `wrote` goes with `outcomes`.
pub(super) async fn write(
    session: &Session,
    writer: &mut Writer<'_>,
    wrote: &[Wrote],
    outcomes: &[Outcome],
) -> Result<(), RestError> {
    let sent = session.provenance.as_deref();
    if sent.is_none() && !session.limits.provenance {
        return Ok(());
    }
    let type_id = type_id()?;
    let mut groups: BTreeMap<(i64, &str), Group<'_>> = BTreeMap::new();
    for (wrote, outcome) in wrote.iter().zip(outcomes) {
        let name = definitions().type_name(outcome.type_id);
        let is_about_writes = matches!(name, "Provenance" | "AuditEvent");
        // A deletion of nothing changed nothing.
        if !outcome.changed || is_about_writes || (wrote.told && sent.is_none()) {
            continue;
        }
        let activity = match (wrote.method, outcome.created) {
            (Method::Delete, _) => "DELETE",
            (_, true) => "CREATE",
            _ => "UPDATE",
        };
        // What the client says is about all of the request; a patient's record has its own all the
        // same.
        let activity = if sent.is_some() { "" } else { activity };
        groups
            .entry((outcome.patient, activity))
            .or_default()
            .add(name, outcome);
    }
    if groups.is_empty() {
        return Ok(());
    }
    let ops: Vec<Op> = groups
        .into_iter()
        .map(|((_, activity), group)| {
            let (mut resource, id, method) = match sent {
                Some(sent) => (sent.clone(), Uuid::new_v4().to_string(), Method::Post),
                None => (own(session, activity), group.id(), Method::Noted),
            };
            resource["target"] = group.targets.into();
            Op {
                type_id,
                id,
                method,
                resource: Some(resource),
                if_match: None,
                must_be_new: true,
            }
        })
        .collect();
    match writer.apply(ops.clone()).await {
        // One that a client brought along, from another server or a backup; nothing is written yet.
        Err(StoreError::About { error, .. }) if matches!(*error, StoreError::VersionConflict) => {
            let anew = ops.into_iter().map(|op| Op {
                id: Uuid::new_v4().to_string(),
                ..op
            });
            writer.apply(anew.collect()).await?;
        }
        result => {
            result?;
        }
    }
    Ok(())
}

/// A Provenance of this server's making: the client wrote it, and the person who used it, if one
/// did.
fn own(session: &Session, activity: &str) -> Value {
    let participant =
        |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let viewer = &session.viewer;
    let mut client = json!({
        "type": "Device",
        "identifier": {
            "system": format!("{}/oauth-clients", session.store.base()),
            "value": viewer.client_id,
        },
    });
    if let Some(device) = &viewer.client_device {
        client["reference"] = format!("Device/{device}").into();
    }
    let mut agents = vec![json!({
        "type": participant(
            "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
            "transmitter",
        ),
        "who": client,
    })];
    if let Some(person) = &viewer.person {
        agents.push(json!({
            "type": participant(
                "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                "author",
            ),
            "who": {"reference": person},
        }));
    }
    json!({
        "resourceType": "Provenance",
        "target": [],
        "recorded": instant(session.store.clock().now()),
        "activity": participant(
            "http://terminology.hl7.org/CodeSystem/v3-DataOperation",
            activity,
        ),
        "agent": agents,
    })
}
