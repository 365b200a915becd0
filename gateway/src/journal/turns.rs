//! Turns of a core for the replay of its day: what each was given from outside, packed into records.
//!
//! ```text
//!  record:  | turn | turn | turn ...                            begins anew: nothing of the record before is needed
//!  turn:    | turns since << 2 | call | ns since | bytes | what `rt::turn_notes` noted |
//! ```
//!
//! The first three are variable-length numbers; a record's first turn counts from 0. Times are those at which turns
//! began. Calls: 0 a turn, 1 housekeeping, 2 a stop that was asked for. What a turn noted: times (0), packets that a feed
//! took (1) and showed (7), and of a session's stream its room (2), a connection (3), its end (4), bytes (5) and how many
//! things had happened (6). A turn in which nothing happened is not there.
//!
//! Path:        core loop -> here -> inlet -> ring; journal -> here -> replay
//! Thread:      hot core; reading: whoever replays
//! When full:   a turn that finds no room is lost and counted; trading goes on, and the replay ends there.

use std::sync::Arc;

use rt::clock::Clock;
use rt::turn_notes::{Closed, TURN_BYTES, TurnLog, last_time, number_in, number_out};

use super::format::PAYLOAD_BYTES_MAX;
use super::inlet::Inlet;

/// Bytes of a record beyond which it is given away: a cache's worth of cells at once, and a header for a hundred turns.
const FULL_BYTES: usize = 4096;
/// Three numbers.
const HEADER_BYTES_MAX: usize = 3 * NUMBER_BYTES_MAX;
const NUMBER_BYTES_MAX: usize = 10;
/// Bytes of the longest record.
const RECORD_BYTES: usize = FULL_BYTES + TURN_BYTES + HEADER_BYTES_MAX;
const _: () = assert!(RECORD_BYTES <= PAYLOAD_BYTES_MAX);
const CALL_BITS: u32 = 2;

/// What a core calls its stages for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// A turn.
    Turn = 0,
    /// Housekeeping between two turns.
    Housekeep = 1,
    /// It shall stop.
    Stop = 2,
}

/// Who keeps turns, or does not: a core whose turns nobody keeps has no instruction of it.
pub trait Keeper {
    /// Stages are about to be called.
    fn begin(&mut self, call: Call, clock: &Clock);
    /// They have been; `is_kept`: they did something.
    fn end(&mut self, call: Call, is_kept: bool, clock: &Clock);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct KeepsNothing;

impl Keeper for KeepsNothing {
    #[inline]
    fn begin(&mut self, _: Call, _: &Clock) {}
    #[inline]
    fn end(&mut self, _: Call, _: bool, _: &Clock) {}
}

/// Keeps what each turn was given.
#[derive(Debug)]
pub struct TurnKeeper {
    log: Arc<TurnLog>,
    inlet: Inlet,
    record: Box<[u8; RECORD_BYTES]>,
    len: usize,
    /// Turns so far.
    turns: u64,
    /// Number and time of the record's last turn.
    last: u64,
    last_ns: u64,
}

impl TurnKeeper {
    /// Of the core whose stages note in this log.
    #[must_use]
    pub fn new(log: Arc<TurnLog>, inlet: Inlet) -> Self {
        Self {
            log,
            inlet,
            record: Box::new([0; RECORD_BYTES]),
            len: 0,
            turns: 0,
            last: 0,
            last_ns: 0,
        }
    }

    /// What the core's clock and its stages note in.
    #[must_use]
    pub fn log(&self) -> Arc<TurnLog> {
        Arc::clone(&self.log)
    }

    #[inline]
    fn write(&mut self, call: Call, turn_ns: u64, bytes: usize) {
        self.number((self.turns - self.last) << CALL_BITS | call as u64);
        self.number(turn_ns.saturating_sub(self.last_ns));
        self.number(bytes as u64);
        (self.last, self.last_ns) = (self.turns, turn_ns);
        let room = self.record.get_mut(self.len..).unwrap_or_default();
        self.len += self.log.copy_to(room);
    }

    fn number(&mut self, number: u64) {
        number_out(number, |byte| {
            if let Some(place) = self.record.get_mut(self.len) {
                *place = byte;
            }
            self.len += 1;
        });
    }

    fn give_away(&mut self, now_ns: u64) {
        let turns = self.record.get(..self.len).unwrap_or_default();
        if !turns.is_empty() {
            self.inlet.on_turns(turns, now_ns);
        }
        (self.len, self.last, self.last_ns) = (0, 0, 0);
    }

    #[cold]
    fn lose(&mut self, now_ns: u64) {
        self.give_away(now_ns);
        self.inlet.on_turn_lost();
    }
}

impl Keeper for TurnKeeper {
    #[inline]
    fn begin(&mut self, call: Call, clock: &Clock) {
        self.turns += u64::from(call == Call::Turn);
        self.log.open(clock.turn_ns());
    }

