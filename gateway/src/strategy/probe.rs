//! `probe`: an immediate-or-cancel order on every n-th change of the best price. For measuring: it
//! trades badly and tells exactly how long the way takes.
//!
//! It joins its own side's best price, and trades only if somebody comes at that moment; told to take, it
//! pays the other side's. Given a symbol, it looks at nothing else. Given a time to think, it spins that long before it sends:
//! what a strategy's own work would cost, and a known delay that a measurement has to find.

use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, MarketEvent};
use protocol::types::{Qty, Side, Symbol};
use serde::Deserialize;

use super::{Context, NewOrder, Strategy};
use crate::message::execution::ExecutionEvent;
use crate::message::intent::TimeInForce;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// An order on every this many changes, at least 1.
    pub every: u64,
    /// Shares of an order.
    pub qty: u32,
    /// The only symbol that counts; empty: all.
    pub symbol: String,
    /// How long to think before an order, ns, at most one second.
    pub think_ns: u64,
    /// Thinks before every this many orders, at least 1.
    pub think_every: u64,
    /// Buy at the best ask, sell at the best bid.
    pub takes: bool,
}

/// The longest time to think.
const THINK_NS_MAX: u64 = 1_000_000_000;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            every: 1,
            qty: 100,
            symbol: String::new(),
            think_ns: 0,
            think_every: 1,
            takes: false,
        }
    }
}

/// The strategy.
#[derive(Debug)]
pub struct Probe {
    every: u64,
    qty: Qty,
    think_ns: u64,
    think_every: u64,
    takes: bool,
    only: Only,
    changes: u64,
}

/// Which symbols count.
#[derive(Debug)]
enum Only {
    All,
    /// As a stock directory event carries it; its locate code comes with that.
    Unseen(u64),
    Locate(u16),
}

impl Probe {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `every`, `qty` or `think_every` is 0, `symbol` is none, `think_ns` is beyond a second.
    pub fn new(parameters: &Parameters) -> Result<Self, String> {
        let Parameters {
            every,
            qty,
            ref symbol,
            think_ns,
            think_every,
            takes,
        } = *parameters;
        if every == 0 || qty == 0 || think_every == 0 {
            return Err(format!(
                "every = {every}, qty = {qty}, think_every = {think_every}: each must be at least 1"
            ));
        }
        if think_ns > THINK_NS_MAX {
            return Err(format!(
                "think_ns = {think_ns}: at most {THINK_NS_MAX}, one second"
            ));
        }
        let only = if symbol.is_empty() {
            Only::All
        } else {
            let symbol = Symbol::new(symbol)
                .ok_or_else(|| format!("symbol = \"{symbol}\": 1 to 8 printable characters"))?;
            Only::Unseen(u64::from_ne_bytes(symbol.0))
        };
        Ok(Self {
            every,
            qty: Qty(qty),
            think_ns,
            think_every,
            takes,
            only,
            changes: 0,
        })
    }

    /// Its order of this number. Buys and sells in turn, so that the position stays near zero; at a best price, so that
    /// a collar never stops it.
    #[inline]
    fn order(&self, event: &MarketEvent, number: u64) -> Option<NewOrder> {
        let (bid, ask) = (event.bid_price, event.ask_price);
        let (buy, sell) = if self.takes { (ask, bid) } else { (bid, ask) };
        let (buy, sell) = ((Side::Buy, buy), (Side::Sell, sell));
        let wants_buy = number.is_multiple_of(2);
        let (first, second) = if wants_buy { (buy, sell) } else { (sell, buy) };
        let (side, price) = if first.1.0 != 0 { first } else { second };
        (price.0 != 0).then(|| NewOrder {
            time_in_force: TimeInForce::ImmediateOrCancel,
            ..NewOrder::limit(event.locate, side, price, self.qty)
        })
    }

    #[inline]
    fn counts(&mut self, event: &MarketEvent) -> bool {
        match self.only {
            Only::All => true,
            Only::Locate(locate) => event.locate == locate,
            Only::Unseen(symbol) => {
                if event.symbol().is_some() && event.number == symbol {
                    self.only = Only::Locate(event.locate);
                }
                false
            }
        }
    }
}

impl Strategy for Probe {
    #[inline]
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if !self.counts(event) || !event.has(FLAG_BBO_CHANGED) || event.has(FLAG_STALE) {
            return;
        }
        self.changes += 1;
        if !self.changes.is_multiple_of(self.every) {
            return;
        }
        let number = self.changes / self.every;
        if let Some(order) = self.order(event, number) {
            if self.think_ns > 0 && number.is_multiple_of(self.think_every) {
                context.think(self.think_ns);
            }
            context.enter(&order);
        }
    }

    /// The same order, for nobody: no thinking, and no count.
    fn rehearse(&self, event: &MarketEvent, context: &mut Context<'_>) {
        if let Some(order) = self.order(event, self.changes / self.every) {
            context.enter(&order);
        }
    }

    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}
