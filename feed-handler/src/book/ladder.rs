//! Ladders: the sorted prices of one side of one symbol, the best at the end.
//!
//! ```text
//!  bids   90 | 95 | 99      asks   !105 | !102 | !101      (asks are stored inverted)
//!  entry = price key in the high half, level handle in the low half
//! ```
//!
//! Most changes are near the best price, so a search from the end meets its entry in the first cache
//! line, and an insertion moves few entries.
//!
//! Thread:      feed core, hot
//! Invariants:  entries ascend strictly by key. A ladder lives in a slab of 8, 16, 32 ... entries of
//!              one arena; when it outgrows the slab it moves to one twice as large, and stays there:
//!              the slab left behind is for others that grow to its size.
//! When full:   `find_or_insert` gives `None`, and nothing has changed.

use std::hint::select_unpredictable;
use std::io;

use protocol::types::Side;
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

use super::orders::NONE;

/// Entries of the smallest slab.
const SLAB_MIN: usize = 8;
/// Sizes of slabs: 8 << 12 = 32,768 prices on one side of one symbol.
const CLASSES: usize = 13;

/// One side of one symbol.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub(super) struct Ladder {
    start: u32,
    /// Level of the best price, `NONE` when there is none: saves the look into the arena.
    best: u32,
    len: u16,
    /// Size of the slab plus one; 0: no slab yet.
    class: u8,
    _pad: u8,
}

impl Ladder {
    #[inline]
    pub(super) fn best(&self) -> u32 {
        self.best
    }
}

#[derive(Debug)]
pub(super) struct Ladders {
    arena: Pages<u64>,
    used: usize,
    /// First free slab of each size; a free slab's first entry is the next one's start plus one.
    free: [u64; CLASSES],
}

/// The level handle of an entry.
#[inline]
pub(super) fn level_of(entry: u64) -> u32 {
    // The half that is left fits.
    u32::try_from(entry & u64::from(u32::MAX)).unwrap_or(NONE)
}

/// Orders prices so that a better one is larger.
#[inline]
fn key(side: Side, price: u32) -> u64 {
    let key = if side == Side::Buy { price } else { !price };
    u64::from(key) << 32
}

impl Ladders {
    /// Four entries for each of `levels_max` prices: a slab when it is new is half full, as much again
    /// was left behind on the way to it, and a side with one price has a slab of eight. Sides that once had
    /// many more prices than now keep theirs, so the arena may be used up before the levels are.
    pub(super) fn new(levels_max: u32, want: Want) -> io::Result<Self> {
        let entries = (levels_max as usize) * 4 + SLAB_MIN;
        Ok(Self {
            arena: Pages::zeroed(entries, want)?,
            used: 0,
            free: [0; CLASSES],
        })
    }

    pub(super) fn entries(&self, ladder: &Ladder) -> &[u64] {
        let start = ladder.start as usize;
        &self.arena[start..start + usize::from(ladder.len)]
    }

    /// Where a ladder's best price lies; anywhere, where it has none.
    #[inline]
    pub(super) fn end(&self, ladder: &Ladder) -> *const u64 {
        let end = ladder.start as usize + usize::from(ladder.len);
        self.arena.as_ptr().wrapping_add(end.wrapping_sub(1))
    }

    /// The level at a price, if there is one.
    pub(super) fn find(&self, ladder: &Ladder, side: Side, price: u32) -> Option<u32> {
        let key = key(side, price);
        let entry = self.entries(ladder).get(self.position(ladder, key))?;
        (entry >> 32 == key >> 32).then_some(level_of(*entry))
    }

    /// The level at a price; `make` gives a new one when there is none.
    #[inline]
    pub(super) fn find_or_insert(
        &mut self,
        ladder: &mut Ladder,
        side: Side,
        price: u32,
        make: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        let key = key(side, price);
        let at = self.position(ladder, key);
        if let Some(entry) = self.entries(ladder).get(at)
            && entry >> 32 == key >> 32
        {
            return Some(level_of(*entry));
        }
        self.make_room(ladder)?;
        let level = make()?;
        let start = ladder.start as usize;
        let len = usize::from(ladder.len);
        debug_assert!(len < capacity(ladder.class) && level != NONE);
        let slab = &mut self.arena[start..=start + len];
        open(slab, at);
        slab[at] = key | u64::from(level);
        debug_assert!(at == 0 || slab[at - 1] < key, "prices ascend");
        debug_assert!(at == len || slab[at + 1] >> 32 > key >> 32, "prices ascend");
        ladder.best = select_unpredictable(at == len, level, ladder.best);
        ladder.len += 1;
        Some(level)
    }

    /// Takes a price out; it is there.
    #[inline]
    pub(super) fn erase(&mut self, ladder: &mut Ladder, side: Side, price: u32) {
        let at = self.position(ladder, key(side, price));
        let start = ladder.start as usize;
        let len = usize::from(ladder.len);
        let slab = &mut self.arena[start..start + len];
        debug_assert_eq!(slab[at] >> 32, key(side, price) >> 32);
        close(slab, at);
        ladder.len -= 1;
        ladder.best = match len {
            1 => NONE,
            _ => level_of(slab[len - 2]),
        };
    }

    /// The index of the first entry whose key is not below `key`, searched from the best.
    #[inline]
    fn position(&self, ladder: &Ladder, key: u64) -> usize {
        let entries = self.entries(ladder);
        let near = entries.len().saturating_sub(SLAB_MIN);
        let (far, near_entries) = entries.split_at(near);
        if far.last().is_some_and(|entry| *entry >= key) {
            return far.partition_point(|entry| *entry < key);
        }
        near + near_entries.iter().filter(|entry| **entry < key).count()
    }

