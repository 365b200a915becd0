//! One message of any venue, as books and strategies take it.
//!
//! A venue's decoder makes it (`venue`), the books do what it says (`book::apply`), and its plain fields
//! are the event's. Nothing behind the decoder knows which venue spoke.
//!
//! Thread:      feed core, hot
//! Invariants:  a price is four decimals in 32 bits: what a venue says beyond that is [`Effect::Unfit`],
//!              never a price that was cut.

use protocol::types::{MatchNumber, OrderRef, Price4, Qty, Side, Symbol};

use crate::event::Kind;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What strategies are told that it is.
    pub kind: Kind,
    /// Its symbol; 0: of no symbol.
    pub locate: u16,
    /// When the exchange says that it happened, in the venue's own count.
    pub exchange_ns: u64,
    /// The order that it is about, or what [`Kind`] says that its number is.
    pub number: u64,
    /// Its own price; 0: none.
    pub price: Price4,
    /// Its own shares; 0: none.
    pub qty: Qty,
    /// The symbol's name, where this message is the first to say it.
    pub names: Option<Symbol>,
    /// What it does to the books.
    pub effect: Effect,
}

/// What a message does to the books. Orders, prices and shares are the message's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The order joins the end of its price's queue; `None`: a side that is none.
    Add(Option<Side>),
    /// The order's shares trade.
    Execute {
        /// The trade's number.
        match_number: MatchNumber,
        /// At the message's price and not at the order's.
        has_price: bool,
        /// It is to be shown as a trade; otherwise it comes again in a bulk print.
        is_printable: bool,
    },
    /// The shares leave the order.
    Cancel,
    /// The order leaves.
    Delete,
    /// This order leaves; the message's takes its place, on the same side.
    Replace(OrderRef),
    /// The order has the message's price and shares.
    Modify {
        /// It keeps its place in the queue, if its price stays.
        keeps_priority: bool,
    },
    /// Every order of the symbol leaves.
    Clear,
    /// The order has a price that no book here can hold. It leaves, and the book is incomplete.
    Unfit,
    /// A trade, or the end of one, that touches no displayed order.
    Print(Print),
}

/// A trade that touches no displayed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// How it came about, as [`TradePrint`](crate::book::TradePrint) has it.
    pub kind: u8,
    /// Its price; 0 for a broken trade.
    pub price: Price4,
    /// Its shares; 0 for a broken trade.
    pub shares: u64,
    /// The trade's number.
    pub match_number: MatchNumber,
    /// `O`, `C`, `H` for a cross, else a space.
    pub cross_type: u8,
}

impl Message {
    /// A message of which only this is known.
    #[inline]
    #[must_use]
    pub fn bare(kind: Kind, locate: u16) -> Self {
        Self {
            kind,
            locate,
            exchange_ns: 0,
            number: 0,
            price: Price4(0),
            qty: Qty(0),
            names: None,
            effect: Effect::None,
        }
    }
}
