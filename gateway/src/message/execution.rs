//! What a strategy is told of its orders: one cache line.
//!
//! Path:        order entry -> ring -> strategy
//! Invariants:  each intent is answered once: by the event whose [`ExecutionEvent::answers`] names its
//!              action. Every event tells the order as the ledger has it: symbol, side, and in `leaves`
//!              what is still open; 0 means that the order is over.

use feed_handler::event::Origin;
use protocol::types::{OrderRef, Price4, Qty, Side};

use super::intent::{Action, OrderId};
use crate::order::risk::Refusal;

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
    /// The exchange changed the order's size, its price or its place in the book without being asked.
    Modified,
    /// The exchange refused the order or the change, with OUCH's reason. A change leaves the order as it
    /// is.
    Rejected(u16),
    /// The exchange has put the cancel off: the order may still trade, and the answer comes later.
    CancelPending,
    /// The exchange will not cancel the order, or the cancel was for a replace that it refused: the order
    /// stands.
    CancelRejected,
    /// The change came to nothing: the order was over before it got there, or as small already as a partial cancel
    /// wanted it.
    TooLate,
    /// It went with a connection, and the exchange never received it: a new order is over, a change leaves
    /// the order as it is.
    Lost,
    /// A trade was undone; positions follow.
    Broken,
    /// An earlier run of the gateway entered it for this strategy, and it stands: told before the session is open.
    Found,
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
    /// The exchange's number of an order that is live now, in [`Outcome::Accepted`] and [`Outcome::Replaced`], and in
    /// [`Outcome::Modified`] where it has another: where the order is displayed, the exchange's feed names it by this
    /// number. 0 otherwise.
    pub reference: OrderRef,
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
            reference: OrderRef(0),
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
