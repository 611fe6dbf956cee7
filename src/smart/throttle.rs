//! Slows guessing down, without letting anybody lock somebody else out.
//!
//! Failures are counted for a name at an address, and for an address. Both lead to waiting times that
//! double; a third party who fails on purpose at their own address leaves the owner's alone. Counts
//! are in memory, bounded, and forgotten after an hour without a failure or a restart.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::clock::Millis;

/// Failures that are free: people mistype.
const FREE_BY_NAME: u32 = 5;
/// A hospital's ward may sit behind one address.
const FREE_BY_ADDRESS: u32 = 50;
const LONGEST_WAIT: Millis = 15 * 60 * 1000;
const FORGOTTEN_AFTER: Millis = 60 * 60 * 1000;
const MOST_ENTRIES: usize = 100_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Millis,
    until: Millis,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Throttle {
    counts: Mutex<HashMap<u64, Count>>,
    hasher: RandomState,
}

impl Throttle {
    /// How long this name at this address has to wait still; none: it may try.
    #[must_use]
    pub fn wait(&self, name: &str, address: Option<IpAddr>, now: Millis) -> Option<Millis> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys(name, address)
            .filter_map(|(key, _)| counts.get(&key))
            .map(|count| count.until.saturating_sub(now))
            .filter(|wait| *wait > 0)
            .max()
    }

    /// Counts a failure.
    pub fn failed(&self, name: &str, address: Option<IpAddr>, now: Millis) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST_ENTRIES {
            counts.retain(|_, count| now.saturating_sub(count.last) < FORGOTTEN_AFTER);
        }
        if counts.len() >= MOST_ENTRIES {
            // A flood of invented names: keep those that were tried more than in passing.
            counts.retain(|_, count| count.failures > 1);
        }
        if counts.len() >= MOST_ENTRIES {
            counts.clear();
        }
        for (key, free) in self.keys(name, address) {
            let count = counts.entry(key).or_insert(Count {
                failures: 0,
                last: now,
                until: 0,
            });
            if now.saturating_sub(count.last) >= FORGOTTEN_AFTER {
                count.failures = 0;
            }
            count.failures = count.failures.saturating_add(1);
            count.last = now;
            count.until = now.saturating_add(wait_after(count.failures, free));
        }
    }

    /// Forgets the failures of a name at an address, after it proved itself.
    pub fn succeeded(&self, name: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&self.key(name, address));
    }

    fn keys(&self, name: &str, address: Option<IpAddr>) -> impl Iterator<Item = (u64, u32)> {
        // Without an address everybody would share one count.
        let of_address = address.map(|_| (self.key("", address), FREE_BY_ADDRESS));
        [(self.key(name, address), FREE_BY_NAME)]
            .into_iter()
            .chain(of_address)
    }

    fn key(&self, name: &str, address: Option<IpAddr>) -> u64 {
        // One IPv6 customer has a whole /64.
        let address = address.map(|address| match address {
            IpAddr::V6(six) => u128::from(six) >> 64 << 64,
            IpAddr::V4(four) => u128::from(u32::from(four)),
        });
        self.hasher.hash_one((name.to_lowercase(), address))
    }
}

/// 1 s after the first failure that is not free, then twice as long each time.
fn wait_after(failures: u32, free: u32) -> Millis {
    match failures.checked_sub(free) {
        None | Some(0) => 0,
        Some(more) => 1000_i64
            .saturating_mul(1_i64 << (more - 1).min(20))
            .min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_with_the_one_who_fails() {
        let throttle = Throttle::default();
        let attacker = Some(IpAddr::from([192, 0, 2, 1]));
        let owner = Some(IpAddr::from([192, 0, 2, 2]));
        for _ in 0..5 {
            throttle.failed("ana", attacker, 0);
        }
        assert_eq!(throttle.wait("ana", attacker, 0), None);
        throttle.failed("ANA", attacker, 0);
        assert_eq!(throttle.wait("ana", attacker, 0), Some(1000));
        throttle.failed("ana", attacker, 1000);
        assert_eq!(throttle.wait("ana", attacker, 1000), Some(2000));
        assert_eq!(throttle.wait("ana", attacker, 3000), None);
        assert_eq!(throttle.wait("ana", owner, 0), None);
        for _ in 0..40 {
            throttle.failed("ana", attacker, 3000);
        }
        assert_eq!(throttle.wait("ana", attacker, 3000), Some(LONGEST_WAIT));
        throttle.succeeded("ana", attacker);
        assert_eq!(throttle.wait("ana", attacker, 3000), None);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_too() {
        let throttle = Throttle::default();
        let attacker = Some(IpAddr::from([192, 0, 2, 1]));
        for name in 0..60 {
            throttle.failed(&name.to_string(), attacker, 0);
        }
        assert!(throttle.wait("fresh", attacker, 0).is_some());
    }
}
