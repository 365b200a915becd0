//! Dialogues of recovery: a feed, its recovery stage, and a network that the test holds in its hands. No turn of
//! the feed allocates.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience, Recovery};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::{FLAG_STALE, Kind, MarketEvent};
use feed_handler::feed::{
    Counters, Feed, FeedHistograms, Parts, STALE_GAP, STALE_SILENT, STALE_WAITING,
};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::recovery::counters::RecoveryCounters;
use feed_handler::recovery::glimpse::GlimpseOptions;
use feed_handler::recovery::link::link_with_spare;
use feed_handler::recovery::requester::RequestOptions;
use feed_handler::recovery::snapshots::SnapshotOptions;
use feed_handler::recovery::stage::{RecoveryOptions, RecoveryStage};
use feed_handler::recovery::wire::{TcpEvent, Wire};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::statuses::{COLLAR, HALT, HOURS, IMBALANCE, PHASE, SHORT_SALE};
use feed_handler::trading::{Hours, Phase};
use feed_handler::venue::Nasdaq;
use protocol::glimpse::EndOfSnapshot;
use protocol::itch::{
    AddOrder, Head, OrderDelete, StockDirectory, StockTradingAction, SystemEvent,
};
use protocol::mold::{Header, PacketBuilder, Session};
use protocol::soup::{self, LoginAccepted, kind};
use protocol::types::{Nanos, OrderRef, Price4, Qty, Seq, Symbol};
use rt::alloc_guard::{CountingAllocator, hot, hot_allocations};
use rt::clock::Clock;
use rt::mem::Want;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

mod answers;
mod contradictions;
mod pace;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SESSION: Session = *b"SESSION001";
const MS: u64 = 1_000_000;
const SECOND_NS: u64 = 1000 * MS;
const GAP_TIMEOUT_NS: u64 = MS;
const REQUEST_TIMEOUT_NS: u64 = 10 * MS;
const TRIES_MAX: u32 = 3;

/// Lines and payloads of the next turn.
type Arrivals = Rc<RefCell<Vec<(u8, Vec<u8>)>>>;

#[derive(Default)]
struct Script(Arrivals);

impl PacketSource for Script {
    fn acquire(&mut self) -> usize {
        self.0.borrow().len()
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for (line, payload) in self.0.borrow().iter() {
            on_packet(Packet {
                payload,
                frame: &[],
                wire_ns: 0,
                line: *line,
            });
        }
    }
    fn release(&mut self) {
        // The test's own memory.
        hot(false);
        self.0.borrow_mut().clear();
        hot(true);
    }
    fn housekeep(&mut self) {}
}

enum Tcp {
    Connected,
    Bytes(Vec<u8>),
    Closed,
}

/// What recovery sent, and what it hears next.
#[derive(Default)]
struct Network {
    requests: Vec<(usize, u64, u16)>,
    answers: VecDeque<(usize, Vec<u8>)>,
    connects: Vec<usize>,
    tcp: VecDeque<Tcp>,
}

impl Wire for Network {
    fn request(&mut self, server: usize, packet: &[u8]) -> bool {
        let header = Header::ref_from_bytes(packet).expect("a request");
        let (seq, count) = (header.seq.get().0, header.count.get());
        self.requests.push((server, seq, count));
        true
    }
    fn answers(&mut self, mut on_packet: impl FnMut(usize, &[u8])) -> usize {
        let taken = self.answers.len();
        for (server, payload) in self.answers.drain(..) {
            on_packet(server, &payload);
        }
        taken
    }
    fn connect(&mut self, server: usize) {
        self.connects.push(server);
    }
    fn close(&mut self) {
        self.tcp.clear();
    }
    fn write(&mut self, _: &[u8]) {}
    fn read(&mut self, mut on_event: impl FnMut(TcpEvent<'_>)) -> usize {
        let taken = self.tcp.len();
        for event in self.tcp.drain(..) {
            match event {
                Tcp::Connected => on_event(TcpEvent::Connected),
                Tcp::Bytes(bytes) => on_event(TcpEvent::Bytes(&bytes)),
                Tcp::Closed => on_event(TcpEvent::Closed),
            }
        }
        taken
    }
}

struct Bench {
    feed: Feed<Script, Nasdaq>,
    stage: RecoveryStage<Network>,
    script: Arrivals,
    events: Listener,
    /// A strategy on the shared ring, which is small, that takes nothing by itself.
    sleeper: Listener,
    prices: Arc<BestPrices>,
    counters: Arc<Counters>,
    recovery: Arc<RecoveryCounters>,
    clock: Clock,
    heard: Vec<MarketEvent>,
}

impl Bench {
    fn new() -> Self {
        Self::with(64, Subscription::All)
    }

