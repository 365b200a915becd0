//! A recorded day as the market: the feed is the record byte for byte, and clients trade beside it.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

use std::io::Cursor;

use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::flow::recorded::{Pace, Recorded};
use protocol::itch::{
    AddOrder, Head, OrderDelete, OrderExecuted, OrderExecutedWithPrice, OrderReplace, RegSho,
    StockDirectory, StockTradingAction, SystemEvent,
};
use protocol::mold::Packet;
use protocol::ouch::{AppendageBuffer, Element, EnterOrder, Outbound};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Symbol, UserRefNum};
use zerocopy::{FromZeros, IntoBytes};

const LOCATE: u16 = 77;

fn symbol() -> Symbol {
    Symbol::new("ALC").unwrap()
}

fn add(order: u64, side: u8, shares: u32, price: u32) -> Vec<u8> {
    AddOrder {
        head: Head::new(AddOrder::KIND, LOCATE, Nanos(1)),
        order: OrderRef(order).into(),
        side,
        shares: Qty(shares).into(),
        stock: symbol(),
        price: Price4(price).into(),
    }
    .as_bytes()
    .to_vec()
}

fn executed(order: u64, shares: u32) -> Vec<u8> {
    OrderExecuted {
        head: Head::new(OrderExecuted::KIND, LOCATE, Nanos(1)),
        order: OrderRef(order).into(),
        shares: Qty(shares).into(),
        match_number: MatchNumber(9).into(),
    }
    .as_bytes()
    .to_vec()
}

fn delete(order: u64) -> Vec<u8> {
    let head = Head::new(OrderDelete::KIND, LOCATE, Nanos(1));
    OrderDelete {
        head,
        order: OrderRef(order).into(),
    }
    .as_bytes()
    .to_vec()
}

fn executed_at(order: u64, shares: u32, printable: u8, price: u32) -> Vec<u8> {
    OrderExecutedWithPrice {
        head: Head::new(OrderExecutedWithPrice::KIND, LOCATE, Nanos(1)),
        order: OrderRef(order).into(),
        shares: Qty(shares).into(),
        match_number: MatchNumber(9).into(),
        printable,
        price: Price4(price).into(),
    }
    .as_bytes()
    .to_vec()
}

fn replaced(old: u64, new: u64, shares: u32, price: u32) -> Vec<u8> {
    OrderReplace {
        head: Head::new(OrderReplace::KIND, LOCATE, Nanos(1)),
        old_order: OrderRef(old).into(),
        new_order: OrderRef(new).into(),
        shares: Qty(shares).into(),
        price: Price4(price).into(),
    }
    .as_bytes()
    .to_vec()
}

fn action(state: u8) -> Vec<u8> {
    let mut m = StockTradingAction::new_zeroed();
    m.head = Head::new(StockTradingAction::KIND, LOCATE, Nanos(1));
    (m.stock, m.state) = (symbol(), state);
    m.as_bytes().to_vec()
}

fn reg_sho(action: u8) -> Vec<u8> {
    let mut m = RegSho::new_zeroed();
    m.head = Head::new(RegSho::KIND, LOCATE, Nanos(1));
    (m.stock, m.action) = (symbol(), action);
    m.as_bytes().to_vec()
}

fn hours(event: u8) -> Vec<u8> {
    let head = Head::new(SystemEvent::KIND, 0, Nanos(1));
    SystemEvent { head, event }.as_bytes().to_vec()
}

fn directory() -> Vec<u8> {
    let mut m = StockDirectory::new_zeroed();
    m.head = Head::new(StockDirectory::KIND, LOCATE, Nanos(1));
    m.stock = symbol();
    m.as_bytes().to_vec()
}

/// The exchange, and a step for each message of the record.
struct World {
    exchange: Exchange,
    now_ns: u64,
    next_user_ref: u32,
}

impl World {
    fn new(record: &[Vec<u8>]) -> Self {
        let mut file = Vec::new();
        for message in record {
            file.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
            file.extend_from_slice(message);
        }
        Self::of_file(file)
    }

    fn of_file(file: Vec<u8>) -> Self {
        let text = "address = \"127.0.0.1:1\"\n[account.a]\npassword = \"p\"\n[feed]\nlines = \
                    [{ address = \"127.0.0.1:2\" }]\n[record]\nfile = \"-\"\nrate = 1000\n";
        let options = file::parse(text).unwrap().exchange;
        let recorded = Recorded::new(Box::new(Cursor::new(file)), Pace::Rate(1000), 1_000_000);
        let exchange = Exchange::open(&options, 0, "DAY", Some(recorded));
        Self {
            exchange,
            now_ns: 0,
            next_user_ref: 1,
        }
    }

