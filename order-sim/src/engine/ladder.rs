//! One side of one stock: prices with their queues, best price last.
//!
//! ```text
//!            far (sorted)        near (sorted)
//!  keys      worst ........ | ............ best       rising, best is largest
//!  levels      |                |            |        where in the slab
//!              v                v            v
//!  Levels    shown head <-> .. <-> tail, hidden head <-> .. <-> tail
//! ```
//!
//! A key is the price for buyers and its complement for sellers, so that "better" is "larger" on both
//! sides. Nearly all orders come near the best price: the best keys lie in the ladder itself, and how many
//! of them are worse is counted without a branch. The rest is searched by halves.
//!
//! Invariants:  keys strictly rise; near is empty only if far is, too; a level has at least one order;
//!              queues are linked through the orders themselves, and each of them knows its level.
//! When full:   [`Ladder::is_full`] is asked before an order is linked at a new price. The slab has a level
//!              for each order.

use protocol::types::Side;

use super::levels::{NIL, Queue, Queues};
use super::order::{Order, Slab};

/// The limit of a buyer at any price.
pub(super) const BUY_ANY: u32 = u32::MAX;
/// The limit of a seller at any price.
pub(super) const SELL_ANY: u32 = 0;

/// Prices from the best one on that lie in the ladder itself.
const NEAR: usize = 32;

/// One price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub key: u32,
    pub shown: Queue,
    pub hidden: Queue,
}

impl Level {
    /// Its orders in the order in which they trade.
    pub(super) fn slots<'a>(&self, orders: &'a Slab) -> impl Iterator<Item = u32> + use<'a> {
        self.shown.iter(orders).chain(self.hidden.iter(orders))
    }
}

/// A price, and where its queues are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    key: u32,
    level: u32,
}

/// The best prices.
#[derive(Debug)]
struct Near {
    /// Behind the last one stands [`Near::NONE`], which no key exceeds.
    keys: [u32; NEAR],
    levels: [u32; NEAR],
    len: usize,
}

impl Near {
    const NONE: u32 = u32::MAX;

    const EMPTY: Self = Self {
        keys: [Self::NONE; NEAR],
        levels: [NIL; NEAR],
        len: 0,
    };

    /// How many keys are worse: where this one is, or belongs.
    #[inline]
    fn worse_than(&self, key: u32) -> usize {
        let worse = self.keys.iter().map(|other| u32::from(*other < key));
        worse.sum::<u32>() as usize
    }

    /// The rung at this place.
    #[inline]
    fn at(&self, at: usize) -> Option<Rung> {
        let (keys, levels) = (self.keys.get(..self.len)?, &self.levels);
        let (key, level) = (*keys.get(at)?, *levels.get(at)?);
        Some(Rung { key, level })
    }

    fn rungs(&self) -> impl DoubleEndedIterator<Item = Rung> + '_ {
        let rungs = self.keys.iter().zip(&self.levels).take(self.len);
        rungs.map(|(key, level)| Rung {
            key: *key,
            level: *level,
        })
    }

    /// Puts a rung in its place, and gives the worst one if that finds no room.
    fn insert(&mut self, at: usize, rung: Rung) -> Option<Rung> {
        let is_full = self.len == NEAR;
        let (worst, at) = match (is_full, at) {
            (false, at) => (None, at),
            (true, 0) => return Some(rung),
            (true, at) => {
                let worst = self.at(0);
                self.remove(0);
                (worst, at - 1)
            }
        };
        self.keys.copy_within(at..self.len, at + 1);
        self.levels.copy_within(at..self.len, at + 1);
        self.set(at, rung);
        self.len += 1;
        worst
    }

    fn remove(&mut self, at: usize) {
        self.keys.copy_within(at + 1..self.len, at);
        self.levels.copy_within(at + 1..self.len, at);
        self.len -= 1;
        let none = Rung {
            key: Self::NONE,
            level: NIL,
        };
        self.set(self.len, none);
    }

    fn set(&mut self, at: usize, Rung { key, level }: Rung) {
        if let (Some(at_key), Some(at_level)) = (self.keys.get_mut(at), self.levels.get_mut(at)) {
            (*at_key, *at_level) = (key, level);
        }
    }
}

