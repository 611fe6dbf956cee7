//! X-REJECT: what the loader refuses, and the compilation of what it accepts.

use jiff::civil::Date;

use super::text::{Condition, RuleText};
use super::{Class, PLANNED, Predicate, Rule, Status};
use crate::release::codes::value_set;
use crate::release::decision::{Audience, Mode};
use crate::release::time::Until;

const IB_PATHS: [&str; 9] = [
    "not_ehi",
    "required_by_law",
    "171.201",
    "171.202(b)",
    "171.202(d)",
    "171.202(e)",
    "171.203",
    "171.204",
    "171.206",
];

const FLAGS: [&str; 5] = [
    "malignancy-likely",
    "genetic-marker",
    "hiv",
    "hepatitis-antigen",
    "cancer-order",
];

const OVERRIDERS: [&str; 10] = [
    "ordering_provider",
    "treating_provider",
    "patient",
    "determiner",
    "reviewer",
    "author",
    "counsel",
    "data_steward",
    "investigator",
    "licensed_hcp",
];

/// Checks a rule and compiles it. None for a rule whose predicate is planned and which is not
/// active; the error is the fault in words.
pub(super) fn compile(text: &RuleText) -> Result<Option<Rule>, String> {
    let status = match text.status.as_str() {
        "active" => Status::Active,
        "scheduled" => Status::Scheduled,
        "off" => Status::Off,
        other => return Err(format!("`{other}` is no status (active, scheduled, off)")),
    };
    let class = match text.class.as_str() {
        "scope" => Class::Scope,
        "mandatory" => Class::Mandatory,
        "directive" => Class::Directive,
        "exception" => Class::Exception,
        "operational" => Class::Operational,
        other => return Err(format!("`{other}` is no class")),
    };
    let effective = (
        day(text.effective.0.as_deref())?,
        day(text.effective.1.as_deref())?,
    );
    if let (Some(from), Some(to)) = effective
        && to < from
    {
        return Err(format!("effective until {to}, before it begins on {from}"));
    }
    let audiences = audiences(&text.matches.requester)?;
    let mode = match text.visibility.as_deref() {
        None | Some("notice") => Mode::Notice,
        Some("pending") => Mode::Pending,
        Some("conceal") => Mode::Conceal,
        Some(other) => return Err(format!("`{other}` is no visibility")),
    };
    restriction(text, class, &audiences)?;
    let until = text.until.as_ref().and_then(|until| until.calc.as_deref());
    let until = until
        .map(|calc| Until::parse(calc).ok_or_else(|| format!("cannot calculate `{calc}`")))
        .transpose();
    let name = text.matches.predicate.as_str();
    let Some(predicate) = Predicate::parse(name) else {
        if !PLANNED.contains(&name) {
            return Err(format!("predicate `{name}` is not known"));
        }
        if status == Status::Active {
            return Err(format!(
                "predicate `{name}` is not implemented yet: keep the rule off"
            ));
        }
        return Ok(None);
    };
    let until = until?;
    if predicate == Predicate::SensitiveResult && until.is_none() && status == Status::Active {
        return Err("a delay needs `until.calc`".to_owned());
    }
    for who in &text.overridable_by {
        if !OVERRIDERS.contains(&who.as_str()) {
            return Err(format!("`{who}` cannot override anything"));
        }
    }
    for condition in &text.matches.resource.any_of {
        known(condition)?;
    }
    if let Some(id) = &text.matches.qualification.value_set
        && value_set(id).is_none()
    {
        return Err(format!("value set `{id}` is not known"));
    }
    Ok(Some(Rule {
        id: text.id.clone(),
        status,
        effective,
        cite: text.legal_basis.cite.clone(),
        ib_path: text
            .legal_basis
            .ib_path
            .clone()
            .unwrap_or_else(|| "none".to_owned()),
        class,
        predicate,
        audiences,
        types: text.matches.resource.types.clone(),
        any_of: text.matches.resource.any_of.clone(),
        basis: text.matches.basis.clone(),
        qualification: text.matches.qualification.clone(),
        words: text.matches.words.clone(),
        until,
        related: text.related,
        overridable_by: text.overridable_by.clone(),
        mode,
        notice: text.notice_text.clone(),
        priority: text.priority,
    }))
}

