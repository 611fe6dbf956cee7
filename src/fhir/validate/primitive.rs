//! Formats of primitive types: <http://hl7.org/fhir/R4/datatypes.html#primitive>.

use serde_json::Value;

use super::echo;
use crate::fhir::definitions::elements::Primitive;

/// `string` and `markdown` hold at most 1 MB.
const MAX_STRING: usize = 1024 * 1024;
/// Digits and sign and exponent of a decimal. The specification asks for 18 digits at least.
const MAX_DECIMAL: usize = 64;

/// What is wrong with a value.
pub(super) struct Problem {
    /// `structure` for the wrong kind of JSON, else `value`.
    pub(super) code: &'static str,
    pub(super) text: String,
}

/// Checks the JSON kind and the format of a primitive other than xhtml.
pub(super) fn check(primitive: Primitive, value: &Value) -> Result<(), Problem> {
    use Primitive as P;
    match (primitive, value) {
        (P::Boolean, Value::Bool(_)) => Ok(()),
        (P::Integer | P::PositiveInt | P::UnsignedInt, Value::Number(number)) => {
            integer(primitive, number.as_str())
        }
        (P::Decimal, Value::Number(number)) => decimal(number.as_str()),
        (P::Boolean, _) => wrong_kind("true or false, without quotes"),
        (P::Integer | P::PositiveInt | P::UnsignedInt | P::Decimal, _) => {
            wrong_kind("a number, without quotes")
        }
        (_, Value::String(text)) => string(primitive, text),
        _ => wrong_kind("a string"),
    }
}

fn wrong_kind(expected: &str) -> Result<(), Problem> {
    Err(Problem {
        code: "structure",
        text: format!("The value must be {expected}"),
    })
}

fn problem(text: impl Into<String>) -> Result<(), Problem> {
    Err(Problem {
        code: "value",
        text: text.into(),
    })
}

fn string(primitive: Primitive, text: &str) -> Result<(), Problem> {
    use Primitive as P;
    if text.is_empty() {
        return problem("A string must not be empty");
    }
    let expected = match primitive {
        P::String | P::Markdown => return free_text(text),
        P::Code if !is_code(text) => "a code: no space at the ends, single spaces inside",
        P::Uri | P::Url | P::Canonical if text.bytes().any(|one| one <= b' ' || one == 0x7f) => {
            "a URI: no spaces"
        }
        P::Id if !is_id(text) => "an id: 1 to 64 of A-Z a-z 0-9 - .",
        P::Oid if !is_oid(text) => "an OID such as urn:oid:1.2.3.4.5",
        P::Uuid if !is_uuid(text) => "a UUID such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        P::Date if !is_date(text.as_bytes()) => "a date: YYYY, YYYY-MM or YYYY-MM-DD that exists",
        P::DateTime if !is_date_time(text.as_bytes()) => {
            "a dateTime: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz that exists"
        }
        P::Instant if !is_instant(text.as_bytes()) => {
            "an instant: YYYY-MM-DDThh:mm:ss.sss+zz:zz that exists"
        }
        P::Time if !is_time(text.as_bytes()) => "a time: hh:mm:ss",
        P::Base64Binary if !is_base64(text.as_bytes()) => {
            return problem("The value is not base64");
        }
        _ => return Ok(()),
    };
    problem(format!("`{}` is not {expected}", echo(text)))
}

fn free_text(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_STRING && text.chars().count() > MAX_STRING {
        return problem("A string must not be longer than 1 MB");
    }
    if !is_text(text) {
        return problem("A string must not hold control characters but tab and line ends");
    }
    Ok(())
}

/// Whether every character can stand in XML 1.0 too; JSON can spell the others.
pub(super) fn is_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let control = |one: &u8| *one < b' ' && !matches!(one, b'\t' | b'\n' | b'\r');
    // U+FFFE and U+FFFF start with this byte.
    let rare = bytes.contains(&0xef) && text.contains(['\u{fffe}', '\u{ffff}']);
    !rare && !bytes.iter().any(control)
}

fn integer(primitive: Primitive, text: &str) -> Result<(), Problem> {
    let (lowest, name) = match primitive {
        Primitive::PositiveInt => (1, "a whole number from 1"),
        Primitive::UnsignedInt => (0, "a whole number from 0"),
        _ => (i32::MIN, "a whole number from -2147483648"),
    };
    // No fraction, no exponent, no leading zero (JSON has none); `-0` is not in the grammar.
    match text.parse::<i32>() {
        Ok(number) if number >= lowest && text != "-0" => Ok(()),
        _ => problem(format!("`{}` is not {name} to 2147483647", echo(text))),
    }
}

