//! Goes the way of an event while none comes, so that the next real one finds the way warm.
//!
//! ```text
//!  made-up event ──> own ring ──> own listener ──> a stage of the real one's type ──> Extra ──> own intents, thrown away
//!                └──> Strategy::rehearse of each real strategy, with a desk of their own ──> own intents, thrown away
//! ```
//!
//! Thread:      strategy core, hot
//! Invariants:  it owns what it writes: rings, counters, histograms, numbers of orders. Real strategies are called by a
//!              shared reference, with a context whose intents go nowhere.
//! Bounds:      one event a rehearsal, and one call for each real strategy.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::event::{DELTA_UNKNOWN, FLAG_BBO_CHANGED, Kind, MarketEvent, Origin};
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{PublishCounters, Publisher};
use protocol::types::{Price4, Qty, Side};
use rt::clock::Clock;
use rt::ring::{Consumer, Producer};

use super::timers::Timers;
use super::{Context, DecidingHistograms, DeskEnd, NewOrder, Strategy, Turn};
use crate::core_loop::Stage;
use crate::message::execution::ExecutionEvent;
use crate::message::intent::{Cause, OrderIntent};

/// Events and intents that its rings hold.
pub(super) const ROOM: usize = 16;

/// What an understudy has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Events that it took the whole way.
    pub events: u64,
    /// Intents that came out at the end.
    pub intents: u64,
    /// Intents of real strategies' rehearsals.
    pub strategies_intents: u64,
}

/// A stage of its own, and a desk for what real strategies rehearse.
pub(super) struct Understudy {
    /// Behind its table, as the core has the real one: so it is the same machine code.
    stage: Box<dyn Stage>,
    publisher: Publisher,
    counters: PublishCounters,
    intents: Consumer<OrderIntent>,
    desk: DeskEnd,
    desk_intents: Consumer<OrderIntent>,
    done: Rehearsed,
}

impl std::fmt::Debug for Understudy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Understudy")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// An understudy's stage, and the ends of its rings.
pub(super) struct Own {
    pub(super) stage: Box<dyn Stage>,
    pub(super) publisher: Publisher,
    pub(super) intents: Consumer<OrderIntent>,
}

/// A desk's ring, both ends.
pub(super) struct Sink {
    pub(super) intents: Producer<OrderIntent>,
    pub(super) end: Consumer<OrderIntent>,
}

impl Understudy {
    /// `best_prices`: the real table, which real strategies may look at.
    pub(super) fn new(own: Own, sink: Sink, best_prices: Arc<BestPrices>) -> Self {
        Self {
            stage: own.stage,
            publisher: own.publisher,
            counters: PublishCounters::default(),
            intents: own.intents,
            desk: DeskEnd {
                intents: sink.intents,
                best_prices,
                next_id: 1,
                timers: Timers::new(),
                is_stopping: false,
                counters: Arc::default(),
                histograms: DecidingHistograms::default(),
            },
            desk_intents: sink.end,
            done: Rehearsed::default(),
        }
    }

    /// One event, the whole way; the same for real strategies to rehearse with.
    pub(super) fn rehearse(&mut self, locate: u16, clock: &Clock) -> MarketEvent {
        let event = made_up(&self.desk.best_prices, locate, clock.now_ns());
        self.publisher.publish(&event, &self.counters);
        let events = self.stage.poll(clock);
        self.done.events += events as u64;
        while self.intents.pop().is_some() {
            self.done.intents += 1;
        }
        event
    }

    /// A real strategy rehearses.
    #[inline]
    pub(super) fn with_strategy(
        &mut self,
        strategy: &dyn Strategy,
        event: &MarketEvent,
        books: Option<&OwnBooks>,
        clock: &Clock,
    ) {
        let turn = Turn {
            origin: event.origin,
            picked_ns: clock.turn_ns(),
            published_delta_ns: event.published_delta_ns,
            cause: Cause::Market,
            queue: 0,
            ring_was_full: false,
            books,
            clock,
        };
        let mut context = Context {
            turn: &turn,
            desk: &mut self.desk,
        };
        strategy.rehearse(event, &mut context);
        while self.desk_intents.pop().is_some() {
            self.done.strategies_intents += 1;
        }
    }

    /// What it has done.
    pub(super) fn done(&self) -> Rehearsed {
        self.done
    }
}

/// A change of a symbol's best price to what it is.
#[inline]
fn made_up(best_prices: &BestPrices, locate: u16, now_ns: u64) -> MarketEvent {
    let best = best_prices.load(locate).unwrap_or_default();
    let origin = Origin {
        seq: 0,
        seen_ns: now_ns,
        wire_delta_ns: DELTA_UNKNOWN,
        feed: 0,
        batch: 1,
        place: 0,
    };
    MarketEvent {
        bid_price: best.bid_price,
        bid_qty: best.bid_qty,
        ask_price: best.ask_price,
        ask_qty: best.ask_qty,
        locate,
        flags: FLAG_BBO_CHANGED,
        ..MarketEvent::bare(Kind::Add, origin)
    }
}

/// The understudy's strategy: an order for each event.
pub(super) struct Extra;

impl Strategy for Extra {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        context.enter(&NewOrder::limit(event.locate, Side::Buy, Price4(1), Qty(1)));
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}