    /// Lets this many messages of the record come.
    fn step(&mut self, messages: u64) {
        self.now_ns += messages * 1_000_000;
        self.exchange.advance(self.now_ns);
    }

    fn enter(&mut self, side: u8, qty: u32, price: u32) -> String {
        self.enter_with(side, qty, price, &[])
    }

    /// Pegged to the midpoint.
    fn peg(&mut self, side: u8, qty: u32, price: u32) -> String {
        let mut elements = AppendageBuffer::default();
        assert!(elements.push(Element::PriceType(b'M')));
        self.enter_with(side, qty, price, elements.as_bytes())
    }

    fn enter_with(&mut self, side: u8, qty: u32, price: u32, elements: &[u8]) -> String {
        let from = self.exchange.stored(0);
        let m = EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: UserRefNum(self.next_user_ref).into(),
            side,
            qty: Qty(qty).into(),
            symbol: symbol(),
            price: Price4(price).into(),
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: [b' '; 14],
        };
        self.next_user_ref += 1;
        let mut out = [0; 64];
        let len = m.encode(elements, &mut out).unwrap();
        self.exchange.on_message(0, &out[..len]);
        self.told(from)
    }

    fn told(&self, from: usize) -> String {
        let messages =
            (from..self.exchange.stored(0)).map(|at| self.exchange.message(0, at).unwrap());
        let said: Vec<_> = messages
            .map(|bytes| match Outbound::decode(bytes).unwrap().0 {
                Outbound::OrderAccepted(m) => format!("A{}", m.user_ref.get().0),
                Outbound::Executed(m) => {
                    format!(
                        "E{}:{}@{}",
                        m.user_ref.get().0,
                        m.qty.get().0,
                        m.price.raw()
                    )
                }
                Outbound::Canceled(m) => {
                    let reason = char::from(m.reason);
                    format!("C{}:{}{reason}", m.user_ref.get().0, m.qty.get().0)
                }
                Outbound::Rejected(m) => format!("J{:02X}", m.reason.get()),
                other => panic!("{other:?}"),
            })
            .collect();
        said.join(" ")
    }

    fn published(&mut self) -> Vec<Vec<u8>> {
        let packets = std::iter::from_fn(|| self.exchange.take_packet(0));
        packets
            .flat_map(|bytes| {
                let packet = Packet::decode(&bytes).unwrap();
                packet.blocks().map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    }

    fn history(&self) -> [u64; 4] {
        let counters = self.exchange.history_counters().unwrap();
        [
            &counters.shares_taken,
            &counters.shares_traded_twice,
            &counters.shares_ahead,
            &counters.shares_met,
        ]
        .map(rt::counters::Counter::get)
    }
}

#[test]
fn a_client_waits_behind_what_was_there_and_before_what_came_later() {
    let record = [
        directory(),
        add(1, b'B', 100, 100_000),
        // Here the client joins.
        add(2, b'B', 50, 100_000),
        executed(1, 100),
        executed(2, 30),
        executed(2, 20),
    ];
    let mut world = World::new(&record);
    world.step(2);
    assert_eq!(world.enter(b'B', 40, 100_000), "A1");
    world.step(2);
    assert_eq!(world.told(1), "", "the first in the queue was hit");
    world.step(1);
    assert_eq!(world.told(1), "E1:30@100000");
    world.step(1);
    assert_eq!(world.told(2), "E1:10@100000");
    assert_eq!(world.history(), [0, 0, 40, 0]);
    assert_eq!(world.published(), record, "history is as it was");
}

#[test]
fn a_client_that_takes_leaves_less_for_the_next_and_the_record_goes_on() {
    let record = [
        directory(),
        add(1, b'S', 100, 100_000),
        add(2, b'S', 100, 100_100),
        // Here the client takes.
        executed(1, 100),
        delete(2),
        delete(2),
    ];
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(
        world.enter(b'B', 150, 100_100),
        "A1 E1:100@100000 E1:50@100100"
    );
    assert_eq!(world.enter(b'B', 100, 100_100), "A2 E2:50@100100");
    world.step(3);
    assert_eq!(world.history(), [200, 100, 0, 0]);
    assert_eq!(
        world.exchange.history_counters().unwrap().missing_ref.get(),
        1
    );
    assert_eq!(world.published(), record);
}

#[test]
fn a_record_that_comes_through_a_clients_price_fills_it() {
    let record = [
        directory(),
        add(1, b'B', 100, 100_000),
        add(2, b'S', 100, 100_500),
        // Here the client improves the bid; then somebody of the record sells into it.
        add(3, b'S', 60, 100_200),
    ];
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 100, 100_300), "A1");
    world.step(1);
    assert_eq!(world.told(1), "E1:60@100300");
    assert_eq!(world.history(), [0, 0, 0, 60]);
    assert!(world.exchange.is_flow_over());
    assert_eq!(world.published(), record);
}

