//! Everything behind the arbiter: messages become changes of books, and events for strategies.
//!
//! Path:        arbiter -> venue's message -> book -> publish
//! Thread:      feed core, hot
//! Invariants:  the table of best prices is stale whenever an event would say so, and from before that
//!              event on. Fresh follows stale only when nothing is missing: a gap lasts until a snapshot
//!              has taken its place or another session begins, an end until then.
//! When wrong:  a message that cannot be read keeps its number and is counted; one of a known type is a gap.
//!
//! A new session clears what belonged to the old day (books, best prices, what locate codes stand for),
//! after strategies have been told its end. That takes about a millisecond, and more where many orders
//! were left: once a day, when nothing trades.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::types::{DecodeError, OrderRef, Seq, Side, Symbol};
use rt::clock::Clock;
use rt::histograms;

use crate::arbiter::StreamSink;
use crate::best_prices::BestPrices;
use crate::book::{Books, CheckCounters, Cursor, Fault, Glimpse};
use crate::changes::Changes;
use crate::counters::Counters;
use crate::event::{
    DELTA_UNKNOWN, FLAG_BBO_CHANGED, FLAG_NO_MESSAGE, FLAG_STALE, Kind, MarketEvent, Origin,
    delta_ns,
};
use crate::message::{Effect, Message};
use crate::position::Position;
use crate::publish::Publisher;
use crate::recent::Recent;
use crate::recovery::rejoin::Rejoin;
use crate::status::{STALE_ENDED, STALE_GAP, STALE_SILENT, STALE_WAITING, Status};
use crate::venue::Venue;

/// Orders, and empty sides of books, that one quiet turn in 16 checks: less than a message costs. With all
/// turns quiet every book has been looked through in some 20 ms.
const CHECK_ORDERS: u32 = 16;

histograms! {
    /// The histograms that this stage writes: the wire's for each packet that has a stamp, the next for each
    /// message that went to a strategy, the last two for each hole that was filled and each gap that a snapshot ended.
    pub struct FeedHistograms {
        /// frame's stamp in the kernel -> feed stage has it
        wire_to_seen,
        /// feed stage has it -> event in the ring
        seen_to_published,
        /// a packet ahead shows a hole -> another line or a server has filled it
        hole_to_filled,
        /// a snapshot is loaded -> the feed is fresh by it
        snapshot_to_fresh,
    }
}

/// Books, table and strategies.
#[derive(Debug)]
pub(crate) struct Room<V> {
    venue: V,
    pub(crate) books: Books,
    pub(crate) best_prices: Arc<BestPrices>,
    pub(crate) publisher: Publisher,
    pub(crate) histograms: FeedHistograms,
    feed: u16,
    /// Where the check of the books goes on.
    checked: Cursor,
    recent: Recent,
    /// `STALE_` bits.
    pub(crate) stale: u64,
    /// What they mean for events.
    stale_flag: u8,
    /// Messages are copied for a snapshot.
    pub(crate) is_tapped: bool,
    /// Something of recovery is to be done in the next turn.
    pub(crate) is_recovering: bool,
    /// What is done about gaps; `None`: nothing.
    pub(crate) rejoin: Option<Box<Rejoin>>,
    /// Strategies have been told that the feed is stale, and not yet that it is fresh.
    has_told_stale: bool,
}

/// Who hears of it.
#[derive(Debug)]
pub(crate) struct Audience {
    pub(crate) publisher: Publisher,
    pub(crate) histograms: FeedHistograms,
}

impl<V> Room<V> {
    pub(crate) fn new(venue: V, books: Books, audience: Audience, feed: u16) -> Self {
        let Audience {
            mut publisher,
            histograms,
        } = audience;
        publisher.forget_directory();
        let room = Self {
            venue,
            books,
            best_prices: Arc::clone(publisher.prices()),
            publisher,
            histograms,
            feed,
            checked: Cursor::default(),
            recent: Recent::default(),
            stale: STALE_SILENT,
            stale_flag: FLAG_STALE,
            is_tapped: false,
            is_recovering: false,
            rejoin: None,
            has_told_stale: false,
        };
        room.best_prices.statuses().set_unheard(true);
        room.best_prices.set_stale(true);
        room
    }

