//! The feed stage: packets in, books kept, events out.
//!
//! Path:        source -> arbiter -> protocol::itch -> book -> publish
//! Thread:      feed core, hot
//! Invariants:  every packet ends in exactly one counter; every message that is delivered becomes one
//!              event for each strategy that hears its symbol.
//! Time:        `seen` is one clock read for all packets taken at once, so that waiting behind the
//!              first of them counts; `published` is one read for each event.

use std::sync::Arc;

use protocol::itch::Message;
use protocol::types::{DecodeError, OrderRef, Price4, Qty, Seq};
use rt::clock::Clock;
use rt::counters;
use rt::histogram::Recorder;

use crate::arbiter::{Arbiter, ArbiterCounters, StreamSink};
use crate::best_prices::{BestPrice, BestPrices};
use crate::book::{Bbo, BookCounters, BookSink, Books, TradePrint};
use crate::event::{
    DELTA_UNKNOWN, FLAG_BBO_CHANGED, FLAG_STALE, FLAG_TRADE, KIND_END_OF_SESSION, KIND_GAP,
    MarketEvent, Origin, delta_ns,
};
use crate::publish::{PublishCounters, Subscriber};
use crate::source::PacketSource;

/// One turn in this many is measured: four more clock reads, 40 ns, in one turn of sixteen.
const SAMPLE_EVERY: u64 = 16;

counters! {
    /// What arrived, and how much of it could be read.
    pub struct FeedCounters {
        /// Packets taken from the source.
        packets,
        /// Packets whose wire stamp lies after the moment we saw them: a clock is wrong.
        stamps_backwards,
        /// Messages of a type that ITCH 5.0 does not know; skipped.
        unknown,
        /// Messages whose length is not their type's; skipped.
        malformed,
        /// Packets of measured turns: every 16th.
        sampled_packets,
        /// Time that those turns took to get packets from the kernel and give them back, ns.
        sampled_receive_ns,
        /// Time that those turns took for everything else, ns.
        sampled_handle_ns,
        /// Time of measured turns that found nothing, ns.
        sampled_idle_ns,
    }
}

/// All counters of one feed.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets and messages read.
    pub feed: FeedCounters,
    /// Lines and gaps.
    pub arbiter: ArbiterCounters,
    /// Books.
    pub book: BookCounters,
    /// Events.
    pub publish: PublishCounters,
}

/// The histograms that this stage writes.
#[derive(Debug, Default)]
pub struct FeedHistograms {
    /// Wire stamp to `seen`, each packet that has one.
    pub wire_to_seen: Recorder,
    /// `seen` to `published`, each message that went to a strategy.
    pub seen_to_published: Recorder,
}

/// One feed's stage.
#[derive(Debug)]
pub struct Feed<S> {
    source: S,
    arbiter: Arbiter,
    room: Room,
    counters: Arc<Counters>,
    turns: u64,
}

/// Everything behind the arbiter.
#[derive(Debug)]
struct Room {
    books: Books,
    best_prices: Arc<BestPrices>,
    subscribers: Vec<Subscriber>,
    histograms: FeedHistograms,
    feed: u16,
    is_stale: bool,
}

/// What a feed is made of.
#[derive(Debug)]
pub struct Parts<S> {
    /// Where packets come from.
    pub source: S,
    /// Merges the lines.
    pub arbiter: Arbiter,
    /// The books' memory.
    pub books: Books,
    /// The table for everybody else.
    pub best_prices: Arc<BestPrices>,
    /// The strategies that listen.
    pub subscribers: Vec<Subscriber>,
    /// Counters, shared with housekeeping.
    pub counters: Arc<Counters>,
    /// Histograms.
    pub histograms: FeedHistograms,
    /// Number of this feed in the configuration.
    pub feed: u16,
}

impl<S: PacketSource> Feed<S> {
    /// Puts a feed together.
    pub fn new(parts: Parts<S>) -> Self {
        let Parts {
            source,
            arbiter,
            books,
            best_prices,
            subscribers,
            counters,
            histograms,
            feed,
        } = parts;
        let room = Room {
            books,
            best_prices,
            subscribers,
            histograms,
            feed,
            is_stale: false,
        };
        Self {
            source,
            arbiter,
            room,
            counters,
            turns: 0,
        }
    }

