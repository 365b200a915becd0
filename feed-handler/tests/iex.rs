//! The second venue through the whole feed handler: IEX segments in, books and events out.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod script;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience, Recovery};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::book::{Books, Limits};
use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, FLAG_TRADE, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::recovery::link::link;
use feed_handler::recovery::requester::RequestOptions;
use feed_handler::recovery::stage::{RecoveryOptions, RecoveryStage};
use feed_handler::recovery::wire::{TcpEvent, Wire};
use feed_handler::venue::Iex;
use protocol::deep_plus::{
    AddOrder, ClearBook, FLAG_CROSS, FLAG_KEEPS_PRIORITY, OrderDelete, OrderExecuted, OrderModify,
    SecurityDirectory, SystemEvent, Trade, TradeBreak, TradingStatus,
};
use protocol::iex_tp::{GapFillRequest, PROTOCOL_DEEP_PLUS, PacketBuilder, Place, Session};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Seq, Side, SignedPrice4, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
use script::{Arrivals, Script};
use zerocopy::IntoBytes;

const STALE_NS: u64 = 1_000_000_000;
const MONDAY: Session = Session {
    channel: 1,
    session: 7,
};
const TUESDAY: Session = Session {
    channel: 1,
    session: 8,
};

struct Bench {
    feed: Feed<Script, Iex>,
    arrivals: Rc<RefCell<Arrivals>>,
    events: Listener,
    best_prices: Arc<BestPrices>,
    counters: Arc<Counters>,
    clock: Clock,
    session: Session,
    next: u64,
}

impl Bench {
    fn new(subscription: Subscription) -> Self {
        let arbiter = Arbiter::new(Patience {
            gap_timeout_ns: 0,
            stale_ns: STALE_NS,
        });
        Self::with(subscription, arbiter)
    }

    /// One that asks for what is missing.
    fn recovering() -> Self {
        let arbiter = Arbiter::new(Patience {
            gap_timeout_ns: 1_000_000,
            stale_ns: STALE_NS,
        });
        let recovery = Recovery {
            give_up_ns: 10 * STALE_NS,
            held_max: 64,
        };
        Self::with(Subscription::All, arbiter.with_recovery(recovery))
    }

    fn with(subscription: Subscription, arbiter: Arbiter<Iex>) -> Self {
        let best_prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&best_prices), 64);
        let events = publisher.listen(subscription, Way::Own, 64).unwrap();
        let counters = Arc::new(Counters::default());
        let source = Script::default();
        let arrivals = Rc::clone(&source.0);
        let limits = Limits {
            orders_max: 64,
            levels_max: 64,
        };
        let feed = Feed::new(Parts {
            source,
            venue: Iex::default(),
            arbiter,
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 1,
            stale_ns: STALE_NS,
        });
        Self {
            feed,
            arrivals,
            events,
            best_prices,
            counters,
            clock: Clock::manual(1_000),
            session: MONDAY,
            next: 1,
        }
    }

    /// A feed whose session has begun.
    fn begun() -> Self {
        let mut bench = Self::new(Subscription::All);
        bench.begin(MONDAY);
        bench
    }

    /// Heartbeats, far enough apart to be no copies, begin a session.
    fn begin(&mut self, session: Session) -> Vec<MarketEvent> {
        (self.session, self.next) = (session, 1);
        (0..3).flat_map(|_| self.send(&[])).collect()
    }

    /// One segment, and what the strategy hears of it.
    fn send(&mut self, messages: &[&[u8]]) -> Vec<MarketEvent> {
        let place = Place {
            session: self.session,
            protocol: PROTOCOL_DEEP_PLUS,
            seq: Seq(self.next),
            offset: 0,
            sent: Nanos(1),
        };
        self.next += messages.len() as u64;
        let payload = segment(place, messages);
        self.send_raw(payload)
    }

    fn send_raw(&mut self, payload: Vec<u8>) -> Vec<MarketEvent> {
        self.arrivals.borrow_mut().push((0, payload));
        self.clock.set_ns(self.clock.now_ns() + 200_000_000);
        self.feed.poll(&self.clock);
        std::iter::from_fn(|| self.events.hear()).collect()
    }

    /// Turns of feed and recovery while a little time passes, and what the strategy hears.
    fn turns(&mut self, stage: &mut RecoveryStage<Server>) -> Vec<MarketEvent> {
        for _ in 0..64 {
            self.clock.set_ns(self.clock.now_ns() + 100_000);
            self.feed.poll(&self.clock);
            stage.poll(self.clock.now_ns());
        }
        std::iter::from_fn(|| self.events.hear()).collect()
    }

    fn best(&self, locate: u16) -> [u32; 4] {
        let BestPrice {
            bid_price,
            bid_qty,
            ask_price,
            ask_qty,
        } = self.best_prices.load(locate).unwrap();
        [bid_price.0, bid_qty.0, ask_price.0, ask_qty.0]
    }
}

