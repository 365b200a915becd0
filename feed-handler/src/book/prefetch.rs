//! Prefetches what a message will touch, before it is its turn.
//!
//! Thread:      feed core, hot
//! Invariants:  nothing is changed, and nothing branches on what is found: a glimpse that names what is not there, or a
//!              message that touches something else than its first bytes say, costs time and nothing more.

use rt::mem::prefetch;

use super::Books;

/// What the first bytes of a message say that it touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// Its symbol.
    pub locate: u16,
    /// Its order; any number, where it is about none.
    pub reference: u64,
}

/// Where what a message touches is to be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    slot: usize,
    locate: u16,
}

impl Books {
    /// The first step: the slot where the order is looked up, and the symbol's book.
    #[inline]
    #[must_use]
    pub fn prefetch_slot(&self, glimpse: Glimpse) -> Target {
        let target = Target {
            slot: self.orders.home(glimpse.reference),
            locate: glimpse.locate,
        };
        prefetch(self.orders.address(target.slot));
        prefetch(self.books.as_ptr().wrapping_add(usize::from(target.locate)));
        target
    }

    /// The second: the order, and the best prices of the book's ladders.
    #[inline]
    pub fn prefetch_order(&self, target: Target) {
        prefetch(self.orders.place(self.orders.handle_in(target.slot)));
        let [bids, asks] = &self.books[usize::from(target.locate)].ladders;
        prefetch(self.ladders.end(bids));
        prefetch(self.ladders.end(asks));
    }

    /// The third: the order's level, and its neighbours in the queue.
    #[inline]
    pub fn prefetch_level(&self, target: Target) {
        let order = &self.orders[self.orders.handle_in(target.slot)];
        prefetch(self.levels.place(order.level));
        prefetch(self.orders.place(order.prev));
        prefetch(self.orders.place(order.next));
    }
}