    /// One turn: takes what has arrived and says how many packets that was. Hot: no allocation, no
    /// lock, no panic; system calls only inside the source.
    #[inline]
    pub fn poll(&mut self, clock: &Clock) -> usize {
        self.turns += 1;
        let is_sampled = self.turns.is_multiple_of(SAMPLE_EVERY);
        let asked_ns = if is_sampled { clock.now_ns() } else { 0 };
        let taken = self.source.acquire();
        if taken == 0 {
            if is_sampled {
                let idle_ns = clock.now_ns() - asked_ns;
                self.counters.feed.sampled_idle_ns.add(idle_ns);
            }
            self.on_quiet(clock);
            return 0;
        }
        let Self {
            source,
            arbiter,
            room,
            counters,
            ..
        } = self;
        let seen_ns = clock.now_ns();
        let batch = u8::try_from(taken).unwrap_or(u8::MAX);
        let mut place = 0u8;
        source.each(|packet| {
            counters.feed.packets.increment();
            let wire_delta_ns = room.wire_to_seen(packet.wire_ns, seen_ns, counters);
            let mut delivery = Delivery {
                origin: Origin {
                    seq: 0,
                    seen_ns,
                    wire_delta_ns,
                    feed: room.feed,
                    batch,
                    place,
                },
                room,
                counters,
                clock,
            };
            arbiter.on_packet(packet.payload, seen_ns, &counters.arbiter, &mut delivery);
            place = place.saturating_add(1);
        });
        let handled_ns = if is_sampled { clock.now_ns() } else { 0 };
        source.release();
        room.subscribers.iter().for_each(Subscriber::bring_near);
        if is_sampled {
            let released_ns = clock.now_ns();
            let receive_ns = (seen_ns - asked_ns) + (released_ns - handled_ns);
            counters.feed.sampled_packets.add(taken as u64);
            counters.feed.sampled_receive_ns.add(receive_ns);
            counters.feed.sampled_handle_ns.add(handled_ns - seen_ns);
        }
        taken
    }

    /// Reads what the kernel counts. Slow; between packets.
    pub fn housekeep(&mut self) {
        self.source.housekeep();
    }

    #[inline]
    fn on_quiet(&mut self, clock: &Clock) {
        if self.arbiter.poll_timeout().is_none() {
            return;
        }
        let now_ns = clock.now_ns();
        let Self {
            arbiter,
            room,
            counters,
            ..
        } = self;
        let origin = Origin {
            seq: 0,
            seen_ns: now_ns,
            wire_delta_ns: DELTA_UNKNOWN,
            feed: room.feed,
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
    }
}

impl Room {
    /// From here on the books may not be what the exchange has.
    fn set_stale(&mut self) {
        self.is_stale = true;
        self.best_prices.set_stale(true);
    }

    #[inline]
    fn wire_to_seen(&mut self, wire_ns: u64, seen_ns: u64, counters: &Counters) -> u32 {
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
struct Delivery<'a> {
    origin: Origin,
    room: &'a mut Room,
    counters: &'a Counters,
    clock: &'a Clock,
}

impl StreamSink for Delivery<'_> {
    #[inline]
    fn on_message(&mut self, seq: Seq, bytes: &[u8]) {
        self.origin.seq = seq.0;
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(DecodeError::UnknownType(_)) => return self.counters.feed.unknown.increment(),
            Err(_) => return self.counters.feed.malformed.increment(),
        };
        if let Message::StockDirectory(m) = message {
            self.on_directory(m);
        }
        let mut changes = Changes {
            event: self.event_of(&message),
            best_prices: &self.room.best_prices,
            counters: &self.counters.publish,
        };
        self.room
            .books
            .apply(&message, &self.counters.book, &mut changes);
        let event = changes.event;
        self.publish(event);
    }

    fn on_gap(&mut self, first: Seq, count: u64) {
        self.room.set_stale();
        self.origin.seq = first.0;
        let mut event = self.bare(KIND_GAP);
        event.number = count;
        self.publish(event);
    }

    fn on_end_of_session(&mut self, next: Seq) {
        // A next session begins with empty books; these are full of the last one's orders.
        self.room.set_stale();
        self.origin.seq = next.0;
        let event = self.bare(KIND_END_OF_SESSION);
        self.publish(event);
    }
}

