//! What one turn of a core was given from outside, value by value: kept while it runs, given again when it is replayed.
//!
//! ```text
//!  open ── time, note, bytes … ── close ──> the turn's bytes, if it is worth keeping            recording
//!  load ── next_time, next, next_bytes … ── is_done                                             playing
//! ```
//!
//! A value is a variable-length number (seven bits a byte, the lowest first): `value << 3 | code`. Code 0 is a time, ns
//! since the one before it; whoever else notes something has a code of its own.
//!
//! Thread:      the one core that owns the turn, hot. Its cells are atomic only so that the stages of that core, which were
//!              made on another thread, may each hold a reference.
//! Invariants:  nothing is noted between two turns. What is read is what was noted, in its order, or the log is astray.
//! When full:   the turn is spoiled, and whoever closes it is told.
//! When wrong:  a value that is asked for and is not the next one: the log is astray, gives nothing more, and time stands.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Bytes that one turn has room for: the most that a stream brings in a turn, and ten thousand reads of the clock.
pub const TURN_BYTES: usize = 48 * 1024;
/// The code of a time.
pub const TIME: u8 = 0;
/// Bits of a code.
const CODE_BITS: u32 = 3;
/// Times and values have this many bits at most.
const VALUE_MAX: u64 = u64::MAX >> CODE_BITS;

/// The turn at hand.
#[derive(Debug)]
pub struct TurnLog {
    bytes: [AtomicU8; TURN_BYTES],
    len: AtomicUsize,
    /// Where reading goes on.
    at: AtomicUsize,
    last_ns: AtomicU64,
    is_open: AtomicBool,
    is_kept: AtomicBool,
    is_spoiled: AtomicBool,
}

impl Default for TurnLog {
    fn default() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; TURN_BYTES],
            len: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            last_ns: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            is_spoiled: AtomicBool::new(false),
        }
    }
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody wants it.
    Idle,
    /// It has this many bytes.
    Kept(usize),
    /// It is wanted, and had no room.
    Spoiled,
}

impl TurnLog {
    /// A turn begins, at this time.
    #[inline]
    pub fn open(&self, turn_ns: u64) {
        self.len.store(0, Relaxed);
        self.last_ns.store(turn_ns, Relaxed);
        self.is_kept.store(false, Relaxed);
        self.is_spoiled.store(false, Relaxed);
        self.is_open.store(true, Relaxed);
    }

    /// It is over; `is_kept`: something has happened in it.
    #[inline]
    pub fn close(&self, is_kept: bool) -> Closed {
        self.is_open.store(false, Relaxed);
        if !is_kept && !self.is_kept.load(Relaxed) {
            return Closed::Idle;
        }
        if self.is_spoiled.load(Relaxed) {
            return Closed::Spoiled;
        }
        Closed::Kept(self.len.load(Relaxed))
    }

