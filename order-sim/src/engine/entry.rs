//! What an order must pass before it is worked: room, rules of the stock, its price.

use protocol::types::Side;

use super::event::{Event, OnFeed};
use super::levels::{NIL, Place};
use super::matcher::Matcher;
use super::order::Order;
use super::types::{CrossKind, State, TimeInForce};
use super::{BUY_ANY, Change, NewOrder, Refusal, SELL_ANY};

/// A limit as a price: any price is the best for the other side.
fn price_of(side: Side, limit: Option<u32>) -> u32 {
    limit.unwrap_or(match side {
        Side::Buy => BUY_ANY,
        Side::Sell => SELL_ANY,
    })
}

/// Best bid and best ask that the feed shows.
type Best = (Option<u32>, Option<u32>);

impl Matcher<'_> {
    /// The order as it begins; its number is given when it is taken in.
    #[inline]
    pub(super) fn order_of(&self, new: &NewOrder) -> Order {
        let number = self.numbers.order + 1;
        let is_shown = new.terms.is_shown && !new.terms.is_midpoint && new.cross.is_none();
        Order {
            number,
            reference: number,
            user_ref: new.owner.user_ref,
            account: new.owner.account,
            level: NIL,
            price: price_of(new.side, new.terms.limit),
            open: new.qty,
            shown: if is_shown { new.qty } else { 0 },
            display_qty: new.terms.display_qty,
            min_qty: new.terms.min_qty,
            next: NIL,
            prev: NIL,
            locate: new.locate,
            group: new.prevention.0,
            side: new.side,
            place: if new.terms.is_midpoint {
                Place::Peg
            } else {
                Place::Hand
            },
            prevention: new.prevention.1,
            cross: new.cross,
            span: new.terms.life.span(),
            is_named: new.attribution != [0; 4],
        }
    }

    /// Takes an order in hand and says so; its slot. The caller has asked for room.
    #[inline]
    pub(super) fn take_in(
        &mut self,
        order: Order,
        new: &NewOrder,
        sink: &mut impl FnMut(Event),
    ) -> u32 {
        let slot = self.orders.insert(order, new.terms.life, new.attribution);
        let (number, owner) = (order.number, order.owner());
        self.numbers.order = number;
        sink(Event::Accepted {
            handle: self.orders.handle(slot),
            number,
            owner,
            price: order.price,
        });
        slot
    }

    /// Whether the stock takes its kind now.
    #[inline]
    pub(super) fn is_open_for(&self, order: &Order) -> Result<(), Refusal> {
        let state = self.stock.state;
        if state == State::Halted {
            return Err(Refusal::Halted);
        }
        if order.place == Place::Peg && state != State::Trading {
            return Err(Refusal::Pegging);
        }
        let is_held = match order.cross {
            None | Some(CrossKind::Close) => true,
            Some(CrossKind::Open) => state == State::Quoting,
            Some(CrossKind::Halt) => state != State::Trading,
        };
        if is_held { Ok(()) } else { Err(Refusal::Cross) }
    }

    /// Whether there is room for it.
    #[inline]
    pub(super) fn room_for(&self, order: &Order) -> Result<(), Refusal> {
        let is_cross = order.cross.is_some();
        let ladders = if is_cross {
            &self.stock.crosses
        } else {
            &self.stock.ladders
        };
        let ladder = ladders.of(order.side);
        let is_full = ladder.is_full() && !ladder.has(order.price);
        if self.orders.is_full() || is_full {
            Err(Refusal::Full)
        } else {
            Ok(())
        }
    }

    /// Rule 201: not at or below the best bid.
    pub(super) fn short_sale(&self, new: &NewOrder, price: u32) -> Result<(), Refusal> {
        let (bid, _) = self.stock.best(self.orders);
        let hits = bid.is_some_and(|bid| price <= bid);
        if hits && !new.terms.is_midpoint {
            Err(Refusal::ShortSale)
        } else {
            Ok(())
        }
    }

    #[inline]
    pub(super) fn best_if_pegs(&self) -> Option<Best> {
        self.stock.has_pegs().then(|| self.best())
    }

    // Few stocks have pegs: what they need stays out of the others' way.
    #[inline(never)]
    fn best(&self) -> Best {
        self.stock.best(self.orders)
    }

    /// After an operation: pegs follow the midpoint if it moved.
    #[inline]
    pub(super) fn settle(&mut self, before: Option<Best>, sink: &mut impl FnMut(Event)) {
        if let Some(before) = before {
            self.follow(before, sink);
        }
    }

    /// Pegs follow the midpoint if it moved.
    #[inline(never)]
    fn follow(&mut self, before: Best, sink: &mut impl FnMut(Event)) {
        if self.stock.state == State::Trading && before != self.best() {
            self.repeg(sink);
        }
    }

    /// The order that a replacement asks for.
    pub(super) fn changed(&self, old: &Order, change: &Change) -> Order {
        let number = self.numbers.order + 1;
        let is_shown = change.terms.is_shown && !change.terms.is_midpoint && old.cross.is_none();
        let is_midpoint = change.terms.is_midpoint && old.cross.is_none();
        Order {
            number,
            reference: number,
            user_ref: change.user_ref,
            price: price_of(old.side, change.terms.limit),
            open: change.open,
            shown: if is_shown { change.open } else { 0 },
            display_qty: change.terms.display_qty,
            min_qty: change.terms.min_qty,
            place: if is_midpoint { Place::Peg } else { Place::Hand },
            span: change.terms.life.span(),
            ..*old
        }
    }

    pub(super) fn keeps_its_place(&self, slot: u32, order: &Order, change: &Change) -> bool {
        let old = self.orders.at(slot);
        let is_peg = old.place == Place::Peg;
        old.price == order.price
            && change.open <= old.open
            && self.orders.life(slot) == change.terms.life
            && change.terms.life != TimeInForce::Immediate
            && (old.place == Place::Shown) == (order.shown > 0)
            && is_peg == change.terms.is_midpoint
            && old.display_qty == change.terms.display_qty
            && old.min_qty == change.terms.min_qty
            && !change.terms.house
    }

    pub(super) fn replace_in_place(
        &mut self,
        slot: u32,
        change: &Change,
        sink: &mut impl FnMut(Event),
    ) {
        let old_user_ref = self.orders.at(slot).user_ref;
        let (_, shown): (u32, Option<OnFeed>) = self.reduce(slot, change.open);
        let handle = self.orders.handle(slot);
        let order = self.orders.at_mut(slot);
        order.user_ref = change.user_ref;
        let order = *order;
        sink(Event::Replaced {
            handle,
            number: order.number,
            owner: order.owner(),
            old_user_ref,
            locate: order.locate,
            open: order.open,
            price: order.price,
            shown,
        });
    }
}
