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
//!              kept packet, or in exactly one hole. Holes are in order; those that are asked for come
//!              first. Nothing is missing or kept when `next_seq` is `frontier`.
//! Time:        a hole opens when a later number first proves it. `gap_timeout_ns` after that it is asked
//!              for, and given up `give_up_ns` after that; where there is nobody to ask, at once.
//! Work:        [`JOIN_EACH`] kept packets leave at one time, however many a hole held up.
//! When full:   the first hole is given up at once, up to the packet that needs the room.
//! When wrong:  a packet that announces more than it holds proves and brings only what it holds.

use std::marker::PhantomData;

use protocol::types::Seq;

use crate::holes::{Hole, Holes};
use crate::kept::{Kept, PACKET_LEN_MAX};
use crate::look_ahead::LookAhead;
use crate::recovery::ASK_MAX;
use crate::stream::{ArbiterCounters, Fate, Recovery, StreamSink};
use crate::venue::{Packet, Venue};

/// Packets kept behind holes where nobody is asked for them. At 1,000,000 packets a second it is 64 µs: the
/// lines of one venue are rarely further apart.
pub const HELD_MAX: usize = 64;
/// Kept packets that are delivered at one time: what arrives meanwhile, one turn's batch, shall be fewer.
const JOIN_EACH: usize = 256;
/// Ranges that were given up and are remembered, so that late data is not taken for a second copy.
const LOST_KEPT: usize = 16;

/// Who hears of what, and where it is counted.
#[derive(Debug)]
pub(crate) struct Out<'a, S> {
    pub(crate) counters: &'a ArbiterCounters,
    pub(crate) sink: &'a mut S,
}

impl<S: StreamSink> Out<'_, S> {
    fn on_filled(&mut self, hole: &Hole) {
        if hole.is_asked {
            self.counters.holes_recovered.increment();
        } else {
            self.counters.holes_filled.increment();
        }
        self.sink.on_filled(hole.opened_ns);
    }
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

