//! Dates: `ge2026-11`, `2026-11-10T15:00:00-05:00` (FHIR R4 search, 3.1.1.4.7).

use crate::clock::Millis;
use crate::fhir::date::PartialDate;
use crate::search::query::SpanTest;

/// What a date looks like, for error messages.
pub const EXPECTED: &str = "a date such as 2026, 2026-11, 2026-11-10 or 2026-11-10T15:00:00Z, with an optional prefix \
     (eq, ne, gt, lt, ge, le, sa, eb, ap)";

/// One value with its prefix. None when it is not a date, of any precision from year to
/// millisecond; a time without a zone is UTC, as in the index.
pub fn parse(text: &str) -> Option<SpanTest> {
    let (prefix, rest) = super::number::prefix(text);
    let (low, high) = PartialDate::parse_search(rest)?.range();
    Some(SpanTest { prefix, low, high })
}

/// `ap` widens a span by a tenth of its distance from `now`, at least by its own width.
#[must_use]
pub fn approximately(low: Millis, high: Millis, now: Millis) -> (Millis, Millis) {
    let middle = low.midpoint(high);
    let slack = (now.saturating_sub(middle).saturating_abs() / 10).max(high.saturating_sub(low));
    (low.saturating_sub(slack), high.saturating_add(slack))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::query::Prefix;

    #[test]
    fn precision_gives_the_span() {
        let day = 86_400_000;
        let span = |text| parse(text).map(|test| (test.low, test.high));
        assert_eq!(span("1970-01-01"), Some((0, day)));
        assert_eq!(span("1970"), Some((0, 365 * day)));
        assert_eq!(span("1970-01-01T00:01Z"), Some((60_000, 120_000)));
        assert_eq!(span("1970-01-01T01:00:01 01:00"), Some((1_000, 2_000)));
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
            "today",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn approximately_grows_with_the_distance() {
        assert_eq!(approximately(90, 110, 100), (70, 130));
        assert_eq!(approximately(0, 10, 1_005), (-100, 110));
        assert_eq!(approximately(i64::MIN, i64::MAX, 0), (i64::MIN, i64::MAX));
    }
}
