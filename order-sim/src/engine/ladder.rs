//! One side of one stock: prices with their queues, best price last.
//!
//! ```text
//!  levels   worst ........ best        a level    shown   head <-> .. <-> tail
//!  keys     rising, best is largest               hidden  head <-> .. <-> tail
//! ```
//!
//! A key is the price for buyers and its complement for sellers, so that "better" is "larger" on both
//! sides. Most orders come near the best price: the search begins there.
//!
//! Invariants:  keys strictly rise; a level has at least one order; queues are linked through the
//!              orders themselves.
//! When full:   [`Ladder::is_full`] is asked before an order is linked at a new price.

use protocol::types::Side;

use super::order::{NIL, Place, Slab};

/// Steps from the best price before the search halves: most orders are within them.
const NEAR: usize = 6;

/// First come, first served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub head: u32,
    pub tail: u32,
}

impl Queue {
    pub(super) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
    };

    pub(super) fn is_empty(self) -> bool {
        self.head == NIL
    }

    pub(super) fn push(&mut self, orders: &mut Slab, slot: u32) {
        let tail = self.tail;
        let order = orders.at_mut(slot);
        order.next = NIL;
        order.prev = tail;
        if tail == NIL {
            self.head = slot;
        } else {
            orders.at_mut(tail).next = slot;
        }
        self.tail = slot;
    }

    pub(super) fn remove(&mut self, orders: &mut Slab, slot: u32) {
        let (next, prev) = (orders.at(slot).next, orders.at(slot).prev);
        if prev == NIL {
            debug_assert_eq!(self.head, slot, "first of its queue");
            self.head = next;
        } else {
            orders.at_mut(prev).next = next;
        }
        if next == NIL {
            self.tail = prev;
        } else {
            orders.at_mut(next).prev = prev;
        }
    }

    pub(super) fn iter(self, orders: &Slab) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(some(self.head), move |slot| some(orders.at(*slot).next))
    }
}

/// One price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub key: u32,
    pub shown: Queue,
    pub hidden: Queue,
}

impl Level {
    fn queue(&mut self, place: Place) -> &mut Queue {
        if place == Place::Shown {
            &mut self.shown
        } else {
            &mut self.hidden
        }
    }

    /// Its orders in the order in which they trade.
    pub(super) fn slots<'a>(&self, orders: &'a Slab) -> impl Iterator<Item = u32> + use<'a> {
        self.shown.iter(orders).chain(self.hidden.iter(orders))
    }

    fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.hidden.is_empty()
    }
}

/// All prices of one side.
#[derive(Debug)]
pub(super) struct Ladder {
    levels: Vec<Level>,
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
            levels: Vec::with_capacity(max),
            side,
            max,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.levels.len() >= self.max
    }

    /// The price of a key.
    #[inline]
    pub(super) fn price_of(&self, level: &Level) -> u32 {
        key_of(self.side, level.key)
    }

    /// Levels from the best price on.
    pub(super) fn best_first(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().rev()
    }

    #[inline]
    pub(super) fn best(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// The best price that the feed shows.
    #[inline]
    pub(super) fn best_shown(&self) -> Option<u32> {
        let level = self.best_first().find(|level| !level.shown.is_empty())?;
        Some(self.price_of(level))
    }

    /// Puts an order at the end of the queue of its price and place.
    pub(super) fn push(&mut self, orders: &mut Slab, slot: u32) {
        let (price, place) = (orders.at(slot).price, orders.at(slot).place);
        let key = key_of(self.side, price);
        let at = match self.search(key) {
            Ok(at) => at,
            Err(at) => {
                debug_assert!(!self.is_full(), "asked before");
                let level = Level {
                    key,
                    shown: Queue::EMPTY,
                    hidden: Queue::EMPTY,
                };
                self.levels.insert(at, level);
                at
            }
        };
        if let Some(level) = self.levels.get_mut(at) {
            level.queue(place).push(orders, slot);
        }
    }

    /// Takes an order out of its queue, and its price away when nobody is left.
    pub(super) fn remove(&mut self, orders: &mut Slab, slot: u32) {
        let order = *orders.at(slot);
        // In the middle of a queue the level does not change.
        if order.prev != NIL && order.next != NIL {
            let mut untouched = Queue::EMPTY;
            return untouched.remove(orders, slot);
        }
        let found = self.search(key_of(self.side, order.price));
        debug_assert!(found.is_ok(), "an order stands at its price");
        if let Ok(at) = found
            && let Some(level) = self.levels.get_mut(at)
        {
            level.queue(order.place).remove(orders, slot);
            if level.is_empty() {
                self.levels.remove(at);
            }
        }
    }

    /// Whether this price has a level already.
    pub(super) fn has(&self, price: u32) -> bool {
        self.search(key_of(self.side, price)).is_ok()
    }

    fn search(&self, key: u32) -> Result<usize, usize> {
        let len = self.levels.len();
        for (steps, level) in self.levels.iter().rev().take(NEAR).enumerate() {
            if level.key == key {
                return Ok(len - 1 - steps);
            }
            if level.key < key {
                return Err(len - steps);
            }
        }
        let rest = self
            .levels
            .get(..len.saturating_sub(NEAR))
            .unwrap_or_default();
        rest.binary_search_by_key(&key, |level| level.key)
    }
}