fn decimal(text: &str) -> Result<(), Problem> {
    let exponent = text
        .split_once(['e', 'E'])
        .map_or(Ok(0), |(_, digits)| digits.parse::<i32>());
    // JSON's grammar is FHIR's; only the size is left to refuse.
    if text.len() <= MAX_DECIMAL && exponent.is_ok_and(|power| power.abs() <= 308) {
        Ok(())
    } else {
        problem("The number is too large or too precise: 64 characters, exponent up to 308")
    }
}

fn is_code(text: &str) -> bool {
    // `[^\s]+(\s[^\s]+)*`
    let mut after_space = true;
    for one in text.chars() {
        if one.is_whitespace() {
            if after_space {
                return false;
            }
            after_space = true;
        } else if one.is_control() {
            return false;
        } else {
            after_space = false;
        }
    }
    !after_space
}

/// `[A-Za-z0-9\-\.]{1,64}`.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|one| one.is_ascii_alphanumeric() || matches!(one, b'-' | b'.'))
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`.
fn is_oid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:oid:") else {
        return false;
    };
    let mut arcs = rest.split('.');
    let first = matches!(arcs.next(), Some("0" | "1" | "2"));
    let mut count = 0;
    let others = arcs.all(|arc| {
        count += 1;
        arc == "0"
            || (!arc.is_empty()
                && !arc.starts_with('0')
                && arc.bytes().all(|one| one.is_ascii_digit()))
    });
    first && others && count > 0
}

/// `urn:uuid:` and 8-4-4-4-12 lower-case hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:uuid:") else {
        return false;
    };
    rest.len() == 36
        && rest.bytes().enumerate().all(|(at, one)| match at {
            8 | 13 | 18 | 23 => one == b'-',
            _ => matches!(one, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Decimal digits of fixed number.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |sum, one| {
        one.is_ascii_digit()
            .then(|| sum * 10 + u32::from(one - b'0'))
    })
}

fn is_date(text: &[u8]) -> bool {
    let Some(year) = text.get(..4).and_then(digits).filter(|year| *year > 0) else {
        return false;
    };
    let Some(month) = part(text, 4, b'-') else {
        return text.len() == 4;
    };
    if !(1..=12).contains(&month) {
        return false;
    }
    let Some(day) = part(text, 7, b'-') else {
        return text.len() == 7;
    };
    text.len() == 10 && (1..=days_in(year, month)).contains(&day)
}

/// A separator and two digits at a place.
fn part(text: &[u8], at: usize, separator: u8) -> Option<u32> {
    let (first, rest) = text.get(at..at + 3)?.split_first()?;
    if *first == separator {
        digits(rest)
    } else {
        None
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

fn is_date_time(text: &[u8]) -> bool {
    if text.len() > 10 {
        is_instant(text)
    } else {
        is_date(text)
    }
}

fn is_instant(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else {
        return false;
    };
    let Some((b'T', rest)) = rest.split_first() else {
        return false;
    };
    let Some(zone) = rest
        .iter()
        .position(|one| matches!(one, b'Z' | b'+' | b'-'))
    else {
        return false;
    };
    let (time, zone) = rest.split_at(zone);
    is_date(date) && is_time(time) && is_zone(zone)
}

/// `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`.
fn is_time(text: &[u8]) -> bool {
    let (clock, fraction) = text.split_at(text.len().min(8));
    clock.len() == 8
        && clock
            .get(..2)
            .and_then(digits)
            .is_some_and(|hour| hour < 24)
        && part(clock, 2, b':').is_some_and(|minute| minute < 60)
        && part(clock, 5, b':').is_some_and(|second| second <= 60)
        && match fraction.split_first() {
            None => true,
            Some((b'.', rest)) => {
                (1..=20).contains(&rest.len()) && rest.iter().all(u8::is_ascii_digit)
            }
            Some(_) => false,
        }
}

/// `(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))`.
fn is_zone(text: &[u8]) -> bool {
    if text == b"Z" {
        return true;
    }
    let hour = text.get(1..3).and_then(digits);
    let minute = part(text, 3, b':');
    text.len() == 6
        && match (hour, minute) {
            (Some(0..=13), Some(minute)) => minute < 60,
            (Some(14), Some(0)) => true,
            _ => false,
        }
}

/// RFC 4648 section 4 in groups of four, white space anywhere, padding at the end only.
fn is_base64(text: &[u8]) -> bool {
    let (mut count, mut padding) = (0_usize, 0_usize);
    for one in text {
        match one {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => count += 1,
            b'=' => padding += 1,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => return false,
        }
    }
    padding <= 2 && count > 0 && (count + padding).is_multiple_of(4)
}