impl Delivery<'_> {
    /// Stamps the event and gives it to every strategy that hears its symbol.
    #[inline]
    fn publish(&mut self, mut event: MarketEvent) {
        let Room {
            subscribers,
            histograms,
            ..
        } = &mut *self.room;
        if !subscribers
            .iter()
            .any(|subscriber| subscriber.wants(event.locate))
        {
            return;
        }
        let published_ns = self.clock.now_ns();
        event.published_delta_ns = delta_ns(event.origin.seen_ns, published_ns);
        histograms
            .seen_to_published
            .record(u64::from(event.published_delta_ns));
        for subscriber in subscribers {
            if subscriber.wants(event.locate) {
                subscriber.publish(&event, &self.counters.publish);
            }
        }
    }

    fn on_directory(&mut self, m: &protocol::itch::StockDirectory) {
        let locate = m.head.locate.get();
        self.room.best_prices.store_symbol(locate, m.stock);
        for subscriber in &mut self.room.subscribers {
            subscriber.on_directory(locate, m.stock);
        }
    }

    /// An event without a message: gap, end of session.
    fn bare(&self, kind: u8) -> MarketEvent {
        MarketEvent {
            origin: self.origin,
            number: 0,
            published_delta_ns: 0,
            price: Price4(0),
            qty: Qty(0),
            bid_price: Price4(0),
            bid_qty: Qty(0),
            ask_price: Price4(0),
            ask_qty: Qty(0),
            locate: 0,
            kind,
            flags: if self.room.is_stale { FLAG_STALE } else { 0 },
        }
    }

    /// The event of a message, best prices as they stand before it.
    #[inline]
    fn event_of(&self, message: &Message<'_>) -> MarketEvent {
        let head = message.head();
        let mut event = self.bare(head.kind);
        event.locate = head.locate.get();
        let (number, price, qty) = match message {
            Message::AddOrder(m) => (m.order.get(), m.price.get(), m.shares.get()),
            Message::AddOrderMpid(m) => (m.order.get(), m.price.get(), m.shares.get()),
            Message::OrderExecuted(m) => (m.order.get(), Price4(0), m.shares.get()),
            Message::OrderExecutedWithPrice(m) => (m.order.get(), m.price.get(), m.shares.get()),
            Message::OrderCancel(m) => (m.order.get(), Price4(0), m.shares.get()),
            Message::OrderDelete(m) => (m.order.get(), Price4(0), Qty(0)),
            Message::OrderReplace(m) => (m.new_order.get(), m.price.get(), m.shares.get()),
            Message::StockDirectory(m) => {
                (OrderRef(u64::from_ne_bytes(m.stock.0)), Price4(0), Qty(0))
            }
            _ => (OrderRef(0), Price4(0), Qty(0)),
        };
        (event.number, event.price, event.qty) = (number.0, price, qty);
        event.set_bbo(&self.room.books.bbo(event.locate));
        if self.room.books.is_incomplete(event.locate) {
            event.flags |= FLAG_STALE;
        }
        event
    }
}

impl MarketEvent {
    #[inline]
    fn set_bbo(&mut self, bbo: &Bbo) {
        let best = best_price(bbo);
        (self.bid_price, self.bid_qty) = (best.bid_price, best.bid_qty);
        (self.ask_price, self.ask_qty) = (best.ask_price, best.ask_qty);
    }
}

/// Hears what a message did to the books.
struct Changes<'a> {
    event: MarketEvent,
    best_prices: &'a BestPrices,
    counters: &'a PublishCounters,
}

impl BookSink for Changes<'_> {
    #[inline]
    fn on_bbo(&mut self, locate: u16, bbo: &Bbo) {
        self.counters.bbo_changes.increment();
        self.best_prices.store(locate, &best_price(bbo));
        // An add with a stale reference may change another symbol's book as well; strategies hear of
        // that in the table.
        if locate == self.event.locate {
            self.event.set_bbo(bbo);
            self.event.flags |= FLAG_BBO_CHANGED;
        }
    }

    #[inline]
    fn on_trade(&mut self, print: &TradePrint) {
        self.counters.trades.increment();
        self.event.price = print.price;
        self.event.qty = shares(print.shares);
        self.event.flags |= FLAG_TRADE;
    }
}

#[inline]
fn best_price(bbo: &Bbo) -> BestPrice {
    BestPrice {
        bid_price: bbo.bid.price,
        bid_qty: shares(bbo.bid.shares),
        ask_price: bbo.ask.price,
        ask_qty: shares(bbo.ask.shares),
    }
}