/// The client improves the bid, and an order of the record comes through its price.
fn opening() -> Vec<Vec<u8>> {
    vec![
        directory(),
        add(1, b'B', 100, 100_000),
        add(2, b'S', 100, 100_500),
    ]
}

#[test]
fn shares_that_met_a_client_are_not_sold_again() {
    let mut record = opening();
    record.push(add(3, b'S', 60, 100_200));
    record.push(executed(3, 60));
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 60, 100_300), "A1");
    world.step(1);
    assert_eq!(world.told(1), "E1:60@100300");
    assert_eq!(
        world.enter(b'B', 60, 100_200),
        "A2",
        "the record shows 60 shares that were had"
    );
    world.step(1);
    assert_eq!(world.told(3), "");
    assert_eq!(world.history(), [0, 60, 0, 60]);
    assert_eq!(world.published(), record);
}

#[test]
fn shares_that_met_a_client_do_not_meet_the_next_when_the_record_replaces_their_order() {
    let mut record = opening();
    record.push(add(3, b'S', 60, 100_200));
    record.push(replaced(3, 4, 60, 100_100));
    record.push(replaced(4, 5, 100, 100_100));
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 60, 100_300), "A1");
    world.step(1);
    assert_eq!(world.told(1), "E1:60@100300");
    assert_eq!(world.enter(b'B', 60, 100_150), "A2");
    world.step(1);
    assert_eq!(world.told(3), "", "all of it was had");
    world.step(1);
    assert_eq!(world.told(3), "E2:40@100150", "it has grown by forty");
    assert_eq!(world.history(), [0, 0, 0, 100]);
}

#[test]
fn shares_that_a_client_took_stay_gone_when_the_record_replaces_their_order() {
    let mut record = opening();
    record.push(replaced(2, 3, 100, 100_500));
    record.push(replaced(3, 4, 150, 100_400));
    record.push(delete(4));
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 60, 100_500), "A1 E1:60@100500");
    world.step(1);
    assert_eq!(world.enter(b'B', 40, 100_500), "A2 E2:40@100500");
    assert_eq!(world.enter(b'B', 10, 100_500), "A3", "all of it was had");
    world.step(1);
    assert_eq!(world.told(5), "E3:10@100500", "it has grown by fifty");
    assert_eq!(world.enter(b'B', 90, 100_500), "A4 E4:40@100400");
    world.step(1);
    let counters = world.exchange.history_counters().unwrap();
    assert_eq!(
        counters.missing_ref.get(),
        0,
        "the record knows its own orders"
    );
}

#[test]
fn nobody_trades_while_the_stock_does_not() {
    for state in *b"HPQ" {
        let mut record = opening();
        record.push(add(3, b'B', 100, 100_000));
        record.push(action(state));
        record.push(executed(3, 100));
        record.push(add(4, b'S', 60, 100_000));
        record.push(action(b'T'));
        record.push(add(5, b'S', 60, 100_000));
        let mut world = World::new(&record);
        world.step(3);
        assert_eq!(world.enter(b'B', 40, 100_000), "A1");
        world.step(4);
        assert_eq!(world.told(1), "", "{}", char::from(state));
        world.step(2);
        assert_eq!(world.told(1), "E1:40@100000");
    }
}

#[test]
fn short_sales_are_restricted_as_the_record_says() {
    let mut record = opening();
    record.push(reg_sho(b'1'));
    record.push(reg_sho(b'0'));
    let mut world = World::new(&record);
    world.step(4);
    let refused = world.enter(b'T', 10, 100_000);
    assert!(refused.starts_with('J'), "{refused}");
    world.step(1);
    assert_eq!(world.enter(b'T', 10, 100_000), "A2 E2:10@100000");
}

