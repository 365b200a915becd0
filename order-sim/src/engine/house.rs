//! The house: the simulator's own party, which trades where a script says so.
//!
//! Invariants:  it takes at the order's own limit; the feed sees its trades like any other's. It has no orders.

use super::event::{Event, OnFeed, Party, Trade};
use super::ladder::{BUY_ANY, SELL_ANY};
use super::levels::Place;
use super::matcher::Matcher;
use super::numbers::Match;
use super::order::Order;
use super::request::liquidity;
use super::types::Owner;

/// The simulator's own stock, which trades where a script says so.
pub const HOUSE: Owner = Owner {
    account: u16::MAX,
    user_ref: 0,
};

/// A trade with the house.
#[derive(Clone, Copy, Debug)]
struct HouseTrade {
    maker: Party,
    taker: Party,
    qty: u32,
    price: u32,
    maker_shown: Option<OnFeed>,
}

impl Matcher<'_> {
    /// The house takes what the book did not, at the order's own limit.
    pub(super) fn sell_out(&mut self, slot: u32, sink: &mut impl FnMut(Event)) {
        let order = *self.orders.at(slot);
        self.orders.at_mut(slot).open = 0;
        let house = Party {
            owner: HOUSE,
            number: 0,
            side: order.side.opposite(),
            open: 0,
            liquidity: liquidity::ADDED_HIDDEN,
        };
        let taker = Party {
            liquidity: liquidity::REMOVED,
            ..house_of(&order, 0)
        };
        let trade = HouseTrade {
            maker: house,
            taker,
            qty: order.open,
            price: self.house_price(&order),
            maker_shown: None,
        };
        self.tell_house_trade(trade, sink);
    }

    /// The house takes shares of a resting order; at most what is shown of a reserve.
    pub(super) fn sell_to_house(&mut self, slot: u32, qty: u32, sink: &mut impl FnMut(Event)) {
        let order = *self.orders.at(slot);
        let is_shown = order.place == Place::Shown;
        let qty = qty.min(if is_shown { order.shown } else { order.open });
        if qty == 0 {
            return;
        }
        let shown = self.lessen(slot, qty);
        let adds = liquidity::of(order.place == Place::Peg, false, is_shown).0;
        let maker = Party {
            liquidity: adds,
            ..house_of(&order, order.open - qty)
        };
        let house = Party {
            owner: HOUSE,
            number: 0,
            side: order.side.opposite(),
            open: 0,
            liquidity: liquidity::REMOVED,
        };
        let trade = HouseTrade {
            maker,
            taker: house,
            qty,
            price: self.house_price(&order),
            maker_shown: shown,
        };
        self.tell_house_trade(trade, sink);
        self.tidy(slot, sink);
    }

    /// The house trades at an order's limit; without one at the last price, or what bands are measured from.
    fn house_price(&self, order: &Order) -> u32 {
        let is_any = matches!(order.price, BUY_ANY | SELL_ANY);
        match self.stock.last_price {
            _ if !is_any => order.price,
            0 => self.stock.reference_price,
            last => last,
        }
    }

    fn tell_house_trade(&mut self, trade: HouseTrade, sink: &mut impl FnMut(Event)) {
        let HouseTrade {
            maker,
            taker,
            qty,
            price,
            maker_shown,
        } = trade;
        let locate = self.stock.locate;
        self.stock.last_price = price;
        sink(Event::Traded(Trade {
            locate,
            match_number: self.numbers.next_match(Match {
                locate,
                qty,
                price,
                owners: [maker.owner, taker.owner],
                side: maker.side,
            }),
            qty,
            price,
            maker,
            taker,
            maker_shown,
            taker_shown: None,
            cross: None,
        }));
    }
}

/// The party of an order that trades with the house.
fn house_of(order: &Order, open: u32) -> Party {
    Party {
        owner: order.owner(),
        number: order.number,
        side: order.side,
        open,
        liquidity: 0,
    }
}
