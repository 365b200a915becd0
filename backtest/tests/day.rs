//! Days small enough to be computed by hand, and days of agents.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backtest::latency::Latency;
use backtest::market::Market;
use backtest::{Ahead, End, Order, Outcome, run};
use feed_handler::event::MarketEvent;
use gateway::message::execution::{ExecutionEvent, Outcome as Answer};
use gateway::message::intent::OrderId;
use gateway::strategy::{Context, NewOrder, Quoter, Strategy, TIMER_TICK_NS};
use protocol::itch::{AddOrder, Head, OrderExecuted, StockDirectory};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Side, Symbol};
use zerocopy::{FromZeros, IntoBytes};

const LOCATE: u16 = 7;
const SECOND: u64 = 1_000_000_000;
const BEGIN: u64 = 34_200 * SECOND;
const BID: u32 = 1_000_000;

fn symbol() -> Symbol {
    Symbol::new("ALC").expect("a symbol")
}

fn directory() -> Vec<u8> {
    let mut message = StockDirectory::new_zeroed();
    message.head = Head::new(StockDirectory::KIND, LOCATE, Nanos(BEGIN));
    message.stock = symbol();
    message.as_bytes().to_vec()
}

fn add(after_ns: u64, order: u64, side: u8, shares: u32, price: u32) -> Vec<u8> {
    AddOrder {
        head: Head::new(AddOrder::KIND, LOCATE, Nanos(BEGIN + after_ns)),
        order: OrderRef(order).into(),
        side,
        shares: Qty(shares).into(),
        stock: symbol(),
        price: Price4(price).into(),
    }
    .as_bytes()
    .to_vec()
}

fn executed(after_ns: u64, order: u64, shares: u32) -> Vec<u8> {
    OrderExecuted {
        head: Head::new(OrderExecuted::KIND, LOCATE, Nanos(BEGIN + after_ns)),
        order: OrderRef(order).into(),
        shares: Qty(shares).into(),
        match_number: MatchNumber(9).into(),
    }
    .as_bytes()
    .to_vec()
}

fn day(messages: &[Vec<u8>]) -> Market {
    let mut file = Vec::new();
    for message in messages {
        let len = u16::try_from(message.len()).expect("short");
        file.extend_from_slice(&len.to_be_bytes());
        file.extend_from_slice(message);
    }
    Market::Day(Box::new(Cursor::new(file)))
}

/// Joins the first bid that it sees beside an ask, with 50 shares.
#[derive(Default)]
struct Joiner(Option<OrderId>);

impl Strategy for Joiner {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        let best = context.best(event.locate).unwrap_or_default();
        if self.0.is_none() && best.bid_price.0 > 0 && best.ask_price.0 > 0 {
            let order = NewOrder::limit(event.locate, Side::Buy, best.bid_price, Qty(50));
            self.0 = context.enter(&order);
        }
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}

fn join(messages: &[Vec<u8>], latency: &str) -> Outcome {
    let latency = Latency::parse(latency).expect("a latency");
    run(day(messages), Box::<Joiner>::default(), latency).expect("a day")
}

fn opening() -> Vec<Vec<u8>> {
    vec![
        directory(),
        add(SECOND, 1, b'B', 100, BID),
        add(SECOND, 2, b'S', 100, BID + 1_000),
    ]
}

#[test]
fn own_order_fills_after_the_record_s_before_it_and_profit_is_what_the_hand_computes() {
    let mut messages = opening();
    messages.push(executed(2 * SECOND, 1, 60));
    let before = join(&messages, "5us");
    assert_eq!(
        (before.accepted, before.fills.len()),
        (1, 0),
        "60 of 100 stood before it"
    );

    messages.push(add(3 * SECOND, 3, b'S', 30, BID));
    messages.push(executed(4 * SECOND, 1, 40));
    messages.push(add(4 * SECOND, 4, b'B', 10, BID - 200));
    let outcome = join(&messages, "5us");
    assert_eq!(outcome.refused.len(), 0, "{:?}", outcome.refused);
    let fills: Vec<_> = outcome
        .fills
        .iter()
        .map(|it| (it.side, it.price, it.qty))
        .collect();
    assert_eq!(fills, [(Side::Buy, Price4(BID), Qty(30))]);
    let position = outcome.positions.get(&LOCATE).expect("traded");
    assert_eq!((position.symbol, position.shares), (Some(symbol()), 30));
    assert_eq!(position.cash, -30 * i128::from(BID));
    assert_eq!(position.marks, (Price4(BID - 200), Price4(BID)));
    // 30 shares, a cent below what they cost: 30 cents.
    assert_eq!(outcome.profit_halves(), Some(-2 * 30 * 100));
}

