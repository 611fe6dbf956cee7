//! What makes a hold valid (release-policy.md 1.2 and 8.3, release-contract.md "Hold").
//!
//! One examination serves twice: REST refuses a hold with gaps (422, naming each), and a decision
//! ignores one that came through a feed or whose evidence has gone since.

mod evidence;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::decision::Audience;
use super::facts::Lookup;
use super::needs::task_code;
use super::policy::PolicyContext;
use super::resource::{codings, each, local, patient_of, patients_of, reference, text, type_of};
use super::rules::{Predicate, Rule};
use super::time::{Edge, millis};
use super::vocabulary::{HOLD_INPUT, RELEASE_BASIS};
use crate::clock::Millis;
use crate::fhir::outcome::Issue;
use evidence::{defect, documented, facts, harm_standard, professional, related};

const DAY: Millis = 86_400_000;
/// Longest life of a hold; it may be attested again.
const LONGEST: Millis = 90 * DAY;
/// When it is looked at again at the latest (release-policy.md 8.3, and R11 in 8.4).
const REASSESS: Millis = 30 * DAY;
const REASSESS_DEFECT: Millis = 3 * DAY;
/// How far the clocks of two machines may be apart.
pub(crate) const SKEW: Millis = 60_000;

/// A hold Task, read.
pub(crate) struct Hold<'a> {
    /// The rule it stands on; none if no active rule knows its reason.
    pub(crate) rule: Option<&'a Rule>,
    /// Who determined it: `Practitioner/x`.
    pub(crate) determiner: Option<&'a str>,
    /// When it begins, if that is said: not before.
    pub(crate) starts: Option<Millis>,
    /// First instant after it.
    pub(crate) ends: Option<Millis>,
    pub(crate) audiences: Vec<Audience>,
    /// FHIRPath of the elements it is narrowed to; empty for the whole resource.
    pub(crate) paths: Vec<&'a str>,
    /// What is missing or wrong.
    pub(crate) gaps: Vec<Issue>,
}

/// Finds resources by `Type/id` or Reference text.
pub(crate) type Resolve<'r, 'a> = &'r mut dyn FnMut(&str) -> Option<&'a Value>;

/// Checks a hold (Task `release-hold`) before it is stored. `lookup` must know what
/// [`crate::release::evidence`] names, and the focus if paths are to be tried on it.
///
/// # Errors
/// One issue for each missing or wrong part.
pub fn check_hold(
    task: &Value,
    lookup: &dyn Lookup,
    context: &PolicyContext,
    now: Millis,
) -> Result<(), Vec<Issue>> {
    let mut resolve = |reference: &str| lookup.resource(local(reference)?);
    let mut hold = examine(task, context, now, &mut resolve);
    // A hold that stands is not lifted by the day it was to be looked at again; a new one names a day
    // that is yet to come.
    let reassess = value(task, "reassess-at").and_then(|at| millis(at, context.zone(), Edge::End));
    if reassess.is_some_and(|at| at < now) {
        hold.gaps
            .push(wrong("Task.input", "reassess-at: is in the past"));
    }
    let focus = reference(task, "focus").and_then(|focus| lookup.resource(focus));
    if let Some(focus) = focus {
        let about = patients_of(focus);
        let named = reference(task, "for");
        if !about.is_empty() && !about.iter().any(|one| Some(*one) == named) {
            hold.gaps.push(wrong(
                "Task.for",
                "`for` is not the patient of the held resource",
            ));
        }
        for path in &hold.paths {
            match super::holds::locate(focus, path) {
                Err(fault) => hold
                    .gaps
                    .push(wrong("Task.input", format!("path: {fault}"))),
                Ok(found) if found.is_empty() => {
                    hold.gaps.push(wrong(
                        "Task.input",
                        "path: finds nothing in the held resource",
                    ));
                }
                Ok(_) => {}
            }
        }
    }
    if hold.gaps.is_empty() {
        Ok(())
    } else {
        Err(hold.gaps)
    }
}

