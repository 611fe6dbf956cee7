//! State packs: sensitive results that a law keeps from the patient for a time (release-policy.md
//! 3.2). Which results, how long and who may end it are the rule's data.

use serde_json::Value;

use super::case::{Case, Claim, finalized};
use super::codes;
use super::decision::NoteKind;
use super::facts::Referrer;
use super::links::attachments;
use super::needs::{is_result, orders, task_code};
use super::positive::is_positive;
use super::resource::{
    codings, each, extensions, has_code, local, patients_of, reference, references, text, type_of,
    words_of,
};
use super::rules::{Condition, Predicate, Rule};
use super::time::{Edge, millis};
use super::validity::{SKEW, license_gaps};
use super::vocabulary::{RELEASE_FLAG, RELEASE_FLAG_SYSTEM};
use crate::clock::{FOREVER, Millis};

/// A result that started a rule: the target, or a report that names it.
struct Source<'a> {
    resource: &'a Value,
    reference: &'a str,
    first_final: Option<Millis>,
}

pub(crate) fn apply(case: &mut Case<'_>, rule: &Rule) {
    if !may_be_delayed(case.type_name) {
        return;
    }
    let facts = case.facts;
    let own = Source {
        resource: facts.target,
        reference: facts.target_ref,
        first_final: facts.first_final,
    };
    let mut delayed = false;
    let listed = rule.types.iter().any(|one| one == case.type_name);
    // Images are related to the order by which they were made; no code of theirs tells.
    let triggered = if listed {
        triggers(case, rule, own.resource)
    } else {
        rule.related && ordered(case, &rule.any_of, own.resource, own.resource)
    };
    if triggered {
        delay(case, rule, &own);
        delayed = true;
    }
    if !rule.related {
        return;
    }
    for whole in wholes(case) {
        let whole = Source {
            resource: whole.resource,
            reference: whole.reference,
            first_final: whole.first_final,
        };
        case.depend(whole.reference);
        // What is in another patient's report is not related: the law speaks of one record.
        if !is_of_same(case, whole.resource) {
            continue;
        }
        if triggers(case, rule, whole.resource) {
            delay(case, rule, &whole);
            delayed = true;
        }
    }
    if delayed {
        for part in parts(facts.target) {
            case.pass_on(part);
        }
    }
}

/// Types that these laws delay: results, and reports written as a Composition, which no order leads to.
fn may_be_delayed(type_name: &str) -> bool {
    is_result(type_name) || type_name == "Composition"
}

/// Whether something is about a patient whom the target is about; what names none may be.
fn is_of_same(case: &Case<'_>, other: &Value) -> bool {
    let about = patients_of(other);
    about.is_empty() || case.patients.is_empty() || about.iter().any(|one| case.is_about(Some(one)))
}

/// The reports and panels that the target is part of, those of which its panels are part included.
fn wholes<'a>(case: &Case<'a>) -> Vec<Referrer<'a>> {
    let mut found: Vec<Referrer<'a>> = Vec::new();
    let mut open = vec![case.facts.target_ref];
    while let Some(part) = open.pop() {
        for referrer in case.facts.referrers {
            let known = found.iter().any(|one| one.reference == referrer.reference);
            if !known && parts(referrer.resource).contains(&part) {
                open.push(referrer.reference);
                found.push(*referrer);
            }
        }
    }
    found
}

/// Without a jurisdiction nothing is delayed, but somebody must hear of it.
pub(crate) fn alert_without_jurisdiction(case: &mut Case<'_>) {
    let context = case.facts.context;
    if !may_be_delayed(case.type_name) {
        return;
    }
    if context.jurisdiction().is_some() {
        return alert_without_rule(case);
    }
    let target = case.facts.target;
    let packs = context
        .implemented()
        .filter(|rule| rule.predicate.is_about_results());
    for rule in packs {
        if rule.types.iter().any(|one| one == case.type_name) && triggers(case, rule, target) {
            let detail = "released: no jurisdiction is configured, a state law may require a delay";
            case.note(NoteKind::JurisdictionUnknown, rule, &[], detail);
            return;
        }
    }
}

