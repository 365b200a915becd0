//! A strategy's own books behind the whole feed handler: what they show, and when they hide it. That they are, order by
//! order, what the feed's are is what `feed_days` looks at.

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
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::venue::{Iex, Nasdaq, Venue};
use protocol::deep_plus::{self, FLAG_KEEPS_PRIORITY};
use protocol::iex_tp::{self, PROTOCOL_DEEP_PLUS, Place};
use protocol::itch::{AddOrder, Head, OrderExecuted, OrderReplace, StockDirectory};
use protocol::mold;
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Seq, Side, SignedPrice4, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
use script::{Arrivals, Script};
use zerocopy::{FromZeros, IntoBytes};

const STALE_NS: u64 = 1_000_000_000;
const ALC: u16 = 3;
const BOB: u16 = 4;

/// A packet of a session with these messages from this number on.
type ToPacket = fn(u8, u64, &[&[u8]]) -> Vec<u8>;

struct Bench<V: Venue> {
    feed: Feed<Script, V>,
    arrivals: Rc<RefCell<Arrivals>>,
    events: Listener,
    own: OwnBooks,
    clock: Clock,
    packet: ToPacket,
    session: u8,
    next: u64,
}

impl<V: Venue + Default> Bench<V> {
    /// A feed whose session has begun, and a strategy with room for this many orders.
    fn new(packet: ToPacket, subscription: Subscription, orders_max: u32) -> Self {
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&prices), 64);
        publisher.tell_leaves();
        let own = OwnBooks::new(orders_max, prices, &subscription, Want::LAZY).unwrap();
        let events = publisher.listen(subscription, Way::Own, 64).unwrap();
        let source = Script::default();
        let arrivals = Rc::clone(&source.0);
        let limits = Limits {
            orders_max: 64,
            levels_max: 64,
        };
        let feed = Feed::new(Parts {
            source,
            venue: V::default(),
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns: 0,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters: Arc::new(Counters::default()),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 1,
            stale_ns: STALE_NS,
        });
        let mut bench = Self {
            feed,
            arrivals,
            events,
            own,
            clock: Clock::manual(1_000),
            packet,
            session: 1,
            next: 1,
        };
        bench.begin(1);
        bench
    }

    /// Heartbeats, far enough apart to be no copies, begin a session.
    fn begin(&mut self, session: u8) {
        (self.session, self.next) = (session, 1);
        for _ in 0..3 {
            self.send(&[]);
        }
    }

    /// One packet, and what the strategy hears of it.
    fn send(&mut self, messages: &[&[u8]]) -> Vec<MarketEvent> {
        let payload = (self.packet)(self.session, self.next, messages);
        self.next += messages.len() as u64;
        self.arrivals.borrow_mut().push((0, payload));
        self.turn(STALE_NS / 5)
    }

    /// Turns without a packet; one in 16 looks at the clock.
    fn wait(&mut self, ns: u64) -> Vec<MarketEvent> {
        (0..16).flat_map(|_| self.turn(ns / 16)).collect()
    }

    fn turn(&mut self, ns: u64) -> Vec<MarketEvent> {
        self.clock.set_ns(self.clock.now_ns() + ns);
        self.feed.poll(&self.clock);
        let events: Vec<_> = std::iter::from_fn(|| self.events.hear()).collect();
        events.iter().for_each(|event| self.own.on_event(event));
        events
    }

    /// Shares before an order, where it is shown.
    fn ahead(&self, reference: u64) -> Option<u64> {
        let place = self.own.place(OrderRef(reference), 64)?;
        Some(place.ahead.shares)
    }
}

fn nasdaq(subscription: Subscription, orders_max: u32) -> Bench<Nasdaq> {
    Bench::new(mold_packet, subscription, orders_max)
}

fn mold_packet(session: u8, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut name = *b"SESSION000";
    name[9] += session;
    let mut buffer = [0; 1400];
    let mut builder = mold::PacketBuilder::new(&mut buffer, name, Seq(seq)).unwrap();
    messages.iter().for_each(|it| assert!(builder.push(it)));
    builder.finish().to_vec()
}

fn iex_packet(session: u8, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let place = Place {
        session: iex_tp::Session {
            channel: 1,
            session: session.into(),
        },
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(seq),
        offset: 0,
        sent: Nanos(1),
    };
    let mut buffer = [0; 1400];
    let mut builder = iex_tp::PacketBuilder::new(&mut buffer, place).unwrap();
    messages.iter().for_each(|it| assert!(builder.push(it)));
    builder.finish().to_vec()
}

fn add(locate: u16, reference: u64, side: Side, price: u32, shares: u32) -> Vec<u8> {
    let mut add = AddOrder::new_zeroed();
    add.head = Head::new(b'A', locate, Nanos(1));
    add.order = OrderRef(reference).into();
    add.side = side as u8;
    (add.shares, add.price) = (Qty(shares).into(), Price4(price).into());
    add.as_bytes().to_vec()
}

