//! Strategies: what they hear, what they may do, and the stage that runs one.
//!
//! Path:        market event or execution -> strategy -> intent
//! Thread:      one strategy core owns one strategy's state

mod probe;
mod quoter;
mod stage;
mod start;
mod timers;
mod trial;
mod understudy;

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::depth::Depth;
use feed_handler::event::{MarketEvent, Origin, delta_ns};
use feed_handler::own_books::OwnBooks;
use feed_handler::statuses::{MarketStatus, SymbolStatus};
use protocol::ouch::PRICE_MARKET;
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::clock::Clock;
use rt::counters;
use rt::ring::Producer;

use crate::message::execution::ExecutionEvent;
use crate::message::intent::{Action, Cause, OrderId, OrderIntent, TimeInForce};
use crate::message::terms::{Display, Terms};
use timers::Timers;

pub use probe::{Parameters as ProbeParameters, Probe};
pub use quoter::{Parameters as QuoterParameters, Quoter};
pub use stage::{DecidingHistograms, Ends, HearingHistograms, Measures, StrategyStage};
pub use start::Start;
pub use timers::{TIMER_TICK_NS, TIMERS_MAX, TimerId};
pub use trial::Trial;
pub use understudy::Rehearsed;

counters! {
    /// What a strategy did.
    pub struct StrategyCounters {
        /// Market events heard.
        events,
        /// Executions heard.
        executions,
        /// Intents sent.
        intents,
        /// Intents that did not fit the ring to the order stage; the strategy was told.
        intent_ring_full,
        /// Times that this strategy was told that it had lagged.
        lags,
        /// Events that it missed because it lagged.
        missed,
        /// Gaps of the feed that it was told of.
        gaps,
        /// Orders and replaces that it wanted while the gateway stops; it was told.
        stopping,
        /// Timers that fired.
        timers,
        /// Timers that found no room; the strategy was told.
        timers_full,
    }
}

/// A trading strategy. Its calls must not block, allocate or panic: they run between packets.
pub trait Strategy: Send {
    /// Something happened in the market.
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>);

    /// Something happened to one of its orders, or to the session.
    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>);

    /// Its session is open for the first time, the past is known, and orders may go from now on: called once, before
    /// it hears [`Outcome::SessionUp`](crate::message::execution::Outcome::SessionUp). It may have heard events before, and been
    /// given back orders of an earlier run.
    fn on_start(&mut self, start: &Start<'_>, context: &mut Context<'_>) {
        let _ = (start, context);
    }

    /// The gateway stops: called once. The gateway cancels whatever is open. Of what is sent here and later, only
    /// cancels leave; a core of the strategy's own ends with this call.
    fn on_stop(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Nothing arrives, and the core keeps its way warm ([`core_loop`](crate::core_loop)): a strategy may do what it
    /// would do for this event, so that its own code and data are near when a real one comes. Nobody has sent the event:
    /// a change of a best price, with the code and the best prices of the symbol that was heard of last. Whatever is
    /// sent by this context is thrown away and counted nowhere; all that it shows is real. Its timers never fire and keep their
    /// places: start none, or count on being refused. It
    /// comes up to some hundred thousand times a second, and a packet that arrives meanwhile waits for it: it must take well
    /// below a microsecond. By default it does nothing.
    ///
    /// ```
    /// # use gateway::message::execution::ExecutionEvent;
    /// # use gateway::strategy::{Context, NewOrder, Strategy};
    /// # use feed_handler::event::MarketEvent;
    /// # use protocol::types::{Qty, Side};
    /// struct Joiner {
    ///     qty: Qty,
    ///     joined: u64,
    /// }
    ///
    /// impl Joiner {
    ///     /// What both do: it changes nothing.
    ///     fn join(&self, event: &MarketEvent, context: &mut Context<'_>) -> bool {
    ///         let order = NewOrder::limit(event.locate, Side::Buy, event.bid_price, self.qty);
    ///         event.bid_price.0 != 0 && context.enter(&order).is_some()
    ///     }
    /// }
    ///
    /// impl Strategy for Joiner {
    ///     fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
    ///         self.joined += u64::from(self.join(event, context));
    ///     }
    ///
    ///     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
    ///
    ///     fn rehearse(&self, event: &MarketEvent, context: &mut Context<'_>) {
    ///         self.join(event, context);
    ///     }
    /// }
    /// ```
    fn rehearse(&self, event: &MarketEvent, context: &mut Context<'_>) {
        let _ = (event, context);
    }

    /// A timer has fired that [`Context::start_timer`] was given this token for.
    fn on_timer(&mut self, token: u64, context: &mut Context<'_>) {
        let _ = (token, context);
    }
}