    fn with(held_max: usize, subscription: Subscription) -> Self {
        Self::beside(Subscription::All, held_max, subscription)
    }

    /// `sleeps_on`: what the strategy is told that hears nothing of it.
    fn beside(sleeps_on: Subscription, held_max: usize, subscription: Subscription) -> Self {
        let prices = BestPrices::new(Want::LAZY).expect("memory");
        let prices = Arc::new(prices.with_depth(2, Want::LAZY).expect("memory"));
        let mut publisher = Publisher::new(Arc::clone(&prices), 8);
        let sleeping = publisher.listen(sleeps_on, Way::Shared, 8);
        let sleeper = sleeping.expect("a power of two");
        let listening = publisher.listen(subscription, Way::Own, 1 << 10);
        let events = listening.expect("a power of two");
        let counters = Arc::new(Counters::default());
        let script = Script::default();
        let packets = Rc::clone(&script.0);
        let (feed_end, stage_end) = link_with_spare(books(), 1 << 10).expect("a power of two");
        let patience = Patience {
            gap_timeout_ns: GAP_TIMEOUT_NS,
            stale_ns: 100 * SECOND_NS,
        };
        let feed = Feed::new(Parts {
            source: script,
            venue: Nasdaq,
            arbiter: Arbiter::new(patience).with_recovery(Recovery {
                give_up_ns: SECOND_NS,
                held_max,
            }),
            books: books(),
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: 2,
            stale_ns: 100 * SECOND_NS,
        });
        let options = RecoveryOptions {
            requests: RequestOptions {
                servers: 2,
                timeout_ns: REQUEST_TIMEOUT_NS,
                requests_max: 8,
                interval_ns: 0,
                messages_max: 32,
                tries_max: TRIES_MAX,
            },
            snapshots: Some(SnapshotOptions {
                servers: 2,
                glimpse: GlimpseOptions {
                    username: "user".to_owned(),
                    password: "secret".to_owned(),
                    silence_ns: SECOND_NS,
                    timeout_ns: 10 * SECOND_NS,
                },
                pause_ns: SECOND_NS,
                tries_max: 2,
            }),
        };
        let stage = RecoveryStage::new::<Nasdaq>(options, stage_end, Network::default());
        let mut bench = Self {
            feed: feed.with_recovery(feed_end),
            recovery: stage.counters(),
            stage,
            script: packets,
            events,
            sleeper,
            prices,
            counters,
            clock: Clock::manual(SECOND_NS),
            heard: Vec::new(),
        };
        bench.begin(SESSION);
        bench
    }

    /// A session begins: three packets say so.
    fn begin(&mut self, session: Session) {
        for line in 0..3 {
            let packet = packet(session, 1, &[]);
            self.script.borrow_mut().push((line, packet));
        }
        self.turn();
    }

    /// Packets of both lines, line A's first.
    fn send(&mut self, seq: u64, messages: &[&[u8]]) {
        self.script
            .borrow_mut()
            .push((0, packet(SESSION, seq, messages)));
        self.turn();
    }

    fn turn(&mut self) {
        hot(true);
        self.feed.poll(&self.clock);
        hot(false);
        assert_eq!(hot_allocations(), 0, "a turn of the feed");
        self.stage.poll(self.clock.now_ns());
        self.heard.extend(std::iter::from_fn(|| self.events.hear()));
    }

    /// Time passes, in turns enough for whatever is due.
    fn wait(&mut self, ns: u64) {
        self.clock.set_ns(self.clock.now_ns() + ns);
        for _ in 0..300 {
            self.turn();
        }
    }

    /// What the re-request server says.
    fn answer(&mut self, server: usize, payload: Vec<u8>) {
        self.stage.wire().answers.push_back((server, payload));
    }

