//! What a strategy finds when it starts.

use protocol::types::Symbol;

use crate::order::entry::LiveOrder;
use crate::order::opening::OpeningView;

/// Orders and positions as order entry believes them when the session opens for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a>(pub(super) &'a OpeningView);

impl Start<'_> {
    /// What the account holds of the strategy's symbols, shares, short below zero; symbols of which it holds nothing
    /// are left out. Positions are the account's: strategies that trade the same symbol share one.
    pub fn positions(&self) -> impl Iterator<Item = (Symbol, i64)> {
        let positions = self
            .0
            .positions()
            .map(|it| (it.symbol, it.exposure.position));
        positions.filter(|(_, shares)| *shares != 0)
    }

    /// What the account holds of a symbol.
    #[must_use]
    pub fn position(&self, symbol: Symbol) -> i64 {
        let mut positions = self.positions();
        let found = positions.find(|(name, _)| *name == symbol);
        found.map_or(0, |(_, shares)| shares)
    }

    /// The strategy's own orders that are live, in no order: after a restart those that it was given back, where the session's
    /// `found_orders` says so. It has been told of each by [`Outcome::Found`](crate::message::execution::Outcome::Found).
    pub fn orders(&self) -> impl Iterator<Item = LiveOrder> {
        self.0.orders()
    }
}
