//! Dates and times as FHIR writes them: as precise as the writer knew, no more.
//!
//! Sources: <https://hl7.org/fhir/R4/datatypes.html#dateTime> (formats and their regular
//! expressions), <https://hl7.org/fhir/R4/search.html#date> (a value stands for the whole span that
//! its precision covers), <https://hl7.org/fhirpath/N1/#datetime> (literals).

use std::fmt;

use crate::clock::Millis;

/// Before every date that can be written: the low end of a period without a start.
/// Exact as a double, as composites store it.
pub const DISTANT_PAST: Millis = -(1 << 53);
/// After every date that can be written: the high end of a period without an end.
pub const DISTANT_FUTURE: Millis = 1 << 53;

const DAY: i64 = 86_400_000;

/// How much of a date and time was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    Year,
    Month,
    Day,
    /// Only in FHIRPath literals; FHIR's own types have minutes wherever they have hours.
    Hour,
    Minute,
    Second,
    /// Seconds with decimals.
    Fraction,
}

/// A FHIR `date`, `dateTime` or `instant`, or a FHIRPath literal of these, with its precision.
///
/// Parts beyond the precision hold their lowest value. Equality is of the written parts; compare
/// spans with [`PartialDate::range`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartialDate {
    /// 1 to 9999.
    pub year: i16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 0 to 59; a leap second (60) is read as the second before it.
    pub second: u8,
    pub nanos: u32,
    pub precision: Precision,
    /// Decimals of the second as written, at most 9.
    pub decimals: u8,
    /// Minutes east of UTC; none where no zone was written.
    pub offset: Option<i16>,
}

/// What a text may hold beside a full date and time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// FHIR `date`.
    Date,
    /// FHIR `dateTime`: a time has seconds and a zone.
    DateTime,
    /// FHIR `instant`: everything, with seconds and zone.
    Instant,
    /// A search value: a time has minutes, seconds and zone may be missing.
    Search,
    /// FHIRPath: hours alone, and a bare `T`, are good too.
    FhirPath,
}

impl PartialDate {
    /// A FHIR `date`: `2012`, `2012-02`, `2012-02-29`. None where it is not one.
    #[must_use]
    pub fn parse_date(text: &str) -> Option<Self> {
        parse(text, Form::Date)
    }

    /// A FHIR `dateTime`: a `date`, or date, time with seconds, and zone. None where it is not one.
    #[must_use]
    pub fn parse_date_time(text: &str) -> Option<Self> {
        parse(text, Form::DateTime)
    }

    /// A FHIR `instant`: date, time with seconds, and zone. None where it is not one.
    #[must_use]
    pub fn parse_instant(text: &str) -> Option<Self> {
        parse(text, Form::Instant)
    }

    /// The value of a date search parameter: a `dateTime` whose seconds and zone may be missing.
    /// Takes what a space became of the `+` of a zone in a URL that did not escape it.
    #[must_use]
    pub fn parse_search(text: &str) -> Option<Self> {
        parse(text, Form::Search)
    }

    /// A FHIRPath date or date-time (without `@`): `2012`, `2012T`, `2012-02-29T14`, ...
    #[must_use]
    pub fn parse_fhirpath(text: &str) -> Option<Self> {
        parse(text, Form::FhirPath)
    }

    /// The moment `at` in a zone `offset` minutes east of UTC, to the millisecond.
    #[must_use]
    pub fn from_millis(at: Millis, offset: i16) -> Option<Self> {
        let local = at.checked_add(i64::from(offset) * 60_000)?;
        let (year, month, day) = civil(local.div_euclid(DAY))?;
        let rest = local.rem_euclid(DAY);
        Some(Self {
            year,
            month,
            day,
            hour: small(rest / 3_600_000),
            minute: small(rest / 60_000 % 60),
            second: small(rest / 1000 % 60),
            nanos: u32::try_from(rest % 1000).unwrap_or(0) * 1_000_000,
            precision: Precision::Fraction,
            decimals: 3,
            offset: Some(offset),
        })
    }