/// Checks any resource that steers releases before it is stored: a hold in progress as
/// [`check_hold`], a review for the independence of its reviewer. Everything else passes.
///
/// # Errors
/// One issue for each missing or wrong part.
pub fn check_input(
    resource: &Value,
    lookup: &dyn Lookup,
    context: &PolicyContext,
    now: Millis,
) -> Result<(), Vec<Issue>> {
    if type_of(resource) != "Task" {
        return Ok(());
    }
    match task_code(resource) {
        Some("release-hold") if text(resource, "status") == Some("in-progress") => {
            check_hold(resource, lookup, context, now)
        }
        Some("access-review") => check_review(resource, lookup, context, now),
        Some("release-now" | "discussed-with-patient") => {
            let clinician =
                reference(resource, "requester").is_some_and(|who| who.starts_with("Practitioner"));
            // Where the law lets the patient end the wait, the patient may ask for it.
            let by_the_patient = task_code(resource) == Some("release-now")
                && reference(resource, "requester").is_some()
                && reference(resource, "requester") == patient_of(resource)
                && context.active().iter().any(|rule| {
                    rule.predicate == Predicate::SensitiveResult && rule.ends_at_the_patients_wish()
                });
            let mut gaps = Vec::new();
            if !clinician && !by_the_patient {
                gaps.push(missing(
                    "Task.requester",
                    "a treating or ordering Practitioner",
                ));
            }
            let focus = reference(resource, "focus");
            if focus.is_none() {
                gaps.push(missing("Task.focus", "the result this is about"));
            } else if patient_of(resource).is_none()
                && focus.and_then(|focus| lookup.resource(focus)).is_none()
            {
                // Whom it is about is known by one or the other.
                let words = "the focus is not known here, and `for` does not name the patient";
                gaps.push(wrong("Task.focus", words));
            }
            if gaps.is_empty() { Ok(()) } else { Err(gaps) }
        }
        _ => Ok(()),
    }
}

fn check_review(
    task: &Value,
    lookup: &dyn Lookup,
    context: &PolicyContext,
    now: Millis,
) -> Result<(), Vec<Issue>> {
    let mut gaps = Vec::new();
    let hold = reference(task, "focus").and_then(|focus| lookup.resource(focus));
    let hold = hold.filter(|hold| task_code(hold) == Some("release-hold"));
    if hold.is_none() {
        gaps.push(missing(
            "Task.focus",
            "the hold under review, which must exist",
        ));
    }
    let mut resolve = |one: &str| lookup.resource(local(one)?);
    if task.get("output").is_some() {
        gaps.extend(review_gaps(task, hold, context, now, &mut resolve));
    } else if let (Some(hold), Some(owner)) = (hold, reference(task, "owner")) {
        gaps.extend(own_decision(hold, owner, &mut resolve));
    }
    if gaps.is_empty() { Ok(()) } else { Err(gaps) }
}

/// What a review with an outcome lacks: it is done, by a licensed professional who took no part in the
/// decision under review (45 CFR 164.524(a)(4)). `written`: when the review was stored.
pub(crate) fn review_gaps<'a>(
    task: &'a Value,
    hold: Option<&'a Value>,
    context: &PolicyContext,
    written: Millis,
    resolve: Resolve<'_, 'a>,
) -> Vec<Issue> {
    const AT: &str = "Task.owner";
    let mut gaps = Vec::new();
    if text(task, "status") != Some("completed") {
        gaps.push(wrong(
            "Task.status",
            "a review with an outcome is completed",
        ));
    }
    let owner = reference(task, "owner").filter(|who| who.starts_with("Practitioner"));
    let Some(owner) = owner else {
        gaps.push(missing(
            AT,
            "the reviewer, a licensed health care professional",
        ));
        return gaps;
    };
    if let Some(hold) = hold {
        gaps.extend(own_decision(hold, owner, resolve));
    }
    gaps.extend(license_gaps(owner, AT, context, written, resolve));
    gaps
}