fn segment(place: Place, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, place).unwrap();
    for message in messages {
        assert!(builder.push(message));
    }
    builder.finish().to_vec()
}

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).unwrap()
}

fn add(name: &str, order: u64, side: Side, size: u32, price: i64) -> Vec<u8> {
    let add = AddOrder {
        kind: AddOrder::KIND,
        side: AddOrder::code_of_side(side),
        timestamp: Nanos(1).into(),
        symbol: symbol(name),
        order: OrderRef(order).into(),
        size: Qty(size).into(),
        price: SignedPrice4(price).into(),
    };
    add.as_bytes().to_vec()
}

fn modify(name: &str, order: u64, flags: u8, size: u32, price: i64) -> Vec<u8> {
    let modify = OrderModify {
        kind: OrderModify::KIND,
        flags,
        timestamp: Nanos(1).into(),
        symbol: symbol(name),
        order: OrderRef(order).into(),
        size: Qty(size).into(),
        price: SignedPrice4(price).into(),
    };
    modify.as_bytes().to_vec()
}

fn executed(name: &str, order: u64, size: u32, price: i64) -> Vec<u8> {
    let executed = OrderExecuted {
        kind: OrderExecuted::KIND,
        flags: 0,
        timestamp: Nanos(1).into(),
        symbol: symbol(name),
        order: OrderRef(order).into(),
        size: Qty(size).into(),
        price: SignedPrice4(price).into(),
        trade: MatchNumber(9).into(),
    };
    executed.as_bytes().to_vec()
}

fn deleted(name: &str, order: u64) -> Vec<u8> {
    let deleted = OrderDelete {
        kind: OrderDelete::KIND,
        reserved: 0,
        timestamp: Nanos(1).into(),
        symbol: symbol(name),
        order: OrderRef(order).into(),
    };
    deleted.as_bytes().to_vec()
}

fn last_message() -> Vec<u8> {
    let last = SystemEvent {
        kind: SystemEvent::KIND,
        event: b'C',
        timestamp: Nanos(1).into(),
    };
    last.as_bytes().to_vec()
}

fn kinds(events: &[MarketEvent]) -> String {
    let letters = events.iter().map(|event| char::from(event.kind as u8));
    letters.collect()
}

#[test]
fn orders_live_and_die_in_the_book_of_their_symbol() {
    let mut bench = Bench::begun();
    let buy = add("IBKR", 0x63_0000_0000_000a, Side::Buy, 100, 1_365_000);
    let sell = add("IBKR", u64::MAX, Side::Sell, 300, 1_366_000);
    let events = bench.send(&[&buy, &sell]);
    assert_eq!(kinds(&events), "RAA");
    assert!(events.iter().all(|event| event.exchange_ns == 1));
    assert!(events[1].has(FLAG_BBO_CHANGED) && !events[1].has(FLAG_STALE));
    assert_eq!(bench.best(1), [1_365_000, 100, 1_366_000, 300]);
    let events = bench.send(&[&executed("IBKR", u64::MAX, 100, 1_365_500)]);
    assert_eq!(kinds(&events), "E");
    // The price of an execution is its own.
    assert!(events[0].has(FLAG_TRADE));
    assert_eq!(
        (events[0].price, events[0].qty),
        (Price4(1_365_500), Qty(100))
    );
    assert_eq!(bench.best(1), [1_365_000, 100, 1_366_000, 200]);
    bench.send(&[&deleted("IBKR", 0x63_0000_0000_000a)]);
    assert_eq!(bench.best(1), [0, 0, 1_366_000, 200]);
    bench.send(&[&executed("IBKR", u64::MAX, 200, 1_366_000)]);
    assert_eq!(bench.best(1), [0; 4]);
}

