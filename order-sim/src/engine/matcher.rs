//! One stock while it is worked on: orders meet. (How they rest and go is in `resting`, how the house trades in
//! `house`, crosses in `cross`.)
//!
//! Priority:    price; at one price what is shown, then what is hidden, each first come first. A
//!              reserve's next shares go behind what is shown. Midpoint pegs trade at the midpoint of
//!              the prices shown, behind hidden orders at that price; a hidden order or a peg with a
//!              least quantity is passed over by what is smaller.
//! Invariants:  the state has changed before its event is told. Shown prices never cross while the stock
//!              trades. No allocation.

use protocol::types::Side;

use super::event::{Event, Party, Trade};
use super::ladder::key_of;
use super::levels::{NIL, Place};
use super::numbers::{Match, Numbers};
use super::order::{Order, Slab, Span};
use super::request::{PostOnly, cancel_reason, liquidity};
use super::stock::{Stock, tick_of};
use super::types::{Prevention, State};

pub(super) struct Matcher<'a> {
    pub orders: &'a mut Slab,
    pub stock: &'a mut Stock,
    pub numbers: &'a mut Numbers,
}

/// What is special about an order on its way in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EntryOptions {
    /// What the book does not take, the house takes at the order's limit.
    pub house: bool,
    /// The shown order whose place it takes.
    pub old_reference: Option<u64>,
}

/// Slots of two orders that meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The order that was there; in a cross the buyer.
    pub maker: u32,
    /// The order that came; in a cross the seller.
    pub taker: u32,
}

/// Why matching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Nobody left to meet, or nothing left.
    Nobody,
    /// The next price lies outside the bands.
    Band,
}

