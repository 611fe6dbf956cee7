//! The one source of time. Everything that asks "now" asks a [`Clock`]; only this file reads the
//! machine's clock, so that a test (or `--test-clock`) moves the whole server at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Milliseconds since 1970-01-01T00:00:00Z, the store's unit of time.
pub type Millis = i64;

/// Past the end of every hold that has no end.
pub const FOREVER: Millis = i64::MAX;

/// A clock that is the machine's, or one that stands where a test put it.
///
/// Cheap to clone; all clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Fixed>>);

/// Where a test put the clock, and how far it was ever moved forward.
#[derive(Debug)]
struct Fixed {
    now: AtomicI64,
    forward: AtomicI64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that starts at `now` and stands still until [`Clock::set`].
    #[must_use]
    pub fn test(now: Millis) -> Self {
        Self(Some(Arc::new(Fixed {
            now: AtomicI64::new(now),
            forward: AtomicI64::new(0),
        })))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub fn now(&self) -> Millis {
        match &self.0 {
            Some(fixed) => fixed.now.load(Ordering::SeqCst),
            None => Timestamp::now().as_millisecond(),
        }
    }

    /// Puts a test clock to `now`. False, and nothing happens, on the machine's clock.
    #[must_use]
    pub fn set(&self, now: Millis) -> bool {
        self.0.as_ref().is_some_and(|fixed| {
            let before = fixed.now.swap(now, Ordering::SeqCst);
            let forward = now.saturating_sub(before).max(0);
            fixed.forward.fetch_add(forward, Ordering::SeqCst);
            true
        })
    }

    /// A time that only grows, for what waits: it passes while a test clock stands still, leaps when
    /// one is put forward, and is not turned back with it.
    #[must_use]
    pub fn pace(&self) -> Millis {
        let forward = self.0.as_ref();
        let forward = forward.map_or(0, |fixed| fixed.forward.load(Ordering::SeqCst));
        machine_now().saturating_add(forward)
    }

    /// Whether [`Clock::set`] works.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.0.is_some()
    }
}

/// The machine's clock, for what is not part of the record's time: surrogate ids, durations.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the machine's clock"
)]
pub fn machine_now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// A FHIR `instant` in UTC with milliseconds, `2026-11-10T15:00:00.000Z`.
#[must_use]
pub fn instant(at: Millis) -> String {
    match Timestamp::from_millisecond(at) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        // Only FOREVER and its like lie outside jiff's range (years -9999 to 9999).
        Err(_) => "9999-12-31T23:59:59.999Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_not_kept_waiting_by_a_clock_that_is_turned_back() {
        let clock = Clock::test(1_000_000);
        let begun = clock.pace();
        assert!(clock.set(4_600_000));
        let later = clock.pace();
        assert!(later - begun >= 3_600_000);
        assert!(clock.set(0));
        assert!(clock.pace() >= later);
    }
}
