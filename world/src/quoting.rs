//! The world's quoter, and whether somebody kept it from quoting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use feed_handler::event::MarketEvent;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::strategy::{Context, Quoter, QuoterParameters, Strategy};

use crate::world::World;
use crate::{HALF_SPREAD, QUOTER, REQUOTE_AT, STRATEGIES};

/// The gateway's quoter, overheard.
pub(crate) struct Overheard {
    quoter: Quoter,
    /// Orders of its that were taken off although it had not asked for that, as where one would have met another
    /// of the same account: it rests for two steps.
    taken_off: Arc<AtomicU64>,
}

impl Overheard {
    pub(crate) fn new(taken_off: Arc<AtomicU64>) -> Self {
        let parameters = QuoterParameters {
            half_spread: HALF_SPREAD,
            skew_per_lot: 0,
            requote_at: REQUOTE_AT,
            inventory_max: u32::MAX,
            ..QuoterParameters::default()
        };
        Self {
            quoter: Quoter::new(&parameters).expect("sane"),
            taken_off,
        }
    }
}

impl Strategy for Overheard {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        self.quoter.on_event(event, context);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        if matches!(execution.outcome, Outcome::Canceled(_)) && execution.answers.is_none() {
            self.taken_off.fetch_add(1, Ordering::Relaxed);
        }
        self.quoter.on_execution(execution, context);
    }
}

impl World {
    /// What the quoter's session refused, or the exchange rejected: the quoter rests for up to 128 steps.
    pub(crate) fn refused(&mut self) -> u64 {
        let (_, session) = STRATEGIES[QUOTER];
        let counters = self.lines[session].stage.entry().counters();
        // Changes that cross with a fill or with one another keep nobody from quoting.
        let refused = &counters.refusals;
        let crossed = refused.refused_not_live.get() + refused.refused_change_pending.get();
        let rejected = counters.rejected.get() + counters.replaces_rejected.get();
        counters.refused.get() - crossed + rejected
    }

    /// Quotes that were taken off.
    pub(crate) fn taken_off(&self) -> u64 {
        self.taken_off.load(Ordering::Relaxed)
    }

    /// Whether nobody kept the quoter from quoting for longer than it rests.
    pub(crate) fn is_quoter_free(&mut self) -> bool {
        (self.refused(), self.taken_off()) == (self.refused_before, self.taken_off_before)
    }
}
