//! How a run went over its day: moments at even distances, at most [`MOMENTS_MAX`] of them; and what is held is worth what it was
//! each second.
//!
//! When full:   every second moment is forgotten, and they come half as often from then on.

use feed_handler::best_prices::BestPrices;

use crate::ledger::Outcome;

/// More than a page has room for.
const MOMENTS_MAX: usize = 512;
/// Between the first ones: as often as time surely goes on.
const FIRST_EVERY_NS: u64 = 100_000_000;
/// Prices are looked at so often: what is held at the end of market hours has prices that are at most so old, if they were good.
const MARK_EVERY_NS: u64 = 1_000_000_000;

/// Moments that are being taken.
#[derive(Debug)]
pub(crate) struct Course {
    every_ns: u64,
    next_ns: u64,
    mark_ns: u64,
}

impl Course {
    pub(crate) fn new() -> Self {
        Self {
            every_ns: FIRST_EVERY_NS,
            next_ns: 0,
            mark_ns: 0,
        }
    }

    /// Takes a moment if it is time for one, and looks at prices.
    #[inline]
    pub(crate) fn look(&mut self, outcome: &mut Outcome, prices: &BestPrices, now_ns: u64) {
        if now_ns >= self.mark_ns {
            outcome.mark(prices, now_ns);
            self.mark_ns = now_ns + MARK_EVERY_NS;
        }
        if now_ns < self.next_ns {
            return;
        }
        if outcome.moments.len() >= MOMENTS_MAX {
            let mut is_kept = false;
            outcome.moments.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.every_ns *= 2;
        }
        outcome.take_moment(prices, now_ns);
        self.next_ns = now_ns + self.every_ns;
    }
}
