//! The states whose law can apply, and the zone that most of each one lives in.

/// Two letters, IANA zone. Where a state has two zones, `release.timezone` tells which.
const STATES: &[(&str, &str)] = &[
    ("AK", "America/Anchorage"),
    ("AL", "America/Chicago"),
    ("AR", "America/Chicago"),
    ("AS", "Pacific/Pago_Pago"),
    ("AZ", "America/Phoenix"),
    ("CA", "America/Los_Angeles"),
    ("CO", "America/Denver"),
    ("CT", "America/New_York"),
    ("DC", "America/New_York"),
    ("DE", "America/New_York"),
    ("FL", "America/New_York"),
    ("GA", "America/New_York"),
    ("GU", "Pacific/Guam"),
    ("HI", "Pacific/Honolulu"),
    ("IA", "America/Chicago"),
    ("ID", "America/Boise"),
    ("IL", "America/Chicago"),
    ("IN", "America/Indiana/Indianapolis"),
    ("KS", "America/Chicago"),
    ("KY", "America/New_York"),
    ("LA", "America/Chicago"),
    ("MA", "America/New_York"),
    ("MD", "America/New_York"),
    ("ME", "America/New_York"),
    ("MI", "America/Detroit"),
    ("MN", "America/Chicago"),
    ("MO", "America/Chicago"),
    ("MP", "Pacific/Guam"),
    ("MS", "America/Chicago"),
    ("MT", "America/Denver"),
    ("NC", "America/New_York"),
    ("ND", "America/Chicago"),
    ("NE", "America/Chicago"),
    ("NH", "America/New_York"),
    ("NJ", "America/New_York"),
    ("NM", "America/Denver"),
    ("NV", "America/Los_Angeles"),
    ("NY", "America/New_York"),
    ("OH", "America/New_York"),
    ("OK", "America/Chicago"),
    ("OR", "America/Los_Angeles"),
    ("PA", "America/New_York"),
    ("PR", "America/Puerto_Rico"),
    ("RI", "America/New_York"),
    ("SC", "America/New_York"),
    ("SD", "America/Chicago"),
    ("TN", "America/Chicago"),
    ("TX", "America/Chicago"),
    ("UT", "America/Denver"),
    ("VA", "America/New_York"),
    ("VI", "America/St_Thomas"),
    ("VT", "America/New_York"),
    ("WA", "America/Los_Angeles"),
    ("WI", "America/Chicago"),
    ("WV", "America/New_York"),
    ("WY", "America/Denver"),
];

/// Whether these are the two letters of a state, a territory or the District of Columbia.
#[must_use]
pub(super) fn is_state(letters: &str) -> bool {
    STATES.iter().any(|(state, _)| *state == letters)
}

/// The zone of a jurisdiction (`US-TX`); that of the east where none is named.
#[must_use]
pub(super) fn zone_of(jurisdiction: &str) -> &'static str {
    let letters = jurisdiction.strip_prefix("US-").unwrap_or_default();
    let found = STATES.iter().find(|(state, _)| *state == letters);
    found.map_or("America/New_York", |(_, zone)| zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_zone_that_exists() {
        for (state, zone) in STATES {
            assert!(jiff::tz::TimeZone::get(zone).is_ok(), "{state}: {zone}");
        }
        assert_eq!(zone_of("US-TX"), "America/Chicago");
        assert_eq!(zone_of("US"), "America/New_York");
    }
}