/// What somebody lacks to be a licensed health care professional at that instant.
pub(crate) fn license_gaps<'a>(
    who: &'a str,
    at: &str,
    context: &PolicyContext,
    instant: Millis,
    resolve: Resolve<'_, 'a>,
) -> Vec<Issue> {
    let mut gaps = Vec::new();
    // Any rule that a professional's determination stands on says who is one, in force or not.
    let licensing = context
        .implemented()
        .find(|rule| rule.predicate == Predicate::Hold && !rule.qualification.words.is_empty());
    if let Some(rule) = licensing {
        let when = Moment {
            at: instant,
            zone: context.zone(),
        };
        professional(Some(who), at, rule, &when, resolve, &mut gaps);
    }
    gaps
}

fn own_decision<'a>(hold: &'a Value, owner: &'a str, resolve: Resolve<'_, 'a>) -> Option<Issue> {
    let determiner = reference(hold, "requester")?;
    (person_of(determiner, resolve) == person_of(owner, resolve)).then(|| {
        wrong(
            "Task.owner",
            "the reviewer took part in the decision: name another licensed professional \
             (45 CFR 164.524(a)(4))",
        )
    })
}

/// `Practitioner/x` of a practitioner or of one of its roles.
pub(crate) fn person_of<'a>(who: &'a str, resolve: Resolve<'_, 'a>) -> &'a str {
    if who.starts_with("PractitionerRole/") {
        resolve(who)
            .and_then(|role| reference(role, "practitioner"))
            .unwrap_or(who)
    } else {
        who
    }
}

/// When something was determined, for what must have been so then.
pub(crate) struct Moment<'z> {
    at: Millis,
    zone: &'z TimeZone,
}

impl Moment<'_> {
    /// Whether it lies within a Period; one without times is always.
    fn is_within(&self, period: Option<&Value>) -> bool {
        let edge = |key, edge| millis(text(period?, key)?, self.zone, edge);
        edge("start", Edge::Start).is_none_or(|from| from <= self.at)
            && edge("end", Edge::End).is_none_or(|to| self.at < to)
    }

    /// Whether a Period had begun by then, or does not say.
    fn has_begun(&self, period: Option<&Value>) -> bool {
        let start = period
            .and_then(|period| text(period, "start"))
            .and_then(|start| millis(start, self.zone, Edge::Start));
        start.is_none_or(|from| from <= self.at)
    }
}

