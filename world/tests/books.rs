//! Books and trades, judged by an independent program and by a book too simple to be wrong.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use feed_handler::book::{Bbo, BookCounters, BookSink, Books, Level, Limits, TradePrint};
use feed_handler::venue::Nasdaq;
use protocol::binary_file::Messages;
use protocol::itch::{
    AddOrder, Head, Message, OrderCancel, OrderDelete, OrderExecuted, OrderReplace,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Side, Symbol};
use rt::mem::Want;
use zerocopy::IntoBytes;

/// Feeds a file to `itch-book` and writes what it finds in our columns.
const JUDGE: &str = r#"
import sys, itch_book._core as core
s = core.Session(["bbo", "trades"], 0, [])
s.feed(open(sys.argv[1], "rb").read())
b, t = s.take_bbo(), s.take_trades()
with open(sys.argv[2], "w") as f:
    f.write("ts,seq,locate,bid_px,bid_sz,bid_ct,ask_px,ask_sz,ask_ct\n")
    for r in zip(*(b[k].tolist() for k in "ts seq locate bid_px bid_sz bid_ct ask_px ask_sz ask_ct".split())):
        f.write(",".join(map(str, r)) + "\n")
with open(sys.argv[3], "w") as f:
    f.write("ts,seq,locate,kind,price,size,side,order_id,match_number,cross_type\n")
    for r in zip(*(t[k].tolist() for k in "ts seq locate kind px size side order_id match cross_type".split())):
        r = [chr(v) if i in (3, 6, 9) else v for i, v in enumerate(r)]
        f.write(",".join(map(str, r)) + "\n")
"#;

fn compare_with_itch_book(feed: &Path) -> Option<(u64, u64)> {
    let python = support::python_with("itch-book")?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (bbo, trades, json) = (path("bbo.csv"), path("trades.csv"), path("out.json"));
    let feed = feed.display().to_string();
    let arguments = [
        "book", &feed, "--bbo", &bbo, "--trades", &trades, "--json", &json,
    ];
    let output = support::tool("tickgate-bench", &arguments);
    assert!(output.status.success(), "{}", support::stderr(&output));
    let (their_bbo, their_trades) = (path("their-bbo.csv"), path("their-trades.csv"));
    let judged = Command::new(python)
        .args(["-c", JUDGE, &feed, &their_bbo, &their_trades])
        .output()
        .expect("python runs");
    assert!(judged.status.success(), "{}", support::stderr(&judged));
    let mut rows = Vec::new();
    for (ours, theirs) in [(&bbo, &their_bbo), (&trades, &their_trades)] {
        let ours = std::fs::read_to_string(ours).expect("ours");
        let theirs = std::fs::read_to_string(theirs).expect("theirs");
        for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
            assert_eq!(ours, theirs, "row {number}");
        }
        assert_eq!(ours.lines().count(), theirs.lines().count());
        rows.push(ours.lines().count() as u64 - 1);
    }
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect("a report")).expect("JSON");
    let run = &report["runs"][0];
    assert_eq!(run["bbo_rows"], rows[0]);
    assert_eq!(run["trade_rows"], rows[1]);
    eprintln!(
        "{feed}: {} changes of best prices and {} trades agree",
        rows[0], rows[1]
    );
    Some((rows[0], rows[1]))
}

#[test]
fn sample_day_agrees_with_itch_book_row_by_row() {
    let Some(day) = support::shared("sample-day.itch50") else {
        return;
    };
    if let Some(rows) = compare_with_itch_book(&day) {
        assert_eq!(rows, (391, 5_180));
    }
}

#[test]
fn sample_day_has_its_known_counts() {
    let Some(day) = support::shared("sample-day.itch50") else {
        return;
    };
    let outcome = bench::book::build(&day, &bench::book::Options::default(), |_| ()).expect("read");
    assert_eq!(outcome.messages, 12_012);
    assert_eq!((outcome.bbo_rows, outcome.trade_rows), (391, 5_180));
    assert_eq!((outcome.missing_ref, outcome.rejected), (117, 1));
    assert_eq!(
        (outcome.unknown, outcome.malformed, outcome.refused_full),
        (0, 0, 0)
    );
}

#[test]
fn generated_day_of_two_million_messages_agrees_with_itch_book_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let day = folder.path().join("day.itch50");
    let options = feeds::generate::Options {
        seed: 42,
        messages: 2_000_000,
        symbols: 500,
        live: 0,
    };
    feeds::generate::to_file(&options, &day, |_| ()).expect("written");
    compare_with_itch_book(&day);
}