    /// Copies the closed turn's bytes; how many fitted.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let len = self.len.load(Relaxed);
        let copied = out.iter_mut().zip(self.bytes.iter().take(len));
        copied
            .map(|(to, from)| *to = from.load(Relaxed))
            .fold(0, |count, ()| count + 1)
    }

    /// Something happens in this turn though it may not look like work.
    #[inline]
    pub fn keep(&self) {
        self.is_kept.store(true, Relaxed);
    }

    /// Notes that the clock was read.
    #[inline]
    pub fn time(&self, now_ns: u64) {
        if !self.is_open.load(Relaxed) {
            return;
        }
        let since_ns = now_ns.saturating_sub(self.last_ns.load(Relaxed));
        self.last_ns.store(now_ns, Relaxed);
        self.number(since_ns << CODE_BITS);
    }

    /// Notes a value.
    #[inline]
    pub fn note(&self, code: u8, value: u64) {
        debug_assert!(code > TIME && code < 1 << CODE_BITS && value <= VALUE_MAX);
        if self.is_open.load(Relaxed) {
            self.number(value << CODE_BITS | u64::from(code));
        }
    }

    /// Notes bytes, and how many they are.
    pub fn bytes(&self, code: u8, bytes: &[u8]) {
        self.note(code, bytes.len() as u64);
        if self.is_open.load(Relaxed) {
            bytes.iter().for_each(|byte| self.put(*byte));
        }
    }

    #[inline]
    fn number(&self, number: u64) {
        number_out(number, |byte| self.put(byte));
    }

    #[inline]
    fn put(&self, byte: u8) {
        let at = self.len.load(Relaxed);
        match self.bytes.get(at) {
            Some(cell) => {
                cell.store(byte, Relaxed);
                self.len.store(at + 1, Relaxed);
            }
            None => self.is_spoiled.store(true, Relaxed),
        }
    }

    /// Gives a turn again that began at this time; one that does not fit is astray from the beginning.
    pub fn load(&self, turn_ns: u64, turn: &[u8]) {
        self.open(turn_ns);
        self.is_open.store(false, Relaxed);
        self.at.store(0, Relaxed);
        self.is_spoiled.store(turn.len() > TURN_BYTES, Relaxed);
        for (cell, byte) in self.bytes.iter().zip(turn) {
            cell.store(*byte, Relaxed);
        }
        self.len.store(turn.len().min(TURN_BYTES), Relaxed);
    }

    /// The clock is read: when it was then. Astray, time stands.
    pub fn next_time(&self) -> u64 {
        let last_ns = self.last_ns.load(Relaxed);
        let now_ns = last_ns.saturating_add(self.next(TIME).unwrap_or(0));
        self.last_ns.store(now_ns, Relaxed);
        now_ns
    }

    /// The time that is read next; `None`: something else comes next.
    #[must_use]
    pub fn peek_time(&self) -> Option<u64> {
        let (code, since_ns, _) = self.peek()?;
        (code == TIME).then(|| self.last_ns.load(Relaxed).saturating_add(since_ns))
    }

    /// The code of what comes next; `None`: the end, or the log is astray.
    #[must_use]
    pub fn peek_code(&self) -> Option<u8> {
        self.peek().map(|(code, ..)| code)
    }

    /// Takes a value; `None`: it is not the next one, and the log is astray from now on.
    pub fn next(&self, code: u8) -> Option<u64> {
        match self.peek() {
            Some((found, value, end)) if found == code => {
                self.at.store(end, Relaxed);
                Some(value)
            }
            _ => {
                self.is_spoiled.store(true, Relaxed);
                None
            }
        }
    }

    /// Takes bytes into `out`; how many, 0: there are none, and the log is astray.
    pub fn next_bytes(&self, code: u8, out: &mut [u8]) -> usize {
        let len = self.next(code).and_then(|len| usize::try_from(len).ok());
        let at = self.at.load(Relaxed);
        let cells = len.and_then(|len| self.bytes.get(at..at.checked_add(len)?));
        let (Some(cells), Some(out)) = (cells, len.and_then(|len| out.get_mut(..len))) else {
            self.is_spoiled.store(true, Relaxed);
            return 0;
        };
        for (to, from) in out.iter_mut().zip(cells) {
            *to = from.load(Relaxed);
        }
        self.at.store(at + cells.len(), Relaxed);
        cells.len()
    }

    /// Whether everything has been taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at.load(Relaxed) == self.len.load(Relaxed)
    }

    /// Whether something else was asked for than was noted.
    #[must_use]
    pub fn is_astray(&self) -> bool {
        self.is_spoiled.load(Relaxed)
    }

    /// Code and value of what comes next, and where it ends.
    fn peek(&self) -> Option<(u8, u64, usize)> {
        if self.is_astray() {
            return None;
        }
        let begin = self.at.load(Relaxed);
        let cells = self.bytes.get(begin..self.len.load(Relaxed))?;
        let bytes = cells.iter().map(|cell| cell.load(Relaxed));
        let (number, len) = number_in(bytes)?;
        let code = u8::try_from(number & ((1 << CODE_BITS) - 1)).ok()?;
        Some((code, number >> CODE_BITS, begin + len))
    }
}

