//! Orders of the book in one slab, 64 bytes each, and their queues in another: found by slot, never moved.
//!
//! Invariants:  a slot is free or belongs to one order; a [`Handle`] names slot and reference, so a
//!              handle of an order that is gone finds nothing, also after its slot was used again. An
//!              order that stands at a price knows its level, so that it leaves without a search.
//! When full:   [`Slab::is_full`] is asked before an order is taken in, which is then refused; nothing grows.

use protocol::types::Side;
use rt::mem::Reserve;

use super::event::{Canceled, OnFeed, Rested};
use super::levels::{Levels, NIL, Place, Queue};
use super::types::{CrossKind, Handle, Owner, Prevention, TimeInForce};

/// One order.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Order {
    /// Day-unique; does not change when the feed's reference does.
    pub number: u64,
    /// The reference on the feed; a refreshed reserve gets a new one.
    pub reference: u64,
    pub user_ref: u32,
    /// Where it stands; of a peg the limit beyond which it does not go.
    pub price: u32,
    pub open: u32,
    /// Of `open`, what the feed shows.
    pub shown: u32,
    /// Shares shown at a time; 0: no reserve.
    pub display_qty: u32,
    pub min_qty: u32,
    pub next: u32,
    pub prev: u32,
    /// The level of its price, while it stands there.
    pub level: u32,
    pub account: u16,
    pub locate: u16,
    /// Self-match prevention group; 0: none.
    pub group: u16,
    pub side: Side,
    pub place: Place,
    pub prevention: Prevention,
    pub cross: Option<CrossKind>,
    pub span: Span,
    /// Whether the feed shows whose it is; the name stands beside the slab.
    pub is_named: bool,
}

impl Order {
    /// Whose it is. (An [`Owner`] has padding, for which a line has no room.)
    #[inline]
    pub(super) fn owner(&self) -> Owner {
        Owner {
            user_ref: self.user_ref,
            account: self.account,
        }
    }

    /// So many of its shares go, for this reason.
    #[inline]
    pub(super) fn canceled(&self, qty: u32, reason: u8, shown: Option<OnFeed>) -> Canceled {
        Canceled {
            owner: self.owner(),
            number: self.number,
            locate: self.locate,
            qty,
            open: self.open - qty,
            reason,
            shown,
        }
    }
}

/// How long an order may rest, without the time: that stands beside the slab, as matching does not need
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Immediate,
    Market,
    System,
    Until,
}

impl TimeInForce {
    pub(super) fn span(self) -> Span {
        match self {
            Self::Immediate => Span::Immediate,
            Self::Market => Span::Market,
            Self::System => Span::System,
            Self::Until(_) => Span::Until,
        }
    }
}

const _: () = assert!(size_of::<Order>() == 64);

/// Every order that lives.
#[derive(Debug)]
pub(super) struct Slab {
    /// Met in no order that a cache or a table of small pages could hold.
    orders: Reserve<Order>,
    /// What few orders have: when they expire, and whose name the feed shows. Untouched otherwise.
    extras: Vec<(u64, [u8; 4])>,
    /// Queues of all prices of all stocks.
    pub(super) levels: Levels,
    free: u32,
    live: u32,
    max: u32,
}

