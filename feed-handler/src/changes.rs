//! What a message did to the books, on its way to the table and to strategies.
//!
//! Path:        book -> changes -> best prices, statuses; price, size and flags of the event
//! Thread:      feed core, hot

use std::marker::PhantomData;

use protocol::types::{Price4, Qty, Side};

use crate::best_prices::BestPrices;
use crate::book::{Bbo, BookSink, Level, TradePrint};
use crate::counters::Counters;
use crate::event::{FLAG_BBO_CHANGED, FLAG_TRADE, Kind};
use crate::position::Position;
use crate::publish::Publisher;
use crate::trading::{Cross, Said};
use crate::venue::Venue;

/// Hears what a message did to the books.
pub(crate) struct Changes<'a, V> {
    pub(crate) locate: u16,
    pub(crate) price: Price4,
    pub(crate) qty: Qty,
    pub(crate) flags: u8,
    pub(crate) best_prices: &'a BestPrices,
    pub(crate) publisher: &'a Publisher,
    pub(crate) changed: Position,
    pub(crate) counters: &'a Counters,
    /// The message itself: what is rare is read only where it is wanted.
    pub(crate) bytes: &'a [u8],
    pub(crate) venue: PhantomData<V>,
}

impl<V: Venue> BookSink for Changes<'_, V> {
    #[inline]
    fn on_bbo(&mut self, locate: u16, bbo: &Bbo) {
        self.counters.publish.bbo_changes.increment();
        self.best_prices.store(locate, &bbo.price(), self.changed);
        // An add with a stale reference may change another symbol's book as well; strategies hear of
        // that in the table.
        if locate == self.locate {
            self.flags |= FLAG_BBO_CHANGED;
        }
    }

    #[inline]
    fn on_moved<L: Iterator<Item = Level>>(&mut self, locate: u16, levels: impl Fn(Side) -> L) {
        if let Some(depths) = self.best_prices.depths()
            && self.publisher.is_wanted(locate)
        {
            depths.store(locate, [Side::Buy, Side::Sell].map(levels), self.changed);
        }
    }

    #[inline]
    fn on_trade(&mut self, print: &TradePrint) {
        if print.kind == Kind::Cross as u8 {
            self.on_cross(print);
        }
        // A broken trade has no price, a cross without orders no shares: neither is a trade.
        if print.price == Price4(0) || print.shares == 0 {
            return;
        }
        self.counters.publish.trades.increment();
        self.best_prices.store_last_trade(print.locate, print.price);
        self.price = print.price;
        self.qty = Qty(u32::try_from(print.shares).unwrap_or(u32::MAX));
        self.flags |= FLAG_TRADE;
    }

    fn on_incomplete(&mut self, locate: u16) {
        self.best_prices.set_incomplete(locate);
    }

    #[cold]
    fn on_status(&mut self) {
        let Some(said) = V::said(self.bytes) else {
            return self.counters.feed.unknown_codes.increment();
        };
        let mut locate = self.locate;
        if let (0, Said::Release(symbol, _)) = (locate, &said) {
            // ITCH gives it no locate code.
            locate = self.best_prices.locate_of(*symbol).unwrap_or(0);
        }
        self.counters.feed.statuses.increment();
        self.best_prices.statuses().hear(locate, &said);
        if locate != 0 {
            self.best_prices.touch(locate, self.changed);
        }
    }
}

impl<V> Changes<'_, V> {
    #[cold]
    fn on_cross(&self, print: &TradePrint) {
        let cross = Cross {
            shares: print.shares,
            price: print.price,
            cross: print.cross_type,
        };
        let statuses = self.best_prices.statuses();
        statuses.hear_cross(self.locate, &cross);
        self.best_prices.touch(self.locate, self.changed);
    }
}
