//! What strategies ask for and what they are told: one cache line each way.
//!
//! Invariants:  each intent is answered once: by the event whose [`ExecutionEvent::answers`] names its
//!              action. Every event tells the order as the ledger has it: symbol, side, and in `leaves`
//!              what is still open; 0 means that the order is over.

use feed_handler::event::Origin;
use protocol::types::{Price4, Qty, Side};

pub use super::risk::{Refusal, RefusalCounters};

/// A strategy's own number for an order: 1, 2, 3 ... in the order in which it sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct OrderId(pub u32);

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
}

/// What made a strategy act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// A market event: the way from the tick to the order is measured.
    Market,
    /// News of an order or of the session: the tick lies a round trip or more back.
    Execution,
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeInForce {
    /// Until the close.
    Day = b'0',
    /// What does not trade at once is cancelled.
    ImmediateOrCancel = b'3',
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
    /// Limit price.
    pub price: Price4,
    /// Open shares wanted.
    pub qty: Qty,
    /// How long after `seen` the event was in the ring.
    pub published_delta_ns: u32,
    /// How long after `seen` the strategy had it.
    pub picked_delta_ns: u32,
    /// Symbol of the day; for a new order only.
    pub locate: u16,
    /// Events that the strategy took before it in the same turn.
    pub queue: u16,
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

const _: () = assert!(size_of::<OrderIntent>() == 64);

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not sent: a new order never was, a change leaves the order as it is.
    Refused(Refusal),
    /// Live at the exchange.
    Accepted,
    /// Live with the new price and quantity.
    Replaced,
    /// Shares traded.
    Filled,
    /// Shares taken off, with OUCH's reason.
    Canceled(u8),
    /// The exchange changed the order's size without a trade or a cancel.
    Modified,
    /// The exchange refused the order or the change, with OUCH's reason. A change leaves the order as it
    /// is.
    Rejected(u16),
    /// The exchange has put the cancel off: the order may still trade, and the answer comes later.
    CancelPending,
    /// The exchange will not cancel the order, or the cancel was for a replace that it refused: the order
    /// stands.
    CancelRejected,
    /// The change came to nothing: the order was over before it got there.
    TooLate,
    /// It went with a connection, and the exchange never received it: a new order is over, a change leaves
    /// the order as it is.
    Lost,
    /// A trade was undone; positions follow.
    Broken,
    /// The session is open: orders are taken.
    SessionUp,
    /// The session is down: nothing is taken, what is open stays open unless the exchange says.
    SessionDown,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct ExecutionEvent {
    /// The frame that caused the order.
    pub origin: Origin,
    /// When the answer was here.
    pub acked_ns: u64,
    /// The order, 0 for news of the session.
    pub id: OrderId,
    /// Price of the fill, or of the order.
    pub price: Price4,
    /// Shares of the fill or the cancel; else the order's.
    pub qty: Qty,
    /// Shares still open; 0: the order is over.
    pub leaves: Qty,
    /// Symbol of the day, on the strategy's feed. 0 for news of the session, and where an intent meant an
    /// order that has been over for so long that nothing is known of it any more.
    pub locate: u16,
    /// The order's side.
    pub side: Side,
    /// Which intent this answers; `None`: the exchange did it by itself, or something is still to come.
    pub answers: Option<Action>,
    /// What happened.
    pub outcome: Outcome,
}

const _: () = assert!(size_of::<ExecutionEvent>() == 64);

impl ExecutionEvent {
    /// News of the session.
    #[must_use]
    pub fn session(outcome: Outcome, now_ns: u64) -> Self {
        Self {
            origin: Origin::default(),
            acked_ns: now_ns,
            id: OrderId(0),
            price: Price4(0),
            qty: Qty(0),
            leaves: Qty(0),
            locate: 0,
            side: Side::Buy,
            answers: None,
            outcome,
        }
    }
}
