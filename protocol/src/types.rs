//! Numbers that mean something: prices, quantities, references and times as types of their own.
//!
//! Invariants:  a price stays in the exchange's integer unit; nothing here is a float.
//! Spec:        TotalView-ITCH 5.0 section 3 "Data Types"; OUCH 5.0 section 1.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Declares an integer newtype with a public field: the unit is in the name, not in a comment.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(FromBytes, IntoBytes, Immutable)]
        #[repr(transparent)]
        pub struct $name(pub $raw);
    };
}

number! {
    /// A price with four implied decimals: 1.0000 is 10,000. ITCH's largest is 200,000.0000.
    Price4(u32)
}
number! {
    /// A price with eight implied decimals (market-wide circuit breaker levels only).
    Price8(u64)
}
number! {
    /// A number of shares.
    Qty(u32)
}
number! {
    /// The exchange's day-unique order reference number.
    OrderRef(u64)
}
number! {
    /// The exchange's day-unique match number.
    MatchNumber(u64)
}
number! {
    /// A MoldUDP64 or SoupBinTCP sequence number; the first message of a session is 1.
    Seq(u64)
}
number! {
    /// Nanoseconds; since midnight of the venue in messages, since boot in stamps.
    Nanos(u64)
}
number! {
    /// OUCH `UserRefNum`: starts at 1 and strictly increases on one port for one day.
    UserRefNum(u32)
}

impl fmt::Display for Price4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

/// A stock symbol: eight ASCII bytes, left-justified, padded with spaces.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct Symbol(pub [u8; 8]);

impl Symbol {
    /// Eight spaces: no symbol, and "all symbols" in an OUCH mass cancel.
    pub const BLANK: Self = Self(*b"        ");

    /// The symbol of `text`, or `None` when it is empty, longer than eight bytes or not printable
    /// ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let mut bytes = *b"        ";
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        fits.then_some(Self(bytes))
    }

    /// The text without its padding, or `"?"` when the bytes are not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.0.trim_ascii_end()).unwrap_or("?")
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which side of the book an order stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Wants to buy: a bid.
    Buy = b'B',
    /// Wants to sell: an ask.
    Sell = b'S',
}

impl Side {
    /// The side of an ITCH or OUCH code; OUCH's two kinds of short sale are sells.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        match code {
            b'B' => Some(Self::Buy),
            b'S' | b'T' | b'E' => Some(Self::Sell),
            _ => None,
        }
    }

    /// The other side.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// Why bytes are not a message of the protocol they were read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No bytes at all: a zero-length message, legal in MoldUDP64, says nothing.
    Empty,
    /// The first byte is no message type of this protocol.
    UnknownType(u8),
    /// A known type with the wrong number of bytes.
    WrongLength {
        /// The message type that the first byte names.
        kind: u8,
        /// Bytes that the specification gives this type (at least, where it may grow).
        expected: usize,
        /// Bytes that were there.
        found: usize,
    },
    /// An OUCH appendage whose lengths do not add up.
    BadAppendage,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("empty message"),
            Self::UnknownType(kind) => write!(f, "unknown type '{}'", kind.escape_ascii()),
            Self::WrongLength {
                kind,
                expected,
                found,
            } => write!(
                f,
                "type '{}' has {found} bytes, expected {expected}",
                kind.escape_ascii()
            ),
            Self::BadAppendage => f.write_str("appendage lengths do not add up"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_pads_and_trims() {
        let symbol = Symbol::new("ALC").unwrap();
        assert_eq!(symbol.0, *b"ALC     ");
        assert_eq!(symbol.as_str(), "ALC");
        assert_eq!(Symbol::new(""), None);
        assert_eq!(Symbol::new("TOOLONGNAME"), None);
        assert_eq!(Symbol::new("A B"), None);
    }

    #[test]
    fn price_prints_four_decimals() {
        assert_eq!(Price4(1_234_500).to_string(), "123.4500");
        assert_eq!(Price4(7).to_string(), "0.0007");
    }
}
