//! `probe`: an immediate-or-cancel order on every n-th change of the best price. For measuring: it
//! trades badly and tells exactly how long the way takes.

use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, MarketEvent};
use protocol::types::{Qty, Side};
use serde::Deserialize;

use super::{Context, NewOrder, Strategy};
use crate::order::intent::{ExecutionEvent, TimeInForce};

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// An order on every this many changes, at least 1.
    pub every: u64,
    /// Shares of an order.
    pub qty: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { every: 1, qty: 100 }
    }
}

/// The strategy.
#[derive(Debug)]
pub struct Probe {
    every: u64,
    qty: Qty,
    changes: u64,
}

impl Probe {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `every` or `qty` is 0.
    pub fn new(parameters: &Parameters) -> Result<Self, String> {
        let Parameters { every, qty } = *parameters;
        if every == 0 || qty == 0 {
            return Err(format!(
                "every = {every}, qty = {qty}: both must be at least 1"
            ));
        }
        Ok(Self {
            every,
            qty: Qty(qty),
            changes: 0,
        })
    }
}

impl Strategy for Probe {
    #[inline]
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if !event.has(FLAG_BBO_CHANGED) || event.has(FLAG_STALE) {
            return;
        }
        self.changes += 1;
        if !self.changes.is_multiple_of(self.every) {
            return;
        }
        // Buys and sells in turn, so that the position stays near zero; joins its own side's best
        // price, so that a collar never stops it.
        let wants_buy = (self.changes / self.every).is_multiple_of(2);
        let (buy, sell) = ((Side::Buy, event.bid_price), (Side::Sell, event.ask_price));
        let (first, second) = if wants_buy { (buy, sell) } else { (sell, buy) };
        let (side, price) = if first.1.0 != 0 { first } else { second };
        if price.0 != 0 {
            context.enter(&NewOrder {
                locate: event.locate,
                side,
                price,
                qty: self.qty,
                time_in_force: TimeInForce::ImmediateOrCancel,
            });
        }
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}
