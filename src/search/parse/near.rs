//! `near=latitude|longitude|distance|units` of Location
//! (<https://hl7.org/fhir/R4/location.html#positional>).

use super::split::{split, unescape};
use crate::search::extract::position::{Circle, project};
use crate::search::extract::units::canonical;
use crate::search::query::NearTest;

/// What is near where no distance is said, in metres: R4 leaves it to the server.
pub const DEFAULT: f64 = 50_000.0;

/// For error messages.
pub const EXPECTED: &str = "latitude|longitude, |distance and |units after it if wanted: degrees, a \
                            distance of 0 or more, a length of UCUM such as km (the default), m or [mi_i]";

/// One value; None where it is none.
pub fn parse(piece: &str) -> Option<NearTest> {
    let parts: Vec<String> = split(piece, '|').into_iter().map(unescape).collect();
    let (latitude, longitude, rest) = match parts.as_slice() {
        [latitude, longitude, rest @ ..] if rest.len() <= 2 => (latitude, longitude, rest),
        _ => return None,
    };
    let longitude = number(longitude).filter(|own| (-180.0..=180.0).contains(own))?;
    let middle = project(number(latitude)?, longitude)?;
    let times = match rest.get(1).map_or("", String::as_str) {
        "" => 1_000.0,
        unit => metres(unit)?,
    };
    let distance = match rest.first().map_or("", String::as_str) {
        "" => DEFAULT,
        own => number(own).filter(|own| *own >= 0.0)? * times,
    };
    Some(NearTest {
        circle: Circle::around(middle, distance),
    })
}

/// Decimal digits, as R4 writes numbers; neither `inf` nor `nan`.
fn number(text: &str) -> Option<f64> {
    let starts = |c: char| c.is_ascii_digit() || c == '-' || c == '.';
    let number: f64 = text.starts_with(starts).then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// How many metres a unit of length is.
fn metres(unit: &str) -> Option<f64> {
    let (own, metre) = (canonical(unit)?, canonical("m")?);
    let is_length = own.unit == metre.unit && own.convert(0.0) == 0.0;
    is_length.then(|| metre.revert(own.convert(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_in_units() {
        let same = |a: &str, b: &str| {
            let (a, b) = (parse(a).unwrap(), parse(b).unwrap());
            match (a.circle, b.circle) {
                (Some(a), Some(b)) => {
                    assert!((a.reach - b.reach).abs() <= 1e-12 * b.reach, "{a:?} {b:?}");
                    assert_eq!(
                        (a.u.to_bits(), a.v.to_bits()),
                        (b.u.to_bits(), b.v.to_bits())
                    );
                }
                (a, b) => assert_eq!(a, b),
            }
        };
        same("42.2565|-83.694810|11.20|km", "42.25650|-83.69481|11200|m");
        same("1|2|10", "1|2|10|km");
        same("1|2", "1|2|50");
        same("1|2||km", "1|2|50|km");
        same("1|2|10|[mi_i]", "1|2|16.09344|km");
        same("1|2|20016", "-80|3|1e9");
        assert_eq!(parse("1|2|20016").unwrap().circle, None);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for bad in [
            "",
            "1",
            "1|",
            "|2",
            "x|2",
            "91|2",
            "-90.1|2",
            "1|181",
            "1|-180.5",
            "1|2|-1",
            "1|2|x",
            "1|2|3|kg",
            "1|2|3|mile",
            "1|2|3|km|4",
            "nan|2",
            "inf|2",
            "1|2|inf",
            "1|2|NaN",
            "1|2|3|Cel",
            "1|2|1e999",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