fn bid(reference: u64, shares: u32) -> Vec<u8> {
    add(ALC, reference, Side::Buy, 1_000, shares)
}

fn replace(old: u64, new: u64, price: u32, shares: u32) -> Vec<u8> {
    let message = OrderReplace {
        head: Head::new(b'U', ALC, Nanos(1)),
        old_order: OrderRef(old).into(),
        new_order: OrderRef(new).into(),
        shares: Qty(shares).into(),
        price: Price4(price).into(),
    };
    message.as_bytes().to_vec()
}

fn execute(reference: u64, shares: u32) -> Vec<u8> {
    let message = OrderExecuted {
        head: Head::new(b'E', ALC, Nanos(1)),
        order: OrderRef(reference).into(),
        shares: Qty(shares).into(),
        match_number: MatchNumber(1).into(),
    };
    message.as_bytes().to_vec()
}

fn directory(locate: u16, name: &str) -> Vec<u8> {
    let mut directory = StockDirectory::new_zeroed();
    directory.head = Head::new(b'R', locate, Nanos(1));
    directory.stock = Symbol::new(name).unwrap();
    directory.as_bytes().to_vec()
}

#[test]
fn own_order_moves_up_as_others_trade_and_goes_behind_them_when_it_is_replaced() {
    let mut bench = nasdaq(Subscription::All, 64);
    bench.send(&[&bid(1, 100), &bid(2, 200), &bid(3, 50)]);
    assert_eq!(bench.ahead(3), Some(300));
    bench.send(&[&execute(1, 40)]);
    assert_eq!(bench.ahead(3), Some(260));
    bench.send(&[&execute(1, 60)]);
    assert_eq!((bench.ahead(1), bench.ahead(3)), (None, Some(200)));
    let kinds: Vec<Kind> = bench
        .send(&[&replace(2, 4, 1_000, 70)])
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [Kind::Leave, Kind::Replace]);
    assert_eq!((bench.ahead(2), bench.ahead(4)), (None, Some(50)));
    bench.send(&[&replace(4, 5, 1_100, 70)]);
    let levels: Vec<_> = bench.own.depth(ALC, Side::Buy).unwrap().collect();
    let shown: Vec<_> = levels.iter().map(|it| (it.price.0, it.shares)).collect();
    assert_eq!(shown, [(1_100, 70), (1_000, 50)]);
    let place = bench.own.place(OrderRef(5), 64).unwrap();
    assert_eq!((place.side, place.level), (Side::Buy, levels[0]));
}

#[test]
fn own_books_of_another_venue_know_priority_and_cleared_books() {
    let name = Symbol::new("ALC").unwrap();
    let mut bench = Bench::<Iex>::new(iex_packet, Subscription::Symbols(vec![name]), 64);
    let order = |reference, side: u8, price: i64, size| {
        let mut add = deep_plus::AddOrder::new_zeroed();
        (add.kind, add.side, add.symbol) = (deep_plus::AddOrder::KIND, side, name);
        add.order = OrderRef(reference).into();
        (add.size, add.price) = (Qty(size).into(), SignedPrice4(price).into());
        add.as_bytes().to_vec()
    };
    let modify = |reference, flags, size| {
        let mut modify = deep_plus::OrderModify::new_zeroed();
        (modify.kind, modify.flags, modify.symbol) = (deep_plus::OrderModify::KIND, flags, name);
        modify.order = OrderRef(reference).into();
        (modify.size, modify.price) = (Qty(size).into(), SignedPrice4(1_000).into());
        modify.as_bytes().to_vec()
    };
    bench.send(&[
        &order(1, b'8', 1_000, 100),
        &order(2, b'8', 1_000, 200),
        &order(3, b'5', 1_200, 10),
    ]);
    assert_eq!((bench.ahead(1), bench.ahead(2)), (Some(0), Some(100)));
    bench.send(&[&modify(1, FLAG_KEEPS_PRIORITY, 60)]);
    assert_eq!((bench.ahead(1), bench.ahead(2)), (Some(0), Some(60)));
    bench.send(&[&modify(1, 0, 60)]);
    assert_eq!((bench.ahead(1), bench.ahead(2)), (Some(200), Some(0)));
    assert_eq!(bench.own.depth(1, Side::Sell).unwrap().count(), 1);
    let mut clear = deep_plus::ClearBook::new_zeroed();
    (clear.kind, clear.symbol) = (deep_plus::ClearBook::KIND, name);
    bench.send(&[clear.as_bytes()]);
    assert!(bench.own.is_complete(1));
    assert_eq!(bench.own.depth(1, Side::Sell).unwrap().count(), 0);
    assert_eq!(bench.ahead(1), None);
}