impl Matcher<'_> {
    /// Matches an order in hand, then lets the rest wait or go. `StopReason::Band`: the stock must pause.
    pub(super) fn work(
        &mut self,
        slot: u32,
        mut options: EntryOptions,
        sink: &mut impl FnMut(Event),
    ) -> StopReason {
        let mut stop = StopReason::Nobody;
        let is_trading = self.stock.state == State::Trading;
        if is_trading && self.orders.at(slot).cross.is_none() {
            if let Some(old) = options.old_reference
                && (self.orders.at(slot).shown == 0 || self.would_trade(slot))
            {
                options.old_reference = None;
                sink(Event::Withdrawn {
                    locate: self.stock.locate,
                    reference: old,
                });
            }
            stop = self.take(slot, sink);
            if options.house && self.orders.at(slot).open > 0 {
                self.sell_out(slot, sink);
            }
        }
        if self.orders.at(slot).open == 0 {
            self.orders.remove(slot);
        } else if self.orders.at(slot).span == Span::Immediate {
            let is_band = stop == StopReason::Band;
            let reason = if is_band {
                cancel_reason::COLLAR
            } else {
                cancel_reason::IOC
            };
            self.drop_rest(slot, reason, sink);
        } else {
            self.rest(slot, options.old_reference, sink);
        }
        stop
    }

    /// The price of a post-only order that does not trade: its own, the next one that does not, or
    /// none (and then the reason of its end).
    #[inline]
    pub(super) fn post_only_price(&self, order: &Order, rule: PostOnly) -> Result<u32, u8> {
        if rule == PostOnly::No {
            return Ok(order.price);
        }
        self.slid(order, rule)
    }

    /// As [`Matcher::post_only_price`], of an order that asked for it.
    fn slid(&self, order: &Order, rule: PostOnly) -> Result<u32, u8> {
        let may_trade = order.cross.is_none() && self.stock.state == State::Trading;
        if !may_trade || order.place == Place::Peg {
            return Ok(order.price);
        }
        let Some((maker, price)) = self.maker(order, order.price) else {
            return Ok(order.price);
        };
        let is_shown = self.orders.at(maker).place == Place::Shown;
        let reason = if is_shown {
            cancel_reason::POST_ONLY_SHOWN
        } else {
            cancel_reason::POST_ONLY
        };
        if rule == PostOnly::Cancel {
            return Err(reason);
        }
        let tick = tick_of(price);
        let slid = match order.side {
            Side::Buy => price.saturating_sub(1) / tick * tick,
            Side::Sell => (price / tick + 1) * tick,
        };
        if slid == 0 { Err(reason) } else { Ok(slid) }
    }

    fn would_trade(&self, slot: u32) -> bool {
        let order = self.orders.at(slot);
        self.limit_now(order)
            .is_some_and(|limit| self.maker(order, limit).is_some())
    }

    /// Trades while there is somebody to meet.
    #[inline]
    fn take(&mut self, slot: u32, sink: &mut impl FnMut(Event)) -> StopReason {
        // Most orders come to rest.
        let taker = self.orders.at(slot);
        if self.is_near(taker.side.opposite(), taker.price) {
            self.take_all(slot, sink)
        } else {
            StopReason::Nobody
        }
    }

    /// Whether a side has anybody at this price or better, or pegs that may be.
    #[inline]
    fn is_near(&self, side: Side, price: u32) -> bool {
        let best = self.stock.ladders.of(side).best_key();
        best.is_some_and(|best| best >= key_of(side, price)) || !self.stock.pegs.of(side).is_empty()
    }

    #[inline(never)]
    fn take_all(&mut self, slot: u32, sink: &mut impl FnMut(Event)) -> StopReason {
        let min_qty = self.orders.at(slot).min_qty;
        if min_qty > 0 && !self.reaches(slot, min_qty) {
            return StopReason::Nobody;
        }
        loop {
            let taker = self.orders.at(slot);
            if taker.open == 0 {
                return StopReason::Nobody;
            }
            let Some(limit) = self.limit_now(taker) else {
                return StopReason::Nobody;
            };
            let Some((maker, price)) = self.maker(taker, limit) else {
                return StopReason::Nobody;
            };
            if price < self.stock.lower || price > self.stock.upper {
                return StopReason::Band;
            }
            let group = self.orders.at(maker).group;
            let is_prevented = group != 0 && group == taker.group;
            let pair = Pair { maker, taker: slot };
            if is_prevented {
                self.prevent(pair, price, sink);
            } else {
                self.trade(pair, price, sink);
            }
        }
    }

    /// How far an order goes: a peg as far as the midpoint, if there is one within its limit.
    #[inline]
    fn limit_now(&self, order: &Order) -> Option<u32> {
        if order.place != Place::Peg {
            return Some(order.price);
        }
        let midpoint = self.stock.midpoint(self.orders)?;
        (key_of(order.side, order.price) >= key_of(order.side, midpoint)).then_some(midpoint)
    }

    /// Whom an order meets next, and at which price.
    fn maker(&self, taker: &Order, limit: u32) -> Option<(u32, u32)> {
        let side = taker.side.opposite();
        if !self.is_near(side, limit) {
            return None;
        }
        let worst = key_of(side, limit);
        let ladder = self.stock.ladders.of(side);
        let pegs = self.stock.pegs.of(side);
        let found = ladder
            .best_first(self.orders)
            .take_while(|level| level.key >= worst)
            .find_map(|level| {
                let shown = level.shown.head;
                let slot = if shown == NIL {
                    level
                        .hidden
                        .iter(self.orders)
                        .find(|slot| self.is_met(*slot, taker))?
                } else {
                    shown
                };
                Some((slot, ladder.price_of(level.key)))
            });
        if pegs.is_empty() {
            return found;
        }
        let Some(midpoint) = self.stock.midpoint(self.orders) else {
            return found;
        };
        let key = key_of(side, midpoint);
        if key < worst || found.is_some_and(|(_, price)| key_of(side, price) >= key) {
            return found;
        }
        let peg = pegs.iter(self.orders).find(|slot| {
            key_of(side, self.orders.at(*slot).price) >= key && self.is_met(*slot, taker)
        });
        peg.map(|slot| (slot, midpoint)).or(found)
    }

    /// Whether an unseen order takes so small a counterparty.
    fn is_met(&self, maker: u32, taker: &Order) -> bool {
        let maker = self.orders.at(maker);
        taker.open >= maker.min_qty.min(maker.open)
    }

    /// Whether an order could trade this many shares at once.
    fn reaches(&self, slot: u32, wanted: u32) -> bool {
        let taker = self.orders.at(slot);
        let Some(limit) = self.limit_now(taker) else {
            return false;
        };
        let side = taker.side.opposite();
        let (ladder, worst) = (self.stock.ladders.of(side), key_of(side, limit));
        let levels = ladder
            .best_first(self.orders)
            .take_while(|level| level.key >= worst);
        let slots = levels.flat_map(|level| {
            let hidden = level
                .hidden
                .iter(self.orders)
                .filter(|slot| self.is_met(*slot, taker));
            level.shown.iter(self.orders).chain(hidden)
        });
        let midpoint = self
            .stock
            .midpoint(self.orders)
            .filter(|price| key_of(side, *price) >= worst);
        let pegs = self.stock.pegs.of(side).iter(self.orders).filter(|slot| {
            let cap = key_of(side, self.orders.at(*slot).price);
            midpoint.is_some_and(|price| cap >= key_of(side, price)) && self.is_met(*slot, taker)
        });
        let mut reached = 0_u32;
        slots.chain(pegs).any(|slot| {
            reached = reached.saturating_add(self.orders.at(slot).open);
            reached >= wanted
        })
    }

    fn trade(&mut self, pair: Pair, price: u32, sink: &mut impl FnMut(Event)) {
        let Pair { maker, taker } = pair;
        let (m, t) = (*self.orders.at(maker), *self.orders.at(taker));
        let is_shown = m.place == Place::Shown;
        let qty = t.open.min(if is_shown { m.shown } else { m.open });
        let maker_shown = self.lessen(maker, qty);
        self.orders.at_mut(taker).open -= qty;
        self.stock.last_price = price;
        let (adds, removes) = liquidity::of(m.place == Place::Peg, t.place == Place::Peg, is_shown);
        let party = |order: &Order, liquidity| Party {
            owner: order.owner(),
            number: order.number,
            side: order.side,
            open: order.open - qty,
            liquidity,
        };
        sink(Event::Traded(Trade {
            locate: self.stock.locate,
            match_number: self.numbers.next_match(Match {
                locate: self.stock.locate,
                qty,
                price,
                owners: [m.owner(), t.owner()],
                side: m.side,
            }),
            qty,
            price,
            maker: party(&m, adds),
            taker: party(&t, removes),
            maker_shown,
            taker_shown: None,
            cross: None,
        }));
        self.tidy(maker, sink);
    }

    /// Keeps two orders of one group from trading, by the rule of the one that comes.
    fn prevent(&mut self, pair: Pair, price: u32, sink: &mut impl FnMut(Event)) {
        let Pair { maker, taker } = pair;
        let (m, t) = (*self.orders.at(maker), *self.orders.at(taker));
        let available = if m.place == Place::Shown {
            m.shown
        } else {
            m.open
        };
        let prevented = t.open.min(available);
        let rule = t.prevention;
        let told = |order: &Order, qty, shown| Event::Prevented {
            canceled: order.canceled(qty, cancel_reason::SELF_MATCH, shown),
            prevented,
            price,
            rule,
        };
        if rule != Prevention::CancelNewest {
            let keep = if rule == Prevention::Decrement {
                m.open - prevented
            } else {
                0
            };
            // Decrementing takes what is shown first, as a trade would.
            let shown = if keep == 0 {
                self.reduce(maker, 0).1
            } else {
                self.lessen(maker, prevented)
            };
            sink(told(&m, m.open - keep, shown));
            self.tidy(maker, sink);
        }
        if rule != Prevention::CancelOldest {
            let off = if rule == Prevention::Decrement {
                prevented
            } else {
                t.open
            };
            self.orders.at_mut(taker).open -= off;
            sink(told(&t, off, None));
        }
    }

    /// After the midpoint has moved: pegs that can trade now do, buyers first, each side in its order.
    pub(super) fn repeg(&mut self, sink: &mut impl FnMut(Event)) {
        for side in [Side::Buy, Side::Sell] {
            let mut slot = self.stock.pegs.of(side).head;
            while slot != NIL {
                // Bands were looked at when orders came; a midpoint between shown prices is within.
                let _ = self.take(slot, sink);
                let next = self.orders.at(slot).next;
                if self.orders.at(slot).open == 0 {
                    self.unlink(slot);
                    self.orders.remove(slot);
                }
                slot = next;
            }
        }
    }
}
