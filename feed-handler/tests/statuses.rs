//! How symbols are traded, through the whole feed handler: messages of both venues in, events and the table out.
//! The messages' bytes are written from the tables of the specifications.

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

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::{Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::statuses::{BREACH, COLLAR, HOURS, LEVELS, PHASE, SHORT_SALE, SymbolStatus};
use feed_handler::trading::{
    Collar, Complete, Cross, Hours, Imbalance, Market, Phase, Release, ShortSale,
};
use feed_handler::venue::{Iex, Nasdaq, Venue};
use protocol::iex_tp::{self, PROTOCOL_DEEP_PLUS, Place};
use protocol::mold::{self, Session};
use protocol::types::{Nanos, Price4, Price8, Seq};
use rt::clock::Clock;
use rt::mem::Want;
use script::{Arrivals, Script};

const SESSION: Session = *b"SESSION001";
const STALE_NS: u64 = 1_000_000_000;

struct Bench<V: Venue> {
    feed: Feed<Script, V>,
    arrivals: Rc<RefCell<Arrivals>>,
    events: Listener,
    prices: Arc<BestPrices>,
    counters: Arc<Counters>,
    clock: Clock,
    packet: fn(u64, &[&[u8]]) -> Vec<u8>,
    next: u64,
}

impl<V: Venue> Bench<V> {
    /// A feed whose session has begun.
    fn new(venue: V, packet: fn(u64, &[&[u8]]) -> Vec<u8>, room: usize) -> Self {
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&prices), room);
        let events = publisher.listen(Subscription::All, Way::Own, room);
        let counters = Arc::new(Counters::default());
        let source = Script::default();
        let arrivals = Rc::clone(&source.0);
        let limits = Limits {
            orders_max: 64,
            levels_max: 64,
        };
        let feed = Feed::new(Parts {
            source,
            venue,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns: 0,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 1,
            stale_ns: STALE_NS,
        });
        let mut bench = Self {
            feed,
            arrivals,
            events: events.unwrap(),
            prices,
            counters,
            clock: Clock::manual(1_000),
            packet,
            next: 1,
        };
        for _ in 0..3 {
            bench.send(&[]);
        }
        bench
    }

    fn send(&mut self, messages: &[&[u8]]) -> Vec<MarketEvent> {
        let payload = (self.packet)(self.next, messages);
        self.next += messages.len() as u64;
        self.arrivals.borrow_mut().push((0, payload));
        // Copies on one line are no agreement of strangers.
        self.clock.set_ns(self.clock.now_ns() + STALE_NS / 4);
        self.turn()
    }

    fn turn(&mut self) -> Vec<MarketEvent> {
        self.feed.poll(&self.clock);
        std::iter::from_fn(|| self.events.hear()).collect()
    }

    fn one(&mut self, message: &[u8]) -> MarketEvent {
        let events = self.send(&[message]);
        let told = events.iter().rfind(|event| event.kind != Kind::Fresh);
        *told.expect("an event")
    }

    fn status(&self, locate: u16) -> SymbolStatus {
        self.prices.statuses().load(locate).unwrap()
    }
}

fn nasdaq() -> Bench<Nasdaq> {
    Bench::new(Nasdaq, mold_packet, 64)
}

fn mold_packet(seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut packet = mold::PacketBuilder::new(&mut buffer, SESSION, Seq(seq)).unwrap();
    for message in messages {
        assert!(packet.push(message));
    }
    packet.finish().to_vec()
}

fn iex_packet(seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let place = Place {
        session: iex_tp::Session {
            channel: 1,
            session: 7,
        },
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(seq),
        offset: 0,
        sent: Nanos(1),
    };
    let mut buffer = [0; 1400];
    let mut packet = iex_tp::PacketBuilder::new(&mut buffer, place).unwrap();
    for message in messages {
        assert!(packet.push(message));
    }
    packet.finish().to_vec()
}

