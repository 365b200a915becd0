//! IEX DEEP+: every message as a view over its bytes.
//!
//! Order by order, little-endian, prices signed with four decimals in eight bytes, times since 1970 UTC, and
//! the symbol's name in every message instead of a number.
//!
//! When wrong:  a message may be longer than its layout (the venue appends fields without notice) and is
//!              then read as far as it is known; one that is shorter is refused.
//! Spec:        IEX DEEP+ 1.02, "Administrative Message Formats" and "Trading Message Formats".

use crate::types::{Side, Symbol};
use crate::wire::{
    MatchLe, NanosLe, OrderRefLe, QtyLe, SignedPrice4Le, at_least, layout, messages,
};

layout! {
    /// `S`, System Event: `O` messages begin, `S` system hours, `R` regular hours, `M` regular hours end, `E`
    /// system hours end, `C` messages end: the last one of a session.
    SystemEvent, 10 {
        0 kind: u8,
        1 event: u8,
        2 timestamp: NanosLe,
    }

    /// `D`, Security Directory: only of securities that IEX lists.
    SecurityDirectory, 31 {
        0 kind: u8,
        1 flags: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 round_lot_size: QtyLe,
        22 adjusted_poc_price: SignedPrice4Le,
        30 luld_tier: u8,
    }

    /// `H`, Trading Status: `H` halted, `O` halt released into order acceptance, `P` paused, `T` trading.
    TradingStatus, 22 {
        0 kind: u8,
        1 status: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 reason: [u8; 4],
    }

    /// `I`, Retail Liquidity Indicator: space none, `A` buy, `B` sell, `C` both.
    RetailLiquidity, 18 {
        0 kind: u8,
        1 interest: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
    }

    /// `O`, Operational Halt Status: `O` halted on IEX, `N` not.
    OperationalHalt, 18 {
        0 kind: u8,
        1 status: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
    }

    /// `P`, Short Sale Price Test Status: 1 in effect, 0 not.
    ShortSalePriceTest, 19 {
        0 kind: u8,
        1 status: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 detail: u8,
    }

    /// `E`, Security Event: `O` opening process complete, `C` closing process complete.
    SecurityEvent, 18 {
        0 kind: u8,
        1 event: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
    }

    /// `a`, Add Order: side `8` buy, `5` sell.
    AddOrder, 38 {
        0 kind: u8,
        1 side: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 order: OrderRefLe,
        26 size: QtyLe,
        30 price: SignedPrice4Le,
    }

    /// `M`, Order Modify: the order's whole new size, and its price.
    OrderModify, 38 {
        0 kind: u8,
        1 flags: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 order: OrderRefLe,
        26 size: QtyLe,
        30 price: SignedPrice4Le,
    }

    /// `R`, Order Delete.
    OrderDelete, 26 {
        0 kind: u8,
        1 reserved: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 order: OrderRefLe,
    }

    /// `L`, Order Executed, at this price, which may differ from the order's.
    OrderExecuted, 46 {
        0 kind: u8,
        1 flags: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 order: OrderRefLe,
        26 size: QtyLe,
        30 price: SignedPrice4Le,
        38 trade: MatchLe,
    }

    /// `T`, Trade of two orders that were not displayed.
    Trade, 38 {
        0 kind: u8,
        1 flags: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 size: QtyLe,
        22 price: SignedPrice4Le,
        30 trade: MatchLe,
    }

    /// `B`, Trade Break.
    TradeBreak, 38 {
        0 kind: u8,
        1 flags: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
        18 size: QtyLe,
        22 price: SignedPrice4Le,
        30 trade: MatchLe,
    }

    /// `C`, Clear Book: every order of the symbol is gone.
    ClearBook, 18 {
        0 kind: u8,
        1 reserved: u8,
        2 timestamp: NanosLe,
        10 symbol: Symbol,
    }
}

messages! {
    at_least, timestamp: NanosLe;
    b'S' SystemEvent,
    b'D' SecurityDirectory,
    b'H' TradingStatus,
    b'I' RetailLiquidity,
    b'O' OperationalHalt,
    b'P' ShortSalePriceTest,
    b'E' SecurityEvent,
    b'a' AddOrder,
    b'M' OrderModify,
    b'R' OrderDelete,
    b'L' OrderExecuted,
    b'T' Trade,
    b'B' TradeBreak,
    b'C' ClearBook,
}

/// System event that ends a session's messages.
pub const EVENT_END_OF_MESSAGES: u8 = b'C';
/// Bit of [`OrderModify::flags`]: the order keeps its priority.
pub const FLAG_KEEPS_PRIORITY: u8 = 0x01;
/// Bit of a sale's flags: an order that sweeps several markets.
pub const FLAG_SWEEP: u8 = 0x80;
/// Bit of a sale's flags: outside of regular hours.
pub const FLAG_EXTENDED_HOURS: u8 = 0x40;
/// Bit of a sale's flags: fewer shares than a round lot.
pub const FLAG_ODD_LOT: u8 = 0x20;
/// Bit of a sale's flags: exempt from the rule against trading through.
pub const FLAG_TRADE_THROUGH_EXEMPT: u8 = 0x10;
/// Bit of a sale's flags: part of a single-price cross.
pub const FLAG_CROSS: u8 = 0x08;

impl AddOrder {
    /// The side, `None` for a code that is none.
    #[inline]
    #[must_use]
    pub fn side_of_code(&self) -> Option<Side> {
        match self.side {
            b'8' => Some(Side::Buy),
            b'5' => Some(Side::Sell),
            _ => None,
        }
    }

    /// The code of a side.
    #[must_use]
    pub fn code_of_side(side: Side) -> u8 {
        match side {
            Side::Buy => b'8',
            Side::Sell => b'5',
        }
    }
}