/// Reads a hold and lists its gaps, whatever its status. `written`: when this server stored it.
pub(crate) fn examine<'a>(
    task: &'a Value,
    context: &'a PolicyContext,
    written: Millis,
    resolve: Resolve<'_, 'a>,
) -> Hold<'a> {
    let mut gaps = Vec::new();
    let zone = context.zone();
    let basis = codings(task, "reasonCode")
        .find(|(system, _)| *system == RELEASE_BASIS)
        .map(|(_, code)| code);
    let rule = basis.and_then(|basis| {
        let mut rules = context.active().iter();
        rules.find(|rule| rule.predicate == Predicate::Hold && rule.basis.as_deref() == Some(basis))
    });
    match (basis, rule) {
        (None, _) => gaps.push(missing("Task.reasonCode", "a code of release-basis")),
        (Some(_), None) => gaps.push(Issue {
            severity: "error",
            code: "not-supported",
            diagnostics: "no rule in force holds for this reason, see $release-policy".to_owned(),
            expression: "Task.reasonCode".to_owned(),
        }),
        _ => {}
    }
    match reference(task, "focus") {
        None => gaps.push(missing("Task.focus", "the held resource")),
        Some(focus) if focus.starts_with("Patient/") => {
            let words = "a whole chart cannot be held: name the resource, and the path if a part \
                         suffices (45 CFR 171.201(b))";
            gaps.push(wrong("Task.focus", words));
        }
        Some(_) => {}
    }
    let patient = reference(task, "for").filter(|one| one.starts_with("Patient/"));
    if patient.is_none() {
        gaps.push(missing("Task.for", "the patient"));
    }
    let authored = text(task, "authoredOn").and_then(|at| millis(at, zone, Edge::Start));
    if authored.is_none() {
        gaps.push(missing("Task.authoredOn", "when this was determined"));
    }
    if authored.is_some_and(|authored| authored > written + SKEW) {
        gaps.push(wrong(
            "Task.authoredOn",
            "nothing is determined in the future",
        ));
    }
    // A later authoredOn than the storing lengthens nothing.
    let authored = authored.map(|authored| authored.min(written));
    let when = Moment {
        at: authored.unwrap_or(written),
        zone,
    };
    let ends = expiry(task, authored, context, &mut gaps);
    let starts = beginning(task, ends, context, &mut gaps);
    let (audiences, groups) = recipients(task, patient, rule, &mut gaps);
    let requester = reference(task, "requester").filter(|who| who.starts_with("Practitioner"));
    if requester.is_none() {
        gaps.push(missing("Task.requester", "the determining Practitioner"));
    }
    let basis = basis.unwrap_or_default();
    if let (Some(rule), true) = (rule, basis.starts_with("harm-")) {
        professional(requester, "Task.requester", rule, &when, resolve, &mut gaps);
        related(task, requester, patient, &when, resolve, &mut gaps);
        harm_standard(task, basis, &groups, &mut gaps);
        facts(task, Some(rule), &mut gaps);
        if value(task, "less-restrictive-considered").is_none_or(|words| words.trim().is_empty()) {
            gaps.push(missing_input("less-restrictive-considered"));
        }
        documented(task, &when, REASSESS, &mut gaps);
    } else if basis == "data-defect" {
        defect(task, rule, &mut gaps);
        facts(task, None, &mut gaps);
        documented(task, &when, REASSESS_DEFECT, &mut gaps);
    } else if basis == "litigation" && value(task, "matter").is_none_or(|it| it.trim().is_empty()) {
        gaps.push(missing_input("matter"));
    }
    let paths = inputs(task, "path").filter_map(input_text).collect();
    let determiner = requester.map(|who| person_of(who, resolve));
    Hold {
        rule,
        determiner,
        starts,
        ends,
        audiences,
        paths,
        gaps,
    }
}

fn expiry(
    task: &Value,
    authored: Option<Millis>,
    context: &PolicyContext,
    gaps: &mut Vec<Issue>,
) -> Option<Millis> {
    const AT: &str = "Task.restriction.period.end";
    let period = task.get("restriction").and_then(|one| one.get("period"));
    let Some(written) = period.and_then(|period| text(period, "end")) else {
        gaps.push(missing(AT, "when the hold expires"));
        return None;
    };
    let Some(ends) = millis(written, context.zone(), Edge::End) else {
        gaps.push(wrong(AT, "the expiry is no dateTime"));
        return None;
    };
    if let Some(authored) = authored {
        // A day without a time counts to its end, and a day may have 25 hours.
        let slack = if written.contains('T') {
            0
        } else {
            DAY + DAY / 24
        };
        if ends - authored > LONGEST + slack {
            gaps.push(wrong(
                AT,
                "the expiry is more than 90 days after authoredOn",
            ));
        } else if ends <= authored {
            gaps.push(wrong(AT, "the expiry is not after authoredOn"));
        }
    }
    Some(ends)
}

/// When a hold begins. A hold is placed when it is written; it can say that it begins later.
fn beginning(
    task: &Value,
    ends: Option<Millis>,
    context: &PolicyContext,
    gaps: &mut Vec<Issue>,
) -> Option<Millis> {
    const AT: &str = "Task.restriction.period.start";
    let period = task.get("restriction").and_then(|one| one.get("period"));
    let written = period.and_then(|period| text(period, "start"))?;
    let Some(starts) = millis(written, context.zone(), Edge::Start) else {
        gaps.push(wrong(AT, "the beginning is no dateTime"));
        return None;
    };
    if ends.is_some_and(|ends| ends <= starts) {
        gaps.push(wrong(AT, "the beginning is not before the expiry"));
    }
    Some(starts)
}