/// An ITCH message: type, locate, then the rest behind the common head.
fn itch(kind: u8, locate: u16, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&locate.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9]);
    bytes.extend(rest.concat());
    bytes
}

fn halt(locate: u16, state: u8, reason: &[u8; 4]) -> Vec<u8> {
    itch(b'H', locate, &[b"ALC     ", &[state, b' '], reason])
}

/// A DEEP+ message about ALC: type, first field, time, symbol, the rest.
fn deep(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let time = 9u64.to_le_bytes();
    [&[kind, code], &time[..], b"ALC     ", rest].concat()
}

#[test]
fn halt_pause_and_resumption_are_events_and_stand_in_the_table() {
    let mut bench = nasdaq();
    assert_eq!(bench.status(7).phase, None);
    for (code, phase, reason) in [
        (b'T', Phase::Trading, b"    "),
        (b'H', Phase::Halted, b"T1  "),
        (b'P', Phase::Paused, b"LUDP"),
        (b'Q', Phase::QuotationOnly, b"R4  "),
    ] {
        let event = bench.one(&halt(7, code, reason));
        assert_eq!((event.kind, event.locate), (Kind::Status, 7));
        assert_eq!(
            (event.phase(), event.reason()),
            (Some(phase), Some(*reason))
        );
        assert_eq!(event.exchange_ns, 9);
        let status = bench.status(7);
        assert_eq!((status.phase, status.reason), (Some(phase), *reason));
        let is_trading = status.is_trading_on(Market::Nasdaq);
        assert_eq!(is_trading, phase == Phase::Trading);
    }
    assert_eq!(bench.counters.feed.statuses.get(), 4);
}

#[test]
fn short_sales_and_halts_of_single_markets_are_told() {
    let mut bench = nasdaq();
    bench.one(&halt(7, b'T', b"    "));
    let event = bench.one(&itch(b'Y', 7, &[b"ALC     1"]));
    assert_eq!(event.kind, Kind::ShortSale);
    assert_eq!(event.short_sale(), Some(ShortSale::Restricted));
    bench.one(&itch(b'Y', 7, &[b"ALC     2"]));
    assert_eq!(bench.status(7).short_sale, Some(ShortSale::Remains));
    let event = bench.one(&itch(b'h', 7, &[b"ALC     XH"]));
    assert_eq!(event.kind, Kind::OperationalHalt);
    assert_eq!(event.operational_halt(), Some((Market::Psx, true)));
    let status = bench.status(7);
    assert!(status.is_trading_on(Market::Nasdaq) && !status.is_trading_on(Market::Psx));
    let event = bench.one(&itch(b'h', 7, &[b"ALC     XT"]));
    assert_eq!(event.operational_halt(), Some((Market::Psx, false)));
    assert!(bench.status(7).is_trading_on(Market::Psx));
}

#[test]
fn auctions_are_told_from_collar_to_cross() {
    let mut bench = nasdaq();
    let prices = [1_000_000u32, 1_100_000, 900_000, 2].map(u32::to_be_bytes);
    let event = bench.one(&itch(b'J', 7, &[b"ALC     ", &prices.concat()]));
    let collar = Collar {
        reference: Price4(1_000_000),
        upper: Price4(1_100_000),
        lower: Price4(900_000),
        extensions: 2,
    };
    assert_eq!((event.kind, event.collar()), (Kind::Collar, Some(collar)));
    assert_eq!(bench.status(7).collar, Some(collar));
    let shares = [700u64, 5_000_000_000].map(u64::to_be_bytes).concat();
    let prices = [11u32, 12, 13].map(u32::to_be_bytes).concat();
    let imbalance = itch(b'I', 7, &[&shares, b"SALC     ", &prices, b"H3"]);
    let event = bench.one(&imbalance);
    assert_eq!((event.kind, event.number), (Kind::Imbalance, 5_000_000_000));
    assert_eq!((event.price, event.qty.0), (Price4(13), 700));
    let expected = Imbalance {
        paired: 700,
        shares: 5_000_000_000,
        direction: b'S',
        far: Price4(11),
        near: Price4(12),
        reference: Price4(13),
        cross: b'H',
        variation: b'3',
    };
    assert_eq!(bench.status(7).imbalance, Some(expected));
    let cross = [
        &900u64.to_be_bytes()[..],
        b"ALC     ",
        &12u32.to_be_bytes(),
        &1u64.to_be_bytes(),
        b"H",
    ];
    assert_eq!(bench.one(&itch(b'Q', 7, &cross)).kind, Kind::Cross);
    let expected = Cross {
        shares: 900,
        price: Price4(12),
        cross: b'H',
    };
    assert_eq!(bench.status(7).cross, Some(expected));
}