#[test]
fn later_order_queues_later() {
    let mut messages = opening();
    messages.push(add(SECOND + 1_000_000, 3, b'B', 100, BID));
    messages.push(executed(2 * SECOND, 3, 40));
    let early = join(&messages, "5us");
    assert_eq!(early.fills.iter().map(|it| it.qty.0).sum::<u32>(), 40);
    let late = join(&messages, "feed=5us,orders=5ms,answers=5us");
    assert_eq!((late.accepted, late.fills.len()), (1, 0));
    assert_ne!(early.hash, late.hash);
}

/// Joins the best bid, moves a tick down when that is accepted, and cancels when it has moved.
#[derive(Default)]
struct Mover(Joiner);

impl Strategy for Mover {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        self.0.on_event(event, context);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        match execution.outcome {
            Answer::Accepted => {
                context.replace(execution.id, Price4(BID - TICK), Qty(50));
            }
            Answer::Replaced => {
                context.cancel(execution.id);
            }
            _ => {}
        }
    }
}

const TICK: u32 = 100;

/// An order's price, what stood before it first and last, what became of it, and what traded.
type Place = (u32, Option<u64>, Option<u64>, End, u32);

fn places(outcome: &Outcome) -> Vec<Place> {
    let place = |it: &Order| {
        let price = it.price.0;
        (price, it.ahead_first, it.ahead_last, it.end, it.filled)
    };
    outcome.orders.iter().map(place).collect()
}

fn ahead(orders: u64, shares: u64) -> Ahead {
    Ahead { orders, shares }
}

#[test]
fn places_in_the_queue_are_the_exchange_s_when_an_order_joins_and_when_it_leaves() {
    let mut messages = opening();
    messages.insert(2, add(SECOND, 3, b'B', 70, BID - TICK));
    // While the strategy waits for its answer, 60 of the 100 before it trade; then 30 of the 70, while it waits for the next one.
    messages.push(executed(SECOND + 1_000_000, 1, 60));
    messages.push(executed(SECOND + 3_000_000, 3, 30));
    messages.push(add(2 * SECOND, 4, b'B', 10, BID - 2 * TICK));
    let latency = Latency::parse("answers=2ms").expect("a latency");
    let outcome = run(day(&messages), Box::<Mover>::default(), latency).expect("a day");
    let expected = [
        (BID, Some(100), Some(40), End::Replaced, 0),
        (BID - TICK, Some(70), Some(40), End::Canceled, 0),
    ];
    assert_eq!(places(&outcome), expected);
    let queue = outcome.queues()[&symbol()];
    assert_eq!((queue.rested, queue.filled), (ahead(2, 170), ahead(0, 0)));
    assert_eq!(queue.left, ahead(2, 80));
}

#[test]
fn order_that_trades_says_how_long_it_stood_and_one_that_stands_at_the_end_where() {
    let mut messages = opening();
    messages.push(executed(2 * SECOND, 1, 60));
    assert_eq!(
        places(&join(&messages, "5us")),
        [(BID, Some(100), Some(40), End::Open, 0)]
    );
    messages.push(executed(3 * SECOND, 1, 40));
    messages.push(add(4 * SECOND, 3, b'B', 10, BID));
    messages.push(executed(5 * SECOND, 3, 10));
    messages.push(add(6 * SECOND, 4, b'B', 200, BID));
    let part = join(&messages, "5us");
    assert_eq!(places(&part), [(BID, Some(100), Some(0), End::Open, 10)]);
    messages.push(executed(7 * SECOND, 4, 200));
    let whole = join(&messages, "5us");
    assert_eq!(places(&whole), [(BID, Some(100), None, End::Filled, 50)]);
    // It was there 10 us after the message that it answers.
    let order = whole.orders[0];
    assert_eq!(order.entered_ns, BEGIN + SECOND + 10_000);
    assert_eq!(order.filled_ns, Some(BEGIN + 5 * SECOND));
    assert_eq!(order.ended_ns, Some(BEGIN + 7 * SECOND));
    let queue = whole.queues()[&symbol()];
    assert_eq!((queue.filled, queue.left), (ahead(1, 100), ahead(0, 0)));
    assert_eq!(queue.waited_ns, 4 * SECOND - 10_000);
}

