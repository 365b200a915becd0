//! What the exchange answers, each in the payload of a SoupBinTCP sequenced packet.

use super::messages;
use crate::types::Symbol;
use crate::wire::{MatchBe, NanosBe, OrderRefBe, QtyBe, UserRefNumBe, WidePriceBe, layout};
use zerocopy::byteorder::big_endian::U16;

layout! {
    /// `S`, System Event: `S` start of day, `E` end of day.
    SystemEvent, 10 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 event: u8,
    }

    /// `A`, Order Accepted. State `D`: accepted and already dead, nothing more follows.
    OrderAccepted, 62 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 side: u8,
        14 qty: QtyBe,
        18 symbol: Symbol,
        26 price: WidePriceBe,
        34 time_in_force: u8,
        35 display: u8,
        36 order: OrderRefBe,
        44 capacity: u8,
        45 iso: u8,
        46 cross: u8,
        47 state: u8,
        48 client_order_id: [u8; 14],
    }

    /// `U`, Order Replaced. The quantity is what is open now.
    OrderReplaced, 66 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 original_user_ref: UserRefNumBe,
        13 user_ref: UserRefNumBe,
        17 side: u8,
        18 qty: QtyBe,
        22 symbol: Symbol,
        30 price: WidePriceBe,
        38 time_in_force: u8,
        39 display: u8,
        40 order: OrderRefBe,
        48 capacity: u8,
        49 iso: u8,
        50 cross: u8,
        51 state: u8,
        52 client_order_id: [u8; 14],
    }

    /// `C`, Order Canceled; the quantity is what was taken off.
    Canceled, 18 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 qty: QtyBe,
        17 reason: u8,
    }

    /// `D`, cancelled by self-match prevention.
    AiqCanceled, 32 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 qty: QtyBe,
        17 reason: u8,
        18 prevented_qty: QtyBe,
        22 price: WidePriceBe,
        30 liquidity: u8,
        31 strategy: u8,
    }

    /// `E`, Order Executed.
    Executed, 34 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 qty: QtyBe,
        17 price: WidePriceBe,
        25 liquidity: u8,
        26 match_number: MatchBe,
    }

    /// `B`, Broken Trade.
    BrokenTrade, 36 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 match_number: MatchBe,
        21 reason: u8,
        22 client_order_id: [u8; 14],
    }

    /// `J`, Rejected; see [`super::RejectReason`].
    Rejected, 29 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 reason: U16,
        15 client_order_id: [u8; 14],
    }

    /// `P`, Cancel Pending.
    CancelPending, 13 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
    }

    /// `I`, Cancel Reject.
    CancelReject, 13 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
    }

    /// `T`, Priority Update.
    PriorityUpdate, 30 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 price: WidePriceBe,
        21 display: u8,
        22 order: OrderRefBe,
    }

    /// `M`, Order Modified; the quantity is what is open now.
    Modified, 18 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 side: u8,
        14 qty: QtyBe,
    }

    /// `R`, Order Restated: `R` display refreshed, `P` displayed price updated.
    Restated, 14 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 reason: u8,
    }

    /// `X`, Mass Cancel Response (revision 1.03 and later).
    MassCancelResponse, 25 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 firm: [u8; 4],
        17 symbol: Symbol,
    }

    /// `G`, Disable Order Entry Response (revision 1.03 and later).
    DisableResponse, 17 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 firm: [u8; 4],
    }

    /// `K`, Enable Order Entry Response (revision 1.03 and later).
    EnableResponse, 17 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 user_ref: UserRefNumBe,
        13 firm: [u8; 4],
    }

    /// `Q`, Account Query Response: the next reference number to use.
    AccountQueryResponse, 13 {
        0 kind: u8,
        1 timestamp: NanosBe,
        9 next_user_ref: UserRefNumBe,
    }
}

messages! {
    /// One message from the exchange.
    Outbound {
        b'S' SystemEvent Optional,
        b'A' OrderAccepted Mandatory,
        b'U' OrderReplaced Mandatory,
        b'C' Canceled Optional,
        b'D' AiqCanceled Optional,
        b'E' Executed Mandatory,
        b'B' BrokenTrade Optional,
        b'J' Rejected Optional,
        b'P' CancelPending Optional,
        b'I' CancelReject Optional,
        b'T' PriorityUpdate Optional,
        b'M' Modified Optional,
        b'R' Restated Mandatory,
        b'X' MassCancelResponse Mandatory,
        b'G' DisableResponse Mandatory,
        b'K' EnableResponse Mandatory,
        b'Q' AccountQueryResponse Optional,
    }
}
