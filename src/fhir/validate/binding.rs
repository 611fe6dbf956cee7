//! Required bindings: <http://hl7.org/fhir/R4/terminologies.html#required>.

use serde_json::Value;

use super::echo;
use crate::fhir::definitions::elements::{Binding, CodeFormat};

/// Whether a `code`, `Coding` or `CodeableConcept` is from the value set.
///
/// # Errors
/// The words for the outcome.
pub(super) fn check(set: &Binding, type_name: &str, value: &Value) -> Result<(), String> {
    match type_name {
        "CodeableConcept" => concept(set, value),
        "Coding" => coding(set, value),
        _ => value.as_str().map_or(Ok(()), |code| plain(set, code)),
    }
}

fn plain(set: &Binding, code: &str) -> Result<(), String> {
    if let Some(format) = set.format {
        return match format {
            // RFC 2045, without a word about the parameters. CapabilityStatement lists formats by
            // their short names too (http://hl7.org/fhir/R4/http.html#mime-type).
            CodeFormat::MimeType if !is_mime_type(code) => Err(format!(
                "`{}` is not a MIME type such as `text/plain`",
                echo(code)
            )),
            CodeFormat::Language if !is_language(code) => Err(format!(
                "`{}` is not a language tag such as `en-US`",
                echo(code)
            )),
            CodeFormat::Currency
                if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) =>
            {
                Err(format!(
                    "`{}` is not a currency code such as `USD`",
                    echo(code)
                ))
            }
            _ => Ok(()),
        };
    }
    let found = set.systems.iter().any(|(_, codes)| codes.contains(code));
    if found || set.systems.is_empty() {
        Ok(())
    } else {
        Err(outside(set, code))
    }
}

fn coding(set: &Binding, value: &Value) -> Result<(), String> {
    if set.systems.is_empty() || is_member(set, value) {
        return Ok(());
    }
    let code = value
        .get("code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Err(outside(set, code))
}

/// One of the codings must be from the set; further ones may say the same in other systems. A
/// concept that is nothing but extensions (data-absent-reason) has no code to be wrong.
fn concept(set: &Binding, value: &Value) -> Result<(), String> {
    if set.systems.is_empty() {
        return Ok(());
    }
    let codings = value
        .get("coding")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if codings.iter().any(|coding| is_member(set, coding)) {
        return Ok(());
    }
    match codings.first() {
        Some(first) => {
            let code = first
                .get("code")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Err(outside(set, code))
        }
        None if value.get("text").is_none() && value.get("extension").is_some() => Ok(()),
        None => Err(format!(
            "A code from the value set `{}` is required",
            set.name
        )),
    }
}

fn is_member(set: &Binding, coding: &Value) -> bool {
    let system = coding
        .get("system")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(code) = coding.get("code").and_then(Value::as_str) else {
        return false;
    };
    set.systems
        .iter()
        .any(|(one, codes)| *one == system && codes.contains(code))
}

fn outside(set: &Binding, code: &str) -> String {
    let mut text = format!(
        "`{}` is not in the required value set `{}`",
        echo(code),
        set.name
    );
    let total: usize = set.systems.iter().map(|(_, codes)| codes.len()).sum();
    if total <= 12 {
        let mut codes: Vec<&str> = set
            .systems
            .iter()
            .flat_map(|(_, codes)| codes.iter().copied())
            .collect();
        codes.sort_unstable();
        text.push_str(": ");
        text.push_str(&codes.join(", "));
    }
    text
}

fn is_mime_type(code: &str) -> bool {
    if matches!(code, "xml" | "json" | "ttl" | "html") {
        return true;
    }
    let bare = code.split(';').next().unwrap_or_default().trim_end();
    let token = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|one| one.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&one))
    };
    bare.split_once('/')
        .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// BCP 47: subtags of up to eight letters and digits, the first of letters.
fn is_language(code: &str) -> bool {
    let mut subtags = code.split('-');
    let first = subtags.next().unwrap_or_default();
    let fits = |word: &str| (1..=8).contains(&word.len());
    fits(first)
        && first.bytes().all(|one| one.is_ascii_alphabetic())
        && subtags.all(|word| fits(word) && word.bytes().all(|one| one.is_ascii_alphanumeric()))
}
