//! Reading JSON from strangers, and the order in which resources are stored.
//!
//! [`parse_resource`] differs from plain `serde_json` where hostile or careless input would hurt:
//! repeated property names are refused (last-one-wins would drop data without a word), nesting,
//! number length and the count of values are bounded, and no message repeats what was sent.
//! Decimals keep their digits (`1.50` stays `1.50`); only exponents are re-spelt (`1e5` becomes
//! `1e+5`), by `serde_json` itself.

use std::cell::Cell;
use std::fmt;
use std::mem;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};

use crate::fhir::outcome::Issue;

/// Objects and arrays inside each other, the resource itself counted. The deepest of HL7's own
/// examples has 21.
pub const MAX_DEPTH: usize = 64;
/// Characters of one number. FHIR asks for at least 18 significant digits of a decimal.
pub const MAX_NUMBER_LENGTH: usize = 64;
/// Values (objects, arrays, strings, numbers, ...) of one body; bounds memory, since `[0,0,0]`
/// takes fifty times its own size once read.
pub const MAX_VALUES: usize = 5_000_000;

/// The key under which `serde_json` hands over a number with a fraction, an exponent or more than
/// 64 bits in `arbitrary_precision` mode.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

const TOO_DEEP: &str = "objects and arrays are nested more than 64 deep";
const TOO_MANY: &str = "the body holds more than 5000000 values";
const DUPLICATE: &str = "a property name occurs twice in one object";
const NUMBER_TOO_LONG: &str = "a number is longer than 64 characters";
const RESERVED: &str = "a property name begins with `$`";

/// One FHIR resource from a request body.
///
/// Accepts UTF-8 with or without a byte order mark, and exactly one JSON object with a
/// `resourceType` (see <https://hl7.org/fhir/R4/json.html>). Nothing else about FHIR is checked
/// here; that is validation's.
///
/// # Errors
/// One issue, with line and column in its text: `invalid` for bytes that are not UTF-8,
/// `structure` for what is not such JSON, `too-long` and `too-costly` for what exceeds a limit.
pub fn parse_resource(bytes: &[u8]) -> Result<Value, Issue> {
    let value = parse(bytes)?;
    let Value::Object(object) = &value else {
        return Err(Issue::error(
            "structure",
            "The body must be one JSON object, a FHIR resource",
        ));
    };
    match object.get("resourceType") {
        Some(Value::String(name)) if !name.is_empty() => Ok(value),
        Some(_) => Err(Issue::error(
            "structure",
            "`resourceType` must be the name of a type",
        )),
        None => Err(Issue::error("required", "The body has no `resourceType`")),
    }
}

/// Any JSON value under the same limits as [`parse_resource`]: JSON Patch bodies, for one.
///
/// # Errors
/// As [`parse_resource`], without the demand for a `resourceType`.
pub fn parse(bytes: &[u8]) -> Result<Value, Issue> {
    let text = utf8(bytes)?;
    let budget = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Tree {
        depth: 0,
        budget: &budget,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value))
    .map_err(|error| {
        // serde_json names the place in its own words and never quotes the input; the texts
        // for data are the constants above.
        let text = error.to_string();
        let code = if text.starts_with(TOO_DEEP) || text.starts_with(TOO_MANY) {
            "too-costly"
        } else if text.starts_with(NUMBER_TOO_LONG) {
            "too-long"
        } else {
            "structure"
        };
        Issue::error(code, format!("The body is not acceptable JSON: {text}"))
    })
}

/// Compact JSON, as bodies are stored and sent.
#[must_use]
pub fn to_bytes(value: &Value) -> Vec<u8> {
    // Display and serialisation are the same writer; this one has no error to handle, since maps
    // of a `Value` have string keys.
    serde_json::to_vec(value).unwrap_or_else(|_| value.to_string().into_bytes())
}

/// Puts `resourceType` first, then `id`, then `meta`; the rest stays as it was sent. Values that
/// are not objects stay as they are.
pub fn tidy(resource: &mut Value) {
    if let Value::Object(object) = resource {
        let mut old = mem::take(object);
        let mut new = Map::with_capacity(old.len());
        for key in ["resourceType", "id", "meta"] {
            if let Some(value) = old.get_mut(key) {
                new.insert(key.to_owned(), value.take());
            }
        }
        append_others(&mut new, old);
        *object = new;
    }
}