/// A new order. What is not of interest comes from [`NewOrder::limit`]: `NewOrder { time_in_force, ..NewOrder::limit(…) }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Symbol of the day.
    pub locate: u16,
    /// Side.
    pub side: Side,
    /// Limit price.
    pub price: Price4,
    /// Shares.
    pub qty: Qty,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// What of it others see.
    pub display: Display,
    /// Shares of an execution at least; 0: any number. Only an order that is not seen, or that is immediate or
    /// cancelled, can have a minimum.
    pub min_qty: Qty,
    /// It takes nothing that rests. What the exchange does with it instead (cancel it, or let it slide to a price where
    /// it takes nothing) is in the account's settings there.
    pub is_post_only: bool,
    /// It is pegged to the middle of the best prices, never beyond its limit, and not seen.
    pub is_midpoint: bool,
}

impl NewOrder {
    /// A limit order for the day that everybody sees.
    #[inline]
    #[must_use]
    pub const fn limit(locate: u16, side: Side, price: Price4, qty: Qty) -> Self {
        Self {
            locate,
            side,
            price,
            qty,
            time_in_force: TimeInForce::Day,
            display: Display::Shown,
            min_qty: Qty(0),
            is_post_only: false,
            is_midpoint: false,
        }
    }

    /// A market order: takes what rests now, as far as the session's collar reaches, and stands no longer. Order entry
    /// gives it the last price that the collar allows as its limit, and risk counts it at that.
    #[inline]
    #[must_use]
    pub const fn market(locate: u16, side: Side, qty: Qty) -> Self {
        Self {
            time_in_force: TimeInForce::ImmediateOrCancel,
            ..Self::limit(locate, side, PRICE_MARKET, qty)
        }
    }

    #[inline]
    const fn terms(&self) -> Terms {
        Terms::new(self.display, self.min_qty)
            .with_post_only(self.is_post_only)
            .with_midpoint(self.is_midpoint)
    }
}

/// What a strategy may do while it is called.
#[derive(Debug)]
pub struct Context<'a> {
    turn: &'a Turn<'a>,
    desk: &'a mut DeskEnd,
}

/// What a strategy is called for: the same for all who hear it.
#[derive(Debug)]
struct Turn<'a> {
    origin: Origin,
    picked_ns: u64,
    published_delta_ns: u32,
    cause: Cause,
    queue: u8,
    ring_was_full: bool,
    books: Option<&'a OwnBooks>,
    clock: &'a Clock,
}

/// A strategy's end of the ring to the order stage.
#[derive(Debug)]
struct DeskEnd {
    intents: Producer<OrderIntent>,
    best_prices: Arc<BestPrices>,
    next_id: u32,
    timers: Timers,
    is_stopping: bool,
    counters: Arc<StrategyCounters>,
    histograms: DecidingHistograms,
}

impl<'a> Context<'a> {
    /// Sends a new order; its number is what executions will name. `None`: the ring is full, or the gateway stops;
    /// nothing was sent.
    #[inline]
    pub fn enter(&mut self, order: &NewOrder) -> Option<OrderId> {
        let id = OrderId(self.desk.next_id);
        let sent = self.send(OrderIntent {
            origin: self.turn.origin,
            decided_ns: 0,
            id,
            price: order.price,
            qty: order.qty,
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: order.terms(),
            locate: order.locate,
            queue: 0,
            ring_was_full: false,
            action: Action::Enter,
            side: order.side,
            time_in_force: order.time_in_force,
            cause: self.turn.cause,
        });
        if sent {
            self.desk.next_id = self.desk.next_id.wrapping_add(1).max(1);
        }
        sent.then_some(id)
    }

    /// Asks for another price and open quantity; `false`: the ring is full, or the gateway stops.
    #[inline]
    pub fn replace(&mut self, id: OrderId, price: Price4, qty: Qty) -> bool {
        self.send(self.change(id, Action::Replace, price, qty))
    }

    /// Asks for fewer open shares, at least 1: a partial cancel, by which the order keeps its place at its price.
    /// `false`: the ring is full.
    #[inline]
    pub fn reduce(&mut self, id: OrderId, open: Qty) -> bool {
        self.send(self.change(id, Action::Reduce, Price4(0), open))
    }

    /// Asks for the end of an order; `false`: the ring is full.
    #[inline]
    pub fn cancel(&mut self, id: OrderId) -> bool {
        self.send(self.change(id, Action::Cancel, Price4(0), Qty(0)))
    }

