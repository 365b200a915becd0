//! What the engine says: one event for each change, in the order of time. The accounts' answers and the
//! feed are both made from it, so neither can know what the other does not.

use protocol::types::{Side, Symbol};

use super::types::{CrossKind, Handle, Owner, Prevention, State};

/// Who stood on one side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Whose order.
    pub owner: Owner,
    /// The order.
    pub number: u64,
    /// Which side.
    pub side: Side,
    /// Shares that the order has left.
    pub open: u32,
    /// OUCH liquidity flag.
    pub liquidity: u8,
}

/// What a trade did to an order that the feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnFeed {
    /// Reference on the feed.
    pub reference: u64,
    /// Shares that are no longer shown.
    pub off: u32,
    /// Shares that are still shown; 0: the feed's order is gone.
    pub left: u32,
}

/// One trade between two orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The stock.
    pub locate: u16,
    /// Day-unique.
    pub match_number: u64,
    /// Shares.
    pub qty: u32,
    /// Price, four decimals.
    pub price: u32,
    /// The order that was there; in a cross the buyer.
    pub maker: Party,
    /// The order that came; in a cross the seller.
    pub taker: Party,
    /// What the feed shows of the maker; `None`: nothing, it was hidden.
    pub maker_shown: Option<OnFeed>,
    /// What the feed shows of the taker: only in a cross.
    pub taker_shown: Option<OnFeed>,
    /// The cross that it was part of.
    pub cross: Option<CrossKind>,
}

/// An order that stands where it did not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rested {
    /// The stock.
    pub locate: u16,
    /// Reference on the feed.
    pub reference: u64,
    /// Which side.
    pub side: Side,
    /// Shares shown.
    pub qty: u32,
    /// Price, four decimals.
    pub price: u32,
    /// Who it says that it is; zeros: nobody.
    pub attribution: [u8; 4],
}

/// Shares that went without a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canceled {
    /// Whose.
    pub owner: Owner,
    /// The order.
    pub number: u64,
    /// The stock.
    pub locate: u16,
    /// Shares taken off.
    pub qty: u32,
    /// Shares left.
    pub open: u32,
    /// OUCH reason.
    pub reason: u8,
    /// What the feed shows of it.
    pub shown: Option<OnFeed>,
}

/// What is known of an auction to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// Shares that would trade.
    pub paired: u64,
    /// Shares on the larger side that would not.
    pub imbalance: u64,
    /// Which side that is; `None`: neither.
    pub side: Option<Side>,
    /// Price at which most would trade, the book's orders included; 0: nothing would.
    pub near: u32,
    /// The same with the orders for this cross alone.
    pub far: u32,
    /// The price that others are measured against.
    pub reference: u32,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An order was taken in; it stands at this price, or is matched at once.
    Accepted {
        /// Names it.
        handle: Handle,
        /// Its day-unique number.
        number: u64,
        /// Whose.
        owner: Owner,
        /// Price after any slide.
        price: u32,
    },
    /// An order took another's place.
    Replaced {
        /// Names it.
        handle: Handle,
        /// Its day-unique number; the old one if it kept its place in the queue.
        number: u64,
        /// Whose, with the new reference.
        owner: Owner,
        /// The old reference.
        old_user_ref: u32,
        /// The stock.
        locate: u16,
        /// Shares open now.
        open: u32,
        /// Price after any slide.
        price: u32,
        /// What the feed shows less of; only if the order kept its place.
        shown: Option<OnFeed>,
    },
    /// The feed shows a new order.
    Rested(Rested),
    /// The feed shows a new order in an old one's stead.
    RestedAs {
        /// The old one.
        old_reference: u64,
        /// The new one.
        rested: Rested,
    },
    /// The feed shows an order no longer: its replacement is matched first.
    Withdrawn {
        /// The stock.
        locate: u16,
        /// Reference on the feed.
        reference: u64,
    },
    /// A reserve shows its next shares.
    Refreshed {
        /// Whose.
        owner: Owner,
        /// As the feed sees it.
        rested: Rested,
    },
    /// Two orders traded.
    Traded(Trade),
    /// Shares were taken off.
    Canceled(Canceled),
    /// Self-match prevention took shares off.
    Prevented {
        /// What was taken off.
        canceled: Canceled,
        /// Shares that would have traded.
        prevented: u32,
        /// At this price.
        price: u32,
        /// By this rule.
        rule: Prevention,
    },
    /// A stock's trading state changed.
    State {
        /// The stock.
        locate: u16,
        /// Its symbol.
        symbol: Symbol,
        /// Now.
        state: State,
        /// ITCH reason.
        reason: [u8; 4],
    },
    /// The bounds of the auction that ends a pause.
    Collar {
        /// The stock.
        locate: u16,
        /// The price that bounds are measured from.
        reference: u32,
        /// Lowest price.
        lower: u32,
        /// Highest price.
        upper: u32,
    },
    /// A cross is over.
    Crossed {
        /// The stock.
        locate: u16,
        /// Which.
        kind: CrossKind,
        /// Shares traded.
        shares: u64,
        /// At this price; 0: nothing traded.
        price: u32,
        /// Day-unique.
        match_number: u64,
    },
    /// What a cross to come would do.
    Imbalance {
        /// The stock.
        locate: u16,
        /// Which cross.
        kind: CrossKind,
        /// The figures.
        imbalance: Imbalance,
    },
    /// A trade is undone.
    Broken {
        /// The stock.
        locate: u16,
        /// Its symbol.
        symbol: Symbol,
        /// Which.
        match_number: u64,
        /// Shares; of a cross as a whole none.
        qty: u32,
        /// Price, four decimals.
        price: u32,
        /// Both owners.
        owners: [Owner; 2],
        /// The side of the first owner; the second's is the other one.
        side: Side,
        /// OUCH reason.
        reason: u8,
    },
}
