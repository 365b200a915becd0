//! One message of any venue, as books and strategies take it.
//!
//! A venue's decoder makes it (`venue`), the books do what it says (`book::apply`), and its plain fields
//! are the event's. Nothing behind the decoder knows which venue spoke.
//!
//! Thread:      feed core, hot
//! Invariants:  a price is four decimals in 32 bits: what a venue says beyond that is [`Effect::Unfit`],
//!              never a price that was cut.

use protocol::types::{MatchNumber, OrderRef, Price4, Qty, Side, Symbol};

use crate::event::{FLAG_KEEPS_PRIORITY, FLAG_SELL, Kind};
use crate::trading::Said;

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
    /// None: it says how the symbol or the market is traded ([`Venue::said`](crate::venue::Venue::said)).
    Status,
    /// The order has a price that no book here can hold. It leaves, and the book is incomplete.
    Unfit,
    /// Its symbol found every number taken. It is of no symbol, and does nothing.
    Unnumbered,
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

impl Effect {
    /// What an event tells of it beside number, price and shares: `FLAG_` bits.
    #[inline]
    pub(crate) fn flags(&self) -> u8 {
        match self {
            Self::Add(Some(Side::Sell)) => FLAG_SELL,
            Self::Modify {
                keeps_priority: true,
            } => FLAG_KEEPS_PRIORITY,
            _ => 0,
        }
    }
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

    /// A message that says how something is traded; `None`: in a code that the venue does not have, which
    /// is then counted.
    pub(crate) fn status(said: Option<&Said>, type_byte: u8, base: Self) -> Self {
        let Some(said) = said else {
            return Self {
                kind: Kind::Other,
                number: u64::from(type_byte),
                effect: Effect::Status,
                ..base
            };
        };
        plain(said, base)
    }
}

/// As an event tells it: kind, number, price, shares. [`Statuses`](crate::statuses::Statuses) has the rest.
fn plain(said: &Said, base: Message) -> Message {
    let bare = |kind, number| Message {
        kind,
        number,
        effect: Effect::Status,
        ..base
    };
    match *said {
        Said::Phase(phase, [a, b, c, d]) => {
            let number = u64::from_le_bytes([phase as u8, a, b, c, d, 0, 0, 0]);
            bare(Kind::Status, number)
        }
        Said::ShortSale(state) => bare(Kind::ShortSale, u64::from(state as u8)),
        Said::Halt(market, is_halted) => bare(
            Kind::OperationalHalt,
            u64::from(market as u8) | u64::from(is_halted) << 8,
        ),
        Said::Complete(what) => bare(Kind::SecurityEvent, u64::from(what as u8)),
        Said::Collar(collar) => Message {
            price: collar.reference,
            qty: Qty(collar.extensions),
            ..bare(
                Kind::Collar,
                u64::from(collar.upper.0) << 32 | u64::from(collar.lower.0),
            )
        },
        Said::Release(symbol, release) => Message {
            price: release.price,
            ..bare(Kind::Release, u64::from_ne_bytes(symbol.0))
        },
        Said::Imbalance(imbalance) => Message {
            price: imbalance.reference,
            qty: Qty(u32::try_from(imbalance.paired).unwrap_or(u32::MAX)),
            ..bare(Kind::Imbalance, imbalance.shares)
        },
        Said::Hours(hours) => bare(Kind::System, u64::from(hours as u8)),
        Said::Levels([first, ..]) => bare(Kind::BreakerLevels, first.0),
        Said::Breach(level) => bare(Kind::Breach, u64::from(level)),
    }
}