    /// Calls [`Strategy::on_timer`] with this token once `after_ns` have passed since [`Context::picked_ns`]: never
    /// early, and late by [`TIMER_TICK_NS`] and what the turn takes that is running then. `None`: [`TIMERS_MAX`] run
    /// already.
    #[inline]
    pub fn start_timer(&mut self, after_ns: u64, token: u64) -> Option<TimerId> {
        self.start_timer_at(self.turn.picked_ns.saturating_add(after_ns), token)
    }

    /// The same, at a time of the monotonic clock, ns: what goes in step adds to the time that was meant, and not to
    /// the one at which it was called. A time that is over already: in the next tick.
    pub fn start_timer_at(&mut self, at_ns: u64, token: u64) -> Option<TimerId> {
        let timer = self.desk.timers.start(at_ns, self.turn.picked_ns, token);
        if timer.is_none() {
            self.desk.counters.timers_full.increment();
        }
        timer
    }

    /// Stops a timer; `false`: it has fired, or was stopped before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.desk.timers.cancel(timer)
    }

    /// Best prices of a symbol now; `None` when they keep moving.
    #[must_use]
    pub fn best(&self, locate: u16) -> Option<BestPrice> {
        self.desk.best_prices.load(locate)
    }

    /// The best levels of a symbol now, as many as the strategy's `depth` says at least; `None` when its row keeps
    /// moving, or `depth` is 0. They are at least as new as the event at hand, and `changed` says of which message.
    #[must_use]
    pub fn depth(&self, locate: u16) -> Option<Depth> {
        self.desk.best_prices.depths()?.load(locate)
    }

    /// Its own books up to the event at hand, in which its orders stand under [`ExecutionEvent::reference`]; `None` where
    /// its `book` is "none".
    #[inline]
    #[must_use]
    pub fn books(&self) -> Option<&'a OwnBooks> {
        self.turn.books
    }

    /// Whether the book of a symbol may not be what the exchange has.
    #[must_use]
    pub fn is_stale(&self, locate: u16) -> bool {
        self.desk.best_prices.is_stale(locate)
    }

    /// How a symbol is traded now; `None` when its row keeps moving.
    #[must_use]
    pub fn status(&self, locate: u16) -> Option<SymbolStatus> {
        self.desk.best_prices.statuses().load(locate)
    }

    /// How the symbol's market is now; `None` when its row keeps moving.
    #[must_use]
    pub fn market(&self) -> Option<MarketStatus> {
        self.desk.best_prices.statuses().market()
    }

    /// What a locate code stands for today.
    #[must_use]
    pub fn symbol(&self, locate: u16) -> Option<Symbol> {
        self.desk.best_prices.symbol(locate)
    }

    /// Spins for a time: a stand-in for a strategy's own work.
    pub fn think(&self, length_ns: u64) {
        let until_ns = self.turn.clock.now_ns().saturating_add(length_ns);
        while self.turn.clock.now_ns() < until_ns {
            std::hint::spin_loop();
        }
    }

    /// When the event was taken from the ring, the answer was here or the timer fired, ns on the monotonic clock.
    #[must_use]
    pub fn picked_ns(&self) -> u64 {
        self.turn.picked_ns
    }

    fn change(&self, id: OrderId, action: Action, price: Price4, qty: Qty) -> OrderIntent {
        OrderIntent {
            origin: self.turn.origin,
            decided_ns: 0,
            id,
            price,
            qty,
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: Terms::PLAIN,
            locate: 0,
            queue: 0,
            ring_was_full: false,
            action,
            side: Side::Buy,
            time_in_force: TimeInForce::Day,
            cause: self.turn.cause,
        }
    }

    #[inline]
    fn send(&mut self, mut intent: OrderIntent) -> bool {
        if self.desk.is_stopping && matches!(intent.action, Action::Enter | Action::Replace) {
            self.desk.counters.stopping.increment();
            return false;
        }
        intent.decided_ns = self.turn.clock.now_ns();
        intent.published_delta_ns = self.turn.published_delta_ns;
        intent.picked_delta_ns = delta_ns(self.turn.origin.seen_ns, self.turn.picked_ns);
        (intent.queue, intent.ring_was_full) = (self.turn.queue, self.turn.ring_was_full);
        if self.desk.intents.push(intent).is_err() {
            self.desk.counters.intent_ring_full.increment();
            return false;
        }
        self.desk.counters.intents.increment();
        let decided = intent.decided_ns.saturating_sub(self.turn.picked_ns);
        self.desk.histograms.picked_to_decided.record(decided);
        true
    }
}