/// Which classes of requester a hold is against.
#[derive(Default)]
struct Groups {
    patient: bool,
    representative: bool,
    other: bool,
}

fn recipients(
    task: &Value,
    patient: Option<&str>,
    rule: Option<&Rule>,
    gaps: &mut Vec<Issue>,
) -> (Vec<Audience>, Groups) {
    const AT: &str = "Task.restriction.recipient";
    let mut groups = Groups::default();
    let restriction = task.get("restriction").unwrap_or(&Value::Null);
    if restriction.get("recipient").is_none() {
        let audiences = rule.map(|rule| rule.audiences.clone()).unwrap_or_default();
        groups.patient = audiences
            .iter()
            .any(|one| matches!(one, Audience::PatientSide | Audience::Patient));
        groups.representative = !groups.patient;
        return (audiences, groups);
    }
    let mut audiences = Vec::new();
    for recipient in each(restriction, "recipient") {
        let who = text(recipient, "reference")
            .and_then(local)
            .unwrap_or_default();
        match who.split('/').next().unwrap_or_default() {
            "Patient" if Some(who) == patient => {
                groups.patient = true;
                audiences.push(Audience::Patient);
            }
            "Patient" => gaps.push(wrong(AT, "another patient is no recipient")),
            "RelatedPerson" => {
                groups.representative = true;
                audiences.push(Audience::One(who.to_owned()));
            }
            "Practitioner" | "Organization" => {
                groups.other = true;
                audiences.push(Audience::One(who.to_owned()));
            }
            _ => gaps.push(Issue {
                severity: "error",
                code: "not-supported",
                diagnostics: "a recipient is the Patient, a RelatedPerson, a Practitioner or an \
                              Organization"
                    .to_owned(),
                expression: AT.to_owned(),
            }),
        }
    }
    (audiences, groups)
}

/// The inputs of a hold of one type.
fn inputs<'a>(task: &'a Value, code: &str) -> impl Iterator<Item = &'a Value> {
    each(task, "input")
        .filter(move |input| codings(input, "type").any(|coding| coding == (HOLD_INPUT, code)))
}

/// The first input of a type as text.
fn value<'a>(task: &'a Value, code: &str) -> Option<&'a str> {
    inputs(task, code).find_map(input_text)
}

fn input_text(input: &Value) -> Option<&str> {
    let plain = [
        "valueString",
        "valueCode",
        "valueMarkdown",
        "valueDateTime",
        "valueInstant",
        "valueDate",
    ];
    plain.iter().find_map(|key| text(input, key)).or_else(|| {
        ["valueCodeableConcept", "valueCoding"]
            .iter()
            .find_map(|key| {
                let code = codings(input, key).next().map(|(_, code)| code);
                code.or_else(|| input.get(*key).and_then(|concept| text(concept, "text")))
            })
    })
}

/// Every word a Task's outputs say, as type or as value.
pub(crate) fn outcome(task: &Value) -> impl Iterator<Item = &str> {
    each(task, "output").flat_map(|output| {
        let typed = codings(output, "type").map(|(_, code)| code);
        let worded = output.get("type").and_then(|kind| text(kind, "text"));
        typed.chain(worded).chain(input_text(output))
    })
}

fn missing_input(code: &str) -> Issue {
    missing("Task.input", code)
}

fn missing(at: &str, what: &str) -> Issue {
    Issue::error("required", format!("missing: {what}")).at(at)
}

fn wrong(at: &str, what: impl Into<String>) -> Issue {
    Issue::error("business-rule", what).at(at)
}