/// Writes a number with as many bytes as it needs, seven bits each, the lowest first: [`number_in`] reads it.
#[inline]
pub fn number_out(mut number: u64, mut put: impl FnMut(u8)) {
    while number >= 0x80 {
        put((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    put((number & 0x7F) as u8);
}

/// A variable-length number, and how many bytes it has; `None`: they end before it, or it is too long.
pub fn number_in(bytes: impl Iterator<Item = u8>) -> Option<(u64, usize)> {
    let (mut number, mut shift) = (0u64, 0u32);
    for (byte, len) in bytes.zip(1..) {
        let bits = u64::from(byte & 0x7F);
        if shift > 63 || bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((number, len));
        }
        shift += 7;
    }
    None
}

/// The time of the last read of a turn that began at this time; `skip` says how many bytes follow a value of a code.
#[must_use]
pub fn last_time(turn_ns: u64, turn: &[u8], skip: impl Fn(u8, u64) -> usize) -> u64 {
    let (mut last_ns, mut rest) = (turn_ns, turn);
    while let Some((number, len)) = number_in(rest.iter().copied()) {
        let code = u8::try_from(number & ((1 << CODE_BITS) - 1)).unwrap_or(u8::MAX);
        let value = number >> CODE_BITS;
        if code == TIME {
            last_ns = last_ns.saturating_add(value);
        }
        rest = rest
            .get(len.saturating_add(skip(code, value))..)
            .unwrap_or_default();
    }
    last_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: u8 = 1;
    const BYTES: u8 = 2;

    /// What a closed turn has.
    fn bytes_of(log: &TurnLog) -> Vec<u8> {
        let mut out = vec![0; TURN_BYTES];
        let len = log.copy_to(&mut out);
        out.truncate(len);
        out
    }

    #[test]
    fn what_is_noted_is_given_again_in_its_order() {
        let log = TurnLog::default();
        log.open(1_000);
        log.time(1_000);
        log.note(VALUE, VALUE_MAX);
        log.bytes(BYTES, b"abc");
        log.time(900_000);
        let Closed::Kept(len) = log.close(true) else {
            panic!("it is kept");
        };
        log.time(5);
        let turn = bytes_of(&log);
        assert_eq!(turn.len(), len, "nothing is noted between two turns");
        let skip = |code, len: u64| {
            if code == BYTES {
                usize::try_from(len).unwrap()
            } else {
                0
            }
        };
        assert_eq!(last_time(1_000, &turn, skip), 900_000);

        let played = TurnLog::default();
        played.load(1_000, &turn);
        assert_eq!(played.peek_time(), Some(1_000));
        assert_eq!(played.next_time(), 1_000);
        assert_eq!(
            (played.peek_time(), played.peek_code()),
            (None, Some(VALUE))
        );
        assert_eq!(played.next(VALUE), Some(VALUE_MAX));
        let mut out = [0; 8];
        assert_eq!(played.next_bytes(BYTES, &mut out), 3);
        assert_eq!(&out[..3], b"abc");
        assert!(!played.is_done());
        assert_eq!(played.next_time(), 900_000);
        assert!(played.is_done() && !played.is_astray());
    }

    #[test]
    fn other_question_than_was_asked_then_leaves_the_log_astray_and_time_stands() {
        let log = TurnLog::default();
        log.open(10);
        log.time(12);
        log.note(VALUE, 7);
        log.time(14);
        log.close(true);
        let turn = bytes_of(&log);
        log.load(10, &turn);
        assert_eq!(log.next(VALUE), None);
        assert!(log.is_astray());
        assert_eq!((log.next_time(), log.next(VALUE)), (10, None));
        log.load(10, &turn);
        assert_eq!(log.next_time(), 12);
        assert_eq!(log.next_time(), 12, "a value comes next");
        assert!(log.is_astray() && !log.is_done());
    }

    #[test]
    fn turn_is_kept_for_its_work_or_when_somebody_says_so() {
        let log = TurnLog::default();
        log.open(1);
        log.time(2);
        assert_eq!(log.close(false), Closed::Idle);
        log.open(3);
        log.keep();
        assert_eq!(log.close(false), Closed::Kept(0));
        log.open(3);
        assert_eq!(log.close(false), Closed::Idle, "that was the turn before");
        log.open(4);
        log.bytes(BYTES, &[0; TURN_BYTES]);
        assert_eq!(log.close(true), Closed::Spoiled);
    }

    #[test]
    fn numbers_that_are_cut_off_or_too_long_are_none() {
        assert_eq!(number_in([0x80, 0x01].into_iter()), Some((128, 2)));
        assert_eq!(number_in([0x80].into_iter()), None);
        assert_eq!(number_in([].into_iter()), None);
        assert_eq!(number_in([0xFF; 10].into_iter()), None);
        let longest = [[0xFF; 9].as_slice(), &[1]].concat();
        assert_eq!(number_in(longest.into_iter()), Some((u64::MAX, 10)));
    }
}