/// Writes the server's own fields: `id`, `meta.versionId` and `meta.lastUpdated` (an `instant` as
/// text), in the order resourceType, id, meta, rest as sent. All else in `meta` is kept, after
/// those two. Call it on what [`parse_resource`] returned.
pub fn stamp(resource: &mut Value, id: &str, version: i64, last_updated: &str) {
    if let Value::Object(object) = resource {
        let mut old = mem::take(object);
        let mut meta = Map::new();
        meta.insert("versionId".to_owned(), json!(version.to_string()));
        meta.insert("lastUpdated".to_owned(), json!(last_updated));
        if let Some(Value::Object(sent)) = old.get_mut("meta").map(Value::take) {
            append_others(&mut meta, sent);
        }
        let mut new = Map::with_capacity(old.len() + 2);
        if let Some(name) = old.get_mut("resourceType") {
            new.insert("resourceType".to_owned(), name.take());
        }
        new.insert("id".to_owned(), json!(id));
        new.insert("meta".to_owned(), Value::Object(meta));
        append_others(&mut new, old);
        *object = new;
    }
}

/// Changes what [`stamp`] wrote of the version.
pub fn restamp(resource: &mut Value, version: i64, last_updated: &str) {
    if let Some(Value::Object(meta)) = resource.get_mut("meta") {
        meta.insert("versionId".to_owned(), json!(version.to_string()));
        meta.insert("lastUpdated".to_owned(), json!(last_updated));
    }
}

/// Adds what `new` does not have yet. Rebuilding keeps the order; `Map::remove` would not.
fn append_others(new: &mut Map<String, Value>, old: Map<String, Value>) {
    for (key, value) in old {
        if !new.contains_key(&key) {
            new.insert(key, value);
        }
    }
}

/// The text of a body without its byte order mark.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Issue> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = line_and_column(bytes, error.valid_up_to());
        Issue::error(
            "invalid",
            format!("The body is not UTF-8 at line {line} column {column}"),
        )
    })
}

/// Line and column (in bytes) of an offset, both from 1.
pub(crate) fn line_and_column(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    (line, column)
}

/// Reads one value. `depth` counts the containers around it.
#[derive(Clone, Copy)]
struct Tree<'a> {
    depth: usize,
    budget: &'a Cell<usize>,
}