/// The guard itself: what may restrict anybody, and how.
fn restriction(text: &RuleText, class: Class, audiences: &[Audience]) -> Result<(), String> {
    match text.effect.as_str() {
        "release" => return Ok(()),
        "withhold" | "redact" | "delay_until" => {}
        other => return Err(format!("`{other}` is no effect")),
    }
    let path = text.legal_basis.ib_path.as_deref().unwrap_or("none");
    if path == "none" {
        return Err(
            "restricts without a legal path: `legalBasis.ibPath` is none or missing \
                    (X-REJECT)"
                .to_owned(),
        );
    }
    if !IB_PATHS.contains(&path) {
        return Err(format!("`{path}` is no legal path"));
    }
    if text.legal_basis.cite.trim().is_empty() {
        return Err("restricts without a citation (X-REJECT)".to_owned());
    }
    if audiences.is_empty() {
        return Err("restricts nobody: `match.requester` is empty".to_owned());
    }
    let patient_side = audiences.iter().any(|audience| {
        matches!(
            audience,
            Audience::PatientSide | Audience::Patient | Audience::Representatives
        )
    });
    let timer = text
        .until
        .as_ref()
        .is_some_and(|until| until.calc.is_some());
    if patient_side && timer && path != "required_by_law" {
        return Err(
            "a timer that no law requires is an organisation's own delay (X-REJECT)".into(),
        );
    }
    if timer && class != Class::Mandatory {
        return Err("a statutory timer belongs to class `mandatory`".to_owned());
    }
    if let Some(patient) = &text.matches.patient
        && patient.age_under.is_some()
        && patient.service.is_none()
    {
        return Err(
            "blocks by age alone; a minor's confidentiality is service-specific \
                    (X-REJECT)"
                .to_owned(),
        );
    }
    let any_of = &text.matches.resource.any_of;
    let topical = |one: &Condition| {
        (one.label.is_some() || one.specialty.is_some() || one.vip.is_some())
            && one.flag.is_none()
            && one.value_set.is_none()
    };
    if patient_side && any_of.iter().any(topical) {
        return Err(
            "a label, a specialty or fame alone never restricts the patient (X-REJECT)".to_owned(),
        );
    }
    let exception = class == Class::Exception || class == Class::Directive;
    if exception && patient_side && text.evidence_required.is_empty() {
        return Err("an exception needs `evidenceRequired`".to_owned());
    }
    match text.on_evidence_missing.as_deref() {
        None | Some("inapplicable") => Ok(()),
        Some("fail_closed") if class == Class::Scope || !patient_side => Ok(()),
        Some("fail_closed") => Err(
            "only what is outside EHI may fail closed against the patient (X-REJECT)".to_owned(),
        ),
        Some(other) => Err(format!("`{other}` is no `onEvidenceMissing`")),
    }
}

fn known(condition: &Condition) -> Result<(), String> {
    match (&condition.flag, &condition.value_set) {
        (Some(flag), None) if FLAGS.contains(&flag.as_str()) => Ok(()),
        (Some(flag), None) => Err(format!("`{flag}` is no release flag")),
        (None, Some(id)) if value_set(id).is_some() => Ok(()),
        (None, Some(id)) => Err(format!("value set `{id}` is not known")),
        _ => Err("a condition names one flag or one value set".to_owned()),
    }
}

fn day(text: Option<&str>) -> Result<Option<Date>, String> {
    text.map(|text| text.parse().map_err(|_| format!("`{text}` is no date")))
        .transpose()
}

fn audiences(requesters: &[String]) -> Result<Vec<Audience>, String> {
    let mut found = Vec::new();
    let (mut patient, mut representative) = (false, false);
    for requester in requesters {
        match requester.as_str() {
            "patient" => patient = true,
            "personal_rep" => representative = true,
            "clinician" => found.push(Audience::Clinicians),
            "payer" => found.push(Audience::Payers),
            "researcher" => found.push(Audience::Researchers),
            "third_party" => found.push(Audience::ThirdParties),
            other => return Err(format!("`{other}` is no requester")),
        }
    }
    match (patient, representative) {
        (true, true) => found.insert(0, Audience::PatientSide),
        (true, false) => found.insert(0, Audience::Patient),
        (false, true) => found.insert(0, Audience::Representatives),
        (false, false) => {}
    }
    Ok(found)
}
