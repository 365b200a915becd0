//! Queues of orders by price, without the orders: where each begins and ends.
//!
//! Invariants:  a slot is free or belongs to one price of one side of one stock.
//! When full:   there is a level for each order, so one is always found.

use rt::mem::Reserve;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// Where an order waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is being matched.
    Hand,
    /// At a price, with shares shown.
    Shown,
    /// At a price, unseen.
    Hidden,
    /// With the midpoint pegs.
    Peg,
    /// For a cross only.
    Cross,
}

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

    /// A new end; gives the old one, behind which the slab links it.
    #[inline]
    pub(super) fn append(&mut self, slot: u32) -> u32 {
        let tail = std::mem::replace(&mut self.tail, slot);
        if tail == NIL {
            self.head = slot;
        }
        tail
    }

    /// Who stood between these goes: where that was an end, the other is one now.
    #[inline]
    pub(super) fn forget(&mut self, prev: u32, next: u32) {
        if prev == NIL {
            self.head = next;
        }
        if next == NIL {
            self.tail = prev;
        }
    }
}

/// The queues of one price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    pub shown: Queue,
    pub hidden: Queue,
}

/// Queues of every price of every stock, close together: they are what is touched most.
#[derive(Debug)]
pub(super) struct Levels {
    queues: Reserve<Queues>,
    /// The first free one; the next stands in its `shown.head`.
    free: u32,
}

impl Levels {
    pub(super) fn new(max: u32) -> Self {
        Self {
            queues: Reserve::new(max as usize),
            free: NIL,
        }
    }

    pub(super) fn insert(&mut self) -> u32 {
        let empty = Queues {
            shown: Queue::EMPTY,
            hidden: Queue::EMPTY,
        };
        let slot = self.free;
        if slot == NIL {
            let pushed = self.queues.push(empty);
            debug_assert!(pushed.is_ok(), "a level for each order");
            return u32::try_from(self.queues.len() - 1).unwrap_or(NIL);
        }
        let queues = self.at_mut(slot);
        let next = queues.shown.head;
        *queues = empty;
        self.free = next;
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let free = self.free;
        self.at_mut(slot).shown.head = free;
        self.free = slot;
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from `insert` and stay valid"
    )]
    pub(super) fn at(&self, slot: u32) -> &Queues {
        &self.queues[slot as usize]
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from `insert` and stay valid"
    )]
    fn at_mut(&mut self, slot: u32) -> &mut Queues {
        &mut self.queues[slot as usize]
    }

    #[inline]
    pub(super) fn is_empty(&self, slot: u32) -> bool {
        let Queues { shown, hidden } = self.at(slot);
        shown.is_empty() && hidden.is_empty()
    }

    #[inline]
    pub(super) fn queue(&mut self, slot: u32, place: Place) -> &mut Queue {
        let queues = self.at_mut(slot);
        if place == Place::Shown {
            &mut queues.shown
        } else {
            &mut queues.hidden
        }
    }
}
