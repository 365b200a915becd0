//! The stage that runs one strategy.
//!
//! Thread:      strategy core, hot
//! Time:        `picked` is one clock read for each event.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::event::{Kind, MarketEvent, delta_ns};
use feed_handler::publish::Listener;
use rt::clock::Clock;
use rt::histograms;
use rt::ring::{Consumer, Producer};

use super::{Context, DeskEnd, Strategy, StrategyCounters};
use crate::core_loop::Stage;
use crate::notice::{Notice, Notices};
use crate::order::intent::{Cause, ExecutionEvent, OrderIntent};

/// Events taken in one turn at most.
const BATCH: usize = 64;

histograms! {
    /// The histograms that this stage writes: one for each event, one for each intent.
    pub struct StrategyHistograms {
        /// event in the ring -> strategy has it
        published_to_picked,
        /// strategy has it -> intent made
        picked_to_decided,
    }
}

/// The stage.
pub struct StrategyStage {
    strategy: Box<dyn Strategy>,
    events: Listener,
    executions: Consumer<ExecutionEvent>,
    desk: DeskEnd,
    notices: Notices,
}

impl std::fmt::Debug for StrategyStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrategyStage")
            .field("desk", &self.desk)
            .finish_non_exhaustive()
    }
}

/// What a strategy holds of others.
#[derive(Debug)]
pub struct Ends {
    /// From the feed.
    pub events: Listener,
    /// To the order stage.
    pub intents: Producer<OrderIntent>,
    /// From the order stage.
    pub executions: Consumer<ExecutionEvent>,
}

impl StrategyStage {
    /// Puts the stage together.
    #[must_use]
    pub fn new(
        strategy: Box<dyn Strategy>,
        ends: Ends,
        best_prices: Arc<BestPrices>,
        notices: Notices,
    ) -> Self {
        let Ends {
            events,
            intents,
            executions,
        } = ends;
        let desk = DeskEnd {
            intents,
            best_prices,
            next_id: 1,
            counters: Arc::default(),
            histograms: StrategyHistograms::default(),
        };
        Self {
            strategy,
            events,
            executions,
            desk,
            notices,
        }
    }

    /// The counters, for housekeeping.
    #[must_use]
    pub fn counters(&self) -> Arc<StrategyCounters> {
        Arc::clone(&self.desk.counters)
    }

    /// The histograms, to be read by housekeeping.
    #[must_use]
    pub fn histograms(&self) -> &StrategyHistograms {
        &self.desk.histograms
    }

    #[inline]
    fn take_executions(&mut self, clock: &Clock) -> usize {
        let mut taken = 0;
        while taken < BATCH
            && let Some(execution) = self.executions.pop()
        {
            taken += 1;
            self.desk.counters.executions.increment();
            let picked_ns = execution.acked_ns;
            let mut context = Context {
                origin: execution.origin,
                picked_ns,
                published_delta_ns: delta_ns(execution.origin.seen_ns, picked_ns),
                cause: Cause::Execution,
                queue: 0,
                ring_was_full: false,
                desk: &mut self.desk,
                clock,
            };
            self.strategy.on_execution(&execution, &mut context);
        }
        taken
    }

    #[inline]
    fn take_events(&mut self, clock: &Clock) -> usize {
        let mut taken = 0;
        let mut queue = 0u16;
        let mut ring_was_full = self.events.is_full();
        while taken < BATCH
            && let Some(event) = self.events.hear()
        {
            taken += 1;
            let picked_ns = clock.now_ns();
            self.desk
                .histograms
                .published_to_picked
                .record(picked_ns.saturating_sub(event.published_ns()));
            self.desk.counters.events.increment();
            if event.kind == Kind::Gap || event.kind == Kind::Lagged {
                self.on_loss(&event);
                ring_was_full |= event.kind == Kind::Lagged;
            }
            let mut context = Context {
                origin: event.origin,
                picked_ns,
                published_delta_ns: event.published_delta_ns,
                cause: Cause::Market,
                queue,
                ring_was_full,
                desk: &mut self.desk,
                clock,
            };
            self.strategy.on_event(&event, &mut context);
            queue += 1;
        }
        if taken > 0 {
            self.desk.intents.prefetch();
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
        let taken = self.take_executions(clock);
        taken + self.take_events(clock)
    }

    fn housekeep(&mut self, _: &Clock) {}
}