    pub(crate) fn show(&self, status: &Status) {
        status.stale.store(self.stale, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn feed(&self) -> u16 {
        self.feed
    }

    /// Whether the next turn shall look, whatever the time: news waits, a silence may be over, or recovery
    /// goes on.
    #[inline]
    pub(crate) fn wants_look(&self) -> bool {
        self.publisher.has_news() || self.is_recovering || self.stale & STALE_SILENT != 0
    }

    /// Whether strategies have still to be told something.
    pub(crate) fn has_news(&self) -> bool {
        self.publisher.has_news()
    }

    /// Looks at a few orders of the books while nothing arrives. A book that is not what its orders are is
    /// stale until a snapshot; a crossed one is only counted, since it may be an auction's.
    pub(crate) fn check(&mut self, counters: &CheckCounters) {
        let mut broken = None;
        let prices = &self.best_prices;
        self.books
            .check(&mut self.checked, CHECK_ORDERS, counters, |fault| {
                if let Fault::Broken(locate) = fault {
                    prices.set_incomplete(locate);
                    broken = Some(locate);
                }
            });
        if let Some(locate) = broken {
            self.books.contradict(locate);
        }
    }

    #[inline]
    pub(crate) fn prefetch(&self) {
        self.publisher.prefetch();
    }

    /// Brings near what the next message is likely to touch: places in rings and histograms, and what the symbols that
    /// strategies heard of last have in books and table. It changes nothing.
    pub(crate) fn prefetch_next(&self) {
        self.publisher.prefetch();
        self.histograms.prefetch();
        for locate in self.recent.symbols() {
            let target = self.books.prefetch_slot(Glimpse {
                locate,
                reference: 0,
            });
            self.books.prefetch_order(target);
            self.best_prices.prefetch(locate);
            self.publisher.prefetch_wanted(locate);
        }
    }

    /// Brings a symbol's levels up to date where somebody hears it; whether somebody does.
    pub(crate) fn show_depth(&self, locate: u16, changed: Position) -> bool {
        let Some(depths) = self.best_prices.depths() else {
            return false;
        };
        let is_shown =
            self.publisher.is_wanted(locate) && u32::from(locate) < self.best_prices.rows_used();
        if is_shown {
            let sides = [Side::Buy, Side::Sell].map(|side| self.books.depth(locate, side));
            depths.store(locate, sides, changed);
        }
        is_shown
    }

    #[inline]
    pub(crate) fn wire_to_seen(&mut self, wire_ns: u64, seen_ns: u64, counters: &Counters) -> u32 {
        let delta = delta_ns(wire_ns, seen_ns);
        if delta != DELTA_UNKNOWN {
            self.histograms.wire_to_seen.record(u64::from(delta));
        } else if wire_ns != 0 {
            counters.feed.stamps_backwards.increment();
        }
        delta
    }
}

/// One packet's way through the room.
pub(crate) struct Delivery<'a, V> {
    pub(crate) origin: Origin,
    pub(crate) room: &'a mut Room<V>,
    pub(crate) counters: &'a Counters,
    pub(crate) clock: &'a Clock,
}

impl<V: Venue> StreamSink for Delivery<'_, V> {
    fn on_session(&mut self, first: Seq, is_first_session: bool) {
        self.room.venue.begin_session();
        if !is_first_session {
            self.room.books.clear();
            let begin = self.room.publisher.position(0);
            self.room.best_prices.clear(begin);
            self.room.publisher.forget_directory();
        }
        if let Some(rejoin) = &mut self.room.rejoin {
            rejoin.on_session();
            (self.room.is_tapped, self.room.is_recovering) = (false, true);
        }
        // Who joins late is stale until the gap before the first packet is announced.
        let stale = if first.0 <= 1 { 0 } else { STALE_SILENT };
        self.set_stale(stale);
    }

    /// Silence is over before the message that ends it: who hears it may trade on it.
    #[inline]
    fn on_next(&mut self) {
        self.on_whole();
    }

    #[inline]
    fn books(&self) -> Option<&Books> {
        Some(&self.room.books)
    }

