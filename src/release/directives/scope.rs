//! What of the record a Consent's provision is about: class, code, label, named data, dates.

use serde_json::Value;

use super::super::case::Case;
use super::super::resource::{codings, each, labels, references, text, type_of};
use super::super::time::Edge;
use super::super::vocabulary::PROXY_LEVEL;
use crate::clock::Millis;

const OBSERVATION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const V2_0074: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
const LOINC: &str = "http://loinc.org";

/// Codes by which different types say the same class: who says "labs" means all of them.
const CLASSES: [&[(&str, &str)]; 3] = [
    &[
        (OBSERVATION_CATEGORY, "laboratory"),
        (V2_0074, "LAB"),
        (LOINC, "26436-6"),
    ],
    &[
        (OBSERVATION_CATEGORY, "imaging"),
        (V2_0074, "RAD"),
        (V2_0074, "IMG"),
        (LOINC, "LP29684-5"),
    ],
    &[
        (V2_0074, "PAT"),
        (V2_0074, "SP"),
        (V2_0074, "CP"),
        (LOINC, "LP7839-6"),
    ],
];

/// `class`, `code`, `securityLabel`, `dataPeriod`.
const OTHER_WAYS: usize = 4;

/// The target, seen by directives.
pub(super) struct Subject<'a> {
    target: &'a Value,
    reference: &'a str,
    /// Reports and documents that the target is part of.
    wholes: Vec<&'a str>,
    related: bool,
    /// First and last known moment.
    time: Option<(Millis, Millis)>,
}

impl<'a> Subject<'a> {
    /// With `related`, naming a report means its results as well.
    pub(super) fn of(case: &Case<'a>, related: bool) -> Self {
        Self {
            target: case.facts.target,
            reference: case.facts.target_ref,
            wholes: case
                .facts
                .referrers
                .iter()
                .map(|one| one.reference)
                .collect(),
            related,
            time: time_of(case),
        }
    }

    /// In how many ways a provision narrows, if the target is within all of them. To name the very
    /// resource is more than all other ways together.
    pub(super) fn narrowing(&self, provision: &Value) -> Option<usize> {
        let target = self.target;
        let mut ways = 0;
        let mut within = |facet: &str, hit: &dyn Fn(&Value) -> bool| {
            let mut values = each(provision, facet)
                .filter(|one| !is_level(one))
                .peekable();
            if values.peek().is_none() {
                return true;
            }
            ways += 1;
            values.any(hit)
        };
        let all = within("class", &|class| is_class(target, class))
            && within("code", &|code| is_coded(target, code))
            && within("securityLabel", &|label| {
                let label = coding(label);
                labels(target).any(|own| own == label)
            })
            && within("data", &|data| self.is_named(data))
            && within("dataPeriod", &|_| true);
        let is_named = each(provision, "data")
            .flat_map(|data| references(data, "reference"))
            .any(|named| named == self.reference);
        if is_named {
            ways += OTHER_WAYS;
        }
        (all && self.is_dated(provision)).then_some(ways)
    }

    fn is_named(&self, data: &Value) -> bool {
        let Some(named) = references(data, "reference").next() else {
            return false;
        };
        let meaning = text(data, "meaning").unwrap_or("instance");
        let part = || self.wholes.contains(&named);
        named == self.reference
            || (meaning == "related" || self.related) && part()
            || meaning == "dependents"
                && super::super::links::references(self.target)
                    .iter()
                    .any(|one| one == named)
            || meaning == "authoredby"
                && ["author", "performer", "recorder", "requester"]
                    .iter()
                    .any(|key| references(self.target, key).any(|who| who == named))
    }

    /// Within `dataPeriod`; what carries no date is not excused by one.
    fn is_dated(&self, provision: &Value) -> bool {
        let (Some(period), Some((first, last))) = (provision.get("dataPeriod"), self.time) else {
            return true;
        };
        let zone = &jiff::tz::TimeZone::UTC;
        let edge =
            |key, edge| text(period, key).and_then(|at| super::super::time::millis(at, zone, edge));
        edge("start", Edge::Start).is_none_or(|from| from <= last)
            && edge("end", Edge::End).is_none_or(|to| first < to)
    }
}

/// Whether a resource is what people call a result.
pub(super) fn is_result(target: &Value) -> bool {
    match type_of(target) {
        "DiagnosticReport" | "ImagingStudy" | "Media" => true,
        "Observation" => !codings(target, "category").any(|(_, code)| {
            matches!(
                code,
                "vital-signs" | "social-history" | "survey" | "activity"
            )
        }),
        _ => false,
    }
}

/// A level of proxy access stands where labels and classes stand, and narrows nothing.
fn is_level(value: &Value) -> bool {
    text(value, "system") == Some(PROXY_LEVEL)
}

fn coding(value: &Value) -> (&str, &str) {
    (
        text(value, "system").unwrap_or_default(),
        text(value, "code").unwrap_or_default(),
    )
}

fn is_class(target: &Value, class: &Value) -> bool {
    let class = coding(class);
    if class.1 == type_of(target) {
        return true;
    }
    let own = || {
        ["category", "type", "class", "code"]
            .iter()
            .flat_map(|key| codings(target, key))
    };
    let is = |one: (&str, &str), own: (&str, &str)| {
        one.1 == own.1 && (one.0.is_empty() || one.0 == own.0)
    };
    let alike = CLASSES
        .iter()
        .filter(|alike| alike.iter().any(|one| is(class, *one)));
    own().any(|own| is(class, own))
        || alike
            .flat_map(|alike| alike.iter())
            .any(|one| own().any(|own| is(*one, own)))
}

fn is_coded(target: &Value, concept: &Value) -> bool {
    const KEYS: [&str; 6] = [
        "code",
        "type",
        "medicationCodeableConcept",
        "vaccineCode",
        "category",
        "serviceType",
    ];
    let wrapped = serde_json::json!({"code": concept});
    let wanted: Vec<(&str, &str)> = codings(&wrapped, "code").collect();
    let words = text(concept, "text");
    KEYS.iter().any(|key| {
        codings(target, key).any(|own| wanted.contains(&own))
            || wanted.is_empty()
                && each(target, key).any(|own| {
                    text(own, "text")
                        .zip(words)
                        .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
                })
    })
}

fn time_of(case: &Case<'_>) -> Option<(Millis, Millis)> {
    const MOMENTS: [&str; 14] = [
        "effectiveDateTime",
        "effectiveInstant",
        "performedDateTime",
        "occurrenceDateTime",
        "onsetDateTime",
        "started",
        "date",
        "issued",
        "authoredOn",
        "recordedDate",
        "assertedDate",
        "createdDateTime",
        "created",
        "sent",
    ];
    let target = case.facts.target;
    for key in [
        "effectivePeriod",
        "performedPeriod",
        "occurrencePeriod",
        "period",
    ] {
        if let Some(period) = target.get(key).filter(|one| one.is_object()) {
            let first = case.time(text(period, "start"), Edge::Start);
            let last = case.time(text(period, "end"), Edge::End);
            return Some((first.unwrap_or(0), last.unwrap_or(Millis::MAX)));
        }
    }
    let at = MOMENTS.iter().find_map(|key| text(target, key))?;
    Some((
        case.time(Some(at), Edge::Start)?,
        case.time(Some(at), Edge::End)?,
    ))
}
