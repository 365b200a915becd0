//! How far a feed is, in one word that only grows.
//!
//! Numbers begin again with each session. A reader that missed the end of one must not take number 10 of
//! the next for something older than number 900 of the last.

/// Sessions that have ended, the number of the last message in this one, and whether that message caused it or
/// something did that came after it. Later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

/// Bits of a number, the lowest of them for what comes after its message: at ten million messages a second
/// they last for 162 days.
const SEQ_BITS: u32 = 48;
const SEQ_MAX: u64 = (1 << (SEQ_BITS - 1)) - 1;

impl Position {
    /// The position of a number. `ended`: sessions before this one; 65,536 of them are told apart.
    #[inline]
    #[must_use]
    pub fn new(ended: u64, seq: u64) -> Self {
        Self(ended << SEQ_BITS | seq.min(SEQ_MAX) << 1)
    }

    /// The place between a number's message and the next: of what no message caused.
    #[inline]
    #[must_use]
    pub fn after(ended: u64, seq: u64) -> Self {
        Self(Self::new(ended, seq).0 | 1)
    }

    /// The number in its session; 0: none of it yet.
    #[inline]
    #[must_use]
    pub fn seq(self) -> u64 {
        (self.0 >> 1) & SEQ_MAX
    }

    /// Sessions that ended before.
    #[inline]
    #[must_use]
    pub fn ended(self) -> u64 {
        self.0 >> SEQ_BITS
    }

    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn of_word(word: u64) -> Self {
        Self(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_number_of_a_session_is_later_than_the_last_of_the_one_before() {
        let (old, new) = (Position::new(0, 1 << 60), Position::new(1, 1));
        assert!(old < new && Position::new(1, 0) < new);
        assert!(new < Position::after(1, 1) && Position::after(1, 1) < Position::new(1, 2));
        assert_eq!(Position::after(1, 1).seq(), 1);
        assert_eq!((new.ended(), new.seq()), (1, 1));
    }
}