#[test]
fn release_without_a_locate_code_finds_its_symbol() {
    let mut bench = nasdaq();
    let mut directory = itch(b'R', 7, &[b"ALC     "]);
    directory.resize(39, b' ');
    bench.one(&directory);
    let rest = [
        &37_800u32.to_be_bytes()[..],
        b"A",
        &150_000u32.to_be_bytes(),
    ]
    .concat();
    let event = bench.one(&itch(b'K', 0, &[b"ALC     ", &rest]));
    assert_eq!((event.kind, event.price), (Kind::Release, Price4(150_000)));
    assert_eq!(event.symbol(), bench.prices.symbol(7));
    let expected = Release {
        at_s: 37_800,
        price: Price4(150_000),
        is_cancelled: false,
    };
    assert_eq!(bench.status(7).release, Some(expected));
    let unknown = bench.one(&itch(b'K', 0, &[b"NOBODY  ", &rest]));
    assert_eq!(unknown.symbol().unwrap().as_str(), "NOBODY");
}

#[test]
fn market_tells_its_hours_and_that_it_stops() {
    let mut bench = nasdaq();
    let event = bench.one(&itch(b'S', 0, &[b"Q"]));
    assert_eq!(event.kind, Kind::System);
    assert_eq!(event.hours(), Some(Hours::MarketBegin));
    let levels = [300u64, 200, 100].map(u64::to_be_bytes).concat();
    assert_eq!(bench.one(&itch(b'V', 0, &[&levels])).number, 300);
    let event = bench.one(&itch(b'W', 0, &[b"2"]));
    assert_eq!((event.kind, event.number), (Kind::Breach, 2));
    let market = bench.prices.statuses().market().unwrap();
    assert_eq!(market.hours, Some(Hours::MarketBegin));
    assert_eq!(market.levels, Some([Price8(300), Price8(200), Price8(100)]));
    assert_eq!((market.breach, market.stale), (Some(2), 0));
}

#[test]
fn code_that_the_venue_does_not_have_is_counted_and_changes_nothing() {
    let mut bench = nasdaq();
    bench.one(&halt(7, b'T', b"    "));
    for message in [
        halt(7, b'?', b"    "),
        itch(b'Y', 7, &[b"ALC     9"]),
        itch(b'h', 7, &[b"ALC     QZ"]),
        itch(b'h', 7, &[b"ALC     ZH"]),
        itch(b'W', 0, &[b"4"]),
        itch(b'S', 0, &[b"?"]),
    ] {
        let event = bench.one(&message);
        assert_eq!(event.kind, Kind::Other);
        assert_eq!(event.number, u64::from(message[0]));
    }
    let feed = &bench.counters.feed;
    assert_eq!((feed.statuses.get(), feed.unknown_codes.get()), (1, 6));
    assert!(bench.status(7).is_trading_on(Market::Nasdaq));
}

