//! Puts the numbers of one session in order: what is next goes out, what is ahead is kept, what is
//! missing is waited for, each hole for its own time.
//!
//! ```text
//!             next_seq                          frontier
//!   delivered |  hole  | kept |  hole  |  hole  | kept |  not known to exist
//!             deadline 1      deadline 2  deadline 3
//! ```
//!
//! Path:        arbiter -> sequencer -> the arbiter's sink
//! Thread:      feed core, hot
//! Contract:    **call `expire` when `deadline_ns` has passed, after the packets that were there
//!              before.**
//! Invariants:  `next_seq` never goes back. Every number below `frontier` is delivered, lost, in a
//!              kept packet, or in exactly one hole. Holes are in order, and so are their deadlines;
//!              where there is one, the first begins at `next_seq`. No hole: nothing is kept.
//! Time:        a hole opens when a later number first proves it and is given up `gap_timeout_ns` after that.
//! When full:   the first hole is given up at once, up to the packet that needs the room.
//! When wrong:  a packet that announces more than it holds proves and brings only what it holds.

use std::marker::PhantomData;

use protocol::types::Seq;

use crate::kept::{Kept, PACKET_LEN_MAX};
use crate::stream::{ArbiterCounters, StreamSink};
use crate::venue::{Packet, Venue};

/// Packets kept behind holes. At 1,000,000 packets a second it is 64 µs: the lines of one venue are
/// rarely further apart.
pub const HELD_MAX: usize = 64;
/// Holes at one time. A kept packet makes at most one more; the rest is for heartbeats.
const HOLES_MAX: usize = 2 * HELD_MAX;
/// Ranges that were given up and are remembered, so that late data is not taken for a second copy.
const LOST_KEPT: usize = 16;

const _: () = assert!(HOLES_MAX > HELD_MAX + 2);

/// Who hears of what, and where it is counted.
#[derive(Debug)]
pub(crate) struct Out<'a, S> {
    pub(crate) counters: &'a ArbiterCounters,
    pub(crate) sink: &'a mut S,
}

/// A packet with its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data<'a, P> {
    pub(crate) packet: P,
    pub(crate) payload: &'a [u8],
    /// The number after the last one announced.
    pub(crate) end: u64,
    pub(crate) now_ns: u64,
}

/// Numbers that are missing, `first` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hole {
    first: u64,
    end: u64,
    deadline_ns: u64,
}

/// The state of one session's numbers.
#[derive(Debug)]
pub(crate) struct Sequencer<V> {
    next_seq: u64,
    frontier: u64,
    gap_timeout_ns: u64,
    holes: [Hole; HOLES_MAX],
    holes_len: usize,
    held: Kept,
    /// The last ranges given up, oldest overwritten first, and the end of the latest.
    lost: [Hole; LOST_KEPT],
    lost_next: usize,
    lost_end: u64,
    /// The number after the message that says that it is the last; `u64::MAX`: none has.
    last_end: u64,
    venue: PhantomData<V>,
}

impl<V: Venue> Sequencer<V> {
    /// Expects number 1. `gap_timeout_ns`: how long a hole stays open; 0: not at all.
    pub(crate) fn new(gap_timeout_ns: u64) -> Self {
        Self {
            next_seq: 1,
            frontier: 1,
            gap_timeout_ns,
            holes: [Hole::default(); HOLES_MAX],
            holes_len: 0,
            held: Kept::new(HELD_MAX),
            lost: [Hole::default(); LOST_KEPT],
            lost_next: 0,
            lost_end: 0,
            last_end: u64::MAX,
            venue: PhantomData,
        }
    }

    /// Begins another session. Whatever the last one has open must have been given up.
    pub(crate) fn restart(&mut self) {
        debug_assert!(self.is_whole(), "holes of the last session");
        (self.next_seq, self.frontier) = (1, 1);
        self.held.clear();
        self.lost = [Hole::default(); LOST_KEPT];
        (self.lost_next, self.lost_end) = (0, 0);
        self.last_end = u64::MAX;
    }

    /// The number after the message that said that it is the session's last; `u64::MAX`: none has.
    #[inline]
    pub(crate) fn last_end(&self) -> u64 {
        self.last_end
    }

    /// The number that is expected next.
    #[inline]
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The number after the highest one that is known to exist.
    #[inline]
    pub(crate) fn frontier(&self) -> u64 {
        self.frontier
    }

