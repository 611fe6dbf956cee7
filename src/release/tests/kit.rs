//! A small world to decide in.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};

use crate::clock::Millis;
use crate::release::vocabulary::{
    CANONICAL, CONSENT_SCOPE, HOLD_INPUT, NO_INDUCEMENT, PSYCHOTHERAPY_ATTESTATION, RELEASE_BASIS,
    RELEASE_FLAG, RELEASE_FLAG_SYSTEM, RELEASE_TASK,
};
use crate::release::{
    Audience, Decision, Effect, Facts, HoldSpan, Input, NoteKind, PolicyContext, Referrer,
    Withheld, decide,
};

/// 2026-11-10T15:00:00Z.
pub(super) const T0: Millis = 1_794_322_800_000;
pub(super) const HOUR: Millis = 3_600_000;
pub(super) const DAY: Millis = 24 * HOUR;

pub(super) fn at(text: &str) -> Millis {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The shipped policy of a place; read once, a property test asks for it often.
pub(super) fn policy(jurisdiction: &'static str, zone: &'static str) -> PolicyContext {
    type Known = Mutex<HashMap<(&'static str, &'static str), PolicyContext>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);
    let mut known = KNOWN.lock().unwrap();
    let read = || PolicyContext::new(Some(jurisdiction), zone, &[], 1).unwrap();
    known
        .entry((jurisdiction, zone))
        .or_insert_with(read)
        .clone()
}

/// Everything around one target.
#[derive(Clone)]
pub(super) struct World {
    pub(super) policy: PolicyContext,
    pub(super) target: Value,
    pub(super) first_final: Option<Millis>,
    /// (resource, stored at, fed)
    pub(super) inputs: Vec<(Value, Millis, bool)>,
    pub(super) linked: HashMap<String, Value>,
    pub(super) referrers: Vec<(Value, Option<Millis>)>,
    pub(super) withheld: Vec<Withheld>,
}

pub(super) fn ref_of(resource: &Value) -> String {
    format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    )
}

impl World {
    pub(super) fn new(policy: PolicyContext, target: Value) -> Self {
        Self {
            policy,
            target,
            first_final: None,
            inputs: Vec::new(),
            linked: HashMap::new(),
            referrers: Vec::new(),
            withheld: Vec::new(),
        }
    }

    pub(super) fn federal(target: Value) -> Self {
        Self::new(policy("US", "America/New_York"), target)
    }

    pub(super) fn link(mut self, resource: Value) -> Self {
        self.linked.insert(ref_of(&resource), resource);
        self
    }

    pub(super) fn input(mut self, resource: Value) -> Self {
        self.inputs.push((resource, T0, false));
        self
    }

    pub(super) fn decide(&self, now: Millis) -> Decision {
        let names: Vec<String> = self.inputs.iter().map(|(one, ..)| ref_of(one)).collect();
        let inputs: Vec<Input<'_>> = self
            .inputs
            .iter()
            .zip(&names)
            .map(|((resource, stored_at, fed), reference)| Input {
                reference,
                resource,
                stored_at: *stored_at,
                fed: *fed,
            })
            .collect();
        let names: Vec<String> = self.referrers.iter().map(|(one, _)| ref_of(one)).collect();
        let referrers: Vec<Referrer<'_>> = self
            .referrers
            .iter()
            .zip(&names)
            .map(|((resource, first_final), reference)| Referrer {
                reference,
                resource,
                first_final: *first_final,
            })
            .collect();
        let target_ref = ref_of(&self.target);
        decide(
            &Facts {
                target: &self.target,
                target_ref: &target_ref,
                first_final: self.first_final,
                inputs: &inputs,
                linked: &self.linked,
                referrers: &referrers,
                withheld_targets: &self.withheld,
                records: &[],
                context: &self.policy,
            },
            now,
        )
    }

    /// Whether the audience sees the whole target at `now`, decided at `now`.
    pub(super) fn sees(&self, audience: &Audience, now: Millis) -> bool {
        active(&self.decide(now), audience, now).is_empty()
    }

    /// Whether the audience sees nothing at all of it.
    pub(super) fn hidden(&self, audience: &Audience, now: Millis) -> bool {
        let decision = self.decide(now);
        active(&decision, audience, now)
            .iter()
            .any(|span| span.effect == Effect::Withhold)
    }
}

/// The spans that a viewer of this class meets at `now`.
pub(super) fn active<'a>(
    decision: &'a Decision,
    audience: &Audience,
    now: Millis,
) -> Vec<&'a HoldSpan> {
    decision
        .holds
        .iter()
        .filter(|span| audience.is_within(&span.audience) && span.starts <= now && now < span.ends)
        .collect()
}

pub(super) fn has_note(decision: &Decision, kind: NoteKind) -> bool {
    decision.entries.iter().any(|note| note.kind == kind)
}

