//! Which core runs which stage changes when orders go out, and nothing else of them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod desk;
mod support;

use std::path::Path;
use std::time::Duration;

use desk::{Desk, NEVER, gateway_command, start_gateway, start_sim_with};
use lab::netns::{Lab, Side};
use lab::process::{Process, sibling};
use order_sim::store::Store;
use protocol::ouch::OrderAccepted;
use protocol::types::{Price4, Qty, Symbol};
use rt::clock::monotonic_ns;
use support::is_root;
use zerocopy::FromBytes;

const PIPELINE: &str = "[layout]\nkind = \"pipeline\"\n";

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
/// the last orders where cores share a CPU: they go out all the same.
fn config(layout: &str, report: &Path) -> String {
    let strategy = |name: &str, feed: &str, every: u32| {
        format!(
            "[strategy.{name}]\nkind = \"probe\"\nfeed = \"{feed}\"\nsession = \"ouch\"\n\
             trade_on_stale = true\n[strategy.{name}.parameters]\nevery = {every}\n"
        )
    };
    let feed = |name: &str, group: &str| {
        format!(
            "[feed.{name}]\nreceive = \"udp\"\nlines = [{{ address = \"{group}\", interface = \"feed0\" }}]\n"
        )
    };
    [
        feed("a", "239.77.0.1:26400"),
        feed("b", "239.77.0.2:26401"),
        "[session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 5000\n\
         position_max = 1000000\nopen_orders_max = 10000\norders_per_second_max = 100000\n"
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

fn send_day(lab: &Lab, day: &Path, seed: u64, line: &str) -> Process {
    let options = feeds::generate::Options {
        seed,
        messages: MESSAGES,
        symbols: 10,
    };
    feeds::generate::to_file(&options, day, |_| ()).expect("written");
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-bench").expect("built"));
    command.arg("replay").arg(day).args(["--line", line]);
    command.args(["--from", "10.77.1.1", "--rate", "2000", "--quiet"]);
    Process::start("sender", command).expect("it starts")
}

/// Plays both days to a gateway of this layout. What the exchange has accepted, in an order of its own.
fn orders(layout: &str) -> Vec<Order> {
    let lab = Lab::new().expect("a lab");
    let desk = Desk::new();
    let sim = format!(
        "address = \"10.77.2.1:12000\"\nsession = \"LAYOUT0001\"\nstore = \"{}\"\nfill_every = 0\n\
         [account.demo]\npassword = \"demo\"\n",
        desk.path("store").display()
    );
    let _sim = start_sim_with(&lab, &desk, &sim);
    let config = desk.write("tickgate.toml", &config(layout, &desk.path("out.json")));
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    let senders = [(1, "239.77.0.1:26400"), (2, "239.77.0.2:26401")]
        .map(|(seed, line)| send_day(&lab, &desk.path(&format!("{seed}.itch50")), seed, line));
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
    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let run = &report["runs"][0];
    assert_eq!(
        (&run["received"], &run["lost"]),
        (&(2 * MESSAGES).into(), &0.into())
    );
    let orders = accepted(&file);
    assert_eq!(run["orders"], orders.len(), "each order is accepted");
    orders
}

#[test]
fn orders_are_the_same_whatever_the_layout() {
    if !is_root() {
        return;
    }
    let inline = orders("[layout]\nkind = \"inline\"\n");
    let of = |strategy: &str| {
        let strategy = strategy.as_bytes();
        inline
            .iter()
            .filter(|order| order.id.starts_with(strategy))
            .count()
    };
    let of_each = ["00", "01", "02", "03"].map(of);
    println!("{} orders; of each strategy {of_each:?}", inline.len());
    assert!(of_each.iter().all(|orders| *orders > 50), "{of_each:?}");
    let two_feed_cores = "[layout]\nkind = \"cores\"\n\
         [layout.core.left]\nruns = [\"feed.a\", \"strategy.one\", \"strategy.two\"]\n\
         [layout.core.right]\nruns = [\"feed.b\", \"strategy.three\", \"strategy.four\"]\n\
         [layout.core.orders]\nruns = [\"session.ouch\"]\n";
    for (name, layout) in [("cores", two_feed_cores), ("pipeline", PIPELINE)] {
        let orders = orders(layout);
        let lacks = |here: &[Order], order: &Order| here.binary_search(order).is_err();
        let more: Vec<_> = orders
            .iter()
            .filter(|order| lacks(&inline, order))
            .collect();
        let fewer: Vec<_> = inline
            .iter()
            .filter(|order| lacks(&orders, order))
            .collect();
        assert!(orders == inline, "{name}: more {more:?}, fewer {fewer:?}");
    }
}
