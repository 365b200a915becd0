//! Finds an order's place by one of its numbers.
//!
//! ```text
//!  key --hash--> home ... key itself, or a vacancy that proves it is not here
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  at least half of the entries are vacant, so every search ends. Between a key's home and
//!              its entry there is no vacancy: removing closes the row up, nothing is left behind.
//! When full:   `insert` says so; the owner grows the index between packets or refuses.

use rt::mem::prefetch;

/// No order is there.
const VACANT: u32 = u32::MAX;
/// 2^64 divided by the golden ratio: numbers that follow one another land far apart (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    place: u32,
}

/// Why a key could not be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotNoted {
    /// It is there already.
    Known,
    /// There is no room for another key.
    Full,
}

/// Why an order could not be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// Its strategy's number for it is a live order's.
    IdIsLive,
    /// Its number is a live order's.
    NumberIsLive,
    /// There is no room.
    Full,
}

impl Unplaced {
    pub(super) fn of(not_noted: NotNoted) -> Self {
        match not_noted {
            NotNoted::Known => Self::NumberIsLive,
            NotNoted::Full => Self::Full,
        }
    }
}

/// Places by key.
#[derive(Debug)]
pub(super) struct Index {
    entries: Box<[Entry]>,
    len: usize,
}

impl Index {
    /// Room for `keys` keys.
    pub(super) fn new(keys: usize) -> Self {
        let vacant = Entry {
            key: 0,
            place: VACANT,
        };
        let entries = vec![vacant; (keys.max(1) * 2).next_power_of_two()];
        assert!(entries.len() >= 2, "the hash keeps at least one bit");
        Self {
            entries: entries.into_boxed_slice(),
            len: 0,
        }
    }

    /// The place of a key.
    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<u32> {
        let entry = self.entries.get(self.find(key)?)?;
        Some(entry.place)
    }

    /// Notes where a key's order is.
    ///
    /// # Errors
    /// The key is known, or half of the entries are taken; nothing has changed then.
    #[inline]
    pub(super) fn insert(&mut self, key: u64, place: u32) -> Result<(), NotNoted> {
        debug_assert_ne!(place, VACANT, "no order has this place");
        if self.len * 2 >= self.entries.len() {
            return Err(NotNoted::Full);
        }
        let mut at = self.home(key);
        while let Some(entry) = self.entries.get_mut(at) {
            if entry.place == VACANT {
                *entry = Entry { key, place };
                self.len += 1;
                return Ok(());
            }
            if entry.key == key {
                return Err(NotNoted::Known);
            }
            at = self.after(at);
        }
        Err(NotNoted::Full)
    }

    /// Forgets a key.
    #[inline]
    pub(super) fn remove(&mut self, key: u64) {
        let Some(mut hole) = self.find(key) else {
            return;
        };
        self.len -= 1;
        let mut at = self.after(hole);
        while let Some(entry) = self.entries.get(at).filter(|entry| entry.place != VACANT) {
            // It may move up unless its home lies behind the hole, seen along the row.
            let from_home = self.distance(self.home(entry.key), at);
            if from_home >= self.distance(hole, at) {
                self.put(hole, *entry);
                hole = at;
            }
            at = self.after(at);
        }
        self.put(
            hole,
            Entry {
                key: 0,
                place: VACANT,
            },
        );
    }

    /// Brings a key's home near.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        if let Some(entry) = self.entries.get(self.home(key)) {
            prefetch(entry);
        }
    }

    #[inline]
    fn put(&mut self, at: usize, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(at) {
            *slot = entry;
        }
    }

    /// Where a key is. Ends at a vacancy, and half of the entries are vacant.
    #[inline]
    fn find(&self, key: u64) -> Option<usize> {
        let mut at = self.home(key);
        while let Some(entry) = self.entries.get(at).filter(|entry| entry.place != VACANT) {
            if entry.key == key {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        spread(key, self.entries.len())
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// Steps from one entry to another along the row.
    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }
}

/// Where a key belongs among `places`, which are a power of two and more than one.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is left after the shift is below the number of places"
)]
pub(super) fn spread(key: u64, places: usize) -> usize {
    debug_assert!(places.is_power_of_two() && places > 1);
    (key.wrapping_mul(SPREAD) >> (u64::BITS - places.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn random_keys_are_found_as_a_sorted_map_finds_them() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut index = Index::new(64);
            let mut naive = BTreeMap::new();
            let stride = [1, 64, 1 << 20, 1 << 40][random.usize(0..4)];
            for step in 0..2_000 {
                let key = random.u64(0..100).wrapping_mul(stride);
                if random.bool() {
                    let is_new = naive.len() < 64 && !naive.contains_key(&key);
                    assert_eq!(index.insert(key, step).is_ok(), is_new, "seed {seed}");
                    if is_new {
                        naive.insert(key, step);
                    }
                } else {
                    index.remove(key);
                    naive.remove(&key);
                }
                for number in 0..100u64 {
                    let key = number.wrapping_mul(stride);
                    assert_eq!(index.get(key), naive.get(&key).copied(), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn full_index_says_so_and_a_removed_key_makes_room() {
        let mut index = Index::new(2);
        assert_eq!(index.insert(1, 0), Ok(()));
        assert_eq!(index.insert(1, 1), Err(NotNoted::Known));
        assert_eq!(index.insert(2, 1), Ok(()));
        assert_eq!(index.insert(3, 2), Err(NotNoted::Full));
        index.remove(1);
        assert_eq!(index.insert(3, 2), Ok(()));
        assert_eq!((index.get(1), index.get(3)), (None, Some(2)));
    }
}
