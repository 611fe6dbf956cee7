//! Surrogate ids: time-ordered, so that pages come in order of creation straight from an index.
//!
//! 41 bits of milliseconds, 18 bits that count up from a random start in each process (two
//! processes that write in the same millisecond almost never meet; if they do, the primary key
//! says so and the write is tried again), 4 bits of rendition.

use std::sync::Mutex;

use rand::Rng as _;

use crate::clock;
use crate::visibility::predicate::RENDITION_MASK;

const COUNTER_BITS: u32 = 18;
const RENDITION_BITS: u32 = 4;
/// 2020-01-01T00:00:00Z, in ms: 41 bits from here last until 2089.
const EPOCH: i64 = 1_577_836_800_000;

struct Mint {
    last: i64,
    counter: i64,
}

static MINT: Mutex<Option<Mint>> = Mutex::new(None);

/// A fresh surrogate id of a resource as written (rendition 0). Grows within a process.
pub(super) fn mint() -> i64 {
    let mut guard = match MINT.lock() {
        Ok(guard) => guard,
        // A panic elsewhere cannot leave the two numbers inconsistent.
        Err(poisoned) => poisoned.into_inner(),
    };
    let mint = guard.get_or_insert_with(|| Mint {
        last: 0,
        counter: i64::from(rand::rng().next_u32()),
    });
    mint.counter = mint.counter.wrapping_add(1);
    let low = mint.counter & ((1 << COUNTER_BITS) - 1);
    // The machine's clock on purpose, also under a test clock: the order of creation is real.
    let at = ((clock::machine_now() - EPOCH) << COUNTER_BITS) | low;
    mint.last = at.max(mint.last + 1);
    mint.last << RENDITION_BITS
}

/// The surrogate id of a resource's base, whatever rendition `id` is.
#[must_use]
pub(super) fn base_of(id: i64) -> i64 {
    id & !RENDITION_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_leave_room_for_renditions() {
        let ids: Vec<i64> = (0..100_000).map(|_| mint()).collect();
        assert!(
            ids.windows(2)
                .all(|pair| pair[0] + RENDITION_MASK < pair[1])
        );
        assert!(
            ids.iter()
                .all(|id| base_of(*id) == *id && base_of(*id | 7) == *id)
        );
    }
}
