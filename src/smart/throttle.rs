//! Slows guessing down, without letting anybody lock somebody else out.
//!
//! Failures are counted for a name at an address. Waiting times double; a third party who fails on
//! purpose at their own address leaves the owner's alone. They are counted for an address as a whole
//! too, for people and for clients apart, against whoever tries many names: that count slows only names
//! that never proved themselves there, and it drains by itself. Counts are in memory, bounded, and
//! forgotten with a restart; what must outlast one is in [`attempts`](super::attempts).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Millis;

/// Failures that are free: people mistype.
const FREE_BY_NAME: u32 = 5;
/// A hospital's ward may sit behind one address.
const FREE_BY_ADDRESS: u32 = 50;
const LONGEST_WAIT: Millis = 15 * 60 * 1000;
/// An address is shared: whoever is new there waits, and not for long.
const LONGEST_WAIT_AT_ADDRESS: Millis = 30 * 1000;
/// One failure of an address is forgotten each time this has passed.
const DRAINED_AFTER: Millis = 30 * 1000;
const FORGOTTEN_AFTER: Millis = 60 * 60 * 1000;
/// How long a name that proved itself at an address is not slowed by others there.
const PROVEN_FOR: Millis = 30 * 24 * 60 * 60 * 1000;
/// Requests of nobody in particular that an address may leave in the database at once, and how soon
/// each makes room for another.
const MOST_REQUESTS: u32 = 300;
const REQUEST_DRAINED_AFTER: Millis = 1000;
const MOST_ENTRIES: usize = 100_000;

/// Who guesses. Clients at an address say nothing about people there, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Person,
    Client,
    /// Activation codes.
    Activation,
    /// Reset links.
    Reset,
    /// Letters that somebody signed in has sent.
    Mail,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Millis,
    until: Millis,
    /// Of a name: whether its last try was counted for the address too.
    is_shared: bool,
}

#[derive(Debug, Default)]
struct Counts {
    names: HashMap<u64, Count>,
    addresses: HashMap<u64, Count>,
    /// When a name last proved itself at an address.
    proven: HashMap<u64, Millis>,
    requests: HashMap<u64, Count>,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Throttle {
    counts: Mutex<Counts>,
    hasher: RandomState,
}

impl Throttle {
    /// How long this name at this address has to wait still; none: it may try.
    #[must_use]
    pub fn wait(
        &self,
        kind: Kind,
        name: &str,
        address: Option<IpAddr>,
        now: Millis,
    ) -> Option<Millis> {
        self.wait_in(&self.lock(), kind, name, address, false, now)
    }

    /// Counts a failure.
    pub fn failed(&self, kind: Kind, name: &str, address: Option<IpAddr>, now: Millis) {
        self.count_in(&mut self.lock(), kind, name, address, false, now);
    }

    /// Counts a failure ahead of a try, so that many tries at once are not one. Give it back with
    /// [`succeeded`](Self::succeeded) or [`undone`](Self::undone).
    ///
    /// `is_known`: whether it is known otherwise that the name belongs to this address.
    ///
    /// # Errors
    /// How long to wait; then nothing was counted.
    pub fn reserve(
        &self,
        kind: Kind,
        name: &str,
        address: Option<IpAddr>,
        is_known: bool,
        now: Millis,
    ) -> Result<(), Millis> {
        let mut counts = self.lock();
        match self.wait_in(&counts, kind, name, address, is_known, now) {
            Some(wait) => Err(wait),
            None => {
                self.count_in(&mut counts, kind, name, address, is_known, now);
                Ok(())
            }
        }
    }

    /// Gives back what was reserved: the try said nothing about the name.
    pub fn undone(&self, kind: Kind, name: &str, address: Option<IpAddr>, now: Millis) {
        let mut counts = self.lock();
        let of_name = counts.names.get_mut(&self.key(kind, name, address));
        if let Some(count) = of_name {
            take_back(count, FREE_BY_NAME, LONGEST_WAIT, now);
            if count.is_shared {
                self.take_back_at_address(&mut counts, kind, address, now);
            }
        }
    }