/// The law of the jurisdiction requires a delay that this engine cannot reckon: released, and somebody
/// must hear of it.
fn alert_without_rule(case: &mut Case<'_>) {
    let facts = case.facts;
    for text in facts.context.unbuilt() {
        let resource = &text.matches.resource;
        let day = |edge: &Option<String>| {
            let zone = facts.context.zone();
            edge.as_deref()
                .and_then(|day| millis(day, zone, Edge::Start))
        };
        let at = case.finalized.unwrap_or(case.now);
        let in_force = day(&text.effective.0).is_none_or(|from| from <= at)
            && day(&text.effective.1).is_none_or(|to| at < to);
        if in_force
            && resource.types.iter().any(|one| one == case.type_name)
            && triggered(case, &resource.any_of, facts.target)
        {
            case.note_of_law(
                NoteKind::LawNotBuilt,
                (&text.id, &text.legal_basis.cite),
                "released: a law of the jurisdiction may require a delay that is not implemented",
            );
        }
    }
}

/// What a report is made of.
pub(crate) fn results(report: &Value) -> impl Iterator<Item = &str> {
    references(report, "result")
        .chain(references(report, "imagingStudy"))
        .chain(each(report, "media").filter_map(|media| reference(media, "link")))
}

/// What a report or a panel is made of, as written; of anything else, nothing.
#[must_use]
pub fn parts(whole: &Value) -> Vec<&str> {
    match type_of(whole) {
        "DiagnosticReport" => results(whole).collect(),
        "Observation" => references(whole, "hasMember").collect(),
        _ => Vec::new(),
    }
}

/// Whether a resource is made of another: a report of its results, a panel of its members, anything
/// of its attachments.
#[must_use]
pub fn is_made_of(whole: &Value, part: &str) -> bool {
    parts(whole).contains(&part)
        || attachments(whole)
            .into_iter()
            .any(|one| local(one) == Some(part))
}

/// Whether the law speaks of this resource: a flag on it or its order, or its codes; or of a result that it
/// contains.
fn triggers<'a>(case: &mut Case<'a>, rule: &Rule, resource: &'a Value) -> bool {
    triggered(case, &rule.any_of, resource)
}

fn triggered<'a>(case: &mut Case<'a>, any_of: &[Condition], resource: &'a Value) -> bool {
    let mut found = false;
    for one in std::iter::once(resource).chain(contained_parts(resource)) {
        found |= any_of.iter().any(|condition| is_met(condition, one));
        // Orders are looked at in any case, so that a flag set later is noticed.
        found |= ordered(case, any_of, one, resource);
    }
    found
}

fn is_met(condition: &Condition, resource: &Value) -> bool {
    if let Some(flag) = &condition.flag {
        return flagged(resource, flag);
    }
    let codes = ["category", "code", "type"]
        .into_iter()
        .flat_map(|key| codings(resource, key));
    condition
        .value_set
        .as_deref()
        .is_some_and(|set| codes::contains(set, codes))
        && (!condition.positive || is_positive(resource))
}

/// The results of a report, and the members of a panel, that it contains.
fn contained_parts(whole: &Value) -> Vec<&Value> {
    let mut found: Vec<&Value> = Vec::new();
    if whole.get("contained").is_none() {
        return found;
    }
    let mut open = vec![whole];
    while let Some(one) = open.pop() {
        let named: Vec<&str> = ["result", "hasMember"]
            .iter()
            .flat_map(|key| each(one, key))
            .filter_map(|part| text(part, "reference")?.strip_prefix('#'))
            .collect();
        for part in each(whole, "contained") {
            let is_named = text(part, "id").is_some_and(|id| named.contains(&id));
            if is_named && !found.iter().any(|known| std::ptr::eq(*known, part)) {
                found.push(part);
                open.push(part);
            }
        }
    }
    found
}

