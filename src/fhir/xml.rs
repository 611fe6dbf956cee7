//! FHIR XML in and out (<https://hl7.org/fhir/R4/xml.html>), through fhirbolt's `Element`.
//!
//! fhirbolt (0.4) knows R4's element order and types, and does the translation; this adapter
//! guards it, because alone it trims blanks inside narratives, wraps integers beyond 32 bits round,
//! wants `resourceType` first, drops unknown attributes, reads ids of booleans and numbers as values, takes scalars for arrays, loses line breaks
//! of attributes to other readers, and miscounts where a nested resource is empty.
//!
//! ```text
//! in:  bytes -> scan (checks, narrative cut out) -> fhirbolt XML -> Element -> tree -> JSON value
//! out: JSON value -> tree (checks, narrative cut out) -> Element -> fhirbolt XML -> finish
//! ```
//!
//! A narrative crosses as the very bytes that were sent. Comments outside narratives are dropped.
//! Numbers keep their digits.

mod finish;
mod narrative;
mod scan;
mod tree;

use fhirbolt::FhirReleases;
use fhirbolt::element::Element;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use crate::fhir::json;
use crate::fhir::outcome::Issue;

/// Bytes of one XML body that [`from_xml`] reads.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Elements inside each other, the root and the wrappers of nested resources counted; the same
/// again inside a narrative.
pub const MAX_DEPTH: usize = 64;
/// Elements of one body, those of narratives not counted; bounds memory.
pub const MAX_ELEMENTS: usize = 1_000_000;

const FHIR_NAMESPACE: &str = "http://hl7.org/fhir";
const XHTML_NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// What fhirbolt carries in place of a narrative: this, a number, `</div>`. Nothing else makes it
/// write the characters `<div`, for it escapes `<` in all values.
const PLACEHOLDER: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">";
const PLACEHOLDER_END: &str = "</div>";

/// What fhirbolt carries in place of the id of a boolean or a number, whose attributes it reads as its value: a
/// first extension whose url is this and the id. It is no character of XML, so that nobody sends it.
const KEPT_ID: char = '\u{1}';

type R4 = Element<{ FhirReleases::R4 }>;

/// One FHIR resource from an XML body of at most [`MAX_BYTES`].
///
/// # Errors
/// As [`from_xml_within`].
pub fn from_xml(bytes: &[u8]) -> Result<Value, Issue> {
    from_xml_within(bytes, MAX_BYTES)
}

/// One FHIR resource from an XML body of at most `max_bytes`: the JSON tree, elements in the order
/// of the specification.
///
/// Refused are: other encodings than UTF-8, DOCTYPE and entities, processing instructions, other
/// namespaces than FHIR's and, in narratives, XHTML's, unknown elements and attributes, empty
/// elements and values, repeats of what may occur once, values that are not of a boolean's, an
/// integer's (32 bits) or a decimal's form, and what exceeds [`MAX_DEPTH`] or [`MAX_ELEMENTS`].
/// Cardinality, codes, dates and the rest are left to validation.
///
/// # Errors
/// One issue with line, column and, where known, FHIRPath; never with content. Codes: `invalid`
/// (encoding), `structure`, `value`, `too-long`, `too-costly`, `not-supported`.
pub fn from_xml_within(bytes: &[u8], max_bytes: usize) -> Result<Value, Issue> {
    if bytes.len() > max_bytes {
        let text = format!("The XML body is longer than {max_bytes} bytes");
        return Err(Issue::error("too-long", text));
    }
    let scanned = scan::scan(json::utf8(bytes)?)?;
    let element: R4 = fhirbolt::xml::from_str(&scanned.xml, None).map_err(|_| unexpected())?;
    tree::to_json(element, scanned.narratives)
}

/// Whether a body is XML at all, whatever it says.
#[must_use]
pub fn is_well_formed(bytes: &[u8]) -> bool {
    let Ok(text) = json::utf8(bytes) else {
        return false;
    };
    let is_sound = |tag: &BytesStart<'_>| {
        let mut first = tag.attributes().take(narrative::MAX_ATTRIBUTES + 1);
        first.all(|one| one.is_ok())
    };
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut is_any) = (0_usize, false);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) if is_sound(&tag) => depth += 1,
            Ok(Event::Empty(tag)) if is_sound(&tag) => is_any = true,
            Ok(Event::Start(_) | Event::Empty(_)) | Err(_) => return false,
            Ok(Event::End(_)) => {
                depth = depth.saturating_sub(1);
                is_any = true;
            }
            Ok(Event::Eof) => return is_any && depth == 0,
            Ok(_) => {}
        }
    }
}

/// The XML of a resource, compact, UTF-8, with an XML declaration.
///
/// A narrative without a namespace gets XHTML's, and HTML's named entities in it (`&nbsp;`), which
/// XML does not know, become character references; otherwise it is written as it is.
///
/// # Errors
/// One issue with a FHIRPath when the tree has no XML form: unknown elements, arrays for single
/// elements or the reverse, wrong kinds of JSON value, integers beyond 32 bits, empty values,
/// characters that XML cannot hold, narrative that is not well-formed. A validated resource has
/// none of these, narrative apart.
pub fn to_xml(resource: &Value) -> Result<Vec<u8>, Issue> {
    let (element, narratives) = tree::from_json(resource)?;
    let xml = fhirbolt::xml::to_vec(&element, None).map_err(|_| unexpected())?;
    finish::finish(&xml, &narratives).ok_or_else(unexpected)
}

/// fhirbolt refused what this adapter let through. Its own text may quote content.
fn unexpected() -> Issue {
    Issue::error(
        "structure",
        "The resource could not be translated between XML and JSON",
    )
}

/// Whether XML 1.0 can hold the character (section 2.2).
fn is_xml_char(character: char) -> bool {
    !matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// Whether the text is a FHIR decimal, which is also a JSON number, of bearable length.
fn is_decimal(text: &str) -> bool {
    fn digits(text: &str) -> usize {
        text.bytes().take_while(u8::is_ascii_digit).count()
    }
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) || text.len() > json::MAX_NUMBER_LENGTH {
        return false;
    }
    rest = rest.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// The 32-bit integer that the text spells without leading zeros.
fn integer(text: &str) -> Option<i32> {
    let value: i32 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests;