    /// Forgets the failures of a name at an address, after it proved itself there.
    pub fn succeeded(&self, kind: Kind, name: &str, address: Option<IpAddr>, now: Millis) {
        let key = self.key(kind, name, address);
        let mut counts = self.lock();
        if counts.names.remove(&key).is_some_and(|own| own.is_shared) {
            self.take_back_at_address(&mut counts, kind, address, now);
        }
        make_room(&mut counts.proven, now, |at| *at, PROVEN_FOR);
        counts.proven.insert(key, now);
    }

    /// How often a name failed at an address, in a row.
    #[must_use]
    pub fn failures(&self, kind: Kind, name: &str, address: Option<IpAddr>) -> u32 {
        let counts = self.lock();
        let count = counts.names.get(&self.key(kind, name, address));
        count.map_or(0, |count| count.failures)
    }

    /// Whether somebody of whom nothing is known may have one more row written.
    #[must_use]
    pub fn spend_request(&self, address: Option<IpAddr>, now: Millis) -> bool {
        // Without an address everybody would share one count.
        if address.is_none() {
            return true;
        }
        let key = self.key(Kind::Person, "", address);
        let mut counts = self.lock();
        make_room(
            &mut counts.requests,
            now,
            |count| count.last,
            Millis::from(MOST_REQUESTS) * REQUEST_DRAINED_AFTER,
        );
        let count = counts
            .requests
            .entry(key)
            .or_insert_with(|| Count::new(now));
        drain(count, REQUEST_DRAINED_AFTER, now);
        if count.failures >= MOST_REQUESTS {
            return false;
        }
        count.failures += 1;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_in(
        &self,
        counts: &Counts,
        kind: Kind,
        name: &str,
        address: Option<IpAddr>,
        is_known: bool,
        now: Millis,
    ) -> Option<Millis> {
        let key = self.key(kind, name, address);
        let of_name = counts
            .names
            .get(&key)
            .and_then(|count| remaining(count, LONGEST_WAIT, now));
        let is_known = is_known || is_proven(counts, key, now);
        let of_address = counts
            .addresses
            .get(&self.key(kind, "", address))
            .filter(|_| !is_known && address.is_some())
            .and_then(|count| remaining(count, LONGEST_WAIT_AT_ADDRESS, now));
        of_name.max(of_address)
    }

    fn count_in(
        &self,
        counts: &mut Counts,
        kind: Kind,
        name: &str,
        address: Option<IpAddr>,
        is_known: bool,
        now: Millis,
    ) {
        let key = self.key(kind, name, address);
        // Without an address everybody would share one count; and whom it does not slow, the count of
        // an address does not count.
        let is_shared = address.is_some() && !is_known && !is_proven(counts, key, now);
        make_room(&mut counts.names, now, |count| count.last, FORGOTTEN_AFTER);
        if counts.names.len() + 1 >= MOST_ENTRIES {
            // A flood of invented names: keep those that were tried more than in passing.
            counts.names.retain(|_, count| count.failures > 1);
        }
        let of_name = counts.names.entry(key).or_insert_with(|| Count::new(now));
        if now.saturating_sub(of_name.last) >= FORGOTTEN_AFTER {
            of_name.failures = 0;
        }
        add(of_name, FREE_BY_NAME, LONGEST_WAIT, now);
        of_name.is_shared = is_shared;
        if !is_shared {
            return;
        }
        make_room(
            &mut counts.addresses,
            now,
            |count| count.last,
            FORGOTTEN_AFTER,
        );
        let of_address = counts
            .addresses
            .entry(self.key(kind, "", address))
            .or_insert_with(|| Count::new(now));
        drain(of_address, DRAINED_AFTER, now);
        let since = of_address.last;
        add(of_address, FREE_BY_ADDRESS, LONGEST_WAIT_AT_ADDRESS, now);
        // What is left of a step of draining is not lost by failing again.
        of_address.last = since;
    }

    fn take_back_at_address(
        &self,
        counts: &mut Counts,
        kind: Kind,
        address: Option<IpAddr>,
        now: Millis,
    ) {
        if let Some(count) = counts.addresses.get_mut(&self.key(kind, "", address)) {
            take_back(count, FREE_BY_ADDRESS, LONGEST_WAIT_AT_ADDRESS, now);
        }
    }

    fn key(&self, kind: Kind, name: &str, address: Option<IpAddr>) -> u64 {
        self.hasher.hash_one((kind, name, address.map(network)))
    }
}

/// What counts as one address: one IPv6 customer has a whole /64, and an IPv4 address stays itself on a
/// socket that takes both.
pub(super) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V6(six) => u128::from(six) >> 64 << 64,
        IpAddr::V4(four) => u128::from(u32::from(four)),
    }
}