    fn requests(&mut self) -> Vec<(usize, u64, u16)> {
        std::mem::take(&mut self.stage.wire().requests)
    }

    /// Holes are not answered: a gap, until the servers have been asked for long enough.
    fn give_up(&mut self) {
        self.turn();
        self.wait(GAP_TIMEOUT_NS);
        for _ in 0..TRIES_MAX {
            self.wait(REQUEST_TIMEOUT_NS);
        }
    }

    /// The snapshot server says all of it at once.
    fn snapshot(&mut self, messages: &[&[u8]], next_seq: u64) {
        let mut bytes = Vec::new();
        let mut say = |kind: u8, payload: &[u8]| {
            let mut buffer = [0; 100];
            let packet = soup::Packet { kind, payload };
            let len = packet.encode(&mut buffer).expect("short");
            bytes.extend_from_slice(&buffer[..len]);
        };
        let accepted = LoginAccepted::new("ANY", Seq(1));
        say(kind::LOGIN_ACCEPTED, accepted.as_bytes());
        for message in messages {
            say(kind::SEQUENCED, message);
        }
        let end = EndOfSnapshot::new(Seq(next_seq));
        say(kind::SEQUENCED, end.as_bytes());
        let tcp = &mut self.stage.wire().tcp;
        tcp.push_back(Tcp::Connected);
        tcp.push_back(Tcp::Bytes(bytes));
    }

    /// What the strategy heard since the last look: kinds and numbers.
    fn hears(&mut self, expected: &str) -> &mut Self {
        let heard: Vec<String> = self
            .heard
            .drain(..)
            .map(|event| match event.kind {
                Kind::Gap => format!("gap {}+{}", event.origin.seq, event.number),
                Kind::Fresh => "fresh".to_owned(),
                Kind::EndOfSession => "end".to_owned(),
                Kind::Refresh => format!("{} at {}", event.locate, event.bid_price.0),
                kind => {
                    let stale = if event.has(FLAG_STALE) { "~" } else { "" };
                    format!("{}{}{stale}", char::from(kind as u8), event.origin.seq)
                }
            })
            .collect();
        assert_eq!(heard.join(" "), expected);
        self
    }

    fn stale(&self) -> u64 {
        self.counters.status.stale()
    }

    /// The two best bids.
    fn bids(&self, locate: u16) -> [u32; 2] {
        let depth = self.prices.depths().and_then(|depths| depths.load(locate));
        let bids = depth.expect("a row").bids;
        [bids[0].price.0, bids[1].price.0]
    }