/// The state of one session's numbers.
#[derive(Debug)]
pub(crate) struct Sequencer<V> {
    next_seq: u64,
    frontier: u64,
    gap_timeout_ns: u64,
    /// Who is asked for holes: how long they may take. `None`: nobody.
    give_up_ns: Option<u64>,
    holes: Holes,
    held: Kept,
    /// When something is due; kept up to date by whatever changes holes or kept packets.
    deadline_ns: u64,
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
            give_up_ns: None,
            holes: Holes::new(),
            held: Kept::new(HELD_MAX),
            deadline_ns: u64::MAX,
            lost: [Hole::default(); LOST_KEPT],
            lost_next: 0,
            lost_end: 0,
            last_end: u64::MAX,
            venue: PhantomData,
        }
    }

    /// Holes are asked for before they are given up.
    pub(crate) fn recover(&mut self, recovery: Recovery) {
        debug_assert!(self.is_whole(), "before the first packet");
        self.give_up_ns = Some(recovery.give_up_ns);
        self.held = Kept::new(recovery.held_max.max(HELD_MAX));
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
        self.next_seq == self.frontier
    }

    /// Whether these numbers go on where everything known ends.
    #[inline]
    pub(crate) fn is_next(&self, seq: u64, end: u64) -> bool {
        seq <= self.next_seq && self.next_seq < end && self.is_whole()
    }

    /// When something is due: a hole, or kept packets that can leave (at once); never: `u64::MAX`.
    #[inline]
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Whether a hole has been asked for, or what it held up has not all left.
    pub(crate) fn is_recovering(&self) -> bool {
        self.can_join() || self.holes.first().is_some_and(|hole| hole.is_asked)
    }

    /// Takes a packet with messages.
    #[inline]
    pub(crate) fn on_data<'p, S: StreamSink>(
        &mut self,
        data: &Data<'p, V::Packet<'p>>,
        out: &mut Out<'_, S>,
    ) -> Fate {
        let seq = data.packet.seq();
        if data.end <= self.next_seq {
            return self.count_old(seq, data.end, out.counters);
        }
        if seq > self.next_seq {
            return self.on_ahead(data, out);
        }
        let (was_whole, before) = (self.is_whole(), self.next_seq);
        let is_cut = deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
        if is_cut {
            out.counters.packets_malformed.increment();
        }
        let is_news = self.next_seq > before;
        if was_whole {
            self.frontier = self.next_seq;
        } else {
            self.join(JOIN_EACH, out);
        }
        if is_news {
            Fate::First
        } else {
            Fate::Unreadable
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

    /// Asks for what has waited for long enough, and gives up what is overdue.
    pub(crate) fn expire<S: StreamSink>(&mut self, now_ns: u64, out: &mut Out<'_, S>) {
        self.ask(now_ns, out);
        if self.can_join() {
            self.join(JOIN_EACH, out);
        }
        // Each turn gives one hole up, so it ends.
        while !self.can_join()
            && let Some(first) = self.holes.first()
            && first.deadline_ns <= now_ns
        {
            self.give_up_first(u64::MAX, JOIN_EACH, out);
        }
        self.settle();
    }

    /// Gives everything up that is missing, and delivers all the rest.
    pub(crate) fn finish<S: StreamSink>(&mut self, out: &mut Out<'_, S>) {
        self.join(usize::MAX, out);
        // Each turn gives one hole up, so it ends.
        while !self.is_whole() {
            self.give_up_first(u64::MAX, usize::MAX, out);
        }
        self.settle();
    }

    /// Nobody has these numbers: holes with them that were asked for are overdue.
    pub(crate) fn on_unavailable(&mut self, first: u64, end: u64) {
        for hole in self.holes.all_mut() {
            if hole.is_asked && hole.meets(first, end) {
                hole.deadline_ns = 0;
            }
        }
        self.settle();
    }

    /// Holes that waited for the other line are asked for. What is too long for that is overdue.
    fn ask<S: StreamSink>(&mut self, now_ns: u64, out: &mut Out<'_, S>) {
        let Some(give_up_ns) = self.give_up_ns else {
            return;
        };
        for hole in self.holes.all_mut() {
            if hole.is_asked || hole.deadline_ns > now_ns {
                continue;
            }
            hole.is_asked = true;
            let count = hole.end - hole.first;
            if count <= ASK_MAX && out.sink.on_missing(Seq(hole.first), count) {
                hole.deadline_ns = now_ns.saturating_add(give_up_ns);
            }
        }
    }

    /// A packet beyond the expected number: keep it, and wait for the other line.
    #[cold]
    fn on_ahead<'p, S: StreamSink>(
        &mut self,
        data: &Data<'p, V::Packet<'p>>,
        out: &mut Out<'_, S>,
    ) -> Fate {
        let seq = data.packet.seq();
        let Some(end) = self.readable_end(data, out.counters) else {
            return Fate::Unreadable;
        };
        let is_missing = || self.holes.all().iter().any(|hole| hole.meets(seq, end));
        let is_news = end > self.frontier || is_missing();
        if !is_news {
            out.counters.packets_duplicate.increment();
            return Fate::Copy;
        }
        // Each turn gives numbers up, so it ends.
        while self.has_no_room() && seq > self.next_seq {
            self.make_room(seq, out);
        }
        if seq <= self.next_seq {
            deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
            self.join(JOIN_EACH, out);
            return Fate::First;
        }
        self.prove(seq, data.now_ns, out);
        self.holes.fill(seq, end, |hole| out.on_filled(hole));
        self.frontier = self.frontier.max(end);
        if seq <= self.next_seq {
            // Nothing is waited for: the hole before this packet has been given up.
            deliver::<V, S>(&data.packet, &mut self.next_seq, &mut self.last_end, out);
            self.join(JOIN_EACH, out);
            return Fate::First;
        }
        let is_kept = self.held.push(seq, end, data.payload);
        debug_assert!(is_kept, "room was made");
        out.counters.packets_held.increment();
        self.settle();
        Fate::First
    }

    /// Lets go what can go, or else gives the first hole up, to `limit` at most.
    fn make_room<S: StreamSink>(&mut self, limit: u64, out: &mut Out<'_, S>) {
        if self.can_join() {
            return self.join(1, out);
        }
        out.counters.holes_crowded_out.increment();
        self.give_up_first(limit, JOIN_EACH, out);
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
        self.held.is_full() || self.holes.is_full()
    }

    /// Opens a hole up to `next` if that is beyond everything known.
    #[cold]
    fn prove<S: StreamSink>(&mut self, next: u64, now_ns: u64, out: &mut Out<'_, S>) {
        if next <= self.frontier {
            return;
        }
        while self.holes.is_full() {
            self.make_room(u64::MAX, out);
        }
        let Self {
            frontier,
            gap_timeout_ns,
            ..
        } = *self;
        self.holes.open(frontier, next, now_ns, gap_timeout_ns);
        self.frontier = next;
        self.settle();
        if self.gap_timeout_ns == 0 {
            self.expire(now_ns, out);
        }
    }

    /// Whether a kept packet can leave.
    pub(crate) fn can_join(&self) -> bool {
        let first = self.held.slots().first();
        first.is_some_and(|slot| slot.seq <= self.next_seq)
    }

    /// After `next_seq` has moved: delivers what joins on, `packets_max` packets at most, and forgets the holes
    /// that it closed.
    #[cold]
    fn join<S: StreamSink>(&mut self, packets_max: usize, out: &mut Out<'_, S>) {
        let Self {
            held,
            next_seq,
            last_end,
            ..
        } = self;
        // Each turn takes one packet out, so it ends.
        for _ in 0..packets_max {
            let Some(slot) = held.slots().first().copied() else {
                break;
            };
            if slot.seq > *next_seq {
                break;
            }
            if slot.end <= *next_seq {
                out.counters.packets_duplicate.increment();
            } else if let Some(packet) = V::packet(held.bytes(slot)) {
                deliver::<V, S>(&packet, next_seq, last_end, out);
            }
            held.remove_first();
        }
        self.frontier = self.frontier.max(self.next_seq);
        self.holes
            .fill_before(self.next_seq, |hole| out.on_filled(hole));
        self.settle();
    }

    /// Announces the first hole as lost, up to `limit`, and goes on behind it. Nothing kept can leave before it.
    fn give_up_first<S: StreamSink>(
        &mut self,
        limit: u64,
        packets_max: usize,
        out: &mut Out<'_, S>,
    ) {
        let Some(hole) = self.holes.first() else {
            return;
        };
        debug_assert_eq!(hole.first, self.next_seq);
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
        // Before it is told, so that who hears of it finds the number that comes next.
        self.holes.forget_before(end);
        self.next_seq = end;
        out.sink.on_gap(Seq(hole.first), count);
        self.join(packets_max, out);
    }

    /// A packet that brings nothing: a copy, or what was given up before it came.
    #[inline]
    fn count_old(&self, seq: u64, end: u64, counters: &ArbiterCounters) -> Fate {
        let is_late = || self.lost.iter().any(|range| range.meets(seq, end));
        if seq < self.lost_end && is_late() {
            counters.packets_late.increment();
            Fate::Late
        } else {
            counters.packets_duplicate.increment();
            Fate::Copy
        }
    }

    /// After holes or kept packets have changed: says when something is due, and holds the invariants of the
    /// header against the state.
    fn settle(&mut self) {
        self.holes.check();
        let holes = self.holes.all();
        debug_assert!(holes.last().is_none_or(|h| h.end <= self.frontier));
        let is_empty = holes.is_empty() && self.held.slots().is_empty();
        debug_assert_eq!(is_empty, self.is_whole());
        let can_join = self.can_join();
        debug_assert!(can_join || holes.first().is_none_or(|h| h.first == self.next_seq));
        self.deadline_ns = if can_join { 0 } else { self.holes.due_ns() };
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
    let books = out.sink.books().filter(|_| V::GLIMPSES);
    let mut ahead = books.map(|books| LookAhead::<V, _>::new(packet.messages(), books));
    let missing = packet.each(|message| {
        if let (Some(ahead), Some(books)) = (&mut ahead, out.sink.books()) {
            ahead.advance(books);
        }
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
