//! The quoter against an order stage that is the test: what it asks for, and what it makes of each answer.

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::{DELTA_UNKNOWN, FLAG_BBO_CHANGED, FLAG_STALE, Kind, MarketEvent, Origin};
use feed_handler::position::Position;
use feed_handler::publish::{Listener, Subscription};
use gateway::core_loop::Stage;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, OrderIntent};
use gateway::message::notice::Notices;
use gateway::order::opening::OpeningView;
use gateway::order::risk::Refusal;
use gateway::strategy::{Ends, Quoter, QuoterParameters, StrategyStage};
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
use rt::ring::{Consumer, Producer, ring};

const LOCATE: u16 = 1;

struct Bench {
    stage: StrategyStage,
    events: Producer<MarketEvent>,
    intents: Consumer<OrderIntent>,
    executions: Producer<ExecutionEvent>,
    prices: Arc<BestPrices>,
    clock: Clock,
}

impl Bench {
    /// The session is up and the symbol known.
    fn new() -> Self {
        let (to_strategy, events) = ring(64).unwrap();
        let (to_session, intents) = ring(64).unwrap();
        let (to_desk, executions) = ring(64).unwrap();
        let (notices, _) = ring(8).unwrap();
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let quoter = Quoter::new(&QuoterParameters::default()).unwrap();
        let events = Listener::own(events, Subscription::All, Arc::clone(&prices));
        let ends = Ends {
            intents: to_session,
            executions,
            opening: OpeningView::default(),
            notices: Notices(notices),
            first_id: 1,
        };
        let stage = StrategyStage::of_one(events, Arc::clone(&prices), Box::new(quoter), ends);
        let mut bench = Self {
            stage,
            events: to_strategy,
            intents,
            executions: to_desk,
            prices,
            clock: Clock::manual(1),
        };
        let name = Symbol::new("ALC").unwrap();
        bench.prices.store_symbol(LOCATE, name, Position::default());
        let mut directory = bench.event(Kind::Directory, 0);
        directory.number = u64::from_ne_bytes(name.0);
        bench.hears(directory);
        bench.told(ExecutionEvent::session(Outcome::SessionUp, 1));
        bench
    }

    fn event(&self, kind: Kind, flags: u8) -> MarketEvent {
        let best = self.prices.load(LOCATE).unwrap();
        MarketEvent {
            origin: Origin {
                wire_delta_ns: DELTA_UNKNOWN,
                ..Origin::default()
            },
            exchange_ns: 0,
            number: 0,
            published_delta_ns: 0,
            price: Price4(0),
            qty: Qty(0),
            bid_price: best.bid_price,
            bid_qty: best.bid_qty,
            ask_price: best.ask_price,
            ask_qty: best.ask_qty,
            locate: LOCATE,
            kind,
            flags,
        }
    }

    fn hears(&mut self, event: MarketEvent) -> Vec<OrderIntent> {
        assert!(self.events.push(event).is_ok());
        self.poll()
    }

    fn told(&mut self, execution: ExecutionEvent) -> Vec<OrderIntent> {
        assert!(self.executions.push(execution).is_ok());
        self.poll()
    }

    fn poll(&mut self) -> Vec<OrderIntent> {
        self.stage.poll(&self.clock);
        std::iter::from_fn(|| self.intents.pop()).collect()
    }

    /// The market moves: the best bid is this, the best ask a cent above.
    fn moves(&mut self, bid: u32) -> Vec<OrderIntent> {
        self.prices.store(
            LOCATE,
            &BestPrice {
                bid_price: Price4(bid),
                bid_qty: Qty(100),
                ask_price: Price4(bid + 100),
                ask_qty: Qty(100),
            },
            Position::default(),
        );
        self.hears(self.event(Kind::Add, FLAG_BBO_CHANGED))
    }

    fn gap(&mut self) -> Vec<OrderIntent> {
        self.prices.set_stale(true);
        let gap = MarketEvent {
            locate: 0,
            ..self.event(Kind::Gap, FLAG_STALE)
        };
        self.hears(gap)
    }
}

/// The ledger's answer to an intent.
fn answer(intent: &OrderIntent, outcome: Outcome, leaves: u32) -> ExecutionEvent {
    ExecutionEvent {
        id: intent.id,
        price: intent.price,
        qty: intent.qty,
        leaves: Qty(leaves),
        locate: LOCATE,
        side: intent.side,
        answers: Some(intent.action),
        ..ExecutionEvent::session(outcome, 2)
    }
}

fn actions(intents: &[OrderIntent]) -> Vec<Action> {
    intents.iter().map(|it| it.action).collect()
}

#[test]
fn refused_change_leaves_the_quoter_free_to_move() {
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    assert_eq!(actions(&quotes), [Action::Enter, Action::Enter]);
    for quote in &quotes {
        bench.told(answer(quote, Outcome::Accepted, 100));
    }
    let moved = bench.moves(1_010_000);
    assert_eq!(actions(&moved), [Action::Replace, Action::Replace]);
    for (change, quote) in moved.iter().zip(&quotes) {
        let mut refused = answer(change, Outcome::Refused(Refusal::OrderRate), 100);
        (refused.side, refused.price) = (quote.side, quote.price);
        bench.told(refused);
    }
    // It rests, and goes on: forty dollars are not slept through.
    let mut changes = 0;
    for step in 1..40 {
        let moved = bench.moves(1_010_000 + step * 10_000);
        changes += moved.len();
    }
    assert!(changes >= 2, "{changes} in forty dollars");
}

