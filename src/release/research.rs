//! R04 and R05: access to data of treatment research may be suspended while it runs, if the patient
//! agreed to that when joining and was told that access comes back (45 CFR 164.524(a)(2)(iii)).
//! Any part of the evidence missing: released.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{Case, Claim};
use super::decision::{Effect, NoteKind, Redaction};
use super::needs::studies;
use super::resource::{extension, has_code, reference, text, type_of};
use super::rules::Rule;
use super::time::Edge;
use super::vocabulary::{ACCESS_SUSPENSION, BLINDED, CONSENT_SCOPE, INCLUDES_TREATMENT};
use crate::clock::{FOREVER, Millis};

/// The complete evidence: until when at the latest, and where it is written.
struct Proof<'a> {
    ends: Millis,
    study: &'a Value,
    evidence: Vec<&'a str>,
}

/// R04: data that says it was made for a study.
pub(crate) fn suspension(case: &mut Case<'_>, rule: &Rule) {
    if case.facts.target.get("extension").is_none() || case.patients.is_empty() {
        return;
    }
    for study in studies(case.facts.target) {
        match prove(case, study, None) {
            Ok(proof) => {
                for audience in &rule.audiences {
                    case.claim(rule, audience, Claim::withhold(proof.ends), &proof.evidence);
                }
            }
            Err(missing) => gap(case, rule, study, &missing),
        }
    }
}

/// R05: the arm in a ResearchSubject of a blinded study.
pub(crate) fn blinding(case: &mut Case<'_>, rule: &Rule) {
    let target = case.facts.target;
    if case.type_name != "ResearchSubject" {
        return;
    }
    let pointers: BTreeSet<String> = ["assignedArm", "_assignedArm", "actualArm", "_actualArm"]
        .iter()
        .filter(|key| target.get(**key).is_some())
        .map(|key| format!("/{key}"))
        .collect();
    let Some(study) = reference(target, "study") else {
        return;
    };
    if pointers.is_empty() {
        return;
    }
    match prove(case, study, Some((case.facts.target_ref, target))) {
        Ok(proof) if is_true(proof.study, BLINDED) => {
            for audience in &rule.audiences {
                let parts = Redaction {
                    pointers: pointers.clone(),
                    ..Redaction::default()
                };
                let claim = Claim {
                    effect: Effect::Redact(parts),
                    ..Claim::withhold(proof.ends)
                };
                case.claim(rule, audience, claim, &proof.evidence);
            }
        }
        Ok(_) => {}
        Err(missing) => gap(case, rule, study, &missing),
    }
}

fn gap(case: &mut Case<'_>, rule: &Rule, study: &str, missing: &[&str]) {
    let detail = format!("released, missing: {}", missing.join(", "));
    case.note(NoteKind::EvidenceGap, rule, &[study], &detail);
}

fn prove<'a>(
    case: &mut Case<'a>,
    study_ref: &'a str,
    subject: Option<(&'a str, &'a Value)>,
) -> Result<Proof<'a>, Vec<&'static str>> {
    let facts = case.facts;
    let mut missing = Vec::new();
    let study = case
        .resolve(facts.target, study_ref)
        .filter(|one| type_of(one) == "ResearchStudy");
    let study = study.unwrap_or(&Value::Null);
    if text(study, "status") != Some("active") {
        missing.push("an active study");
    }
    if !is_true(study, INCLUDES_TREATMENT) {
        missing.push("includes-treatment");
    }
    let patient = case.patients.first().copied();
    let joined = |one: &Value| {
        type_of(one) == "ResearchSubject"
            && reference(one, "study") == Some(study_ref)
            && reference(one, "individual") == patient
            && text(one, "status") == Some("on-study")
    };
    let subject = subject.filter(|(_, one)| joined(one)).or_else(|| {
        let mut inputs = facts.inputs.iter();
        inputs
            .find(|input| joined(input.resource))
            .map(|input| (input.reference, input.resource))
    });
    let Some((subject_ref, subject)) = subject else {
        missing.push("a subject on-study");
        return Err(missing);
    };
    let consent_ref = reference(subject, "consent");
    let consent = consent_ref.and_then(|one| case.resolve(subject, one));
    let consent = consent.filter(|one| {
        type_of(one) == "Consent"
            && text(one, "status") == Some("active")
            && has_code(one, "scope", CONSENT_SCOPE, "research")
            && reference(one, "patient") == patient
    });
    let suspension = consent.and_then(|one| extension(one, ACCESS_SUSPENSION));
    if consent.is_none() {
        missing.push("an active research consent of the patient");
    }
    if !suspension.is_some_and(|one| is_true(one, "agreed")) {
        missing.push("agreed");
    }
    if !suspension.is_some_and(|one| is_true(one, "informedOfReinstatement")) {
        missing.push("informedOfReinstatement");
    }
    let provision = consent
        .and_then(|one| one.get("provision"))
        .unwrap_or(&Value::Null);
    let ends = [study, subject, provision]
        .iter()
        .filter_map(|one| case.time(text(one.get("period")?, "end"), Edge::End))
        .fold(FOREVER, Millis::min);
    if ends <= case.now {
        missing.push("a study, a participation and a consent that still run");
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let evidence = [Some(study_ref), Some(subject_ref), consent_ref]
        .into_iter()
        .flatten();
    Ok(Proof {
        ends,
        study,
        evidence: evidence.collect(),
    })
}

fn is_true(element: &Value, url: &str) -> bool {
    extension(element, url)
        .and_then(|one| one.get("valueBoolean"))
        .and_then(Value::as_bool)
        == Some(true)
}
