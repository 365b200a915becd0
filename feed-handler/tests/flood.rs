//! A flood of packets that are nobody's at the address of a feed: what fits in its rings costs time and moves nothing; what
//! does not fit is a gap that is told.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod script;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use fastrand::Rng;
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::{FLAG_STALE, Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::source::PacketSource;
use feed_handler::udp::{UdpCounters, UdpLine, UdpOptions, UdpSource};
use feed_handler::venue::Nasdaq;
use protocol::itch::{AddOrder, Head, OrderReplace};
use protocol::mold::{PacketBuilder, Session};
use protocol::types::{Nanos, OrderRef, Price4, Qty, Seq, Side};
use rt::clock::Clock;
use rt::mem::Want;
use script::Script;
use zerocopy::{FromZeros, IntoBytes};

const OURS: Session = *b"SESSION001";
const THEIRS: Session = *b"SESSION002";
const STALE_NS: u64 = 1_000_000_000;
const ALC: u16 = 7;
/// True messages, and packets of others for each.
const MESSAGES: u64 = 1_000;
const FOREIGN_EACH: u64 = 200;

struct Bench<S> {
    feed: Feed<S, Nasdaq>,
    events: Listener,
    prices: Arc<BestPrices>,
    counters: Arc<Counters>,
    clock: Clock,
}

impl<S: PacketSource> Bench<S> {
    fn new(source: S) -> Self {
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&prices), 64);
        let events = publisher.listen(Subscription::All, Way::Own, 64).unwrap();
        let counters = Arc::new(Counters::default());
        let limits = Limits {
            orders_max: 4,
            levels_max: 64,
        };
        let feed = Feed::new(Parts {
            source,
            venue: Nasdaq,
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
        Self {
            feed,
            events,
            prices,
            counters,
            clock: Clock::manual(1_000),
        }
    }

    /// A turn some time later, and what a strategy hears in it.
    fn turn(&mut self, ns: u64) -> Vec<MarketEvent> {
        self.clock.set_ns(self.clock.now_ns() + ns);
        self.feed.poll(&self.clock);
        std::iter::from_fn(|| self.events.hear()).collect()
    }
}

fn packet(session: Session, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, session, Seq(seq)).unwrap();
    messages.iter().for_each(|it| assert!(builder.push(it)));
    builder.finish().to_vec()
}

/// The only order's price after a message; no two in a row are the same.
fn price(number: u64) -> Price4 {
    Price4(10_000 + u32::try_from(number % 1_000).unwrap())
}

/// The session's messages: an order, which each of them moves to another price.
fn message(number: u64) -> Vec<u8> {
    if number == 1 {
        return add(1);
    }
    let replace = OrderReplace {
        head: Head::new(b'U', ALC, Nanos(1)),
        old_order: OrderRef(number - 1).into(),
        new_order: OrderRef(number).into(),
        shares: Qty(100).into(),
        price: price(number).into(),
    };
    replace.as_bytes().to_vec()
}

fn add(number: u64) -> Vec<u8> {
    let mut add = AddOrder::new_zeroed();
    add.head = Head::new(b'A', ALC, Nanos(1));
    (add.order, add.side) = (OrderRef(number).into(), Side::Buy as u8);
    (add.shares, add.price) = (Qty(100).into(), price(number).into());
    add.as_bytes().to_vec()
}

fn ours(number: u64) -> Vec<u8> {
    packet(OURS, number, &[&message(number)])
}

/// A packet of nobody's, while the next true one is `next`.
fn foreign(next: u64, random: &mut Rng) -> Vec<u8> {
    let other = message(random.u64(1..1_000));
    match random.u8(0..4) {
        // Whatever.
        0 => (0..random.usize(0..1_472)).map(|_| random.u8(..)).collect(),
        // A number that cannot be.
        1 => packet(OURS, random.u64(1 << 32..u64::MAX), &[&other]),
        // Another session, which goes on as one does.
        2 => packet(THEIRS, next * FOREIGN_EACH + random.u64(0..200), &[&other]),
        // One that was there before: number and message.
        _ if next > 1 => ours(random.u64(1..next)),
        _ => Vec::new(),
    }
}

