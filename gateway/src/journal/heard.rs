//! Which of the exchange's messages have been heard in one of its sessions, and whether one of a known number is the same.
//!
//! When full:   a checksum for each message of journals up to a bound, 256 MiB; beyond it a message is known by its number
//!              alone. Of the run at hand the last [`RECENT`] have one, so memory does not grow while it trades.

use super::format::checksum;
use super::ranges::Ranges;

/// Messages that are kept apart by a checksum of 32 bits: what one session may say in a day, and 256 MiB.
const MESSAGES_MAX: u64 = 1 << 26;
/// Messages of the run at hand that are kept apart by their checksums: 1 MiB a session, and how far an exchange that has lost
/// its last messages may go back for that to be told.
const RECENT: usize = 1 << 18;
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
    /// Of journals.
    sums: Sums,
    /// Numbers beyond those.
    beyond: Ranges,
    /// Of the run at hand.
    live: Option<Live>,
}

impl HeardOnce {
    /// Of a session that is joined while the gateway runs.
    pub(super) fn live() -> Self {
        let mut heard = Self::default();
        heard.go_live();
        heard
    }

    /// What is heard from now on is the run's own, and no journal's.
    pub(super) fn go_live(&mut self) {
        self.live.get_or_insert_with(Live::new);
    }

    /// Messages that are missing between the first and the last of those whose checksums are kept.
    pub(super) fn missing(&self) -> u64 {
        let from_first = self.sums.0.iter().skip_while(|sum| **sum == UNKNOWN);
        from_first.filter(|sum| **sum == UNKNOWN).count() as u64
    }

    /// Takes a message, unless there is one of its number; what it is to what was heard before.
    pub(super) fn take(&mut self, seq: u64, message: &[u8]) -> Story {
        let story = self.sums.story(seq, message);
        if story != Story::New {
            return story;
        }
        if let Some(live) = &mut self.live {
            let is_known = self.beyond.contains(seq);
            return if is_known {
                Story::Known
            } else {
                live.take(seq, message)
            };
        }
        if !self.sums.keep(seq, message) && !self.beyond.insert(seq) {
            return Story::Known;
        }
        Story::New
    }
}

/// The messages of the run at hand: all by their numbers, the last by checksums as well.
#[derive(Debug)]
struct Live {
    numbers: Ranges,
    newest: u64,
    /// Each at the place of its number, round and round.
    sums: Box<[u32]>,
}

impl Live {
    fn new() -> Self {
        Self {
            numbers: Ranges::default(),
            newest: 0,
            // Not zeros: those the kernel would map one by one as they are written, for minutes.
            sums: vec![u32::MAX; RECENT].into_boxed_slice(),
        }
    }

    fn take(&mut self, seq: u64, message: &[u8]) -> Story {
        let is_new = self.numbers.insert(seq);
        self.newest = self.newest.max(seq);
        let is_recent = self.newest - seq < RECENT as u64;
        let place = usize::try_from(seq % RECENT as u64);
        let slot = place.ok().and_then(|place| self.sums.get_mut(place));
        match slot.filter(|_| is_recent) {
            Some(slot) if is_new => *slot = sum(message),
            Some(slot) if *slot != sum(message) => return Story::Differs,
            _ => {}
        }
        if is_new { Story::New } else { Story::Known }
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

    #[test]
    fn run_at_hand_knows_its_last_messages_and_the_numbers_of_all() {
        let mut heard = HeardOnce::default();
        assert_eq!(heard.take(1, b"one"), Story::New);
        assert_eq!(heard.take(3, b"three"), Story::New);
        heard.go_live();
        assert_eq!(heard.take(1, b"one"), Story::Known);
        assert_eq!(heard.take(3, b"free"), Story::Differs, "a journal has it");
        assert_eq!(heard.take(2, b"two"), Story::New);
        for seq in 4..=RECENT as u64 + 4 {
            assert_eq!(heard.take(seq, &seq.to_be_bytes()), Story::New);
        }
        let (first, last) = (5, RECENT as u64 + 4);
        for seq in [first, first + 1, last - 1, last] {
            assert_eq!(heard.take(seq, &seq.to_be_bytes()), Story::Known, "{seq}");
            assert_eq!(heard.take(seq, b"else"), Story::Differs, "{seq}");
        }
        assert_eq!(heard.take(4, b"else"), Story::Known, "by its number alone");
        assert_eq!(heard.take(u64::MAX, b"wild"), Story::New);
        assert_eq!(heard.take(u64::MAX, b"mild"), Story::Differs);
        assert_eq!(heard.take(last, b"else"), Story::Known);
    }

    #[test]
    fn memory_does_not_follow_the_messages_of_the_run() {
        let mut heard = HeardOnce::live();
        for seq in 1..=1_000_000_u64 {
            heard.take(seq, &seq.to_be_bytes());
        }
        assert!(heard.sums.is_empty() && heard.missing() == 0);
        assert_eq!(heard.live.unwrap().sums.len(), RECENT);
    }
}