    /// Whether everything that is known to exist is delivered or given up.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.holes_len == 0
    }

    /// When the first hole is given up; never: `u64::MAX`.
    #[inline]
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.holes().first().map_or(u64::MAX, |h| h.deadline_ns)
    }

    /// Takes a packet with messages.
    #[inline]
    pub(crate) fn on_data<'p, S: StreamSink>(
        &mut self,
        data: &Data<'p, V::Packet<'p>>,
        out: &mut Out<'_, S>,
    ) {
        let seq = data.packet.seq();
        if data.end <= self.next_seq {
            return self.count_old(seq, data.end, out.counters);
        }
        if seq > self.next_seq {
            return self.on_ahead(data, out);
        }
        let is_cut = deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
        if is_cut {
            out.counters.packets_malformed.increment();
        }
        if self.is_whole() {
            self.frontier = self.next_seq;
        } else {
            self.join(out);
        }
    }

    /// All numbers before `next` exist: a heartbeat or the end of the session said so.
    #[inline]
    pub(crate) fn on_proven<S: StreamSink>(
        &mut self,
        next: u64,
        now_ns: u64,
        out: &mut Out<'_, S>,
    ) {
        if next > self.frontier {
            self.prove(next, now_ns, out);
        }
    }

    /// Gives up what is overdue.
    pub(crate) fn expire<S: StreamSink>(&mut self, now_ns: u64, out: &mut Out<'_, S>) {
        // Each turn gives one hole up, so it ends.
        while self.holes_len > 0 && self.deadline_ns() <= now_ns {
            self.give_up_first(u64::MAX, out);
        }
        self.check();
    }

    /// A packet beyond the expected number: keep it, and wait for the other line.
    #[cold]
    fn on_ahead<'p, S: StreamSink>(
        &mut self,
        data: &Data<'p, V::Packet<'p>>,
        out: &mut Out<'_, S>,
    ) {
        let seq = data.packet.seq();
        let Some(end) = self.readable_end(data, out.counters) else {
            return;
        };
        let is_news = end > self.frontier
            || self
                .holes()
                .iter()
                .any(|hole| hole.first < end && seq < hole.end);
        if !is_news {
            return out.counters.packets_duplicate.increment();
        }
        // Each turn gives numbers up, so it ends.
        while self.has_no_room() && seq > self.next_seq {
            out.counters.holes_crowded_out.increment();
            self.give_up_first(seq, out);
        }
        if seq <= self.next_seq {
            deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
            return self.join(out);
        }
        self.prove(seq, data.now_ns, out);
        self.fill(seq, end, out.counters);
        self.frontier = self.frontier.max(end);
        if seq <= self.next_seq {
            // Nothing is waited for: the hole before this packet has been given up.
            deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
            return self.join(out);
        }
        let is_kept = self.held.push(seq, end, data.payload);
        debug_assert!(is_kept, "room was made");
        out.counters.packets_held.increment();
        self.check();
    }

    /// The number after the last one that a packet ahead holds; `None`: it cannot be kept.
    fn readable_end<'p>(
        &self,
        data: &Data<'p, V::Packet<'p>>,
        counters: &ArbiterCounters,
    ) -> Option<u64> {
        let mut count = 0;
        let missing = data.packet.each(|_| count += 1);
        if missing > 0 || data.payload.len() > PACKET_LEN_MAX {
            counters.packets_malformed.increment();
        }
        (count > 0 && data.payload.len() <= PACKET_LEN_MAX)
            .then(|| data.packet.seq().saturating_add(count))
    }

    fn has_no_room(&self) -> bool {
        // A packet may split a hole and open another one behind it.
        self.held.is_full() || self.holes_len + 2 > HOLES_MAX
    }

    /// Opens a hole up to `next` if that is beyond everything known.
    #[cold]
    fn prove<S: StreamSink>(&mut self, next: u64, now_ns: u64, out: &mut Out<'_, S>) {
        if next <= self.frontier {
            return;
        }
        while self.holes_len + 2 > HOLES_MAX {
            out.counters.holes_crowded_out.increment();
            self.give_up_first(u64::MAX, out);
        }
        let latest_ns = self.holes().last().map_or(0, |hole| hole.deadline_ns);
        let hole = Hole {
            first: self.frontier,
            end: next,
            deadline_ns: now_ns.saturating_add(self.gap_timeout_ns).max(latest_ns),
        };
        self.insert_hole(self.holes_len, hole);
        self.frontier = next;
        if self.gap_timeout_ns == 0 {
            self.expire(now_ns, out);
        }
    }

    /// Takes what a kept packet brings out of the holes.
    fn fill(&mut self, seq: u64, end: u64, counters: &ArbiterCounters) {
        let mut index = 0;
        // Each turn moves on by one hole or takes one out.
        while let Some(hole) = self.holes().get(index).copied() {
            if hole.end <= seq || end <= hole.first {
                index += 1;
                continue;
            }
            let before = Hole { end: seq, ..hole };
            let after = Hole { first: end, ..hole };
            match (before.first < before.end, after.first < after.end) {
                (false, false) => {
                    counters.holes_filled.increment();
                    self.remove_hole(index);
                    continue;
                }
                (true, false) => self.set_hole(index, before),
                (false, true) => self.set_hole(index, after),
                (true, true) => {
                    self.set_hole(index, before);
                    self.insert_hole(index + 1, after);
                }
            }
            index += 1;
        }
    }

    /// After `next_seq` has moved: delivers what joins on, and forgets the holes that it closed.
    #[cold]
    fn join<S: StreamSink>(&mut self, out: &mut Out<'_, S>) {
        let Self {
            held,
            next_seq,
            last_end,
            ..
        } = self;
        // Each turn takes one packet out, so it ends.
        while let Some(index) = held.slots().iter().position(|slot| slot.seq <= *next_seq) {
            let is_known = held.slots().get(index).is_none_or(|s| s.end <= *next_seq);
            if is_known {
                out.counters.packets_duplicate.increment();
            } else if let Some(packet) = V::packet(held.bytes(index)) {
                deliver::<V, S>(&packet, next_seq, last_end, out);
            }
            held.swap_remove(index);
        }
        self.frontier = self.frontier.max(self.next_seq);
        // Each turn takes one hole out or ends.
        while let Some(first) = self.holes().first().copied()
            && first.first < self.next_seq
        {
            if first.end > self.next_seq {
                let rest = Hole {
                    first: self.next_seq,
                    ..first
                };
                self.set_hole(0, rest);
            } else {
                out.counters.holes_filled.increment();
                self.remove_hole(0);
            }
        }
        self.check();
    }

    /// Announces the first hole as lost, up to `limit`, and goes on behind it.
    fn give_up_first<S: StreamSink>(&mut self, limit: u64, out: &mut Out<'_, S>) {
        let Some(hole) = self.holes().first().copied() else {
            return;
        };
        let end = hole.end.min(limit);
        let count = end.saturating_sub(hole.first);
        out.counters.gaps.increment();
        out.counters.messages_lost.add(count);
        let range = Hole { end, ..hole };
        if let Some(oldest) = self.lost.get_mut(self.lost_next % LOST_KEPT) {
            *oldest = range;
        }
        self.lost_next = self.lost_next.wrapping_add(1);
        self.lost_end = end;
        out.sink.on_gap(Seq(hole.first), count);
        if end == hole.end {
            self.remove_hole(0);
        } else {
            self.set_hole(0, Hole { first: end, ..hole });
        }
        self.next_seq = end;
        self.join(out);
    }

    /// A packet that brings nothing: a copy, or what was given up before it came.
    #[inline]
    fn count_old(&self, seq: u64, end: u64, counters: &ArbiterCounters) {
        let is_late = |range: &Hole| range.first < end && seq < range.end;
        if seq < self.lost_end && self.lost.iter().any(is_late) {
            counters.packets_late.increment();
        } else {
            counters.packets_duplicate.increment();
        }
    }

    #[inline]
    fn holes(&self) -> &[Hole] {
        self.holes.get(..self.holes_len).unwrap_or_default()
    }

    fn set_hole(&mut self, index: usize, hole: Hole) {
        if let Some(place) = self.holes.get_mut(index) {
            *place = hole;
        }
    }

    fn insert_hole(&mut self, index: usize, hole: Hole) {
        debug_assert!(self.holes_len < HOLES_MAX && index <= self.holes_len);
        if self.holes_len < HOLES_MAX && index <= self.holes_len {
            self.holes.copy_within(index..self.holes_len, index + 1);
            self.holes_len += 1;
            self.set_hole(index, hole);
        }
    }

    fn remove_hole(&mut self, index: usize) {
        if index < self.holes_len {
            self.holes.copy_within(index + 1..self.holes_len, index);
            self.holes_len -= 1;
        }
    }

    /// The invariants of the header.
    fn check(&self) {
        let holes = self.holes();
        debug_assert!(holes.iter().all(|hole| hole.first < hole.end));
        debug_assert!(
            holes.is_sorted_by(|a, b| a.end <= b.first && a.deadline_ns <= b.deadline_ns)
        );
        debug_assert!(holes.first().is_none_or(|h| h.first == self.next_seq));
        debug_assert!(holes.last().is_none_or(|h| h.end <= self.frontier));
        debug_assert!(!holes.is_empty() || self.held.slots().is_empty());
        debug_assert!(!holes.is_empty() || self.next_seq == self.frontier);
    }
}

/// Delivers what is new in a packet that is not behind a hole. Returns whether it announces more than
/// it holds: what is missing stays expected.
#[inline]
fn deliver<'p, V: Venue, S: StreamSink>(
    packet: &V::Packet<'p>,
    next_seq: &mut u64,
    last_end: &mut u64,
    out: &mut Out<'_, S>,
) -> bool {
    let before = *next_seq;
    let mut seq = packet.seq();
    let missing = packet.each(|message| {
        if seq >= *next_seq {
            out.sink.on_message(Seq(seq), message);
            *next_seq = seq + 1;
            if V::ENDS_BY_MESSAGE && V::is_last(message) {
                *last_end = seq + 1;
            }
        }
        seq += 1;
    });
    if *next_seq > before {
        out.counters.packets_used.increment();
        out.counters.messages.add(*next_seq - before);
    }
    missing > 0
}
