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

use std::io;
use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::event::{DELTA_UNKNOWN, Kind, MarketEvent, Origin, delta_ns};
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use rt::clock::Clock;
use rt::histogram::Reader;
use rt::histograms;
use rt::mem::{Want, prefetch_whole};
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};

use super::start::Start;
use super::timers::Timers;
use super::understudy::{Extra, Own, ROOM, Rehearsed, Sink, Understudy};
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
    /// The symbol that was heard of last.
    last_locate: u16,
    /// Whose strategy rehearsed last.
    next_seat: usize,
    /// What keeps the way warm while nothing is heard; `None`: nothing does.
    understudy: Option<Box<Understudy>>,
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
            last_locate: 0,
            next_seat: 0,
            understudy: None,
        }
    }

    /// An idle core keeps its way warm.
    ///
    /// # Errors
    /// The host has no memory for the understudy's table of prices.
    pub fn with_rehearsal(mut self) -> io::Result<Self> {
        let unfit = |NotPowerOfTwo| io::Error::from(io::ErrorKind::InvalidInput);
        let prices = Arc::new(BestPrices::new(Want::LAZY)?);
        let mut publisher = Publisher::new(Arc::clone(&prices), ROOM);
        let events = publisher.listen(Subscription::All, Way::Shared, ROOM);
        // Every symbol is wanted from here on, as when a day begins.
        publisher.forget_directory();
        let (to_session, intents) = ring(ROOM).map_err(unfit)?;
        let (_, executions) = ring(ROOM).map_err(unfit)?;
        let (notices, _) = ring(ROOM).map_err(unfit)?;
        let ends = Ends {
            intents: to_session,
            executions,
            opening: OpeningView::default(),
            notices: Notices(notices),
            first_id: 1,
        };
        let stage = Self::of_one(events.map_err(unfit)?, prices, Box::new(Extra), ends);
        let own = Own {
            stage: Box::new(stage),
            publisher,
            intents,
        };
        let (intents, end) = ring(ROOM).map_err(unfit)?;
        let sink = Sink { intents, end };
        let understudy = Understudy::new(own, sink, Arc::clone(&self.best_prices));
        self.understudy = Some(Box::new(understudy));
        Ok(self)
    }

    /// What the understudy has done; `None`: there is none.
    #[must_use]
    pub fn rehearsed(&self) -> Option<Rehearsed> {
        self.understudy.as_ref().map(|it| it.done())
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
    #[must_use]
    pub fn next_timer_ns(&self) -> u64 {
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
            if event.locate != 0 {
                self.last_locate = event.locate;
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

    fn rehearse(&mut self, clock: &Clock) {
        let Some(understudy) = &mut self.understudy else {
            return;
        };
        let event = understudy.rehearse(self.last_locate, clock);
        self.heard.prefetch();
        // One strategy a rehearsal, so that what arrives waits for one at most.
        self.next_seat = if self.next_seat + 1 < self.seats.len() {
            self.next_seat + 1
        } else {
            0
        };
        let Some(seat) = self.seats.get(self.next_seat) else {
            return;
        };
        // Before the first event of a symbol there is none to rehearse with.
        if event.locate != 0 {
            understudy.with_strategy(&*seat.strategy, &event, self.books.as_ref(), clock);
        }
        prefetch_whole(seat);
        prefetch_whole(&*seat.strategy);
        prefetch_whole(&*seat.desk.counters);
        seat.desk.intents.prefetch();
        seat.desk.histograms.prefetch();
    }

    fn housekeep(&mut self, _: &Clock) {}

    fn stop(&mut self, clock: &Clock) -> bool {
        for seat in &mut self.seats {
            seat.stop(self.books.as_ref(), clock);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{NewOrder, TimerId};
    use protocol::types::{Price4, Qty, Side};

    /// Rehearses all that it may do, and says if it is ever called otherwise.
    struct Eager;

    impl Strategy for Eager {
        fn on_event(&mut self, event: &MarketEvent, _: &mut Context<'_>) {
            unreachable!("{event:?}");
        }

        fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
            unreachable!("{execution:?}");
        }

        fn on_timer(&mut self, token: u64, _: &mut Context<'_>) {
            unreachable!("{token}");
        }

        fn rehearse(&self, event: &MarketEvent, context: &mut Context<'_>) {
            let order = NewOrder::limit(event.locate, Side::Buy, Price4(1), Qty(1));
            let id = context.enter(&order).expect("there is room");
            assert!(context.replace(id, Price4(2), Qty(1)) && context.cancel(id));
            let _: Option<TimerId> = context.start_timer(0, 1);
        }
    }

    #[test]
    fn rehearsals_of_a_stage_reach_nobody() {
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&prices), ROOM);
        let events = publisher.listen(Subscription::All, Way::Shared, ROOM);
        let (to_session, mut intents) = ring(ROOM).unwrap();
        let (_to_desk, executions) = ring(ROOM).unwrap();
        let (notices, mut told) = ring(ROOM).unwrap();
        let ends = Ends {
            intents: to_session,
            executions,
            opening: OpeningView::default(),
            notices: Notices(notices),
            first_id: 7,
        };
        let mut stage = StrategyStage::new(events.unwrap(), prices);
        let measures = stage.add(Box::new(Eager), ends);
        let mut stage = stage.with_rehearsal().unwrap();
        let mut clock = Clock::manual(1_000);
        // No symbol has been heard of: there is nothing for a strategy to rehearse with.
        stage.rehearse(&clock);
        let done = stage.rehearsed().unwrap();
        assert_eq!((done.events, done.strategies_intents), (1, 0));
        stage.last_locate = 7;
        for rehearsals in 1..=10_000u64 {
            clock.set_ns(1_000 + rehearsals * 1_000);
            stage.rehearse(&clock);
            assert_eq!(stage.poll(&clock), 0);
            let done = stage.rehearsed().unwrap();
            assert_eq!(
                (done.events, done.intents),
                (rehearsals + 1, rehearsals + 1)
            );
            assert_eq!(done.strategies_intents, 3 * rehearsals);
        }
        assert!(intents.pop().is_none() && told.pop().is_none());
        let counted = measures.counters.list();
        assert!(
            counted.iter().all(|(_, _, count)| *count == 0),
            "{counted:?}"
        );
        let mut measured = measures.histograms.iter();
        assert!(measured.all(|(_, reader)| reader.snapshot().is_empty()));
        assert_eq!(stage.next_timer_ns(), u64::MAX);
        assert_eq!(stage.seats[0].desk.next_id, 7);
    }
}