#[test]
fn gap_hides_every_book_until_the_next_session() {
    let mut bench = nasdaq(Subscription::All, 64);
    bench.send(&[&bid(1, 100), &add(BOB, 2, Side::Sell, 2_000, 100)]);
    assert!(bench.own.is_complete(ALC) && bench.own.is_complete(BOB));
    bench.next += 1;
    let heard = bench.send(&[&bid(4, 10)]);
    assert_eq!(heard[0].kind, Kind::Gap);
    bench.send(&[&bid(5, 10)]);
    for locate in [ALC, BOB] {
        assert!(!bench.own.is_complete(locate));
        assert!(bench.own.depth(locate, Side::Buy).is_none());
        let queue = bench.own.queue(locate, Side::Buy, Price4(1_000));
        assert!(queue.is_none());
    }
    assert_eq!((bench.ahead(1), bench.ahead(5)), (None, None));
    assert_eq!(bench.own.counters().books_lost.get(), 1);
    bench.wait(2 * STALE_NS);
    bench.begin(2);
    bench.send(&[&bid(1, 30), &bid(2, 30)]);
    assert_eq!(bench.ahead(2), Some(30));
}

#[test]
fn lag_hides_every_book_though_the_feed_is_whole() {
    let mut bench = nasdaq(Subscription::All, 64);
    bench.send(&[&bid(1, 100)]);
    let more: Vec<_> = (2..80).map(|reference| bid(reference, 1)).collect();
    for chunk in more.chunks(20) {
        let messages: Vec<&[u8]> = chunk.iter().map(Vec::as_slice).collect();
        let payload = mold_packet(1, bench.next, &messages);
        bench.next += messages.len() as u64;
        bench.arrivals.borrow_mut().push((0, payload));
    }
    let heard: Vec<_> = (0..4).flat_map(|_| bench.turn(1)).collect();
    assert!(heard.iter().any(|event| event.kind == Kind::Lagged));
    assert!(!bench.own.is_complete(ALC));
    assert_eq!(bench.ahead(1), None);
}

#[test]
fn silence_hides_books_while_it_lasts() {
    let mut bench = nasdaq(Subscription::All, 64);
    bench.send(&[&bid(1, 100), &bid(2, 100)]);
    bench.wait(2 * STALE_NS);
    assert!(!bench.own.is_complete(ALC));
    bench.send(&[&bid(3, 100)]);
    assert_eq!(bench.ahead(3), Some(200));
}

#[test]
fn more_orders_than_there_is_room_for_hide_their_symbol_and_no_other() {
    let mut bench = nasdaq(Subscription::All, 4);
    bench.send(&[&bid(1, 100), &add(BOB, 2, Side::Sell, 2_000, 100)]);
    bench.send(&[&bid(3, 1), &bid(4, 1), &bid(5, 1)]);
    assert!(!bench.own.is_complete(ALC) && bench.own.is_complete(BOB));
    assert_eq!(bench.own.counters().book.refused_full.get(), 1);
    // What the hidden orders took is free.
    bench.send(&[
        &add(BOB, 6, Side::Sell, 2_000, 10),
        &add(BOB, 7, Side::Sell, 2_000, 10),
    ]);
    assert_eq!(bench.ahead(7), Some(110));
    bench.send(&[&bid(8, 1)]);
    assert_eq!(bench.ahead(8), None);
}

#[test]
fn symbol_that_is_not_heard_is_not_shown_as_an_empty_book() {
    let name = Symbol::new("ALC").unwrap();
    let mut bench = nasdaq(Subscription::Symbols(vec![name]), 64);
    bench.send(&[
        &directory(ALC, "ALC"),
        &directory(BOB, "BOB"),
        &bid(1, 100),
        &add(BOB, 2, Side::Sell, 2_000, 100),
    ]);
    assert!(bench.own.is_complete(ALC) && !bench.own.is_complete(BOB));
    assert_eq!((bench.ahead(1), bench.ahead(2)), (Some(0), None));
}

#[test]
fn symbol_whose_orders_came_before_its_name_is_hidden() {
    let name = Symbol::new("ALC").unwrap();
    let mut bench = nasdaq(Subscription::Symbols(vec![name]), 64);
    bench.send(&[&bid(1, 100), &directory(ALC, "ALC"), &bid(2, 100)]);
    assert!(!bench.own.is_complete(ALC));
    assert_eq!(bench.ahead(2), None);
}

#[test]
fn message_that_names_an_order_by_another_symbol_hides_both() {
    let mut bench = nasdaq(Subscription::All, 64);
    bench.send(&[&bid(1, 100), &add(BOB, 2, Side::Sell, 2_000, 100)]);
    let mut wrong = execute(2, 10);
    wrong[1..3].copy_from_slice(&ALC.to_be_bytes());
    bench.send(&[&wrong]);
    assert!(!bench.own.is_complete(ALC) && !bench.own.is_complete(BOB));
}