#[test]
fn generated_day_with_many_live_orders_agrees_with_itch_book_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let day = folder.path().join("day.itch50");
    let options = feeds::generate::Options {
        seed: 43,
        messages: 1_000_000,
        symbols: 100,
        live: 300_000,
    };
    feeds::generate::to_file(&options, &day, |_| ()).expect("written");
    compare_with_itch_book(&day);
}

struct NaiveOrder {
    locate: u16,
    side: Side,
    price: u32,
    shares: u32,
    /// When it came, for the queue.
    arrival: u64,
}

/// A book that sorts everything each time.
#[derive(Default)]
struct Naive {
    orders: BTreeMap<u64, NaiveOrder>,
    arrivals: u64,
}

impl Naive {
    fn apply(&mut self, message: &Message<'_>) {
        self.arrivals += 1;
        match message {
            Message::AddOrder(m) => {
                let side = Side::of_code(m.side).expect("dirty feeds have sane sides");
                let (shares, price) = (m.shares.get().0, m.price.get().0);
                if shares > 0 && price > 0 && m.order.get().0 > 0 {
                    let order = NaiveOrder {
                        locate: m.head.locate.get(),
                        side,
                        price,
                        shares,
                        arrival: self.arrivals,
                    };
                    self.orders.insert(m.order.get().0, order);
                }
            }
            Message::OrderExecuted(m) => self.reduce(m.order.get().0, m.shares.get().0),
            Message::OrderCancel(m) => self.reduce(m.order.get().0, m.shares.get().0),
            Message::OrderDelete(m) => {
                self.orders.remove(&m.order.get().0);
            }
            Message::OrderReplace(m) => {
                let Some(NaiveOrder { locate, side, .. }) =
                    self.orders.remove(&m.old_order.get().0)
                else {
                    return;
                };
                self.orders.remove(&m.new_order.get().0);
                let (shares, price) = (m.shares.get().0, m.price.get().0);
                if shares > 0 && price > 0 && m.new_order.get().0 > 0 {
                    let order = NaiveOrder {
                        locate,
                        side,
                        price,
                        shares,
                        arrival: self.arrivals,
                    };
                    self.orders.insert(m.new_order.get().0, order);
                }
            }
            _ => {}
        }
    }

    fn reduce(&mut self, reference: u64, shares: u32) {
        if let Some(order) = self.orders.get_mut(&reference) {
            order.shares = order.shares.saturating_sub(shares);
            if order.shares == 0 {
                self.orders.remove(&reference);
            }
        }
    }

    fn levels(&self, locate: u16, side: Side) -> Vec<(Level, Vec<(OrderRef, u32)>)> {
        let mut prices: BTreeMap<u32, Vec<(u64, OrderRef, u32)>> = BTreeMap::new();
        for (reference, order) in &self.orders {
            if (order.locate, order.side) == (locate, side) {
                let queue = prices.entry(order.price).or_default();
                queue.push((order.arrival, OrderRef(*reference), order.shares));
            }
        }
        let mut levels: Vec<_> = prices
            .into_iter()
            .map(|(price, mut queue)| {
                queue.sort_unstable();
                let shares = queue.iter().map(|(_, _, shares)| u64::from(*shares)).sum();
                let orders = u32::try_from(queue.len()).expect("few");
                let level = Level {
                    price: Price4(price),
                    shares,
                    orders,
                };
                (
                    level,
                    queue
                        .into_iter()
                        .map(|(_, reference, shares)| (reference, shares))
                        .collect(),
                )
            })
            .collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels
    }
}

#[derive(Default)]
struct Said(BTreeMap<u16, Bbo>);

impl BookSink for Said {
    fn on_bbo(&mut self, locate: u16, bbo: &Bbo) {
        self.0.insert(locate, *bbo);
    }
    fn on_trade(&mut self, _: &TradePrint) {}
}

