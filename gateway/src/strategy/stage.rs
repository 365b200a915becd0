//! The stage that runs strategies: one, or all of a core that hear everything of a feed.
//!
//! ```text
//!  event ring ──> listener ──> one event, one clock read ──> strategy, strategy, …
//!                  └> own books, where the configuration says so
//!            its own executions, then its own timers ──> each, before the events of a turn
//! ```
//!
//! Thread:      strategy core, hot
//! Invariants:  strategies that share a stage hear the same events in the same order; each is told of its own
//!              executions alone.
//! Time:        `picked` is one clock read for each event: when the stage has it. What a strategy waits there for
//!              those before it is in its `picked_to_decided`. Timers go by when the turn began, which the core
//!              has read already: while none is due, they cost a strategy one comparison a turn.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::event::{DELTA_UNKNOWN, Kind, MarketEvent, Origin, delta_ns};
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::Listener;
use rt::clock::Clock;
use rt::histogram::Reader;
use rt::histograms;
use rt::ring::{Consumer, Producer};

use super::start::Start;
use super::timers::Timers;
use super::{Context, DeskEnd, Strategy, StrategyCounters, Turn};
use crate::core_loop::Stage;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{Cause, OrderIntent};
use crate::message::notice::{Notice, Notices};
use crate::order::opening::OpeningView;

/// Events taken in one turn at most, which a byte can count, and executions and timers of each strategy.
const BATCH: usize = 64;

histograms! {
    /// What the stage measures: one for each event.
    pub struct HearingHistograms {
        /// event in the ring -> strategy has it
        published_to_picked,
    }
}

histograms! {
    /// What is measured of each strategy: one for each intent.
    pub struct DecidingHistograms {
        /// strategy has it -> intent made
        picked_to_decided,
    }
}

/// The stage.
#[derive(Debug)]
pub struct StrategyStage {
    events: Listener,
    best_prices: Arc<BestPrices>,
    /// Books of what is heard: the same for all who hear it.
    books: Option<OwnBooks>,
    heard: HearingHistograms,
    seats: Vec<Seat>,
}

/// One strategy, and what it holds of others.
struct Seat {
    strategy: Box<dyn Strategy>,
    executions: Consumer<ExecutionEvent>,
    desk: DeskEnd,
    notices: Notices,
    opening: OpeningView,
    has_started: bool,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("desk", &self.desk)
            .finish_non_exhaustive()
    }
}

/// A strategy's ends of its rings to and from its order stage, and to the operator.
#[derive(Debug)]
pub struct Ends {
    /// To the order stage.
    pub intents: Producer<OrderIntent>,
    /// From the order stage.
    pub executions: Consumer<ExecutionEvent>,
    /// What it begins with.
    pub opening: OpeningView,
    /// News for the operator.
    pub notices: Notices,
    /// The number of its first order: beyond those of earlier runs of the day.
    pub first_id: u32,
}

/// What housekeeping reads of a strategy.
#[derive(Debug)]
pub struct Measures {
    /// What it did.
    pub counters: Arc<StrategyCounters>,
    /// How long it took, by name.
    pub histograms: Vec<(&'static str, Reader)>,
}

impl StrategyStage {
    /// A stage without strategies. `best_prices`: the table of the feed that is listened to.
    #[must_use]
    pub fn new(events: Listener, best_prices: Arc<BestPrices>) -> Self {
        Self {
            events,
            best_prices,
            books: None,
            heard: HearingHistograms::default(),
            seats: Vec::new(),
        }
    }

    /// Its strategies have books of what the stage hears.
    #[must_use]
    pub fn with_books(mut self, books: OwnBooks) -> Self {
        self.books = Some(books);
        self
    }

    /// A stage for one strategy.
    #[must_use]
    pub fn of_one(
        events: Listener,
        best_prices: Arc<BestPrices>,
        strategy: Box<dyn Strategy>,
        ends: Ends,
    ) -> Self {
        let mut stage = Self::new(events, best_prices);
        stage.add(strategy, ends);
        stage
    }

    /// One more strategy that hears what the stage hears.
    pub fn add(&mut self, strategy: Box<dyn Strategy>, ends: Ends) -> Measures {
        let desk = DeskEnd {
            intents: ends.intents,
            best_prices: Arc::clone(&self.best_prices),
            next_id: ends.first_id,
            timers: Timers::new(),
            is_stopping: false,
            counters: Arc::default(),
            histograms: DecidingHistograms::default(),
        };
        let mut histograms = self.heard.readers();
        histograms.extend(desk.histograms.readers());
        let measures = Measures {
            counters: Arc::clone(&desk.counters),
            histograms,
        };
        self.seats.push(Seat {
            strategy,
            executions: ends.executions,
            desk,
            notices: ends.notices,
            opening: ends.opening,
            has_started: false,
        });
        measures
    }

    /// When a timer may be due; `u64::MAX`: none runs.
    pub(super) fn next_timer_ns(&self) -> u64 {
        let timers = self.seats.iter().map(|seat| seat.desk.timers.next_ns());
        timers.min().unwrap_or(u64::MAX)
    }

