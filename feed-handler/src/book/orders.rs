//! Orders by reference: a hash table from 64-bit references to handles, and the orders.
//!
//! ```text
//!  reference >> 9 -> hash -> a block of 512 slots, one for each of 512 references -> handle -> order
//!                       \-> the blocks to try next
//!
//!  slot:  passed: how many live references have tried it and lie elsewhere (32 bits) | handle (32 bits)
//! ```
//!
//! Exchanges count references up, so those in play stand close together: 512 in a row share a page of
//! memory, where a hash of each would touch a line anywhere. A reference whose slot is taken lies in the
//! same place of another block, and each slot that it tried counts it in `passed`: a search ends where
//! nothing has passed. So nothing is ever moved, no grave is left, and how far references have counted
//! does not matter.
//!
//! Thread:      feed core, hot
//! Invariants:  handle 0 means "none", so zeroed memory is an empty table. There are four slots or more
//!              for each order that may live. `passed` of a slot is exactly the number of live
//!              references that come by it on the way to where they lie.
//! Bounds:      an operation looks at `PROBES_MAX` slots at most. With as many orders as may live, whatever
//!              the pattern of references (counted, in steps, wild, full blocks anywhere), one is found at
//!              the 1.5th slot on average or before, and at the 16th at worst.
//!              (`no_pattern_of_references_makes_searches_long` holds it to that.)
//! When full:   `acquire` gives `None`: no order is free; or, which takes references made for it, no slot
//!              within `PROBES_MAX`.

use std::io;
use std::ops::{Index, IndexMut};

use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

use super::Limits;

/// No order, no level.
pub(super) const NONE: u32 = 0;

/// References that stand together: their slots are a page of 4 KiB.
const GROUP_BITS: u32 = 9;
const GROUP_MASK: u64 = (1 << GROUP_BITS) - 1;
/// Slots for each order. With a quarter of them in use, each slot tried is free three times out of four.
const SLOTS_PER_ORDER: u64 = 4;
/// How many slots a reference may try: that all are taken by chance has a chance of 1 in 4^64.
const PROBES_MAX: usize = 64;
/// A small table has as many blocks still, to draw from.
const SLOTS_MIN: u64 = (PROBES_MAX as u64) << GROUP_BITS;
/// 2^64 divided by the golden ratio: references in even steps spread evenly.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// Another odd number without a pattern (2^64 times the fraction of the square root of 3).
const DRAW: u64 = 0xBB67_AE85_84CA_A73B;

/// The upper half of a slot counts who passed it, the lower is the handle.
const PASSED_ONE: u64 = 1 << 32;
const PASSED: u64 = !(PASSED_ONE - 1);

/// A displayed order in its level's queue.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Order {
    pub(super) reference: u64,
    /// The order before it in the queue, or `NONE`. While free: the next free order.
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) shares: u32,
    pub(super) level: u32,
}

/// The table.
#[derive(Debug)]
pub struct Orders {
    slots: Pages<u64>,
    /// The index of the last slot: slots are a power of two.
    slot_mask: usize,
    /// What takes a hash to its slot.
    hash_shift: u32,
    orders: Pages<Order>,
    free_order: u32,
    orders_used: u32,
    live: u32,
}

impl Orders {
    /// Maps all memory.
    ///
    /// # Errors
    /// The host has not that much.
    pub fn new(limits: &Limits, want: Want) -> io::Result<Self> {
        let slots = Self::slots(limits.orders_max);
        let count =
            usize::try_from(slots).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        assert!(slots.is_power_of_two() && slots >= SLOTS_MIN);
        assert!(slots >= SLOTS_PER_ORDER * u64::from(limits.orders_max));
        Ok(Self {
            slots: Pages::zeroed(count, want)?,
            slot_mask: count - 1,
            hash_shift: u64::BITS - slots.trailing_zeros(),
            orders: Pages::zeroed(limits.orders_max as usize + 1, want)?,
            free_order: NONE,
            orders_used: 1,
            live: 0,
        })
    }

    /// Memory that this many orders take, in bytes.
    pub(super) fn bytes(orders_max: u32) -> u64 {
        Self::slots(orders_max) * 8 + u64::from(orders_max) * size_of::<Order>() as u64
    }