    fn bid(&self, locate: u16) -> u32 {
        self.prices.load(locate).expect("calm").bid_price.0
    }
}

fn packet(session: Session, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut packet = PacketBuilder::new(&mut buffer, session, Seq(seq)).expect("room");
    for message in messages {
        assert!(packet.push(message));
    }
    packet.finish().to_vec()
}

fn add(locate: u16, reference: u64, price: u32) -> Vec<u8> {
    AddOrder {
        head: Head::new(b'A', locate, Nanos(1)),
        order: OrderRef(reference).into(),
        side: b'B',
        shares: Qty(100).into(),
        stock: Symbol(*b"ALC     "),
        price: Price4(price).into(),
    }
    .as_bytes()
    .to_vec()
}

fn delete(locate: u16, reference: u64) -> Vec<u8> {
    OrderDelete {
        head: Head::new(b'D', locate, Nanos(1)),
        order: OrderRef(reference).into(),
    }
    .as_bytes()
    .to_vec()
}

fn directory(locate: u16, symbol: &str) -> Vec<u8> {
    let mut directory = StockDirectory::new_zeroed();
    directory.head = Head::new(b'R', locate, Nanos(1));
    directory.stock = Symbol::new(symbol).expect("a symbol");
    directory.as_bytes().to_vec()
}

fn action(locate: u16, state: u8) -> Vec<u8> {
    let mut action = StockTradingAction::new_zeroed();
    action.head = Head::new(b'H', locate, Nanos(1));
    action.state = state;
    action.as_bytes().to_vec()
}

fn event(event: u8) -> Vec<u8> {
    let head = Head::new(b'S', 0, Nanos(1));
    SystemEvent { head, event }.as_bytes().to_vec()
}

#[test]
fn gap_open_second_line_fills_without_request_and_without_staleness() {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(3, &[&add(7, 3, 300)]);
    assert_eq!(bench.stale(), 0);
    bench
        .clock
        .set_ns(bench.clock.now_ns() + GAP_TIMEOUT_NS - 1);
    bench.send(2, &[&add(7, 2, 200)]);
    bench.wait(10 * GAP_TIMEOUT_NS);
    bench.hears("A1 A2 A3");
    assert_eq!(bench.requests(), []);
    assert_eq!(bench.recovery.holes_asked.get(), 0);
    assert_eq!(bench.counters.arbiter.holes_filled.get(), 1);
}

#[test]
fn hole_on_both_lines_is_asked_for_and_strategies_hear_what_a_perfect_feed_says() {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(4, &[&add(7, 4, 400)]);
    bench.wait(GAP_TIMEOUT_NS);
    assert_eq!(bench.requests(), [(0, 2, 2)]);
    assert_eq!(bench.stale(), STALE_WAITING);
    assert!(
        bench.prices.is_stale(7),
        "orders are not sent on old prices"
    );
    bench.send(5, &[&add(7, 5, 500)]);
    bench.hears("A1");
    bench.answer(0, packet(SESSION, 2, &[&add(7, 2, 200), &add(7, 3, 300)]));
    bench.wait(1);
    bench.hears("A2 A3 A4 A5").hears("");
    assert_eq!((bench.stale(), bench.bid(7)), (0, 500));
    bench.send(6, &[&add(7, 6, 600)]);
    bench.hears("A6");
    assert_eq!(bench.counters.arbiter.holes_recovered.get(), 1);
    assert_eq!(bench.recovery.messages_recovered.get(), 2);
    assert_eq!(bench.counters.arbiter.gaps.get(), 0);
    assert!(bench.stage.is_idle());
}

#[test]
fn several_holes_are_asked_for_at_once_and_filled_in_any_order() {
    let mut bench = Bench::new();
    bench.send(2, &[&add(7, 2, 200)]);
    bench.send(4, &[&add(7, 4, 400)]);
    bench.wait(GAP_TIMEOUT_NS);
    assert_eq!(bench.requests(), [(0, 1, 1), (0, 3, 1)]);
    bench.answer(0, packet(SESSION, 3, &[&add(7, 3, 300)]));
    bench.wait(1);
    bench.hears("");
    bench.answer(0, packet(SESSION, 1, &[&add(7, 1, 100)]));
    bench.wait(1);
    bench.hears("A1 A2 A3 A4");
    assert_eq!(bench.stale(), 0);
}

#[test]
fn dead_servers_are_asked_in_turn_and_then_the_gap_is_announced_before_what_follows() {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(3, &[&add(7, 3, 300)]);
    bench.give_up();
    assert_eq!(bench.requests(), [(0, 2, 1), (1, 2, 1), (0, 2, 1)]);
    bench.hears("A1 gap 2+1 A3~");
    assert_eq!(bench.stale(), STALE_GAP);
    assert_eq!(bench.recovery.requests_timed_out.get(), 3);
    assert_eq!(bench.recovery.ranges_given_up.get(), 1);
    let late = packet(SESSION, 2, &[&add(7, 2, 200)]);
    bench.answer(0, late);
    bench.wait(1);
    bench.hears("");
    assert_eq!(bench.recovery.answers_refused.get(), 1);
}

#[test]
fn late_line_fills_a_hole_that_was_asked_for() {
    let mut bench = Bench::new();
    bench.send(2, &[&add(7, 2, 200)]);
    bench.wait(GAP_TIMEOUT_NS);
    assert_eq!(bench.requests().len(), 1);
    bench.send(1, &[&add(7, 1, 100)]);
    bench.wait(10 * REQUEST_TIMEOUT_NS);
    bench.hears("A1 A2");
    assert_eq!(bench.requests(), []);
    assert_eq!(bench.stale(), 0);
}

#[test]
fn room_for_held_packets_full_first_hole_is_given_up_and_counted() {
    let held_max = 100;
    let mut bench = Bench::with(held_max, Subscription::All);
    bench.send(2, &[&add(7, 2, 2)]);
    bench.wait(GAP_TIMEOUT_NS);
    for seq in 3..102 {
        bench.send(seq, &[&delete(7, seq)]);
    }
    bench.hears("");
    bench.send(102, &[&delete(7, 102)]);
    bench.wait(1);
    assert_eq!(bench.heard.len(), 1 + 101);
    assert_eq!(bench.heard[0].kind, Kind::Gap);
    assert_eq!(bench.counters.arbiter.holes_crowded_out.get(), 1);
}

#[test]
fn hundreds_of_held_packets_leave_in_slices_in_order_with_what_arrives_meanwhile() {
    let mut bench = Bench::with(4096, Subscription::All);
    bench.send(2, &[&delete(7, 2)]);
    bench.wait(GAP_TIMEOUT_NS);
    for seq in 3..=900 {
        bench.send(seq, &[&delete(7, seq)]);
    }
    bench.hears("");
    bench.answer(0, packet(SESSION, 1, &[&add(7, 1, 100)]));
    let mut turns = 0;
    while bench.heard.len() < 900 {
        let before = bench.heard.len();
        let seq = 901 + turns;
        bench.send(seq, &[&delete(7, seq)]);
        assert!(bench.heard.len() - before <= 2 * 256 + 1);
        turns += 1;
    }
    assert!(turns >= 3, "{turns} turns");
    bench.wait(1);
    let numbers = bench.heard.iter().map(|event| event.origin.seq);
    assert!(numbers.eq(1..=900 + turns));
    assert_eq!(bench.stale(), 0);
}

#[test]
fn answer_of_another_session_or_to_nothing_moves_nothing() {
    let mut bench = Bench::new();
    bench.send(2, &[&add(7, 2, 200)]);
    bench.wait(GAP_TIMEOUT_NS);
    for payload in [
        packet(*b"SESSION002", 1, &[&add(7, 1, 100)]),
        packet(SESSION, 9, &[&add(7, 9, 900)]),
        packet(SESSION, 1, &[]),
        b"short".to_vec(),
    ] {
        bench.answer(1, payload);
    }
    bench.wait(1);
    bench.hears("");
    assert_eq!(bench.recovery.answers_refused.get(), 4);
}

fn books() -> Books {
    let limits = Limits {
        orders_max: 64,
        levels_max: 64,
    };
    Books::new(&limits, Want::LAZY).expect("memory")
}

/// A feed that is stale by a gap: 1, then 3 without 2; the snapshot server has been connected to.
fn gapped() -> Bench {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(3, &[&add(8, 3, 300)]);
    bench.give_up();
    bench.hears("A1 gap 2+1 A3~");
    assert_eq!(bench.stage.wire().connects, [0]);
    bench
}

#[test]
fn snapshot_takes_the_place_of_a_gap_at_exactly_its_number() {
    let mut bench = gapped();
    // The exchange is further than the feed: its snapshot has 4, but not 5.
    bench.snapshot(&[&add(7, 2, 250), &add(8, 3, 300), &add(8, 4, 400)], 5);
    bench.wait(1);
    assert_eq!(bench.stale(), STALE_GAP);
    bench.send(4, &[&add(8, 4, 400)]);
    bench.wait(1);
    // 8 was told by its own message; 7 is what the gap had changed.
    bench.hears("A4~ 7 at 250 fresh");
    assert_eq!((bench.bid(7), bench.bid(8), bench.stale()), (250, 400, 0));
    // Behind the best price the table shows what the snapshot brought, too.
    assert_eq!(bench.bids(8), [400, 300]);
    bench.send(5, &[&delete(8, 4)]);
    bench.hears("D5");
    assert_eq!(bench.bid(8), 300);
    assert_eq!(bench.bids(8), [300, 0]);
    assert_eq!(bench.counters.join.snapshots_joined.get(), 1);
    assert!(bench.stage.is_idle());
}

#[test]
fn snapshot_tells_how_symbols_are_traded_and_leaves_stale_what_it_does_not_say() {
    let mut bench = Bench::new();
    bench.send(1, &[&directory(7, "ALC"), &directory(8, "BOB")]);
    bench.send(3, &[&action(7, b'T'), &action(8, b'T'), &event(b'Q')]);
    bench.hears("R1 R2 H3 H4 S5");
    bench.send(7, &[&action(8, b'P')]);
    bench.give_up();
    bench.hears("gap 6+1 H7~");
    let status = |bench: &Bench, locate| bench.prices.statuses().load(locate).expect("calm");
    assert!(status(&bench, 7).is_stale(PHASE) && !status(&bench, 8).is_stale(PHASE));
    bench.send(8, &[&action(8, b'Q')]);
    bench.hears("H8~");
    // What the gap hid is that the one was halted; of the other the snapshot does not know the latest.
    let (alc, bob) = (directory(7, "ALC"), directory(8, "BOB"));
    bench.snapshot(&[&alc, &bob, &action(7, b'H'), &action(8, b'P')], 8);
    bench.wait(1);
    bench.hears("7 at 0 fresh");
    let (alc, bob) = (status(&bench, 7), status(&bench, 8));
    assert_eq!(alc.phase, Some(Phase::Halted));
    assert_eq!(bob.phase, Some(Phase::QuotationOnly));
    assert!(!alc.is_stale(PHASE | SHORT_SALE | HALT) && alc.is_stale(COLLAR | IMBALANCE));
    let market = bench.prices.statuses().market().expect("calm");
    assert_eq!(market.hours, Some(Hours::MarketBegin));
    assert_ne!(
        market.stale & HOURS,
        0,
        "the snapshot says nothing of the day"
    );
    bench.send(9, &[&event(b'M')]);
    let market = bench.prices.statuses().market().expect("calm");
    assert_eq!(
        (market.hours, market.stale & HOURS),
        (Some(Hours::MarketEnd), 0)
    );
}

#[test]
fn messages_that_come_while_a_snapshot_is_loaded_are_applied_once() {
    let mut bench = gapped();
    bench.send(4, &[&add(8, 4, 400), &add(9, 5, 500)]);
    bench.send(6, &[&delete(8, 3)]);
    bench.hears("A4~ A5~ D6~");
    // The snapshot is of after 4.
    bench.snapshot(&[&add(7, 2, 250), &add(8, 3, 300), &add(8, 4, 400)], 5);
    bench.wait(1);
    bench.hears("7 at 250 fresh");
    assert_eq!((bench.bid(8), bench.bid(9)), (400, 500));
    bench.send(7, &[&delete(8, 4)]);
    assert_eq!(bench.bid(8), 0);
}

#[test]
fn old_snapshot_does_not_fit_and_another_server_is_asked() {
    let mut bench = gapped();
    // It ends before the copied messages begin, so messages are missing between both.
    bench.snapshot(&[&add(7, 2, 250)], 3);
    bench.send(4, &[&add(8, 4, 400)]);
    bench.wait(1);
    assert_eq!(bench.stale(), STALE_GAP);
    assert_eq!(bench.recovery.snapshots_failed.get(), 1);
    bench.wait(SECOND_NS);
    assert_eq!(bench.stage.wire().connects, [0, 1]);
    bench.snapshot(&[&add(7, 2, 250), &add(8, 4, 400)], 5);
    bench.wait(1);
    bench.hears("A4~ 7 at 250 fresh");
}

#[test]
fn quiet_snapshot_that_is_too_old_is_refused_by_the_feed() {
    let mut bench = gapped();
    bench.snapshot(&[&add(7, 2, 250)], 3);
    bench.wait(1);
    bench.hears("");
    assert_eq!(bench.counters.join.snapshots_refused.get(), 1);
    assert_eq!(bench.stale(), STALE_GAP);
    bench.wait(2 * SECOND_NS);
    bench.snapshot(&[&add(7, 2, 250)], 4);
    bench.wait(1);
    bench.hears("7 at 250 8 at 0 fresh");
}

#[test]
fn gap_behind_the_snapshot_wants_another_one() {
    let mut bench = gapped();
    bench.snapshot(&[&add(7, 2, 250)], 6);
    bench.wait(1);
    // 5 is lost, too; then 6, which the books would have lacked.
    bench.send(4, &[&add(8, 4, 400)]);
    bench.send(7, &[&add(8, 7, 700)]);
    bench.give_up();
    bench.hears("A4~ gap 5+2 A7~");
    assert_eq!(bench.counters.join.snapshots_refused.get(), 1);
    bench.wait(2 * SECOND_NS);
    bench.snapshot(&[&add(7, 2, 250), &add(8, 7, 700)], 8);
    bench.wait(1);
    bench.hears("7 at 250 fresh");
}

#[test]
fn gap_that_the_snapshot_covers_is_healed_by_it() {
    let mut bench = gapped();
    bench.send(5, &[&add(8, 5, 500)]);
    bench.give_up();
    bench.hears("gap 4+1 A5~");
    bench.snapshot(&[&add(7, 2, 250), &add(8, 5, 500)], 6);
    bench.wait(1);
    bench.hears("7 at 250 fresh");
    assert_eq!(bench.stale(), 0);
}

#[test]
fn server_that_fails_costs_a_pause_and_after_the_last_try_the_feed_stays_stale_until_the_next_session()
 {
    let mut bench = gapped();
    bench.stage.wire().tcp.push_back(Tcp::Closed);
    bench.wait(1);
    bench.wait(SECOND_NS);
    assert_eq!(bench.stage.wire().connects, [0, 1]);
    bench.stage.wire().tcp.push_back(Tcp::Closed);
    bench.wait(1);
    bench.wait(50 * SECOND_NS);
    assert_eq!(bench.stage.wire().connects, [0, 1]);
    assert_eq!(bench.recovery.snapshots_given_up.get(), 1);
    bench.send(4, &[&add(8, 4, 400)]);
    bench.hears("A4~");
    assert_eq!(bench.stale(), STALE_GAP);
    for _ in 0..2 {
        let mut buffer = [0; 20];
        let end = PacketBuilder::new(&mut buffer, SESSION, Seq(5)).expect("room");
        let end = end.finish_end_of_session().to_vec();
        bench.script.borrow_mut().push((0, end));
    }
    bench.turn();
    bench.begin(*b"SESSION002");
    bench.wait(1);
    bench.hears("end fresh");
}

#[test]
fn session_that_ends_while_books_are_on_their_way_leaves_nothing_of_it() {
    let mut bench = gapped();
    bench.snapshot(&[&add(7, 2, 250)], 100);
    bench.wait(1);
    for _ in 0..2 {
        let mut buffer = [0; 20];
        let end = PacketBuilder::new(&mut buffer, SESSION, Seq(4)).expect("room");
        let end = end.finish_end_of_session().to_vec();
        bench.script.borrow_mut().push((0, end));
    }
    bench.wait(1);
    bench.begin(*b"SESSION002");
    bench.wait(1);
    bench.hears("end fresh");
    assert_eq!(bench.bid(7), 0);
    assert_eq!(bench.counters.join.snapshots_joined.get(), 0);
    // The spare is back: a gap of the new session is healed, too.
    let payload = packet(*b"SESSION002", 2, &[&add(7, 2, 200)]);
    bench.script.borrow_mut().push((0, payload));
    bench.give_up();
    bench.snapshot(&[&add(7, 2, 200), &add(7, 9, 900)], 3);
    bench.wait(1);
    bench.hears("gap 1+1 A2~ 7 at 900 fresh");
}

#[test]
fn who_joins_late_is_told_symbols_and_prices_by_a_snapshot_and_asks_nobody_for_the_past() {
    let alc = Symbol::new("ALC").expect("a symbol");
    let mut bench = Bench::with(64, Subscription::Symbols(vec![alc]));
    let late = 1_000_000;
    for line in 0..3 {
        let packet = packet(SESSION, late, &[]);
        bench.script.borrow_mut().push((line, packet));
    }
    bench.turn();
    bench.wait(GAP_TIMEOUT_NS);
    bench.hears("gap 1+999999");
    assert_eq!(bench.requests(), []);
    bench.send(late, &[&add(7, 5, 500)]);
    bench.hears("");
    let known = directory(7, "ALC");
    bench.snapshot(&[&known, &directory(8, "BOB"), &add(7, 1, 100)], late);
    bench.wait(1);
    bench.hears("R1000000~ fresh");
    assert_eq!(bench.prices.symbol(8), Symbol::new("BOB"));
    assert_eq!((bench.bid(7), bench.stale()), (500, 0));
    bench.send(late + 1, &[&add(7, 6, 600)]);
    bench.hears("A1000001");
}

#[test]
fn symbol_whose_order_found_no_room_is_fresh_again_after_a_snapshot_that_has_room() {
    let mut bench = Bench::new();
    let orders: Vec<Vec<u8>> = (1..=65).map(|reference| add(7, reference, 100)).collect();
    for (seq, order) in (1..).zip(&orders) {
        bench.send(seq, &[order]);
    }
    bench.send(66, &[&add(8, 66, 100)]);
    assert!(bench.prices.is_stale(7) && bench.prices.is_stale(8));
    bench.send(68, &[&add(9, 68, 100)]);
    bench.give_up();
    bench.snapshot(&[&orders[0]], 69);
    bench.wait(1);
    assert!(!bench.prices.is_stale(7) && !bench.prices.is_stale(8));
    assert_eq!((bench.bid(7), bench.bid(8)), (100, 0));
}

#[test]
fn silent_feed_is_stale_while_a_snapshot_heals_its_gap() {
    let mut bench = gapped();
    bench.wait(100 * SECOND_NS);
    assert_eq!(bench.stale() & STALE_SILENT, STALE_SILENT);
    assert!(bench.prices.feed_is_stale());
}

#[test]
fn strategy_that_was_overtaken_while_a_snapshot_was_told_ends_with_its_prices() {
    for is_followed in [false, true] {
        let mut bench = gapped();
        let mut believed = std::collections::BTreeMap::new();
        let mut hear = |bench: &mut Bench| {
            let events = std::iter::from_fn(|| bench.sleeper.hear());
            let events = events.filter(|event| !event.is_news());
            believed.extend(events.map(|event| (event.locate, event.bid_price.0)));
            believed.clone()
        };
        hear(&mut bench);
        let symbols = 7..40;
        let orders: Vec<_> = symbols
            .clone()
            .map(|locate| add(locate, u64::from(locate) + 100, 1_000 + u32::from(locate)))
            .collect();
        let orders: Vec<&[u8]> = orders.iter().map(Vec::as_slice).collect();
        bench.snapshot(&orders, 4);
        bench.wait(1);
        assert_eq!(bench.stale(), 0);
        if is_followed {
            bench.send(4, &[&add(8, 200, 2_000)]);
        }
        let believed = hear(&mut bench);
        for locate in symbols {
            let told = believed.get(&locate).copied();
            assert_eq!(told, Some(bench.bid(locate)), "{locate}, {is_followed}");
        }
    }
}

#[test]
fn row_of_levels_is_as_new_as_the_event_that_names_the_symbol_by_snapshot() {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(3, &[&add(8, 3, 300)]);
    bench.give_up();
    let (alc, bob) = (directory(7, "ALC"), directory(8, "BOB"));
    bench.snapshot(&[&alc, &bob, &add(7, 2, 250), &add(8, 3, 300)], 4);
    bench.wait(1);
    let depths = bench.prices.depths().expect("a table");
    for locate in [7, 8] {
        let changed = depths.load(locate).expect("a row").changed;
        assert!(changed.seq() >= 3, "{locate}: {changed:?}");
    }
}

#[test]
fn row_of_levels_of_who_nobody_hears_stays_empty() {
    let hears = Subscription::Symbols(vec![Symbol::new("ALC").expect("a name")]);
    let mut bench = Bench::beside(hears.clone(), 64, hears);
    bench.send(1, &[&directory(7, "ALC"), &directory(8, "BOB")]);
    bench.send(3, &[&add(8, 3, 300), &add(7, 9, 100)]);
    bench.send(6, &[&add(7, 5, 300)]);
    bench.give_up();
    let (alc, bob) = (directory(7, "ALC"), directory(8, "BOB"));
    bench.snapshot(&[&alc, &bob, &add(7, 2, 250), &add(8, 3, 300)], 7);
    bench.wait(1);
    bench.send(7, &[&delete(8, 3)]);
    bench.wait(1);
    assert_eq!((bench.bid(8), bench.bids(8)), (0, [0, 0]));
    assert_eq!((bench.bid(7), bench.bids(7)), (250, [250, 0]));
}