    #[inline]
    fn take_events(&mut self, clock: &Clock) -> usize {
        let mut taken = 0;
        let mut queue = 0u8;
        let mut ring_was_full = self.events.is_full();
        while taken < BATCH
            && let Some(event) = self.events.hear()
        {
            taken += 1;
            let picked_ns = clock.now_ns();
            let waited_ns = picked_ns.saturating_sub(event.published_ns());
            self.heard.published_to_picked.record(waited_ns);
            if event.kind == Kind::Gap || event.kind == Kind::Lagged {
                self.seats.iter_mut().for_each(|seat| seat.on_loss(&event));
                ring_was_full |= event.kind == Kind::Lagged;
            }
            if let Some(books) = &mut self.books {
                books.on_event(&event);
            }
            let turn = Turn {
                origin: event.origin,
                picked_ns,
                published_delta_ns: event.published_delta_ns,
                cause: Cause::Market,
                queue,
                ring_was_full,
                books: self.books.as_ref(),
                clock,
            };
            for seat in &mut self.seats {
                let mut context = Context {
                    turn: &turn,
                    desk: &mut seat.desk,
                };
                seat.strategy.on_event(&event, &mut context);
            }
            queue += 1;
        }
        if taken > 0 {
            for seat in &mut self.seats {
                seat.desk.counters.events.add(taken as u64);
                seat.desk.intents.prefetch();
            }
        }
        taken
    }
}

impl<'a> Turn<'a> {
    /// A call that no message stands behind.
    fn without_tick(books: Option<&'a OwnBooks>, clock: &'a Clock) -> Self {
        Self {
            origin: Origin::default(),
            picked_ns: clock.now_ns(),
            published_delta_ns: DELTA_UNKNOWN,
            cause: Cause::Timer,
            queue: 0,
            ring_was_full: false,
            books,
            clock,
        }
    }
}

impl Seat {
    #[inline]
    fn take_executions(&mut self, books: Option<&OwnBooks>, clock: &Clock) -> usize {
        let mut taken = 0;
        while taken < BATCH
            && let Some(execution) = self.executions.pop()
        {
            taken += 1;
            self.on_execution(&execution, books, clock);
        }
        taken
    }

    #[inline]
    fn on_execution(
        &mut self,
        execution: &ExecutionEvent,
        books: Option<&OwnBooks>,
        clock: &Clock,
    ) {
        self.desk.counters.executions.increment();
        let picked_ns = execution.acked_ns;
        let turn = Turn {
            origin: execution.origin,
            picked_ns,
            published_delta_ns: delta_ns(execution.origin.seen_ns, picked_ns),
            cause: Cause::Execution,
            queue: 0,
            ring_was_full: false,
            books,
            clock,
        };
        let mut context = Context {
            turn: &turn,
            desk: &mut self.desk,
        };
        if execution.outcome == Outcome::SessionUp && !self.has_started {
            self.has_started = true;
            self.strategy.on_start(&Start(&self.opening), &mut context);
        }
        self.strategy.on_execution(execution, &mut context);
    }

    #[cold]
    fn stop(&mut self, books: Option<&OwnBooks>, clock: &Clock) {
        if std::mem::replace(&mut self.desk.is_stopping, true) {
            return;
        }
        let turn = Turn::without_tick(books, clock);
        let mut context = Context {
            turn: &turn,
            desk: &mut self.desk,
        };
        self.strategy.on_stop(&mut context);
    }

    /// Fires what is due; what the calls start is due in a later turn.
    #[cold]
    fn take_timers(&mut self, books: Option<&OwnBooks>, clock: &Clock) -> usize {
        clock.keep_turn();
        let mut taken = 0;
        while taken < BATCH
            && let Some(token) = self.desk.timers.take_due(clock.turn_ns())
        {
            taken += 1;
            self.desk.counters.timers.increment();
            let turn = Turn::without_tick(books, clock);
            let mut context = Context {
                turn: &turn,
                desk: &mut self.desk,
            };
            self.strategy.on_timer(token, &mut context);
        }
        taken
    }

    #[cold]
    fn on_loss(&mut self, event: &MarketEvent) {
        if event.kind == Kind::Gap {
            // The operator hears of it from the feed itself (`service::feed_watch`).
            self.desk.counters.gaps.increment();
        } else {
            self.desk.counters.lags.increment();
            self.desk.counters.missed.add(event.number);
            self.notices.send(Notice::Lagged(event.number));
        }
    }
}

impl Stage for StrategyStage {
    #[inline]
    fn poll(&mut self, clock: &Clock) -> usize {
        let mut taken = 0;
        for seat in &mut self.seats {
            taken += seat.take_executions(self.books.as_ref(), clock);
            if seat.desk.timers.next_ns() <= clock.turn_ns() {
                taken += seat.take_timers(self.books.as_ref(), clock);
            }
        }
        taken + self.take_events(clock)
    }

    fn housekeep(&mut self, _: &Clock) {}

    fn stop(&mut self, clock: &Clock) -> bool {
        for seat in &mut self.seats {
            seat.stop(self.books.as_ref(), clock);
        }
        true
    }
}