#[inline]
fn shares(shares: u64) -> Qty {
    Qty(u32::try_from(shares).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use protocol::itch::{AddOrder, Head, StockDirectory, Trade};
    use protocol::mold::PacketBuilder;
    use protocol::types::{MatchNumber, Nanos, Side, Symbol};
    use rt::mem::Want;
    use rt::ring::{Consumer, ring};
    use zerocopy::byteorder::big_endian::U32;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;
    use crate::book::Limits;
    use crate::publish::Subscription;
    use crate::source::Packet;

    /// Packets that a test puts in.
    #[derive(Default)]
    struct Script(std::rc::Rc<std::cell::RefCell<Vec<Vec<u8>>>>);

    impl PacketSource for Script {
        fn acquire(&mut self) -> usize {
            self.0.borrow().len()
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            for payload in self.0.borrow().iter() {
                on_packet(Packet {
                    payload,
                    wire_ns: 1,
                    line: 0,
                });
            }
        }
        fn release(&mut self) {
            self.0.borrow_mut().clear();
        }
        fn housekeep(&mut self) {}
    }

    struct Bench {
        feed: Feed<Script>,
        script: std::rc::Rc<std::cell::RefCell<Vec<Vec<u8>>>>,
        events: Consumer<MarketEvent>,
        best_prices: Arc<BestPrices>,
        counters: Arc<Counters>,
        clock: Clock,
    }

    fn bench() -> Bench {
        let (producer, events) = ring(64).unwrap();
        let limits = Limits {
            orders_max: 64,
            levels_max: 64,
        };
        let best_prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let counters = Arc::new(Counters::default());
        let source = Script::default();
        let script = std::rc::Rc::clone(&source.0);
        let feed = Feed::new(Parts {
            source,
            arbiter: Arbiter::new(0),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            best_prices: Arc::clone(&best_prices),
            subscribers: vec![Subscriber::new(producer, Subscription::All)],
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
        });
        Bench {
            feed,
            script,
            events,
            best_prices,
            counters,
            clock: Clock::kernel(),
        }
    }

    impl Bench {
        fn send(&mut self, seq: u64, messages: &[&[u8]]) -> Vec<MarketEvent> {
            let mut buffer = [0; 1400];
            let mut packet = PacketBuilder::new(&mut buffer, *b"SESSION001", Seq(seq)).unwrap();
            for message in messages {
                assert!(packet.push(message));
            }
            self.script.borrow_mut().push(packet.finish().to_vec());
            self.feed.poll(&self.clock);
            std::iter::from_fn(|| self.events.pop()).collect()
        }
    }

    fn add(reference: u64, side: Side, price: u32) -> Vec<u8> {
        AddOrder {
            head: Head::new(b'A', 7, Nanos(1)),
            order: OrderRef(reference).into(),
            side: side as u8,
            shares: Qty(100).into(),
            stock: Symbol::BLANK,
            price: Price4(price).into(),
        }
        .as_bytes()
        .to_vec()
    }

    #[test]
    fn message_becomes_one_event_with_the_best_prices_after_it() {
        let mut bench = bench();
        let mut directory = StockDirectory::new_zeroed();
        directory.head = Head::new(b'R', 7, Nanos(1));
        directory.stock = Symbol::new("ALC").unwrap();
        directory.round_lot_size = U32::new(100);
        let trade = Trade {
            head: Head::new(b'P', 7, Nanos(1)),
            order: OrderRef(0).into(),
            side: b'B',
            shares: Qty(5).into(),
            stock: Symbol::BLANK,
            price: Price4(300).into(),
            match_number: MatchNumber(1).into(),
        };
        let (bid, worse) = (add(1, Side::Buy, 200), add(2, Side::Buy, 100));
        let events = bench.send(1, &[directory.as_bytes(), &bid, &worse, trade.as_bytes()]);
        let [listed, first, second, traded] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(listed.symbol(), Symbol::new("ALC"));
        assert_eq!(bench.best_prices.symbol(7), Symbol::new("ALC"));
        assert_eq!((first.bid_price, first.bid_qty), (Price4(200), Qty(100)));
        assert!(first.has(FLAG_BBO_CHANGED) && !second.has(FLAG_BBO_CHANGED));
        assert!(traded.has(FLAG_TRADE) && !traded.has(FLAG_STALE));
        assert_eq!((traded.price, traded.qty), (Price4(300), Qty(5)));
        assert_eq!((first.origin.seq, traded.origin.seq), (2, 4));
        assert_eq!(bench.best_prices.load(7).unwrap().bid_price, Price4(200));
    }

    #[test]
    fn gap_is_heard_before_what_follows_and_makes_everything_stale() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        assert!(!bench.best_prices.is_stale());
        let events = bench.send(5, &[&add(2, Side::Sell, 300)]);
        let [gap, add] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            (gap.kind, gap.gap_first(), gap.number),
            (KIND_GAP, Some(Seq(2)), 3)
        );
        assert!(gap.has(FLAG_STALE) && add.has(FLAG_STALE));
        assert!(bench.best_prices.is_stale());
        assert_eq!(bench.counters.arbiter.messages_lost.get(), 3);
    }

    #[test]
    fn unreadable_messages_keep_their_numbers_and_are_counted() {
        let mut bench = bench();
        let bid = add(1, Side::Buy, 200);
        let events = bench.send(1, &[b"?", b"Axx", b"", &bid]);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].origin.seq, 4);
        let feed = &bench.counters.feed;
        assert_eq!((feed.unknown.get(), feed.malformed.get()), (1, 2));
        assert_eq!(bench.counters.arbiter.messages.get(), 4);
    }
}
