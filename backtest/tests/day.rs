//! Days small enough to be computed by hand, and days of agents.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backtest::latency::{Delay, Latency};
use backtest::market::Market;
use backtest::setup::Setup;
use backtest::{Ahead, End, Order, Outcome, run, run_all};
use feed_handler::event::MarketEvent;
use gateway::message::execution::{ExecutionEvent, Outcome as Answer};
use gateway::message::intent::OrderId;
use gateway::order::account::DayStart;
use gateway::strategy::{Context, NewOrder, Quoter, Strategy, TIMER_TICK_NS};
use hdrhistogram::Histogram;
use protocol::itch::{AddOrder, Head, OrderExecuted, StockDirectory, SystemEvent};
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
    messages.push(executed(150 * SECOND, 3, 30));
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
    // 30 shares, first worth what they cost; then the bid is a cent higher and the ask ten, the middle five and a half.
    let held = |ns: u64| at(ns).symbols[&LOCATE];
    assert_eq!(held(3 * SECOND), (30, Some(0)));
    assert_eq!(held(201 * SECOND), (30, Some(2 * 30 * 550)));
    assert_eq!(at(201 * SECOND).fills, 1);
}

/// Enters one order to buy as soon as it sees both sides.
struct Once {
    price: u32,
    qty: u32,
    is_done: bool,
}

impl Strategy for Once {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        let best = context.best(event.locate).unwrap_or_default();
        if !self.is_done && best.bid_price.0 > 0 && best.ask_price.0 > 0 {
            let (price, qty) = (Price4(self.price), Qty(self.qty));
            let order = NewOrder::limit(event.locate, Side::Buy, price, qty);
            self.is_done = context.enter(&order).is_some();
        }
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}

fn once(messages: &[Vec<u8>], price: u32, qty: u32) -> Outcome {
    let once = Once {
        price,
        qty,
        is_done: false,
    };
    let latency = Latency::constant(5_000);
    run(day(messages), Box::new(once), latency).expect("a day")
}

#[test]
fn shares_that_an_order_took_when_it_came_are_none_that_it_waited_for() {
    let mut messages = opening();
    let taken = once(&messages, BID + 1_000, 150);
    let order = taken.orders[0];
    assert_eq!((order.filled, order.filled_ns), (100, None));
    let queue = taken.queues()[&symbol()];
    assert_eq!((queue.rested, queue.filled), (ahead(1, 0), ahead(0, 0)));

    messages.push(add(3 * SECOND, 3, b'S', 20, BID + 1_000));
    let traded = once(&messages, BID + 1_000, 150);
    let order = traded.orders[0];
    let filled_ns = Some(BEGIN + 3 * SECOND);
    assert_eq!((order.filled, order.filled_ns), (120, filled_ns));
    let queue = traded.queues()[&symbol()];
    assert_eq!(queue.filled, ahead(1, 0));
    assert!(queue.waited_ns > SECOND, "{queue:?}");
}

fn hours(after_ns: u64, event: u8) -> Vec<u8> {
    let head = Head::new(SystemEvent::KIND, 0, Nanos(BEGIN + after_ns));
    SystemEvent { head, event }.as_bytes().to_vec()
}

#[test]
fn positions_are_marked_at_the_last_good_prices_of_market_hours() {
    let mut messages = opening();
    messages.push(add(2 * SECOND, 3, b'S', 30, BID));
    messages.push(executed(3 * SECOND, 3, 30));
    let held = |messages: &[Vec<u8>], until_ns: u64| {
        let outcome = join(messages, "5us");
        let position = outcome.positions[&LOCATE];
        assert_eq!(position.marks, (Price4(BID), Price4(BID + 1_000)));
        let marked_ns = position.marked_ns.expect("marked") - BEGIN;
        let last = until_ns - SECOND..=until_ns;
        assert!(last.contains(&marked_ns), "{marked_ns}");
        assert_eq!(outcome.profit_halves(), Some(30 * 1_000));
    };
    // Market hours end, and at last the book is empty.
    let mut whole = messages.clone();
    whole.push(hours(10 * SECOND, b'M'));
    whole.push(executed(12 * SECOND, 1, 70));
    whole.push(executed(12 * SECOND, 2, 100));
    held(&whole, 10 * SECOND);
    // Nobody bids but who has to.
    messages.push(executed(5 * SECOND, 1, 100));
    messages.push(add(5 * SECOND, 9, b'B', 100, 100));
    messages.push(add(20 * SECOND, 10, b'B', 100, 100));
    held(&messages, 5 * SECOND);
}

