//! What an account holds and may do: positions, limits, risk. Every session that trades for it shares it.
//!
//! ```text
//!  session's orders ──┐
//!  session's orders ──┴─> account: risk (limits, exposure, rate, kill switch), instruments, prices
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  what stands open here is the sum of what the live orders of all its sessions reserve.

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use protocol::types::Symbol;

use super::instruments::Instruments;
use super::live::Order;
use super::risk::{Exposure, KillSwitch, Risk};

/// One account.
#[derive(Debug)]
pub struct Account {
    pub(super) risk: Risk,
    pub(super) instruments: Instruments,
    /// Best prices of each feed: what orders are held against.
    pub(super) best_prices: Vec<Arc<BestPrices>>,
}

impl Account {
    /// Nothing held, nothing open; `best_prices` has a table for each feed, in the order of the
    /// configuration.
    #[must_use]
    pub fn new(risk: Risk, best_prices: Vec<Arc<BestPrices>>) -> Self {
        Self {
            risk,
            instruments: Instruments::new(best_prices.len()),
            best_prices,
        }
    }

    /// The kill switch that risk looks at.
    #[must_use]
    pub fn kill(&self) -> KillSwitch {
        self.risk.kill().clone()
    }

    /// Orders open now, over all its sessions.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        self.risk.open_orders()
    }

    /// What is held of a symbol and may still come, by name: for reports and tests.
    #[must_use]
    pub fn exposure(&mut self, symbol: Symbol) -> Exposure {
        let instrument = self.instruments.of_symbol(symbol);
        instrument.map_or_else(Exposure::default, |at| self.risk.exposure(at))
    }

    /// Best prices for a live order, and whether they are stale; `None` where its locate code means another
    /// symbol by now.
    #[inline]
    pub(super) fn reference_of(&self, order: &Order) -> Option<(Option<BestPrice>, bool)> {
        let names = self.best_prices.get(usize::from(order.feed))?;
        let symbol = names.symbol(order.locate)?;
        (symbol == self.instruments.symbol(order.instrument))
            .then(|| (names.load(order.locate), names.is_stale(order.locate)))
    }
}