#[test]
fn moments_tell_how_the_day_went() {
    let mut messages = opening();
    messages.push(add(2 * SECOND, 3, b'S', 30, BID));
    messages.push(add(200 * SECOND, 4, b'B', 10, BID + TICK));
    let outcome = join(&messages, "5us");
    let moments = &outcome.moments;
    assert!((200..=513).contains(&moments.len()), "{}", moments.len());
    assert!(moments.is_sorted_by(|one, other| one.at_ns < other.at_ns));
    let at = |ns: u64| {
        let found = moments.iter().find(|it| it.at_ns >= BEGIN + ns);
        found.unwrap_or(&moments[moments.len() - 1])
    };
    assert_eq!((at(SECOND).fills, at(SECOND).symbols.len()), (0, 0));
    // 30 shares, first worth what they cost; then the bid is a cent higher, and the middle half a cent.
    let held = |ns: u64| at(ns).symbols[&LOCATE];
    assert_eq!(held(3 * SECOND), (30, Some(0)));
    assert_eq!(held(201 * SECOND), (30, Some(2 * 30 * 50)));
    assert_eq!(at(201 * SECOND).fills, 1);
}

/// Enters an order by a timer, and keeps when it was accepted.
#[derive(Default)]
struct Waiter {
    locate: Option<u16>,
    accepted_ns: Arc<AtomicU64>,
}

const WAIT_NS: u64 = 3_000_000;

impl Strategy for Waiter {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        let best = context.best(event.locate).unwrap_or_default();
        if self.locate.is_none() && best.bid_price.0 > 0 && best.ask_price.0 > 0 {
            self.locate = Some(event.locate);
            context.start_timer(WAIT_NS, 0);
        }
    }

    fn on_timer(&mut self, _: u64, context: &mut Context<'_>) {
        let locate = self.locate.expect("it was started");
        context.enter(&NewOrder::limit(locate, Side::Buy, Price4(BID), Qty(50)));
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        self.accepted_ns
            .store(execution.acked_ns, Ordering::Relaxed);
    }
}

#[test]
fn timer_of_a_silent_market_fires_in_its_own_tick() {
    let waiter = Waiter::default();
    let accepted_ns = Arc::clone(&waiter.accepted_ns);
    let mut messages = opening();
    messages.push(add(3 * SECOND, 3, b'S', 30, BID + 2_000));
    let outcome = run(day(&messages), Box::new(waiter), Latency::default()).expect("a day");
    assert_eq!(outcome.accepted, 1);
    let after_ns = accepted_ns.load(Ordering::Relaxed) - (BEGIN + SECOND);
    let late_ns = after_ns.checked_sub(WAIT_NS).expect("not early");
    assert!(late_ns <= TIMER_TICK_NS, "{late_ns} ns late");
}

#[test]
fn same_day_has_the_same_outcome_and_a_bad_one_is_refused() {
    assert_eq!(join(&opening(), "5us"), join(&opening(), "5us"));
    let latency = Latency::default();
    let empty = run(day(&[]), Box::<Joiner>::default(), latency.clone());
    assert_eq!(
        empty.expect_err("no day"),
        "the day has no first message: failed to fill whole buffer"
    );
    let other = run(
        day(&[b"no ITCH".to_vec()]),
        Box::<Joiner>::default(),
        latency,
    );
    assert!(other.expect_err("no day").contains("not ITCH 5.0"));
}

#[test]
fn quoter_lives_a_seed_s_day_twice_the_same_and_another_seed_s_otherwise() {
    let quote = |seed| {
        let market = Market::Agents {
            seed,
            messages: 5_000,
        };
        let quoter = Quoter::new(&gateway::strategy::QuoterParameters::default()).expect("sane");
        run(market, Box::new(quoter), Latency::constant(5_000)).expect("a day")
    };
    let outcome = quote(1);
    println!("{outcome:?}");
    assert!(outcome.messages >= 5_000 && outcome.accepted > 10 && !outcome.fills.is_empty());
    assert_eq!(outcome, quote(1));
    assert_ne!(outcome.hash, quote(2).hash);
}
