//! What a client sends, each in the payload of a SoupBinTCP unsequenced packet.

use super::messages;
use crate::types::Symbol;
use crate::wire::{QtyBe, UserRefNumBe, WidePriceBe, layout};

layout! {
    /// `O`, Enter Order.
    EnterOrder, 45 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 side: u8,
        6 qty: QtyBe,
        10 symbol: Symbol,
        18 price: WidePriceBe,
        26 time_in_force: u8,
        27 display: u8,
        28 capacity: u8,
        29 iso: u8,
        30 cross: u8,
        31 client_order_id: [u8; 14],
    }

    /// `U`, Replace Order. The quantity is the liability of the whole chain, executed shares
    /// included.
    ReplaceOrder, 38 {
        0 kind: u8,
        1 original_user_ref: UserRefNumBe,
        5 user_ref: UserRefNumBe,
        9 qty: QtyBe,
        13 price: WidePriceBe,
        21 time_in_force: u8,
        22 display: u8,
        23 iso: u8,
        24 client_order_id: [u8; 14],
    }

    /// `X`, Cancel Order down to a new intended size; 0 cancels all of it.
    CancelOrder, 9 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 qty: QtyBe,
    }

    /// `M`, Modify Order: a smaller size or another kind of sale.
    ModifyOrder, 10 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 side: u8,
        6 qty: QtyBe,
    }

    /// `C`, Mass Cancel (revision 1.03 and later).
    MassCancel, 17 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 firm: [u8; 4],
        9 symbol: Symbol,
    }

    /// `D`, Disable Order Entry (revision 1.03 and later).
    DisableOrderEntry, 9 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 firm: [u8; 4],
    }

    /// `E`, Enable Order Entry (revision 1.03 and later).
    EnableOrderEntry, 9 {
        0 kind: u8,
        1 user_ref: UserRefNumBe,
        5 firm: [u8; 4],
    }

    /// `Q`, Account Query: which reference number comes next?
    AccountQuery, 1 {
        0 kind: u8,
    }
}

messages! {
    /// One message from the client.
    Inbound {
        b'O' EnterOrder Mandatory,
        b'U' ReplaceOrder Mandatory,
        b'X' CancelOrder Optional,
        b'M' ModifyOrder Optional,
        b'C' MassCancel Mandatory,
        b'D' DisableOrderEntry Mandatory,
        b'E' EnableOrderEntry Mandatory,
        b'Q' AccountQuery Optional,
    }
}
