//! What strategies ask for and what they are told: one cache line each way.

use feed_handler::event::Origin;
use protocol::types::{Price4, Qty, Side};

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
}

const _: () = assert!(size_of::<OrderIntent>() == 64);

/// Why risk, or the gateway before it, refused an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The kill switch is on.
    Killed,
    /// The session to the exchange is not open.
    SessionDown,
    /// More shares than one order may have, or none.
    OrderQty,
    /// Price times shares is more than one order may be worth.
    Notional,
    /// Too far from the book's best price.
    PriceCollar,
    /// The book has no price to hold the order against.
    NoReferencePrice,
    /// The feed has a gap, and the strategy did not ask to trade on stale books.
    StaleBook,
    /// The position, with everything open on that side, would be too large.
    Position,
    /// Too many open orders.
    OpenOrders,
    /// Too many orders in this second.
    OrderRate,
    /// The directory has not named the symbol.
    UnknownSymbol,
    /// The order meant is not live, or a change of it is under way.
    NotLive,
    /// The connection's send buffer is full: the exchange does not read.
    Backlog,
}

impl Refusal {
    /// Every refusal with its counter's name.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Killed, "refused_killed"),
        (Self::SessionDown, "refused_session_down"),
        (Self::OrderQty, "refused_order_qty"),
        (Self::Notional, "refused_notional"),
        (Self::PriceCollar, "refused_price_collar"),
        (Self::NoReferencePrice, "refused_no_reference_price"),
        (Self::StaleBook, "refused_stale_book"),
        (Self::Position, "refused_position"),
        (Self::OpenOrders, "refused_open_orders"),
        (Self::OrderRate, "refused_order_rate"),
        (Self::UnknownSymbol, "refused_unknown_symbol"),
        (Self::NotLive, "refused_not_live"),
        (Self::Backlog, "refused_backlog"),
    ];
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not sent.
    Refused(Refusal),
    /// Live at the exchange.
    Accepted,
    /// Live with the new price and quantity.
    Replaced,
    /// Shares traded; `leaves` says what is still open.
    Filled,
    /// Shares taken off, with OUCH's reason; `leaves` says what is still open.
    Canceled(u8),
    /// The exchange refused the order or the change, with OUCH's reason.
    Rejected(u16),
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
    /// Shares still open.
    pub leaves: Qty,
    /// Symbol of the day; 0 when the order was found after a restart and the directory has not named
    /// its symbol yet.
    pub locate: u16,
    /// The order's side.
    pub side: Side,
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
            outcome,
        }
    }

    /// Whether the order is over.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.outcome {
            Outcome::Filled | Outcome::Canceled(_) => self.leaves.0 == 0,
            _ => false,
        }
    }
}