#[test]
fn flood_of_packets_that_are_nobodys_moves_nothing_and_each_true_one_moves_its_book() {
    let source = Script::default();
    let arrivals = source.0.clone();
    let mut bench = Bench::new(source);
    for _ in 0..3 {
        arrivals.borrow_mut().push((0, packet(OURS, 1, &[])));
        bench.turn(STALE_NS / 5);
    }
    let mut random = Rng::with_seed(1);
    for number in 1..=MESSAGES {
        // The true one anywhere between the others.
        let place = random.u64(0..=FOREIGN_EACH);
        for at in 0..=FOREIGN_EACH {
            let payload = if at == place {
                ours(number)
            } else {
                foreign(number, &mut random)
            };
            arrivals.borrow_mut().push((0, payload));
        }
        let events = bench.turn(10_000);
        let [event] = events[..] else {
            panic!("{number}: {events:?}");
        };
        assert_eq!((event.origin.seq, event.bid_price), (number, price(number)));
        assert!(!event.has(FLAG_STALE), "{number}");
    }
    let best = bench.prices.load(ALC).expect("it is whole");
    assert_eq!(best.bid_price, price(MESSAGES));
    assert!(!bench.prices.feed_is_stale());
    let Counters { feed, arbiter, .. } = &*bench.counters;
    assert_eq!(feed.packets.get(), 3 + MESSAGES * (FOREIGN_EACH + 1));
    assert_eq!(arbiter.packets_used.get(), MESSAGES);
    let refused = [
        arbiter.packets_malformed.get(),
        arbiter.packets_foreign.get(),
        arbiter.packets_wild.get(),
        arbiter.packets_duplicate.get(),
    ];
    // So are the session's own first packets, until they agree.
    let strange = 3 + MESSAGES * FOREIGN_EACH;
    assert_eq!(refused.iter().sum::<u64>(), strange);
    assert!(refused.iter().all(|count| *count > 500), "{refused:?}");
    let lost = [
        &arbiter.gaps,
        &arbiter.messages_lost,
        &arbiter.jumps_believed,
        &arbiter.sessions_ended,
        &feed.unknown,
        &feed.malformed,
    ];
    assert_eq!(lost.map(|count| count.get()), [0; 6]);
    assert_eq!(arbiter.sessions_begun.get(), 1);
}

/// More than the kernel keeps for a socket of this size.
const RECEIVE_BYTES: usize = 1 << 16;
const MANY: u64 = 5_000;

#[test]
fn what_a_flood_leaves_no_room_for_is_counted_and_a_gap() {
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = probe.local_addr().expect("bound").port();
    drop(probe);
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let options = UdpOptions {
        lines: vec![UdpLine {
            address: to,
            interface: None,
        }],
        receive_buffer_bytes: RECEIVE_BYTES,
        busy_poll_us: 0,
        block_us: 0,
    };
    let udp = Arc::new(UdpCounters::default());
    let source = UdpSource::open(&options, Arc::clone(&udp)).expect("opens");
    let mut bench = Bench::new(source);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let send = |payload: &[u8]| assert_eq!(sender.send_to(payload, to).unwrap(), payload.len());
    // Until the last one is heard, and what is heard until then.
    let hear = |bench: &mut Bench<UdpSource>, last: u64| {
        let mut heard: Vec<MarketEvent> = Vec::new();
        while heard.last().is_none_or(|event| event.origin.seq != last) {
            heard.extend(bench.turn(1_000));
        }
        heard
    };
    (1..=3).for_each(|number| send(&ours(number)));
    hear(&mut bench, 3);
    // Nobody looks while it comes, as on a core that does not keep up.
    let mut random = Rng::with_seed(2);
    for at in 0..2 * MANY {
        if at == MANY {
            (4..14).for_each(|number| send(&ours(number)));
        }
        send(&foreign(4, &mut random));
    }
    while bench.feed.poll(&bench.clock) > 0 {}
    assert!(!bench.prices.feed_is_stale(), "nothing tells of it yet");
    // An order that nothing lost is needed for.
    send(&packet(OURS, 14, &[&add(99)]));
    let heard = hear(&mut bench, 14);
    let told: Vec<(Kind, u64)> = heard.iter().map(|it| (it.kind, it.number)).collect();
    assert_eq!(told, [(Kind::Gap, 10), (Kind::Add, 99)]);
    assert!(heard.iter().all(|event| event.has(FLAG_STALE)));
    assert!(bench.prices.feed_is_stale());
    let (taken, dropped) = (udp.packets.get(), udp.kernel_dropped.get());
    assert!(dropped > 0 && taken > 20, "{taken} {dropped}");
    assert!(
        taken + dropped <= 3 + 2 * MANY + 10 + 1,
        "{taken} {dropped}"
    );
    assert_eq!(bench.counters.arbiter.messages_lost.get(), 10);
}