    /// Moves a ladder that fills its slab to a larger one.
    #[inline]
    fn make_room(&mut self, ladder: &mut Ladder) -> Option<()> {
        if usize::from(ladder.len) < capacity(ladder.class) {
            Some(())
        } else {
            self.grow(ladder)
        }
    }

    #[cold]
    fn grow(&mut self, ladder: &mut Ladder) -> Option<()> {
        debug_assert_eq!(usize::from(ladder.len), capacity(ladder.class));
        let class = ladder.class + 1;
        let start = self.acquire(class)?;
        let from = ladder.start as usize;
        self.arena
            .copy_within(from..from + usize::from(ladder.len), start);
        if ladder.class > 0 {
            let free = self.free.get_mut(usize::from(ladder.class) - 1)?;
            self.arena[from] = *free;
            *free = from as u64 + 1;
        }
        ladder.start = u32::try_from(start).ok()?;
        ladder.class = class;
        Some(())
    }

    fn acquire(&mut self, class: u8) -> Option<usize> {
        let free = self.free.get_mut(usize::from(class).checked_sub(1)?)?;
        if let Some(start) = free.checked_sub(1) {
            let start = usize::try_from(start).ok()?;
            *free = self.arena[start];
            return Some(start);
        }
        let start = self.used;
        let end = start + capacity(class);
        if end > self.arena.len() {
            return None;
        }
        self.used = end;
        Some(start)
    }
}

/// Moves every entry from `at` on up by one; the last one's place is free.
#[inline]
fn open(slab: &mut [u64], at: usize) {
    let last = slab.len() - 1;
    let near = last.saturating_sub(SLAB_MIN);
    if last < SLAB_MIN || at < near {
        return slab.copy_within(at..last, at + 1);
    }
    // Near the best price, as most are, with as many steps whatever moves: how far it is cannot be guessed.
    if let Some(entries) = slab.last_chunk_mut::<{ SLAB_MIN + 1 }>() {
        for entry in (0..SLAB_MIN).rev() {
            let moves = near + entry >= at;
            entries[entry + 1] = entries[if moves { entry } else { entry + 1 }];
        }
    }
}

/// Moves every entry behind `at` down by one.
#[inline]
fn close(slab: &mut [u64], at: usize) {
    let near = slab.len().saturating_sub(SLAB_MIN);
    if slab.len() < SLAB_MIN || at < near {
        return slab.copy_within(at + 1.., at);
    }
    if let Some(entries) = slab.last_chunk_mut::<SLAB_MIN>() {
        for entry in 0..SLAB_MIN - 1 {
            let moves = near + entry >= at;
            entries[entry] = entries[if moves { entry + 1 } else { entry }];
        }
    }
}

#[inline]
fn capacity(class: u8) -> usize {
    if class == 0 {
        0
    } else {
        SLAB_MIN << (class - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn agrees_with_a_sorted_map_under_random_use() {
        for side in [Side::Buy, Side::Sell] {
            let mut random = fastrand::Rng::with_seed(5);
            let mut ladders = Ladders::new(4000, Want::LAZY).unwrap();
            let mut ladder = Ladder {
                start: 0,
                best: 0,
                len: 0,
                class: 0,
                _pad: 0,
            };
            let mut model = BTreeMap::new();
            for step in 1..50_000u32 {
                let price = random.u32(1..if step < 20_000 { 3000 } else { 40 });
                if model.remove(&price).is_some() {
                    ladders.erase(&mut ladder, side, price);
                } else {
                    let level = ladders.find_or_insert(&mut ladder, side, price, || Some(step));
                    assert_eq!(level, Some(step));
                    model.insert(price, step);
                    let again = ladders.find_or_insert(&mut ladder, side, price, || None);
                    assert_eq!(again, Some(step));
                }
                let best = match side {
                    Side::Buy => model.last_key_value(),
                    Side::Sell => model.first_key_value(),
                };
                assert_eq!(ladder.best(), best.map_or(NONE, |(_, level)| *level));
            }
            let mut expected: Vec<u32> = model.into_values().collect();
            if side == Side::Sell {
                expected.reverse();
            }
            let found: Vec<u32> = ladders
                .entries(&ladder)
                .iter()
                .map(|entry| level_of(*entry))
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn slab_outgrown_is_used_again() {
        let mut ladders = Ladders::new(8, Want::LAZY).unwrap();
        let mut one = Ladder {
            start: 0,
            best: 0,
            len: 0,
            class: 0,
            _pad: 0,
        };
        for price in 1..=9 {
            assert!(
                ladders
                    .find_or_insert(&mut one, Side::Buy, price, || Some(price))
                    .is_some()
            );
        }
        let used = ladders.used;
        let mut other = Ladder {
            start: 0,
            best: 0,
            len: 0,
            class: 0,
            _pad: 0,
        };
        assert!(
            ladders
                .find_or_insert(&mut other, Side::Buy, 1, || Some(1))
                .is_some()
        );
        assert_eq!(ladders.used, used);
    }

    #[test]
    fn full_arena_refuses_and_changes_nothing() {
        let mut ladders = Ladders::new(2, Want::LAZY).unwrap();
        let mut ladder = Ladder {
            start: 0,
            best: 0,
            len: 0,
            class: 0,
            _pad: 0,
        };
        for price in 1..=8 {
            assert!(
                ladders
                    .find_or_insert(&mut ladder, Side::Buy, price, || Some(price))
                    .is_some()
            );
        }
        assert_eq!(
            ladders.find_or_insert(&mut ladder, Side::Buy, 9, || Some(9)),
            None
        );
        assert_eq!((ladder.best(), ladder.len), (8, 8));
    }
}
