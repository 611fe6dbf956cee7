//! Mutated real records against the JSON and XML readers: they may refuse, but not panic, not
//! dawdle, not repeat what they read, and what they accept they must be able to give back.
//!
//! `PROPTEST_CASES=100000 cargo test --release --test it hostile_parsers` searches longer.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use candor::fhir::outcome::Issue;
use candor::fhir::validate::{is_acceptable, validate};
use candor::fhir::{json, xml};
use proptest::prelude::*;

use crate::examples::examples;

/// Longer ones are left out: small inputs find the same faults sooner.
const LONGEST: usize = 6_000;
/// Generous, since tests run unoptimised beside other work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pieces that parsers stumble over, put into records at random places.
const TOKENS: [&str; 48] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "null",
    "1e999999",
    "-0",
    "00",
    "99999999999999999999",
    "{\"$serde_json::private::Number\":\"x\"}",
    "\u{feff}",
    "\u{fffe}",
    "\u{202e}",
    "\u{0}",
    "<",
    ">",
    "/>",
    "</",
    "&",
    "&amp;",
    "&lol;",
    "&#0;",
    "&#x110000;",
    "&nbsp;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?x ?>",
    "<!DOCTYPE x [<!ENTITY lol \"lol\">]>",
    "<?xml version=\"1.0\"?>",
    " xmlns=\"\"",
    " xmlns=\"http://www.w3.org/1999/xhtml\"",
    " value=\"\"",
    " id=\"x\"",
    "<extension url=\"x\">",
    "</extension>",
    "<contained><Basic/></contained>",
    "<div xmlns=\"http://www.w3.org/1999/xhtml\">0</div>",
    "<b>",
    "</b>",
    "resourceType",
    "_",
];

struct Seeds {
    json: Vec<Vec<u8>>,
    xml: Vec<Vec<u8>>,
}

/// Small examples of every kind; three home-made ones where `../shared` is absent.
static SEEDS: LazyLock<Seeds> = LazyLock::new(|| {
    let home_made = [
        r#"{"resourceType":"Patient","id":"p","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a &amp; <b>b</b> c</div>"},"name":[{"given":["a",null],"_given":[null,{"extension":[{"url":"u","valueCode":"x"}]}]}],"multipleBirthInteger":2}"#,
        r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.50},"contained":[{"resourceType":"Basic"}]}"#,
        r#"{"resourceType":"Bundle","type":"collection","total":1,"entry":[{"resource":{"resourceType":"Patient","active":true}}]}"#,
    ];
    let mut json: Vec<Vec<u8>> = home_made
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    for archive in examples("mutated examples").unwrap_or_default() {
        json.extend(
            archive
                .into_iter()
                .filter(|file| file.name != "package.json")
                .map(|file| file.bytes)
                .filter(|bytes| bytes.len() <= LONGEST),
        );
    }
    let xml = json
        .iter()
        .step_by(json.len().div_ceil(400))
        .map(|bytes| xml::to_xml(&json::parse_resource(bytes).unwrap()).unwrap())
        .collect();
    Seeds { json, xml }
});

#[derive(Clone, Debug)]
enum Mutation {
    Flip(u8),
    Delete(usize),
    Repeat(usize),
    Insert(&'static str),
    Truncate,
    /// Continues with another record from its middle.
    Splice(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => any::<u8>().prop_map(Mutation::Flip),
        2 => (1_usize..40).prop_map(Mutation::Delete),
        2 => (1_usize..200).prop_map(Mutation::Repeat),
        5 => prop::sample::select(&TOKENS[..]).prop_map(Mutation::Insert),
        1 => Just(Mutation::Truncate),
        1 => any::<prop::sample::Index>().prop_map(Mutation::Splice),
    ]
}

type Recipe = (prop::sample::Index, Vec<(prop::sample::Index, Mutation)>);

fn recipe() -> impl Strategy<Value = Recipe> {
    let steps = prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..5);
    (any::<prop::sample::Index>(), steps)
}

fn cook(seeds: &[Vec<u8>], (seed, steps): &Recipe) -> Vec<u8> {
    let mut bytes = seed.get(seeds).clone();
    for (place, mutation) in steps {
        let at = place.index(bytes.len() + 1);
        let end = |length: usize| (at + length).min(bytes.len());
        match mutation {
            Mutation::Flip(mask) => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Mutation::Delete(length) => {
                let range = at..end(*length);
                bytes.drain(range);
            }
            Mutation::Repeat(length) => {
                let piece = bytes[at..end(*length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Mutation::Insert(token) => {
                bytes.splice(at..at, token.bytes());
            }
            Mutation::Truncate => bytes.truncate(at),
            Mutation::Splice(other) => {
                let other = other.get(seeds);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[other.len() / 2..]);
            }
        }
    }
    bytes
}

/// Mutations keep long pieces of the original, and no message may hold one.
fn assert_no_echo(issue: &Issue, bytes: &[u8]) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(bytes);
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 14)
    {
        let echoed = issue.diagnostics.contains(word);
        prop_assert!(!echoed, "{issue:?}");
    }
    Ok(())
}

fn try_json(bytes: &[u8]) -> Result<(), TestCaseError> {
    let value = match json::parse_resource(bytes) {
        Ok(value) => value,
        Err(issue) => return assert_no_echo(&issue, bytes),
    };
    let plain = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    prop_assert_eq!(
        &value,
        &serde_json::from_slice::<serde_json::Value>(plain).unwrap()
    );
    prop_assert_eq!(
        &value,
        &json::parse_resource(&json::to_bytes(&value)).unwrap()
    );
    // What can be written as XML can be read, and from then on stays as it is: for what validation
    // lets in. (Two variants of one choice, say, come back in the definition's order.)
    if is_acceptable(&validate(&value))
        && let Ok(written) = xml::to_xml(&value)
    {
        let read = xml::from_xml(&written);
        prop_assert!(
            read.is_ok(),
            "{:?}\n{}",
            read,
            String::from_utf8_lossy(&written)
        );
        let again = xml::to_xml(&read.clone().unwrap());
        prop_assert_eq!(again.unwrap(), written);
    }
    Ok(())
}

fn try_xml(bytes: &[u8]) -> Result<(), TestCaseError> {
    let value = match xml::from_xml(bytes) {
        Ok(value) => value,
        Err(issue) => return assert_no_echo(&issue, bytes),
    };
    if !is_acceptable(&validate(&value)) {
        return Ok(());
    }
    let written = xml::to_xml(&value);
    prop_assert!(written.is_ok(), "{:?}\n{}", written, value);
    prop_assert_eq!(&xml::from_xml(&written.unwrap()).unwrap(), &value);
    prop_assert_eq!(
        &json::parse_resource(&json::to_bytes(&value)).unwrap(),
        &value
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_reader_stands(recipe in recipe()) {
        let bytes = cook(&SEEDS.json, &recipe);
        let begin = Instant::now();
        try_json(&bytes)?;
        prop_assert!(begin.elapsed() < PATIENCE);
    }

    #[test]
    fn xml_reader_stands(recipe in recipe()) {
        let bytes = cook(&SEEDS.xml, &recipe);
        let begin = Instant::now();
        try_xml(&bytes)?;
        prop_assert!(begin.elapsed() < PATIENCE);
    }

    #[test]
    fn each_reader_stands_the_other_format(recipe in recipe()) {
        let bytes = cook(&SEEDS.xml, &recipe);
        prop_assert!(json::parse_resource(&bytes).is_err());
        let bytes = cook(&SEEDS.json, &recipe);
        prop_assert!(xml::from_xml(&bytes).is_err());
    }
}
