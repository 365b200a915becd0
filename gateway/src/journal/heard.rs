//! Which of the exchange's messages have been heard in one of its sessions, and whether one of a known number is the same.
//!
//! When full:   a checksum for each message up to a bound, 256 MiB; beyond it a message is known by its number alone.

use super::format::checksum;
use super::ranges::Ranges;

/// Messages that are kept apart by a checksum of 32 bits: what one session may say in a day, and 256 MiB.
const MESSAGES_MAX: u64 = 1 << 26;
/// The checksum of a message that no journal has.
const UNKNOWN: u32 = 0;

/// What a message of the exchange's past is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The journal has it, byte for byte.
    Known,
    /// The journal has no message of this number.
    New,
    /// The journal has another one.
    Differs,
}

/// Checksums of one session's messages, each by its number up to [`MESSAGES_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(Vec<u32>);

impl Sums {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a message is to the one of its number.
    pub(super) fn story(&self, seq: u64, message: &[u8]) -> Story {
        match place(seq).and_then(|place| self.0.get(place)) {
            None | Some(&UNKNOWN) => Story::New,
            Some(known) if *known == sum(message) => Story::Known,
            Some(_) => Story::Differs,
        }
    }

    /// Keeps a message, in place of another of its number; `false`: its number is beyond those that are kept.
    pub(super) fn keep(&mut self, seq: u64, message: &[u8]) -> bool {
        let Some(place) = place(seq) else {
            return false;
        };
        if place >= self.0.len() {
            self.0.resize(place + 1, UNKNOWN);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = sum(message);
        }
        true
    }
}

fn place(seq: u64) -> Option<usize> {
    let place = seq.checked_sub(1).filter(|_| seq <= MESSAGES_MAX);
    place.and_then(|place| usize::try_from(place).ok())
}

/// What tells messages apart; never [`UNKNOWN`].
fn sum(message: &[u8]) -> u32 {
    checksum(0, message).max(1)
}

/// The messages of one session.
#[derive(Debug, Default)]
pub(super) struct HeardOnce {
    sums: Sums,
    /// Numbers beyond those.
    beyond: Ranges,
}

impl HeardOnce {
    /// Messages that are missing between the first and the last of those whose checksums are kept.
    pub(super) fn missing(&self) -> u64 {
        let from_first = self.sums.0.iter().skip_while(|sum| **sum == UNKNOWN);
        from_first.filter(|sum| **sum == UNKNOWN).count() as u64
    }

    /// Takes a message, unless there is one of its number; what it is to what was heard before.
    pub(super) fn take(&mut self, seq: u64, message: &[u8]) -> Story {
        let story = self.sums.story(seq, message);
        if story == Story::New && !self.sums.keep(seq, message) && !self.beyond.insert(seq) {
            return Story::Known;
        }
        story
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_known_number_is_the_same_or_another_one() {
        let mut heard = HeardOnce::default();
        assert_eq!(heard.take(3, b"three"), Story::New);
        assert_eq!(
            heard.missing(),
            0,
            "what came before the first is not known to be missing"
        );
        assert_eq!(heard.take(1, b"one"), Story::New);
        assert_eq!(heard.missing(), 1);
        assert_eq!(heard.take(3, b"three"), Story::Known);
        assert_eq!(heard.take(3, b"free"), Story::Differs);
        assert_eq!(heard.take(3, b"three"), Story::Known, "the first one stays");
        assert_eq!(heard.take(2, b"two"), Story::New);
    }

    #[test]
    fn beyond_the_bound_a_number_says_it_all_and_takes_no_memory() {
        let mut heard = HeardOnce::default();
        for seq in [MESSAGES_MAX + 1, u64::MAX, 0] {
            assert_eq!(heard.take(seq, b"one"), Story::New);
            assert_eq!(heard.take(seq, b"another"), Story::Known);
        }
        assert!(heard.sums.is_empty());
    }
}
