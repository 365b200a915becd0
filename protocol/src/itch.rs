//! TotalView-ITCH 5.0: every message as a view over its bytes.
//!
//! Each layout is declared with the offsets of the specification's table and checked against them by
//! the compiler. [`Message::decode`] looks at the type byte and the length once; after that every
//! field is a load and a byte swap.
//!
//! Spec:        TotalView-ITCH 5.0, 19 Feb 2026, section 4 "Message Formats".

use zerocopy::byteorder::big_endian::{U16, U32, U64};

use zerocopy::FromBytes;

use crate::types::{DecodeError, OrderRef, Symbol};
use crate::wire::{
    MatchBe, Nanos48Be, OrderRefBe, Price4Be, Price8Be, QtyBe, exact, layout, messages,
    wrong_length,
};

layout! {
    /// What every message begins with.
    Head, 11 {
        0 kind: u8,
        1 locate: U16,
        3 tracking: U16,
        5 timestamp: Nanos48Be,
    }

    /// `S`, System Event: `O` messages begin, `S` system hours, `Q` market hours, `M` market hours
    /// end, `E` system hours end, `C` messages end.
    SystemEvent, 12 {
        0 head: Head,
        11 event: u8,
    }

    /// `R`, Stock Directory: what a locate code stands for today.
    StockDirectory, 39 {
        0 head: Head,
        11 stock: Symbol,
        19 market_category: u8,
        20 financial_status: u8,
        21 round_lot_size: U32,
        25 round_lots_only: u8,
        26 issue_classification: u8,
        27 issue_sub_type: [u8; 2],
        29 authenticity: u8,
        30 short_sale_threshold: u8,
        31 ipo_flag: u8,
        32 luld_tier: u8,
        33 etp_flag: u8,
        34 etp_leverage: U32,
        38 inverse: u8,
    }

    /// `H`, Stock Trading Action: state `H` halted, `P` paused, `Q` quotation only, `T` trading.
    StockTradingAction, 25 {
        0 head: Head,
        11 stock: Symbol,
        19 state: u8,
        20 reserved: u8,
        21 reason: [u8; 4],
    }

    /// `Y`, Reg SHO short sale price test restriction.
    RegSho, 20 {
        0 head: Head,
        11 stock: Symbol,
        19 action: u8,
    }

    /// `L`, Market Participant Position.
    MarketParticipantPosition, 26 {
        0 head: Head,
        11 mpid: [u8; 4],
        15 stock: Symbol,
        23 primary_market_maker: u8,
        24 market_maker_mode: u8,
        25 state: u8,
    }

    /// `V`, market-wide circuit breaker decline levels.
    MwcbDeclineLevels, 35 {
        0 head: Head,
        11 level_1: Price8Be,
        19 level_2: Price8Be,
        27 level_3: Price8Be,
    }

    /// `W`, market-wide circuit breaker status.
    MwcbStatus, 12 {
        0 head: Head,
        11 breached_level: u8,
    }

    /// `K`, IPO Quoting Period Update; the release time is in seconds since midnight.
    IpoQuotingPeriod, 28 {
        0 head: Head,
        11 stock: Symbol,
        19 release_time_s: U32,
        23 qualifier: u8,
        24 price: Price4Be,
    }

    /// `J`, limit up, limit down auction collar.
    LuldAuctionCollar, 35 {
        0 head: Head,
        11 stock: Symbol,
        19 reference_price: Price4Be,
        23 upper_price: Price4Be,
        27 lower_price: Price4Be,
        31 extension: U32,
    }

    /// `h`, Operational Halt.
    OperationalHalt, 21 {
        0 head: Head,
        11 stock: Symbol,
        19 market: u8,
        20 action: u8,
    }

    /// `A`, Add Order without attribution.
    AddOrder, 36 {
        0 head: Head,
        11 order: OrderRefBe,
        19 side: u8,
        20 shares: QtyBe,
        24 stock: Symbol,
        32 price: Price4Be,
    }

    /// `F`, Add Order with the market participant's name.
    AddOrderMpid, 40 {
        0 head: Head,
        11 order: OrderRefBe,
        19 side: u8,
        20 shares: QtyBe,
        24 stock: Symbol,
        32 price: Price4Be,
        36 attribution: [u8; 4],
    }

    /// `E`, Order Executed at the order's own price.
    OrderExecuted, 31 {
        0 head: Head,
        11 order: OrderRefBe,
        19 shares: QtyBe,
        23 match_number: MatchBe,
    }

    /// `C`, Order Executed With Price. Not printable: it comes again in a bulk print.
    OrderExecutedWithPrice, 36 {
        0 head: Head,
        11 order: OrderRefBe,
        19 shares: QtyBe,
        23 match_number: MatchBe,
        31 printable: u8,
        32 price: Price4Be,
    }

    /// `X`, Order Cancel: these shares leave the order.
    OrderCancel, 23 {
        0 head: Head,
        11 order: OrderRefBe,
        19 shares: QtyBe,
    }

    /// `D`, Order Delete.
    OrderDelete, 19 {
        0 head: Head,
        11 order: OrderRefBe,
    }

    /// `U`, Order Replace: side, stock and attribution are inherited, priority is new.
    OrderReplace, 35 {
        0 head: Head,
        11 old_order: OrderRefBe,
        19 new_order: OrderRefBe,
        27 shares: QtyBe,
        31 price: Price4Be,
    }

    /// `P`, Trade against an order that was not displayed.
    Trade, 44 {
        0 head: Head,
        11 order: OrderRefBe,
        19 side: u8,
        20 shares: QtyBe,
        24 stock: Symbol,
        32 price: Price4Be,
        36 match_number: MatchBe,
    }

    /// `Q`, Cross Trade; the share count has eight bytes.
    CrossTrade, 40 {
        0 head: Head,
        11 shares: U64,
        19 stock: Symbol,
        27 price: Price4Be,
        31 match_number: MatchBe,
        39 cross_type: u8,
    }

    /// `B`, Broken Trade.
    BrokenTrade, 19 {
        0 head: Head,
        11 match_number: MatchBe,
    }

    /// `I`, Net Order Imbalance Indicator.
    Noii, 50 {
        0 head: Head,
        11 paired_shares: U64,
        19 imbalance_shares: U64,
        27 direction: u8,
        28 stock: Symbol,
        36 far_price: Price4Be,
        40 near_price: Price4Be,
        44 reference_price: Price4Be,
        48 cross_type: u8,
        49 variation: u8,
    }

    /// `N`, Retail Price Improvement Indicator.
    RetailInterest, 20 {
        0 head: Head,
        11 stock: Symbol,
        19 interest: u8,
    }

    /// `O`, Direct Listing with Capital Raise price discovery.
    DirectListing, 48 {
        0 head: Head,
        11 stock: Symbol,
        19 eligibility: u8,
        20 min_price: Price4Be,
        24 max_price: Price4Be,
        28 near_price: Price4Be,
        32 near_time: U64,
        40 lower_collar: Price4Be,
        44 upper_collar: Price4Be,
    }
}