/// Whether the order of a resource has a flag that starts a rule. `container`: where `#` refers into.
fn ordered<'a>(
    case: &mut Case<'a>,
    any_of: &[Condition],
    resource: &'a Value,
    container: &'a Value,
) -> bool {
    let mut found = false;
    let context = resource.get("context").unwrap_or(&Value::Null);
    let contained = each(resource, "basedOn")
        .chain(each(context, "related"))
        .filter_map(|one| text(one, "reference"))
        .filter(|order| order.starts_with('#'));
    let orders: Vec<&str> = orders(resource).chain(contained).collect();
    for order in orders {
        let order = case
            .resolve(container, order)
            .filter(|order| type_of(order) == "ServiceRequest");
        if let Some(order) = order.filter(|order| is_of_same(case, order)) {
            let mut flags = any_of.iter().filter_map(|one| one.flag.as_deref());
            found |= flags.any(|flag| flagged(order, flag));
        }
    }
    found
}

fn flagged(resource: &Value, flag: &str) -> bool {
    extensions(resource, RELEASE_FLAG)
        .any(|one| has_code(one, "valueCoding", RELEASE_FLAG_SYSTEM, flag))
}

fn delay(case: &mut Case<'_>, rule: &Rule, source: &Source<'_>) {
    let context = case.facts.context;
    let at = finalized(source.resource, source.first_final, case.now, &case.facts);
    if !in_force(rule, at.unwrap_or(case.now), case) {
        return;
    }
    let ends = if rule.predicate == Predicate::DiscussedFirst {
        discussed(case, rule, source).unwrap_or(FOREVER)
    } else {
        let Some(until) = rule.until else { return };
        // Not final yet: the law's clock has not begun, and it does not allow disclosure before.
        at.map_or(Some(FOREVER), |at| until.from(at, context.zone()))
            .unwrap_or(FOREVER)
    };
    let ends = overridden(case, rule, source).map_or(ends, |directed| ends.min(directed));
    for audience in &rule.audiences {
        case.claim(rule, audience, Claim::withhold(ends), &[source.reference]);
    }
}

/// Whether the rule was law on the local day of `at`.
fn in_force(rule: &Rule, at: Millis, case: &Case<'_>) -> bool {
    let Ok(instant) = jiff::Timestamp::from_millisecond(at) else {
        return true;
    };
    let day = instant.to_zoned(case.facts.context.zone().clone()).date();
    rule.effective.0.is_none_or(|from| from <= day) && rule.effective.1.is_none_or(|to| day <= to)
}

/// When a clinician had discussed the result, its report or its order with the patient, who asked for
/// it (Task `discussed-with-patient` with `patient-requested`).
fn discussed(case: &mut Case<'_>, rule: &Rule, source: &Source<'_>) -> Option<Millis> {
    let facts = case.facts;
    let mut earliest: Option<Millis> = None;
    for input in facts.inputs {
        let task = input.resource;
        if task_code(task) != Some("discussed-with-patient") || is_void(task) {
            continue;
        }
        if !reference(task, "focus").is_some_and(|focus| means(case, source, focus)) {
            continue;
        }
        let by = reference(task, "requester").unwrap_or_default();
        let written = case.time(text(task, "authoredOn"), Edge::Start);
        let detail = if text(task, "status") != Some("completed") {
            "it has not been discussed yet: status"
        } else if written.is_some_and(|at| at > input.stored_at + SKEW) {
            "it was not discussed in the future: authoredOn"
        } else if !requested(task) {
            "the patient has not asked for it: patient-requested"
        } else if !by.starts_with("Practitioner") || !is_theirs(case, task, by) {
            "a treating or ordering Practitioner discusses it: requester"
        } else if !is_licensed(case, task, by, written.unwrap_or(input.stored_at)) {
            "a licensed health care professional discusses it: requester"
        } else {
            ""
        };
        if !detail.is_empty() {
            case.note(NoteKind::EvidenceGap, rule, &[input.reference], detail);
            continue;
        }
        let evidence = [input.reference, by];
        case.note(
            NoteKind::Overridden,
            rule,
            &evidence,
            "discussed and requested",
        );
        earliest = Some(earliest.map_or(input.stored_at, |before| before.min(input.stored_at)));
    }
    earliest
}

