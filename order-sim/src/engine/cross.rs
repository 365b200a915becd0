//! Opening, closing and halt crosses: one price for everybody.
//!
//! The price is the one at which most shares trade; of several the one with the smallest imbalance, then
//! the nearest to the reference price, then the lowest. Every order of the book takes part with all it
//! has, beside the orders for this cross alone; midpoint pegs do not. Priority is that of the book, market
//! orders first, the book's orders before those for the cross at one price.

use protocol::types::Side;

use super::event::{Event, Imbalance, Party, Trade};
use super::ladder::{BUY_ANY, Ladder, SELL_ANY, key_of};
use super::matcher::{Matcher, Pair};
use super::numbers::Match;
use super::order::Order;
use super::request::{cancel_reason, liquidity};
use super::stock::Stock;
use super::types::{CrossKind, State};

/// Shares that want to trade at one price and better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    price: u32,
    buy: u64,
    sell: u64,
}

/// Price, shares that trade at it, shares left over, and on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clearing {
    price: u32,
    paired: u64,
    imbalance: u64,
    side: Option<Side>,
}

impl Matcher<'_> {
    /// Holds a cross and lets the stock trade.
    pub(super) fn cross(
        &mut self,
        kind: CrossKind,
        scratch: &mut Vec<Interest>,
        sink: &mut impl FnMut(Event),
    ) {
        let clearing = self
            .clearing(kind, true, scratch)
            .filter(|clearing| clearing.paired > 0);
        let mut shares = 0;
        if let Some(Clearing { price, .. }) = clearing {
            while let Some(pair) = self.next_pair(kind, price) {
                shares += u64::from(self.trade_in_cross(pair, price, kind, sink));
            }
            self.stock.last_price = price;
            self.stock.set_reference(price);
        }
        let (locate, price) = (
            self.stock.locate,
            clearing.map_or(0, |clearing| clearing.price),
        );
        let match_number = self.numbers.next_match(Match {
            locate,
            qty: 0,
            price,
            owners: [super::HOUSE; 2],
            side: Side::Buy,
        });
        sink(Event::Crossed {
            locate,
            kind,
            shares,
            price,
            match_number,
        });
        self.end_cross_orders(kind, sink);
        if self.stock.state != State::Trading {
            self.stock.state = State::Trading;
            self.stock.resumes_ns = 0;
            let symbol = self.stock.symbol;
            sink(Event::State {
                locate,
                symbol,
                state: State::Trading,
                reason: *b"    ",
            });
        }
    }

    /// What a cross would do now.
    pub(super) fn imbalance(&self, kind: CrossKind, scratch: &mut Vec<Interest>) -> Imbalance {
        let near = self.clearing(kind, true, scratch);
        let far = self
            .clearing(kind, false, scratch)
            .filter(|far| far.paired > 0);
        let near_price = near
            .filter(|near| near.paired > 0)
            .map_or(0, |near| near.price);
        Imbalance {
            paired: near.map_or(0, |near| near.paired),
            imbalance: near.map_or(0, |near| near.imbalance),
            side: near.and_then(|near| near.side),
            near: near_price,
            far: far.map_or(0, |far| far.price),
            reference: self.stock.reference_price,
        }
    }

    /// The best price by the rule of the header; `None` when there is nobody.
    fn clearing(
        &self,
        kind: CrossKind,
        with_book: bool,
        scratch: &mut Vec<Interest>,
    ) -> Option<Clearing> {
        scratch.clear();
        let Stock {
            ladders,
            crosses,
            reference_price,
            ..
        } = &*self.stock;
        let mut gather = |ladder: &Ladder, side, is_book: bool| {
            for level in ladder.best_first(self.orders) {
                let slots = level.slots(self.orders);
                let orders = slots.map(|slot| self.orders.at(slot));
                let meant = orders.filter(|order| is_book || order.cross == Some(kind));
                let shares: u64 = meant.map(|order| u64::from(order.open)).sum();
                // Where only orders for another cross stand is no price of this one.
                if shares == 0 {
                    continue;
                }
                let (buy, sell) = if side == Side::Buy {
                    (shares, 0)
                } else {
                    (0, shares)
                };
                scratch.push(Interest {
                    price: ladder.price_of(level.key),
                    buy,
                    sell,
                });
            }
        };
        for side in [Side::Buy, Side::Sell] {
            gather(crosses.of(side), side, false);
            if with_book {
                gather(ladders.of(side), side, true);
            }
        }
        scratch.push(Interest {
            price: *reference_price,
            buy: 0,
            sell: 0,
        });
        scratch.sort_unstable_by_key(|interest| interest.price);
        best_of(scratch, *reference_price)
    }

    /// The first buyer and the first seller that trade at this price.
    fn next_pair(&self, kind: CrossKind, price: u32) -> Option<Pair> {
        let first = |side| {
            let worst = key_of(side, price);
            let best = self.stock.ladders.of(side).best_first(self.orders).next();
            let from_book =
                best.and_then(|level| Some((level.key, level.slots(self.orders).next()?)));
            let from_cross = self
                .stock
                .crosses
                .of(side)
                .best_first(self.orders)
                .find_map(|level| {
                    let mut slots = level.hidden.iter(self.orders);
                    let slot = slots.find(|slot| self.orders.at(*slot).cross == Some(kind))?;
                    Some((level.key, slot))
                });
            let (key, slot) = match (from_book, from_cross) {
                (Some(book), Some(cross)) if cross.0 > book.0 => cross,
                (Some(book), _) => book,
                (None, cross) => cross?,
            };
            (key >= worst).then_some(slot)
        };
        Some(Pair {
            maker: first(Side::Buy)?,
            taker: first(Side::Sell)?,
        })
    }

    fn trade_in_cross(
        &mut self,
        pair: Pair,
        price: u32,
        kind: CrossKind,
        sink: &mut impl FnMut(Event),
    ) -> u32 {
        let (buyer, seller) = (pair.maker, pair.taker);
        let (b, s) = (*self.orders.at(buyer), *self.orders.at(seller));
        let qty = b.open.min(s.open);
        let (maker_shown, taker_shown) = (self.lessen(buyer, qty), self.lessen(seller, qty));
        let party = |order: &Order| Party {
            owner: order.owner(),
            number: order.number,
            side: order.side,
            open: order.open - qty,
            liquidity: liquidity::in_cross(kind),
        };
        let locate = self.stock.locate;
        sink(Event::Traded(Trade {
            locate,
            match_number: self.numbers.next_match(Match {
                locate,
                qty,
                price,
                owners: [b.owner(), s.owner()],
                side: b.side,
            }),
            qty,
            price,
            maker: party(&b),
            taker: party(&s),
            maker_shown,
            taker_shown,
            cross: Some(kind),
        }));
        self.tidy(buyer, sink);
        self.tidy(seller, sink);
        qty
    }

    /// What was for this cross alone and did not trade.
    fn end_cross_orders(&mut self, kind: CrossKind, sink: &mut impl FnMut(Event)) {
        for side in [Side::Buy, Side::Sell] {
            while let Some(slot) = self.first_of_cross(side, kind) {
                self.pick_up(slot);
                self.drop_rest(slot, cancel_reason::CROSS, sink);
            }
        }
    }

    fn first_of_cross(&self, side: Side, kind: CrossKind) -> Option<u32> {
        let levels = self.stock.crosses.of(side).best_first(self.orders);
        let mut slots = levels.flat_map(|level| level.hidden.iter(self.orders));
        slots.find(|slot| self.orders.at(*slot).cross == Some(kind))
    }
}