messages! {
    exact, head: Head;
    b'S' SystemEvent,
    b'R' StockDirectory,
    b'H' StockTradingAction,
    b'Y' RegSho,
    b'L' MarketParticipantPosition,
    b'V' MwcbDeclineLevels,
    b'W' MwcbStatus,
    b'K' IpoQuotingPeriod,
    b'J' LuldAuctionCollar,
    b'h' OperationalHalt,
    b'A' AddOrder,
    b'F' AddOrderMpid,
    b'E' OrderExecuted,
    b'C' OrderExecutedWithPrice,
    b'X' OrderCancel,
    b'D' OrderDelete,
    b'U' OrderReplace,
    b'P' Trade,
    b'Q' CrossTrade,
    b'B' BrokenTrade,
    b'I' Noii,
    b'N' RetailInterest,
    b'O' DirectListing,
}

/// Bytes of a message of each type, 0 where there is no such type: no message is as short.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "computed by the compiler, which stops at a mistake"
)]
const LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < KINDS.len() {
        let kind = KINDS[at];
        if let Some(len) = len_of(kind) {
            assert!(len <= u8::MAX as usize && len >= Head::LEN);
            lengths[kind as usize] = len as u8;
        }
        at += 1;
    }
    lengths
};

/// A message of a type that there is, as long as its type is. What every message has is read without asking which
/// type it is: types follow one another without a pattern, and a branch on them is mostly guessed wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<'a> {
    head: &'a Head,
    bytes: &'a [u8],
}