impl Count {
    fn new(now: Millis) -> Self {
        Self {
            failures: 0,
            last: now,
            until: 0,
            is_shared: false,
        }
    }
}

fn add(count: &mut Count, free: u32, longest: Millis, now: Millis) {
    count.failures = count.failures.saturating_add(1);
    count.last = now;
    count.until = match wait_after(count.failures, free, longest) {
        0 => 0,
        wait => now.saturating_add(wait),
    };
}

/// How long to wait still. Where the clock was set back, nobody waits for what has not happened yet.
fn remaining(count: &Count, longest: Millis, now: Millis) -> Option<Millis> {
    let wait = count.until.saturating_sub(now);
    let is_past = count.last <= now.saturating_add(longest);
    (is_past && wait > 0).then_some(wait.min(longest))
}

fn is_proven(counts: &Counts, key: u64, now: Millis) -> bool {
    let at = counts.proven.get(&key);
    at.is_some_and(|at| now.saturating_sub(*at) < PROVEN_FOR)
}

fn take_back(count: &mut Count, free: u32, longest: Millis, now: Millis) {
    count.failures = count.failures.saturating_sub(1);
    count.until = match wait_after(count.failures, free, longest) {
        0 => 0,
        wait => count.until.min(now.saturating_add(wait)),
    };
}

/// Forgets one failure for each `step` that has passed; the rest of a step stays.
fn drain(count: &mut Count, step: Millis, now: Millis) {
    // A clock that was set back drains from there on.
    count.last = count.last.min(now);
    let steps = now.saturating_sub(count.last) / step;
    count.failures = count
        .failures
        .saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
    count.last = if count.failures == 0 {
        now
    } else {
        count.last.saturating_add(steps.saturating_mul(step))
    };
}

/// Keeps a map below its bound: what is older than `life` goes first, then all of it.
fn make_room<V>(map: &mut HashMap<u64, V>, now: Millis, last: impl Fn(&V) -> Millis, life: Millis) {
    if map.len() >= MOST_ENTRIES {
        map.retain(|_, value| now.saturating_sub(last(value)) < life);
    }
    if map.len() >= MOST_ENTRIES {
        map.clear();
    }
}