#[test]
fn shares_of_the_morning_are_held_and_symbols_that_the_day_has_not_are_named() {
    let unknown = Symbol::new("NOPE").expect("a symbol");
    let mut messages = opening();
    messages.push(add(3 * SECOND, 3, b'B', 10, BID + 200));
    let mut setup = Setup::of_one(Box::<Joiner>::default(), Latency::constant(5_000));
    setup.day = DayStart {
        positions: Some(vec![(symbol(), 100), (unknown, 5)]),
        ..DayStart::default()
    };
    let outcome = run_all(day(&messages), setup, |_| ()).expect("a day");
    let position = outcome.positions[&LOCATE];
    assert_eq!((position.shares, position.morning), (100, 100));
    // The bid was BID first and 200 more at last: the middle has moved by half of that.
    assert_eq!(outcome.profit_halves(), Some(100 * 200));
    assert_eq!(outcome.unnamed, [unknown]);
}

#[test]
fn what_was_wrong_with_a_run_is_told() {
    let mut messages = opening();
    assert_eq!(join(&messages, "5us").troubles, []);
    messages.push(executed(2 * SECOND, 99, 10));
    messages.push(add(SECOND, 3, b'B', 10, BID));
    let outcome = join(&messages, "5us");
    let told: Vec<_> = outcome
        .troubles
        .iter()
        .map(|it| (it.part, it.name, it.count))
        .collect();
    let expected = [
        ("record", "missing_ref", 1),
        ("record", "stamps_back", 1),
        ("feed", "missing_ref", 1),
    ];
    assert_eq!(told, expected);
}

#[test]
fn day_that_ends_inside_a_message_fails_and_so_does_a_session_that_never_opens() {
    let mut file = Vec::new();
    for message in opening() {
        let len = u16::try_from(message.len()).expect("short");
        file.extend_from_slice(&len.to_be_bytes());
        file.extend_from_slice(&message);
    }
    file.truncate(file.len() - 9);
    let market = Market::Day(Box::new(Cursor::new(file)));
    let error = run(market, Box::<Joiner>::default(), Latency::default());
    let error = error.expect_err("no whole day");
    assert!(error.contains("ends inside message 3"), "{error}");

    let far = Latency {
        orders: Delay::Constant(6 * SECOND),
        ..Latency::default()
    };
    let error = run(day(&opening()), Box::<Joiner>::default(), far);
    let error = error.expect_err("no login");
    assert!(error.contains("never opened"), "{error}");
}

#[test]
fn what_is_on_its_way_when_the_market_ends_arrives_however_long_that_takes() {
    let outcome = join(&opening(), "feed=4000ms,orders=1000ms,answers=1000ms");
    assert_eq!(outcome.accepted, 1);
}

/// Notes when it hears what, and sends many orders or none.
#[derive(Default)]
struct Hearer {
    sends: bool,
    last_ns: Arc<AtomicU64>,
    /// Of all times.
    times: Arc<AtomicU64>,
}

impl Strategy for Hearer {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        let at_ns = context.picked_ns();
        self.last_ns.store(at_ns, Ordering::Relaxed);
        let times = self.times.load(Ordering::Relaxed);
        let times = times.wrapping_mul(31).wrapping_add(at_ns);
        self.times.store(times, Ordering::Relaxed);
        if self.sends {
            context.enter(&NewOrder::limit(
                event.locate,
                Side::Buy,
                Price4(BID - 1_000),
                Qty(1),
            ));
        }
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}

#[test]
fn what_goes_to_the_exchange_changes_nothing_about_when_the_feed_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("way.hgrm");
    let mut measured = Histogram::<u64>::new(3).expect("digits");
    measured.record_n(1_000, 900).expect("recorded");
    measured.record_n(50_000, 100).expect("recorded");
    gateway::telemetry::write_hgrm(&measured, &path).expect("written");
    let way = path.display();
    let latency = Latency::parse(&format!("feed={way},orders={way},answers={way}"));
    let latency = latency.expect("a latency");
    let mut messages = opening();
    let adds = (1..=100).map(|at| add(SECOND + at * 100_000, 2 + at, b'B', 10, BID));
    messages.extend(adds);
    let times = |sends| {
        let hearer = Hearer {
            sends,
            ..Hearer::default()
        };
        let times = Arc::clone(&hearer.times);
        let outcome = run(day(&messages), Box::new(hearer), latency.clone()).expect("a day");
        assert_eq!(outcome.accepted > 10, sends);
        times.load(Ordering::Relaxed)
    };
    assert_eq!(times(true), times(false));
}

#[test]
fn agents_say_nothing_after_the_last_message_that_was_asked_for() {
    let hearer = Hearer::default();
    let last_ns = Arc::clone(&hearer.last_ns);
    let market = Market::Agents {
        seed: 1,
        messages: 1_000,
    };
    let outcome = run(market, Box::new(hearer), Latency::constant(5_000)).expect("a day");
    let end_ns = 10 * 3_600 * SECOND + outcome.lived_ns;
    let quiet_ns = end_ns - last_ns.load(Ordering::Relaxed);
    assert!(quiet_ns > SECOND / 2, "{quiet_ns} ns before the end");
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