    /// The span it stands for, `[low, high)` in ms since the epoch. A date without a zone is UTC.
    #[must_use]
    pub fn range(&self) -> (Millis, Millis) {
        let low = self.millis();
        let high = match self.precision {
            Precision::Year => days(i64::from(self.year) + 1, 1, 1) * DAY - self.offset_millis(),
            Precision::Month if self.month == 12 => {
                days(i64::from(self.year) + 1, 1, 1) * DAY - self.offset_millis()
            }
            Precision::Month => {
                days(i64::from(self.year), self.month + 1, 1) * DAY - self.offset_millis()
            }
            Precision::Day => low + DAY,
            Precision::Hour => low + 3_600_000,
            Precision::Minute => low + 60_000,
            Precision::Second => low + 1000,
            Precision::Fraction => {
                low + match self.decimals {
                    1 => 100,
                    2 => 10,
                    _ => 1,
                }
            }
        };
        (low, high)
    }

    /// The first millisecond of its span.
    #[must_use]
    pub fn millis(&self) -> Millis {
        days(i64::from(self.year), self.month, self.day) * DAY
            + i64::from(self.hour) * 3_600_000
            + i64::from(self.minute) * 60_000
            + i64::from(self.second) * 1000
            + i64::from(self.nanos / 1_000_000)
            - self.offset_millis()
    }

    fn offset_millis(&self) -> i64 {
        i64::from(self.offset.unwrap_or(0)) * 60_000
    }

    /// Whether it has a time of day.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.precision >= Precision::Hour
    }

    /// The date alone, at most to the day.
    #[must_use]
    pub fn date(&self) -> Self {
        Self {
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            decimals: 0,
            offset: None,
            precision: self.precision.min(Precision::Day),
            ..*self
        }
    }

    /// The same moment written in UTC, where it has a time and a zone; itself otherwise.
    #[must_use]
    pub fn to_utc(&self) -> Self {
        if !self.has_time() || self.offset.unwrap_or(0) == 0 {
            return *self;
        }
        match Self::from_millis(self.millis(), 0) {
            Some(utc) => Self {
                nanos: self.nanos,
                precision: self.precision,
                decimals: self.decimals,
                ..utc
            },
            None => *self,
        }
    }

    /// `months` later (earlier when negative); a day that the month lacks becomes its last day.
    /// None outside the years 1 to 9999.
    #[must_use]
    pub fn plus_months(&self, months: i64) -> Option<Self> {
        let count = (i64::from(self.year) * 12 + i64::from(self.month) - 1).checked_add(months)?;
        let year = i16::try_from(count.div_euclid(12))
            .ok()
            .filter(|y| (1..=9999).contains(y))?;
        let month = small(count.rem_euclid(12) + 1);
        Some(Self {
            year,
            month,
            day: self.day.min(days_in(year, month)),
            ..*self
        })
    }

    /// `millis` later (earlier when negative), the precision kept. None outside the years 1 to 9999.
    #[must_use]
    pub fn plus_millis(&self, millis: i64) -> Option<Self> {
        let offset = self.offset.unwrap_or(0);
        let moved = Self::from_millis(self.millis().checked_add(millis)?, offset)?;
        Some(Self {
            nanos: moved.nanos + self.nanos % 1_000_000,
            precision: self.precision,
            decimals: self.decimals,
            offset: self.offset,
            ..moved
        })
    }
}

impl fmt::Display for PartialDate {
    /// As FHIR writes it; hours alone as FHIRPath writes them.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04}", self.year)?;
        if self.precision >= Precision::Month {
            write!(out, "-{:02}", self.month)?;
        }
        if self.precision >= Precision::Day {
            write!(out, "-{:02}", self.day)?;
        }
        if self.precision >= Precision::Hour {
            write!(out, "T{:02}", self.hour)?;
        }
        if self.precision >= Precision::Minute {
            write!(out, ":{:02}", self.minute)?;
        }
        if self.precision >= Precision::Second {
            write!(out, ":{:02}", self.second)?;
        }
        if self.precision == Precision::Fraction {
            let digits = format!("{:09}", self.nanos);
            write!(
                out,
                ".{}",
                &digits[..usize::from(self.decimals.clamp(1, 9))]
            )?;
        }
        match self.offset {
            Some(0) if self.has_time() => out.write_str("Z"),
            Some(offset) if self.has_time() => {
                let sign = if offset < 0 { '-' } else { '+' };
                write!(
                    out,
                    "{sign}{:02}:{:02}",
                    offset.abs() / 60,
                    offset.abs() % 60
                )
            }
            _ => Ok(()),
        }
    }
}

