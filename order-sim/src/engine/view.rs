//! The engine, looked at: nothing here changes it.

use protocol::types::{Side, Symbol};

use super::Engine;
use super::event::Rested;
use super::ladder;
use super::levels::{NIL, Place};
use super::request::Reach;
use super::stock::{Stock, StockStatus};
use super::types::{Handle, Owner};

/// What the engine has done, for figures and for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orders alive.
    pub live: u32,
    /// Most that may be.
    pub live_max: u32,
    /// Numbers given to orders.
    pub orders: u64,
    /// Trades.
    pub trades: u64,
}

/// Orders of others that are looked at at once.
const OTHERS_MAX: usize = 256;

impl Engine {
    /// Shares that a live order has open.
    #[must_use]
    pub fn open(&self, handle: Handle) -> Option<u32> {
        self.orders
            .find(handle)
            .map(|slot| self.orders.at(slot).open)
    }

    /// The worst price that a live order takes.
    #[must_use]
    pub fn limit(&self, handle: Handle) -> Option<u32> {
        let slot = self.orders.find(handle)?;
        Some(self.orders.at(slot).price)
    }

    /// Orders within reach whose account is not this one, in the order in which they would trade, with their open shares: the first
    /// 256.
    #[must_use]
    pub fn others_within(&self, reach: Reach, account: u16) -> Vec<(Handle, u32)> {
        let Reach {
            locate,
            side,
            price,
        } = reach;
        let worst = ladder::key_of(side, price);
        let levels = self.stock(locate).into_iter().flat_map(|stock| {
            let levels = stock.ladders.of(side).best_first(&self.orders);
            levels.take_while(|level| level.key >= worst)
        });
        self.others(levels.flat_map(|level| level.slots(&self.orders)), account)
    }

    /// Orders that would trade before this one and whose account is not `account`; as
    /// [`Engine::others_within`].
    #[must_use]
    pub fn others_ahead(&self, handle: Handle, account: u16) -> Vec<(Handle, u32)> {
        let Some(slot) = self.orders.find(handle) else {
            return Vec::new();
        };
        let order = self.orders.at(slot);
        let ladders = self
            .stock(order.locate)
            .map(|stock| stock.ladders.of(order.side));
        let levels = ladders
            .into_iter()
            .flat_map(|ladder| ladder.best_first(&self.orders));
        let slots = levels.flat_map(|level| level.slots(&self.orders));
        self.others(slots.take_while(|other| *other != slot), account)
    }

    /// Shares shown before this order at its price; `None`: it is not live, or nothing of it is shown.
    #[must_use]
    pub fn ahead(&self, handle: Handle) -> Option<u64> {
        let order = self.orders.at(self.orders.find(handle)?);
        let some = |slot: u32| (slot != NIL).then(|| self.orders.at(slot));
        let before = std::iter::successors(some(order.prev), |other| some(other.prev));
        let shares = || before.map(|other| u64::from(other.shown)).sum();
        (order.place == Place::Shown).then(shares)
    }

    fn others(&self, slots: impl Iterator<Item = u32>, account: u16) -> Vec<(Handle, u32)> {
        let orders = slots.map(|slot| (slot, self.orders.at(slot)));
        let others = orders.filter(|(_, order)| order.account != account);
        others
            .take(OTHERS_MAX)
            .map(|(slot, order)| (self.orders.handle(slot), order.open))
            .collect()
    }

    /// Best bid and best ask that the feed shows, with the price of the last trade.
    #[must_use]
    pub fn best(&self, locate: u16) -> (Option<u32>, Option<u32>, u32) {
        self.stock(locate).map_or((None, None, 0), |stock| {
            let (bid, ask) = stock.best(&self.orders);
            (bid, ask, stock.last_price)
        })
    }

    /// What everybody may know of a listed stock.
    #[must_use]
    pub fn status(&self, locate: u16) -> Option<StockStatus> {
        self.stock(locate).map(Stock::status)
    }

    /// Where a stock may trade, and the price that this is measured from.
    #[must_use]
    pub fn bands(&self, locate: u16) -> Option<(u32, u32, u32)> {
        self.stock(locate)
            .map(|stock| (stock.lower, stock.reference_price, stock.upper))
    }

    /// The locate code of a listed symbol.
    #[must_use]
    pub fn locate(&self, symbol: Symbol) -> Option<u16> {
        self.locates.get(&symbol).copied()
    }

    /// Locate codes in use: 1 to this.
    #[must_use]
    pub fn listed(&self) -> u16 {
        u16::try_from(self.stocks.len()).unwrap_or(u16::MAX)
    }

    /// What the feed shows of one side, best price first and first come first.
    pub fn shown(&self, locate: u16, side: Side) -> impl Iterator<Item = Rested> + '_ {
        let levels = self
            .stock(locate)
            .into_iter()
            .flat_map(move |stock| stock.ladders.of(side).best_first(&self.orders));
        levels
            .flat_map(|level| level.shown.iter(&self.orders))
            .map(|slot| self.orders.rested(slot))
    }

    /// Every live order with its open shares, in no order that means anything.
    pub fn live(&self) -> impl Iterator<Item = (Owner, u32)> + '_ {
        self.orders.slots_from(0).map(|slot| {
            let order = self.orders.at(slot);
            (order.owner(), order.open)
        })
    }

    /// Figures.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            live: self.orders.live(),
            live_max: self.limits.orders_max,
            orders: self.numbers.order,
            trades: self.numbers.matched,
        }
    }
}
