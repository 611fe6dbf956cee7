//! Times of day, and how partial dates and times compare.
//!
//! Two dates compare part by part, from the year down; where one has no more parts and the other
//! has, the answer is unknown (<http://hl7.org/fhirpath/N1/#datetime-equality>). Seconds and their
//! decimals are one part. A time with a zone and one without do not compare.

use std::cmp::Ordering;
use std::fmt;

use crate::fhir::date::{PartialDate, Precision};

const DAY_NANOS: i64 = 86_400_000_000_000;

/// A time of day with its precision, a FHIR `time` or FHIRPath literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub nanos: u32,
    /// From hour to fraction.
    pub precision: Precision,
    pub decimals: u8,
}

impl Time {
    /// `14`, `14:34`, `14:34:28`, `14:34:28.123`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let date = PartialDate::parse_fhirpath(&format!("2000-01-01T{text}"))?;
        (date.offset.is_none() && date.has_time()).then(|| Self::of(&date))
    }

    /// The time of day of a date-time.
    #[must_use]
    pub fn of(date: &PartialDate) -> Self {
        Self {
            hour: date.hour,
            minute: date.minute,
            second: date.second,
            nanos: date.nanos,
            precision: date.precision,
            decimals: date.decimals,
        }
    }

    /// Later by `millis`, around midnight as a clock goes.
    #[must_use]
    pub(crate) fn plus_millis(self, millis: i64) -> Option<Self> {
        let nanos = i64::from(self.hour) * 3_600_000_000_000
            + i64::from(self.minute) * 60_000_000_000
            + i64::from(self.second) * 1_000_000_000
            + i64::from(self.nanos);
        let moved = nanos
            .checked_add(millis.checked_mul(1_000_000)?)?
            .rem_euclid(DAY_NANOS);
        Some(Self {
            hour: u8::try_from(moved / 3_600_000_000_000).ok()?,
            minute: u8::try_from(moved / 60_000_000_000 % 60).ok()?,
            second: u8::try_from(moved / 1_000_000_000 % 60).ok()?,
            nanos: u32::try_from(moved % 1_000_000_000).ok()?,
            ..self
        })
    }

    /// Which is earlier; none where the precisions do not tell.
    #[must_use]
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        let parts = |time: &Self| {
            [
                i64::from(time.hour),
                i64::from(time.minute),
                i64::from(time.second) * 1_000_000_000 + i64::from(time.nanos),
            ]
        };
        let count = |precision| match precision {
            Precision::Hour => 1,
            Precision::Minute => 2,
            _ => 3,
        };
        parts_compare(
            &parts(self),
            count(self.precision),
            &parts(other),
            count(other.precision),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = PartialDate {
            year: 2000,
            month: 1,
            day: 1,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
            nanos: self.nanos,
            precision: self.precision,
            decimals: self.decimals,
            offset: None,
        };
        let text = date.to_string();
        out.write_str(text.split_once('T').map_or("", |(_, time)| time))
    }
}

/// Which date is earlier; none where the precisions or the zones do not tell.
pub(crate) fn compare(left: &PartialDate, right: &PartialDate) -> Option<Ordering> {
    // With a date on either side no moment is known, so zones cannot matter.
    let (left, right) = if left.has_time() && right.has_time() {
        if left.offset.is_some() != right.offset.is_some() {
            return None;
        }
        (left.to_utc(), right.to_utc())
    } else {
        (*left, *right)
    };
    let parts = |date: &PartialDate| {
        [
            i64::from(date.year),
            i64::from(date.month),
            i64::from(date.day),
            i64::from(date.hour),
            i64::from(date.minute),
            i64::from(date.second) * 1_000_000_000 + i64::from(date.nanos),
        ]
    };
    parts_compare(
        &parts(&left),
        count(left.precision),
        &parts(&right),
        count(right.precision),
    )
}

/// How many parts a precision has, seconds and decimals being one.
fn count(precision: Precision) -> usize {
    match precision {
        Precision::Year => 1,
        Precision::Month => 2,
        Precision::Day => 3,
        Precision::Hour => 4,
        Precision::Minute => 5,
        Precision::Second | Precision::Fraction => 6,
    }
}

fn parts_compare(left: &[i64], of_left: usize, right: &[i64], of_right: usize) -> Option<Ordering> {
    let common = of_left.min(of_right);
    let order = left.iter().take(common).cmp(right.iter().take(common));
    (order != Ordering::Equal || of_left == of_right).then_some(order)
}

/// A date moved by `amount` of a calendar or UCUM unit of time (N1 section 6.6.7): whole years and
/// months move the calendar; a unit finer than the date's precision moves it by whole parts.
/// `Err` for a unit that is none of time, `Ok(None)` outside the years 1 to 9999.
pub(crate) fn plus(date: &PartialDate, amount: f64, unit: &str) -> Result<Option<PartialDate>, ()> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and is then out of range"
    )]
    let whole = amount.trunc() as i64;
    if let Some(months) = match unit {
        "year" | "a" => Some(12),
        "month" | "mo" => Some(1),
        _ => None,
    } {
        return Ok(whole
            .checked_mul(months)
            .and_then(|months| date.plus_months(months)));
    }
    let millis = millis_of(unit).ok_or(())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and is then out of range"
    )]
    let total = if unit == "second" || unit == "s" {
        (amount * 1000.0).round() as i64
    } else {
        whole.saturating_mul(millis)
    };
    Ok(match date.precision {
        // A year is 365 days and a month 30 for this purpose, as the specification has it.
        Precision::Year => date.plus_months(total / (365 * 86_400_000) * 12),
        Precision::Month => date.plus_months(total / (30 * 86_400_000)),
        Precision::Day => date.plus_millis(total / 86_400_000 * 86_400_000),
        Precision::Hour => date.plus_millis(total / 3_600_000 * 3_600_000),
        Precision::Minute => date.plus_millis(total / 60_000 * 60_000),
        Precision::Second if total % 1000 != 0 => PartialDate {
            precision: Precision::Fraction,
            decimals: 3,
            ..*date
        }
        .plus_millis(total),
        Precision::Second | Precision::Fraction => date.plus_millis(total),
    })
}

/// Milliseconds of a unit of time that has a fixed length.
pub(crate) fn millis_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "week" | "wk" => 7 * 86_400_000,
        "day" | "d" => 86_400_000,
        "hour" | "h" => 3_600_000,
        "minute" | "min" => 60_000,
        "second" | "s" => 1000,
        "millisecond" | "ms" => 1,
        _ => return None,
    })
}