#[test]
fn change_keeps_or_loses_its_place_in_the_queue_as_its_flag_says() {
    let mut bench = Bench::begun();
    for (order, size) in [(1, 100), (2, 200), (3, 300)] {
        bench.send(&[&add("A", order, Side::Buy, size, 10_000)]);
    }
    bench.send(&[&modify("A", 1, FLAG_KEEPS_PRIORITY, 50, 10_000)]);
    assert_eq!(bench.best(1), [10_000, 550, 0, 0]);
    // A better price, and back: at the end of the queue now, with the shares that it was given.
    let events = bench.send(&[&modify("A", 2, 0, 70, 10_100)]);
    assert_eq!((kinds(&events).as_str(), events[0].number), ("M", 2));
    assert_eq!(
        (events[0].bid_price, events[0].bid_qty),
        (Price4(10_100), Qty(70))
    );
    assert_eq!(bench.best(1), [10_100, 70, 0, 0]);
    bench.send(&[&modify("A", 2, FLAG_KEEPS_PRIORITY, 80, 10_000)]);
    assert_eq!(bench.best(1), [10_000, 430, 0, 0]);
    assert_eq!(bench.counters.book.modifies.get(), 3);
    bench.send(&[&modify("A", 77, 0, 1, 10_000)]);
    assert_eq!(bench.counters.book.missing_ref.get(), 1);
}

#[test]
fn symbol_is_named_by_the_first_message_that_says_it_and_heard_from_then_on() {
    let subscription = Subscription::Symbols(vec![symbol("MSFT")]);
    let mut bench = Bench::new(subscription);
    // Joined late, and no directory is ever sent: most symbols of this venue have none.
    bench.next = 1_000;
    for _ in 0..3 {
        bench.send(&[&add("AAPL", bench.next, Side::Buy, 1, 10_000)]);
    }
    let events = bench.send(&[&add("MSFT", 1, Side::Buy, 1, 20_000)]);
    assert_eq!(kinds(&events), "RA");
    assert_eq!(
        (events[0].symbol(), events[0].locate),
        (Some(symbol("MSFT")), 2)
    );
    assert_eq!(bench.best_prices.symbol(1), Some(symbol("AAPL")));
    assert_eq!(bench.best_prices.symbol(2), Some(symbol("MSFT")));
    assert_eq!(kinds(&bench.send(&[&add("AAPL", 5, Side::Buy, 1, 1)])), "");
    let directory = SecurityDirectory {
        kind: SecurityDirectory::KIND,
        flags: 0,
        timestamp: Nanos(1).into(),
        symbol: symbol("MSFT"),
        round_lot_size: Qty(100).into(),
        adjusted_poc_price: SignedPrice4(1).into(),
        luld_tier: 1,
    };
    let events = bench.send(&[directory.as_bytes()]);
    assert_eq!((kinds(&events).as_str(), events[0].locate), ("R", 2));
}

#[test]
fn price_beyond_32_bits_is_refused_counted_and_makes_its_symbol_stale() {
    let mut bench = Bench::begun();
    let (dear, cheap) = ("BRK.A", "A");
    bench.send(&[&add(cheap, 1, Side::Buy, 100, 10_000)]);
    bench.send(&[&add(dear, 2, Side::Buy, 100, 4_000_000_000)]);
    let events = bench.send(&[&add(dear, 3, Side::Sell, 1, 7_500_000_000)]);
    assert_eq!(kinds(&events), "A");
    assert!(events[0].has(FLAG_STALE));
    assert!(bench.best_prices.is_stale(2) && !bench.best_prices.is_stale(1));
    // An order that leaves what fits takes its old price with it.
    bench.send(&[&modify(dear, 2, 0, 100, 4_294_967_296)]);
    assert_eq!(bench.best(2), [0; 4]);
    bench.send(&[&modify(cheap, 1, 0, 100, -1)]);
    assert_eq!(bench.best(1), [0; 4]);
    assert_eq!(bench.counters.book.refused_price.get(), 3);
    // Nor is its execution a trade.
    let events = bench.send(&[&executed(dear, 3, 1, 7_500_000_000)]);
    assert!(!events[0].has(FLAG_TRADE));
}

