//! What hot cores tell: the traces of each second's slowest orders, and turns that took too long.
//!
//! Path:        order::stage -> [`Slowest`] -> a ring -> `trace::file`; core_loop -> [`Stall`] -> a ring -> there;
//!              [`Slowest`] -> each [`Watch`] -> a ring -> the capture of the order's feed
//! Thread:      [`Slowest`]: order core, hot; the rest: any
//! Invariants:  always on and bounded: [`KEPT`] traces of each kind a second.
//! Time:        no clock read of its own; two comparisons for an order that is not slow.

use feed_handler::event::DELTA_UNKNOWN;
use protocol::types::UserRefNum;
use rt::clock::SECOND_NS;
use rt::ring::Producer;
use serde::{Deserialize, Serialize};

use crate::message::intent::{Cause, OrderIntent};

/// Traces kept of each second: this many of the slowest way out, and as many of the slowest answer.
pub const KEPT: usize = 8;
/// Orders whose trace is kept until their answer comes.
const REMEMBERED: usize = 1024;

/// One order, stamp by stamp, ns on the host's monotonic clock; 0: not known, or not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct OrderTrace {
    /// Sequence number of the message that caused it.
    pub seq: u64,
    /// The order's reference number on its session.
    pub user_ref: u32,
    /// The feed, in the order of the configuration.
    pub feed: u16,
    /// Packets taken from the receiver together with its own.
    pub batch: u8,
    /// How many of them were handled before it.
    pub place: u8,
    /// Events that the strategy took before it in the same turn.
    pub queue: u16,
    /// The strategy's ring was full when that turn began, or the strategy was told so in it.
    pub ring_was_full: bool,
    /// Orders that went out in one submission with it.
    pub together: u16,
    /// io_uring completions (or reads) handled in the turn before.
    pub completions: u16,
    /// Traces before it that could not be told: housekeeping was behind.
    pub missed: u32,
    /// The wire's stamp.
    pub wire_ns: u64,
    /// The feed stage had the frame.
    pub seen_ns: u64,
    /// The event was in the ring.
    pub published_ns: u64,
    /// The strategy had it.
    pub picked_ns: u64,
    /// The intent was made.
    pub decided_ns: u64,
    /// The bytes were ready.
    pub encoded_ns: u64,
    /// The kernel had taken them.
    pub submitted_ns: u64,
    /// The answer was here.
    pub acked_ns: u64,
}

impl OrderTrace {
    /// What an intent and its encoding tell.
    #[inline]
    #[must_use]
    pub fn begin(intent: &OrderIntent, user_ref: UserRefNum, encoded_ns: u64) -> Self {
        if intent.cause != Cause::Market {
            // The tick lies a round trip back, or there was none: this order's way begins with the decision.
            return Self {
                seq: intent.origin.seq,
                user_ref: user_ref.0,
                feed: intent.origin.feed,
                queue: u16::from(intent.queue),
                ring_was_full: intent.ring_was_full,
                decided_ns: intent.decided_ns,
                encoded_ns,
                ..Self::default()
            };
        }
        let origin = intent.origin;
        let wire_ns = if origin.wire_delta_ns == DELTA_UNKNOWN {
            0
        } else {
            origin.seen_ns - u64::from(origin.wire_delta_ns)
        };
        Self {
            seq: origin.seq,
            user_ref: user_ref.0,
            feed: origin.feed,
            batch: origin.batch,
            place: origin.place,
            queue: u16::from(intent.queue),
            ring_was_full: intent.ring_was_full,
            wire_ns,
            seen_ns: origin.seen_ns,
            published_ns: origin.seen_ns + u64::from(intent.published_delta_ns),
            picked_ns: origin.seen_ns + u64::from(intent.picked_delta_ns),
            decided_ns: intent.decided_ns,
            encoded_ns,
            ..Self::default()
        }
    }

