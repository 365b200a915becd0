//! What a strategy asks for: one cache line.
//!
//! Path:        strategy -> ring -> order entry
//! Invariants:  each intent is answered once, by an [`ExecutionEvent`](super::execution::ExecutionEvent).

use feed_handler::event::Origin;
use protocol::types::{Price4, Qty, Side};

use super::terms::Terms;

pub use super::terms::TimeInForce;

/// A strategy's own number for an order: 1, 2, 3 ... in the order in which it sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct OrderId(pub u32);

/// Whose order it is: an index into the session's strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(pub u8);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// A new order.
    Enter,
    /// Another price and open quantity for a live order.
    Replace,
    /// The end of a live order.
    Cancel,
    /// Fewer open shares for a live order, which keeps its place at its price.
    Reduce,
}

/// What made a strategy act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// A market event: the way from the tick to the order is measured.
    Market,
    /// News of an order or of the session: the tick lies a round trip or more back.
    Execution,
    /// A timer of the strategy's, or the stop of the gateway: no tick stands behind it.
    Timer,
}

/// One intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct OrderIntent {
    /// The frame that caused it.
    pub origin: Origin,
    /// When the strategy had decided.
    pub decided_ns: u64,
    /// The order meant; a new number for [`Action::Enter`].
    pub id: OrderId,
    /// Limit price; of a market order [`PRICE_MARKET`](protocol::ouch::PRICE_MARKET).
    pub price: Price4,
    /// Open shares wanted; of a cancel 0.
    pub qty: Qty,
    /// How long after `seen` the event was in the ring.
    pub published_delta_ns: u32,
    /// How long after `seen` the strategy had it.
    pub picked_delta_ns: u32,
    /// How a new order trades.
    pub terms: Terms,
    /// Symbol of the day; for a new order only.
    pub locate: u16,
    /// Events that the strategy took before it in the same turn.
    pub queue: u8,
    /// The strategy's ring was full when that turn began, or the strategy was told so in it.
    pub ring_was_full: bool,
    /// What is asked for.
    pub action: Action,
    /// Side of a new order.
    pub side: Side,
    /// How long a new order stands.
    pub time_in_force: TimeInForce,
    /// What made the strategy act.
    pub cause: Cause,
}

/// What a strategy asks for, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The strategy.
    pub owner: Owner,
    /// What it asks for.
    pub intent: &'a OrderIntent,
    /// The time at which what is written goes out.
    pub now_ns: u64,
}

const _: () = assert!(size_of::<OrderIntent>() == 64);