    fn slots(orders_max: u32) -> u64 {
        let slots = SLOTS_PER_ORDER * u64::from(orders_max);
        slots.next_power_of_two().max(SLOTS_MIN)
    }

    pub(super) fn live(&self) -> u32 {
        self.live
    }

    /// The handle of a live reference.
    #[inline]
    #[must_use]
    pub fn find(&self, reference: u64) -> Option<u32> {
        let home = self.home(reference);
        let found = self.slots[home];
        let handle = handle_of(found);
        // Order 0 is nobody's: an empty slot costs no branch of its own.
        if self.orders[handle as usize].reference == reference {
            return (handle != NONE).then_some(handle);
        }
        if found < PASSED_ONE {
            return None;
        }
        self.find_elsewhere(home, reference)
    }

    #[cold]
    fn find_elsewhere(&self, home: usize, reference: u64) -> Option<u32> {
        for slot in self.elsewhere(home, reference) {
            let found = self.slots[slot];
            let handle = handle_of(found);
            if self.orders[handle as usize].reference == reference {
                return (handle != NONE).then_some(handle);
            }
            if found < PASSED_ONE {
                return None;
            }
        }
        None
    }

    /// Where a slot lies.
    #[inline]
    pub(super) fn address(&self, slot: usize) -> *const u64 {
        self.slots.as_ptr().wrapping_add(slot)
    }

    /// Where an order lies.
    #[inline]
    pub(super) fn place(&self, handle: u32) -> *const Order {
        self.orders.as_ptr().wrapping_add(handle as usize)
    }

    /// What lies in a slot; in a reference's own the reference, as a rule, if it is live.
    #[inline]
    pub(super) fn handle_in(&self, slot: usize) -> u32 {
        handle_of(self.slots[slot])
    }

    /// Makes a reference live; the caller knows that it is not. (Inlined always, as `release` is: saving
    /// registers for the cold end took ten instructions a call.)
    #[inline(always)]
    pub fn acquire(&mut self, reference: u64) -> Option<u32> {
        debug_assert_eq!(self.find(reference), None, "the reference is live");
        let home = self.home(reference);
        if handle_of(self.slots[home]) != NONE {
            return self.acquire_elsewhere(home, reference);
        }
        let handle = self.acquire_order(reference)?;
        self.slots[home] |= u64::from(handle);
        Some(handle)
    }

    #[cold]
    fn acquire_elsewhere(&mut self, home: usize, reference: u64) -> Option<u32> {
        let slot = self.slot_elsewhere(home, reference, NONE)?;
        let handle = self.acquire_order(reference)?;
        self.pass(home, slot, reference, PASSED_ONE);
        self.slots[slot] |= u64::from(handle);
        Some(handle)
    }

    /// Forgets a live reference.
    #[inline(always)]
    pub fn release(&mut self, reference: u64, handle: u32) {
        debug_assert_eq!(
            self.find(reference),
            Some(handle),
            "the reference is not live"
        );
        let home = self.home(reference);
        if handle_of(self.slots[home]) == handle {
            self.slots[home] &= PASSED;
        } else {
            self.leave_elsewhere(home, reference, handle);
        }
        self.orders[handle as usize].prev = self.free_order;
        self.free_order = handle;
        self.live -= 1;
    }

    #[cold]
    fn leave_elsewhere(&mut self, home: usize, reference: u64, handle: u32) {
        // It is there: `acquire` put it there, and nothing moves.
        if let Some(slot) = self.slot_elsewhere(home, reference, handle) {
            self.slots[slot] &= PASSED;
            self.pass(home, slot, reference, PASSED_ONE.wrapping_neg());
        }
    }

    /// The slot where a reference belongs. 512 in a row have the slots of one block, in some order.
    #[inline]
    pub(super) fn home(&self, reference: u64) -> usize {
        let hash = (reference >> GROUP_BITS).wrapping_mul(SPREAD);
        let slot = (hash >> self.hash_shift) ^ (reference & GROUP_MASK);
        debug_assert!(slot <= self.slot_mask as u64);
        // Slots are fewer than `usize` can count: see `new`.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let slot = slot as usize;
        slot
    }