#[test]
fn refusals_are_not_answered_by_a_storm() {
    let mut bench = Bench::new();
    let mut asked = 0;
    let mut waiting = bench.moves(1_000_000);
    for step in 0..10_000u32 {
        asked += waiting.len();
        let refused: Vec<_> = waiting
            .iter()
            .map(|it| answer(it, Outcome::Refused(Refusal::Killed), 0))
            .collect();
        waiting = refused.into_iter().flat_map(|it| bench.told(it)).collect();
        waiting.extend(bench.moves(1_000_000 + step % 7 * 1_000));
    }
    assert!(
        (20..400).contains(&asked),
        "{asked} orders in 10,000 changes"
    );
}

#[test]
fn gap_withdraws_what_stands_and_what_waits() {
    // Accepted before the gap.
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    for quote in &quotes {
        bench.told(answer(quote, Outcome::Accepted, 100));
    }
    assert_eq!(actions(&bench.gap()), [Action::Cancel, Action::Cancel]);
    // Not yet answered.
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    let cancels = bench.gap();
    assert_eq!(actions(&cancels), [Action::Cancel, Action::Cancel]);
    assert_eq!(
        cancels.iter().map(|it| it.id).collect::<Vec<_>>(),
        quotes.iter().map(|it| it.id).collect::<Vec<_>>()
    );
    for quote in &quotes {
        assert!(bench.told(answer(quote, Outcome::Accepted, 100)).is_empty());
    }
    // While a replace is on its way.
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    for quote in &quotes {
        bench.told(answer(quote, Outcome::Accepted, 100));
    }
    bench.moves(1_010_000);
    assert_eq!(actions(&bench.gap()), [Action::Cancel, Action::Cancel]);
}

#[test]
fn refused_cancel_is_asked_for_again() {
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    for quote in &quotes {
        bench.told(answer(quote, Outcome::Accepted, 100));
    }
    for cancel in bench.gap() {
        let mut refused = answer(&cancel, Outcome::CancelRejected, 100);
        refused.side = quotes.iter().find(|it| it.id == cancel.id).unwrap().side;
        bench.told(refused);
    }
    let again: usize = (0..10)
        .map(|_| bench.hears(bench.event(Kind::Add, FLAG_STALE)).len())
        .sum();
    assert_eq!(again, 2);
}

#[test]
fn lag_is_made_good_from_the_table_of_best_prices() {
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    for quote in &quotes {
        bench.told(answer(quote, Outcome::Accepted, 100));
    }
    // The market moves unheard.
    let best = BestPrice {
        bid_price: Price4(1_200_000),
        bid_qty: Qty(1),
        ask_price: Price4(1_200_100),
        ask_qty: Qty(1),
    };
    bench.prices.store(LOCATE, &best, Position::default());
    let lag = MarketEvent {
        locate: 0,
        number: 17,
        ..bench.event(Kind::Lagged, 0)
    };
    let moved = bench.hears(lag);
    assert_eq!(actions(&moved), [Action::Replace, Action::Replace]);
    assert!(
        moved
            .iter()
            .all(|it| it.price.0.abs_diff(1_200_050) < 1_000)
    );
    // And where a gap hides behind the lag, the quotes go.
    let mut bench = Bench::new();
    for quote in bench.moves(1_000_000) {
        bench.told(answer(&quote, Outcome::Accepted, 100));
    }
    bench.prices.set_stale(true);
    let lag = MarketEvent {
        locate: 0,
        ..bench.event(Kind::Lagged, FLAG_STALE)
    };
    assert_eq!(actions(&bench.hears(lag)), [Action::Cancel, Action::Cancel]);
}

#[test]
fn order_lost_with_the_link_is_quoted_again() {
    let mut bench = Bench::new();
    let quotes = bench.moves(1_000_000);
    bench.told(ExecutionEvent::session(Outcome::SessionDown, 3));
    for quote in &quotes {
        assert!(bench.told(answer(quote, Outcome::Lost, 0)).is_empty());
    }
    let again = bench.told(ExecutionEvent::session(Outcome::SessionUp, 4));
    assert_eq!(actions(&again), [Action::Enter, Action::Enter]);
}

#[test]
fn never_more_than_one_order_a_side() {
    let mut bench = Bench::new();
    let mut live = [0i32; 2];
    for step in 0..100u32 {
        for intent in bench.moves(1_000_000 + step % 13 * 500) {
            if intent.action == Action::Enter {
                live[usize::from(intent.side == Side::Sell)] += 1;
                // Each second one is filled at once.
                bench.told(answer(&intent, Outcome::Accepted, 100));
                if step % 2 == 0 {
                    let mut filled = answer(&intent, Outcome::Filled, 0);
                    filled.answers = None;
                    live[usize::from(intent.side == Side::Sell)] -= 1;
                    let next = bench.told(filled);
                    assert!(next.len() <= 1, "{next:?}");
                    for intent in next {
                        live[usize::from(intent.side == Side::Sell)] += 1;
                        bench.told(answer(&intent, Outcome::Accepted, 100));
                    }
                }
            }
        }
        assert!(live.iter().all(|count| (0..=1).contains(count)), "{live:?}");
    }
}
