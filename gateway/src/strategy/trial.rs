//! A strategy on trial: the stage that will run it, on a clock that stands still, without a network.
//!
//! For the tests of strategies. What it is told here are events as the feed and the order stage make them; what it
//! says is what would go to risk.

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, FLAG_TRADE, Kind, MarketEvent, Origin};
use feed_handler::position::Position;
use feed_handler::publish::{Listener, Subscription};
use protocol::types::{Price4, Qty, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
use rt::ring::{Consumer, Producer, ring};

use super::{Ends, Strategy, StrategyStage};
use crate::core_loop::Stage;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{OrderIntent, Owner};
use crate::message::notice::Notices;
use crate::order::opening::{Opening, OpeningView};
use crate::order::risk::Exposure;
use crate::order::snapshot::Position as Held;

/// Room in each ring; a strategy that answers one event with more intents is told that the ring is full.
const ROOM: usize = 256;
/// From one event to the next.
const STEP_NS: u64 = 1_000;

/// One strategy, its stage, and both ends of its rings.
#[derive(Debug)]
pub struct Trial {
    stage: StrategyStage,
    clock: Clock,
    prices: Arc<BestPrices>,
    events: Producer<MarketEvent>,
    executions: Producer<ExecutionEvent>,
    intents: Consumer<OrderIntent>,
    opening: OpeningView,
    held: usize,
    seq: u64,
}

impl Trial {
    /// Puts a strategy into its stage. It has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory for the table of best prices.
    #[must_use]
    #[allow(
        clippy::expect_used,
        reason = "for tests: there is nothing to go on with"
    )]
    pub fn new(strategy: Box<dyn Strategy>) -> Self {
        let power = "a power of two";
        let (to_strategy, events) = ring(ROOM).expect(power);
        let (to_session, intents) = ring(ROOM).expect(power);
        let (to_desk, executions) = ring(ROOM).expect(power);
        let (notices, _) = ring(ROOM).expect(power);
        let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
        prices.set_stale(false);
        let events = Listener::own(events, Subscription::All, Arc::clone(&prices));
        let opening = Opening::new(0).view(Owner(0), None);
        let ends = Ends {
            intents: to_session,
            executions,
            opening: opening.clone(),
            notices: Notices(notices),
            first_id: 1,
        };
        let of_stage = Arc::clone(&prices);
        Self {
            stage: StrategyStage::of_one(events, of_stage, strategy, ends),
            clock: Clock::manual(STEP_NS),
            prices,
            events: to_strategy,
            executions: to_desk,
            intents,
            opening,
            held: 0,
            seq: 0,
        }
    }

    /// The directory names a symbol.
    pub fn list(&mut self, locate: u16, symbol: Symbol) {
        self.prices.store_symbol(locate, symbol, self.position());
        let number = u64::from_ne_bytes(symbol.0);
        let event = self.event(Kind::Directory, locate);
        self.hear(MarketEvent { number, ..event });
    }

    /// The best prices move, with a hundred shares on each side; a price of 0: there is none.
    pub fn quote(&mut self, locate: u16, bid: Price4, ask: Price4) {
        let qty = |price: Price4| Qty(if price.0 == 0 { 0 } else { 100 });
        let best = BestPrice {
            bid_price: bid,
            bid_qty: qty(bid),
            ask_price: ask,
            ask_qty: qty(ask),
        };
        self.prices.store(locate, &best, self.position());
        let mut event = self.event(Kind::Add, locate);
        event.flags |= FLAG_BBO_CHANGED;
        self.hear(event);
    }

    /// Others trade.
    pub fn trade(&mut self, locate: u16, price: Price4, qty: Qty) {
        let mut event = self.event(Kind::Trade, locate);
        event.flags |= FLAG_TRADE;
        self.hear(MarketEvent {
            price,
            qty,
            ..event
        });
    }

    /// The feed has lost messages: books are stale until [`Trial::refresh`].
    pub fn lose(&mut self, messages: u64) {
        self.prices.set_stale(true);
        let event = self.event(Kind::Gap, 0);
        self.seq += messages;
        self.hear(MarketEvent {
            number: messages,
            ..event
        });
    }

    /// The feed is whole again.
    pub fn refresh(&mut self) {
        self.prices.set_stale(false);
        let event = self.event(Kind::Fresh, 0);
        self.hear(event);
    }

    /// The account holds shares of a symbol, short below zero: what the strategy finds when its session opens for the
    /// first time.
    pub fn hold(&mut self, symbol: Symbol, shares: i64) {
        let exposure = Exposure {
            position: shares,
            ..Exposure::default()
        };
        self.opening.hold(self.held, &Held { symbol, exposure });
        self.held += 1;
    }

    /// The gateway stops.
    pub fn stop(&mut self) {
        self.stage.stop(&self.clock);
    }

    /// The session opens, or goes down.
    pub fn set_session(&mut self, is_up: bool) {
        let outcome = if is_up {
            Outcome::SessionUp
        } else {
            Outcome::SessionDown
        };
        let news = ExecutionEvent::session(outcome, self.clock.now_ns());
        self.answer(news);
    }

    /// What became of an intent. [`Trial::answer_to`] has the parts that follow from the intent.
    pub fn answer(&mut self, execution: ExecutionEvent) {
        let has_room = self.executions.push(execution).is_ok();
        assert!(has_room, "each turn takes what was told");
        self.turn();
    }

    /// An answer with what an intent says; a refused or finished order leaves nothing.
    #[must_use]
    pub fn answer_to(&self, intent: &OrderIntent, outcome: Outcome, leaves: Qty) -> ExecutionEvent {
        ExecutionEvent {
            origin: intent.origin,
            id: intent.id,
            price: intent.price,
            qty: intent.qty,
            leaves,
            locate: intent.locate,
            side: intent.side,
            answers: Some(intent.action),
            ..ExecutionEvent::session(outcome, self.clock.now_ns())
        }
    }

    /// Lets time pass: timers that are due meanwhile fire, each at its time.
    pub fn pass(&mut self, length_ns: u64) {
        let until_ns = self.clock.now_ns().saturating_add(length_ns);
        // Ends: what a timer starts is due in a later tick.
        while self.stage.next_timer_ns() <= until_ns {
            self.clock.set_ns(self.stage.next_timer_ns());
            self.stage.poll(&self.clock);
        }
        self.clock.set_ns(until_ns);
    }

    /// What time it is, ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// What the strategy wants since the last call, in its order.
    pub fn intents(&mut self) -> Vec<OrderIntent> {
        std::iter::from_fn(|| self.intents.pop()).collect()
    }

    /// Where the next event will be.
    fn position(&self) -> Position {
        Position::new(0, self.seq + 1)
    }

    fn event(&mut self, kind: Kind, locate: u16) -> MarketEvent {
        self.seq += 1;
        let best = self.prices.load(locate).unwrap_or_default();
        let is_stale = self.prices.is_stale(locate);
        let origin = Origin {
            seq: self.seq,
            seen_ns: self.clock.now_ns(),
            ..Origin::default()
        };
        MarketEvent {
            bid_price: best.bid_price,
            bid_qty: best.bid_qty,
            ask_price: best.ask_price,
            ask_qty: best.ask_qty,
            locate,
            flags: if is_stale { FLAG_STALE } else { 0 },
            ..MarketEvent::bare(kind, origin)
        }
    }

    fn hear(&mut self, event: MarketEvent) {
        let has_room = self.events.push(event).is_ok();
        assert!(has_room, "each turn takes what was told");
        self.turn();
    }

    fn turn(&mut self) {
        self.clock.set_ns(self.clock.now_ns() + STEP_NS);
        self.stage.poll(&self.clock);
    }
}