    #[inline]
    fn on_message(&mut self, seq: Seq, bytes: &[u8]) {
        self.origin.seq = seq.0;
        if self.room.is_tapped {
            self.tap(seq, bytes);
        }
        let message = match self.room.venue.message(bytes) {
            Ok(message) => message,
            Err(error) => return self.on_unread(seq, &error),
        };
        if let Some(symbol) = message.names {
            self.on_name(&message, symbol);
        }
        let changed = self.room.publisher.position(seq.0);
        let Room {
            books,
            best_prices,
            publisher,
            ..
        } = &mut *self.room;
        let mut changes = Changes {
            locate: message.locate,
            price: message.price,
            qty: message.qty,
            flags: 0,
            best_prices,
            publisher,
            changed,
            counters: self.counters,
            bytes,
            venue: PhantomData::<V>,
        };
        books.apply(&message, &self.counters.book, &mut changes);
        let Changes {
            price, qty, flags, ..
        } = changes;
        // Most symbols of a market are nobody's: no event is made that nobody hears.
        if self.room.publisher.is_wanted(message.locate) {
            if let Effect::Replace(old) = message.effect
                && self.room.publisher.tells_leaves()
            {
                self.tell_leave(&message, old);
            }
            let mut event = self.event_of(&message);
            (event.price, event.qty) = (price, qty);
            event.flags |= flags | message.effect.flags();
            self.room.recent.note(message.locate);
            self.publish_wanted(event);
        }
    }

    fn on_gap(&mut self, first: Seq, count: u64) {
        self.counters
            .status
            .gap_first
            .store(first.0, Ordering::Relaxed);
        if let Some(rejoin) = &mut self.room.rejoin {
            rejoin.on_gap(self.origin.seen_ns);
            self.room.is_recovering = true;
        }
        self.room.best_prices.statuses().on_gap();
        self.set_stale(self.room.stale | STALE_GAP);
        self.announce(Kind::Gap, first.0, count);
    }

    fn on_filled(&mut self, opened_ns: u64) {
        let waited_ns = self.origin.seen_ns.saturating_sub(opened_ns);
        self.room.histograms.hole_to_filled.record(waited_ns);
    }

    fn on_missing(&mut self, first: Seq, count: u64) -> bool {
        let Some(rejoin) = &mut self.room.rejoin else {
            return false;
        };
        let is_asked = rejoin.on_missing(first.0, count);
        if is_asked {
            self.room.is_recovering = true;
            self.set_stale(self.room.stale | STALE_WAITING);
        }
        is_asked
    }

    fn on_end_of_session(&mut self, next: Seq) {
        // A next session begins with empty books; these are full of the last one's orders.
        self.set_stale(self.room.stale | STALE_ENDED);
        self.announce(Kind::EndOfSession, next.0, 0);
    }
}

impl<V: Venue> Delivery<'_, V> {
    /// A message that cannot be read: of a new type, or of none, it says nothing of the books; of a known one it does,
    /// and nobody knows what.
    #[cold]
    fn on_unread(&mut self, seq: Seq, error: &DecodeError) {
        match error {
            DecodeError::UnknownType(_) | DecodeError::Empty => {
                self.counters.feed.unknown.increment();
            }
            DecodeError::WrongLength { .. } | DecodeError::BadAppendage => {
                self.counters.feed.malformed.increment();
                self.on_gap(seq, 1);
            }
        }
    }
}

