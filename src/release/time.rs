//! FHIR times and the arithmetic of delays.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::clock::Millis;

/// Which end of a partial date is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Its first instant.
    Start,
    /// The first instant after it: FHIR counts the whole last day into a period.
    End,
}

/// The instant of a FHIR date, dateTime or instant. Dates without a time are those of `zone`.
pub(crate) fn millis(text: &str, zone: &TimeZone, edge: Edge) -> Option<Millis> {
    if text.contains('T') {
        return text
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_millisecond);
    }
    let mut parts = text.split('-');
    let year: i16 = parts.next()?.parse().ok()?;
    let month: Option<i8> = parts.next().map(str::parse).transpose().ok()?;
    let day: Option<i8> = parts.next().map(str::parse).transpose().ok()?;
    let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
    let date = match (edge, month, day) {
        (Edge::Start, ..) => first,
        (Edge::End, None, _) => first.checked_add(1.year()).ok()?,
        (Edge::End, Some(_), None) => first.checked_add(1.month()).ok()?,
        (Edge::End, Some(_), Some(_)) => first.tomorrow().ok()?,
    };
    start_of(date, zone)
}

/// When a statutory delay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// `finalizedAt+72h`
    Hours(i64),
    /// `localStartOfDay(finalizedAt.date + 3d)`
    LocalDays(i64),
}

impl Until {
    /// Reads `until.calc` of a rule.
    pub(crate) fn parse(calc: &str) -> Option<Self> {
        let compact: String = calc.split_whitespace().collect();
        if let Some(hours) = compact
            .strip_prefix("finalizedAt+")
            .and_then(|x| x.strip_suffix('h'))
        {
            return hours
                .parse()
                .ok()
                .filter(|hours| *hours > 0)
                .map(Self::Hours);
        }
        let days = compact
            .strip_prefix("localStartOfDay(finalizedAt.date+")?
            .strip_suffix("d)")?;
        days.parse()
            .ok()
            .filter(|days| *days > 0)
            .map(Self::LocalDays)
    }

    /// The first instant after the delay of something finalised at `finalized`.
    pub(crate) fn from(self, finalized: Millis, zone: &TimeZone) -> Option<Millis> {
        match self {
            Self::Hours(hours) => finalized.checked_add(hours.checked_mul(3_600_000)?),
            Self::LocalDays(days) => {
                let at = Timestamp::from_millisecond(finalized)
                    .ok()?
                    .to_zoned(zone.clone());
                start_of(at.date().checked_add(days.days()).ok()?, zone)
            }
        }
    }
}

/// The first instant of a local day, also where the clocks change at midnight.
fn start_of(date: Date, zone: &TimeZone) -> Option<Millis> {
    let day = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    Some(day.timestamp().as_millisecond())
}