/// Whether a Task's input says that the patient asked.
fn requested(task: &Value) -> bool {
    each(task, "input").any(|input| {
        let named = words_of(input, "type").to_lowercase().contains("requested");
        named && input.get("valueBoolean") == Some(&Value::Bool(true))
    })
}

/// Whether a Task's focus is the result that started a rule, the target, or the order of it.
fn means(case: &Case<'_>, source: &Source<'_>, focus: &str) -> bool {
    focus == source.reference
        || focus == case.facts.target_ref
        || orders(source.resource).any(|order| order == focus)
}

/// Whether a Task was never done, or taken back.
fn is_void(task: &Value) -> bool {
    matches!(
        text(task, "status").unwrap_or_default(),
        "draft" | "rejected" | "cancelled" | "failed" | "entered-in-error"
    )
}

/// When a clinician directed the release of the result, its report or its order (Task
/// `release-now`); none if nobody did, or the law knows no early release.
fn overridden(case: &mut Case<'_>, rule: &Rule, source: &Source<'_>) -> Option<Millis> {
    let facts = case.facts;
    let mut earliest = None;
    for input in facts.inputs {
        let task = input.resource;
        if task_code(task) != Some("release-now") {
            continue;
        }
        let Some(focus) = reference(task, "focus") else {
            continue;
        };
        if !means(case, source, focus) || is_void(task) {
            continue;
        }
        let by = reference(task, "requester").unwrap_or_default();
        let allowed = rule
            .overridable_by
            .iter()
            .any(|who| who.ends_with("_provider"));
        let own = rule.ends_at_the_patients_wish() && case.is_about(Some(by));
        let written = case.time(text(task, "authoredOn"), Edge::Start);
        if !allowed && !own {
            let detail = "the law gives no early release";
            case.note(NoteKind::OverrideRefused, rule, &[input.reference], detail);
        } else if !own && (!by.starts_with("Practitioner") || !is_theirs(case, task, by)) {
            let detail = "early release needs a treating or ordering Practitioner as requester";
            case.note(NoteKind::OverrideRefused, rule, &[input.reference], detail);
        } else if !own && !is_licensed(case, task, by, written.unwrap_or(input.stored_at)) {
            let detail = "early release needs a licensed health care professional as requester";
            case.note(NoteKind::OverrideRefused, rule, &[input.reference], detail);
        } else {
            let at = written.map_or(input.stored_at, |at| at.max(input.stored_at));
            case.note(
                NoteKind::Overridden,
                rule,
                &[input.reference, by],
                "early release",
            );
            earliest = Some(earliest.map_or(at, |before: Millis| before.min(at)));
        }
    }
    earliest
}

/// Whether somebody was a licensed health care professional at that instant: who takes part in a visit may
/// be a clerk.
fn is_licensed<'a>(case: &mut Case<'a>, task: &'a Value, by: &'a str, at: Millis) -> bool {
    let context = case.facts.context;
    let mut resolve = |one: &str| case.resolve(task, one);
    license_gaps(by, "Task.requester", context, at, &mut resolve).is_empty()
}

/// Whether the record shows that a clinician treats the patient or ordered for them.
fn is_theirs<'a>(case: &mut Case<'a>, task: &'a Value, by: &'a str) -> bool {
    let Some(patient) = case.patients.first().copied() else {
        return false;
    };
    let linked = case.facts.linked;
    if linked.treats(by, patient) {
        return true;
    }
    // A role stands for its practitioner.
    let role = case
        .resolve(task, by)
        .filter(|role| type_of(role) == "PractitionerRole");
    role.and_then(|role| reference(role, "practitioner"))
        .is_some_and(|person| linked.treats(person, patient))
}
