//! Values out of JSON and their comparison, after <https://hl7.org/fhir/R4/search.html>.

use jiff::civil;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

/// Everything at a path, through arrays: `name.given`. `a|b` is either.
pub fn at<'v>(value: &'v Value, paths: &str) -> Vec<&'v Value> {
    let mut found = Vec::new();
    for path in paths.split('|') {
        let mut here = vec![value];
        for step in path.split('.') {
            here = here
                .into_iter()
                .filter_map(|one| one.get(step))
                .flat_map(flat)
                .collect();
        }
        found.extend(here);
    }
    found
}

fn flat(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// (system, code) of a code, Coding, CodeableConcept, Identifier, ContactPoint or boolean. The
/// system of a plain code is not in the JSON: None.
pub fn tokens(value: &Value) -> Vec<(Option<String>, String)> {
    match value {
        Value::String(code) => vec![(None, code.clone())],
        Value::Bool(flag) => vec![(None, flag.to_string())],
        Value::Object(object) => {
            if let Some(codings) = object.get("coding").and_then(Value::as_array) {
                return codings.iter().flat_map(tokens).collect();
            }
            let code = if object.contains_key("value") {
                "value"
            } else {
                "code"
            };
            match object.get(code).and_then(Value::as_str) {
                Some(code) => vec![(Some(text(value, "system").to_owned()), code.to_owned())],
                None => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

pub fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            // Of the letters that Unicode leaves whole, those that stand in the data.
            'ł' => "l".to_owned(),
            'ø' => "o".to_owned(),
            'æ' => "ae".to_owned(),
            'ß' => "ss".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// The texts of a string, HumanName or Address.
pub fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Object(object) => {
            let parts = [
                "text",
                "family",
                "given",
                "prefix",
                "suffix",
                "line",
                "city",
                "district",
                "state",
                "postalCode",
                "country",
            ];
            parts
                .iter()
                .filter_map(|part| object.get(*part))
                .flat_map(flat)
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        }
        _ => Vec::new(),
    }
}

const FAR: i64 = i64::MAX / 4;

/// `[low, high)` in milliseconds of a date, dateTime, instant or Period.
pub fn span(value: &Value) -> Option<(i64, i64)> {
    match value {
        Value::String(text) => moment(text),
        Value::Object(object) => {
            let end = |key: &str| object.get(key).and_then(Value::as_str).and_then(moment);
            match (end("start"), end("end")) {
                (None, None) => None,
                (low, high) => Some((
                    low.map_or(-FAR, |span| span.0),
                    high.map_or(FAR, |span| span.1),
                )),
            }
        }
        _ => None,
    }
}

pub fn moment(text: &str) -> Option<(i64, i64)> {
    let day = |year, month, day| -> Option<i64> {
        let zoned = civil::date(year, month, day).to_zoned(jiff::tz::TimeZone::UTC);
        Some(zoned.ok()?.timestamp().as_millisecond())
    };
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    match text.len() {
        4 => {
            let year = number(0..4)?;
            Some((day(year, 1, 1)?, day(year + 1, 1, 1)?))
        }
        7 => {
            let (year, month) = (number(0..4)?, i8::try_from(number(5..7)?).ok()?);
            let next = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
            Some((day(year, month, 1)?, day(next.0, next.1, 1)?))
        }
        10 => {
            let low = day(
                number(0..4)?,
                i8::try_from(number(5..7)?).ok()?,
                i8::try_from(number(8..10)?).ok()?,
            )?;
            Some((low, low + 86_400_000))
        }
        _ => {
            let low = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            Some((low, low + if text.contains('.') { 1 } else { 1_000 }))
        }
    }
}

/// Compares a stored span with one asked for.
pub fn span_fits(prefix: &str, (from, to): (i64, i64), (low, high): (i64, i64)) -> bool {
    let inside = from <= low && high <= to;
    match prefix {
        "" | "eq" => inside,
        "ne" => !inside,
        "gt" => high > to,
        "lt" => low < from,
        "ge" => high > to || low >= from,
        "le" => low < from || high <= to,
        "sa" => low >= to,
        "eb" => high <= from,
        other => panic!("{other}"),
    }
}

/// The range of a number as it is written: half a unit of its last digit to either side.
pub fn implied(text: &str) -> (f64, f64, f64) {
    let value: f64 = text.parse().unwrap();
    let digits = text
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let half = 0.5 * 10_f64.powi(-i32::try_from(digits).unwrap());
    (value, value - half, value + half)
}

/// Compares a stored number with one asked for.
pub fn number_fits(prefix: &str, asked: &str, stored: f64) -> bool {
    let (value, low, high) = implied(asked);
    // Decimal halves are not exact in binary; a stored value never lies on one.
    // What is written with more digits than a float has means that float.
    let inside = stored == value || low <= stored && stored < high;
    match prefix {
        "" | "eq" => inside,
        "ne" => !inside,
        "gt" | "sa" => stored > value,
        "lt" | "eb" => stored < value,
        "ge" => stored >= value,
        "le" => stored <= value,
        other => panic!("{other}"),
    }
}

/// Numbers in units of length, of pressure and of what neither is.
pub const MEASURES: &[(f64, &str)] = &[
    (181.0, "cm"),
    (1.8, "m"),
    (1799.0, "mm"),
    (71.0, "[in_i]"),
    (180.0, "cm"),
    (6.0, "[ft_i]"),
    (0.0018, "km"),
    (180.0, "cm{lying}"),
    (1.8, "kg"),
    (120.0, "mm[Hg]"),
    (16.0, "kPa"),
    (1.8, "nonsense"),
    (75.0, "mm[Hg]"),
];

/// What is measured in a unit of [`MEASURES`], and how many of one unit of that it is, by hand.
fn size(unit: &str) -> Option<(&'static str, f64)> {
    Some(match unit {
        "m" => ("length", 1.0),
        "cm" | "cm{lying}" => ("length", 0.01),
        "mm" => ("length", 0.001),
        "km" => ("length", 1000.0),
        "[in_i]" => ("length", 0.0254),
        "[ft_i]" => ("length", 0.3048),
        "mm[Hg]" => ("pressure", 133.322),
        "kPa" => ("pressure", 1000.0),
        "kg" => ("mass", 1.0),
        _ => return None,
    })
}

/// Compares a stored quantity in UCUM with a number in another unit of it.
pub fn amount_fits(prefix: &str, asked: &str, unit: &str, quantity: &Value) -> bool {
    if text(quantity, "system") != "http://unitsofmeasure.org" {
        return false;
    }
    let (Some((what, times)), Some((own, own_times)), Some(stored)) = (
        size(unit),
        size(text(quantity, "code")),
        quantity["value"].as_f64(),
    ) else {
        return false;
    };
    // The same amount is the same number, whatever was multiplied.
    let round = |number: f64| format!("{number:.9e}").parse::<f64>().unwrap();
    let (value, low, high) = implied(asked);
    let [value, low, high] = [value, low, high].map(|number| round(number * times));
    let stored = round(stored * own_times);
    what == own
        && match prefix {
            "" | "eq" => low <= stored && stored < high,
            "ne" => stored < low || stored >= high,
            "gt" | "sa" => stored > value,
            "lt" | "eb" => stored < value,
            "ge" => stored >= value,
            "le" => stored <= value,
            other => panic!("{other}"),
        }
}

/// Latitudes and longitudes: a few towns, both poles and both sides of the 180th meridian.
pub const PLACES: &[(f64, f64)] = &[
    (42.2565, -83.694_81),
    (42.2565, -83.694_9),
    (42.331_43, -83.045_75),
    (41.878_11, -87.629_8),
    (-33.868_82, 151.209_29),
    (-17.713_37, 178.065),
    (-16.8, -179.97),
    (-16.8, 179.97),
    (90.0, 0.0),
    (89.9, 120.0),
    (-90.0, 0.0),
    (-89.95, -60.0),
    (0.0, 0.0),
    (0.0, 180.0),
    (-42.2565, 96.305_19),
];

/// Kilometres along the great circle between two places, by the haversine formula.
pub fn kilometres((a, b): (f64, f64), (c, d): (f64, f64)) -> f64 {
    let [a, b, c, d] = [a, b, c, d].map(f64::to_radians);
    let h = ((c - a) / 2.0).sin().powi(2) + a.cos() * c.cos() * ((d - b) / 2.0).sin().powi(2);
    2.0 * 6_371.008_8 * h.min(1.0).sqrt().asin()
}

/// Where a Location is.
pub fn position(location: &Value) -> Option<(f64, f64)> {
    let degrees = |key: &str| location["position"][key].as_f64();
    Some((degrees("latitude")?, degrees("longitude")?))
}

/// What a reference points at, without its version; None for what is contained or only described.
pub fn target(value: &Value) -> Option<&str> {
    let text = value["reference"].as_str()?;
    (!text.starts_with('#')).then(|| text.split("/_history/").next().unwrap_or(text))
}
