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

use feed_handler::best_prices::BestPrices;
use protocol::types::Symbol;

use super::instruments::{Instrument, Instruments, Place};
use super::live::Order;
use super::risk::{Exposure, KillSwitch, Market, Risk, Worth};

/// Instruments whose market is looked at in one turn of housekeeping: about 2 µs of work.
const LOOKS_A_TURN: usize = 256;

/// What an account begins a day with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayStart {
    /// When it began, ns since 1970: what was executed since then is not in `positions`.
    pub began_ns: u64,
    /// Shares held, short below zero; `None`: nobody knows, and sells are not marked long or short by them.
    pub positions: Option<Vec<(Symbol, i64)>>,
    /// Symbols in which nothing but cancels goes.
    pub restricted: Vec<Symbol>,
    /// Symbols that are not sold short.
    pub no_short: Vec<Symbol>,
}

/// One account.
#[derive(Debug)]
pub struct Account {
    pub(super) risk: Risk,
    pub(super) instruments: Instruments,
    /// Best prices of each feed: what orders are held against.
    pub(super) best_prices: Vec<Arc<BestPrices>>,
    /// Whose market is looked at next.
    next_look: usize,
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
            next_look: 0,
        }
    }

    /// Takes in what is held and what is not traded, before the first order.
    ///
    /// # Errors
    /// The first symbol that there is no room for.
    pub fn begin_day(&mut self, day: &DayStart) -> Result<(), Symbol> {
        let Self {
            risk, instruments, ..
        } = self;
        let mut of_symbol = |symbol: Symbol| instruments.of_symbol(symbol).ok_or(symbol);
        for (symbol, shares) in day.positions.iter().flatten() {
            risk.hold(of_symbol(*symbol)?, *shares);
        }
        for symbol in &day.restricted {
            risk.restrict(of_symbol(*symbol)?);
        }
        for symbol in &day.no_short {
            risk.forbid_short(of_symbol(*symbol)?);
        }
        if day.positions.is_some() {
            risk.mark_sells();
        }
        Ok(())
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

    /// What everything is worth at its worst, in 0.0001 dollars.
    #[must_use]
    pub fn worth(&self) -> Worth {
        self.risk.worth()
    }

    /// What the day has brought, in 0.0001 dollars; a loss below zero.
    #[must_use]
    pub fn profit(&self) -> i128 {
        self.risk.profit()
    }

    /// Looks at what the market pays for some of what is held: a loss is found also while no order goes out.
    pub(super) fn look_around(&mut self) {
        let mut may_search = true;
        for _ in 0..LOOKS_A_TURN.min(self.instruments.len()) {
            let at = self.next_look % self.instruments.len();
            self.next_look = at + 1;
            let Ok(index) = u16::try_from(at) else {
                continue;
            };
            let instrument = Instrument(index);
            if self.risk.exposure(instrument).position == 0 {
                continue;
            }
            // A symbol that no order has named yet is searched for: once a turn, as that goes through a table.
            if self.instruments.place(instrument).is_none() && std::mem::take(&mut may_search) {
                self.search(instrument);
            }
            self.look_at(instrument);
        }
    }

    fn look_at(&mut self, instrument: Instrument) {
        let Some(place) = self.instruments.place(instrument) else {
            return;
        };
        let Some(names) = self.best_prices.get(usize::from(place.feed)) else {
            return;
        };
        let is_named = names.symbol(place.locate) == Some(self.instruments.symbol(instrument));
        if is_named && !names.is_stale(place.locate) {
            let market = market_of(names, place.locate);
            self.risk.on_market(instrument, &market);
        }
    }

    fn search(&mut self, instrument: Instrument) {
        let symbol = self.instruments.symbol(instrument);
        let feeds = (0..=u16::MAX).zip(&self.best_prices);
        let mut found = feeds.filter_map(|(feed, names)| {
            let locate = names.locate_of(symbol)?;
            Some(Place { feed, locate })
        });
        if let Some(place) = found.next() {
            self.instruments.set_place(instrument, place);
        }
    }

    /// The table of a live order's feed; `None` where its locate code means another symbol by now.
    #[inline]
    pub(super) fn names_of(&self, order: &Order) -> Option<&BestPrices> {
        let names = self.best_prices.get(usize::from(order.feed))?;
        let symbol = names.symbol(order.locate)?;
        (symbol == self.instruments.symbol(order.instrument)).then_some(names)
    }
}

/// What a feed says of a symbol's price.
#[inline]
pub(super) fn market_of(names: &BestPrices, locate: u16) -> Market {
    Market {
        best: names.load(locate),
        last_trade: names.last_trade(locate),
    }
}