pub(super) fn flag(code: &str) -> Value {
    json!({"url": RELEASE_FLAG, "valueCoding": {"system": RELEASE_FLAG_SYSTEM, "code": code}})
}

pub(super) fn report(id: &str, flags: &[&str]) -> Value {
    let mut report = json!({
        "resourceType": "DiagnosticReport", "id": id, "status": "final",
        "code": {"text": "Report"},
        "subject": {"reference": "Patient/p"},
        "issued": "2026-11-10T15:00:00Z",
    });
    if !flags.is_empty() {
        report["extension"] = flags.iter().map(|one| flag(one)).collect();
    }
    report
}

pub(super) fn observation(id: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "laboratory",
        }]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
        "subject": {"reference": "Patient/p"},
        "issued": "2026-11-10T15:00:00Z",
    })
}

pub(super) fn practitioner(id: &str, qualification: &str) -> Value {
    json!({
        "resourceType": "Practitioner", "id": id,
        "qualification": [{"code": {"text": qualification}}],
    })
}

pub(super) fn psychotherapy_note() -> Value {
    json!({
        "resourceType": "DocumentReference", "id": "psy", "status": "current",
        "meta": {"security": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN",
        }]},
        "extension": [{"url": PSYCHOTHERAPY_ATTESTATION, "extension": [
            {"url": "author", "valueReference": {"reference": "Practitioner/psych"}},
            {"url": "sessionAnalysis", "valueBoolean": true},
            {"url": "separatelyStored", "valueBoolean": true},
            {"url": "attestedAt", "valueDateTime": "2026-11-10T14:00:00Z"},
        ]}],
        "subject": {"reference": "Patient/p"},
        "content": [{"attachment": {"url": "Binary/psy-text"}}],
    })
}

pub(super) fn task(id: &str, code: &str, focus: &str) -> Value {
    json!({
        "resourceType": "Task", "id": id, "status": "completed", "intent": "order",
        "code": {"coding": [{"system": RELEASE_TASK, "code": code}]},
        "focus": {"reference": focus},
        "for": {"reference": "Patient/p"},
        "requester": {"reference": "Practitioner/dr"},
        "authoredOn": "2026-11-10T15:00:00Z",
    })
}

pub(super) fn canonical(kind: &str, id: &str) -> String {
    format!("{CANONICAL}/{kind}/{id}")
}

pub(super) fn hold_input(code: &str, key: &str, value: Value) -> Value {
    let mut input = json!({"type": {"coding": [{"system": HOLD_INPUT, "code": code}]}});
    input[key] = value;
    input
}

pub(super) fn without_input(mut task: Value, code: &str) -> Value {
    let inputs = task["input"].as_array_mut().unwrap();
    inputs.retain(|input| input["type"]["coding"][0]["code"] != code);
    task
}

pub(super) fn with_input(task: Value, input: Value) -> Value {
    let code = input["type"]["coding"][0]["code"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut task = without_input(task, &code);
    task["input"].as_array_mut().unwrap().push(input);
    task
}

/// A hold on DiagnosticReport/r by Practitioner/dr with everything that makes one valid.
pub(super) fn hold(basis: &str) -> Value {
    let mut hold = task("hold", "release-hold", "DiagnosticReport/r");
    hold["status"] = json!("in-progress");
    hold["reasonCode"] = json!({"coding": [{"system": RELEASE_BASIS, "code": basis}]});
    hold["restriction"] = json!({"period": {"end": "2026-12-01T15:00:00Z"}});
    let facts = "Documented suicide plan tied to this result; attempt on 2026-10-02.";
    let standard = "life-or-physical-safety";
    let visit = json!({"reference": "Encounter/visit"});
    hold["input"] = json!([
        hold_input("harm-standard", "valueCode", json!(standard)),
        hold_input("facts", "valueString", json!(facts)),
        hold_input(
            "less-restrictive-considered",
            "valueString",
            json!("Same-day visit.")
        ),
        hold_input("relationship", "valueReference", visit),
        hold_input("case-by-case", "valueBoolean", json!(true)),
        hold_input(
            "reassess-at",
            "valueDateTime",
            json!("2026-11-20T15:00:00Z")
        ),
    ]);
    hold
}

/// A directive of the patient.
pub(super) fn directive(provision: Value) -> Value {
    json!({
        "resourceType": "Consent", "id": "no", "status": "active",
        "scope": {"coding": [{"system": CONSENT_SCOPE, "code": "patient-privacy"}]},
        "patient": {"reference": "Patient/p"},
        "performer": [{"reference": "Patient/p"}],
        "dateTime": "2026-11-10T14:00:00Z",
        "extension": [{"url": NO_INDUCEMENT, "valueBoolean": true}],
        "provision": provision,
    })
}