#[test]
fn cleared_book_is_empty_and_its_neighbour_is_not() {
    let mut bench = Bench::begun();
    for (order, name) in [(1, "A"), (2, "B"), (3, "A")] {
        bench.send(&[&add(name, order, Side::Sell, 100, 10_000)]);
    }
    let clear = ClearBook {
        kind: ClearBook::KIND,
        reserved: 0,
        timestamp: Nanos(1).into(),
        symbol: symbol("A"),
    };
    let events = bench.send(&[clear.as_bytes()]);
    assert_eq!(kinds(&events), "C");
    assert!(events[0].has(FLAG_BBO_CHANGED));
    assert_eq!(
        (bench.best(1), bench.best(2)),
        ([0; 4], [0, 0, 10_000, 100])
    );
    bench.send(&[&deleted("A", 1)]);
    assert_eq!(bench.counters.book.missing_ref.get(), 1);
}

#[test]
fn trades_are_shown_as_what_they_are_and_broken_ones_as_none() {
    let mut bench = Bench::begun();
    let trade = |flags| Trade {
        kind: Trade::KIND,
        flags,
        timestamp: Nanos(1).into(),
        symbol: symbol("A"),
        size: Qty(7).into(),
        price: SignedPrice4(10_000).into(),
        trade: MatchNumber(1).into(),
    };
    let broken = TradeBreak {
        kind: TradeBreak::KIND,
        flags: 0,
        timestamp: Nanos(1).into(),
        symbol: symbol("A"),
        size: Qty(7).into(),
        price: SignedPrice4(10_000).into(),
        trade: MatchNumber(1).into(),
    };
    let status = TradingStatus {
        kind: TradingStatus::KIND,
        status: b'H',
        timestamp: Nanos(1).into(),
        symbol: symbol("A"),
        reason: *b"T1  ",
    };
    let (hidden, cross) = (trade(0), trade(FLAG_CROSS));
    let messages = [
        hidden.as_bytes(),
        cross.as_bytes(),
        broken.as_bytes(),
        status.as_bytes(),
        b"?",
    ];
    let events = bench.send(&messages);
    assert_eq!(kinds(&events), "RPQBH");
    let trades = events
        .iter()
        .map(|event| (event.has(FLAG_TRADE), event.qty.0));
    let expected = [(false, 0), (true, 7), (true, 7), (false, 0), (false, 0)];
    assert_eq!(trades.collect::<Vec<_>>(), expected);
    assert_eq!(bench.counters.feed.unknown.get(), 1);
}

#[test]
fn last_message_ends_the_session_and_the_next_one_begins_with_nothing() {
    let mut bench = Bench::begun();
    bench.send(&[&add("A", 1, Side::Buy, 100, 10_000)]);
    let events = bench.send(&[&last_message()]);
    assert_eq!(kinds(&events), "S.");
    assert!(bench.best_prices.feed_is_stale());
    // Heartbeats that go on say nothing new, and end nothing twice.
    assert_eq!(kinds(&bench.send(&[])), "");
    let events = bench.begin(TUESDAY);
    assert_eq!(kinds(&events), "+");
    assert_eq!((bench.best(1), bench.best_prices.symbol(1)), ([0; 4], None));
    let events = bench.send(&[&add("B", 1, Side::Buy, 200, 20_000)]);
    assert_eq!((kinds(&events).as_str(), events[1].locate), ("RA", 1));
    assert_eq!(bench.counters.arbiter.sessions_ended.get(), 1);
    assert_eq!(bench.counters.arbiter.sessions_begun.get(), 2);
}