    /// The slots that a reference tries after its own: in blocks drawn anew each time. (An even step from
    /// block to block would lead along the blocks that references in even steps have filled.)
    fn elsewhere(&self, home: usize, reference: u64) -> impl Iterator<Item = usize> + use<> {
        let (group, mask) = (reference >> GROUP_BITS, self.slot_mask);
        (1..PROBES_MAX as u64).map(move |nth| {
            let drawn = group.wrapping_add(nth.wrapping_mul(SPREAD));
            let drawn = (drawn ^ drawn >> 30).wrapping_mul(DRAW);
            let drawn = (drawn ^ drawn >> 27).wrapping_mul(SPREAD);
            let block = (drawn >> 32) as usize;
            (home ^ block << GROUP_BITS) & mask
        })
    }

    /// The next slot with this handle.
    fn slot_elsewhere(&self, home: usize, reference: u64, handle: u32) -> Option<usize> {
        let mut slots = self.elsewhere(home, reference);
        slots.find(|slot| handle_of(self.slots[*slot]) == handle)
    }

    /// Tells every slot that a reference comes by on its way that it is there, or is no more.
    fn pass(&mut self, home: usize, to: usize, reference: u64, by: u64) {
        let elsewhere = self.elsewhere(home, reference);
        for slot in std::iter::once(home).chain(elsewhere) {
            if slot == to {
                return;
            }
            let passed = self.slots[slot].wrapping_add(by);
            debug_assert_eq!(
                handle_of(passed),
                handle_of(self.slots[slot]),
                "a count ran over"
            );
            self.slots[slot] = passed;
        }
    }

    #[inline(always)]
    fn acquire_order(&mut self, reference: u64) -> Option<u32> {
        let mut handle = self.free_order;
        if handle == NONE {
            handle = self.orders_used;
            if handle as usize >= self.orders.len() {
                return None;
            }
            self.orders_used += 1;
        } else {
            self.free_order = self.orders[handle as usize].prev;
        }
        self.orders[handle as usize].reference = reference;
        self.live += 1;
        Some(handle)
    }
}

impl Index<u32> for Orders {
    type Output = Order;

    #[inline]
    fn index(&self, handle: u32) -> &Order {
        &self.orders[handle as usize]
    }
}

