//! `/policy/release`: what is kept back from patients here, on what ground and for how long, for
//! everybody to read (release-contract.md, "Ways to check"); `.json` for machines.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::SmartState;
use super::pages::{Forms, Frame, page};
use crate::texts::Texts;

#[derive(Template)]
#[template(path = "smart/release_policy.html")]
struct PolicyPage {
    frame: Frame,
    /// `US-KY`, or empty while it is unknown.
    jurisdiction: String,
    in_force: Vec<RuleView>,
    others: Vec<RuleView>,
}

/// A rule in words.
struct RuleView {
    id: String,
    title: String,
    basis: String,
    effect: String,
    longest: String,
    /// Where there is no such time: until when, in the pack's words.
    until: String,
    version: String,
    effective: String,
    state: String,
    notice: String,
}

/// `GET /policy/release`.
pub(super) async fn html(State(state): State<SmartState>) -> Response {
    let policy = state.store().release_policy();
    let parameters = || policy.get("parameter").and_then(Value::as_array);
    let (in_force, others) = parameters()
        .into_iter()
        .flatten()
        .filter(|one| one.get("name").and_then(Value::as_str) == Some("rule"))
        .map(view)
        .partition(|(active, _)| *active);
    let strip = |rules: Vec<(bool, RuleView)>| rules.into_iter().map(|(_, rule)| rule).collect();
    let jurisdiction = parameters()
        .into_iter()
        .flatten()
        .find(|one| one.get("name").and_then(Value::as_str) == Some("jurisdiction"))
        .map(words)
        .filter(|name| name != "unknown")
        .unwrap_or_default();
    let template = PolicyPage {
        frame: Frame::new(&state, None),
        jurisdiction,
        in_force: strip(in_force),
        others: strip(others),
    };
    page(&state, StatusCode::OK, Forms::Own, &template)
}

/// `GET /policy/release.json`: the Parameters of `$release-policy`.
pub(super) async fn json(State(state): State<SmartState>) -> Response {
    let body = state.store().release_policy().to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A rule, and whether it is in force.
fn view(rule: &Value) -> (bool, RuleView) {
    let parts = || {
        rule.get("part")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let part =
        |name: &str| parts().find(|one| one.get("name").and_then(Value::as_str) == Some(name));
    let texts = Texts::here();
    let text = |name: &str| part(name).map(words).unwrap_or_default();
    let state = text("state");
    let period = part("effective").and_then(|one| one.get("valuePeriod"));
    let day = |end: &str| {
        let day = period.and_then(|period| period.get(end));
        day.and_then(Value::as_str).map(str::to_owned)
    };
    let effective = match (day("start"), day("end")) {
        (Some(from), Some(to)) => texts.plain(
            "policy-from-to",
            [
                ("from", written(texts, from).into()),
                ("to", written(texts, to).into()),
            ],
        ),
        (Some(from), None) => texts.plain("policy-from", [("from", written(texts, from).into())]),
        (None, Some(to)) => texts.plain("policy-until", [("to", written(texts, to).into())]),
        (None, None) => texts.plain("policy-always", []),
    };
    let view = RuleView {
        id: text("id"),
        title: text("title"),
        basis: text("basis"),
        effect: match text("effect").as_str() {
            "release" => texts.plain("policy-effect-release", []),
            "withhold" => texts.plain("policy-effect-withhold", []),
            "redact" => texts.plain("policy-effect-redact", []),
            "delay-until" => texts.plain("policy-effect-delay", []),
            _ => String::new(),
        },
        longest: plain(texts, &text("longestDelay")),
        until: text("until"),
        version: text("version"),
        effective,
        state: match state.as_str() {
            "active" => texts.plain("policy-state-active", []),
            "scheduled" => texts.plain("policy-state-scheduled", []),
            "not-implemented" => texts.plain("policy-state-unbuilt", []),
            _ => texts.plain("policy-state-off", []),
        },
        notice: text("notice"),
    };
    (state == "active", view)
}

/// An ISO 8601 duration of days or hours in words; any other as it is.
fn plain(texts: Texts, duration: &str) -> String {
    let number = |head: &str, tail: &str| {
        let digits = duration.strip_prefix(head)?.strip_suffix(tail)?;
        digits.parse::<u32>().ok()
    };
    match (number("P", "D"), number("PT", "H")) {
        (Some(days), _) => texts.plain("duration-days", [("days", days.into())]),
        (_, Some(hours)) => texts.plain("duration-hours", [("hours", hours.into())]),
        _ => duration.to_owned(),
    }
}

/// A day of a FHIR date as people write it; any other as it is.
fn written(texts: Texts, date: String) -> String {
    match date.parse() {
        Ok(day) => texts.day(day),
        Err(_) => date,
    }
}

/// The value of a parameter as text.
fn words(parameter: &Value) -> String {
    let keys = ["valueString", "valueCode", "valuePositiveInt"];
    let value = keys.iter().find_map(|key| parameter.get(*key));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn durations_are_said_in_words() {
        for (text, said) in [
            ("P3D", "3 days"),
            ("P1D", "1 day"),
            ("PT72H", "72 hours"),
            ("P1Y", "P1Y"),
        ] {
            assert_eq!(plain(Texts::of(Language::English), text), said);
        }
    }
}