#[test]
fn lost_last_message_is_a_gap_and_the_next_session_begins_after_an_end_that_was_missed() {
    let mut bench = Bench::begun();
    bench.send(&[&add("A", 1, Side::Buy, 100, 10_000)]);
    bench.next += 1;
    assert_eq!(kinds(&bench.send(&[])), "!");
    bench.clock.set_ns(bench.clock.now_ns() + 2 * STALE_NS);
    let events = bench.begin(TUESDAY);
    assert!(kinds(&events).ends_with(".+"), "{}", kinds(&events));
    assert_eq!(bench.counters.arbiter.sessions_end_missed.get(), 1);
}

#[test]
fn other_protocol_or_version_on_the_same_group_is_nobodys() {
    let mut bench = Bench::begun();
    let place = |protocol| Place {
        session: MONDAY,
        protocol,
        seq: Seq(1),
        offset: 0,
        sent: Nanos(1),
    };
    let ours = add("A", 1, Side::Buy, 100, 10_000);
    bench.send_raw(segment(place(0x8004), &[&ours]));
    let mut other_version = segment(place(PROTOCOL_DEEP_PLUS), &[&ours]);
    other_version[0] = 2;
    bench.send_raw(other_version);
    assert_eq!(bench.counters.arbiter.packets_malformed.get(), 2);
    assert_eq!(bench.counters.arbiter.messages.get(), 0);
}

/// One re-request server: what it was asked, and what it will say.
#[derive(Debug, Default)]
struct Server {
    asked: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

impl Wire for Server {
    fn request(&mut self, _: usize, packet: &[u8]) -> bool {
        self.asked.push(packet.to_vec());
        true
    }

    fn answers(&mut self, mut on_packet: impl FnMut(usize, &[u8])) -> usize {
        let answers = std::mem::take(&mut self.answers);
        answers.iter().for_each(|answer| on_packet(0, answer));
        answers.len()
    }

    fn connect(&mut self, _: usize) {}

    fn close(&mut self) {}

    fn write(&mut self, _: &[u8]) {}