/// A random message about few references, prices and symbols, so that every kind of dirt is common.
fn dirty(random: &mut fastrand::Rng) -> Vec<u8> {
    let head = |kind| Head::new(kind, 1 + u16::from(kind % 2), Nanos(1));
    let order = OrderRef(random.u64(0..60)).into();
    let shares = Qty(random.u32(0..5) * 100).into();
    let price = Price4(random.u32(0..8) * 100).into();
    let stock = Symbol::BLANK;
    match random.u8(0..10) {
        0..4 => {
            let mut head = head(b'A');
            head.locate.set(random.u16(1..4));
            let side = if random.bool() { b'B' } else { b'S' };
            AddOrder {
                head,
                order,
                side,
                shares,
                stock,
                price,
            }
            .as_bytes()
            .to_vec()
        }
        4 | 5 => OrderDelete {
            head: head(b'D'),
            order,
        }
        .as_bytes()
        .to_vec(),
        6 => OrderCancel {
            head: head(b'X'),
            order,
            shares,
        }
        .as_bytes()
        .to_vec(),
        7 => {
            let match_number = MatchNumber(1).into();
            OrderExecuted {
                head: head(b'E'),
                order,
                shares,
                match_number,
            }
            .as_bytes()
            .to_vec()
        }
        _ => {
            let new_order = OrderRef(random.u64(0..60)).into();
            let message = OrderReplace {
                head: head(b'U'),
                old_order: order,
                new_order,
                shares,
                price,
            };
            message.as_bytes().to_vec()
        }
    }
}

#[test]
fn random_dirty_feeds_agree_with_a_naive_book_in_every_queue() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut books = Books::new(&Limits::TOOL, Want::LAZY).expect("memory");
        let (mut naive, mut said) = (Naive::default(), Said::default());
        let counters = BookCounters::default();
        for step in 0..600 {
            let bytes = dirty(&mut random);
            let message = Message::decode(&bytes).expect("well formed");
            books.apply(&Nasdaq::read(&message), &counters, &mut said);
            naive.apply(&message);
            for locate in 1..4 {
                for side in [Side::Buy, Side::Sell] {
                    let ours: Vec<_> = books.levels(locate, side).collect();
                    assert_eq!(ours, naive.levels(locate, side), "seed {seed} step {step}");
                }
                let best = |side| {
                    naive
                        .levels(locate, side)
                        .first()
                        .map_or_else(Level::default, |l| l.0)
                };
                let expected = Bbo {
                    bid: best(Side::Buy),
                    ask: best(Side::Sell),
                };
                assert_eq!(books.bbo(locate), expected);
                let said = said.0.get(&locate).copied().unwrap_or_default();
                let short =
                    |bbo: &Bbo| (bbo.bid.price, bbo.bid.shares, bbo.ask.price, bbo.ask.shares);
                assert_eq!(short(&said), short(&expected), "seed {seed} step {step}");
            }
            assert_eq!(books.orders_live() as usize, naive.orders.len());
        }
    }
}

#[test]
fn order_beyond_the_bound_is_refused_counted_and_marks_its_book() {
    let limits = Limits {
        orders_max: 3,
        levels_max: 8,
    };
    let mut books = Books::new(&limits, Want::LAZY).expect("memory");
    let counters = BookCounters::default();
    for reference in 1..=5u64 {
        let add = AddOrder {
            head: Head::new(b'A', 7, Nanos(1)),
            order: OrderRef(reference).into(),
            side: b'B',
            shares: Qty(100).into(),
            stock: Symbol::BLANK,
            price: Price4(100 * u32::try_from(reference).expect("small")).into(),
        };
        let bytes = add.as_bytes().to_vec();
        books.apply(
            &Nasdaq::read(&Message::decode(&bytes).expect("well formed")),
            &counters,
            &mut (),
        );
    }
    assert_eq!((counters.adds.get(), counters.refused_full.get()), (3, 2));
    assert!(books.is_incomplete(7) && !books.is_incomplete(8));
    assert_eq!(books.bbo(7).bid.price, Price4(300));
    assert_eq!(books.levels(7, Side::Buy).count(), 3);
}

#[test]
fn unknown_and_malformed_messages_are_skipped_and_counted() {
    let mut feed = Vec::new();
    let options = feeds::generate::Options {
        seed: 1,
        messages: 100,
        symbols: 2,
        live: 0,
    };
    let day = feeds::generate::to_writer(&options, Vec::new(), |_| ()).expect("written");
    for message in Messages::new(&day) {
        feed.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
        feed.extend_from_slice(message);
        feed.extend_from_slice(b"\0\x05?abcd\0\x03Axx");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), feed).expect("written");
    let outcome =
        bench::book::build(file.path(), &bench::book::Options::default(), |_| ()).expect("read");
    assert_eq!(
        (outcome.messages, outcome.unknown, outcome.malformed),
        (100, 100, 100)
    );
}
