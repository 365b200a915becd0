//! How a run went over its day: moments at even distances, at most [`MOMENTS_MAX`] of them.
//!
//! When full:   every second moment is forgotten, and they come half as often from then on.

use std::collections::BTreeMap;

use feed_handler::best_prices::BestPrices;

use crate::ledger::{Outcome, Position};

/// More than a page has room for.
const MOMENTS_MAX: usize = 512;
/// Between the first ones: as often as time surely goes on.
const FIRST_EVERY_NS: u64 = 100_000_000;

/// How it stood at one time. Counts are since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// When, simulated.
    pub at_ns: u64,
    /// Fills.
    pub fills: u64,
    /// Intents that risk has refused.
    pub refused: u64,
    /// Orders and changes that the exchange has refused.
    pub rejected: u64,
    /// By locate code: shares, and profit as [`Position::profit_halves`].
    pub symbols: BTreeMap<u16, (i64, Option<i128>)>,
}

impl Moment {
    fn of(outcome: &Outcome, prices: &BestPrices, at_ns: u64) -> Self {
        let stands = outcome.positions.iter().map(|(locate, position)| {
            let best = prices.load(*locate).unwrap_or_default();
            let marked = Position {
                marks: (best.bid_price, best.ask_price),
                ..*position
            };
            (*locate, (marked.shares, marked.profit_halves()))
        });
        Self {
            at_ns,
            fills: outcome.fills.len() as u64,
            refused: outcome.refused.values().sum(),
            rejected: outcome.rejected,
            symbols: stands.collect(),
        }
    }
}

/// Moments that are being taken.
#[derive(Debug)]
pub(crate) struct Course {
    every_ns: u64,
    next_ns: u64,
}

impl Course {
    pub(crate) fn new() -> Self {
        Self {
            every_ns: FIRST_EVERY_NS,
            next_ns: 0,
        }
    }

    /// Takes a moment if it is time for one.
    #[inline]
    pub(crate) fn look(&mut self, outcome: &mut Outcome, prices: &BestPrices, now_ns: u64) {
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
        let moment = Moment::of(outcome, prices, now_ns);
        outcome.moments.push(moment);
        self.next_ns = now_ns + self.every_ns;
    }

    /// Takes the last one.
    pub(crate) fn end(outcome: &mut Outcome, prices: &BestPrices, now_ns: u64) {
        let moment = Moment::of(outcome, prices, now_ns);
        outcome.moments.push(moment);
    }
}