impl<V> Delivery<'_, V> {
    /// No line speaks.
    pub(crate) fn on_silence(&mut self) {
        self.counters.feed.silences.increment();
        self.set_stale(self.room.stale | STALE_SILENT);
        self.announce(Kind::Stale, 0, 0);
    }

    /// A line speaks, and nothing up to where it is is waited for.
    #[inline]
    pub(crate) fn on_whole(&mut self) {
        if self.room.stale & STALE_SILENT != 0 {
            self.set_stale(self.room.stale & !STALE_SILENT);
        }
    }

    /// Tells strategies what found their ring full.
    pub(crate) fn tell_news(&mut self) {
        if self.room.publisher.has_news() {
            let is_stale = self.room.stale != 0;
            self.room
                .publisher
                .tell_news(self.origin, is_stale, &self.counters.publish);
        }
    }

    /// Says how the feed is from here on: the table first, then strategies if it is fresh again. That
    /// it is stale is said by the event that made it so.
    #[cold]
    pub(crate) fn set_stale(&mut self, stale: u64) {
        self.room.stale = stale;
        let is_told = stale & !STALE_WAITING != 0;
        self.room.stale_flag = if is_told { FLAG_STALE } else { 0 };
        self.room.show(&self.counters.status);
        // What a gap hides of a status is told piece by piece; a silence hides everything.
        let statuses = self.room.best_prices.statuses();
        statuses.set_unheard(stale & !STALE_GAP != 0);
        self.room.best_prices.set_stale(stale != 0);
        if stale == 0 && self.room.has_told_stale {
            self.announce(Kind::Fresh, 0, 0);
        }
    }

    /// Tells every strategy what is no message.
    #[cold]
    fn announce(&mut self, kind: Kind, seq: u64, number: u64) {
        self.tell_news();
        self.room.has_told_stale = kind != Kind::Fresh;
        let origin = Origin { seq, ..self.origin };
        let published_ns = self.clock.now_ns();
        let event = MarketEvent {
            number,
            published_delta_ns: delta_ns(origin.seen_ns, published_ns),
            flags: self.room.stale_flag,
            ..MarketEvent::bare(kind, origin)
        };
        self.room.publisher.announce(&event, &self.counters.publish);
    }

    /// Gives the event to every strategy that hears its symbol, if there is one.
    pub(crate) fn publish(&mut self, event: MarketEvent) {
        if self.room.publisher.is_wanted(event.locate) {
            self.publish_wanted(event);
        }
    }

    /// Stamps the event and gives it to every strategy that hears its symbol.
    #[inline]
    fn publish_wanted(&mut self, mut event: MarketEvent) {
        if self.room.publisher.has_news() {
            self.tell_news();
        }
        let Room {
            publisher,
            histograms,
            ..
        } = &mut *self.room;
        let published_ns = self.clock.now_ns();
        event.published_delta_ns = delta_ns(event.origin.seen_ns, published_ns);
        // What a snapshot brought, no frame did.
        if !event.has(FLAG_NO_MESSAGE) {
            histograms
                .seen_to_published
                .record(u64::from(event.published_delta_ns));
        }
        publisher.publish(&event, &self.counters.publish);
    }

    /// A message is the first to say what a locate code stands for. Where that is not what it is about,
    /// strategies hear it before the message.
    #[cold]
    fn on_name(&mut self, message: &Message, symbol: Symbol) {
        self.learn(message.locate, symbol);
        // Until now it may have been nobody's.
        let named = self.room.publisher.position(self.origin.seq);
        self.room.show_depth(message.locate, named);
        if message.kind != Kind::Directory {
            let mut event = MarketEvent::bare(Kind::Directory, self.origin);
            (event.locate, event.exchange_ns) = (message.locate, message.exchange_ns);
            event.number = u64::from_ne_bytes(symbol.0);
            event.flags = self.room.stale_flag;
            self.publish(event);
        }
    }

    /// What a locate code stands for, from this message on.
    pub(crate) fn learn(&mut self, locate: u16, symbol: Symbol) {
        let Room {
            best_prices,
            publisher,
            ..
        } = &mut *self.room;
        let named = publisher.position(self.origin.seq);
        best_prices.store_symbol(locate, symbol, named);
        publisher.on_directory(locate, symbol);
    }

    /// An event of a symbol that no message caused: how it stands now.
    pub(crate) fn tell_symbol(&mut self, kind: Kind, locate: u16, number: u64) {
        let mut event = self.event_of(&Message::bare(kind, locate));
        event.number = number;
        event.flags |= FLAG_BBO_CHANGED | FLAG_NO_MESSAGE;
        event.origin.seq = self.room.publisher.last_seq();
        self.publish(event);
    }

    /// Which order left, for who keeps books of events: a replace's own event has the number of the new one.
    fn tell_leave(&mut self, message: &Message, old: OrderRef) {
        let mut event = self.event_of(message);
        (event.kind, event.number) = (Kind::Leave, old.0);
        self.publish_wanted(event);
    }

    /// The event of a message that the books have taken: it may be the one that found no room.
    #[inline]
    fn event_of(&self, message: &Message) -> MarketEvent {
        let (books, locate) = (&self.room.books, message.locate);
        let best = books.best(locate);
        let is_stale = self.room.stale_flag != 0 || books.is_incomplete(locate);
        MarketEvent {
            exchange_ns: message.exchange_ns,
            number: message.number,
            bid_price: best.bid_price,
            bid_qty: best.bid_qty,
            ask_price: best.ask_price,
            ask_qty: best.ask_qty,
            locate,
            flags: if is_stale { FLAG_STALE } else { 0 },
            ..MarketEvent::bare(message.kind, self.origin)
        }
    }
}
