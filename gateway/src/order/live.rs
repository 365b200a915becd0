//! One live order, as the gateway has it.
//!
//! Thread:      order core, hot
//! Invariants:  `reserved` is what risk counts as open of it: never less than [`Order::open_at_worst`] once the
//!              answer that changed it has been handled.

use feed_handler::event::Origin;
use protocol::types::{Price4, Qty, Side, Symbol, UserRefNum};

use super::instruments::Instrument;
use super::risk::Lot;
use crate::message::intent::{OrderId, Owner, TimeInForce};
use crate::message::terms::Terms;

/// The end of a list.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A live order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub user_ref: UserRefNum,
    /// The strategy's number for it.
    pub id: OrderId,
    /// The strategy; `None`: it was found at the exchange after a restart.
    pub owner: Option<Owner>,
    /// The frame that caused it.
    pub origin: Origin,
    /// When its bytes were ready.
    pub encoded_ns: u64,
    /// Symbol.
    pub instrument: Instrument,
    /// Feed of the symbol, in the order of the configuration.
    pub feed: u16,
    /// Symbol of the day on that feed.
    pub locate: u16,
    /// Side.
    pub side: Side,
    /// How it trades: a replace says it again.
    pub terms: Terms,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// Whether the exchange has answered.
    pub is_accepted: bool,
    /// Limit.
    pub price: Price4,
    /// Shares open.
    pub open: Qty,
    /// Shares that risk counts as open: the larger of both sizes while a replace is on its way.
    pub reserved: Qty,
    /// Shares executed over the whole chain of replaces.
    pub executed: Qty,
    /// The number of a replace that is on its way.
    pub replacing: Option<UserRefNum>,
    /// What that replace asks for: shares over the whole chain, as OUCH counts them.
    pub replace_total: Qty,
    /// The limit that it asks for.
    pub replace_price: Price4,
    /// A sell that the exchange was told is no short sale.
    pub is_marked_long: bool,
    /// The limits that risk has of it: [`Order::limits`] once the answer that changed them has been handled.
    pub known_limits: [Price4; 2],
    /// Cancels that the exchange refused, one after another.
    pub cancels_refused: u8,
    /// [`Orders`](super::orders::Orders) alone keeps what follows.
    pub links: Links,
}

/// An order's place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    pub(super) before: u32,
    pub(super) after: u32,
    pub(super) is_canceling: bool,
    /// Its strategy asked for the cancel, and waits for the answer.
    pub(super) is_asked: bool,
    /// Its strategy asked for no more than this, executed shares included, and waits for the answer; 0: it did not.
    pub(super) reducing_to: Qty,
    /// The exchange has put the cancel off.
    pub(super) is_put_off: bool,
    /// When the cancel went out.
    pub(super) canceled_ns: u64,
    /// A cancel of ours that was refused is not repeated before this time.
    pub(super) cancel_after_ns: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            before: NOWHERE,
            after: NOWHERE,
            is_canceling: false,
            is_asked: false,
            reducing_to: Qty(0),
            is_put_off: false,
            canceled_ns: 0,
            cancel_after_ns: 0,
        }
    }
}

impl Order {
    /// Whether a cancel is on its way.
    #[inline]
    #[must_use]
    pub fn is_canceling(&self) -> bool {
        self.links.is_canceling
    }

    /// Whether a partial cancel is on its way.
    #[inline]
    #[must_use]
    pub fn is_reducing(&self) -> bool {
        self.links.reducing_to.0 > 0
    }

    /// Whether a replace or a cancel, whole or partial, is on its way.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.replacing.is_some() || self.links.is_canceling || self.is_reducing()
    }

    /// Whether its strategy asked for the cancel that is on its way: the kill switch cancels as well.
    #[inline]
    #[must_use]
    pub fn owes_cancel(&self) -> bool {
        self.links.is_canceling && self.links.is_asked
    }

    /// Whether the exchange has put off the cancel, whole or partial, that is on its way.
    #[must_use]
    pub fn is_put_off(&self) -> bool {
        (self.links.is_canceling || self.is_reducing()) && self.links.is_put_off
    }

    /// When a refused cancel may be repeated; 0: none was refused.
    #[inline]
    #[must_use]
    pub fn cancel_after_ns(&self) -> u64 {
        self.links.cancel_after_ns
    }

    /// What may stand open at worst: the replace that is on its way may come through whatever else takes
    /// shares off meanwhile; only what is executed counts against it.
    #[inline]
    #[must_use]
    pub fn open_at_worst(&self) -> Qty {
        match self.replacing {
            None => self.open,
            Some(_) => {
                let asked = self.replace_total.0.saturating_sub(self.executed.0);
                Qty(asked.max(self.open.0))
            }
        }
    }

    /// What risk counts as open of it, at its own limit.
    #[inline]
    #[must_use]
    pub fn lot(&self) -> Lot {
        Lot {
            instrument: self.instrument,
            side: self.side,
            limit: self.price,
            qty: self.reserved,
        }
    }

    /// The limits that it may have at the exchange: its own, and that of a replace on its way; 0: none.
    #[inline]
    #[must_use]
    pub fn limits(&self) -> [Price4; 2] {
        let asked = self.replacing.map_or(Price4(0), |_| self.replace_price);
        [self.price, asked]
    }

    /// The number that a cancel has to name: behind a replace that is on its way it is the new one, as
    /// the exchange takes messages in order.
    #[inline]
    #[must_use]
    pub fn cancel_target(&self) -> UserRefNum {
        self.replacing.unwrap_or(self.user_ref)
    }
}

/// A live order as others see it: reports, the operator, tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOrder {
    /// Its number.
    pub user_ref: UserRefNum,
    /// The strategy, and its number for the order; `None`: it was found at the exchange after a restart.
    pub desk: Option<(Owner, OrderId)>,
    /// Limit.
    pub price: Price4,
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Shares open.
    pub open: Qty,
    /// Shares that risk counts as open.
    pub reserved: Qty,
    /// Shares executed over the whole chain of replaces.
    pub executed: Qty,
    /// Whether the exchange has answered.
    pub is_accepted: bool,
    /// Whether a replace or a cancel is on its way.
    pub is_changing: bool,
}
