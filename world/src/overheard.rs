//! The world's quoter: the gateway's own, and what is told to it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use feed_handler::event::MarketEvent;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::strategy::{Context, Quoter, QuoterParameters, Strategy};

use crate::numbers::Numbers;
use crate::{HALF_SPREAD, REQUOTE_AT};

/// The gateway's quoter, overheard.
pub(crate) struct Overheard {
    quoter: Quoter,
    /// Orders of its that were taken off although it had not asked for that, as where one would have met another
    /// of the same account: it rests for two steps.
    taken_off: Arc<AtomicU64>,
    numbers: Numbers,
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
            numbers: Numbers::default(),
        }
    }
}

impl Strategy for Overheard {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        self.numbers.hear(event);
        self.quoter.on_event(event, context);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        if matches!(execution.outcome, Outcome::Canceled(_)) && execution.answers.is_none() {
            self.taken_off.fetch_add(1, Ordering::Relaxed);
        }
        self.quoter.on_execution(execution, context);
    }
}