#[test]
fn gap_hides_statuses_until_each_is_said_again() {
    let mut bench = nasdaq();
    bench.one(&halt(7, b'T', b"    "));
    bench.one(&itch(b'Y', 7, &[b"ALC     0"]));
    bench.one(&itch(b'S', 0, &[b"Q"]));
    bench.next += 1;
    let events = bench.send(&[&halt(7, b'H', b"T1  ")]);
    assert_eq!(events[0].kind, Kind::Gap);
    let status = bench.status(7);
    assert_eq!(status.phase, Some(Phase::Halted));
    assert!(!status.is_stale(PHASE) && status.is_stale(SHORT_SALE) && status.is_stale(COLLAR));
    let market = bench.prices.statuses().market().unwrap();
    assert_eq!(market.stale, HOURS | LEVELS | BREACH);
}

#[test]
fn silence_hides_statuses_for_as_long_as_it_lasts() {
    let mut bench = nasdaq();
    bench.one(&halt(7, b'T', b"    "));
    bench.clock.set_ns(bench.clock.now_ns() + 2 * STALE_NS);
    for _ in 0..16 {
        bench.turn();
    }
    assert!(!bench.status(7).is_trading_on(Market::Nasdaq));
    assert_eq!(bench.status(7).phase, Some(Phase::Trading));
    bench.send(&[]);
    bench.turn();
    assert!(bench.status(7).is_trading_on(Market::Nasdaq));
}

#[test]
fn who_missed_a_halt_is_told_of_the_symbol_again() {
    let mut bench = Bench::new(Nasdaq, mold_packet, 1);
    let messages = [
        halt(7, b'T', b"    "),
        halt(8, b'T', b"    "),
        halt(8, b'H', b"T1  "),
    ];
    let messages = messages.each_ref().map(Vec::as_slice);
    let mut events = bench.send(&messages);
    events.extend(bench.turn());
    let kinds: Vec<_> = events
        .iter()
        .map(|event| (event.kind, event.locate))
        .collect();
    let expected = [(Kind::Status, 7), (Kind::Lagged, 0), (Kind::Refresh, 8)];
    assert_eq!(kinds, expected);
    assert_eq!(bench.status(8).phase, Some(Phase::Halted));
}

#[test]
fn second_venue_says_the_same_in_its_own_letters() {
    let mut bench = Bench::new(Iex::default(), iex_packet, 64);
    for (code, phase) in [
        (b'H', Phase::Halted),
        (b'O', Phase::QuotationOnly),
        (b'P', Phase::Paused),
        (b'T', Phase::Trading),
    ] {
        let event = bench.one(&deep(b'H', code, b"T1  "));
        assert_eq!((event.kind, event.locate), (Kind::Status, 1));
        assert_eq!(
            (event.phase(), event.reason()),
            (Some(phase), Some(*b"T1  "))
        );
        assert_eq!(bench.status(1).phase, Some(phase));
    }
    let event = bench.one(&deep(b'O', b'O', b""));
    assert_eq!(event.operational_halt(), Some((Market::Iex, true)));
    assert!(!bench.status(1).is_trading_on(Market::Iex));
    bench.one(&deep(b'O', b'N', b""));
    assert!(bench.status(1).is_trading_on(Market::Iex));
    for (code, detail, expected) in [
        (1, b"A", ShortSale::Restricted),
        (1, b"C", ShortSale::Remains),
        (0, b"D", ShortSale::Free),
    ] {
        let event = bench.one(&deep(b'P', code, detail));
        assert_eq!(event.short_sale(), Some(expected));
        assert_eq!(bench.status(1).short_sale, Some(expected));
    }
    let event = bench.one(&deep(b'E', b'C', b""));
    assert_eq!(event.complete(), Some(Complete::Closing));
    assert_eq!(bench.status(1).complete, Some(Complete::Closing));
    let event = bench.one(&[b"SR", &9u64.to_le_bytes()[..]].concat());
    assert_eq!(event.hours(), Some(Hours::MarketBegin));
    let market = bench.prices.statuses().market().unwrap();
    assert_eq!(market.hours, Some(Hours::MarketBegin));
    assert_eq!(bench.one(&deep(b'H', b'?', b"    ")).kind, Kind::Other);
    assert_eq!(bench.counters.feed.unknown_codes.get(), 1);
}
