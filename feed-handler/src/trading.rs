//! Whether and how a symbol is traded, as any venue says it.
//!
//! A venue's decoder reads its messages as [`Said`]; [`Statuses`](crate::statuses::Statuses) keeps what was said
//! last, strategies hear each as an event, and risk asks the table.
//!
//! ```text
//!  what                       ITCH        DEEP+    piece          event
//!  halted, paused, trading    H           H        PHASE          Status
//!  short sales                Y           P        SHORT_SALE     ShortSale
//!  halt of one market         h           O        HALT           OperationalHalt
//!  opened, closed             -           E        SESSION        SecurityEvent
//!  auction collar             J           -        COLLAR         Collar
//!  release of an offering     K           -        RELEASE        Release
//!  imbalance before a cross   I           -        IMBALANCE      Imbalance
//!  the last cross             Q           T (flag) CROSS          Cross
//!  hours of the day           S           S        HOURS          System
//!  circuit breaker            V, W        -        LEVELS, BREACH BreakerLevels, Breach
//! ```
//!
//! Spec:        TotalView-ITCH 5.0 sections 1.1, 1.2, 1.6, 1.7; IEX DEEP+ 1.02, "Administrative Message Formats".

use protocol::types::{Price4, Price8, Symbol};

/// How a symbol is traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// On no market.
    Halted = b'H',
    /// For some minutes, after its price moved too far.
    Paused = b'P',
    /// Orders are taken and nothing trades: before a halt or pause ends.
    QuotationOnly = b'Q',
    /// Orders meet.
    Trading = b'T',
}

/// Whether short sales are restricted (Regulation SHO, rule 201).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShortSale {
    /// No price test.
    Free = b'0',
    /// The price test came into force today.
    Restricted = b'1',
    /// It remains in force from the day before.
    Remains = b'2',
}

/// A market that can halt by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Market {
    /// Nasdaq.
    Nasdaq = 1,
    /// Nasdaq Texas, which was BX.
    NasdaqTexas = 2,
    /// PSX.
    Psx = 4,
    /// IEX.
    Iex = 8,
}

/// What of a security's day is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Complete {
    /// The opening process.
    Opening = b'O',
    /// The closing process.
    Closing = b'C',
}

/// Between which prices the auction after a pause may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collar {
    /// What the bounds were computed from.
    pub reference: Price4,
    /// Upper bound.
    pub upper: Price4,
    /// Lower bound.
    pub lower: Price4,
    /// How often the auction was put off.
    pub extensions: u32,
}

/// When a new offering will be quoted and released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Seconds since midnight of the venue.
    pub at_s: u32,
    /// Its price.
    pub price: Price4,
    /// It was cancelled or put off.
    pub is_cancelled: bool,
}

/// What an auction would be if it were now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imbalance {
    /// Shares that would trade at the reference price.
    pub paired: u64,
    /// Shares that would find no other side.
    pub shares: u64,
    /// `B` buy, `S` sell, `N` none, `O` too few orders to say, `P` paused.
    pub direction: u8,
    /// Where orders for the cross alone would meet.
    pub far: Price4,
    /// Where they would meet with the book.
    pub near: Price4,
    /// What the shares were computed at.
    pub reference: Price4,
    /// `O` opening, `C` closing, `H` after a halt, `A` extended close.
    pub cross: u8,
    /// How far `near` is from the best price; ITCH's letter.
    pub variation: u8,
}

/// An auction that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cross {
    /// Its shares; 0: nothing met.
    pub shares: u64,
    /// Its price; 0: none.
    pub price: Price4,
    /// `O` opening, `C` closing, `H` after a halt; a space where the venue does not say.
    pub cross: u8,
}

/// How far the market's day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hours {
    /// Messages begin.
    MessagesBegin = b'O',
    /// System hours begin: orders are taken.
    SystemBegin = b'S',
    /// Market hours begin.
    MarketBegin = b'Q',
    /// Market hours have ended.
    MarketEnd = b'M',
    /// System hours have ended: no order is taken.
    SystemEnd = b'E',
    /// Messages end.
    MessagesEnd = b'C',
}

/// What one message says of the state of trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// How the symbol is traded, and the venue's code for why.
    Phase(Phase, [u8; 4]),
    /// Whether short sales are restricted.
    ShortSale(ShortSale),
    /// Whether a market has halted the symbol for reasons of its own.
    Halt(Market, bool),
    /// What of the security's day is complete.
    Complete(Complete),
    /// The bounds of an auction.
    Collar(Collar),
    /// A new offering; the venue names it, and may give no locate code.
    Release(Symbol, Release),
    /// An auction to come.
    Imbalance(Imbalance),
    /// How far the day is.
    Hours(Hours),
    /// Declines of the index at which the whole market stops.
    Levels([Price8; 3]),
    /// The level that was breached: 1 to 3.
    Breach(u8),
}

/// Reads a venue's letter; `None`: it has no such letter.
macro_rules! of_code {
    ($name:ident: $($variant:ident),+) => {
        impl $name {
            /// What a code stands for.
            #[must_use]
            pub fn of_code(code: u8) -> Option<Self> {
                $(if code == Self::$variant as u8 {
                    return Some(Self::$variant);
                })+
                None
            }
        }
    };
}

of_code!(Phase: Halted, Paused, QuotationOnly, Trading);
of_code!(ShortSale: Free, Restricted, Remains);
of_code!(Market: Nasdaq, NasdaqTexas, Psx, Iex);
of_code!(Complete: Opening, Closing);
of_code!(Hours: MessagesBegin, SystemBegin, MarketBegin, MarketEnd, SystemEnd, MessagesEnd);