/// The span of any FHIR date text, `[low, high)`; see [`PartialDate::range`]. Lenient about a
/// missing zone or missing seconds, so that what was stored is found.
#[must_use]
pub fn range(text: &str) -> Option<(Millis, Millis)> {
    PartialDate::parse_search(text).map(|date| date.range())
}

fn parse(text: &str, form: Form) -> Option<PartialDate> {
    let mut scan = Scan {
        bytes: text.as_bytes(),
    };
    let mut date = PartialDate {
        year: i16::try_from(scan.digits(4)?)
            .ok()
            .filter(|year| *year > 0)?,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        precision: Precision::Year,
        decimals: 0,
        offset: None,
    };
    if scan.take(b'-') {
        date.month = scan.two(1, 12)?;
        date.precision = Precision::Month;
        if scan.take(b'-') {
            date.day = scan.two(1, days_in(date.year, date.month))?;
            date.precision = Precision::Day;
        }
    }
    if form == Form::Date {
        return scan.end().then_some(date);
    }
    if !scan.take(b'T') {
        return (scan.end() && form != Form::Instant).then_some(date);
    }
    if scan.end() {
        return (form == Form::FhirPath).then_some(date);
    }
    if date.precision < Precision::Day {
        return None;
    }
    date.hour = scan.two(0, 23)?;
    date.precision = Precision::Hour;
    let has_minutes = scan.take(b':');
    if has_minutes {
        date.minute = scan.two(0, 59)?;
        date.precision = Precision::Minute;
        if scan.take(b':') {
            date.second = scan.two(0, 60)?.min(59);
            date.precision = Precision::Second;
            if scan.take(b'.') {
                (date.nanos, date.decimals) = scan.fraction()?;
                date.precision = Precision::Fraction;
            }
        }
    }
    date.offset = scan.zone(form == Form::Search)?;
    let complete = date.precision >= Precision::Second && date.offset.is_some();
    let good = match form {
        Form::Date => false,
        Form::DateTime | Form::Instant => complete,
        Form::Search => has_minutes,
        Form::FhirPath => true,
    };
    (good && scan.end()).then_some(date)
}

struct Scan<'a> {
    bytes: &'a [u8],
}

impl Scan<'_> {
    fn end(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.first() == Some(&byte);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, rest) = self.bytes.split_at_checked(count)?;
        let value = head.iter().try_fold(0_u32, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + u32::from(byte - b'0'))
        })?;
        self.bytes = rest;
        Some(value)
    }

    fn two(&mut self, least: u8, most: u8) -> Option<u8> {
        let value = u8::try_from(self.digits(2)?).ok()?;
        (least..=most).contains(&value).then_some(value)
    }

    /// Decimals of a second: nanoseconds, and how many digits stood there (more than 9 are cut).
    fn fraction(&mut self) -> Option<(u32, u8)> {
        let count = self
            .bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.bytes.split_at_checked(count).filter(|_| count > 0)?;
        self.bytes = rest;
        let kept = count.min(9);
        let nanos = digits[..kept]
            .iter()
            .fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
        let kept = u8::try_from(kept).ok()?;
        Some((nanos * 10_u32.pow(u32::from(9 - kept)), kept))
    }

    /// `Z`, `+hh:mm`, `-hh:mm` up to 14:00, or nothing.
    #[expect(
        clippy::option_option,
        reason = "the outer one is failure, as everywhere here"
    )]
    fn zone(&mut self, space_is_plus: bool) -> Option<Option<i16>> {
        let sign = if self.end() {
            return Some(None);
        } else if self.take(b'Z') {
            return Some(Some(0));
        } else if self.take(b'-') {
            -1
        } else if self.take(b'+') || (space_is_plus && self.take(b' ')) {
            1
        } else {
            return None;
        };
        let hours = i16::from(self.two(0, 14)?);
        if !self.take(b':') {
            return None;
        }
        let minutes = i16::from(self.two(0, if hours == 14 { 0 } else { 59 })?);
        Some(Some(sign * (hours * 60 + minutes)))
    }
}

fn small(value: i64) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

