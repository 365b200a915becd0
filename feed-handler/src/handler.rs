//! What becomes of a packet, whichever source it came from: one machine code for all of them, and for rehearsals.
//!
//! Path:        feed -> arbiter -> room (venue's message -> book -> publish)
//! Thread:      feed core, hot
//! Invariants:  every packet ends in exactly one counter. `on_packet` is compiled once for a venue and never inlined, so
//!              that an understudy's call warms what the real one runs.

use std::sync::Arc;

use rt::clock::Clock;
use rt::mem::prefetch_whole;

use crate::arbiter::{Arbiter, Arrival, Standing};
use crate::book::Books;
use crate::counters::Counters;
use crate::event::{DELTA_UNKNOWN, Origin};
use crate::lines::Lines;
use crate::publish::Publisher;
use crate::race::Race;
use crate::room::{Audience, Delivery, FeedHistograms, Room};
use crate::source::Packet;
use crate::venue::Venue;

/// What a feed is made of.
#[derive(Debug)]
pub struct Parts<S, V: Venue> {
    /// Where packets come from.
    pub source: S,
    /// Reads messages.
    pub venue: V,
    /// Merges the lines.
    pub arbiter: Arbiter<V>,
    /// The books' memory.
    pub books: Books,
    /// The strategies that listen, and the table for everybody else.
    pub publisher: Publisher,
    /// Counters, shared with housekeeping.
    pub counters: Arc<Counters>,
    /// Histograms.
    pub histograms: FeedHistograms,
    /// Number of this feed in the configuration.
    pub feed: u16,
    /// How many lines it has, 1 to 64.
    pub lines: usize,
    /// Silence after which a line is silent, and with all of them the feed stale, ns; not 0.
    pub stale_ns: u64,
}

impl<S, V: Venue> Parts<S, V> {
    /// The same, with packets from elsewhere.
    pub fn with_source<T>(self, source: T) -> Parts<T, V> {
        Parts {
            source,
            venue: self.venue,
            arbiter: self.arbiter,
            books: self.books,
            publisher: self.publisher,
            counters: self.counters,
            histograms: self.histograms,
            feed: self.feed,
            lines: self.lines,
            stale_ns: self.stale_ns,
        }
    }
}

/// Everything of a feed behind its source.
#[derive(Debug)]
pub(crate) struct Handler<V: Venue> {
    arbiter: Arbiter<V>,
    lines: Lines,
    pub(crate) race: Race,
    pub(crate) room: Room<V>,
    pub(crate) counters: Arc<Counters>,
    /// Since the last silence a packet has said how far the stream is.
    is_current: bool,
    /// Everybody has been told that the feed is silent.
    is_silent: bool,
}

/// When a packet was seen, and among how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// One clock read for all packets of a turn.
    pub(crate) ns: u64,
    /// Packets taken together, 255 at most.
    pub(crate) batch: u8,
    /// How many of them came before.
    pub(crate) place: u8,
}

impl<V: Venue> Handler<V> {
    /// The source, and everything behind it.
    pub(crate) fn new<S>(parts: Parts<S, V>) -> (S, Self) {
        let Parts {
            source,
            venue,
            arbiter,
            books,
            publisher,
            counters,
            histograms,
            feed,
            lines,
            stale_ns,
        } = parts;
        let audience = Audience {
            publisher,
            histograms,
        };
        let room = Room::new(venue, books, audience, feed);
        room.show(&counters.status);
        let handler = Self {
            arbiter,
            lines: Lines::new(lines, stale_ns),
            race: Race::new(lines),
            room,
            counters,
            is_current: false,
            is_silent: false,
        };
        (source, handler)
    }

    /// Takes one packet the whole way.
    #[inline(never)]
    pub(crate) fn on_packet(&mut self, packet: &Packet<'_>, seen: Seen, clock: &Clock) {
        let Self {
            arbiter,
            lines,
            race,
            room,
            counters,
            is_current,
            is_silent,
        } = self;
        counters.feed.packets.increment();
        let wire_delta_ns = room.wire_to_seen(packet.wire_ns, seen.ns, counters);
        let mut delivery = Delivery {
            origin: Origin {
                seq: 0,
                seen_ns: seen.ns,
                wire_delta_ns,
                feed: room.feed(),
                batch: seen.batch,
                place: seen.place,
            },
            room,
            counters,
            clock,
        };
        let arrival = Arrival {
            payload: packet.payload,
            line: packet.line,
            now_ns: seen.ns,
        };
        let verdict = arbiter.on_packet(&arrival, &counters.arbiter, &mut delivery);
        race.on_verdict(&verdict, packet, seen.ns);
        let standing = verdict.standing;
        if standing != Standing::Strange && lines.on_heard(packet.line, seen.ns) {
            on_returned(lines, counters);
        }
        if standing == Standing::Current {
            (*is_current, *is_silent) = (true, false);
            lines.on_current(seen.ns);
        }
    }

    /// Brings near what the next packet is likely to touch, its own state first. It changes nothing.
    pub(crate) fn prefetch_next(&self) {
        prefetch_whole(self);
        prefetch_whole(&*self.counters);
        self.room.prefetch_next();
    }

    /// Whether a turn without packets has to look at the time.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.room.wants_look() || self.arbiter.deadline_ns() != u64::MAX
    }

    /// When something is due beside packets: a hole, a line's silence, news that waits (at once).
    #[inline]
    pub(crate) fn look_ns(&self) -> u64 {
        if self.room.wants_look() {
            return 0;
        }
        self.arbiter.deadline_ns().min(self.lines.look_ns())
    }

    #[cold]
    pub(crate) fn look(&mut self, now_ns: u64, clock: &Clock) {
        let due_ns = self.arbiter.deadline_ns().min(self.lines.look_ns());
        // While the feed is silent each turn looks: most find nothing.
        if now_ns >= due_ns || self.is_current || self.room.has_news() {
            clock.keep_turn();
        }
        let Self {
            arbiter,
            lines,
            race,
            room,
            counters,
            is_current,
            is_silent,
        } = self;
        let origin = Origin {
            seq: 0,
            seen_ns: now_ns,
            wire_delta_ns: DELTA_UNKNOWN,
            feed: room.feed(),
            batch: 0,
            place: 0,
        };
        let mut delivery = Delivery {
            origin,
            room,
            counters,
            clock,
        };
        arbiter.on_timeout(now_ns, &counters.arbiter, &mut delivery);
        if delivery.room.is_recovering {
            delivery.recover(arbiter, now_ns);
        }
        if now_ns >= lines.look_ns() {
            let fell_silent = lines.look(now_ns);
            race.look(arbiter.next_seq().0);
            counters.feed.lines_silenced.add(fell_silent);
            counters.status.set_silent_lines(lines.silent_mask());
            if lines.is_feed_silent(now_ns) {
                *is_current = false;
                if !std::mem::replace(is_silent, true) {
                    delivery.on_silence();
                }
            }
        }
        if *is_current && arbiter.is_whole() {
            delivery.on_whole();
        }
        delivery.tell_news();
    }
}

#[cold]
fn on_returned(lines: &Lines, counters: &Counters) {
    counters.feed.lines_returned.increment();
    counters.status.set_silent_lines(lines.silent_mask());
}