/// Looks at each price in rising order.
fn best_of(interests: &[Interest], reference: u32) -> Option<Clearing> {
    let mut demand: u64 = interests.iter().map(|interest| interest.buy).sum();
    let mut supply = 0;
    let mut best: Option<Clearing> = None;
    for group in interests.chunk_by(|a, b| a.price == b.price) {
        let price = group.first()?.price;
        supply += group.iter().map(|interest| interest.sell).sum::<u64>();
        let side = match demand.cmp(&supply) {
            std::cmp::Ordering::Greater => Some(Side::Buy),
            std::cmp::Ordering::Less => Some(Side::Sell),
            std::cmp::Ordering::Equal => None,
        };
        let clearing = Clearing {
            price,
            paired: demand.min(supply),
            imbalance: demand.abs_diff(supply),
            side,
        };
        // More paired, then less imbalance, then nearer, then lower (the first of equals).
        let rank = |c: &Clearing| {
            (
                u64::MAX - c.paired,
                c.imbalance,
                c.price.abs_diff(reference),
            )
        };
        let is_price = price != BUY_ANY && price != SELL_ANY;
        if is_price
            && best
                .as_ref()
                .is_none_or(|best| rank(&clearing) < rank(best))
        {
            best = Some(clearing);
        }
        demand -= group.iter().map(|interest| interest.buy).sum::<u64>();
    }
    best
}