fn days_in(year: i16, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days`]. None outside the years 1 to 9999.
fn civil(days: i64) -> Option<(i16, u8, u8)> {
    let shifted = days.checked_add(719_468)?;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let year = i16::try_from(year)
        .ok()
        .filter(|year| (1..=9999).contains(year))?;
    Some((year, small(month), small(day)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(text: &str) -> (String, String) {
        let (low, high) = range(text).unwrap();
        (crate::clock::instant(low), crate::clock::instant(high))
    }

    #[test]
    fn precision_makes_the_span() {
        let cases = [
            (
                "2012",
                "2012-01-01T00:00:00.000Z",
                "2013-01-01T00:00:00.000Z",
            ),
            (
                "2012-02",
                "2012-02-01T00:00:00.000Z",
                "2012-03-01T00:00:00.000Z",
            ),
            (
                "2012-12",
                "2012-12-01T00:00:00.000Z",
                "2013-01-01T00:00:00.000Z",
            ),
            (
                "2012-02-29",
                "2012-02-29T00:00:00.000Z",
                "2012-03-01T00:00:00.000Z",
            ),
            (
                "2012-02-29T23:30",
                "2012-02-29T23:30:00.000Z",
                "2012-02-29T23:31:00.000Z",
            ),
            (
                "2012-02-29T23:30:10-05:00",
                "2012-03-01T04:30:10.000Z",
                "2012-03-01T04:30:11.000Z",
            ),
            (
                "2012-02-29T23:30:10.5Z",
                "2012-02-29T23:30:10.500Z",
                "2012-02-29T23:30:10.600Z",
            ),
            (
                "2012-02-29T23:30:10.123Z",
                "2012-02-29T23:30:10.123Z",
                "2012-02-29T23:30:10.124Z",
            ),
            (
                "2012-02-29T10:00:00 05:30",
                "2012-02-29T04:30:00.000Z",
                "2012-02-29T04:30:01.000Z",
            ),
            (
                "1600-02-29",
                "1600-02-29T00:00:00.000Z",
                "1600-03-01T00:00:00.000Z",
            ),
        ];
        for (text, low, high) in cases {
            assert_eq!(span(text), (low.to_owned(), high.to_owned()), "{text}");
        }
    }

    #[test]
    fn absurd_dates_are_none() {
        for text in [
            "",
            "0000",
            "12",
            "20120",
            "2012-13",
            "2012-00",
            "2012-02-30",
            "2011-02-29",
            "1900-02-29",
            "2012-2-3",
            "2012-02-29T24:00:00Z",
            "2012-02-29T10:60:00Z",
            "2012-02-29T10:00:61Z",
            "2012-02-29T10:00:00+15:00",
            "2012-02-29T10:00:00+14:30",
            "2012-02-29T10:00:00.Z",
            "2012-02T10:00:00Z",
            "-2012",
            "2012-02-29Z",
            "２０１２",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn each_type_takes_its_own_form() {
        assert!(PartialDate::parse_date("2012-02-29").is_some());
        assert!(PartialDate::parse_date("2012-02-29T10:00:00Z").is_none());
        assert!(PartialDate::parse_date_time("2012-02").is_some());
        assert!(PartialDate::parse_date_time("2012-02-29T10:00Z").is_none());
        assert!(PartialDate::parse_date_time("2012-02-29T10:00:00").is_none());
        assert!(PartialDate::parse_instant("2012-02-29").is_none());
        assert!(PartialDate::parse_instant("2012-02-29T10:00:60Z").is_some());
        assert!(PartialDate::parse_search("2012-02-29T10").is_none());
        assert!(PartialDate::parse_fhirpath("2012-02-29T10").is_some());
        assert!(PartialDate::parse_fhirpath("2012T").is_some());
    }

    #[test]
    fn months_end_where_the_month_ends() {
        let date = PartialDate::parse_date("2012-01-31").unwrap();
        assert_eq!(date.plus_months(1).unwrap().to_string(), "2012-02-29");
        assert_eq!(date.plus_months(-2).unwrap().to_string(), "2011-11-30");
        assert_eq!(date.plus_months(12 * 9000), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = range(&text);
        }

        #[test]
        fn millis_round_trip(at in -62_135_596_800_000_i64..253_402_300_799_999, offset in 0..=0_i16) {
            let date = PartialDate::from_millis(at, offset).unwrap();
            prop_assert_eq!(date.millis(), at);
            prop_assert_eq!(PartialDate::parse_instant(&date.to_string()), Some(date));
        }
    }
}
