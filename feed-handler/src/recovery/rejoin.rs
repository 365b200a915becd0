//! What the feed core knows of recovery: holes to ask for, and how far a snapshot is.
//!
//! Thread:      feed core, hot (while something is missing)
//! Invariants:  the spare is in the state, in a baton, or with the recovery core.
//! When full:   a hole that finds no room is given up; an ask that finds none is tried again.

use super::counters::JoinCounters;
use super::link::{Ask, FeedEnd};
use super::request::{Range, SessionKey};
use super::spare::Spare;

/// Holes that wait for room among the asks.
const HOLES_MAX: usize = 256;
/// The pause after a snapshot for contradicted books before another one for such; it doubles, to about half an hour. A
/// feed whose venue contradicts itself shall not load snapshots all day.
const REPAIR_PAUSE_NS: u64 = 30_000_000_000;
const REPAIR_DOUBLINGS_MAX: u32 = 6;

#[derive(Debug)]
pub(crate) enum State {
    Idle,
    Asked,
    CatchingUp(Box<Spare>, u64),
    /// The table's next row.
    Showing(Box<Spare>, u32),
    /// The next symbol whose change is told.
    Telling(Box<Spare>, u32),
    /// Books that came did not fit; others are asked for then.
    Resting(u64),
    /// No snapshot will come in this session.
    GivenUp,
}

/// What is done about gaps.
#[derive(Debug)]
pub(crate) struct Rejoin {
    pub(crate) end: FeedEnd,
    pub(crate) state: State,
    pub(crate) epoch: u32,
    /// What is to be asked for, first to last.
    holes: Vec<Range>,
    /// The recovery core still believes in an earlier session.
    pub(crate) has_to_abort: bool,
    /// The number that the recovery core was told last.
    told_seq: u64,
    has_asked: bool,
    /// The number that the feed had reached when the spare last caught up.
    pub(crate) caught_up_at: u64,
    /// Books that did not fit, one after another.
    pub(crate) refused: u32,
    /// There was a gap after the books were swapped.
    pub(crate) has_new_gap: bool,
    /// Since when the feed is stale by a gap.
    pub(crate) gap_since_ns: u64,
    /// A book was contradicted, and no snapshot has come since.
    pub(crate) wants_repair: bool,
    /// Not before then, unless there is a gap.
    repair_from_ns: u64,
    /// Snapshots asked for on that account in this session.
    repairs: u32,
    /// The one that is asked for is, and was not for a gap.
    pub(crate) is_repair: bool,
    /// A bit for each symbol whose best prices a snapshot changed.
    pub(crate) changed: Box<[u64; 1024]>,
}

impl Rejoin {
    pub(crate) fn new(end: FeedEnd) -> Self {
        Self {
            end,
            state: State::Idle,
            epoch: 0,
            holes: Vec::with_capacity(HOLES_MAX),
            has_to_abort: false,
            told_seq: 0,
            has_asked: false,
            caught_up_at: 0,
            refused: 0,
            has_new_gap: false,
            gap_since_ns: 0,
            wants_repair: false,
            repair_from_ns: 0,
            repairs: 0,
            is_repair: false,
            changed: Box::new([0; 1024]),
        }
    }

    /// Whether something is to be done in the next turn; `has_gap`: the feed is stale by one.
    pub(crate) fn is_busy(&self, has_gap: bool) -> bool {
        let is_joining = match self.state {
            State::Idle => has_gap && self.end.live.is_some(),
            State::GivenUp => false,
            _ => true,
        };
        is_joining || self.has_to_abort || !self.holes.is_empty()
    }

    /// Whether contradicted books are to be asked for.
    pub(crate) fn is_repair_due(&self, now_ns: u64) -> bool {
        self.wants_repair && now_ns >= self.repair_from_ns
    }

    /// They are asked for; the next ones after a pause.
    pub(crate) fn on_repair(&mut self, now_ns: u64) {
        let pause_ns = REPAIR_PAUSE_NS << self.repairs.min(REPAIR_DOUBLINGS_MAX);
        self.repair_from_ns = now_ns.saturating_add(pause_ns);
        self.repairs = self.repairs.saturating_add(1);
    }

    /// The best prices of this symbol are others after the snapshot.
    pub(crate) fn note_change(&mut self, locate: u16) {
        if let Some(word) = self.changed.get_mut(usize::from(locate / 64)) {
            *word |= 1 << (locate % 64);
        }
    }

    /// A hole that the lines leave open. `false`: there is no room to remember it.
    pub(crate) fn on_missing(&mut self, first: u64, count: u64) -> bool {
        let has_room = self.holes.len() < HOLES_MAX;
        if has_room {
            self.holes.push(Range {
                first,
                end: first + count,
            });
        }
        has_room
    }

    pub(crate) fn on_gap(&mut self, now_ns: u64) {
        self.has_new_gap = true;
        if self.gap_since_ns == 0 {
            self.gap_since_ns = now_ns.max(1);
        }
    }

    /// Another session begins, with empty books: what was going on is about the last one.
    pub(crate) fn on_session(&mut self) {
        self.holes.clear();
        // Answers that wait are about the last session.
        for _ in 0..self.end.answers.len() {
            self.end.answers.pop();
        }
        self.stop();
        (self.has_to_abort, self.refused) = (true, 0);
        (self.wants_repair, self.repair_from_ns, self.repairs) = (false, 0, 0);
        (self.has_asked, self.told_seq, self.gap_since_ns) = (false, 0, 0);
    }

    /// Gives back what is here.
    pub(crate) fn stop(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::CatchingUp(spare, _) | State::Showing(spare, _) | State::Telling(spare, _) => {
                self.end.to_stage.give(spare);
            }
            State::Idle | State::Asked | State::Resting(_) | State::GivenUp => {}
        }
    }

    /// Tells the recovery core what there is to tell.
    pub(crate) fn tell(
        &mut self,
        session: Option<SessionKey>,
        next_seq: u64,
        counters: &JoinCounters,
    ) {
        if self.has_to_abort {
            if self.end.asks.push(Ask::Abort).is_err() {
                return counters.asks_delayed.increment();
            }
            self.has_to_abort = false;
        }
        let Some(session) = session else {
            return self.holes.clear();
        };
        let mut told = 0;
        for hole in &self.holes {
            if self.end.asks.push(Ask::Missing(session, *hole)).is_err() {
                counters.asks_delayed.increment();
                break;
            }
            told += 1;
        }
        self.has_asked |= told > 0;
        self.holes.drain(..told);
        // Holes come first: this one may be left out.
        let has_room = self.end.asks.len() < self.end.asks.capacity() / 2;
        if self.has_asked && self.told_seq != next_seq && has_room {
            let _ = self.end.asks.push(Ask::Reached(next_seq));
            self.told_seq = next_seq;
        }
    }
}
