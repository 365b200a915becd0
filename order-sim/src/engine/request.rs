//! What the engine is asked for, why it refuses, and the codes that it gives.
//!
//! Spec:        OUCH 5.0 revision 1.04, "Cancel Reasons", "Liquidity Flags".

use protocol::types::Side;

use super::types::{CrossKind, Owner, Prevention, TimeInForce};

/// OUCH cancel reasons that the engine gives.
pub mod cancel_reason {
    /// Its owner said so.
    pub const USER: u8 = b'U';
    /// Immediate or cancel.
    pub const IOC: u8 = b'I';
    /// Its time is over.
    pub const TIMEOUT: u8 = b'T';
    /// Market or system hours are over.
    pub const CLOSED: u8 = b'E';
    /// Post only, and an unseen order stood in the way.
    pub const POST_ONLY: u8 = b'F';
    /// Post only, and a shown order stood in the way.
    pub const POST_ONLY_SHOWN: u8 = b'G';
    /// Self-match prevention.
    pub const SELF_MATCH: u8 = b'Q';
    /// The exchange's people said so.
    pub const SUPERVISORY: u8 = b'S';
    /// For a cross that is over: its time in force has ended. (Revision 1.04 lists no reason of its own.)
    pub const CROSS: u8 = b'T';
    /// The next price lies outside the bands.
    pub const COLLAR: u8 = b'K';
    /// Not a reason of the protocol: its owner modified the order, which has an answer of its own.
    pub const MODIFIED: u8 = b'M';
    /// The exchange itself said so.
    pub const SYSTEM: u8 = b'Z';
}

/// OUCH liquidity flags that the engine gives.
pub(super) mod liquidity {
    use super::CrossKind;

    pub(in crate::engine) const REMOVED: u8 = b'R';
    pub(in crate::engine) const ADDED_HIDDEN: u8 = b'J';

    /// Flags of maker and taker.
    pub(in crate::engine) fn of(
        maker_is_peg: bool,
        taker_is_peg: bool,
        is_shown: bool,
    ) -> (u8, u8) {
        let adds = match (maker_is_peg, is_shown) {
            (true, _) => b'k',
            (false, true) => b'A',
            (false, false) => ADDED_HIDDEN,
        };
        (
            adds,
            if maker_is_peg || taker_is_peg {
                b'm'
            } else {
                REMOVED
            },
        )
    }

    pub(in crate::engine) fn in_cross(kind: CrossKind) -> u8 {
        match kind {
            CrossKind::Open => b'M',
            CrossKind::Close => b'L',
            CrossKind::Halt => b'K',
        }
    }
}

/// How much room to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Stocks.
    pub stocks_max: u16,
    /// Live orders, all stocks together.
    pub orders_max: u32,
    /// Prices on one side of one stock.
    pub levels_max: usize,
    /// Trades that can still be broken.
    pub trades_max: usize,
    /// How long a stock pauses that left its bands, ns.
    pub pause_ns: u64,
}

/// An order whose details make sense by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose.
    pub owner: Owner,
    /// The stock.
    pub locate: u16,
    /// Which side.
    pub side: Side,
    /// Shares, at least 1.
    pub qty: u32,
    /// How it is to trade.
    pub terms: Terms,
    /// Self-match prevention group, 0: none; and what happens.
    pub prevention: (u16, Prevention),
    /// For this cross only.
    pub cross: Option<CrossKind>,
    /// Short sale that the restriction forbids to hit bids.
    pub is_short: bool,
    /// Whose name the feed shows; zeros: nobody's.
    pub attribution: [u8; 4],
    /// It ends as soon as it is taken in, for this reason, without meeting anybody.
    pub ends: Option<u8>,
}

/// A limit order that the feed shows, with nothing special about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOrder {
    /// Whose.
    pub owner: Owner,
    /// The stock.
    pub locate: u16,
    /// Which side.
    pub side: Side,
    /// Shares, at least 1.
    pub qty: u32,
    /// The worst price that it takes.
    pub price: u32,
    /// How long it may rest.
    pub life: TimeInForce,
}

impl From<LimitOrder> for NewOrder {
    fn from(order: LimitOrder) -> Self {
        Self {
            owner: order.owner,
            locate: order.locate,
            side: order.side,
            qty: order.qty,
            terms: Terms::plain(order.price, order.life),
            prevention: (0, Prevention::CancelNewest),
            cross: None,
            is_short: false,
            attribution: [0; 4],
            ends: None,
        }
    }
}

/// How an order is to trade: what a replacement may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The worst price that it takes; `None`: any.
    pub limit: Option<u32>,
    /// How long it may rest.
    pub life: TimeInForce,
    /// Whether the feed shows it.
    pub is_shown: bool,
    /// Pegged to the midpoint; `limit` bounds it.
    pub is_midpoint: bool,
    /// Whether it may take.
    pub post_only: PostOnly,
    /// Least shares of one trade; unseen or immediate orders only.
    pub min_qty: u32,
    /// Shares shown at a time; 0: all.
    pub display_qty: u32,
    /// A script's wish: the house takes what the book does not.
    pub house: bool,
}

impl Terms {
    /// A limit order that the feed shows, with nothing special about it.
    #[must_use]
    pub fn plain(price: u32, life: TimeInForce) -> Self {
        Self {
            limit: Some(price),
            life,
            is_shown: true,
            is_midpoint: false,
            post_only: PostOnly::No,
            min_qty: 0,
            display_qty: 0,
            house: false,
        }
    }
}

/// What a replacement asks for; side, stock and all else are inherited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its new reference.
    pub user_ref: u32,
    /// Shares open from now on, at least 1.
    pub open: u32,
    /// How it is to trade from now on.
    pub terms: Terms,
}

/// What an order that must not take does instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostOnly {
    /// It may take.
    #[default]
    No,
    /// It is cancelled.
    Cancel,
    /// It stands one step from the price that it would have taken.
    Slide,
}

/// One side of a stock at this price and better: what an order of the other side could reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The stock.
    pub locate: u16,
    /// The side that is reached.
    pub side: Side,
    /// The worst price of it.
    pub price: u32,
}

/// Why an order was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such stock.
    UnknownStock,
    /// The stock is halted.
    Halted,
    /// No room for one more order or price.
    Full,
    /// A peg where there is no continuous trading.
    Pegging,
    /// A short sale at or below the best bid while the restriction is on.
    ShortSale,
    /// An order for a cross that will not be held.
    Cross,
}
