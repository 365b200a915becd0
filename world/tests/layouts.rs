//! Which core runs which stage, and how packets come in, changes when orders go out, and nothing else of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod desk;
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use desk::{Day, Desk, NEVER, gateway_command, start_gateway, start_sim_with};
use lab::netns::Lab;
use order_sim::store::Store;
use protocol::ouch::OrderAccepted;
use protocol::types::{Price4, Qty, Symbol};
use rt::clock::monotonic_ns;
use support::{is_root, skip};
use zerocopy::FromBytes;

const INLINE: &str = "[layout]\nkind = \"inline\"\n";
const PIPELINE: &str = "[layout]\nkind = \"pipeline\"\n";
const TWO_FEED_CORES: &str = "[layout]\nkind = \"cores\"\n\
     [layout.core.left]\nruns = [\"feed.a\", \"strategy.one\", \"strategy.two\"]\n\
     [layout.core.right]\nruns = [\"feed.b\", \"strategy.three\", \"strategy.four\"]\n\
     [layout.core.orders]\nruns = [\"session.ouch\"]\n";

/// How both channels come in on their interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// To kernel sockets.
    Sockets,
    /// By AF_XDP, each channel on a receive queue of its own, which its feed alone serves.
    OwnQueues,
    /// By AF_XDP, both channels on the only queue.
    OneQueue,
}

impl Arrival {
    /// The keys of the feed of that number.
    fn keys(self, feed: u32) -> String {
        let xdp = "receive = \"af_xdp\"\naf_xdp.require = \"native-copy\"\n";
        match self {
            Self::Sockets => "receive = \"udp\"\n".to_owned(),
            Self::OwnQueues => format!("{xdp}af_xdp.queues = [{feed}]\n"),
            Self::OneQueue => xdp.to_owned(),
        }
    }

    fn lab(self) -> Lab {
        match self {
            Self::Sockets | Self::OneQueue => Lab::new().expect("a lab"),
            Self::OwnQueues => Lab::with_feed_queues(2).expect("a lab"),
        }
    }

    /// Each channel came in where it should, and the program saw both.
    fn check(self, counters: &serde_json::Value) {
        if self == Self::Sockets {
            return;
        }
        let of = |feed: &str, name: &str| {
            let count = &counters["socket"][feed][name];
            count.as_u64().unwrap_or_else(|| panic!("{feed}: {name}"))
        };
        let frames = ["a", "b"].map(|feed| {
            assert_eq!((of(feed, "unserved"), of(feed, "not_wanted")), (0, 0));
            assert!(of(feed, "frames") >= MESSAGES, "a packet a message");
            of(feed, "frames")
        });
        let redirected = &counters["interface"]["feed0"]["xdp_redirected"];
        assert_eq!(*redirected, frames.iter().sum::<u64>());
    }
}

/// Messages of each channel's day.
const MESSAGES: u64 = 4_000;

/// An order as the exchange has accepted it. Its id says which strategy sent it, and which message of which feed was
/// the cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    id: [u8; 14],
    side: u8,
    shares: Qty,
    symbol: Symbol,
    price: Option<Price4>,
}

/// Two channels on one interface, two strategies for each, one session. A strategy's order is immediate or cancel at
/// its own side's best price, so no order meets another. The end of the day, after which books are stale, may overtake
/// the last orders where cores share a CPU: they go out all the same. Risk holds a limit against the market as it is when
/// it looks, which may be later where it has a core of its own: prices of a symbol are never further from one another
/// than the collar, but a market may be empty by then, and such a refusal is counted.
fn config(layout: &str, arrival: Arrival, report: &Path) -> String {
    let strategy = |name: &str, feed: &str, every: u32| {
        format!(
            "[strategy.{name}]\nkind = \"probe\"\nfeed = \"{feed}\"\nsession = \"ouch\"\n\
             trade_on_stale = true\n[strategy.{name}.parameters]\nevery = {every}\n"
        )
    };
    let feed = |name: &str, number: u32, group: &str| {
        let keys = arrival.keys(number);
        format!(
            "[feed.{name}]\n{keys}lines = [{{ address = \"{group}\", interface = \"feed0\" }}]\n"
        )
    };
    [
        feed("a", 0, "239.77.0.1:26400"),
        feed("b", 1, "239.77.0.2:26401"),
        "[session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 5000\n\
         position_max = 1000000\nopen_orders_max = 10000\norders_per_second_max = 100000\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\nallow_self_cross = true\n"
            .to_owned(),
        strategy("one", "a", 5),
        strategy("two", "a", 7),
        strategy("three", "b", 5),
        strategy("four", "b", 11),
        format!("[telemetry]\njson = \"{}\"\ntable = false\n", report.display()),
        layout.to_owned(),
    ]
    .concat()
}

/// The orders that the exchange has accepted, by id.
fn accepted(file: &Path) -> Vec<Order> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let store = Store::restore(1 << 20, &bytes).expect("whole").store;
    let messages = (0..store.count()).filter_map(|at| store.message(at));
    let accepted = messages.filter_map(|message| OrderAccepted::ref_from_prefix(message).ok());
    let accepted = accepted.filter(|(order, _)| order.kind == b'A');
    let mut orders: Vec<Order> = accepted
        .map(|(order, _)| Order {
            id: order.client_order_id,
            side: order.side,
            shares: order.qty.get(),
            symbol: order.symbol,
            price: order.price.get(),
        })
        .collect();
    orders.sort();
    orders
}

/// One channel's day.
struct Channel {
    line: &'static str,
    /// Its sender's CPU, which the lab turns into the receive queue of the same number.
    number: u32,
    /// Of the made-up day: its prices lie within 4 % of one another in each symbol.
    seed: u64,
}

