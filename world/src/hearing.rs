//! The gateway's feed handler, fed packet by packet from a venue's lines, and the checks of what it says.
//!
//! Checked after each packet: events come without a hole that was not announced; while the feed says that a
//! symbol's book is good, the table of best prices is what the exchange had after the last message heard.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::{Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use rt::clock::Clock;
use rt::mem::Want;

use crate::venue::{Flying, LINES, Venue};
use crate::{MS, SECOND_NS};

/// Silence after which the feed is stale.
const STALE_NS: u64 = 2 * SECOND_NS;
/// Quiet turns: one of 16 looks at the clock.
const QUIET_TURNS: usize = 16;
/// Events that a strategy may be behind.
const ROOM: usize = 256;

#[derive(Default)]
struct Arrived {
    packets: Rc<RefCell<VecDeque<Flying>>>,
    has_taken: bool,
}

impl PacketSource for Arrived {
    fn acquire(&mut self) -> usize {
        self.has_taken = !self.packets.borrow().is_empty();
        usize::from(self.has_taken)
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        if let Some(first) = self.packets.borrow().front().filter(|_| self.has_taken) {
            on_packet(Packet {
                payload: &first.payload,
                wire_ns: 0,
                line: first.line,
            });
        }
    }

    fn release(&mut self) {
        if self.has_taken {
            self.packets.borrow_mut().pop_front();
        }
    }

    fn housekeep(&mut self) {}
}

/// What the feed has said, summed up over a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Messages that became events.
    pub messages: u64,
    /// Gaps announced.
    pub gaps: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Times that every line was silent.
    pub silences: u64,
    /// Times that a table of best prices was held against the exchange's book.
    pub compared: u64,
}

impl std::ops::AddAssign for Heard {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.sessions += other.sessions;
        self.silences += other.silences;
        self.compared += other.compared;
    }
}

/// One feed of a gateway.
pub(crate) struct Hearing {
    feed: Feed<Arrived, Nasdaq>,
    packets: Rc<RefCell<VecDeque<Flying>>>,
    counters: Arc<Counters>,
    pub(crate) prices: Arc<BestPrices>,
    events: Listener,
    /// The venue's session that the feed is in.
    session: usize,
    /// The number of the message that must come next, if that is known.
    next: Option<u64>,
    last_packet_ns: u64,
    compared: u64,
    /// What strategies hold, in the order of their ways, until they take it.
    pub(crate) listeners: VecDeque<Listener>,
}

impl Hearing {
    /// Joins a feed whenever that is. Each way is that of a strategy that hears every symbol.
    pub(crate) fn new(feed: u16, strategies: &[Way], gap_timeout_ns: u64, now_ns: u64) -> Self {
        let limits = Limits {
            orders_max: 1 << 12,
            levels_max: 1 << 12,
        };
        let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
        let mut publisher = Publisher::new(Arc::clone(&prices), ROOM);
        let mut listen = |way, room| {
            let listener = publisher.listen(Subscription::All, way, room);
            listener.expect("a power of two")
        };
        let events = listen(Way::Own, 1 << 10);
        let listeners = strategies.iter().map(|way| listen(*way, ROOM)).collect();
        let counters = Arc::new(Counters::default());
        let source = Arrived::default();
        let packets = Rc::clone(&source.packets);
        let feed = Feed::new(Parts {
            source,
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).expect("memory"),
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed,
            lines: LINES,
            stale_ns: STALE_NS,
        });
        Self {
            feed,
            packets,
            counters,
            prices,
            events,
            session: 0,
            next: None,
            last_packet_ns: now_ns,
            compared: 0,
            listeners,
        }
    }

    /// Hears what arrives from the venue until now, and then the silence.
    pub(crate) fn turn(&mut self, venue: &mut Venue, clock: &Clock) {
        let packets = &self.packets;
        venue.advance(clock.now_ns(), |flying| {
            packets.borrow_mut().push_back(flying);
        });
        while !self.packets.borrow().is_empty() {
            self.last_packet_ns = clock.now_ns();
            self.poll(venue, clock);
        }
        for _ in 0..QUIET_TURNS {
            self.poll(venue, clock);
        }
        let is_silent = clock.now_ns() > self.last_packet_ns + STALE_NS + MS;
        assert!(
            !is_silent || self.prices.feed_is_stale(),
            "a silent feed passes for fresh"
        );
    }

    fn poll(&mut self, venue: &Venue, clock: &Clock) {
        let begun = self.counters.arbiter.sessions_begun.get();
        self.feed.poll(clock);
        let has_begun = self.counters.arbiter.sessions_begun.get() > begun;
        if has_begun {
            self.session = venue.session;
            self.next = None;
        }
        let mut has_news = has_begun;
        while let Some(event) = self.events.hear() {
            has_news = true;
            self.hear(&event);
        }
        if has_news {
            self.compare(venue);
        }
    }

    fn hear(&mut self, event: &MarketEvent) {
        assert_ne!(
            event.kind,
            Kind::Lagged,
            "the checker's ring is large enough"
        );
        if event.kind == Kind::Gap {
            let first = event.gap_first().expect("a gap").0;
            assert_eq!(first, self.next.unwrap_or(1), "a gap begins elsewhere");
            self.next = Some(first + event.number);
            assert!(self.prices.feed_is_stale(), "a gap leaves the feed fresh");
        } else if event.kind == Kind::EndOfSession || event.is_news() {
            // These have no number of their own.
        } else {
            let seq = event.origin.seq;
            assert_eq!(seq, self.next.unwrap_or(1), "a hole that nobody announced");
            self.next = Some(seq + 1);
        }
    }

    fn compare(&mut self, venue: &Venue) {
        let Some(last) = self.next.map(|next| next - 1) else {
            return;
        };
        let Some(truth) = venue.prices_after(self.session, last) else {
            return;
        };
        for (locate, truth) in (1..).zip(truth) {
            if !self.prices.is_stale(locate) {
                let heard = self.prices.load(locate).unwrap_or_default();
                assert_eq!(
                    heard, *truth,
                    "best prices of {locate} after message {last}"
                );
                self.compared += 1;
            }
        }
    }

    /// On a calm network, with everything arrived: the feed is whole, and says so.
    pub(crate) fn is_whole(&self, venue: &Venue) -> bool {
        let is_at_end = self.session == venue.session && self.next == Some(venue.last_seq() + 1);
        is_at_end && !self.prices.feed_is_stale()
    }

    /// The sum of what it has heard.
    pub(crate) fn heard(&self) -> Heard {
        let counters = &self.counters;
        Heard {
            messages: counters.arbiter.messages.get(),
            gaps: counters.arbiter.gaps.get(),
            sessions: counters.arbiter.sessions_begun.get(),
            silences: counters.feed.silences.get(),
            compared: self.compared,
        }
    }
}