    fn read(&mut self, _: impl FnMut(TcpEvent<'_>)) -> usize {
        0
    }
}

/// A feed of which a server can be asked, and the server.
fn recovering() -> (Bench, RecoveryStage<Server>) {
    let mut bench = Bench::recovering();
    let (feed_end, stage_end) = link().unwrap();
    bench.feed = bench.feed.with_recovery(feed_end);
    let options = RecoveryOptions {
        requests: RequestOptions {
            servers: 1,
            timeout_ns: STALE_NS,
            requests_max: 8,
            interval_ns: 0,
            messages_max: 32,
            tries_max: 3,
        },
        snapshots: None,
    };
    let stage = RecoveryStage::new::<Iex>(options, stage_end, Server::default());
    bench.begin(MONDAY);
    bench.send(&[&add("A", 1, Side::Buy, 100, 10_000)]);
    (bench, stage)
}

/// This many messages are lost behind the first, which has number 1, and asked for.
fn asking(lost: u64) -> (Bench, RecoveryStage<Server>) {
    let (mut bench, mut stage) = recovering();
    bench.next += lost;
    let events = bench.send(&[&add("A", 99, Side::Sell, 1, 13_000)]);
    assert_eq!(kinds(&events), "");
    assert_eq!(kinds(&bench.turns(&mut stage)), "");
    let asked = std::mem::take(&mut stage.wire().asked);
    let (header, ranges) = GapFillRequest::decode(&asked[0]).expect("a request");
    assert_eq!((asked.len(), header.session()), (1, MONDAY));
    assert_eq!(header.protocol.get(), PROTOCOL_DEEP_PLUS);
    let range = (ranges[0].first.get(), ranges[0].last.get());
    assert_eq!((ranges.len(), range), (1, (Seq(2), Seq(1 + lost))));
    (bench, stage)
}

/// An answer whose first message has this number.
fn answer(session: Session, first: u64, messages: &[&[u8]]) -> Vec<u8> {
    let place = Place {
        session,
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(first),
        offset: 0,
        sent: Nanos(1),
    };
    segment(place, messages)
}

#[test]
fn hole_is_filled_by_a_gap_fill_server_and_no_book_is_stale() {
    let (mut bench, mut stage) = asking(2);
    let lost = [
        add("A", 2, Side::Buy, 200, 11_000),
        add("B", 3, Side::Sell, 300, 12_000),
    ];
    // Another session's answer is nobody's.
    let messages = lost.each_ref().map(Vec::as_slice);
    stage.wire().answers.push(answer(TUESDAY, 2, &messages));
    assert_eq!(kinds(&bench.turns(&mut stage)), "");
    assert_eq!(stage.counters().answers_refused.get(), 1);
    stage.wire().answers.push(answer(MONDAY, 2, &messages));
    let events = bench.turns(&mut stage);
    assert_eq!(kinds(&events), "ARAA");
    assert!(events.iter().all(|event| !event.has(FLAG_STALE)));
    assert_eq!(bench.best(1), [11_000, 200, 13_000, 1]);
    assert_eq!(bench.best(2), [0, 0, 12_000, 300]);
    assert_eq!(bench.counters.arbiter.gaps.get(), 0);
    assert!(!bench.best_prices.feed_is_stale() && stage.is_idle());
}

#[test]
fn answer_of_which_a_message_cannot_be_read_fills_no_hole() {
    let (mut bench, mut stage) = asking(2);
    let lost = [
        add("A", 2, Side::Buy, 200, 11_000),
        add("A", 3, Side::Sell, 300, 12_000),
    ];
    let lost = lost.each_ref().map(Vec::as_slice);
    let mut another_count = answer(MONDAY, 2, &lost);
    another_count[14] = 1;
    let mut other_protocol = answer(MONDAY, 2, &lost);
    other_protocol[2] = 4;
    let wrong = [
        answer(MONDAY, 2, &[b"", b""]),
        answer(MONDAY, 2, &[lost[0], b""]),
        answer(MONDAY, 2, &[&lost[0][..37], lost[1]]),
        answer(MONDAY, 2, &[lost[0], &lost[1][..20]]),
        answer(MONDAY, 2, &[lost[0], lost[1], lost[0]]),
        another_count,
        other_protocol,
    ];
    let count = wrong.len() as u64;
    stage.wire().answers.extend(wrong);
    assert_eq!(kinds(&bench.turns(&mut stage)), "");
    assert_eq!(stage.counters().answers_refused.get(), count);
    assert_eq!(stage.wire().asked.len(), 0, "the answer may still come");
    // One of a type to come is as good as on the lines.
    let future = b"z whatever that will say".as_slice();
    stage
        .wire()
        .answers
        .push(answer(MONDAY, 2, &[lost[0], future]));
    assert_eq!(kinds(&bench.turns(&mut stage)), "AA");
    assert_eq!(bench.counters.feed.unknown.get(), 1);
    assert_eq!(bench.counters.arbiter.gaps.get(), 0);
    assert!(!bench.best_prices.feed_is_stale() && stage.is_idle());
}

#[test]
fn answer_in_several_segments_is_asked_for_once() {
    let (mut bench, mut stage) = asking(9);
    let lost: Vec<_> = (2..=10)
        .map(|order| add("A", order, Side::Buy, 1, 10_000))
        .collect();
    for (part, expected) in [(2, "AAA"), (8, ""), (5, "AAAAAAA")] {
        let at = part - 2;
        let messages: Vec<&[u8]> = lost[at..at + 3].iter().map(Vec::as_slice).collect();
        let segment = answer(MONDAY, part as u64, &messages);
        stage.wire().answers.push(segment);
        let heard = kinds(&bench.turns(&mut stage));
        assert_eq!(heard, expected);
        assert_eq!(stage.wire().asked.len(), 0, "{part}");
    }
    let counters = stage.counters();
    assert_eq!(
        (counters.answers.get(), counters.requests_sent.get()),
        (3, 1)
    );
    assert_eq!(counters.answers_partial.get(), 0);
    assert_eq!(bench.counters.arbiter.gaps.get(), 0);
    assert!(!bench.best_prices.feed_is_stale() && stage.is_idle());
}
