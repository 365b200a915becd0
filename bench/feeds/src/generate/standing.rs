//! Orders that stand for long: what a day of a whole market has beside the quick ones near the best price.
//!
//! A million orders are live at one time, most of them far from the best price and for hours, while most messages are about
//! orders a moment old. So a message about an old order finds nothing of it in a cache, and that is what
//! such a day is for. It differs in:
//!
//! - nothing is deleted until as many are live as were asked for; from then on about as many come as go;
//! - every other order is placed far away: each doubling of the distance from the best price has as many of them;
//! - messages come in bursts about one symbol;
//! - numbers of orders have holes, as where hidden orders take numbers as well.
//!
//! Memory:      8 bytes an order beside the books', which take what `Limits::TOOL` says at most.

use fastrand::Rng;

use super::TICK;

/// Doublings of the distance: 2,048 ticks are far.
const DOUBLINGS: u32 = 11;
/// Orders that the tool's books have room for, and as many again to spare.
const LIVE_MAX: u32 = 4_000_000;

/// How a day with many live orders goes on; without, nothing here changes anything or draws a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    live_min: u32,
    /// The symbol of the burst that is on.
    symbol: usize,
}

impl Standing {
    pub(super) fn new(live: u32) -> Self {
        Self {
            live_min: live.min(LIVE_MAX),
            symbol: 0,
        }
    }

    /// Orders that stay; `None`: an ordinary day.
    pub(super) fn live_min(&self) -> Option<u32> {
        (self.live_min > 0).then_some(self.live_min)
    }

    /// Ticks from the best price, where an ordinary order would be `near` ticks away.
    pub(super) fn away(&self, near: u32, random: &mut Rng) -> u32 {
        if self.live_min == 0 || random.bool() {
            return near;
        }
        let from = 1 << random.u32(0..DOUBLINGS);
        random.u32(from..2 * from)
    }

    /// A bid far away still has a price: half of the best at least.
    pub(super) fn bounded(&self, away: u32, best: u32) -> u32 {
        match self.live_min {
            0 => away,
            _ => away.min(best / TICK / 2 * TICK),
        }
    }

    /// The burst's symbol, if it goes on.
    pub(super) fn same_symbol(&self, random: &mut Rng) -> Option<usize> {
        (self.live_min > 0 && random.u8(0..4) > 0).then_some(self.symbol)
    }

    /// A burst about this symbol begins.
    pub(super) fn began(&mut self, symbol: usize) -> usize {
        self.symbol = symbol;
        symbol
    }

    /// From an order's number to the next one's.
    pub(super) fn number_step(&self, random: &mut Rng) -> u64 {
        match self.live_min {
            0 => 1,
            _ => random.u64(1..4),
        }
    }
}
