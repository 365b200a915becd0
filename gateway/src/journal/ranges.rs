//! A set of numbers that come almost in order, as ranges.
//!
//! When full:   memory follows the holes between them, not the numbers.

use std::collections::BTreeMap;

/// The set.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// The last number of each range, by its first. Between two ranges there is a hole.
    last: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Takes a number; `false`: it was there.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let below = self.below(number);
        if below.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let above = number
            .checked_add(1)
            .and_then(|next| self.last.remove(&next));
        let first = match below {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        self.last.insert(first, above.unwrap_or(number));
        true
    }

    /// Whether a number is there.
    pub(super) fn contains(&self, number: u64) -> bool {
        self.below(number).is_some_and(|(_, last)| last >= number)
    }

    /// The last range that begins at a number or below.
    fn below(&self, number: u64) -> Option<(u64, u64)> {
        let below = self.last.range(..=number).next_back();
        below.map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_hold_what_a_set_holds_and_meet_where_a_hole_is_filled() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for _ in 0..random.usize(1..60) {
                let number = random.u64(0..40);
                assert_eq!(ranges.contains(number), set.contains(&number));
                assert_eq!(ranges.insert(number), set.insert(number));
            }
            let begins = |number: &&u64| **number == 0 || !set.contains(&(**number - 1));
            assert_eq!(ranges.last.len(), set.iter().filter(begins).count());
        }
    }

    #[test]
    fn greatest_number_is_one_like_any_other() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(u64::MAX) && !ranges.insert(u64::MAX));
        assert!(ranges.insert(u64::MAX - 1) && ranges.last.len() == 1);
    }
}