    /// From the first stamp that is known until the kernel had the order, ns.
    #[inline]
    #[must_use]
    pub fn way_ns(&self) -> u64 {
        self.submitted_ns.saturating_sub(self.first_ns())
    }

    /// From then until the answer, ns; 0: there is none yet.
    #[inline]
    #[must_use]
    pub fn answer_ns(&self) -> u64 {
        self.acked_ns.saturating_sub(self.submitted_ns)
    }

    /// The first stamp that is known.
    #[inline]
    #[must_use]
    pub fn first_ns(&self) -> u64 {
        match (self.wire_ns, self.seen_ns) {
            (0, 0) => self.decided_ns,
            (0, seen_ns) => seen_ns,
            (wire_ns, _) => wire_ns,
        }
    }
}

/// A turn of a core that took too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Stall {
    /// When the turn began, ns on the host's monotonic clock.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// Packets, events, intents and answers that it handled.
    pub work: u32,
    /// Since the last look (10 ms at most): time that the thread had no CPU, ns.
    pub off_cpu_ns: u64,
    /// The kernel gave the CPU to another thread.
    pub switches_involuntary: u32,
    /// The thread slept.
    pub switches_voluntary: u32,
    /// Pages that had to be mapped.
    pub faults_minor: u32,
    /// Pages that had to be read from a disk.
    pub faults_major: u32,
    /// Long turns since the one told before it that could not be told: housekeeping was behind.
    pub missed: u32,
    /// How long those took together.
    #[serde(default)]
    pub missed_ns: u64,
}

/// Who is told at once of an order that a feed's packet caused and that took longer than this.
#[derive(Debug)]
pub struct Watch {
    /// The feed, in the order of the configuration.
    pub feed: u16,
    /// From the first stamp that is known until the kernel had the order, ns.
    pub over_ns: u64,
    /// Where it is told.
    pub out: Producer<OrderTrace>,
    /// Orders that found no room there since the last that did.
    pub missed: u32,
}

/// Keeps the slowest orders of each second.
#[derive(Debug)]
pub struct Slowest {
    /// What an order must exceed so that a watch may want it.
    watched_over_ns: u64,
    watches: Vec<Watch>,
    remembered: Box<[OrderTrace; REMEMBERED]>,
    by_way: Kept,
    by_answer: Kept,
    out: Producer<OrderTrace>,
    missed: u32,
    next_ns: u64,
}

/// The slowest of one kind.
#[derive(Debug)]
struct Kept {
    traces: [(u64, OrderTrace); KEPT],
    /// What an order must exceed to get in.
    threshold_ns: u64,
}

impl Kept {
    fn new() -> Self {
        Self {
            traces: [(0, OrderTrace::default()); KEPT],
            threshold_ns: 0,
        }
    }

    #[inline]
    fn offer(&mut self, length_ns: u64, trace: &OrderTrace) {
        if length_ns > self.threshold_ns {
            self.take(length_ns, trace);
        }
    }

    /// A few times a second, once the second's slowest have been seen.
    #[cold]
    fn take(&mut self, length_ns: u64, trace: &OrderTrace) {
        let fastest = self.traces.iter_mut().min_by_key(|(length, _)| *length);
        if let Some(slot) = fastest {
            *slot = (length_ns, *trace);
        }
        let lengths = self.traces.iter().map(|(length, _)| *length);
        self.threshold_ns = lengths.min().unwrap_or(0);
    }
}

impl Slowest {
    /// Hands what it keeps to `out`; takes 120 KiB.
    #[must_use]
    pub fn new(out: Producer<OrderTrace>) -> Self {
        Self {
            watched_over_ns: u64::MAX,
            watches: Vec::new(),
            remembered: Box::new([OrderTrace::default(); REMEMBERED]),
            by_way: Kept::new(),
            by_answer: Kept::new(),
            out,
            missed: 0,
            next_ns: 0,
        }
    }