const CHANNELS: [Channel; 2] = [
    Channel {
        line: "239.77.0.1:26400",
        number: 0,
        seed: 1,
    },
    Channel {
        line: "239.77.0.2:26401",
        number: 1,
        seed: 7,
    },
];

/// What became of the strategies' orders.
struct Played {
    /// What the exchange has accepted, sorted.
    accepted: Vec<Order>,
    /// How many risk has refused.
    refused: usize,
}

/// Refused at most, of some 400: no more than a few markets are empty when risk looks.
const REFUSED_MAX: usize = 8;

/// Plays both days to a gateway of this layout.
fn play(layout: &str, arrival: Arrival) -> Played {
    let lab = arrival.lab();
    let desk = Desk::new();
    let sim = format!(
        "address = \"10.77.2.1:12000\"\nsession = \"LAYOUT0001\"\nstore = \"{}\"\nfill_every = 0\n\
         [account.demo]\npassword = \"demo\"\n",
        desk.path("store").display()
    );
    let _sim = start_sim_with(&lab, &desk, &sim);
    let report = desk.path("out.json");
    let config = desk.write("tickgate.toml", &config(layout, arrival, &report));
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    let senders = CHANNELS.map(|channel| {
        let day = Day {
            line: channel.line,
            seed: channel.seed,
            messages: MESSAGES,
            rate: "2000",
            cpu: Some(channel.number),
        };
        day.send(&lab, &desk)
    });
    for mut sender in senders {
        let has_ended = sender.wait(Duration::from_secs(60), &NEVER);
        assert!(has_ended.expect("it ends"), "{:?}", sender.said);
    }
    let file = desk.path("store").join("LAYOUT0001").join("demo.soup");
    // Whatever is on its way arrives; then the report says how many there were.
    let mut before = 0;
    let until = monotonic_ns() + 20_000_000_000;
    loop {
        std::thread::park_timeout(Duration::from_millis(200));
        let now = accepted(&file).len();
        if now == before && now != 0 {
            break;
        }
        before = now;
        assert!(monotonic_ns() < until, "no end of orders");
    }
    gateway.end();
    let text = std::fs::read_to_string(report).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let run = &report["runs"][0];
    assert_eq!(
        (&run["received"], &run["lost"]),
        (&(2 * MESSAGES).into(), &0.into())
    );
    arrival.check(&run["counters"]);
    let refused = run["counters"]["session"]["ouch"].as_object();
    let refused: Vec<_> = (refused.into_iter().flatten())
        .filter(|(name, count)| name.starts_with("refused_") && **count != 0)
        .collect();
    let no_price = &run["counters"]["session"]["ouch"]["refused_no_reference_price"];
    let no_price = no_price.as_u64().expect("a number");
    let no_price = usize::try_from(no_price).expect("few");
    assert!(
        refused.len() <= 1 && no_price <= REFUSED_MAX && refused.is_empty() == (no_price == 0),
        "{arrival:?}, {layout}: {refused:?}"
    );
    let accepted = accepted(&file);
    assert_eq!(run["orders"], accepted.len(), "each order is accepted");
    Played {
        accepted,
        refused: no_price,
    }
}

#[test]
fn orders_are_the_same_whatever_the_layout_and_the_receiver() {
    if !is_root() {
        return;
    }
    let cpus = std::thread::available_parallelism().expect("it is known");
    if cpus.get() < CHANNELS.len() {
        return skip("needs a CPU for each of two senders");
    }
    let inline = play(INLINE, Arrival::Sockets);
    let of = |strategy: &str| {
        let strategy = strategy.as_bytes();
        (inline.accepted.iter())
            .filter(|order| order.id.starts_with(strategy))
            .count()
    };
    let of_each = ["00", "01", "02", "03"].map(of);
    println!(
        "{} orders; of each strategy {of_each:?}",
        inline.accepted.len()
    );
    assert!(of_each.iter().all(|orders| *orders > 50), "{of_each:?}");
    let runs = [
        (TWO_FEED_CORES, Arrival::Sockets),
        (PIPELINE, Arrival::Sockets),
        (INLINE, Arrival::OwnQueues),
        (PIPELINE, Arrival::OwnQueues),
        (TWO_FEED_CORES, Arrival::OwnQueues),
        (INLINE, Arrival::OneQueue),
        (TWO_FEED_CORES, Arrival::OneQueue),
    ];
    for (layout, arrival) in runs {
        let run = play(layout, arrival);
        let lacks = |here: &Played, order: &Order| here.accepted.binary_search(order).is_err();
        let more: Vec<_> = (run.accepted.iter())
            .filter(|order| lacks(&inline, order))
            .collect();
        let fewer: Vec<_> = (inline.accepted.iter())
            .filter(|order| lacks(&run, order))
            .collect();
        // An order that both have is the same order: price, side, shares.
        let ids = |orders: &[&Order]| orders.iter().map(|order| order.id).collect::<BTreeSet<_>>();
        let changed: Vec<_> = ids(&more).intersection(&ids(&fewer)).copied().collect();
        assert!(
            changed.is_empty(),
            "{arrival:?}, {layout}: {changed:?} of {more:?}, {fewer:?}"
        );
        // Both decided the same, and an order is missing only where risk refused it.
        assert_eq!(
            run.accepted.len() + run.refused,
            inline.accepted.len() + inline.refused,
            "{arrival:?}, {layout}: more {more:?}, fewer {fewer:?}"
        );
        assert!(
            more.len() <= inline.refused && fewer.len() <= run.refused,
            "{arrival:?}, {layout}: more {more:?}, fewer {fewer:?}"
        );
    }
}