impl Slab {
    pub(super) fn new(max: u32) -> Self {
        Self {
            orders: Reserve::new(max as usize),
            extras: vec![(0, [0; 4]); max as usize],
            levels: Levels::new(max),
            free: NIL,
            live: 0,
            max,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.live >= self.max
    }

    pub(super) fn live(&self) -> u32 {
        self.live
    }

    /// Takes a slot. The caller has asked [`Slab::is_full`].
    #[inline]
    pub(super) fn insert(&mut self, order: Order, life: TimeInForce, attribution: [u8; 4]) -> u32 {
        assert!(!self.is_full(), "asked before");
        self.live += 1;
        let slot = if self.free == NIL {
            let slot = self.live - 1;
            debug_assert_eq!(slot as usize, self.orders.len(), "no free slot: all live");
            let pushed = self.orders.push(order);
            debug_assert!(pushed.is_ok(), "fewer are live than there is room for");
            slot
        } else {
            let slot = self.free;
            self.free = self.at(slot).next;
            *self.at_mut(slot) = order;
            slot
        };
        if (order.span == Span::Until || order.is_named)
            && let Some(extra) = self.extras.get_mut(slot as usize)
        {
            let expires_ns = if let TimeInForce::Until(at) = life {
                at
            } else {
                0
            };
            *extra = (expires_ns, attribution);
        }
        slot
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: u32) {
        let free = self.free;
        let order = self.at_mut(slot);
        debug_assert_ne!(order.number, 0, "live until now");
        order.number = 0;
        order.next = free;
        self.free = slot;
        self.live -= 1;
    }

    /// Links an order behind the last of its queue.
    #[inline]
    pub(super) fn link(&mut self, slot: u32, tail: u32) {
        if tail != NIL {
            self.at_mut(tail).next = slot;
        }
        let order = self.at_mut(slot);
        order.next = NIL;
        order.prev = tail;
    }

    /// Links two neighbours of an order that goes.
    #[inline]
    pub(super) fn bypass(&mut self, prev: u32, next: u32) {
        if prev != NIL {
            self.at_mut(prev).next = next;
        }
        if next != NIL {
            self.at_mut(next).prev = prev;
        }
    }

    /// The slot of a live order.
    #[inline]
    pub(super) fn find(&self, handle: Handle) -> Option<u32> {
        let order = self.orders.get(handle.slot as usize)?;
        (order.number == handle.number && handle.number != 0).then_some(handle.slot)
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from `insert` and stay valid"
    )]
    pub(super) fn at(&self, slot: u32) -> &Order {
        &self.orders[slot as usize]
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from `insert` and stay valid"
    )]
    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.orders[slot as usize]
    }

    pub(super) fn life(&self, slot: u32) -> TimeInForce {
        match self.at(slot).span {
            Span::Immediate => TimeInForce::Immediate,
            Span::Market => TimeInForce::Market,
            Span::System => TimeInForce::System,
            Span::Until => TimeInForce::Until(self.extra(slot).0),
        }
    }

    pub(super) fn attribution(&self, slot: u32) -> [u8; 4] {
        if self.at(slot).is_named {
            self.extra(slot).1
        } else {
            [0; 4]
        }
    }

    fn extra(&self, slot: u32) -> (u64, [u8; 4]) {
        self.extras.get(slot as usize).copied().unwrap_or_default()
    }

    /// What the feed shows of an order.
    #[inline]
    pub(super) fn rested(&self, slot: u32) -> Rested {
        let order = self.at(slot);
        Rested {
            locate: order.locate,
            reference: order.reference,
            side: order.side,
            qty: order.shown,
            price: order.price,
            attribution: self.attribution(slot),
        }
    }

    /// Slots of live orders from this one on, in the order of slots.
    pub(super) fn slots_from(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let orders = self.orders.iter().zip(0..).skip(slot as usize);
        orders
            .filter(|(order, _)| order.number != 0)
            .map(|(_, slot)| slot)
    }

    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle {
            slot,
            number: self.at(slot).number,
        }
    }
}

/// Orders in a queue are linked through themselves.
impl Queue {
    pub(super) fn push(&mut self, orders: &mut Slab, slot: u32) {
        let tail = self.append(slot);
        orders.link(slot, tail);
    }

    pub(super) fn remove(&mut self, orders: &mut Slab, slot: u32) {
        let &Order { next, prev, .. } = orders.at(slot);
        debug_assert!(prev != NIL || self.head == slot, "first of its queue");
        orders.bypass(prev, next);
        self.forget(prev, next);
    }

    pub(super) fn iter(self, orders: &Slab) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(some(self.head), move |slot| some(orders.at(*slot).next))
    }
}
