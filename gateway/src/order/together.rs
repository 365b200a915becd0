//! Orders that go to the kernel together: what is known of each until it has been handed over.
//!
//! Thread:      order core, hot

use super::progress::OrderHistograms;
use crate::trace::recorder::{OrderTrace, Slowest};

/// Intents taken in one turn at most.
pub(super) const BATCH: usize = 64;

/// The orders of one turn.
#[derive(Debug)]
pub(super) struct Together {
    traces: [OrderTrace; BATCH],
    len: usize,
    /// What the turn before heard.
    pub(super) completions: u16,
}

impl Default for Together {
    fn default() -> Self {
        Self {
            traces: [OrderTrace::default(); BATCH],
            len: 0,
            completions: 0,
        }
    }
}

impl Together {
    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One more.
    #[inline]
    pub(super) fn add(&mut self, trace: OrderTrace) {
        if let Some(slot) = self.traces.get_mut(self.len) {
            *slot = trace;
            self.len += 1;
        }
    }

    /// The kernel has them all.
    #[inline]
    pub(super) fn on_submitted(
        &mut self,
        submitted_ns: u64,
        histograms: &mut OrderHistograms,
        slowest: &mut Slowest,
    ) {
        let together = u16::try_from(self.len).unwrap_or(u16::MAX);
        for trace in self.traces.iter_mut().take(self.len) {
            trace.submitted_ns = submitted_ns;
            (trace.together, trace.completions) = (together, self.completions);
            histograms
                .encoded_to_submitted
                .record(submitted_ns.saturating_sub(trace.encoded_ns));
            slowest.on_submitted(trace);
        }
        self.len = 0;
    }
}
