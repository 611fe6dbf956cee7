//! Dates: `ge2026-11`, `2026-11-10T15:00:00-05:00` (FHIR R4 search, 3.1.1.4.7).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use crate::search::query::SpanTest;

/// One value with its prefix. None when it is not a date, with any precision from year to
/// millisecond; a time without a zone is UTC, like the dates in index rows.
pub fn parse(text: &str) -> Option<SpanTest> {
    let (prefix, rest) = super::number::prefix(text);
    let (low, high) = span(rest)?;
    Some(SpanTest { prefix, low, high })
}

/// The span of a date by its precision: ms, low inclusive, high exclusive.
pub fn span(text: &str) -> Option<(i64, i64)> {
    // A `+` that nobody encoded arrives as a space.
    let text = text.replace(' ', "+");
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text.as_str(), None),
    };
    let mut parts = date.split('-');
    let year: i16 = digits(parts.next()?, 4)?;
    let month: Option<i8> = optional(parts.next())?;
    let day: Option<i8> = optional(parts.next())?;
    if parts.next().is_some() || year == 0 {
        return None;
    }
    let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
    let Some(time) = time else {
        let next = match (month, day) {
            (None, _) => next_year(first),
            (_, None) => first.last_of_month().tomorrow().ok(),
            _ => first.tomorrow().ok(),
        };
        let low = millis(first.to_datetime(Time::midnight()), Offset::UTC)?;
        // The day after 9999-12-31 has no date.
        let high = match next {
            Some(next) => millis(next.to_datetime(Time::midnight()), Offset::UTC)?,
            None => {
                let last = Date::new(year, 12, 31).ok()?;
                millis(last.to_datetime(Time::midnight()), Offset::UTC)? + 86_400_000
            }
        };
        return Some((low, high));
    };
    day?;
    let (clock, offset) = zone(time)?;
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let mut parts = whole.split(':');
    let hour: i8 = digits(parts.next()?, 2)?;
    let minute: i8 = digits(parts.next()?, 2)?;
    let second: Option<i8> = optional(parts.next())?;
    if parts.next().is_some() || (fraction.is_some() && second.is_none()) {
        return None;
    }
    // A leap second is the last second of its minute.
    let time = Time::new(hour, minute, second.unwrap_or(0).min(59), 0).ok()?;
    if second.is_some_and(|second| second > 60) {
        return None;
    }
    let low = millis(first.to_datetime(time), offset)?;
    match (second, fraction) {
        (None, _) => Some((low, low + 60_000)),
        (_, None) => Some((low, low + 1_000)),
        (_, Some(fraction)) => {
            if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let padded = format!("{fraction:0<3}");
            let part: i64 = padded.get(..3)?.parse().ok()?;
            let width = match fraction.len() {
                1 => 100,
                2 => 10,
                _ => 1,
            };
            Some((low + part, low + part + width))
        }
    }
}

fn next_year(first: Date) -> Option<Date> {
    Date::new(first.year() + 1, 1, 1).ok()
}

/// Two digits that may be absent; outer None when they are there but wrong.
fn optional(part: Option<&str>) -> Option<Option<i8>> {
    match part {
        None => Some(None),
        Some(part) => Some(Some(digits(part, 2)?)),
    }
}

fn digits<T: std::str::FromStr>(text: &str, width: usize) -> Option<T> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// The clock part of a time and its offset.
fn zone(time: &str) -> Option<(&str, Offset)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, Offset::UTC));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, Offset::UTC));
    };
    let (clock, offset) = (time.get(..at)?, time.get(at..)?);
    let (sign, rest) = (offset.starts_with('-'), offset.get(1..)?);
    let (hours, minutes) = rest.split_once(':')?;
    let hours: i32 = digits(hours, 2)?;
    let minutes: i32 = digits(minutes, 2)?;
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if sign { -seconds } else { seconds }).ok()?;
    Some((clock, offset))
}

fn millis(at: DateTime, offset: Offset) -> Option<i64> {
    let zoned = at.to_zoned(TimeZone::fixed(offset)).ok()?;
    Some(Timestamp::as_millisecond(zoned.timestamp()))
}

/// `ap` widens a span by a tenth of its distance from `now`, at least by its own width.
pub fn approximately(low: i64, high: i64, now: i64) -> (i64, i64) {
    let middle = low.midpoint(high);
    let slack = (now.saturating_sub(middle).saturating_abs() / 10).max(high.saturating_sub(low));
    (low.saturating_sub(slack), high.saturating_add(slack))
}

/// What a date looks like, for error messages.
pub const EXPECTED: &str = "a date such as 2026, 2026-11, 2026-11-10 or 2026-11-10T15:00:00Z, with an optional prefix \
     (eq, ne, gt, lt, ge, le, sa, eb, ap)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query::Prefix;

    #[test]
    fn precision_gives_the_span() {
        let day = 86_400_000;
        assert_eq!(span("1970-01-01"), Some((0, day)));
        assert_eq!(span("1970"), Some((0, 365 * day)));
        assert_eq!(span("1970-02"), Some((31 * day, 59 * day)));
        assert_eq!(span("1970-01-01T00:01Z"), Some((60_000, 120_000)));
        assert_eq!(span("1970-01-01T01:00:01+01:00"), Some((1_000, 2_000)));
        assert_eq!(span("1970-01-01T01:00:01 01:00"), Some((1_000, 2_000)));
        assert_eq!(span("1970-01-01T00:00:00.25Z"), Some((250, 260)));
        assert_eq!(span("1970-01-01T00:00:00.123456Z"), Some((123, 124)));
        assert!(span("9999-12-31").is_some() && span("9999").is_some());
        assert_eq!(
            parse("sa1970-01-01").map(|test| test.prefix),
            Some(Prefix::Sa)
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "x",
            "20",
            "2026-13",
            "2026-02-30",
            "0000",
            "2026-1-1",
            "2026-11T10:00",
            "2026-11-10T",
            "2026-11-10T25:00",
            "2026-11-10T10",
            "2026-11-10T10:00:61",
            "2026-11-10T10:00.5",
            "2026-11-10T10:00:00+99:00",
            "2026-11-10T10:00:00.",
            "gege2026",
            "+2026",
            "２０２６",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