impl IndexMut<u32> for Orders {
    #[inline]
    fn index_mut(&mut self, handle: u32) -> &mut Order {
        &mut self.orders[handle as usize]
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is the handle"
)]
fn handle_of(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn orders(orders_max: u32) -> Orders {
        let limits = Limits {
            orders_max,
            levels_max: 16,
        };
        Orders::new(&limits, Want::LAZY).unwrap()
    }

    /// The n-th reference of a pattern.
    type Pattern = (&'static str, fn(u64) -> u64);

    /// What exchanges send, and what would hurt a weaker hash.
    const PATTERNS: [Pattern; 11] = [
        ("counted", |n| 34_100_000 + n),
        ("by 2", |n| 2 * n),
        ("by 16", |n| n << 4),
        ("by 4096", |n| n << 12),
        ("by 2^32", |n| n << 32),
        ("by 2^40", |n| n << 40),
        ("IEX", |n| 0x0063_0000_0000_000d + (n << 8 | n >> 12)),
        ("high and low halves", |n| ((n % 1024) << 48) | (n / 1024)),
        ("sixteen each, anywhere", |n| {
            fastrand::Rng::with_seed(n >> 4).u64(..) << 4 | n & 15
        }),
        ("full blocks, anywhere", |n| {
            fastrand::Rng::with_seed(n >> 9).u64(..) << 9 | n & 511
        }),
        ("wild", |n| fastrand::Rng::with_seed(n).u64(..)),
    ];

    /// Slots that a search for the reference looks at.
    fn probes(orders: &Orders, reference: u64) -> usize {
        let handle = orders.find(reference).expect("it lives");
        let home = orders.home(reference);
        let mut slots = std::iter::once(home).chain(orders.elsewhere(home, reference));
        let place = slots.position(|slot| handle_of(orders.slots[slot]) == handle);
        1 + place.expect("it is there")
    }

    /// Nothing is taken and nothing passed.
    fn assert_empty(orders: &Orders) {
        assert_eq!(orders.live(), 0);
        assert!(orders.slots.iter().all(|slot| *slot == 0));
    }

    #[test]
    fn agrees_with_a_map_under_random_use() {
        for (name, reference) in PATTERNS {
            let mut random = fastrand::Rng::with_seed(11);
            let mut orders = orders(500);
            let mut model = HashMap::new();
            for _ in 0..20_000 {
                let reference = reference(random.u64(1..2_000));
                assert_eq!(
                    orders.find(reference),
                    model.get(&reference).copied(),
                    "{name}"
                );
                match model.remove(&reference) {
                    Some(handle) => orders.release(reference, handle),
                    None => match orders.acquire(reference) {
                        Some(handle) => {
                            assert!(model.values().all(|other| *other != handle));
                            model.insert(reference, handle);
                        }
                        None => assert_eq!(model.len(), 500, "{name}"),
                    },
                }
                assert_eq!(orders.live() as usize, model.len());
            }
            for (reference, handle) in model {
                orders.release(reference, handle);
            }
            assert_empty(&orders);
        }
    }

    #[test]
    fn no_pattern_of_references_makes_searches_long() {
        const LIVE: u32 = 1 << 18;
        for (name, reference) in PATTERNS {
            let mut orders = orders(LIVE);
            for n in 1..=u64::from(LIVE) {
                assert!(
                    orders.acquire(reference(n)).is_some(),
                    "{name}: {n} refused"
                );
            }
            let all = (1..=u64::from(LIVE)).map(|n| probes(&orders, reference(n)));
            let (sum, max) = all.fold((0, 0), |(sum, max), n| (sum + n, n.max(max)));
            let mean = sum as f64 / f64::from(LIVE);
            eprintln!("{name}: {mean:.2} slots on average, {max} at most");
            assert!(
                mean < 1.5 && max <= 16,
                "{name}: {mean:.2} slots, {max} at most"
            );
        }
    }

    #[test]
    fn a_million_live_orders_references_from_34_million_to_2_billion_all_are_found() {
        const LIVE: u64 = 1 << 20;
        const LAST: u64 = 2_000_000_000;
        let mut orders = orders(1 << 20);
        let mut random = fastrand::Rng::with_seed(3);
        let mut live = Vec::new();
        let mut reference = 34_100_000;
        while reference < LAST {
            // Bursts of consecutive references, then a leap; a random order makes room for each.
            for reference in reference..reference + 64 {
                if live.len() as u64 == LIVE {
                    let (old, handle) = live.swap_remove(random.usize(0..live.len()));
                    assert_eq!(orders.find(old), Some(handle));
                    orders.release(old, handle);
                    assert_eq!(orders.find(old), None);
                }
                let handle = orders.acquire(reference).expect("there is room");
                live.push((reference, handle));
            }
            reference += random.u64(64..64_000);
        }
        assert_eq!(u64::from(orders.live()), LIVE);
        for (reference, handle) in live {
            assert_eq!(orders.find(reference), Some(handle));
            orders.release(reference, handle);
        }
        assert_empty(&orders);
    }

    #[test]
    fn references_made_to_meet_are_refused_at_the_bound_and_the_others_stay() {
        let mut orders = orders(1 << 10);
        let mut live = Vec::new();
        // One in 32,768 belongs to the first slot.
        for reference in (1..)
            .filter(|group| group << GROUP_BITS != 0)
            .map(|group| group << GROUP_BITS)
        {
            if orders.home(reference) != 0 {
                continue;
            }
            match orders.acquire(reference) {
                Some(handle) => live.push((reference, handle)),
                None => break,
            }
        }
        assert!(live.len() >= PROBES_MAX, "{}", live.len());
        for (reference, handle) in live {
            assert_eq!(orders.find(reference), Some(handle));
            orders.release(reference, handle);
        }
        assert_empty(&orders);
    }

    #[test]
    fn table_full_another_order_is_refused_and_nothing_is_left_of_it() {
        let mut orders = orders(2);
        let handle = orders.acquire(16).unwrap();
        assert!(orders.acquire(u64::MAX).is_some());
        assert_eq!(orders.acquire(32), None);
        assert_eq!((orders.find(32), orders.live()), (None, 2));
        orders.release(16, handle);
        assert_eq!(orders.acquire(32), Some(handle));
    }
}