/// 1 s after the first failure that is not free, then twice as long each time.
fn wait_after(failures: u32, free: u32, longest: Millis) -> Millis {
    match failures.checked_sub(free) {
        None | Some(0) => 0,
        Some(more) => 1000_i64
            .saturating_mul(1_i64 << (more - 1).min(20))
            .min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Kind = Kind::Person;

    fn attacker() -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn waits_grow_and_stay_with_the_one_who_fails() {
        let throttle = Throttle::default();
        let owner = Some(IpAddr::from([192, 0, 2, 2]));
        for _ in 0..5 {
            throttle.failed(PERSON, "ana", attacker(), 0);
        }
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 0), None);
        throttle.failed(PERSON, "ana", attacker(), 0);
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 0), Some(1000));
        throttle.failed(PERSON, "ana", attacker(), 1000);
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 1000), Some(2000));
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 3000), None);
        assert_eq!(throttle.wait(PERSON, "ana", owner, 0), None);
        for _ in 0..40 {
            throttle.failed(PERSON, "ana", attacker(), 3000);
        }
        let longest = throttle.wait(PERSON, "ana", attacker(), 3000);
        assert_eq!(longest, Some(LONGEST_WAIT));
        throttle.succeeded(PERSON, "ana", attacker(), 3000);
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 3000), None);
    }

    #[test]
    fn an_address_that_tries_many_names_slows_only_names_that_are_new_there() {
        let throttle = Throttle::default();
        throttle.succeeded(PERSON, "nurse", attacker(), 0);
        for name in 0..70 {
            throttle.failed(PERSON, &name.to_string(), attacker(), 0);
        }
        let wait = throttle.wait(PERSON, "fresh", attacker(), 0);
        assert_eq!(wait, Some(LONGEST_WAIT_AT_ADDRESS));
        assert_eq!(throttle.wait(PERSON, "nurse", attacker(), 0), None);
        // Known by other means, as by the cookie of a browser.
        let known = throttle.reserve(PERSON, "doctor", attacker(), true, 0);
        assert_eq!(known, Ok(()));
        // Their success gives nobody else a try.
        throttle.succeeded(PERSON, "doctor", attacker(), 0);
        let wait = throttle.wait(PERSON, "fresh", attacker(), 0);
        assert_eq!(wait, Some(LONGEST_WAIT_AT_ADDRESS));
        // Apps at the same address are not people.
        assert_eq!(throttle.wait(Kind::Client, "fresh", attacker(), 0), None);
        // It drains, failure by failure.
        let later = 25 * DRAINED_AFTER;
        assert_eq!(throttle.wait(PERSON, "fresh", attacker(), later), None);
        throttle.failed(PERSON, "other", attacker(), later);
        assert_eq!(throttle.wait(PERSON, "fresh", attacker(), later), None);
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting() {
        let throttle = Throttle::default();
        let later = 90 * 24 * 60 * 60 * 1000;
        assert_eq!(
            throttle.reserve(PERSON, "ana", attacker(), false, later),
            Ok(())
        );
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 0), None);
        throttle.succeeded(PERSON, "ana", attacker(), later);
        for _ in 0..80 {
            throttle.failed(PERSON, "ben", attacker(), later);
        }
        assert_eq!(throttle.wait(PERSON, "ben", attacker(), 0), None);
        assert_eq!(throttle.wait(PERSON, "fresh", attacker(), 0), None);
        let wait = throttle.wait(PERSON, "ben", attacker(), later - 60_000);
        assert_eq!(wait, Some(LONGEST_WAIT));
        while throttle.spend_request(attacker(), later) {}
        assert!(!throttle.spend_request(attacker(), 0));
        assert!(throttle.spend_request(attacker(), REQUEST_DRAINED_AFTER));
    }

    #[test]
    fn an_address_is_a_customer() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }

    #[test]
    fn tries_at_once_are_counted_before_they_are_looked_at() {
        let throttle = Throttle::default();
        let mut admitted = 0;
        for _ in 0..50 {
            let reserved = throttle.reserve(PERSON, "ana", attacker(), false, 0);
            admitted += u32::from(reserved.is_ok());
        }
        assert_eq!(admitted, FREE_BY_NAME + 1);
        // What said nothing about the name is given back.
        throttle.undone(PERSON, "ana", attacker(), 0);
        assert_eq!(throttle.wait(PERSON, "ana", attacker(), 0), None);
        throttle.succeeded(PERSON, "ana", attacker(), 0);
        assert_eq!(throttle.failures(PERSON, "ana", attacker()), 0);
    }

    #[test]
    fn requests_of_nobody_are_budgeted_by_address() {
        let throttle = Throttle::default();
        let spent = (0..MOST_REQUESTS + 10)
            .filter(|_| throttle.spend_request(attacker(), 0))
            .count();
        assert_eq!(spent, 300);
        assert!(throttle.spend_request(Some(IpAddr::from([192, 0, 2, 2])), 0));
        assert!(throttle.spend_request(attacker(), REQUEST_DRAINED_AFTER));
        assert!(!throttle.spend_request(attacker(), REQUEST_DRAINED_AFTER));
    }
}