#[test]
fn executions_that_are_not_printed_fill_nobody_and_others_whom_their_price_reaches() {
    let mut record = opening();
    record.push(add(3, b'B', 300, 99_900));
    record.push(executed_at(3, 100, b'N', 99_900));
    // It was shown at 99,900 and stood at 100,200.
    record.push(executed_at(3, 100, b'Y', 100_200));
    record.push(executed_at(3, 100, b'Y', 99_900));
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 40, 100_100), "A1");
    world.step(2);
    assert_eq!(world.told(1), "", "a part of a cross");
    world.step(1);
    assert_eq!(world.told(1), "", "it stood before the client");
    world.step(1);
    assert_eq!(world.told(1), "E1:40@100100");
}

#[test]
fn orders_for_the_day_end_with_the_record_s_market_hours() {
    let mut record = opening();
    record.push(hours(b'M'));
    record.push(add(3, b'S', 60, 100_000));
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.enter(b'B', 40, 100_100), "A1");
    world.step(1);
    assert_eq!(world.told(1), "C1:40E");
    assert_eq!(world.enter(b'B', 40, 100_100), "A2 C2:40E");
    world.step(1);
    assert_eq!(world.told(4), "");
    assert_eq!(world.published(), record);
}

#[test]
fn record_that_ends_inside_a_message_says_so() {
    let record = opening();
    let file = |messages: &[Vec<u8>]| {
        let mut file = Vec::new();
        for message in messages {
            file.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
            file.extend_from_slice(message);
        }
        file
    };
    let whole = file(&record);
    let ends = |file: &[u8]| {
        let mut world = World::of_file(file.to_vec());
        world.step(9);
        assert!(world.exchange.is_flow_over());
        world.exchange.record_failure()
    };
    assert_eq!(ends(&whole), None);
    assert_eq!(ends(&[&whole[..], &[0, 0]].concat()), None);
    for cut in [1, 30, 37] {
        let failure = ends(&whole[..whole.len() - cut]).unwrap();
        assert!(failure.contains("ends inside message 3:"), "{failure}");
    }
}

#[test]
fn the_sample_day_is_published_as_it_is_with_clients_in_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/sample-day.itch50");
    let Ok(file) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {} is not there", path.display());
        return;
    };
    let expected: Vec<Vec<u8>> = protocol::binary_file::Messages::new(&file)
        .map(<[u8]>::to_vec)
        .collect();
    let mut world = World::of_file(file);
    let mut random = fastrand::Rng::with_seed(3);
    let mut published = Vec::new();
    for _ in 0..expected.len() {
        world.step(1);
        if random.u8(0..10) == 0 {
            let locate = world.exchange.engine().locate(symbol());
            let (bid, ask, _) =
                locate.map_or((None, None, 0), |at| world.exchange.engine().best(at));
            let side = if random.bool() { b'B' } else { b'S' };
            if let (Some(bid), Some(ask)) = (bid, ask) {
                let price = if random.bool() { bid } else { ask };
                world.enter(side, random.u32(1..200), price);
            }
        }
        published.extend(world.published());
    }
    assert_eq!(published.len(), expected.len());
    assert!(published == expected);
    let history = world.history();
    eprintln!("shares taken, traded twice, ahead, stop: {history:?}");
    assert!(history[0] > 0 && history[3] > 0, "{history:?}");
}

#[test]
fn a_record_that_moves_the_midpoint_lets_clients_pegs_trade_and_tells_them() {
    let record = [
        directory(),
        add(1, b'B', 100, 99_000),
        add(2, b'S', 100, 101_000),
        // Here the clients come: the midpoint of 100,000 is too dear for the buyer.
        add(3, b'S', 100, 99_800),
        delete(3),
        delete(1),
        add(4, b'B', 100, 98_000),
    ];
    let mut world = World::new(&record);
    world.step(3);
    assert_eq!(world.peg(b'B', 100, 99_500), "A1");
    assert_eq!(world.peg(b'S', 30, 99_000), "A2");
    world.step(1);
    assert_eq!(world.told(2), "E2:30@99400 E1:30@99400");
    assert_eq!(world.peg(b'S', 30, 99_000), "A3 E1:30@99400 E3:30@99400");
    let open: u32 = world
        .exchange
        .open_orders(0)
        .iter()
        .map(|open| open.1.0)
        .sum();
    assert_eq!(open, 40, "what clients were told is what they have open");
    world.step(1);
    assert_eq!(world.peg(b'S', 30, 99_000), "A4", "the midpoint is back");
    world.step(2);
    assert_eq!(world.told(8), "E4:30@99500 E1:30@99500");
    assert_eq!(world.published(), record);
}