    /// These are told at once, each of its feed's slow orders.
    #[must_use]
    pub fn with_watches(mut self, watches: Vec<Watch>) -> Self {
        let over_ns = watches.iter().map(|watch| watch.over_ns);
        self.watched_over_ns = over_ns.min().unwrap_or(u64::MAX);
        self.watches = watches;
        self
    }

    /// An order went to the kernel.
    #[inline]
    pub fn on_submitted(&mut self, trace: &OrderTrace) {
        let way_ns = trace.way_ns();
        self.by_way.offer(way_ns, trace);
        if way_ns > self.watched_over_ns {
            self.tell_watches(way_ns, trace);
        }
        if let Some(slot) = self.remembered.get_mut(slot_of(trace.user_ref)) {
            *slot = *trace;
        }
    }

    /// Its answer is here.
    #[inline]
    pub fn on_acked(&mut self, user_ref: UserRefNum, acked_ns: u64) {
        let Some(trace) = self
            .remembered
            .get_mut(slot_of(user_ref.0))
            .filter(|trace| trace.user_ref == user_ref.0)
        else {
            return;
        };
        trace.acked_ns = acked_ns;
        self.by_answer.offer(trace.answer_ns(), trace);
        if trace.way_ns() >= self.by_way.threshold_ns {
            let is_it = |(_, kept): &&mut (u64, OrderTrace)| kept.user_ref == user_ref.0;
            if let Some((_, kept)) = self.by_way.traces.iter_mut().find(is_it) {
                kept.acked_ns = acked_ns;
            }
        }
    }

    /// An order whose packet is not known, because an answer caused it, is nobody's.
    #[cold]
    fn tell_watches(&mut self, way_ns: u64, trace: &OrderTrace) {
        let is_its = |watch: &&mut Watch| watch.feed == trace.feed && way_ns > watch.over_ns;
        for watch in self.watches.iter_mut().filter(is_its) {
            if trace.seen_ns == 0 {
                continue;
            }
            let missed = watch.missed;
            watch.missed = match watch.out.push(OrderTrace { missed, ..*trace }) {
                Ok(()) => 0,
                Err(_) => missed.saturating_add(1),
            };
        }
    }

    /// Hands the second's slowest over when it is over.
    pub fn housekeep(&mut self, now_ns: u64) {
        if now_ns >= self.next_ns {
            self.next_ns = now_ns + SECOND_NS;
            self.hand_over();
        }
    }

    /// Hands over what is kept, each order once.
    pub fn hand_over(&mut self) {
        for (length_ns, trace) in self.by_way.traces {
            if length_ns > 0 {
                self.tell(trace);
            }
        }
        for (length_ns, trace) in self.by_answer.traces {
            let is_told = |(_, other): &(u64, OrderTrace)| other.user_ref == trace.user_ref;
            if length_ns > 0 && !self.by_way.traces.iter().any(is_told) {
                self.tell(trace);
            }
        }
        (self.by_way, self.by_answer) = (Kept::new(), Kept::new());
    }

    fn tell(&mut self, mut trace: OrderTrace) {
        trace.missed = self.missed;
        self.missed = match self.out.push(trace) {
            Ok(()) => 0,
            Err(_) => self.missed.saturating_add(1),
        };
    }
}

/// Numbers run on, so their low bits spread evenly.
#[inline]
fn slot_of(user_ref: u32) -> usize {
    user_ref as usize & (REMEMBERED - 1)
}

#[cfg(test)]
mod tests {
    use rt::ring::ring;

    use super::*;

    fn trace(user_ref: u32, way_ns: u64) -> OrderTrace {
        OrderTrace {
            user_ref,
            wire_ns: 1_000,
            submitted_ns: 1_000 + way_ns,
            ..OrderTrace::default()
        }
    }