impl Tree<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.budget.get().checked_sub(1) {
            Some(left) => self.budget.set(left),
            None => return Err(D::Error::custom(TOO_MANY)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    // Whole numbers of up to 64 bits have only one spelling; all others arrive as a map.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        // Checked after the first key: a number arrives as a map too, and is no nesting.
        let mut inner = None;
        while let Some(key) = entries.next_key::<String>()? {
            if key.starts_with('$') {
                return if key == NUMBER_TOKEN {
                    entries.next_value_seed(NumberText).map(Value::Number)
                } else {
                    Err(A::Error::custom(RESERVED))
                };
            }
            let seed = match inner {
                Some(seed) => seed,
                None => *inner.insert(self.inner()?),
            };
            let value = entries.next_value_seed(seed)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        if inner.is_none() {
            self.inner::<A::Error>()?;
        }
        Ok(Value::Object(object))
    }
}

/// The text of a number. `serde_json` hands it over as an owned string; a string that somebody
/// wrote under the same key in the body arrives borrowed, and is refused.
struct NumberText;

impl<'de> DeserializeSeed<'de> for NumberText {
    type Value = Number;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for NumberText {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _value: &str) -> Result<Number, E> {
        Err(E::custom(RESERVED))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Number, E> {
        if value.len() > MAX_NUMBER_LENGTH {
            return Err(E::custom(NUMBER_TOO_LONG));
        }
        value.parse().map_err(|_| E::custom("invalid number"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn issue(text: &str) -> Issue {
        parse_resource(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_what_serde_reads() {
        let text = r#"{"resourceType":"Observation","a":[1,-0,1.50,0.0100,-12E-3,{}],"b":null,
            "c":{"d":true,"e":"\u00e9\ud83d\ude00\n"},"f":[]}"#;
        let value = parse_resource(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(value["a"].to_string(), "[1,-0,1.50,0.0100,-12e-3,{}]");
        assert_eq!(to_bytes(&value), serde_json::to_vec(&value).unwrap());
        let marked = format!("\u{feff}{text}\r\n");
        assert_eq!(parse_resource(marked.as_bytes()).unwrap(), value);
    }

    #[test]
    fn refuses_what_loses_or_hurts() {
        assert!(
            issue(r#"{"resourceType":"Patient","a":1,"a":2}"#)
                .diagnostics
                .contains("twice")
        );
        assert!(
            issue(r#"{"resourceType":"Patient"} x"#)
                .diagnostics
                .contains("trailing")
        );
        assert!(issue("").diagnostics.contains("line 1"));
        assert_eq!(issue("[]").code, "structure");
        assert_eq!(issue("{}").code, "required");
        assert_eq!(issue(r#"{"resourceType":5}"#).code, "structure");
        assert_eq!(issue(r#"{"resourceType":""}"#).code, "structure");
        for body in [
            r#"{"resourceType":"P","x":01}"#,
            r#"{"resourceType":"P","x":NaN}"#,
            r#"{"resourceType":"P","x":1.}"#,
            r#"{"resourceType":"P","x":"\ud800"}"#,
            "{\"resourceType\":\"P\",\"x\":\"\u{1}\"}",
            r#"{"resourceType":"P",}"#,
            r#"{'resourceType':'P'}"#,
        ] {
            assert_eq!(issue(body).code, "structure", "{body}");
        }
        let long = format!(r#"{{"resourceType":"P","x":{}}}"#, "1".repeat(65));
        assert_eq!(issue(&long).code, "too-long");
        let bad = parse_resource(b"{\"resourceType\":\n\"\xff\"}").unwrap_err();
        assert_eq!(
            (bad.code, bad.diagnostics.contains("line 2 column 2")),
            ("invalid", true)
        );
    }

    #[test]
    fn a_number_cannot_be_forged() {
        for value in [
            "\"5\"",
            "\"1,\\\"x\\\":2\"",
            "5",
            "null",
            "{}",
            "\"5\\u0030\"",
        ] {
            for key in [
                "$serde_json::private::Number",
                "$serde_json::private::RawValue",
                "$x",
            ] {
                let body = format!(r#"{{"resourceType":"P","x":{{"{key}":{value}}}}}"#);
                assert_eq!(issue(&body).code, "structure", "{body}");
            }
        }
    }

    #[test]
    fn depth_is_counted_and_bounded() {
        let nested = |levels: usize| {
            format!(
                r#"{{"resourceType":"P","x":{}{}}}"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        assert!(parse_resource(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert_eq!(issue(&nested(MAX_DEPTH)).code, "too-costly");
        assert_eq!(issue(&nested(10_000)).code, "too-costly");
        assert_eq!(issue(&"{\"x\":".repeat(1_000_000)).code, "too-costly");
        let objects = "{\"x\":".repeat(MAX_DEPTH - 1);
        let close = "}".repeat(MAX_DEPTH - 1);
        assert!(parse(format!("{objects}1{close}").as_bytes()).is_ok());
        assert!(parse(format!("{objects}{{}}{close}").as_bytes()).is_ok());
        assert!(parse(format!("{objects}[{{}}]{close}").as_bytes()).is_err());
    }

    #[test]
    fn too_many_values_are_refused() {
        let body = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(parse(body.as_bytes()).unwrap_err().code, "too-costly");
    }

    #[test]
    fn messages_never_echo() {
        for body in [
            r#"{"resourceType":"P","SECRET":"SECRET","SECRET":1}"#,
            r#"{"resourceType":"P","x":SECRET}"#,
            r#"{"resourceType":"P","x":"SECRET" "SECRET"}"#,
            r#"{"resourceType":"P","x":{"$SECRET":1}}"#,
            r#""SECRET""#,
        ] {
            assert!(!issue(body).diagnostics.contains("SECRET"));
        }
    }

    #[test]
    fn stamps_in_order() {
        let mut value = json!({
            "name": [], "meta": {"tag": [1], "lastUpdated": "old", "profile": ["p"]}, "id": "old",
            "active": true, "resourceType": "Patient", "z": 1
        });
        let mut tidied = value.clone();
        tidy(&mut tidied);
        assert_eq!(
            tidied.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["resourceType", "id", "meta", "name", "active", "z"]
        );
        assert_eq!(tidied, value);
        stamp(&mut value, "new", 3, "2026-01-01T00:00:00.000Z");
        assert_eq!(
            value.to_string(),
            r#"{"resourceType":"Patient","id":"new","meta":{"versionId":"3","lastUpdated":"2026-01-01T00:00:00.000Z","tag":[1],"profile":["p"]},"name":[],"active":true,"z":1}"#
        );
        let mut bare = json!({"resourceType": "Basic"});
        stamp(&mut bare, "a", 1, "t");
        assert_eq!(
            bare.to_string(),
            r#"{"resourceType":"Basic","id":"a","meta":{"versionId":"1","lastUpdated":"t"}}"#
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?"
                .prop_map(|text| Value::Number(text.parse().unwrap())),
            ".*".prop_map(Value::String),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                prop::collection::btree_map("[^$]*", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_survives(value in any_json()) {
            prop_assert_eq!(parse(&to_bytes(&value)).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_resource(&bytes);
        }

        #[test]
        fn json_like_text_agrees_with_serde(text in r#"[\[\]{}":,0-9eE.+\-a \\un]{0,40}"#) {
            if let Ok(ours) = parse(text.as_bytes()) {
                prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
