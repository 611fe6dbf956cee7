//! Whether a laboratory says positive: in a code, a number, or in words as laboratories write them.

use serde_json::Value;

use super::codes;
use super::resource::{codings, each, plain, text};

const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const ICD: &str = "http://hl7.org/fhir/sid/icd-10-cm";

/// Answers that mean positive, detected or reactive, or name the infection.
const ANSWERS: [(&str, &str); 16] = [
    (SNOMED, "52101004"),
    (SNOMED, "91947003"),
    (SNOMED, "62479008"),
    (LOINC, "LA9633-4"),
    (ICD, "B20"),
    (ICD, "Z21"),
    (ICD, "R75"),
    (SNOMED, "10828004"),
    (SNOMED, "260373001"),
    (SNOMED, "11214006"),
    (SNOMED, "260408008"),
    (SNOMED, "165816005"),
    (SNOMED, "86406008"),
    (LOINC, "LA6576-8"),
    (LOINC, "LA11882-0"),
    (LOINC, "LA15255-5"),
];

/// Interpretations that do, of a test whose normal result is negative: v3 and v2-0078 share them.
const INTERPRETATIONS: [&str; 6] = ["POS", "DET", "RR", "WR", "A", "AA"];

/// The same, as laboratories write them in place of words.
const SIGNS: [&str; 8] = ["POS", "P", "R", "RR", "WR", "DET", "D", "+"];

/// Whether a result or a report says positive, detected or reactive: as its value, its interpretation,
/// its conclusion, or in one of its components.
pub(crate) fn is_positive(resource: &Value) -> bool {
    says_so(resource)
        || counts(resource, is_count(resource))
        || each(resource, "component").any(|component| {
            let counted = is_count(resource) || is_count(component);
            says_so(component) || counts(component, counted)
        })
}

fn says_so(element: &Value) -> bool {
    const CONCEPTS: [&str; 3] = ["valueCodeableConcept", "interpretation", "conclusionCode"];
    let coded = CONCEPTS
        .iter()
        .any(|key| codings(element, key).any(|code| ANSWERS.contains(&code)));
    let interpreted = codings(element, "interpretation").any(|(system, code)| {
        let known =
            system.ends_with("/v3-ObservationInterpretation") || system.ends_with("/v2-0078");
        known && INTERPRETATIONS.contains(&code)
    });
    let told = element.get("valueBoolean") == Some(&Value::Bool(true));
    let told = told
        || CONCEPTS
            .iter()
            .flat_map(|key| each(element, key))
            .flat_map(|concept| {
                let displays = each(concept, "coding").filter_map(|coding| text(coding, "display"));
                text(concept, "text").into_iter().chain(displays)
            })
            .chain(text(element, "valueString"))
            .chain(text(element, "conclusion"))
            .any(affirms);
    coded || interpreted || told
}

/// Whether words say positive, phrase by phrase: "Positive. No prior result" denies nothing.
fn affirms(words: &str) -> bool {
    const YES: [&str; 6] = [
        "positive",
        "seropositive",
        "pos",
        "detected",
        "reactive",
        "present",
    ];
    let sign = words.trim().trim_matches(['(', ')']).to_uppercase();
    if SIGNS.contains(&sign.as_str()) || (!sign.is_empty() && sign.chars().all(|one| one == '+')) {
        return true;
    }
    const NO: [&str; 8] = [
        "no", "not", "non", "without", "neither", "nor", "false", "none",
    ];
    words
        .split(['.', ',', ';', ':', '\n', '\r', '(', ')'])
        .any(|phrase| {
            // "At present" is a time.
            let phrase = plain(phrase).replace(" at present ", " ");
            // What denies stands before what is denied.
            let before = |word: &&str| !NO.contains(word);
            phrase
                .split_whitespace()
                .take_while(before)
                .any(|word| YES.contains(&word))
        })
}

/// Whether a test counts copies or units of a genome, or their logarithm: any number is a finding.
fn is_count(element: &Value) -> bool {
    codes::contains("viral-load", codings(element, "code"))
}

/// Whether a number of copies was found. Below what can be measured (`<`) is none.
fn counts(element: &Value, counted: bool) -> bool {
    if let Some(written) = text(element, "valueString") {
        let of_copies = written.to_lowercase().contains("copies");
        // "48,000 copies/mL", ">10000000".
        let number: String = written
            .trim_start_matches(['>', '=', ' '])
            .chars()
            .filter(|one| *one != ',')
            .take_while(|one| one.is_ascii_digit() || *one == '.')
            .collect();
        let found = number.parse::<f64>().is_ok_and(|number| number > 0.0);
        return (counted || of_copies) && found;
    }
    let Some(quantity) = element.get("valueQuantity") else {
        return false;
    };
    let of_copies = ["unit", "code"]
        .iter()
        .filter_map(|key| text(quantity, key))
        .any(|unit| unit.to_lowercase().contains("copies"));
    let below = text(quantity, "comparator").is_some_and(|sign| sign.starts_with('<'));
    let value = quantity.get("value").and_then(Value::as_f64);
    (counted || of_copies) && !below && value.is_some_and(|value| value > 0.0)
}
