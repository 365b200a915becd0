//! One stock: what is listed, its ladders, and whether it trades.

use protocol::types::{Side, Symbol};

use super::ladder::Ladder;
use super::levels::Queue;
use super::order::Slab;
use super::types::State;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its symbol.
    pub symbol: Symbol,
    /// The price that bands and crosses are measured from, four decimals.
    pub reference_price: u32,
    /// How far from the reference it may trade, in hundredths of a percent; 0: anywhere.
    pub band_bps: u32,
}

/// What everybody may know of a listed stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockStatus {
    /// Its locate code.
    pub locate: u16,
    /// Its symbol.
    pub symbol: Symbol,
    /// Whether and how it trades.
    pub state: State,
    /// Short sales must not hit bids.
    pub is_short_restricted: bool,
}

/// Where an element belongs, by side.
#[derive(Debug)]
pub(super) struct BySide<T> {
    buy: T,
    sell: T,
}

impl<T> BySide<T> {
    #[inline]
    pub(super) fn of(&self, side: Side) -> &T {
        match side {
            Side::Buy => &self.buy,
            Side::Sell => &self.sell,
        }
    }

    #[inline]
    pub(super) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Buy => &mut self.buy,
            Side::Sell => &mut self.sell,
        }
    }
}

/// One stock.
#[derive(Debug)]
pub(super) struct Stock {
    pub symbol: Symbol,
    pub locate: u16,
    pub state: State,
    /// When a pause ends by itself, ns since midnight; 0: the stock is not in one.
    pub resumes_ns: u64,
    pub is_short_restricted: bool,
    pub reference_price: u32,
    pub band_bps: u32,
    /// Prices at which it may trade.
    pub lower: u32,
    pub upper: u32,
    pub last_price: u32,
    pub ladders: BySide<Ladder>,
    /// Midpoint pegs, first come first.
    pub pegs: BySide<Queue>,
    /// Orders for a cross only.
    pub crosses: BySide<Ladder>,
}

impl Stock {
    pub(super) fn new(locate: u16, listing: &Listing, levels_max: usize) -> Self {
        let ladders = || BySide {
            buy: Ladder::new(Side::Buy, levels_max),
            sell: Ladder::new(Side::Sell, levels_max),
        };
        let mut stock = Self {
            symbol: listing.symbol,
            locate,
            state: State::Trading,
            resumes_ns: 0,
            is_short_restricted: false,
            reference_price: 0,
            band_bps: listing.band_bps,
            lower: 0,
            upper: u32::MAX,
            last_price: 0,
            ladders: ladders(),
            pegs: BySide {
                buy: Queue::EMPTY,
                sell: Queue::EMPTY,
            },
            crosses: ladders(),
        };
        stock.set_reference(listing.reference_price);
        stock
    }

    pub(super) fn status(&self) -> StockStatus {
        StockStatus {
            locate: self.locate,
            symbol: self.symbol,
            state: self.state,
            is_short_restricted: self.is_short_restricted,
        }
    }

    /// Moves the price that bands are measured from.
    pub(super) fn set_reference(&mut self, price: u32) {
        self.reference_price = price;
        if self.band_bps > 0 {
            let width = u64::from(price) * u64::from(self.band_bps) / 10_000;
            let width = u32::try_from(width).unwrap_or(u32::MAX);
            self.lower = price.saturating_sub(width);
            self.upper = price.saturating_add(width);
        }
    }

    /// Best prices that the feed shows.
    #[inline]
    pub(super) fn best(&self, orders: &Slab) -> (Option<u32>, Option<u32>) {
        (
            self.ladders.buy.best_shown(orders),
            self.ladders.sell.best_shown(orders),
        )
    }

    /// Halfway between the best prices shown; `None` when a side is empty.
    pub(super) fn midpoint(&self, orders: &Slab) -> Option<u32> {
        let (bid, ask) = self.best(orders);
        Some(u32::midpoint(bid?, ask?))
    }

    pub(super) fn has_pegs(&self) -> bool {
        !self.pegs.buy.is_empty() || !self.pegs.sell.is_empty()
    }
}

/// The smallest step of a price: a cent from a dollar on, below it a hundredth of a cent (Reg NMS,
/// rule 612).
#[must_use]
pub fn tick_of(price: u32) -> u32 {
    if price >= 10_000 { 100 } else { 1 }
}
