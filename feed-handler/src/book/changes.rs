//! What a message may change that others want to know: best prices and trades.

use protocol::types::{MatchNumber, OrderRef, Price4, Qty, Side};

use crate::best_prices::BestPrice;
use crate::depth::Level;

/// Best price of each side after a change; a side without orders has price 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bbo {
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

impl Bbo {
    /// As the table and events have it; shares beyond 32 bits are cut there.
    #[inline]
    #[must_use]
    pub fn price(&self) -> BestPrice {
        BestPrice {
            bid_price: self.bid.price,
            bid_qty: cut(self.bid.shares),
            ask_price: self.ask.price,
            ask_qty: cut(self.ask.shares),
        }
    }
}

#[inline]
pub(super) fn cut(shares: u64) -> Qty {
    Qty(u32::try_from(shares).unwrap_or(u32::MAX))
}

/// One trade as time and sales would show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradePrint {
    /// `E` at the order's price, `C` at the message's, `P` hidden order, `Q` cross, `B` broken.
    pub kind: u8,
    /// Symbol of the day.
    pub locate: u16,
    /// Four decimals; 0 for a broken trade.
    pub price: Price4,
    /// Shares as reported.
    pub shares: u64,
    /// The resting order's side for `E` and `C`.
    pub side: Option<Side>,
    /// The resting order for `E` and `C`, else 0.
    pub order: OrderRef,
    /// The trade's number.
    pub match_number: MatchNumber,
    /// `O`, `C`, `H` for a cross, else a space.
    pub cross_type: u8,
}

/// What a caller wants to know of changes, in the order in which they happen.
pub trait BookSink {
    /// The best bid or offer (price or shares) of a symbol changed.
    fn on_bbo(&mut self, locate: u16, bbo: &Bbo);
    /// Shares traded, or a trade was broken.
    fn on_trade(&mut self, print: &TradePrint);
    /// An order of this symbol was refused for want of memory: from here on its book is not what the
    /// exchange has. Who only counts need not listen.
    fn on_incomplete(&mut self, locate: u16) {
        let _ = locate;
    }
    /// A symbol's book is another now; `levels` gives those of a side, from the best.
    fn on_moved<L: Iterator<Item = Level>>(&mut self, locate: u16, levels: impl Fn(Side) -> L) {
        let _ = (locate, levels);
    }
    /// The message says how something is traded: no book's business, and for who keeps statuses.
    fn on_status(&mut self) {}
}

/// Nothing is of interest.
impl BookSink for () {
    fn on_bbo(&mut self, _: u16, _: &Bbo) {}
    fn on_trade(&mut self, _: &TradePrint) {}
}

impl TradePrint {
    pub(super) fn new(kind: u8, locate: u16) -> Self {
        Self {
            kind,
            locate,
            price: Price4(0),
            shares: 0,
            side: None,
            order: OrderRef(0),
            match_number: MatchNumber(0),
            cross_type: b' ',
        }
    }
}