/// All prices of one side.
#[derive(Debug)]
pub(super) struct Ladder {
    near: Near,
    /// Worse than all of `near`.
    far: Vec<Rung>,
    side: Side,
    max: usize,
}

/// Larger is better.
#[inline]
pub(super) fn key_of(side: Side, price: u32) -> u32 {
    match side {
        Side::Buy => price,
        Side::Sell => !price,
    }
}

impl Ladder {
    pub(super) fn new(side: Side, max: usize) -> Self {
        Self {
            near: Near::EMPTY,
            far: Vec::with_capacity(max),
            side,
            max,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.near.len + self.far.len() >= self.max
    }

    /// The price of a key.
    #[inline]
    pub(super) fn price_of(&self, key: u32) -> u32 {
        key_of(self.side, key)
    }

    /// Levels from the best price on.
    pub(super) fn best_first<'a>(&'a self, orders: &'a Slab) -> impl Iterator<Item = Level> + 'a {
        let near = self.near.rungs().rev();
        near.chain(self.far.iter().rev().copied()).map(|rung| {
            let Queues { shown, hidden } = *orders.levels.at(rung.level);
            Level {
                key: rung.key,
                shown,
                hidden,
            }
        })
    }

    /// The best price's key.
    #[inline]
    pub(super) fn best_key(&self) -> Option<u32> {
        let rung = self.near.at(self.near.len.checked_sub(1)?)?;
        Some(rung.key)
    }

    /// The best price that the feed shows.
    #[inline]
    pub(super) fn best_shown(&self, orders: &Slab) -> Option<u32> {
        let mut levels = self.best_first(orders);
        let level = levels.find(|level| !level.shown.is_empty())?;
        Some(self.price_of(level.key))
    }

    /// Puts an order at the end of the queue of its price and place.
    #[inline]
    pub(super) fn push(&mut self, orders: &mut Slab, slot: u32) {
        let &Order { price, place, .. } = orders.at(slot);
        let key = key_of(self.side, price);
        let at = self.near.worse_than(key);
        let level = match self.near.at(at) {
            Some(rung) if rung.key == key => rung.level,
            _ => self.level_of(key, at, orders),
        };
        let tail = orders.levels.queue(level, place).append(slot);
        orders.link(slot, tail);
        orders.at_mut(slot).level = level;
    }

    /// The level of a key that is far, or begins now.
    #[inline(never)]
    fn level_of(&mut self, key: u32, at: usize, orders: &mut Slab) -> u32 {
        // Better than the worst of near, or all there is.
        let found = if at > 0 || self.far.is_empty() {
            Err(None)
        } else {
            match self.far.binary_search_by_key(&key, |rung| rung.key) {
                Ok(far) => Ok(self.far.get(far).map_or(NIL, |rung| rung.level)),
                Err(far) => Err(Some(far)),
            }
        };
        found.unwrap_or_else(|far| {
            debug_assert!(!self.is_full(), "asked before");
            let level = orders.levels.insert();
            let rung = Rung { key, level };
            match far {
                Some(far) => self.far.insert(far, rung),
                None => self.far.extend(self.near.insert(at, rung)),
            }
            level
        })
    }

    /// Takes an order out of its queue, and its price away when nobody is left.
    #[inline]
    pub(super) fn remove(&mut self, orders: &mut Slab, slot: u32) {
        let &Order {
            next,
            prev,
            level,
            place,
            price,
            ..
        } = orders.at(slot);
        orders.bypass(prev, next);
        // In the middle of a queue the level does not change.
        if prev != NIL && next != NIL {
            return;
        }
        let queue = orders.levels.queue(level, place);
        debug_assert!(prev != NIL || queue.head == slot, "first of its queue");
        queue.forget(prev, next);
        if orders.levels.is_empty(level) {
            orders.levels.remove(level);
            self.take_away(Rung {
                key: key_of(self.side, price),
                level,
            });
        }
    }

    #[inline(never)]
    fn take_away(&mut self, rung: Rung) {
        let at = self.near.worse_than(rung.key);
        if self.near.at(at) == Some(rung) {
            self.near.remove(at);
            if self.near.len == 0 {
                self.come_near();
            }
            return;
        }
        let found = self.far.binary_search_by_key(&rung.key, |rung| rung.key);
        debug_assert!(found.is_ok(), "an order stands at its price");
        if let Ok(at) = found {
            self.far.remove(at);
        }
    }

    /// What was far becomes near.
    fn come_near(&mut self) {
        let best = self.far.len().saturating_sub(NEAR / 2);
        for (at, rung) in self.far.drain(best..).enumerate() {
            self.near.set(at, rung);
            self.near.len += 1;
        }
    }

    /// Whether this price has a level already.
    pub(super) fn has(&self, price: u32) -> bool {
        let key = key_of(self.side, price);
        let near = self.near.at(self.near.worse_than(key));
        near.is_some_and(|rung| rung.key == key)
            || self.far.binary_search_by_key(&key, |rung| rung.key).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;
    use crate::engine::levels::Place;
    use crate::engine::order::Span;
    use crate::engine::types::{Prevention, TimeInForce};

    /// Best first: key, and what stands there.
    type Model = BTreeMap<u32, VecDeque<u32>>;

    fn check(ladder: &Ladder, orders: &Slab, model: &Model) {
        let said = ladder.best_first(orders);
        let said: Vec<_> = said
            .map(|level| (level.key, level.slots(orders).collect::<Vec<_>>()))
            .collect();
        let expected = model.iter().rev();
        let expected: Vec<_> = expected
            .map(|(key, slots)| (*key, slots.iter().copied().collect::<Vec<_>>()))
            .collect();
        assert_eq!(said, expected);
        assert_eq!(ladder.best_key(), expected.first().map(|best| best.0));
        assert_eq!(ladder.is_full(), model.len() == ladder.max);
        assert!(ladder.near.len > 0 || ladder.far.is_empty());
    }

    #[test]
    fn a_ladder_is_a_sorted_map_of_queues_however_far_its_prices_lie() {
        for (seed, prices) in [(1, 10), (2, 40), (3, 100), (4, 300), (5, 1000)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let side = if seed % 2 == 0 { Side::Buy } else { Side::Sell };
            let mut orders = Slab::new(400);
            let mut ladder = Ladder::new(side, 200);
            let mut model = Model::new();
            let template = order(side);
            // It fills, thins out from the best price, and fills again.
            for step in 0..6000 {
                let fills = (step / 500) % 2 == 0;
                if random.u8(0..100) < if fills { 70 } else { 20 } {
                    let price = 1 + random.u32(0..prices);
                    if orders.is_full() || ladder.is_full() && !ladder.has(price) {
                        continue;
                    }
                    let new = Order { price, ..template };
                    let slot = orders.insert(new, TimeInForce::Market, [0; 4]);
                    ladder.push(&mut orders, slot);
                    model
                        .entry(key_of(side, price))
                        .or_default()
                        .push_back(slot);
                } else if let Some(key) = some_key(&model, &mut random) {
                    let queue = model.get_mut(&key).unwrap();
                    let slot = queue.remove(random.usize(0..queue.len())).unwrap();
                    if queue.is_empty() {
                        model.remove(&key);
                    }
                    ladder.remove(&mut orders, slot);
                    orders.remove(slot);
                }
                check(&ladder, &orders, &model);
            }
        }
    }

    /// The best price mostly, or any.
    fn some_key(model: &Model, random: &mut fastrand::Rng) -> Option<u32> {
        let best = model.keys().next_back().copied();
        if random.bool() {
            return best;
        }
        model
            .keys()
            .copied()
            .nth(random.usize(0..model.len().max(1)))
    }

    fn order(side: Side) -> Order {
        Order {
            number: 1,
            reference: 1,
            user_ref: 1,
            price: 1,
            open: 100,
            shown: 100,
            display_qty: 0,
            min_qty: 0,
            next: NIL,
            prev: NIL,
            level: NIL,
            account: 1,
            locate: 1,
            group: 0,
            side,
            place: Place::Shown,
            prevention: Prevention::CancelNewest,
            cross: None,
            span: Span::Market,
            is_named: false,
        }
    }
}