    #[inline]
    fn end(&mut self, call: Call, is_kept: bool, clock: &Clock) {
        let turn_ns = clock.turn_ns();
        match self.log.close(is_kept) {
            Closed::Idle => return,
            Closed::Kept(bytes) => self.write(call, turn_ns, bytes),
            Closed::Spoiled => self.lose(turn_ns),
        }
        // Housekeeping comes every 10 ms: what a killed process had not given away is no more than that.
        if self.len >= FULL_BYTES || call != Call::Turn {
            self.give_away(turn_ns);
        }
    }
}

/// A turn that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// What its stages were called for.
    pub call: Call,
    /// Turns of the core so far, itself included.
    pub turns: u64,
    /// When it began.
    pub turn_ns: u64,
    /// What was noted.
    pub noted: &'a [u8],
}

impl Turn<'_> {
    /// When the clock was read last.
    #[must_use]
    pub fn last_ns(&self, skip: impl Fn(u8, u64) -> usize) -> u64 {
        last_time(self.turn_ns, self.noted, skip)
    }
}

/// The turns of a record.
#[derive(Clone, Debug)]
pub struct Turns<'a> {
    rest: &'a [u8],
    last: u64,
    last_ns: u64,
}

/// A record of turns that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTurns;

impl<'a> Turns<'a> {
    /// Of this record.
    #[must_use]
    pub fn of(record: &'a [u8]) -> Self {
        Self {
            rest: record,
            last: 0,
            last_ns: 0,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let (number, len) = number_in(self.rest.iter().copied())?;
        self.rest = self.rest.get(len..)?;
        Some(number)
    }

    fn read(&mut self) -> Option<Turn<'a>> {
        let first = self.number()?;
        let call = match first & ((1 << CALL_BITS) - 1) {
            0 => Call::Turn,
            1 => Call::Housekeep,
            2 => Call::Stop,
            _ => return None,
        };
        self.last = self.last.checked_add(first >> CALL_BITS)?;
        self.last_ns = self.last_ns.checked_add(self.number()?)?;
        let len = usize::try_from(self.number()?).ok()?;
        let (noted, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(Turn {
            call,
            turns: self.last,
            turn_ns: self.last_ns,
            noted,
        })
    }
}

impl<'a> Iterator for Turns<'a> {
    type Item = Result<Turn<'a>, NoTurns>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let turn = self.read();
        if turn.is_none() {
            self.rest = &[];
        }
        Some(turn.ok_or(NoTurns))
    }
}

#[cfg(test)]
mod tests {
    use super::super::inlet::{Outlet, inlet};
    use super::*;
    use crate::order::risk::KillSwitch;

    fn keeper(ring_bytes: usize) -> (TurnKeeper, Outlet) {
        let (inlet, outlet) = inlet(1, ring_bytes, KillSwitch::default()).unwrap();
        (TurnKeeper::new(Arc::default(), inlet), outlet)
    }

    /// Number, time, call and noted bytes of each turn that came out.
    fn kept(outlet: &mut Outlet) -> Vec<(u64, u64, Call, usize)> {
        let (mut payload, mut all) = (Vec::new(), Vec::new());
        while outlet.records.next(&mut payload).is_some() {
            for turn in Turns::of(&payload) {
                let turn = turn.unwrap();
                all.push((turn.turns, turn.turn_ns, turn.call, turn.noted.len()));
            }
        }
        all
    }

    #[test]
    fn turns_with_work_and_housekeeping_are_kept_with_their_numbers_and_the_rest_is_not() {
        let (mut keeper, mut outlet) = keeper(1 << 16);
        let mut clock = Clock::manual(7);
        for turn in 1..=300u64 {
            clock.set_ns(turn * 1_000);
            keeper.begin(Call::Turn, &clock);
            keeper.log.time(turn * 1_000 + 5);
            keeper.end(Call::Turn, turn % 100 == 0, &clock);
        }
        keeper.begin(Call::Housekeep, &clock);
        keeper.end(Call::Housekeep, true, &clock);
        let expected = [
            (100, 100_000, Call::Turn, 1),
            (200, 200_000, Call::Turn, 1),
            (300, 300_000, Call::Turn, 1),
            (300, 300_000, Call::Housekeep, 0),
        ];
        assert_eq!(kept(&mut outlet), expected);
        // The next record needs nothing of the one before.
        keeper.begin(Call::Stop, &clock);
        keeper.end(Call::Stop, true, &clock);
        assert_eq!(kept(&mut outlet), [(300, 300_000, Call::Stop, 0)]);
    }

    #[test]
    fn turn_without_room_is_counted_and_turns_no_switch_of_a_session() {
        let (mut keeper, outlet) = keeper(1 << 10);
        let clock = Clock::manual(1);
        for _ in 0..3 {
            keeper.begin(Call::Housekeep, &clock);
            keeper.log.bytes(5, &[7; 600]);
            keeper.end(Call::Housekeep, true, &clock);
        }
        assert_eq!(outlet.counters.journal_ring_full.get(), 2);
        keeper.begin(Call::Turn, &clock);
        keeper.log.bytes(5, &[7; TURN_BYTES]);
        keeper.end(Call::Turn, true, &clock);
        assert_eq!(outlet.counters.journal_ring_full.get(), 3);
    }

    #[test]
    fn bytes_that_are_no_turns_are_told_once() {
        for bytes in [&[3, 0, 0][..], &[0x80], &[0, 1, 200], &[0, 1]] {
            let all: Vec<_> = Turns::of(bytes).collect();
            assert_eq!(all, [Err(NoTurns)], "{bytes:?}");
        }
    }
}