impl<'a> Whole<'a> {
    /// Looks at the type byte and the length, in one table for all types.
    ///
    /// # Errors
    /// What [`Message::decode`] says of the same bytes.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Ok((head, _)) = Head::ref_from_prefix(bytes) else {
            return Err(refuse(bytes));
        };
        match LENGTHS.get(usize::from(head.kind)) {
            Some(len) if usize::from(*len) == bytes.len() => Ok(Self { head, bytes }),
            _ => Err(refuse(bytes)),
        }
    }

    /// What every message has.
    #[inline]
    #[must_use]
    pub fn head(&self) -> &'a Head {
        self.head
    }

    /// What every message about an order has behind its head: the order's reference, of a replace the old one.
    /// Whatever else lies there, where the message is about none, and 0 where it is too short.
    #[inline]
    #[must_use]
    pub fn order(&self) -> OrderRef {
        let about = OrderDelete::ref_from_prefix(self.bytes);
        about.map_or(OrderRef(0), |(about, _)| about.order.get())
    }
}

#[cold]
fn refuse(bytes: &[u8]) -> DecodeError {
    let Some(kind) = bytes.first() else {
        return DecodeError::Empty;
    };
    match len_of(*kind) {
        Some(expected) => wrong_length(*kind, expected, bytes),
        None => DecodeError::UnknownType(*kind),
    }
}

impl StockDirectory {
    /// The entry of an ordinary listed common stock: round lots of 100 shares, first price-band tier,
    /// neither an exchange-traded product nor a recent offering.
    #[must_use]
    pub fn common_stock(head: Head, stock: Symbol) -> Self {
        Self {
            head,
            stock,
            market_category: b'Q',
            financial_status: b'N',
            round_lot_size: U32::new(100),
            round_lots_only: b'N',
            issue_classification: b'C',
            issue_sub_type: *b"Z ",
            authenticity: b'T',
            short_sale_threshold: b'N',
            ipo_flag: b'N',
            luld_tier: b'1',
            etp_flag: b'N',
            etp_leverage: U32::new(0),
            inverse: b'N',
        }
    }
}

impl Head {
    /// Builds the common fields; `tracking` is the exchange's own and 0 here.
    #[must_use]
    pub fn new(kind: u8, locate: u16, timestamp: crate::types::Nanos) -> Self {
        Self {
            kind,
            locate: U16::new(locate),
            tracking: U16::new(0),
            timestamp: timestamp.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_takes_what_the_types_take_and_says_the_same_of_the_rest() {
        let bytes: Vec<u8> = (0..=255).collect();
        for kind in 0..=u8::MAX {
            for len in 0..=usize::from(u8::MAX) {
                let mut bytes = bytes[..len].to_vec();
                if let Some(first) = bytes.first_mut() {
                    *first = kind;
                }
                let (whole, message) = (Whole::decode(&bytes), Message::decode(&bytes));
                assert_eq!(whole.map(|of| *of.head()), message.map(|of| *of.head()));
                if let Ok(Message::OrderReplace(replace)) = message {
                    assert_eq!(whole.unwrap().order(), replace.old_order.get());
                }
            }
        }
    }
}