    #[test]
    fn of_each_second_the_slowest_and_each_once() {
        let (out, mut told) = ring(64).unwrap();
        let mut slowest = Slowest::new(out);
        for user_ref in 1..=500 {
            // 7 and 500 share no factor: every length from 0 to 499, in a mixed order.
            let way_ns = u64::from(user_ref * 7 % 500) + 1;
            slowest.on_submitted(&trace(user_ref, way_ns));
            let answer_ns = if user_ref == 250 { 90_000 } else { 100 };
            slowest.on_acked(UserRefNum(user_ref), 1_000 + way_ns + answer_ns);
        }
        slowest.housekeep(1);
        let told: Vec<OrderTrace> = std::iter::from_fn(|| told.pop()).collect();
        let mut ways: Vec<u64> = told.iter().map(OrderTrace::way_ns).collect();
        ways.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(ways[..KEPT], [500, 499, 498, 497, 496, 495, 494, 493]);
        assert!(told.iter().any(|trace| trace.answer_ns() == 90_000));
        assert!(told.iter().all(|trace| trace.acked_ns > 0));
        let mut numbers: Vec<u32> = told.iter().map(|trace| trace.user_ref).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), told.len());
    }

    #[test]
    fn a_new_second_begins_empty_and_an_old_answer_is_nobodys() {
        let (out, mut told) = ring(64).unwrap();
        let mut slowest = Slowest::new(out);
        slowest.on_submitted(&trace(1, 5_000));
        slowest.housekeep(SECOND_NS);
        assert_eq!(told.pop().map(|trace| trace.user_ref), Some(1));
        slowest.on_submitted(&trace(1 + 1024, 10));
        slowest.on_acked(UserRefNum(1), 999_999);
        slowest.housekeep(SECOND_NS + 1);
        assert_eq!(told.pop(), None, "the second is not over");
        slowest.housekeep(3 * SECOND_NS);
        let trace = told.pop().unwrap();
        assert_eq!((trace.user_ref, trace.acked_ns), (1025, 0));
    }

    #[test]
    fn watch_is_told_at_once_of_orders_of_its_feed_that_took_longer() {
        let (out, _told) = ring(4).unwrap();
        let (to_first, mut first) = ring(2).unwrap();
        let (to_second, mut second) = ring(2).unwrap();
        let watch = |feed, over_ns, out| Watch {
            feed,
            over_ns,
            out,
            missed: 0,
        };
        let watches = vec![watch(0, 100, to_first), watch(1, 50, to_second)];
        let mut slowest = Slowest::new(out).with_watches(watches);
        let of_feed = |feed, user_ref, way_ns| OrderTrace {
            feed,
            seen_ns: 1_000,
            ..trace(user_ref, way_ns)
        };
        let no_packet = OrderTrace {
            seen_ns: 0,
            ..of_feed(0, 6, 900)
        };
        let orders = [
            of_feed(0, 1, 100),
            of_feed(0, 2, 101),
            of_feed(1, 3, 51),
            of_feed(1, 4, 50),
            of_feed(2, 5, 900),
            no_packet,
            of_feed(0, 7, 200),
            of_feed(0, 8, 200),
        ];
        orders.iter().for_each(|order| slowest.on_submitted(order));
        let told = |ring: &mut rt::ring::Consumer<OrderTrace>| -> Vec<(u32, u32)> {
            let told = std::iter::from_fn(|| ring.pop());
            told.map(|it| (it.user_ref, it.missed)).collect()
        };
        assert_eq!(told(&mut first), [(2, 0), (7, 0)]);
        assert_eq!(told(&mut second), [(3, 0)]);
        slowest.on_submitted(&of_feed(0, 9, 200));
        assert_eq!(told(&mut first), [(9, 1)]);
    }

    #[test]
    fn stories_that_housekeeping_does_not_take_are_counted() {
        let (out, mut told) = ring(4).unwrap();
        let mut slowest = Slowest::new(out);
        for user_ref in 1..=8 {
            slowest.on_submitted(&trace(user_ref, 10));
        }
        slowest.hand_over();
        while told.pop().is_some() {}
        slowest.on_submitted(&trace(9, 10));
        slowest.hand_over();
        assert_eq!(told.pop().map(|trace| trace.missed), Some(4));
    }
}
